"""`interlock mcp` as a process: what stands on its streams, what it is told, and what it costs other commands."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from interlock.mcp.clients import CLIENTS, Wanted
from mcp import Client
from tests.cli.door import PROGRAM, call, environment
from tests.mcp.world import World, stdio

HELLO = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}
READY = {"jsonrpc": "2.0", "method": "notifications/initialized"}


def told(world: World, *lines: object, words: Sequence[str] = (), **more: str) -> tuple[list[dict[str, Any]], str, int]:
    """Say lines to a server of our own; returns the messages on its stdout, its stderr, and its exit code."""
    given = b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    done = subprocess.run(
        [str(PROGRAM), "--workspace", str(world.root), "mcp", *words],
        input=given,
        capture_output=True,
        check=False,
        timeout=45,
        env=environment(**more),
    )
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr.decode(), done.returncode


def test_lines_that_are_no_messages_are_answered_and_the_next_is_served(world: World) -> None:
    ping = {"jsonrpc": "2.0", "id": "p", "method": "ping"}
    wrong = (b"{", b"null", b"[]", b"\xff\xfe", b"[" * 50_000, b'{"jsonrpc":"2.0","id":9,"method":7}')
    messages, err, code = told(world, HELLO, READY, *wrong, b"x" * (2 * 1024 * 1024 + 7), ping)
    assert code == 0
    assert messages[0]["result"]["serverInfo"]["name"] == "interlock"
    assert {"jsonrpc": "2.0", "id": "p", "result": {}} in messages
    assert all("Traceback" not in json.dumps(each) for each in messages)
    assert "xxxx" not in err


def test_what_was_asked_before_stdin_ended_is_answered(world: World) -> None:
    read = {"method": "resources/read", "params": {"uri": "ops://approved"}}
    messages, _, code = told(
        world, HELLO, READY, *({"jsonrpc": "2.0", "id": number, **read} for number in range(1, 31))
    )
    assert code == 0
    assert {each["id"] for each in messages} == set(range(31))
    assert all("result" in each for each in messages)


def test_what_was_called_off_is_not_waited_for(world: World) -> None:
    off = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    messages, _, code = told(world, HELLO, READY, {"jsonrpc": "2.0", "id": 1, "method": "resources/list"}, off)
    assert code == 0
    assert {each["id"] for each in messages} <= {0, 1}


def test_what_is_no_message_is_answered_so_that_nobody_waits(world: World) -> None:
    wrong: tuple[tuple[object, object, int], ...] = (
        ({"jsonrpc": "2.0", "id": 1, "method": 7}, 1, -32600),
        ({"jsonrpc": "1.0", "id": "two", "method": "ping"}, "two", -32600),
        ({"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": [1]}, 3, -32600),
        ({"jsonrpc": "2.0", "id": {}}, None, -32600),
        ([], None, -32600),
        (b"{", None, -32700),
        (b"x" * (2 * 1024 * 1024 + 7), None, -32700),
    )
    silent = (b"", b"  ", {"jsonrpc": "2.0", "id": 9, "result": 7}, {"jsonrpc": "2.0", "id": 9, "error": 7})
    messages, _, code = told(world, HELLO, READY, *(line for line, _, _ in wrong), *silent)
    assert code == 0
    assert [(each.get("id"), each["error"]["code"]) for each in messages[1:]] == [(i, c) for _, i, c in wrong]


def test_arguments_of_a_megabyte_are_refused_and_not_said_again(world: World) -> None:
    large = {"name": "create_run", "arguments": {"approved_id": "a_" + "x" * 1_000_000}}
    messages, err, _ = told(world, HELLO, READY, {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": large})
    assert messages[1]["error"]["data"]["code"] == "mcp_not_an_id"
    assert len(json.dumps(messages)) < 5_000
    assert len(err) < 2_000


def test_what_comes_before_the_handshake_is_refused(world: World) -> None:
    messages, _, _ = told(world, {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, HELLO)
    assert "error" in messages[0]


def test_a_service_on_the_command_line_is_itself(world: World) -> None:
    approved = world.approved()

    async def make() -> Any:  # noqa: ANN401 - the SDK's own
        async with Client(stdio(world, "--as", "agent:ada")) as client:
            return await client.call_tool("create_run", {"approved_id": approved})

    assert asyncio.run(make()).structured_content["created_by"] == "agent:ada"


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--workspace", "/nowhere", "mcp"], 2, "is not a workspace"),
        (["--server", "http://127.0.0.1:9", "mcp"], 5, "does not answer"),
        (["--server", "http://example.com", "mcp"], 2, "it takes https"),
        (["mcp", "serve"], 2, "No such command"),
    ],
)
def test_what_can_not_begin_is_one_line(tmp_path: Path, words: list[str], code: int, sentence: str) -> None:
    said = call(*words, at=tmp_path, env={"INTERLOCK_TOKEN": "x"})
    assert said.code in {code, 3}
    assert sentence in said.err
    assert said.out == ""
    assert len(said.err.splitlines()) == 1


def test_a_wrong_token_is_said_at_once_and_not_shown(world: World) -> None:
    env = {"INTERLOCK_TOKEN": "wrong-secret-word"}
    said = call("--server", world.server.address, "mcp", at=world.folder, env=env)
    assert said.code == 4
    assert "not valid" in said.err
    assert "wrong-secret-word" not in said.err


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("url", [None, "https://ops.example.org/mcp"])
def test_configuration_is_ready_to_paste_and_holds_no_secret(client: str, url: str | None) -> None:
    written = CLIENTS[client].write(Wanted(["/usr/bin/interlock", "--workspace", 'a "b" \\ c', "mcp"], url))
    entry = _entry(client, written)
    if url is not None:
        assert entry["url"] == url
        assert "INTERLOCK_TOKEN" in written or "${input:interlock-token}" in written
    else:
        assert (entry["command"], entry["args"]) == ("/usr/bin/interlock", ["--workspace", 'a "b" \\ c', "mcp"])


@pytest.mark.parametrize(
    ("client", "more"),
    [("claude-code", []), ("codex", []), ("cursor", ["--url", "https://ops.example.org"]), ("vscode", ["--http"])],
)
def test_the_command_line_writes_a_configuration(world: World, client: str, more: list[str]) -> None:
    said = call("--workspace", str(world.root), "mcp", "config", client, *more, at=world.folder)
    assert said.code == 0, said
    entry = _entry(client, said.out)
    if "--http" in more:
        assert entry["url"] == "http://127.0.0.1:9325/mcp"
    else:
        where = ["--server", more[1]] if more else ["--workspace", str(world.root)]
        assert entry["args"] == [*where, "mcp"]
        assert Path(entry["command"]).name == "interlock"


def _entry(client: str, written: str) -> Mapping[str, Any]:
    read = tomllib.loads(written) if client == "codex" else json.loads(written)
    key = {"codex": "mcp_servers", "vscode": "servers"}.get(client, "mcpServers")
    return read[key]["interlock"]


def test_a_configuration_that_there_is_not_is_refused(world: World) -> None:
    call("--workspace", str(world.root), "mcp", "config", "emacs", at=world.folder).refuses(2, "claude-code")


def test_other_commands_do_not_load_the_sdk() -> None:
    script = (
        "import sys; from interlock.cli.main import main\n"
        "import interlock.http.wiring, interlock.mcp.cli\n"
        "main(['--help']); sys.exit(any(n == 'mcp' or n.startswith(('mcp.', 'mcp_types')) for n in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
