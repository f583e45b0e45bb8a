"""What must hold whatever happened, asked of the log, of the world outside, and of the machine."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from tests.engines.collector import Collector

from chaos.fleet import Fleet, until
from interlock.app import Interlock
from interlock.evidence.errors import EvidenceError
from interlock.evidence.export import HEADS, LEDGER
from interlock.evidence.verify import verify_export
from interlock.kernel.errors import Unreachable
from interlock.runs.containment.processes import MARKER_VARIABLE
from interlock.runs.models import Run, RunStatus

_ENDS = {"run.done", "run.failed", "run.cancelled"}


def broken(fleet: Fleet, runs: Sequence[Run], export: Path) -> Iterator[str]:
    """Yield a sentence for whatever does not hold; the fleet has ended, its database answers."""
    _seal(fleet)
    events = logged(fleet.house)
    yield from _every_run_is_done(fleet, runs)
    yield from agents_are_as_claimed(fleet.collector, events)
    yield from ended_once(events, [run.id for run in runs])
    yield from _queue_agrees(fleet)
    yield from nothing_left(fleet.collector, [node.root / ".interlock" for node in fleet.nodes])
    yield from proven(fleet.house, export)


def _every_run_is_done(fleet: Fleet, runs: Sequence[Run]) -> Iterator[str]:
    for run in runs:
        now = fleet.house.runs.get(run.id)
        if now.status is not RunStatus.DONE:
            yield f"{run.id} is {now.status.value} ({now.reason}: {now.message})"


def agents_are_as_claimed(collector: Collector, events: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Hold what agents did to the world outside against the log's claims."""
    yield from _once_for_each_claim(collector, events)
    yield from _never_two(collector)


def _once_for_each_claim(collector: Collector, events: Sequence[dict[str, Any]]) -> Iterator[str]:
    """An agent began under a claim that the log knows, at most once under each, and ended under the one that counts."""
    begun = Counter(collector.claims())
    claimed = {f"{each['subject']}:{each['payload']['fence']}" for each in events if each["kind"] == "run.started"}
    ended = {claim for claim, line in collector.told() if line == "ends"}
    for claim, times in begun.items():
        if times > 1:
            yield f"the agent of {claim} began {times} times"
        if claim not in claimed:
            yield f"an agent began under {claim}, which was never claimed"
    for each in events:
        if each["kind"] == "run.step_completed" and each["payload"]["step"] == "agent":
            claim = f"{each['subject']}:{each['payload']['fence']}"
            if claim not in ended:
                yield f"the log says that the agent of {claim} ended, and nobody saw it"


def _never_two(collector: Collector) -> Iterator[str]:
    """Once an agent of a later claim has begun, nothing comes from one of an earlier claim."""
    newest: dict[str, int] = defaultdict(int)
    for claim, line in collector.told():
        run_id, _, fence = claim.rpartition(":")
        if line and int(fence) < newest[run_id]:
            yield f"{claim} still told `{line}` when claim {newest[run_id]} of the run had begun"
        newest[run_id] = max(newest[run_id], int(fence or 0))


def ended_once(events: Sequence[dict[str, Any]], runs: Sequence[str]) -> Iterator[str]:
    """Every run ended once, and nothing of an earlier claim came behind a later one."""
    fences: dict[str, int] = defaultdict(int)
    ends = Counter(each["subject"] for each in events if each["kind"] in _ENDS)
    for each in events:
        fence = each["payload"].get("fence") if each["kind"].startswith("run.") else None
        if fence is None:
            continue
        if fence < fences[each["subject"]]:
            yield f"{each['kind']} of {each['subject']} under {fence} came behind {fences[each['subject']]}"
        fences[each["subject"]] = max(fence, fences[each["subject"]])
    for run in runs:
        if ends[run] != 1:
            yield f"{run} ended {ends[run]} times"


def _queue_agrees(fleet: Fleet) -> Iterator[str]:
    with fleet.house.queue_look() as queue:
        counts = queue.counts()
    with psycopg.connect(fleet.server.url, autocommit=True) as connection:
        rows = connection.execute("SELECT status, COUNT(*) FROM queue_items GROUP BY status").fetchall()
    counted = dict(rows)
    for status, told in counts.items():
        if counted.get(status, 0) != told:
            yield f"the queue counts {told} items as {status}, and there are {counted.get(status, 0)}"


def nothing_left(collector: Collector, states: Sequence[Path]) -> Iterator[str]:
    """No process of an agent is left, and no folder of a run in any state folder."""
    try:
        until(lambda: not list(_agents(collector)), 15, "the last agents are gone")
    except TimeoutError:
        yield from (f"a process is left: {each}" for each in _agents(collector))
    yield from left_behind(states)


def left_behind(states: Iterable[Path]) -> Iterator[str]:
    """Yield each folder of a run that is in a state folder; a worker takes away at its start what a killed one left."""
    for state in states:
        for folder in (state / "worktrees", state / "runs", *(state / "mirrors").glob("*.git/worktrees")):
            if folder.is_dir():
                yield from (f"left behind: {each}" for each in folder.iterdir())


def _agents(collector: Collector) -> Iterator[str]:
    """Yield what still carries the marker of a run that told the collector anything."""
    ours = {claim.rpartition(":")[0] for claim in collector.claims()}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        for each in environment:
            name, _, value = each.decode(errors="replace").partition("=")
            if name == MARKER_VARIABLE and value.rpartition(":")[0] in ours:
                yield f"{folder.name} of {value}"


def proven(house: Interlock, export: Path) -> Iterator[str]:
    """The log is exported and verifies, held against the database's own leaves."""
    evidence = house.evidence
    evidence.head()
    evidence.export(export)
    try:
        verify_export(
            export / LEDGER,
            export / HEADS,
            evidence.verifiers,
            origin=evidence.origin,
            reference=evidence.log.leaves(0, evidence.log.size()),
        )
    except EvidenceError as error:
        yield f"the evidence does not verify: {error}"


def _seal(fleet: Fleet) -> None:
    def nothing_waits() -> bool:
        with suppress(Unreachable):  # this thread's connection broke with the database; the next one is a new one
            fleet.house.database.seal()
        return connection.execute("SELECT 1 FROM event_unsealed LIMIT 1").fetchone() is None

    with psycopg.connect(fleet.server.url, autocommit=True) as connection:
        until(nothing_waits, 60, "every event is sealed")


def logged(house: Interlock) -> list[dict[str, Any]]:
    """Return every event of the log."""
    log = house.windows.log
    return [dict(event) for start in range(0, log.size(), 500) for _, event in log.events(start, 500)]
