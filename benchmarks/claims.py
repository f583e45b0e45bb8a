"""Claim and complete through the queue's room, one transaction each with event and seal, beside the bare state SQL.

The bare loop runs the product's own two statements of state on a database of its own that was filled alike. On
PostgreSQL a sequencer seals in the background while the room is at work, as a worker's does, and two other queues
take their turns, each in a database of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.bare import Run, bare_postgres, bare_sqlite
from benchmarks.clients import Road, Round, Seat, Work, clients
from benchmarks.filling import fill_postgres, fill_sqlite
from benchmarks.grounds import (
    ALICE,
    Grounds,
    Sequencer,
    house_over,
    open_postgres,
    open_sqlite,
    sequencer,
    sqlite_path,
)
from benchmarks.measuring import in_turns, ratio
from benchmarks.peers import fill_pgqueuer, fill_procrastinate, pgqueuer_on_postgres, procrastinate_on_postgres
from benchmarks.table import Aim, Peer, Row
from interlock.app import Interlock
from interlock.kernel.clock import system_clock
from interlock.queue.models import Executor

Contender = tuple[str, int]
"""`room`, `bare` or the name of a peer, and the number of items that wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """How much is measured."""

    sizes: tuple[int, int]
    """How many items wait."""
    rounds: int
    seconds: float
    pairs: Mapping[int, int]
    """In a round, by the number of clients: few enough to leave the small table about as large as it says."""


_FULL = _Scale(sizes=(10_000, 1_000_000), rounds=25, seconds=20.0, pairs={1: 80, 8: 160})
_QUICK = _Scale(sizes=(10_000, 100_000), rounds=4, seconds=3.0, pairs={1: 40, 4: 60})
_SHARE_OF_BARE = Aim(of="ratio", bound=0.6)
_PEERS: Mapping[str, tuple[Callable[[str, int], None], Road, Aim]] = {
    "procrastinate": (fill_procrastinate, procrastinate_on_postgres, Aim(of="ratio", bound=1.0)),
    "pgqueuer": (fill_pgqueuer, pgqueuer_on_postgres, Aim(of="ratio", bound=0.5)),
}
_FLAT = Aim(of="ratio", bound=1.3, at_most=True)
_LEASE_MS = 20_000
_NOW_KST = "2026-11-21 17:00"


def measure(grounds: Grounds) -> Iterator[Row]:
    """Compare room and bare loop, at 10 thousand and at 1 million items."""
    scale = _QUICK if grounds.quick else _FULL
    with ExitStack() as stack:
        rounds = _rounds(stack, _on_sqlite(grounds, scale.sizes), 1, scale.pairs[1], {})
        yield from _compared(scale, "SQLite", rounds)
    with ExitStack() as sealing:
        seats = _on_postgres(grounds, scale.sizes)
        sealers = {
            size: sealing.enter_context(sequencer(open_postgres(seats["room", size].address))) for size in scale.sizes
        }
        for count, pairs in scale.pairs.items():
            with ExitStack() as stack:
                rounds = _rounds(stack, seats, count, pairs, sealers)
                yield from _compared(scale, f"PostgreSQL, clients: {count}", rounds)


def _rounds(
    stack: ExitStack, seats: Mapping[Contender, Seat], count: int, pairs: int, sealers: Mapping[int, Sequencer]
) -> Mapping[Contender, Callable[[], Round]]:
    return {
        (kind, size): partial(
            stack.enter_context(clients(seat, count)).round,
            pairs,
            beside=sealers[size].at_work if kind == "room" and size in sealers else nullcontext,
        )
        for (kind, size), seat in seats.items()
    }


def _compared(scale: _Scale, name: str, rounds: Mapping[Contender, Callable[[], Round]]) -> Iterator[Row]:
    for warm_up in rounds.values():
        warm_up()
    found, sizes = in_turns(rounds, rounds=scale.rounds, seconds=scale.seconds), scale.sizes
    yield from _pace(name, sizes, {contender: [each.per_second for each in done] for contender, done in found.items()})
    room, bare = ([each.cpu_us for each in found[kind, sizes[0]]] for kind in ("room", "bare"))
    yield Row(
        name=f"claim+complete, {name}: processor time of a client",
        value=median(room),
        unit="us/pair",
        peer=Peer(name="bare SQL", value=median(bare)),
        ratio=ratio(room, bare),
    )


def _pace(name: str, sizes: tuple[int, int], rates: Mapping[Contender, list[float]]) -> Iterator[Row]:
    for size in sizes:
        room, bare = rates["room", size], rates["bare", size]
        yield Row(
            name=f"claim+complete, {size:,} items, {name}",
            value=median(room),
            unit="pairs/s",
            peer=Peer(name="bare SQL", value=median(bare)),
            ratio=ratio(room, bare),
            aim=_SHARE_OF_BARE,
        )
        for peer, (_, _, aim) in _PEERS.items():
            if (peer, size) in rates:
                yield Row(
                    name=f"claim+complete, {size:,} items, {name}",
                    value=median(room),
                    unit="pairs/s",
                    peer=Peer(name=peer, value=median(rates[peer, size])),
                    ratio=ratio(room, rates[peer, size]),
                    aim=aim,
                )
    small, large = (rates["room", size] for size in sizes)
    yield Row(
        name=f"claim+complete, {sizes[1]:,} items, {name}: slower by",
        value=1000 / median(large),
        unit="ms/pair",
        peer=Peer(name=f"{sizes[0]:,} items", value=1000 / median(small)),
        ratio=ratio(small, large),
        aim=_FLAT,
    )


def _on_sqlite(grounds: Grounds, sizes: tuple[int, int]) -> Mapping[Contender, Seat]:
    seats: dict[Contender, Seat] = {}
    for size in sizes:
        room, bare = (grounds.new_folder(f"claims-{kind}-{size}") for kind in ("room", "bare"))
        fill_sqlite(room, size)
        sqlite_path(bare).parent.mkdir()
        shutil.copyfile(sqlite_path(room), sqlite_path(bare))
        seats["room", size] = Seat(room_on_sqlite, str(room))
        seats["bare", size] = Seat(bare_on_sqlite, str(bare))
    return seats


def _on_postgres(grounds: Grounds, sizes: tuple[int, int]) -> Mapping[Contender, Seat]:
    seats: dict[Contender, Seat] = {}
    for size in sizes:
        room = f"claims_room_{size}"
        address = grounds.postgres(room)
        fill_postgres(address, size)
        seats["bare", size] = Seat(bare_on_postgres, grounds.postgres(f"claims_bare_{size}", like=room))
        seats["room", size] = Seat(room_on_postgres, address)
        for peer, (fill, road, _) in _PEERS.items():
            address = grounds.postgres(f"claims_{peer}_{size}")
            fill(address, size)
            seats[peer, size] = Seat(road, address)
    return seats


def room_on_sqlite(folder: str, session: str) -> Work:
    """Claim and complete through the room, on SQLite."""
    return _through_the_room(house_over(Path(folder), open_sqlite(Path(folder))), session)


def room_on_postgres(url: str, session: str) -> Work:
    """Claim and complete through the room, on PostgreSQL."""
    return _through_the_room(house_over(Path(), open_postgres(url)), session)


def bare_on_sqlite(folder: str, session: str) -> Work:
    """Claim and complete with the two statements alone, on SQLite."""
    return _bare(bare_sqlite(folder), session)


def bare_on_postgres(url: str, session: str) -> Work:
    """Claim and complete with the two statements alone, on PostgreSQL."""
    return _bare(bare_postgres(url), session)


def _through_the_room(house: Interlock, session: str) -> Work:
    def work(pairs: int) -> None:
        for _ in range(pairs):
            with house.queue(ALICE) as queue:
                item = queue.claim(Executor.EXTERNAL, session)
            if item is None:
                raise RuntimeError("nothing is left to claim: the table was filled with too little")
            with house.queue(ALICE) as queue:
                queue.complete(item.id, item.fence)

    return work


def _bare(run: Run, session: str) -> Work:
    holder = {
        "executor": "external",
        "owner_session": session,
        "lease_ms": _LEASE_MS,
        "node_id": None,
        "now_kst": _NOW_KST,
    }
    end = {"status": "DONE", "last_error": "", "note": "", "any_beat": 1, "beat": 0, "now_kst": _NOW_KST}

    def work(pairs: int) -> None:
        for _ in range(pairs):
            (row,) = run("item_claim", {**holder, "now": system_clock()})
            run("item_end", {**end, "id": row["id"], "fence": row["fence"]})

    return work
