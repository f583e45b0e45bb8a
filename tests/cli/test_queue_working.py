"""`interlock queue` for who works on items: add, claim, heartbeat, complete, fail, release; on each store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.door import FRESH, Door, call, files
from tests.cli.stores import LINK, QUEUE, QueueDoor, Store, row

ADD = ("add", "--task", "t", "--success-criteria", "s")


# --- add --------------------------------------------------------------------------------------------------------------


def test_what_is_added_gets_the_next_number_and_is_told(queue: QueueDoor) -> None:
    assert queue(*ADD).out == "Added ORCH-001\n"
    made = queue.json("add", "--task", "작업 | 2", "--success-criteria", "s", "--priority", "P0", "--notes", "n")
    assert (made["id"], made["status"], made["priority"], made["owner_session"]) == ("ORCH-002", "PENDING", "P0", "-")
    assert made["task"] == ("작업 / 2" if queue.where[:1] == ("--queue",) else "작업 | 2")
    assert queue.json("show", "ORCH-002") == made


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--priority", "P9"], 2, "P0, P1, P2"),
        (["--task", " "], 2, "the task is blank"),
        (["--success-criteria", "\n"], 2, "the success criteria is blank"),
        (["--due", "tomorrow"], 2, "2026-11-21 17:00"),
        (["--notes", "n" * 3000], 2, "at most 2000"),
        (["--task", "a\0b"], 2, "NUL"),
        (["--task", "t" * 70_000], 2, "larger than"),
        (["--max-attempts", "0"], 2, "--max-attempts"),
        (["--nope"], 2, "--nope"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "",  # pyright: ignore[reportUnknownArgumentType, reportUnknownLambdaType] - pytest gives any value
)
def test_what_can_not_be_added_is_refused(queue: QueueDoor, words: list[str], code: int, told: str) -> None:
    before = files(queue.ask.root)
    queue(*ADD, *words).refuses(code, told)
    assert files(queue.ask.root) == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--delay", "soon"], "--delay"),
        (["--delay", "-5m"], "--delay"),
        (["--delay", "999999999d"], "years 1970 to 9999"),
        (["--not-before", "2026-11-21 08:00"], "--not-before"),
        (["--not-before", "2999-01-01"], "--not-before"),
        (["--delay", "1h", "--not-before", "2999-01-01T00:00:00Z"], "give one"),
        (["--id", "ORCH-009"], "--id is for a Markdown queue"),
        (["--concurrency-key", "a|b"], "concurrency key"),
        (["--idempotency-key", ""], "idempotency key"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",  # pyright: ignore[reportUnknownArgumentType, reportUnknownLambdaType] - the same
)
def test_what_a_database_can_not_add_is_refused(ask: Door, words: list[str], told: str) -> None:
    ask("queue", *ADD, *words).refuses(2, told)
    assert ask.log_size() == FRESH


def test_a_row_may_be_given_its_id_and_no_second_one_of_it(in_file: QueueDoor) -> None:
    assert in_file(*ADD, "--id", "작업-7").out == "Added 작업-7\n"
    in_file(*ADD, "--id", "작업-7").refuses(4, "작업-7", "already")
    in_file(*ADD, "--id", "-x").refuses(2, "is no id")
    assert in_file(*ADD).out == "Added ORCH-001\n"


@pytest.mark.parametrize(
    "words",
    [["--delay", "1h"], ["--idempotency-key", "k"], ["--concurrency-key", "k"], ["--max-attempts", "2"]],
    ids=str,
)
def test_what_a_row_has_no_cell_for_is_refused(in_file: QueueDoor, words: list[str]) -> None:
    before = files(in_file.ask.root)
    in_file(*ADD, *words).refuses(4, "a Markdown queue can not")
    assert files(in_file.ask.root) == before


def test_the_same_key_is_the_same_item(in_database: QueueDoor) -> None:
    first = in_database.json(*ADD, "--idempotency-key", "k")
    assert in_database.json(*ADD, "--idempotency-key", "k") == first
    in_database("add", "--task", "other", "--success-criteria", "s", "--idempotency-key", "k").refuses(4, "ORCH-001")
    assert len(in_database.json("list")) == 1


def test_what_is_delayed_is_not_claimed_before_its_time(in_database: QueueDoor) -> None:
    made = in_database.json(*ADD, "--delay", "2h")
    assert made["not_before"] > made["created_at"]
    in_database(*ADD, "--not-before", "2999-01-01T00:00:00+09:00")
    assert in_database("claim", "--owner-session", "w").out == "No pending tasks\n"


# --- claim ------------------------------------------------------------------------------------------------------------


def test_the_oldest_of_the_highest_priority_is_claimed_first(queue: QueueDoor) -> None:
    for priority in ("P2", "P0", "P1", "P0"):
        queue(*ADD, "--priority", priority)
    taken = [queue.json("claim", "--owner-session", f"w{number}")["id"] for number in range(4)]
    assert taken == ["ORCH-002", "ORCH-004", "ORCH-003", "ORCH-001"]
    assert queue.json("claim", "--owner-session", "w") == {"id": None, "status": "NOOP"}
    assert queue("claim", "--owner-session", "w").out == "No pending tasks\n"


def test_what_needs_a_label_is_claimed_by_who_has_it(in_database: QueueDoor) -> None:
    words = ("add", "--task", "t", "--success-criteria", "s")
    assert in_database.json(*words, "--need", "gpu", "--need", "region=eu")["needs"] == ["gpu", "region=eu"]
    assert in_database.json("claim", "--owner-session", "w", "--has", "gpu")["id"] is None
    assert [each["id"] for each in in_database.json("list", "--need", "gpu")] == ["ORCH-001"]
    assert in_database.json("list", "--need", "cpu") == []
    assert in_database.json("list", "--repository", "/a") == in_database.json("list", "--node", "n_1") == []
    assert in_database.json("explain", "ORCH-001")["because"][0]["code"] == "needs_unmet"
    taken = in_database.json("claim", "--owner-session", "w", "--has", "gpu", "--has", "region=eu")
    assert (taken["id"], taken["aged"], taken["node_id"]) == ("ORCH-001", 0, None)
    in_database(*words, "--need", "G P U").refuses(2, "a label is NAME or NAME=VALUE")
    in_database("claim", "--owner-session", "w", "--has", "'").refuses(2, "a label is NAME or NAME=VALUE")
    in_database("list", "--need", "").refuses(2, "--need is empty")


def test_a_row_of_a_file_needs_nothing(in_file: QueueDoor) -> None:
    in_file("add", "--task", "t", "--success-criteria", "s", "--need", "gpu").refuses(4, "can not hold")
    in_file("claim", "--owner-session", "w", "--has", "gpu").refuses(4, "can not hold")
    in_file("list", "--need", "gpu").refuses(4, "can not say where a row may go")


def test_a_claim_in_a_database_has_a_fence_and_a_lease(in_database: QueueDoor) -> None:
    in_database(*ADD)
    in_database(*ADD)
    taken = in_database.json("claim", "--owner-session", "w", "--lease-seconds", "60")
    assert (taken["status"], taken["owner_session"], taken["fence"]) == ("IN_PROGRESS", "w", 1)
    answered = in_database("claim", "--owner-session", "w2").out
    assert answered.startswith("ORCH-002 fence=1 lease_until=20")


def test_a_claim_in_a_file_has_an_owner_and_a_start(in_file: QueueDoor) -> None:
    in_file(*ADD)
    in_file(*ADD)
    taken = in_file.json("claim", "--owner-session", "w")
    assert (taken["status"], taken["owner_session"]) == ("IN_PROGRESS", "w")
    assert taken["started_at_kst"].startswith("20")
    assert in_file("claim", "--owner-session", "w").out == "ORCH-002\n"
    in_file("claim", "--owner-session", "w", "--lease-seconds", "5").refuses(4, "hold a lease")


@pytest.mark.parametrize("owner", ["", "-", " w", "a|b", "a\nb", "w" * 129])
def test_an_owner_that_no_cell_could_hold_is_refused(queue: QueueDoor, owner: str) -> None:
    queue(*ADD)
    queue("claim", "--owner-session", owner).refuses(2, "owner session")
    assert queue.status("ORCH-001") == "PENDING"


def test_a_paused_queue_gives_nothing_and_says_why(in_database: QueueDoor) -> None:
    in_database(*ADD)
    in_database("pause", "--reason", "the disk is full")
    answered = in_database("claim", "--owner-session", "w")
    assert (answered.code, answered.out) == (0, "No pending tasks\n")
    assert "the disk is full" in answered.err
    assert in_database("resume").out == "queue -> running\n"
    assert in_database.json("claim", "--owner-session", "w")["id"] == "ORCH-001"


# --- while it is held -------------------------------------------------------------------------------------------------


def test_a_heartbeat_renews_the_lease(in_database: QueueDoor) -> None:
    in_database(*ADD)
    taken = in_database.json("claim", "--owner-session", "w", "--lease-seconds", "60")
    assert in_database.json("heartbeat", "ORCH-001", "--fence", "1")["lease_until"] >= taken["lease_until"]
    assert in_database("heartbeat", "ORCH-001", "--owner-session", "w").out.startswith("ORCH-001 lease_until=20")


@pytest.mark.parametrize(("verb", "status"), [("complete", "DONE"), ("fail", "FAILED"), ("release", "PENDING")])
def test_what_is_held_is_ended_or_given_back(queue: QueueDoor, verb: str, status: str) -> None:
    queue(*ADD)
    queue("claim", "--owner-session", "w")
    assert queue(verb, "ORCH-001", "--owner-session", "w").out == f"ORCH-001 -> {status}\n"
    assert queue.status("ORCH-001") == status
    queue(verb, "ORCH-001", "--owner-session", "w").refuses(4, "ORCH-001 is not held by")


@pytest.mark.parametrize("verb", ["heartbeat", "complete", "fail", "release"])
def test_only_who_holds_it_may(in_database: QueueDoor, verb: str) -> None:
    in_database(*ADD)
    in_database("claim", "--owner-session", "w")
    in_database(verb, "ORCH-001").refuses(2, "--fence", "--owner-session")
    in_database(verb, "ORCH-001", "--fence", "7").refuses(4, "ORCH-001 is not held under fence 7")
    in_database(verb, "ORCH-001", "--owner-session", "other").refuses(4, "ORCH-001 is not held by 'other'")
    in_database(verb, "ORCH-001", "--fence", "1", "--owner-session", "other").refuses(4)
    in_database(verb, "ORCH-001", "--fence", str(10**30)).refuses(4)
    assert in_database.status("ORCH-001") == "IN_PROGRESS"


@pytest.mark.parametrize("verb", ["complete", "fail", "release"])
def test_a_row_is_not_ended_by_a_session_that_does_not_own_it(in_file: QueueDoor, verb: str) -> None:
    in_file(*ADD)
    in_file("claim", "--owner-session", "w")
    in_file(verb, "ORCH-001", "--owner-session", "other").refuses(4, "ORCH-001 is not held by other")
    assert in_file.status("ORCH-001") == "IN_PROGRESS"


def test_a_heartbeat_of_a_row_is_refused(in_file: QueueDoor) -> None:
    in_file(*ADD)
    in_file("heartbeat", "ORCH-001", "--owner-session", "w").refuses(4, "a Markdown queue can not hold a lease")


def test_a_failure_that_may_pass_is_tried_again_until_the_attempts_are_used(in_database: QueueDoor) -> None:
    in_database(*ADD, "--max-attempts", "2")
    in_database("claim", "--owner-session", "w")
    told = in_database.json("fail", "ORCH-001", "--fence", "1", "--class", "transient", "--reason", "no network")
    assert (told["status"], told["attempt_count"], told["last_error"]) == ("PENDING", 1, "no network")
    assert told["not_before"] is not None
    in_database("snooze", "ORCH-001", "--for", "0")
    taken = in_database.json("claim", "--owner-session", "w")
    told = in_database.json("fail", "ORCH-001", "--fence", str(taken["fence"]), "--class", "transient")
    assert (told["status"], told["last_error"]) == ("FAILED", "no reason was given")


def test_a_row_counts_no_attempts_and_keeps_what_was_said(in_file: QueueDoor) -> None:
    in_file(*ADD)
    in_file("fail", "ORCH-001", "--class", "transient").refuses(4, "a Markdown queue can not count attempts")
    in_file("fail", "ORCH-001", "--class", "nope").refuses(2, "--class")
    assert in_file("fail", "ORCH-001", "--reason", "no | network", "--notes", "twice").out == "ORCH-001 -> FAILED\n"
    assert in_file.json("show", "ORCH-001")["notes"] == "no / network / twice"


def test_notes_of_who_works_are_added_to_those_that_are_there(queue: QueueDoor) -> None:
    queue(*ADD, "--notes", "first")
    queue("claim", "--owner-session", "w")
    queue("complete", "ORCH-001", "--owner-session", "w", "--notes", "-x second\n둘")
    joint = " / " if queue.where[:1] == ("--queue",) else " | "
    assert queue.json("show", "ORCH-001")["notes"] == f"first{joint}-x second 둘"


# --- which queue is meant ---------------------------------------------------------------------------------------------


def test_the_options_that_name_a_queue_stand_anywhere_on_the_line(ask: Door, tmp_path: Path) -> None:
    Store("markdown", ask.root).fill(row("ORCH-001", "DONE"))
    path = str(ask.root / QUEUE)
    for words in (
        ("--queue", path, "show", "ORCH-001"),
        ("show", "--queue", path, "ORCH-001"),
        ("show", "ORCH-001", f"--queue={path}"),
    ):
        assert ask.json("queue", *words)["status"] == "DONE"
    assert ask("queue", "show", "--db", str(ask.root / LINK), "ORCH-001").code == 3
    assert ask("queue", "show", "--db", str(tmp_path / "no.db"), "ORCH-001").err.startswith(
        "error: there is no database"
    )


@pytest.mark.parametrize("value", ["--queue", "--db", "--db=x", "--queue=x", "--yes"])
def test_a_value_that_looks_like_such_an_option_is_still_a_value(ask: Door, value: str) -> None:
    made = ask.json("queue", "add", "--task", value, "--success-criteria", value, "--notes", value)
    assert (made["task"], made["success_criteria"], made["notes"]) == (value, value, value)


def test_one_verb_works_on_one_queue(ask: Door) -> None:
    before = files(ask.root)
    for words in (("status",), ADD, ("claim", "--owner-session", "w"), ("cancel", "ORCH-001"), ("rescue", "--once")):
        ask("queue", *words, "--queue", QUEUE, "--db", LINK).refuses(2, "--queue and --db name two queues")
    for name in ("--queue", "--db"):
        ask("queue", "status", name, "").refuses(2, f"{name} is empty")
        ask("queue", "status", name).refuses(2, name)
    assert files(ask.root) == before


def test_a_broken_time_zone_is_named_by_its_variable(in_file: QueueDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    in_file(*ADD)
    monkeypatch.setenv("ORCH_TZ_OFFSET", "nine")
    in_file("claim", "--owner-session", "w").refuses(2, "ORCH_TZ_OFFSET")
    monkeypatch.setenv("ORCH_TZ_OFFSET", "0")
    assert in_file("claim", "--owner-session", "w").code == 0


def test_the_installed_program_works_a_queue_too(workspace: Path) -> None:
    assert call("queue", *ADD, "--notes", "둘 😀", at=workspace, env={"LC_ALL": "C"}).out == "Added ORCH-001\n"
    assert call("queue", "show", "ORCH-001", "--json", at=workspace).json["notes"] == "둘 😀"
    assert json.loads(call("queue", "claim", "--owner-session", "w", "--json", at=workspace).out)["fence"] == 1
