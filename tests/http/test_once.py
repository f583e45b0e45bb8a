"""An `Idempotency-Key` makes a thing once, however often and from wherever it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from interlock.kernel.once import KEPT_MS
from tests.http.served import Served, told

Making = Callable[[Served, str], tuple[str, dict[str, Any]]]


def draft(_: Served, word: str) -> tuple[str, dict[str, Any]]:
    return "/ops/drafts", {"prompt": word}


def item(_: Served, word: str) -> tuple[str, dict[str, Any]]:
    return "/ops/queue/items", {"task": word, "success_criteria": "it is done"}


def run(served: Served, word: str) -> tuple[str, dict[str, Any]]:
    if word == "first":
        return "/ops/runs", {"approved_id": served.approved()}
    return "/ops/runs", {"approved_id": f"a_01ARZ3NDEKTSV4RRFFQ69G5FA{word[0].upper()}"}


def ask(served: Served, path: str, body: object, key: str, kind: str = "human") -> httpx2.Response:
    return served.client("admin", kind).post(path, json=body, headers={"Idempotency-Key": key})


@pytest.mark.parametrize("making", [draft, item, run])
def test_asked_again_it_answers_with_what_was_made(any_served: Served, making: Making) -> None:
    path, body = making(any_served, "first")
    first, again = ask(any_served, path, body, "k-1"), ask(any_served, path, body, "k-1")
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert first.headers["location"] == again.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert len(any_served.client().get(path).json()) == 1
    told(ask(any_served, path, making(any_served, "other")[1], "k-1"), 409, "idempotency_key_used")
    assert len(any_served.client().get(path).json()) == 1


@pytest.mark.parametrize("making", [draft, item, run])
def test_asked_at_the_same_time_it_is_made_once(any_served: Served, making: Making) -> None:
    path, body = making(any_served, "first")
    any_served.client()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, any_served, path, body, "k-2") for _ in range(8)]
        answers = [each.result() for each in asked]
    assert [answer.status_code for answer in answers] == [201] * 8
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(any_served.client().get(path).json()) == 1
    assert any_served.house.database.seal() == 0


def test_the_key_is_the_caller_s_own_and_counts_for_one_route(served: Served) -> None:
    body = {"prompt": "p"}
    ids = {
        ask(served, "/ops/drafts", body, "k-3").json()["id"],
        ask(served, "/ops/drafts", body, "k-3", "service").json()["id"],
        ask(served, "/ops/queue/items", {"task": "t", "success_criteria": "s"}, "k-3").json()["id"],
        served.client().post("/ops/drafts", json=body).json()["id"],
        served.client().post("/ops/drafts", json=body).json()["id"],
    }
    assert len(ids) == 5


def test_what_was_refused_or_denied_uses_up_no_key(served: Served) -> None:
    told(ask(served, "/ops/drafts", {"prompt": " "}, "k-4"), 422)
    told(ask(served, "/ops/runs", {"approved_id": served.draft()}, "k-4"), 403)
    assert ask(served, "/ops/drafts", {"prompt": "p"}, "k-4").status_code == 201
    assert ask(served, "/ops/runs", {"approved_id": served.approved()}, "k-4").status_code == 201


@pytest.mark.parametrize("key", ["", "a b", "x" * 129, "ä".encode()])
def test_a_key_that_is_none_is_refused(shared: Served, key: str | bytes) -> None:
    headers: Any = {"Idempotency-Key": key}
    told(shared.client().post("/ops/drafts", json={"prompt": "p"}, headers=headers), 422, "not_valid")


def test_after_a_day_a_key_is_free_again(served: Served) -> None:
    first = ask(served, "/ops/drafts", {"prompt": "p"}, "k-5").json()["id"]
    now = served.house.now()
    object.__setattr__(served.house.database, "_now", lambda: now + KEPT_MS + 1)
    later = ask(served, "/ops/drafts", {"prompt": "q"}, "k-5")
    assert later.status_code == 201
    assert later.json()["id"] != first
