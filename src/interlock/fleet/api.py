"""The HTTP doors of the fleet: `/ops/nodes` and `/ops/config`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Protocol

from fastapi import Path
from pydantic import Field

from interlock.doors.api import ApiCall, Body, Door, Here, Limit, Shown, house, needs, problems
from interlock.fleet.service import Fleet
from interlock.fleet.shown import show_leader, show_node, show_published

door = Door("/ops", "fleet")


class _House(Protocol):
    @property
    def fleet(self) -> Fleet: ...

    def now(self) -> int: ...


class NodeShown(Shown):
    """A machine's part in the work."""

    id: str
    status: Literal["active", "draining", "drained", "quarantined", "behind", "stopped", "lost"] = Field(
        description="How it is, what matters most first. `behind`: it does not follow the newest configuration yet."
    )
    state: Literal["active", "draining", "quarantined"]
    name: str
    host: str
    version: str
    capabilities: list[str] = Field(description="Found by looking; what work may need.")
    labels: list[str] = Field(description="Given by its settings; what work may need.")
    concurrency: int = Field(description="How many runs one of its workers carries out at the same time.")
    held: int = Field(description="How many items its workers hold.")
    reason: str | None
    changed_by: str | None
    since: str
    joined_at: str
    heartbeat_at: str
    stopped_at: str | None = Field(description="When its last process ended in good order.")
    lost_at: str | None = Field(description="When it was given up.")
    config_version: int
    notice: str | None = Field(description="What it wants an operator to know.")


class LeaderShown(Shown):
    """Who runs a loop that only one process of all nodes does."""

    id: str
    status: Literal["leading", "free"]
    holder: str
    host: str
    epoch: int


class ConfigShown(Shown):
    """One version of the configuration that all nodes follow."""

    id: str
    status: Literal["published"]
    version: int
    digest: str
    reason: str | None
    by: str
    at: str


class ConfigWhole(ConfigShown):
    """The same with its text."""

    body: str = Field(description="TOML.")


class Because(Body):
    """Why."""

    reason: str


class Why(Body):
    """Why; may be left out."""

    reason: str = ""


class NewConfig(Body):
    """What all nodes are to follow."""

    body: str = Field(description="TOML, as in `interlock.toml`.", max_length=64 * 1024)
    reason: str = ""


Version = Annotated[int, Path(ge=1, lt=2**53)]


def _fleet(call: ApiCall) -> Fleet:
    return house(call, _House).fleet


@door.get("/nodes", response_model=list[NodeShown])
@needs("actions")
def nodes(call: Here) -> list[dict[str, Any]]:
    """List nodes, by name."""
    newest = _fleet(call).newest_version()
    return [show_node(each, newest) for each in _fleet(call).list()]


@door.get("/nodes/leaders", response_model=list[LeaderShown])
@needs("actions")
def leaders(call: Here) -> list[dict[str, Any]]:
    """List who leads which loop, or led it last."""
    now = house(call, _House).now()
    return [show_leader(each, now) for each in _fleet(call).leaders()]


@door.get("/nodes/{node_id}", responses=problems(404), response_model=NodeShown)
@needs("actions")
def node(call: Here, node_id: str) -> dict[str, Any]:
    """Return a node."""
    return show_node(_fleet(call).get(node_id), _fleet(call).newest_version())


@door.post("/nodes/{node_id}/drain", responses=problems(404, 409, 413, 415), response_model=NodeShown)
@needs("operator")
def drain(call: Here, node_id: str, body: Because) -> dict[str, Any]:
    """Let a node take nothing new, and finish what it has."""
    found = _fleet(call).drain(call.actor, node_id, reason=body.reason)
    call.wrote()
    return show_node(found, _fleet(call).newest_version())


@door.post("/nodes/{node_id}/quarantine", responses=problems(404, 409, 413, 415), response_model=NodeShown)
@needs("operator")
def quarantine(call: Here, node_id: str, body: Because) -> dict[str, Any]:
    """Trust a node no more: it takes nothing, and gives back what it has."""
    found = _fleet(call).quarantine(call.actor, node_id, reason=body.reason)
    call.wrote()
    return show_node(found, _fleet(call).newest_version())


@door.post("/nodes/{node_id}/resume", responses=problems(404, 409, 413, 415, 423), response_model=NodeShown)
@needs("operator")
def resume(call: Here, node_id: str, body: Why) -> dict[str, Any]:
    """Let a node take work again; what a human put into quarantine only a human lets out."""
    found = _fleet(call).resume(call.actor, node_id, reason=body.reason)
    call.wrote()
    return show_node(found, _fleet(call).newest_version())


@door.post("/nodes/{node_id}/forget", responses=problems(404, 409, 413, 415), response_model=NodeShown)
@needs("operator")
def forget(call: Here, node_id: str, body: Why) -> dict[str, Any]:
    """List a node no more that is gone; returns it as it was."""
    found = _fleet(call).forget(call.actor, node_id, reason=body.reason)
    call.wrote()
    return show_node(found, _fleet(call).newest_version())


@door.get("/config", response_model=list[ConfigShown])
@needs("actions")
def configs(call: Here, limit: Limit = 100) -> list[dict[str, Any]]:
    """List the versions of the configuration that all nodes follow, the newest first."""
    return [show_published(each, body=False) for each in _fleet(call).configs(limit=limit)]


@door.get("/config/{version}", responses=problems(404), response_model=ConfigWhole)
@needs("actions")
def config(call: Here, version: Version) -> dict[str, Any]:
    """Return one version with its text."""
    return show_published(_fleet(call).config(version), body=True)


@door.post("/config", status_code=201, responses=problems(409, 413, 415, 423), response_model=ConfigShown)
@needs("admin", human=True)
def publish(call: Here, body: NewConfig) -> dict[str, Any]:
    """Let all nodes follow a configuration from their next heartbeat on; only a human admin may."""
    published = _fleet(call).publish(call.actor, body.body, reason=body.reason)
    call.wrote()
    return show_published(published, body=False)
