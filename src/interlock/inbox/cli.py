"""The command-line door of the inbox: `interlock inbox`."""

from __future__ import annotations

from typing import Annotated, Any, Protocol

import typer

from interlock.doors.cli import answer, call, house
from interlock.inbox.service import MOST
from interlock.kernel.clock import from_text

door = typer.Typer(add_completion=False)


class _House(Protocol):
    def inbox_shown(self, actor: Any, *, most: int) -> dict[str, Any]: ...  # noqa: ANN401 - as `Call.actor`


@door.command()
def inbox(
    most: Annotated[int, typer.Option("--most", min=1, max=100, help="At most so many of a kind.")] = MOST,
) -> None:
    """List everything that waits for a person, the dearest wait first, each with the command that ends the wait."""
    found = house(_House).inbox_shown(call().actor(), most=most)
    now = from_text(found["now"])
    lines = [_line(each, now) for each in found["items"]]
    lines += [f"more of: {each['title']}; raise --most" for each in found["kinds"] if each["more"]]
    answer(found, lines or ["nothing waits for a person"])


def _line(entry: dict[str, Any], now: int) -> str:
    said = f"{entry['title']}, for {_span(now - from_text(entry['since']))}: {entry['sentence']}"
    if entry["deadline"]:
        said += f" (expires in {_span(from_text(entry['deadline']) - now)})"
    return f"{said}\t{entry['next']['command'] if entry['next'] else entry['who_can']}"


def _span(ms: int) -> str:
    minutes = max(0, ms) // 60_000
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days"
