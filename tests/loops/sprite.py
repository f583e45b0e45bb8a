"""A loop service as a process of its own, the runtime behind it, and servers that only pretend to be one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from interlock.loops.sprite_client import Base, Client

SUPERLOOP = Path(__file__).with_name("superloop.sh")
TOKEN = "a-token-of-the-tests"  # noqa: S105 - it opens nothing
_RUNTIME = """#!/bin/sh
echo "$*" >>"$0.calls"
while [ -e "$0.hold" ]; do sleep 0.02; done
[ -e "$0.fail" ] && {{ echo "it is broken" >&2; exit 3; }}
[ -e "$0.deaf" ] && exit 0
exec {superloop} "$@"
"""


class Runtime:
    """The runtime's program: it counts how often it is called, and does what a test wants."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "runtime"
        self.path.write_text(_RUNTIME.format(superloop=SUPERLOOP), encoding="utf-8")
        self.path.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        """The command lines with which it was called."""
        path = self.path.with_name("runtime.calls")
        return path.read_text().splitlines() if path.exists() else []

    def be(self, *what: str) -> None:
        """Be `fail`, `deaf` (it does nothing), `hold` (it waits), or well."""
        for each in ("fail", "deaf", "hold"):
            path = self.path.with_name(f"runtime.{each}")
            path.touch() if each in what else path.unlink(missing_ok=True)


@dataclass
class Said:
    """An answer."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self.body)


@dataclass
class Running:
    """A service that answers."""

    process: subprocess.Popen[str]
    url: str
    out: str = ""
    err: str = ""

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def client(self, **more: Any) -> Client:  # noqa: ANN401 - the client's own types
        known: dict[str, Any] = {"token": TOKEN, "backoff_seconds": 0.05, "attempts": 3, **more}
        return Client(base=Base.of(self.url), **known)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        token: str | None = TOKEN,
    ) -> Said:
        """Ask once, as any client would."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        sent = {**({} if token is None else {"Authorization": f"Bearer {token}"}), **(headers or {})}
        try:
            connection.request(method, path, body, sent)
            found = connection.getresponse()
            return Said(found.status, found.read(), {name.lower(): value for name, value in found.getheaders()})
        finally:
            connection.close()

    def control(self, intent: str = "cancel", key: str | None = "k-1", **more: object) -> Said:
        """Post a control of the loop `demo`."""
        body: dict[str, object] = {"loopId": "demo", "intent": intent, "by": "ada", "timeoutSeconds": 0, **more}
        if key is not None:
            body["idempotencyKey"] = key
        return self.ask("POST", "/ops/control", json.dumps(body).encode())

    def stop(self, number: int = signal.SIGTERM, seconds: float = 20) -> int:
        """End it, and keep what it said."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)
        out, self.err = self.process.communicate(timeout=seconds)
        self.out += out
        return self.process.returncode


@contextmanager
def serving(
    repo: Path,
    *words: str,
    runtime: Path = SUPERLOOP,
    root: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Generator[Running]:
    """Serve a repository while inside."""
    process = subprocess.Popen(
        command(root or repo, "--repo", str(repo), *(words if "--port" in words else ("--port", "0", *words))),
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("OPS_MANAGER_")},
            "OPS_MANAGER_SERVICE_TOKEN": TOKEN,
            "SUPERLOOP_BIN": str(runtime),
            **(env or {}),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()[1]
    running = Running(process, json.loads(line)["url"], line)
    try:
        yield running
    finally:
        if process.returncode is None:
            running.stop(signal.SIGKILL)


def command(root: Path, *words: str) -> list[str]:
    """Return the command line of a service."""
    return [sys.executable, "-I", "-m", "interlock.cli.ops_manager", str(root), "sprite-service", *words]


def does(repo: Path, *verbs: str, loop: str = "demo") -> None:
    """Let the runtime do what it does by itself."""
    for verb in verbs:
        subprocess.run([SUPERLOOP, verb, "--repo", repo, "--loop", loop], check=True, timeout=30)


# --- what only pretends -----------------------------------------------------------------------------------------------


@dataclass
class Pretender:
    """Answers whatever a test wants, one answer for each connection; the last one for ever."""

    answers: list[bytes | Callable[[socket.socket], None]]
    heard: list[bytes] = field(default_factory=list[bytes])
    url: str = ""

    def serve(self, listening: socket.socket) -> None:
        """Answer until the socket is closed."""
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            with sock, suppress(OSError):
                sock.settimeout(10)
                self.heard.append(_request(sock))
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if callable(answer):
                    answer(sock)
                else:
                    sock.sendall(answer)


@contextmanager
def pretending(*answers: bytes | Callable[[socket.socket], None]) -> Generator[Pretender]:
    """Pretend to be a service while inside."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        pretender = Pretender(list(answers), url=f"http://127.0.0.1:{listening.getsockname()[1]}")
        thread = threading.Thread(target=pretender.serve, args=(listening,), daemon=True)
        thread.start()
        yield pretender
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def http(status: int, body: object = b"", **headers: str) -> bytes:
    """Return an answer as it stands on the wire."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"Content-Length": str(len(data)), "Connection": "close", **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + data


def _request(sock: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(65536)
        if not part:
            return data
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-len")), 0
    )
    while len(body) < length:
        part = sock.recv(65536)
        if not part:
            break
        body += part
    return head + b"\r\n\r\n" + body
