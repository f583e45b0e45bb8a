"""One server, asked by one caller: requests, what is tried again, and what their answers mean."""

from __future__ import annotations

import http.client
import json
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar, cast
from urllib.parse import quote, urlencode

from interlock import __version__
from interlock.kernel.clock import system_clock
from interlock.kernel.errors import InterlockError, Invalid
from interlock.remote.address import Address
from interlock.remote.errors import AnswerLost, NotInterlock, ServerAway
from interlock.remote.problems import error_of

Read = TypeVar("Read")

_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 60.0
LONG_SECONDS = 900.0
"""For what a server may be long about: a model that writes, an archive that is packed."""
_PAUSES = (0.1, 0.4)
_IDLE_SECONDS = 5.0
"""A connection that was not used for so long is not trusted any more: the server may be about to close it."""
_MOST_WAIT_SECONDS = 120.0
_MOST_BYTES = 256 * 1024 * 1024
_CLOCK_MS = 2000
"""A server's `Date` is cut to the second, and up to a second old."""
_TAG = re.compile(r'(?:W/)?"([^"]*)"')
_NEXT = re.compile(r'<[^>]*[?&]after=([0-9.]+)[^>]*>; rel="next"')


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said to a request that it granted."""

    headers: Mapping[str, str]
    """By names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON of any shape
        """The body; raises `NotInterlock`."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise NotInterlock("the server's answer is no JSON") from None

    @property
    def tag(self) -> str:
        """The version that the ETag names."""
        match = _TAG.fullmatch(self.headers.get("etag", ""))
        return match[1] if match else ""

    @property
    def following(self) -> str | None:
        """Where the next page begins, if there is one."""
        match = _NEXT.search(self.headers.get("link", ""))
        return match[1] if match else None


class _BrokenOff(Exception):
    """A request that got no answer."""

    def __init__(self, why: str, *, sent: bool, slow: bool) -> None:
        super().__init__(why)
        self.why, self.sent, self.slow = why, sent, slow


@dataclass(slots=True)
class Connection:
    """One server, asked by one caller."""

    address: Address
    _: KW_ONLY
    token: str = field(repr=False)
    correlation_id: str | None = None
    _open: http.client.HTTPConnection | None = field(default=None, repr=False)
    _used: float = 0.0
    _ahead_ms: int | None = None

    # --- what rooms ask -----------------------------------------------------------------------------------------------

    def get(self, path: str, **query: object) -> Answer:
        """Read something; tried again where the connection breaks."""
        asked = {name: str(value) for name, value in query.items() if value is not None}
        return self._granted("GET", f"{path}?{urlencode(asked, quote_via=quote)}" if asked else path, again=True)

    def make(self, path: str, body: Mapping[str, Any], *, seconds: float = _ANSWER_SECONDS) -> Answer:
        """Make something once: under a key of this call, so that it may be tried again."""
        key = {"Idempotency-Key": f"cli-{uuid.uuid4().hex}"}
        return self._granted("POST", path, body, key, again=True, seconds=seconds)

    def again(self, path: str, body: Mapping[str, Any], *, seconds: float = _ANSWER_SECONDS) -> Answer:
        """Send what is done once however often it is asked; tried again where the connection breaks."""
        return self._granted("POST", path, body, again=True, seconds=seconds)

    def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        if_match: str | None = None,
        seconds: float = _ANSWER_SECONDS,
    ) -> Answer:
        """Change something; not tried again, as it may have been done."""
        headers = {} if if_match is None else {"If-Match": f'"{if_match}"'}
        return self._granted(method, path, body, headers, seconds=seconds)

    def now(self) -> int:
        """Return the server's time in milliseconds, as far as its answers tell it."""
        if self._ahead_ms is None:
            self.get("/ops/me")
        return system_clock() + (self._ahead_ms or 0)

    def close(self) -> None:
        """Hang up."""
        if self._open is not None:
            self._open.close()
            self._open = None

    # ------------------------------------------------------------------------------------------------------------------

    def _granted(
        self,
        method: str,
        target: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        again: bool = False,
        seconds: float = _ANSWER_SECONDS,
    ) -> Answer:
        data = None if body is None else _encoded(body)
        waited = 0.0
        while True:
            status, answer = self._patiently(method, target, data, headers or {}, again=again, seconds=seconds)
            wait = _asked_to_wait(status, answer)
            if wait is None or waited + wait > _MOST_WAIT_SECONDS:
                break
            time.sleep(wait)
            waited += wait
        if 200 <= status < 300:
            return answer
        raise self._refusal(status, answer)

    def _refusal(self, status: int, answer: Answer) -> InterlockError:
        if 300 <= status < 400:
            return NotInterlock(f"{self.address} sends callers elsewhere ({status}), and a token does not follow")
        told = error_of(status, answer.body.replace(self.token.encode(), b"***"))
        return told or NotInterlock(f"{self.address} answered {status} in words that are not Interlock's")

    def _patiently(
        self, method: str, target: str, data: bytes | None, headers: Mapping[str, str], *, again: bool, seconds: float
    ) -> tuple[int, Answer]:
        for pause in (*_PAUSES, None):
            try:
                return self._exchange(method, target, data, headers, seconds)
            except _BrokenOff as broken:
                self.close()
                if pause is None or broken.slow or (broken.sent and not again):
                    raise self._away(broken, changes=method != "GET") from None
            time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _away(self, broken: _BrokenOff, *, changes: bool) -> InterlockError:
        if broken.sent and changes:
            return AnswerLost(f"{self.address} did not answer to the end: {broken.why}")
        return ServerAway(f"{self.address} does not answer: {broken.why}")

    def _exchange(
        self, method: str, target: str, data: bytes | None, headers: Mapping[str, str], seconds: float
    ) -> tuple[int, Answer]:
        opened = self._connected()
        try:
            opened.sock.settimeout(seconds)
            _put(opened, method, self.address.prefix + target, data, {**self._headers(data), **headers})
            answered = opened.getresponse()
            body = answered.read(_MOST_BYTES + 1)
        except TimeoutError:
            raise _BrokenOff(f"nothing came within {seconds:g} s", sent=True, slow=True) from None
        except (OSError, http.client.HTTPException) as error:
            raise _BrokenOff(_words(error), sent=True, slow=False) from None
        if len(body) > _MOST_BYTES:
            raise _BrokenOff("the answer is too long", sent=True, slow=True)
        if answered.will_close:
            self.close()
        self._used = time.monotonic()
        found = {name.lower(): value for name, value in answered.getheaders()}
        self._look_at_clock(found)
        return answered.status, Answer(found, body)

    def _connected(self) -> http.client.HTTPConnection:
        if self._open is not None and time.monotonic() - self._used > _IDLE_SECONDS:
            self.close()
        if self._open is None:
            made = self._connection()
            try:
                made.connect()
            except TimeoutError:
                why = f"nobody took the call within {_CONNECT_SECONDS:g} s"
                raise _BrokenOff(why, sent=False, slow=True) from None
            except OSError as error:
                raise _BrokenOff(_words(error), sent=False, slow=_is_final(error)) from None
            self._open = made
        return self._open

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self.address.host, self.address.port
        if not self.address.secure:
            return http.client.HTTPConnection(host, port, timeout=_CONNECT_SECONDS)
        import ssl

        return http.client.HTTPSConnection(host, port, timeout=_CONNECT_SECONDS, context=ssl.create_default_context())

    def _headers(self, data: bytes | None) -> dict[str, str]:
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Accept": "application/json",
            "User-Agent": f"interlock/{__version__}",
        }
        if data is not None:
            headers["Content-Type"] = "application/json"
        if self.correlation_id is not None:
            headers["X-Correlation-ID"] = self.correlation_id
        return headers

    def _look_at_clock(self, headers: Mapping[str, str]) -> None:
        """Keep how far the server's clock is off ours, where that is more than its `Date` is coarse."""
        try:
            told = round(parsedate_to_datetime(headers["date"]).timestamp()) * 1000
        except (KeyError, TypeError, ValueError, OverflowError):
            self._ahead_ms = 0
            return
        here = system_clock()
        self._ahead_ms = min(max(here, told), told + _CLOCK_MS) - here


def quoted(part: str) -> str:
    """Return a text as one part of a path."""
    return quote(part, safe="")


def understood(reader: Callable[[Any], Read], data: Any) -> Read:  # noqa: ANN401 - JSON of any shape
    """Read an answer into a room's words; raises `NotInterlock` where it has another shape."""
    try:
        return reader(data)
    except (KeyError, TypeError, ValueError, AttributeError, InterlockError) as error:
        raise NotInterlock(f"the server's answer is not what this version understands ({error})"[:300]) from None


def several(reader: Callable[[Any], Read], data: Any) -> list[Read]:  # noqa: ANN401 - JSON of any shape
    """Read a list of what the reader reads; raises `NotInterlock`."""
    if not isinstance(data, list):
        raise NotInterlock("the server's answer is no list")
    return [understood(reader, each) for each in cast("list[Any]", data)]


def _put(
    opened: http.client.HTTPConnection, method: str, target: str, data: bytes | None, headers: Mapping[str, str]
) -> None:
    try:
        opened.request(method, target, data, dict(headers))
    except (BrokenPipeError, ConnectionResetError):
        if data is None:
            raise
        # It may have been refused before it was taken whole: then an answer waits to be read.


def _encoded(body: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(body).encode("ascii")
    except (ValueError, RecursionError) as error:
        raise Invalid(f"this can not be told as JSON: {error}"[:200]) from None


def _asked_to_wait(status: int, answer: Answer) -> float | None:
    """Return how long a proven caller is asked to wait; nothing was done then, so it may be sent again."""
    if status != 429 or "ratelimit-limit" not in answer.headers:
        return None
    given = answer.headers.get("retry-after", "")
    return float(given) if given.isascii() and given.isdigit() and len(given) < 6 else None


def _is_final(error: OSError) -> bool:
    """Say whether trying again would change nothing: a certificate that is not trusted stays so."""
    return error.__class__.__module__ == "ssl"


def _words(error: Exception) -> str:
    if isinstance(error, http.client.RemoteDisconnected):
        return "it hung up"
    if isinstance(error, http.client.HTTPException):
        return "it does not speak HTTP" if not isinstance(error, http.client.IncompleteRead) else "it hung up midway"
    reason = getattr(error, "verify_message", None) or getattr(error, "strerror", None)
    return str(reason or error.__class__.__name__)
