"""What is refused, and how: an error of the protocol with our code and what to do; nothing half-done, no secret."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import closing, contextmanager
from typing import Any, cast

import mcp_types as types
import pytest

from interlock.kernel.ids import UlidSource
from mcp import Client
from tests.mcp.world import Peer, World

Deed = Callable[[Client], Coroutine[Any, Any, object]]
_new_ulid = UlidSource()


def dispatches(some_id: str) -> dict[str, Deed]:
    """Every way in which an approved id can be asked for."""
    return {
        "orch": lambda client: client.get_prompt("orch_dispatch", {"approved_id": some_id}),
        "sub": lambda client: client.get_prompt("sub_dispatch", {"approved_id": some_id, "agent": "ada"}),
        "editp": lambda client: client.get_prompt("editp_dispatch", {"approved_id": some_id, "file": "a.py"}),
        "run": lambda client: client.call_tool("create_run", {"approved_id": some_id}),
    }


def reads(some_id: str) -> dict[str, Deed]:
    return {
        "approved": lambda client: client.read_resource(f"ops://approved/{some_id}"),
        "runs": lambda client: client.read_resource(f"ops://runs/{some_id}"),
        "status": lambda client: client.call_tool("get_run_status", {"run_id": some_id}),
    }


@contextmanager
def nothing_done(world: World) -> Generator[None]:
    """No run has come about inside of this block."""
    before = {run["id"] for run in world.runs()}
    yield
    assert {run["id"] for run in world.runs()} == before


@pytest.mark.proves("mcp-no-drafts")
def test_a_draft_is_refused_everywhere_in_words_that_say_so(connect: Peer, world: World) -> None:
    draft = world.draft()
    drafts: Deed = lambda client: client.read_resource(f"ops://drafts/{draft}")  # noqa: E731 - as the others are
    deeds = {**dispatches(draft), **reads(draft), "drafts": drafts}
    with nothing_done(world):
        for name, deed in deeds.items():
            refused = connect.refusal(deed)
            assert refused.code == types.INVALID_PARAMS, name
            assert refused.data["code"] == "draft_out_of_reach", name
            assert "no draft is reachable over MCP" in refused.message, name
            assert "a human approves it" in refused.data["hint"], name


def test_a_draft_is_refused_where_an_id_is_completed_or_a_page_begins(connect: Peer, world: World) -> None:
    draft = world.draft()
    ref = types.PromptReference(name="orch_dispatch")
    deeds: tuple[Deed, ...] = (
        lambda client: client.complete(ref, {"name": "approved_id", "value": draft}),
        lambda client: client.complete(ref, {"name": "agent", "value": "a"}, {"approved_id": draft}),
        lambda client: client.list_resources(cursor=draft),
        lambda client: client.list_tools(cursor=draft),
    )
    for deed in deeds:
        refused = connect.refusal(deed)
        assert (refused.code, refused.data["code"]) == (types.INVALID_PARAMS, "draft_out_of_reach")


def test_a_cursor_that_was_not_given_out_is_refused(connect: Peer) -> None:
    deeds: tuple[Deed, ...] = (
        lambda client: client.list_resources(cursor="2"),
        lambda client: client.list_tools(cursor="2"),
        lambda client: client.list_prompts(cursor=A),
        lambda client: client.list_resource_templates(cursor="2"),
    )
    for deed in deeds:
        refused = connect.refusal(deed)
        assert (refused.code, refused.data["code"]) == (types.INVALID_PARAMS, "mcp_argument_invalid")


def test_revoked_expired_and_altered_approvals_are_refused_like_drafts(connect: Peer, world: World) -> None:
    revoked, expired, altered = world.approved(), world.approved(expires_after_seconds=1), world.approved()
    assert world.human.post(f"/ops/approved/{revoked}/revoke", json={"reason": "no"}).status_code == 200
    with closing(sqlite3.connect(world.root / ".interlock" / "interlock.db", timeout=20)) as database, database:
        changed = database.execute(
            "UPDATE approved SET terms = replace(terms, '\"true\"', '\"false\"') WHERE id = ?", [altered]
        )
        assert changed.rowcount == 1
    time.sleep(1.1)
    with nothing_done(world):
        for some_id, code in (
            (revoked, "approval_revoked"),
            (expired, "approval_expired"),
            (altered, "digest_mismatch"),
        ):
            for name, deed in dispatches(some_id).items():
                assert connect.refusal(deed).data["code"] == code, (name, code)


def test_ids_of_another_kind_and_unknown_ids_are_refused(connect: Peer, world: World) -> None:
    approved, nobody = world.approved(), _new_ulid()
    run = world.human.post("/ops/runs", json={"approved_id": approved}).json()["id"]
    with nothing_done(world):
        for deed in dispatches(run).values():
            refused = connect.refusal(deed)
            assert (refused.data["code"], "this is a run's id" in refused.message) == ("mcp_not_an_id", True)
        for deed in dispatches(f"a_{nobody}").values():
            assert connect.refusal(deed).data["code"] == "approved_not_found"
        assert connect.refusal(reads(f"r_{nobody}")["status"]).data["code"] == "run_not_found"
        assert connect.refusal(reads(f"r_{nobody}")["runs"]).data["code"] == "run_not_found"
        assert connect.refusal(reads(approved)["status"]).data["code"] == "mcp_not_an_id"


def test_what_was_given_is_never_said_again(connect: Peer, operator: str) -> None:
    for some_id in (operator, f"a_{operator}", "<script>", "a_" + "0" * 4000):
        for name, deed in (dispatches(some_id) | reads(some_id)).items():
            refused = connect.refusal(deed)
            told = json.dumps([refused.message, refused.data])
            assert some_id not in told, name
            assert operator not in told, name
            assert "Traceback" not in told, name
            assert refused.data["correlation_id"], name


OUTSIDE = (
    "",
    "/etc/passwd",
    "../secret",
    "a/../../secret",
    "a//b",
    "./a",
    "a/.",
    "~/a",
    "a\\b",
    "C:/a",
    ".git/config",
    "a/.GIT/hooks/x",
    "a\nb",
    "x" * 1025,
    "link/secret",
)


def test_a_file_outside_of_the_repository_is_refused(connect: Peer, world: World) -> None:
    link = world.repository / "link"
    if not link.is_symlink():
        link.symlink_to(world.folder)
    given = {"approved_id": world.approved()}
    for file in OUTSIDE:
        refused = connect.refusal(_edit({**given, "file": file}))
        assert refused.data["code"] == "mcp_file_outside", file


def _edit(given: dict[str, str]) -> Deed:
    return lambda client: client.get_prompt("editp_dispatch", given)


A, R = "a_01ARZ3NDEKTSV4RRFFQ69G5FAV", "r_01ARZ3NDEKTSV4RRFFQ69G5FAV"
WRONG: tuple[tuple[str, dict[str, object]], ...] = (
    ("create_run", {}),
    ("create_run", {"approved_id": 7}),
    ("create_run", {"approved_id": None}),
    ("create_run", {"approved_id": [A]}),
    ("create_run", {"approved_id": A, "priority": "P0"}),
    ("create_run", {"approved_id": "x" * 100_000}),
    ("get_run_status", {"run_id": R, "wait_seconds": 51}),
    ("get_run_status", {"run_id": R, "wait_seconds": -1}),
    ("get_run_status", {"run_id": R, "wait_seconds": True}),
    ("get_run_status", {"run_id": R, "wait_seconds": "1"}),
    ("approve", {"id": "d_01ARZ3NDEKTSV4RRFFQ69G5FAV"}),
    ("Create_Run", {"approved_id": A}),
)


def test_arguments_of_another_shape_are_refused(connect: Peer, world: World) -> None:
    with nothing_done(world):
        for tool, arguments in WRONG:
            refused = connect.refusal(_call(tool, arguments))
            assert refused.code == types.INVALID_PARAMS, (tool, arguments)
            assert len(refused.message) < 500


def _call(tool: str, arguments: dict[str, object]) -> Deed:
    return lambda client: client.call_tool(tool, arguments)


def test_panic_refuses_runs_and_lets_reading_go_on(connect: Peer, world: World) -> None:
    approved = world.approved()
    assert world.human.put("/ops/panic", json={"reason": "a rogue agent"}).status_code == 200
    try:
        with nothing_done(world):
            refused = connect.refusal(lambda client: client.call_tool("create_run", {"approved_id": approved}))
            assert refused.data["code"] == "panic_mode"
        assert json.loads(connect.resource("ops://context"))["panic_mode"] is True
        assert approved in connect.prompt("orch_dispatch", approved_id=approved)
    finally:
        world.human.post("/ops/panic/release", json={"reason": "it is gone"})


def test_a_key_makes_one_run_however_often_it_is_asked_for(connect: Peer, world: World) -> None:
    approved = world.approved()
    key: Any = {"interlock/idempotency-key": f"key-{connect.way}-{_new_ulid()}"}

    def make(some_id: str = approved) -> Deed:
        return lambda client: client.call_tool("create_run", {"approved_id": some_id}, meta=key)

    if connect.way.startswith("afar"):
        assert connect.refusal(make()).data["code"] == "mcp_argument_invalid"
        return
    first, again = (cast("Any", connect.ask(make())) for _ in range(2))
    assert first.structured_content["id"] == again.structured_content["id"]
    assert connect.refusal(make(world.approved())).data["code"] == "idempotency_key_used"
