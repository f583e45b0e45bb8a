"""Agents and CI over HTTP: what is drafted for an agent is what is approved, and who may speak for a CI."""

from __future__ import annotations

import hashlib
import json

import pytest
import rfc8785

from tests.http.served import Served

REPORT = {"commit": "a" * 40, "status": "success", "url": "https://ci.example.org/7"}


def test_the_command_of_an_agent_is_written_by_the_server_and_its_digest_is_over_all_of_it(served: Served) -> None:
    admin = served.client()
    work = {
        "agent": "claude_code",
        "model": "opus",
        "tools": ["Read"],
        "needs": ["gpu"],
        "limits": {"tokens": 5, "cost_microusd": 7},
    }
    made = admin.post("/ops/drafts", json={"prompt": "x", "work": work})
    assert made.status_code == 201, made.text
    assert {name: made.json()["work"][name] for name in ("agent", "model", "tools", "needs")} == {
        name: work[name] for name in ("agent", "model", "tools", "needs")
    }
    shown = admin.get(f"/ops/drafts/{made.json()['id']}").json()
    assert shown["terms"]["command"][-4:] == ["--model", "opus", "--max-budget-usd", "0.000007"]
    done = admin.post(f"/ops/drafts/{shown['id']}/approve", json={"digest": shown["digest"]})
    assert done.status_code == 200, done.text
    for terms in (shown["terms"], done.json()["approved"]["terms"]):
        exact = rfc8785.dumps(json.loads(json.dumps(terms)))
        assert "sha256:" + hashlib.sha256(exact).hexdigest() == shown["digest"]


def test_the_terms_of_work_that_asks_for_nothing_new_are_what_they_were(served: Served) -> None:
    approved = served.client().get(f"/ops/approved/{served.approved()}").json()
    assert set(approved["terms"]) == {
        *("schema", "prompt", "content", "context", "command", "repository", "base_commit", "checks"),
        *("environment", "network", "limits"),
    }
    assert "tokens" not in approved["terms"]["limits"]


@pytest.mark.parametrize(
    ("work", "told"),
    [
        ({"agent": "nobody"}, "there is no agent nobody"),
        ({"agent": "codex", "tools": ["shell"]}, "can not be told which tools"),
        ({"rung": "certain"}, "rung"),
        ({"limits": {"turns": 1}}, "there is no limit"),
    ],
)
def test_what_makes_no_sense_is_refused(served: Served, work: dict[str, object], told: str) -> None:
    refused = served.client().post("/ops/drafts", json={"prompt": "x", "work": work})
    assert refused.status_code == 422, refused.text
    assert told in refused.text


def test_a_service_reports_for_ci_and_the_same_report_again_changes_nothing(served: Served) -> None:
    run = served.client().post("/ops/runs", json={"approved_id": served.approved()}).json()
    assert run["rung"] is None
    ci = served.client("operator", "service")
    for _ in range(2):
        answer = ci.post(f"/ops/runs/{run['id']}/ci", json=REPORT)
        assert (answer.status_code, answer.json()["status"]) == (200, "pending"), answer.text
    size = served.house.event_log.size()
    told = [event for _, event in served.house.event_log.run_events(run["id"], 100)]
    assert size
    assert [event["payload"]["commit"] for event in told if event["kind"] == "run.ci_reported"] == ["a" * 40]


def test_an_agent_does_not_report_for_ci_and_a_malformed_report_is_refused(served: Served) -> None:
    run = served.client().post("/ops/runs", json={"approved_id": served.approved()}).json()
    path = f"/ops/runs/{run['id']}/ci"
    agent = served.client("operator", "agent").post(path, json=REPORT)
    assert (agent.status_code, agent.json()["code"]) == (403, "ci_not_by_agents")
    assert served.client("actions", "service").post(path, json=REPORT).status_code == 403
    for wrong in ({"commit": "HEAD"}, {"url": "javascript:alert(1)"}, {"status": "maybe"}):
        assert served.client("operator", "service").post(path, json=REPORT | wrong).status_code == 422, wrong
    gone = served.client("operator", "service").post(f"/ops/runs/r_{'0' * 26}/ci", json=REPORT)
    assert gone.status_code == 404
