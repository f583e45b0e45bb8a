"""Servers that misbehave, and a wire that is cut."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.http.served import Served


@dataclass
class Wire:
    """Stands between a caller and a server, and hangs up on answers as it is told to."""

    address: str = ""
    cut: int = 0
    """So many answers never come through; what was asked has been done."""
    of: str = ""
    """Only answers to requests that begin so."""
    asked: list[str] = field(default_factory=list[str])
    """The first line of every request."""


@contextmanager
def wire(served: Served, *, cut: int, of: str = "") -> Generator[Wire]:
    """Pass requests on, one at a time, and lose the first answers."""
    made = Wire(cut=cut, of=of)

    def pass_on(caller: socket.socket) -> None:
        data = _request(caller)
        if not data:
            return
        made.asked.append(data.split(b"\r\n", 1)[0].decode())
        answer = served.raw(data.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        if made.cut > 0 and made.asked[-1].startswith(made.of):
            made.cut -= 1
            return
        caller.sendall(answer)

    with listening(pass_on) as made.address:
        yield made


@contextmanager
def answering(answer: bytes, context: ssl.SSLContext | None = None) -> Generator[tuple[str, list[bytes]]]:
    """Answer everything with the same bytes; yields the address and what was asked."""
    asked: list[bytes] = []

    def say(caller: socket.socket) -> None:
        talk = context.wrap_socket(caller, server_side=True) if context is not None else caller
        data = _request(talk)
        if data:
            asked.append(data)
            talk.sendall(answer)
        if context is not None:
            talk.close()

    with listening(say) as address:
        yield address.replace("http:", "https:" if context is not None else "http:"), asked


@contextmanager
def hanging_up(answer: bytes) -> Generator[str]:
    """Answer the head of a request, and hang up on its body."""

    def say(caller: socket.socket) -> None:
        if caller.recv(1024):
            caller.sendall(answer)

    with listening(say) as address:
        yield address


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Generator[str]:
    """Hand every connection over, each in its turn, and hang up afterwards."""
    door = socket.create_server(("127.0.0.1", 0))
    ending = threading.Event()

    def work() -> None:
        while not ending.is_set():
            with suppress(OSError):
                caller, _ = door.accept()
                with caller:
                    caller.settimeout(5)
                    serve(caller)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
    finally:
        ending.set()
        with suppress(OSError):
            socket.create_connection(door.getsockname(), timeout=5).close()
        thread.join(10)
        door.close()


def _request(caller: socket.socket) -> bytes:
    """Read one request to its end."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = caller.recv(65_536)
        if not part:
            return b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
    )
    while len(body) < length:
        part = caller.recv(65_536)
        if not part:
            return b""
        body += part
    return head + b"\r\n\r\n" + body
