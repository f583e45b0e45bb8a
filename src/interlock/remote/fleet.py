"""The fleet from afar: nodes, and the configuration that all follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from interlock.access.models import Actor
from interlock.fleet.errors import NodeUnknown
from interlock.fleet.models import Facts, Leader, Node, NodeState, Process, Published
from interlock.kernel.clock import from_text
from interlock.kernel.ids import checked
from interlock.remote.connection import Connection, several, understood

# --- what `fleet/api.py` writes, read ---------------------------------------------------------------------------------


def read_node(data: Mapping[str, Any]) -> Node:
    """Read a node; the boot of its machine is not told."""
    return Node(
        facts=Facts(
            id=data["id"],
            name=data["name"],
            host=data["host"],
            boot_id="",
            version=data["version"],
            capabilities=tuple(data["capabilities"]),
            labels=tuple(data["labels"]),
            concurrency=data["concurrency"],
        ),
        state=NodeState(data["state"]),
        reason=data["reason"] or "",
        changed_by=data["changed_by"] or "",
        since_ms=from_text(data["since"]),
        joined_ms=from_text(data["joined_at"]),
        heartbeat_ms=from_text(data["heartbeat_at"]),
        beat=0,
        left_ms=_instant(data["stopped_at"]),
        lost_ms=_instant(data["lost_at"]),
        config_version=data["config_version"],
        notice=data["notice"] or "",
        held=data["held"],
    )


def read_leader(data: Mapping[str, Any]) -> Leader:
    """Read who leads a role."""
    process = Process(id=data["holder"], host=data["host"], boot_id="", pid=0, start_time=0)
    return Leader(role=data["id"], process=process, epoch=data["epoch"], expires_ms=0)


def read_published(data: Mapping[str, Any]) -> Published:
    """Read a version of the configuration; its text is there where it was asked for."""
    return Published(
        version=data["version"],
        digest=data["digest"],
        body=data.get("body", ""),
        reason=data["reason"] or "",
        published_by=data["by"],
        published_ms=from_text(data["at"]),
    )


def _instant(text: str | None) -> int | None:
    return None if text is None else from_text(text)


# --- the room ---------------------------------------------------------------------------------------------------------


class RemoteFleet:
    """Answers as `fleet.service.Fleet` does."""

    def __init__(self, server: Connection) -> None:
        self._server = server

    def list(self) -> Sequence[Node]:
        """List nodes, by name."""
        return several(read_node, self._server.get("/ops/nodes").json)

    def find(self, named: str) -> Node:
        """Return the node of this id or name."""
        found = [each for each in self.list() if named in {each.id, each.facts.name}]
        if len(found) != 1:
            why = f"{len(found)} nodes are called" if found else "there is no node"
            raise NodeUnknown(f"{why} {named[:80]!a}", hint="name it by its id; `interlock node list` shows them")
        return found[0]

    def leaders(self) -> Sequence[Leader]:
        """List who leads which loop, or led it last."""
        return several(read_leader, self._server.get("/ops/nodes/leaders").json)

    def newest_version(self) -> int:
        """Return the number of the newest configuration; 0 for none."""
        found = self.newest()
        return 0 if found is None else found.version

    def drain(self, actor: Actor, node_id: str, *, reason: str) -> Node:
        """Let a node take nothing new, and finish what it has."""
        return self._verb(actor, node_id, "drain", reason)

    def quarantine(self, actor: Actor, node_id: str, *, reason: str) -> Node:
        """Trust a node no more."""
        return self._verb(actor, node_id, "quarantine", reason)

    def resume(self, actor: Actor, node_id: str, *, reason: str = "") -> Node:
        """Let a node take work again."""
        return self._verb(actor, node_id, "resume", reason)

    def forget(self, actor: Actor, node_id: str, *, reason: str = "") -> Node:
        """List a node no more that is gone."""
        return self._verb(actor, node_id, "forget", reason)

    def _verb(self, actor: Actor, node_id: str, verb: str, reason: str) -> Node:
        del actor
        path = f"/ops/nodes/{checked(node_id, 'n')}/{verb}"
        return understood(read_node, self._server.send("POST", path, {"reason": reason}).json)

    def publish(self, actor: Actor, body: str, *, reason: str = "") -> Published:
        """Let all nodes follow a configuration from now on."""
        del actor
        return understood(
            read_published, self._server.send("POST", "/ops/config", {"body": body, "reason": reason}).json
        )

    def newest(self) -> Published | None:
        """Return the configuration that all nodes follow, with its text."""
        found = self.configs(limit=1)
        return self.config(found[0].version) if found else None

    def config(self, version: int) -> Published:
        """Return one version."""
        return understood(read_published, self._server.get(f"/ops/config/{version}").json)

    def configs(self, *, limit: int = 100) -> Sequence[Published]:
        """List the versions, the newest first."""
        return several(read_published, self._server.get("/ops/config", limit=limit).json)
