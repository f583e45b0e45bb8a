"""The command line door of MCP: `interlock mcp`, `interlock mcp config`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from interlock.doors.cli import answer, call, note
from interlock.kernel.errors import Invalid

door = typer.Typer(add_completion=False, no_args_is_help=False)


@door.callback(invoke_without_command=True)
def mcp(context: typer.Context) -> None:
    """Serve MCP over stdin and stdout: read the plan and what was approved, run it, follow it. Never drafts.

    A workspace here is used as service:mcp, which may run and never approve; a server (--server) as its token says.
    """
    if context.invoked_subcommand is not None:
        return
    house = call().app()
    server = getattr(house, "server", None)
    if server is None:
        _serve_here(house)
        return
    from interlock.mcp.afar import RemoteBridge, RemoteChanges
    from interlock.mcp.stdio import serve

    house.access.panic()  # what is wrong with the address or the token is said now, as one line
    bridge = RemoteBridge(server)
    _quietly(lambda: serve(lambda _: bridge, RemoteChanges(server), call().actor().correlation_id))


def _serve_here(house: Any) -> None:  # noqa: ANN401 - the rooms, as `app` plugs them together
    from interlock.access.models import Principal, PrincipalKind, Role
    from interlock.mcp.house import HouseBridge, LogChanges
    from interlock.mcp.stdio import serve

    actor = call().actor()
    if actor.principal.kind is PrincipalKind.HUMAN:  # who is behind a client, nobody knows
        actor = replace(actor, principal=Principal(PrincipalKind.SERVICE, "mcp"))
    house.event_log.size()  # what is wrong with the database is said now, as one line

    def bridge(correlation_id: str) -> HouseBridge:
        own = replace(actor, correlation_id=correlation_id)
        return HouseBridge(house=house, actor=own, role=Role.OPERATOR, wrote=lambda: _catch_up(house, own))

    _quietly(lambda: serve(bridge, LogChanges(house.event_log), actor.correlation_id))


def _catch_up(house: Any, actor: Any) -> None:  # noqa: ANN401 - the same
    from interlock.doors.cli import follow

    follow(lambda: house.catch_up(actor))


def _quietly(serve: Callable[[], None]) -> None:
    """Serve, with the log on stderr: stdout is the protocol's."""
    import logging

    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    serve()


@door.command()
def config(
    client: Annotated[str, typer.Argument(help="claude-code, codex, cursor or vscode.", metavar="CLIENT")],
    http: Annotated[bool, typer.Option("--http", help="Over HTTP, without a process of its own.")] = False,
    url: Annotated[str, typer.Option(metavar="URL", help="A server; default: the workspace here.")] = "",
) -> None:
    """Print what a client has to be told, ready to paste. No token stands in it: INTERLOCK_TOKEN holds that."""
    from interlock.mcp.clients import CLIENTS, VARIABLE, Wanted

    chosen = CLIENTS.get(client)
    if chosen is None:
        raise Invalid(f"there is no configuration for {client[:40]!a}", hint=f"there is {', '.join(CLIENTS)}")
    address = _address(url) if url or http else ""
    text = chosen.write(Wanted(_command(address), f"{address}/mcp" if http else None))
    if call().as_json:
        answer({"id": client, "status": "ok", "place": chosen.place, "text": text})
        return
    note(f"{client} reads this from {chosen.place}.")
    if address:
        note(
            f"Its environment has to hold a token as {VARIABLE}: `interlock token create --kind agent --role operator`."
        )
    sys.stdout.write(text)


def _command(address: str) -> list[str]:
    program = shutil.which(sys.argv[0]) if "interlock" in Path(sys.argv[0]).name else None
    found = str(Path(program).absolute()) if program else "interlock"
    return [found, "--server", address, "mcp"] if address else [found, "--workspace", str(call().root()), "mcp"]


def _address(url: str) -> str:
    from interlock.remote.address import read_address

    if not url:
        server = call().app().settings.server
        url = f"http://127.0.0.1:{server.port}"
    address = read_address(url)
    default = 443 if address.secure else 80
    host = f"[{address.host}]" if ":" in address.host else address.host
    port = "" if address.port == default else f":{address.port}"
    return f"{'https' if address.secure else 'http'}://{host}{port}{address.prefix}"
