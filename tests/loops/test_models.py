"""The loops' own words: instants of any RFC 3339 form, JSON of any shape."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.loops import models


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-21T08:00:00Z", 1_795_248_000),
        ("2026-11-21T08:00:00.999Z", 1_795_248_000),
        ("2026-11-21t08:00:00z", 1_795_248_000),
        ("2026-11-21T17:00:00+09:00", 1_795_248_000),
        ("2026-11-21T03:30:00.5-04:30", 1_795_248_000),
        ("2016-12-31T23:59:60Z", 1_483_228_799),
        ("1969-12-31T23:59:59Z", -1),
    ],
)
def test_fractions_and_offsets_are_read(text: str, seconds: int) -> None:
    assert models.seconds_of(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-11-21", "2026-11-21T08:00:00", "2026-13-21T08:00:00Z", "2026-02-30T08:00:00Z", 5, None, ["Z"]],
)
def test_what_is_no_instant_is_none(text: object) -> None:
    assert models.seconds_of(text) is None


@settings(deadline=None)
@given(
    st.datetimes(datetime(1971, 1, 1), datetime(9998, 1, 1)),  # noqa: DTZ001 - the zone comes next
    st.integers(-14 * 60, 14 * 60),
)
def test_an_instant_is_the_same_in_every_zone(naive: datetime, minutes: int) -> None:
    there = naive.replace(tzinfo=UTC).astimezone(timezone(timedelta(minutes=minutes)))
    assert models.seconds_of(there.isoformat()) == int(naive.replace(tzinfo=UTC, microsecond=0).timestamp())


@settings(deadline=None)
@given(st.integers(0, 200_000_000_000))
def test_a_stamp_is_read_back(seconds: int) -> None:
    assert models.seconds_of(models.stamp(seconds)) == seconds


def test_a_time_ahead_of_the_clock_gives_way_to_the_files_own() -> None:
    ahead = models.stamp(10_000)
    assert models.lag(1000, ahead) == 0
    assert models.lag(1000, ahead, touched=400) == 600
    assert models.lag(1000, models.stamp(900), touched=400) == 100


def test_a_trace_id_is_a_random_uuid_in_lower_case() -> None:
    traces = {models.new_trace() for _ in range(200)}
    assert len(traces) == 200
    assert all(re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", t) for t in traces)


@pytest.mark.parametrize(
    ("value", "number"),
    [(3, 3), ("3", 3), (3.0, 3), (0, 0), (-1, None), (True, None), (3.5, None), ("x", None), (None, None), ([], None)],
)
def test_a_whole_number_is_read_in_any_coat(value: object, number: int | None) -> None:
    assert models.whole({"a": {"b": value}}, "a", "b") == number


def test_a_path_through_what_is_no_object_leads_nowhere() -> None:
    assert models.at({"a": [1]}, "a", "b") is None
    assert models.text({"a": ""}, "a") is None
    assert models.objects({"a": [{}, 1, {"b": 2}]}, "a") == [{}, {"b": 2}]
    assert models.texts({"a": ["x", 1]}, "a") == ["x"]
