"""A workspace with a repository and a database, its workers as real processes, and what can be seen of them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict, Unpack

import psycopg
import pytest

import interlock
from interlock.app import Interlock
from interlock.approval.models import Approved, Limits, Work
from interlock.evidence.export import HEADS, LEDGER
from interlock.evidence.models import Report
from interlock.evidence.verify import verify_export
from interlock.founding import create_workspace
from interlock.kernel.errors import Invalid, NotFound
from interlock.queue.models import Item
from interlock.runs.containment.processes import marked, markers
from interlock.runs.models import Run, RunStatus
from tests.around import without_ours
from tests.cli.door import git
from tests.conftest import ALICE, until

LEASE_SECONDS = 2
GRACE_SECONDS = 1
PATIENCE_SECONDS = 40.0
INTERLOCK = Path(sys.executable).with_name("interlock")
SCRIPT = Path(__file__).with_name("worker_process.py")
AS_ROOT = () if os.geteuid() == 0 else ("--user", "--map-root-user")
APART = ("unshare", *AS_ROOT, "--pid", "--fork", "--kill-child", "--mount-proc", "--")
ENDED = (RunStatus.DONE, RunStatus.ERROR, RunStatus.CANCELLED)


def make_repository(folder: Path) -> Path:
    """Make a small repository: one commit, one ignored name."""
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "README.md").write_text("# A small thing\n")
    (folder / ".gitignore").write_text("ignored.txt\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "Begin")
    return folder


class Terms(TypedDict, total=False):
    """What a test may want differently from other tests."""

    repository: Path | str | None
    """By default the world's."""
    base_commit: str
    checks: Sequence[str]
    """Each for a shell."""
    environment: Sequence[str]
    limits: Limits
    prompt: str
    expires_after_seconds: int


@dataclass(frozen=True)
class WorkerUnderTest:
    """A worker process."""

    process: subprocess.Popen[bytes]
    sign: Path
    said: Path

    def wait_until_it_stands(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Return when it has come to the probe at which it was told to stop."""
        until(lambda: self.sign.exists() or self.process.poll() is not None, seconds)
        assert self.sign.exists(), f"the worker ended before it came to its probe:\n{self.words()}"

    def go_on(self) -> None:
        """Let it leave the probe."""
        self.sign.with_name(self.sign.name + ".go").touch()

    def kill(self) -> None:
        """Kill it as `kill -9` does."""
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Return its exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the worker did not end within {seconds} s:\n{self.words()}")

    def is_there(self) -> bool:
        return self.process.poll() is None

    def wait_for_words(self, text: str, seconds: float) -> None:
        """Return when it has printed this; raises TimeoutError."""
        began = time.monotonic()
        while text not in self.words():
            waited = time.monotonic() - began
            if waited > seconds:
                raise TimeoutError(text)
            time.sleep(min(0.05, 0.005 + waited / 20))

    def words(self) -> str:
        """Return what it has printed."""
        return self.said.read_text(errors="replace")


@dataclass
class World:
    """A workspace and what lives in it."""

    place: Path
    database_url: str = ""
    temporal_address: str = ""
    """Where workers find the server of their engine; empty for the local engine."""
    workers: list[WorkerUnderTest] = field(default_factory=list[WorkerUnderTest])

    def __post_init__(self) -> None:
        self.root = self.place / "workspace"
        self.repository = make_repository(self.place / "repository")
        if not self.root.exists():  # else its maker has laid a fresh one down
            create_workspace(self.root, ALICE, database_url=self.database_url, replace=False)
        self.house = Interlock.at(self.root)

    # --- what people do -----------------------------------------------------------------------------------------------

    def approve(self, command: str | Sequence[str] | None, **terms: Unpack[Terms]) -> Approved:
        """Draft and approve; a command that is one text is a shell's."""
        argv = ("sh", "-c", command) if isinstance(command, str) else command
        repository = terms.get("repository", self.repository)
        work = Work(
            command=tuple(argv) if argv is not None else None,
            repository=str(repository) if repository is not None else None,
            base_commit=terms.get("base_commit"),
            checks=tuple(("sh", "-c", check) for check in terms.get("checks", ())),
            environment=tuple(terms.get("environment", ())),
            limits=terms.get("limits", Limits(wall_clock_seconds=60)),
        )
        draft = self.house.approval.create(ALICE, terms.get("prompt", "Do it."), work=work)
        return self.house.approval.approve(ALICE, draft.id, expires_after_seconds=terms.get("expires_after_seconds"))

    def create(self, command: str | Sequence[str] | None, **terms: Unpack[Terms]) -> Run:
        """Draft, approve, and make a run."""
        return self.house.runs.create(ALICE, self.approve(command, **terms).id)

    # --- workers ------------------------------------------------------------------------------------------------------

    def worker(
        self,
        *,
        once: bool = False,
        stop_at: str = "",
        environment: Mapping[str, str] | None = None,
        product: bool = False,
        elsewhere: bool = False,
        apart: bool = False,
    ) -> WorkerUnderTest:
        """Start a worker process: on another machine, or as the `product`: `interlock worker`, which knows no probe.

        `apart`, it can not even see the processes of the others, as if it were truly on another machine.
        """
        sign = self.place / f"sign-{len(self.workers)}"
        said = self.place / f"said-{len(self.workers)}"
        command = [str(INTERLOCK), "worker", "--workspace", str(self.root)]
        if not product:
            root = self.other_root() if elsewhere else self.root
            command = [sys.executable, str(SCRIPT), str(root), "--sign", str(sign), "--stop-at", stop_at]
            command += ["--host", "elsewhere"] if elsewhere else []
        if self.temporal_address:
            command += [*(["--engine", "temporal"] if product else []), "--temporal-address", self.temporal_address]
        if apart:
            command = [*APART, *command]
        with said.open("wb") as output:
            process = subprocess.Popen(
                [*command, *(["--once"] if once else [])],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=surroundings(**(environment or {})),
            )
        made = WorkerUnderTest(process, sign, said)
        self.workers.append(made)
        return made

    def other_root(self) -> Path:
        """Return this workspace as it is on another machine: same settings and keys, no mirrors and no worktrees."""
        other = self.place / "elsewhere"
        if not other.exists():
            shutil.copytree(self.root, other, ignore=shutil.ignore_patterns("mirrors", "worktrees", "runs", "wake"))
            create_workspace(other, ALICE, database_url=self.database_url, replace=False)
        return other

    def work_it_off(self, *, environment: Mapping[str, str] | None = None, product: bool = False) -> None:
        """Let one worker carry out whatever there is to do now."""
        worker = self.worker(once=True, environment=environment, product=product)
        assert worker.wait(40) == 0, worker.words()

    def carried_out(self, command: str | Sequence[str] | None, **terms: Unpack[Terms]) -> Run:
        """Make a run, let a worker carry it out, and return it as it ended."""
        run = self.create(command, **terms)
        self.work_it_off()
        return self.run(run)

    # --- what can be seen ---------------------------------------------------------------------------------------------

    def run(self, run: Run) -> Run:
        return self.house.runs.get(run.id)

    def item(self, run: Run) -> Item:
        with self.house.queue_look() as queue:
            return queue.get(run.item_id)

    def wait_for(self, run: Run, *statuses: RunStatus, seconds: float = PATIENCE_SECONDS) -> Run:
        """Return the run once it has one of these statuses, by default when it has ended, or no worker is left."""
        until(
            lambda: (
                self.run(run).status in (statuses or ENDED) or not any(worker.is_there() for worker in self.workers)
            ),
            seconds,
        )
        return self.run(run)

    def log(self, run: Run, source: str | None = None) -> list[str]:
        lines = self.house.runs.log(run.id, limit=100_000)
        return [line.msg for line in lines if source in (None, line.source)]

    def story(self, run: Run) -> str:
        """Return what a person would look at when a test fails."""
        now, words = self.run(run), [f"--- worker\n{worker.words()}" for worker in self.workers]
        told = f"{now.status.value} {now.reason}: {now.message}\n{now.result}"
        return "\n".join([told, *self.log(run), *words])

    def wait_for_line(self, run: Run, text: str) -> None:
        """Return when the run's log has this line."""
        until(lambda: text in self.log(run), PATIENCE_SECONDS)

    def events(self, run: Run, kind: str) -> list[dict[str, Any]]:
        """Return the payloads of a run's events of one kind, in the log's order."""
        self.seal()
        log = self.house.evidence.log
        told = [event for _, event in self.house.windows.log.events(0, log.size())]
        return [event["payload"] for event in told if event["subject"] == run.id and event["kind"] == kind]

    def count(self) -> int:
        """Return how many events there are."""
        self.seal()
        return self.house.evidence.log.size()

    def fences(self, run: Run, kind: str) -> list[int]:
        """Return under which fences events of one kind were told."""
        return [payload["fence"] for payload in self.events(run, kind)]

    def patch(self, run: Run) -> str:
        return self.house.runs.patch(run.id).decode()

    def processes(self, run: Run) -> list[int]:
        """Return the processes of every claim of the run."""
        return [pid for fence in range(self.item(run).fence + 1) for pid in marked(f"{run.id}:{fence}")]

    def left_behind(self) -> list[str]:
        """Return what lies where only runs under way may keep something."""
        layout = self.house.layout
        folders = (layout.worktrees, layout.runs, *layout.mirrors.glob("*.git/worktrees"))
        return sorted(str(path.relative_to(self.root)) for folder in folders for path in folder.iterdir())

    def seal(self) -> None:
        """Return when every event has its place in the log: on PostgreSQL a worker may be at it just now."""
        if not self.database_url:
            return

        def nothing_waits() -> bool:
            self.house.database.seal()
            return connection.execute("SELECT 1 FROM event_unsealed LIMIT 1").fetchone() is None

        with psycopg.connect(self.database_url, autocommit=True) as connection:
            until(nothing_waits, PATIENCE_SECONDS)

    def verified(self) -> Report:
        """Sign the log, export it, and verify the export, also against the database."""
        self.seal()
        evidence, folder = self.house.evidence, self.place / "export"
        signed = evidence.head()
        evidence.export(folder)
        exported = len((folder / LEDGER).read_bytes().splitlines())
        assert exported >= signed.size, "whoever is still at work may tell of more meanwhile, and of no less"
        return verify_export(
            folder / LEDGER,
            folder / HEADS,
            evidence.verifiers,
            origin=evidence.origin,
            reference=evidence.log.leaves(0, exported),
        )

    # --- the end ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End every worker that is left, and wait until the agents that died with it are gone."""
        for worker in self.workers:
            if worker.is_there():
                worker.signal(signal.SIGKILL)
                worker.process.wait(PATIENCE_SECONDS)
        if self.workers:
            until(lambda: not self._agents(), PATIENCE_SECONDS)
        self.house.close()

    def _agents(self) -> list[str]:
        """Return by which run processes are marked that are there, of runs of this world."""
        return [marker for marker in markers() if self._has(marker.partition(":")[0])]

    def _has(self, run_id: str) -> bool:
        try:
            return bool(self.house.runs.get(run_id))
        except (NotFound, Invalid):  # another test's, or no run's
            return False


def surroundings(**more: str) -> dict[str, str]:
    """Return our environment without settings of ours, with short leases and a short grace."""
    return {
        **without_ours(),
        "INTERLOCK_QUEUE_LEASE_SECONDS": str(LEASE_SECONDS),
        "INTERLOCK_WORKER_GRACE_SECONDS": str(GRACE_SECONDS),
        "INTERLOCK_TEMPORAL_HEARTBEAT_SECONDS": str(LEASE_SECONDS),
        "INTERLOCK_TEMPORAL_TAKE_UP_SECONDS": str(LEASE_SECONDS),
        "INTERLOCK_TEMPORAL_SWEEP_SECONDS": "1",
        # This checkout may lie in /tmp, where an agent sees nothing else.
        "INTERLOCK_WORKER_VISIBLE": f"{sys.prefix},{Path(interlock.__file__).parents[1]}",
        **more,
    }


def seconds_until(condition: object, seconds: float = PATIENCE_SECONDS) -> float:
    """Wait for a condition; returns how long it took."""
    began = time.monotonic()
    until(condition, seconds)
    return time.monotonic() - began
