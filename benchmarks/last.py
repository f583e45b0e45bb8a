"""The last table: kept as data in `last.json`, shown in the README, and what a new one is held against.

`python -m benchmarks.last` writes the README's part anew.

Full and quick tables are kept apart and compared with their own kind only, topic by topic. A topic keeps when and on
what it was measured, because not all have to be of one run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from benchmarks.table import HEADINGS, Row

Kind = Literal["full", "quick"]

KEPT = Path(__file__).with_name("last.json")
PAGE = Path(__file__).with_name("README.md")
A_THIRD = Fraction(1, 3)
"""So much worse than the last one, a ratio is a regression."""

_TABLE = re.compile(r"(?<=<!-- last -->\n).*(?=<!-- /last -->)", re.DOTALL)
_KINDS: Mapping[Kind, str] = {
    "full": "Full runs (`make bench`)",
    "quick": "Quick runs (`make bench ARGS=--quick`: smaller tables, fewer rounds)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """What a topic came to, when, and on what."""

    name: str
    about: Mapping[str, str]
    """Date, system, versions, load and the disk's own limit, as text by name."""
    rows: Sequence[Row]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {"name": self.name, "about": dict(self.about), "rows": [row.to_json() for row in self.rows]}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Topic:
        """Read what `to_json` returned."""
        rows = tuple(map(Row.from_json, told["rows"]))
        return cls(name=told["name"], about=told["about"], rows=rows)


Tables = Mapping[Kind, Sequence[Topic]]


@dataclass(frozen=True, slots=True)
class Regression:
    """A ratio that is worse by a third or more; where no ratio can tell, an aim that is not met any more."""

    topic: str
    before: Row
    now: Row

    def __str__(self) -> str:
        row = _told((self.topic, self.now.name, self.now.peer.name if self.now.peer else ""))
        if not _tells(self.now):
            return f"{row}: {self.now.cells()[1]}, the last one was {self.before.cells()[1]}, and that met its aim"
        ratios = f"ratio {self.now.ratio:.3g}, the last one was {self.before.ratio:.3g}"
        return f"{row}: {ratios}, and {self.now.better} is better"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a new table is beside the last one."""

    regressions: Sequence[Regression]
    gone: Sequence[str]
    """Rows to be compared that only the last one has."""
    new: Sequence[str]
    """Rows to be compared that only the new one has."""
    compared: int

    def lines(self) -> Iterator[str]:
        """Say it."""
        yield f"{self.compared} rows compared with the last table, {len(self.regressions)} of them worse"
        yield from (f"  worse: {each}" for each in self.regressions)
        yield from (f"  not measured any more: {each}" for each in self.gone)
        yield from (f"  nothing to compare with yet: {each}" for each in self.new)


def compare(last: Iterable[Topic], now: Iterable[Topic]) -> Comparison:
    """Hold the topics that were measured now against the last ones: their ratios, or whether they meet their aims."""
    measured = list(now)
    topics = {topic.name for topic in measured}
    before = _compared(topic for topic in last if topic.name in topics)
    after = _compared(measured)
    both = [(key[0], before[key], row) for key, row in after.items() if key in before]
    return Comparison(
        regressions=[Regression(*each) for each in both if _is_worse(each[1], each[2])],
        gone=[_told(key) for key in before if key not in after],
        new=[_told(key) for key in after if key not in before],
        compared=len(both),
    )


def the_better(first: Topic, again: Topic) -> Topic:
    """Return the topic with, of each row that was measured twice, the better one."""
    others = {row.key: row for row in again.rows}
    return replace(first, rows=tuple(_better(row, others.get(row.key)) for row in first.rows))


def read(path: Path = KEPT) -> Tables:
    """Return the tables that are kept; empty ones where there are none."""
    told: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {kind: tuple(map(Topic.from_json, told.get(kind, ()))) for kind in _KINDS}


def keep(tables: Tables, kind: Kind, measured: Iterable[Topic], order: Sequence[str]) -> Tables:
    """Return the tables with these topics in the place of their last ones; `order` names the topics that there are."""
    topics = {topic.name: topic for topic in (*tables[kind], *measured)}
    return {**tables, kind: tuple(topics[name] for name in order if name in topics)}


def write(tables: Tables) -> None:
    """Write the tables as data and into the README."""
    told = {kind: [topic.to_json() for topic in topics] for kind, topics in tables.items()}
    KEPT.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(_TABLE.sub(lambda _: shown(tables), page), encoding="utf-8")


def on_the_page() -> str:
    """Return the tables as they stand in the README."""
    match = _TABLE.search(PAGE.read_text(encoding="utf-8"))
    return match[0] if match else ""


def shown(tables: Tables) -> str:
    """Return the tables as Markdown."""
    return "".join(f"{line}\n" for kind, title in _KINDS.items() for line in _lines(title, tables[kind]))


def _lines(title: str, topics: Sequence[Topic]) -> Iterator[str]:
    yield from ("", f"### {title}", "")
    if not topics:
        yield from ("None was kept yet.", "")
        return
    names = sorted({name for topic in topics for name in topic.about})  # the same from memory and from the file
    yield from _table(
        ("topic", *names), ((topic.name, *(topic.about.get(name, "") for name in names)) for topic in topics)
    )
    yield ""
    yield from _table(("topic", *HEADINGS), ((topic.name, *row.cells()) for topic in topics for row in topic.rows))
    yield ""


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for cells in (headings, ["---"] * len(headings), *rows):
        yield f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _compared(topics: Iterable[Topic]) -> Mapping[tuple[str, str, str], Row]:
    return {(topic.name, *row.key): row for topic in topics for row in topic.rows if row.aim or _tells(row)}


def _tells(row: Row) -> bool:
    """Say whether a row's ratio is the same from one run to the next, if nothing else is."""
    return row.ratio is not None and not (row.peer and row.peer.swings)


def _is_worse(before: Row, now: Row) -> bool:
    if not _tells(now):
        return bool(before.met) and not now.met
    then, ratio = before.ratio or 0.0, now.ratio or 0.0
    return ratio <= then * (1 - A_THIRD) if now.better == "higher" else ratio >= then * (1 + A_THIRD)


def _better(row: Row, other: Row | None) -> Row:
    if other is None:
        return row
    rises = (other.ratio or 0) > (row.ratio or 0) if _tells(row) else other.value > row.value
    return other if rises == (row.better == "higher") else row


def _told(key: tuple[str, str, str]) -> str:
    topic, name, peer = key
    return f"{topic}: {name}" + (f" (beside {peer})" if peer else "")


if __name__ == "__main__":
    write(read())
