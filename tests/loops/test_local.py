"""The local transport: what it can not have it says why, and a log of any size costs no memory."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from interlock.loops.local import Ask, Ingested, IngestFailed, Local
from tests.loops.loop import NOW, Loop

ROOT = Path(__file__).parents[2]
MEBIBYTE = 1024**2


def ingest(loop: Loop) -> Ingested | IngestFailed:
    return Local().ingest(Ask(loop.places, after=0, max_events=0, trace_id="t-1", now=NOW))


def failed(loop: Loop) -> tuple[str, str]:
    found = ingest(loop)
    assert isinstance(found, IngestFailed)
    return found.code, found.message


def test_what_is_there_comes_as_one_look(loop: Loop) -> None:
    found = ingest(loop.running().beat())
    assert isinstance(found, Ingested)
    assert (found.snapshot.status, found.batch.ingested, found.offset, found.total) == ("running", 2, 2, 2)
    assert found.snapshot.offset == found.total
    assert found.findings == ()


def test_absent_artefacts_are_snapshot_unavailable(loop: Loop) -> None:
    assert failed(loop) == ("snapshot_unavailable", f"required artifact missing: {loop.log}")
    loop.run.rmdir()
    assert failed(loop) == ("snapshot_unavailable", f"required artifact root missing: {loop.run}")


def test_a_log_that_can_not_be_read_is_events_unavailable(loop: Loop) -> None:
    loop.log.mkdir()
    assert failed(loop) == ("events_unavailable", f"{loop.log} is no file")


def test_an_artefact_that_can_not_be_read_is_snapshot_unavailable(loop: Loop) -> None:
    loop.running()
    os.mkfifo(loop.run / "approval.json")
    assert failed(loop) == ("snapshot_unavailable", f"{loop.run / 'approval.json'} is no file")


def test_an_empty_log_is_one_without_events(loop: Loop) -> None:
    found = ingest(loop.raw(b"").state())
    assert isinstance(found, Ingested)
    assert (found.snapshot.status, found.snapshot.last_event_name, found.total) == ("running", None, 0)


RECONCILED = """
import json, sys
from pathlib import Path
from tests.loops.loop import Loop
loop = Loop(Path(sys.argv[1]))
outcomes = [loop.reconcile() for _ in range(2)]
print(json.dumps([[each.exit_code, each.document["health"]["reasonCodes"]] for each in outcomes]))
"""


def reconciled_in(loop: Loop, megabytes: int) -> list[list[object]]:
    """Reconcile twice in a process that may have no more memory than this."""
    limit = (megabytes * MEBIBYTE, megabytes * MEBIBYTE)
    done = subprocess.run(
        [sys.executable, "-c", RECONCILED, str(loop.repo)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, limit),
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_two_gigabytes_of_a_line_that_never_ended_cost_no_memory(loop: Loop) -> None:
    loop.state().events("loop_start")
    with loop.log.open("r+b") as file:
        file.truncate(2048 * MEBIBYTE)  # holes
    loop.raw(b"\n").events("role_start").raw(b'{"torn')
    assert reconciled_in(loop, 300) == [[0, ["events_invalid"]], [0, []]]
    assert loop.kept("cursor.json")["eventLineOffset"] == 3


def test_three_hundred_thousand_events_at_once_cost_no_memory(loop: Loop) -> None:
    line = json.dumps(loop.event("role_end", message="x" * 200)).encode() + b"\n"
    with loop.state().log.open("wb") as file:
        for _ in range(100):
            file.write(line * 3000)
    assert loop.log.stat().st_size > 90 * MEBIBYTE
    assert reconciled_in(loop, 120) == [[0, []], [0, []]]
    assert loop.kept("cursor.json")["eventLineOffset"] == 300_000


@pytest.mark.parametrize("data", [b"", b"\n", b"\n\n \n", b"\x00" * 10, b"\x00\n" * 3, b"\xff\xfe\n"])
def test_a_log_of_nonsense_is_survived(loop: Loop, data: bytes) -> None:
    assert loop.state().raw(data).reconcile().exit_code == 0
    loop.events("role_start")
    assert loop.reconcile().exit_code == 0
