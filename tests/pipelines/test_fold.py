"""What events make of pipelines and deployments, and what they can not make of them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from interlock.kernel.canonical import canonical
from interlock.kernel.events import Event, to_leaf
from interlock.pipelines.documents import read_deployment, read_pipeline, show_deployment, show_pipeline
from interlock.pipelines.fold import Fold, FoldBroken
from interlock.pipelines.models import Status
from tests.pipelines.fleet import DEPLOY, RUN, created, deployed, ended, moved, passed, staged, started, whole_run


def folded(events: Sequence[Event]) -> Fold:
    fold = Fold()
    for event in events:
        logged = json.loads(to_leaf(event, principal="service:x", correlation_id=None, time_ms=1).data)
        fold.apply(logged["kind"], logged["subject"], logged["payload"])
    return fold


def test_a_run_is_what_its_events_say() -> None:
    run = folded(whole_run()).pipelines[RUN]
    assert (run.status, run.fence, run.reason, run.ended_ms) == (Status.SUCCESS, 1, None, 1790000000201)
    assert (run.stage("repair").status, run.stage("repair").duration_ms) == (Status.SUCCESS, 45)
    job = run.job("repair/1-run_self_heal")
    assert (job.status, job.attempt, job.exit_code, [each.path for each in job.artefacts]) == (
        Status.SUCCESS,
        1,
        0,
        ["build_output/planner_review.json"],
    )
    passed_one = run.passed("pre")
    assert passed_one is not None
    assert (passed_one.agent_id, passed_one.envelope) == ("PlanAgent", "sha256:" + "e" * 64)
    assert [scan["status"] for scan in run.scans] == ["passed"]
    assert run.revision == len(whole_run())


def test_what_was_going_when_a_run_was_cancelled_has_ended_with_it() -> None:
    told = [*BEGUN, staged("Pending", "Running"), started()]
    cancelled = moved("Running", "Failed", 2, reason="cancelled", message="enough")
    run = folded([*told, cancelled]).pipelines[RUN]
    assert (run.stages[0].status, run.jobs[0].status, run.jobs[0].reason, run.jobs[0].ended_ms) == (
        Status.FAILED,
        Status.FAILED,
        "cancelled",
        run.ended_ms,
    )
    again = [*told, cancelled, moved("Failed", "Running", 3), staged("Failed", "Running"), started(2), ended()]
    assert folded(again).pipelines[RUN].jobs[0].status is Status.SUCCESS


def test_a_deployment_is_what_its_events_say() -> None:
    found = folded(deployed()).deployments[DEPLOY]
    assert (found.status, found.version, found.previous_version, found.healthy) == (
        Status.SUCCESS,
        "2.4.1",
        "2.4.0",
        True,
    )
    assert (found.steps_done, found.health.error_rate_milli, found.revision) == (1, 125, 4)


def test_documents_carry_everything_there_and_back() -> None:
    for cut in range(1, len(whole_run()) + 1):
        run = folded(whole_run()[:cut]).pipelines[RUN]
        assert read_pipeline(json.loads(json.dumps(show_pipeline(run)))) == run
    for cut in range(1, len(deployed()) + 1):
        found = folded(deployed()[:cut]).deployments[DEPLOY]
        assert read_deployment(json.loads(json.dumps(show_deployment(found)))) == found


def test_the_seed_s_readers_find_their_keys() -> None:
    document = show_pipeline(folded(whole_run()).pipelines[RUN])
    assert (document["status"], document["triggered_at"], document["crc_job_id"]) == ("Success", 1790000000, None)
    assert document["stages"] == [{"name": "repair", "stage_type": "Validate", "status": "Success", "duration_ms": 45}]
    assert document["approvals_required"] == [
        {"role": "planner", "minimum_trust_score": 0.0, "required_evidence_tags": ["pre"]}
    ]
    assert document["approvals_granted"][0]["evidence_references"] == ["sha256:" + "e" * 64]
    metrics = show_deployment(folded(deployed()).deployments[DEPLOY])["health_metrics"]
    assert metrics == {
        "error_rate": 0.125,
        "response_time_ms": 20,
        "cpu_usage": 1.5,
        "memory_usage": 33.333,
        "active_connections": 4,
    }


BEGUN = [created(), moved("Pending", "Running", 1)]


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([moved("Pending", "Running", 1)], id="never created"),
        pytest.param([created(), created()], id="created twice"),
        pytest.param([created(), moved("Pending", "Success", 1)], id="well without having run"),
        pytest.param([created(), moved("Running", "Success", 1)], id="from another status"),
        pytest.param([*BEGUN, moved("Running", "Running", 1)], id="taken over under the same fence"),
        pytest.param([*BEGUN, moved("Running", "Failed", 0)], id="ended under an older fence"),
        pytest.param(
            [*BEGUN, moved("Running", "Success", 1), moved("Success", "Running", 2)], id="again after success"
        ),
        pytest.param([*BEGUN, ended()], id="a job ends that never began"),
        pytest.param([*BEGUN, started(), started(2), ended(), started(3)], id="a job begins after success"),
        pytest.param([*BEGUN, staged("Running", "Success")], id="a stage from another status"),
        pytest.param([*BEGUN, passed("another")], id="a checkpoint that it does not have"),
        pytest.param([deployed()[1]], id="a deployment never created"),
        pytest.param([deployed()[0], deployed()[0]], id="a deployment created twice"),
        pytest.param([*deployed(), deployed()[3]], id="a deployment promoted twice"),
    ],
)
def test_what_our_verbs_never_write_is_seen(events: Sequence[Event]) -> None:
    with pytest.raises(FoldBroken):
        folded(events)


def test_a_failed_run_is_taken_up_again_and_its_jobs_begin_anew() -> None:
    events = [
        *BEGUN,
        staged("Pending", "Running"),
        started(),
        ended("Failed", reason="exit", exit_code=3, artefacts=[]),
        staged("Running", "Failed", 9),
        moved("Running", "Failed", 1, reason="job_failed", message="it failed"),
        moved("Failed", "Running", 2),
        staged("Failed", "Running"),
        started(2),
    ]
    run = folded(events).pipelines[RUN]
    job = run.job("repair/1-run_self_heal")
    assert (run.status, run.fence, run.reason, run.ended_ms) == (Status.RUNNING, 2, None, None)
    assert (job.status, job.attempt, job.reason, job.exit_code) == (Status.RUNNING, 2, None, None)


def test_what_other_rooms_tell_changes_nothing() -> None:
    fold = Fold()
    assert not fold.apply("draft.approved", "d_01K9ZZZZZZZZZZZZZZZZZZZZZZ", {})
    assert fold.fleet().in_order() == ([], [])


def test_events_are_told_in_canonical_form() -> None:
    for event in [*whole_run(), *deployed()]:
        canonical(event.payload())
    assert "release" not in deployed()[0].payload()
    assert deployed()[0].payload()["version"] == "2.4.1"
