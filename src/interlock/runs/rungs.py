"""How well a run is proven done, and whether that is enough. Pure.

    self_reported   somebody said so
    exit_code       we saw the agent's process end with 0
    checked         we ran the approved checks ourselves, in a clean worktree of exactly the result
    ci              the project's CI says so of exactly the result

What counts is bound to the result's tree, and was found after the last change of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from interlock.approval.models import Rung, Work
from interlock.runs.models import CiReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a run that went well comes to."""

    rung: Rung
    """What was reached."""
    needed: Rung
    reason: str | None = None
    """Why that is not enough, as a code; None where it is, or where CI has not spoken yet."""
    message: str = ""

    @property
    def waits(self) -> bool:
        """Say whether all that is missing is the word of CI."""
        return self.reason is None and not self.rung.reaches(self.needed)


def needed(work: Work, policy: Rung) -> Rung:
    """Return what is needed: what was approved can only ask for more than the workspace."""
    return policy if work.rung is None else Rung.highest(policy, Rung(work.rung))


def proven(result: Mapping[str, Any]) -> Rung:
    """Return what a worker's own evidence comes to; without any, it has seen its agent end well, and no more.

    A worker can not speak for a CI, whatever it writes there.
    """
    proof = cast("Mapping[str, Any]", result.get("proof") or {})
    rung = Rung(proof.get("rung") or Rung.EXIT_CODE.value)
    return Rung.CHECKED if rung is Rung.CI else rung


def judge(result: Mapping[str, Any], want: Rung, reports: Sequence[CiReport]) -> Judged:
    """Hold a worker's evidence, and what CI said of exactly this result, against what is needed."""
    rung, said = proven(result), about(result, reports)
    if said is not None and said.succeeded:
        return Judged(rung=Rung.CI, needed=want)
    if want is not Rung.CI:
        return unless_reached(rung, want)
    if said is not None:
        where = f" ({said.url})" if said.url else ""
        return Judged(rung=rung, needed=want, reason="ci_failed", message=f"CI says that {said.commit} failed{where}")
    if not names_of(result):
        message = "ci is needed, and the run has no commit that a CI could speak of"
        return Judged(rung=rung, needed=want, reason="done_unproven", message=message)
    return Judged(rung=rung, needed=want)


def unless_reached(rung: Rung, want: Rung) -> Judged:
    """Say that it is not enough where it is not."""
    if rung.reaches(want):
        return Judged(rung=rung, needed=want)
    message = f"{want.value} is needed, and only {rung.value} was reached"
    return Judged(rung=rung, needed=want, reason="done_unproven", message=message)


def about(result: Mapping[str, Any], reports: Sequence[CiReport]) -> CiReport | None:
    """Return the latest report of exactly this commit or its tree; another commit's proves nothing."""
    names = names_of(result)
    return max((each for each in reports if each.commit in names), key=lambda each: each.reported_ms, default=None)


def names_of(result: Mapping[str, Any]) -> frozenset[str]:
    """Return the commit and the tree by which a CI may speak of a result; of none, where there is no repository."""
    proof = cast("Mapping[str, Any]", result.get("proof") or {})
    return frozenset(str(proof[name]) for name in ("commit", "tree") if proof.get(name))
