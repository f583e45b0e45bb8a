"""What the console's queue asks of the server: counts, pages between places, workers, figures over time, and bulks."""

# ruff: noqa: ANN401 - JSON of any shape

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from interlock.queue import bulk as moving
from interlock.queue import bulks
from interlock.queue.events import BulkEnded
from interlock.queue.models import Filter
from interlock.storage.queue import StoredItems
from tests.conftest import until
from tests.http.served import Served, told
from tests.queue.desk import MANUAL

BULK = "/ops/queue/bulk"


def filled(served: Served, count: int) -> list[str]:
    with served.house.database.light() as transaction:
        return [StoredItems(transaction).add(MANUAL)[0].id for _ in range(count)]


def add(served: Served, **wanted: Any) -> str:
    given = {"task": "sweep", "success_criteria": "swept", **wanted}
    made = served.client("operator").post("/ops/queue/items", json=given)
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


def got(served: Served, path: str, **asked: Any) -> Any:
    answer = served.client("actions").get(path, params=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def claim(served: Served, owner: str = "s1") -> dict[str, Any]:
    return served.client("operator").post("/ops/queue/claim", json={"owner_session": owner}).json()


def previewed(served: Served, role: str = "operator", kind: str = "human", **body: Any) -> dict[str, Any]:
    made = served.client(role, kind).post(BULK, json=body)
    assert made.status_code == 201, made.text
    return made.json()


def run(served: Served, bulk: dict[str, Any]) -> dict[str, Any]:
    begun = served.client("operator").post(f"{BULK}/{bulk['id']}/run")
    assert begun.status_code == 202, begun.text
    until(lambda: got(served, f"{BULK}/{bulk['id']}")["status"] != "running", 60)
    return got(served, f"{BULK}/{bulk['id']}")


def events(served: Served, prefix: str) -> list[tuple[str, Any]]:
    served.house.database.seal()
    log = served.house.event_log
    return [
        (event["kind"], event["payload"])
        for _, event in log.events(0, log.size())
        if str(event["kind"]).startswith(prefix)
    ]


def test_a_filter_s_items_are_counted_by_status(any_served: Served) -> None:
    add(any_served, task="50% of <b>it</b>", priority="P0")
    add(any_served, task="ANOTHER", priority="P0")
    add(any_served, task="another")
    claim(any_served)
    assert got(any_served, "/ops/queue/count") == {"items": 3, "by_status": {"IN_PROGRESS": 1, "PENDING": 2}}
    assert got(any_served, "/ops/queue/count", status="PENDING") == {"items": 2, "by_status": {"PENDING": 2}}
    assert got(any_served, "/ops/queue/count", text="another", status="PENDING")["items"] == 2
    assert got(any_served, "/ops/queue/count", text="another", priority="P0")["items"] == 1
    assert got(any_served, "/ops/queue/count", text="50% of <B>")["by_status"] == {"IN_PROGRESS": 1}
    for nothing in ("50_ of", "50% <b>", "\\50", "5%b"):
        assert got(any_served, "/ops/queue/count", text=nothing)["items"] == 0
        assert got(any_served, "/ops/queue/items", text=nothing) == []
    assert got(any_served, "/ops/queue/count", owner="s1")["items"] == 1
    assert got(any_served, "/ops/queue/count", text="nowhere") == {"items": 0, "by_status": {}}


def test_a_page_ends_where_the_next_one_begins_whatever_came_between(any_served: Served) -> None:
    names = filled(any_served, 6)
    first = any_served.client().get("/ops/queue/items", params={"limit": 3})
    place = first.headers["link"].partition("after=")[2].partition(">")[0]
    for name in names[4:]:
        any_served.client().post(f"/ops/queue/items/{name}/reprioritise", json={"priority": "P0"})
    above = got(any_served, "/ops/queue/items", until=place)
    below = got(any_served, "/ops/queue/items", after=place)
    assert [item["id"] for item in above] == [*names[4:], *names[:3]]
    assert [item["id"] for item in below] == [names[3]]
    assert [item["id"] for item in got(any_served, "/ops/queue/items", until=place, status="PENDING")] == [
        *names[4:],
        *names[:3],
    ]
    told(any_served.client().get("/ops/queue/items", params={"until": "1"}), 422)


def test_needs_and_limits_of_placement_over_http(any_served: Served) -> None:
    add(any_served, task="train", needs=["region=eu", "gpu"])
    add(any_served, task="sweep")
    client = any_served.client("operator")
    put = client.put("/ops/queue/limits", json={"key": "repository:/a", "most": 1})
    assert (put.status_code, put.json()) == (200, {"id": "repository:/a", "status": "ok", "most": 1})
    assert got(any_served, "/ops/queue/limits") == [{"key": "repository:/a", "most": 1, "held": 0, "pending": None}]
    shown = got(any_served, "/ops/queue/items", need="gpu")
    assert [(each["task"], each["needs"], each["node_id"]) for each in shown] == [("train", ["gpu", "region=eu"], None)]
    assert got(any_served, "/ops/queue/count", need="gpu", status="PENDING")["items"] == 1
    assert got(any_served, "/ops/queue/items", agent="codex") == got(any_served, "/ops/queue/items", node_id="n") == []
    taken = [
        client.post("/ops/queue/claim", json={"owner_session": "w", "has": has}).json().get("task")
        for has in (["gpu"], ["gpu"], ["gpu", "region=eu"])
    ]
    assert taken == ["sweep", None, "train"]
    assert client.put("/ops/queue/limits", json={"key": "repository:/a", "most": None}).json()["most"] is None
    assert got(any_served, "/ops/queue/limits") == []
    for path, body in (
        ("/ops/queue/claim", {"owner_session": "w", "has": ["a b"]}),
        ("/ops/queue/items", {"task": "t", "success_criteria": "s", "needs": ["\x00"]}),
    ):
        assert client.post(path, json=body).status_code == 422


def test_workers_say_who_holds_what_since_when_and_until_when(any_served: Served) -> None:
    names = filled(any_served, 3)
    for owner in ("s2", "s1", "s2"):
        claim(any_served, owner)
    found = got(any_served, "/ops/queue/workers")
    assert [(each["owner_session"], each["items"], each["first_id"]) for each in found] == [
        ("s1", 1, names[1]),
        ("s2", 2, names[0]),
    ]
    assert all(each["since"] < each["lease_until"] and each["host"] is None for each in found)
    assert [each["owner_session"] for each in got(any_served, "/ops/queue/workers", limit=1)] == ["s1"]


def test_figures_over_time_follow_what_happened_and_the_backlog_is_what_it_is_now(any_served: Served) -> None:
    filled(any_served, 2)  # of these the log knows nothing: the backlog does
    names = [add(any_served) for _ in range(4)]
    done, lost, back = (claim(any_served) for _ in range(3))
    operator = any_served.client("operator")
    operator.post(f"/ops/queue/items/{done['id']}/complete", json={"fence": 1})
    operator.post(f"/ops/queue/items/{lost['id']}/fail", json={"fence": 1})
    operator.post(f"/ops/queue/items/{back['id']}/release", json={"fence": 1})
    operator.post(f"/ops/queue/items/{names[3]}/cancel")
    operator.post(f"/ops/queue/items/{lost['id']}/retry")
    for _ in range(2):  # what is not yet projected, and what is, is told alike
        shown = got(any_served, "/ops/queue/history", points=10)
        last = [shown["points"][-1], shown["points"][-2]]
        total = {name: sum(each[name] for each in last) for name in ("added", "claimed", "completed", "failed")}
        assert total == {"added": 4, "claimed": 3, "completed": 1, "failed": 1}
        assert sum(each["cancelled"] for each in last) == sum(each["retried"] for each in last) == 1
        assert last[0]["backlog"] == {"PENDING": 4, "IN_PROGRESS": 0, "BLOCKED": 1, "FAILED": 0}
        assert shown["points"][0]["backlog"] == {"PENDING": 2, "IN_PROGRESS": 0, "BLOCKED": 0, "FAILED": 0}
        assert (len(shown["points"]), shown["step_seconds"]) == (10, 144 * 60)
        waits = [each["wait_p50_ms"] for each in last if each["wait_p50_ms"] is not None]
        assert waits
        assert max(waits) < 60_000
        assert any(each["work_p95_ms"] is not None for each in last)
        any_served.follower.follow()


@pytest.mark.parametrize("asked", [{"from_ms": 2, "to_ms": 1_000_000_000_000}, {"from_ms": 2**52}, {"points": 501}])
def test_a_span_without_bounds_is_refused(shared: Served, asked: dict[str, int]) -> None:
    told(shared.client().get("/ops/queue/history", params=asked), 422)


def test_a_bulk_is_shown_first_and_then_carried_out_as_it_was_shown(any_served: Served) -> None:
    names = filled(any_served, 620)
    shown = previewed(any_served, verb="cancel", reason="tidy up", which={"status": "PENDING"})
    assert (shown["status"], shown["matched"], shown["by_status"]) == ("preview", 620, {"PENDING": 620})
    assert [item["id"] for item in shown["sample"]] == names[:10]
    assert shown["outcome"] == "become BLOCKED"
    assert got(any_served, "/ops/queue/count", status="PENDING")["items"] == 620, "nothing was changed"
    late = add(any_served)
    moved = claim(any_served)["id"]
    ended = run(any_served, shown)
    assert (ended["status"], ended["done"], ended["changed"]) == ("done", 620, 619)
    assert ended["refused"] == {"item_state_conflict": 1}
    assert ended["examples"] == [f"{moved} changed while this was done"]
    assert got(any_served, f"/ops/queue/items/{late}")["status"] == "PENDING", "it was not shown"
    assert got(any_served, f"/ops/queue/items/{moved}")["status"] == "IN_PROGRESS"
    assert got(any_served, f"/ops/queue/items/{names[5]}")["notes"] == "cancelled_by_operator: tidy up"
    assert len(events(any_served, "item.cancelled")) == 619
    until(lambda: len(events(any_served, "bulk.")) == 2)
    assert events(any_served, "bulk.") == [
        ("bulk.begun", {"verb": "cancel", "matched": 620, "reason": "tidy up"}),
        ("bulk.ended", {"status": "done", "changed": 619, "unchanged": 0, "refused": 1, "message": ""}),
    ]
    assert run(any_served, shown) == ended, "asked for again, nothing is done twice"
    assert [each["id"] for each in got(any_served, BULK)] == [shown["id"]]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"verb": "replan", "reason": "anew"}, "PENDING"),
        ({"verb": "retry"}, "PENDING"),
        ({"verb": "reprioritise", "to": "P0"}, "FAILED"),
    ],
)
def test_every_verb_moves_the_items_that_are_named(served: Served, body: dict[str, str], status: str) -> None:
    names = filled(served, 3)
    for _ in names:
        held = claim(served)
        served.client("operator").post(f"/ops/queue/items/{held['id']}/fail", json={"fence": 1})
    ended = run(served, previewed(served, **body, ids=[*names[:2], names[0]]))
    assert (ended["matched"], ended["changed"]) == (2, 2)
    assert [got(served, f"/ops/queue/items/{name}")["status"] for name in names] == [status, status, "FAILED"]


@pytest.mark.parametrize(
    "body",
    [
        {"verb": "cancel"},
        {"verb": "cancel", "which": {}},
        {"verb": "cancel", "which": {"text": ""}},
        {"verb": "cancel", "which": {"status": "PENDING"}, "ids": ["ORCH-001"]},
        {"verb": "cancel", "ids": []},
        {"verb": "replan", "which": {"status": "PENDING"}},
        {"verb": "reprioritise", "which": {"status": "PENDING"}},
        {"verb": "reprioritise", "to": "P7", "which": {"status": "PENDING"}},
        {"verb": "retry", "to": "P0", "which": {"status": "PENDING"}},
        {"verb": "complete", "which": {"status": "PENDING"}},
        {"verb": "cancel", "which": {"status": "ALL"}},
    ],
)
def test_a_bulk_that_says_too_little_or_too_much_is_refused(shared: Served, body: dict[str, Any]) -> None:
    told(shared.client("operator").post(BULK, json=body), 422)


def test_who_may_not_move_one_item_may_not_move_many(shared: Served) -> None:
    body: dict[str, Any] = {"verb": "cancel", "which": {"status": "PENDING"}}
    told(shared.client("actions").post(BULK, json=body), 403, "role_too_low")
    shown = previewed(shared, **body)
    told(shared.client("actions").post(f"{BULK}/{shown['id']}/run"), 403, "role_too_low")
    told(shared.client("actions").post(f"{BULK}/{shown['id']}/stop"), 403, "role_too_low")
    told(shared.client("admin").post(f"{BULK}/{shown['id']}/run"), 404, "bulk_not_found")
    told(shared.client("operator").post(BULK, json={"verb": "cancel", "ids": ["nobody"]}), 404, "item_not_found")


def test_panic_lets_a_bulk_stop_things_and_begin_nothing(served: Served) -> None:
    names = filled(served, 2)
    replans = previewed(served, verb="replan", reason="anew", ids=names)
    cancels = previewed(served, verb="cancel", ids=names)
    assert served.client().put("/ops/panic", json={"reason": "smoke"}).is_success
    told(served.client("operator").post(f"{BULK}/{replans['id']}/run"), 423)
    assert got(served, f"{BULK}/{replans['id']}")["status"] == "preview"
    assert run(served, cancels)["changed"] == 2


def test_a_bulk_can_be_stopped_and_done_again_and_only_one_goes_at_a_time(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "MOST_PER_TRANSACTION", 1)
    filled(served, 3_000)
    body: dict[str, Any] = {"verb": "cancel", "which": {"status": "PENDING"}}
    first, second = previewed(served, **body), previewed(served, **body)
    operator = served.client("operator")
    assert operator.post(f"{BULK}/{first['id']}/run").status_code == 202
    told(operator.post(f"{BULK}/{second['id']}/run"), 409, "bulk_busy")
    until(lambda: got(served, f"{BULK}/{first['id']}")["done"] > 0)
    assert operator.post(f"{BULK}/{first['id']}/stop").status_code == 200
    until(lambda: got(served, f"{BULK}/{first['id']}")["status"] != "running")
    ended = got(served, f"{BULK}/{first['id']}")
    assert ended["status"] == "stopped"
    assert 0 < ended["changed"] < 3_000
    assert got(served, "/ops/queue/count", status="BLOCKED")["items"] == ended["changed"]
    monkeypatch.undo()
    again = run(served, second)
    assert (again["status"], again["changed"]) == ("done", 3_000 - ended["changed"])


def test_one_filter_is_read_at_a_time_and_who_would_wait_too_long_is_told(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulks, "_CHOOSING_SECONDS", 0.2)
    filled(served, 1)
    reading, read = threading.Event(), threading.Event()
    meant = StoredItems.meant

    def slowly(store: StoredItems, which: Filter, limit: int) -> Any:
        reading.set()
        assert read.wait(30)
        return meant(store, which, limit)

    monkeypatch.setattr(StoredItems, "meant", slowly)
    body: dict[str, Any] = {"verb": "cancel", "which": {"status": "PENDING"}}
    with ThreadPoolExecutor(1) as another:
        first = another.submit(previewed, served, **body)
        try:
            assert reading.wait(30)
            told(served.client("operator").post(BULK, json=body), 409, "bulk_busy")
        finally:
            read.set()
        assert first.result()["matched"] == 1
    assert previewed(served, **body)["matched"] == 1


def test_a_bulk_whose_end_can_not_be_told_has_ended_all_the_same(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(served, 1)
    first = previewed(served, verb="cancel", which={"status": "PENDING"})
    monkeypatch.setattr(BulkEnded, "version", object())  # no JSON: that is no error of ours
    assert run(served, first)["changed"] == 1
    monkeypatch.undo()
    second = previewed(served, verb="reprioritise", to="P0", which={"status": "BLOCKED"})
    assert run(served, second)["changed"] == 1


def test_a_failure_in_the_middle_is_told_with_what_was_done(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "MOST_PER_TRANSACTION", 1)
    filled(served, 2_000)
    shown = previewed(served, verb="replan", reason="anew", which={"status": "PENDING"})
    assert served.client("operator").post(f"{BULK}/{shown['id']}/run").status_code == 202
    until(lambda: got(served, f"{BULK}/{shown['id']}")["done"] > 0)
    assert served.client().put("/ops/panic", json={"reason": "smoke"}).is_success
    until(lambda: got(served, f"{BULK}/{shown['id']}")["status"] != "running")
    ended = got(served, f"{BULK}/{shown['id']}")
    assert ended["status"] == "failed"
    assert "panic" in ended["message"]
    assert 0 < ended["changed"] < 2_000
    until(lambda: len(events(served, "bulk.")) == 2)
    assert ("bulk.ended", ended["message"]) in [
        (kind, payload.get("message")) for kind, payload in events(served, "bulk.")
    ]


def test_a_server_that_ends_stops_its_bulk_and_says_so(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "MOST_PER_TRANSACTION", 1)
    filled(served, 2_000)
    shown = previewed(served, verb="cancel", which={"status": "PENDING"})
    assert served.client("operator").post(f"{BULK}/{shown['id']}/run").status_code == 202
    served.house.bulks.close()
    (begun, ended) = events(served, "bulk.")
    assert begun[0] == "bulk.begun"
    assert ended[1]["status"] == "stopped"
