"""Strategies that take what is right and spoil it: bytes, lines, and values deep inside a document."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

from hypothesis import strategies as st

DEEP = 3_000
"""Levels: more than a parser may follow on the interpreter's stack."""
ODD_JSON: Sequence[str] = (
    "null",
    "true",
    "-1",
    "0",
    "1.5",
    "1e400",
    "-0.0",
    "NaN",
    "9007199254740993",
    "9" * 5_000,
    '""',
    '"\\u0000"',
    '"\\ud800"',
    '"\\u202e|\\n"',
    '"2026-11-21T08:00:00.000Z"',
    '"' + "x" * 70_000 + '"',
    "[]",
    "{}",
    '[{"a": []}]',
    "[" * DEEP + "]" * DEEP,
    '{"a":' * DEEP + "1" + "}" * DEEP,
    '{"a": 1, "a": 2}',
)
ODD_BYTES: Sequence[bytes] = (
    b"\0",
    b"\n",
    b"\r\n",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    "\u2028".encode(),
    b"|",
    b"{",
    b"]",
    b'"',
    b"\\",
    b"-",
    b": ",
    b"&a *a",
    b"!!python/object:os.system",
    b"<<: *a",
    b"9" * 5_000,
    b"1e999",
    b"[" * DEEP,
    b"${HOME}",
    b"../..",
    "é가".encode(),
)
_PLACE = "\0place\0"


def pieces(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Draw texts that begin as one of these and have been cut, doubled and written into."""
    return st.builds(_spoilt, st.sampled_from(seeds), st.lists(_CHANGES, min_size=1, max_size=4)) | st.binary(
        max_size=200
    )


def documents(seeds: Sequence[Any]) -> st.SearchStrategy[bytes]:
    """Draw the JSON of documents in which something deep inside is another thing than it should be."""
    return st.builds(_replaced, st.sampled_from(seeds), st.lists(_SWAPS, min_size=1, max_size=2))


def anything(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Draw both: spoilt bytes and, of seeds that are JSON objects or lists, spoilt documents."""
    found = [each for each in map(_document, seeds) if each is not None]
    return pieces(seeds) | documents(found) if found else pieces(seeds)


def swapped(seed: bytes, most: int) -> Iterator[bytes]:
    """Yield, of a seed that is JSON, what becomes of it with each odd value in each place; an even sample of `most`."""
    document = _document(seed)
    if document is None:
        return
    count = sum(1 for _ in _places([document]))
    ways = [(place, "value", odd) for place in range(count) for odd in ODD_JSON]
    ways += [(place, what, "null") for place in range(1, count) for what in ("gone", "key", "more")]
    for number in range(0, len(ways), max(1, -(-len(ways) // most))):
        place, what, odd = ways[number]
        yield _replaced(document, [((place + 0.5) / count, what, odd)])


_SHARE = st.floats(0, 1, exclude_max=True)
_CHANGES = st.tuples(
    st.sampled_from(["cut", "insert", "flip", "double", "end"]), _SHARE, _SHARE, st.sampled_from(ODD_BYTES)
)
_SWAPS = st.tuples(_SHARE, st.sampled_from(["value", "key", "gone", "more"]), st.sampled_from(ODD_JSON))


def _spoilt(seed: bytes, changes: list[tuple[str, float, float, bytes]]) -> bytes:
    for what, where, how_much, odd in changes:
        at = int(where * (len(seed) + 1))
        until = at + int(how_much * 40)
        if what == "cut":
            seed = seed[:at] + seed[until:]
        elif what == "insert":
            seed = seed[:at] + odd + seed[at:]
        elif what == "flip" and at < len(seed):
            seed = seed[:at] + bytes([seed[at] ^ (1 << int(how_much * 8))]) + seed[at + 1 :]
        elif what == "double":
            seed = seed[:until] + seed[at:]
        elif what == "end":
            seed = seed[:at]
    return seed


def _replaced(seed: Any, swaps: list[tuple[float, str, str]]) -> bytes:  # noqa: ANN401 - JSON of any shape
    document = [copy.deepcopy(seed)]
    put: list[str] = []
    for where, what, odd in swaps:
        places = list(_places(document))
        holder, key = places[int(where * len(places))]
        mark = f"{_PLACE}{len(put)}"
        if isinstance(holder, dict) and what in {"gone", "key"}:
            value = cast("dict[str, Any]", holder).pop(key)
            if what == "key":
                holder[f"x{key}"] = value
        elif isinstance(holder, dict) and what == "more":
            holder["more"] = mark
            put.append(odd)
        else:
            holder[key] = mark
            put.append(odd)
    text = json.dumps(document[0], ensure_ascii=False)
    for number, odd in enumerate(put):
        text = text.replace(json.dumps(f"{_PLACE}{number}"), odd)
    return text.encode()


def _places(holder: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401 - JSON of any shape
    keys: Iterable[Any] = cast("dict[str, Any]", holder) if isinstance(holder, dict) else range(len(holder))
    for key in list(keys):
        yield holder, key
        if isinstance(holder[key], dict | list):
            yield from _places(holder[key])


def _document(seed: bytes) -> Any:  # noqa: ANN401 - JSON of any shape
    try:
        found = json.loads(seed)
    except ValueError:
        return None
    return cast("Any", found) if isinstance(found, dict | list) else None
