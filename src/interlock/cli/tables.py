"""What can be typed after `interlock`, as tables that a shell's script is written from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """Options that stand anywhere."""

    flags: Sequence[str]
    valued: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One command: what it takes."""

    name: str
    about: str
    flags: Sequence[str]
    valued: Mapping[str, Sequence[str]]
    """Options that take a value, with the words that it may be; none where it may be any."""
    choices: Sequence[str]
    """What its arguments may be, where that is one of a few words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A first word: a command, or a room with verbs."""

    name: str
    about: str
    own: Line
    verbs: Sequence[Line]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """Everything."""

    common: Common
    rooms: Sequence[Room]

    def lines(self) -> Iterator[tuple[str, Line]]:
        """Yield every place where options stand, by its words."""
        for room in self.rooms:
            yield room.name, room.own
            for verb in room.verbs:
                yield f"{room.name} {verb.name}", verb
