"""Nodes as processes: they join, drain, are put into quarantine, get lost, and follow what is published."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from interlock.app import Interlock
from interlock.founding import create_workspace
from interlock.kernel.errors import Invalid
from tests.conftest import ALICE, until
from tests.fleet.machines import Machine, machines, wait_done


@pytest.mark.proves("fleet-drain")
def test_a_draining_node_finishes_and_the_other_takes_what_is_new(tmp_path: Path, postgres_url: str) -> None:
    with machines(tmp_path, postgres_url) as two:
        two.first.house.admit_keys()
        two.first.start("worker", "--concurrency", "2")
        run = two.run("sleep 5")
        until(lambda: two.status(run) == "running", 60)
        told = two.first.call("--json", "node", "drain", two.first.node_id, "--reason", "a new disk")
        assert json.loads(told.stdout)["state"] == "draining", told.stderr
        other = two.run("true")
        two.second.start("worker")
        wait_done(two, other)
        wait_done(two, run)
        assert two.kinds("run.started").count(("run.started", run.id)) == 1
        assert two.first.node().standing(0) == "drained"


@pytest.mark.proves("fleet-drain")
def test_a_node_in_quarantine_gives_its_run_back_and_another_takes_it(tmp_path: Path, postgres_url: str) -> None:
    with machines(tmp_path, postgres_url) as two:
        two.first.house.admit_keys()
        two.first.start("worker")
        run = two.run("sleep 600")
        until(lambda: two.holder(run) == two.first.node_id, 60)
        until(lambda: two.status(run) == "running", 60)
        two.second.start("worker")
        two.first.house.fleet.quarantine(ALICE, two.first.node_id, reason="it behaves oddly")
        until(lambda: two.holder(run) == two.second.node_id, 60)
        assert two.first.node().held == 0
        two.first.house.runs.cancel(ALICE, run.id)


def test_a_paused_node_is_lost_and_found_and_one_that_stopped_is_neither(tmp_path: Path, postgres_url: str) -> None:
    with machines(tmp_path, postgres_url) as two:
        for machine in (two.first, two.second):
            settings = machine.root / "interlock.toml"
            settings.write_text(settings.read_text() + "\n[fleet]\nlost_seconds = 4\n")
        two.first.house.admit_keys()
        two.first.start("worker")
        worker = two.second.start("worker")
        until(lambda: len(two.kinds("node.joined")) == 2, 60)
        worker.send_signal(signal.SIGSTOP)
        until(lambda: two.kinds("node.lost") == [("node.lost", two.second.node_id)], 60)
        assert two.second.node().standing(0) == "lost"
        worker.send_signal(signal.SIGCONT)
        until(lambda: two.kinds("node.found") == [("node.found", two.second.node_id)], 60)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
        assert two.second.node().standing(0) == "stopped"
        two.first.house.fleet.forget(ALICE, two.second.node_id)


@pytest.mark.proves("fleet-configuration")
def test_every_node_follows_what_is_published_within_a_heartbeat(tmp_path: Path, postgres_url: str) -> None:
    with machines(tmp_path, postgres_url) as two:
        two.first.house.admit_keys()
        two.first.start("worker")
        two.second.start("worker")
        until(lambda: len(two.kinds("node.joined")) == 2, 60)
        common = tmp_path / "common.toml"
        common.write_text("[approval]\nexpires_after_seconds = 77\n[worker]\nconcurrency = 1\n")
        told = two.first.call("--json", "config", "publish", str(common), "--reason", "short approvals")
        assert json.loads(told.stdout)["version"] == 1, told.stderr
        until(lambda: all(each.node().config_version == 1 for each in (two.first, two.second)), 60)
        shown = json.loads(two.second.call("--json", "config", "show", "--origin").stdout)["items"]
        (found,) = [each for each in shown if (each["section"], each["key"]) == ("approval", "expires_after_seconds")]
        assert (found["value"], found["origin"]) == (77, "published 1")
        wait_done(two, two.run("true"))  # and who has taken it over, takes work again

        common.write_text("[truth]\nstall_seconds = 2\n[fleet]\nlost_seconds = 30\n")
        assert two.first.call("config", "publish", str(common)).returncode == 0
        until(lambda: all(each.node().config_version == 2 for each in (two.first, two.second)), 60)
        silent = two.run("sleep 600")
        until(lambda: ("run.judged", silent.id) in two.kinds("run.judged"), 60)
        assert "silent" in two.first.call("run", "show", silent.id).stdout
        for machine in (two.first, two.second):
            assert "restart needed for [fleet]" in two.first.call("node", "show", machine.node_id).stdout
        two.first.house.runs.cancel(ALICE, silent.id)


def test_a_policy_that_makes_no_sense_is_not_published(house: Interlock) -> None:
    with pytest.raises(Invalid, match="zombie can not be take_over"):
        house.fleet.publish(ALICE, '[truth]\nzombie = "take_over"\n')
    assert house.fleet.newest() is None


def test_a_nodes_own_file_wins_over_what_is_published(tmp_path: Path) -> None:
    create_workspace(tmp_path / "w", ALICE, database_url="", replace=False)
    settings = tmp_path / "w" / "interlock.toml"
    settings.write_text(settings.read_text() + "\n[queue]\nlease_seconds = 11\n")
    machine = Machine(tmp_path / "w")
    machine.house.fleet.publish(ALICE, "[queue]\nlease_seconds = 33\nmax_attempts = 5\n")
    assert machine.house.adopt_configuration() == (1, "")
    assert (machine.house.settings.queue.lease_seconds, machine.house.settings.queue.max_attempts) == (11, 5)
    assert machine.call("worker", "--once").returncode == 0
    published = tmp_path / "w" / ".interlock" / "published.toml"
    published.write_text(published.read_text().replace("33", "44"))
    refused = machine.call("queue", "status")
    assert refused.returncode == 2
    assert "was changed by hand" in refused.stderr
    published.unlink()
    assert machine.call("queue", "status").returncode == 0
    machine.close()


def test_a_workspace_that_was_copied_to_another_machine_starts_no_worker(tmp_path: Path) -> None:
    create_workspace(tmp_path / "w", ALICE, database_url="", replace=False)
    machine = Machine(tmp_path / "w")
    assert machine.call("worker", "--once").returncode == 0
    path = tmp_path / "w" / ".interlock" / "node.json"
    told = json.loads(path.read_text())
    if not told["machine"]:
        pytest.skip("this machine has no name of its own")
    path.write_text(json.dumps({**told, "machine": "0" * 32}))
    refused = machine.call("worker", "--once")
    assert refused.returncode == 4
    assert "was copied" in refused.stderr
    assert "delete that file" in refused.stderr
    machine.close()
