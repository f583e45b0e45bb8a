"""Looks at every run that is under way, again and again, says what is true of it, and does what follows.

Level-triggered: each look begins with the database and the world as they are. What is remembered from look to look is
only how long something has stood as it is, on our own monotonic clock; who starts anew waits longer, and skips nothing.
Every verdict and every action holds the fence that was seen, so several who look do each thing once.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import time
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from interlock.access.models import Actor
from interlock.approval.models import Limits
from interlock.kernel.errors import InterlockError
from interlock.queue.models import Executor, Held, Item, WorkerProcess
from interlock.runs.containment import processes
from interlock.runs.models import RunStatus, StepName
from interlock.runs.options import TruthOptions
from interlock.runs.ports import Standing
from interlock.runs.steps import marker, place_name
from interlock.runs.truth import (
    ACTS,
    HEALTHY,
    LOST,
    SECOND_LINE_SECONDS,
    Action,
    Facts,
    Judged,
    Process,
    Truth,
    Verdict,
    Watched,
    carried,
    judge,
    says,
    settled,
)
from interlock.runs.watching import Truths, over_limit

_LOG = logging.getLogger("interlock.reconciler")
LOOK_SECONDS = 1.0
_TOLD_AFTER_MS = 60_000
"""A run in good order is written down once it goes on for so long: short runs cost nothing."""
_MOST_KEPT_MS = 3_600_000
"""How long what another machine said of a run that ended stands, where that machine takes nothing back."""
_MOST_AT_ONCE = 500
_MOST_BACKOFF_SECONDS = 300.0
_HEARING_SECONDS = 5.0
"""How long a worker that lives may take to notice that a run is not its own any more."""
_MARKER = re.compile(r"(r_[0-9A-HJKMNP-TV-Z]{26}):(\d{1,15})")


class Sight(Protocol):
    """What can be seen, and done, on this machine."""

    def alive(self, pid: int, start_time: int, boot_id: str) -> bool:
        """Say whether exactly this process lives here."""
        ...

    def markers(self) -> Mapping[str, int]:
        """Count the processes of every claim of a run, by its marker."""
        ...

    def place(self, run_id: str, fence: int) -> bool:
        """Say whether the place in which a claim's agent works is there."""
        ...

    def result(self, run_id: str, fence: int) -> bool:
        """Say whether git holds the result of a claim."""
        ...

    def kill(self, run_marker: str) -> int:
        """End every process of a claim; returns how many would not."""
        ...


@dataclass(frozen=True, slots=True)
class Machine:
    """This machine; implements `Sight`."""

    worktrees: Path
    mirrors: Path
    boot: str = field(default_factory=processes.boot_id)
    """Ours for as long as this process lives."""

    def alive(self, pid: int, start_time: int, boot_id: str) -> bool:
        """Say whether exactly this process lives here."""
        return boot_id == self.boot and processes.start_time_of(pid) == start_time

    def markers(self) -> Mapping[str, int]:
        """Count the processes of every claim of a run, by its marker; ours are none, whoever started us."""
        me = os.getpid()
        return {each: len([pid for pid in pids if pid != me]) for each, pids in processes.markers().items()}

    def place(self, run_id: str, fence: int) -> bool:
        """Say whether the place in which a claim's agent works is there."""
        return (self.worktrees / place_name(run_id, fence)).is_dir()

    def result(self, run_id: str, fence: int) -> bool:
        """Say whether git holds the result of a claim."""
        return any(self.mirrors.glob(f"*.git/refs/interlock/runs/{run_id}/{fence}"))

    def kill(self, run_marker: str) -> int:
        """End every process of a claim; returns how many would not."""
        return len(processes.kill_marked(run_marker))


@dataclass(slots=True)
class Patience:
    """How long things have stood as they are, added up from look to look on a monotonic clock.

    No look counts for more than it should have taken: while we were held up ourselves (a stuck writer, a database that
    was away, a machine that slept), nobody else could give a sign of life either.
    """

    _stood: dict[Hashable, tuple[Hashable, float]] = field(default_factory=dict[Hashable, tuple[Hashable, float]])
    _asked: dict[Hashable, tuple[Hashable, float]] = field(default_factory=dict[Hashable, tuple[Hashable, float]])
    _looked: float | None = None
    _passed: float = 0.0

    def begin(self, now: float) -> None:
        """Begin a look at an instant of the monotonic clock; what the last one did not ask about is forgotten."""
        self._passed = max(0.0, min(now - self._looked, LOOK_SECONDS * 1.5)) if self._looked is not None else 0.0
        self._looked, self._stood, self._asked = now, self._asked, {}

    def seconds(self, what: Hashable, sign: Hashable) -> float:
        """Say how long something has shown the same sign, in seconds; ask once for each look."""
        before = self._stood.get(what)
        stood = before[1] + self._passed if before is not None and before[0] == sign else 0.0
        self._asked[what] = (sign, stood)
        return stood


class _Left(NamedTuple):
    """What earlier claims of a run left on this machine."""

    markers: frozenset[str]
    living: int
    standing: Standing


class _Case(NamedTuple):
    """A verdict with what it is about."""

    truth: Truth
    item: Item | None
    """The held item; None for a run that nobody holds."""
    here: bool
    markers: frozenset[str] = frozenset()
    """What earlier claims left."""


@dataclass(slots=True, kw_only=True)
class Reconciler:
    """Judges what is held, and what is left of what was."""

    me: WorkerProcess
    truths: Truths
    actor: Actor
    sight: Sight
    options: TruthOptions
    grace_seconds: float = 10.0
    """How long an agent has between the request to stop and the end."""
    node_id: Callable[[], str | None] = lambda: None
    """Which node this is; several may share a host, each with worktrees and mirrors of its own."""
    aside: Callable[[Callable[[], None]], None] = lambda chore: chore()
    """Does what may take long beside the caller."""
    moved: Callable[[Item, str], None] = lambda _item, _reason: None
    """Told of each item that was taken from its holder, with the reason."""
    probe: Callable[[str], None] = lambda _: None
    """Told where a look stands; tests stop the world there."""
    _patience: Patience = field(default_factory=Patience)
    _limits: dict[str, Limits] = field(default_factory=dict[str, Limits])
    """Of approved records, which never change."""
    _left: dict[str, _Left] = field(default_factory=dict[str, _Left])
    _scan_at: float = 0.0
    _tries: dict[tuple[str, int, str], tuple[int, float]] = field(
        default_factory=dict[tuple[str, int, str], tuple[int, float]]
    )
    """How often an action failed, and when it is tried again."""
    _killing: set[str] = field(default_factory=set[str])
    _holders: dict[tuple[int, int, str], bool] = field(default_factory=dict[tuple[int, int, str], bool])
    """Whether they live, as this look has seen it."""

    def look(self, now: float | None = None) -> None:
        """Look once at everything, keep what is true, and do what follows; `now` is monotonic seconds."""
        now = time.monotonic() if now is None else now
        now_ms, rows = self.truths.held()
        self._patience.begin(now)
        self._holders = {}
        self._scan(rows, now)
        self._learn_limits(rows)
        cases = [self._case(each, now_ms) for each in rows]
        held = {each.item.run_id for each in cases if each.item is not None}
        cases += self._cases_left(held, now_ms)
        seen = {each.held.item.run_id: each.truth for each in rows if each.held.item.run_id is not None}
        seen |= self.truths.get_kept([run_id for run_id in self._left if run_id not in held])
        kept = self._keep(cases, seen, rows, now_ms)
        self._forget(now_ms)
        acting = {(each.truth.run_id, each.truth.fence, each.truth.action.value) for each in cases}
        self._tries = {each: when for each, when in list(self._tries.items()) if each in acting}
        for each in cases:
            if each.item is None or each.item.run_id is None or each.truth.run_id in kept:
                self._act(each, now)
        self.probe("looked")

    # --- what is seen -------------------------------------------------------------------------------------------------

    def _scan(self, rows: Sequence[Watched], now: float) -> None:
        """Find processes of claims that nobody holds any more; those of another workspace are not ours to judge."""
        if now < self._scan_at:
            return
        self._scan_at = now + self.options.scan_seconds
        held = {each.held.item.run_id: each.held.item.fence for each in rows}
        found: dict[str, list[tuple[int, str, int]]] = {}
        for name, count in self.sight.markers().items():
            match = _MARKER.fullmatch(name)
            if match and count and held.get(match[1]) != int(match[2]):
                found.setdefault(match[1], []).append((int(match[2]), name, count))
        standing: Mapping[str, Standing] = self.truths.standing(found.keys()) if found else {}
        self._left = {}
        for run_id, where in standing.items():
            gone = [each for each in found[run_id] if where.status is not RunStatus.RUNNING or each[0] < where.fence]
            if gone:
                self._left[run_id] = _Left(frozenset(each[1] for each in gone), sum(each[2] for each in gone), where)

    def _learn_limits(self, rows: Sequence[Watched]) -> None:
        spenders = {each.approved_id for each in rows if each.approved_id and (each.tokens or each.cost_microusd)}
        self._limits = {each: limits for each, limits in self._limits.items() if each in spenders}
        unknown = spenders - self._limits.keys()
        if unknown:
            self._limits |= self.truths.limits(unknown)

    def _case(self, watched: Watched, now_ms: int) -> _Case:
        item = watched.held.item
        facts = self._facts(watched, now_ms)
        found = settled(judge(facts, self.options), watched.sign, item.fence, watched.truth)
        left = self._left.get(item.run_id or "")
        truth = self._truth((item.run_id or item.id, item.fence, watched.sign), found, facts, now_ms)
        return _Case(truth, item, facts.here, left.markers if left else frozenset())

    def _facts(self, watched: Watched, now_ms: int) -> Facts:
        held, item = watched.held, watched.held.item
        ours = item.owner_session == self.me.id
        silent = self._patience.seconds(("lease", item.id), (item.fence, item.beat))
        watched_seconds = self._patience.seconds(("sign", item.id), watched.sign)
        agent = self._agent(watched)
        here = ours or (held.host or (watched.agent_host if watched.is_seen else None)) == self.me.host
        over = self._over(watched)
        terminal = watched.is_seen and watched.terminal is not None
        ended = watched.step is StepName.AGENT and (agent is Process.DEAD or terminal)
        # Another node of this host has folders of its own, of which nothing can be said from here.
        folders = here and item.node_id in {None, self.node_id() or item.node_id}
        written = self._written(watched, watched_seconds) if folders else False
        left = self._left.get(item.run_id or "")
        return Facts(
            external=item.executor is Executor.EXTERNAL,
            here=here,
            holder=Process.ALIVE if ours else self._holder(held),
            lease_over=not ours and silent >= item.lease_ms / 1000,
            node_lost=watched.node_lost or held.host not in {None, self.me.host},
            step=watched.step,
            agent=agent,
            leftovers=left.living if left else 0,
            leftovers_due=left is not None and self._due(item.run_id or "", left, now_ms),
            terminal=terminal,
            reported_seconds=self._stands(("ended", item.id), item.fence, holds=ended or written),
            result_written=written,
            place_there=not folders
            or watched.step is not StepName.AGENT
            or self.sight.place(item.run_id or "", item.fence),
            over=over,
            over_seconds=self._stands(("over", item.id), item.fence, holds=over is not None),
            quiet_seconds=max(watched.quiet_ms(now_ms) / 1000, watched_seconds),
            watched_seconds=watched_seconds,
            takeovers=carried(watched.truth, item.fence),
        )

    def _stands(self, what: Hashable, sign: Hashable, *, holds: bool) -> float:
        """Say how long something holds; 0 where it does not."""
        return self._patience.seconds(what, sign) if holds else 0.0

    def _holder(self, held: Held) -> Process:
        if held.host != self.me.host or held.pid is None or held.start_time is None or held.boot_id is None:
            return Process.UNSEEN
        who = (held.pid, held.start_time, held.boot_id)
        if who not in self._holders:  # one worker holds many
            self._holders[who] = self.sight.alive(*who)
        return Process.ALIVE if self._holders[who] else Process.DEAD

    def _agent(self, watched: Watched) -> Process:
        pid, started, boot = watched.agent_pid, watched.agent_start_time, watched.agent_boot_id
        if not watched.is_seen or pid is None or started is None:
            return Process.NONE
        if watched.agent_host != self.me.host or boot is None:
            return Process.UNSEEN
        return Process.ALIVE if self.sight.alive(pid, started, boot) else Process.DEAD

    def _over(self, watched: Watched) -> str | None:
        limits = self._limits.get(watched.approved_id or "")
        return over_limit(watched, limits) if limits is not None else None

    def _written(self, watched: Watched, watched_seconds: float) -> bool:
        """Say whether the result is in git; looked for only where collecting takes unusually long."""
        if watched.step is not StepName.COLLECT or watched_seconds < SECOND_LINE_SECONDS:
            return False
        return self.sight.result(watched.held.item.run_id or "", watched.held.item.fence)

    def _due(self, run_id: str, left: _Left, now_ms: int) -> bool:
        """Say whether what is left has had its time to end, since the run ended or since we saw it first."""
        limit = self.grace_seconds + _HEARING_SECONDS
        seen = self._patience.seconds(("left", run_id), left.markers)
        ended_ms = left.standing.ended_ms
        return seen >= limit or (ended_ms is not None and now_ms - ended_ms >= limit * 1000)

    def _cases_left(self, held: Collection[str | None], now_ms: int) -> list[_Case]:
        """Judge what is left of runs that nobody holds."""
        cases: list[_Case] = []
        for run_id, left in self._left.items():
            if run_id not in held:
                facts = Facts(held=False, leftovers=left.living, leftovers_due=self._due(run_id, left, now_ms))
                found = judge(facts, self.options)
                truth = self._truth((run_id, left.standing.fence, "-"), found, facts, now_ms)
                cases.append(_Case(truth, None, here=True, markers=left.markers))
        return cases

    def _truth(self, about: tuple[str, int, str], found: Judged, facts: Facts, now_ms: int) -> Truth:
        run_id, fence, sign = about
        return Truth(
            run_id=run_id,
            fence=fence,
            verdict=found.verdict,
            reason=found.reason,
            action=found.action,
            details=_told(facts, found),
            sign=sign,
            host=self.me.host,
            since_ms=now_ms,
            seen_ms=now_ms,
        )

    # --- what is kept -------------------------------------------------------------------------------------------------

    def _keep(
        self, cases: Sequence[_Case], seen: Mapping[str, Truth | None], rows: Sequence[Watched], now_ms: int
    ) -> set[str]:
        """Write what is new; returns the runs of which the verdict stands as we judged it."""
        began = {each.held.item.run_id: each.held.item.started_ms or now_ms for each in rows}
        fresh: list[tuple[Truth, Truth | None]] = []
        stands: set[str] = set()
        for each in cases:
            truth, before = each.truth, seen.get(each.truth.run_id)
            if each.item is not None and each.item.run_id is None:
                continue  # no run, no row: only its lease matters
            if _same(truth, before) or not self._to_tell(each, before, now_ms - began.get(truth.run_id, 0)):
                stands.add(truth.run_id)
            else:
                fresh.append((truth, before))
        for start in range(0, len(fresh), _MOST_AT_ONCE):
            stands |= {each.run_id for each in self.truths.put(self.actor, fresh[start : start + _MOST_AT_ONCE])}
            self.probe("kept")
        return stands

    def _to_tell(self, case: _Case, before: Truth | None, age_ms: int) -> bool:
        verdict = case.truth.verdict
        known = before is not None and before.fence == case.truth.fence
        if case.item is None:
            return verdict is Verdict.ZOMBIE or known
        if not case.here and verdict not in LOST and before is not None and known and before.host != self.me.host:
            return False  # who holds it sees more than we do
        return known or age_ms >= _TOLD_AFTER_MS or verdict not in HEALTHY | {Verdict.UNKNOWN, Verdict.STALE_FENCE}

    def _forget(self, now_ms: int) -> None:
        """Take away what was said of runs that have ended, unless something of them is left."""
        over = [
            each
            for each in self.truths.ended()
            if each.run_id not in self._left
            and (
                each.verdict is not Verdict.ZOMBIE
                or each.host == self.me.host
                or now_ms - each.since_ms > _MOST_KEPT_MS
            )
        ]
        if over:
            self.truths.forget(over)

    # --- what is done -------------------------------------------------------------------------------------------------

    def _act(self, case: _Case, now: float) -> None:
        """Do what follows from a verdict; what fails is told, and tried again later and later."""
        truth = case.truth
        key = (truth.run_id, truth.fence, truth.action.value)
        if truth.action not in ACTS:
            return
        if now < self._tries.get(key, (0, now))[1]:
            return
        self.probe(f"{truth.action.value}.begun")
        try:
            self._do(case)
        except (InterlockError, OSError) as error:
            self._failed(truth, str(error), now)
        else:
            self._tries = {each: when for each, when in list(self._tries.items()) if each[0] != truth.run_id}
        self.probe(f"{truth.action.value}.done")

    def _failed(self, truth: Truth, error: str, now: float) -> None:
        key = (truth.run_id, truth.fence, truth.action.value)
        tries = self._tries.get(key, (0, now))[0] + 1
        self._tries[key] = (tries, now + min(_MOST_BACKOFF_SECONDS, 2.0**tries))
        _LOG.warning("run %s: %s failed and is tried again: %s", truth.run_id, truth.action.value, error)
        with contextlib.suppress(InterlockError):
            self.truths.note_failure(self.actor, truth, error, tries)

    def _do(self, case: _Case) -> None:
        truth, item = case.truth, case.item
        if truth.verdict is Verdict.ZOMBIE or item is None:
            for each in sorted(case.markers):
                self._kill_aside(each, truth)
        elif truth.verdict in LOST:
            self._take_over(case, item)
        elif truth.action is Action.TAKE_OVER:
            self._let_go(case, item, self.truths.take_back(self.actor, item, reason=truth.verdict.value))
        elif truth.action is Action.FINALISE and truth.reason == "terminal_seen" and case.here:
            self._kill_aside(self._marker(item), truth)  # its worker goes on once nothing of the agent is left
        elif truth.action is Action.FINALISE:
            done = self.truths.finalise(self.actor, item, reason=truth.verdict.value, message=says(truth))
            self._let_go(case, item, done)
        else:
            reason = truth.reason if truth.verdict is Verdict.OVER_BUDGET else truth.verdict.value
            self._let_go(case, item, self.truths.end(self.actor, item, reason=reason, message=says(truth)))

    def _take_over(self, case: _Case, item: Item) -> None:
        """Give up a holder that is gone; first nothing of it may live here any more."""
        if case.here and item.run_id is not None and case.truth.reason == "worker_dead":
            self.sight.kill(self._marker(item))
        if self.truths.take_over(self.actor, item, reason=case.truth.reason):
            _LOG.info("rescued %s from %s (%s)", item.id, item.owner_session, case.truth.reason)
            self.moved(item, case.truth.reason)

    def _let_go(self, case: _Case, item: Item, done: bool) -> None:  # noqa: FBT001 - what a verb answered
        """End what a holder that lives has under way, once the run is not its own any more."""
        if done:
            _LOG.info(
                "%s %s of %s (%s)", case.truth.action.value, item.id, item.owner_session, case.truth.verdict.value
            )
            self.moved(item, case.truth.verdict.value)
            if case.here:
                self._kill_aside(self._marker(item), case.truth)

    def _kill_aside(self, run_marker: str, truth: Truth) -> None:
        if run_marker not in self._killing:
            self._killing.add(run_marker)
            self.aside(partial(self._kill, run_marker, truth))

    def _kill(self, run_marker: str, truth: Truth) -> None:
        try:
            left = self.sight.kill(run_marker)
            if left:
                self._failed(truth, f"{left} processes would not end", time.monotonic())
        finally:
            self._killing.discard(run_marker)

    @staticmethod
    def _marker(item: Item) -> str:
        return marker(item.run_id or "", item.fence)


def _same(truth: Truth, before: Truth | None) -> bool:
    """Say whether nothing new is said; of a run in good order, the reason alone is nothing new."""
    if before is None or (before.fence, before.verdict, before.action) != (truth.fence, truth.verdict, truth.action):
        return False
    return before.reason == truth.reason or truth.verdict in HEALTHY


def _told(facts: Facts, found: Judged) -> Mapping[str, Any]:
    """Return what a verdict rests on, in whole numbers and words."""
    told: dict[str, Any] = {
        "step": facts.step.value if facts.step else None,
        "holder": facts.holder.value,
        "agent": facts.agent.value,
        "quiet_seconds": int(facts.quiet_seconds),
    }
    told |= {"limit": facts.over} if facts.over else {}
    told |= {"leftovers": facts.leftovers} if facts.leftovers else {}
    told |= {"note": found.note} if found.note else {}
    told |= {"takeovers": dict(facts.takeovers)} if facts.takeovers else {}
    return told
