"""Panic over HTTP: what begins something is frozen, what ends something goes on, and only a human admin releases it."""

from __future__ import annotations

import pytest

from tests.http.served import KINDS, ROLES, Served, told


@pytest.mark.proves("ops-panic")
def test_what_begins_something_is_frozen_and_what_ends_something_goes_on(any_served: Served) -> None:
    admin = any_served.client()
    draft_id, approved_id = any_served.draft(), any_served.approved()
    item = admin.post("/ops/queue/items", json={"task": "t", "success_criteria": "s"}).json()["id"]
    waiting = admin.post("/ops/queue/items", json={"task": "u", "success_criteria": "s"}).json()["id"]
    held = admin.post("/ops/queue/claim", json={"owner_session": "me"}).json()
    assert held["id"] == item
    run_id = any_served.run()
    assert admin.put("/ops/panic", json={"reason": "something is wrong"}).json()["panic_mode"] is True
    shown = any_served.client("actions", "service").get("/ops/panic").json()
    assert (shown["status"], shown["by"], shown["reason"]) == ("on", "human:human-admin", "something is wrong")
    assert admin.get("/status").json()["panic_mode"] is True
    frozen = [
        ("POST", "/ops/drafts", {"prompt": "p"}),
        ("PUT", f"/ops/drafts/{draft_id}", {"prompt": "q"}),
        ("POST", f"/ops/drafts/{draft_id}/approve", None),
        ("POST", f"/ops/drafts/{draft_id}/reject", None),
        ("POST", "/ops/runs", {"approved_id": approved_id}),
        ("PUT", "/ops/plan", admin.get("/ops/plan").json()),
        ("POST", "/ops/queue/items", {"task": "v", "success_criteria": "s"}),
        ("POST", "/ops/queue/claim", {"owner_session": "me"}),
        ("POST", f"/ops/queue/items/{waiting}/reprioritise", {"priority": "P0"}),
        ("POST", "/ops/tokens", {"name": "n", "role": "actions"}),
    ]
    for method, path, body in frozen:
        problem = told(
            admin.request(method, path, json=body) if body else admin.request(method, path), 423, "panic_mode"
        )
        assert "something is wrong" in problem["detail"]
    fence = {"fence": held["fence"]}
    assert admin.post(f"/ops/queue/items/{item}/heartbeat", json=fence).status_code == 200
    assert admin.post(f"/ops/queue/items/{item}/complete", json=fence).status_code == 200
    assert admin.post(f"/ops/queue/items/{waiting}/cancel").status_code == 200
    assert admin.post(f"/ops/runs/{run_id}/cancel").json()["status"] == "cancelled"
    assert admin.get("/ops/drafts").status_code == 200
    assert admin.post("/ops/panic/release", json={"reason": "it was nothing"}).json()["panic_mode"] is False
    assert admin.post("/ops/drafts", json={"prompt": "p"}).status_code == 201
    told(admin.post("/ops/panic/release", json={"reason": "again"}), 409, "panic_not_on")


@pytest.mark.proves("ops-panic")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("role", ROLES)
def test_only_a_human_admin_releases_it(served: Served, role: str, kind: str) -> None:
    served.client().put("/ops/panic", json={"reason": "r"})
    answer = served.client(role, kind).post("/ops/panic/release", json={"reason": "r"})
    if (role, kind) == ("admin", "human"):
        assert answer.status_code == 200
    else:
        told(answer, 403)
        assert served.client().get("/ops/panic").json()["panic_mode"] is True


def test_who_raises_it_may_stop_what_runs(served: Served) -> None:
    run_id = served.run()
    stopped = served.client("operator", "human").put("/ops/panic", json={"reason": "r", "stop_runs": True}).json()
    assert stopped["stopped_runs"] == []  # it waits, and will not be started
    assert served.client().get(f"/ops/runs/{run_id}").json()["status"] == "pending"
