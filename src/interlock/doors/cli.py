"""What the command-line doors share: who calls, where, and how an answer is shown.

Every command takes `--json`, `--workspace DIR` and `--as KIND:NAME`, wherever they stand on the line; so they are
taken out before the command itself is parsed (`cli/main.py`), and found here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from interlock.kernel.errors import InterlockError

House = TypeVar("House")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of the program."""

    as_json: bool
    actor: Callable[[], Any]
    """Proves who calls, when a verb asks: an `access.models.Actor`, from a room that stands above this one."""
    root: Callable[[], Path]
    """Finds the workspace; raises `WorkspaceMissing`."""
    app: Callable[..., Any]
    """Plugs the workspace's rooms together; over the database at `database_url`, if that is given."""
    catch_up: Callable[[], Iterable[str]]
    """Brings what follows the log up to its end; returns what differs and was left alone, as sentences."""

    def wrote(self) -> None:
        """Bring up to date what follows the log, after a verb that changed something."""
        follow(self.catch_up)


_call: ContextVar[Call] = ContextVar("call")


def open_door(call: Call) -> None:
    """Begin a call."""
    _call.set(call)


def call() -> Call:
    """Return the call that is being answered."""
    return _call.get()


def house(kind: type[House]) -> House:
    """Return the plugged-together rooms, as the protocol that a door asks for."""
    del kind
    return cast("House", call().app())


def answer(data: Any, lines: Iterable[str] | None = None) -> None:  # noqa: ANN401 - JSON of any shape
    """Show an answer: one JSON document with `--json`, else lines for a person."""
    if call().as_json or lines is None:
        text = json.dumps(data, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False)
        # What a terminal would hide or obey is spelt out, as JSON spells it.
        sys.stdout.write("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text) + "\n")
        return
    for line in lines:
        sys.stdout.write(_shown(line) + "\n")


def table(data: Sequence[dict[str, Any]], columns: Sequence[str], *, empty: str) -> None:
    """Show rows: a JSON array with `--json`, a table on a terminal, tab-separated lines otherwise."""
    if call().as_json:
        answer(list(data))
    elif not data:
        answer(None, [empty])
    elif sys.stdout.isatty():
        _rich_table(data, columns)
    else:
        answer(None, ("\t".join(_cell(row.get(column)) for column in columns) for row in data))


def note(text: str) -> None:
    """Say something beside the answer, on stderr."""
    sys.stderr.write(_shown(text) + "\n")


def follow(catch_up: Callable[[], Iterable[str]]) -> None:
    """Bring up to date what follows the log. What was done is done: trouble with that is said, and is no failure."""
    try:
        for sentence in catch_up():
            note(f"warning: {sentence}")
    except (OSError, InterlockError) as error:
        note(f"warning: done, but the window files were not brought up to date: {error}")


def _rich_table(data: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        shown.add_column(column.replace("_", " "), overflow="fold")
    for row in data:
        shown.add_row(*(Text(_cell(row.get(column))) for column in columns))
    Console().print(shown)


def _cell(value: Any) -> str:  # noqa: ANN401 - JSON of any shape
    if value is None:
        return "-"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return " ".join(_shown(text).split())


def _shown(text: str) -> str:
    """Make a text safe for a terminal: control characters of an agent or an author never reach it as such."""
    return "".join(c if c.isprintable() or c == "\t" else ascii(c)[1:-1] for c in text)
