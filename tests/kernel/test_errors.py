"""Errors are sentences with a code, and their family is their exit code."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator

import pytest

import interlock
from interlock.cli.main import main
from interlock.kernel.errors import Conflict, Failed, InterlockError, Invalid, NotFound, Refused, Unreachable

FAMILIES = (Invalid, NotFound, Conflict, Refused, Unreachable, Failed)


def every(kind: type[InterlockError]) -> Iterator[type[InterlockError]]:
    for below in kind.__subclasses__():
        yield below
        yield from every(below)


def load_everything() -> None:
    for module in pkgutil.walk_packages(interlock.__path__, "interlock."):
        # What the supervisor runs is started as a program of its own, and is imported by nobody.
        if ".containment." not in module.name:
            importlib.import_module(module.name)


def test_every_error_belongs_to_one_family_and_has_a_code_and_a_sentence() -> None:
    load_everything()
    codes: dict[str, type[InterlockError]] = {}
    for kind in set(every(InterlockError)) - set(FAMILIES):
        if "code" not in vars(kind) and kind.__subclasses__():
            continue  # what several errors share; it is never raised itself
        assert issubclass(kind, FAMILIES), kind
        assert re.fullmatch(r"[a-z][a-z0-9_]*", kind.code), kind
        assert (kind.__doc__ or "").strip(), kind
        if "code" in vars(kind):
            assert kind.code not in codes, f"{kind} and {codes.get(kind.code)} share the code {kind.code}"
            codes[kind.code] = kind
    assert len(codes) > 50


def test_the_docstring_is_the_sentence_unless_there_is_a_better_one() -> None:
    assert NotFound().message == "There is no such thing."
    assert NotFound("there is no draft d_1").message == "there is no draft d_1"
    assert NotFound("x", hint="look again").hint == "look again"


def test_a_sentence_and_a_hint_make_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: object) -> None:
    assert main(["--workspace", str(tmp_path), "draft", "list"]) == 3
    line = capsys.readouterr().err
    assert re.fullmatch(r"error: [^\n]+; [^\n]+ \[workspace_missing\]\n", line)
    assert ".;" not in line
