"""What a new table of `make bench` is beside the last one. Rows are made up here; nothing is timed."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks import last
from benchmarks.__main__ import TOPICS
from benchmarks.last import Topic, compare, keep, shown, the_better
from benchmarks.table import Aim, Peer, Row

BENCHMARKS = Path(last.__file__).parent
RATE = Row(name="pairs, p95 of 60", value=60, unit="pairs/s", peer=Peer(name="bare", value=100), ratio=0.6)
WAIT = Row(name="a look", value=3, unit="ms", peer=Peer(name="1,000 events", value=2), ratio=1.5)
PLAIN = Row(name="a number", value=3, unit="ms")
ABOUT = {"date": "2026-11-22", "load": "0.1"}


def topic(*rows: Row, name: str = "claims") -> Topic:
    return Topic(name=name, about=ABOUT, rows=rows)


def worse(row: Row, by_percent: float) -> Row:
    change = 1 + by_percent / 100 if row.better == "lower" else 1 - by_percent / 100
    return replace(row, ratio=(row.ratio or 0) * change)


@pytest.mark.parametrize("row", [RATE, WAIT], ids=["higher is better", "lower is better"])
@pytest.mark.parametrize(("by", "is_worse"), [(0, False), (30, False), (34, True), (-34, False), (-60, False)])
def test_a_ratio_that_is_worse_by_a_third_is_a_regression_and_a_little_is_not(
    row: Row, by: float, *, is_worse: bool
) -> None:
    found = compare([topic(row)], [topic(worse(row, by))])
    assert [each.before for each in found.regressions] == [row] * is_worse
    assert (found.compared, found.gone, found.new) == (1, [], [])


def test_a_regression_says_what_was_and_what_is() -> None:
    (said,) = compare([topic(WAIT)], [topic(worse(WAIT, 50))]).regressions
    assert str(said) == "claims: a look (beside 1,000 events): ratio 2.25, the last one was 1.5, and lower is better"


def test_which_way_it_gets_worse_follows_from_the_unit() -> None:
    units = {
        unit: replace(RATE, unit=unit).better for unit in ("pairs/s", "loops/s", "ms", "MiB", "us/pair", "ms/pair")
    }
    assert [unit for unit, better in units.items() if better == "higher"] == ["pairs/s", "loops/s"]


def test_an_aim_that_contradicts_the_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="the aim asks for less"):
        replace(RATE, aim=Aim(of="ratio", bound=2, at_most=True))
    with pytest.raises(ValueError, match="the aim asks for less"):
        replace(WAIT, aim=Aim(of="value", bound=2))


def test_beside_a_disk_that_swings_an_aim_that_is_not_met_any_more_is_a_regression() -> None:
    disk, soon = Peer(name="fsync p95", value=0.2, unit="ms", swings=True), Aim(of="value", bound=25, at_most=True)
    met = replace(WAIT, value=20, peer=disk, ratio=100, aim=soon)
    missed = replace(met, value=26, ratio=1)
    assert not compare([topic(met)], [topic(replace(met, ratio=1_000))]).regressions
    assert not compare([topic(missed)], [topic(missed)]).regressions
    found = compare([topic(met)], [topic(missed)])
    (said,) = found.regressions
    assert str(said) == "claims: a look (beside fsync p95): 26 ms, the last one was 20 ms, and that met its aim"
    assert compare([topic(replace(met, aim=None))], [topic(replace(missed, aim=None))]).compared == 0
    assert the_better(topic(missed), topic(met)).rows == (met,)


def test_without_a_ratio_an_aim_that_is_not_met_any_more_is_a_regression() -> None:
    met = replace(PLAIN, aim=Aim(of="value", bound=5, at_most=True))
    missed = replace(met, value=6)
    (said,) = compare([topic(met)], [topic(missed)]).regressions
    assert str(said) == "claims: a number: 6 ms, the last one was 3 ms, and that met its aim"
    assert not compare([topic(met)], [topic(replace(met, value=5))]).regressions
    assert not compare([topic(missed)], [topic(replace(met, value=60))]).regressions
    assert the_better(topic(missed), topic(met)).rows == (met,)
    assert the_better(topic(met), topic(missed)).rows == (met,)


def test_rows_that_only_one_table_has_are_said_and_fail_nothing() -> None:
    found = compare([topic(RATE, WAIT, PLAIN)], [topic(RATE, replace(WAIT, name="a glance"))])
    assert not found.regressions
    assert (found.gone, found.new) == (
        ["claims: a look (beside 1,000 events)"],
        ["claims: a glance (beside 1,000 events)"],
    )
    assert list(found.lines()) == [
        "1 rows compared with the last table, 0 of them worse",
        "  not measured any more: claims: a look (beside 1,000 events)",
        "  nothing to compare with yet: claims: a glance (beside 1,000 events)",
    ]


def test_topics_that_were_not_measured_are_not_missed() -> None:
    found = compare([topic(RATE), topic(WAIT, name="loops")], [topic(RATE)])
    assert (found.compared, found.gone) == (1, [])


def test_the_same_name_beside_another_peer_is_another_row() -> None:
    beside = replace(RATE, peer=Peer(name="procrastinate", value=50), ratio=1.2)
    found = compare([topic(RATE, beside)], [topic(RATE, worse(beside, 40))])
    assert [each.now.peer for each in found.regressions] == [beside.peer]


def test_how_many_rounds_there_were_is_not_part_of_what_is_measured() -> None:
    fewer = replace(worse(RATE, 40), name="pairs, p95 of 1,012")
    assert len(compare([topic(RATE)], [topic(fewer)]).regressions) == 1


def test_of_what_was_measured_twice_the_better_ratio_counts() -> None:
    first, again = topic(worse(RATE, 40), worse(WAIT, 10), PLAIN), topic(RATE, worse(WAIT, 50))
    assert the_better(first, again).rows == (RATE, worse(WAIT, 10), PLAIN)
    assert the_better(again, first).rows == (RATE, worse(WAIT, 10))
    assert the_better(topic(PLAIN), topic(replace(PLAIN, value=4))).rows == (PLAIN,)


def test_what_is_kept_takes_the_place_of_its_own_topics_and_kind_only() -> None:
    tables: last.Tables = {"full": (topic(RATE), topic(WAIT, name="loops")), "quick": (topic(PLAIN),)}
    kept = keep(tables, "full", [topic(WAIT, name="alerts"), topic(PLAIN)], ["loops", "claims", "alerts"])
    assert [(each.name, each.rows) for each in kept["full"]] == [
        ("loops", (WAIT,)),
        ("claims", (PLAIN,)),
        ("alerts", (WAIT,)),
    ]
    assert kept["quick"] == tables["quick"]


def test_a_topic_survives_the_file(tmp_path: Path) -> None:
    aimed = replace(RATE, aim=Aim(of="ratio", bound=0.5))
    whole = topic(aimed, WAIT, PLAIN)
    assert Topic.from_json(whole.to_json()) == whole
    assert last.read(tmp_path / "none.json") == {"full": (), "quick": ()}


def test_the_table_in_the_readme_is_the_one_that_is_kept() -> None:
    assert last.on_the_page() == shown(last.read())


def test_the_last_table_has_rows_of_every_topic_and_of_no_other() -> None:
    kept = last.read()
    names = {kind: [topic.name for topic in topics] for kind, topics in kept.items()}
    assert list(TOPICS) in names.values()
    assert set(names["full"] + names["quick"]) == set(TOPICS)
    assert all(topic.rows for topics in kept.values() for topic in topics)


def test_the_readme_explains_every_topic() -> None:
    page = last.PAGE.read_text(encoding="utf-8").partition("## The last table")[0]
    explained = re.findall(r"^\| (\w+) \|", page, re.MULTILINE)
    assert sorted(explained) == sorted(["name", *TOPICS])


def test_every_module_that_measures_is_a_topic() -> None:
    measuring = {
        path.stem
        for path in BENCHMARKS.glob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name == "measure" and len(node.args.args) == 1
    }
    assert measuring == {measure.__module__.rpartition(".")[2] for measure in TOPICS.values()}


def aims(rows: Sequence[Row]) -> list[str]:
    return [f"{row.name}: {row.aim.shown(row.unit)}" for row in rows if row.aim]


@pytest.mark.parametrize(
    ("topic", "aim"),
    [
        ("claims", "SQLite: ratio >= 0.6"),
        ("claims", "slower by: ratio <= 1.3"),
        ("claims", ": ratio >= 1"),  # procrastinate
        ("claims", ": ratio >= 0.5"),  # pgqueuer
        ("sealing", "append+seal, SQLite: ratio >= 0.6"),
        ("sealing", "events in a transaction: >= 20,000 events/s"),
        ("sealing", ": <= 10 ms"),
        ("wakeup", ": <= 25 ms"),
        ("fleet", ": <= 25 ms"),
        ("recovery", ": <= 5,000 ms"),
        ("verify", "structure and root: >= 60,000 entries/s"),
        ("verify", "memory at its peak: ratio <= 1.2"),
        ("verify", "signed statements, a core: >= 8,000 statements/s"),
        ("glance", ": ratio <= 4"),
        ("bulk", ": <= 250 ms"),
        ("serve", ": ratio >= 0.5"),
        ("serve", ": <= 1,000 ms"),
        ("serve", "memory of the server at the end: ratio <= 1.1"),
        ("loops", "ops-manager-reconcile.sh, nothing new: ratio <= 8"),
        ("loops", "ops-manager-status.sh, nothing new: ratio <= 8"),
        ("loops", ": >= 500 loops/s"),
        ("loops", ": >= 100 loops/s"),
        ("loops", "new events, log of : ratio <= 1.2"),
        ("loops", "status of a loop, log of : ratio <= 1.2"),
        ("alerts", ": ratio <= 1.5"),
        ("mcp", ": ratio <= 2"),
        ("mcp", ": ratio >= 0.667"),
        ("mcp", ": ratio <= 1.5"),
        ("console", "first screen with a cold cache: <= 1,000 ms"),
        ("console", "JavaScript of the first screen, gzip: <= 150 kB"),
        ("console", "first rows of a long queue: <= 1,000 ms"),
        ("console", "a long queue filtered: <= 300 ms"),
        ("console", "another's screen, one a second, p: <= 300 ms"),
        ("console", "live events: ratio <= 1.2"),
        ("truth", ": <= 250 ms"),
        ("migrating", ": >= 10,000 rows/s"),
    ],
)
def test_every_aim_that_was_set_stands_in_the_last_table(topic: str, aim: str) -> None:
    kept = [each for topics in last.read().values() for each in topics if each.name == topic]
    assert kept
    for each in kept:
        found = [re.sub(r"[\d,]+(?=:)", "", told) for told in aims(each.rows)]
        assert any(told.endswith(aim) for told in found), found
