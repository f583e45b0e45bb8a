"""Loops over HTTP: what is looked after is shown and steered; nothing else can be named."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from interlock.kernel.clock import system_clock
from tests.conftest import until
from tests.http.served import Served, told
from tests.loops.loop import Loop


def running(folder: Path) -> Loop:
    return Loop(folder, now=system_clock() // 1000).running().beat()


def test_a_loop_is_watched_reconciled_shown_and_left(served: Served, tmp_path: Path) -> None:
    loop = running(tmp_path / "repo")
    admin, reader = served.client(), served.client("actions")
    told(reader.post("/ops/loops/watches", json={"repo": str(loop.repo)}), 403)
    made = admin.post("/ops/loops/watches", json={"repo": str(loop.repo)})
    assert made.status_code == 201
    told(admin.post("/ops/loops/watches", json={"repo": str(loop.repo)}), 409, "already_watched")
    assert [each["status"] for each in reader.get("/ops/loops").json()] == ["not_reconciled"]
    assert reader.get("/ops/loops/docs").json()["detail"] is None
    done = served.client("operator").post("/ops/loops/docs/reconcile", headers={"X-Correlation-ID": "c-1"})
    assert (done.status_code, done.json()["status"], done.json()["state"]) == (200, "healthy", "running")
    assert done.json()["detail"]["trace"]["reconcileTraceId"] == "c-1"
    assert reader.get("/ops/loops/docs").json()["detail"]["lifecycle"]["state"] == "running"
    assert any(event["kind"] == "loop.judged" for event in reader.get("/ops/audit").json())
    watch = reader.get("/ops/loops/watches").json()[0]["id"]
    assert admin.delete(f"/ops/loops/watches/{watch}").status_code == 200
    told(reader.get("/ops/loops/docs"), 404, "loop_unknown")


def test_no_path_leads_out(served: Served, tmp_path: Path) -> None:
    admin = served.client()
    for repo in ("relative", "", "/no/where"):
        told(admin.post("/ops/loops/watches", json={"repo": repo}), 422)
    told(admin.post("/ops/loops/watches", json={"repo": str(tmp_path), "loop": "../x"}), 422, "loop_id_invalid")
    for wrong in ("..", "..%2F..%2Fx", "a%2Fb", ".git"):
        assert admin.get(f"/ops/loops/{wrong}").status_code in {404, 422}


def test_only_humans_approve_and_everybody_else_is_told(served: Served, tmp_path: Path) -> None:
    loop = running(tmp_path / "repo").approval()
    served.client().post("/ops/loops/watches", json={"repo": str(loop.repo)})
    approve = {"intent": "approve", "confirm": False}
    told(served.client("admin", "agent").post("/ops/loops/docs/control", json=approve), 403, "human_needed")
    told(served.client("actions").post("/ops/loops/docs/control", json=approve), 403, "role_too_low")
    told(served.client("operator").post("/ops/loops/docs/control", json={"intent": "explode"}), 422)
    done = served.client("operator").post("/ops/loops/docs/control", json=approve)
    assert (done.status_code, done.json()["status"]) == (200, "failed_command")  # there is no runtime here
    told(served.client("admin", "agent").post("/ops/loops/docs/acknowledge", json={}), 403, "human_needed")
    assert served.client("operator").post("/ops/loops/docs/acknowledge", json={"note": "seen"}).status_code == 200


def test_controls_that_hang_hold_up_neither_each_other_nor_panic(served: Served, tmp_path: Path) -> None:
    loop = running(tmp_path / "repo").approval()
    runtime = served.house.layout.root / "superloop.sh"
    go = tmp_path / "go"
    runtime.write_text(f"#!/bin/sh\nwhile [ ! -e '{go}' ]; do sleep 0.1; done\n")
    runtime.chmod(0o755)
    served.client().post("/ops/loops/watches", json={"repo": str(loop.repo)})
    approve = {"intent": "approve", "confirm": False}

    def ask(_: int) -> int:
        with served.anybody(Authorization=f"Bearer {served.tokens['operator', 'human']}") as client:
            return client.post("/ops/loops/docs/control", json=approve).status_code

    with ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(ask, number) for number in range(12)]
        try:
            until(lambda: sum(each.done() for each in asked) == 4)
            assert served.client().put("/ops/panic", json={"reason": "look"}).status_code == 200
            assert sum(each.done() for each in asked) == 4
        finally:
            go.touch()
        assert sorted(each.result() for each in asked) == [200] * 8 + [503] * 4


def test_panic_freezes_approving_and_lets_cancel_and_reconcile_go_on(served: Served, tmp_path: Path) -> None:
    loop = running(tmp_path / "repo").approval()
    served.client().post("/ops/loops/watches", json={"repo": str(loop.repo)})
    served.client().put("/ops/panic", json={"reason": "look"})
    admin = served.client()
    told(admin.post("/ops/loops/docs/control", json={"intent": "approve", "confirm": False}), 423)
    told(admin.post("/ops/loops/watches", json={"repo": str(tmp_path)}), 423)
    assert admin.post("/ops/loops/docs/control", json={"intent": "cancel", "confirm": False}).status_code == 200
    assert admin.post("/ops/loops/docs/reconcile").status_code == 200


def test_a_loop_in_trouble_is_explained_in_words(any_served: Served, tmp_path: Path) -> None:
    loop = running(tmp_path / "repo").beat(age=10_000)
    (loop.manager / "telemetry").mkdir(parents=True)
    (loop.manager / "sequence-state.json").write_text('{"events": {"last": "<b>"}, "violations": [7], "status": []}')
    served, admin = any_served, any_served.client()
    admin.post("/ops/loops/watches", json={"repo": str(loop.repo)})
    assert served.client("actions").get("/ops/loops/docs").json()["view"] is None
    served.client("operator").post("/ops/loops/docs/reconcile")
    shown = served.client("actions").get("/ops/loops/docs").json()
    assert shown["why"] == ["no heartbeat for too long"]
    assert (shown["divergence"], shown["sequence"], shown["heartbeat_lag_seconds"] >= 10_000) == (False, "ok", True)
    (reason,) = shown["view"]["reasons"]
    assert (reason["code"], reason["severity"]) == ("runtime_heartbeat_stale", "critical")
    assert reason["means"].startswith("The runtime has not said that it lives")
    assert reason["do"].startswith("See whether its process is there")
    heartbeat = shown["view"]["heartbeat"]
    assert (heartbeat["degraded_after_seconds"], heartbeat["critical_after_seconds"]) == (120, 300)
    assert heartbeat["at"] == shown["heartbeat_at"]
    lifecycle = shown["view"]["lifecycle"]
    assert (lifecycle["state"], lifecycle["means"]) == ("running", "The runtime says that it is at work.")
    assert {"surface": "reconcile", "trace_id": shown["detail"]["reconcile"]["lastTraceId"]} in shown["view"]["traces"]


def test_a_loop_whose_record_is_broken_is_shown_as_that(served: Served, tmp_path: Path) -> None:
    loop = running(tmp_path / "repo")
    served.client().post("/ops/loops/watches", json={"repo": str(loop.repo)})
    served.client().post("/ops/loops/docs/reconcile")
    (loop.manager / "state.json").write_text("{")
    shown = served.client("actions").get("/ops/loops/docs").json()
    assert (shown["status"], shown["why"], shown["view"]) == ("unreadable", ["our own record is broken"], None)


def test_files_of_any_shape_are_shown_without_what_they_should_not_hold(served: Served, tmp_path: Path) -> None:
    loop = running(tmp_path / "repo")
    served.client().post("/ops/loops/watches", json={"repo": str(loop.repo)})
    loop.manager.mkdir(parents=True, exist_ok=True)
    for name in ("state", "health", "heartbeat", "sequence-state", "profile-drift"):
        (loop.manager / f"{name}.json").write_text(
            '{"health": {"reasons": [7, {"code": 1}], "reasonCodes": {"a": 1}}, "violations": [1, "x_y"], "status": 3,'
            ' "transition": "gone", "divergence": {"flags": {"cursorRegression": true, "other": "yes"}}}'
        )
    (loop.manager / "intents.jsonl").write_text('{"intent": ["cancel"], "status": null}\n[1]\n')
    shown = served.client("actions").get("/ops/loops/docs")
    assert shown.status_code == 200, shown.text
    view = shown.json()["view"]
    assert [each["title"] for each in view["divergence"]] == ["the log lost events"]
    assert [each["title"] for each in view["sequence"]["violations"]] == ["x y"]
    assert [(each["intent"], each["status"]) for each in view["intents"]] == [("unknown", "unknown")]
    assert (view["lifecycle"]["state"], view["drift"]) == ("unknown", None)


def test_an_intent_whose_effect_was_not_seen_is_said_to_be_that(served: Served, tmp_path: Path) -> None:
    loop = running(tmp_path / "repo").approval()
    runtime = served.house.layout.root / "superloop.sh"
    runtime.write_text("#!/bin/sh\necho '<b>done</b>'\n")
    runtime.chmod(0o755)
    served.client().post("/ops/loops/watches", json={"repo": str(loop.repo)})
    asked = {"intent": "approve", "timeout_seconds": 0, "note": "it is right"}
    done = served.client("operator").post("/ops/loops/docs/control", json=asked).json()
    assert (done["status"], done["title"]) == ("ambiguous", "nobody knows whether it took effect")
    assert done["do"].startswith("Do not repeat it. Reconcile")
    assert (done["output"].strip(), done["note"], done["observed"]) == ("<b>done</b>", "it is right", "timeout")
    assert served.client("operator").post("/ops/loops/docs/reconcile").json()["view"]["frozen"][0]["code"] == (
        "control_ambiguous"
    )
    told(served.client("operator", "agent").post("/ops/loops/docs/control", json=asked), 403)
    seen = served.client("operator").post("/ops/loops/docs/acknowledge", json={"note": "looked"}).json()
    assert (seen["status"], seen["title"], seen["note"]) == ("acknowledged", "looked after", "looked")
    view = served.client("actions").get("/ops/loops/docs").json()["view"]
    assert [each["status"] for each in view["intents"]] == ["acknowledged", "ambiguous"]
    assert view["frozen"] == []
