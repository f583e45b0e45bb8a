"""Asking a loop service over HTTP: how often, how long, and what may be asked twice.

Reading is asked again after any failure that may pass. A control is asked again only if it certainly was not received,
or under its idempotency key of a service that says it binds keys: then the same command can not run twice.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from interlock.kernel.errors import Invalid, Unreachable
from interlock.loops import files
from interlock.loops.files import Document
from interlock.loops.models import at, text, whole

BINDS_KEYS: Final = ("X-Ops-Idempotency", "bound")
"""The header by which a service says that one key runs one command once."""
AGAIN: Final = "X-Ops-Attempt"
"""Says that this was asked before, and perhaps done: then what is stored is wanted, whatever it is."""
SAFE_TRACE: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
MOST_ANSWER: Final = 64 * 1024 * 1024
_MAY_PASS: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_NOT_RECEIVED: Final = frozenset({408, 425, 429})
_LONGEST_PAUSE = 30.0
_LAST_LINES, _MOST_TOLD = 40, 4000
_AROUND: Final = 8


class ServiceAddressInvalid(Invalid):
    """A service's address is `http://host:port` or `https://host:port`, perhaps with a path."""

    code = "service_address_invalid"


class ServiceRequestFailed(Unreachable):
    """The service did not answer, or not as it should."""

    code = "service_request_failed"

    def __init__(self, message: str = "", *, status: int = 0, body: bytes = b"", unknown: bool = False) -> None:
        """Take the sentence, the answer if there was one, and whether nobody knows what was done."""
        super().__init__(message)
        self.status, self.body, self.unknown = status, body, unknown
        self.final = False
        """Whether asking again would change nothing."""

    @property
    def reason(self) -> str | None:
        """Return the code of what went wrong behind the service, if it says."""
        return text(files.parsed(self.body), "error", "reason")

    def after(self, earlier: ServiceRequestFailed, *, unknown: bool) -> ServiceRequestFailed:
        """Stay unknown once it is: what a later attempt says does not tell what an earlier one has done."""
        self.unknown = earlier.unknown or unknown
        return self


class Base(NamedTuple):
    """Where a service is."""

    scheme: str
    host: str
    port: int
    path: str
    shown: str

    @classmethod
    def of(cls, url: str) -> Base:
        """Read an address; raises `ServiceAddressInvalid`, which never shows what a secret could be in."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ServiceAddressInvalid from None
        plain = url.isascii() and url.isprintable() and " " not in url
        if parts.scheme not in {"http", "https"} or not host or "@" in parts.netloc or not plain:
            raise ServiceAddressInvalid
        if parts.query or parts.fragment:
            raise ServiceAddressInvalid
        path = parts.path.rstrip("/")
        default = 443 if parts.scheme == "https" else 80
        return cls(
            parts.scheme, host, default if port is None else port, path, f"{parts.scheme}://{parts.netloc}{path}"
        )


class Answer(NamedTuple):
    """What a service said."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def document(self) -> Document | None:
        """The JSON object in it, if that is what it is."""
        return files.parsed(self.body, around=_AROUND)


class _Missed(Exception):
    """There was no answer; it was certainly not received, or nobody knows."""

    def __init__(self, why: str, *, received: bool) -> None:
        super().__init__(why)
        self.why, self.received = why, received


@dataclass(kw_only=True)
class Client:
    """Asks one service."""

    base: Base
    token: str = field(default="", repr=False)
    trace_id: str = ""
    attempts: int = 3
    backoff_seconds: float = 1
    connect_seconds: float = 5
    most_seconds: float = 30
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def __post_init__(self) -> None:
        """Refuse a token that no header can carry."""
        if self.token and not self.token.isprintable():
            raise Invalid("a service token is one line of text")

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Read; raises `ServiceRequestFailed` after the last attempt."""
        for attempt in range(1, self.attempts + 1):
            last = attempt == self.attempts
            try:
                answer = self._once("GET", path, None, headers or {})
            except _Missed as missed:
                if last:
                    raise self.failed("GET", path, None, missed.why) from None
                self._pause(attempt)
                continue
            if answer.status // 100 == 2:
                return answer
            failed = self.failed("GET", path, answer)
            if last or answer.status not in _MAY_PASS or failed.reason is not None:
                raise failed
            self._pause(attempt, answer)
        raise AssertionError  # there is at least one attempt

    def post(self, path: str, body: bytes, *, bound: bool) -> Answer:
        """Do something once, or answer what came of it; raises `ServiceRequestFailed`.

        `bound`: the body names an idempotency key. An answer that tells what came of it is returned, whatever its code.
        """
        failed = ServiceRequestFailed()
        for attempt in range(1, self.attempts + 1):
            if attempt > 1:
                self._pause(attempt - 1)
            if failed.unknown and not self._may_ask_again(failed):
                if failed.final:
                    break
                continue
            headers = {AGAIN: str(attempt)} if failed.unknown else {}
            try:
                answer = self._once("POST", path, body, headers)
            except _Missed as missed:
                failed = self.failed("POST", path, None, missed.why).after(failed, unknown=missed.received)
            else:
                if answer.status // 100 == 2 or whole(answer.document, "exitCode") is not None:
                    return answer
                failed = self.failed("POST", path, answer).after(failed, unknown=_may_have_run(answer))
                failed.final = not (failed.unknown or answer.status in _NOT_RECEIVED or answer.status == 503)
            if failed.final or (failed.unknown and not bound):
                break
        raise failed

    # --- inside -------------------------------------------------------------------------------------------------------

    def _may_ask_again(self, failed: ServiceRequestFailed) -> bool:
        """Say whether the service is there, and one that runs a key's command only once."""
        try:
            answer = self._once("GET", "/healthz", None, {})
        except _Missed:
            return False
        binds = answer.headers.get(BINDS_KEYS[0].lower()) == BINDS_KEYS[1]
        failed.final = answer.status == 200 and not binds
        return answer.status == 200 and binds

    def _pause(self, attempt: int, answer: Answer | None = None) -> None:
        wanted = (answer.headers.get("retry-after") or "") if answer is not None else ""
        asked = float(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 6 else 0.0
        self.sleep(max(self.backoff_seconds * attempt, min(asked, _LONGEST_PAUSE)))

    def _once(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        connection = self._connected()
        deadline = time.monotonic() + self.most_seconds
        cut = threading.Timer(self.most_seconds, _cut, (connection,))
        cut.daemon = True
        cut.start()
        try:
            answer = self._exchange(connection, method, path, body, {**self._headers(body), **headers})
        except _Missed as missed:
            late = time.monotonic() >= deadline
            raise _Missed("timed out" if late else missed.why, received=missed.received) from None
        finally:
            cut.cancel()
            connection.close()
        if time.monotonic() >= deadline:  # what was there when it was cut may look like all of it
            raise _Missed("timed out", received=True)
        return answer

    def _connected(self) -> HTTPConnection:
        base = self.base
        if base.scheme == "https":
            from http.client import HTTPSConnection
            from ssl import create_default_context

            connection: HTTPConnection = HTTPSConnection(
                base.host, base.port, timeout=self.connect_seconds, context=create_default_context()
            )
        else:
            connection = HTTPConnection(base.host, base.port, timeout=self.connect_seconds)
        try:
            connection.connect()
            connection.sock.settimeout(self.most_seconds)
        except (OSError, UnicodeError) as error:
            connection.close()
            raise _Missed(_why(error), received=False) from None
        return connection

    def _exchange(
        self, connection: HTTPConnection, method: str, path: str, body: bytes | None, headers: Mapping[str, str | bytes]
    ) -> Answer:
        sent = False
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before it had read all
                connection.request(method, f"{self.base.path}{path}", body=body, headers=headers)  # pyright: ignore[reportArgumentType] - a header may be bytes
                sent = True
            with closing(connection.getresponse()) as response:
                data, left = response.read(MOST_ANSWER + 1), response.length
        except (OSError, HTTPException, ValueError) as error:
            raise _Missed(_why(error), received=sent) from None
        if len(data) > MOST_ANSWER:
            raise _Missed(f"more than {MOST_ANSWER} bytes", received=True)
        if left:
            raise _Missed("the answer ended too early", received=True)
        return Answer(response.status, data, {name.lower(): value for name, value in response.getheaders()})

    def _headers(self, body: bytes | None) -> dict[str, str | bytes]:
        headers: dict[str, str | bytes] = {"Accept": "application/json", "Connection": "close"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self.token:
            token = self.token.encode("utf-8", "surrogateescape")
            headers |= {"Authorization": b"Bearer " + token, "X-Ops-Token": token}
        if SAFE_TRACE.fullmatch(self.trace_id):
            headers["X-Trace-Id"] = self.trace_id
        return headers

    def failed(self, method: str, path: str, answer: Answer | None, why: str = "") -> ServiceRequestFailed:
        """Return the error that tells of an answer, or of why there was none."""
        status = answer.status if answer is not None else 0
        told = _told(answer.body) if answer is not None else why
        if self.token:
            told = told.replace(self.token, "[token]")
        message = f"service request failed (method={method} url={self.base.shown}{path} code={status:03})"
        failed = ServiceRequestFailed(f"{message}: {told}" if told else message, status=status)
        failed.body = answer.body if answer is not None else b""
        return failed


def _may_have_run(answer: Answer) -> bool:
    """Say whether a failed answer to a control leaves it open what was done."""
    told_by_service = text(answer.document, "error", "code") is not None
    return answer.status >= 500 and answer.status != 501 and not (answer.status == 503 and told_by_service)


def _cut(connection: HTTPConnection) -> None:
    """End a request that takes too long, however slowly it trickles."""
    sock = connection.sock
    with suppress(OSError, AttributeError):
        sock.shutdown(2)


def _told(body: bytes) -> str:
    message = at(files.parsed(body), "error", "message")
    if isinstance(message, str) and message:
        return message[:_MOST_TOLD]
    return "\n".join(body.decode("utf-8", "replace").rstrip("\n").split("\n")[-_LAST_LINES:])[-_MOST_TOLD:]


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    verified = getattr(error, "verify_message", "")
    if verified:
        return f"its certificate is not trusted: {verified}"
    strerror = getattr(error, "strerror", None)
    return str(strerror or error)[:300] or type(error).__name__
