"""`interlock serve`: the HTTP API, with worker, supervisor and alerter beside it."""

from __future__ import annotations

from typing import Annotated

import typer

from interlock.doors.cli import call, note

door = typer.Typer(add_completion=False)


@door.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Where to listen; default: the setting.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="0 takes any that is free; default: the setting.")
    ] = None,
    api_only: Annotated[bool, typer.Option("--api-only", help="No worker in this process.")] = False,
    no_ops: Annotated[bool, typer.Option("--no-ops", help="Answer 501 on /ops/*; everything else goes on.")] = False,
    concurrency: Annotated[int | None, typer.Option(min=1, max=64, help="Runs at the same time.")] = None,
    database: Annotated[str, typer.Option(metavar="URL", help="Another database than the settings name.")] = "",
    engine: Annotated[str, typer.Option(metavar="ENGINE", help="`local` or `temporal`; default: the setting.")] = "",
    temporal_address: Annotated[str, typer.Option(metavar="HOST:PORT", help="Default: the setting.")] = "",
    temporal_namespace: Annotated[str, typer.Option(metavar="NAME", help="Default: the setting.")] = "",
) -> None:
    """Serve until SIGTERM or Ctrl-C: requests are finished, and what is under way is given back."""
    from interlock.http.logs import to_stderr
    from interlock.http.server import Server, Serving
    from interlock.http.server import serve as serve_on
    from interlock.http.wiring import plugged

    house = call().app(database)
    house.event_log.size()  # what is wrong with the database is said now, as one line

    def ready(address: str) -> None:
        note(f"Interlock serves {house.places.root} on {address}")
        note("log in with a token: `interlock token create --name me --role admin --kind human`")

    settings = house.settings.server
    app, follower = plugged(house, ops=settings.ops and not no_ops)
    worker = (
        None
        if api_only
        else house.worker_of(
            engine,
            concurrency=concurrency,
            temporal_address=temporal_address,
            temporal_namespace=temporal_namespace,
        )
    )
    beside = [house.presence] if worker is None else [worker, *house.parts()]
    server = Server(app, Serving(host=host or settings.host, port=settings.port if port is None else port, ready=ready))
    with to_stderr():
        serve_on(server, beside, follower)
