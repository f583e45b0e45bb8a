"""Settings: typed, named with file and key when they are wrong, overridden by the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from interlock.settings import SettingsInvalid, load
from tests.cli.door import Door


def written(folder: Path, text: str) -> Path:
    (folder / "interlock.toml").write_text(text, encoding="utf-8")
    return folder


def test_without_a_file_everything_has_its_default(tmp_path: Path) -> None:
    settings = load(tmp_path, {})
    assert settings.queue.lease_seconds == 20
    assert settings.database_url() == ""
    assert settings.approval_options().expires_after_seconds == 7 * 24 * 3600


def test_each_type_of_setting_is_read_from_the_file(tmp_path: Path) -> None:
    text = """
        database.url = "postgresql://h/d"
        approval.expires_after_seconds = 0
        queue.backoff_seconds = [1, 2]
        agent = {command = "sh -c 'a b'", checks = ["make test"], environment = ["CI"]}
        limits.disk_bytes = 5
        worker.concurrency = 7
    """
    settings = load(written(tmp_path, text), {})
    options = settings.approval_options()
    assert settings.database_url() == "postgresql://h/d"
    assert options.expires_after_seconds is None
    assert settings.queue.backoff_seconds == (1, 2)
    assert options.defaults.command == ("sh", "-c", "a b")
    assert (options.defaults.checks, options.defaults.environment) == ((("make", "test"),), ("CI",))
    assert options.defaults.limits.disk_bytes == 5
    assert settings.worker.concurrency == 7


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[queue]\nleese_seconds = 1", ["[queue]", "leese_seconds", "lease_seconds"]),
        ("[kueue]\nx = 1", ["[kueue]", "queue"]),
        ("lease_seconds = 1", ["lease_seconds"]),
        ('[queue]\nlease_seconds = "20"', ["[queue] lease_seconds", "a whole number", "'20'"]),
        ("[queue]\nlease_seconds = 1.5", ["[queue] lease_seconds", "a whole number"]),
        ("[queue]\nlease_seconds = true", ["[queue] lease_seconds", "a whole number"]),
        ("[queue]\nbackoff_seconds = []", ["[queue] backoff_seconds", "a list of whole numbers"]),
        ('[queue]\nbackoff_seconds = ["1"]', ["[queue] backoff_seconds", "a list of whole numbers"]),
        ("[agent]\nchecks = [1]", ["[agent] checks", "a list of texts"]),
        ("[agent]\ncommand = 1", ["[agent] command", "a text"]),
        ("[queue\n", ["line 1"]),
        ("[queue]\nlease_seconds = 1\nlease_seconds = 2", ["Cannot overwrite a value"]),
    ],
)
def test_what_is_wrong_in_the_file_is_named_with_file_and_key(ask: Door, text: str, told: list[str]) -> None:
    written(ask.root, text)
    ask("draft", "list").refuses(2, str(ask.root / "interlock.toml"), *told)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[agent]\ncommand = "say \'hello"', "command"),
        ('[agent]\nchecks = [""]', "checks"),
        ('[agent]\nenvironment = ["A=B"]', "environment"),
        ("[limits]\nwall_clock_seconds = 0", "wall_clock_seconds"),
        ("[limits]\ndisk_bytes = -1", "disk_bytes"),
        ("[queue]\nlease_seconds = 0", "lease_seconds"),
        ("[queue]\nlease_seconds = -5", "lease_seconds"),
        ("[queue]\nmax_attempts = 0", "max_attempts"),
        ("[queue]\nbackoff_seconds = [-1]", "backoff_seconds"),
        ("[approval]\nexpires_after_seconds = -1", "expires_after_seconds"),
        ("[approval]\nexpires_after_seconds = 300000000000", "expires_after_seconds"),
        ("[approval]\nmax_text_bytes = 0", "max_text_bytes"),
        ('[worker]\nvisible = ["bin"]', "visible"),
        ("[worker]\nconcurrency = 0", "concurrency"),
        ("[worker]\nconcurrency = -1", "concurrency"),
        ("[worker]\ngrace_seconds = -1", "grace_seconds"),
        ('[worker]\nnamespaces = "perhaps"', "namespaces"),
        ('[database]\nurl = "mysql://h/d"', "url"),
        ('[database]\nurl = "postgresql://ada:hunter2@localhost:1/d"', "url"),
        ('[database]\nurl = "postgresql://localhost:1/d?password=hunter2"', "url"),
    ],
)
def test_a_value_out_of_its_range_is_named_with_file_and_key(ask: Door, text: str, key: str) -> None:
    written(ask.root, text)
    answered = ask("draft", "list")
    answered.refuses(2, str(ask.root / "interlock.toml"), key)
    assert "hunter2" not in answered.err


def test_the_environment_wins_over_the_file(ask: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    written(ask.root, "[approval]\nmax_text_bytes = 1")
    ask("draft", "create", "--prompt", "xx").refuses(2, "at most 1 ")
    monkeypatch.setenv("INTERLOCK_APPROVAL_MAX_TEXT_BYTES", "2")
    assert ask("draft", "create", "--prompt", "xx").code == 0
    ask("draft", "create", "--prompt", "xxx").refuses(2, "at most 2 ")


@pytest.mark.parametrize("value", ["", "many", "1.5", "0x10", "9" * 5000], ids=lambda value: value[:10])
def test_a_wrong_value_in_the_environment_is_named(ask: Door, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("INTERLOCK_QUEUE_LEASE_SECONDS", value)
    ask("draft", "list").refuses(2, "INTERLOCK_QUEUE_LEASE_SECONDS", "a whole number")


def test_lists_in_the_environment_are_separated_by_commas(tmp_path: Path) -> None:
    settings = load(tmp_path, {"INTERLOCK_QUEUE_BACKOFF_SECONDS": "1,2", "INTERLOCK_AGENT_CHECKS": "make test,true"})
    assert settings.queue.backoff_seconds == (1, 2)
    assert settings.agent.checks == ("make test", "true")


@pytest.mark.proves("ops-windows")
def test_the_names_that_seed_4_gives_are_read_and_ours_win(tmp_path: Path) -> None:
    seeds = {"OPS_RUN_TTL": "60", "ORCH_OPS_DATA_DIR": "shown", "ORCH_PORT": "9000"}
    settings = load(tmp_path, seeds)
    assert settings.runs.archive_after_seconds == 60
    assert settings.windows.ops_folder == "shown"
    assert settings.server.port == 9000
    ours = load(tmp_path, {**seeds, "INTERLOCK_SERVER_PORT": "9001", "INTERLOCK_RUNS_ARCHIVE_AFTER_SECONDS": "0"})
    assert (ours.server.port, ours.runs.archive_after_seconds) == (9001, 0)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("OPS_RUN_TTL", "-1", "from 0"), ("ORCH_PORT", "65536", "to 65535"), ("OPS_DATA_DIR", "", "not be empty")],
)
def test_a_wrong_value_under_a_seed_s_name_is_named(tmp_path: Path, name: str, value: str, said: str) -> None:
    with pytest.raises(SettingsInvalid, match=f"{name} .*{said}"):
        load(tmp_path, {name: value})


@pytest.mark.proves("ops-windows")
def test_the_windows_go_where_the_setting_says(ask: Door) -> None:
    written(ask.root, '[windows]\nops_folder = "shown/here"')
    draft = ask("draft", "create", "--prompt", "p", "--json").json
    assert (ask.root / "shown/here/drafts" / f"{draft['id']}.json").is_file()
    assert not list((ask.root / ".orch_data/ops/drafts").iterdir())


def test_a_reference_in_the_database_s_address_is_taken_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load(written(tmp_path, '[database]\nurl = "postgresql://ada:${PG_WORD}@h/d"'), {})
    with pytest.raises(SettingsInvalid, match=r"\$\{PG_WORD\}, which is not set"):
        settings.database_url()
    monkeypatch.setenv("PG_WORD", "hunter2")
    assert settings.database_url() == "postgresql://ada:hunter2@h/d"


def test_a_reference_to_nothing_is_named(ask: Door) -> None:
    written(ask.root, '[database]\nurl = "postgresql://${PG_WORD}@localhost:1/d"')
    ask("draft", "list").refuses(2, "[database] url", "${PG_WORD}", "not set")


def test_a_password_may_stand_in_the_environment(tmp_path: Path) -> None:
    url = "postgresql://ada:hunter2@h/d"
    assert load(tmp_path, {"INTERLOCK_DATABASE_URL": url}).database_url() == url


def test_a_file_that_can_not_be_read_is_named(ask: Door) -> None:
    (ask.root / "interlock.toml").unlink()
    (ask.root / "interlock.toml").mkdir()
    ask("draft", "list").refuses(2, str(ask.root / "interlock.toml"), "can not be read")
    (ask.root / "interlock.toml").rmdir()
    (ask.root / "interlock.toml").write_bytes(b"[agent]\ncommand = '\xff'")
    ask("draft", "list").refuses(2, str(ask.root / "interlock.toml"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[database]\nurl = ['postgresql://me:hunter2@h/db']", "[database] url should be a text, not an address"),
        ("[limits]\ntokens = 'postgresql://me:hunter2@h/db'", "[limits] tokens should be a whole number"),
        ("[agent]\nadapter = 'postgresql://me:hunter2@h/db'", "[agent] adapter: this can not be an address"),
        (f"[limits]\ntokens = {'9' * 5000}", "a number is too long"),
        (f"[agent]\nchecks = {'[' * 3000}", "nested too deeply"),
        ("[agent]\nadapter = ''", "[agent] adapter should not be empty"),
    ],
)
def test_what_is_wrong_is_told_shortly_and_without_an_address_that_may_hold_a_password(
    tmp_path: Path, text: str, told: str
) -> None:
    written(tmp_path, text)
    with pytest.raises(SettingsInvalid) as caught:
        load(tmp_path, {})
    assert told in caught.value.message
    assert "hunter2" not in caught.value.message
    assert len(caught.value.message) < 500


def test_the_manual_s_help_works_whatever_the_settings_say(ask: Door) -> None:
    written(ask.root, "nonsense")
    assert ask("--help").code == 0
    assert ask("draft", "create", "--help").code == 0
