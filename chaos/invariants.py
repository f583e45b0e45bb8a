"""What must hold whatever happened, asked of the log, of the world outside, and of the machine."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg

from chaos.fleet import Fleet, until
from interlock.evidence.errors import EvidenceError
from interlock.evidence.export import HEADS, LEDGER
from interlock.evidence.verify import verify_export
from interlock.runs.containment.processes import MARKER_VARIABLE
from interlock.runs.models import Run, RunStatus


def broken(fleet: Fleet, runs: Sequence[Run], export: Path) -> Iterator[str]:
    """Yield a sentence for whatever does not hold; the fleet has ended, its database answers."""
    _seal(fleet)
    events = _events(fleet)
    yield from _every_run_is_done(fleet, runs)
    yield from _once_for_each_claim(fleet, events)
    yield from _never_two(fleet)
    yield from _in_order(events, runs)
    yield from _queue_agrees(fleet)
    yield from _nothing_left(fleet)
    yield from _proven(fleet, export)


def _every_run_is_done(fleet: Fleet, runs: Sequence[Run]) -> Iterator[str]:
    for run in runs:
        now = fleet.house.runs.get(run.id)
        if now.status is not RunStatus.DONE:
            yield f"{run.id} is {now.status.value} ({now.reason}: {now.message})"


def _once_for_each_claim(fleet: Fleet, events: Sequence[dict[str, Any]]) -> Iterator[str]:
    """An agent began under a claim that the log knows, at most once under each, and ended under the one that counts."""
    begun = Counter(fleet.collector.claims())
    claimed = {f"{each['subject']}:{each['payload']['fence']}" for each in events if each["kind"] == "run.started"}
    ended = {claim for claim, line in fleet.collector.told() if line == "ends"}
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


def _never_two(fleet: Fleet) -> Iterator[str]:
    """Once an agent of a later claim has begun, nothing comes from one of an earlier claim."""
    newest: dict[str, int] = defaultdict(int)
    for claim, line in fleet.collector.told():
        run_id, _, fence = claim.rpartition(":")
        if line and int(fence) < newest[run_id]:
            yield f"{claim} still told `{line}` when claim {newest[run_id]} of the run had begun"
        newest[run_id] = max(newest[run_id], int(fence or 0))


def _in_order(events: Sequence[dict[str, Any]], runs: Sequence[Run]) -> Iterator[str]:
    fences: dict[str, int] = defaultdict(int)
    ends = Counter(each["subject"] for each in events if each["kind"] == "run.done")
    for each in events:
        fence = each["payload"].get("fence") if each["kind"].startswith("run.") else None
        if fence is None:
            continue
        if fence < fences[each["subject"]]:
            yield f"{each['kind']} of {each['subject']} under {fence} came behind {fences[each['subject']]}"
        fences[each["subject"]] = max(fence, fences[each["subject"]])
    for run in runs:
        if ends[run.id] != 1:
            yield f"{run.id} ended {ends[run.id]} times"


def _queue_agrees(fleet: Fleet) -> Iterator[str]:
    with fleet.house.queue_look() as queue:
        counts = queue.counts()
    with psycopg.connect(fleet.server.url, autocommit=True) as connection:
        rows = connection.execute("SELECT status, COUNT(*) FROM queue_items GROUP BY status").fetchall()
    counted = dict(rows)
    for status, told in counts.items():
        if counted.get(status, 0) != told:
            yield f"the queue counts {told} items as {status}, and there are {counted.get(status, 0)}"


def _nothing_left(fleet: Fleet) -> Iterator[str]:
    try:
        until(lambda: not list(_agents(fleet)), 15, "the last agents are gone")
    except TimeoutError:
        yield from (f"a process is left: {each}" for each in _agents(fleet))
    for node in fleet.nodes:
        state = node.root / ".interlock"
        for folder in (state / "worktrees", state / "runs", *(state / "mirrors").glob("*.git/worktrees")):
            if folder.is_dir():
                yield from (f"left behind: {each}" for each in folder.iterdir())


def _agents(fleet: Fleet) -> Iterator[str]:
    """Yield what still carries the marker of a run of this fleet."""
    ours = {claim.rpartition(":")[0] for claim in fleet.collector.claims()}
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


def _proven(fleet: Fleet, export: Path) -> Iterator[str]:
    evidence = fleet.house.evidence
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
        fleet.house.database.seal()
        return connection.execute("SELECT 1 FROM event_unsealed LIMIT 1").fetchone() is None

    with psycopg.connect(fleet.server.url, autocommit=True) as connection:
        until(nothing_waits, 60, "every event is sealed")


def _events(fleet: Fleet) -> list[dict[str, Any]]:
    log = fleet.house.windows.log
    return [dict(event) for start in range(0, log.size(), 500) for _, event in log.events(start, 500)]
