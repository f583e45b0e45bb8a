"""What runs refuse, and how they fail."""

from __future__ import annotations

from interlock.kernel.errors import Conflict, Failed, Invalid, NotFound, Refused


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


class ResultDiffers(Failed):
    """The patch does not make the commit that the run is recorded with."""

    code = "result_differs"
    default_hint = "nothing was changed; the patch is not what was collected"


class CiNeedsAnother(Refused):
    """An agent does not speak for the project's CI."""

    code = "ci_not_by_agents"
    default_hint = "CI reports with the token of a service, or a human does"


class ReportInvalid(Invalid):
    """This is no report of a CI."""

    code = "ci_report_invalid"


class DoneUnproven(Conflict):
    """What is needed to call the run done is more than who finishes it can prove."""

    code = "done_unproven"


class StepFailed(Failed):
    """A step of a run failed; `reason` becomes the run's."""

    code = "step_failed"

    def __init__(self, reason: str, message: str) -> None:
        """Take the run's reason code and a sentence."""
        self.reason = reason
        super().__init__(message)


# --- workers elsewhere ---


class NotAWorker(Refused):
    """This principal may not carry runs out."""

    code = "not_a_worker"
    default_hint = "make its token with `interlock token create --role operator --principal worker@NAME --name NAME`"


class WorkerProtocolDiffers(Conflict):
    """Worker and server speak different protocols."""

    code = "worker_protocol_differs"
    default_hint = "bring both to the same version of Interlock"


class WorkerMalformed(Invalid):
    """This is no id of a worker."""

    code = "worker_malformed"


class ResultMalformed(Invalid):
    """A result can not be kept as it is."""

    code = "result_malformed"


class BodyDiffers(Invalid):
    """A body is not what its name says."""

    code = "body_differs"


class BodyTooLarge(Invalid):
    """A body is larger than was approved."""

    code = "result_too_large"


class OutputTooLarge(Invalid):
    """More output came than was approved."""

    code = "run_output_too_large"
