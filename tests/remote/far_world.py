"""A served workspace, workers elsewhere as real processes, and a wire between them that can be cut."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from interlock.access.models import NewToken, Principal, Role
from interlock.app import Interlock
from tests.conftest import ALICE, until
from tests.engines.world import INTERLOCK, LEASE_SECONDS, PATIENCE_SECONDS, WorkerUnderTest, World, surroundings
from tests.http.served import everything, serving

SCRIPT = Path(__file__).with_name("far_worker_process.py")
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


@dataclass
class Wire:
    """Passes requests on, each on a connection of its own; `meddle` may lose a request or its answer."""

    port: int = 0
    """Where the server listens; 0 while it is away."""
    address: str = ""
    asked: list[str] = field(default_factory=list[str])
    """The first line of every request that came here."""
    meddle: Callable[[str], str] = lambda _: ""
    """Told the first line; says `lose` for a request that never arrives, `mute` for an answer that never does."""

    def count(self, part: str) -> int:
        return sum(part in line for line in self.asked)

    def lose(self, part: str, times: int, *, how: str = "mute") -> None:
        """Lose the first requests (or answers) whose line has this part."""
        left = [times]

        def meddle(line: str) -> str:
            if part not in line or not left[0]:
                return ""
            left[0] -= 1
            return how

        self.meddle = meddle

    def serve(self, caller: socket.socket) -> None:
        with caller, suppress(OSError):
            caller.settimeout(60)
            while data := _request(caller):
                line = data.split(b"\r\n", 1)[0].decode()
                self.asked.append(line)
                fate = self.meddle(line)
                if fate == "lose" or not self.port:
                    return
                answer = self._ask(data)
                if fate == "mute" or not answer:
                    return
                caller.sendall(answer)
                return

    def _ask(self, data: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as server:
            server.sendall(data.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            return everything(server)


def _request(caller: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        part = caller.recv(65_536)
        if not part:
            return b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(match[1]) if (match := _LENGTH.search(head)) else 0
    while len(body) < length:
        part = caller.recv(65_536)
        if not part:
            return b""
        body += part
    return head + b"\r\n\r\n" + body


@contextmanager
def wire() -> Generator[Wire]:
    made = Wire()
    door = socket.create_server(("127.0.0.1", 0))
    made.address = f"http://127.0.0.1:{door.getsockname()[1]}"
    ending = threading.Event()

    def work() -> None:
        while not ending.is_set():
            with suppress(OSError):
                caller, _ = door.accept()
                threading.Thread(target=made.serve, args=(caller,), daemon=True).start()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield made
    finally:
        ending.set()
        with suppress(OSError):
            socket.create_connection(door.getsockname(), timeout=5).close()
        thread.join(10)
        door.close()


@dataclass
class FarWorld(World):
    """A workspace with a server and a scheduler; its workers are elsewhere.

    Both are processes of their own, which a test can kill, or threads of this one, which begin at once.
    """

    wire: Wire = field(default_factory=Wire)
    lease_seconds: int = LEASE_SECONDS
    as_threads: bool = False
    """This process then has to see the settings that theirs would: `surroundings`."""
    processes_: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])

    def __post_init__(self) -> None:
        World.__post_init__(self)
        self.token = self.token_of("worker@b2", "service", Role.OPERATOR)
        self._threads = ExitStack()
        if self.as_threads:
            self._threads.enter_context(self._beside())
            return
        self.serve()
        self._start("scheduler")

    @contextmanager
    def _beside(self) -> Generator[None]:
        """Let a server and a scheduler live in this process, each with rooms of its own."""
        with closing(Interlock.at(self.root)) as here, closing(Interlock.at(self.root)) as there:
            scheduler = here.worker(concurrency=0)
            thread = threading.Thread(target=scheduler.work, name="scheduler")
            thread.start()
            try:
                with serving(there) as served:
                    self.wire.port = served.port
                    yield
            finally:
                scheduler.stop()
                thread.join(PATIENCE_SECONDS)
                assert not thread.is_alive()

    def token_of(self, name: str, kind: str, role: Role) -> Path:
        new = NewToken(name=name, principal=Principal.parse(f"{kind}:{name}"), role=role)
        issued = self.house.access.create(ALICE, new, role=Role.ADMIN)
        file = self.place / f"{issued.token.id}.token"
        file.touch(0o600)
        file.write_text(issued.text)
        return file

    def serve(self) -> subprocess.Popen[bytes]:
        """Start the server, and let the wire lead to it."""
        process, said = self._start("serve", "--api-only", "--port", "0")
        until(lambda: re.search(r" on (http://\S+)\n", said.read_text()) or process.poll() is not None, 60)
        found = re.search(r" on http://127.0.0.1:(\d+)\n", said.read_text())
        assert found, said.read_text()
        self.wire.port = int(found[1])
        self.server = process
        return process

    def stop_serving(self) -> None:
        """Kill the server as `kill -9` does."""
        self.wire.port = 0
        self.server.kill()
        self.server.wait(PATIENCE_SECONDS)

    def far(
        self,
        *,
        once: bool = False,
        stop_at: str = "",
        folder: str = "far",
        token: Path | None = None,
        product: bool = True,
    ) -> WorkerUnderTest:
        """Start a worker elsewhere: `interlock worker --server …`, or one that stops at a probe."""
        sign, said = self.place / f"sign-{len(self.workers)}", self.place / f"said-{len(self.workers)}"
        named, place = str(token or self.token), self.place / folder
        command = [
            str(INTERLOCK),
            "worker",
            "--server",
            self.wire.address,
            "--token-file",
            named,
            "--work-dir",
            str(place),
        ]
        if stop_at or not product:
            command = [sys.executable, str(SCRIPT), self.wire.address, named, str(place), "--sign", str(sign)]
            command += ["--stop-at", stop_at]
        with said.open("wb") as output:
            process = subprocess.Popen(
                [*command, *(["--once"] if once else [])],
                cwd=self.place,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._surroundings(),
            )
        made = WorkerUnderTest(process, sign, said)
        self.workers.append(made)
        return made

    def far_left_behind(self, folder: str = "far") -> list[str]:
        """Return what lies where only runs under way of a worker elsewhere may keep something."""
        root = self.place / folder
        places = (root / "worktrees", root / "runs", *(root / "mirrors").glob("*.git/worktrees"))
        return sorted(str(path.relative_to(root)) for place in places for path in place.iterdir())

    def _start(self, *words: str) -> tuple[subprocess.Popen[bytes], Path]:
        said = self.place / f"{words[0]}-{len(self.processes_)}.log"
        with said.open("wb") as output:
            process = subprocess.Popen(
                [str(INTERLOCK), *words],
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._surroundings(),
            )
        self.processes_.append(process)
        return process, said

    def _surroundings(self) -> dict[str, str]:
        return surroundings(INTERLOCK_QUEUE_LEASE_SECONDS=str(self.lease_seconds))

    def close(self) -> None:
        self._threads.close()
        World.close(self)
        for process in self.processes_:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait(PATIENCE_SECONDS)
