"""Processes that lead one role each and stand still at a point of it.

`python leading_process.py ROOT FOLDER POINT ROLE…`: one process for each role, begun by this one, so that nothing is
imported twice; the role `*` is for all of them. The points: `held` (it leads, and has done nothing), `made` (all is
written in a transaction that has checked the term, and nothing committed), `done` (behind the commit). Who stands
leaves the file `<role>`, with its pid; none goes on.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import interlock.engines.local
import interlock.loops.supervisor
import interlock.storage.postgres.wire
from interlock.access.models import Actor
from interlock.alerts.watcher import Alerter
from interlock.app import Interlock
from interlock.fleet.leading import Reign
from interlock.fleet.models import Term
from interlock.storage.database import Transaction
from interlock.storage.fleet import StoredLeaders
from interlock.storage.postgres.database import PostgresDatabase

_HEAVY = (interlock.engines.local, interlock.loops.supervisor, interlock.storage.postgres.wire, Alerter)
"""What every process needs, imported once."""


class Stand:
    """Lets the process stand at one point of one role."""

    def __init__(self, folder: Path, role: str, point: str) -> None:
        self._folder, self._role, self._point = folder, role, point
        self.checked = threading.local()

    def leads(self, role: str) -> bool:
        """Say whether a role is ours; that of a node's own has its name behind it. `*` is for all of them."""
        return self._role in {"*", role.partition("@")[0]}

    def at(self, point: str) -> None:
        if point == self._point:
            (self._folder / f".{self._role}").write_text(str(os.getpid()))
            (self._folder / f".{self._role}").rename(self._folder / self._role)
            while True:
                time.sleep(60)


def stand(here: Stand) -> None:
    """Put the points into this process."""
    held, check = Reign.hold, StoredLeaders.check

    def hold(reign: Reign) -> Term | None:
        term = held(reign) if here.leads(reign.role) else None
        if term is not None:
            here.at("held")
        return term

    def checked(leaders: StoredLeaders, term: Term) -> None:
        check(leaders, term)
        here.checked.now = True

    setattr(Reign, "hold", hold)  # noqa: B010 - classes of ours, as they are in this process alone
    setattr(StoredLeaders, "check", checked)  # noqa: B010 - the same
    for name in ("write", "light"):
        setattr(PostgresDatabase, name, around(here, getattr(PostgresDatabase, name)))


def around(here: Stand, original: Callable[..., AbstractContextManager[Transaction]]) -> Callable[..., Any]:
    @contextmanager
    def write(database: PostgresDatabase, *actor: Actor, **more: Any) -> Generator[Transaction]:  # noqa: ANN401 - it is handed through
        here.checked.now = False
        with original(database, *actor, **more) as transaction:
            yield transaction
            if here.checked.now:
                here.at("made")
        if here.checked.now:
            here.at("done")

    return write


def lead(root: Path) -> None:
    """Do what a server does beside its API, without an API."""
    house = Interlock.at(root)
    worker = house.worker(concurrency=0)
    for part in house.parts():
        threading.Thread(target=part.work, daemon=True).start()
    worker.work()


def main() -> None:
    root, folder, point = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    logging.basicConfig(level=logging.INFO, format="%(process)d %(asctime)s %(levelname)s %(message)s")
    for role in sys.argv[4:]:
        if os.fork() == 0:
            stand(Stand(folder, role, point))
            lead(root)
            return
    for _ in sys.argv[4:]:
        os.wait()


if __name__ == "__main__":
    main()
