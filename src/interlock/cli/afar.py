"""Which server is asked, if one is, and the call that asks it instead of a workspace of this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from interlock.doors.cli import Call
from interlock.kernel.errors import Invalid
from interlock.remote.address import read_address
from interlock.remote.house import RemoteHouse, refuse, somebody


def call_from_afar(
    words: Sequence[str], common: Mapping[str, str], correlation: Callable[[Mapping[str, str]], str | None]
) -> tuple[Call, Callable[[], None]] | None:
    """Return the call, and what closes it; None where a workspace of this machine is meant."""
    server = _server(common)
    if server is None:
        return None
    address = read_address(server)
    if "--as" in common:
        raise Invalid("--as is for a workspace here; to a server, the token says who you are")
    if not {"--help", "-h"} & set(words):
        refuse(words)
    plugged: list[RemoteHouse] = []

    def app(database_url: str = "") -> RemoteHouse:
        if database_url:
            raise Invalid("--database and a server name two places; give one")
        if not plugged:
            from interlock.remote.token import FILE, read_token
            from interlock.runs.containment.processes import inside_run

            named = common.get("--token-file")
            plugged.append(
                RemoteHouse(
                    address,
                    read_token(named, os.environ),
                    correlation_id=correlation(common),
                    inside_run=inside_run(),
                    token_file=named or os.environ.get(FILE) or None,
                )
            )
        return plugged[0]

    def close() -> None:
        for each in plugged:
            each.close()

    call = Call(
        as_json="--json" in common,
        actor=lambda: somebody(correlation(common)),
        root=_no_folder,
        app=app,
        catch_up=lambda: (),
    )
    return call, close


def _server(common: Mapping[str, str]) -> str | None:
    if "--server" in common and "--workspace" in common:
        raise Invalid("--server and --workspace name two places; give one")
    if "--server" in common or "--workspace" in common:
        named = common.get("--server")
    else:
        named = os.environ.get("INTERLOCK_SERVER") or None
        if named is not None and os.environ.get("INTERLOCK_WORKSPACE"):
            raise Invalid(
                "INTERLOCK_SERVER and INTERLOCK_WORKSPACE name two places", hint="give --server or --workspace"
            )
    if named is None and "--token-file" in common:
        raise Invalid("--token-file is for a server", hint="name that with --server or INTERLOCK_SERVER")
    return named


def _no_folder() -> Path:
    raise Invalid("a server's workspace is no folder of this machine")
