"""What the seeds promise is shown by a test that says so, and no test claims a promise that nobody made.

`.venv/bin/python -m tests.test_requirements` writes docs/requirements.md anew.
"""

from __future__ import annotations

import ast
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

TESTS = Path(__file__).resolve().parent
DOCS = TESTS.parent / "docs"
PAGE = DOCS / "requirements.md"


def requirements() -> Sequence[Mapping[str, str]]:
    """Read what is promised."""
    return tomllib.loads((DOCS / "requirements.toml").read_text(encoding="utf-8"))["requirement"]


def proofs() -> Mapping[str, Sequence[str]]:
    """Return for each promise the tests that say they show it."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for promise in _marks(node):
                    found[promise].append(f"{path.relative_to(TESTS.parent)}::{node.name}")
    return found


def _marks(test: ast.FunctionDef) -> Iterator[str]:
    for mark in test.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.proves":
            for argument in mark.args:
                assert isinstance(argument, ast.Constant)
                yield str(argument.value)


def page() -> str:
    """Return the table of promises and their proofs."""
    proven = proofs()
    lines = [
        "# What the seeds promise, and the test that shows it",
        "",
        "Made from [requirements.toml](requirements.toml) and the tests' own marks by",
        "`python -m tests.test_requirements`; a test holds it. What a seed promises and no row names is not there yet.",
        "",
        "| promise | from | in words | shown by |",
        "|---|---|---|---|",
    ]
    for each in requirements():
        shown = "<br>".join(f"`{proof}`" for proof in proven.get(each["id"], ()))
        lines.append(f"| `{each['id']}` | {each['source']} | {each['sentence']} | {shown} |")
    return "\n".join(lines) + "\n"


def test_every_promise_is_shown_by_a_test_and_no_test_claims_another() -> None:
    promised = [each["id"] for each in requirements()]
    assert len(promised) == len(set(promised))
    assert len(promised) > 40
    assert proofs().keys() == set(promised)


def test_the_page_of_promises_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
