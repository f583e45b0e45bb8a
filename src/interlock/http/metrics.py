"""What `/metrics` tells Prometheus: figures of the whole database, read at each scrape, the same from every server."""

from __future__ import annotations

from collections import Counter

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from interlock.workspace.standing import Measured


def exposed(rooms: Measured, *, up_seconds: float) -> tuple[bytes, str]:
    """Return the figures as text, and its media type."""
    registry = CollectorRegistry()
    Gauge("interlock_up_seconds", "How long the server has been up.", registry=registry).set(up_seconds)
    panic = Gauge("interlock_panic", "1 while panic mode is on.", registry=registry)
    panic.set(rooms.access.panic() is not None)
    _queue(rooms, registry)
    _nodes(rooms, registry)
    _log(rooms, registry)
    return generate_latest(registry), CONTENT_TYPE_LATEST


def _queue(rooms: Measured, registry: CollectorRegistry) -> None:
    with rooms.queue_look() as queue:
        counts, paused = queue.counts(), queue.paused() is not None
    items = Gauge("interlock_items", "Items of the queue by status.", ["status"], registry=registry)
    for status, count in counts.items():
        items.labels(status).set(count)
    Gauge("interlock_queue_paused", "1 while the queue is paused.", registry=registry).set(paused)


def _nodes(rooms: Measured, registry: CollectorRegistry) -> None:
    newest = rooms.fleet.newest_version()
    standings = Counter(node.standing(newest) for node in rooms.fleet.list())
    nodes = Gauge(
        "interlock_nodes", "Nodes by how they stand: active, lost, quarantined, ….", ["standing"], registry=registry
    )
    for standing, count in standings.items():
        nodes.labels(standing).set(count)


def _log(rooms: Measured, registry: CollectorRegistry) -> None:
    entries, head = rooms.event_log.size(), rooms.event_log.last_head()
    Gauge("interlock_log_entries", "Entries of the sealed log.", registry=registry).set(entries)
    unsigned = Gauge("interlock_log_unsigned_entries", "Entries that no signed head covers yet.", registry=registry)
    unsigned.set(entries - (head.size if head else 0))
    behind = Gauge(
        "interlock_log_unexported_entries", "Entries that this node's exported ledger lacks.", registry=registry
    )
    behind.set(max(0, entries - rooms.windows.exported()))
