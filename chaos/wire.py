"""A way to a server, which can be cut: connections are dropped, or stand with all that is under way."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path

_SOCKET = ".s.PGSQL.5432"


def connect_to_postgres(folder: Path) -> socket.socket:
    """Connect to the PostgreSQL whose socket is in this folder; raises `OSError` while it is down."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        server.connect(str(folder / _SOCKET))
    except OSError:
        server.close()
        raise
    return server


class Wire:
    """Forwards what comes on one socket to a server."""

    def __init__(self, listening: socket.socket, connect: Callable[[], socket.socket]) -> None:
        """Take where it listens, and what connects to the server; raises `OSError` while that is down."""
        self._listening = listening
        self._connect = connect
        self._whole = threading.Event()
        self._whole.set()
        self._refusing = False
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listening.listen(128)
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    @classmethod
    def to_postgres(cls, here: Path, there: Path) -> Wire:
        """Listen in a folder of its own; PostgreSQL's clients name the folder as their host."""
        here.mkdir(mode=0o700)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(str(here / _SOCKET))
        return cls(listening, lambda: connect_to_postgres(there))

    @classmethod
    def to_port(cls, port: Callable[[], int]) -> Wire:
        """Listen on a port of its own; the server's may be another one after each start."""
        listening = socket.create_server(("127.0.0.1", 0))
        return cls(listening, lambda: socket.create_connection(("127.0.0.1", port())))

    @property
    def port(self) -> int:
        """Where it listens, if that is a port."""
        return int(self._listening.getsockname()[1])

    def cut(self) -> None:
        """Drop every connection, and let none be made."""
        self._refusing = True
        self.drop()

    def drop(self) -> None:
        """Drop every connection; new ones can be made."""
        with self._lock:
            for each in self._open:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def stall(self) -> None:
        """Let nothing through any more; nobody is told."""
        self._whole.clear()

    def heal(self) -> None:
        """Let everything through again."""
        self._refusing = False
        self._whole.set()

    def close(self) -> None:
        """End for good. Who still waited for a caller would take one of the next socket that gets this number."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._accepting.join(10)
        self._listening.close()
        self.cut()
        self._whole.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client:
            if self._refusing:
                return
            try:
                server = self._connect()
            except OSError:  # it is down: so is its client's connection
                return
            with server:
                self._join(client, server)

    def _join(self, client: socket.socket, server: socket.socket) -> None:
        with self._lock:
            self._open |= {client, server}
        back = threading.Thread(target=self._forward, args=(server, client), daemon=True)
        back.start()
        self._forward(client, server)
        back.join()
        with self._lock:
            self._open -= {client, server}

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while part := source.recv(65536):
                self._whole.wait()
                target.sendall(part)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
