"""The verbs of what is true of runs: who looks after them keeps verdicts and acts, everybody else reads them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from interlock.access.models import Actor
from interlock.approval.models import Limits
from interlock.kernel.ids import checked
from interlock.queue.models import Item, ItemStatus
from interlock.runs.errors import RunNotFound
from interlock.runs.events import RunActionFailed, RunJudged
from interlock.runs.models import Pulse, RunStatus, StepName
from interlock.runs.options import TruthOptions
from interlock.runs.ports import Look, Open, RunDesk, Standing
from interlock.runs.truth import Action, Truth, Verdict, Watched, from_the_database
from interlock.runs.vitals import over

UNJUDGED_HOST = "-"
"""Whose look it was where nobody has looked yet: the database's facts alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truths:
    """What is true of runs; each verb opens the transaction that it needs."""

    open: Open
    look: Look
    light: Look
    options: Callable[[], TruthOptions]

    # --- for operators ------------------------------------------------------------------------------------------------

    def get(self, run_id: str) -> Truth | None:
        """Return what is true of a run; None where nobody holds it and nothing is left of it. Raises `RunNotFound`.

        Where nobody has written a verdict, which a run needs to be under way for a minute, it is judged by what the
        database knows.
        """
        checked(run_id, "r")
        with self.look() as desk:
            run, truth = desk.runs.get(run_id), desk.truth.get(run_id)
            if run is None:
                raise RunNotFound(f"there is no run {run_id}")
            if truth is not None and truth.verdict is Verdict.ZOMBIE:
                return truth
            if run.status is not RunStatus.RUNNING:
                return None
            item = desk.queue.get(run.item_id)
            if truth is not None and truth.fence == item.fence:
                return truth
            return self._unjudged(desk, run_id)

    def _unjudged(self, desk: RunDesk, run_id: str) -> Truth | None:
        watched = next((each for each in desk.truth.held(run_id) if each.held.item.run_id == run_id), None)
        if watched is None:
            return None
        now, item = desk.now(), watched.held.item
        found = from_the_database(watched, now, self.options(), _over(desk, watched))
        return Truth(
            run_id=run_id,
            fence=item.fence,
            verdict=found.verdict,
            reason=found.reason,
            action=Action.WAIT,
            details={},
            sign=watched.sign,
            host=UNJUDGED_HOST,
            since_ms=item.started_ms or now,
            seen_ms=now,
        )

    def list(self, *, limit: int = 100) -> Sequence[Truth]:
        """List the verdicts on runs that are under way, or of which something is left; the oldest first."""
        with self.look() as desk:
            return desk.truth.list(limit)

    def asking(self, *, limit: int = 200) -> Sequence[Truth]:
        """List the verdicts that ask a person, the oldest first."""
        with self.look() as desk:
            return desk.truth.asks(limit)

    # --- for who looks after them -------------------------------------------------------------------------------------

    def held(self) -> tuple[int, Sequence[Watched]]:
        """Return the database's time, and everything that is held with what the database knows of it."""
        with self.look() as desk:
            return desk.now(), desk.truth.held(None)

    def standing(self, run_ids: Collection[str]) -> Mapping[str, Standing]:
        """Say where runs stand; those of another database are not in the answer."""
        with self.look() as desk:
            found = {run_id: desk.truth.standing(run_id) for run_id in run_ids}
        return {run_id: each for run_id, each in found.items() if each is not None}

    def limits(self, approved_ids: Collection[str]) -> Mapping[str, Limits]:
        """Return the limits of approved records."""
        with self.look() as desk:
            found = {each: desk.approval.approved.get(each) for each in approved_ids}
        return {each: approved.work.limits for each, approved in found.items() if approved is not None}

    def ended(self, *, limit: int = 100) -> Sequence[Truth]:
        """List verdicts on runs that have ended since."""
        with self.look() as desk:
            return desk.truth.over(limit)

    def get_kept(self, run_ids: Collection[str]) -> Mapping[str, Truth]:
        """Return the verdicts that are kept on these runs."""
        with self.look() as desk:
            found = {each: desk.truth.get(each) for each in run_ids}
        return {run_id: truth for run_id, truth in found.items() if truth is not None}

    def put(self, actor: Actor, judged: Sequence[tuple[Truth, Truth | None]]) -> Sequence[Truth]:
        """Keep verdicts, each in the place of the one that was seen; returns those that were kept.

        Where the verdict, its reason or the action is another than before, that is an event.
        """
        kept: list[Truth] = []
        with self.open(actor, calming=True) as desk:
            for truth, seen in judged:
                if not desk.truth.put(truth, seen):
                    continue  # another looker was faster
                kept.append(truth)
                before = seen if seen is not None and seen.fence == truth.fence else None
                if before is None or _said(before) != _said(truth):
                    desk.emit(_event(truth, before))
        return kept

    def forget(self, seen: Sequence[Truth]) -> None:
        """Take verdicts away that are over: the run ended, and its own event says so."""
        with self.light() as desk:
            for each in seen:
                desk.truth.drop(each)

    def note_failure(self, actor: Actor, truth: Truth, error: str, tries: int) -> None:
        """Tell that what was to be done could not be done."""
        with self.open(actor, calming=True) as desk:
            desk.emit(
                RunActionFailed(
                    subject=truth.run_id,
                    fence=truth.fence,
                    verdict=truth.verdict.value,
                    action=truth.action.value,
                    error=error[:300],
                    tries=tries,
                )
            )

    def take_over(self, actor: Actor, seen: Item, *, reason: str) -> bool:
        """Give a held item to whoever is next; False if it moved, or its holder gave a sign of life, meanwhile."""
        with self.open(actor, calming=True) as desk:
            return desk.queue.rescue(seen, reason=reason) is not None

    def take_back(self, actor: Actor, seen: Item, *, reason: str) -> bool:
        """Take a run from a holder that lives, as its fence was seen: no heartbeat keeps it; False if it moved."""
        with self.open(actor, calming=True) as desk:
            item = _same(desk, seen)
            return item is not None and desk.queue.rescue(item, reason=reason) is not None

    def end(self, actor: Actor, seen: Item, *, reason: str, message: str) -> bool:
        """End a held run in error, as its fence was seen; False if it moved meanwhile."""
        with self.open(actor, calming=True) as desk:
            if _same(desk, seen) is None:
                return False
            desk.queue.fail(seen.id, seen.fence, reason=reason, message=message)
        return True

    def finalise(self, actor: Actor, seen: Item, *, reason: str, message: str) -> bool:
        """Let a held run end from what is stored; False if it moved meanwhile.

        Where its agent's step is stored, the next worker goes on after it. Where it is not, the run ends in error: what
        the agent did is not known, and no second agent is paid for without a person's word.
        """
        with self.open(actor, calming=True) as desk:
            item = _same(desk, seen)
            run = desk.runs.get(seen.run_id or "")
            if item is None or run is None:
                return False
            done = {step.name for step in desk.runs.steps(run.id, run.generation) if step.output is not None}
            if StepName.AGENT in done:
                return desk.queue.rescue(item, reason=reason) is not None
            desk.queue.fail(seen.id, seen.fence, reason=reason, message=message)
        return True


def _same(desk: RunDesk, seen: Item) -> Item | None:
    """Return the item as it is now, kept so until the transaction ends; None if another fence holds it."""
    if not desk.queue.store.hold(seen.id, seen.fence):
        return None
    item = desk.queue.get(seen.id)
    return item if item.fence == seen.fence and item.status is ItemStatus.IN_PROGRESS else None


def _said(truth: Truth) -> tuple[Verdict, str, Action]:
    return truth.verdict, truth.reason, truth.action


def _event(truth: Truth, before: Truth | None) -> RunJudged:
    return RunJudged(
        subject=truth.run_id,
        fence=truth.fence,
        verdict=truth.verdict.value,
        reason=truth.reason,
        action=truth.action.value,
        previous=before.verdict.value if before is not None else None,
        host=truth.host,
    )


def _over(desk: RunDesk, watched: Watched) -> str | None:
    if watched.approved_id is None or not (watched.tokens or watched.cost_microusd):
        return None
    approved = desk.approval.approved.get(watched.approved_id)
    return over_limit(watched, approved.work.limits) if approved is not None else None


def over_limit(watched: Watched, limits: Limits) -> str | None:
    """Return which limit a run is over, by what its agent says of itself."""
    if not watched.is_seen:
        return None
    return over(Pulse(input_tokens=watched.tokens, cost_microusd=watched.cost_microusd), limits)
