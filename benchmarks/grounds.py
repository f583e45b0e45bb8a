"""The grounds on which a benchmark takes place: a folder on a real disk, databases of both kinds, workspaces."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Event, Thread

import psycopg
from psycopg import sql
from tests.postgres import running_server

from benchmarks.measuring import fsyncs, percentile
from benchmarks.table import Peer
from interlock.access.models import Actor, Principal, PrincipalKind
from interlock.app import Interlock
from interlock.approval.models import Approved, Work
from interlock.founding import create_workspace
from interlock.kernel.ids import UlidSource
from interlock.settings import Settings
from interlock.storage.database import Database
from interlock.storage.postgres.database import PostgresDatabase
from interlock.storage.sqlite.database import SqliteDatabase
from interlock.workspace.layout import Layout

ALICE = Actor(principal=Principal(PrincipalKind.HUMAN, "alice"))
ORIGIN = "interlock.bench/log"
SEAL_EVERY_SECONDS = 0.05
"""How often the sequencer of a benchmark seals: as often as a busy worker's does."""


@dataclass(kw_only=True)
class Grounds:
    """What every topic gets; servers start when they are first asked for."""

    folder: Path
    quick: bool
    disk: Peer = field(init=False)
    """The disk's own limit, as it was when the topic began."""
    _stack: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.look_at_disk()

    def look_at_disk(self) -> Peer:
        """Measure what the disk takes for one durable write of 4 KiB; a busy machine's disk is another one soon."""
        self.disk = Peer(name="fsync p95", value=percentile(fsyncs(self.folder), 0.95), unit="ms", swings=True)
        return self.disk

    @cached_property
    def _server(self) -> str:
        return self._stack.enter_context(running_server())

    def postgres(self, name: str, *, like: str | None = None) -> str:
        """Make a database on the server, empty or like another one; returns its address."""
        made = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if like is not None:
            made += sql.SQL(" TEMPLATE {} STRATEGY file_copy").format(sql.Identifier(like))
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(made)
        return self._server.replace("/postgres?", f"/{name}?")

    def new_folder(self, name: str) -> Path:
        """Make a folder of this name."""
        made = self.folder / name
        made.mkdir()
        return made

    def close(self) -> None:
        """End the servers."""
        self._stack.close()


def sqlite_path(folder: Path) -> Path:
    """Return where a house in this folder keeps its database."""
    return Layout(folder).database


def open_sqlite(folder: Path) -> SqliteDatabase:
    """Return the SQLite database of a house in this folder, made if it is not there."""
    layout = Layout(folder)
    layout.state.mkdir(exist_ok=True)
    database = SqliteDatabase(layout.database, wake_folder=layout.wake)
    database.create(ORIGIN)
    return database


def open_postgres(url: str, *, seal_after_commit: bool = False) -> PostgresDatabase:
    """Return a PostgreSQL database with its tables."""
    database = PostgresDatabase(url, seal_after_commit=seal_after_commit)
    database.create(ORIGIN)
    return database


def house_over(folder: Path, database: Database) -> Interlock:
    """Plug the rooms together over a database."""
    return Interlock(Layout(folder), Settings(), database, UlidSource())


def compiled(grounds: Grounds) -> Mapping[str, str]:
    """Return an environment in which programs keep their compiled modules, whatever this one says."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**environment, "PYTHONPYCACHEPREFIX": str(grounds.folder / "compiled")}


def workspace(root: Path, *, database_url: str = "") -> Interlock:
    """Make a workspace as `interlock init` does."""
    create_workspace(root, ALICE, database_url=database_url, replace=False)
    return Interlock.at(root)


def approved(house: Interlock, work: Work) -> Approved:
    """Draft and approve a piece of work."""
    draft = house.approval.create(ALICE, "do what the command does", work=work)
    return house.approval.approve(ALICE, draft.id)


def repository(folder: Path, files: int) -> Path:
    """Make a git repository with so many small files, in folders of fifty."""
    folder.mkdir()
    for number in range(files):
        path = folder / f"part{number // 50:03d}" / f"file{number:05d}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'"""Part {number}."""\n' + f"value_{number} = {number}\n" * 20, encoding="utf-8")
    git = ("git", "-C", str(folder), "-c", "user.name=Bench", "-c", "user.email=bench@localhost")
    for words in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", "base")):
        subprocess.run([*git, *words], check=True, capture_output=True)
    return folder


class Sequencer:
    """Seals in the background every 50 ms, as a busy worker's does, while it is told to."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wanted, self._ending = Event(), Event()
        self._thread = Thread(target=self._seal, name="sequencer", daemon=True)
        self._thread.start()

    @contextmanager
    def at_work(self) -> Generator[None]:
        """Seal as long as the block lasts, and what is left then."""
        self._wanted.set()
        try:
            yield
        finally:
            self._wanted.clear()
            self._database.seal()

    def end(self) -> None:
        """Stop for good."""
        self._ending.set()
        self._thread.join()

    def _seal(self) -> None:
        while not self._ending.wait(SEAL_EVERY_SECONDS):
            if self._wanted.wait(0.1):
                self._database.seal()


@contextmanager
def sequencer(database: Database) -> Generator[Sequencer]:
    """Give a sequencer over a database of its own, and close both afterwards."""
    made = Sequencer(database)
    try:
        yield made
    finally:
        made.end()
        database.close()
