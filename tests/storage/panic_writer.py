"""A writer as a process of its own: `python -m tests.storage.panic_writer ROOT PLACE`.

It begins one thing after another until panic stops it, then tries all of them again, and prints a line: how much it
began, and what came of every try after it was stopped first.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from interlock.access.errors import Frozen
from interlock.access.models import Actor, NewToken, Principal, PrincipalKind, Role
from interlock.app import Interlock
from interlock.kernel.ids import UlidSource
from interlock.queue.models import Executor, ItemKind, NewItem
from interlock.settings import Settings
from interlock.storage.postgres.database import PostgresDatabase
from interlock.storage.sqlite.database import SqliteDatabase
from interlock.workspace.layout import Layout

_AGAIN = 40
_ALICE = Actor(principal=Principal(PrincipalKind.HUMAN, "alice"))
_NEW = NewItem(kind=ItemKind.MANUAL, executor=Executor.EXTERNAL, priority="P1", task="sweep", success_criteria="swept")
_TOKEN = NewToken(name="ci", principal=Principal(PrincipalKind.SERVICE, "ci"), role=Role.ACTIONS)


def _house(root: Path, place: str) -> Interlock:
    database = PostgresDatabase(place) if place.startswith("postgresql:") else SqliteDatabase(Path(place))
    return Interlock(Layout(root), Settings(), database, UlidSource())


def _deeds(house: Interlock) -> Sequence[Callable[[], object]]:
    def add() -> object:
        with house.queue(_ALICE) as queue:
            return queue.add(_NEW)

    def claim() -> object:
        with house.queue(_ALICE) as queue:
            return queue.claim(Executor.EXTERNAL, "w")

    return (
        add,
        claim,
        lambda: house.approval.create(_ALICE, "x"),
        lambda: house.access.create(_ALICE, _TOKEN, role=Role.ADMIN),
    )


def main() -> None:
    house = _house(Path(sys.argv[1]), sys.argv[2])
    deeds, begun = _deeds(house), 0
    try:
        while True:
            deeds[begun % len(deeds)]()
            begun += 1
            if begun == len(deeds):
                sys.stdout.write("begun\n")
                sys.stdout.flush()
    except Frozen:
        pass
    slipped = 0
    for number in range(_AGAIN):
        try:
            deeds[number % len(deeds)]()
            slipped += 1
        except Frozen:
            continue
    json.dump({"begun": begun, "slipped": slipped}, sys.stdout)
    house.close()


if __name__ == "__main__":
    main()
