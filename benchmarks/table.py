"""A row of the one table: what was measured, beside what, and what was aimed at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

_HEADINGS = ("name", "measured", "limit or peer", "ratio", "aim", "met")
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
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "peer": {"name": self.peer.name, "value": self.peer.value, "unit": self.peer.unit or self.unit}
            if self.peer
            else None,
            "ratio": self.ratio,
            "aim": self.aim.shown(self.unit) if self.aim else None,
            "met": self.met,
        }


def rendered(rows: Iterable[Row]) -> str:
    """Return the table as lines of text."""
    lines: list[Sequence[str]] = [_HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    drawn = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([drawn[0], "-" * max(map(len, drawn)), *drawn[1:]])


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
