"""The weaknesses of the first implementation of this contract, by their numbers in the list, each closed."""

from __future__ import annotations

import inspect
import json
import re
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from interlock.access.options import AccessOptions
from interlock.access.tokens import same
from interlock.app import Interlock
from interlock.cli.serve import serve
from interlock.settings import Settings
from tests.http.routes import ways
from tests.http.served import ROLES, Served, serving, told

NOBODY = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def test_1_no_route_reads_files_and_the_provider_is_for_admins(served: Served) -> None:
    templates = [way.template for way in ways()]
    assert not [each for each in templates if each.startswith(("/file", "/tree", "/search", "/diff"))]
    for role in ("actions", "operator"):
        told(served.client(role).get("/ops/provider"), 403)
    state = served.house.layout.state
    assert state.stat().st_mode & 0o077 == 0
    assert not [path for path in (state / "keys").glob("*.key") if path.stat().st_mode & 0o077]


def test_2_what_is_decided_is_decided(served: Served) -> None:
    admin, draft_id = served.client(), served.draft()
    assert admin.post(f"/ops/drafts/{draft_id}/approve").status_code == 200
    for method, verb in (("POST", "/approve"), ("POST", "/reject"), ("PUT", "")):
        body = {"prompt": "another"} if method == "PUT" else {}
        told(admin.request(method, f"/ops/drafts/{draft_id}{verb}", json=body), 409, "draft_decided")
    rejected = served.draft()
    admin.post(f"/ops/drafts/{rejected}/reject", json={"reason": "no"})
    told(admin.post(f"/ops/drafts/{rejected}/approve"), 409, "draft_decided")
    assert len(admin.get("/ops/approved").json()) == 1


@pytest.mark.proves("ops-approve-frozen")
def test_3_what_runs_is_the_approved_copy_and_its_digest_says_so(served: Served) -> None:
    admin, draft_id = served.client(), served.draft("as it was")
    shown = admin.get(f"/ops/drafts/{draft_id}").json()
    approved = admin.post(f"/ops/drafts/{draft_id}/approve", json={"digest": shown["digest"]}).json()["approved"]
    assert (approved["digest"], approved["prompt"], approved["terms"]) == (shown["digest"], "as it was", shown["terms"])
    other = served.draft()
    told(admin.post(f"/ops/drafts/{other}/approve", json={"digest": shown["digest"]}), 409, "draft_changed")


@pytest.mark.proves("ops-ids")
def test_4_an_id_is_an_id_and_no_path(served: Served) -> None:
    admin, approved_id, draft_id = served.client(), served.approved(), served.draft()
    for wrong in (
        f"../approved/{approved_id}",
        f"../drafts/{draft_id}",
        f"{approved_id}/",
        f" {approved_id}",
        "",
        "a_",
    ):
        told(admin.post("/ops/runs", json={"approved_id": wrong}), 422)
    told(admin.post("/ops/runs", json={"approved_id": draft_id}), 403, "draft_not_approved")
    told(admin.post("/ops/runs", json={"approved_id": f"a_{NOBODY}"}), 404)
    told(admin.get(f"/ops/approved/{draft_id}"), 422)
    assert admin.get("/ops/runs").json() == []


@pytest.mark.proves("ops-cancel")
def test_5_a_cancelled_run_stays_cancelled(served: Served) -> None:
    admin, run_id = served.client(), served.run()
    held = admin.post("/ops/queue/claim", json={"owner_session": "outside"}).json()
    assert admin.post(f"/ops/runs/{run_id}/cancel").json()["status"] == "cancelled"
    told(admin.post(f"/ops/queue/items/{held['id']}/complete", json={"fence": held["fence"]}), 409)
    assert admin.get(f"/ops/runs/{run_id}").json()["status"] == "cancelled"


def test_6_a_spoilt_window_file_is_no_failure_and_locks_nobody_out(served: Served) -> None:
    draft_id = served.draft()
    window = next(served.house.layout.root.rglob(f"{draft_id}.json"))
    window.chmod(0o600)
    window.write_bytes(b'{"prompt": "\xff')
    for _ in range(5):
        assert served.client("actions").get(f"/ops/drafts/{draft_id}").status_code == 200
    surrogate = {"content": b'{"prompt": "\\ud800"}', "headers": {"Content-Type": "application/json"}}
    told(served.client().post("/ops/drafts", **surrogate), 422)  # type: ignore[arg-type] - a case's own value
    assert served.client().post("/ops/drafts", json={"prompt": "p"}).status_code == 201


def test_7_bad_tokens_lock_nobody_out_and_panic_does_freeze(served: Served) -> None:
    stranger = served.anybody(Authorization="Bearer wrong")
    assert Counter(stranger.get("/status").status_code for _ in range(30)) == {401: 30}
    assert served.client("actions").get("/status").status_code == 200
    served.client().put("/ops/panic", json={"reason": "r"})
    told(served.client().post("/ops/drafts", json={"prompt": "p"}), 423)


@pytest.mark.proves("ops-provider")
def test_8_generate_takes_json_and_a_partial_provider_keeps_the_rest(served: Served) -> None:
    admin = served.client("admin")
    before = admin.get("/ops/provider").json()
    name = before["active"]
    told(admin.put("/ops/provider", json={"active": "nobody"}), 422)
    key = {"providers": {name: {"api_key": "sk-planted-key-0123456789"}}}
    assert admin.put("/ops/provider", json=key).json()["providers"][name]["api_key"] == "***"
    shown = admin.get("/ops/provider").json()
    assert admin.put("/ops/provider", json=shown).status_code == 200
    assert "sk-planted-key-0123456789" in served.house.layout.ops.joinpath("provider.json").read_text()
    closed = {"providers": {name: {"base_url": "http://127.0.0.1:9", "api_key": None}}}
    assert admin.put("/ops/provider", json=closed).status_code == 200
    failed = told(admin.post("/ops/generate", json={"prompt": "p"}), 503)
    assert failed["detail"]
    assert "d_" in json.dumps(failed)
    told(admin.post("/ops/generate", json={"prompt": "x" * 3_000_000}), 413)


def test_9_each_caller_has_its_own_rate_and_is_told_how_long_to_wait(workspace: Path) -> None:
    access = AccessOptions(requests_per_minute=60, burst=2, bad_tokens_per_minute=2)
    with closing(Interlock.at(workspace)) as house, serving(house, access=access) as served:
        asked = [served.client("actions").get("/status") for _ in range(3)]
        assert [answer.status_code for answer in asked] == [200, 200, 429]
        assert int(asked[-1].headers["retry-after"]) >= 1
        assert served.client("operator").get("/status").status_code == 200  # from the same address
        wrong = served.anybody(Authorization="Bearer wrong")
        assert [wrong.get("/status").status_code for _ in range(3)] == [401, 401, 429]


def test_10_a_change_is_told_whole_with_what_was_before_and_can_be_proved(served: Served) -> None:
    admin, draft_id = served.client(), served.draft()
    admin.put(f"/ops/drafts/{draft_id}", json={"content": "in small steps"}, headers={"X-Correlation-ID": "c-2"})
    event = next(each for each in admin.get("/ops/audit").json() if each["kind"] == "draft.edited")
    assert (event["principal"], event["correlation_id"], event["subject"]) == ("human:human-admin", "c-2", draft_id)
    assert event["payload"]["before_digest"] != event["payload"]["terms_digest"]
    admin.post("/ops/evidence/head")
    assert admin.get(f"/ops/evidence/entries/{event['index']}/proof").json()["status"] == "proved"


@pytest.mark.proves("ops-audit")
def test_10_every_denial_is_told_with_who_and_what(served: Served) -> None:
    told(served.client("actions", "agent").post("/ops/runs", json={}, headers={"X-Correlation-ID": "c-1"}), 403)
    event = served.client("actions").get("/ops/audit", params={"limit": 1}).json()[0]
    assert (event["kind"], event["principal"], event["correlation_id"]) == (
        "access.denied",
        "agent:agent-actions",
        "c-1",
    )
    assert event["payload"]["code"] == "role_too_low"
    assert event["payload"]["deed"] == "POST /ops/runs"


def test_11_lists_come_in_pages_that_lose_and_double_nothing(served: Served) -> None:
    made = [served.draft(f"p {number}") for number in range(7)]
    path, seen = "/ops/drafts?limit=3", list[str]()
    while path:
        page = served.client("actions").get(path)
        seen += [each["id"] for each in page.json()]
        path = page.links["next"]["url"] if "next" in page.links else ""
    assert seen == made[::-1]
    audit, events = "/ops/audit?limit=4", list[int]()
    while audit:
        page = served.client("actions").get(audit)
        events += [each["index"] for each in page.json()]
        audit = page.links["next"]["url"] if "next" in page.links else ""
    assert events == list(range(served.house.event_log.size()))[::-1]


def test_12_tokens_have_names_ends_and_owners_and_are_rotated_and_taken_back(served: Served) -> None:
    admin = served.client()
    wanted = {"name": "ci", "kind": "service", "role": "actions", "expires_in_seconds": 3600}
    made = admin.post("/ops/tokens", json=wanted).json()
    other = admin.post("/ops/tokens", json={**wanted, "name": "cd"}).json()
    caller = served.anybody(Authorization=f"Bearer {made['token']}")
    assert caller.get("/ops/me").json()["id"] == "service:ci"
    rotated = admin.post(f"/ops/tokens/{made['id']}/rotate", json={}).json()
    told(caller.get("/ops/me"), 401)
    fresh = served.anybody(Authorization=f"Bearer {rotated['token']}")
    assert fresh.get("/ops/me").status_code == 200
    assert admin.post(f"/ops/tokens/{made['id']}/revoke").status_code == 200
    told(fresh.get("/ops/me"), 401)
    assert served.anybody(Authorization=f"Bearer {other['token']}").get("/ops/me").status_code == 200
    assert "hmac.compare_digest" in inspect.getsource(same)


@pytest.mark.proves("ops-address")
def test_12_it_listens_on_this_machine_only_unless_told_otherwise() -> None:
    assert Settings().server.host == "127.0.0.1"
    assert inspect.signature(serve).parameters["host"].default is None


@pytest.mark.proves("ops-status")
def test_13_a_state_that_does_not_allow_it_is_a_conflict_and_status_is_for_every_role(served: Served) -> None:
    draft_id = served.draft()
    served.client().post(f"/ops/drafts/{draft_id}/reject")
    told(served.client().post(f"/ops/drafts/{draft_id}/approve"), 409)
    for role in ROLES:
        for path in ("/status", "/ui/status", "/metrics"):
            assert served.client(role).get(path).status_code == 200
    assert served.anybody().get("/health").json() == {"status": "ok"}


def test_what_prometheus_is_told_follows_what_happens(served: Served) -> None:
    served.client().post("/ops/queue/items", json={"task": "sweep", "success_criteria": "it is clean"})
    told = served.client("actions").get("/metrics").text
    assert 'interlock_items{status="PENDING"} 1.0' in told
    assert "interlock_panic 0.0" in told
    assert "interlock_queue_paused 0.0" in told
    unsigned = re.search(r"^interlock_log_unsigned_entries (.*)$", told, re.MULTILINE)
    assert unsigned
    assert float(unsigned[1]) > 0
    served.client().post("/ops/evidence/head")
    served.client().put("/ops/panic", json={"reason": "a drill"})
    told = served.client("actions").get("/metrics").text
    assert "interlock_panic 1.0" in told
    assert "interlock_log_unsigned_entries 1.0" in told  # of panic itself


def test_14_what_the_status_claims_is_asked_and_not_made_up(served: Served, tmp_path: Path) -> None:
    assert served.client().get("/ui/status").json()["service_status"] == "RUNNING (Dashboard)"
    database = served.house.layout.database
    database.rename(tmp_path / "away")
    try:
        served.house.database.close()
        shown = served.client().get("/ui/status")
        assert shown.status_code in {404, 503, 200}
        assert "RUNNING" not in shown.text
    finally:
        (tmp_path / "away").rename(database)
