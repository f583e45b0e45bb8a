"""`/ops/runs/{run_id}/receipt`: what is downloaded is what the command line checks."""

from __future__ import annotations

from pathlib import Path

import pytest

from interlock.approval.models import Work
from tests.cli.door import said
from tests.conftest import ALICE
from tests.http.served import Served, told


def test_a_downloaded_receipt_is_checked_on_the_command_line(
    any_served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    house = any_served.house
    draft = house.approval.create(ALICE, "do it", work=Work(command=("true",)))
    run_id = house.runs.create(ALICE, house.approval.approve(ALICE, draft.id).id).id
    client = any_served.client("actions", "agent")
    told(client.get(f"/ops/runs/{run_id}/receipt"), 409, "run_state_conflict")
    house.worker(once=True).work()
    answer = client.get(f"/ops/runs/{run_id}/receipt")
    if answer.status_code == 409:
        told(answer, 409, "entry_not_covered")
        assert any_served.client("operator").post("/ops/evidence/head").status_code == 200
        answer = client.get(f"/ops/runs/{run_id}/receipt")
    assert answer.headers["content-disposition"] == f'attachment; filename="{run_id}.receipt.json"'
    file, key = tmp_path / "receipt.json", str(house.layout.evidence / "log.vkey")
    file.write_bytes(answer.content)
    shown = said(capsys, "evidence", "check-receipt", str(file), "--key", key, "--json").json
    assert (shown["id"], shown["status"], shown["approved_by"]) == (run_id, "done", "human:alice")
    file.write_bytes(answer.content.replace(b"human:alice", b"human:mallo"))
    assert said(capsys, "evidence", "check-receipt", str(file), "--key", key).code not in {0, 1, 2}


def test_there_is_no_receipt_of_a_run_that_is_not_there(shared: Served) -> None:
    told(shared.client().get("/ops/runs/r_01ARZ3NDEKTSV4RRFFQ69G5FAV/receipt"), 404)
