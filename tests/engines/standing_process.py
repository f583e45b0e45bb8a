"""The product as a process in which runs and requests stand still: `python standing_process.py FOLDER WORDS…`.

Each run stands at the first step at which no other run stands, found as the engine comes there: so many runs cover
every step that there is. While the file `armed` is there, each request of a person stands in its transaction
(`made`: all is written, nothing committed) or behind it (`done`: committed, not answered), as the file says. Who stands
leaves a file: `step.<point>`, with the run's id, or `request.<correlation id>`. All go on once `go` is there.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from interlock.access.models import Actor, PrincipalKind
from interlock.app import Interlock
from interlock.cli.main import main
from interlock.storage.database import Transaction
from interlock.storage.postgres.database import PostgresDatabase
from interlock.storage.sqlite.database import SqliteDatabase


class Standing:
    """Lets threads stand still, each with its sign."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._points: set[str] = set()
        self._runs: set[str] = set()

    def probe(self, point: str) -> None:
        """Let a run's own thread stand where nobody stands yet, once."""
        run = threading.current_thread().name
        if not run.startswith("r_"):
            return
        with self._lock:
            if run in self._runs or point in self._points:
                return
            self._runs.add(run)
            self._points.add(point)
        self._stand(f"step.{point}", run)

    def request(self, actor: Actor, where: str) -> None:
        """Let a person's request stand, where that is wanted."""
        armed = self._folder / "armed"
        human = actor.principal.kind is PrincipalKind.HUMAN and actor.correlation_id is not None
        if human and armed.exists() and armed.read_text() == where:
            self._stand(f"request.{actor.correlation_id}", where)

    def _stand(self, name: str, text: str) -> None:
        half = self._folder / f".{name}"
        half.write_text(text)
        half.rename(self._folder / name)
        while not (self._folder / "go").exists():
            time.sleep(0.005)


def let_runs_stand(standing: Standing) -> None:
    original: Callable[..., Any] = Interlock.worker

    def worker(house: Interlock, **more: Any) -> Any:  # noqa: ANN401 - it is handed through
        return original(house, **{**more, "probe": standing.probe})

    setattr(Interlock, "worker", worker)  # noqa: B010 - a class of ours, as it is in this process alone


def let_requests_stand(standing: Standing, database: type[SqliteDatabase | PostgresDatabase]) -> None:
    original: Callable[..., AbstractContextManager[Transaction]] = database.write

    @contextmanager
    def write(self: Any, actor: Actor, *, calming: bool | None = False) -> Generator[Transaction]:  # noqa: ANN401 - either database
        with original(self, actor, calming=calming) as transaction:
            yield transaction
            standing.request(actor, "made")
        standing.request(actor, "done")

    setattr(database, "write", write)  # noqa: B010 - as above


if __name__ == "__main__":
    at_hand = Standing(Path(sys.argv[1]))
    let_runs_stand(at_hand)
    for each in (SqliteDatabase, PostgresDatabase):
        let_requests_stand(at_hand, each)
    sys.argv[1:] = sys.argv[2:]
    sys.exit(main())
