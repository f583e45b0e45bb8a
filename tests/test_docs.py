"""What the documents say is what the code has."""

from __future__ import annotations

import importlib
import pkgutil
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TypeVar

import interlock
from interlock.cli.main import DOORS
from interlock.evidence import errors as evidence_errors
from interlock.kernel.errors import InterlockError
from interlock.kernel.events import Event
from interlock.settings import Settings

Kind = TypeVar("Kind")
ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


def every_module() -> list[str]:
    """Import everything that there is."""
    names = [info.name for info in pkgutil.walk_packages(interlock.__path__, "interlock.")]
    for name in names:
        importlib.import_module(name)
    return names


def below(kind: type[Kind]) -> list[type[Kind]]:
    """List every subclass."""
    return [inner for direct in kind.__subclasses__() for inner in (direct, *below(direct))]


def test_every_setting_is_documented_with_its_default() -> None:
    text = (DOCS / "settings.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| `(\w+)` \| `(\w+)` \| ([^|]*) \|", text, re.MULTILINE)
    rows = {(section, key): default for section, key, default in found}
    real = {
        (section.name, each.name): getattr(getattr(Settings(), section.name), each.name)
        for section in fields(Settings)
        for each in fields(getattr(Settings(), section.name))
    }
    assert rows.keys() == real.keys()
    for place, default in real.items():
        if isinstance(default, int):
            assert rows[place].strip() == str(default).lower(), place


def test_every_exit_code_of_verification_is_documented() -> None:
    text = (DOCS / "evidence.md").read_text(encoding="utf-8")
    documented = set(map(int, re.findall(r"^\| (\d+) \|", text, re.MULTILINE)))
    real = {kind.exit_code for kind in below(evidence_errors.EvidenceError)}
    assert documented <= real
    assert documented == {code for code in real if code >= 10}


def test_every_command_is_in_the_manual_and_has_help() -> None:
    for door in DOORS.values():
        module = importlib.import_module(door.module)
        assert getattr(module, door.name)
        assert door.about


def test_an_error_has_a_sentence_and_a_code_of_its_own() -> None:
    every_module()
    seen: dict[str, type] = {}
    for kind in below(InterlockError):
        assert kind.__doc__, kind
        code = kind.code
        assert re.fullmatch(r"[a-z][a-z0-9_]*", code), kind
        if "code" in vars(kind):
            assert seen.get(code, kind) is kind, f"{kind} and {seen[code]} share {code}"
            seen[code] = kind


def test_an_event_is_told_in_the_past_tense_and_once() -> None:
    every_module()
    kinds = [kind for kind in below(Event) if "kind" in vars(kind)]  # a subclass may say more of the same fact
    names = [kind.kind for kind in kinds]
    assert len(set(names)) == len(names)
    for kind in kinds:
        assert is_dataclass(kind)
        assert re.fullmatch(r"[a-z_]+\.(state\.)?[a-z_]+", kind.kind), kind
        assert ".state." not in kind.kind or kind.kind.startswith(("pipeline.", "deployment.")), "only the seed's"


def test_every_room_has_a_sign_on_its_door() -> None:
    for name in every_module():
        module = importlib.import_module(name)
        if hasattr(module, "__path__"):
            assert module.__doc__, name
            assert len(module.__doc__.strip()) > 30, name


def test_the_glossary_is_in_order_and_each_word_stands_once() -> None:
    words = re.findall(r"^\| \*\*([^*]+)\*\* \|", (DOCS / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert words == sorted(set(words), key=str.lower)


def test_no_module_is_called_by_a_word_that_says_nothing() -> None:
    for name in every_module():
        assert not {"utils", "helpers", "common", "manager", "base", "misc"} & set(name.split("."))
