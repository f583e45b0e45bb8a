"""No road leads to a draft: every tool, prompt and resource, with whatever stands where an id should stand."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcp import Client, MCPError
from tests.mcp.world import SECRET, Peer, World

Deed = Callable[[Client], Coroutine[Any, Any, object]]
PROFILE = {
    "tools": ["create_run", "get_run_status"],
    "prompts": ["orch_dispatch", "sub_dispatch", "editp_dispatch"],
    "templates": ["ops://approved/{id}", "ops://runs/{id}"],
}
ALIKE = str.maketrans({"d": "ⅾ", "a": "а", "0": "O", "1": "l", "_": "＿"})  # noqa: RUF001 - that is what it is about
FAR = ("", "../", "..%2f", "%2e%2e/", "./", "/", "a_", "approved/../drafts/", "drafts/", "\x00", " ", "\u202e")


@pytest.fixture(scope="module")
def drafts(world: World) -> list[str]:
    """Drafts that a human has not approved, one of them turned down."""
    made = [world.draft() for _ in range(3)]
    assert world.human.post(f"/ops/drafts/{made[2]}/reject", json={"reason": "no"}).status_code == 200
    return made


def hostile(ids: list[str]) -> st.SearchStrategy[str]:
    """Draft ids, and what could be taken for one by a careless reader."""
    spelled = st.sampled_from(ids).flatmap(
        lambda real: st.sampled_from(
            (
                real,
                real.lower(),
                real.upper(),
                f"a_{real[2:]}",
                f"r_{real[2:]}",
                f"A_{real[2:]}",
                real.translate(ALIKE),
                f"{real}/",
                f"{real}\n",
                f"{real}\x00a_",
                f"a_{real}",
                real * 400,
                real[2:],
            )
        )
    )
    return st.tuples(st.sampled_from(FAR), spelled, st.text(max_size=3)).map("".join)


def deeds(some_id: str, more: str, name: str) -> Iterator[Deed]:
    """Everything that is offered, asked with these."""
    for tool in (*PROFILE["tools"], name):
        for argument in ("approved_id", "run_id", "draft_id", "id"):
            yield _tool(tool, {argument: some_id})
        yield _tool(tool, {"approved_id": some_id, "run_id": some_id})
    for prompt in (*PROFILE["prompts"], name):
        yield _prompt(prompt, {"approved_id": some_id, "agent": more, "file": more})
        yield _prompt(prompt, {"approved_id": some_id})
    for place in ("ops://approved/", "ops://runs/", "ops://drafts/", "ops://", "file:///", "OPS://APPROVED/"):
        yield _resource(f"{place}{some_id}")


def _tool(name: str, given: dict[str, Any]) -> Deed:
    return lambda client: client.call_tool(name, given)


def _prompt(name: str, given: dict[str, str]) -> Deed:
    return lambda client: client.get_prompt(name, given)


def _resource(uri: str) -> Deed:
    return lambda client: client.read_resource(uri)


def test_what_is_fuzzed_is_all_there_is(connect: Peer) -> None:
    tools = connect.ask(lambda client: client.list_tools()).tools
    prompts = connect.ask(lambda client: client.list_prompts()).prompts
    templates = connect.ask(lambda client: client.list_resource_templates()).resource_templates
    assert [each.name for each in tools] == PROFILE["tools"]
    assert [each.name for each in prompts] == PROFILE["prompts"]
    assert [each.uri_template for each in templates] == PROFILE["templates"]


@pytest.mark.proves("mcp-no-drafts")
def test_no_tool_prompt_or_resource_reaches_a_draft(connect: Peer, world: World, drafts: list[str]) -> None:
    told: list[str] = []

    @settings(max_examples=8, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        some_id=hostile(drafts),
        more=st.one_of(hostile(drafts), st.text(max_size=20)),
        name=st.sampled_from(("approve", "approve_draft", "draft_approve", "generate", "create_draft", "drafts", "")),
    )
    def attack(some_id: str, more: str, name: str) -> None:
        for deed in deeds(some_id, more, name):
            try:
                told.append(repr(connect.ask(deed)))
            except (MCPError, UnicodeEncodeError) as refused:
                told.append(repr(getattr(refused, "error", refused)))

    runs = {run["id"] for run in world.runs()}
    before = {each: world.human.get(f"/ops/drafts/{each}").json() for each in drafts}
    approved = world.human.get("/ops/approved", params={"limit": 1000}).json()
    attack()
    assert len(told) > 100
    assert not [each for each in told if SECRET in each]
    assert {run["id"] for run in world.runs()} == runs
    assert {each: world.human.get(f"/ops/drafts/{each}").json() for each in drafts} == before
    assert world.human.get("/ops/approved", params={"limit": 1000}).json() == approved
