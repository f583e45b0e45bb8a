"""How each agent is called: the words that are shown, approved, frozen and run, and how a session is taken up again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.approval.errors import InvalidWork
from interlock.approval.models import Limits, Work
from interlock.runs.agents import AGENTS, Known

PAGE = Path(__file__).resolve().parents[3] / "docs" / "agents.md"
CODING = [name for name in AGENTS if name != "command"]
USUAL = {
    "claude_code": (
        "claude -p --output-format stream-json --verbose --strict-mcp-config --permission-mode default"
        " --allowedTools Bash,Edit,Glob,Grep,NotebookEdit,Read,TodoWrite,Write,WebFetch,WebSearch"
    ),
    "codex": (
        "codex exec --json --skip-git-repo-check --sandbox workspace-write -c approval_policy=never"
        " -c sandbox_workspace_write.network_access=true -"
    ),
    "gemini_cli": "env GEMINI_CLI_TRUST_WORKSPACE=true gemini --output-format stream-json --approval-mode yolo",
    "opencode": ('env OPENCODE_DISABLE_AUTOUPDATE=true OPENCODE_PERMISSION={"*":"allow"} opencode run --format json'),
}
NARROW = {
    "claude_code": (
        "claude -p --output-format stream-json --verbose --strict-mcp-config --permission-mode default"
        " --allowedTools read-only --disallowedTools WebFetch,WebSearch --model m --max-budget-usd 1.5"
    ),
    "codex": ("codex exec --json --skip-git-repo-check --sandbox read-only -c approval_policy=never --model m -"),
    "gemini_cli": (
        "env GEMINI_CLI_TRUST_WORKSPACE=true gemini --output-format stream-json --approval-mode default"
        " --allowed-tools read-only --model m"
    ),
    "opencode": (
        "env OPENCODE_DISABLE_AUTOUPDATE=true"
        ' OPENCODE_PERMISSION={"*":"deny","read-only":"allow","webfetch":"deny","websearch":"deny"}'
        " opencode run --format json --model m"
    ),
}
AGAIN = {
    "claude_code": "claude --resume S-1 -p",
    "codex": "-c sandbox_workspace_write.network_access=true resume S-1 -",
    "gemini_cli": "gemini --resume S-1 --output-format",
    "opencode": "opencode run --session S-1 --format json",
}


@pytest.mark.parametrize("agent", CODING)
@pytest.mark.proves("agents-words")
def test_the_words_follow_from_what_is_approved(agent: str) -> None:
    narrow = Work(agent=agent, model="m", tools=("read-only",), network=False, limits=Limits(cost_microusd=1_500_000))
    assert " ".join(Known().invoke(Work(agent=agent))) == USUAL[agent]
    assert " ".join(Known().invoke(narrow)) == NARROW[agent]


@pytest.mark.parametrize("agent", CODING)
@given(network=st.booleans(), model=st.sampled_from([None, "m"]), cost=st.integers(0, 10**9))
def test_the_same_work_gives_the_same_words_none_of_which_is_empty(
    agent: str, *, network: bool, model: str | None, cost: int
) -> None:
    work = Work(agent=agent, network=network, model=model, limits=Limits(cost_microusd=cost))
    words = Known().invoke(work)
    assert words == Known().invoke(work)
    assert all(words)
    Work(command=words, agent=agent)


@pytest.mark.parametrize("agent", CODING)
def test_a_session_is_taken_up_again_by_the_approved_words_and_its_name(agent: str) -> None:
    command = Known().invoke(Work(agent=agent))
    again = AGENTS[agent].resume(command, "S-1")
    assert again is not None
    assert AGAIN[agent] in " ".join(again)
    assert [word for word in again if word not in {"S-1", "--resume", "--session", "resume"}] == list(command)
    assert AGENTS[agent].resume(again, "S-2") is None  # who speaks of sessions is not spoken for


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("command", [(), ("env",), ("env", "A=b"), ("sh", "-c", "claude -p"), ("npx", "codex")])
def test_another_program_is_never_resumed(agent: str, command: tuple[str, ...]) -> None:
    assert AGENTS[agent].resume(command, "S-1") is None


def test_codex_refuses_a_list_of_tools_that_it_could_not_keep_to() -> None:
    with pytest.raises(InvalidWork, match="can not be told which tools"):
        Known().invoke(Work(agent="codex", tools=("shell",)))


def test_any_command_is_written_by_nobody() -> None:
    with pytest.raises(InvalidWork, match="none was written"):
        Known().invoke(Work())


@pytest.mark.parametrize(
    "work",
    [
        lambda: Work(agent="Claude Code"),
        lambda: Work(agent="../x"),
        lambda: Work(agent="codex", model="--yolo"),
        lambda: Work(agent="codex", model="a b"),
        lambda: Work(agent="codex", tools=("--dangerously",)),
        lambda: Work(agent="codex", tools=("a,b",)),
        lambda: Work(agent="codex", tools=("a\n",)),
        lambda: Work(command=("x",), model="m"),
        lambda: Work(command=("x",), tools=("Bash",)),
        lambda: Work(rung="certain"),
    ],
)
def test_words_that_could_become_flags_or_mean_nothing_are_refused(work: object) -> None:
    assert callable(work)
    with pytest.raises(InvalidWork):
        work()


@pytest.mark.proves("agents-words")
def test_the_page_says_what_each_agent_enforces_as_the_code_has_it() -> None:
    rows = [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if re.match(r"\| `\w+` \| (any|`\w+`) \|", line)
    ]
    assert [row[0] for row in rows] == list(AGENTS)
    for name, program, *cells in rows:
        adapter = AGENTS[name]
        holds = adapter.holds
        assert adapter.name == name
        assert program == (adapter.executable or "any")
        told = [holds.network, holds.tools, holds.model, holds.turns, holds.tokens, holds.cost]
        assert cells == [*told, "yes" if holds.resume else "no", holds.hooks], name


def test_what_the_page_says_of_flags_is_in_the_words() -> None:
    narrow = {
        name: Known().invoke(
            Work(agent=name, model="m", tools=("read-only",), network=False, limits=Limits(cost_microusd=1))
        )
        for name in CODING
    }
    plain = {name: Known().invoke(Work(agent=name)) for name in CODING}
    for name in CODING:
        holds = AGENTS[name].holds
        assert ("m" in narrow[name]) == (holds.model == "agent")
        assert any("max-budget" in word for word in narrow[name]) == (holds.cost == "both")
        unconnected = Known().invoke(Work(agent=name, network=False))
        assert (unconnected != plain[name]) == (holds.network == "both")
        assert (AGENTS[name].resume(plain[name], "S-1") is not None) == holds.resume
