"""Several servers on one database: one of them leads each loop, and another follows."""

from __future__ import annotations

import json
import re
import signal
import urllib.request
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
        until(lambda: (leading(house, "alerter") or first).epoch == 3, 40)
        third = leading(house, "alerter")
        assert third is not None
        assert third.process.pid == one.pid
        one.send_signal(signal.SIGTERM)
        assert one.wait(60) == 0
        assert leading(house, "alerter") is None


@pytest.mark.timeout(180)
def test_a_pipeline_that_a_joined_server_is_asked_for_is_carried_where_the_agents_keys_are(
    tmp_path: Path, postgres_url: str
) -> None:
    with machines(tmp_path, postgres_url) as two:
        token = two.first.call("token", "create", "--name", "me", "--role", "admin", "--kind", "human").stdout.strip()
        two.second.start("serve", "--port", "0")
        until(lambda: re.search(r" on (http://\S+)\n", two.second.said.read_text()), 60)
        two.first.house.admit_keys()
        (address,) = re.findall(r" on (http://\S+)\n", two.second.said.read_text())
        asked = urllib.request.Request(  # noqa: S310 - our own server
            f"{address}/ops/pipelines/doc-refresh/runs",
            data=b"{}",
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310 - our own server
            run = str(json.load(answer)["id"])
        two.first.start("serve", "--port", "0")
        until(lambda: two.first.house.pipelines.get(run).ended_ms is not None, 120)
        ended = two.first.house.pipelines.get(run)
        assert ended.status.value == "Success", ended
