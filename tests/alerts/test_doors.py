"""`interlock alert` and `/ops/alerts`: the same verbs, the same words, and who may."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import interlock
from interlock.alerts.dispatch import dispatch
from interlock.alerts.idle import Order
from interlock.app import Interlock
from interlock.kernel.clock import system_clock
from interlock.loops import files
from tests.alerts.receiver import Receiver, Say
from tests.cli.conftest import ask
from tests.cli.door import Door
from tests.conftest import WORKER, until
from tests.http.conftest import any_served, served
from tests.http.served import Served, told

__all__ = ["any_served", "ask", "served"]
SHIPPED = Path(interlock.__file__).parent / "workspace" / "shipped" / "config" / "ops-manager-alert-sinks.v1.json"
NOBODY = "al_01ARZ3NDEKTSV4RRFFQ69G5FAV"


def configured(root: Path, hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything go to a webhook."""
    monkeypatch.setenv("HOOK_URL_OF_A_TEST", hook.url)
    catalog = json.loads(SHIPPED.read_text())
    catalog["sinks"] = {"hook": {"enabled": True, "type": "webhook", "urlEnv": "HOOK_URL_OF_A_TEST"}}
    catalog["routing"] = {"defaultSinks": ["hook"], "categorySeverity": {}, "routes": []}
    path = root / "config" / SHIPPED.name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(catalog))


def escalated(house: Interlock, root: Path) -> None:
    manager = root / ".superloop" / "ops-manager" / "docs"
    files.append(str(manager / "escalations.jsonl"), [b'{"category":"health_critical","loopId":"docs"}\n'])
    sent(house, root)


def sent(house: Interlock, root: Path) -> None:
    order = Order.of(str(root), "docs", str(root / ".superloop" / "ops-manager" / "docs"), "t-1")
    dispatch(house.alerts, files, WORKER, order, system_clock)


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture
def house(workspace: Path) -> Iterator[Interlock]:
    made = Interlock.at(workspace)
    yield made
    made.close()


def test_the_command_line_has_every_verb(
    ask: Door, house: Interlock, workspace: Path, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(workspace, hook, monkeypatch)
    escalated(house, workspace)
    (row,) = ask("alert", "list", "--json").json
    assert (row["status"], row["category"], row["severity"]) == ("open", "health_critical", "warning")
    shown = ask("alert", "show", row["id"], "--json").json
    assert [(each["sink"], each["status"]) for each in shown["deliveries"]] == [("hook", "delivered")]
    assert "trigger → hook: delivered" in ask("alert", "show", row["id"]).out
    assert ask("alert", "ack", row["id"], "--note", "mine", "--json").json["status"] == "acknowledged"
    made = ask("alert", "silence", "--reason", "work", "--for", "90m", "--category", "health_*", "--json").json
    assert [each["id"] for each in ask("alert", "list", "--silences", "--json").json] == [made["id"]]
    assert ask("alert", "unsilence", made["id"], "--json").json["status"] == "ended"
    assert ask("alert", "replay", row["id"], "--delivered", "--json").json["deliveries"] == 1
    assert ask("alert", "replay", "--sink", "hook", "--json").json["deliveries"] == 1
    assert ask("alert", "test", "hook", "--json").json == {"id": "hook", "status": "delivered", "http_status": 200}
    assert ask("alert", "resolve", row["id"], "--reason", "done", "--json").json["status"] == "resolved"
    assert ask("alert", "list", "--json").json == []
    assert [each["id"] for each in ask("alert", "list", "--state", "all", "--json").json] == [row["id"]]
    sent(house, workspace)
    assert hook.bodies[-1]["event"]["action"] == "resolve"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["alert", "show", NOBODY], 3),
        (["alert", "show", "x"], 2),
        (["alert", "ack", NOBODY], 3),
        (["alert", "silence", "--reason", "x", "--for", "soon"], 2),
        (["alert", "silence", "--reason", " ", "--for", "1h"], 2),
        (["alert", "unsilence", "si_01ARZ3NDEKTSV4RRFFQ69G5FAV"], 3),
        (["alert", "test", "nobody"], 3),
        (["alert", "replay", NOBODY], 3),
    ],
)
def test_what_is_not_there_or_not_right_is_told_in_one_line(ask: Door, words: list[str], code: int) -> None:
    said = ask(*words)
    assert (said.code, said.out) == (code, "")
    assert said.err.count("\n") == 1


# --- HTTP -------------------------------------------------------------------------------------------------------------


def test_http_has_every_verb_and_says_who_may(served: Served, hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    root = served.house.layout.root
    configured(root, hook, monkeypatch)
    escalated(served.house, root)
    reader, operator, admin = (served.client(role) for role in ("actions", "operator", "admin"))
    (row,) = reader.get("/ops/alerts").json()
    path = f"/ops/alerts/{row['id']}"
    assert reader.get(path).json()["deliveries"][0]["status"] == "delivered"
    for verb in ("ack", "resolve"):
        told(reader.post(f"{path}/{verb}", json={}), 403, "role_too_low")
    assert operator.post(f"{path}/ack", json={"note": "mine"}).json()["status"] == "acknowledged"
    silence = {"reason": "work", "seconds": 60}
    told(reader.post("/ops/alerts/silences", json=silence), 403, "role_too_low")
    made = operator.post("/ops/alerts/silences", json=silence)
    assert made.status_code == 201
    assert [each["id"] for each in reader.get("/ops/alerts/silences").json()] == [made.json()["id"]]
    assert operator.delete(f"/ops/alerts/silences/{made.json()['id']}").status_code == 200
    told(operator.delete(f"/ops/alerts/silences/{made.json()['id']}"), 404, "silence_unknown")
    told(operator.post("/ops/alerts/silences", json={"reason": "x"}), 422)
    assert operator.post("/ops/alerts/replay", json={"sink": "hook"}).json()["deliveries"] == 0
    told(operator.post("/ops/alerts/sinks/hook/test"), 403, "role_too_low")
    assert admin.post("/ops/alerts/sinks/hook/test").json()["status"] == "delivered"
    told(admin.post("/ops/alerts/sinks/nobody/test"), 404, "sink_unknown")
    hook.says(Say(500, hook.url))
    failed = admin.post("/ops/alerts/sinks/hook/test")
    told(failed, 502, "sink_failed")
    assert "s3cr3t" not in failed.text
    assert operator.post(f"{path}/resolve", json={"note": "done"}).json()["status"] == "resolved"
    told(operator.post(f"{path}/resolve", json={}), 409, "alert_over")
    assert reader.get("/ops/alerts").json() == []
    assert reader.get("/ops/alerts?state=all&limit=1").json()[0]["id"] == row["id"]
    told(reader.get(f"/ops/alerts/{NOBODY}"), 404, "alert_unknown")


def test_a_workspace_without_a_catalog_says_so(ask: Door, workspace: Path) -> None:
    shutil.rmtree(workspace / "config")
    said = ask("alert", "test", "hook")
    assert (said.code, "not found" in said.err) == (3, True)


def test_an_alert_tells_what_it_is_of_and_what_happened_to_it(
    any_served: Served, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    served, root = any_served, any_served.house.layout.root
    configured(root, hook, monkeypatch)
    escalated(served.house, root)
    reader = served.client("actions")
    (row,) = reader.get("/ops/alerts").json()
    served.client("operator").post(f"/ops/alerts/{row['id']}/ack", json={"note": "<i>mine</i>"})
    until(lambda: len(reader.get(f"/ops/alerts/{row['id']}").json()["history"]) == 3)
    shown = reader.get(f"/ops/alerts/{row['id']}").json()
    assert shown["subject"] == {"kind": "loop", "id": "docs", "repo": str(root)}
    told_of = [(each["kind"], each["note"]) for each in shown["history"]]
    assert told_of == [("alert.opened", None), ("alert.delivered", None), ("alert.acknowledged", "<i>mine</i>")]
    assert shown["history"][1]["sink"] == "hook"
    (delivery,) = shown["deliveries"]
    assert (delivery["status"], delivery["http_status"], delivery["next_at"]) == ("delivered", 200, None)


def test_a_silence_says_beforehand_what_it_would_cover(
    any_served: Served, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    served, root = any_served, any_served.house.layout.root
    configured(root, hook, monkeypatch)
    escalated(served.house, root)
    reader = served.client("actions")

    def covers(**asked: str) -> int:
        return reader.get("/ops/alerts/silences/preview", params=asked).json()["count"]

    assert (covers(), covers(category="health_*"), covers(category="other"), covers(source="event")) == (1, 1, 0, 0)
    assert reader.get("/ops/alerts/silences").json() == []
    served.client("operator").post("/ops/alerts/silences", json={"reason": "work", "seconds": 60, "category": "quiet"})
    manager = root / ".superloop" / "ops-manager" / "docs"
    files.append(str(manager / "escalations.jsonl"), [b'{"category":"quiet","loopId":"docs","severity":"critical"}\n'])
    sent(served.house, root)
    assert [each["category"] for each in reader.get("/ops/alerts", params={"state": "silenced"}).json()] == ["quiet"]
    assert covers() == 2


def test_sinks_are_listed_with_their_variables_and_without_a_secret(
    any_served: Served, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    served, root = any_served, any_served.house.layout.root
    configured(root, hook, monkeypatch)
    told(served.client("actions").get("/ops/alerts/sinks"), 403, "role_too_low")
    answer = served.client("operator").get("/ops/alerts/sinks")
    (sink,) = answer.json()["sinks"]
    assert (sink["id"], sink["type"], sink["enabled"]) == ("hook", "webhook", True)
    assert sink["variables"] == [{"name": "HOOK_URL_OF_A_TEST", "present": True}]
    assert hook.url not in answer.text
    assert answer.json()["default_sinks"] == ["hook"]
    escalated(served.house, root)
    assert served.client("operator").get("/ops/alerts/sinks").json()["sinks"][0]["delivered"] == 1
    (root / "config" / SHIPPED.name).write_text("{")
    broken = served.client("operator").get("/ops/alerts/sinks").json()
    assert (broken["sinks"], "invalid JSON" in broken["problem"]) == ([], True)
