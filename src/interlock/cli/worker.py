"""`interlock worker`: carry out runs."""

from __future__ import annotations

import logging
import signal
from types import FrameType
from typing import Annotated, Any

import typer

from interlock.doors.cli import answer, call, note

door = typer.Typer(add_completion=False)


@door.command()
def worker(
    once: Annotated[bool, typer.Option("--once", help="End when nothing is left to do.")] = False,
    concurrency: Annotated[int | None, typer.Option(min=1, max=64, help="Runs at the same time.")] = None,
    database: Annotated[str, typer.Option(metavar="URL", help="Another database than the settings name.")] = "",
) -> None:
    """Claim runs and carry them out, until SIGTERM or Ctrl-C: then what is under way is given back."""
    work(call().app(database).worker(once=once, concurrency=concurrency))


def work(made: Any) -> None:  # noqa: ANN401 - an engines.local.Worker, which only app.py may know
    """Let a worker work until it is told to stop, and say what it did."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")

    def stop(_number: int, _frame: FrameType | None) -> None:
        made.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if not call().as_json:
        note(f"{made.me.id} works; stop it with Ctrl-C")
    carried_out = made.work()
    answer(
        {"id": made.me.id, "status": "stopped", "carried_out": carried_out},
        [f"{made.me.id} carried out {carried_out} runs"],
    )
