"""What runs refuse, and how they fail."""

from __future__ import annotations

from interlock.kernel.errors import Conflict, Failed, NotFound


class RunNotFound(NotFound):
    """There is no such run."""

    code = "run_not_found"
    default_hint = "`interlock run list` shows what there is"


class RunAlreadyEnded(Conflict):
    """The run has ended and can not change any more."""

    code = "run_already_ended"


class RunStateConflict(Conflict):
    """The run's state does not allow this."""

    code = "run_state_conflict"


class NoResult(Conflict):
    """The run has no result to apply."""

    code = "no_result"


class StepFailed(Failed):
    """A step of a run failed; `reason` becomes the run's."""

    code = "step_failed"

    def __init__(self, reason: str, message: str) -> None:
        """Take the run's reason code and a sentence."""
        self.reason = reason
        super().__init__(message)
