"""Nodes and configurations as they are shown, on the command line and over HTTP."""

from __future__ import annotations

import difflib
from typing import Any

from interlock.fleet.models import Leader, Node, Published
from interlock.kernel.clock import to_text


def show_node(node: Node, newest_config: int) -> dict[str, Any]:
    """Return a node; `newest_config` is the number of the newest published configuration."""
    facts = node.facts
    return {
        "id": node.id,
        "status": node.standing(newest_config),
        "state": node.state.value,
        "name": facts.name,
        "host": facts.host,
        "version": facts.version,
        "capabilities": list(facts.capabilities),
        "labels": list(facts.labels),
        "concurrency": facts.concurrency,
        "held": node.held,
        "reason": node.reason or None,
        "changed_by": node.changed_by or None,
        "since": to_text(node.since_ms),
        "joined_at": to_text(node.joined_ms),
        "heartbeat_at": to_text(node.heartbeat_ms),
        "stopped_at": None if node.left_ms is None else to_text(node.left_ms),
        "lost_at": None if node.lost_ms is None else to_text(node.lost_ms),
        "config_version": node.config_version,
        "notice": node.notice or None,
    }


def show_leader(leader: Leader, now_ms: int) -> dict[str, Any]:
    """Return who leads a role, or led it last."""
    return {
        "id": leader.role,
        "status": "leading" if leader.expires_ms > now_ms else "free",
        "holder": leader.process.id,
        "host": leader.process.host,
        "epoch": leader.epoch,
    }


def show_published(published: Published, *, body: bool) -> dict[str, Any]:
    """Return a version of the configuration, with its text where that is wanted."""
    shown = {
        "id": str(published.version),
        "status": "published",
        "version": published.version,
        "digest": published.digest,
        "reason": published.reason or None,
        "by": published.published_by,
        "at": to_text(published.published_ms),
    }
    return {**shown, "body": published.body} if body else shown


def difference(before: Published, after: Published) -> list[str]:
    """Return how two versions differ, line by line."""
    return list(
        difflib.unified_diff(
            before.body.splitlines(),
            after.body.splitlines(),
            f"version {before.version}",
            f"version {after.version}",
            lineterm="",
        )
    )
