"""A node's way to the database, which can be cut: connections are dropped, or stand with all that is under way."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path

_SOCKET = ".s.PGSQL.5432"


class Wire:
    """Forwards what comes on a socket in `here` to PostgreSQL's in `there`."""

    def __init__(self, here: Path, there: Path) -> None:
        """Listen in a folder of its own; PostgreSQL's clients name the folder as their host."""
        here.mkdir(mode=0o700)
        self._there = str(there / _SOCKET)
        self._whole = threading.Event()
        self._whole.set()
        self._refusing = False
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(str(here / _SOCKET))
        self._listening.listen(128)
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Drop every connection, and let none be made."""
        self._refusing = True
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
        """End for good."""
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
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with client, server:
            if self._refusing:
                return
            try:
                server.connect(self._there)
            except OSError:  # it is down: so is its client's connection
                return
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
