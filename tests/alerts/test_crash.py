"""A dispatcher that is killed: nothing is lost, and what is sent again says that it is the same."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.alerts.conftest import Town, both
from tests.alerts.receiver import Receiver

ROOT = Path(__file__).resolve().parents[2]


def dies(town: Town, request: pytest.FixtureRequest, hook: Receiver, step: str) -> None:
    url = "" if hasattr(town.database, "path") else request.getfixturevalue("ready_postgres_url")
    words = [sys.executable, "-m", "tests.alerts.doomed", str(town.root), url, hook.url, step]
    done = subprocess.run(words, cwd=ROOT, check=False, timeout=50, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


@both
@pytest.mark.parametrize(("step", "times"), [("claimed", 1), ("sent", 2), ("noted", 1)])
def test_who_dies_at_a_step_leaves_it_to_the_next_one(
    town: Town, hook: Receiver, request: pytest.FixtureRequest, step: str, times: int
) -> None:
    town.sink("hook", "webhook", hook).escalates("a")
    dies(town, request, hook, step)
    assert len(hook.got) == (step != "claimed")
    assert town.short(forced=False)[0] == "no_new_escalations"  # the dead one still holds it
    town.time.passes(town.options.lease_seconds + 1)
    state = town.dispatch(forced=False)
    assert state["dispatchedCount"] == (step != "noted")
    assert len(hook.got) == times
    assert len({(each.headers["Idempotency-Key"], each.body["event"]["dedupKey"]) for each in hook.got}) == 1
    assert town.short(forced=False)[0] == "no_new_escalations"
    assert len(town.logged("alert.delivered")) == 1


@both
def test_a_receiver_that_knows_keys_sees_one_incident_in_spite_of_a_death(
    town: Town, hook: Receiver, request: pytest.FixtureRequest
) -> None:
    town.sink("hook", "pagerduty_events", hook)
    town.sinks["hook"]["routingKeyEnv"] = "S_HOOK"
    town.write().escalates("a")
    dies(town, request, hook, "sent")
    town.time.passes(1000)
    town.dispatch()
    assert [each["event_action"] for each in hook.bodies] == ["trigger", "trigger"]
    assert len({each["dedup_key"] for each in hook.bodies}) == 1
