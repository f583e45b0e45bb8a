"""The seed's flow, and what every answer has."""

from __future__ import annotations

import pytest

from tests.http.served import Served, told


@pytest.mark.proves("ops-drafts")
def test_the_road_from_draft_to_run_and_no_other(served: Served) -> None:
    admin = served.client()
    draft = admin.post("/ops/drafts", json={"prompt": "refactor X"})
    assert draft.status_code == 201, draft.text
    draft_id = draft.json()["id"]
    assert draft.headers["location"] == f"/ops/drafts/{draft_id}"
    edited = admin.put(f"/ops/drafts/{draft_id}", json={"content": "in small steps"})
    assert edited.json()["content"] == "in small steps"
    told(admin.post("/ops/runs", json={"approved_id": draft_id}), 403)
    done = admin.post(f"/ops/drafts/{draft_id}/approve").json()
    assert done["run"] is None
    approved_id = done["approved"]["id"]
    run = admin.post("/ops/runs", json={"approved_id": approved_id})
    assert run.status_code == 201
    assert run.json()["status"] == "pending"
    assert run.json()["log"]
    again = admin.get(f"/ops/runs/{run.json()['id']}").json()
    assert again["approved_id"] == approved_id
    assert [each["id"] for each in admin.get("/ops/runs").json()] == [run.json()["id"]]
    assert [each["id"] for each in admin.get("/ops/approved").json()] == [approved_id]
    cancelled = admin.post(f"/ops/runs/{run.json()['id']}/cancel")
    assert cancelled.json()["status"] == "cancelled"
    told(admin.post(f"/ops/runs/{run.json()['id']}/cancel"), 409)
    told(admin.get("/nowhere"), 404)
    assert admin.head("/ops/drafts").status_code == 200
    assert admin.head("/ops/drafts").content == b""
    assert admin.options("/ops/drafts").status_code == 204
    told(admin.delete("/ops/drafts"), 405)
    told(admin.get("/ops/drafts/"), 404)
    told(admin.post("/ops/drafts", content=b"{" * 10), 415)
    told(admin.post("/ops/drafts", content=b"{" * 10, headers={"content-type": "application/json"}), 422)
    told(admin.post("/ops/drafts", json={"prompt": "a" * 3_000_000}), 413)
    told(served.anybody().post("/ops/drafts", json={"prompt": "a" * 3_000_000}), 401)
