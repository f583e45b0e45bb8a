"""Agents, nodes and rungs as a reviewer meets them: what is drafted is shown in full, frozen, and compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.door import Door
from tests.engines.world import make_repository


@pytest.fixture
def repository(tmp_path: Path) -> str:
    return str(make_repository(tmp_path / "repository"))


def test_the_whole_command_of_an_agent_is_shown_and_frozen(ask: Door, repository: str) -> None:
    words = ["--agent", "claude_code", "--agent-model", "opus", "--allow", "Read", "--allow", "Bash(git:*)"]
    words += ["--need", "gpu", "--rung", "checked", "--check", "true", "--repo", repository]
    draft = ask.draft(*words, "--limit", "tokens=1000", "--limit", "cost_microusd=250000")
    shown = ask("draft", "show", draft).out
    command = (
        "claude -p --output-format stream-json --verbose --strict-mcp-config --permission-mode default"
        " --allowedTools 'Read,Bash(git:*)' --model opus --max-budget-usd 0.25"
    )
    for line in (f"command     {command}", "agent       claude_code", "needs       gpu", "rung        checked"):
        assert line in shown
    assert "tokens=1000" in shown
    assert "cost_microusd=250000" in shown
    terms = ask.json("draft", "show", draft)["terms"]
    approved = ask.json("draft", "approve", draft)
    assert approved["terms"] == terms
    assert (terms["agent"], terms["needs"], terms["rung"]) == ("claude_code", ["gpu"], "checked")
    assert "model" not in terms  # it stands in the command


def test_an_edit_writes_the_command_anew_and_the_difference_shows_it(ask: Door) -> None:
    draft = ask.draft("--agent", "codex")
    ask.json("draft", "edit", draft, "--no-network", "--agent-model", "gpt-x")
    told = ask("draft", "diff", draft).out
    assert "sandbox_workspace_write.network_access=false" in told
    assert "--model gpt-x" in told
    ask.json("draft", "edit", draft, "--agent", "opencode", "--need", "region=eu")
    told = ask("draft", "diff", draft).out
    for word in ("- codex", "+ opencode", "+ region=eu"):
        assert word in told


def test_an_edit_takes_away_what_it_is_told_to(ask: Door) -> None:
    draft = ask.draft("--command", "true", "--check", "true", "--need", "gpu", "--rung", "checked", "--env", "LANG")
    ask.json("draft", "edit", draft, "--without", "need", "--without", "check", "--without", "rung")
    terms = ask.json("draft", "show", draft)["terms"]
    assert (terms["checks"], terms["environment"]) == ([], ["LANG"])
    assert {"needs", "rung"} & terms.keys() == set()
    ask.json("draft", "edit", draft, "--without", "env", "--env", "HOME")
    assert ask.json("draft", "show", draft)["terms"]["environment"] == ["HOME"]
    ask("draft", "edit", draft, "--without", "prompt").refuses(2, "--without")


def test_without_its_tools_and_model_an_agent_s_command_is_as_if_they_had_never_been_named(ask: Door) -> None:
    words = ("--agent", "claude_code", "--agent-model", "opus", "--allow", "Read", "--allow", "Bash(git:*)")
    draft = ask.draft(*words, "--check", "true")
    ask.json("draft", "edit", draft, "--without", "allow", "--without", "agent-model", "--without", "check")
    terms = ask.json("draft", "show", draft)["terms"]
    plain = ask.json("draft", "show", ask.draft("--agent", "claude_code"))["terms"]
    salted = {"prompt", "context"}
    assert {**terms, **dict.fromkeys(salted)} == {**plain, **dict.fromkeys(salted)}
    assert "Bash(git:*)" not in " ".join(terms["command"])


def test_a_command_of_ones_own_is_run_as_it_stands_and_read_as_the_agent_s(ask: Door) -> None:
    draft = ask.draft("--agent", "codex", "--command", "codex exec --json --profile mine -")
    terms = ask.json("draft", "show", draft)["terms"]
    assert (terms["agent"], terms["command"]) == ("codex", ["codex", "exec", "--json", "--profile", "mine", "-"])
    ask.json("draft", "edit", draft, "--agent", "codex")  # the agent in the command's place
    assert "--skip-git-repo-check" in ask.json("draft", "show", draft)["terms"]["command"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--agent", "nobody"], "there is no agent nobody"),
        (["--agent", "no/body"], "an agent is named like claude_code"),
        (["--agent-model", "opus"], "no agent is named"),
        (["--agent", "codex", "--allow", "shell"], "can not be told which tools"),
        (["--agent", "codex", "--command", "codex exec -", "--agent-model", "m"], "brings its own"),
        (["--need", "no good"], "NAME or NAME=VALUE"),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_is_drafted(ask: Door, words: list[str], told: str) -> None:
    ask("draft", "create", "--prompt", "x", *words).refuses(2, told)


def test_a_rung_that_nothing_could_reach_is_refused_where_it_is_approved(ask: Door) -> None:
    draft = ask.draft("--agent", "codex", "--rung", "checked")
    ask("draft", "approve", draft).refuses(4, "checked is needed, and the work names no repository", "--check")


def test_the_workspace_s_own_agent_is_what_a_draft_without_one_gets(ask: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERLOCK_AGENT_ADAPTER", "gemini_cli")
    monkeypatch.setenv("INTERLOCK_AGENT_MODEL", "flash")
    terms = ask.json("draft", "show", ask.draft())["terms"]
    assert (terms["agent"], terms["command"][-2:]) == ("gemini_cli", ["--model", "flash"])
    other = ask.json("draft", "show", ask.draft("--agent", "codex", "--agent-model", "m"))["terms"]
    assert (other["agent"], other["command"][0]) == ("codex", "codex")


def test_a_setting_that_names_no_agent_is_refused(ask: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERLOCK_RUNS_RUNG", "certain")
    ask("draft", "list").refuses(2, "INTERLOCK_RUNS_RUNG")
    monkeypatch.setenv("INTERLOCK_RUNS_RUNG", "ci")
    monkeypatch.setenv("INTERLOCK_AGENT_ADAPTER", "no/body")
    ask("draft", "list").refuses(2, "INTERLOCK_AGENT_ADAPTER")
