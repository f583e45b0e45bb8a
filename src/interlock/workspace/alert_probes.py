"""What stands in the workspace that a human should hear of: what waits or does not end, and evidence that is not right.

Each probe looks for one kind of thing, and finds at most one condition that names all of them: one alert, no flood.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from interlock.alerts.options import AlertOptions
from interlock.alerts.ports import Condition, Probe
from interlock.approval.models import DraftStatus
from interlock.approval.service import Approval
from interlock.evidence.errors import EvidenceError
from interlock.queue.service import Queue
from interlock.runs.models import RunStatus
from interlock.runs.service import Runs
from interlock.runs.watching import Truths

_PAGE = 200
_MOST_PAGES = 10
_MOST_NAMED = 64


Verify = Callable[[], EvidenceError | None]
"""Verifies the workspace's evidence; returns the first thing that is wrong with it."""


def probes(
    options: AlertOptions,
    approval: Approval,
    runs: Runs,
    queue: Callable[[], AbstractContextManager[Queue]],
    verify: Verify,
    *,
    truths: Truths,
) -> Mapping[str, Probe]:
    """Return the probes by the category of what they find."""
    found: dict[str, Probe] = {"queue_stale": lambda _: _lost(queue), "run_truth": lambda _: _asking(truths)}
    if options.evidence_seconds:
        found["evidence_unverified"] = _Verifying(verify, options.evidence_seconds * 1000)
    if options.approval_seconds:
        found["approval_waiting"] = lambda now: _waiting(approval, now - options.approval_seconds * 1000)
    if options.run_seconds:
        found["run_stuck"] = lambda now: _stuck(runs, truths, now - options.run_seconds * 1000)
    return found


@dataclass(slots=True)
class _Verifying:
    """Verifies now and then; in between, what was found stands."""

    verify: Verify
    every_ms: int
    _at: int | None = None
    _wrong: EvidenceError | None = None

    def __call__(self, now: int) -> Iterator[Condition]:
        if self._at is None or not 0 <= now - self._at < self.every_ms:
            self._wrong, self._at = self.verify(), now
        if self._wrong is not None:
            yield Condition("evidence", "critical", self._wrong.message, [self._wrong.code])


def _waiting(approval: Approval, before_ms: int) -> Iterator[Condition]:
    late: list[str] = []
    last: str | None = None
    for _ in range(_MOST_PAGES):
        page = approval.drafts(status=DraftStatus.DRAFT, limit=_PAGE, before=last)
        late += [each.id for each in page if each.updated_ms < before_ms]
        if len(page) < _PAGE:
            break
        last = page[-1].id
    yield from _of(late, "drafts", "wait for a human for too long")


def _asking(truths: Truths) -> Iterator[Condition]:
    """Name the runs of which a person is asked what to do; over as soon as the verdict is another."""
    yield from _of([each.run_id for each in truths.asking(limit=_PAGE)], "runs", "are not what they should be")


def _stuck(runs: Runs, truths: Truths, before_ms: int) -> Iterator[Condition]:
    """Name the runs that go on for too long, but for those of which a person is asked already."""
    found, asked = runs.list(status=RunStatus.RUNNING, limit=_PAGE), {each.run_id for each in truths.asking()}
    late = [each.id for each in found if each.started_ms is not None and each.started_ms < before_ms]
    late = [each for each in late if each not in asked]
    yield from _of(late, "runs", "have been going on for too long")


def _lost(queue: Callable[[], AbstractContextManager[Queue]]) -> Iterator[Condition]:
    with queue() as look:
        late = [item.id for item, _ in look.lost()]
    yield from _of(late, "items", "are claimed by somebody who does not answer")


def _of(ids: Sequence[str], what: str, why: str) -> Iterator[Condition]:
    if ids:
        yield Condition(what, "warning", f"{len(ids)} {what} {why}", sorted(ids)[:_MOST_NAMED])
