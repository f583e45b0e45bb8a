"""YAML as a definition may use it: YAML 1.2 without tags, anchors or merges, every value with the line it stands on.

What is left out would let a text mean another thing than it shows to the human who accepts it. Complaints name file,
line and path: `cicd/pipelines/docs.yaml:12: jobs.docs.script must be a list of commands`.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias, cast

from interlock.kernel.canonical import MAX_INTEGER, Json
from interlock.pipelines.errors import DefinitionInvalid, DefinitionMissing

MOST_BYTES: Final = 256 * 1024
MOST_DEPTH: Final = 20
_MOST_KEY: Final = 100
_MOST_TOLD: Final = 80
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_NOTHING = re.compile(r"null|Null|NULL|~|")
_TRUTH = re.compile(r"true|True|TRUE|false|False|FALSE")
_WHOLE = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FRACTION = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value as it is written."""

    text: str
    plain: bool
    """Without quotes: may be a number, a truth value or nothing at all."""


Value: TypeAlias = "Scalar | Mapping[str, Node] | Sequence[Node]"


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it stands. What asks it for a kind of value raises `DefinitionInvalid` if it is another."""

    source: str
    """The file, as messages name it."""
    path: str
    """Like `jobs.docs.script[0]`; empty for the whole file."""
    line: int
    """From 1."""
    value: Value

    def fail(self, sentence: str) -> NoReturn:
        """Raise the complaint that begins with this place."""
        raise self.complaint(sentence)

    def complaint(self, sentence: str) -> DefinitionInvalid:
        """Return the complaint that begins with this place."""
        named = f"{self.path} {sentence}" if self.path else sentence
        return DefinitionInvalid(f"{self.source}:{self.line}: {named}")

    def mapping(self) -> Mapping[str, Node]:
        """Return the values by their keys."""
        if isinstance(self.value, Scalar | Sequence):
            self.fail("must hold keys with values")
        return self.value

    def fields(self, known: Collection[str], needed: Collection[str] = ()) -> Mapping[str, Node]:
        """Return the values by their keys, of which none is unknown and those `needed` are there."""
        found = self.mapping()
        for key, node in found.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                node.fail("is not known" + (f"; did you mean {near[0]}?" if near else ""))
        for key in needed:
            if key not in found:
                self.fail(f"must have {key}" if self.path else f"{key} is missing")
        return found

    def items(self, what: str = "values", *, most: int = 1000) -> Sequence[Node]:
        """Return the values of a list; `what` says what they are, for the complaint."""
        if not isinstance(self.value, Sequence):
            self.fail(f"must be a list of {what}")
        if len(self.value) > most:
            self.fail(f"has {len(self.value)} {what}; at most {most} are possible")
        return self.value

    def text(self, *, most: int = 4096, loose: bool = False) -> str:
        """Return a text that is not blank; `loose` takes a number or truth value as it is written for one, too."""
        found = self._scalar("text")
        if found.plain and not loose and not isinstance(_read(found), str):
            self.fail(f"must be text; put {found.text[:_MOST_TOLD] or 'it'} in quotes if it is meant so")
        if not found.text.strip():
            self.fail("must not be blank")
        if len(found.text) > most:
            self.fail(f"is longer than {most} characters")
        return found.text

    def texts(self, what: str = "texts", *, most: int = 1000) -> tuple[str, ...]:
        """Return the texts of a list."""
        return tuple(each.text() for each in self.items(what, most=most))

    def flag(self) -> bool:
        """Return a truth value."""
        found = self._value("true or false")
        if not isinstance(found, bool):
            self.fail("must be true or false")
        return found

    def number(self, least: int, most: int) -> int:
        """Return a whole number within bounds."""
        found = self._value("a whole number")
        if not isinstance(found, int) or isinstance(found, bool) or not least <= found <= most:
            self.fail(f"must be a whole number from {least} to {most}")
        return found

    def json(self) -> Json:
        """Return the value as JSON without fractions."""
        if isinstance(self.value, Scalar):
            found = self._value("a value")
            if isinstance(found, int) and abs(found) > MAX_INTEGER:
                self.fail("is a whole number beyond 2^53")
            return found
        if isinstance(self.value, Sequence):
            return [each.json() for each in self.value]
        for key, node in self.value.items():
            if not key.isascii():
                node.fail("has a key that is not ASCII text")
        return {key: each.json() for key, each in self.value.items()}

    def _scalar(self, what: str) -> Scalar:
        if not isinstance(self.value, Scalar):
            self.fail(f"must be {what}")
        return self.value

    def _value(self, what: str) -> str | int | bool | None:
        found = self._scalar(what)
        value = _read(found)
        if isinstance(value, float):
            self.fail(f"must not be a fraction; put {found.text[:_MOST_TOLD]} in quotes if it is meant as text")
        return value


def file_bytes(root: Path, path: str, most: int = MOST_BYTES) -> bytes:
    """Return the bytes of a small regular file below `root`; raises `DefinitionMissing` or `DefinitionInvalid`."""
    try:
        return regular_bytes(root / path, most)
    except FileNotFoundError:
        raise DefinitionMissing(f"{path} is not there") from None
    except (OSError, ValueError) as error:
        raise DefinitionInvalid(f"{path} can not be read: {error}") from None


def regular_bytes(path: Path, most: int) -> bytes:
    """Return the bytes of a regular file; raises OSError, or ValueError for one that is none or too large."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("it is no regular file")
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"it is larger than {most} bytes")
    return data


def parse(data: bytes, source: str) -> Node:
    """Read a text; `source` is what complaints call it. Raises `DefinitionInvalid`."""
    # Loaded late: listing what there is needs no parser.
    from ruamel.yaml import YAML  # noqa: PLC0415 - the parser takes a while to import
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415 - the parser takes a while to import

    if len(data) > MOST_BYTES:
        raise DefinitionInvalid(f"{source} is larger than {MOST_BYTES} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DefinitionInvalid(f"{source}:{line}: this is not UTF-8") from None
    try:
        events = cast("Iterator[Any]", YAML(typ="safe", pure=True).parse(text))  # pyright: ignore[reportUnknownMemberType] - the library's own hints are partial
        return _Reader(source, events).document()
    except YAMLError as error:
        raise DefinitionInvalid(_told(source, error)) from None


class _Reader:
    """Makes nodes of the parser's events, and refuses what a definition may not use."""

    def __init__(self, source: str, events: Iterator[Any]) -> None:
        self._source = source
        self._events = events

    def document(self) -> Node:
        self._next()
        begun = self._next()
        if _kind(begun) == "StreamEnd":
            raise DefinitionInvalid(f"{self._source} is empty")
        if begun.version or begun.tags:
            self._refuse(begun, "directives (%YAML, %TAG) are not possible here")
        found = self._node(self._next(), "", 0)
        self._next()
        after = self._next()
        if _kind(after) != "StreamEnd":
            self._refuse(after, "a second document is not possible here")
        return found

    def _next(self) -> Any:  # noqa: ANN401 - the library types its events as anything
        return next(self._events)

    def _node(self, event: Any, path: str, depth: int) -> Node:  # noqa: ANN401 - the library's events have no types
        kind = _kind(event)
        if kind == "Alias" or event.anchor is not None:
            self._refuse(event, "anchors and aliases are not possible here; write it out")
        if event.tag is not None:
            self._refuse(event, f"tags ({str(event.tag)[:40]}) are not possible here")
        if depth > MOST_DEPTH:
            self._refuse(event, f"this is nested deeper than {MOST_DEPTH} levels")
        line: int = event.start_mark.line + 1
        if kind == "Scalar":
            if not is_text(event.value):
                self._refuse(event, "this has a character in it that no text has")
            return Node(self._source, path, line, Scalar(event.value, plain=event.style is None))
        inner = self._list(path, depth) if kind == "SequenceStart" else self._keys(path, depth)
        return Node(self._source, path, line, inner)

    def _list(self, path: str, depth: int) -> list[Node]:
        found: list[Node] = []
        while _kind(event := self._next()) != "SequenceEnd":
            found.append(self._node(event, f"{path}[{len(found)}]", depth + 1))
        return found

    def _keys(self, path: str, depth: int) -> dict[str, Node]:
        found: dict[str, Node] = {}
        while _kind(event := self._next()) != "MappingEnd":
            key = self._key(event)
            if key in found:
                self._refuse(event, f"{_below(path, key)} stands twice, first in line {found[key].line}")
            node = self._node(self._next(), _below(path, key), depth + 1)
            # A complaint about a key's value leads to the key; lists and mappings begin a line further down.
            found[key] = Node(node.source, node.path, event.start_mark.line + 1, node.value)
        return found

    def _key(self, event: Any) -> str:  # noqa: ANN401 - the library's events have no types
        if _kind(event) != "Scalar":
            self._refuse(event, "a key must be plain text")
        if event.anchor is not None or event.tag is not None:
            self._refuse(event, "a key has neither anchor nor tag here")
        key = str(event.value)
        if key == "<<":
            self._refuse(event, "merging (<<) is not possible here; write it out")
        if not key or len(key) > _MOST_KEY or not key.isprintable():
            self._refuse(event, f"{key[:_MOST_KEY]!a} can not be a key")
        return key

    def _refuse(self, event: Any, sentence: str) -> NoReturn:  # noqa: ANN401 - the library's events have no types
        raise DefinitionInvalid(f"{self._source}:{event.start_mark.line + 1}: {sentence}")


def is_text(text: str) -> bool:
    """Say whether a text can be told: no NUL, and no half of a character, as bytes that are no UTF-8 become."""
    return _NO_TEXT.search(text) is None


def _kind(event: Any) -> str:  # noqa: ANN401 - the library's events have no types
    return type(event).__name__.removesuffix("Event")


def _below(path: str, key: str) -> str:
    shown = key if _PLAIN_KEY.fullmatch(key) else ascii(key)
    return f"{path}.{shown}" if path else shown


def _told(source: str, error: Any) -> str:  # noqa: ANN401 - the library's events have no types
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "this is not YAML"
    context = getattr(error, "context", None)
    sentence = " ".join(f"{context + ', ' if context else ''}{problem}".split())
    return f"{source}:{mark.line + 1}: {sentence}" if mark is not None else f"{source}: {sentence}"


def _read(found: Scalar) -> str | float | bool | None:
    """Return what a scalar means by the core schema of YAML 1.2."""
    text = found.text
    if not found.plain:
        return text
    if _NOTHING.fullmatch(text):
        return None
    if _TRUTH.fullmatch(text):
        return text.lower() == "true"
    if _WHOLE.fullmatch(text) and len(text) <= 40:
        return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
    return 0.5 if _FRACTION.fullmatch(text) else text
