"""Runs, steps and log lines as JSON: the shapes of seed 4, with what we add. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from interlock.kernel.clock import to_text
from interlock.kernel.errors import InterlockError
from interlock.runs.models import Found, LogLine, Run, Step


def show_run(run: Run) -> dict[str, Any]:
    """Return a run in the shape of OpsRun, without its log."""
    return {
        "id": run.id,
        "approved_id": run.approved_id,
        "item_id": run.item_id,
        "status": run.status.value,
        "reason": run.reason,
        "message": run.message,
        "attempt": run.attempt,
        "created_at": to_text(run.created_ms),
        "created_by": run.created_by,
        "started_at": _instant(run.started_ms),
        "ended_at": _instant(run.ended_ms),
        "correlation_id": run.correlation_id,
        "result": run.result,
        "archived_at": _instant(run.archived_ms),
        "rung": run.rung,
    }


def show_in_full(run: Run, steps: Sequence[Step], lines: Sequence[LogLine]) -> dict[str, Any]:
    """Return a run with its steps and the last lines of its log."""
    return show_run(run) | {
        "why": show_why(run),
        "log_lines": lines[-1].line if lines else 0,
        "steps": show_steps(steps),
        "log": [show_line(line, run.correlation_id) for line in lines],
    }


def show_steps(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Return a run's steps with their times."""
    return [
        {
            "name": step.name.value,
            "fence": step.fence,
            "started_at": to_text(step.started_ms),
            "ended_at": _instant(step.ended_ms),
            "duration_ms": step.ended_ms - step.started_ms if step.ended_ms is not None else None,
            "output": step.output,
        }
        for step in steps
    ]


def show_line(line: LogLine, correlation_id: str | None) -> dict[str, Any]:
    """Return a log line in the seed's shape: ts, level, msg, correlation_id."""
    return {
        "line": line.line,
        "ts": to_text(line.ts_ms),
        "level": line.level,
        "source": line.source,
        "msg": line.msg,
        "correlation_id": correlation_id,
    }


def show_found(run_id: str, found: Found) -> dict[str, Any]:
    """Return what a search of a log has found."""
    return {
        "id": run_id,
        "status": "complete" if found.complete else "partial",
        "lines": list(found.lines),
        "searched_to": found.searched_to,
    }


_RETRY = "If that was chance, retry the run; else write a new draft that allows for it: a run can not be changed."
_LIMIT = (
    "If it needs more, write a new draft with a higher limit and have it approved: limits are part of the approval."
)
_LOOK = "The last lines of its log say why."
_WAITS = "Nothing, while it waits: the next worker takes it up, and what completed steps made is kept."
_ANEW = "A run that was stopped stays so; make a new one from the approved record."
_REASONS: Mapping[str, tuple[str, str]] = {
    "agent_failed": ("The agent's own command ended with an error.", f"{_LOOK} {_RETRY}"),
    "check_failed": (
        "The agent ended well, but an approved check of its result did not pass.",
        "The check's output stands in the log behind its command. Its diff is kept, and nothing was applied.",
    ),
    "limit_wall_clock": ("The agent took longer than its approval allows, and was ended.", _LIMIT),
    "limit_output": ("The agent printed more than its approval allows, and was ended.", _LIMIT),
    "limit_disk": ("The agent wrote more to disk than its approval allows, and was ended.", _LIMIT),
    "limit_tokens": ("The agent used more tokens than its approval allows, and was ended.", _LIMIT),
    "limit_cost": ("The agent cost more than its approval allows, and was ended.", _LIMIT),
    "agent_limited": (
        "The agent's provider lets it do no more for now; the work itself may be sound.",
        "Retry the run when the limit has been reset; the message says when, where the provider did.",
    ),
    "done_unproven": (
        "All went well, but it is not proven as well as is needed.",
        "Its diff is kept, and nothing was applied. Name checks in a new draft, or let a person look at it.",
    ),
    "waits_for_ci": (
        "Everything is done, and it waits for CI to report on exactly its result.",
        "Bring the result to CI (`interlock run apply`) and let it report: `interlock run ci`.",
    ),
    "ci_failed": (
        "CI says that exactly this result is not good.",
        "Its report says why. Where CI was wrong, let it report success of this commit, then retry the run.",
    ),
    "no_command": (
        "The approved record names no command to run.",
        "Name one in a new draft, or a default in interlock.toml.",
    ),
    "worker_failed": (
        "The worker itself could not go on; the agent is not at fault.",
        "Look at the worker's log, then retry.",
    ),
    "worker_dead": ("Its worker ended while it held the run.", _WAITS),
    "lease_expired": ("Its worker gave no sign of life for longer than its lease.", _WAITS),
    "released": ("Its worker gave it back.", _WAITS),
    "stale": ("Its holder took no lease, and did nothing for too long.", _WAITS),
    "silent": ("It showed nothing for longer than a run may stand still, and was taken from its worker.", _WAITS),
    "misplaced": ("Its worktree was gone while its agent worked, and it was taken from its worker.", _WAITS),
    "finished_unreported": (
        "Its agent had ended and its worker did not say so; it was ended from what is stored.",
        f"Where that is too little, what the agent did is not known. {_LOOK} Then retry the run.",
    ),
    "workflow_closed": ("Its Temporal workflow was closed from outside.", _WAITS),
    "transient_failure": ("The session that held it failed, for a reason that may pass.", _RETRY),
    "permanent_failure": ("The session that held it failed, and says that trying again does not help.", _LOOK),
    "attempts_exhausted": ("It was tried as often as the queue allows.", "Find out why in its log, then retry."),
    "cancelled_by_operator": ("Somebody stopped it.", _ANEW),
    "replanned": ("Its item was planned anew, and so this run was stopped.", _ANEW),
}


def show_why(run: Run) -> dict[str, Any] | None:
    """Return in words why a run is where it is, and what to do next; None where nothing is wrong."""
    if run.reason is None:
        return None
    said = _REASONS.get(run.reason) or _of_error(run.reason)
    return {"reason": run.reason, "says": said[0], "hint": said[1]}


def _of_error(code: str) -> tuple[str, str]:
    """Take the words of the error that has this code; it is known where its module was loaded."""
    waiting: list[type[InterlockError]] = [InterlockError]
    while waiting:
        each = waiting.pop()
        if each.code == code and each is not InterlockError:
            return (each.__doc__ or "").strip().splitlines()[0], each.default_hint or _LOOK
        waiting += each.__subclasses__()
    return f"It ended for the reason {code}.", _LOOK


def _instant(ms: int | None) -> str | None:
    return to_text(ms) if ms is not None else None
