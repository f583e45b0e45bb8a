"""A snapshot: what the runtime's artefacts say at one moment, in the envelope that other tools read."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from interlock.loops import artefacts, snapshot
from interlock.loops.errors import ArtifactCorrupt, ArtifactMissing, ArtifactUnsupported, EnvelopeInvalid
from interlock.loops.files import Document, FileUnreadable
from interlock.loops.models import stamp
from interlock.loops.snapshot import Snapshot
from tests.loops.loop import DEAD_PID, NOW, Loop


def take(loop: Loop, **flags: str) -> Document:
    return snapshot.take(loop.places, now=NOW, **flags)  # pyright: ignore[reportArgumentType] - flags are all text


def test_the_envelope_has_exactly_the_keys_of_the_contract_in_their_order(loop: Loop) -> None:
    found = take(loop.running().beat(), trace_id="t-1")
    assert list(found) == [
        "schemaVersion",
        "envelopeType",
        "emittedAt",
        "traceId",
        "source",
        "run",
        "runtime",
        "artifacts",
        "sequence",
        "cursor",
        "health",
    ]
    assert found["source"] == {"repoPath": str(loop.repo), "loopId": "docs"}
    assert list(found["run"]) == ["runId", "iteration", "status", "summary"]
    assert list(found["runtime"]) == ["superloopState", "activeRun", "approval", "heartbeat"]
    assert list(found["artifacts"]) == ["events", "runSummary", "state", "activeRun", "approval", "heartbeat"]
    assert found["sequence"] == {"source": "cursor_event_line_offset", "value": 2}
    assert found["cursor"] == {"eventLineOffset": 2, "eventLineCount": 2}
    assert found["health"] == {
        "eventCount": 2,
        "lastEventAt": stamp(NOW),
        "lastEventName": "iteration_start",
        "lastSummaryAt": stamp(NOW),
        "hasPendingApproval": False,
        "gates": {"tests": "ok", "lifecycle": "ok"},
        "stuck": {"streak": 0, "threshold": 3},
    }


def test_an_artefact_is_described_by_its_bytes(loop: Loop) -> None:
    shown = take(loop.running())["artifacts"]
    data = loop.log.read_bytes()
    assert shown["events"] == {
        "path": ".superloop/loops/docs/events.jsonl",
        "exists": True,
        "sizeBytes": len(data),
        "lineCount": 2,
        "sha256": hashlib.sha256(data).hexdigest(),
        "mtimeEpoch": int(loop.log.stat().st_mtime),
    }
    assert shown["heartbeat"] == {
        "path": ".superloop/loops/docs/heartbeat.v1.json",
        "exists": False,
        "sizeBytes": 0,
        "lineCount": 0,
        "sha256": None,
        "mtimeEpoch": None,
    }


def test_nulls_are_kept_where_nothing_is_known(loop: Loop) -> None:
    found = take(loop.raw(b""))
    assert found["traceId"] is None
    assert found["run"] == {"runId": "unknown", "iteration": 0, "status": "unknown", "summary": None}
    assert found["runtime"] == {"superloopState": None, "activeRun": None, "approval": None, "heartbeat": None}
    assert found["health"]["lastEventAt"] is None


def test_the_last_finished_iteration_wins_over_the_live_one(loop: Loop) -> None:
    assert take(loop.running())["run"]["iteration"] == 1
    assert take(loop, run_id="r-9")["run"]["runId"] == "r-9"


def test_the_state_gives_the_iteration_that_nobody_else_knows(loop: Loop) -> None:
    loop.raw(b"").state(iteration="4")
    assert take(loop)["run"]["iteration"] == 4


def test_a_new_run_after_a_complete_one_shows_nothing_of_the_old(loop: Loop) -> None:
    loop.state().summary(completion_ok=True, ended=NOW - 60).events("loop_start", run_id="r-8", iteration=1)
    found = take(loop)
    assert found["run"] == {"runId": "r-8", "iteration": 1, "status": "running", "summary": None}
    assert found["health"]["gates"] is None
    assert found["health"]["lastSummaryAt"] == stamp(NOW - 60)


# --- what is wrong with artefacts -------------------------------------------------------------------------------------


def test_an_absent_run_folder_is_told_apart_from_an_absent_log(loop: Loop) -> None:
    with pytest.raises(ArtifactMissing, match=r"required artifact missing: .*/events\.jsonl"):
        take(loop)
    loop.run.rmdir()
    with pytest.raises(ArtifactMissing, match=r"required artifact root missing: .*/docs"):
        take(loop)


@pytest.mark.parametrize(
    "name",
    [
        "state.json",
        "active-run.json",
        "loops/docs/run-summary.json",
        "loops/docs/approval.json",
        "loops/docs/heartbeat.v1.json",
    ],
)
@pytest.mark.parametrize("data", [b"", b'{"entries":[', b"[]", b"\x00\xff"])
def test_each_artefact_that_is_no_json_is_named(loop: Loop, name: str, data: bytes) -> None:
    loop.running().beat().approval().active_run()
    (loop.repo / ".superloop" / name).write_bytes(data)
    with pytest.raises(ArtifactCorrupt, match=f"invalid JSON in .*{name}"):
        take(loop)


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("run-summary.json", {"version": 2}),
        ("run-summary.json", {"version": [1]}),
        ("heartbeat.v1.json", {"schemaVersion": "v2"}),
    ],
)
def test_an_artefact_of_another_version_is_named(loop: Loop, name: str, document: Document) -> None:
    loop.running()
    (loop.run / name).write_text(json.dumps(document))
    with pytest.raises(ArtifactUnsupported, match=f"unsupported version in .*{name}"):
        take(loop)


def test_a_file_that_is_torn_while_it_is_written_is_looked_at_again(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop.running()
    path = loop.repo / ".superloop" / "state.json"
    whole = path.read_bytes()
    path.write_bytes(whole[:9])

    def written_meanwhile(_: float) -> None:
        path.write_bytes(whole)

    monkeypatch.setattr(artefacts.time, "sleep", written_meanwhile)
    assert take(loop)["run"]["status"] == "running"


def test_a_line_that_is_just_being_written_is_not_counted(loop: Loop) -> None:
    found = take(loop.running().raw(b'{"timestamp":"2026'))
    assert found["health"]["eventCount"] == 2
    assert found["health"]["lastEventName"] == "iteration_start"


@pytest.mark.parametrize("blank", [b"\n", b"\n\n", b"  \n"])
def test_blank_last_lines_are_counted_and_hide_no_event(loop: Loop, blank: bytes) -> None:
    found = take(loop.running().raw(blank))
    assert found["health"]["lastEventName"] == "iteration_start"
    assert found["cursor"]["eventLineOffset"] == 2 + blank.count(b"\n")


def test_a_whole_last_line_that_is_no_json_is_named(loop: Loop) -> None:
    with pytest.raises(ArtifactCorrupt, match=r"invalid JSON in final events line: .*events\.jsonl"):
        take(loop.running().raw(b'{"timestamp":\n'))


def test_an_artefact_that_is_no_file_is_told(loop: Loop) -> None:
    loop.running()
    (loop.run / "approval.json").mkdir()
    with pytest.raises(FileUnreadable, match=r"approval\.json is no file"):
        take(loop)


# --- the process ------------------------------------------------------------------------------------------------------


def test_a_loop_whose_process_is_gone_has_failed(loop: Loop) -> None:
    found = take(loop.running().active_run(pid=DEAD_PID, updated_at=stamp(NOW)))
    assert found["run"]["status"] == "failed"
    assert Snapshot.of(found, "docs").process_dead


@pytest.mark.skipif(sys.platform != "linux", reason="only /proc tells when a process began")
def test_a_loop_whose_process_number_is_another_ones_by_now_has_failed(loop: Loop) -> None:
    found = take(loop.running().active_run(pid=os.getpid(), updated_at="2020-01-01T00:00:00Z"))
    assert found["run"]["status"] == "failed"


@pytest.mark.skipif(sys.platform != "linux", reason="only /proc tells")
def test_a_loop_whose_process_is_only_a_zombie_has_failed(loop: Loop) -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.read()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        found = take(loop.running().active_run(pid=child.pid, updated_at="2999-01-01T00:00:00Z"))
    assert found["run"]["status"] == "failed"


@pytest.mark.parametrize(
    "noted",
    [
        {"pid": os.getpid(), "updated_at": "2999-01-01T00:00:00Z"},
        {"pid": os.getpid(), "updated_at": "when?"},
        {"pid": 1, "updated_at": "2999-01-01T00:00:00Z"},
        {"pid": DEAD_PID, "loop_id": "other"},
        {"pid": "none"},
        {"pid": 0},
        {"pid": -1},
        {},
    ],
)
def test_a_loop_of_whose_process_nothing_bad_is_known_runs(loop: Loop, noted: Document) -> None:
    assert take(loop.running().active_run(**noted))["run"]["status"] == "running"


def test_no_process_note_means_nothing(loop: Loop) -> None:
    assert take(loop.running())["run"]["status"] == "running"


# --- somebody else's envelope -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change", [{"schemaVersion": "v2"}, {"envelopeType": "loop_run_event"}, {"source": {"loopId": "other"}}]
)
def test_an_envelope_of_another_kind_version_or_loop_is_refused(loop: Loop, change: Document) -> None:
    with pytest.raises(EnvelopeInvalid, match="snapshot envelope is invalid or loop id mismatch"):
        Snapshot.of(take(loop.running()) | change, "docs")


def test_an_envelope_of_another_path_is_accepted(loop: Loop) -> None:
    found = take(loop.running()) | {"source": {"repoPath": "/tmp/demo", "loopId": "docs"}}  # noqa: S108 - a fixture's
    assert Snapshot.of(found, "docs").status == "running"


def test_an_envelope_of_which_most_is_missing_is_read_as_unknown() -> None:
    bare = {"schemaVersion": "v1", "envelopeType": "loop_run_snapshot", "source": {"loopId": "docs"}}
    found = Snapshot.of(bare, "docs")
    assert (found.status, found.offset, found.sequence) == ("unknown", 0, None)


def test_the_loops_paths_are_not_resolved(tmp_path: Path) -> None:
    real = Loop(tmp_path / "real").running()
    (tmp_path / "link").symlink_to(real.repo)
    found = take(Loop(tmp_path / "link"))
    assert found["source"]["repoPath"] == str(tmp_path / "link")
