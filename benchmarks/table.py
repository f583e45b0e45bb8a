"""A row of the one table: what was measured, beside what, and what was aimed at."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

HEADINGS = ("name", "measured", "limit or peer", "ratio", "aim", "met")
_COUNTED = re.compile(r" of [\d,]+(?: bytes)?")
"""How many there were is part of a name, and not of what is measured: it may be another number the next time."""
_AIMED = {"value": "", "ratio": "ratio "}


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What a row should reach."""

    of: Literal["value", "ratio"]
    bound: float
    at_most: bool = False
    """Whether the bound is the largest that is good, not the smallest."""

    def met(self, row: Row) -> bool:
        """Say whether a row reaches it."""
        found = row.value if self.of == "value" else row.ratio
        return found is not None and (found <= self.bound if self.at_most else found >= self.bound)

    def shown(self, unit: str) -> str:
        """Return it as text."""
        after = f" {unit}" if self.of == "value" else ""
        return f"{_AIMED[self.of]}{'<=' if self.at_most else '>='} {_number(self.bound)}{after}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """What stands beside a measurement, measured in the same run."""

    name: str
    value: float
    unit: str = ""
    """Empty for the measurement's own unit."""
    swings: bool = False
    """Whether it is another one from minute to minute, whoever is measured beside it: a ratio to it shows an order of
    magnitude, and no regression."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measurement."""

    name: str
    value: float
    unit: str
    peer: Peer | None = None
    ratio: float | None = None
    """Of the measurement to its peer."""
    aim: Aim | None = None

    def __post_init__(self) -> None:
        if self.aim and self.aim.at_most == (self.better == "higher"):
            raise ValueError(f"{self.name}: the aim asks for less of what is better when it is higher, or the reverse")

    @property
    def better(self) -> Literal["higher", "lower"]:
        """Which way it gets better, value and ratio alike: a rate by rising, what is spent or waited by falling."""
        return "higher" if self.unit.endswith("/s") else "lower"

    @property
    def key(self) -> tuple[str, str]:
        """What stays of it from one run to the next: what is measured, beside what."""
        return _COUNTED.sub("", self.name), _COUNTED.sub("", self.peer.name) if self.peer else ""

    @property
    def met(self) -> bool | None:
        """Whether the aim is reached; None where there is none."""
        return self.aim.met(self) if self.aim else None

    def cells(self) -> tuple[str, ...]:
        """Return the row as texts, in the order of the headings."""
        peer = f"{_number(self.peer.value)} {self.peer.unit or self.unit} ({self.peer.name})" if self.peer else ""
        return (
            self.name,
            f"{_number(self.value)} {self.unit}",
            peer,
            f"{self.ratio:.2f}" if self.ratio is not None else "",
            self.aim.shown(self.unit) if self.aim else "",
            {None: "", True: "met", False: "NOT MET"}[self.met],
        )

    def to_json(self) -> dict[str, Any]:
        """Return the row as plain JSON."""
        return {**asdict(self), "met": self.met}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Row:
        """Read what `to_json` returned."""
        peer, aim = told["peer"], told["aim"]
        return cls(
            name=told["name"],
            value=told["value"],
            unit=told["unit"],
            peer=Peer(**peer) if peer else None,
            ratio=told["ratio"],
            aim=Aim(**aim) if aim else None,
        )


def rendered(rows: Iterable[Row]) -> str:
    """Return the table as lines of text."""
    lines: list[Sequence[str]] = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    drawn = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([drawn[0], "-" * max(map(len, drawn)), *drawn[1:]])


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
