"""Making a workspace: whole, private, twice the same, and nothing of anybody else's is touched."""

from __future__ import annotations

import getpass
import json
import stat
from pathlib import Path

import pytest

from tests.cli.door import WITHOUT_PRIVILEGES, Door, call, closed, files, python, said

BEGUN = [
    *("workspace.created", "plan.set"),
    *["key.added"] * 3,  # the log's, the service's, the person's
    *["role.changed"] * 3,
    *["key.added"] * 3,  # the roles' agents'
    *["pipeline.definition_accepted"] * 3,  # two pipelines, one way to deploy
]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_workspace_has_what_its_operator_expects(ask: Door) -> None:
    there = set(files(ask.root))
    keys = [
        f".interlock/keys/{name}" for name in ("log.key", "log.vkey", "service.key", f"human-{getpass.getuser()}.key")
    ]
    windows = [f".orch_data/ops/{name}" for name in ("drafts", "approved", "runs", "plan.json", "provider.json")]
    evidence = [f"storage/db/evidence/{name}" for name in ("ledger.jsonl", "heads.jsonl", "log.vkey")]
    assert {"interlock.toml", ".interlock/.gitignore", *keys, *windows, *evidence} <= there
    assert [event["kind"] for event in ask.json("evidence", "list")] == BEGUN


def test_what_is_secret_is_its_owner_s_alone_whatever_the_umask(tmp_path: Path) -> None:
    for umask in ("000", "077"):
        root = tmp_path / umask
        assert call("init", str(root), at=tmp_path, prefix=("sh", "-c", f'umask {umask}; exec "$@"', "sh")).code == 0
        assert mode(root / ".interlock") == 0o700
        assert mode(root / ".interlock" / "keys") == 0o700
        assert {mode(key) for key in (root / ".interlock" / "keys").glob("*.key")} == {0o600}
        assert mode(root / ".interlock" / "interlock.db") == 0o600
        assert mode(root / ".orch_data" / "ops" / "provider.json") == 0o600


def test_a_second_time_changes_nothing_at_all(ask: Door) -> None:
    ask.approved()
    before, entries = files(ask.root), ask.log_size()
    times = {path: path.stat().st_mtime_ns for path in ask.root.rglob("*") if not path.name.startswith("interlock.db")}
    del times[ask.root / ".interlock"]  # SQLite's side files come and go there
    answered = said(ask.capture, "init", str(ask.root), "--json")
    assert {item["status"] for item in answered.json["items"]} == {"kept"}
    assert (files(ask.root), ask.log_size()) == (before, entries)
    assert times == {path: path.stat().st_mtime_ns for path in times}


def test_a_lost_part_is_made_again_and_the_rest_kept(ask: Door) -> None:
    approved = ask.approved()
    (ask.root / ".orch_data" / "ops" / "plan.json").unlink()
    (ask.root / ".orch_data" / "ops" / "provider.json").unlink()
    (ask.root / ".interlock" / "wake").rmdir()
    assert said(ask.capture, "init", str(ask.root)).code == 0
    assert (ask.root / ".orch_data" / "ops" / "provider.json").exists()
    assert ask.json("approved", "show", approved)["status"] == "valid"


def test_settings_of_the_user_are_kept_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = "# mine\n[approval]\nmax_text_bytes = 100\n"
    (tmp_path / "interlock.toml").write_text(mine)
    answered = said(capsys, "init", str(tmp_path))
    assert f"kept       {tmp_path / 'interlock.toml'}" in answered.out
    assert (tmp_path / "interlock.toml").read_text() == mine
    said(capsys, "--workspace", str(tmp_path), "draft", "create", "--prompt", "x" * 101).refuses(2, "at most 100")


def test_replacing_keeps_a_copy_of_what_was_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "interlock.toml").write_text("# mine\n")
    assert said(capsys, "init", str(tmp_path)).code == 0
    provider = tmp_path / ".orch_data" / "ops" / "provider.json"
    provider.write_text('{"api_key": "${MINE}"}')
    answered = said(capsys, "init", str(tmp_path), "--replace-entry-points", "--json")
    backups = [Path(item["path"]) for item in answered.json["items"] if item["status"] == "backed up"]
    kept = {path.name.split(".")[0]: path.read_text() for path in backups}
    assert kept.pop("ops").startswith("#!/usr/bin/env python3")
    assert kept == {"interlock": "# mine\n", "provider": '{"api_key": "${MINE}"}'}
    assert {mode(path) for path in backups if path.name.startswith("provider")} == {0o600}
    assert "[agent]" in (tmp_path / "interlock.toml").read_text()
    assert json.loads(provider.read_text())["active"] == "local_ollama"


def test_the_settings_that_init_writes_are_read_without_complaint(ask: Door) -> None:
    text = (ask.root / "interlock.toml").read_text()
    (ask.root / "interlock.toml").write_text(text.replace("# command", "command").replace("# repository", "repository"))
    ask("draft", "create", "--prompt", "x").refuses(3, "/path/to/repository does not exist")


@pytest.mark.parametrize("inside", ["", "/below"])
def test_a_file_in_the_way_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], inside: str) -> None:
    (tmp_path / "file").write_text("mine")
    said(capsys, "init", f"{tmp_path / 'file'}{inside}").refuses(2, str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", [".interlock", ".orch_data", "storage", ".interlock/keys", ".orch_data/ops/drafts"])
def test_a_file_where_a_folder_belongs_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine")
    said(capsys, "init", str(tmp_path)).refuses(2, str(tmp_path / Path(name).parts[0]))
    assert (tmp_path / name).read_text() == "mine"


def test_an_empty_name_is_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said(capsys, "init", "").refuses(2, "DIR")
    assert list(tmp_path.iterdir()) == []


def test_no_workspace_is_made_inside_the_state_folder_of_another(ask: Door) -> None:
    """No command would find it there; and what lies there belongs to runs."""
    place = ask.root / ".interlock" / "worktrees" / "r_x"
    place.mkdir()
    answered = said(ask.capture, "init", str(place))
    answered.refuses(answered.code or -1, str(place))
    assert list(place.iterdir()) == []


def test_a_folder_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir()
    with closed(tmp_path / "closed", mode=0o555):
        answered = call("init", "closed/workspace", at=tmp_path, prefix=WITHOUT_PRIVILEGES)
        answered.refuses(2, str(tmp_path / "closed"))
        call("init", "closed", at=tmp_path, prefix=WITHOUT_PRIVILEGES).refuses(2, str(tmp_path / "closed"))
    assert list((tmp_path / "closed").iterdir()) == []


@pytest.mark.parametrize("part", [".", ".orch_data/ops", ".interlock", ".interlock/keys", "storage/db/evidence"])
def test_a_part_that_can_not_be_written_is_named_and_the_next_init_completes_it(
    ask: Door, tmp_path: Path, part: str
) -> None:
    target = tmp_path / "new"
    for folder in [path for path in ask.root.rglob("*") if path.is_dir()]:
        made = target / folder.relative_to(ask.root)
        made.mkdir(parents=True)
        made.chmod(mode(folder))
    with closed(target / part, mode=0o500):
        answered = call("init", str(target), at=tmp_path, prefix=WITHOUT_PRIVILEGES)
        answered.refuses(answered.code, str(target))
        assert answered.code in {1, 2, 4}
    assert said(ask.capture, "init", str(target)).code == 0
    kinds = [event["kind"] for event in Door(target, ask.capture).json("evidence", "list")]
    assert kinds == BEGUN
    assert Door(target, ask.capture)("evidence", "head").code == 0
    assert Door(target, ask.capture)("evidence", "verify").code == 0


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://ada:hunter2@localhost:1/db",
        "postgres://:hunter2@localhost:1/db",
        "postgresql://localhost:1/db?password=hunter2",
        "postgresql://localhost:1/db?user=ada&password=hunter2",
        "postgresql://ada:${A}hunter2@localhost:1/db",
    ],
)
def test_a_password_in_the_database_s_address_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    answered = said(capsys, "init", str(tmp_path / "new"), "--database", address)
    answered.refuses(2, "password", "${NAME}", ".pgpass")
    assert "hunter2" not in answered.err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("address", ["sqlite:///x", "mysql://h/d", "/path", "postgresql:", "postgresql://[bad", "x\0y"])
def test_what_is_no_postgresql_address_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    said(capsys, "init", str(tmp_path / "new"), "--database", address).refuses(2, "postgresql://")
    assert not (tmp_path / "new").exists()


def test_a_mistyped_server_can_be_put_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], postgres_url: str
) -> None:
    """What a failed init leaves behind does not stand in the way of the next one."""
    said(capsys, "init", str(tmp_path / "new"), "--database", "postgresql://localhost:1/db").refuses(
        5, "does not answer"
    )
    answered = said(capsys, "init", str(tmp_path / "new"), "--database", postgres_url)
    assert answered.code == 0, answered


def test_another_database_for_a_workspace_that_has_one_is_not_passed_over_in_silence(ask: Door) -> None:
    answered = said(ask.capture, "init", str(ask.root), "--database", "postgresql://localhost:1/db")
    answered.refuses(answered.code, "interlock.toml")
    assert answered.code in {2, 4}


def test_the_main_road_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    assert call("init", "new", "--database", postgres_url, at=tmp_path).code == 0
    words = ("draft", "create", "--prompt", "x", "--json")
    draft = call(*words, at=tmp_path / "new").id
    approved = call("draft", "approve", draft, "--json", at=tmp_path / "new").id
    run = call("run", "create", approved, "--json", at=tmp_path / "new").id
    assert call("run", "show", run, "--json", at=tmp_path / "new").json["status"] == "pending"
    for words in (("evidence", "head"), ("evidence", "verify"), ("windows", "verify")):
        assert call(*words, at=tmp_path / "new").code == 0
    assert not (tmp_path / "new" / ".interlock" / "interlock.db").exists()


def test_a_database_that_was_lost_is_not_replaced_beside_the_ledger_it_wrote(ask: Door) -> None:
    """A new log under the old ledger would be one that nobody can verify any more."""
    ask.approved()
    for path in (ask.root / ".interlock").glob("interlock.db*"):
        path.unlink()
    before = files(ask.root)
    answered = said(ask.capture, "init", str(ask.root))
    answered.refuses(answered.code, "ledger.jsonl")
    assert files(ask.root) == before


@pytest.mark.parametrize("name", ["log", "service", f"human-{getpass.getuser()}"])
def test_a_lost_public_half_is_made_again_from_the_private_one(ask: Door, name: str) -> None:
    public = ask.root / ".interlock" / "keys" / f"{name}.vkey"
    lost = public.read_bytes()
    public.unlink()
    assert said(ask.capture, "init", str(ask.root)).code == 0
    assert public.read_bytes() == lost


@pytest.mark.parametrize("name", ["service", f"human-{getpass.getuser()}"])
def test_a_lost_private_key_is_made_anew_by_the_init_that_the_error_names(ask: Door, name: str) -> None:
    (ask.root / ".interlock" / "keys" / f"{name}.key").unlink()
    answered = said(ask.capture, "init", str(ask.root))
    assert answered.code == 0, answered
    assert (ask.root / ".interlock" / "keys" / f"{name}.key").exists()
    ask.approved()


def test_a_new_log_key_signs_heads_that_verify_or_none_at_all(ask: Door) -> None:
    """A head that no trusted key signed stands in the log's way for ever."""
    ask.approved()
    assert ask("evidence", "head").code == 0
    for name in ("log.key", "log.vkey"):
        (ask.root / ".interlock" / "keys" / name).unlink()
    said(ask.capture, "init", str(ask.root))
    ask.draft()
    signed = ask("evidence", "head")
    if signed.code:
        signed.refuses(signed.code)
    assert ask("evidence", "verify").code == 0


KILLED = """
import os, sys
import {module} as module
setattr({target}, "{name}", lambda *_, **__: os._exit(9))
from interlock.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("module", "target", "name"),
    [
        ("interlock.workspace.service", "module", "make_files"),
        ("interlock.app", "module.Interlock", "at"),
        ("interlock.workspace.service", "module", "make_keys"),
        ("interlock.evidence.keys", "module", "_to_pem"),
        ("interlock.app", "module.Interlock", "tell"),
        ("interlock.approval.service", "module.Approval", "set_plan"),
        ("interlock.workspace.windows", "module.Windows", "catch_up"),
    ],
)
def test_an_init_that_was_killed_is_completed_by_the_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], module: str, target: str, name: str
) -> None:
    done = python(KILLED.format(module=module, target=target, name=name), "init", str(tmp_path / "new"), at=tmp_path)
    assert done.returncode == 9, done.stderr
    assert said(capsys, "init", str(tmp_path / "new")).code == 0
    ask = Door(tmp_path / "new", capsys)
    assert [event["kind"] for event in ask.json("evidence", "list")] == BEGUN
    ask.approved()
    assert ask("evidence", "head").code == 0
    assert ask("evidence", "verify").code == 0
    assert ask("windows", "verify").code == 0


def test_two_inits_at_the_same_moment_make_one_workspace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    twice = ("sh", "-c", '"$@" >/dev/null & "$@" >/dev/null; code=$?; wait $! && exit $code', "sh")
    for name in ("one", "two", "three"):
        both = call("init", name, at=tmp_path, prefix=twice)
        assert (both.code, both.err) == (0, "")
        ask = Door(tmp_path / name, capsys)
        assert [event["kind"] for event in ask.json("evidence", "list")] == BEGUN
        assert ask("evidence", "head").code == 0
        assert ask("evidence", "verify").code == 0


@pytest.mark.proves("pipeline-accepted")
def test_an_agent_that_makes_a_workspace_accepts_no_pipeline_and_a_person_s_init_does(tmp_path: Path) -> None:
    root = tmp_path / "made"
    assert call("init", str(root), "--as", "agent:x", at=tmp_path).code == 0
    listed = {row["name"]: row["status"] for row in call("pipeline", "list", "--json", at=root).json}
    assert listed == {"agent-self-heal": "not accepted", "doc-refresh": "not accepted"}
    call("pipeline", "run", "doc-refresh", at=root).refuses(4, "no human has accepted doc-refresh")
    assert call("init", str(root), at=tmp_path).code == 0
    assert {row["status"] for row in call("pipeline", "list", "--json", at=root).json} == {"accepted"}
    assert {row["status"] for row in call("deployment", "definitions", "--json", at=root).json} == {"accepted"}
