"""A server in a process of its own, as `interlock serve` begins it."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from tests.cli.door import PROGRAM, environment
from tests.conftest import until

HUMAN, READER = "planted-human-secret-0123456789", "planted-reader-secret-0123456789"
SECRETS = {"ORCH_TOKEN": HUMAN, "ORCH_ACTIONS_TOKEN": READER}


@dataclass(frozen=True)
class Process:
    """A server in a process of its own."""

    process: subprocess.Popen[bytes]
    address: str
    log: Path
    clients: list[httpx2.Client] = field(default_factory=list[httpx2.Client])

    def client(self, token: str = HUMAN) -> httpx2.Client:
        headers = {"Authorization": f"Bearer {token}"}
        made = httpx2.Client(base_url=self.address, timeout=30, verify=False, headers=headers)
        self.clients.append(made)
        return made

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(30)


@contextmanager
def process(workspace: Path, *words: str, begin: Sequence[str] = (str(PROGRAM), "serve")) -> Generator[Process]:
    """Begin a server on a port that is free."""
    log = workspace.with_name(f"{workspace.name}-{time.monotonic_ns()}.log")
    with log.open("wb") as said:
        started = subprocess.Popen(
            [*begin, "--port", "0", *words], cwd=workspace, env=environment(**SECRETS), stderr=said
        )
    try:
        until(lambda: re.search(r" on (http://\S+)\n", log.read_text()) or started.poll() is not None, 30)
        address = re.search(r" on (http://\S+)\n", log.read_text())
        assert address, log.read_text()
        made = Process(started, address[1], log)
        yield made
        for client in made.clients:
            client.close()
    finally:
        started.kill()
        started.wait()


def run(client: httpx2.Client, command: str, repository: Path) -> str:
    """Draft, approve and run a command."""
    work = {"command": ["sh", "-c", command], "repository": str(repository)}
    draft = client.post("/ops/drafts", json={"prompt": "p", "work": work}).json()
    approved = client.post(f"/ops/drafts/{draft['id']}/approve").json()["approved"]
    return str(client.post("/ops/runs", json={"approved_id": approved["id"]}).json()["id"])
