"""docs/assets/house.svg and docs/reference/rooms.md: the layers of pyproject.toml, and the signs on the doors."""

from __future__ import annotations

import ast
import re
import textwrap
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.docs.reference import DOCS
from tests.docs.reference.markdown import page, sentence, table
from tests.docs.reference.words import SOURCE, parsed

_INTRODUCTION: Final = """\
The rooms from the top of [the house](../architecture.md) down: each imports only what stands below it. First the sign
on the door, as its `__init__.py` has it, then how it is layered inside, then its modules. The order, inside and out, is
import-linter's contract in `pyproject.toml`; `tests/test_house.py` shows that it bites.
"""


class Room(NamedTuple):
    """A package, or a module that stands beside the packages."""

    name: str
    path: Path
    sign: str

    @property
    def first(self) -> str:
        """What it is, in a sentence or the first words of one."""
        words = " ".join(self.sign.split("\n\n")[0].split())
        words = re.sub(rf"\A{self.name}\s*:\s*", "", words, flags=re.IGNORECASE)
        words = re.split(r"(?<=[.])\s", words, maxsplit=1)[0].rstrip(".")
        return words[:1].upper() + words[1:].replace("`", "")


def contracts() -> Sequence[Mapping[str, Any]]:
    """Return what import-linter holds."""
    found = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))
    return found["tool"]["importlinter"]["contracts"]


def layers() -> list[list[Room]]:
    """Return the rooms, layer by layer from the top."""
    (house,) = (each for each in contracts() if each.get("containers") == ["interlock"])
    return [[_room(name) for name in _names(layer)] for layer in house["layers"]]


def _names(layer: str) -> list[str]:
    return [name.strip(" ()") for name in re.split(r"[|:]", layer)]


def _room(name: str) -> Room:
    path = SOURCE / name
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return Room(name, path, _docstring(file))


def pages() -> Mapping[str, str]:
    """Return the picture and the page."""
    return {"assets/house.svg": picture(layers()), "reference/rooms.md": _page(layers())}


# --- the page ---------------------------------------------------------------------------------------------------------


def _page(house: list[list[Room]]) -> str:
    parts = [_INTRODUCTION]
    for room in (room for layer in house for room in layer):
        parts += [f"## {room.name}", _signed(room.sign), *_inside(room.name), _modules(room)]
    return page("The rooms", *parts)


def _signed(sign: str) -> str:
    """Return a sign as Markdown: a list needs a blank line before it, and prose one behind it."""
    return re.sub(r"(?m)^(?!- |  )(.+)\n(?=- )", r"\1\n\n", sign)


def _inside(name: str) -> Iterator[str]:
    for each in contracts():
        if each.get("containers") == [f"interlock.{name}"]:
            yield f"*{each['name']}:*"
            yield "```text\n" + "\n".join(each["layers"]) + "\n```"


def _modules(room: Room) -> str:
    if not room.path.is_dir():
        return ""
    rows = [
        (f"`{path.relative_to(room.path).as_posix()}`", sentence(_docstring(path)))
        for path in sorted(room.path.rglob("*.py"))
        if path.name != "__init__.py" and "shipped" not in path.parts
    ]
    return table(["module", "what it is"], rows)


def _docstring(path: Path) -> str:
    return ast.get_docstring(parsed(path)) or ""


# --- the picture ------------------------------------------------------------------------------------------------------

_WIDTH, _LEFT, _RIGHT, _TOP = 1000, 116, 24, 20
_HEIGHT, _GAP, _PART = 44, 6, 14
_LINE = 15
_GROUPS: Final = (
    ("surfaces", "Surfaces", ("cli", "http", "mcp")),
    ("plugs", "Plugs", ("examining", "founding", "migrating", "app", "delivery", "reading")),
    ("adapters", "Adapters", ("settings",)),
    ("rooms", "Rooms", ("inbox", "workspace", "pipelines", "loops", "runs", "approval", "queue", "fleet", "alerts")),
    ("ground", "Ground", ("evidence", "access", "doors", "kernel")),
)
"""Where a group begins is where one of its names first stands; what is not named belongs to the group above it."""
_STYLE: Final = """\
  .paper { fill: #fbfbfa; stroke: #d9d9d6 } .name { font: 600 14px ui-sans-serif, system-ui, sans-serif; fill: #1b1b1a }
  .about { font: 12px ui-sans-serif, system-ui, sans-serif; fill: #55554f }
  .group { font: 600 12px ui-sans-serif, system-ui, sans-serif; fill: #55554f }
  .arrow { stroke: #8a8a83; stroke-width: 1.5; fill: none } .tip { fill: #8a8a83 }
  .box { stroke-width: 1 } .surfaces { fill: #e7effb; stroke: #9db9e4 } .plugs { fill: #f1ebfa; stroke: #c0abe3 }
  .adapters { fill: #e6f4ef; stroke: #96cab5 } .rooms { fill: #fdf3e0; stroke: #e3c48a }
  .ground { fill: #efefec; stroke: #bdbdb6 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #1d1f23; stroke: #3a3d44 } .name { fill: #eceef2 } .about, .group { fill: #b3b8c2 }
    .surfaces { fill: #22314a; stroke: #4b6a9b } .plugs { fill: #31284a; stroke: #6b5a9b }
    .adapters { fill: #1c3a31; stroke: #3f7d69 } .rooms { fill: #43361d; stroke: #86703f }
    .ground { fill: #2d3036; stroke: #565b65 }
  }"""


def picture(house: list[list[Room]]) -> str:
    """Draw the layers: a band each, its rooms beside each other, groups apart."""
    drawn: list[str] = []
    spans: dict[str, tuple[int, int]] = {}
    top, group = _TOP, _GROUPS[0]
    for layer in house:
        follows = next((each for each in _GROUPS if layer[0].name in each[2]), group)
        if follows != group:
            top, group = top + _PART, follows
        drawn += _band(layer, top, group[0])
        spans[group[1]] = (spans.get(group[1], (top, 0))[0], top + _tall(layer))
        top += _tall(layer) + _GAP
    drawn += [part for name, span in spans.items() for part in _label(name, span)]
    height = top - _GAP + _TOP
    names = ", ".join(room.name for layer in house for room in layer)
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" aria-labelledby="t d">',
        '<title id="t">The house</title>',
        f'<desc id="d">Layers from the top down; each imports only what stands below it: {names}.</desc>',
        f"<style>\n{_STYLE}\n</style>",
        f'<rect class="paper" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" rx="10"/>',
        *_arrow(height),
        *drawn,
        "</svg>\n",
    ])  # fmt: skip


def _tall(layer: list[Room]) -> int:
    """Return how high a band is: rooms beside each other have their words below their names."""
    return _HEIGHT if len(layer) == 1 else _HEIGHT + _LINE


def _band(layer: list[Room], top: int, group: str) -> Iterator[str]:
    whole, alone = _WIDTH - _LEFT - _RIGHT, len(layer) == 1
    width = (whole - _GAP * (len(layer) - 1)) / len(layer)
    for place, room in enumerate(layer):
        left = _LEFT + place * (width + _GAP)
        yield f'<rect class="box {group}" x="{left:g}" y="{top}" width="{width:g}" height="{_tall(layer)}" rx="6"/>'
        yield _text("name", left + 12, top + (27 if alone else 19), room.name + ("" if room.path.is_dir() else ".py"))
        across = int((width - (150 if alone else 24)) / 6.6)
        words = room.first.partition(":")[0] if len(layer) > 2 else room.first
        lines = textwrap.wrap(words, across, max_lines=2, placeholder=" …", break_on_hyphens=False)
        first = top + (27 - (len(lines) - 1) * _LINE / 2 if alone else 36)
        for number, line in enumerate(lines):
            yield _text("about", left + (138 if alone else 12), first + number * _LINE, line)


def _label(name: str, span: tuple[int, int]) -> Iterator[str]:
    yield f'<path class="arrow" d="M{_LEFT - 12} {span[0]} h-5 V{span[1]} h5"/>'
    middle = (span[0] + span[1]) / 2 + 4
    yield f'<text class="group" x="{_LEFT - 24}" y="{middle:g}" text-anchor="end">{escape(name)}</text>'


def _arrow(height: int) -> Iterator[str]:
    """Draw what the contract says."""
    bottom, middle = height - _TOP, height / 2
    yield f'<path class="arrow" d="M20 {_TOP} V{middle - 42:g} M20 {middle + 42:g} V{bottom - 8}"/>'
    yield f'<path class="tip" d="M15 {bottom - 9} h10 l-5 9 z"/>'
    yield f'<text class="about" transform="translate(24 {middle:g}) rotate(-90)" text-anchor="middle">imports</text>'


def _text(kind: str, x: float, y: float, words: str) -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(words)}</text>'
