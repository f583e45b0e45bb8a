"""Prompts, contexts and commands: what can not be kept exactly is refused, what could deceive a terminal is escaped."""

from __future__ import annotations

import json
import os
import pty
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.door import FRESH, PROGRAM, Door, call, environment, files
from tests.cli.lived import Lived

DECEIT = (
    "clear \x1b[2J title \x1b]0;pwn\x07 bell \x07 back \x08\x08 return \r c1 \x9b31m bidi \u202egnp\u2066 del \x7f end"
)
HIDDEN = set("\x1b\x07\x08\r\x9b\u202e\u2066\x7f")


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


@pytest.mark.parametrize("prompt", ["", " ", "\n\t \u2003"], ids=ascii)
def test_an_empty_prompt_is_refused(ask: Door, prompt: str) -> None:
    ask("draft", "create", "--prompt", prompt).refuses(2, "the prompt is empty")


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (b"x" * 5_000_000, "5000000 bytes; at most 2097152"),
        (b"a\0b", "NUL character (at 1)"),
        (b"ab\xed\xa0\x80", "not UTF-8 text (at byte 2)"),
        (b"abc\xff", "not UTF-8 text (at byte 3)"),
        ("text".encode("utf-16"), "not UTF-8 text (at byte 0)"),
        (b"", "empty"),
    ],
    ids=["5 MB", "NUL", "surrogate", "invalid", "UTF-16", "empty"],
)
def test_a_prompt_file_that_can_not_be_kept_is_refused(ask: Door, tmp_path: Path, written: bytes, told: str) -> None:
    file = tmp_path / "prompt"
    file.write_bytes(written)
    before = files(ask.root)
    ask("draft", "create", "--prompt-file", str(file)).refuses(2, told)
    assert files(ask.root) == before
    draft = ask.draft()
    ask("draft", "edit", draft, "--prompt-file", str(file)).refuses(2, told)
    assert ask.json("draft", "show", draft)["version"] == 1


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_prompt_file_that_can_not_be_read_is_named(ask: Door, tmp_path: Path, name: str) -> None:
    ask("draft", "create", "--prompt-file", str(tmp_path / name)).refuses(2, "can not be read")


def test_bytes_on_the_command_line_that_are_no_text_are_refused(workspace: Path) -> None:
    call("draft", "create", "--prompt", b"a\xffb", at=workspace).refuses(2, "not UTF-8 text")


def test_a_prompt_comes_from_standard_input(workspace: Path) -> None:
    made = call(
        "draft", "create", "--prompt-file", "-", "--json", at=workspace, given="fegen\nund wischen 🧹\n".encode()
    )
    assert made.json["prompt"] == "fegen\nund wischen 🧹\n"
    call("draft", "create", "--prompt-file", "-", at=workspace, given=b"\xff").refuses(2, "not UTF-8")


def test_the_largest_prompt_is_taken_whole(ask: Door, tmp_path: Path) -> None:
    file = tmp_path / "prompt"
    file.write_text("é" * (1024 * 1024), encoding="utf-8")
    assert ask.json("draft", "create", "--prompt-file", str(file))["prompt"] == "é" * (1024 * 1024)


@pytest.mark.parametrize(
    ("context", "told"),
    [
        ('{"a":{"b":[1.5]}}', "context.a.b[0]"),
        ('{"a":1e400}', "context.a"),
        ('{"a":NaN}', "context.a"),
        ('{"a":-Infinity}', "context.a"),
        ('{"é":1}', "not ASCII"),
        ('{"a":9007199254740992}', "beyond 2^53"),
        ('{"a":-9007199254740992}', "beyond 2^53"),
        ('{"a":' + "9" * 5000 + "}", "--context"),
        ('{"a":"\\ud800"}', "lone surrogate"),
        ('{"\\udfff":1}', "context"),
        ("[1]", "should be a JSON object"),
        ('"text"', "should be a JSON object"),
        ("null", "should be a JSON object"),
        ("", "--context is not JSON"),
        ("{", "--context is not JSON"),
        ('{"a":1} {}', "--context is not JSON"),
        ('{"a":1,"a":2}', "twice"),
        (nested(65), "nested"),
        (nested(970), "context"),
        (nested(985), "context"),
        (nested(20_000), "context"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_a_context_that_can_not_be_kept_exactly_is_refused(ask: Door, context: str, told: str) -> None:
    before = files(ask.root)
    ask("draft", "create", "--prompt", "x", "--context", context).refuses(2, told)
    assert (files(ask.root), ask.log_size()) == (before, FRESH)


def test_the_deepest_context_that_is_taken_is_shown_everywhere(ask: Door) -> None:
    """A context that could be stored but not rendered would stop every window from then on."""
    draft = ask.draft("--context", nested(60))
    assert json.dumps(ask.json("draft", "show", draft)["context"]).count("{") == 60
    assert ask("draft", "show", draft).code == 0
    assert ask("windows", "verify").code == 0


def test_the_largest_whole_numbers_are_kept_exactly(ask: Door) -> None:
    draft = ask.draft("--context", '{"max":9007199254740991,"min":-9007199254740991,"no":false,"nul":"\\u0000"}')
    shown = ask.json("draft", "show", draft)["context"]
    assert shown == {"max": 2**53 - 1, "min": 1 - 2**53, "no": False, "nul": "\0"}


@pytest.mark.parametrize(
    "deep", [nested(100_000), '{"id":' + "[" * 100_000 + "]" * 100_000 + "}"], ids=["objects", "lists"]
)
def test_a_plan_that_is_nested_without_end_is_refused(ask: Door, tmp_path: Path, deep: str) -> None:
    (tmp_path / "plan").write_text(deep, encoding="utf-8")
    ask("plan", "set", str(tmp_path / "plan")).refuses(2, "the plan")


@pytest.mark.parametrize("option", ["--command", "--check"])
@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("say 'hello", "No closing quotation"),
        ('say "hello', "No closing quotation"),
        ("a\\", "escape"),
        ("", "no command"),
    ],
)
def test_a_command_line_that_is_none_is_refused(ask: Door, option: str, line: str, told: str) -> None:
    ask("draft", "create", "--prompt", "x", option, line).refuses(2, option, told)
    ask("draft", "create", "--prompt", "x", option, "  \t ").refuses(2, "no command")


def test_a_command_is_split_like_a_shell_would_and_run_without_one(ask: Door) -> None:
    draft = ask.draft("--command", "sh -c 'echo \"$HOME\" | wc' # a word", "--check", "true ; false")
    terms = ask.json("draft", "show", draft)["terms"]
    assert terms["command"] == ["sh", "-c", 'echo "$HOME" | wc', "#", "a", "word"]
    assert terms["checks"] == [["true", ";", "false"]]


@pytest.mark.parametrize("name", ["", "A=B", "A B", "A\nB", "\x1b[2J"], ids=ascii)
def test_a_variable_is_handed_through_by_a_name_that_is_one(ask: Door, name: str) -> None:
    ask("draft", "create", "--prompt", "x", "--command", "true", "--env", name).refuses(2, "variable")


def test_work_that_no_event_could_hold_is_refused_when_it_is_proposed(ask: Door) -> None:
    """Otherwise it could be reviewed, and never approved."""
    ask("draft", "create", "--prompt", "x", "--command", "echo " + "x" * 40_000).refuses(2, "command")
    ask("draft", "edit", ask.draft(), "--check", "echo " + "x" * 40_000).refuses(2, "check")


def test_a_reason_is_no_place_for_a_book(ask: Door) -> None:
    draft = ask.draft()
    ask("draft", "reject", draft, "--reason", "x" * 40_000).refuses(2, "at most")
    ask("draft", "reject", draft, "--reason", "a\0b").refuses(2, "the reason holds a NUL")
    assert ask.json("draft", "show", draft)["status"] == "draft"


@pytest.mark.parametrize(
    "address",
    [
        "https://ada:hunter2@localhost:1/x.git",
        "https://hunter2@localhost:1/x.git",
        "https://:hunter2@localhost:1/x.git",
        "ssh://git:hunter2@localhost:1/x.git",
    ],
)
def test_a_password_in_a_repository_s_address_never_reaches_log_or_window(ask: Door, address: str) -> None:
    """What is approved is logged for ever, where everybody can read it."""
    ask("draft", "create", "--prompt", "x", "--command", "true", "--repo", address, "--base", "0" * 40)
    for draft in ask.json("draft", "list"):
        ask("draft", "approve", draft["id"])
    told = [body for body in files(ask.root).values() if body is not None and b"hunter2" in body]
    assert told == []
    with closing(sqlite3.connect(ask.root / ".interlock" / "interlock.db")) as connection:
        assert connection.execute("SELECT COUNT(*) FROM draft WHERE work LIKE '%hunter2%'").fetchone() == (0,)


def shows_nothing_hidden(text: str) -> bool:
    return not HIDDEN & set(text.replace("\r\n", "\n"))


def test_terminal_escapes_of_an_author_are_shown_and_not_obeyed(ask: Door) -> None:
    draft = ask.draft(
        "--context", json.dumps({"note": DECEIT}), "--command", f"echo '{DECEIT}'", "--env", "OK", prompt=DECEIT
    )
    for words in (("draft", "show", draft), ("draft", "list"), ("draft", "approve", draft)):
        answered = ask(*words)
        assert answered.code == 0, answered
        assert shows_nothing_hidden(answered.out), words
        assert "\\x1b[2J" in answered.out
        assert "\\u202e" in answered.out or words == ("draft", "list")


def test_terminal_escapes_of_an_agent_are_shown_and_not_obeyed(
    lived: Lived, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = Door(lived.root, capsys)
    with closing(sqlite3.connect(lived.root / ".interlock" / "interlock.db")) as connection:
        connection.execute("UPDATE run_log SET msg = ? WHERE run_id = ? AND line = 2", (DECEIT, lived["done"]))
        connection.commit()
    answered = ask("run", "log", lived["done"])
    assert shows_nothing_hidden(answered.out)
    assert "\\x1b[2J" in answered.out


def on_a_terminal(*words: str, at: Path) -> str:
    """Call the installed program with a terminal as its stdout; returns what it wrote there."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [str(PROGRAM), *words], cwd=at, stdout=theirs, stderr=subprocess.STDOUT, env=environment(TERM="xterm")
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other end has closed
                break
            if not part:
                break
            shown += part
        assert process.wait(30) == 0
    os.close(ours)
    return shown.decode()


def test_json_on_a_terminal_hides_nothing_either(ask: Door) -> None:
    draft = ask.draft("--context", json.dumps({"note": DECEIT}), prompt=DECEIT)
    shown = on_a_terminal("draft", "show", draft, "--json", at=ask.root)
    assert shows_nothing_hidden(shown)
    assert json.loads(shown)["prompt"] == DECEIT


def test_a_table_on_a_terminal_hides_nothing(ask: Door) -> None:
    ask.draft(prompt=DECEIT)
    shown = on_a_terminal("draft", "list", at=ask.root)
    assert not (HIDDEN - {"\x1b", "\r"}) & set(shown)
    assert "\x1b[2J" not in shown


def test_everything_that_is_approved_is_shown_before(ask: Door) -> None:
    long = "harmless " * 20 + "and then delete everything"
    draft = ask.draft(prompt=long)
    answered = ask("draft", "edit", draft, "--content", long)
    assert answered.out.count("delete everything") == 2
    answered = ask("draft", "show", draft)
    assert answered.out.count("delete everything") == 2
