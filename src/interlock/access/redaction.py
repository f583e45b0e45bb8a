"""Secrets taken out of text that leaves: `[REDACTED:<rule>]` stands in their place.

Three kinds of rules find them. Our own tokens, what the environment holds as one, and what was remembered, always. The
forms of some five hundred providers, by the Betterleaks rules, which Kingfisher keeps up and matches. And what stands
beside a word that says what it is (`password=`, `Authorization:`), whatever its form.

Commit hashes and digests stay. Everything takes time in proportion to the text, also where the text is made to resist.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from kingfisher_sdk import Finding, Scanner

_LEAST = 8
"""Shorter values of the environment are words, not secrets: they would be found everywhere."""
_SECRET_VARIABLE = re.compile(r"ORCH_\w*(?:TOKEN|SECRET|PASSWORD|KEY)\w*")
_WINDOW, _OVERLAP = 48 * 1024, 16 * 1024
"""What is matched at once: beyond 64 KiB a text can be made for which the matcher takes seconds."""
_PATIENCE_SECONDS = 10.0
"""After that much work what was not searched yet does not leave at all; 2 MiB of ordinary text take half a second."""
_SPREAD = bytes.maketrans(b"()[]{}<>,|&!?*", b" " * 14)
"""Many rules look for a space or a quote behind a secret: so each text is matched once more with space for these."""
_STOP = re.compile(rb"\.(?=\s|$)")
_COMPONENTS = frozenset({"betterleaks.aws-secret-access-key"})
"""Rules that count with another one only, but find what is a secret by itself."""

_OURS = re.compile(rb"\bil[ks]_[0-7][0-9A-HJKMNP-TV-Z]{25}_[A-Za-z0-9_-]{8,64}")
_FORMS: Mapping[str, re.Pattern[bytes]] = {
    # A prefix says what it is; that of keys is common enough for words (`sk-learn`), so a digit has to be there.
    "api-key": re.compile(rb"\b(?:sk|rk)-(?=[A-Za-z_-]{0,64}[0-9])[A-Za-z0-9_-]{16,256}"),
    "aws-access-key-id": re.compile(rb"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b"),
    "authorization": re.compile(
        rb"""(?i)authorization["']?[ \t]{0,4}[:=][ \t]{0,4}["']?(?:[a-z]{3,12}[ \t]{1,4})?([^\s"'<>${}\[\]]{8,4096})"""
    ),
    "bearer": re.compile(rb"(?i)\bbearer[ \t]{1,4}(?=[A-Za-z._~+/=-]{0,128}[0-9])([A-Za-z0-9._~+/=-]{12,4096})"),
    "password": re.compile(rb"""://[^\s/@:"'<>]{0,256}:([^\s/@"'<>]{1,256})@"""),
}
_USER_INFO = re.compile(rb"://[^\s/@]{0,512}@")
_OTHER_ENCODING = re.compile(rb"\x00|\xef\xbb\xbf")
"""What lets the matcher take a text for UTF-16, or leave out its first character; then it would tell other places."""
_KEY_BEGINS = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_ENDS = re.compile(rb"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_LINES = re.compile(rb"(?:(?:[ \t\r\n>|-]|\\[nr]){1,8}+[A-Za-z0-9+/=]{16,}+)*+")

_LABEL = (
    rb"(?P<label>passwords?|passwd|passphrase|pwd|secrets?|tokens?"
    rb"|(?:api|access|secret|private|auth)[_-]?keys?|credentials?)"
)
_VALUE = (
    rb"""(?:(?P<quote>\\?["'`])(?P<quoted>[^"'`\r\n\\]{1,4096}+)(?P=quote)"""
    rb"""|(?P<bare>[^\s"'`,;&|<>(){}\[\]\\]{4,4096}+)(?P<next>[(\[]?))"""
)
_ASSIGNED = re.compile(rb"(?i)" + _LABEL + rb"\\?[\"']?(?P<sign>[ \t]{0,8}(?::=|=>|[=:])[ \t]{0,8})" + _VALUE)
_FLAG = re.compile(rb"(?i)" + _LABEL + rb"[ \t]{1,4}" + _VALUE)
_FLAG_BEGINS = re.compile(rb"(?:^|[\s\"'])--[a-z-]{0,32}$", re.IGNORECASE)
_PLACEHOLDER = re.compile(
    rb"(?i)[$%<{*@].*|\[REDACTED.*|\.\.\..*|(.)\1*|true|false|none|null|nil|undefined|str|string|bytes|secretstr|any|required|optional"
    rb"|sha(?:1|256|384|512)[:-].*",
    re.DOTALL,
)
_NAME = re.compile(rb"[A-Za-z_][A-Za-z_]*(?:\.[A-Za-z_]+)*")
"""What a program calls something by; with digits it is more likely to be the thing itself."""


class _Span(NamedTuple):
    start: int
    end: int
    rule: str


_remembered: dict[bytes, str] = {}
_compiling = threading.Lock()


def redact(text: str) -> str:
    """Return a text without the secrets in it."""
    data = text.encode("utf-8", "surrogatepass")
    known, keys = list(_known(data)), list(_private_keys(data))
    spans = [*_provided(_masked(data, [*known, *keys])), *known, *keys, *_named(data)]
    return _without(data, spans).decode("utf-8", "surrogatepass") if spans else text


def remember(secret: str, rule: str = "secret") -> None:
    """Let a secret that is known be found from now on, whatever it looks like."""
    if len(secret) >= _LEAST:
        _remembered[secret.encode("utf-8", "surrogatepass")] = rule


def _without(data: bytes, spans: list[_Span]) -> bytes:
    parts: list[bytes] = []
    end = 0
    rule = ""
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if span.start < end:  # a part of what is gone already, or its continuation
            end = max(end, span.end)
            continue
        parts += [_mark(rule), data[end : span.start]] if rule else [data[: span.start]]
        end, rule = span.end, span.rule
    return b"".join([*parts, _mark(rule), data[end:]])


def _mark(rule: str) -> bytes:
    return f"[REDACTED:{rule}]".encode()


# --- what is known to be secret ---------------------------------------------------------------------------------------


def _known(data: bytes) -> Iterator[_Span]:
    for match in _OURS.finditer(data):
        yield _Span(match.start(), match.end(), "interlock-token")
    known = {**_remembered, **_of_environment()}
    if known:
        # The longest first: one may be the beginning of another.
        words = sorted(known, key=len, reverse=True)
        for match in re.finditer(b"|".join(map(re.escape, words)), data):
            yield _Span(match.start(), match.end(), known[match[0]])


def _of_environment() -> dict[bytes, str]:
    return {
        value.strip().encode("utf-8", "surrogatepass"): "environment"
        for name, value in os.environ.items()
        if name.startswith("ORCH_") and _SECRET_VARIABLE.fullmatch(name) and len(value.strip()) >= _LEAST
    }


# --- what has the form of a provider's secret -------------------------------------------------------------------------


@cache
def _compiled() -> Scanner:
    from kingfisher_sdk import Scanner  # noqa: PLC0415 - 36 MB that only what answers text needs

    return Scanner()


def _scanner() -> Scanner:
    with _compiling:
        return _compiled()


def _masked(data: bytes, spans: list[_Span]) -> bytes:
    """Leave out what is found already, and what some rules take very long to judge."""
    masked = bytearray(_OTHER_ENCODING.sub(lambda match: b" " * len(match[0]), data))
    for span in [*spans, *(_Span(*match.span(), "") for match in _USER_INFO.finditer(data))]:
        masked[span.start : span.end] = b"\n" * (span.end - span.start)
    return bytes(masked)


def _provided(data: bytes) -> Iterator[_Span]:
    deadline = time.thread_time() + _PATIENCE_SECONDS
    for start in range(0, len(data), _WINDOW):
        window = data[start : start + _WINDOW + _OVERLAP]
        for text in (window, _STOP.sub(b" ", window.translate(_SPREAD))):
            findings = _findings(text, deadline)
            if findings is None:
                yield _Span(start, len(data), "not-searched")
                return
            for found in findings:
                if found.visible or found.rule_id in _COMPONENTS:
                    span = _place(text, found)
                    yield _Span(start + span.start, start + span.end, span.rule)


def _findings(text: bytes, deadline: float) -> list[Finding] | None:
    """Return what the rules find, or None where that took too long."""
    if time.thread_time() >= deadline:
        return None
    try:
        return _scanner().scan(text, timeout=_PATIENCE_SECONDS)
    except TimeoutError:
        return None


def _place(data: bytes, found: Finding) -> _Span:
    """Say where a finding's secret stands; its place may be that of more than the secret."""
    rule = found.rule_id.rpartition(".")[2].rpartition("/")[2]
    secret = found.secret.encode("utf-8", "surrogatepass")
    start, end = found.location["start_offset"], found.location["end_offset"]
    place = data.find(secret, start, end) if secret else -1
    # Else it was decoded from what stands there.
    return _Span(place, place + len(secret), rule) if place >= 0 else _Span(start, end, rule)


def _private_keys(data: bytes) -> Iterator[_Span]:
    """Find private keys, also short ones, and ones that are cut off before their end."""
    for begin in _KEY_BEGINS.finditer(data):
        dashes = data.find(b"-----", begin.end())
        ends = _KEY_ENDS.match(data, dashes) if dashes >= 0 else None
        if ends is not None:
            yield _Span(begin.start(), ends.end(), "private-key")
        elif (lines := _KEY_LINES.match(data, begin.end())) and lines[0]:
            yield _Span(begin.start(), lines.end(), "private-key")


# --- what stands beside a word that says so ---------------------------------------------------------------------------


def _named(data: bytes) -> Iterator[_Span]:
    for rule, form in _FORMS.items():
        for match in form.finditer(data):
            if not _PLACEHOLDER.fullmatch(match[match.lastindex or 0]):
                yield _Span(*match.span(match.lastindex or 0), rule)
    for match in _ASSIGNED.finditer(data):
        if _is_secret(match, tight=not match["sign"].strip(b"=:")):
            yield _value(match)
    for match in _FLAG.finditer(data):
        before = data[max(0, match.start() - 40) : match.start()]
        if _FLAG_BEGINS.search(before) and _is_secret(match, tight=True):
            yield _value(match)


def _value(match: re.Match[bytes]) -> _Span:
    return _Span(*match.span("quoted" if match["quoted"] is not None else "bare"), _rule(match["label"]))


def _rule(label: bytes) -> str:
    rule = label.decode().lower().replace("_", "-").rstrip("s")
    return "password" if rule in {"passwd", "pwd"} else rule


def _is_secret(match: re.Match[bytes], *, tight: bool) -> bool:
    """Judge what is assigned: a literal is a secret, a name or a call of a program's text is none.

    `tight` is what is written without space, as shells and connection strings do, where there are no names.
    """
    label, value = match["label"].lower(), match["quoted"] or match["bare"]
    if _PLACEHOLDER.fullmatch(value) or (label == b"pwd" and value.startswith((b"/", b"~", b"."))):
        return False
    password = label.startswith(b"pass") or label == b"pwd"
    if match["quoted"] is not None:
        return password or _looks_random(value)
    if match["next"] or value.lower().endswith(label):
        return False
    if password:
        return tight or b"." not in value or not _NAME.fullmatch(value)
    return not _NAME.fullmatch(value) and _looks_random(value)


def _looks_random(value: bytes) -> bool:
    """Say whether this could be a key: long enough, one word, and not only letters of one case, unless very long."""
    if len(value) < _LEAST or b" " in value or value.isdigit():
        return False
    return any(48 <= each <= 57 for each in value) or len(value) >= 20 or not (value.islower() or value.isupper())
