"""The order of the inbox, as a table: what waits dearest stands first, one entry for one matter, at most so many."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from interlock.inbox.api import Kinds
from interlock.inbox.models import RANKS, Entry, Kind, Looker, Next
from interlock.inbox.ranking import ranked
from interlock.inbox.shown import show_entry

RETRY = Next("Retry", ("run", "retry", "r_1"), "operator")


def entry(kind: Kind, name: str = "x", *, since: int = 0, **more: Any) -> Entry:  # noqa: ANN401 - any field
    return Entry(
        kind=kind,
        id=name,
        sentence="",
        since_ms=since,
        href="/",
        next=more.pop("next", RETRY),
        keys=frozenset({name}) if kind not in {Kind.ALERT, Kind.CRITICAL} else frozenset(),
        **more,
    )


def order(*entries: Entry, most: int = 10) -> list[str]:
    shuffled = [*entries[1::2], *entries[::2]]
    return [each.id for each in ranked(shuffled, most).entries]


def test_every_kind_stands_in_the_table_once_with_its_reason_and_at_the_door() -> None:
    assert [about.kind for about in RANKS] == list(dict.fromkeys(about.kind for about in RANKS))
    assert {about.kind for about in RANKS} == set(Kind)
    assert {kind.value for kind in Kind} == set(get_args(Kinds))
    assert all(about.why.endswith(".") and about.cost.endswith(".") for about in RANKS)


@pytest.mark.proves("inbox-ranked")
def test_kinds_stand_by_what_an_hour_of_waiting_costs() -> None:
    names = [
        "panic",
        "ambiguous_control",
        "critical_alert",
        "stuck_run",
        "loop_in_trouble",
        "checkpoint_failed",
        "approval_expiring",
        "draft_waiting",
        "run_failed",
        "pipeline_failed",
        "run_waiting",
        "alert_open",
    ]
    found = [entry(Kind(name), f"about {name}", since=place) for place, name in enumerate(reversed(names))]
    assert order(*found) == [f"about {name}" for name in names]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([("new", 2, None, 0), ("old", 1, None, 0)], ["old", "new"]),
        ([("late", 1, 20, 0), ("soon", 9, 10, 0)], ["soon", "late"]),
        ([("some day", 1, None, 0), ("soon", 9, 10, 0)], ["soon", "some day"]),
        ([("old P2", 1, None, 2), ("new P0", 9, None, 0)], ["new P0", "old P2"]),
        ([("b", 1, None, 0), ("a", 1, None, 0)], ["a", "b"]),
    ],
    ids=["the oldest first", "what expires first", "what expires before what does not", "gravity", "then the id"],
)
def test_within_a_kind(entries: list[tuple[str, int, int | None, int]], expected: list[str]) -> None:
    made = [
        entry(Kind.FAILED, name, since=since, deadline_ms=deadline, gravity=gravity)
        for name, since, deadline, gravity in entries
    ]
    assert order(*made) == expected


def test_an_alert_about_something_that_is_listed_is_one_entry_with_it() -> None:
    alert = entry(Kind.ALERT, "al_1", subjects=frozenset({"r_1"}))
    other = entry(Kind.CRITICAL, "al_2", subjects=frozenset({"evidence"}))
    found = ranked([alert, other, entry(Kind.FAILED, "r_1"), entry(Kind.FAILED, "r_2")], 10).entries
    assert [(each.id, each.alerts) for each in found] == [("al_2", ()), ("r_1", ("al_1",)), ("r_2", ())]


def test_of_each_kind_so_many_and_it_is_said_where_there_are_more() -> None:
    made = [entry(Kind.DRAFT, f"d_{number}", since=number) for number in range(4)]
    found = ranked([*made, entry(Kind.PANIC, "panic")], 3)
    assert [each.id for each in found.entries] == ["panic", "d_0", "d_1", "d_2"]
    assert [(each.about.kind, each.listed, each.more) for each in found.kinds] == [
        (Kind.PANIC, 1, False),
        (Kind.DRAFT, 3, True),
    ]


@pytest.mark.parametrize(
    ("level", "human", "verb", "may"),
    [
        ("actions", True, RETRY, False),
        ("operator", False, RETRY, True),
        ("admin", False, RETRY, True),
        ("admin", False, RETRY._replace(level="admin", human=True), False),
        ("operator", True, RETRY._replace(level="admin", human=True), False),
        ("admin", True, RETRY._replace(level="admin", human=True), True),
    ],
)
def test_a_verb_is_shown_to_whom_it_belongs_and_to_others_who_can(
    level: Any,  # noqa: ANN401 - a literal
    human: bool,  # noqa: FBT001 - a parameter of the table
    verb: Next,
    may: bool,  # noqa: FBT001 - pytest names it
) -> None:
    shown = show_entry(entry(Kind.FAILED, next=verb), Looker(level, human))
    assert shown["next"] == ({"verb": "Retry", "command": "interlock run retry r_1", "console": True} if may else None)
    assert shown["who_can"] == (
        "a human with the role admin" if verb.human else "anybody with the role operator or above"
    )
