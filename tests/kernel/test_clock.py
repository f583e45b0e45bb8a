"""Instants as text: one form, and back again without loss."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.kernel.clock import from_text, system_clock, to_text

YEAR_1, YEAR_10000 = -62_135_596_800_000, 253_402_300_800_000
FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@given(st.integers(YEAR_1, YEAR_10000 - 1))
def test_an_instant_comes_back_from_its_text(ms: int) -> None:
    text = to_text(ms)
    assert FORM.fullmatch(text)
    assert from_text(text) == ms


@given(st.integers(0, YEAR_10000 - 1), st.integers(0, YEAR_10000 - 1))
def test_texts_sort_as_their_instants_do(one: int, two: int) -> None:
    assert (one < two) == (to_text(one) < to_text(two))


def test_the_form_is_the_one_of_the_design() -> None:
    assert to_text(1_795_248_000_000) == "2026-11-21T08:00:00.000Z"
    assert to_text(0) == "1970-01-01T00:00:00.000Z"
    assert to_text(-1) == "1969-12-31T23:59:59.999Z"
    assert to_text(YEAR_1) == "0001-01-01T00:00:00.000Z"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-21",
        "2026-11-21T08:00:00Z",
        "2026-11-21T08:00:00.000",
        "2026-11-21T08:00:00.000+00:00",
        "2026-11-21 08:00:00.000Z",
        "2026-11-21T08:00:00.000Z\n",
        "2026-13-01T08:00:00.000Z",
        "2026-02-30T08:00:00.000Z",
        "2026-11-21T25:00:00.000Z",
        "2026-11-21T08:00:60.000Z",
        "٢٠٢٦-11-21T08:00:00.000Z",
    ],
)
def test_no_other_text_is_an_instant(text: str) -> None:
    with pytest.raises(ValueError, match=r"instant|month|day|hour|second|Invalid"):
        from_text(text)


@given(st.text(max_size=30))
def test_what_is_read_is_what_would_be_written(text: str) -> None:
    try:
        ms = from_text(text)
    except ValueError:
        return
    assert to_text(ms) == text


def test_the_machine_s_clock_counts_milliseconds() -> None:
    before = time.time_ns() // 1_000_000
    assert before <= system_clock() <= time.time_ns() // 1_000_000
