"""References are what the code has, in both directions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields

import pytest

from interlock.http.problems import _CODES  # pyright: ignore[reportPrivateUsage]  # the table itself
from interlock.kernel.errors import InterlockError
from interlock.loops import reasons as of_loops
from interlock.runs.shown import _REASONS as OF_RUNS  # pyright: ignore[reportPrivateUsage]  # the table itself
from interlock.runs.truth import RULES, Verdict
from tests.docs.reference import DOCS, cli, entry_points, errors, events, exit_codes, metrics, subjects
from tests.docs.reference.http import openapi
from tests.docs.reference.words import HTTP, SERVICE, SOURCE, SUBJECTS, Subject, found, parsed, said_in, unsaid
from tests.http.conftest import served
from tests.http.served import Served
from tests.test_docs import below, every_module

__all__ = ["served"]
ROOT = DOCS.parent
SUBJECTS_MADE = subjects()
pytestmark = pytest.mark.timeout(180)  # the first one loads the whole product


def committed(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def first_column(name: str) -> list[str]:
    """Return what stands as code in the first column of the page's tables."""
    return re.findall(r"^\| \[?`([^`]+)`", committed(name), re.MULTILINE)


@pytest.mark.parametrize("subject", SUBJECTS_MADE)
@pytest.mark.proves("docs-run")
def test_the_pages_that_are_made_from_the_code_are_the_committed_ones(subject: str) -> None:
    made = SUBJECTS_MADE[subject]()
    stale = [name for name, text in made.items() if not (DOCS / name).is_file() or committed(name) != text]
    assert stale == [], "make them anew: python -m tests.docs.reference"


def test_nothing_else_stands_among_the_pages_that_are_made_from_the_code() -> None:
    made = {name for make in SUBJECTS_MADE.values() for name in make()}
    assert {path.relative_to(DOCS).as_posix() for path in (DOCS / "reference").rglob("*.md")} <= made


# --- both directions --------------------------------------------------------------------------------------------------


def test_every_route_has_its_place_and_no_other_route_has_one() -> None:
    real = {f"{method.upper()} {path}" for path, ways in openapi()["paths"].items() for method in ways}
    headings = [
        heading
        for path in (DOCS / "reference/http").glob("*.md")
        for heading in re.findall(r"^## `(\w+ /[^`]*)`$", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert sorted(headings) == sorted(real)
    assert set(first_column("reference/http/index.md")) >= real


def test_every_shape_of_a_request_or_an_answer_is_shown_with_all_its_fields() -> None:
    text = committed("reference/http/shapes.md")
    for name, shape in openapi()["components"]["schemas"].items():
        (part,) = re.findall(rf"^## {name}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
        assert set(shape.get("properties", ())) == set(re.findall(r"^\| `([^`]+)`", part, re.MULTILINE)), name


def test_every_command_and_each_of_its_options_is_in_the_manual() -> None:
    text = committed("reference/cli.md")
    headings = set(re.findall(r"^#{2,4} `?(?:interlock )?([^`\n]+?)`?$", text, re.MULTILINE)) - {"Commands"}
    real = {" ".join(path[1:]): command for path, command in cli.every_command()}
    assert headings == set(real)
    for name, command in real.items():
        behind = text.partition(f"`interlock {name}`\n" if " " in name else f"\n## {name}\n")[2]
        part = re.split(r"^#{2,4} ", behind, maxsplit=1, flags=re.MULTILINE)[0]
        for each in cli.shown(command, "option"):
            assert f"`{each.opts[0]}`" in part, (name, each.opts)


def test_every_flag_of_the_seeds_entry_points_is_in_the_manual() -> None:
    text = committed("reference/entry-points.md")
    for place, flags in entry_points.every_flag():
        part = text.partition(f"## `{place}`\n")[2].partition("\n## ")[0]
        assert part, place
        for flag in flags:
            assert f"`{flag}`" in part, (place, flag)


def test_every_kind_of_event_has_its_place_with_every_field_and_no_other_kind_has_one() -> None:
    text = committed("reference/events.md")
    assert sorted(re.findall(r"^### `([^`]+)`$", text, re.MULTILINE)) == sorted(events.events())
    for kind, classes in events.events().items():
        part = text.partition(f"### `{kind}`\n")[2].partition("\n### ")[0].partition("\n## ")[0]
        real = {field.name for each in classes for field in fields(each)} - {"subject", "key"}
        assert set(re.findall(r"^\| `([^`]+)`", part, re.MULTILINE)) == real, kind


def test_every_error_has_its_row_and_no_other_code_has_one() -> None:
    every_module()
    rows = set(first_column("reference/errors.md"))
    real = {each.code for each in errors.errors()}
    assert real >= {each.code for each in below(InterlockError) if each.__module__.startswith("interlock.")}
    assert rows == real | set(HTTP) | set(SERVICE)


def test_every_metric_that_the_code_declares_and_a_server_answers_has_its_row(served: Served) -> None:
    rows = set(first_column("reference/metrics.md"))
    assert rows == {each.name for each in metrics.figures()}
    answered = served.client().get("/metrics").text
    assert rows == set(re.findall(r"^# TYPE (\w+)", answered, re.MULTILINE))


def test_every_exit_code_that_the_code_ends_with_has_its_row() -> None:
    every_module()
    told = {int(each) for each in re.findall(r"^\| (\d+) \|", committed("reference/exit-codes.md"), re.MULTILINE)}
    real = {errors.exit_code_of(each) for each in below(InterlockError)}
    assert real <= told
    assert {number for number in told if 10 <= number < 64} - set(exit_codes.OF_HEALTH) == set(
        exit_codes.of_verification()
    ) - set(exit_codes.OF_HEALTH)
    assert {number for _, number in exits()} <= told


def exits() -> Iterator[tuple[str, int]]:
    """Yield where the code leaves with a number that stands there."""
    for path in [*SOURCE.glob("cli/*.py"), *SOURCE.glob("*/cli.py"), *SOURCE.glob("*/cli/*.py")]:
        tree = parsed(path)
        constants = {
            target.id: value.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for names, values in [(node.targets[0], node.value)]
            for target, value in _pairs(names, values)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"typer.Exit", "sys.exit"} and node.args:
                given = node.args[0]
                value = constants.get(given.id) if isinstance(given, ast.Name) else getattr(given, "value", None)
                if isinstance(value, int):
                    yield path.name, value


def _pairs(names: ast.expr, values: ast.expr) -> Iterator[tuple[ast.Name, ast.Constant]]:
    sides = (names.elts, values.elts) if isinstance(names, ast.Tuple) and isinstance(values, ast.Tuple) else None
    for name, value in zip(*(sides or ([names], [values])), strict=True):
        if isinstance(name, ast.Name) and isinstance(value, ast.Constant):
            yield name, value


# --- reasons ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda each: each.title)
def test_every_reason_of_these_modules_is_in_words_and_no_word_is_left_over(subject: Subject) -> None:
    said = found(subject)
    beginnings = {each for each in said if each.endswith("_")}
    assert {each for each in beginnings if not any(word.startswith(each) for word in subject.words)} == set()
    assert said - beginnings <= subject.words.keys()
    assert unsaid(subject) == set()


def test_every_reason_that_any_module_gives_stands_on_the_page_or_is_an_error() -> None:
    every_module()
    known = set(first_column("reference/reasons.md")) | set(first_column("reference/errors.md"))
    known |= {rule.reason for rule in RULES}
    strangers: dict[str, set[str]] = {}
    for path in SOURCE.rglob("*.py"):
        for each in said_in(path) - known:
            if not (each.endswith("_") and any(word.startswith(each) for word in known)):
                strangers.setdefault(path.relative_to(SOURCE).as_posix(), set()).add(each)
    assert strangers == {}


def test_a_run_that_the_watch_has_moved_says_why_in_words() -> None:
    moved = {each.value for each in (Verdict.SILENT, Verdict.MISPLACED, Verdict.FINISHED_UNREPORTED)}
    moved |= {rule.reason for rule in RULES if rule.verdict in {Verdict.OVER_BUDGET, Verdict.LOST_WORKER}}
    assert moved <= OF_RUNS.keys()


def test_every_word_that_is_said_of_a_loop_stands_on_the_page() -> None:
    rows = set(first_column("reference/reasons.md"))
    for words in (of_loops.REASONS, of_loops.VIOLATIONS, of_loops.FLAGS, of_loops.STATES, of_loops.OUTCOMES):
        assert words.keys() <= rows


def test_what_the_server_and_the_loop_service_say_by_themselves_is_what_the_code_says() -> None:
    texts = {
        node.value
        for folder in ("http", "loops")
        for path in SOURCE.glob(f"{folder}/*.py")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert {*HTTP, *SERVICE} <= texts
    assert set(_CODES.values()) <= HTTP.keys()
    service = {
        code
        for path in SOURCE.glob("loops/sprite_serv*.py")
        for code in re.findall(r'failure\(\s*\d+, "(\w+)"', path.read_text(encoding="utf-8"))
    }
    assert service == SERVICE.keys()


# --- what is written by hand ------------------------------------------------------------------------------------------


def test_every_path_that_the_page_of_the_house_names_is_there() -> None:
    text = committed("architecture.md")
    named = set(re.findall(r"\b((?:src|tests|ui|docs)/[\w./-]*[\w/])", text))
    assert len(named) > 20
    assert {name for name in named if not (ROOT / name).exists()} == set()


def by_hand() -> Iterator[tuple[str, str]]:
    """Yield the pages that people write, and those beside docs/."""
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))):
        if "http" not in path.relative_to(ROOT).parts:
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def test_every_route_that_a_page_names_is_there() -> None:
    real = {
        f"{method.upper()} {re.sub(r'{[^}]*}', '{}', path)}"
        for path, ways in openapi()["paths"].items()
        for method in ways
    }
    strangers = [
        (page, f"{method} {path}")
        for page, text in by_hand()
        for method, path in re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/[^`?\s]*)", text)
        if f"{method} {re.sub(r'{[^}]*}|<[^>]*>|[A-Z]+', '{}', path)}" not in real
    ]
    assert strangers == []


def test_every_command_that_a_page_names_is_there() -> None:
    real = {path[1:]: command for path, command in cli.every_command()}
    strangers: list[tuple[str, str]] = []
    for page, text in by_hand():
        for line in re.findall(r"(?:`|^    )interlock ([a-z][^`\n]*)", text, re.MULTILINE):
            first, *rest = line.split()
            words = (first,)
            while getattr(real.get(words), "commands", None) and rest and re.fullmatch("[a-z][a-z-]*", rest[0]):
                words = (*words, rest.pop(0))
            if words not in real:
                strangers.append((page, line))
    assert strangers == []


def test_every_room_is_in_the_picture_and_on_the_page_of_rooms() -> None:
    picture, page = committed("assets/house.svg"), committed("reference/rooms.md")
    packages = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    drawn = set(re.findall(r'class="name"[^>]*>([a-z_]+)(?:\.py)?<', picture))
    assert packages <= drawn
    assert drawn == set(re.findall(r"^## (\w+)$", page, re.MULTILINE))


def test_every_decision_is_in_the_list_of_decisions() -> None:
    there = {path.name for path in (DOCS / "decisions").glob("0*.md")}
    assert set(re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", committed("decisions/index.md"))) == there
