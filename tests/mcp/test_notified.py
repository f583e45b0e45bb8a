"""Clients hear of changes: on a stream that they open (2026), or on the connection that lasts (2025, stdio)."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from mcp.shared.subscriptions import ResourcesListChanged, ResourceUpdated

from interlock.kernel.ids import UlidSource
from interlock.mcp.changes import events_of
from interlock.mcp.ports import Change
from mcp import Client
from tests.mcp.world import LEGACY, Peer, World, heard, soon

_new_ulid = UlidSource()
U = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


@pytest.mark.parametrize(
    ("kind", "subject", "told"),
    [
        ("plan.set", "plan", ["ops://plan"]),
        ("draft.approved", f"d_{U}", ["*", "ops://approved", f"ops://approved/a_{U}"]),
        ("approval.revoked", f"a_{U}", ["*", "ops://approved", f"ops://approved/a_{U}"]),
        ("content.erased", f"d_{U}", ["*", "ops://approved", f"ops://approved/a_{U}"]),
        ("run.created", f"r_{U}", [f"ops://runs/r_{U}", "ops://context"]),
        ("run.done", f"r_{U}", [f"ops://runs/r_{U}", "ops://context"]),
        ("item.claimed", "ORCH-001", ["ops://context"]),
        ("panic.raised", "panic", ["ops://context"]),
        ("draft.created", f"d_{U}", []),
        ("draft.edited", f"d_{U}", []),
        ("token.created", "t_1", []),
    ],
)
def test_an_entry_of_the_log_tells_of_these_resources(kind: str, subject: str, told: list[str]) -> None:
    found = list(events_of([Change(kind, subject), Change(kind, subject)]))
    assert [each.uri if isinstance(each, ResourceUpdated) else "*" for each in found] == told


@pytest.mark.filterwarnings("ignore:resources/.*subscribe is removed")  # of 2025 it is asked here
def test_a_stream_tells_of_new_approvals_and_of_a_run_that_goes_on(connect: Peer, world: World) -> None:
    if connect.client.protocol_version == LEGACY:
        _told_on_the_connection(connect, world)
        return
    run = connect.tool("create_run", approved_id=world.approved())["id"]
    connect.done(str(run))
    watched = f"ops://runs/{run}"

    async def listen(client: Client) -> list[Any]:
        told: list[Any] = []
        async with client.listen(resources_list_changed=True, resource_subscriptions=[watched, "ops://plan"]) as events:
            await anyio.to_thread.run_sync(world.approved)
            with anyio.fail_after(20):
                async for event in events:
                    told.append(event)
                    if isinstance(event, ResourcesListChanged):
                        await anyio.to_thread.run_sync(_replan, world)
                    elif event == ResourceUpdated("ops://plan"):
                        return told
        return told

    told = connect.ask(listen)
    assert ResourcesListChanged() in told
    assert ResourceUpdated("ops://plan") in told
    assert ResourceUpdated("ops://approved") not in told  # nobody asked for it


PLAN: dict[str, Any] = {
    "id": "plan_1",
    "title": "t",
    "workspace": "w",
    "created": "2026-11-21T08:00:00.000Z",
    "objective": "o",
    "tasks": [],
    "constraints": [],
}


def _replan(world: World) -> None:
    assert world.human.put("/ops/plan", json=PLAN).status_code == 200


def _told_on_the_connection(connect: Peer, world: World) -> None:
    capabilities = connect.client.server_capabilities.resources
    assert capabilities is not None
    lasts = connect.way.startswith("stdio")
    assert (bool(capabilities.subscribe), bool(capabilities.list_changed)) == (lasts, lasts)
    if not lasts:
        assert connect.refusal(_watch("ops://plan")).code == -32601
        return
    connect.heard.clear()
    connect.ask(_watch("ops://plan"))
    connect.ask(_watch("ops://approved"))
    connect.ask(_watch("ops://approved", stop=True))
    world.approved()
    soon(lambda: heard(connect, "notifications/resources/list_changed"))
    _replan(world)
    soon(lambda: heard(connect, "notifications/resources/updated", "ops://plan"))
    assert not heard(connect, "notifications/resources/updated", "ops://approved")
    refused = connect.refusal(_watch(f"ops://approved/{world.draft()}"))
    assert refused.data["code"] == "draft_out_of_reach"


@pytest.mark.filterwarnings("ignore:resources/.*subscribe is removed")  # of 2025 it is asked here
def test_a_client_that_watches_too_much_is_told_so(connect: Peer) -> None:
    if connect.way != "stdio-2025":
        return
    watched = [f"ops://runs/r_{_new_ulid()}" for _ in range(256)]
    connect.ask(_watch("ops://plan", stop=True))
    try:
        for uri in watched:
            connect.ask(_watch(uri))
        connect.ask(_watch(watched[0]))
        assert connect.refusal(_watch("ops://plan")).data["code"] == "mcp_argument_invalid"
    finally:
        for uri in watched:
            connect.ask(_watch(uri, stop=True))


def _watch(uri: str, *, stop: bool = False) -> Any:  # noqa: ANN401 - what `ask` takes
    """Ask as a client of 2025 does; the SDK calls its own method deprecated."""

    async def watch(client: Any) -> None:  # noqa: ANN401 - the same
        await (client.unsubscribe_resource(uri) if stop else client.subscribe_resource(uri))

    return watch


def test_a_draft_can_not_be_watched(connect: Peer, world: World) -> None:
    if connect.client.protocol_version == LEGACY:
        return
    draft = world.draft()

    async def listen(client: Client) -> None:
        async with client.listen(resource_subscriptions=[f"ops://approved/{draft}"]):
            pass

    refused = connect.refusal(listen)
    assert refused.data["code"] == "draft_out_of_reach"
