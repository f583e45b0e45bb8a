"""`interlock worker`: carry out runs, of this workspace's database or of a server's."""

from __future__ import annotations

import logging
import signal
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from interlock.doors.cli import answer, call, note
from interlock.kernel.errors import Invalid

door = typer.Typer(add_completion=False)


@door.command()
def worker(
    once: Annotated[bool, typer.Option("--once", help="End when nothing is left to do.")] = False,
    concurrency: Annotated[int | None, typer.Option(min=1, max=64, help="Runs at the same time.")] = None,
    database: Annotated[str, typer.Option(metavar="URL", help="Another database than the settings name.")] = "",
    engine: Annotated[str, typer.Option(metavar="ENGINE", help="`local` or `temporal`; default: the setting.")] = "",
    temporal_address: Annotated[str, typer.Option(metavar="HOST:PORT", help="Default: the setting.")] = "",
    temporal_namespace: Annotated[str, typer.Option(metavar="NAME", help="Default: the setting.")] = "",
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="LABEL", help="With --server: what this machine has, like gpu or zone=eu."),
    ] = None,
    work_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="With --server: where it works; default: below the user's state folder."),
    ] = None,
) -> None:
    """Claim runs and carry them out, until SIGTERM or Ctrl-C: then what is under way is given back.

    With --server and a worker's token it takes them from a server, and needs neither workspace nor database.
    """
    rooms = call().app(database)
    if hasattr(rooms, "far_worker"):
        if engine or temporal_address or temporal_namespace:
            raise Invalid("--engine and --temporal-* are for a worker with a database; leave them or --server out")
        work(rooms.far_worker(work_dir, once=once, concurrency=concurrency, labels=label or ()))
        return
    if work_dir is not None or label:
        raise Invalid(
            "--work-dir and --label are for a worker of a server", hint="name that with --server or INTERLOCK_SERVER"
        )
    work(
        rooms.worker_of(
            engine,
            once=once,
            concurrency=concurrency,
            temporal_address=temporal_address,
            temporal_namespace=temporal_namespace,
        )
    )


def work(made: Any) -> None:  # noqa: ANN401 - engines.local.Worker, which only app.py may know, or remote's
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
