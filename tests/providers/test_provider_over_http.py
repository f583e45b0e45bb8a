"""`/ops/provider` and `/ops/generate`: the real application, a real server, a real provider."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from interlock.app import Interlock
from interlock.providers.models import ProviderType
from tests.conftest import until
from tests.http.served import KINDS, Served, serving, told
from tests.providers.model_server import MODEL, WRITTEN, Asking, ModelServer, hang, saying, write

KEY = "sk-planted-0123456789abcdef"


@pytest.fixture
def served(workspace: Path, server: ModelServer) -> Iterator[Served]:
    """A workspace with two providers, served."""
    with closing(Interlock.at(workspace)) as house:
        entries = {
            "here": server.entry(ProviderType.OPENAI_COMPAT, api_key=KEY),
            "there": {"type": "gemini", "model": "g", "base_url": "http://127.0.0.1:9"},
        }
        write(house.layout, {"active": "here", "providers": entries})
        options = replace(house.settings.providers, timeout_seconds=10)
        with serving(replace(house, settings=replace(house.settings, providers=options))) as made:
            yield made


def put(served: Served, body: Any, **headers: str) -> httpx2.Response:  # noqa: ANN401 - JSON of any shape
    return served.client().put("/ops/provider", json=body, headers=headers)


def test_what_get_shows_can_be_put_back_and_keeps_the_key(served: Served, server: ModelServer) -> None:
    shown = served.client().get("/ops/provider")
    assert shown.status_code == 200
    assert shown.json()["providers"]["here"]["api_key"] == "***"
    assert KEY not in shown.text
    again = put(served, shown.json(), **{"If-Match": shown.headers["etag"]})
    assert (again.status_code, again.json(), again.headers["etag"]) == (200, shown.json(), shown.headers["etag"])
    assert served.client().post("/ops/generate", json={"prompt": "sweep"}).status_code == 201
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_body_with_only_active_is_taken_and_an_unknown_one_refused(served: Served) -> None:
    done = put(served, {"active": "there"})
    assert (done.status_code, done.json()["active"]) == (200, "there")
    problem = told(put(served, {"active": "gone"}), 422, "provider_configuration_invalid")
    assert "here, there" in problem["detail"]
    assert served.client().get("/ops/provider").json()["active"] == "there"


def test_a_version_that_is_gone_is_412(served: Served) -> None:
    before = served.client().get("/ops/provider").headers["etag"]
    assert put(served, {"active": "there"}, **{"If-Match": before}).status_code == 200
    told(put(served, {"active": "here"}, **{"If-Match": before}), 412, "precondition_failed")
    told(put(served, {"active": "here"}, **{"If-Match": '"7"'}), 412, "precondition_failed")
    assert put(served, {"active": "here"}, **{"If-Match": "*"}).status_code == 200


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_human_admin_sets_and_every_admin_generates(served: Served, kind: str) -> None:
    client = served.client("admin", kind)
    answer = client.put("/ops/provider", json={"active": "there"})
    if kind == "human":
        assert answer.status_code == 200
        assert put(served, {"active": "here"}).status_code == 200
    else:
        told(answer, 403, "human_needed")
    made = client.post("/ops/generate", json={"prompt": "sweep"})
    assert (made.status_code, made.json()["author"]) == (201, f"{kind}:{kind}-admin")
    for role in ("actions", "operator"):
        told(served.client(role, kind).get("/ops/provider"), 403, "role_too_low")
        told(served.client(role, kind).post("/ops/generate", json={"prompt": "sweep"}), 403, "role_too_low")


@pytest.mark.proves("ops-generate")
def test_generate_makes_a_draft_from_a_body_or_from_a_parameter(served: Served) -> None:
    made = served.client().post("/ops/generate", json={"prompt": "sweep", "context": {"floor": "oak"}})
    assert made.status_code == 201
    draft = made.json()
    assert made.headers["location"] == f"/ops/drafts/{draft['id']}"
    assert (draft["status"], draft["content"], draft["provider"], draft["context"]) == (
        "draft",
        WRITTEN,
        "here",
        {"floor": "oak"},
    )
    assert served.client().get(made.headers["location"]).headers["etag"] == made.headers["etag"]
    other = served.client().post("/ops/generate", params={"prompt": "mop"})
    assert (other.status_code, other.json()["prompt"]) == (201, "mop")
    told(served.client().post("/ops/generate"), 422, "prompt_missing")
    told(served.client().post("/ops/generate", params={"prompt": "x" * 8001}), 422)
    told(served.client().post("/ops/generate", json={"prompt": ""}), 422, "prompt_invalid")


def test_under_one_key_there_is_one_draft_and_one_question(served: Served, server: ModelServer) -> None:
    key = {"Idempotency-Key": "once"}
    first = served.client().post("/ops/generate", json={"prompt": "sweep"}, headers=key)
    again = served.client().post("/ops/generate", json={"prompt": "sweep"}, headers=key)
    assert (again.status_code, again.json(), again.headers["idempotency-replayed"]) == (201, first.json(), "true")
    assert len(server.asked) == 1
    told(served.client().post("/ops/generate", json={"prompt": "mop"}, headers=key), 409, "idempotency_key_used")


@pytest.mark.parametrize(
    ("status", "code", "answered"),
    [(500, "provider_failed", 502), (429, "provider_failed", 502), (0, "provider_timeout", 504)],
)
def test_a_failure_has_its_status_and_names_the_draft_in_error(
    served: Served, server: ModelServer, status: int, code: str, answered: int
) -> None:
    server.behaviour = saying({"error": {"message": f"no, {KEY}"}}, status, Retry_After="7") if status else hang
    if not status:
        served.house.providers.options = replace(served.house.providers.options, timeout_seconds=1)
    problem = told(failed := served.client().post("/ops/generate", json={"prompt": "sweep"}), answered, code)
    (draft,) = served.client().get("/ops/drafts", params={"status": "error"}).json()
    assert draft["id"] in problem["hint"]
    window = served.house.layout.ops / "drafts" / f"{draft['id']}.json"
    assert json.loads(window.read_bytes())["error"] == problem["detail"]
    assert draft["error"] == problem["detail"]
    assert failed.headers.get("retry-after") == ("7" if status == 429 else None)
    assert KEY not in failed.text + json.dumps(draft)
    told(served.client().post(f"/ops/drafts/{draft['id']}/approve"), 409, "draft_in_error")


@pytest.mark.proves("ops-provider-offline")
def test_a_provider_that_is_not_there_is_503(served: Served) -> None:
    assert put(served, {"providers": {"here": {"base_url": "http://127.0.0.1:9", "api_key": None}}}).status_code == 200
    problem = told(served.client().post("/ops/generate", json={"prompt": "sweep"}), 503, "provider_unreachable")
    assert "Connection refused" in problem["detail"]


def test_who_hangs_up_calls_the_generation_off(served: Served, server: ModelServer) -> None:
    gone, calls = threading.Event(), threading.Event()

    def wait(asking: Asking) -> None:
        calls.set()
        gone.wait(10)
        hang(asking)

    server.behaviour = wait
    patient = replace(served.house.providers.options, timeout_seconds=30)
    served.house.providers.options = patient
    body = b'{"prompt": "sweep"}'
    head = b"POST /ops/generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with closing(served.connect()) as connection:
        connection.sendall(head + served.bearer() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert calls.wait(10)
    gone.set()
    until(lambda: "called off" in served.client().get("/ops/drafts").json()[0]["error"], 5)


@pytest.mark.proves("ops-health-check")
def test_health_says_of_every_provider_how_it_is(served: Served) -> None:
    here, there = served.client("operator").get("/ops/provider/health").json()["items"]
    assert (here["id"], here["status"], here["active"]) == ("here", "ok", True)
    assert (there["id"], there["status"], there["reason"]) == ("there", "down", "offline")
    told(served.client("actions").get("/ops/provider/health"), 403, "role_too_low")


def test_a_literal_key_can_be_put_and_is_nowhere_afterwards(served: Served, server: ModelServer) -> None:
    new = "sk-new-literal-9876543210fedcba"
    body = {"providers": {"here": {"api_key": new, "model": MODEL}}}
    done = put(served, body)
    assert done.json()["providers"]["here"]["api_key"] == "***"
    assert new not in done.text + json.dumps(served.client().get("/ops/audit").json())
    assert served.client().post("/ops/generate", json={"prompt": "sweep"}).status_code == 201
    assert server.asked[-1].headers["authorization"] == f"Bearer {new}"
    refused = put(served, {"providers": {"here": {"api_key": new, "modell": MODEL}}})
    assert new not in told(refused, 422)["detail"] + refused.text


def test_panic_freezes_setting_and_generating_before_anything_is_written_or_asked(
    served: Served, server: ModelServer
) -> None:
    admin = served.client()
    assert admin.put("/ops/panic", json={"reason": "smoke"}).status_code == 200
    before = (served.house.layout.ops / "provider.json").read_bytes()
    told(put(served, {"active": "there"}), 423, "panic_mode")
    told(admin.post("/ops/generate", json={"prompt": "sweep"}), 423, "panic_mode")
    assert (served.house.layout.ops / "provider.json").read_bytes() == before
    assert server.asked == []
    assert not list((served.house.layout.state / "provider").glob("*.json"))
    assert admin.get("/ops/provider").status_code == 200
