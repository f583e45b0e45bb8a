"""Whatever happens to a loop between two reconciles: there is a verdict, its files agree, every event was read once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.loops import files
from interlock.loops.models import STATES
from tests.loops.loop import DEAD_PID, Loop

NAMES = ("loop_start", "role_start", "role_end", "loop_stop", "approval_requested")


def broken(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b'{"torn')


def gone(path: Path) -> None:
    path.unlink(missing_ok=True)


def later(loop: Loop) -> None:
    loop.now += 400


# What changes no event.
AROUND: dict[str, Callable[[Loop], object]] = {
    "nothing": lambda loop: loop,
    "later": later,
    "active": lambda loop: loop.state(),
    "inactive": lambda loop: loop.state(active=False),
    "another's": lambda loop: loop.state(current_loop_id="other"),
    "state gone": lambda loop: gone(loop.repo / ".superloop" / "state.json"),
    "state broken": lambda loop: broken(loop.repo / ".superloop" / "state.json"),
    "dead": lambda loop: loop.active_run(pid=DEAD_PID),
    "process unknown": lambda loop: broken(loop.repo / ".superloop" / "active-run.json"),
    "unfinished": lambda loop: loop.summary(),
    "complete": lambda loop: loop.summary(completion_ok=True),
    "summary broken": lambda loop: broken(loop.run / "run-summary.json"),
    "pending": lambda loop: loop.approval(),
    "decided": lambda loop: gone(loop.run / "approval.json"),
    "beat": lambda loop: loop.beat(),
    "beat gone": lambda loop: gone(loop.run / "heartbeat.v1.json"),
    "beat nonsense": lambda loop: loop.beat(timestamp=[]),
    "cancel": lambda loop: loop.intent("cancel", "confirmed"),
    "ambiguous": lambda loop: loop.intent("cancel", "ambiguous"),
    "health broken": lambda loop: broken(loop.manager / "health.json"),
    "our state broken": lambda loop: broken(loop.manager / "state.json"),
    "position broken": lambda loop: broken(loop.manager / ".position.json"),
    "position gone": lambda loop: gone(loop.manager / ".position.json"),
    "telemetry torn": lambda loop: files.append(loop.places.of_telemetry("reconcile.jsonl"), [b'{"torn']),
    "torn line": lambda loop: loop.raw(b'{"torn\n'),
    "blank line": lambda loop: loop.raw(b"\n"),
    "foreign": lambda loop: loop.events("role_start", loop_id="other"),
}
steps = st.lists(
    st.sampled_from(sorted(AROUND)) | st.sampled_from(NAMES) | st.integers(1, 3) | st.just("half"),
    min_size=1,
    max_size=14,
)


@pytest.mark.timeout(300)
@settings(deadline=None, max_examples=60)
@given(steps)
def test_every_event_is_read_once_whatever_else_happens(
    tmp_path_factory: pytest.TempPathFactory, happened: list[str | int]
) -> None:
    loop = Loop(tmp_path_factory.mktemp("loop")).raw(b"")
    written = 0
    for each in happened:
        if each in AROUND:
            AROUND[str(each)](loop)
        elif each == "half":
            half_written(loop)
            written += 1
        elif isinstance(each, str):
            loop.events(each)
            written += 1
        look(loop, max_events=each if isinstance(each, int) else 0)
    for path in (loop.repo / ".superloop" / "state.json", loop.run / "run-summary.json"):
        gone(path)
    assert look(loop) == 0
    assert sum(row["eventsIngested"] for row in loop.rows("telemetry/reconcile.jsonl")) == written
    assert loop.reconcile(from_start=True).document["sequence"]["violations"] == []
    assert loop.rows("telemetry/reconcile.jsonl")[-1]["eventsIngested"] == written


FILES = (
    "state.json",
    "active-run.json",
    "loops/docs/run-summary.json",
    "loops/docs/approval.json",
    "loops/docs/heartbeat.v1.json",
    "loops/docs/events.jsonl",
    *(f"ops-manager/docs/{name}.json" for name in ("cursor", "state", "health", "heartbeat", "sequence-state")),
    *(f"ops-manager/docs/{name}.json" for name in ("profile-drift", ".position", ".journal")),
    "ops-manager/docs/intents.jsonl",
    "ops-manager/docs/telemetry/transport-health.json",
    "ops-manager/docs/telemetry/reconcile.jsonl",
    "ops-manager/docs/telemetry/control.jsonl",
)
odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just("2026-11-21T08:00:00Z"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@pytest.mark.timeout(300)
@settings(deadline=None, max_examples=200)
@given(st.sampled_from(FILES), st.randoms(use_true_random=False), odd)
def test_a_value_that_nobody_expects_stops_no_reconcile(
    tmp_path_factory: pytest.TempPathFactory, name: str, dice: Random, value: object
) -> None:
    loop = Loop(tmp_path_factory.mktemp("loop")).running().beat().approval().active_run(pid=DEAD_PID)
    loop.intent("cancel", "ambiguous").reconcile()
    path = loop.repo / ".superloop" / name
    text = path.read_text() if path.exists() else "{}"
    document: dict[str, Any] = json.loads(text if name.endswith(".json") else text.splitlines()[-1])
    replace_somewhere(document, value, dice)
    path.write_text(json.dumps(document) + "\n", encoding="utf-8")
    loop.events("role_start")
    for _ in range(2):
        outcome = loop.reconcile()
        assert files.parsed(files.bytes_of(outcome.document)) is not None
        assert outcome.exit_code in {0, 1}


def replace_somewhere(document: dict[str, Any], value: object, dice: Random) -> None:
    """Put a value in the place of one that is there, however deep, or beside the rest."""
    key = dice.choice([*document, "new"])
    inner = document.get(key)
    if isinstance(inner, list) and inner and isinstance(inner[-1], dict):  # pyright: ignore[reportUnknownArgumentType] - any JSON
        inner = cast("dict[str, Any]", inner[-1])
    if isinstance(inner, dict) and inner and dice.random() < 0.7:
        replace_somewhere(cast("dict[str, Any]", inner), value, dice)
    else:
        document[key] = value


def half_written(loop: Loop) -> None:
    """Write an event, and look while only half of it is there."""
    data = json.dumps(loop.event("role_start")).encode() + b"\n"
    loop.raw(data[:20])
    look(loop)
    loop.raw(data[20:])


def look(loop: Loop, max_events: int = 0) -> int:
    """Reconcile; hold what comes of it against what has to be true always."""
    outcome = loop.reconcile(max_events=max_events)
    printed = outcome.document
    health = loop.kept("health.json")
    if outcome.exit_code:
        assert printed == health
        assert health["status"] != "healthy"
        return outcome.exit_code
    assert printed == loop.kept("state.json")
    assert printed["health"] == health
    assert printed["transition"]["currentState"] in STATES
    assert printed["divergence"]["any"] is any(printed["divergence"]["flags"].values())
    assert ("divergence_detected" in health["reasonCodes"]) is printed["divergence"]["any"]
    assert (health["status"] == "healthy") is (health["reasons"] == [])
    assert printed["sequence"]["status"] == "ok", "nothing was ever lost"
    assert printed["divergence"]["flags"]["cursorRegression"] is False
    assert printed["cursor"]["eventLineCount"] == loop.log.read_bytes().count(b"\n")
    assert [row["traceId"] for row in loop.rows("telemetry/sequence.jsonl")][-1] == printed["trace"]["reconcileTraceId"]
    return 0
