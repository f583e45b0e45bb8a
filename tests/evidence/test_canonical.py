from __future__ import annotations

import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from interlock.kernel.canonical import MAX_INTEGER, Json, canonical, check

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
KEYS = st.text(st.characters(max_codepoint=0x7F))
ALLOWED: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=20,
)


@given(ALLOWED)
def test_whatever_is_allowed_is_encoded_as_rfc_8785_says(value: Json) -> None:
    check(value)
    assert canonical(value) == rfc8785.dumps(value)  # pyright: ignore[reportArgumentType] - its own alias wants dict and list


@given(st.dictionaries(KEYS, TEXT, min_size=2))
def test_the_order_in_which_keys_were_written_does_not_matter(value: dict[str, str]) -> None:
    assert canonical(dict(reversed(value.items()))) == canonical(value)
