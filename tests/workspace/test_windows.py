"""The files that show what the database says: their shapes, that they follow, and that a difference is found."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interlock.app import Interlock
from interlock.approval.models import DraftStatus
from interlock.storage.approval import StoredDrafts
from tests.cli.door import WITHOUT_PRIVILEGES, Door, call, closed, environment, files, said
from tests.conftest import ALICE, WORKER

# runtime.md, section 2
OPS_PLAN = {"id", "title", "workspace", "created", "objective", "tasks", "constraints"}
OPS_DRAFT = {"id", "prompt", "context", "provider", "content", "status", "error", "created_at"}
OPS_APPROVED = {"id", "draft_id", "prompt", "provider", "content", "approved_at", "approved_by"}
OPS_RUN = {"id", "approved_id", "status", "log", "started_at", "created_at"}
LOG_ENTRY = {"ts", "level", "msg", "correlation_id"}
INSTANT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def window(house: Interlock | Door, *parts: str) -> Any:  # noqa: ANN401 - JSON of any shape
    root = house.root if isinstance(house, Door) else house.layout.root
    path = root.joinpath(".orch_data", "ops", *parts)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("{\n  "), "pretty, with two spaces"
    assert text.endswith("}\n")
    return json.loads(text)


def test_plan_draft_approved_and_run_have_the_seed_s_keys(house: Interlock) -> None:
    house.layout.ops.joinpath("drafts").mkdir(parents=True)
    house.layout.ops.joinpath("approved").mkdir()
    house.layout.ops.joinpath("runs").mkdir()
    plan: dict[str, Any] = dict.fromkeys(("id", "title", "workspace", "created", "objective"), "x")
    house.approval.set_plan(ALICE, plan | {"tasks": [], "constraints": ["none"]})
    draft = house.approval.create(ALICE, "sweep 🧹", context={"a": [1, None]})
    approved = house.approval.approve(ALICE, house.approval.create(ALICE, "approve me").id)
    run = house.runs.create(ALICE, approved.id)
    house.windows.catch_up(ALICE)
    assert window(house, "plan.json").keys() >= OPS_PLAN
    shown = window(house, "drafts", f"{draft.id}.json")
    assert shown.keys() >= OPS_DRAFT
    assert (shown["prompt"], shown["context"], shown["status"], shown["error"]) == (
        "sweep 🧹",
        {"a": [1, None]},
        "draft",
        None,
    )
    shown = window(house, "approved", f"{approved.id}.json")
    assert shown.keys() >= OPS_APPROVED
    assert (shown["draft_id"], shown["content"], shown["approved_by"]) == (approved.draft_id, "", "human:alice")
    shown = window(house, "runs", f"{run.id}.json")
    assert shown.keys() >= OPS_RUN
    assert (shown["status"], shown["approved_id"], shown["started_at"]) == ("pending", approved.id, None)
    assert [line.keys() >= LOG_ENTRY for line in shown["log"]] == [True]
    assert shown["log"][0]["correlation_id"] == "test-1"
    assert not list(house.windows.differences())


def test_a_draft_in_error_shows_its_error(house: Interlock) -> None:
    house.layout.ops.joinpath("drafts").mkdir(parents=True)
    draft = house.approval.create(ALICE, "x")
    with house.database.write(ALICE) as transaction:
        failed = replace(draft, status=DraftStatus.ERROR, error="the provider said no", version=2)
        assert StoredDrafts(transaction).replace(failed, seen_version=1)
    house.windows.catch_up(ALICE)
    shown = window(house, "drafts", f"{draft.id}.json")
    assert (shown["status"], shown["error"]) == ("error", "the provider said no")


def test_every_writing_command_leaves_the_windows_up_to_date(ask: Door, tmp_path: Path) -> None:
    draft, approved = ask.draft(), ask.approved()
    run = ask.json("run", "create", approved)["id"]
    other = ask.json("run", "create", approved)
    plan: dict[str, Any] = {"id": "p", "title": "", "workspace": "", "created": "", "objective": "ship", "tasks": []}
    (tmp_path / "plan").write_text(json.dumps(plan))
    steps: dict[tuple[str, ...], Callable[[], bool]] = {
        ("plan", "set", str(tmp_path / "plan")): lambda: window(ask, "plan.json")["objective"] == "ship",
        ("draft", "edit", draft, "--prompt", "two"): lambda: window(ask, "drafts", f"{draft}.json")["prompt"] == "two",
        ("draft", "reject", draft): lambda: window(ask, "drafts", f"{draft}.json")["status"] == "rejected",
        ("run", "cancel", run): lambda: window(ask, "runs", f"{run}.json")["status"] == "cancelled",
        ("queue", "cancel", other["item_id"]): lambda: (
            window(ask, "runs", f"{other['id']}.json")["status"] == "cancelled"
        ),
        ("approved", "revoke", approved, "--reason", "no"): lambda: (
            window(ask, "approved", f"{approved}.json")["revoke_reason"] == "no"
        ),
        ("evidence", "head"): lambda: (ask.root / "storage/db/evidence/heads.jsonl").read_bytes().count(b"\n") == 1,
    }
    for words, shows in steps.items():
        assert ask(*words).code == 0, words
        assert shows(), words
        assert ask("windows", "verify").code == 0, words
    lines = (ask.root / "storage" / "db" / "evidence" / "ledger.jsonl").read_bytes().splitlines()
    assert len(lines) == ask.log_size()


def test_verify_finds_what_is_missing_edited_and_unexpected_and_touches_nothing(ask: Door) -> None:
    draft, approved = ask.draft(), ask.approved()
    run = ask.json("run", "create", approved)["id"]
    ops = ask.root / ".orch_data" / "ops"
    (ops / "drafts" / f"{draft}.json").unlink()
    edited = ops / "approved" / f"{approved}.json"
    edited.write_text(edited.read_text().replace("sweep", "weep"))
    (ops / "runs" / "r_planted.json").write_text("{}")
    (ops / "plan.json").write_text("torn {")
    before = files(ask.root)
    answered = ask("windows", "verify", "--json")
    assert answered.code == 1
    found = {Path(item["path"]).name: item["problem"] for item in json.loads(answered.out)["items"]}
    assert found == {
        f"{draft}.json": "missing",
        f"{approved}.json": "differs",
        "r_planted.json": "unexpected",
        "plan.json": "differs",
    }
    assert answered.err.startswith("error: 4 window files")
    assert files(ask.root) == before
    rebuilt = ask.json("windows", "rebuild")
    assert {Path(item["path"]).name: item["problem"] for item in rebuilt["items"]} == found
    assert ask("windows", "verify").code == 0
    assert window(ask, "drafts", f"{draft}.json")["id"] == draft
    assert window(ask, "runs", f"{run}.json")["id"] == run
    kept = {path.name: path.read_text() for path in (ask.root / ".interlock" / "kept").rglob("*.json")}
    assert kept["plan.json"] == "torn {"
    assert kept["r_planted.json"] == "{}"
    assert '"weep' in kept[f"{approved}.json"]
    assert ask.json("evidence", "list")[-1]["kind"] == "windows.rebuilt"


def test_what_a_kill_left_half_written_is_cleared_by_a_rebuild_and_nothing_of_somebody_else_s(ask: Door) -> None:
    draft = ask.draft()
    ops, evidence = ask.root / ".orch_data" / "ops", ask.root / "storage" / "db" / "evidence"
    half = [
        ops / "drafts" / f".{draft}.json.0123456789abcdef.tmp",
        ops / ".plan.json.0123456789abcdef.tmp",
        evidence / ".ledger.jsonl.0123456789abcdef.tmp",
        ask.root / ".interlock" / ".windows.json.0123456789abcdef.tmp",
    ]
    others = [
        ops / "drafts" / "notes.tmp",
        evidence / ".log.vkey.0123456789abcdef.tmp",  # whoever adds a key may be about to rename it
        ops / "drafts" / ".draft.json.tmp",
    ]
    for each in (*half, *others):
        each.write_text("{")
    assert ask("windows", "verify").code == 0
    assert ask("windows", "rebuild").code == 0
    assert [each for each in half if each.exists()] == []
    assert all(each.exists() for each in others)


@pytest.mark.parametrize("strange", ["folder", "link", "loop", "pipe-like name"])
def test_verify_survives_what_is_no_file(ask: Door, strange: str) -> None:
    draft = ask.draft()
    path = ask.root / ".orch_data" / "ops" / "drafts" / f"{draft}.json"
    before = path.read_bytes()
    path.unlink()
    if strange == "folder":
        path.mkdir()
    elif strange == "link":
        (ask.root / "elsewhere").write_bytes(b"{}")
        path.symlink_to(ask.root / "elsewhere")
    elif strange == "loop":
        path.symlink_to(path)
    else:
        path.with_name("d_\x1b[2J.json").touch()
    answered = ask("windows", "verify")
    assert answered.code == 1, answered
    assert "\x1b" not in answered.out + answered.err
    assert ask("windows", "rebuild").code == 0
    assert ask("windows", "verify").code == 0
    assert path.read_bytes() == before
    if strange == "link":
        assert (ask.root / "elsewhere").read_bytes() == b"{}"


def test_a_folder_of_windows_that_is_gone_is_made_anew(ask: Door) -> None:
    draft = ask.draft()
    for folder in (ask.root / ".orch_data" / "ops" / "drafts", ask.root / "storage" / "db" / "evidence" / "envelopes"):
        shutil.rmtree(folder, ignore_errors=True)
    assert ask("windows", "rebuild").code == 0
    assert ask("windows", "verify").code == 0
    assert window(ask, "drafts", f"{draft}.json")["id"] == draft


def test_an_unreadable_window_is_an_error_and_no_traceback(ask: Door) -> None:
    draft = ask.draft()
    path = ask.root / ".orch_data" / "ops" / "drafts" / f"{draft}.json"
    with closed(path, mode=0o000):
        answered = call("windows", "verify", at=ask.root, prefix=WITHOUT_PRIVILEGES)
    assert (answered.code, answered.err.count("\n")) == (1, 1)
    assert "Traceback" not in answered.err


def test_what_was_done_is_done_when_a_window_can_not_be_written(ask: Door) -> None:
    drafts = ask.root / ".orch_data" / "ops" / "drafts"
    with closed(drafts, mode=0o500):
        made = call("draft", "create", "--prompt", "x", "--json", at=ask.root, prefix=WITHOUT_PRIVILEGES)
    assert (made.code, made.err.count("\n")) == (0, 1)
    assert "warning: done, but the window files were not brought up to date" in made.err
    assert not list(drafts.glob("*.json"))
    ask.draft()
    assert len(list(drafts.glob("*.json"))) == 2
    assert ask("windows", "verify").code == 0


CORRUPT = {
    "missing": None,
    "empty": b"",
    "torn": b'{"shown": 4, "ent',
    "no JSON": b"\xff\xfe",
    "null": b"null",
    "a list": b"[1,2,3]",
    "another shape": b'{"shown": "many"}',
    "texts": b'{"shown":"2","entries":"2","size_bytes":"x"}',
    "negative": b'{"shown":-5,"entries":-5,"size_bytes":-5}',
    "ahead": b'{"shown":999999,"entries":999999,"size_bytes":999999}',
    "ahead by one": b'{"shown":4,"entries":4,"size_bytes":1}',
    "no number": b'{"shown":1e999,"entries":0,"size_bytes":0}',
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("content", CORRUPT.values(), ids=CORRUPT)
def test_a_spoiled_cursor_is_survived(ask: Door, content: bytes | None) -> None:
    ask.draft()
    cursor = ask.root / ".interlock" / "windows.json"
    cursor.unlink()
    if content is not None:
        cursor.write_bytes(content)
    draft = ask.draft(prompt="after")
    assert window(ask, "drafts", f"{draft}.json")["prompt"] == "after"
    assert ask("windows", "verify").code == 0
    assert ask("evidence", "head").code == 0
    assert ask("evidence", "verify").code == 0


def test_a_folder_in_the_cursor_s_place_is_an_error_and_no_traceback(ask: Door) -> None:
    cursor = ask.root / ".interlock" / "windows.json"
    cursor.unlink()
    cursor.mkdir()
    answered = ask("draft", "create", "--prompt", "x")
    assert answered.code == 0
    assert answered.err.startswith("warning: done, but")
    answered = ask("evidence", "verify")
    answered.refuses(answered.code)


def test_an_older_database_is_shown_as_it_is_from_then_on(ask: Door) -> None:
    """After a restored backup the cursor stands beyond the log's end; what happens then has to be shown too."""
    state = ask.root / ".interlock"
    house = Interlock.at(ask.root)
    ask.draft(prompt="in the backup")
    house.database.close()
    backup = {path.name: path.read_bytes() for path in state.glob("interlock.db*")}
    for _ in range(3):
        ask.draft(prompt="lost")
    for path in state.glob("interlock.db*"):
        path.unlink()
    for name, content in backup.items():
        (state / name).write_bytes(content)
    draft = ask.draft(prompt="after the restore")
    assert window(ask, "drafts", f"{draft}.json")["prompt"] == "after the restore"


def test_init_says_when_what_it_finds_differs(ask: Door) -> None:
    ask.draft()
    with (ask.root / "storage" / "db" / "evidence" / "ledger.jsonl").open("ab") as ledger:
        ledger.write(b"{}\n")
    answered = said(ask.capture, "init", str(ask.root))
    assert answered.code == 0
    assert "differs from the database's log" in answered.err


def test_a_worker_s_windows_follow_too(house: Interlock) -> None:
    for name in ("drafts", "approved", "runs"):
        (house.layout.ops / name).mkdir(parents=True)
    approved = house.approval.approve(ALICE, house.approval.create(ALICE, "x").id)
    run = house.runs.create(ALICE, approved.id)
    with house.queue(WORKER) as queue:
        queue.cancel(run.item_id)
    house.windows.catch_up(WORKER)
    assert window(house, "runs", f"{run.id}.json")["reason"] == "cancelled_by_operator"


LOOKING = """
import io, sys
from pathlib import Path
from interlock.cli.main import main
looks, wrong = 0, []
while not Path(sys.argv[1]).exists() or not looks:
    sys.stdout = io.StringIO()
    if main(["windows", "verify"]):
        wrong.append(sys.stdout.getvalue())
    looks += 1
sys.stdout = sys.__stdout__
print(looks, wrong)
sys.exit(bool(wrong))
"""


def test_verify_raises_no_alarm_about_what_is_just_being_written(ask: Door, tmp_path: Path) -> None:
    looking = subprocess.Popen(
        [sys.executable, "-c", LOOKING, str(tmp_path / "ended")],
        cwd=ask.root,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        for _ in range(25):
            ask.approved()
    finally:
        (tmp_path / "ended").touch()
        told = looking.communicate(timeout=45)[0]
    assert looking.returncode == 0, told[:500]


@pytest.mark.parametrize("name", ["d_01ARZ3NDEKTSV4RRFFQ69G5FAV", "r_01ARZ3NDEKTSV4RRFFQ69G5FAV", "plan"])
def test_a_row_that_bears_another_thing_s_name_shows_nothing(ask: Door, name: str) -> None:
    queue = str(ask.root / "automation" / "orchestrator" / "QUEUE.md")
    added = ask("queue", "--queue", queue, "add", "--id", name, "--task", "t", "--success-criteria", "s")
    assert (added.code, added.err) == (0, "")
    assert ask("windows", "verify").code == 0
    assert ask.json("evidence", "list", "--limit", "1000")[-1]["subject"] == name
