"""`interlock worker`: carry out runs."""

from __future__ import annotations

import logging
import signal
from types import FrameType
from typing import Annotated

import typer

from interlock.doors.cli import answer, call, note

door = typer.Typer(add_completion=False)


@door.command()
def worker(
    once: Annotated[bool, typer.Option("--once", help="End when nothing is left to do.")] = False,
    concurrency: Annotated[int | None, typer.Option(min=1, max=64, help="Runs at the same time.")] = None,
) -> None:
    """Claim runs and carry them out, until SIGTERM or Ctrl-C: then what is under way is given back."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    made = call().app().worker(once=once, concurrency=concurrency)

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
