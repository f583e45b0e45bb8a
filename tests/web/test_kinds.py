"""What the console listens for is what the product tells: a browser has to name every kind of event."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from interlock.kernel.events import Event

KINDS = Path(__file__).resolve().parents[2] / "ui" / "src" / "api" / "kinds.ts"
SHOWN = (
    "draft.",
    "approval.",
    "run.",
    "pipeline.",
    "panic.",
    "content.",
    "token.",
    "session.",
    "access.",
    "key.",
    "item.",
    "queue.",
    "concurrency.",
    "bulk.",
    "deployment.",
    "loop.",
    "alert.",
    "sink.",
    "provider.",
    "node.",
    "config.",
)
"""The families of events that change what a screen shows."""
ROOMS = (
    "access.events",
    "approval.events",
    "runs.events",
    "queue.events",
    "pipelines.events",
    "pipelines.healing_events",
    "evidence.events",
    "evidence.content",
    "loops.events",
    "alerts.events",
    "providers.events",
    "fleet.events",
)


def every(kind: type[Event]) -> Iterator[type[Event]]:
    for each in kind.__subclasses__():
        yield each
        yield from every(each)


def test_every_event_that_changes_a_screen_is_listened_for() -> None:
    for room in ROOMS:
        import_module(f"interlock.{room}")
    told = {each.kind for each in every(Event) if each.__module__.startswith("interlock.") and hasattr(each, "kind")}
    heard = set(re.findall(r'"([a-z_]+\.[a-z_.]+)"', KINDS.read_text(encoding="utf-8")))
    assert {kind for kind in told if kind.startswith(SHOWN)} == heard
