"""docs/reference/events.md: every kind of event, with its fields."""

from __future__ import annotations

import ast
import inspect
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, Final

from interlock.kernel.events import Event
from tests.docs.reference.markdown import anchor, body, code, page, sentence, table
from tests.test_docs import below, every_module

_INTRODUCTION: Final = """\
What happened, told once, in the past tense, in the transaction that made it true. Evidence, alerts, live console,
audit, the windows and the exported ledger are all readers of this one log. Follow it with `interlock evidence list`,
`GET /ops/events` (server-sent events) or `GET /ops/evidence/entries`; how an entry is written byte for byte says
[the evidence log](../evidence.md).

Every event has `kind`, `version`, `time` (UTC, milliseconds), `subject` (the id of what it is about), `principal`
(who), `correlation_id` (what it happened together with, or null), `key` (for facts whose owner is a file: logged once
under one key) and a `payload` with the fields below. `null` stands where a field may be missing. *Calming* are events
that only tell of what comes to an end: they happen while panic is on, too.
"""


def events() -> Mapping[str, list[type[Event]]]:
    """Return for each kind the classes that tell it; all but the first say more of the same fact."""
    every_module()
    found: dict[str, list[type[Event]]] = defaultdict(list)
    for each in below(Event):
        if each.__module__.startswith("interlock.") and hasattr(each, "kind"):
            found[each.kind].append(each)
    for classes in found.values():
        classes.sort(key=lambda each: ("kind" not in vars(each), len(each.__mro__)))
    return found


def pages() -> Mapping[str, str]:
    """Return the page."""
    by_room: dict[str, list[str]] = defaultdict(list)
    for kind, classes in sorted(events().items()):
        by_room[classes[0].__module__.split(".")[1]].append(kind)
    found = events()
    parts: list[str] = [_INTRODUCTION]
    for room in sorted(by_room):
        rows = [(f"[`{kind}`](#{anchor(kind)})", sentence(found[kind][0].__doc__)) for kind in by_room[room]]
        parts += [f"## {room}", table(["kind", "what happened"], rows)]
        parts += [part for kind in by_room[room] for part in _event(kind, found[kind])]
    return {"reference/events.md": page("Events", *parts)}


def _event(kind: str, classes: list[type[Event]]) -> list[str]:
    first = classes[0]
    version = f" Version {first.version}." if first.version != 1 else ""
    calming = " *Calming.*" if first.calming else ""
    parts = [f"### `{kind}`", body(first.__doc__) + version + calming]
    told: dict[str, tuple[str, ...]] = {}
    for each in classes:
        about = _about(each)
        for field in fields(each):
            if field.name not in {"subject", "key"}:
                default = "" if field.default is MISSING else code(_shown(field.default))
                told.setdefault(field.name, (code(field.name), _type(field.type), default, about.get(field.name, "")))
    return [*parts, table(["field", "what it is", "default", "about"], told.values()) or "No more fields."]


def _shown(value: Any) -> str:  # noqa: ANN401 - whatever a field may hold
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value) or '""'


_WORDS: Final = {
    "str": "text",
    "int": "integer",
    "bool": "true or false",
    "None": "null",
    "JsonObject": "object",
    "Json": "anything",
}


def _type(annotation: Any) -> str:  # noqa: ANN401 - text, as the modules write it
    text = str(annotation)
    words = [_word(part.strip()) for part in text.split(" | ")]
    return " or ".join(words)


def _word(text: str) -> str:
    for many in ("Sequence", "tuple", "list"):
        if text.startswith(f"{many}["):
            return f"list of {_type(text[len(many) + 1 : -1].removesuffix(', ...'))}"
    if text.startswith(("Mapping[", "dict[")):
        return "object"
    return _WORDS.get(text, code(text))


def _about(event: type[Event]) -> Mapping[str, str]:
    """Return what the class says of its fields, in the text behind each."""
    told: dict[str, str] = {}
    for each in reversed(event.__mro__):
        if each is Event or not issubclass(each, Event):
            continue
        (found,) = ast.parse(inspect.cleandoc(inspect.getsource(each))).body
        assert isinstance(found, ast.ClassDef)
        for field, text in zip(found.body, found.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
                said = ast.literal_eval(text.value) if isinstance(text.value, ast.Constant) else ""
                told[field.target.id] = sentence(said)
    return told
