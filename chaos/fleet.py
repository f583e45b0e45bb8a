"""Three nodes of one workspace on one PostgreSQL: two servers with a worker each, and a worker; each can be harmed."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.engines.collector import Collector, agent, collecting
from tests.postgres import Server, running

from chaos.process import plain_environment
from chaos.wire import Wire
from interlock.access.models import Actor, Principal, PrincipalKind
from interlock.app import Interlock
from interlock.approval.models import Limits, Work
from interlock.founding import create_workspace, join_workspace
from interlock.runs.models import Run

ALICE = Actor(principal=Principal(PrincipalKind.HUMAN, "alice"))
LEASE_SECONDS = 3
_MOST_ATTEMPTS = 100  # a run that is harmed again and again has to be done all the same
_ROOT = Path(__file__).resolve().parents[1]
_SETTINGS = {
    "INTERLOCK_QUEUE_LEASE_SECONDS": str(LEASE_SECONDS),
    "INTERLOCK_QUEUE_MAX_ATTEMPTS": str(_MOST_ATTEMPTS),
    "INTERLOCK_WORKER_GRACE_SECONDS": "1",
    "INTERLOCK_WORKER_CONCURRENCY": "4",
}


@dataclass
class Node:
    """One node: its folder, its way to the database, its process."""

    name: str
    root: Path
    wire: Wire
    words: Sequence[str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def said(self) -> Path:
        """The file with what it says."""
        return self.root.with_name(f"{self.name}.log")

    def start(self) -> None:
        """Start its process, unless it is there."""
        if self.process is not None and self.process.poll() is None:
            return
        visible = f"{sys.prefix},{_ROOT}"
        with self.said.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "chaos.process", str(self.root), "--workspace", str(self.root), *self.words],
                cwd=_ROOT,
                env=plain_environment() | _SETTINGS | {"INTERLOCK_WORKER_VISIBLE": visible},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def kill(self) -> None:
        """Kill its process as `kill -9` does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def send(self, number: int) -> None:
        """Send its process a signal."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def end(self) -> None:
        """Let its process end in good order; killed when it does not within a minute."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        if self.process is not None:
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()
                raise


@dataclass
class Fleet:
    """The fleet, the database, and the world outside."""

    place: Path
    server: Server
    collector: Collector
    nodes: list[Node] = field(default_factory=list[Node])

    def __post_init__(self) -> None:
        self.place.mkdir(parents=True, exist_ok=True)
        first = self.place / "a"
        create_workspace(first, ALICE, database_url=self.server.url, replace=False)
        house = Interlock.at(first, database_url=self.server.url)
        patient = replace(house.settings.queue, max_attempts=_MOST_ATTEMPTS)
        self.house = replace(house, settings=replace(house.settings, queue=patient))
        for name, words in (
            ("a", ("serve", "--port", "0")),
            ("b", ("serve", "--port", "0")),
            ("c", ("worker",)),
        ):
            wire = Wire.to_postgres(self.place / f"{name}.pg", self.server.data)
            root = self.place / name
            if root != first:
                join_workspace(root, ALICE, database_url=self.server.url, replace=False)
            through = f"postgresql://postgres@/postgres?host={self.place / f'{name}.pg'}"
            self.nodes.append(Node(name, root, wire, (*words, "--database", through)))
        self.house.admit_keys()

    def runs(self, most: int) -> list[Run]:
        """Make runs, of one approved record: each tells the collector, works for two seconds at most, tells it."""
        script = "for i in $(seq $((RANDOM % 40))); do say tick; sleep 0.05; done; say ends"
        work = Work(command=agent(self.collector.port, script), limits=Limits(wall_clock_seconds=120))
        draft = self.house.approval.create(ALICE, "Work for a moment.", work=work)
        approved = self.house.approval.approve(ALICE, draft.id)
        return [self.house.runs.create(ALICE, approved.id) for _ in range(most)]

    def start(self) -> None:
        """Start every node."""
        for node in self.nodes:
            node.start()

    def mend(self) -> None:
        """Let everything be as it should: the database up, every wire whole, every process there and awake."""
        for node in self.nodes:
            node.wire.heal()
            node.send(signal.SIGCONT)
        with contextlib.suppress(RuntimeError):  # it is up
            self.server.start()
        self.start()

    def close(self) -> None:
        """End everything that was started."""
        for node in self.nodes:
            node.send(signal.SIGCONT)
            node.kill()
            node.wire.close()
        self.house.close()


@contextmanager
def fleet(place: Path) -> Generator[Fleet]:
    """Give a fleet whose nodes are not started yet."""
    with running() as server, collecting() as collector, closing(Fleet(place, server, collector)) as made:
        yield made


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for a condition; raises `TimeoutError` that says what did not come about."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.05)
