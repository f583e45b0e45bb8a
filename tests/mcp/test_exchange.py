"""What is answered with one body, without streams, is what the SDK answers with them; who only reads is not logged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.conftest import until
from tests.http.processes import HUMAN
from tests.mcp.test_mounted import LIST, ask, message, modern
from tests.mcp.world import LEGACY, MODERN, World

A, R = "a_01ARZ3NDEKTSV4RRFFQ69G5FAV", "r_01ARZ3NDEKTSV4RRFFQ69G5FAV"
ASKED: Mapping[str, Mapping[str, Any]] = {
    "tools": {"method": "tools/list"},
    "resources": {"method": "resources/templates/list"},
    "read": {"method": "resources/read", "params": {"uri": "ops://plan"}},
    "unknown run": {"method": "tools/call", "params": {"name": "get_run_status", "arguments": {"run_id": R}}},
    "unknown tool": {"method": "tools/call", "params": {"name": "approve", "arguments": {"id": A}}},
    "unknown method": {"method": "drafts/list"},
    "wrong params": {"method": "tools/call", "params": {"name": 7}},
    "wrong id": {"method": "prompts/get", "params": {"name": "orch_dispatch", "arguments": {"approved_id": R}}},
    "a ping": {"method": "ping"},
}


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("version", ["2025-03-26", "2025-06-18", LEGACY])
def test_both_ways_to_answer_say_the_same(world: World, name: str, version: str) -> None:
    plain: Mapping[str, Any] = {"jsonrpc": "2.0", "id": "one", **ASKED[name]}
    streamed: Mapping[str, Any] = {**plain, "params": {**plain.get("params", {}), "_meta": {"progressToken": 1}}}
    headers = {"MCP-Protocol-Version": version, "X-Correlation-ID": "the-same"}
    one, other = ask(world, plain, **headers), ask(world, streamed, **headers)
    assert one.headers["content-type"] == "application/json"
    assert other.headers["content-type"].startswith("text/event-stream")
    assert message(one) == message(other)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ({"jsonrpc": "2.0", "method": "notifications/initialized"}, {}, 202),
        ([LIST], {}, 400),
        (LIST, {"Accept": "text/html"}, 406),
        (LIST, {"Content-Type": "text/plain"}, 400),
        (LIST, {"MCP-Protocol-Version": "2025-01-01"}, 400),
    ],
)
def test_what_is_no_plain_request_is_the_sdk_s_to_refuse(
    world: World, body: object, headers: dict[str, str], status: int
) -> None:
    assert ask(world, body, **headers).status_code == status


@pytest.mark.parametrize("version", [LEGACY, MODERN])
def test_only_what_changes_something_or_fails_is_logged(world: World, version: str) -> None:
    approved = world.approved()

    def called(mark: str, tool: str, **arguments: object) -> Mapping[str, Any]:
        headers = {"MCP-Protocol-Version": version, "Mcp-Method": "tools/call", "Mcp-Name": tool}
        body = modern("tools/call", name=tool, arguments=arguments)
        return message(ask(world, body, HUMAN, **headers, **{"X-Correlation-ID": f"{mark}-{version}"}))

    made = called("made", "create_run", approved_id=approved)
    called("read", "get_run_status", run_id=made["result"]["structuredContent"]["id"])
    assert "error" in called("failed", "get_run_status", run_id=R)
    until(lambda: f"failed-{version}" in world.server.log.read_text(), 10)
    logged = [json.loads(line) for line in world.server.log.read_text().splitlines() if version in line]
    marks = [each["correlation_id"] for each in logged if each["msg"] == "POST /mcp"]
    assert marks == [f"made-{version}", f"failed-{version}"]
