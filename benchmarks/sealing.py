"""An event with its place in the tree, beside the same transaction without it; and how soon PostgreSQL seals."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, nullcontext
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.bare import Run, bare_postgres, bare_sqlite
from benchmarks.clients import Seat, Work, clients
from benchmarks.filling import fill_postgres, fill_sqlite
from benchmarks.grounds import (
    ALICE,
    Grounds,
    Sequencer,
    open_postgres,
    open_sqlite,
    sequencer,
)
from benchmarks.measuring import in_turns, percentile, ratio, timed
from benchmarks.table import Aim, Peer, Row
from interlock.kernel.clock import system_clock
from interlock.queue.events import ItemReleased
from interlock.storage.database import Database
from interlock.storage.evidence import StoredLog

_ITEMS = 1_000
_TRANSACTIONS = 160
_ROUNDS, _SECONDS = 25, 12.0
_ROUNDS_QUICK, _SECONDS_QUICK = 3, 3.0
_COMMITS, _COMMITS_QUICK = 200, 50
_LIGHT_PAUSE_SECONDS = 0.06  # longer than a sequencer gathers
_SHORT, _LONG, _LONG_QUICK = 1_000, 50_000, 10_000
_BACKLOG, _SINGLES = 1_000, 60
_HOLDER = "bench"
_SHARE_OF_BARE = Aim(of="ratio", bound=0.6)
_FLAT = Aim(of="ratio", bound=1.3, at_most=True)
_BATCH, _BATCHES, _BATCHES_QUICK = 500, 60, 10
_IN_BATCHES = Aim(of="value", bound=20_000)
_SOON = Aim(of="value", bound=10.0, at_most=True)
_TOLD = ItemReleased(subject="ORCH-1", fence=1)


def measure(grounds: Grounds) -> Iterator[Row]:
    """Compare on both databases, then time the sequencer."""
    yield from _on_sqlite(grounds)
    yield from _on_postgres(grounds)
    yield from _until_sealed(grounds)
    yield from _in_batches(grounds)
    yield from _as_the_log_grows(grounds)


def _on_sqlite(grounds: Grounds) -> Iterator[Row]:
    seats: dict[str, Seat] = {}
    for name, road in (("event", event_on_sqlite), ("bare", bare_on_sqlite)):
        folder = grounds.new_folder(f"sealing-{name}")
        fill_sqlite(folder, _ITEMS)
        _hold(bare_sqlite(str(folder)))
        seats[name] = Seat(road, str(folder))
    found = _raced(grounds, seats)
    yield _row("append+seal, SQLite", found["event"], found["bare"])


def _on_postgres(grounds: Grounds) -> Iterator[Row]:
    seats: dict[str, Seat] = {}
    for name, road in (("event", event_on_postgres), ("own", event_sealed_on_postgres), ("bare", bare_on_postgres)):
        url = grounds.postgres(f"sealing_{name}")
        fill_postgres(url, _ITEMS)
        _hold(bare_postgres(url))
        seats[name] = Seat(road, url)
    with sequencer(open_postgres(seats["event"].address)) as sealer:
        found = _raced(grounds, seats, {"event": sealer})
    yield _row("append, PostgreSQL with a sequencer", found["event"], found["bare"])
    yield _row("append+seal, PostgreSQL, writer seals (the default)", found["own"], found["bare"], aim=None)


def _raced(
    grounds: Grounds, seats: Mapping[str, Seat], sealers: Mapping[str, Sequencer] | None = None
) -> Mapping[str, list[float]]:
    beside = {name: sealer.at_work for name, sealer in (sealers or {}).items()}
    with ExitStack() as stack:
        rounds = {
            name: partial(stack.enter_context(clients(seat)).round, _TRANSACTIONS, beside=beside.get(name, nullcontext))
            for name, seat in seats.items()
        }
        for warm_up in rounds.values():
            warm_up()
        found = in_turns(
            rounds,
            rounds=_ROUNDS_QUICK if grounds.quick else _ROUNDS,
            seconds=_SECONDS_QUICK if grounds.quick else _SECONDS,
        )
    return {name: [each.per_second for each in done] for name, done in found.items()}


def _row(name: str, ours: list[float], bare: list[float], *, aim: Aim | None = _SHARE_OF_BARE) -> Row:
    peer = Peer(name="bare transaction", value=median(bare))
    return Row(name=name, value=median(ours), unit="tx/s", peer=peer, ratio=ratio(ours, bare), aim=aim)


def _until_sealed(grounds: Grounds) -> Iterator[Row]:
    """Commit now and then, and see how long the sequencer of a worker takes to give the event its place."""
    waits: list[float] = []
    url = grounds.postgres("sealing_light")
    with closing(open_postgres(url)) as database, closing(open_postgres(url)) as looking, database.sealing():
        log = StoredLog(looking)
        for number in range(_COMMITS_QUICK if grounds.quick else _COMMITS):
            _append(database)
            waits.append(1000 * timed(lambda size=number + 1: _wait_for(log, size)))
            time.sleep(_LIGHT_PAUSE_SECONDS + number % 7 / 1000)
    for share, aim in ((0.5, None), (0.95, _SOON)):
        yield Row(
            name=f"commit to sealed, PostgreSQL, light load, p{share * 100:.0f}",
            value=percentile(waits, share),
            unit="ms",
            peer=grounds.disk,
            ratio=percentile(waits, share) / grounds.disk.value,
            aim=aim,
        )


def _wait_for(log: StoredLog, size: int) -> None:
    while log.size() < size:
        pass


def _in_batches(grounds: Grounds) -> Iterator[Row]:
    """Append and seal many events in one transaction each, as bulk work and imports do."""
    folder = grounds.new_folder("sealing-batches")
    url = grounds.postgres("sealing_batches")
    roads = (("SQLite", open_sqlite(folder)), ("PostgreSQL", open_postgres(url, seal_after_commit=True)))
    for name, database in roads:
        with closing(database):
            batches = _BATCHES_QUICK if grounds.quick else _BATCHES
            rates = [_BATCH / timed(partial(_append_many, database, _BATCH)) for _ in range(batches)]
        yield Row(
            name=f"append+seal, {name}, {_BATCH} events in a transaction",
            value=median(rates),
            unit="events/s",
            aim=_IN_BATCHES,
        )


def _append_many(database: Database, events: int) -> None:
    with database.write(ALICE) as transaction:
        for _ in range(events):
            transaction.emit(_TOLD)


def _as_the_log_grows(grounds: Grounds) -> Iterator[Row]:
    """Seal single events, over one connection as a server's, when the log is short and when it is long; fill between.

    Filling is itself a measurement: how fast a backlog is sealed is what the sequencer can keep up with.
    """
    database = open_postgres(grounds.postgres("sealing_growth"))
    long = _LONG_QUICK if grounds.quick else _LONG
    _fill_log(database, _SHORT)
    before = _seal_singly(database)
    rate = _fill_log(database, long - _SHORT)
    after = _seal_singly(database)
    database.close()
    yield Row(name="sealing a backlog, PostgreSQL", value=rate, unit="events/s")
    yield Row(
        name=f"sealing one event, PostgreSQL, log of {long:,} events",
        value=median(after),
        unit="ms",
        peer=Peer(name=f"{_SHORT:,} events", value=median(before)),
        ratio=ratio(after, before),
        aim=_FLAT,
    )


def _fill_log(database: Database, events: int) -> float:
    """Append events by the thousand; returns how many of them were sealed in a second."""
    seconds = 0.0
    for _ in range(0, events, _BACKLOG):
        _append_many(database, _BACKLOG)
        seconds += timed(database.seal)
    return events / seconds


def _seal_singly(database: Database) -> list[float]:
    def one() -> float:
        with database.write(ALICE) as transaction:
            transaction.emit(_TOLD)
        return 1000 * timed(database.seal)

    return [one() for _ in range(_SINGLES)]


def event_on_sqlite(folder: str, _name: str) -> Work:
    """Change a row and tell it, on SQLite."""
    return _changes(open_sqlite(Path(folder)))


def event_on_postgres(url: str, _name: str) -> Work:
    """Change a row and tell it, on PostgreSQL; somebody else seals."""
    return _changes(open_postgres(url))


def event_sealed_on_postgres(url: str, _name: str) -> Work:
    """Change a row, tell it and seal it, on PostgreSQL."""
    return _changes(open_postgres(url, seal_after_commit=True))


def bare_on_sqlite(folder: str, _name: str) -> Work:
    """Change a row, on SQLite."""
    return _bare_changes(bare_sqlite(folder))


def bare_on_postgres(url: str, _name: str) -> Work:
    """Change a row, on PostgreSQL."""
    return _bare_changes(bare_postgres(url))


def _changes(database: Database) -> Work:
    def work(times: int) -> None:
        for _ in range(times):
            _append(database)

    return work


def _append(database: Database) -> None:
    with database.write(ALICE) as transaction:
        transaction.run("item_renew", owner_session=_HOLDER, now=system_clock())
        transaction.emit(_TOLD)


def _bare_changes(run: Run) -> Work:
    def work(times: int) -> None:
        for _ in range(times):
            run("item_renew", {"owner_session": _HOLDER, "now": system_clock()})

    return work


def _hold(run: Run) -> None:
    """Let one item be held, so that there is a row to change."""
    holder = {
        "executor": "external",
        "owner_session": _HOLDER,
        "lease_ms": 20_000,
        "node_id": None,
        "now_kst": "2026-11-21 17:00",
    }
    run("item_claim", {**holder, "now": system_clock()})
