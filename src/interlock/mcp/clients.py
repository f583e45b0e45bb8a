"""Ready-to-paste configuration for the common clients. No secret stands in it: a token comes from the environment."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

VARIABLE = "INTERLOCK_TOKEN"


class Wanted(NamedTuple):
    """What a client is to be told."""

    command: Sequence[str]
    """What begins the server over stdio."""
    url: str | None
    """Where it is called over HTTP instead."""


class Client(NamedTuple):
    """How one client is told."""

    place: str
    """The file that it reads, or the command that writes it."""
    write: Callable[[Wanted], str]


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2) + "\n"


def _stdio(wanted: Wanted) -> dict[str, Any]:
    return {"command": wanted.command[0], "args": list(wanted.command[1:])}


def _claude_code(wanted: Wanted) -> str:
    entry: dict[str, Any] = {"type": "stdio", **_stdio(wanted)}
    if wanted.url is not None:
        bearer = {"Authorization": f"Bearer ${{{VARIABLE}}}"}
        entry = {"type": "http", "url": wanted.url, "headers": bearer}
    return _json({"mcpServers": {"interlock": entry}})


def _cursor(wanted: Wanted) -> str:
    entry: dict[str, Any] = _stdio(wanted)
    if wanted.url is not None:
        entry = {"url": wanted.url, "headers": {"Authorization": f"Bearer ${{env:{VARIABLE}}}"}}
    return _json({"mcpServers": {"interlock": entry}})


def _vscode(wanted: Wanted) -> str:
    if wanted.url is None:
        return _json({"servers": {"interlock": {"type": "stdio", **_stdio(wanted)}}})
    hidden = {"password": True}  # nosec B105 - a field that is shown as dots
    asked = {"type": "promptString", "id": "interlock-token", "description": "Interlock token", **hidden}
    bearer = {"Authorization": "Bearer ${input:interlock-token}"}
    entry = {"type": "http", "url": wanted.url, "headers": bearer}
    return _json({"inputs": [asked], "servers": {"interlock": entry}})


def _codex(wanted: Wanted) -> str:
    lines = ["[mcp_servers.interlock]"]
    if wanted.url is None:
        lines += [f"command = {json.dumps(wanted.command[0])}", f"args = {json.dumps(list(wanted.command[1:]))}"]
    else:
        lines += [f"url = {json.dumps(wanted.url)}", f"bearer_token_env_var = {json.dumps(VARIABLE)}"]
    return "\n".join([*lines, "tool_timeout_sec = 60", ""])


CLIENTS: Mapping[str, Client] = {
    "claude-code": Client(".mcp.json in the project", _claude_code),
    "codex": Client("~/.codex/config.toml", _codex),
    "cursor": Client(".cursor/mcp.json in the project", _cursor),
    "vscode": Client(".vscode/mcp.json in the project", _vscode),
}
