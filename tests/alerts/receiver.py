"""Receivers of alerts: a real HTTP server that keeps what it got, and answers as it is told."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Got(NamedTuple):
    """One request."""

    path: str
    headers: Mapping[str, str]
    body: Any


class Say(NamedTuple):
    """One answer."""

    status: int = 200
    body: str = "ok"
    headers: Mapping[str, str] = {}


@dataclass
class Receiver:
    """What one receiver got, and how it answers."""

    url: str = ""
    got: list[Got] = field(default_factory=list[Got])
    answers: Callable[[int], Say | str] = lambda _: Say()
    """By the number of the request: an answer, or `hang`, `reset`, `drip`, `die`."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    over: threading.Event = field(default_factory=threading.Event)
    most: int = 0
    now: int = 0

    def says(self, *answers: Say | str) -> None:
        """Answer so, one after the other; the last for ever."""
        begun = len(self.got)
        self.answers = lambda number: answers[min(number - begun, len(answers) - 1)]

    @property
    def bodies(self) -> list[Any]:
        return [each.body for each in self.got]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        del request, client_address  # who went away, went away


@contextmanager
def receiving() -> Generator[Receiver]:
    """Receive while inside."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with receiver.lock:
                answer = receiver.answers(len(receiver.got))
                receiver.got.append(Got(self.path, dict(self.headers.items()), json.loads(body)))
                receiver.now += 1
                receiver.most = max(receiver.most, receiver.now)
            try:
                self._answer(answer)
            finally:
                with receiver.lock:
                    receiver.now -= 1

        def _answer(self, answer: Say | str) -> None:
            if isinstance(answer, Say):
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                data = answer.body.encode()
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            elif answer == "hang":
                receiver.over.wait(30)
            elif answer == "drip":
                self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                while not receiver.over.wait(0.05):
                    self.wfile.write(b"X-Drip: 1\r\n")
                    self.wfile.flush()
            elif answer.startswith("slow"):
                time.sleep(float(answer.removeprefix("slow")))  # that is what is asked for
                self._answer(Say())
            else:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its own name
            del format, args

    server = _Server(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook/s3cr3t-path"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.over.set()
        server.shutdown()
        server.server_close()
