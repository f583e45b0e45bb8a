"""`provider.json`: read strictly, changed whole, told once, and never shown with a key in it."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import stat
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from interlock.access.errors import HumanNeeded
from interlock.app import Interlock
from interlock.kernel.errors import InterlockError, Invalid, Unreachable
from interlock.providers.configuration import Configuration
from interlock.providers.errors import (
    ConfigurationBusy,
    ConfigurationChanged,
    ConfigurationInvalid,
    ConfigurationMissing,
    ConfigurationUnsafe,
    ConfigurationUnwritten,
    ProviderExtraMissing,
)
from interlock.providers.merging import MAX_BYTES
from interlock.providers.models import EXTRA, ProviderType
from interlock.workspace.service import make_files
from tests.conftest import ALICE, BOB, ROBOT, WORKER
from tests.providers.conftest import events, inside
from tests.providers.model_server import write

LITERAL = "sk-literal-0123456789abcdef"
OLLAMA = {
    "type": "openai_compat",
    "model": "qwen2.5-coder:7b",
    "base_url": "http://localhost:11434/v1",
    "api_key": None,
}
OPENAI = {"type": "openai_compat", "model": "gpt-x", "base_url": None, "api_key": "${OPENAI_KEY}"}
CLAUDE = {"type": "anthropic", "model": "claude-x", "base_url": None, "api_key": LITERAL}
BOTH = {"active": "ollama", "providers": {"ollama": OLLAMA, "claude": CLAUDE}}


def stored(rooms: Interlock) -> Any:  # noqa: ANN401 - JSON of any shape
    return json.loads((rooms.layout.ops / "provider.json").read_bytes())


def file_of(rooms: Interlock) -> Path:
    return rooms.layout.ops / "provider.json"


# --- reading ----------------------------------------------------------------------------------------------------------


def test_what_a_new_workspace_is_given_is_right(rooms: Interlock) -> None:
    for _ in make_files(rooms.layout, ""):
        pass
    shown = rooms.providers.show()
    assert shown.config.shown() == {"active": "local_ollama", "providers": {"local_ollama": OLLAMA}}
    assert shown.warnings == ()
    assert stat.S_IMODE(file_of(rooms).stat().st_mode) == 0o600


def test_a_key_is_shown_as_where_it_comes_from_or_hidden_and_never_as_it_is(rooms: Interlock) -> None:
    write(rooms.layout, {"active": "a", "providers": {"a": OLLAMA, "b": OPENAI, "c": CLAUDE}})
    found = rooms.providers.show()
    providers: Any = found.config.shown()["providers"]
    assert [providers[name]["api_key"] for name in "abc"] == [None, "${OPENAI_KEY}", "***"]
    assert LITERAL not in repr(found) + repr(found.config.providers["c"])
    assert [warning for warning in found.warnings if "the key of c stands in the file" in warning]


def test_a_key_sent_unencrypted_to_another_machine_is_warned_about(rooms: Interlock) -> None:
    far, near = {**OPENAI, "base_url": "http://10.0.0.9/v1"}, {**OPENAI, "base_url": "http://127.0.0.1:1/v1"}
    write(rooms.layout, {"active": "far", "providers": {"far": far, "near": near, "home": OPENAI}})
    assert rooms.providers.show().warnings == ("far sends its key unencrypted to 10.0.0.9",)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON: .*line 1 column 2"),
        (b"\xff{}", "UTF-8"),
        (b"[" * 60_000, "nested too deeply"),
        (b" " * (MAX_BYTES + 1), "larger than 65536"),
        (b"[]", "should be a JSON object"),
        (b"null", "should be a JSON object"),
        (b"{}", "providers should be a JSON object"),
        (b'{"active": "a", "active": "b"}', "stands twice"),
        ({"active": "a", "providers": {}}, "1 to 32"),
        ({"active": "a", "providers": {f"p{n}": OLLAMA for n in range(33)}}, "1 to 32"),
        ({"active": "b", "providers": {"a": OLLAMA}}, "active names 'b'; there are a"),
        ({"active": None, "providers": {"a": OLLAMA}}, "active names nothing"),
        ({"providers": {"a": OLLAMA}}, "active names nothing"),
        ({**BOTH, "fallback": "x", "Active": "y"}, "unknown 'Active', 'fallback'"),
        ({"active": "a", "providers": {"a": {**OLLAMA, "baseurl": "x"}}}, "providers.a has the unknown 'baseurl'"),
        ({"active": "a", "providers": {"a": [OLLAMA]}}, "providers.a should be a JSON object"),
        ({"active": "a", "providers": {"a": {**OLLAMA, "type": "openai"}}}, "type is 'openai'; it is one of"),
        ({"active": "a", "providers": {"a": {**OLLAMA, "type": ["x"]}}}, "type is"),
        ({"active": "a", "providers": {"a": {"model": "x"}}}, "providers.a has no type"),
        ({"active": "a", "providers": {"a": {**OLLAMA, "model": ""}}}, "model should be"),
        ({"active": "a", "providers": {"a": {**OLLAMA, "model": "../x"}}}, "model should be"),
        ({"active": "a", "providers": {"a": {**OLLAMA, "model": "a/../x"}}}, "model should be"),
        ({"active": "a", "providers": {"a": {**OLLAMA, "model": "m\r\nx"}}}, "model should be"),
        ({"active": "a", "providers": {"a": {**OLLAMA, "model": 7}}}, "model should be"),
        ({"active": "a", "providers": {"a": {**OLLAMA, "base_url": 7}}}, "base_url should be a text or null"),
        ({"active": "a", "providers": {"a": {**OLLAMA, "base_url": ""}}}, "providers.a.base_url"),
        ({"active": "a", "providers": {"a": {**OLLAMA, "api_key": 7}}}, "api_key should be a text or null"),
        ({"active": "a", "providers": {"a": {**OLLAMA, "api_key": ""}}}, "api_key is neither"),
        ({"active": "a", "providers": {"a": {**OLLAMA, "api_key": "${name}"}}}, "api_key is neither"),
        ({"active": "a", "providers": {"a": {**OLLAMA, "api_key": "$NAME"}}}, "api_key is neither"),
        ({"active": "a", "providers": {"a": {**OLLAMA, "api_key": "${A}${B}"}}}, "api_key is neither"),
        ({"active": "a", "providers": {"a": {**OLLAMA, "api_key": "sk\r\nX-Evil: 1"}}}, "api_key is neither"),
        ({"active": "a", "providers": {"a": {**OLLAMA, "api_key": "clé"}}}, "api_key is neither"),
        ({"active": "a", "providers": {"a": {**OLLAMA, "api_key": "***"}}}, "stands for the key that is there"),
        ({"active": "a", "providers": {"a": {**OLLAMA, "api_key": "${ORCH_TOKEN}"}}}, "ORCH_TOKEN, .*own"),
        ({"active": "a", "providers": {"a": {**OLLAMA, "api_key": "${INTERLOCK_DATABASE_URL}"}}}, "own"),
        ({"active": "a b", "providers": {"a b": OLLAMA}}, "no name for a provider"),
        ({"active": "../a", "providers": {"../a": OLLAMA}}, "no name for a provider"),
        ({"active": "a", "providers": {"a": OLLAMA, "": OLLAMA}}, "no name for a provider"),
    ],
)
def test_a_file_that_is_not_right_is_refused_with_its_place(rooms: Interlock, data: object, told: str) -> None:
    path = write(rooms.layout, data)
    with pytest.raises(ConfigurationInvalid, match=told) as refused:
        rooms.providers.show()
    assert str(path) in refused.value.message
    assert refused.value.hint


def test_no_error_about_a_file_repeats_a_key(rooms: Interlock) -> None:
    for broken in (
        json.dumps(BOTH).replace(LITERAL, LITERAL + " x"),
        json.dumps(BOTH).replace("claude-x", "../x"),
        json.dumps(BOTH).replace('"active"', '"aktive"'),
        json.dumps(BOTH)[:-3],
        json.dumps(BOTH).replace('"api_key": null', f'"api_key": "{LITERAL}", "api_key": null'),
    ):
        write(rooms.layout, broken.encode())
        with pytest.raises(ConfigurationInvalid) as refused:
            rooms.providers.show()
        assert LITERAL not in refused.value.message + refused.value.hint


def test_a_file_that_is_missing_is_not_found(rooms: Interlock) -> None:
    with pytest.raises(ConfigurationMissing):
        rooms.providers.show()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644])
def test_a_file_with_a_key_that_others_may_read_or_write_is_not_used(rooms: Interlock, mode: int) -> None:
    write(rooms.layout, BOTH, mode)
    with pytest.raises(ConfigurationUnsafe, match="open to others") as refused:
        rooms.providers.show()
    assert "chmod 600" in refused.value.hint
    with pytest.raises(ConfigurationUnsafe):
        rooms.providers.generate(ALICE, "sweep")
    write(rooms.layout, {"active": "a", "providers": {"a": OPENAI}}, mode)
    assert rooms.providers.show().config.active == "a"  # no key, no secret


def test_what_is_no_file_of_its_own_is_not_read(rooms: Interlock, tmp_path: Path) -> None:
    path = file_of(rooms)
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text(json.dumps(BOTH))
    path.symlink_to(elsewhere)
    with pytest.raises(ConfigurationUnsafe, match="symbolic link"):
        rooms.providers.show()
    path.unlink()
    path.mkdir()
    with pytest.raises(ConfigurationUnsafe):
        rooms.providers.show()
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(ConfigurationUnsafe, match="not a file"):
        rooms.providers.show()


# --- changing ---------------------------------------------------------------------------------------------------------


def test_setting_what_was_shown_changes_nothing_and_keeps_the_keys(rooms: Interlock) -> None:
    write(rooms.layout, {"active": "a", "providers": {"a": OLLAMA, "b": OPENAI, "c": CLAUDE}})
    before = file_of(rooms).read_bytes()
    shown = rooms.providers.show()
    after = rooms.providers.set(ALICE, dict(shown.config.shown()), seen_version=shown.version)
    assert file_of(rooms).read_bytes() == before
    assert after.version == shown.version
    assert events(rooms) == []


def test_only_active_may_be_named(rooms: Interlock) -> None:
    write(rooms.layout, BOTH)
    assert rooms.providers.set(ALICE, {"active": "claude"}).config.active == "claude"
    assert stored(rooms) == {**BOTH, "active": "claude"}


def test_a_body_that_names_nothing_changes_nothing(rooms: Interlock) -> None:
    write(rooms.layout, BOTH)
    rooms.providers.set(ALICE, {})
    assert stored(rooms) == BOTH
    assert events(rooms) == []


def test_an_unknown_active_is_refused_and_nothing_is_written(rooms: Interlock) -> None:
    write(rooms.layout, BOTH)
    bodies: list[Any] = [{"active": "gone"}, {"providers": {"claude": {}}}, {"active": None}, {"active": 7}]
    for body in bodies:
        with pytest.raises(ConfigurationInvalid, match="active names"):
            rooms.providers.set(ALICE, body)
    assert stored(rooms) == BOTH
    assert events(rooms) == []


def test_of_a_provider_that_is_there_what_is_left_out_stays_and_null_takes_a_key_away(rooms: Interlock) -> None:
    write(rooms.layout, BOTH)
    rooms.providers.set(ALICE, {"providers": {"ollama": {"model": "llama3"}, "claude": {"model": "claude-y"}}})
    assert stored(rooms)["providers"] == {
        "ollama": {**OLLAMA, "model": "llama3"},
        "claude": {**CLAUDE, "model": "claude-y"},
    }
    rooms.providers.set(ALICE, {"providers": {"ollama": {}, "claude": {"api_key": "***", "model": "claude-z"}}})
    assert stored(rooms)["providers"]["claude"] == {**CLAUDE, "model": "claude-z"}
    rooms.providers.set(ALICE, {"providers": {"ollama": {}, "claude": {"api_key": None}}})
    assert stored(rooms)["providers"]["claude"]["api_key"] is None


def test_providers_that_are_not_named_are_taken_away(rooms: Interlock) -> None:
    write(rooms.layout, BOTH)
    rooms.providers.set(ALICE, {"providers": {"ollama": {}}})
    assert stored(rooms) == {"active": "ollama", "providers": {"ollama": OLLAMA}}


@pytest.mark.parametrize(
    "moved",
    [
        {"base_url": "https://evil.example/v1"},
        {"base_url": "https://evil.example/v1", "api_key": "***"},
        {"base_url": "http://api.anthropic.com", "api_key": "***"},
        {"base_url": "https://api.anthropic.com:444", "api_key": "***"},
        {"type": "gemini", "api_key": "***"},
        {"type": "gemini"},
    ],
)
def test_a_key_does_not_follow_its_provider_to_another_address(rooms: Interlock, moved: dict[str, Any]) -> None:
    write(rooms.layout, BOTH)
    with pytest.raises(ConfigurationInvalid, match="another address") as refused:
        rooms.providers.set(ALICE, {"providers": {"ollama": {}, "claude": moved}})
    assert LITERAL not in refused.value.message
    assert stored(rooms) == BOTH
    rooms.providers.set(ALICE, {"providers": {"ollama": {}, "claude": {**moved, "api_key": "${NEW}"}}})
    assert stored(rooms)["providers"]["claude"]["api_key"] == "${NEW}"


def test_a_key_stays_where_only_the_path_changes(rooms: Interlock) -> None:
    write(rooms.layout, BOTH)
    rooms.providers.set(ALICE, {"providers": {"ollama": {}, "claude": {"base_url": "https://api.anthropic.com:443/x"}}})
    assert stored(rooms)["providers"]["claude"]["api_key"] == LITERAL


def test_a_reference_does_not_follow_unsaid_either(rooms: Interlock) -> None:
    write(rooms.layout, {"active": "a", "providers": {"a": OPENAI}})
    with pytest.raises(ConfigurationInvalid, match="another address"):
        rooms.providers.set(ALICE, {"providers": {"a": {"base_url": "https://evil.example"}}})


def test_a_version_that_was_not_seen_is_refused(rooms: Interlock) -> None:
    write(rooms.layout, BOTH)
    seen = rooms.providers.show().version
    now = rooms.providers.set(BOB, {"active": "claude"}, seen_version=seen).version
    assert now != seen
    with pytest.raises(ConfigurationChanged):
        rooms.providers.set(ALICE, {"active": "claude"}, seen_version=seen)
    file_of(rooms).unlink()
    with pytest.raises(ConfigurationChanged):
        rooms.providers.set(ALICE, BOTH, seen_version=now)


def test_a_version_names_what_is_said_and_no_secret(rooms: Interlock) -> None:
    write(rooms.layout, BOTH)
    before = rooms.providers.show().version
    write(rooms.layout, json.dumps(BOTH, indent=7).replace(LITERAL, "sk-another-literal-key").encode())
    assert rooms.providers.show().version == before
    write(rooms.layout, {**BOTH, "active": "claude"})
    assert rooms.providers.show().version != before


@pytest.mark.parametrize("actor", [ROBOT, WORKER], ids=["agent", "service"])
def test_only_a_human_changes_the_providers(rooms: Interlock, actor: Any) -> None:  # noqa: ANN401 - an actor
    write(rooms.layout, BOTH)
    with pytest.raises(HumanNeeded, match="change the providers"):
        rooms.providers.set(actor, {"active": "claude"})
    assert stored(rooms) == BOTH


def test_a_type_whose_client_is_not_installed_is_refused_with_what_to_install(rooms: Interlock) -> None:
    configuration = without(rooms, ProviderType.GEMINI)
    write(rooms.layout, BOTH)
    with pytest.raises(ProviderExtraMissing, match="g is of type gemini") as refused:
        configuration.change(ALICE, {"providers": {"ollama": {}, "g": {"type": "gemini", "model": "g-x"}}})
    assert refused.value.hint == "pip install 'interlock[gemini]'"
    assert stored(rooms) == BOTH
    assert not {"intent.json"} & {path.name for path in rooms.layout.state.rglob("*")}
    there = {"active": "g", "providers": {"g": {"type": "gemini", "model": "g-x"}, "ollama": OLLAMA}}
    write(rooms.layout, there)
    configuration.change(ALICE, {"active": "ollama"})  # what stood there before is no obstacle


def test_every_extra_is_one_of_ours_and_installed_here(rooms: Interlock) -> None:
    assert all(rooms.providers.configuration.installed(kind) for kind in ProviderType)
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert all(f"\n{extra} = [" in text for _, extra in EXTRA.values())


def test_a_file_that_can_not_be_read_is_mended_by_one_that_says_everything(rooms: Interlock) -> None:
    write(rooms.layout, b"{broken")
    with pytest.raises(ConfigurationInvalid):
        rooms.providers.set(ALICE, {"active": "ollama"})
    with pytest.raises(ConfigurationInvalid, match="stands for the key that is there"):
        rooms.providers.set(ALICE, {"active": "a", "providers": {"a": {**OLLAMA, "api_key": "***"}}})
    rooms.providers.set(ALICE, BOTH)
    assert stored(rooms) == BOTH
    file_of(rooms).unlink()
    rooms.providers.set(ALICE, BOTH)
    assert stored(rooms) == BOTH


def test_what_is_written_is_for_its_owner_alone_whatever_stood_there(rooms: Interlock) -> None:
    write(rooms.layout, {"active": "a", "providers": {"a": OPENAI}}, 0o644)
    before = os.umask(0)
    try:
        rooms.providers.set(ALICE, {"providers": {"a": {"model": "gpt-y"}}})
    finally:
        os.umask(before)
    assert stat.S_IMODE(file_of(rooms).stat().st_mode) == 0o600


# --- what is told -----------------------------------------------------------------------------------------------------


def test_a_change_is_one_event_with_digests_and_no_secret(rooms: Interlock) -> None:
    write(rooms.layout, BOTH)
    before = rooms.providers.show().version
    new = "sk-another-literal-key-000000"
    body = {
        "active": "claude",
        "providers": {"claude": {"api_key": new}, "g": {"type": "gemini", "model": "g-x", "api_key": "${G_KEY}"}},
    }
    after = rooms.providers.set(ALICE, body)
    (event,) = events(rooms)
    assert (event["kind"], event["subject"], event["principal"]) == ("provider.set", "provider", "human:alice")
    assert event["correlation_id"] == "test-1"
    assert event["payload"] == {
        "before_digest": before,
        "digest": after.version,
        "active": "claude",
        "changed": ["active", "providers.claude.api_key", "providers.g", "providers.ollama"],
        "told_for": None,
    }
    assert event["key"].startswith("provider:")
    for path, data in inside(rooms.layout.root).items():
        assert path == file_of(rooms) or (new.encode() not in data and LITERAL.encode() not in data), path


def test_another_literal_key_is_an_event_although_the_version_stays(rooms: Interlock) -> None:
    write(rooms.layout, BOTH)
    rooms.providers.set(ALICE, {"providers": {"ollama": {}, "claude": {"api_key": "sk-another-literal-key"}}})
    (event,) = events(rooms)
    assert event["payload"]["changed"] == ["providers.claude.api_key"]
    assert event["payload"]["before_digest"] == event["payload"]["digest"]


# --- where it breaks --------------------------------------------------------------------------------------------------


def without(rooms: Interlock, missing: ProviderType | None = None, **more: Any) -> Configuration:  # noqa: ANN401 - any field
    """Return the same configuration with something else about it."""
    installed: Callable[[ProviderType], bool] = lambda kind: kind is not missing  # noqa: E731 - it has a type this way
    return replace(rooms.providers.configuration, **{"installed": installed, **more})


def killed(rooms: Interlock, at: str, body: Any = None) -> None:  # noqa: ANN401 - JSON of any shape
    """Change the providers in a process that is killed at a point, or when it is about to rename the file."""
    root = rooms.layout.root
    rooms.database.close()

    def probe(point: str) -> None:
        if point == at:
            os.kill(os.getpid(), signal.SIGKILL)

    def deed() -> None:
        mine = Interlock.at(root)
        if at == "renaming":
            rename = Path.replace

            def kill(path: Path, target: Any) -> Path:  # noqa: ANN401 - the library's own
                if Path(target).name == "provider.json":
                    os.kill(os.getpid(), signal.SIGKILL)
                return rename(path, target)

            Path.replace = kill  # pyright: ignore[reportAttributeAccessIssue] - in this process only, which ends
        without(mine, probe=probe).change(ALICE, body or {"active": "claude"})

    process = multiprocessing.get_context("fork").Process(target=deed)
    process.start()
    process.join(20)
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("at", ["intended", "renaming"])
def test_killed_before_the_file_changed_nothing_was_done_and_nothing_is_told(rooms: Interlock, at: str) -> None:
    write(rooms.layout, BOTH)
    killed(rooms, at, {"providers": {"ollama": {}, "claude": {"api_key": "sk-a-new-literal-key"}}})
    assert stored(rooms) == BOTH
    assert rooms.catch_up(BOB) == ()
    assert events(rooms, "provider") == []
    left = [path.name for path in rooms.layout.root.rglob("*") if path.is_file() and b"sk-a-new" in path.read_bytes()]
    assert left == []
    assert not list(rooms.layout.state.glob("provider/*.json"))


@pytest.mark.parametrize("at", ["written", "told"])
def test_killed_after_the_file_changed_it_is_told_once_for_who_did_it(rooms: Interlock, at: str) -> None:
    write(rooms.layout, BOTH)
    before = rooms.providers.show().version
    killed(rooms, at)
    assert stored(rooms)["active"] == "claude"
    for _ in range(2):
        assert rooms.catch_up(BOB) == ()
    (event,) = events(rooms, "provider")
    assert (event["payload"]["before_digest"], event["payload"]["digest"]) == (before, rooms.providers.show().version)
    teller = "human:bob" if at == "written" else "human:alice"
    assert (event["principal"], event["payload"]["told_for"]) == (
        teller,
        "human:alice" if at == "written" else None,
    )
    assert not list(rooms.layout.state.glob("provider/*.json"))


def test_killed_with_the_file_edited_by_hand_since_nothing_false_is_told(rooms: Interlock) -> None:
    write(rooms.layout, BOTH)
    killed(rooms, "written")
    write(rooms.layout, {"active": "ollama", "providers": {"ollama": {**OLLAMA, "model": "by-hand"}}})
    rooms.catch_up(BOB)
    assert events(rooms, "provider") == []
    assert not list(rooms.layout.state.glob("provider/*.json"))


def test_the_next_change_completes_the_one_before_first(rooms: Interlock) -> None:
    write(rooms.layout, BOTH)
    killed(rooms, "written")
    rooms.providers.set(BOB, {"active": "ollama"})
    first, second = events(rooms, "provider")
    assert (first["payload"]["active"], second["payload"]["active"]) == ("claude", "ollama")
    assert first["payload"]["digest"] == second["payload"]["before_digest"]


def test_an_intent_that_is_none_is_put_aside(rooms: Interlock) -> None:
    write(rooms.layout, BOTH)
    rooms.providers.set(ALICE, {"active": "claude"})
    folder = rooms.layout.state / "provider"
    for data in (b"{", b"[]", b"{}", b'{"key": "k", "payload": {"x": 1}, "after": "", "by": ""}'):
        (folder / "intent.json").write_bytes(data)
        rooms.providers.set(ALICE, {"active": "ollama" if stored(rooms)["active"] == "claude" else "claude"})
        assert (folder / "intent.unreadable").read_bytes() == data
    assert len(events(rooms, "provider")) == 5


class _Away(Unreachable):
    """The database is away."""


def test_where_the_log_can_not_be_opened_the_file_stays_as_it_was(rooms: Interlock) -> None:
    write(rooms.layout, BOTH)

    def away(_: object) -> Any:  # noqa: ANN401 - it never returns
        raise _Away

    with pytest.raises(_Away):
        without(rooms, log=away).change(ALICE, {"active": "claude"})
    assert stored(rooms) == BOTH
    rooms.catch_up(ALICE)
    assert events(rooms, "provider") == []


def test_where_the_log_fails_after_the_file_was_written_that_is_said_and_told_later(rooms: Interlock) -> None:
    write(rooms.layout, BOTH)

    @contextmanager
    def failing(actor: Any) -> Any:  # noqa: ANN401 - a context
        with rooms.database.write(actor) as transaction:
            yield transaction.emit
            raise _Away

    done = without(rooms, log=failing).change(ALICE, {"active": "claude"})
    assert done.config.active == "claude"
    assert [warning for warning in done.warnings if "not yet logged" in warning]
    assert events(rooms, "provider") == []
    rooms.catch_up(ALICE)
    (event,) = events(rooms, "provider")
    assert event["payload"]["told_for"] is None


def test_a_folder_that_can_not_be_written_leaves_everything_as_it_was(
    rooms: Interlock, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(rooms.layout, BOTH)
    rename = Path.replace

    def full(path: Path, target: Any) -> Path:  # noqa: ANN401 - the library's own
        if Path(target).name == "provider.json":
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ConfigurationUnwritten, match="No space left"):
        rooms.providers.set(ALICE, {"active": "claude"})
    assert stored(rooms) == BOTH
    assert events(rooms, "provider") == []
    assert not list(rooms.layout.state.glob("provider/*.json"))
    assert not list(rooms.layout.ops.glob(".provider.json*"))


# --- several at once --------------------------------------------------------------------------------------------------


def _add(root: Path, who: str, count: int) -> None:
    rooms = Interlock.at(root)
    for number in range(count):
        while True:
            seen = rooms.providers.show()
            providers: Any = dict(seen.config.shown())["providers"]
            body = {"providers": {**providers, f"{who}{number}": {**OLLAMA, "api_key": f"sk-{who}-{number:016}"}}}
            try:
                rooms.providers.set(ALICE, body, seen_version=seen.version)
            except ConfigurationChanged:
                continue
            break


def test_writers_at_once_lose_nothing_and_a_reader_always_sees_a_whole_file(rooms: Interlock) -> None:
    write(rooms.layout, BOTH)
    rooms.database.close()
    writers = [
        multiprocessing.get_context("fork").Process(target=_add, args=(rooms.layout.root, who, 8)) for who in "xyz"
    ]
    for writer in writers:
        writer.start()
    looks = 0
    while any(writer.is_alive() for writer in writers):
        rooms.providers.show()
        looks += 1
    for writer in writers:
        writer.join(30)
        assert writer.exitcode == 0
    assert looks > 10
    keys = {name: entry["api_key"] for name, entry in stored(rooms)["providers"].items()}
    assert keys == {
        "ollama": None,
        "claude": LITERAL,
        **{f"{who}{number}": f"sk-{who}-{number:016}" for who in "xyz" for number in range(8)},
    }
    told = events(rooms, "provider")
    assert len(told) == 24
    for before, after in pairwise(told):
        assert before["payload"]["digest"] == after["payload"]["before_digest"]


def test_who_waits_too_long_for_another_writer_is_told_so(rooms: Interlock, monkeypatch: pytest.MonkeyPatch) -> None:
    write(rooms.layout, BOTH)
    configuration = rooms.providers.configuration
    monkeypatch.setattr("interlock.providers.configuration._PATIENCE_SECONDS", 0.05)
    with configuration._locked():  # pyright: ignore[reportPrivateUsage] - another writer
        with pytest.raises(ConfigurationBusy):
            without(rooms).change(ALICE, {"active": "claude"})
        assert rooms.providers.show().config.active == "ollama"
        (rooms.layout.state / "provider" / "intent.json").write_text("{}")
        assert configuration.complete(ALICE) == ()  # somebody is at it


def test_every_refusal_of_a_configuration_is_one_of_ours(rooms: Interlock) -> None:
    write(rooms.layout, BOTH)
    bodies: list[Any] = [{"providers": 7}, {"providers": {"a": 7}}, {"x": 1}, {"providers": {"a": {"type": {}}}}]
    for body in bodies:
        with pytest.raises(InterlockError) as refused:
            rooms.providers.set(ALICE, body)
        assert isinstance(refused.value, Invalid)
