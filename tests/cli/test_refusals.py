"""What is refused, how it is said, and that it is told apart by exit codes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import cast

import pytest

from interlock.kernel.ids import UlidSource
from tests.cli.door import FRESH, Door, call, commands, files, said
from tests.cli.lived import Lived

MANY_DIGITS = "9" * 5000


def sentence(value: object) -> str:
    """Name a test by the command line that it tries."""
    return " ".join(cast("list[str]", value))[:60] if isinstance(value, list) else ""


@contextmanager
def spoiled(root: Path, statement: str) -> Generator[None]:
    """Change the database behind Interlock's back."""
    with closing(sqlite3.connect(root / ".interlock" / "interlock.db")) as connection:
        connection.execute(statement)
        connection.commit()
        yield


def test_a_missing_command_and_a_missing_verb_are_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ((), ("--json",), ("draft",), ("draft", "--json")):
        assert said(capsys, *words).code == 2, words


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nope"], "there is no command 'nope'; `interlock --help`"),
        (["\x1b[2J"], "there is no command"),
        (["draft", "nope"], "No such command 'nope'. (see `interlock draft --help`)"),
        (["draft", "show"], "Missing argument 'ID'. (see `interlock draft show --help`)"),
        (["draft", "show", "a", "b\x1b[2J"], "unexpected extra argument"),
        (["draft", "list", "--nope"], "No such option"),
        (["draft", "list", "--status", "nope"], "'draft', 'rejected', 'approved', 'error'"),
        (["draft", "list", "--limit", "0"], "--limit"),
        (["draft", "list", "--limit", "1001"], "--limit"),
        (["draft", "list", "--limit", "many"], "--limit"),
        (["draft", "create"], "--prompt"),
        (["draft", "create", "--prompt", "x", "--prompt-file", "y"], "exclude each other"),
        (["draft", "create", "--prompt", "x", "--limit", "patience=3"], "wall_clock_seconds"),
        (["draft", "create", "--prompt", "x", "--limit", "wall_clock_seconds"], "NAME=NUMBER"),
        (["draft", "create", "--prompt", "x", "--limit", "wall_clock_seconds=-1"], "NAME=NUMBER"),
        (["draft", "create", "--prompt", "x", "--limit", "wall_clock_seconds=٣"], "NAME=NUMBER"),
        (["draft", "create", "--prompt", "x", "--limit", "wall_clock_seconds=0"], "from 1 to 31622400"),
        (["draft", "create", "--prompt", "x", "--limit", f"wall_clock_seconds={2**53}"], "from 1 to 31622400"),
        (["draft", "create", "--prompt", "x", "--limit", f"wall_clock_seconds={MANY_DIGITS}"], "wall_clock_seconds"),
        (["run", "log", "r_01ARZ3NDEKTSV4RRFFQ69G5FAV", "--after", "-1"], "--after"),
        (["queue", "replan", "ORCH-001"], "--notes"),
        (["queue", "replan", "ORCH-001", "--notes", " \t"], "--notes is blank"),
        (["worker", "--concurrency", "0"], "--concurrency"),
        (["evidence", "prove", "first"], "index"),
        (["init"], "DIR"),
    ],
    ids=sentence,
)
def test_a_usage_error_is_one_line_and_exit_2(ask: Door, words: list[str], told: str) -> None:
    ask(*words).refuses(2, told)
    assert ask.log_size() == FRESH


@pytest.mark.parametrize(
    "words",
    [
        ["draft", "create", "--prompt", "x", "--command", "bad\udcff"],
        ["draft", "create", "--prompt", "x", "--check", "bad\udcff"],
        ["draft", "create", "--prompt", "x", "--command", "true", "--env", "BAD\udcff"],
        ["draft", "create", "--prompt", "x", "--base", "bad\udcff", "--command", "true"],
        ["draft", "reject", "{open}", "--reason", "bad\udcff"],
        ["approved", "revoke", "{to revoke}", "--reason", "bad\udcff"],
        ["run", "create", "{done: approved}", "--priority", "bad\udcff"],
        ["run", "cancel", "{to cancel}", "--reason", "bad\udcff"],
        ["queue", "show", "bad\udcff"],
        ["queue", "cancel", "{to cancel: item}", "--reason", "bad\udcff"],
        ["queue", "replan", "{to replan: item}", "--notes", "bad\udcff"],
        ["plan", "set", "bad\udcff"],
        ["evidence", "list", "--subject", "bad\udcff"],
    ],
    ids=lambda value: " ".join(value[:2] + value[-2:-1]),
)
def test_bytes_that_are_no_text_are_refused_wherever_they_stand(
    lived: Lived, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """Bytes that are not UTF-8 reach a program as lone surrogates."""
    ask, before = Door(lived.root, capsys), files(lived.root)
    answered = ask(*lived.line(*words))
    assert answered.code in {0, 2, 3}, answered
    if answered.code:
        answered.refuses(answered.code)
    assert files(lived.root) == before


@pytest.mark.parametrize("priority", ["P9", "", "p1", "P1 ", "\x1b[2J", "high"])
def test_a_run_takes_no_priority_but_the_three(lived: Lived, capsys: pytest.CaptureFixture[str], priority: str) -> None:
    ask = Door(lived.root, capsys)
    ask("run", "create", lived["done: approved"], "--priority", priority).refuses(2, "P0", "P1", "P2")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["draft", "show", "d_"], "draft list"),
        (["draft", "edit", "d_", "--prompt", "x"], "draft list"),
        (["draft", "approve", "d_"], "draft list"),
        (["draft", "reject", "d_"], "draft list"),
        (["approved", "show", "a_"], "approved list"),
        (["approved", "revoke", "a_"], "approved list"),
        (["run", "create", "a_"], "approved list"),
        (["run", "show", "r_"], "run list"),
        (["run", "log", "r_"], "run list"),
        (["run", "diff", "r_"], "run list"),
        (["run", "apply", "r_"], "run list"),
        (["run", "cancel", "r_"], "run list"),
        (["run", "retry", "r_"], "run list"),
        (["run", "wait", "r_"], "run list"),
    ],
    ids=sentence,
)
def test_what_is_not_there_is_exit_3_and_says_where_to_look(ask: Door, words: list[str], told: str) -> None:
    unknown = [word + UlidSource()() if word in {"d_", "a_", "r_"} else word for word in words]
    ask(*unknown).refuses(3, "there is no", f"`interlock {told}`")
    assert ask.log_size() == FRESH


@pytest.mark.parametrize(
    "words",
    [
        ["show"],
        ["explain"],
        ["cancel"],
        ["replan", "--notes", "x"],
        ["retry"],
        ["reprioritise", "--to", "P0"],
        ["snooze", "--for", "1h"],
        ["heartbeat", "--fence", "1"],
        ["complete", "--fence", "1"],
        ["fail", "--owner-session", "w"],
        ["release", "--fence", "1"],
    ],
    ids=sentence,
)
def test_an_item_that_is_not_there_is_told_in_the_seed_s_words(ask: Door, words: list[str]) -> None:
    ask("queue", *words, "ORCH-999").refuses(3, "Row id not found: ORCH-999", "`interlock queue list`")
    assert ask.log_size() == FRESH


def test_what_the_state_does_not_allow_is_exit_4(lived: Lived, capsys: pytest.CaptureFixture[str]) -> None:
    ask = Door(lived.root, capsys)
    before = files(lived.root)
    draft = lived["done: approved"].replace("a_", "d_")
    for words in (
        ("draft", "approve", draft),
        ("draft", "edit", draft, "--prompt", "other"),
        ("draft", "reject", draft),
        ("draft", "approve", lived["open"], "--digest", "sha256:" + "0" * 64),
        ("draft", "edit", lived["open"], "--prompt", "x", "--version", "2"),
        ("draft", "reject", lived["open"], "--version", "2"),
        ("run", "create", draft),
        ("run", "cancel", lived["done"]),
        ("run", "cancel", lived["failed"]),
        ("run", "retry", lived["done"]),
        ("run", "retry", lived["to cancel"]),
        ("run", "apply", lived["to cancel"]),
        ("queue", "cancel", lived["done: item"]),
        ("queue", "retry", lived["done: item"]),
        ("evidence", "prove", "999"),
    ):
        ask(*words).refuses(4)
    assert files(lived.root) == before


def test_waiting_for_a_run_that_failed_is_exit_1_with_its_reason(
    lived: Lived, capsys: pytest.CaptureFixture[str]
) -> None:
    answered = Door(lived.root, capsys)("run", "wait", lived["failed"], "--json")
    assert answered.code == 1
    assert '"status": "error"' in answered.out
    assert answered.err.startswith(f"error: {lived['failed']} is error: ")


def test_waiting_ends_at_its_limit(lived: Lived, capsys: pytest.CaptureFixture[str]) -> None:
    answered = Door(lived.root, capsys)("run", "wait", lived["to cancel"], "--seconds", "0.05")
    assert (answered.code, answered.err.count("\n")) == (1, 1)


@pytest.mark.parametrize("seconds", [2**31, 3 * 10**11, 10**13, 10**20], ids=str)
def test_an_approval_that_would_last_beyond_the_calendar_is_refused(ask: Door, seconds: int) -> None:
    """What can not be told as a date would stop every window from being written."""
    draft = ask.draft()
    answered = ask("draft", "approve", draft, "--expires-after", str(seconds))
    if answered.code:
        answered.refuses(2, "expires-after")
    assert ask("windows", "verify").code == 0
    assert ask("draft", "create", "--prompt", "next").err == ""


@pytest.mark.parametrize("number", ["9" * 20, MANY_DIGITS], ids=["20 digits", "5000 digits"])
@pytest.mark.parametrize(
    "words",
    [
        ["draft", "edit", "{open}", "--prompt", "x", "--version"],
        ["draft", "reject", "{open}", "--version"],
        ["draft", "approve", "{open}", "--expires-after"],
        ["draft", "list", "--limit"],
        ["run", "log", "{done}", "--after"],
        ["run", "wait", "{to cancel}", "--seconds"],
        ["evidence", "list", "--after"],
        ["evidence", "prove"],
        ["worker", "--once", "--concurrency"],
    ],
    ids=lambda value: " ".join(value[:2]),
)
def test_a_number_beyond_all_measure_is_no_accident(
    lived: Lived, capsys: pytest.CaptureFixture[str], words: list[str], number: str
) -> None:
    line = lived.line(*words)
    if words[:2] == ["run", "wait"]:
        line[2] = lived["done"]  # it has ended, so the wait does too
    answered = Door(lived.root, capsys)(*line, number)
    assert answered.code in {0, 2, 4}, answered
    if answered.code:
        answered.refuses(answered.code)


def test_a_refusal_is_no_longer_than_a_person_reads(ask: Door) -> None:
    for words in (
        ["nope" * 5000],
        ["draft", "show", "d" * 20_000],
        ["draft", "show", "d_", "x" * 20_000],
        ["draft", "list", "--limit", MANY_DIGITS],
        ["draft", "list", "--" + "x" * 20_000],
        ["draft", "create", "--prompt", "x", "--limit", "x" * 20_000],
        ["draft", "create", "--prompt", "x", "--command", "'" + "x" * 20_000],
        ["draft", "create", "--prompt", "x", "--as", "agent:" + "x" * 20_000],
        ["evidence", "check", "x" * 20_000, "y"],
    ):
        answered = ask(*words)
        answered.refuses(2)
        assert len(answered.err) < 2000, words[:3]


def test_an_unwritable_answer_is_an_error_and_no_traceback(workspace: Path) -> None:
    done = call("draft", "list", "--json", at=workspace, prefix=("sh", "-c", 'exec "$@" >/dev/full', "sh"))
    done.refuses(1, "No space left")
    done = call("draft", "list", "--json", at=workspace, prefix=("sh", "-c", 'exec "$@" >&-', "sh"))
    assert (done.code, "Traceback" in done.err) == (1, False)


def test_a_reader_that_has_gone_is_no_error(workspace: Path) -> None:
    done = call("--help", at=workspace, prefix=("bash", "-c", 'set -o pipefail; "$@" | true; exit 0', "bash"))
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_is_not_utf8_gets_an_answer(workspace: Path, encoding: str) -> None:
    made = call("draft", "create", "--prompt", "é 😀", "--json", at=workspace, env={"PYTHONIOENCODING": encoding})
    assert made.json["prompt"] == "é 😀"
    assert call("--help", at=workspace, env={"PYTHONIOENCODING": encoding}).code == 0


def test_a_row_that_somebody_spoiled_is_an_error_and_no_traceback(ask: Door) -> None:
    draft = ask.draft()
    with spoiled(ask.root, "UPDATE draft SET status = 'bogus'"):
        ask("draft", "show", draft).refuses(1)
    with spoiled(ask.root, "UPDATE draft SET work = '{'"):
        ask("draft", "list").refuses(1)


def test_every_command_is_tried_outside_of_a_workspace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan: dict[str, str | list[str]] = {
        "id": "p",
        "title": "",
        "workspace": "",
        "created": "",
        "objective": "",
        "tasks": [],
    }
    (tmp_path / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    given = {"file": str(tmp_path / "plan.json"), "index": "0", "folder": "out", "item_id": "ORCH-001"}
    given |= {f"{name}_id": f"{name[0]}_{UlidSource()()}" for name in ("draft", "approved", "run", "token", "watch")}
    given |= {"pipeline_id": f"pipeline_{UlidSource()()}", "deployment_id": f"deploy_{UlidSource()()}"}
    given |= {"which": "agent-self-heal", "old": "1", "proof": "proof"}
    given |= {"alert_id": f"al_{UlidSource()()}", "silence_id": f"si_{UlidSource()()}", "sink": "hook"}
    given |= {"named": f"n_{UlidSource()()}", "before": "1", "after": "2"}
    more = {
        "alert silence": ["--reason", "x", "--for", "1h"],
        "draft generate": ["--prompt", "x"],
        "provider set": ["--name", "n", "--type", "gemini", "--model", "m"],
        "token create": ["--name", "ci", "--role", "admin"],
        "loop watch": ["--repo", "x"],
        "panic on": ["--reason", "x"],
        "panic release": ["--reason", "x"],
        "draft create": ["--prompt", "x"],
        "queue replan": ["ORCH-001", "--notes", "x"],
        "queue cancel": ["ORCH-001"],
        "queue retry": ["ORCH-001"],
        "queue reprioritise": ["ORCH-001", "--to", "P0"],
        "queue add": ["--task", "t", "--success-criteria", "s"],
        "queue claim": ["--owner-session", "w"],
        "queue snooze": ["--for", "1h"],
        "queue pause": ["--reason", "x"],
        "draft erase": ["--reason", "x"],
        "run receipt": ["--out", "x"],
        "run ci": ["--commit", "a" * 40, "--status", "success"],
        "node drain": ["--reason", "x"],
        "node quarantine": ["--reason", "x"],
        "migrate": ["--to", "postgresql://localhost/x"],
        "approved erase": ["--reason", "x"],
        "deployment create": ["workspace-reports", "--environment", "staging", "--version", "1.0"],
        "deployment rollback": ["--reason", "x"],
        "pipeline artefact": ["list", f"pipeline_{UlidSource()()}"],
        "pipeline approve": ["agent-self-heal"],
        "pipeline run": ["agent-self-heal"],
        "deployment approve": ["workspace-reports"],
        "evidence keys": ["list"],
        "evidence witness": ["request"],
    }
    before = files(tmp_path)
    for words, command in commands().items():
        needs_none = {
            ("evidence", "check"),
            ("evidence", "check-receipt"),
            ("evidence", "check-consistency"),
            ("evidence", "report"),
            ("mcp", "config"),
            ("completion",),
            ("doctor",),  # says so among what it finds
        }
        if words in {("init",), ("queue", "health"), *needs_none}:
            continue  # `health` has an exit code of its own for what it could not check
        arguments = [given[p.name] for p in command.params if p.required and p.name in given]
        line = [*words, *arguments, *more.get(" ".join(words), [])]
        said(capsys, "--workspace", str(tmp_path), *line).refuses(3, "is not a workspace", "interlock init")
    assert files(tmp_path) == before
