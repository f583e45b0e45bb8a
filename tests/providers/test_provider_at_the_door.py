"""`interlock provider` and `interlock draft generate`, as people and scripts meet them."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from interlock.providers.models import ProviderType
from tests.cli.door import Door, python
from tests.providers.model_server import WRITTEN, ModelServer, hang, saying

OLLAMA = {
    "type": "openai_compat",
    "model": "qwen2.5-coder:7b",
    "base_url": "http://localhost:11434/v1",
    "api_key": None,
}


def stored(workspace: Path) -> Any:  # noqa: ANN401 - JSON of any shape
    return json.loads((workspace / ".orch_data" / "ops" / "provider.json").read_bytes())


def use(ask: Door, server: ModelServer, kind: ProviderType = ProviderType.OPENAI_COMPAT) -> None:
    """Let the workspace's provider be this server."""
    url = server.base_url(kind)
    done = ask("provider", "set", "--name", "here", "--type", kind.value, "--model", "tidy-7b", "--base-url", url)
    assert done.code == 0, done
    assert ask("provider", "set", "--active", "here").code == 0


def test_show_says_who_is_asked_where_and_where_its_key_is(ask: Door) -> None:
    done = ask("provider", "show")
    assert done.code == 0
    assert "* local_ollama" in done.out
    assert "address   http://localhost:11434/v1" in done.out
    assert "key       none" in done.out
    shown = ask.json("provider", "show")
    assert shown == {
        "id": "provider",
        "status": "ok",
        "version": shown["version"],
        "active": "local_ollama",
        "providers": {"local_ollama": OLLAMA},
        "warnings": [],
    }


def test_a_provider_is_added_changed_chosen_and_taken_away(ask: Door, workspace: Path) -> None:
    new = ["--name", "claude", "--type", "anthropic", "--model", "claude-x", "--api-key-env", "CLAUDE_KEY"]
    assert ask("provider", "set", *new, "--active", "claude").code == 0
    claude = {"type": "anthropic", "model": "claude-x", "base_url": None, "api_key": "${CLAUDE_KEY}"}
    assert stored(workspace) == {"active": "claude", "providers": {"local_ollama": OLLAMA, "claude": claude}}
    assert ask("provider", "set", "--name", "claude", "--model", "claude-y", "--no-api-key").code == 0
    assert stored(workspace)["providers"]["claude"] == {**claude, "model": "claude-y", "api_key": None}
    assert ask("provider", "set", "--name", "local_ollama", "--base-url", "").code == 0
    assert stored(workspace)["providers"]["local_ollama"]["base_url"] is None
    ask("provider", "set", "--remove", "claude").refuses(2, "active names 'claude'")
    assert ask("provider", "set", "--remove", "claude", "--active", "local_ollama").code == 0
    assert set(stored(workspace)["providers"]) == {"local_ollama"}
    assert stat.S_IMODE((workspace / ".orch_data" / "ops" / "provider.json").stat().st_mode) == 0o600
    told = [row for row in ask.json("evidence", "list", "--limit", "100") if row["kind"] == "provider.set"]
    assert len(told) == 4


def test_a_file_says_what_is_to_change_and_what_show_said_can_be_given_back(
    ask: Door, workspace: Path, tmp_path: Path
) -> None:
    given = tmp_path / "given.json"
    given.write_text(json.dumps({"providers": {"a": {**OLLAMA, "api_key": "sk-literal-0123456789"}}, "active": "a"}))
    done = ask("provider", "set", "--file", str(given))
    assert done.code == 0
    assert "warning: the key of a stands in the file" in done.err
    shown = ask("--json", "provider", "show")
    assert "sk-literal" not in shown.out + shown.err
    given.write_text(shown.out)
    assert ask("provider", "set", "--file", str(given)).code == 0
    assert stored(workspace)["providers"]["a"]["api_key"] == "sk-literal-0123456789"


def test_standard_input_is_a_file_too(workspace: Path) -> None:
    script = "import sys; from interlock.cli.main import main; sys.exit(main(sys.argv[1:]))"
    given = '{"active": "local_ollama", "providers": {"local_ollama": {"model": "llama3"}}}'
    done = python(
        f"import io, sys; sys.stdin = io.TextIOWrapper(io.BytesIO({given.encode()!r})); {script}",
        "provider",
        "set",
        "--file",
        "-",
        at=workspace,
    )
    assert done.returncode == 0, done
    assert stored(workspace)["providers"]["local_ollama"]["model"] == "llama3"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "nothing is to be changed"),
        (["--active", "gone"], "active names 'gone'"),
        (["--name", "a"], "--name goes with"),
        (["--model", "m"], "--name goes with"),
        (["--name", "a", "--model", "m"], "providers.a has no type"),
        (["--name", "a", "--type", "anthropic"], "model should be"),
        (["--name", "a/b", "--type", "anthropic", "--model", "m"], "no name for a provider"),
        (["--remove", "gone"], "no provider 'gone'"),
        (["--file", "/nonexistent"], "can not be read"),
        (["--file", "/nonexistent", "--active", "a"], "--file says everything"),
        (["--name", "local_ollama", "--api-key-env", "sk-1234567890abcdef"], "the name of a variable, not a key"),
        (["--name", "local_ollama", "--api-key-env", "lower"], "api_key is neither"),
        (["--name", "local_ollama", "--api-key-env", "ORCH_TOKEN"], "Interlock's own"),
        (["--name", "local_ollama", "--api-key-env", "A", "--no-api-key"], "exclude each other"),
        (["--name", "local_ollama", "--base-url", "http://169.254.169.254/"], "link-local"),
        (["--name", "local_ollama", "--base-url", "http://a:b@host/"], "credentials"),
    ],
)
def test_what_can_not_be_set_is_refused_and_nothing_is_written(
    ask: Door, workspace: Path, words: list[str], told: str
) -> None:
    before = stored(workspace), ask.log_size()
    done = ask("provider", "set", *words)
    done.refuses(2, told)
    assert "sk-1234567890abcdef" not in done.err
    assert (stored(workspace), ask.log_size()) == before


def test_a_key_is_no_option(ask: Door) -> None:
    ask("provider", "set", "--name", "a", "--api-key", "sk-1").refuses(2, "--api-key")


def test_a_version_that_was_seen_before_is_refused(ask: Door, workspace: Path) -> None:
    seen = ask.json("provider", "show")["version"]
    assert ask("provider", "set", "--name", "local_ollama", "--model", "llama3", "--version", seen).code == 0
    ask("provider", "set", "--name", "local_ollama", "--model", "llama4", "--version", seen).refuses(
        4, "[provider_configuration_changed]"
    )
    assert stored(workspace)["providers"]["local_ollama"]["model"] == "llama3"


def test_an_agent_does_not_change_the_providers(ask: Door, workspace: Path) -> None:
    ask("--as", "agent:r_1", "provider", "set", "--active", "local_ollama").refuses(4, "[human_needed]")
    assert ask("--as", "agent:r_1", "provider", "show").code == 0
    assert stored(workspace)["active"] == "local_ollama"


def test_what_a_model_wrote_is_shown_with_what_an_approval_would_freeze(ask: Door, server: ModelServer) -> None:
    use(ask, server)
    shown = ask.json("draft", "generate", "--prompt", "sweep", "--context", '{"floor": "oak"}')
    assert (shown["status"], shown["content"], shown["provider"]) == ("draft", WRITTEN, "here")
    assert shown["context"] == {"floor": "oak"}
    assert shown["generated"]["model"] == "tidy-7b"
    assert shown["digest"].startswith("sha256:")
    lines = ask("draft", "show", shown["id"]).out
    assert "content     1. Sweep." in lines
    assert ask("draft", "approve", shown["id"], "--digest", shown["digest"]).code == 0
    assert ask("windows", "verify").code == 0


def test_a_draft_s_window_says_how_it_was_generated(ask: Door, server: ModelServer, workspace: Path) -> None:
    use(ask, server)
    shown = ask.json("draft", "generate", "--prompt", "sweep")
    window = json.loads((workspace / ".orch_data" / "ops" / "drafts" / f"{shown['id']}.json").read_bytes())
    assert (window["provider"], window["generated"]) == ("here", shown["generated"])


@pytest.mark.parametrize(
    ("status", "failure"), [(500, (1, "provider_failed")), (429, (1, "provider_failed")), (0, (5, "provider_timeout"))]
)
def test_a_failure_names_the_draft_in_error_and_its_window_is_there(
    ask: Door, server: ModelServer, monkeypatch: pytest.MonkeyPatch, status: int, failure: tuple[int, str]
) -> None:
    use(ask, server)
    code, word = failure
    monkeypatch.setenv("INTERLOCK_PROVIDERS_TIMEOUT_SECONDS", "1")
    server.behaviour = saying({"error": {"message": "no, no"}}, status) if status else hang
    done = ask("draft", "generate", "--prompt", "sweep")
    (draft,) = ask.json("draft", "list")
    done.refuses(code, f"[{word}]", draft["id"], "edit or reject it")
    window = json.loads((ask.root / ".orch_data" / "ops" / "drafts" / f"{draft['id']}.json").read_bytes())
    assert window["status"] == draft["status"] == "error"
    assert window["error"] in done.err
    assert ask("windows", "verify").code == 0


def test_generate_wants_a_prompt(ask: Door) -> None:
    ask("draft", "generate").refuses(2, "--prompt")
    ask("draft", "generate", "--prompt", "").refuses(2, "empty")
    ask("draft", "generate", "--prompt", "x", "--context", "[]").refuses(2, "--context")


def test_check_lists_every_provider_and_fails_if_the_active_one_is_down(ask: Door, server: ModelServer) -> None:
    done = ask("--json", "provider", "check")
    assert done.code == 5
    assert json.loads(done.out)[0]["reason"] == "offline"
    use(ask, server)
    found = {each["id"]: each["status"] for each in ask.json("provider", "check")}
    assert found == {"here": "ok", "local_ollama": "down"}
    assert ask("provider", "check").out.splitlines()[1].startswith("here\tok\t")


def test_looking_at_providers_loads_no_client_library(workspace: Path) -> None:
    script = (
        "import sys; from interlock.cli.main import main; code = main(sys.argv[1:]);"
        "heavy = {'openai', 'anthropic', 'google.genai', 'httpx2', 'fastapi', 'pydantic', 'cryptography', 'psycopg'};"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr); sys.exit(code)"
    )
    done = python(script, "provider", "show", at=workspace)
    assert (done.returncode, done.stderr.strip()) == (0, "[]")
    assert "INTERLOCK_WORKSPACE" not in os.environ
