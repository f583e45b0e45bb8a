"""A loop that escalates, sinks that are real, a clock that is ours, and a dispatch between them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from interlock.alerts import config
from interlock.alerts.dispatch import dispatch
from interlock.alerts.idle import Order
from interlock.alerts.options import AlertOptions
from interlock.alerts.service import Alerts
from interlock.app import Interlock
from interlock.kernel.ids import UlidSource
from interlock.loops import files
from interlock.loops.files import Document
from interlock.loops.models import stamp
from interlock.loops.places import LoopPlaces
from interlock.settings import Settings
from interlock.storage.database import Database
from interlock.storage.postgres.database import PostgresDatabase
from interlock.storage.sqlite.database import SqliteDatabase
from interlock.workspace.layout import Layout
from tests.alerts.receiver import Receiver, receiving
from tests.conftest import ALICE, ORIGIN, WORKER

START = 1_795_000_000_000


@dataclass
class Time:
    """The time, as a test has it."""

    ms: int = START

    def __call__(self) -> int:
        return self.ms

    def passes(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


@dataclass
class Town:
    """A workspace with a loop `docs`, and sinks."""

    root: Path
    database: Database
    time: Time
    environment: dict[str, str] = field(default_factory=dict[str, str])
    options: AlertOptions = field(default_factory=AlertOptions)
    probe: Callable[[str], None] = field(default=lambda _: None)

    def __post_init__(self) -> None:
        self.ulids = UlidSource()
        self.manager.mkdir(parents=True, exist_ok=True)
        self.house = Interlock(Layout(self.root), Settings(), self.database, self.ulids)
        self.sinks: dict[str, Document] = {}
        self.routes: list[Document] = []
        self.routing: Document = {}

    # --- the configuration ---

    def sink(self, name: str, kind: str, receiver: Receiver | None = None, **more: object) -> Town:
        """Configure a sink, and what all escalations go to."""
        variable = f"S_{name.upper().replace('-', '_')}"
        key = {"slack": "webhookUrlEnv"}.get(kind, "urlEnv")
        self.sinks[name] = {"enabled": True, "type": kind, key: variable, **more}
        if kind == "pagerduty_events":
            self.sinks[name]["routingKeyEnv"] = f"{variable}_KEY"
            self.environment[f"{variable}_KEY"] = "r0utingkey-0123456789"
        if receiver is not None:
            self.environment[variable] = receiver.url
        return self.write()

    def write(self) -> Town:
        routing: Document = {
            "defaultSinks": list(self.sinks),
            "categorySeverity": {},
            "routes": self.routes,
            **self.routing,
        }
        document: Document = {
            "schemaVersion": "v1",
            "defaultMinSeverity": "warning",
            "sinks": self.sinks,
            "routing": routing,
        }
        path = self.root / config.FILE
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(document))
        return self

    # --- the loop ---

    @property
    def places(self) -> LoopPlaces:
        return LoopPlaces(str(self.root), "docs")

    @property
    def manager(self) -> Path:
        return Path(self.places.manager)

    @property
    def file(self) -> Path:
        return self.manager / "escalations.jsonl"

    def row(self, category: str = "divergence_detected", **more: object) -> Document:
        return {
            "timestamp": stamp(self.time.ms // 1000),
            "loopId": "docs",
            "traceId": "trace-1",
            "category": category,
            "transport": "local",
            **more,
        }

    def escalates(self, *categories: str, **more: object) -> Town:
        files.append(str(self.file), [files.bytes_of(self.row(each, **more)) for each in categories])
        return self

    def judged(self, health: str, *reasons: str, drift: bool = False) -> Town:
        at = stamp(self.time.ms // 1000)
        state = {
            "health": {"status": health, "reasonCodes": list(reasons), "updatedAt": at},
            "drift": {"driftActive": drift},
        }
        (self.manager / "state.json").write_text(json.dumps(state))
        return self

    # --- the dispatch ---

    @property
    def alerts(self) -> Alerts:
        rooms = self.house.alerts
        return replace(
            rooms,
            environment=self.environment,
            options=self.options,
            outbox=replace(
                rooms.outbox, environment=self.environment, options=self.options, repo=str(self.root), probe=self.probe
            ),
        )

    @property
    def order(self) -> Order:
        return Order.of(self.places.repo, "docs", self.places.manager, "dispatch-1")

    def dispatch(self, **more: object) -> Document:
        return dispatch(self.alerts, files, WORKER, self.order._replace(**cast("Any", more)), self.time)

    def short(self, **more: object) -> tuple[str, int, int, int, int, list[str]]:
        """Dispatch, and return the gist."""
        state = self.dispatch(**more)
        counts = tuple(state[f"{name}Count"] for name in ("processed", "dispatched", "skipped", "failed"))
        return (state["status"], *counts, state["failureReasonCodes"])  # pyright: ignore[reportReturnType] - JSON of our own

    def told(self) -> list[Mapping[str, Any]]:
        """Return the telemetry."""
        path = self.manager / "telemetry" / "alerts.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def logged(self, kind: str) -> list[Mapping[str, Any]]:
        self.database.seal()
        return [event for _, event in self.house.event_log.events(0, 100_000) if event["kind"] == kind]

    def with_options(self, **more: object) -> Town:
        self.options = replace(self.options, **cast("Any", more))
        return self

    def everything_written(self) -> bytes:
        """Return all that was written anywhere but the environment: files, database, log."""
        found = b"".join(each.read_bytes() for each in self.root.rglob("*") if each.is_file())
        self.database.seal()
        for _, event in self.house.event_log.events(0, 100_000):
            found += json.dumps(event).encode()
        with self.house.alerts.look() as desk:
            for alert in desk.alerts.list("", 1000, None):
                found += repr((alert, desk.alerts.deliveries(alert.id))).encode()
        return found


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def timed(request: pytest.FixtureRequest, tmp_path: Path, time: Time) -> Iterator[Database]:
    """A SQLite database, unless a test asks for each kind (`both`); its time is the test's."""
    made: SqliteDatabase | PostgresDatabase
    if getattr(request, "param", "sqlite") == "sqlite":
        (tmp_path / ".interlock").mkdir(exist_ok=True)
        made = SqliteDatabase(tmp_path / ".interlock" / "interlock.db", now=time)
    else:
        made = PostgresDatabase(request.getfixturevalue("ready_postgres_url"), now=time)
    made.create(ORIGIN)
    yield made
    made.close()


both = pytest.mark.parametrize("timed", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def town(timed: Database, tmp_path: Path, time: Time) -> Town:
    return Town(tmp_path, timed, time)


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def other() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


__all__ = ["ALICE", "START", "Time", "Town", "both", "hook", "other", "time", "timed", "town"]
