"""Ids: rising within one process, unique, and nothing else passes for one."""

from __future__ import annotations

import re
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.kernel.ids import MalformedId, UlidSource, checked, has_prefix, with_prefix

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
ULID = re.compile(f"[0-7][{ALPHABET}]{{25}}")
AT = 1_795_000_000_000

ulids = st.from_regex(ULID, fullmatch=True)


def instant(ulid: str) -> int:
    value = 0
    for letter in ulid[:10]:
        value = value * 32 + ALPHABET.index(letter)
    return value


def test_ids_of_one_millisecond_rise() -> None:
    source = UlidSource(lambda: AT)
    made = [source() for _ in range(2000)]
    assert made == sorted(set(made))
    assert {instant(each) for each in made} == {AT}
    assert all(ULID.fullmatch(each) for each in made)


def test_ids_rise_when_the_clock_is_set_back() -> None:
    times = iter([AT, AT + 5, AT - 1000, AT - 1000, AT + 4, AT + 6])
    source = UlidSource(lambda: next(times))
    made = [source() for _ in range(6)]
    assert made == sorted(set(made))
    assert [instant(each) - AT for each in made] == [0, 5, 5, 5, 5, 6]


@given(st.lists(st.integers(0, 2**48 - 1), min_size=2, max_size=50))
def test_ids_rise_whatever_the_clock_says(times: list[int]) -> None:
    clock = iter(times)
    source = UlidSource(lambda: next(clock))
    made = [source() for _ in times]
    assert made == sorted(set(made))
    assert all(ULID.fullmatch(each) for each in made)


def test_threads_never_get_the_same_id() -> None:
    source = UlidSource(lambda: AT)
    made: list[str] = []

    def take() -> None:
        made.extend([source() for _ in range(500)])

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 4000


def test_two_processes_do_not_meet() -> None:
    one, two = UlidSource(lambda: AT), UlidSource(lambda: AT)
    assert not {one() for _ in range(1000)} & {two() for _ in range(1000)}


@given(ulids, st.sampled_from(["d", "a", "r"]))
def test_an_id_of_the_right_prefix_passes(ulid: str, prefix: str) -> None:
    assert checked(f"{prefix}_{ulid}", prefix) == f"{prefix}_{ulid}"
    assert has_prefix(f"{prefix}_{ulid}", prefix)
    assert with_prefix(f"{prefix}_{ulid}", "a") == f"a_{ulid}"


@given(ulids, st.sampled_from([("d", "a"), ("a", "d"), ("r", "a"), ("d", "dd"), ("dd", "d")]))
def test_an_id_of_another_prefix_does_not(ulid: str, prefixes: tuple[str, str]) -> None:
    assert not has_prefix(f"{prefixes[0]}_{ulid}", prefixes[1])
    with pytest.raises(MalformedId):
        checked(f"{prefixes[0]}_{ulid}", prefixes[1])


@given(st.text() | st.from_regex(r"[da]_.{0,30}"))
def test_no_other_text_passes(text: str) -> None:
    fits = text[:2] == "d_" and ULID.fullmatch(text[2:]) is not None
    assert has_prefix(text, "d") == fits
    if not fits:
        with pytest.raises(MalformedId) as caught:
            checked(text, "d")
        assert len(caught.value.message) < 1000
        assert caught.value.message.isprintable()
    if "_" not in text:
        with pytest.raises(MalformedId):
            with_prefix(text, "a")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "d_",
        "d_" + "0" * 25,
        "d_" + "0" * 27,
        "d_8" + "0" * 25,
        "D_" + "0" * 26,
        "d_" + "o" * 26,
        "d_" + "0" * 26 + "\n",
    ],
)
def test_the_edges_of_the_grammar_are_outside(text: str) -> None:
    for wrong in (text, text + "\0", " " + text, "../" + text, text.replace("0", "٠")):  # noqa: RUF001 - a look-alike
        with pytest.raises(MalformedId):
            checked(wrong, "d")


@pytest.mark.parametrize("letter", "ILOU")
def test_letters_that_are_mistaken_for_others_are_left_out(letter: str) -> None:
    with pytest.raises(MalformedId):
        checked("d_0" + letter * 25, "d")
