"""What is true of a run, over HTTP and from afar: the same as where the workspace is."""

from __future__ import annotations

from interlock.approval.models import Work
from interlock.queue.models import Executor
from interlock.runs.truth import Action, Truth, Verdict
from tests.conftest import ALICE, WORKER
from tests.http.served import told
from tests.remote.far import Far


def test_a_verdict_is_the_same_on_every_door_and_gone_with_its_run(any_far: Far) -> None:
    house, client = any_far.served.house, any_far.served.client("actions", "agent")
    draft = house.approval.create(ALICE, "do it", work=Work(command=None))
    run_id = house.runs.create(ALICE, house.approval.approve(ALICE, draft.id).id).id
    assert any_far.json("run", "truth", run_id)["status"] == "none"
    with house.queue(WORKER) as queue:
        item = queue.claim(Executor.EXTERNAL, "outside", lease_seconds=600)
    assert item is not None

    unjudged = client.get(f"/ops/runs/{run_id}/truth").json()
    assert (unjudged["status"], unjudged["action"], unjudged["host"]) == ("waiting_external", "wait", "-")
    assert client.get("/ops/truth").json() == any_far.json("run", "truth") == []

    truth = Truth(
        run_id=run_id,
        fence=item.fence,
        verdict=Verdict.SILENT,
        reason="no_output",
        action=Action.ASK,
        details={"quiet_seconds": 601},
        sign="",
        host="here",
        since_ms=0,
        seen_ms=0,
    )
    assert house.truths.put(WORKER, [(truth, None)]) == [truth]
    shown = client.get(f"/ops/runs/{run_id}/truth").json()
    assert (shown["status"], shown["reason"], shown["action"]) == ("silent", "no_output", "ask")
    assert shown["details"] == {"quiet_seconds": 601}
    assert any_far.json("run", "truth", run_id) == shown
    assert any_far.json("run", "show", run_id)["truth"] == shown
    assert client.get("/ops/truth").json() == any_far.json("run", "truth") == [shown]
    told(client.get("/ops/runs/r_01ARZ3NDEKTSV4RRFFQ69G5FAV/truth"), 404, "run_not_found")

    house.runs.cancel(ALICE, run_id)
    assert any_far.json("run", "truth", run_id)["status"] == "none"
    assert any_far.json("run", "truth") == []
