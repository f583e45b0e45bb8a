"""The agents' readers, held against transcripts in the documented formats and against everything else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.kernel.canonical import MAX_INTEGER
from interlock.runs.agents import AGENTS
from interlock.runs.agents.hearing import MOST_BYTES, Hearing
from interlock.runs.agents.port import Said, Told
from interlock.runs.agents.words import MOST_CHARACTERS

READING = [name for name in AGENTS if name != "command"]


@dataclass
class Heard:
    """What a transcript came to."""

    said: list[Said]

    @property
    def texts(self) -> list[str]:
        return [each.text for each in self.said if each.text]

    @property
    def told(self) -> Told:
        return [each.told for each in self.said if each.told is not None][-1]

    @property
    def word(self) -> Said | None:
        return next((each for each in reversed(self.said) if each.terminal is not None), None)


def heard(agent: str, *events: dict[str, Any] | str, source: str = "stdout") -> Heard:
    hearing = Hearing(AGENTS[agent].reader(), lambda data: data)
    lines = [each if isinstance(each, str) else json.dumps(each) for each in events]
    data = "".join(line + "\n" for line in lines).encode()
    said: list[Said] = []
    for at in range(0, len(data), 7):  # pipes cut where they like
        said += hearing.take(source, data[at : at + 7])
    return Heard(said + hearing.end())


# --- Claude Code ------------------------------------------------------------------------------------------------------

INIT = {"type": "system", "subtype": "init", "session_id": "5f3c0e1a-0b1c", "model": "claude-x", "tools": ["Bash"]}


def message(name: str, *content: dict[str, Any], read: int = 10, cached: int = 0, wrote: int = 5) -> dict[str, Any]:
    usage = {"input_tokens": read, "cache_read_input_tokens": cached, "output_tokens": wrote}
    return {"type": "assistant", "message": {"id": name, "content": list(content), "usage": usage}}


def test_claude_code_tells_its_session_steps_tokens_and_price() -> None:
    found = heard(
        "claude_code",
        INIT,
        message("m1", {"type": "text", "text": "I look\nat it."}, read=10, cached=90, wrote=5),
        message("m1", {"type": "tool_use", "name": "Bash", "input": {"command": "make test"}}, cached=90, wrote=8),
        {
            "type": "user",
            "message": {"content": [{"type": "tool_result", "is_error": True, "content": "exit 2"}]},
        },
        {
            "type": "result",
            "subtype": "success",
            "is_error": False,
            "result": "All green.",
            "num_turns": 3,
            "total_cost_usd": 0.0123456,
            "usage": {"input_tokens": 20, "cache_read_input_tokens": 180, "output_tokens": 40},
        },
    )
    assert found.texts == [
        "session 5f3c0e1a-0b1c with claude-x",
        "I look at it.",
        "Bash: make test",
        "a tool failed: exit 2",
        "done: All green.",
    ]
    assert found.told == Told(
        session_id="5f3c0e1a-0b1c", turns=3, input_tokens=200, output_tokens=40, cost_microusd=12346
    )
    assert found.word is not None
    assert found.word.terminal == "success"


def test_a_message_that_claude_code_prints_block_by_block_is_counted_once() -> None:
    found = heard("claude_code", INIT, *(message("m1", wrote=wrote) for wrote in (3, 3, 9)), message("m2", wrote=1))
    assert (found.told.turns, found.told.input_tokens, found.told.output_tokens) == (2, 20, 10)


@pytest.mark.parametrize("subtype", ["error_max_turns", "error_during_execution", "error_max_budget_usd", "new_one"])
def test_claude_code_that_ends_otherwise_than_in_success_has_failed(subtype: str) -> None:
    word = heard("claude_code", {"type": "result", "subtype": subtype, "is_error": True}).word
    assert word is not None
    assert (word.terminal, word.level) == ("failure", "ERROR")
    assert subtype in word.text


def test_claude_codes_usage_limit_is_known_with_its_reset_in_both_forms() -> None:
    old = heard(
        "claude_code",
        {
            "type": "result",
            "subtype": "success",
            "is_error": True,
            "result": "Claude AI usage limit reached|1795000000",
        },
    )
    new = heard(
        "claude_code",
        {"type": "rate_limit_event", "rate_limit_info": {"status": "rejected", "resetsAt": 1795000000}},
        {"type": "result", "subtype": "error_during_execution", "is_error": True},
    )
    for found in (old, new):
        assert found.word is not None
        assert (found.word.terminal, found.word.resets_ms) == ("limit", 1_795_000_000_000)


def test_a_warning_of_a_limit_is_no_limit() -> None:
    info = {"status": "allowed_warning", "resetsAt": 1795000000}
    assert heard("claude_code", {"type": "rate_limit_event", "rate_limit_info": info}).said == []


# --- Codex ------------------------------------------------------------------------------------------------------------


def test_codex_tells_its_thread_commands_changes_and_the_threads_tokens() -> None:
    command = {"type": "command_execution", "command": "bash -lc 'make test'", "exit_code": 2, "status": "failed"}
    found = heard(
        "codex",
        {"type": "thread.started", "thread_id": "0199a213-81c0"},
        {"type": "turn.started"},
        {"type": "item.completed", "item": {"type": "reasoning", "text": "hm"}},
        {"type": "item.started", "item": command | {"exit_code": None}},
        {"type": "item.completed", "item": command},
        {"type": "item.completed", "item": {"type": "file_change", "changes": [{"path": "a.py", "kind": "update"}]}},
        {"type": "item.completed", "item": {"type": "agent_message", "text": "Mended."}},
        {"type": "turn.completed", "usage": {"input_tokens": 100, "cached_input_tokens": 90, "output_tokens": 7}},
    )
    assert found.texts == [
        "session 0199a213-81c0",
        "runs: bash -lc 'make test'",
        "exit code 2: bash -lc 'make test'",
        "changes: update a.py",
        "Mended.",
        "done",
    ]
    assert found.told == Told(session_id="0199a213-81c0", turns=1, input_tokens=100, output_tokens=7)
    assert found.told.cost_microusd is None  # unknown is not nothing


def test_codex_that_tries_a_broken_connection_again_has_not_failed() -> None:
    found = heard(
        "codex",
        {"type": "error", "message": "Reconnecting... 1/5"},
        {"type": "turn.completed", "usage": {"input_tokens": 1, "output_tokens": 1}},
    )
    assert found.word is not None
    assert found.word.terminal == "success"


@pytest.mark.parametrize(
    ("words", "terminal"), [("stream ended", "failure"), ("You've hit your usage limit. Try again later.", "limit")]
)
def test_codex_says_why_a_turn_failed(words: str, terminal: str) -> None:
    found = heard("codex", {"type": "error", "message": words}, {"type": "turn.failed", "error": {"message": words}})
    assert found.word is not None
    assert (found.word.terminal, found.word.resets_ms) == (terminal, None)


# --- Gemini CLI -------------------------------------------------------------------------------------------------------


def test_gemini_puts_the_pieces_of_an_answer_together() -> None:
    found = heard(
        "gemini_cli",
        {"type": "init", "session_id": "abc", "model": "gemini-x", "timestamp": "…"},
        {"type": "message", "role": "user", "content": "Do it."},
        {"type": "message", "role": "assistant", "content": "I will ", "delta": True},
        {"type": "message", "role": "assistant", "content": "do it.", "delta": True},
        {"type": "tool_use", "tool_name": "run_shell_command", "tool_id": "1", "parameters": {"command": "ls"}},
        {"type": "tool_result", "tool_id": "1", "status": "error", "error": {"message": "denied"}},
        {"type": "result", "status": "success", "stats": {"total_tokens": 30, "input_tokens": 20, "output_tokens": 10}},
    )
    assert found.texts == [
        "session abc with gemini-x",
        "I will do it.",
        "run_shell_command: ls",
        "a tool failed: denied",
        "done",
    ]
    assert found.told == Told(session_id="abc", turns=1, input_tokens=20, output_tokens=10)


def test_geminis_exhausted_quota_is_a_limit_and_another_error_is_a_failure() -> None:
    for words, terminal in (("RESOURCE_EXHAUSTED: quota exceeded", "limit"), ("no such model", "failure")):
        found = heard("gemini_cli", {"type": "result", "status": "error", "error": {"type": "E", "message": words}})
        assert found.word is not None
        assert found.word.terminal == terminal


# --- OpenCode ---------------------------------------------------------------------------------------------------------


def step(reason: str, cost: float, **tokens: int | dict[str, int]) -> dict[str, Any]:
    part = {"type": "step-finish", "reason": reason, "cost": cost, "tokens": tokens}
    return {"type": "step_finish", "timestamp": 1, "sessionID": "ses_1", "part": part}


def test_opencode_adds_its_steps_up() -> None:
    tool: dict[str, Any] = {
        "type": "tool",
        "tool": "bash",
        "state": {"status": "completed", "title": "make", "input": {}},
    }
    found = heard(
        "opencode",
        {"type": "step_start", "sessionID": "ses_1", "part": {"type": "step-start"}},
        {"type": "tool_use", "sessionID": "ses_1", "part": tool},
        step("tool-calls", 0.001, input=10, output=2, reasoning=1, cache={"read": 5, "write": 0}),
        {"type": "text", "sessionID": "ses_1", "part": {"type": "text", "text": "Made."}},
        step("stop", 0.0005, input=3, output=4, reasoning=0, cache={"read": 0, "write": 0}),
    )
    assert found.texts == ["session ses_1", "bash: make", "Made.", "done"]
    assert found.told == Told(session_id="ses_1", turns=2, input_tokens=18, output_tokens=7, cost_microusd=1500)


def test_opencode_that_was_stopped_in_the_middle_has_no_last_word() -> None:
    assert heard("opencode", step("tool-calls", 0.0, input=1, output=1)).word is None


def test_opencodes_error_is_its_last_word() -> None:
    error = {"name": "APIError", "data": {"message": "Too Many Requests"}}
    found = heard("opencode", {"type": "error", "sessionID": "ses_1", "error": error})
    assert found.word is not None
    assert found.word.terminal == "limit"


# --- everything else --------------------------------------------------------------------------------------------------

KINDS = st.sampled_from(
    [
        *("system", "assistant", "user", "result", "rate_limit_event", "init", "message", "tool_use", "tool_result"),
        *("thread.started", "turn.started", "turn.completed", "turn.failed", "item.started", "item.completed"),
        *("error", "text", "step_start", "step_finish"),
    ]
)
FIELDS = st.sampled_from(
    [
        *("message", "content", "usage", "item", "part", "error", "stats", "tokens", "cache", "input", "output", "id"),
        *("session_id", "thread_id", "sessionID", "subtype", "status", "role", "type", "total_cost_usd", "cost"),
        *("input_tokens", "output_tokens", "num_turns", "text", "result", "reason", "rate_limit_info", "resetsAt"),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | KINDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=12,
)


def _event(kind: object, rest: dict[str, Any]) -> bytes:
    return json.dumps({**rest, "type": kind}).encode()


EVENTS = st.builds(_event, KINDS | VALUES, st.dictionaries(FIELDS, VALUES, max_size=6))
LINES = st.one_of(EVENTS, st.binary(max_size=60))


@pytest.mark.parametrize("agent", READING)
@settings(max_examples=150, deadline=None)
@given(lines=st.lists(LINES, max_size=8), cut=st.integers(1, 30))
@pytest.mark.proves("agents-read")
def test_no_line_breaks_a_reader_and_all_that_it_says_is_bounded_and_shown_safely(
    agent: str, lines: list[bytes], cut: int
) -> None:
    hearing = Hearing(AGENTS[agent].reader(), lambda data: data)
    data = b"\n".join(lines)
    said = [each for at in range(0, len(data), cut) for each in hearing.take("stdout", data[at : at + cut])]
    for each in [*said, *hearing.end()]:
        assert "could not be read" not in each.text
        assert len(each.text) <= MOST_CHARACTERS
        assert each.text == " ".join(each.text.split())
        assert each.text.encode("utf-8").isascii() or "\x1b" not in each.text
        told = each.told or Told()
        for figure in (told.turns, told.input_tokens, told.output_tokens, told.cost_microusd):
            assert figure is None or 0 <= figure <= MAX_INTEGER
        assert told.session_id is None or not told.session_id.startswith("-")


@pytest.mark.parametrize("agent", READING)
@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "null",
        "[]",
        '{"type": "result", "subtype": "succ',
        '{"type": null}',
        '{"type": ["result"]}',
        "[" * 100_000,
        '{"a":' * 50_000,
        '{"type": "result", "total_cost_usd": ' + "9" * 5000 + "}",
        '{"type": "result", "total_cost_usd": NaN, "usage": {"input_tokens": -5, "output_tokens": 1e400}}',
        '{"type": "system", "subtype": "init", "session_id": "--dangerously-skip-permissions"}',
        '{"type": "thread.started", "thread_id": "$(reboot)"}',
    ],
    ids=range(13),
)
def test_torn_and_hostile_lines_name_no_session_and_no_figures(agent: str, line: str) -> None:
    found = heard(agent, line)
    for each in found.said:
        told = each.told or Told()
        assert (told.session_id, told.cost_microusd, told.input_tokens) == (None, None, None)
        assert "could not be read" not in each.text


@pytest.mark.parametrize("agent", READING)
def test_a_line_of_ten_megabytes_is_not_held_and_the_next_one_is_read(agent: str) -> None:
    hearing = Hearing(AGENTS[agent].reader(), lambda data: data)
    said: list[Said] = []
    for _ in range(160):
        said += hearing.take("stdout", b'{"type":"result"' + b"x" * 65_536)
        assert sum(map(len, hearing._open.values())) <= MOST_BYTES  # pyright: ignore[reportPrivateUsage] - what is held is not shown
    said += hearing.take(
        "stdout", b"\n" + json.dumps({"type": "error", "message": "x", "error": {"name": "x"}}).encode()
    )
    assert [each.level for each in said] == ["WARN"]
    hearing.end()


def test_what_is_printed_to_stderr_is_nobodys_word() -> None:
    assert heard("claude_code", {"type": "result", "subtype": "success"}, source="stderr").said == []


def test_a_secret_is_hidden_before_a_line_is_read() -> None:
    hearing = Hearing(AGENTS["claude_code"].reader(), lambda data: data.replace(b"hunter22", b"[REDACTED:TOKEN]"))
    line = json.dumps(message("m", {"type": "text", "text": "it is hunter22"})).encode()
    said = hearing.take("stdout", line[:-12]) + hearing.take("stdout", line[-12:] + b"\n")
    assert [each.text for each in said if each.text] == ["it is [REDACTED:TOKEN]"]
