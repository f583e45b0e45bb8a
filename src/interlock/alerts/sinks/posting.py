"""What sinks have in common: what they are, and one POST: http(s) only, no redirect, bounded in bytes and in time."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Final, Protocol
from urllib.parse import unquote, urlsplit

from interlock import __version__
from interlock.alerts.models import Delivered, Document, Message, Outcome, Refused
from interlock.kernel.clock import system_clock

HTTP_ERROR: Final = "http_error"
REQUEST_FAILED: Final = "request_failed"
MISSING_SECRET: Final = "missing_secret"  # noqa: S105 - a reason code
UNSUPPORTED: Final = "unsupported_sink_type"
INVALID_RESULT: Final = "invalid_sink_result"
DISPATCH_FAILED: Final = "sink_dispatch_failed"
EXCERPT: Final = 300
_MOST_ANSWER = 64 * 1024
_MOST_RETRY_AFTER = 24 * 3600
_SEEN = re.compile(r"[!-~]+", re.ASCII)
_FEWEST = 6
"""Shorter pieces of a secret are words, and would be found everywhere."""


class Send(Protocol):
    """Sends one message."""

    def __call__(self, message: Message, config: Document, secrets: Mapping[str, str], timeout: float) -> Outcome:
        """Send it; `secrets` are by the names that the configuration has for their variables."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """One type of sink."""

    send: Send
    secrets: Mapping[str, bool]
    """Which keys name variables with secrets, and whether they are needed."""
    config: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
    """Which other keys there are, and their defaults."""
    headers: bool = False
    """Whether it takes headers."""
    shy: frozenset[str] = frozenset()
    """Keys of secrets that are shown only where they are set."""

    def refs(self, definition: Document) -> Document:
        """Return which variables a sink's secrets stand in."""
        return {
            name: definition.get(name)
            for name in self.secrets
            if name not in self.shy or definition.get(name) is not None
        }

    def shown(self, definition: Document) -> Document:
        """Return what else is set."""
        headers: Document = {"headers": definition.get("headers") or {}} if self.headers else {}
        return headers | {
            name: default if definition.get(name) is None else definition[name] for name, default in self.config.items()
        }


def post(
    url: str, body: Document, headers: Mapping[str, str], timeout: float, *, secrets: Mapping[str, str]
) -> Outcome:
    """POST a document. No text of the outcome holds a secret."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not host or not _SEEN.fullmatch(url):
        return Refused(REQUEST_FAILED, "the address in the variable is no http(s) address")
    connection = (
        http.client.HTTPSConnection(host, port, timeout=timeout, context=ssl.create_default_context())
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, port, timeout=timeout)
    )
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    data = json.dumps(body, ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode()
    sent = {
        "User-Agent": f"interlock/{__version__}",
        "Content-Type": "application/json",
        **headers,
        "Connection": "close",
    }
    with _deadline(connection, timeout) as over:
        try:
            connection.request("POST", target, data, sent)
            answer = connection.getresponse()
            excerpt = answer.read(_MOST_ANSWER)
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = f"no answer within {timeout:g} s" if over.is_set() or isinstance(error, TimeoutError) else _why(error)
            return Refused(REQUEST_FAILED, cleaned(why, secrets))
        if over.is_set():  # what was read ends where we broke it off
            return Refused(REQUEST_FAILED, f"no whole answer within {timeout:g} s")
    return judged(answer.status, excerpt, answer.headers.get("Retry-After"), secrets)


def judged(status: int, body: bytes, retry_after: str | None, secrets: Mapping[str, str]) -> Outcome:
    """Say what an answer means. A redirection is none of ours to follow."""
    if 200 <= status < 300:
        return Delivered(status)
    return Refused(
        HTTP_ERROR,
        cleaned(f"HTTP {status}: {body.decode('utf-8', 'replace')}", secrets),
        http_status=status,
        retry_after=seconds_to_wait(retry_after),
    )


def seconds_to_wait(retry_after: str | None) -> int | None:
    """Read a `Retry-After`: seconds, or an instant."""
    given = (retry_after or "").strip()
    if given.isascii() and given.isdigit():
        return min(int(given[:9]), _MOST_RETRY_AFTER)
    try:
        at = parsedate_to_datetime(given).timestamp() if given else None
    except (ValueError, OverflowError):
        return None
    return None if at is None else min(max(0, int(at - system_clock() / 1000)), _MOST_RETRY_AFTER)


def cleaned(text: str, secrets: Mapping[str, str]) -> str:
    """Return a text in one short line, without any part of a secret."""
    for secret in sorted(secrets.values(), key=len, reverse=True):
        for piece in _pieces(secret):
            text = text.replace(piece, "[REDACTED]")
    return "".join(each if each.isprintable() else " " for each in text)[:EXCERPT]


def _pieces(secret: str) -> list[str]:
    """Return a secret and what of it, were it an address, would tell it: path, query, user and password."""
    found = {secret, unquote(secret)}
    with contextlib.suppress(ValueError):
        parts = urlsplit(secret)
        if parts.scheme and parts.netloc:
            user = parts.netloc.rpartition("@")[0]
            inner = (*parts.path.split("/"), *re.split("[&=]", parts.query), *user.split(":"), parts.path, parts.query)
            found |= {each for each in (*inner, *map(unquote, inner)) if len(each) >= _FEWEST}
    return sorted((each for each in found if each), key=len, reverse=True)


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, socket.gaierror):
        return "its host is not known"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"no answer: {type(error).__name__}"


@contextlib.contextmanager
def _deadline(connection: http.client.HTTPConnection, seconds: float) -> Any:  # noqa: ANN401 - a context manager of an Event
    """Break a connection off that takes longer than this in all: a socket's own limit begins anew with each byte."""
    over = threading.Event()

    def end() -> None:
        over.set()
        found: socket.socket | None = connection.sock
        if found is not None:
            with contextlib.suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield over
    finally:
        timer.cancel()
        connection.close()
