"""What a worker's token may do at `/ops/worker`, and what it may not, whatever ids and fences it guesses."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from interlock.access.models import NewToken, Principal, PrincipalKind, Role
from interlock.app import Interlock
from interlock.approval.models import Limits, Work
from interlock.kernel.ids import UlidSource
from interlock.runs.models import RunStatus
from interlock.runs.wire import PROTOCOL
from interlock.workspace.service import make_folders
from tests.conftest import ALICE
from tests.http.served import Served, serving, told

_ULID = UlidSource()
LIMITS = Limits(output_bytes=1000, patch_bytes=1000)


@dataclass(frozen=True)
class Hand:
    """A worker that is nothing but requests."""

    client: httpx2.Client
    worker: str
    protocol: int = PROTOCOL

    def __call__(self, verb: str, **body: Any) -> httpx2.Response:  # noqa: ANN401 - JSON of any shape
        given = {"worker": self.worker, "protocol": self.protocol, **body}
        return self.client.post(f"/ops/worker/{verb}", json=given)

    def claim(self, **body: Any) -> Mapping[str, Any]:  # noqa: ANN401 - JSON of any shape
        answer = self("claim", host="far", **body)
        assert answer.status_code == 200, answer.text
        return answer.json()["claim"]


@pytest.fixture
def door(house: Interlock) -> Iterator[Served]:
    """The server of a workspace over each kind of database, with one run that waits."""
    list(make_folders(house.layout))
    with closing(house), serving(house) as made:
        yield made


def run_of(house: Interlock, limits: Limits = LIMITS) -> str:
    draft = house.approval.create(ALICE, "sweep", work=Work(command=("true",), limits=limits))
    return house.runs.create(ALICE, house.approval.approve(ALICE, draft.id).id).id


def hand(served: Served, name: str = "worker@one", *, worker: str = "", protocol: int = PROTOCOL) -> Hand:
    new = NewToken(name=name, principal=Principal(PrincipalKind.SERVICE, name), role=Role.OPERATOR)
    text = served.house.access.create(ALICE, new, role=Role.ADMIN).text
    client = served.anybody(Authorization=f"Bearer {text}")
    return Hand(client, worker or f"worker-{_ULID()}", protocol)


def held(claim: Mapping[str, Any]) -> tuple[str, int]:
    return str(claim["item"]["id"]), int(claim["item"]["fence"])


def log(served: Served, run_id: str) -> list[str]:
    return [line.msg for line in served.house.runs.log(run_id, limit=10_000) if line.source == "stdout"]


def line(text: str) -> dict[str, Any]:
    return {"ts_ms": 1, "level": "INFO", "source": "stdout", "msg": text}


def test_a_claim_whose_answer_was_lost_is_answered_again_and_not_twice_over(door: Served) -> None:
    run_id, later = run_of(door.house), run_of(door.house)
    one = hand(door)
    first = one.claim()
    assert first["run"]["id"] == run_id
    assert held(one.claim()) == held(first)
    item, fence = held(first)
    assert one.claim(begun={item: fence})["run"]["id"] == later


def test_nobody_else_can_write_to_a_claim_whatever_they_guess(door: Served) -> None:
    run_id = run_of(door.house)
    one = hand(door)
    item, fence = held(one.claim())
    others = [
        hand(door, "worker@two", worker=one.worker),  # the very same id, of another principal
        Hand(one.client, f"worker-{_ULID()}"),  # the same principal, another worker
    ]
    asked: list[tuple[str, dict[str, Any]]] = [
        ("begin", {"step": "agent"}),
        ("startable", {}),
        ("agent", {"pid": 1, "start_time": 1, "boot": "b", "mode": "m"}),
        ("log", {"batch": 1, "lines": [line("forged")]}),
        ("body", {"ref": "sha256:" + "0" * 64, "place": 0, "data": ""}),
        ("complete", {"step": "agent", "output": {}}),
        ("finish", {"reason": None, "message": "", "result": {}}),
        ("return", {}),
    ]
    for other in others:
        for verb, body in asked:
            for guess in (fence, fence + 1, 0):
                told(other(f"items/{item}/{verb}", fence=guess, **body), 409, "lease_lost")
        assert other("renew").json()["held"] == {}
    assert one("renew").json()["held"] == {item: fence}
    assert log(door, run_id) == []
    assert door.house.runs.steps(run_id) == []
    told(one(f"items/{item}/begin", fence=fence + 1, step="agent"), 409, "lease_lost")
    told(one("items/ORCH-999/begin", fence=fence, step="agent"), 409, "lease_lost")


def test_only_a_service_that_is_called_a_worker_is_one(door: Served) -> None:
    run_of(door.house)
    for role in ("operator", "admin"):
        for kind in ("human", "agent", "service"):
            other = Hand(door.client(role, kind), f"worker-{_ULID()}")
            told(other("claim", host="far"), 403, "not_a_worker")
            told(other("renew"), 403, "not_a_worker")
    for kind in ("human", "agent", "service"):
        told(Hand(door.client("actions", kind), f"worker-{_ULID()}")("renew"), 403, "role_too_low")
    told(hand(door, worker="worker@two/worker-1")("renew"), 422, "worker_malformed")


def test_another_protocol_is_refused_with_what_to_do(door: Served) -> None:
    run_of(door.house)
    older = hand(door, protocol=PROTOCOL + 1)
    assert "same version" in told(older("claim", host="far"), 409, "worker_protocol_differs")["hint"]
    told(older("renew"), 409, "worker_protocol_differs")
    told(older.client.get(f"/ops/worker?protocol={PROTOCOL + 1}"), 409, "worker_protocol_differs")


def test_a_batch_that_comes_again_is_written_once_and_too_much_is_not_written(door: Served) -> None:
    run_id = run_of(door.house)
    one = hand(door)
    item, fence = held(one.claim())
    for batch in (1, 1, 2, 1, 2):
        answer = one(f"items/{item}/log", fence=fence, batch=batch, lines=[line(f"line {batch}")])
        assert answer.status_code == 200, answer.text
    assert log(door, run_id) == ["line 1", "line 2"]
    told(one(f"items/{item}/log", fence=fence, batch=3, lines=[line("x" * 20_000)]), 422, "not_valid")
    told(one(f"items/{item}/log", fence=fence, batch=3, lines=[line("x")] * 1001), 422, "not_valid")
    for batch in range(3, 100):
        answer = one(f"items/{item}/log", fence=fence, batch=batch, lines=[line("x" * 16_000)] * 10)
        if answer.status_code != 200:
            break
    told(answer, 422, "run_output_too_large")
    written = sum(len(each) for each in log(door, run_id))
    assert written < LIMITS.output_bytes + 1024 * 1024 + 1000


def test_a_body_has_to_be_what_its_name_says_and_no_larger_than_was_approved(door: Served) -> None:
    run_id = run_of(door.house)
    one = hand(door)
    item, fence = held(one.claim())
    patch = b"diff --git a/f b/f\n" * 10
    ref = "sha256:" + hashlib.sha256(patch).hexdigest()
    for place in (0, 100, 0, 100):  # each part twice
        data = base64.b64encode(patch[place : place + 100]).decode()
        assert one(f"items/{item}/body", fence=fence, ref=ref, place=place, data=data).status_code == 200
    output = {"commit": "0" * 40, "patch": {"digest": ref, "bytes": len(patch)}}
    named = [{"ref": ref, "media_type": "text/x-diff"}]
    assert one(f"items/{item}/begin", fence=fence, step="collect").status_code == 200
    for _ in range(2):
        done = one(f"items/{item}/complete", fence=fence, step="collect", output=output, bodies=named)
        assert done.status_code == 200, done.text
    other = [{"ref": "sha256:" + "1" * 64, "media_type": "text/x-diff"}]
    told(one(f"items/{item}/complete", fence=fence, step="agent", output={}, bodies=other), 422, "body_differs")
    large = base64.b64encode(b"x" * 700_000).decode()
    answers = [
        one(f"items/{item}/body", fence=fence, ref="sha256:" + "2" * 64, place=n * 700_000, data=large)
        for n in range(3)
    ]
    told(answers[-1], 422, "result_too_large")
    told(one(f"items/{item}/body", fence=fence, ref="r", place=0, data="!"), 422, "body_differs")
    assert one(f"items/{item}/begin", fence=fence, step="finish").status_code == 200
    result = {"exit_code": 0, **output}
    for _ in range(2):
        ended = one(f"items/{item}/finish", fence=fence, reason="agent_failed", message="it failed", result=result)
        assert ended.status_code == 200, ended.text
    assert door.house.runs.get(run_id).status is RunStatus.ERROR
    assert door.house.runs.patch(run_id) == patch


def test_a_result_can_name_no_text_of_somebody_s_and_nothing_that_is_not_canonical(door: Served) -> None:
    run_id = run_of(door.house)
    one = hand(door)
    item, fence = held(one.claim())
    approved = door.house.approval.approved(door.house.runs.get(run_id).approved_id)
    one(f"items/{item}/begin", fence=fence, step="finish")
    for ref in (approved.prompt.ref, "sha256:" + "3" * 64, ""):
        result = {"patch": {"digest": ref, "bytes": 1}}
        told(one(f"items/{item}/finish", fence=fence, reason=None, message="", result=result), 422, "result_malformed")
    told(one(f"items/{item}/finish", fence=fence, reason=None, message="", result={"a": 0.5}), 422, "result_malformed")
    assert door.house.runs.get(run_id).status is RunStatus.RUNNING


def test_what_a_worker_says_is_signed_on_its_behalf_and_never_as_its_own(door: Served) -> None:
    run_id = run_of(door.house)
    one = hand(door)
    item, fence = held(one.claim())
    one(f"items/{item}/begin", fence=fence, step="finish")
    forged = {"exit_code": 1, "attestation": {"digest": "sha256:" + "4" * 64, "signed_by": "principal"}}
    ended = one(f"items/{item}/finish", fence=fence, reason="agent_failed", message="m", result=forged)
    assert ended.status_code == 200, ended.text
    result = door.house.runs.get(run_id).result
    assert result is not None
    assert result["attestation"]["signed_by"] == "service_on_behalf"
    with door.house.database.read() as transaction:
        row = transaction.one("content_get", ref=result["attestation"]["digest"])
    assert row is not None
    statement = base64.b64decode(json.loads(bytes(row["body"]))["payload"])
    assert b'"principal":"service:worker@one"' in statement


def test_a_worker_is_given_only_what_its_node_has_and_nothing_while_that_is_drained(door: Served) -> None:
    house = door.house
    work = Work(command=("true",), needs=("gpu",), limits=LIMITS)
    draft = house.approval.create(ALICE, "sweep", work=work)
    run_id = house.runs.create(ALICE, house.approval.approve(ALICE, draft.id).id).id
    one, two = hand(door), hand(door, "worker@two")
    plain, able = f"n_{_ULID()}", f"n_{_ULID()}"
    facts = {"host": "far", "boot_id": "b", "version": "1", "capabilities": ["git"], "concurrency": 1}
    assert one("join", id=plain, labels=[], **facts).status_code == 200
    assert two("join", id=able, labels=["gpu"], **facts).status_code == 200
    assert one.claim(node_id=plain) is None
    told(one("claim", host="far", node_id=able), 403, "not_a_worker")  # somebody else's node
    told(one("join", id=able, labels=["gpu"], **facts), 403, "not_a_worker")
    assert house.fleet.get(able).facts.name == "two"
    house.fleet.drain(ALICE, able, reason="look")
    refused = two("claim", host="far", node_id=able).json()
    assert (refused["claim"], refused["why"]["code"]) == (None, "node_not_taking")
    assert two("renew", node_id=able).json()["node"] == "draining"
    house.fleet.resume(ALICE, able)
    assert two.claim(node_id=able)["run"]["id"] == run_id
    unknown = one("claim", host="far", node_id=f"n_{_ULID()}").json()
    assert unknown["why"]["code"] == "node_unknown"


def test_panic_lets_nothing_be_claimed_and_lets_what_is_under_way_end(door: Served) -> None:
    run_id, later = run_of(door.house), run_of(door.house)
    one = hand(door)
    item, fence = held(one.claim())
    door.house.access.raise_panic(ALICE, role=Role.ADMIN, reason="look")
    why = one("claim", host="far", begun={item: fence}).json()["why"]
    assert why["code"] == "panic_mode"
    assert one(f"items/{item}/log", fence=fence, batch=1, lines=[line("goes on")]).status_code == 200
    assert one(f"items/{item}/begin", fence=fence, step="finish").status_code == 200
    ended = one(f"items/{item}/finish", fence=fence, reason="agent_failed", message="m", result={"exit_code": 1})
    assert ended.status_code == 200
    assert door.house.runs.get(run_id).status is RunStatus.ERROR
    assert door.house.runs.get(later).status is RunStatus.PENDING


def test_a_waiting_claim_is_answered_when_a_run_is_made(door: Served) -> None:
    one = hand(door)
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(one.claim(wait_seconds=20)))
    thread.start()
    time.sleep(0.3)
    began = time.monotonic()
    run_id = run_of(door.house)
    thread.join(20)
    assert found[0]["run"]["id"] == run_id
    assert time.monotonic() - began < 10
