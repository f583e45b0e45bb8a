"""The wire to a provider, under every client library.

Whatever a library picked up from the environment on its way (keys, organisations, proxies, addresses, telemetry
headers) ends here: a request goes only to the configured address, through no proxy, with a handful of headers and our
key; a redirect is not followed; an answer is read whole, up to a bound and within the call's time, and is a JSON object
or a failure.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import socket
import ssl
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar, cast

import httpcore2
import httpx2

from interlock.providers.addresses import forbidden, is_metadata_name
from interlock.providers.calling import Call
from interlock.providers.errors import ProviderError, ProviderFailed, ProviderUnreachable
from interlock.providers.models import Target
from interlock.providers.secrets import without

PLACEHOLDER = "interlock"
"""What client libraries are given as the key: none of them ever holds the real one."""
USER_AGENT = "interlock"
NOT_THERE = "status_404"
"""The reason of a failure when what was asked for is not there."""
_KEPT_HEADERS = {"accept", "content-type", "content-length", "transfer-encoding", "host", "anthropic-version"}
_CHUNK = 64 * 1024
_MOST_TOLD = 300
_LIBRARIES = ("openai", "anthropic", "google_genai", "httpx2", "httpcore2")
Done = TypeVar("Done")


@contextmanager
def connected(target: Target, call: Call, authorization: Callable[[str], tuple[str, str]]) -> Generator[httpx2.Client]:
    """Give the client that a library is to send with; what went wrong on the wire is raised as it was found there.

    `authorization` makes a header of the key.
    """
    for name in _LIBRARIES:  # their variables can make them log whole prompts
        logging.getLogger(name).setLevel(logging.WARNING)
    header = None if target.key is None else authorization(target.key)
    wire = _Wire(target, call, header)
    try:
        with httpx2.Client(transport=wire, trust_env=False, follow_redirects=False, timeout=None) as client:
            yield client
    except Exception as error:  # noqa: BLE001 - a library stumbles over a strange answer in ways of its own
        raise call.verdict or _unforeseen(target, call, error) from None


def _unforeseen(target: Target, call: Call, error: Exception) -> ProviderError:
    if isinstance(error, ProviderError):
        return error
    call.remaining()  # late, whatever else
    told = f"what {target.name} answered is not what a provider of type {target.type.value} answers"
    return ProviderFailed(f"{told} ({type(error).__name__})", reason="malformed")


class _Wire(httpx2.BaseTransport):
    """Sends one request, and reads its whole answer."""

    def __init__(self, target: Target, call: Call, authorization: tuple[str, str] | None) -> None:
        self._target = target
        self._call = call
        self._authorization = authorization
        self._pool = httpcore2.ConnectionPool(
            # Whom to trust is the one thing that the environment may say here: SSL_CERT_FILE and SSL_CERT_DIR.
            ssl_context=httpx2.create_ssl_context() if target.address.startswith("https:") else None,
            max_connections=1,
            max_keepalive_connections=0,
            network_backend=_Network(call, target.name),
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            return self._exchange(request)
        except ProviderError as error:
            self._call.verdict = error
            raise
        except httpcore2.TimeoutException:
            self._call.verdict = self._call.late()
            raise self._call.verdict from None
        except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError) as error:
            self._call.verdict = self._broken(error)
            raise self._call.verdict from None

    def close(self) -> None:
        self._pool.close()

    def _exchange(self, request: httpx2.Request) -> httpx2.Response:
        base, url = httpx2.URL(self._target.address), request.url
        if (url.scheme, url.host, url.port) != (base.scheme, base.host, base.port):
            raise ProviderFailed(f"{self._target.name} would not be asked at its own address", reason="misdirected")
        body = request.read()
        if request.method == "POST":
            self._call.sent = body
        with self._pool.stream(
            request.method,
            httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=self._headers(request),
            content=body or None,
        ) as answer:
            data = self._read(answer)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
        self._judge(answer.status, headers, data)
        return httpx2.Response(200, headers={"content-type": "application/json"}, content=data, request=request)

    def _headers(self, request: httpx2.Request) -> list[tuple[str, str]]:
        kept = [(name, value) for name, value in request.headers.items() if name.lower() in _KEPT_HEADERS]
        own = [("user-agent", USER_AGENT), ("accept-encoding", "identity"), ("connection", "close")]
        return [*kept, *own, *([self._authorization] if self._authorization else [])]

    def _read(self, answer: httpcore2.Response) -> bytes:
        data = bytearray()
        for chunk in cast("Iterable[bytes]", answer.iter_stream()):
            data += chunk
            if len(data) > self._call.max_response_bytes:
                raise ProviderFailed(
                    f"{self._target.name} answered more than {self._call.max_response_bytes} bytes", reason="too_large"
                )
        return bytes(data)

    def _judge(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        """Keep an answer that is one; raises `ProviderFailed` for every other."""
        name, told = self._target.name, _told(data, self._target.key)
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            later = _seconds(headers.get("retry-after"))
            wait = f"try again in {later:g} s" if later is not None else "try again later"
            raise ProviderFailed(
                f"{name} has had too many requests (429){told}",
                reason="rate_limited",
                hint=wait,
                retry_after_seconds=later,
            )
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            # What it says here may hold the key, or what is left of it.
            key = "its key" if self._target.key is not None else "a request without a key"
            raise ProviderFailed(f"{name} refused {key} ({status})", reason="key_refused")
        if 300 <= status < 400:
            raise ProviderFailed(
                f"{name} redirects to another address ({status}), which is not followed", reason="redirect"
            )
        if not 200 <= status < 300:
            raise ProviderFailed(f"{name} answered {status}{told}", reason=f"status_{status}")
        if headers.get("content-encoding", "identity") != "identity":
            raise ProviderFailed(f"{name} answered in an encoding that it was not asked for", reason="malformed")
        self._call.answer = _object(data, name)
        if isinstance(self._call.answer.get("error"), dict | str):
            raise ProviderFailed(f"{name} answered with an error{told}", reason="error")

    def _broken(self, error: Exception) -> ProviderError:
        name = self._target.name
        if self._call.ended():
            return self._call.late()
        if isinstance(error, httpcore2.ConnectError):
            return ProviderUnreachable(f"{name} can not be reached: {_plain(str(error))}", reason="offline")
        return ProviderFailed(f"{name} broke its answer off, or speaks no HTTP", reason="broken_off")


class _Network(httpcore2.NetworkBackend):
    """Connects to what a name means now and may mean, and gives every wait no more than what is left of the call."""

    def __init__(self, call: Call, name: str) -> None:
        self._call = call
        self._name = name

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the call's own counts
        local_address: str | None = None,  # noqa: ARG002 - the interface's
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 - the interface's
    ) -> httpcore2.NetworkStream:
        refusal = "nobody listens there"
        for family, address in self._addresses(host, port):
            connection = socket.socket(family, socket.SOCK_STREAM)
            try:
                self._call.holds(connection)
                connection.settimeout(self._call.remaining())
                connection.connect(address)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except TimeoutError:
                connection.close()
                raise self._call.late() from None
            except OSError as error:
                connection.close()
                refusal = error.strerror or refusal
            except BaseException:
                connection.close()
                raise
            else:
                return _Stream(connection, self._call)
        self._call.remaining()
        raise httpcore2.ConnectError(refusal)

    def _addresses(self, host: str, port: int) -> list[tuple[socket.AddressFamily, Any]]:
        """Look a name up; raises `ProviderFailed` if anything that it means is forbidden."""
        if is_metadata_name(host):
            raise ProviderFailed(f"{self._name}: {host} is a metadata service", reason="address_forbidden")
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise ProviderUnreachable(f"{self._name}: the name {host} is not known", reason="name_unknown") from None
        for *_, place in found:
            why = forbidden(ipaddress.ip_address(place[0]))
            if why:
                raise ProviderFailed(f"{self._name}: {host} is at {why}", reason="address_forbidden")
        return [(family, place) for family, *_, place in found]


class _Stream(httpcore2.NetworkStream):
    """A connection whose every wait ends with the call."""

    def __init__(self, connection: socket.socket, call: Call) -> None:
        self._connection = connection
        self._call = call

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the call's own counts
        return self._within(partial(self._connection.recv, min(max_bytes, _CHUNK)), httpcore2.ReadError)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 - the call's own counts
        rest = memoryview(buffer)
        while rest:
            rest = rest[self._within(partial(self._connection.send, rest), httpcore2.WriteError) :]

    def close(self) -> None:
        self._connection.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002 - the call's own counts
    ) -> httpcore2.NetworkStream:
        wrap = partial(ssl_context.wrap_socket, self._connection, server_hostname=server_hostname)
        connection = self._within(wrap, httpcore2.ConnectError)
        self._call.holds(connection)
        return _Stream(connection, self._call)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - the interface's
        return self._connection if info == "socket" else None

    def _within(self, deed: Callable[[], Done], broken: type[Exception]) -> Done:
        self._connection.settimeout(self._call.remaining())
        try:
            return deed()
        except TimeoutError:
            raise self._call.late() from None
        except ssl.SSLCertVerificationError as error:
            raise broken(f"its certificate is not trusted ({error.verify_message})") from None
        except OSError as error:
            raise broken(error.strerror or "the connection broke") from None


# --- reading ----------------------------------------------------------------------------------------------------------


def _object(data: bytes, name: str) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ProviderFailed(f"what {name} answered is not a JSON object", reason="malformed")
    return cast("dict[str, Any]", found)


def _told(data: bytes, key: str | None) -> str:
    """Return what an error's body says, as the end of a sentence."""
    try:
        found: Any = json.loads(data)
    except (ValueError, RecursionError):
        return ""
    for place in (("error", "message"), ("error",), ("message",), ("detail",), (0, "error", "message")):
        said = at(found, *place)
        if isinstance(said, str) and said.strip():
            return f": {_plain(without(said, key))}"
    return ""


def _plain(text: str) -> str:
    """Make a foreign text safe to show: one line, of bounded length."""
    line = " ".join(text[: 4 * _MOST_TOLD].split())
    shown = "".join(c if c.isprintable() else "?" for c in line)
    return shown if len(shown) <= _MOST_TOLD else f"{shown[:_MOST_TOLD]} […]"


def _seconds(text: str | None) -> float | None:
    """Read a Retry-After of seconds; one that names a date says nothing that we would believe."""
    return float(text) if text and text.isascii() and text.isdigit() and len(text) < 7 else None


def at(found: Any, *place: str | int) -> Any:  # noqa: ANN401 - JSON of any shape
    """Return what stands at a place in JSON, or None where there is no such place."""
    for step in place:
        if isinstance(step, str) and isinstance(found, dict):
            found = cast("dict[str, Any]", found).get(step)
        elif isinstance(step, int) and isinstance(found, list) and len(cast("list[Any]", found)) > step:
            found = cast("list[Any]", found)[step]
        else:
            return None
    return found


def text_at(found: Any, *place: str | int) -> str | None:  # noqa: ANN401 - JSON of any shape
    """Return the text at a place, or None."""
    said = at(found, *place)
    return said if isinstance(said, str) else None


def word_at(found: Any, *place: str | int) -> str | None:  # noqa: ANN401 - JSON of any shape
    """Return a short text at a place, fit to be logged, or None."""
    said = text_at(found, *place)
    return _plain(said)[:128] if said and said.isascii() else None


def count_at(found: Any, *place: str | int) -> int | None:  # noqa: ANN401 - JSON of any shape
    """Return a number of things at a place, or None."""
    said = at(found, *place)
    return said if isinstance(said, int) and not isinstance(said, bool) and 0 <= said < 2**53 else None
