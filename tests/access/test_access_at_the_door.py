"""`interlock token` and `interlock panic`: secrets go to standard output once, and only a human steers."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from interlock.app import Interlock
from tests.cli.door import Door, call

TEXT = r"ilk_[0-9A-HJKMNP-TV-Z]{26}_[A-Za-z0-9_-]{43}"
NEW = ("token", "create", "--name", "ci", "--role", "operator")


def test_the_text_is_on_standard_output_alone_and_once(ask: Door) -> None:
    made = ask(*NEW)
    assert made.code == 0
    assert re.fullmatch(TEXT + "\n", made.out)
    assert made.out.strip() not in made.err
    shown = ask.json("token", "list")
    assert [(row["status"], row["name"], row["principal"], row["role"]) for row in shown] == [
        ("valid", "ci", "service:ci", "operator")
    ]
    secret = made.out.strip().split("_", 2)[2]
    for words in (("token", "list"), ("token", "list", "--json"), ("evidence", "list", "--json"), ("panic", "show")):
        answered = ask(*words)
        assert secret not in answered.out + answered.err
    for path in ask.root.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path


def test_what_the_door_makes_is_what_the_server_knows(ask: Door) -> None:
    made = ask.json(*NEW, "--kind", "human", "--principal", "bob", "--expires-in", "30d")
    house = Interlock.at(ask.root)
    identity = house.access.identify(made["token"])
    assert (str(identity.principal), identity.role.value, identity.token_id) == ("human:bob", "operator", made["id"])
    rotated = ask.json("token", "rotate", made["id"], "--grace", "1h")
    assert {house.access.identify(text).token_id for text in (made["token"], rotated["token"])} == {made["id"]}
    assert ask.json("token", "revoke", made["id"], "--reason", "lost")["status"] == "revoked"
    ask("token", "revoke", made["id"]).refuses(4, "has been revoked already")
    ask("token", "rotate", made["id"]).refuses(4, "is revoked")
    house.close()


@pytest.mark.parametrize("less", ["agent:claude", "service:cron"])
def test_only_a_human_steers(ask: Door, less: str) -> None:
    made = ask.json(*NEW)
    entries = ask.log_size()
    for words in (
        NEW,
        ("token", "rotate", made["id"]),
        ("token", "revoke", made["id"]),
        ("panic", "on", "--reason", "r"),
    ):
        ask(*words, "--as", less).refuses(4)
    assert ask.log_size() == entries
    ask.json("panic", "on", "--reason", "r")
    ask("panic", "release", "--reason", "r", "--as", less).refuses(4, "only a human may release panic")
    marked = {"INTERLOCK_RUN": "r_01ARZ3NDEKTSV4RRFFQ69G5FAV"}
    here = ("--workspace", str(ask.root))
    call("panic", "release", "--reason", "r", *here, at=ask.root, env=marked).refuses(4, "only a human may")
    call(*NEW, *here, at=ask.root, env=marked).refuses(4, "only a human may")
    assert ask.json("panic", "show")["status"] == "on"


@pytest.mark.parametrize(
    "wrong",
    [
        ["token", "create", "--name", "a b", "--role", "admin"],
        ["token", "create", "--name", "", "--role", "admin"],
        ["token", "create", "--name", "x", "--role", "root"],
        ["token", "create", "--name", "x", "--role", "admin", "--kind", "god"],
        ["token", "create", "--name", "x", "--role", "admin", "--principal", "a:b c"],
        ["token", "create", "--name", "x", "--role", "admin", "--expires-in", "soon"],
        ["token", "create", "--name", "x", "--role", "admin", "--expires-in", "0s"],
        ["token", "create", "--name", "x", "--role", "admin", "--expires-in", "99999999d"],
        ["token", "rotate", "t_x"],
        ["panic", "on"],
        ["panic", "on", "--reason", " "],
        ["panic", "on", "--reason", "x" * 3000],
        ["panic", "release", "--reason", ""],
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_refused(ask: Door, wrong: list[str]) -> None:
    entries = ask.log_size()
    assert ask(*wrong).code == 2
    assert ask.log_size() == entries


def test_panic_is_seen_refuses_and_is_released(ask: Door) -> None:
    draft = ask.draft()
    assert ask.json("panic", "show") == {"id": "panic", "status": "off", "by": None, "reason": None, "since": None}
    ask("panic", "release", "--reason", "r").refuses(4, "Panic mode is not on", "panic_not_on")
    assert ask.json("panic", "on", "--reason", "a rogue agent")["status"] == "on"
    assert "a rogue agent" in ask("panic", "show").out
    for words in (
        ("draft", "create", "--prompt", "x"),
        ("draft", "approve", draft),
        ("queue", "add", "--task", "t", "--success-criteria", "s"),
        ("queue", "claim", "--owner-session", "w"),
        ("queue", "pause", "--reason", "r"),
        ("queue", "limit", "k", "--most", "3"),
        ("queue", "render"),
        NEW,
    ):
        ask(*words).refuses(4, "a rogue agent", "interlock panic release", "panic_mode")
    for words in (
        ("draft", "list"),
        ("queue", "status"),
        ("evidence", "head"),
        ("windows", "verify"),
        ("token", "list"),
    ):
        assert ask(*words).code == 0
    assert ask.json("panic", "on", "--reason", "another")["reason"] == "a rogue agent"
    assert ask.json("panic", "release", "--reason", "it is gone")["status"] == "off"
    assert ask.json("draft", "approve", draft)["status"] == "valid"


def test_the_operators_script_is_refused_too(ask: Door) -> None:
    item = ask.json("queue", "add", "--task", "t", "--success-criteria", "s")["id"]
    ask.json("panic", "on", "--reason", "a rogue agent")
    script = ("python3", "automation/orchestrator/ops.py", "--db", "automation/orchestrator/db/queue.db")
    done = subprocess.run(
        [*script, "replan", "--id", item, "--notes", "x"], cwd=ask.root, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, ""), done
    assert "a rogue agent" in done.stderr
    done = subprocess.run([*script, "cancel", "--id", item], cwd=ask.root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done


def test_a_weak_token_in_the_environment_is_named_and_not_shown_and_stands_in_no_brake_s_way(workspace: Path) -> None:
    weak = {"ORCH_TOKEN": "hunter2"}
    refused = call("serve", "--port", "0", at=workspace, env=weak)
    refused.refuses(2, "ORCH_TOKEN", "fewer than 16")
    assert "hunter2" not in refused.err
    assert call("panic", "on", "--reason", "r", "--json", at=workspace, env=weak).json["status"] == "on"


def test_with_stop_runs_what_runs_is_cancelled_and_what_waits_goes_on_waiting(ask: Door) -> None:
    approved = ask.approved("--command", "true")
    house = Interlock.at(ask.root)
    runs = [ask.json("run", "create", approved)["id"] for _ in range(3)]
    worker = house.worker()
    claimed = [house.runs.claim(worker.bench.actor, worker.me) for _ in range(2)]
    under_way = {claim.run.id for claim in claimed if claim is not None}
    answered = ask.json("panic", "on", "--reason", "r", "--stop-runs")
    assert set(answered["stopped"]) == under_way
    stands = {run["id"]: run["status"] for run in ask.json("run", "list")}
    assert stands == {run: "cancelled" if run in under_way else "pending" for run in runs}
    assert json.loads(ask("panic", "on", "--reason", "r", "--stop-runs", "--json").out)["stopped"] == []
    house.close()
