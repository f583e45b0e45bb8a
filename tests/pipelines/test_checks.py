"""Checks: a healthy workspace is healthy, and each thing that is wrong with it is found and named."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from interlock.evidence.keys import create_key
from interlock.kernel.clock import system_clock
from interlock.pipelines import checks
from interlock.pipelines.checks import CHECKS, Place, Seen, look
from tests.pipelines import healthy

RUN, OTHER = healthy.RUNNING, healthy.ENDED
HOUR_MS = 3_600_000


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Place:
    """A healthy workspace, seen by its owner."""
    return healthy.workspace(tmp_path_factory, tmp_path / "workspace")


def found(place: Place, name: str) -> Seen:
    return look(name, place)


def one(place: Place, name: str) -> str:
    """Return the one thing that a check finds."""
    (finding,) = look(name, place).findings
    return finding


def test_a_fresh_workspace_is_healthy(place: Place) -> None:
    seen = {name: look(name, place) for name in CHECKS}
    assert {name: each for name, each in seen.items() if each.severity != "ok"} == {
        "role_file_committed": Seen(skipped="the workspace is not a git repository")
    }


def test_what_is_hidden_is_skipped_and_no_illness(place: Place) -> None:
    hidden = replace(place, state=None, keys=None, worktrees=None, alive=None, inside_run=RUN, hidden="not from here")
    skipped = {name: each.skipped for name in CHECKS if (each := look(name, hidden)).severity == "skipped"}
    assert skipped.keys() == {
        "role_file_committed",
        "stale_locks",
        "orphan_worktrees",
        "orphan_processes",
        "key_permissions",
    }
    assert skipped["key_permissions"] == "not from here"
    assert not any(look(name, hidden).findings for name in CHECKS)


# --- roles ------------------------------------------------------------------------------------------------------------


def test_a_malformed_role_file_is_named_with_its_line(place: Place) -> None:
    path = place.root / "agents/data/agent_roles.json"
    path.write_text('{\n  "planner": {,\n}')
    assert "agent_roles.json:2" in one(place, "role_file")
    path.unlink()
    assert "is not there" in one(place, "role_file")


def test_an_uncommitted_role_file_is_told_and_not_counted(place: Place) -> None:
    def git(*words: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=n", "-c", "user.email=e@x", *words],
            cwd=place.root,
            check=True,
            capture_output=True,
        )

    git("init", "-q")
    assert found(place, "role_file_committed").severity == "notice"
    git("add", "agents")
    git("commit", "-qm", "roles")
    assert found(place, "role_file_committed") == Seen()
    with (place.root / "agents/data/agent_roles.json").open("a") as file:
        file.write("\n")
    assert "not committed" in found(place, "role_file_committed").notices[0]


# --- logs -------------------------------------------------------------------------------------------------------------


def write_logs(place: Place, index: bytes | None, mirror: bytes | None) -> None:
    pair = place.logs[0]
    for path, data in ((pair.index, index), (pair.mirror, mirror)):
        path.unlink(missing_ok=True)
        if data is not None:
            path.write_bytes(data)


LINES = b'{"a":1}\n{"b":2}\n{"c":3}\n'


@pytest.mark.parametrize(
    ("index", "mirror", "told"),
    [
        (LINES, None, "storage/db/relocation.log is missing"),
        (None, LINES, ".workspace/indexes/relocation.log is missing"),
        (LINES, LINES[:-8], "from line 3 on"),
        (LINES, LINES.replace(b"2", b"4"), "from line 2 on"),
        (LINES * 20_000, LINES * 19_999 + LINES.replace(b"1", b"9"), "from line 59998 on"),
        (LINES, LINES + b"{}\n", "from line 4 on"),
    ],
    ids=["no mirror", "no index", "short", "changed", "late", "long"],
)
def test_a_mirror_that_differs_is_found_with_its_line(
    place: Place, index: bytes | None, mirror: bytes | None, told: str
) -> None:
    write_logs(place, index, mirror)
    assert told in one(place, "mirrors_equal")


def test_equal_mirrors_are_no_finding(place: Place) -> None:
    write_logs(place, LINES, LINES)
    assert found(place, "mirrors_equal") == Seen()


@pytest.mark.parametrize(
    ("end", "told"), [(b'{"torn', "is torn"), (b"no json\n", "no JSON object"), (b"[]\n", "no JSON object")]
)
def test_a_torn_tail_is_found(place: Place, end: bytes, told: str) -> None:
    with place.ledger.open("ab") as file:
        file.write(end)
    assert told in one(place, "log_tail_intact")
    assert "ledger.jsonl" in one(place, "log_tail_intact")


def test_a_line_longer_than_a_block_is_read_whole(place: Place) -> None:
    line = b'{"a":"' + b"x" * 300_000 + b'"}\n'
    write_logs(place, LINES + line, LINES + line)
    assert found(place, "log_tail_intact") == Seen()


def test_entries_without_a_head_are_found_once_they_are_old(place: Place) -> None:
    assert found(place, "head_current") == Seen()
    later = replace(place, clock=lambda: system_clock() + 30 * 24 * HOUR_MS)
    assert found(later, "head_current") == Seen()
    lines = place.ledger.read_bytes().splitlines(keepends=True)
    last = json.loads(lines[-1])
    more = [
        json.dumps(last | {"index": last["index"] + hour, "timestamp": last["timestamp"] + hour * HOUR_MS})
        for hour in (1, 2)
    ]
    place.ledger.write_bytes(b"".join(lines) + "\n".join([*more, ""]).encode())
    assert found(place, "head_current") == Seen()
    assert one(later, "head_current").startswith("2 entries, the oldest 4314")  # an hour less than thirty days


def test_a_head_over_more_than_there_is_is_found(place: Place) -> None:
    lines = place.ledger.read_bytes().splitlines(keepends=True)
    place.ledger.write_bytes(b"".join(lines[:-1]))
    assert f"covers {len(lines)} entries" in one(place, "head_current")


def test_a_head_of_another_key_does_not_hold(place: Place, tmp_path: Path) -> None:
    create_key(tmp_path / "other.key", "interlock.test/other")
    shutil.copy(tmp_path / "other.vkey", place.log_vkey)
    assert "does not hold" in one(place, "head_current")


def test_a_head_that_was_changed_does_not_hold(place: Place) -> None:
    line = json.loads(place.heads.read_bytes().splitlines()[-1])
    text, _, signature = line["note"].rpartition(" ")
    spoilt = signature[:20] + ("A" if signature[20] != "A" else "B") + signature[21:]
    changed = json.dumps(line | {"note": f"{text} {spoilt}"}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    place.heads.write_text(changed + "\n")
    assert "does not hold" in one(place, "head_current")


def test_a_log_without_any_head_is_told_and_not_counted(place: Place) -> None:
    place.heads.unlink()
    assert found(place, "head_current").severity == "notice"


def test_a_ledger_that_is_gone_is_found(place: Place) -> None:
    place.ledger.unlink()
    assert "is missing" in one(place, "head_current")


def test_a_clock_behind_the_ledger_is_found(place: Place) -> None:
    behind = replace(place, clock=lambda: system_clock() - HOUR_MS)
    assert "behind the last entry" in one(behind, "clock")


# --- what was left behind ---------------------------------------------------------------------------------------------


@pytest.fixture
def dead() -> int:
    """A process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_a_lock_of_a_dead_process_is_found(place: Place, dead: int) -> None:
    (place.root / ".workspace/build.lock").write_text(f"{dead}\n")
    assert one(place, "stale_locks") == f".workspace/build.lock names process {dead}, which is gone"


def test_a_lock_that_lives_is_held_or_says_nothing_is_left_alone(place: Place, dead: int) -> None:
    (place.root / ".workspace/mine.lock").write_text(f"{os.getpid()}\n")
    (place.root / ".workspace/empty.lock").write_text("")
    (place.root / ".workspace/words.lock").write_text("nobody knows\n")
    (place.root / ".workspace/folder.lock").mkdir()
    (place.root / ".workspace/link.lock").symlink_to("mine.lock")
    held = place.root / "storage/held.lock"
    held.write_text(f"{dead}\n")
    with held.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert found(place, "stale_locks") == Seen()
    assert "storage/held.lock" in one(place, "stale_locks")


def test_worktrees_of_runs_that_ended_are_found(place: Place) -> None:
    assert place.worktrees is not None
    for name in (f"{RUN}-1", f"{OTHER}-2", f"{OTHER}-3-check", "junk"):
        (place.worktrees / name).mkdir()
    fresh = look("orphan_worktrees", place)
    assert fresh == Seen()
    later = replace(place, clock=lambda: system_clock() + HOUR_MS)
    told = look("orphan_worktrees", later).findings
    assert [finding.split()[0].rpartition("/")[2] for finding in told] == ["junk", f"{OTHER}-2", f"{OTHER}-3-check"]


@pytest.fixture
def start() -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Starts processes that carry a marker."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(marker: str) -> subprocess.Popen[bytes]:
        code = "import sys; sys.stdout.write('up'); sys.stdout.flush(); sys.stdin.read()"
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "INTERLOCK_RUN": marker},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.read(2) == b"up"
        return process

    yield begin
    for process in started:
        process.communicate()


def test_processes_of_runs_that_ended_are_found(place: Place, start: Callable[[str], subprocess.Popen[bytes]]) -> None:
    orphan = start(f"{OTHER}:1")
    start(f"{RUN}:1")
    start("r_01ARZ3NDEKTSV4RRFFQ69G5FAX:1")  # another workspace's
    start("something else")
    assert one(place, "orphan_processes").startswith(f"process {orphan.pid} belongs to {OTHER}")


# --- the machine ------------------------------------------------------------------------------------------------------


def test_a_full_disk_is_found(place: Place) -> None:
    assert "MiB are free" in one(replace(place, min_free_bytes=1 << 60), "disk_space")


@pytest.mark.parametrize(
    ("name", "mode", "told"),
    [("keys/log.key", 0o640, "mode 640"), ("keys", 0o750, "mode 750"), ("", 0o755, "mode 755")],
)
def test_a_key_that_others_may_read_is_found(place: Place, name: str, mode: int, told: str) -> None:
    assert place.state is not None
    (place.state / name).chmod(mode)
    assert told in one(place, "key_permissions")


def test_a_key_that_is_a_link_is_found(place: Place) -> None:
    assert place.keys is not None
    (place.keys / "log.key").rename(place.keys / "elsewhere")
    (place.keys / "log.key").symlink_to("elsewhere")
    assert "no plain file" in one(place, "key_permissions")


@pytest.mark.parametrize("path", [*checks.READMES, *checks.SCHEMAS])
def test_a_missing_asset_is_named(place: Place, path: str) -> None:
    (place.root / path).unlink()
    assert path in one(place, "schema_assets")


def test_an_empty_or_spoilt_asset_is_named(place: Place) -> None:
    (place.root / checks.READMES[0]).write_text("\n")
    (place.root / checks.SCHEMAS[0]).write_text("{")
    told = look("schema_assets", place).findings
    assert [finding.split(" is ")[1] for finding in told] == ["empty", "no JSON object"]


def test_a_missing_folder_is_named(place: Place) -> None:
    (place.root / "docs/documentation").rmdir()
    assert one(place, "artefact_folders") == "docs/documentation is missing"
    (place.root / "docs/documentation").write_text("")
    assert one(place, "artefact_folders") == "docs/documentation is no folder"


def test_a_policy_that_is_none_is_found_with_its_place(place: Place) -> None:
    place.policy.write_text('{"schema_version": 1, "services": {"a": null}}')
    assert found(place, "gateway_policy") == Seen()
    place.policy.write_text('{"schema_version": 1, "services": {"a": 7}}')
    assert "services.a" in one(place, "gateway_policy")
    place.policy.unlink()
    assert "is missing" in one(place, "gateway_policy")


def test_what_can_not_be_read_is_a_finding_and_no_end(place: Place) -> None:
    place.ledger.unlink()
    place.ledger.mkdir()
    assert "can not be looked at" in one(place, "log_tail_intact")
