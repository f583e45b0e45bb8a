"""A connection pooler in transaction mode, before a real server: each transaction gets the next of few connections.

It is stricter than those in the field. They give a client the same connection again as long as nobody else wants it;
here the one that has been idle longest is the next, so nobody has the same one twice running while another is idle.
Whatever relies on a session is soon lost.
"""

from __future__ import annotations

import queue
import socket
import struct
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

_SOCKET = ".s.PGSQL.5432"
_CONNECTIONS = 3
_OWN_PID = struct.pack("!i", 1)
_ASKED_FOR_AN_END = {b"Q", b"S"}
"""Messages which the server answers with `ReadyForQuery`: a simple query, and the end of a pipeline."""


class _Talk:
    """One end of a connection, read as messages."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self._read = end.makefile("rb")

    def greeting(self) -> bytes:
        """Return the message that a client begins with, which has no type."""
        (length,) = struct.unpack("!i", self._whole(4))
        return struct.pack("!i", length) + self._whole(length - 4)

    def message(self) -> tuple[bytes, bytes]:
        """Return the next message: its type, and its bytes; raises EOFError."""
        head = self._whole(5)
        (length,) = struct.unpack("!i", head[1:])
        return head[:1], head + self._whole(length - 4)

    def _whole(self, length: int) -> bytes:
        found = self._read.read(length)
        if len(found) < length:
            raise EOFError
        return found

    def close(self) -> None:
        self._read.close()
        self.end.close()


class _Pooler:
    """The pool of one database, and who waits for it."""

    def __init__(self, server: Path) -> None:
        self._server = server
        self._idle: queue.Queue[_Talk] = queue.Queue()
        self._made = 0
        self._lock = threading.Lock()
        self._welcome = b""

    def close(self) -> None:
        """Let the server's connections go; every client is gone."""
        while not self._idle.empty():
            self._idle.get().close()

    def serve(self, end: socket.socket) -> None:
        """Pass a client's transactions on until it is gone."""
        with closing(_Talk(end)) as client, suppress(EOFError, OSError):
            greeting = client.greeting()
            with self._lock:
                while self._made < _CONNECTIONS:
                    self._idle.put(self._connect(greeting))
                    self._made += 1
            end.sendall(self._welcome)
            while True:
                self._pass_on(client, greeting)

    def _pass_on(self, client: _Talk, greeting: bytes) -> None:
        """Let a client have a connection for one transaction."""
        kind, data = client.message()
        if kind == b"X":
            raise EOFError
        server = self._idle.get(timeout=60)
        status = b""
        try:
            while status != b"I":
                server.end.sendall(data)
                if kind in _ASKED_FOR_AN_END:
                    status = self._answers(server, client)
                if status != b"I":
                    kind, data = client.message()
        except (EOFError, OSError):  # gone in the middle: what it began is undone with the connection
            server.close()
            server = self._connect(greeting)
            raise
        finally:
            self._idle.put(server)

    def _answers(self, server: _Talk, client: _Talk) -> bytes:
        """Pass on what is answered; returns whether a transaction is open by then, as the protocol's letter."""
        while True:
            kind, data = server.message()
            client.end.sendall(data)
            if kind == b"Z":
                return data[-1:]

    def _connect(self, greeting: bytes) -> _Talk:
        end = socket.socket(socket.AF_UNIX)
        end.connect(str(self._server / _SOCKET))
        end.sendall(greeting)
        talk, said = _Talk(end), b""
        while True:
            kind, data = talk.message()
            said += data[:5] + _OWN_PID + data[9:] if kind == b"K" else data  # a key of its own, to cancel by
            if kind == b"Z":
                self._welcome = said
                return talk


@contextmanager
def pooled(url: str, folder: Path) -> Generator[str]:
    """Stand before one database of a server at a Unix socket; yields the address there."""
    before, _, server = url.partition("?host=")
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(folder / _SOCKET))
        door.listen(64)
        pooler = _Pooler(Path(server))

        threads: list[threading.Thread] = []

        def welcome() -> None:
            with suppress(OSError):
                while True:
                    client, _ = door.accept()
                    threads.append(threading.Thread(target=pooler.serve, args=(client,), daemon=True))
                    threads[-1].start()

        threads.append(threading.Thread(target=welcome, daemon=True))
        threads[0].start()
        try:
            yield f"{before}?host={folder}"
        finally:
            door.shutdown(socket.SHUT_RDWR)
            for each in threads:
                each.join(30)
            pooler.close()
            assert not any(each.is_alive() for each in threads), "a client is still there"
