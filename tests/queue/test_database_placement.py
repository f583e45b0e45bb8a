"""Who takes what: only what it satisfies, never more than a limit allows, and nothing waits for ever."""

# ruff: noqa: S608 - the words of every statement are the tests' own

from __future__ import annotations

import os
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.kernel.errors import Invalid
from interlock.queue.models import Filter, Item, ItemStatus
from interlock.queue.options import QueueOptions
from interlock.queue.service import Queue
from interlock.storage.database import queries
from tests.conftest import WORKER, until
from tests.queue.crowd import Member, crowd
from tests.queue.desk import MANUAL, NOON_MS, Desk, Wanted, at_once, ids, refused

SECONDS = float(os.environ.get("INTERLOCK_TEST_CROWD_SECONDS", "3"))


def explained(desk: Desk, item: Item, nodes: int | None = None) -> list[tuple[str, str]]:
    """Explain an item where so many live nodes have what it needs."""

    def count(_: frozenset[str]) -> int | None:
        return nodes

    def ask(queue: Queue) -> list[tuple[str, str]]:
        known = replace(queue, nodes_that_have=count)
        return [(each.code, each.text) for each in known.explain(item.id)]

    return desk.look(ask)


def emptied(desk: Desk, *has: str, node: str | None = None) -> list[str]:
    """Take until there is nothing left; returns the ids."""
    taken: list[str] = []
    while (item := desk.take("w", *has, node=node)) is not None:
        taken.append(item.id)
    return taken


# --- what it needs ----------------------------------------------------------------------------------------------------


@pytest.mark.proves("fleet-placement")
def test_only_who_has_everything_takes_what_needs_it(desk: Desk) -> None:
    both = desk.add(needs=("region=eu", "gpu", "gpu"), priority="P0")
    one = desk.add(needs=("gpu",))
    free = desk.add(priority="P2")
    assert both.needs == ("gpu", "region=eu")
    assert emptied(desk, "region=eu", "region=us") == [free.id]
    assert emptied(desk, "gpu", "region=us") == [one.id]
    assert emptied(desk) == []
    assert emptied(desk, "gpu", "region=eu", "cpu") == [both.id]


def test_who_has_much_takes_the_first_of_all_lanes_by_priority_then_by_age(desk: Desk) -> None:
    items = [
        desk.add(needs=needs, priority=priority)
        for priority, needs in (
            ("P2", ("gpu",)),
            ("P1", ()),
            ("P1", ("gpu",)),
            ("P0", ("eu", "gpu")),
            ("P1", ("eu",)),
            ("P0", ()),
            ("P2", ()),
        )
    ]
    names = ids(items)
    assert emptied(desk, "eu", "gpu") == [names[each] for each in (3, 5, 1, 2, 4, 0, 6)]


def test_a_label_that_is_none_is_refused_and_so_are_too_many(desk: Desk) -> None:
    for label in ("", "GPU", "a b", "gpu=", "a'b", 'a"b', "x" * 64, "gpu\n"):
        assert refused(Invalid, partial(desk.add, needs=(label,))).startswith("a label is NAME or NAME=VALUE")
        assert refused(Invalid, partial(desk.take, "w", label)).startswith("a label is NAME or NAME=VALUE")
    many = tuple(f"{number:060}" for number in range(9))
    assert refused(Invalid, partial(desk.add, needs=many)).endswith("of at most 512 characters together")


def test_a_label_that_is_part_of_another_is_another(desk: Desk) -> None:
    item = desk.add(needs=("gpu",))
    for other in ("gp", "gpu2", "gpu=a", "a/gpu", "u"):
        assert desk.take("w", other) is None
    assert desk.item(item.id).status is ItemStatus.PENDING


def test_a_node_is_remembered_as_long_as_it_holds_the_item(desk: Desk) -> None:
    item = desk.add()
    ways: Sequence[Callable[[Item], object]] = (
        desk.release,
        partial(desk.fail, transient=True),
        desk.rescue,
        lambda held: desk.replan(held.id),
        lambda held: desk.cancel(held.id),
        desk.complete,
    )
    for way in ways:
        if desk.item(item.id).status is ItemStatus.BLOCKED:
            desk.replan(item.id)
        desk.clock.move(hours=1)
        held = desk.take("w", node="n_1")
        assert held is not None
        assert (held.node_id, desk.look(lambda queue: ids(queue.list(Filter(node_id="n_1"))))) == ("n_1", [item.id])
        way(held)
        assert desk.item(item.id).node_id is None, way
    assert {told["node_id"] for _, told in desk.told("item.claimed")} == {"n_1"}


def test_a_list_shows_what_needs_a_label_and_whose_it_is(desk: Desk) -> None:
    one, two, three = (
        desk.add(needs=("eu", "gpu"), repository="/a", agent="codex"),
        desk.add(needs=("gpu2",), repository="/b", agent="codex"),
        desk.add(repository="/a"),
    )
    for which, expected in (
        (Filter(need="gpu"), [one]),
        (Filter(need="eu", status=ItemStatus.PENDING), [one]),
        (Filter(repository="/a"), [one, three]),
        (Filter(agent="codex"), [one, two]),
        (Filter(agent="codex", repository="/b"), [two]),
        (Filter(node_id="n_1"), []),
    ):
        assert desk.look(lambda queue, which=which: ids(queue.list(which))) == ids(expected)
        assert sum(desk.look(lambda queue, which=which: queue.store.count(which)).values()) == len(expected)


def test_what_it_needs_is_explained_with_how_many_nodes_could_take_it(desk: Desk) -> None:
    item = desk.add(needs=("gpu", "eu"))
    assert explained(desk, item)[0] == ("needs", "only who has eu, gpu takes it; which nodes there are is not known")
    assert explained(desk, item, 2)[0] == ("needs", "only who has eu, gpu takes it; live nodes that do: 2")
    assert explained(desk, item, 0)[0] == ("needs_unmet", "it needs eu, gpu, and no live node has that")
    assert explained(desk, item)[1][0] == "next"
    desk.add(priority="P0")
    assert explained(desk, item)[1][0] == "next", "what others need does not go before it"


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "wanted", "node"),
    [
        ("repository:/a", {"repository": "/a"}, None),
        ("agent:codex", {"agent": "codex"}, None),
        ("node:n_1", {}, "n_1"),
    ],
)
def test_a_limit_holds_and_its_change_and_removal_take_effect_at_once(
    desk: Desk, key: str, wanted: Wanted, node: str | None
) -> None:
    items = [desk.add(**wanted) for _ in range(6)]
    desk.limit(key, 2)
    assert emptied(desk, node=node) == ids(items[:2])
    held = desk.look(lambda queue: {each.key: (each.most, each.held) for each in queue.store.concurrencies()})
    assert held == {key: (2, 2)}
    desk.complete(desk.item(items[0].id))
    assert emptied(desk, node=node) == [items[2].id]
    desk.limit(key, 0)
    desk.complete(desk.item(items[1].id))
    assert emptied(desk, node=node) == []
    desk.limit(key, 2)
    assert emptied(desk, node=node) == [items[3].id]
    desk.limit(key, None)
    assert emptied(desk, node=node) == ids(items[4:])
    assert [told["most"] for _, told in desk.told("concurrency.set")] == [2, 0, 2, None]
    assert desk.look(lambda queue: queue.store.concurrencies()) == []


def test_what_a_limit_holds_back_does_not_hold_back_others(desk: Desk) -> None:
    full = [desk.add(repository="/a", agent="codex", priority="P0") for _ in range(4)]
    other = desk.add(repository="/b", agent="codex")
    free = desk.add(priority="P2")
    needy = desk.add(needs=("gpu",), repository="/b")
    desk.limit("repository:/a", 1)
    desk.limit("agent:codex", 2)
    assert emptied(desk) == [full[0].id, other.id, free.id]
    assert emptied(desk, "gpu") == [needy.id]
    desk.complete(desk.item(other.id))
    assert emptied(desk) == [], "an agent is free, its repository is not"
    desk.complete(desk.item(full[0].id))
    assert emptied(desk) == [full[1].id]


def test_a_full_node_takes_nothing_and_another_one_does(desk: Desk) -> None:
    one, two = desk.add(), desk.add()
    desk.limit("node:n_1", 1)
    assert emptied(desk, "gpu", node="n_1") == [one.id]
    assert emptied(desk, node="n_2") == [two.id]


def test_a_limit_is_for_an_address_a_name_or_a_node_that_can_be_one(desk: Desk) -> None:
    for key in ("repository:", "agent: x", "node:\0", "repository:" + "x" * 1_025):
        assert "1 to 1024 printable characters" in refused(Invalid, partial(desk.limit, key, 1))
    assert refused(Invalid, partial(desk.limit, "agent:x", -1)) == "a limit is from 0 to 1000000, not -1"
    assert refused(Invalid, partial(desk.limit, "index", None)).startswith("a concurrency key always has a limit")
    assert refused(Invalid, partial(desk.add, concurrency_key="agent:x")).startswith("a concurrency key does not begin")


def test_a_used_up_limit_is_explained_with_who_uses_it(desk: Desk) -> None:
    held, item = (desk.add(repository="/a", agent="codex", priority=each) for each in ("P0", "P1"))
    for key in ("repository:/a", "agent:codex", "node:n_1"):
        desk.limit(key, 1)
    assert desk.take("ada", node="n_1") is not None
    assert explained(desk, item)[:3] == [
        ("limit_agent", f"of its agent 'codex' 1 may be under way at the same time; there are: {held.id} (ada)"),
        ("limit_repository", f"of its repository '/a' 1 may be under way at the same time; there are: {held.id} (ada)"),
        ("limit_node", f"on the node 'n_1' 1 may be under way at the same time; there are: {held.id} (ada)"),
    ]
    desk.complete(desk.item(held.id))
    assert [code for code, _ in explained(desk, item)] == ["next"]


def test_one_that_ends_wakes_who_waits_for_its_room(desk: Desk) -> None:
    first, _ = (desk.add(agent="codex") for _ in range(2))
    desk.limit("agent:codex", 1)
    held = desk.held()
    assert held.id == first.id
    woken: list[None] = []
    with desk.house.queue(WORKER) as queue:
        replace(queue, wake=lambda: woken.append(None)).complete(held.id, held.fence)
    assert woken == [None]


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.proves("fleet-limits")
def test_eight_who_claim_at_once_get_exactly_as_many_as_each_limit_leaves(desk: Desk, most: int) -> None:
    desk.limit("repository:/a", most)
    desk.limit("agent:codex", most + 1)
    for _ in range(9):
        desk.add(repository="/a", agent="codex")
        desk.add(repository="/b", agent="codex", priority="P2")
    for _ in range(3):
        taken = [item for item in at_once([desk.take] * 8) if item is not None]
        assert Counter(item.repository for item in taken) == {"/a": most, "/b": 1}
        at_once([partial(desk.complete, item) for item in taken])


def test_two_nodes_that_wait_for_each_other_s_limits_never_lock_each_other_out(desk: Desk) -> None:
    """Each lane's limits are locked in one order, and let go where the lane gives nothing."""
    for repository, agent in (("/a", "x"), ("/b", "y"), ("/a", "y"), ("/b", "x")):
        desk.limit(f"repository:{repository}", 2)
        desk.limit(f"agent:{agent}", 2)
        for _ in range(30):
            desk.add(repository=repository, agent=agent)

    def works(name: str) -> int:
        done = 0
        for _ in range(25):
            item = desk.take(name, "gpu", node=name)
            if item is not None:
                desk.complete(item)
                done += 1
        return done

    assert sum(at_once([partial(works, f"n{number}") for number in range(6)])) > 50


@pytest.mark.parametrize("desk", ["postgres"], indirect=True)
def test_a_limit_that_comes_waits_for_claims_that_do_not_know_it(desk: Desk) -> None:
    """Else a claim that is not committed yet would be missing where the next ones are counted."""
    desk.add(repository="/a")
    desk.add(repository="/a")
    with psycopg.connect(desk.place) as slow:
        slow.execute("UPDATE queue_items SET status = 'IN_PROGRESS', claimable = 0 WHERE id = 'ORCH-001'")
        waiting = "SELECT COUNT(*) FROM pg_locks WHERE relation = 'queue_items'::regclass AND NOT granted"

        def commits() -> None:
            until(lambda: desk.rows(waiting) == [(1,)])
            slow.commit()

        at_once([partial(desk.limit, "repository:/a", 1), commits])
    assert desk.take() is None


@pytest.mark.parametrize("desk", ["postgres"], indirect=True)
def test_where_others_take_from_the_first_lane_the_next_one_goes_on_by_priority(desk: Desk) -> None:
    taken = [desk.add(needs=("gpu",), priority="P0"), desk.add(needs=("gpu",), priority="P2")]
    free = desk.add(priority="P1")
    with psycopg.connect(desk.place) as other:
        other.execute("SELECT 1 FROM queue_items WHERE id = 'ORCH-001' FOR UPDATE")
        assert emptied(desk, "gpu") == [free.id, taken[1].id]
        other.rollback()
    assert emptied(desk, "gpu") == [taken[0].id]


@pytest.mark.proves("fleet-placement")
def test_many_processes_never_exceed_a_limit_and_get_only_what_they_satisfy(desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "accounts"
    folder.mkdir()
    for key, most in (("repository:/a", 2), ("agent:codex", 1), ("node:n_1", 1), ("node:n_2", 2)):
        desk.limit(key, most)
    with ExitStack() as stack:
        members = crowd(stack, desk.place, folder, ["placed"] * 6 + ["reader"], SECONDS)
        for member in members:
            assert member.process.wait(SECONDS + 120) == 0, "a reader saw more under way than may be"
    claims = [words for member in members for words in _claims(member)]
    assert len(claims) > 20
    assert all(set(needs) <= set(has) for _, _, needs, has in claims), claims
    fences = Counter((name, fence) for name, fence, _, _ in claims)
    assert set(fences.values()) == {1}


def _claims(member: Member) -> list[tuple[str, int, list[str], list[str]]]:
    return [(words[1], words[2], words[3], words[4]) for words in member.told() if words[0] == "took"]


# --- ageing -----------------------------------------------------------------------------------------------------------


def promoted(desk: Desk) -> int:
    return desk.do(lambda queue: queue.promote(), WORKER)


@pytest.mark.proves("fleet-ageing")
def test_an_item_counts_one_priority_higher_for_every_hour_in_line_and_never_as_p0(desk: Desk) -> None:
    low = desk.add(priority="P2")
    desk.clock.move(minutes=59)
    assert (promoted(desk), desk.item(low.id).aged) == (0, 0)
    desk.clock.move(minutes=1)
    newer, urgent = desk.add(priority="P1"), desk.add(priority="P0")
    before = len(desk.told())
    assert (promoted(desk), promoted(desk), len(desk.told())) == (1, 0, before)
    shown = desk.item(low.id)
    assert (shown.priority, shown.aged) == ("P2", 1)
    assert explained(desk, low)[-1] == ("aged", "it has waited long, and counts as P1 (P2 was given)")
    desk.clock.move(hours=9)
    assert (promoted(desk), desk.item(low.id).aged) == (0, 1)
    assert desk.look(lambda queue: ids(queue.list())) == [urgent.id, low.id, newer.id]
    assert emptied(desk) == [urgent.id, low.id, newer.id]


def test_another_priority_of_the_seeds_ages_too(desk: Desk) -> None:
    item = desk.add()
    desk.write("UPDATE queue_items SET priority = 'P7', rank = 99")
    desk.clock.move(hours=1)
    assert (promoted(desk), desk.item(item.id).aged) == (1, 1)
    desk.clock.move(hours=1)
    assert (promoted(desk), desk.item(item.id).aged, desk.codes(item.id)) == (1, 2, ["next", "aged"])
    assert desk.rows("SELECT rank FROM queue_items") == [(1,)]


def test_another_priority_begins_the_waiting_anew(desk: Desk) -> None:
    item = desk.add(priority="P2")
    desk.clock.move(hours=2)
    assert promoted(desk) == 1
    desk.rank(item.id, "P1")
    desk.rank(item.id, "P2")
    assert (desk.item(item.id).aged, promoted(desk)) == (0, 0)
    desk.clock.move(hours=1)
    assert promoted(desk) == 1


def test_what_was_held_or_came_later_ages_from_when_it_could_be_taken(desk: Desk) -> None:
    later = desk.add(priority="P2", not_before_ms=NOON_MS + 5 * 3_600_000)
    held = desk.add(priority="P2")
    assert desk.held().id == held.id
    desk.clock.move(hours=4)
    desk.release(desk.item(held.id))
    assert (promoted(desk), desk.item(held.id).aged) == (0, 0)
    desk.clock.move(hours=1.5)
    assert promoted(desk) == 2, "one came due, one aged"
    assert (desk.item(held.id).aged, desk.item(later.id).aged) == (1, 0)
    desk.clock.move(minutes=31)
    assert (promoted(desk), desk.item(later.id).aged) == (1, 1)


def test_nothing_ages_where_the_span_is_0(desk: Desk) -> None:
    item = desk.add(priority="P2")
    desk.clock.move(hours=99)
    with desk.house.queue(WORKER) as queue:
        never = replace(queue, options=QueueOptions(ageing_seconds=0))
        assert (never.due(), never.promote()) == (False, 0)
        assert queue.due()
    assert desk.item(item.id).aged == 0


def test_many_age_in_portions_the_longest_waiting_first(desk: Desk) -> None:
    with desk.house.queue(WORKER) as queue:
        for _ in range(1_200):
            queue.store.add(replace(MANUAL, priority="P2"))
    desk.clock.move(hours=1)
    assert (promoted(desk), promoted(desk), promoted(desk)) == (1_000, 200, 0)


@pytest.mark.proves("fleet-ageing")
def test_nothing_starves_behind_what_keeps_coming(desk: Desk) -> None:
    low = desk.add(priority="P2")
    for _ in range(12):
        desk.add(priority="P1")
        desk.add(priority="P1")
        promoted(desk)
        if desk.held().id == low.id:
            return
        desk.clock.move(minutes=10)
    raise AssertionError("it waited two hours behind items that came later")


# --- whatever comes ---------------------------------------------------------------------------------------------------

LABELS = ("cpu", "eu", "gpu")
KEYS = ("repository:/a", "repository:/b", "agent:x", "agent:y", "node:n1", "node:n2")
NEEDS = st.frozensets(st.sampled_from(LABELS), max_size=2)


@dataclass(frozen=True)
class Add:
    needs: frozenset[str]
    repository: str | None
    agent: str | None
    priority: str


@dataclass(frozen=True)
class Take:
    has: frozenset[str]
    node: str | None


@dataclass(frozen=True)
class Limit:
    key: str
    most: int | None


class End:
    """The one that is held longest ends."""


DEEDS = st.one_of(
    st.builds(
        Add,
        needs=NEEDS,
        repository=st.sampled_from((None, "/a", "/b")),
        agent=st.sampled_from((None, "x", "y")),
        priority=st.sampled_from(("P0", "P1", "P2")),
    ),
    st.builds(Take, has=NEEDS, node=st.sampled_from((None, "n1", "n2"))),
    st.builds(Limit, key=st.sampled_from(KEYS), most=st.sampled_from((None, 0, 1, 2))),
    st.builds(End),
)


class Model:
    """The rules of placement, in the plainest words: every item looked at, one after another."""

    def __init__(self) -> None:
        self.limits: dict[str, int] = {}
        self.waiting: list[Item] = []
        self.held: list[tuple[Item, str | None]] = []

    def may(self, item: Item, has: frozenset[str], node: str | None) -> bool:
        keys = (f"repository:{item.repository}", f"agent:{item.agent}", f"node:{node}")
        return set(item.needs) <= has and all(self.used(key) < self.limits.get(key, 99) for key in keys)

    def used(self, key: str) -> int:
        return sum(
            key in {f"repository:{item.repository}", f"agent:{item.agent}", f"node:{node}"} for item, node in self.held
        )

    def first(self, has: frozenset[str], node: str | None) -> Item | None:
        able = [item for item in self.waiting if self.may(item, has, node)]
        return min(able, key=lambda item: (item.priority, item.id), default=None)


def _follow(desk: Desk, deeds: Sequence[Add | Take | Limit | End]) -> None:
    model = Model()
    for deed in deeds:
        match deed:
            case Add():
                wanted: Wanted = {
                    "needs": tuple(deed.needs),
                    "repository": deed.repository,
                    "agent": deed.agent,
                    "priority": deed.priority,
                }
                model.waiting.append(desk.add(**wanted))
            case Take():
                expected = model.first(deed.has, deed.node)
                item = desk.take("w", *deed.has, node=deed.node)
                assert (item and item.id) == (expected and expected.id), deed
                if item is not None:
                    model.waiting = [each for each in model.waiting if each.id != item.id]
                    model.held.append((item, deed.node))
            case Limit():
                desk.limit(deed.key, deed.most)
                model.limits = {**model.limits, deed.key: 99 if deed.most is None else deed.most}
            case End():
                if model.held:
                    desk.complete(model.held.pop(0)[0])


def test_a_claim_gives_what_the_plainest_rule_says(desk: Desk) -> None:
    @settings(max_examples=25, deadline=None)
    @given(deeds=st.lists(DEEDS, max_size=40))
    def follows(deeds: list[Add | Take | Limit | End]) -> None:
        desk.write("DELETE FROM placement_limit")
        desk.write("DELETE FROM queue_items")
        _follow(desk, deeds)

    follows()


# --- a million that are not for it ------------------------------------------------------------------------------------

TAKER: Mapping[str, str | int | None] = {
    "executor": "external",
    "owner_session": "w",
    "lease_ms": 1,
    "node_id": None,
    "has": "eu",
    "now": NOON_MS,
    "now_kst": "2026-11-21 21:00",
}


def effort(desk: Desk, name: str) -> int:
    """Carry a statement out and undo it; returns how much the database did for it, in steps or pages of its own."""
    if not desk.on_postgres:
        steps: list[None] = []
        with closing(sqlite3.connect(desk.place, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.set_progress_handler(lambda: steps.append(None), 10)
            assert len(connection.execute(queries("sqlite")[name], TAKER).fetchall()) >= 1
            connection.execute("ROLLBACK")
        return len(steps) * 10
    text = re.sub(r"(?<![:\w]):([a-z_]\w*)", r"%(\1)s", queries("postgres")[name])
    with psycopg.connect(desk.place) as connection:
        connection.execute("SET enable_seqscan = off")
        row = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {text}".encode(), TAKER).fetchone()
        connection.rollback()
    assert row is not None
    plan = row[0][0]["Plan"]
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


@pytest.mark.parametrize("name", ["item_claim", "item_claim_able", "lane_heads"])
def test_what_a_claim_costs_does_not_grow_with_what_it_may_not_take(desk: Desk, name: str) -> None:
    costs: list[int] = []
    for many in (300, 30_000):
        desk.write("DELETE FROM queue_items")
        _fill(desk, many)
        desk.add(repository="/b", priority="P2")
        desk.write("VACUUM ANALYZE queue_items" if desk.on_postgres else "ANALYZE")
        costs.append(effort(desk, name))
    assert costs[1] <= costs[0] * 2 + 20, costs


def _fill(desk: Desk, many: int) -> None:
    """Let so many items stand before all others that need what few have, in one repository."""
    numbers = (
        f"WITH numbers (n) AS (SELECT generate_series(1, {many}))"
        if desk.on_postgres
        else f"WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {many})"
    )
    desk.write(
        f"{numbers} INSERT INTO queue_items (id, status, priority, rank, task, success_criteria, created_at,"
        " updated_at, created_ms, claimable, needs, repository, line_ms)"
        f" SELECT 'X-' || n, 'PENDING', 'P0', 0, 't', 's', '', '', 0, 1, 'gpu', '/a', {NOON_MS} FROM numbers"
    )
