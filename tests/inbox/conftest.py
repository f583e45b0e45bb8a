"""The workspace of the tests of alerts, with keys: its time is the test's, and its sinks are real."""

from __future__ import annotations

from pathlib import Path

import pytest

from interlock.storage.database import Database
from interlock.workspace.service import make_keys
from tests.alerts.conftest import Time, Town, hook, time, timed
from tests.conftest import ORIGIN


@pytest.fixture
def town(timed: Database, tmp_path: Path, time: Time) -> Town:
    made = Town(tmp_path, timed, time)
    make_keys(made.house.layout, ORIGIN, "alice")
    return made


__all__ = ["hook", "time", "timed", "town"]
