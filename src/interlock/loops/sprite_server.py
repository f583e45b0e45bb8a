"""How the loop service speaks HTTP: threads and sockets of the standard library, because it has to start at once.

Whoever is slow, silent or too many is let go: a request has its time, a connection that waits for one makes room for
another. Nothing is read of a body before the token was shown.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from interlock.kernel.clock import system_clock
from interlock.kernel.errors import Invalid, Unreachable
from interlock.loops import files
from interlock.loops.models import stamp
from interlock.loops.sprite_client import BINDS_KEYS
from interlock.loops.sprite_service import Answered, Asked, Service, failure
from interlock.runs.containment import processes

if TYPE_CHECKING:
    import ssl

MOST_BODY: Final = 1024 * 1024
MOST_CONNECTIONS: Final = 64
HEAD_SECONDS, BODY_SECONDS, IDLE_SECONDS, SEND_SECONDS = 10.0, 30.0, 20.0, 30.0
GRACE_SECONDS: Final = 10.0
_TICK: Final = 0.1
_LENGTH = re.compile(r"[0-9]{1,12}", re.ASCII)


class ServiceAddressTaken(Unreachable):
    """Nobody can listen there."""

    code = "service_address_taken"


class CertificateInvalid(Invalid):
    """The certificate and its key can not be used."""

    code = "certificate_invalid"


class Limits(NamedTuple):
    """How much, how many, how long."""

    connections: int = MOST_CONNECTIONS
    head: float = HEAD_SECONDS
    body: float = BODY_SECONDS
    idle: float = IDLE_SECONDS
    send: float = SEND_SECONDS
    grace: float = GRACE_SECONDS


DEFAULTS: Final = Limits()


class _Peer:
    """One connection: what it waits for, and until when."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.since = time.monotonic()
        self.deadline: float | None = None
        self.at_work = False

    def wait(self, seconds: float) -> None:
        """Wait for the peer."""
        self.since = time.monotonic()
        self.at_work, self.deadline = False, self.since + seconds

    def work(self) -> None:
        """Let it wait for us."""
        self.at_work, self.deadline = True, None

    def cut(self) -> None:
        """End it, whatever it is doing."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)


class Server(socketserver.ThreadingMixIn, HTTPServer):
    """Listens; raises `ServiceAddressTaken`."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(
        self, service: Service, host: str, port: int, *, tls: ssl.SSLContext | None = None, limits: Limits = DEFAULTS
    ) -> None:
        """Bind and listen."""
        self.service, self.tls, self.limits = service, tls, limits
        self._peers: dict[int, _Peer] = {}
        self._lock = threading.Lock()
        if not 0 <= port <= 65535:  # the library would take another, and not say so
            raise ServiceAddressTaken(f"nobody can listen on port {port}")
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
            self.address_family = found[0]
            super().__init__(found[4][:2], _Handler)  # pyright: ignore[reportArgumentType] - an address has both
        except (OSError, OverflowError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or error
            raise ServiceAddressTaken(f"nobody can listen on {host} port {port}: {why}") from None

    def server_bind(self) -> None:
        """Bind, without asking the name service who we are."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # pyright: ignore[reportAttributeAccessIssue] - as above

    @property
    def url(self) -> str:
        """Where it answers."""
        host, port = str(self.server_address[0]), self.server_address[1]
        return f"{'https' if self.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"

    # --- connections --------------------------------------------------------------------------------------------------

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the library's own
        """Take a connection if there is room, or room can be made."""
        if len(self._peers) >= self.limits.connections and not self._made_room():
            _refuse(request, plain=self.tls is None)
            self.shutdown_request(request)
            return
        self.admit(request)
        super().process_request(request, client_address)

    def admit(self, sock: socket.socket) -> _Peer:
        """Count a connection."""
        peer = _Peer(sock)
        peer.wait(self.limits.head)
        with self._lock:
            self._peers[sock.fileno()] = peer
        return peer

    def leave(self, number: int, peer: _Peer) -> None:
        """Count it no more."""
        with self._lock:
            if self._peers.get(number) is peer:
                del self._peers[number]

    def finish_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the library's own
        """Serve one connection in its thread."""
        number = request.fileno()
        peer = self._peers.get(number)
        if peer is None:
            return  # it has made room already
        try:
            if self.tls is not None:
                request.settimeout(self.limits.head)
                request = self.tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
                peer.sock = request
                request.do_handshake()
            _Handler(request, client_address, self, peer)
        except (OSError, ValueError):
            pass  # it went, or was let go
        finally:
            self.leave(number, peer)
            if self.tls is not None:
                with suppress(OSError):
                    request.close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: what goes wrong in an answer is answered."""

    def _made_room(self) -> bool:
        """Let go whoever has been waiting longest without asking anything."""
        with self._lock:
            idle = [(peer.since, number) for number, peer in self._peers.items() if not peer.at_work]
            if not idle:
                return False
            peer = self._peers.pop(min(idle)[1])
        peer.cut()
        return True

    # --- beginning and ending -----------------------------------------------------------------------------------------

    def serve_until(self, stopped: Callable[[], bool]) -> None:
        """Serve until told to stop, then finish what is under way: waits end at once, commands have their grace."""
        serving = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        serving.start()
        while not stopped():
            self._let_go(time.monotonic())
            time.sleep(_TICK)
        self.service.stopping.set()
        self.shutdown()
        serving.join()
        self.server_close()
        self._end()

    def _let_go(self, now: float) -> None:
        with self._lock:
            late = [each for each in self._peers.values() if each.deadline is not None and each.deadline < now]
        for peer in late:
            peer.cut()

    def _end(self) -> None:
        if not self._finished(self.limits.grace):
            _end_commands()
            self._finished(2.0)
        with self._lock:
            left = list(self._peers.values())
        for peer in left:
            peer.cut()

    def _finished(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with self._lock:
                if not any(peer.at_work for peer in self._peers.values()):
                    return True
            time.sleep(0.02)
        return False


class _Handler(BaseHTTPRequestHandler):
    """One connection, request after request."""

    server: Server  # pyright: ignore[reportIncompatibleVariableOverride] - it is never another
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "interlock-loops", ""
    disable_nagle_algorithm = True

    def __init__(self, request: socket.socket, client_address: object, server: Server, peer: _Peer) -> None:
        self._peer = peer
        self._limits = server.limits
        request.settimeout(max(server.limits[1:5]))
        super().__init__(request, client_address, server)

    def handle(self) -> None:
        """Answer until one of us has had enough."""
        self.close_connection = True
        self._peer.wait(self._limits.head)
        self.handle_one_request()
        while not self.close_connection and not self.server.service.stopping.is_set():
            self._peer.wait(self._limits.idle)
            self.handle_one_request()

    def handle_one_request(self) -> None:
        """Read one request and answer it."""
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline:
            self.close_connection = True
            return
        self._peer.wait(self._limits.head)
        self.requestline, self.request_version, self.command = "", "", ""
        if len(self.raw_requestline) > 65536:
            self.send_error(414)
        elif self.parse_request():
            self._reply(self._answer())

    def handle_expect_100(self) -> bool:
        """Wait with the go-ahead until it is known who asks."""
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is no HTTP, as JSON."""
        del explain
        self.close_connection = True
        self._reply(failure(code, "invalid_request", message or "the request can not be read"))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's own
        """Say nothing of single requests."""

    # --- inside -------------------------------------------------------------------------------------------------------

    def _answer(self) -> Answered:
        service, headers = self.server.service, self._headers()
        if not service.knows(headers):
            self.close_connection = self.close_connection or self._has_body()
            return service.answer(Asked(self.command, self.path, {}))
        body = self._body()
        if isinstance(body, Answered):
            self.close_connection = True
            return body
        self._peer.work()
        try:
            return service.answer(Asked(self.command, self.path, headers, body))
        except Exception as error:  # noqa: BLE001 - a thread's last resort
            log("error", f"this should not have happened: {type(error).__name__}", path=self.path.partition("?")[0])
            return failure(500, "internal_error", "this should not have happened")

    def _headers(self) -> Mapping[str, str]:
        return {name.lower(): value for name, value in self.headers.items()}

    def _has_body(self) -> bool:
        return self.headers.get("content-length", "0") != "0" or "transfer-encoding" in self.headers

    def _body(self) -> bytes | Answered:
        lengths = self.headers.get_all("content-length", [])
        if "transfer-encoding" in self.headers:
            return failure(411, "length_required", "a body needs its Content-Length")
        if not lengths:
            return b""
        if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
            return failure(400, "invalid_request", "Content-Length is not right")
        if int(lengths[0]) > MOST_BODY:
            return failure(413, "too_large", f"a body may have {MOST_BODY} bytes")
        if self.headers.get("expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._peer.wait(self._limits.body)
        data = self.rfile.read(int(lengths[0]))
        if len(data) < int(lengths[0]):
            raise ConnectionError
        return data

    def _reply(self, answered: Answered) -> None:
        trace = self._trace()
        data = files.bytes_of(answered.document)
        closing = self.close_connection or self.server.service.stopping.is_set()
        self.close_connection = closing
        lines = {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            BINDS_KEYS[0]: BINDS_KEYS[1],
            **({"X-Trace-Id": trace} if trace else {}),
            **answered.headers,
            "Connection": "close" if closing else "keep-alive",
        }
        head = f"HTTP/1.1 {answered.status} {self.responses.get(answered.status, ('Answer',))[0]}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
        at_work = self._peer.at_work
        self._peer.deadline = time.monotonic() + self._limits.send
        self.wfile.write(head.encode("latin-1") + (b"" if self.command == "HEAD" else data))
        if at_work:
            self._peer.work()

    def _trace(self) -> str | None:
        given = getattr(self, "headers", None)
        return None if given is None else Asked("", "", {"x-trace-id": given.get("x-trace-id", "")}).trace_id


def run(server: Server, ready: Callable[[str], None]) -> int:
    """Serve until SIGTERM or Ctrl-C; say where, once that would end it in good order."""
    told: list[int] = []  # an event's lock may be held by whom the signal interrupts
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: told.append(number))
    ready(server.url)
    server.serve_until(lambda: bool(told))
    return 0


def tls_of(certificate: str, key: str) -> ssl.SSLContext:
    """Read a certificate and its key; raises `CertificateInvalid`."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        raise CertificateInvalid(
            f"{certificate} and {key} can not be used: {getattr(error, 'strerror', error)}"
        ) from None
    return context


def log(level: str, message: str, **more: object) -> None:
    """Say something on the error stream, in a line of JSON."""
    document = {
        "time": stamp(system_clock() // 1000),
        "level": level,
        "logger": "interlock.loops.service",
        "message": message,
    }
    with suppress(OSError, ValueError):
        sys.stderr.write(files.text_of({**document, **more}) + "\n")
        sys.stderr.flush()


def _no_password() -> str:
    raise ValueError("the key has a password")


def _refuse(sock: socket.socket, *, plain: bool) -> None:
    """Say that there is no room, where that can be said at once."""
    if plain:
        data = files.bytes_of(failure(503, "overloaded", "too many connections").document)
        head = f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        with suppress(OSError):
            sock.settimeout(0)
            sock.send(head.encode() + b"Retry-After: 1\r\nConnection: close\r\n\r\n" + data)


def _end_commands() -> None:
    """End the runtime's commands that are still at work: whoever waits for them records that."""
    for pid in processes.descendants(os.getpid()):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
