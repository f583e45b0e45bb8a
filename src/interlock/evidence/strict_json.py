"""Reading JSON that canonical JSON could have written, and nothing wider: no float, no number beyond 2^53.

The decoder is the standard library's in C; the hooks run only where a number stands. What still differs from canonical
JSON (order, spaces, escapes, a key given twice) is seen by encoding again and comparing bytes, which every caller does.
"""

from __future__ import annotations

import json

from interlock.kernel.canonical import MAX_INTEGER

_MAX_DIGITS = 17
"""Of a number within 2^53, sign included; longer text is refused before it is counted."""


def _whole(text: str) -> int:
    if len(text) > _MAX_DIGITS or abs(value := int(text)) > MAX_INTEGER:
        raise ValueError("a whole number beyond 2^53")
    return value


def _no_fraction(text: str) -> float:
    raise ValueError(f"{text[:20]} is not a whole number")


_decoder = json.JSONDecoder(parse_int=_whole, parse_float=_no_fraction, parse_constant=_no_fraction)
decode_at = _decoder.raw_decode
"""Decode the value that begins at a place in a text; returns it and the place after it."""


def parse(data: bytes) -> object:
    """Decode one JSON document; raises ValueError for bad UTF-8, bad JSON, or what canonical JSON has no form for."""
    try:
        return _decoder.decode(data.decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None
