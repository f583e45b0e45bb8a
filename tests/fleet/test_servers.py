"""Several servers on one database: one of them leads each loop, and another follows within about ten seconds."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from interlock.app import Interlock
from interlock.fleet.models import Leader
from tests.conftest import until
from tests.fleet.machines import machines


def leading(house: Interlock, role: str) -> Leader | None:
    now = house.now()
    return next((each for each in house.fleet.leaders() if each.role == role and each.expires_ms > now), None)


@pytest.mark.proves("fleet-leading")
def test_a_killed_server_is_followed_by_another_and_a_paused_one_does_not_lead_when_it_wakes(
    tmp_path: Path, postgres_url: str
) -> None:
    with machines(tmp_path, postgres_url) as two:
        house = two.first.house
        house.admit_keys()
        one = two.first.start("serve", "--port", "0")
        until(lambda: leading(house, "alerter"), 60)
        other = two.second.start("serve", "--port", "0")
        until(lambda: len(two.kinds("node.joined")) == 2, 60)
        until(lambda: leading(house, f"supervisor@{two.second.node_id}"), 60)
        first = leading(house, "alerter")
        assert first is not None
        assert first.process.pid == one.pid

        one.send_signal(signal.SIGSTOP)  # not dead, so its term has to run out
        until(lambda: (leading(house, "alerter") or first).process.pid == other.pid, 40)
        one.send_signal(signal.SIGCONT)
        until(lambda: "alerter is led by another process now" in two.first.said.read_text(), 40)

        other.kill()
        other.wait()
        began = time.monotonic()
        until(lambda: (leading(house, "alerter") or first).epoch == 3, 40)
        assert time.monotonic() - began < 20  # about ten seconds, on a machine that has nothing else to do
        third = leading(house, "alerter")
        assert third is not None
        assert third.process.pid == one.pid
        one.send_signal(signal.SIGTERM)
        assert one.wait(60) == 0
        assert leading(house, "alerter") is None
