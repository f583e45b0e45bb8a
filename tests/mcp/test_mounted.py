"""MCP over HTTP stands behind the gate: tokens, roles, names, bodies; and nothing is kept between two requests."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from interlock.app import Interlock
from mcp import Client, MCPError
from tests.cli.door import copy_of
from tests.conftest import until
from tests.http.processes import HUMAN, process
from tests.http.served import serving
from tests.mcp.world import LEGACY, MODERN, NAME, World, http, peer

ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


def ask(world: World, body: object, token: str | None = HUMAN, **headers: str) -> httpx2.Response:
    """Send one message as a client of 2025 does."""
    shown = {} if token is None else {"Authorization": f"Bearer {token}"}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    with httpx2.Client(timeout=30, verify=False) as client:
        return client.post(
            world.url, content=content, headers={**ACCEPT, "MCP-Protocol-Version": LEGACY, **shown, **headers}
        )


def modern(method: str, **params: object) -> dict[str, Any]:
    meta: dict[str, Any] = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}


def message(answer: httpx2.Response) -> Mapping[str, Any]:
    """Return the protocol's message, whichever way it came."""
    text = answer.text
    if answer.headers["content-type"].startswith("text/event-stream"):
        text = next(line for line in reversed(text.splitlines()) if line.startswith("data: "))[6:]
    return json.loads(text)


def test_without_a_token_nobody_gets_in(world: World) -> None:
    for token in (None, "wrong", "Bearer"):
        refused = ask(world, LIST, token)
        assert (refused.status_code, refused.json()["code"]) == (401, "token_invalid")
        assert refused.headers["www-authenticate"] == "Bearer"


def test_a_browser_s_session_is_no_token(world: World) -> None:
    with httpx2.Client(base_url=world.server.address, verify=False) as browser:
        assert browser.post("/ops/session", headers={"Authorization": f"Bearer {HUMAN}"}).status_code in {200, 201}
        refused = browser.post("/mcp", json=LIST, headers=ACCEPT)
        assert (refused.status_code, refused.json()["code"]) == (401, "bearer_needed")


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("localhost", None, 200),
        ("127.0.0.1:1", None, 200),
        ("[::1]:9325", None, 200),
        ("10.1.2.3", None, 200),
        ("localhost:80", "http://localhost:6274", 200),
        ("10.1.2.3", "http://10.1.2.3", 200),
        ("evil.example.com", None, 421),
        (f"{NAME}.evil.example.com", None, 421),
        ("evil.example.com", "http://evil.example.com", 421),
        ("localhost.evil.example.com", None, 421),
        ("127.0.0.1.evil.example.com", None, 421),
        ("localhost", "http://evil.example.com", 403),
        ("localhost", "http://localhost.evil.example.com", 403),
        ("localhost", "null", 403),
        ("127.0.0.1", "file://", 403),
        ("127.0.0.1", "http://10.1.2.3", 403),
    ],
)
def test_foreign_names_and_pages_are_refused(world: World, host: str, origin: str | None, status: int) -> None:
    answered = ask(world, LIST, Host=host, **({} if origin is None else {"Origin": origin}))
    assert answered.status_code == status, answered.text
    if status != 200:
        assert answered.json()["code"] == ("foreign_host" if status == 421 else "foreign_page")


def test_behind_a_real_name_it_works_once_that_is_set(world: World) -> None:
    for host in (NAME, f"{NAME.upper()}:443"):
        assert ask(world, LIST, Host=host).status_code == 200
    own = {"Host": NAME, "Origin": f"https://{NAME}"}
    assert ask(world, LIST, **own).status_code == 200
    other = {**own, "Origin": "https://www.example.org"}
    assert ask(world, LIST, **other).json()["code"] == "foreign_page"


def test_only_post_is_answered(world: World) -> None:
    for method in ("GET", "DELETE", "PUT"):
        answered = world.human.request(method, "/mcp", headers=ACCEPT)
        assert (answered.status_code, answered.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"[" * 100_000,
        b'{"jsonrpc":"1.0","id":1,"method":"tools/list"}',
        b'{"jsonrpc":"2.0","id":{},"method":"tools/list"}',
        b'{"jsonrpc":"2.0","id":1}',
        b'{"jsonrpc":"2.0","id":1,"method":7}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[]}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":{}}}',
        b'{"jsonrpc":"2.0","id":1,"method":"drafts/list"}',
        b"\xff\xfe",
        b'{"jsonrpc":"2.0","id":1' + b"0" * 5000 + b',"method":"ping"}',
    ],
    ids=lambda body: body[:40].decode("latin-1"),
)
@pytest.mark.parametrize("version", [LEGACY, MODERN])
def test_what_is_no_message_is_an_error_of_the_protocol(world: World, body: bytes, version: str) -> None:
    answered = ask(world, body, **{"MCP-Protocol-Version": version})
    assert answered.status_code < 500, answered.text
    if answered.status_code == 202:  # to the SDK's eye of 2025 it is a notification, and those are not answered
        assert answered.content == b""
        return
    error = message(answered)["error"]
    assert error["code"] in {-32700, -32600, -32601, -32602, -32020, -32022}, error
    assert "Traceback" not in answered.text


def test_a_body_that_is_too_large_is_refused(world: World) -> None:
    refused = ask(world, b" " * (2 * 1024 * 1024 + 1))
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")


def test_an_unknown_version_is_told_what_there_is(world: World) -> None:
    body = modern("tools/list")
    body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2031-01-01"
    refused = ask(world, body, **{"MCP-Protocol-Version": "2031-01-01", "Mcp-Method": "tools/list"})
    assert refused.status_code == 400
    assert MODERN in refused.text


def test_every_answer_has_the_gate_s_headers(world: World) -> None:
    answered = ask(world, LIST, **{"X-Correlation-ID": "mine-7"})
    assert answered.headers["x-correlation-id"] == "mine-7"
    assert answered.headers["ratelimit-limit"]
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": "create_run"}
    draft = modern("tools/call", name="create_run", arguments={"approved_id": world.draft()})
    refused = ask(world, draft, **headers, **{"X-Correlation-ID": "mine-8"})
    assert message(refused)["error"]["data"]["correlation_id"] == "mine-8"


@pytest.mark.parametrize("way", ["http-2026", "http-2025", "afar-2026"])
def test_a_reader_reads_and_runs_nothing(world: World, way: str) -> None:
    reader, approved = world.token(f"reader-{way}", role="actions"), world.approved()
    runs = {run["id"] for run in world.runs()}
    one = peer(world, way, reader)
    try:
        assert approved in one.prompt("orch_dispatch", approved_id=approved)
        refused = one.refusal(lambda client: client.call_tool("create_run", {"approved_id": approved}))
        assert refused.data["code"] in {"role_needed", "role_too_low"}
        assert "operator" in refused.message
    finally:
        one.close()
    assert {run["id"] for run in world.runs()} == runs
    denied = world.human.get("/ops/evidence/entries", params={"kind": "access.denied"})
    assert denied.status_code != 200 or "role_" in denied.text


@pytest.mark.parametrize("way", ["http-2026", "http-2025", "afar-2026", "stdio-2026"])
def test_a_run_is_made_in_the_token_s_own_name(world: World, way: str) -> None:
    token = world.token(f"own-{way}", kind="service")
    one = peer(world, way, token)
    try:
        made = one.tool("create_run", approved_id=world.approved())
    finally:
        one.close()
    assert made["created_by"] == ("service:mcp" if way.startswith("stdio") else f"service:own-{way}")


def test_one_key_makes_one_run_whichever_door_it_comes_through(world: World) -> None:
    approved = world.approved()
    shown = {"Idempotency-Key": "both-doors"}
    made = world.human.post("/ops/runs", json={"approved_id": approved}, headers=shown)
    called = {"name": "create_run", "arguments": {"approved_id": approved}}
    answered = ask(world, {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": called}, **shown)
    assert message(answered)["result"]["structuredContent"]["id"] == made.json()["id"]


@pytest.mark.parametrize("way", ["http-2026", "http-2025", "afar-2026"])
def test_a_token_that_is_revoked_is_refused_at_the_next_call(world: World, way: str) -> None:
    one = peer(world, way, world.token(f"revoked-{way}"))
    try:
        assert one.resource("ops://plan")
        revoked = world.human.post(f"/ops/tokens/{world.tokens[f'revoked-{way}']}/revoke", json={"reason": "gone"})
        assert revoked.status_code == 200
        refused = one.refusal(lambda client: client.read_resource("ops://plan"))
        assert refused.code < 0
        approved = world.approved()
        runs = {run["id"] for run in world.runs()}
        one.refusal(lambda client: client.call_tool("create_run", {"approved_id": approved}))
        assert {run["id"] for run in world.runs()} == runs
    finally:
        one.close()


def test_a_stream_ends_when_its_token_is_revoked(world: World) -> None:
    token = world.token("listener")
    body = modern("subscriptions/listen", notifications={"resourcesListChanged": True})
    headers = {**ACCEPT, "Authorization": f"Bearer {token}", "MCP-Protocol-Version": MODERN}
    headers["Mcp-Method"] = "subscriptions/listen"
    with (
        httpx2.Client(timeout=20, verify=False) as client,
        client.stream("POST", world.url, content=json.dumps(body), headers=headers) as stream,
    ):
        lines = stream.iter_lines()
        assert any("acknowledged" in line for line in lines)
        world.human.post(f"/ops/tokens/{world.tokens['listener']}/revoke", json={"reason": "gone"})
        rest = [line for line in lines if line.startswith("data: ")]
    assert json.loads(rest[-1][6:])["error"]["data"]["code"] == "token_invalid"


def test_a_client_that_vanishes_leaves_nothing_behind(world: World, operator: str) -> None:
    run = world.human.post("/ops/runs", json={"approved_id": world.approved("sleep 600")}).json()["id"]
    body = json.dumps(modern("tools/call", name="get_run_status", arguments={"run_id": run, "wait_seconds": 50}))
    head = (
        f"POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {operator}\r\n"
        f"Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
        f"MCP-Protocol-Version: {MODERN}\r\nMcp-Method: tools/call\r\nMcp-Name: get_run_status\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
    port = int(world.server.address.rpartition(":")[2])
    for _ in range(20):
        with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as connection:
            connection.sendall(head)
            time.sleep(0.01)
    assert ask(world, LIST).status_code == 200
    assert world.human.post(f"/ops/runs/{run}/cancel").status_code == 200


def test_a_reader_that_takes_nothing_holds_nobody_up(world: World, operator: str) -> None:
    for _ in range(20):
        world.approved(prompt="x" * 20_000)
    body = json.dumps(modern("resources/read", uri="ops://approved"))
    head = (
        f"POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {operator}\r\n"
        f"Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
        f"MCP-Protocol-Version: {MODERN}\r\nMcp-Method: resources/read\r\nMcp-Name: ops://approved\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
    port = int(world.server.address.rpartition(":")[2])
    slow = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(8)]
    try:
        for each in slow:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            each.sendall(head)
        began = time.monotonic()
        assert ask(world, LIST, operator).status_code == 200
        assert time.monotonic() - began < 5
    finally:
        for each in slow:
            each.close()


def test_a_server_that_goes_away_midway_is_a_clear_error_and_the_next_one_goes_on(
    fresh_workspace: Path, tmp_path: Path
) -> None:
    root = copy_of(fresh_workspace, tmp_path / "workspace")
    with process(root, "--api-only") as first:
        port = first.address.rpartition(":")[2]
        run = first.client().post("/ops/runs", json={"approved_id": _approved(first.client())}).json()["id"]
        waits = {"run_id": run, "wait_seconds": 40}

        async def of_2025() -> None:
            async with Client(http(f"{first.address}/mcp", HUMAN), mode="legacy", read_timeout_seconds=30) as client:
                waiting = asyncio.create_task(client.call_tool("get_run_status", waits))
                other = asyncio.create_task(asyncio.to_thread(of_2026))
                await asyncio.sleep(1.5)
                first.process.kill()
                with pytest.raises(MCPError) as told:
                    await waiting
                assert HUMAN not in str(told.value)
                with pytest.raises(httpx2.RemoteProtocolError):
                    await other
                with process(root, "--api-only", "--port", port):
                    again: Any = await client.call_tool("get_run_status", {"run_id": run})
                    assert again.structured_content["status"] == "pending"
                    anew = await asyncio.to_thread(of_2026, 0)
                    assert '"pending"' in anew.text

        def of_2026(seconds: int = 40) -> httpx2.Response:
            body = modern("tools/call", name="get_run_status", arguments={"run_id": run, "wait_seconds": seconds})
            headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": "get_run_status"}
            with httpx2.Client(timeout=30, verify=False) as client:
                shown = {**ACCEPT, "Authorization": f"Bearer {HUMAN}", **headers}
                return client.post(f"{first.address}/mcp", json=body, headers=shown)

        asyncio.run(of_2025())


def _approved(client: httpx2.Client) -> str:
    draft = client.post("/ops/drafts", json={"prompt": "p"}).json()["id"]
    return str(client.post(f"/ops/drafts/{draft}/approve").json()["approved"]["id"])


def test_a_server_that_is_told_to_stop_lets_those_go_who_wait(fresh_workspace: Path, tmp_path: Path) -> None:
    root = copy_of(fresh_workspace, tmp_path / "workspace")
    with process(root, "--api-only") as server:
        run = server.client().post("/ops/runs", json={"approved_id": _approved(server.client())}).json()["id"]
        waiting = modern("tools/call", name="get_run_status", arguments={"run_id": run, "wait_seconds": 50})
        listening = modern("subscriptions/listen", notifications={"resourcesListChanged": True})
        answers: list[str] = []

        def stay(body: dict[str, Any], method: str, **more: str) -> None:
            headers = {**ACCEPT, "Authorization": f"Bearer {HUMAN}", "MCP-Protocol-Version": MODERN}
            with httpx2.Client(timeout=60, verify=False) as client:
                found = client.post(
                    f"{server.address}/mcp", json=body, headers={**headers, "Mcp-Method": method, **more}
                )
            answers.append(found.text)

        threads = [
            threading.Thread(target=stay, args=(waiting, "tools/call"), kwargs={"Mcp-Name": "get_run_status"}),
            threading.Thread(target=stay, args=(listening, "subscriptions/listen")),
        ]
        for each in threads:
            each.start()
        time.sleep(2)
        began = time.monotonic()
        assert server.end() == 0
        for each in threads:
            each.join(20)
        assert time.monotonic() - began < 9
        until(lambda: len(answers) == 2, 5)
        assert all('"result"' in each for each in answers), answers


def test_servers_over_one_database_serve_one_client(world: World) -> None:
    approved = world.approved("sleep 600")
    with process(world.root, "--api-only") as other:

        async def work() -> None:
            async with (
                Client(http(world.url, HUMAN), mode=MODERN, cache=None) as here,
                Client(http(f"{other.address}/mcp", HUMAN), mode="legacy") as there,
            ):
                made: Any = await here.call_tool("create_run", {"approved_id": approved})
                run = made.structured_content["id"]
                seen: Any = await there.call_tool("get_run_status", {"run_id": run})
                assert seen.structured_content["id"] == run
                async with here.listen(resource_subscriptions=[f"ops://runs/{run}"]) as heard:
                    cancelled = await anyio.to_thread.run_sync(
                        lambda: other.client().post(f"/ops/runs/{run}/cancel").status_code
                    )
                    assert cancelled == 200
                    with anyio.fail_after(10):
                        event: Any = await anext(aiter(heard))
                        assert event.uri == f"ops://runs/{run}"

        anyio.run(work)


def test_switched_off_it_answers_501(fresh_workspace: Path, tmp_path: Path) -> None:
    root = copy_of(fresh_workspace, tmp_path / "workspace")
    with closing(Interlock.at(root)) as house, serving(house, ops=False) as served:
        assert served.client().post("/mcp", json=LIST, headers=ACCEPT).status_code == 501
