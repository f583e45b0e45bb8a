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
