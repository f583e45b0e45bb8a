"""Local and service give the same verdict for the same facts: every scenario of this folder is told to both.

Before each reconcile of a scenario the whole folder is copied to where a service serves it, and both reconcile: what
they print and what they leave has to be the same, but for where it lies and by which way it came.
"""

from __future__ import annotations

import importlib
import inspect
import re
import shutil
import subprocess
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest
from hypothesis import given, settings

from interlock.kernel.errors import InterlockError
from interlock.loops import files
from interlock.loops.files import Document
from interlock.loops.health import Thresholds
from interlock.loops.journal import Tell
from interlock.loops.models import new_trace
from interlock.loops.places import LoopPlaces
from interlock.loops.reconcile import Outcome, ReconcileOptions, reconcile
from interlock.loops.sprite_transport import SpriteService
from tests.loops import test_reconcile, test_reconcile_anything
from tests.loops.loop import PROFILES, Loop
from tests.loops.sprite import Running, serving
from tests.loops.test_reconcile_anything import AROUND, half_written, steps

STATE_FILES = (
    "state",
    "cursor",
    "health",
    "heartbeat",
    "sequence-state",
    "profile-drift",
    "telemetry/transport-health",
)
ROWS = ("escalations", *(f"telemetry/{each}" for each in ("reconcile", "heartbeat", "sequence", "profile-drift")))
DIFFERENT = frozenset(
    {
        "transport",
        "mode",
        "failureCode",  # by contract: snapshot_unavailable here is service_request_failed there
        "lastFailureCode",
        "failureMessage",
        "emittedAt",  # the service's clock
        "eventsFile",
        "retryAttempts",
    }
)


@dataclass
class Twins:
    """A place that a service serves, into which a scenario's folder is copied."""

    place: Path
    running: Running
    compared: int = 0


@dataclass
class Paired(Loop):
    """A loop of which every reconcile is done twice: here, and over the service on a copy of it."""

    twins: Twins = field(kw_only=True)

    def reconcile(
        self, *, tell: Tell | None = None, clock: Callable[[], int] | None = None, **options: object
    ) -> Outcome:
        options.setdefault("trace_id", new_trace())
        asked: dict[str, Any] = options
        if clock is not None or "files" in options:
            return super().reconcile(tell=tell, clock=clock, **asked)
        self._copy()
        there = self._there(options)
        here = super().reconcile(tell=tell, **asked)
        if here.busy:
            return here
        assert there is not None, "only the service's reconcile was aborted"
        self.twins.compared += 1
        assert self._plain(there.document, at=self.twins.place) == self._plain(here.document, at=self.repo)
        assert there.exit_code == here.exit_code
        assert [each["category"] for each in there.escalations] == [each["category"] for each in here.escalations]
        assert self._left(self.twins.place) == self._left(self.repo)
        return here

    def _there(self, options: dict[str, object]) -> Outcome | None:
        asked: dict[str, Any] = {"profiles": PROFILES, "thresholds": Thresholds("balanced"), **options}
        transport = SpriteService(self.twins.running.client(attempts=1))
        places = LoopPlaces.of(str(self.twins.place), self.id)
        try:
            return reconcile(places, ReconcileOptions(**asked), transport, lambda: self.now * 1000)
        except InterlockError:
            return None  # then ours raises, too

    def _copy(self) -> None:
        shutil.rmtree(self.twins.place / ".superloop", ignore_errors=True)
        if (self.repo / ".superloop").exists():
            subprocess.run(["cp", "-a", self.repo / ".superloop", self.twins.place], check=True, timeout=30)

    def _left(self, place: Path) -> Document:
        manager = place / ".superloop" / "ops-manager" / self.id
        found: Document = {name: self._read(manager / f"{name}.json") for name in STATE_FILES}
        found |= {name: files.last_rows(str(manager / f"{name}.jsonl"), 5) for name in ROWS}
        return cast("Document", self._plain(found, at=place))

    @staticmethod
    def _read(path: Path) -> Document | None:
        return files.parsed(path.read_bytes()) if path.exists() else None

    def _plain(self, value: Any, *, at: Path) -> Any:  # noqa: ANN401 - JSON
        """Leave out what may differ, and say of paths only where they lie in their place."""
        if isinstance(value, dict):
            document = cast("Document", value)
            return {key: self._plain(each, at=at) for key, each in document.items() if key not in DIFFERENT}
        if isinstance(value, list):
            return [self._plain(each, at=at) for each in cast("list[Any]", value)]
        return value.replace(str(at), "@").replace(str(self.repo), "@") if isinstance(value, str) else value


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Generator[Twins]:
    place = tmp_path_factory.mktemp("twin")
    with serving(place) as running:
        yield Twins(place, running)


@pytest.fixture
def paired(tmp_path: Path, twins: Twins) -> Paired:
    return Paired(tmp_path, twins=twins)


def scenarios() -> list[Any]:
    """Return the tests of other modules that tell something of one loop and reconcile it."""
    found: list[Any] = []
    for module in MODULES:
        tests: dict[str, Any] = vars(module)
        for name, test in tests.items():
            if not name.startswith("test_") or hasattr(test, "hypothesis"):
                continue
            taken = set(inspect.signature(test).parameters)
            if "loop" not in taken or not {".reconcile(", ".codes("} & set(CALL.findall(inspect.getsource(test))):
                continue
            for known in _parametrized(test):
                if taken <= {"loop", "tmp_path", *known}:
                    values = "-".join(str(each)[:20] for each in known.values())
                    found.append(pytest.param(test, known, id=f"{name}[{values}]" if values else name))
    return found


CALL = re.compile(r"\.\w+\(")


def _parametrized(test: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - a test function
    found: list[dict[str, Any]] = [{}]
    for mark in getattr(test, "pytestmark", []):
        if mark.name == "parametrize":
            names = (
                mark.args[0] if isinstance(mark.args[0], tuple | list) else [n.strip() for n in mark.args[0].split(",")]
            )
            rows = [each if len(names) > 1 else (each,) for each in mark.args[1]]
            found = [{**before, **dict(zip(names, row, strict=True))} for before in found for row in rows]
    return found


def _modules() -> list[ModuleType]:
    names = sorted(path.stem for path in Path(__file__).parent.glob("test_*.py") if "sprite" not in path.stem)
    modules = [importlib.import_module(f"tests.loops.{name}") for name in names]
    return [each for each in modules if getattr(each, "Loop", None) is Loop]


MODULES = _modules()
LOCAL_ONLY = {
    "test_the_telemetry_row_has_the_keys_of_the_contract_in_their_order",
    "test_files_may_lie_elsewhere",
    "test_a_folder_that_can_not_be_written_is_told",
}
"""Scenarios of the clock and of where files lie: there is nothing to compare in them."""


@pytest.mark.proves("loop-service-parity")
@pytest.mark.parametrize(("scenario", "known"), scenarios())
def test_a_scenario_comes_out_the_same_over_the_service(
    scenario: Callable[..., None], known: dict[str, Any], paired: Paired, tmp_path: Path
) -> None:
    more = {"tmp_path": tmp_path} if "tmp_path" in inspect.signature(scenario).parameters else {}
    before = paired.twins.compared
    scenario(loop=paired, **more, **known)
    assert paired.twins.compared > before or scenario.__name__ in LOCAL_ONLY


@pytest.mark.timeout(300)
@settings(deadline=None, max_examples=40)
@given(steps)
def test_whatever_happens_comes_out_the_same_over_the_service(
    tmp_path_factory: pytest.TempPathFactory, twins: Twins, happened: list[str | int]
) -> None:
    loop = Paired(tmp_path_factory.mktemp("loop"), twins=twins).raw(b"")
    for each in happened:
        if each in AROUND:
            AROUND[str(each)](loop)
        elif each == "half":
            half_written(loop)
        elif isinstance(each, str):
            loop.events(each)
        loop.reconcile(max_events=each if isinstance(each, int) else 0)
    loop.reconcile(from_start=True)
    loop.reconcile(from_start=True, max_events=1)


def test_there_are_enough_scenarios() -> None:
    assert len(scenarios()) > 60
    assert {test_reconcile, test_reconcile_anything} <= set(MODULES)
