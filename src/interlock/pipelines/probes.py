"""Looks at a deployment's health: HTTP, a command, a number held against a threshold.

A probe is declared in a definition that a human accepted, so it may name any address; what it names is all that it
gets: the name is resolved once, no redirect is followed, no proxy is asked, and the whole takes no longer than it says.
"""

from __future__ import annotations

import json
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from interlock.kernel.canonical import JsonObject
from interlock.kernel.clock import Clock
from interlock.kernel.errors import InterlockError
from interlock.pipelines.models import Health, Line
from interlock.pipelines.strategies import filled, filled_line

if TYPE_CHECKING:
    import http.client
    import socket
    from urllib.parse import SplitResult

ProbeKind = Literal["http", "command", "metric"]
Measure = Literal["error_rate", "response_time_ms", "cpu_usage", "memory_usage", "active_connections"]
"""Of what a number tells: percent, milliseconds, or a count."""
Compare = Literal["<", "<=", ">", ">=", "==", "!="]

_THRESHOLD: Final = re.compile(r"(<=|>=|==|!=|<|>)\s*(-?\d{1,15}(?:\.\d{1,6})?)", re.ASCII)
_MOST_BYTES: Final = 1 << 20
_MOST: Final = Decimal(10**12)
_TOLD: Final = 200
_MILLI: Final = 1000


@dataclass(frozen=True, slots=True)
class Threshold:
    """What a number has to be."""

    compare: Compare
    limit: Decimal

    @classmethod
    def parse(cls, text: str) -> Threshold:
        """Read `< 5`, `>= 99.5` and the like; raises ValueError."""
        match = _THRESHOLD.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"a threshold is like '< 5' or '>= 99.5', not {text[:40]!a}")
        return cls(cast("Compare", match[1]), Decimal(match[2]))

    def holds(self, value: Decimal) -> bool:
        """Say whether a number is as it has to be."""
        return {
            "<": value < self.limit,
            "<=": value <= self.limit,
            ">": value > self.limit,
            ">=": value >= self.limit,
            "==": value == self.limit,
            "!=": value != self.limit,
        }[self.compare]

    def __str__(self) -> str:
        return f"{self.compare} {self.limit}"


DEFAULTS: Final[Mapping[Measure, Threshold]] = {
    "error_rate": Threshold("<", Decimal(5)),
    "cpu_usage": Threshold("<", Decimal(90)),
    "memory_usage": Threshold("<", Decimal(90)),
}
"""Healthy: an error rate below 5 %, processor and memory below 90 %, and an answer in less than twice the baseline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One declared look. Texts may hold `${VARIABLE}`."""

    name: str
    kind: ProbeKind
    at: frozenset[str] = frozenset()
    """While deploying it is looked at only after these steps; empty: after each. Later all probes count."""
    line: Line | None = None
    """The command; it passes with exit code 0."""
    url: str | None = None
    """Of an answer, or of a JSON document that holds the number."""
    file: str | None = None
    """A JSON document below the workspace that holds the number."""
    value: str | None = None
    """Where the number stands in it: keys and list positions with dots between."""
    expect: tuple[int, ...] = (200,)
    """HTTP statuses that pass."""
    contains: str | None = None
    """A text that has to be in the answer's body."""
    threshold: Threshold | None = None
    measures: Measure | None = None
    """What the number is; of an answer only its time can be measured."""
    baseline_ms: int | None = None
    """How long an answer usually takes."""
    max_age_seconds: int | None = None
    """A file that was written longer ago does not count."""
    timeout_seconds: int = 5
    """For one try."""
    retries: int = 0
    interval_seconds: int = 1
    """Between two tries."""

    @property
    def limit(self) -> Threshold | None:
        """What its number has to be: as declared, else by the rule of health."""
        if self.threshold is not None or self.measures is None:
            return self.threshold
        if self.measures == "response_time_ms":
            return Threshold("<", Decimal(2 * self.baseline_ms)) if self.baseline_ms is not None else None
        return DEFAULTS.get(self.measures)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one look found."""

    name: str
    kind: ProbeKind
    passed: bool
    measured: str
    """What was there: a status, an exit code, a number; empty where nothing could be measured."""
    message: str
    """What is wrong with it, or that nothing is."""
    value: Decimal | None = None
    measures: Measure | None = None

    def shown(self) -> JsonObject:
        """Return it as events carry it."""
        return {
            "name": self.name,
            "kind": self.kind,
            "passed": self.passed,
            "measured": self.measured,
            "message": self.message,
        }


RunProbe = Callable[[Line, Mapping[str, str], int], tuple[int | None, str]]
"""Runs a command with variables and a limit in seconds, contained; returns its exit code and what to say of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prober:
    """Looks."""

    root: Path
    run: RunProbe
    now: Clock
    pause: Callable[[float], None] = time.sleep

    def look(self, probe: Probe, variables: Mapping[str, str]) -> Finding:
        """Look, again as often as the probe says, until it passes."""
        for _ in range(probe.retries):
            found = self._once(probe, variables)
            if found.passed:
                return found
            self.pause(probe.interval_seconds)
        return self._once(probe, variables)

    def _once(self, probe: Probe, variables: Mapping[str, str]) -> Finding:
        try:
            match probe.kind:
                case "command":
                    return self._command(probe, variables)
                case "http":
                    return self._http(probe, variables)
                case "metric":
                    return self._metric(probe, variables)
        except _NotMeasured as error:
            return _finding(probe, "", str(error), passed=False)

    def _command(self, probe: Probe, variables: Mapping[str, str]) -> Finding:
        if probe.line is None:
            raise _NotMeasured("it declares no command")
        try:
            code, said = self.run(filled_line(probe.line, variables), variables, probe.timeout_seconds)
        except InterlockError as error:
            raise _NotMeasured(error.message) from None
        if code == 0:
            return _finding(probe, "exit 0", "it ended well", passed=True)
        return _finding(probe, f"exit {code}" if code is not None else "", said, passed=False)

    def _http(self, probe: Probe, variables: Mapping[str, str]) -> Finding:
        answer = fetch(filled(probe.url or "", variables), probe.timeout_seconds)
        took = Decimal(answer.duration_ms)
        measured = f"{answer.status} in {answer.duration_ms} ms"
        if answer.status not in probe.expect:
            expected = " or ".join(map(str, probe.expect))
            return _finding(probe, measured, f"it answered {answer.status}, not {expected}", passed=False, value=took)
        wanted = filled(probe.contains, variables) if probe.contains is not None else None
        if wanted is not None and wanted.encode() not in answer.body:
            return _finding(probe, measured, f"the answer does not hold {wanted[:80]!a}", passed=False, value=took)
        if probe.limit is not None and not probe.limit.holds(took):
            return _finding(probe, measured, f"{took} ms is not {probe.limit}", passed=False, value=took)
        return _finding(probe, measured, "it answered as it should", passed=True, value=took)

    def _metric(self, probe: Probe, variables: Mapping[str, str]) -> Finding:
        if probe.url is not None:
            answer = fetch(filled(probe.url, variables), probe.timeout_seconds)
            if answer.status not in probe.expect:
                raise _NotMeasured(f"it answered {answer.status}")
            data = answer.body
        else:
            data = self._read(filled(probe.file or "", variables), probe.max_age_seconds)
        value = _number(data, probe.value or "")
        limit = probe.limit
        if limit is not None and not limit.holds(value):
            return _finding(probe, _plain(value), f"{_plain(value)} is not {limit}", passed=False, value=value)
        said = f"{_plain(value)} is {limit}" if limit is not None else "it was measured"
        return _finding(probe, _plain(value), said, passed=True, value=value)

    def _read(self, name: str, max_age_seconds: int | None) -> bytes:
        path = self.root / name
        try:
            if not path.resolve(strict=True).is_relative_to(self.root.resolve()):
                raise _NotMeasured(f"{name} leads out of the workspace")
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                state = os.fstat(descriptor)
                data = file.read(_MOST_BYTES + 1) if stat.S_ISREG(state.st_mode) else None
        except (OSError, RuntimeError) as error:
            raise _NotMeasured(f"{name} can't be read: {_why(error)}") from None
        if data is None or len(data) > _MOST_BYTES:
            raise _NotMeasured(f"{name} is no file of at most {_MOST_BYTES} bytes")
        age = self.now() - state.st_mtime_ns // 1_000_000
        if max_age_seconds is not None and age > max_age_seconds * 1000:
            raise _NotMeasured(f"{name} was written {age // 1000} s ago; at most {max_age_seconds} s count")
        return data


def health_of(findings: Sequence[Finding]) -> Health:
    """Put together what was measured; of several numbers for one thing the worst."""
    worst: dict[Measure, int] = {}
    for finding in findings:
        if finding.measures is None or finding.value is None:
            continue
        scale = 1 if finding.measures in {"response_time_ms", "active_connections"} else _MILLI
        value = int(min(max(finding.value, Decimal(0)), _MOST) * scale)
        worst[finding.measures] = max(value, worst.get(finding.measures, 0))
    return Health(
        error_rate_milli=worst.get("error_rate", 0),
        response_time_ms=worst.get("response_time_ms", 0),
        cpu_usage_milli=worst.get("cpu_usage", 0),
        memory_usage_milli=worst.get("memory_usage", 0),
        active_connections=worst.get("active_connections", 0),
    )


# --- asking over the network ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    body: bytes
    duration_ms: int


class _NotMeasured(Exception):
    """Nothing could be measured; the message says why."""


def checked_url(url: str) -> SplitResult:
    """Return the parts of an http or https address without user and password; raises ValueError."""
    from urllib.parse import urlsplit  # noqa: PLC0415 - only probes of the network pay for it

    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("an address begins with http:// or https:// and names a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address holds no user and no password")
    if not all("!" <= character <= "~" for character in url):
        raise ValueError("an address holds visible ASCII only")
    if parts.port == 0:
        raise ValueError("there is no port 0")
    return parts


def fetch(url: str, timeout_seconds: int) -> Answer:
    """Ask once; raises `_NotMeasured` with the reason."""
    try:
        parts = checked_url(url)
    except ValueError as error:
        raise _NotMeasured(f"{url[:_TOLD]!a}: {error}") from None
    began = time.monotonic()
    late = threading.Event()
    try:
        status, body = _ask(parts, began + timeout_seconds, late)
    except _NotMeasured:
        raise
    except Exception as error:  # noqa: BLE001 - whatever an answer does to the client, it is one that does not pass
        if late.is_set() or isinstance(error, TimeoutError):
            raise _NotMeasured(f"no answer within {timeout_seconds} s") from None
        raise _NotMeasured(f"no answer: {_why(error)}") from None
    if late.is_set():
        raise _NotMeasured(f"no answer within {timeout_seconds} s")
    return Answer(status=status, body=body, duration_ms=round((time.monotonic() - began) * 1000))


def _ask(parts: SplitResult, deadline: float, late: threading.Event) -> tuple[int, bytes]:
    """Ask over one connection, which is cut at the deadline however slowly the answer drips."""
    plain = _connect(parts, deadline)
    handle = plain.dup()  # TLS takes the socket over, and what is shut through this is shut for it, too

    def cut() -> None:
        late.set()
        _shut(handle)

    watch = threading.Timer(max(0.0, deadline - time.monotonic()), cut)
    watch.daemon = True
    watch.start()
    try:
        connection = _speaking(parts, plain)
        try:
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("GET", path, headers={"Accept": "*/*", "Connection": "close"})
            response = connection.getresponse()
            body = response.read(_MOST_BYTES + 1)
        finally:
            connection.close()
    finally:
        watch.cancel()
        watch.join()
        handle.close()
        plain.close()
    if len(body) > _MOST_BYTES:
        raise _NotMeasured(f"the answer is larger than {_MOST_BYTES} bytes")
    return response.status, body


def _connect(parts: SplitResult, deadline: float) -> socket.socket:
    import socket  # noqa: PLC0415 - only probes of the network pay for it

    error: OSError = OSError("the name leads nowhere")
    for family, kind, protocol, _, address in _addresses(parts, deadline):
        plain = socket.socket(family, kind, protocol)
        try:
            plain.settimeout(max(0.05, deadline - time.monotonic()))
            plain.connect(address)
        except OSError as failed:
            plain.close()
            error = failed
        else:
            return plain
    raise error


def _addresses(parts: SplitResult, deadline: float) -> Sequence[tuple[Any, ...]]:
    """Resolve the name; raises OSError, TimeoutError where whoever is asked for it takes longer than there is."""
    import socket  # noqa: PLC0415 - only probes of the network pay for it

    port = parts.port or (443 if parts.scheme == "https" else 80)
    found: list[Sequence[tuple[Any, ...]] | OSError | UnicodeError] = []

    def resolve() -> None:
        try:
            found.append(socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.append(error)

    resolver = threading.Thread(target=resolve, daemon=True)  # the call itself knows no time limit
    resolver.start()
    resolver.join(max(0.0, deadline - time.monotonic()))
    if not found:
        raise TimeoutError
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def _speaking(parts: SplitResult, plain: socket.socket) -> http.client.HTTPConnection:
    """Return a connection over a socket that is open already, so that no name is looked up again."""
    import http.client  # noqa: PLC0415 - only probes of the network pay for it

    host = parts.hostname or ""
    if parts.scheme == "http":
        connection = http.client.HTTPConnection(host, parts.port)
        connection.sock = plain
        return connection
    import ssl  # noqa: PLC0415 - the same

    connection = http.client.HTTPSConnection(host, parts.port)
    connection.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=host)
    return connection


def _shut(plain: socket.socket) -> None:
    import socket  # noqa: PLC0415 - only probes of the network pay for it
    from contextlib import suppress  # noqa: PLC0415 - the same

    with suppress(OSError):
        plain.shutdown(socket.SHUT_RDWR)


# --- numbers ----------------------------------------------------------------------------------------------------------


def _number(data: bytes, place: str) -> Decimal:
    """Return the number at a place of a JSON document; raises `_NotMeasured`."""
    try:
        found: Any = json.loads(data, parse_float=Decimal, parse_constant=_no_number)
    except (ValueError, RecursionError, ArithmeticError) as error:
        raise _NotMeasured(f"it is no JSON: {_why(error)}") from None
    for key in place.split("."):
        if isinstance(found, dict) and key in found:
            found = cast("dict[str, Any]", found)[key]
        elif isinstance(found, list) and key.isascii() and key.isdigit() and int(key) < len(cast("list[Any]", found)):
            found = cast("list[Any]", found)[int(key)]
        else:
            raise _NotMeasured(f"it has no {place[:_TOLD]}")
    if isinstance(found, bool) or not isinstance(found, int | Decimal):
        raise _NotMeasured(f"{place[:_TOLD]} is no number")
    return Decimal(found)


def _no_number(name: str) -> Decimal:
    raise ValueError(f"{name} is no number of JSON")


def _plain(value: Decimal) -> str:
    text = format(value, "f") if abs(value) <= _MOST else str(value)
    return text[:40]


def _finding(probe: Probe, measured: str, message: str, *, passed: bool, value: Decimal | None = None) -> Finding:
    return Finding(
        name=probe.name,
        kind=probe.kind,
        passed=passed,
        measured=measured,
        message=message[:_TOLD],
        value=value,
        measures=probe.measures,
    )


def named(finding: Finding, name: str) -> Finding:
    """Return a finding under another name, for one probe that looks at several things."""
    return replace(finding, name=name)


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {error}"[:_TOLD]
