"""Two machines on one PostgreSQL database: two workspace folders, the second one joined, and their real programs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from interlock.app import Interlock
from interlock.approval.models import Limits, Work
from interlock.fleet.models import Node
from interlock.founding import create_workspace, join_workspace
from interlock.runs.models import Run
from tests.conftest import ALICE, until
from tests.engines.world import INTERLOCK, make_repository, surroundings


@dataclass
class Machine:
    """One workspace folder."""

    root: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])

    def __post_init__(self) -> None:
        self.house = Interlock.at(self.root)

    @property
    def node_id(self) -> str:
        return str(json.loads((self.root / ".interlock" / "node.json").read_text())["id"])

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Call the program to its end."""
        return subprocess.run(
            [str(INTERLOCK), *words],
            check=False,
            cwd=self.root,
            env=surroundings(),
            capture_output=True,
            text=True,
            timeout=120,
        )

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start the program; what it says is in `said`."""
        with self.said.open("ab") as output:
            process = subprocess.Popen(
                [str(INTERLOCK), *words],
                cwd=self.root,
                env=surroundings(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.started.append(process)
        return process

    @property
    def said(self) -> Path:
        return self.root.with_name(f"{self.root.name}.said")

    def node(self) -> Node:
        return self.house.fleet.get(self.node_id)

    def close(self) -> None:
        for each in self.started:
            each.kill()
            each.wait()
        self.house.close()


@dataclass
class Machines:
    """Both of them, and a repository that both reach."""

    place: Path
    url: str

    def __post_init__(self) -> None:
        self.repository = make_repository(self.place / "repository")
        create_workspace(self.place / "first", ALICE, database_url=self.url, replace=False)
        join_workspace(self.place / "second", ALICE, database_url=self.url, replace=False)
        self.first, self.second = Machine(self.place / "first"), Machine(self.place / "second")

    def run(self, script: str, *, needs: Sequence[str] = ()) -> Run:
        """Draft, approve and make a run of a shell script."""
        house = self.first.house
        work = Work(
            command=("sh", "-c", script),
            repository=str(self.repository),
            needs=tuple(needs),
            limits=Limits(wall_clock_seconds=120),
        )
        draft = house.approval.create(ALICE, "Do it.", work=work)
        return house.runs.create(ALICE, house.approval.approve(ALICE, draft.id).id)

    def status(self, run: Run) -> str:
        return self.first.house.runs.get(run.id).status.value

    def holder(self, run: Run) -> str | None:
        """Return which node holds a run."""
        with self.first.house.queue_look() as queue:
            return queue.get(run.item_id).node_id

    def kinds(self, prefix: str) -> list[tuple[str, str]]:
        """List the log's events of some kinds: kind and subject."""
        self.first.house.database.seal()
        log = self.first.house.event_log
        found = [(str(each["kind"]), str(each["subject"])) for _, each in log.events(0, log.size())]
        return [each for each in found if each[0].startswith(prefix)]


@contextmanager
def machines(place: Path, url: str) -> Generator[Machines]:
    """Make both, and end what was started."""
    made = Machines(place, url)
    try:
        yield made
    finally:
        made.first.close()
        made.second.close()


def wait_done(two: Machines, run: Run, seconds: float = 60) -> None:
    until(lambda: two.status(run) not in {"pending", "running"}, seconds)
    assert two.status(run) == "done", two.first.house.runs.get(run.id)
