"""Replay: the ledger alone gives the state back, every file is held against it, and each forgery has its own code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from interlock.app import Interlock
from interlock.evidence.errors import (
    EnvelopeRejected,
    EvidenceError,
    FileMissing,
    HeadSignatureInvalid,
    IndexMismatch,
    LeafMismatch,
    LedgerTruncated,
    MirrorDrift,
    ReportMismatch,
    RootMismatch,
    StateMismatch,
    TailTorn,
)
from interlock.evidence.keys import create_key
from interlock.evidence.ledger import render_line
from interlock.kernel.canonical import canonical
from interlock.kernel.ids import UlidSource
from interlock.pipelines.models import Status
from interlock.pipelines.rendering import STATE_PATH
from interlock.settings import Settings
from interlock.storage.evidence import StoredLog
from interlock.storage.sqlite.database import SqliteDatabase
from interlock.workspace.cicd import CICDSystem, StateUnreadable
from interlock.workspace.events import WorkspaceCreated
from interlock.workspace.layout import Layout
from interlock.workspace.replay import NotThen, render_report, replay, settled, verify_report
from interlock.workspace.service import make_keys
from tests.cli.door import WITHOUT_PRIVILEGES, Said, said
from tests.conftest import ORIGIN
from tests.pipelines.fleet import DEPLOY, RUN, deployed
from tests.workspace.told import APPENDED, INDEX, MIRROR, REPORT, budget, caught_up, fixed, say, signed_run

LEDGER, HEADS = "storage/db/evidence/ledger.jsonl", "storage/db/evidence/heads.jsonl"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Interlock]:
    """A workspace in which a signed run and a deployment happened; never changed."""
    root = tmp_path_factory.mktemp("original")
    layout = Layout(root)
    layout.state.mkdir()
    database = SqliteDatabase(layout.database)
    database.create(ORIGIN)
    make_keys(layout, ORIGIN, "alice")
    house = Interlock(layout, Settings(), database, UlidSource())
    say(house, WorkspaceCreated(subject="workspace", origin=ORIGIN))
    signed_run(house)
    say(house, *deployed(), budget(), fixed())
    caught_up(house)
    yield house
    database.close()


@pytest.fixture
def snapshot(original: Interlock, tmp_path: Path) -> Path:
    """A copy of what an auditor gets: no state folder, no database, no key."""
    for name in (".workspace", "storage", "docs"):
        shutil.copytree(original.layout.root / name, tmp_path / "snapshot" / name)
    return tmp_path / "snapshot"


def edit(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


def without_heads(snapshot: Path) -> None:
    (snapshot / HEADS).unlink()


@pytest.mark.proves("evidence-state")
def test_the_ledger_alone_gives_every_file_byte_for_byte(original: Interlock, snapshot: Path) -> None:
    replayed = replay(snapshot)
    assert replayed.state == (snapshot / STATE_PATH).read_bytes()
    assert replayed.entries == StoredLog(original.database).size()
    assert replayed.fleet.pipelines[RUN].status is Status.SUCCESS
    assert replayed.fleet.deployments[DEPLOY].status is Status.SUCCESS
    assert 0 < replayed.covered < replayed.entries, "the head was signed before the deployment"
    assert replayed.caveats == ()
    assert render_report(snapshot) == (snapshot / REPORT).read_bytes()
    assert verify_report(snapshot) == 1


def test_a_folder_that_may_only_be_read_is_enough(snapshot: Path) -> None:
    subprocess.run(["chmod", "-R", "a-w", snapshot], check=True)
    code = f"from pathlib import Path; from interlock.workspace.replay import replay; replay(Path({str(snapshot)!r}))"
    subprocess.run([*WITHOUT_PRIVILEGES, sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("path", [path for path in APPENDED if path != REPORT])
@pytest.mark.parametrize("how", ["one byte", "cut tail", "torn", "gone", "a line more"])
def test_a_copy_of_a_log_that_drifts_is_named(snapshot: Path, path: str, how: str) -> None:
    file = snapshot / path
    whole = file.read_bytes()
    changed = {
        "one byte": whole[:60] + bytes([whole[60] ^ 1]) + whole[61:],
        "cut tail": b"".join(whole.splitlines(keepends=True)[:-1]),
        "torn": whole[:-7],
        "a line more": whole + b"{}\n",
    }
    file.unlink() if how == "gone" else file.write_bytes(changed[how])
    with pytest.raises(MirrorDrift) as caught:
        replay(snapshot)
    assert caught.value.exit_code == 30
    assert caught.value.message.startswith(f"{path}: ")
    assert "and also" not in caught.value.message


def test_what_is_wrong_in_several_files_is_all_named_and_a_drifting_log_first(snapshot: Path) -> None:
    for path in (REPORT, STATE_PATH, MIRROR):
        (snapshot / path).unlink()
    with pytest.raises(MirrorDrift, match=rf"{MIRROR}: it is not there.*and also {STATE_PATH}, {REPORT}"):
        replay(snapshot)


def test_an_edited_state_is_named(snapshot: Path) -> None:
    file = snapshot / STATE_PATH
    file.write_bytes(file.read_bytes().replace(b'"Success"', b'"Failed"', 1))
    with pytest.raises(StateMismatch, match=r"state\.json: line \d+ is not what the log says") as caught:
        replay(snapshot)
    assert caught.value.exit_code == 32


def test_edited_and_forged_snapshots_are_named(snapshot: Path) -> None:
    (file,) = (snapshot / "storage/db/auto_fix").glob("*-auto-fix.json")
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b"review", b"allow"))
    with pytest.raises(MirrorDrift, match=file.name):
        replay(snapshot)
    file.write_bytes(whole)
    file.with_name("1-forged-auto-fix.json").write_bytes(whole)
    with pytest.raises(MirrorDrift, match="1-forged-auto-fix"):
        replay(snapshot)


ROW = '| 2026-09-01T10:00:00.000Z | p | s | r | i | a | succeeded | {"evidence":"leaf:1:0a1b2c3d4e5f"} |\n'


REPORT_EDITS: list[tuple[Callable[[str], str], str]] = [
    (lambda text: text + ROW, "row without evidence"),
    (lambda text: text.replace("succeeded", "failed"), "row was changed"),
    (lambda text: "".join(text.splitlines(keepends=True)[:-1]), "row is missing"),
]


@pytest.mark.parametrize(("change", "words"), REPORT_EDITS)
def test_a_report_that_says_what_the_log_does_not_is_named(
    snapshot: Path, change: Callable[[str], str], words: str
) -> None:
    file = snapshot / REPORT
    file.write_text(change(file.read_text()))
    for look in (replay, verify_report):
        with pytest.raises(ReportMismatch, match=words) as caught:
            look(snapshot)
        assert caught.value.exit_code == 31


def leaf_edit(snapshot: Path, index: int, change: Callable[[dict[str, Any]], None]) -> None:
    """Edit an event and make its line anew, as somebody would who knows our code and has no key."""
    lines = (snapshot / LEDGER).read_bytes().splitlines(keepends=True)
    event = json.loads(lines[index])["event"]
    change(event)
    lines[index] = render_line(index, canonical(event))
    (snapshot / LEDGER).write_bytes(b"".join(lines))


def place(snapshot: Path, kind: str) -> int:
    lines = (snapshot / LEDGER).read_bytes().splitlines()
    return next(index for index, line in enumerate(lines) if json.loads(line)["event"]["kind"] == kind)


LEDGER_EDITS: list[tuple[Callable[[list[bytes]], list[bytes]], type[EvidenceError], int]] = [
    (lambda lines: [*lines[:5], *lines[6:]], IndexMismatch, 12),
    (lambda lines: [*lines[:5], lines[6], lines[5], *lines[7:]], IndexMismatch, 12),
    (lambda lines: [*lines[:-1], lines[-1][:-5]], TailTorn, 11),
    (lambda lines: [*lines[:5], lines[5].replace(b"alice", b"mallo"), *lines[6:]], LeafMismatch, 13),
    (lambda lines: lines[:5], LedgerTruncated, 17),
]


@pytest.mark.parametrize(("change", "error", "code"), LEDGER_EDITS)
def test_what_is_wrong_with_the_ledger_itself_comes_first(
    snapshot: Path, change: Callable[[list[bytes]], list[bytes]], error: type[EvidenceError], code: int
) -> None:
    edit(snapshot / LEDGER, change)
    (snapshot / MIRROR).unlink()
    with pytest.raises(error) as caught:
        replay(snapshot)
    assert caught.value.exit_code == code


def test_an_event_that_was_rewritten_with_its_line_is_seen_by_the_signed_head(snapshot: Path) -> None:
    def rename(event: dict[str, Any]) -> None:
        event["payload"]["name"] = "evil"

    leaf_edit(snapshot, place(snapshot, "pipeline.state.created"), rename)
    with pytest.raises(RootMismatch):
        replay(snapshot)
    without_heads(snapshot)
    with pytest.raises(MirrorDrift):
        replay(snapshot)


def test_a_ledger_whose_events_can_not_follow_each_other_is_refused(snapshot: Path) -> None:
    without_heads(snapshot)

    def jump(event: dict[str, Any]) -> None:
        event["payload"]["current_status"] = "Pending"

    index = place(snapshot, "pipeline.state.status_changed")
    leaf_edit(snapshot, index, jump)
    with pytest.raises(StateMismatch, match=rf"entry {index} .*Pending does not become Pending"):
        replay(snapshot)

    def forget(event: dict[str, Any]) -> None:
        del event["payload"]["workflow"]

    shutil.copy(snapshot / LEDGER, snapshot / "ledger")
    leaf_edit(snapshot, index, lambda event: event["payload"].update(current_status="Running"))
    leaf_edit(snapshot, place(snapshot, "deployment_outcome.recorded"), forget)
    for look in (replay, render_report, verify_report):
        with pytest.raises(StateMismatch, match="lacks what it has to tell"):
            look(snapshot)


def test_a_ledger_with_a_receipt_that_does_not_follow_from_its_jobs_is_refused(snapshot: Path) -> None:
    without_heads(snapshot)
    index = place(snapshot, "deployment_outcome.recorded")
    told: dict[str, object] = {
        "workflow_id": "w",
        "stage_id": "s",
        "stage_type": "t",
        "root": "0" * 64,
        "levels": [],
        "leaves": [],
    }
    leaf_edit(snapshot, index, lambda event: event.update(kind="stage_receipt.issued", payload=told))
    with pytest.raises(StateMismatch, match=rf"entry {index} .*do not follow from its jobs"):
        replay(snapshot)


def test_a_ledger_of_which_no_state_can_be_told_is_refused(snapshot: Path) -> None:
    without_heads(snapshot)
    index = place(snapshot, "pipeline.state.created")
    leaf_edit(snapshot, index, lambda event: event["payload"].update(triggered_ms=None))
    with pytest.raises(StateMismatch, match="no state can be told"):
        replay(snapshot)
    with pytest.raises(StateMismatch, match="no state can be told"):
        replay(snapshot, index)
    with pytest.raises(StateMismatch, match="no state can be told"):
        CICDSystem(snapshot).load_state_from_disk()


def test_a_head_that_another_key_signed_is_refused(snapshot: Path) -> None:
    head = json.loads((snapshot / HEADS).read_bytes())
    lines = head["note"].split("\n")
    signature = lines[4]
    lines[4] = signature[:-6] + ("A" if signature[-6] != "A" else "B") + signature[-5:]
    head["note"] = "\n".join(lines)
    (snapshot / HEADS).write_bytes(canonical(head) + b"\n")
    with pytest.raises(HeadSignatureInvalid):
        replay(snapshot)


def test_an_auditors_own_copy_of_the_key_counts_and_not_the_one_in_the_snapshot(
    snapshot: Path, tmp_path: Path, ask: Callable[..., Said]
) -> None:
    create_key(tmp_path / "other.key", ORIGIN)
    vkey = snapshot / "storage/db/evidence/log.vkey"
    shutil.copy(vkey, tmp_path / "mine.vkey")
    shutil.copy(tmp_path / "other.vkey", vkey)
    with pytest.raises(EvidenceError):
        replay(snapshot)
    assert replay(snapshot, key=tmp_path / "mine.vkey").covered
    assert ask("replay", "--root", str(snapshot), "--key", str(tmp_path / "mine.vkey")).err == ""
    shutil.copy(tmp_path / "mine.vkey", vkey)
    assert "trusted the key that lies beside the ledger" in ask("replay", "--root", str(snapshot)).err


def test_without_a_ledger_there_is_nothing_to_replay(snapshot: Path) -> None:
    (snapshot / LEDGER).unlink()
    with pytest.raises(FileMissing):
        replay(snapshot)


def test_without_the_logs_key_the_replay_says_that_it_checked_no_signature(snapshot: Path) -> None:
    (snapshot / "storage/db/evidence/log.vkey").unlink()
    replayed = replay(snapshot)
    assert replayed.covered == 0
    assert len(replayed.caveats) == 1
    assert "no signature was checked" in replayed.caveats[0]


# --- history ----------------------------------------------------------------------------------------------------------


@pytest.mark.proves("evidence-replay")
def test_the_history_of_a_pipeline_shows_each_event_and_whose_signature_it_bears(snapshot: Path) -> None:
    history = replay(snapshot, subject=RUN).history
    assert [moment.kind for moment in history][:2] == ["pipeline.state.created", "pipeline.state.status_changed"]
    signed = {moment.kind: moment for moment in history if moment.signed_by}
    assert set(signed) == {"pipeline.state.checkpoint_passed", "deployment_outcome.recorded"}
    passed = signed["pipeline.state.checkpoint_passed"]
    assert (passed.principal, passed.signed_by) == ("agent:PlanAgent", "principal")
    assert [moment.index for moment in history] == sorted(moment.index for moment in history)
    kinds = {moment.kind: moment.covered for moment in history}
    assert kinds["pipeline.state.created"]
    assert not kinds["deployment.state.created"], "told after the last head"
    assert replay(snapshot, subject=DEPLOY).history[0].kind == "deployment.state.created"


def test_an_envelope_that_was_edited_or_is_gone_is_named_with_its_entry(snapshot: Path) -> None:
    moment = next(each for each in replay(snapshot, subject=RUN).history if each.attestation)
    assert moment.attestation is not None
    file = snapshot / "storage/db/evidence/envelopes" / f"{moment.attestation.removeprefix('sha256:')}.json"
    whole = file.read_bytes()
    file.write_bytes(whole + b" ")
    with pytest.raises(EnvelopeRejected, match=f"entry {moment.index} "):
        replay(snapshot, subject=RUN)
    file.unlink()
    with pytest.raises(FileMissing, match=f"entry {moment.index} "):
        replay(snapshot, subject=RUN)
    replay(snapshot)


# --- as of then -------------------------------------------------------------------------------------------------------


def test_the_state_is_shown_as_of_an_entry_or_an_instant(original: Interlock, snapshot: Path) -> None:
    begun = place(snapshot, "pipeline.state.job_started")
    assert replay(snapshot, begun).fleet.pipelines[RUN].status is Status.RUNNING
    assert replay(snapshot, str(begun)).fleet.deployments == {}
    created = place(snapshot, "pipeline.state.created")
    assert replay(snapshot, created).fleet.pipelines[RUN].status is Status.PENDING
    assert replay(snapshot, created).last_index == created
    assert replay(snapshot, 0).fleet.pipelines == {}
    log = StoredLog(original.database)
    entries = [event for _, event in log.events(0, 1000)]
    early = entries[created]["time"]
    assert replay(snapshot, early).entries == sum(event["time"] <= early for event in entries)
    assert replay(snapshot, "2020-01-01T00:00:00Z").entries == 0
    assert replay(snapshot, "2120-01-01T00:00:00+01:00").entries == len(entries)


def test_as_of_then_no_file_is_looked_at(snapshot: Path) -> None:
    for path in (REPORT, STATE_PATH, MIRROR, INDEX):
        (snapshot / path).unlink()
    assert replay(snapshot, 3).entries == 4


@pytest.mark.parametrize("at", ["10000", "yesterday", "2026-01-01T00:00:00", "-1", "", "2026-13-01T00:00:00Z"])
def test_a_moment_that_is_none_is_refused(snapshot: Path, at: str) -> None:
    with pytest.raises(NotThen):
        replay(snapshot, at)


# --- the library ------------------------------------------------------------------------------------------------------


def test_the_library_loads_what_the_ledger_vouches_for(snapshot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOA_WORKFLOW_ROOT", str(snapshot))
    system = CICDSystem()
    assert system.root == snapshot
    assert system.pipelines == {}
    system.load_state_from_disk()
    assert system.pipeline(RUN).status is Status.SUCCESS
    assert list(system.deployments) == [DEPLOY]
    assert system.deployment(DEPLOY).version == "2.4.1"
    assert system.history(RUN)[0].kind == "pipeline.state.created"
    system.configure_workspace_root(snapshot.parent)
    assert system.pipelines == {}
    assert system.load_state_from_disk().pipelines == {}, "nothing there is empty"


def test_the_library_refuses_a_state_that_the_ledger_does_not_vouch_for(snapshot: Path) -> None:
    file, system = snapshot / STATE_PATH, CICDSystem(snapshot)
    whole = file.read_bytes()
    for data in (whole.replace(b'"Success"', b'"Failed"', 1), b"", whole + b"\n"):
        file.write_bytes(data)
        with pytest.raises(StateMismatch):
            system.load_state_from_disk()
        assert system.pipelines == {}
    file.write_bytes(whole.replace(b'"Success"', b'"Failed"', 1))
    assert system.load_state_from_disk(verify=False).pipelines[RUN].status is Status.FAILED


@pytest.mark.parametrize(
    "data", [b"{", b"[]", b"7", b'{"pipelines":[{}],"deployments":[]}', b'{"pipelines":1}', b"\xff"]
)
def test_a_malformed_state_is_an_error_and_never_an_empty_one(snapshot: Path, data: bytes) -> None:
    (snapshot / STATE_PATH).write_bytes(data)
    system = CICDSystem(snapshot)
    for verify in (False, True):
        with pytest.raises(StateUnreadable):
            system.load_state_from_disk(verify=verify)


# --- at the door ------------------------------------------------------------------------------------------------------


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Said]:
    """Call `interlock evidence`, far from any workspace."""
    for name in list(os.environ):
        if name.startswith(("INTERLOCK_", "NOA_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return lambda *words: said(capsys, "evidence", *words)


def test_replay_at_the_door_says_what_it_found(
    ask: Callable[..., Said], snapshot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = ask("replay", "--root", str(snapshot))
    assert answered.code == 0, answered
    assert f"{RUN}  Success     nightly" in answered.out
    assert "every file that follows the log says what it says" in answered.out
    monkeypatch.setenv("NOA_WORKFLOW_ROOT", str(snapshot))
    shown = ask("replay", "--pipeline", RUN, "--json").json
    assert shown["status"] == "replayed"
    assert [each["id"] for each in shown["pipelines"]] == [RUN]
    assert {each["signed_by"] for each in shown["history"]} == {None, "principal"}
    assert "every file" not in ask("replay", "--at", "2").out
    assert "signed (principal)" in ask("replay", "--pipeline", RUN).out
    ask("replay", "--pipeline", "pipeline_x").refuses(3, "tells of no")
    ask("replay", "--at", "never").refuses(2, "never")


@pytest.mark.parametrize(("path", "code"), [(MIRROR, 30), (INDEX, 30), (REPORT, 31), (STATE_PATH, 32)])
def test_each_kind_of_difference_has_its_own_exit_code(
    ask: Callable[..., Said], snapshot: Path, path: str, code: int
) -> None:
    file = snapshot / path
    file.write_bytes(file.read_bytes()[:-20])
    ask("replay", "--root", str(snapshot)).refuses(code, path)


def test_the_report_is_printed_or_held_against_the_ledger(ask: Callable[..., Said], snapshot: Path) -> None:
    file = snapshot / REPORT
    assert ask("report", "--root", str(snapshot)).out == file.read_text()
    assert ask("report", "--root", str(snapshot), "--json").json["report"] == file.read_text()
    assert ask("report", "--verify", "--root", str(snapshot)).out == "1 rows, each as the ledger tells it\n"
    file.write_text(file.read_text() + ROW)
    ask("report", "--verify", "--root", str(snapshot)).refuses(31, "row without evidence")


def test_a_workspace_in_use_is_given_a_moment(ask: Callable[..., Said], snapshot: Path) -> None:
    away, file = snapshot / "away", snapshot / STATE_PATH
    file.rename(away)
    looked = threading.Event()

    def write() -> None:
        looked.wait(5)
        away.rename(file)

    def look() -> int:
        looked.set()
        return replay(snapshot).entries

    with pytest.raises(StateMismatch):
        settled(snapshot, lambda: replay(snapshot))
    (snapshot / ".interlock").mkdir()
    ask("replay", "--root", str(snapshot)).refuses(32, "state.json")
    writer = threading.Thread(target=write)
    writer.start()
    assert settled(snapshot, look)
    writer.join()
