"""Doctor says what is broken and what to do, changes nothing, and no broken thing keeps it from looking at the rest."""

from __future__ import annotations

import http.server
import io
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import psycopg
import pytest

from interlock.access.models import Role
from interlock.app import Interlock
from interlock.cli.main import main
from interlock.founding import create_workspace
from interlock.workspace import machine, premises
from interlock.workspace.doctor import Health, NotLooked, examine, failed, ok, warning, worst
from tests.cli.door import PROGRAM, WITHOUT_PRIVILEGES, Said, call, environment, files
from tests.cli.lived import ME
from tests.http.processes import process
from tests.ports import free_port
from tests.postgres import running_server


class Examined:
    """What doctor said of a workspace."""

    def __init__(self, said: Said) -> None:
        self.code = said.code
        self.told: dict[str, Any] = json.loads(said.out)
        self.items = {each["name"]: each for each in self.told["items"]}

    def says(self, name: str, status: str, *words: str) -> None:
        item = self.items[name]
        assert item["status"] == status, item
        for word in words:
            assert word in f"{item['message']} → {item['todo']}", item
        assert bool(item["todo"]) == (status != "ok"), item


def examined(root: Path, *, port: int = 0, prefix: Sequence[str] = (), **more: str) -> Examined:
    """Ask in this process, or in one of its own behind `prefix`; on a port that nobody has."""
    words = ("--json", "--workspace", str(root), "doctor")
    more["INTERLOCK_SERVER_PORT"] = str(port or free_port())
    said = call(*words, at=root.parent, env=more, prefix=prefix) if prefix else _said(words, more)
    assert said.out, said
    found = Examined(said)
    broken = [name for name, each in found.items.items() if each["status"] == "failed"]
    assert found.code == (1 if broken else 0), said
    assert ("doctor_alarmed" in said.err) == bool(broken), said
    return found


def _said(words: Sequence[str], more: dict[str, str]) -> Said:
    out, err, before = io.StringIO(), io.StringIO(), dict(os.environ)
    os.environ.update(more)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            return Said(main(words), out.getvalue(), err.getvalue())
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.mark.proves("doctor")
def test_a_fresh_workspace_is_well_and_looking_changes_nothing(workspace: Path) -> None:
    before = {
        path: path.lstat().st_mtime_ns for path in workspace.rglob("*") if not path.name.endswith(("-wal", "-shm"))
    }
    content = files(workspace)
    found = examined(workspace)
    assert found.code == 0
    assert [each["name"] for each in found.told["items"] if each["status"] == "failed"] == []
    for name in ("python", "git", "containment", "workspace", "permissions", "settings", "keys", "database", "port"):
        found.says(name, "ok")
    found.says("windows", "ok")
    assert files(workspace) == content
    after = _touched(workspace)
    assert {path for path, then in after.items() if before.get(path) != then} <= {workspace / ".interlock"}
    assert after.keys() == before.keys(), "only SQLite's own side files came and went"


def _touched(root: Path) -> dict[Path, int]:
    """Return when everything was changed last, but for SQLite's side files."""
    return {path: path.lstat().st_mtime_ns for path in root.rglob("*") if not path.name.endswith(("-wal", "-shm"))}


def test_without_a_workspace_only_the_machine_is_looked_at(tmp_path: Path) -> None:
    said = Examined(call("--json", "doctor", at=tmp_path))
    said.says("workspace", "warning", "only the machine", "interlock init")
    assert (said.code, "database" in said.items) == (0, False)
    named = examined(tmp_path)
    named.says("workspace", "failed", "is not a workspace", "interlock init")


def test_a_person_reads_lines_with_what_to_do(workspace: Path) -> None:
    (workspace / "interlock.toml").write_text("[nonsense]\n")
    said = call("--workspace", str(workspace), "doctor", at=workspace)
    assert said.code == 1
    assert "FAILED   settings" in said.out
    assert "→ " in said.out
    assert "probes failed: settings" in said.err


def test_a_server_is_not_asked(workspace: Path) -> None:
    said = call("--server", "http://127.0.0.1:9", "doctor", at=workspace)
    said.refuses(2, "doctor", "looks at this machine")


def test_broken_settings_are_named_and_what_needs_them_is_left_out(workspace: Path) -> None:
    (workspace / "interlock.toml").write_text("[queue]\nlease_seconds = \n")
    found = examined(workspace)
    found.says("settings", "failed", "interlock.toml", "mend the line")
    for name in ("database", "port", "log", "windows", "agent"):
        found.says(name, "warning", "was not looked at", "settings")
    found.says("keys", "ok")


def test_what_others_may_read_is_named_with_what_closes_it(workspace: Path) -> None:
    (workspace / ".interlock" / "keys" / "log.key").chmod(0o644)
    found = examined(workspace)
    found.says("permissions", "failed", "log.key is open to others", "chmod 600")
    found.says("keys", "failed", "open to others", "chmod 600")
    (workspace / ".interlock" / "keys" / "log.key").chmod(0o600)
    (workspace / ".interlock").chmod(0o755)
    examined(workspace).says("permissions", "failed", ".interlock is open to others", "chmod 700")


def test_what_can_not_be_read_is_a_finding_and_ends_nothing(workspace: Path) -> None:
    state = workspace / ".interlock"
    state.chmod(0)
    try:
        found = examined(workspace, prefix=WITHOUT_PRIVILEGES)
    finally:
        state.chmod(0o700)
    found.says("permissions", "failed")
    found.says("settings", "failed", "Permission denied")
    found.says("keys", "failed", "Permission denied")
    found.says("database", "warning", "was not looked at")
    found.says("git", "ok")


def test_missing_folders_and_keys_are_named(workspace: Path) -> None:
    shutil.rmtree(workspace / ".interlock" / "worktrees")
    (workspace / ".interlock" / "keys" / "service.key").unlink()
    found = examined(workspace)
    found.says("workspace", "failed", "worktrees", f"interlock init {workspace}")
    found.says("keys", "failed", "there is no key", "service.key")


def test_a_key_of_another_log_is_seen(workspace: Path) -> None:
    other = workspace.with_name("other")
    create_workspace(other, ME, database_url="", replace=False)
    for end in ("key", "vkey"):
        shutil.copy(other / ".interlock" / "keys" / f"log.{end}", workspace / ".interlock" / "keys" / f"log.{end}")
    examined(workspace).says("keys", "failed", "is not a key of", "restore both")


def test_entry_points_of_an_environment_that_is_gone_are_seen(workspace: Path) -> None:
    entry = workspace / "automation" / "orchestrator" / "ops.py"
    entry.write_text(entry.read_text().replace(sys.executable, "/gone/bin/python"))
    examined(workspace).says("entry points", "failed", "/gone/bin/python", "interlock init")
    entry.unlink()
    examined(workspace).says("entry points", "warning", "is missing", "interlock init")


def _alter(root: Path, statement: str) -> None:
    with closing(sqlite3.connect(root / ".interlock" / "interlock.db", isolation_level=None)) as connection:
        connection.execute(statement)


def test_an_older_schema_is_told_and_not_upgraded(workspace: Path) -> None:
    _alter(workspace, "PRAGMA user_version = 20")
    found = examined(workspace)
    found.says("database", "warning", "schema 20", "back up")
    found.says("log", "warning", "was not looked at", "schema 20")
    with closing(sqlite3.connect(workspace / ".interlock" / "interlock.db")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (20,)


def test_a_newer_schema_is_told_with_what_to_do(workspace: Path) -> None:
    _alter(workspace, "PRAGMA user_version = 9999")
    examined(workspace).says("database", "failed", "schema 9999", "newer Interlock")


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", "is empty"), (b"SQLite format 3\0" + b"x" * 5000, "not a database"), (None, "no database")],
)
def test_a_database_that_is_none_is_told(workspace: Path, content: bytes | None, told: str) -> None:
    path = workspace / ".interlock" / "interlock.db"
    path.unlink()
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)
    examined(workspace).says("database", "failed", told)


def test_an_event_of_tomorrow_says_that_a_clock_is_wrong(workspace: Path) -> None:
    examined(workspace).says("database clock", "ok")
    last = "(SELECT MAX(leaf_index) FROM event)"
    _alter(workspace, f"UPDATE event SET time_ms = time_ms + 86400000 WHERE leaf_index = {last}")  # noqa: S608 - ours
    examined(workspace).says("database clock", "failed", "has not come yet", "set-ntp")


def test_a_log_that_its_head_does_not_cover_is_seen(workspace: Path) -> None:
    examined(workspace).says("log", "warning", "no head is signed", "interlock evidence head")
    house = Interlock.at(workspace)
    house.evidence.head()
    house.catch_up(ME)
    house.close()
    examined(workspace).says("log", "ok", "the last head covers 14")
    _alter(workspace, "UPDATE event SET leaf_hash = zeroblob(32) WHERE leaf_index = 5")
    examined(workspace).says("log", "failed", "are not those of its last signed head", "evidence verify")


def test_windows_that_were_changed_are_counted(workspace: Path) -> None:
    (workspace / ".orch_data" / "ops" / "plan.json").write_text("{}")
    examined(workspace).says("windows", "warning", "1 files", "plan.json", "interlock windows rebuild")


def test_panic_is_told(workspace: Path) -> None:
    house = Interlock.at(workspace)
    house.access.raise_panic(ME, role=Role.ADMIN, reason="a rogue agent")
    house.close()
    examined(workspace).says("panic", "warning", "a rogue agent", "panic release")


def test_sinks_say_what_they_miss(workspace: Path) -> None:
    path = workspace / "config" / "ops-manager-alert-sinks.v1.json"
    catalog = json.loads(path.read_text())
    catalog["sinks"] = {"hook": {"enabled": True, "type": "webhook", "urlEnv": "HOOK_OF_DOCTOR"}}
    catalog["routing"] = {"defaultSinks": ["hook"], "categorySeverity": {}, "routes": []}
    path.write_text(json.dumps(catalog))
    examined(workspace).says("alert sinks", "warning", "HOOK_OF_DOCTOR", "interlock serve")
    examined(workspace, HOOK_OF_DOCTOR="https://example.org").says("alert sinks", "ok", "1 of 1")
    path.write_text("{")
    examined(workspace).says("alert sinks", "failed", "config")


def test_providers_say_what_they_miss(workspace: Path) -> None:
    path = workspace / ".orch_data" / "ops" / "provider.json"
    entry = {"type": "openai_compat", "base_url": "https://example.org/v1", "model": "m", "api_key": "${KEY_OF_DOCTOR}"}
    path.write_text(json.dumps({"active": "far", "providers": {"far": entry}}))
    examined(workspace).says("providers", "warning", "KEY_OF_DOCTOR", "set KEY_OF_DOCTOR")
    found = examined(workspace, KEY_OF_DOCTOR="a-secret-of-doctor-0123456789")
    found.says("providers", "ok", "far is active")
    assert "a-secret-of-doctor" not in json.dumps(found.told)
    path.write_text("{")
    examined(workspace).says("providers", "failed", "provider.json")


def test_an_agent_that_is_not_installed_is_told(workspace: Path) -> None:
    with (workspace / "interlock.toml").open("a") as settings:
        settings.write('\ncommand = "no-such-agent -p"\n')
    examined(workspace).says("agent", "warning", "no-such-agent", "install it")


def test_a_copied_node_and_a_drained_one_are_told(workspace: Path) -> None:
    house = Interlock.at(workspace)
    house.presence.join()
    named = house.fleet.list()[0].id
    house.fleet.drain(ME, named, reason="a new disk")
    house.close()
    examined(workspace).says("node", "warning", "drained: a new disk", f"interlock node resume {named}")
    file = workspace / ".interlock" / "node.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "machine": "0" * 32}))
    examined(workspace).says("node", "failed", "another machine", "delete that file")


def test_a_port_that_is_taken_is_told_and_ours_is_known(workspace: Path) -> None:
    with answering() as port:
        examined(workspace, port=port).says("port", "failed", f"127.0.0.1:{port}", "--port")
    with process(workspace) as server:
        port = int(server.address.rsplit(":", 1)[1])
        examined(workspace, port=port).says("port", "ok", "Interlock", "answers")


@contextmanager
def answering() -> Generator[int]:
    """Serve something that is not ours."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


def test_postgresql_is_looked_at_and_not_upgraded(postgres_url: str, tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    create_workspace(root, ME, database_url=postgres_url, replace=False)
    found = examined(root)
    found.says("database", "ok", "PostgreSQL")
    found.says("database clock", "ok", "apart")
    found.says("windows", "ok")
    assert "file system" not in found.items
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off'.encode())
        examined(root).says("database", "failed", "synchronous_commit", "ALTER DATABASE")
        connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = on'.encode())
        connection.execute("DELETE FROM schema_migration WHERE number = (SELECT MAX(number) FROM schema_migration)")
        examined(root).says("database", "warning", "the first command that writes", "back up")
        found = connection.execute("SELECT COUNT(*), MAX(number) FROM schema_migration").fetchone()
        assert found is not None
        connection.execute("INSERT INTO schema_migration VALUES (9999, 'later', now())")
        examined(root).says("database", "failed", "schema 9999", "newer Interlock")
        connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'.encode())
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("DELETE FROM schema_migration WHERE number = 9999")
        examined(root).says("database", "failed", "read-only", "primary")


def test_a_stopped_postgresql_is_told_and_nothing_else_fails(tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    with running_server() as url:
        create_workspace(root, ME, database_url=url, replace=False)
    began = time.monotonic()
    found = examined(root)
    assert time.monotonic() - began < 40
    found.says("database", "failed", "does not answer")
    found.says("log", "warning", "the database can not be read")
    found.says("keys", "ok")
    found.says("containment", "ok")


# --- the machine ------------------------------------------------------------------------------------------------------


def test_a_machine_without_git_is_told(workspace: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [PROGRAM, "--json", "--workspace", workspace, "doctor"],
        env={**environment(), "PATH": str(tmp_path), "INTERLOCK_SERVER_PORT": str(free_port())},
        capture_output=True,
        text=True,
        check=False,
        timeout=45,
    )
    Examined(Said(done.returncode, done.stdout, done.stderr)).says("git", "failed", "no git on PATH", "install git")


def test_an_old_git_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git = tmp_path / "git"
    git.write_text("#!/bin/sh\necho git version 2.30.1\n")
    git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = machine.probes(None, lambda: 0)["git"]()
    assert (found.health, "2.38" in found.sentence) == (Health.WARNING, True)


def test_few_open_files_are_told(workspace: Path) -> None:
    limited = subprocess.run(
        [PROGRAM, "--json", "--workspace", workspace, "doctor"],
        env={**environment(), "INTERLOCK_SERVER_PORT": str(free_port())},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200)),
        capture_output=True,
        text=True,
        check=False,
        timeout=45,
    )
    said = Examined(Said(limited.returncode, limited.stdout, limited.stderr))
    said.says("open files", "failed", "200", "LimitNOFILE")


def test_a_clock_of_the_past_or_one_that_jumps_is_told() -> None:
    assert machine.probes(None, lambda: 1_000_000)["clock"]().health is Health.FAILED
    moments = iter((1_900_000_000_000, 1_900_000_900_000))
    assert "jumped" in machine.probes(None, lambda: next(moments))["clock"]().sentence


def test_a_temporary_folder_that_can_not_be_used_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    found = machine.probes(None, lambda: 0)["temporary folder"]()
    assert found.health is not Health.OK
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert machine.probes(None, lambda: 0)["temporary folder"]().health is Health.OK


def test_a_full_disk_is_told() -> None:
    full = Path("/proc")  # which has no room
    found = machine.probes(full, lambda: 0)["disk"]()
    assert (found.health, "0 MiB free" in found.sentence) == (Health.FAILED, True)


@pytest.mark.parametrize(
    ("kind", "health"),
    [("nfs4", Health.FAILED), ("fuse.sshfs", Health.FAILED), ("9p", Health.WARNING), ("xfs", Health.OK)],
)
def test_a_file_system_over_a_network_is_known_by_its_kind(tmp_path: Path, kind: str, health: Health) -> None:
    mounts = tmp_path / "mountinfo"
    place = str(tmp_path).replace(" ", "\\040")
    mounts.write_text(
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        f"36 22 0:30 / {place} rw,relatime - {kind} server:/export rw\n"
        f"37 22 0:31 / {place}er rw,relatime - tmpfs tmpfs rw\n"
    )
    inside = tmp_path / "state"
    inside.mkdir()
    assert premises.file_system(inside, mounts) == kind
    assert premises.on(kind, inside).health is health


# --- the dict of probes -----------------------------------------------------------------------------------------------


def test_no_probe_keeps_another_from_looking() -> None:
    hangs = threading.Event()
    kinds = {
        "hangs": lambda: ok(str(hangs.wait(60))),
        "breaks": lambda: ok(str(1 // 0)),
        "is not allowed": lambda: ok(Path("/proc/1/no").read_text()),
        "waits": lambda: _raise(NotLooked("the disk is gone")),
        "works": lambda: ok("well"),
    }
    began = time.monotonic()
    found = dict(examine(kinds, most_seconds=0.3))
    assert time.monotonic() - began < 5
    hangs.set()
    assert [(name, each.health.value) for name, each in found.items()] == [
        ("hangs", "warning"),
        ("breaks", "failed"),
        ("is not allowed", "failed"),
        ("waits", "warning"),
        ("works", "ok"),
    ]
    assert "no answer in 0.3 s" in found["hangs"].sentence
    assert "ZeroDivisionError" in found["breaks"].sentence
    assert "/proc/1/no" in found["is not allowed"].sentence


def _raise(error: Exception) -> Any:  # noqa: ANN401 - it never returns
    raise error


def test_the_whole_is_as_its_worst_part() -> None:
    assert worst({"a": ok("")}) is Health.OK
    assert worst({"a": ok(""), "b": warning("", "x")}) is Health.WARNING
    assert worst({"a": failed("", "x"), "b": warning("", "x")}) is Health.FAILED
