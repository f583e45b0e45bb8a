"""Taking a printed line apart without trusting it: what is not of the expected kind is not there. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import cast

from interlock.kernel.canonical import MAX_INTEGER
from interlock.runs.agents.port import Json, Said, Told

MOST_CHARACTERS = 2_000
"""Of one readable line."""
_NOTHING: Json = {}
_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")
_UNSHOWN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f\u0080-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]|\x1b\[[0-9;?]*[A-Za-z]"
)
_BLANK = re.compile(r"\s+")
_LIMIT = re.compile(
    r"usage limit|rate.?limit|hit your limit|quota|resource.?exhausted|too many requests|insufficient credit"
    r"|credit balance|\b429\b|out of credits",
    re.IGNORECASE,
)
_EPOCH = re.compile(r"(?<!\d)(1[5-9]\d{8}|[2-3]\d{9})(\d{3})?(?!\d)")


def behind(command: Sequence[str], program: str) -> int:
    """Return the place after a program's own name in an argument list, also where `env` starts it; 0 if it is not."""
    at = 0
    if command and PurePath(command[0]).name == "env":
        at = next((place for place, word in enumerate(command) if place and "=" not in word), len(command))
    return at + 1 if at < len(command) and PurePath(command[at]).name == program else 0


def parsed(line: str) -> Json | None:
    """Return the object that a line is, or None."""
    text = line.strip()
    if not text.startswith("{"):
        at = text.find("{")
        if at < 0 or "\x1b" not in text[:at]:
            return None
        text = text[at:]  # a terminal's control sequence stands before it
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast("Json", found) if isinstance(found, dict) else None


def part(of: Json, *names: str) -> Json:
    """Return the object that lies at this path; an empty one where there is none."""
    here: object = of
    for name in names:
        here = cast("Json", here).get(name) if isinstance(here, dict) else None
    return cast("Json", here) if isinstance(here, dict) else _NOTHING


def parts(of: Json, name: str) -> Sequence[Json]:
    """Return the objects of a list, at most 200 of them."""
    found = of.get(name)
    listed = cast("list[object]", found)[:200] if isinstance(found, list) else []
    return [cast("Json", each) for each in listed if isinstance(each, dict)]


def text(of: Json, *names: str) -> str:
    """Return the first of these fields that is a text and not blank."""
    for name in names:
        found = of.get(name)
        if isinstance(found, str) and found.strip():
            return found
    return ""


def count(of: Json, *names: str) -> int | None:
    """Return the sum of those fields that are counts; None where none is."""
    found = [_whole(of.get(name)) for name in names]
    known = [each for each in found if each is not None]
    return min(sum(known), MAX_INTEGER) if known else None


def microusd(of: Json, name: str) -> int | None:
    """Return a price in millionths of a dollar; None where there is none."""
    found = of.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    try:
        amount = float(found) * 1_000_000
    except OverflowError:
        return None
    return min(round(amount), MAX_INTEGER) if math.isfinite(amount) and amount >= 0 else None


def session(of: Json, *names: str) -> str | None:
    """Return a session's name, if it is one that may stand among a command's words."""
    found = text(of, *names)
    return found if _SESSION.fullmatch(found) else None


def one_line(*words: str) -> str:
    """Return words as one bounded line that a terminal shows and does not obey."""
    whole = " ".join(word[: 2 * MOST_CHARACTERS] for word in words if word)
    line = _BLANK.sub(" ", _UNSHOWN.sub(" ", whole)).strip()
    line = line.encode("utf-8", "replace").decode("utf-8")
    return line if len(line) <= MOST_CHARACTERS else line[: MOST_CHARACTERS - 1] + "…"


def is_limit(words: str) -> bool:
    """Say whether this is a provider's word that there is no more for now."""
    return _LIMIT.search(words[:4_000]) is not None


def resets_ms(words: str) -> int | None:
    """Return the instant that stands in such a word as seconds or milliseconds since 1970."""
    found = _EPOCH.search(words[:4_000])
    return None if found is None else int(found.group(1)) * 1000


def instant_ms(of: Json, *names: str) -> int | None:
    """Return a field that is an instant, in seconds or milliseconds since 1970."""
    found = count(of, *names)
    if found is None or found < 1_500_000_000:
        return None
    return found * 1000 if found < 10_000_000_000 else found


@dataclass(slots=True)
class Totals:
    """What an agent has told of itself so far; nothing of it ever falls."""

    session_id: str | None = None
    turns: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_microusd: int | None = None

    def told(self) -> Told:
        """Return it as it is now."""
        return Told(
            session_id=self.session_id,
            turns=self.turns,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cost_microusd=self.cost_microusd,
        )

    def name(self, session_id: str | None) -> Said:
        """Note the session's name."""
        self.session_id = session_id or self.session_id
        return Said(told=self.told())

    def reach(self, **totals: int | None) -> Said:
        """Note totals; what is unknown, or lower than what was told before, changes nothing."""
        for name, value in totals.items():
            known = cast("int | None", getattr(self, name))
            if value is not None and (known is None or value > known):
                setattr(self, name, value)
        return Said(told=self.told())

    def add(self, **amounts: int | None) -> Said:
        """Note what came to the totals."""
        for name, value in amounts.items():
            if value is not None:
                setattr(self, name, min((cast("int | None", getattr(self, name)) or 0) + value, MAX_INTEGER))
        return Said(told=self.told())


def _whole(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        value = int(value) if math.isfinite(value) and value.is_integer() else None
    return value if isinstance(value, int) and 0 <= value <= MAX_INTEGER else None
