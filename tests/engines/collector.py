"""What agents do to the world outside, as the world outside sees it: who is at work, in the order in which it came."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager


class Collector:
    """Takes lines from agents over TCP, each with the name of the claim that sent it."""

    def __init__(self, listening: socket.socket) -> None:
        """Take the socket on which it listens."""
        self._listening = listening
        self._lock = threading.Lock()
        self._told: list[tuple[str, str]] = []
        self.port: int = listening.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def end(self) -> None:
        """Listen no more. One that still waited would take a caller of the next socket that gets its number."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._accepting.join(10)

    def told(self) -> list[tuple[str, str]]:
        """Return what came, in its order: the claim (`r_…:fence`), and its line; at last an empty line for its end."""
        with self._lock:
            return list(self._told)

    def claims(self) -> list[str]:
        """Return which claims began, in their order."""
        return [claim for claim, line in self.told() if line == "begins"]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._listen, args=(connection,), daemon=True).start()

    def _listen(self, connection: socket.socket) -> None:
        claim = ""
        with connection, connection.makefile("r") as lines:
            for line in lines:
                claim, _, word = line.rstrip("\n").partition(" ")
                with self._lock:
                    self._told.append((claim, word))
        with self._lock:
            self._told.append((claim, ""))


@contextmanager
def collecting() -> Generator[Collector]:
    """Give a collector on a port of its own."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        made = Collector(listening)
        try:
            yield made
        finally:
            made.end()


def agent(port: int, script: str) -> tuple[str, ...]:
    """Return a command that tells the collector that it begins; `say WORD` in the script tells it more."""
    say = 'say() { echo "$INTERLOCK_RUN $1" >&3; }'
    return ("bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}; {say}; say begins; {script}")
