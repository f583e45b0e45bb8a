"""Canonical JSON: its limits, each named with the place."""

from __future__ import annotations

import math
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from interlock.kernel.canonical import MAX_INTEGER, canonical, check, digest
from interlock.kernel.events import MAX_LEAF_BYTES, Event, EventTooLarge, to_leaf

texts = st.text(st.characters(codec="utf-8"), max_size=20)
keys = st.text(st.characters(codec="ascii"), max_size=10)
values: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_what_passes_the_check_is_encoded_as_rfc_8785_says(value: Any) -> None:  # noqa: ANN401 - JSON of any shape
    check(value)
    assert canonical(value) == rfc8785.dumps(value)


@given(values)
def test_the_order_of_keys_does_not_matter(value: Any) -> None:  # noqa: ANN401 - JSON of any shape
    assert digest({"a": value, "b": 1}) == digest({"b": 1, "a": value})


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"a": [{"b": 1.0}]}, r"plan\.a\[0\]\.b is a float"),
        ({"a": math.nan}, r"plan\.a is a float"),
        ({"a": {"b": [0, MAX_INTEGER + 1]}}, r"plan\.a\.b\[1\] is a whole number beyond 2\^53"),
        ({"a": -MAX_INTEGER - 1}, r"plan\.a is a whole number beyond"),
        ({"a": {"ü": 1}}, r"plan\.a has a key that is not ASCII text: 'ü'"),
        ({"a": {1: 1}}, r"plan\.a has a key that is not ASCII text: 1"),
        ({"a": ["\ud800"]}, r"plan\.a\[0\] holds a lone surrogate"),
        ({"\ud800": 1}, r"plan has a key that is not ASCII"),
        ({"a": b"bytes"}, r"plan\.a is a bytes"),
        ({"a": {1, 2}}, r"plan\.a is a set"),
        (("a", [object()]), r"plan\[1\]\[0\] is a object"),
    ],
)
def test_what_can_not_be_told_exactly_is_refused_with_its_place(value: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        check(value, "plan")


@pytest.mark.parametrize("kind", ["objects", "lists"])
def test_nesting_without_end_is_refused_and_not_tried(kind: str) -> None:
    def wrapped(inner: Any) -> Any:  # noqa: ANN401 - JSON of any shape
        return {"a": inner} if kind == "objects" else [inner]

    value: Any = 1
    for _ in range(64):
        value = wrapped(value)
    check(value)
    for _ in range(100_000):
        value = wrapped(value)
    with pytest.raises(ValueError, match="nested deeper than"):
        check(value)
    while not isinstance(value, int):  # taken apart by hand: its own end would recurse
        value = value["a" if kind == "objects" else 0]


@pytest.mark.parametrize("value", [True, False, None, 0, MAX_INTEGER, -MAX_INTEGER, "", "\0", "\U0001f9f9", [], {}, ()])
def test_the_edges_are_inside(value: Any) -> None:  # noqa: ANN401 - JSON of any shape
    check(value)
    assert canonical(value)


class Swept(Event):
    kind = "floor.swept"


def test_an_event_that_is_too_large_is_refused_with_its_size() -> None:
    def leaf(length: int) -> int:
        event = Swept(subject="x" * length)
        return len(to_leaf(event, principal="human:alice", correlation_id=None, time_ms=0).data)

    room = MAX_LEAF_BYTES - leaf(0)
    assert leaf(room) == MAX_LEAF_BYTES
    with pytest.raises(EventTooLarge, match=f"is {MAX_LEAF_BYTES + 1} bytes; at most {MAX_LEAF_BYTES} fit"):
        leaf(room + 1)
