"""A wire between a browser and a server that can be cut and mended."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Wire:
    """Hands on bytes in both directions while it is whole; cut, it ends every connection and takes no new one."""

    port: int
    to: int
    cut: bool = False
    _open: list[socket.socket] = field(default_factory=list[socket.socket])
    _threads: list[threading.Thread] = field(default_factory=list[threading.Thread])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def break_(self) -> None:
        with self._lock:
            self.cut = True
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

            for each in self._threads:
                each.join()
            self._open.clear()
            self._threads.clear()

    def mend(self) -> None:
        self.cut = False

    def join(self, near: socket.socket) -> None:
        """Lead a connection on to the port; while it is cut, or nobody listens there, the connection ends."""
        with self._lock:
            try:
                far = None if self.cut else socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                far = None
            if far is None:
                near.close()
                return
            self._open += [near, far]
            self._threads.append(threading.Thread(target=_carry, args=(near, far)))
            self._threads[-1].start()


@contextmanager
def wire(to: int) -> Generator[Wire]:
    """Lay a wire to a port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        made = Wire(listening.getsockname()[1], to)

        def take() -> None:
            with suppress(OSError):  # the listener is shut at the end
                while True:
                    made.join(listening.accept()[0])

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        try:
            yield made
        finally:
            listening.shutdown(socket.SHUT_RDWR)  # closing it alone would leave the thread waiting for a caller
            thread.join()
            made.break_()


def _carry(near: socket.socket, far: socket.socket) -> None:
    with near, far:
        back = threading.Thread(target=_hand_on, args=(far, near))
        back.start()
        _hand_on(near, far)
        back.join()


def _hand_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
