"""No code block of the documentation is only looked at: a test types it, or what is to read it reads it."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from itertools import product
from pathlib import Path

import pytest

from interlock.kernel.errors import InterlockError
from interlock.pipelines.definitions import parse_definition
from interlock.pipelines.deployment_definitions import parse_deployment
from interlock.pipelines.roles import parse_roles
from interlock.pipelines.yaml_source import parse
from interlock.providers.merging import merged
from interlock.settings import load
from tests.docs.page import ROOT, Block, blocks, pages

TYPED_BY: Mapping[str, str] = {
    "README.md": "tests/docs/test_start.py",
    "docs/OPERATIONS.md": "tests/http/test_operations_page.py",
    "docs/agents.md": "tests/docs/test_pages.py",
    "docs/deploy.md": "tests/packaging/test_pages.py",
    "docs/doctor.md": "tests/packaging/test_pages.py",
    "docs/evidence.md": "tests/docs/test_pages.py",
    "docs/mcp.md": "tests/docs/test_pages.py",
    "docs/queue.md": "tests/test_runbooks.py",
    "docs/rooms/access.md": "tests/docs/test_rooms.py",
    "docs/rooms/approval.md": "tests/docs/test_rooms.py",
    "docs/rooms/console.md": "tests/docs/test_rooms.py",
    "docs/rooms/fleet.md": "tests/docs/test_rooms.py",
    "docs/rooms/providers.md": "tests/docs/test_rooms.py",
    "docs/rooms/runs.md": "tests/docs/test_rooms.py",
    "docs/rooms/workspace.md": "tests/docs/test_rooms.py",
    "docs/runbooks/agent-devops.md": "tests/test_runbook_devops.py",
    "docs/runbooks/alerts.md": "tests/test_runbook_alerts.py",
    "docs/runbooks/ops-manager.md": "tests/test_runbook_loops.py",
    "docs/scale.md": "tests/test_scale.py",
    "docs/start.md": "tests/docs/test_start.py",
    "docs/temporal.md": "tests/docs/test_pages.py",
}
"""Which test types everything that a page tells to type: all of it, as `tests.docs.page` reads it."""
SHOWN: Mapping[str, str] = {
    "CONTRIBUTING.md": "the picture of the house, held below",
    "docs/architecture.md": "how a verb travels through the house, drawn",
    "docs/reference/": "made from the code, and held against it by a test of its own",
}
"""Text that is no answer, with what it is."""
WHOLE = {"docs/evidence.md": "tests/evidence/test_evidence_page.py"}
"""Which test does the blocks of a page that are fenced as `sh`, each as one script."""

ROLES = parse_roles(b'{"planner": {"agent_id": "PlanAgent"}, "verifier": {"agent_id": "ReviewAgent"}}')


def _settings(text: str, folder: Path) -> None:
    (folder / "interlock.toml").write_text(text, encoding="utf-8")
    load(folder, {})


def _providers(text: str, _: Path) -> None:
    merged(None, json.loads(text))


def _declared(text: str, _: Path) -> None:
    name = re.search(r"^name: (\w+)$", text, re.MULTILINE)
    assert name
    keys = json.dumps(list(_keys(text)))
    if "strategy" in keys:
        parse_deployment(text.encode(), f"cicd/deployments/{name[1]}.yaml", name[1])
    else:
        parse_definition(text.encode(), f"cicd/pipelines/{name[1]}.yaml", directory=ROLES, environment={})


def _keys(text: str) -> list[str]:
    parse(text.encode(), "page")
    return re.findall(r"^(\w+):", text, re.MULTILINE)


READ: Mapping[str, Callable[[str, Path], None]] = {"toml": _settings, "json": _providers, "yaml": _declared}
"""What reads a block of such a language in the product itself."""
EVERY = [block for page in pages() for block in blocks(page)]


def _told(block: Block) -> str:
    return f"{block.page}:{block.line}"


@pytest.mark.proves("docs-run")
def test_every_block_is_typed_by_a_test_or_read_by_the_product() -> None:
    for block in EVERY:
        if block.typed:
            assert block.page in TYPED_BY, f"{_told(block)}: no test types what stands there"
            assert block.language == "" or block.page in WHOLE, f"{_told(block)}: commands are indented, not fenced"
        elif block.language == "text":
            kept = any(block.page.startswith(page) for page in SHOWN)
            assert kept or block.answer, f"{_told(block)}: it answers no command; nothing holds it"
        else:
            assert block.language in READ, f"{_told(block)}: nothing reads a block of {block.language!r}"


@cache
def reads(test: str) -> Mapping[str, set[str]]:
    """Return the pages that a file of tests reads, each with the ways of `tests.docs.page` in which it does."""
    tree = ast.parse((ROOT / test).read_text(encoding="utf-8"))
    constants = {
        target.id: _texts(node.value, {})
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    found: dict[str, set[str]] = {}
    for node in tree.body:
        names = constants | (_parameters(node) if isinstance(node, ast.FunctionDef) else {})
        for call in ast.walk(node):
            way = ast.unparse(call.func).rpartition(".")[2] if isinstance(call, ast.Call) else ""
            if isinstance(call, ast.Call) and way in ("walks", "typed", "sections"):
                for page in _texts(call.args[0], names):
                    found.setdefault(page, set()).add(way)
    return found


def _parameters(test: ast.FunctionDef) -> dict[str, list[str]]:
    """Return which texts a test is done with, by the parameter's name."""
    found: dict[str, list[str]] = {}
    for mark in test.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.parametrize":
            name, values = mark.args[:2]
            if isinstance(name, ast.Constant) and isinstance(values, ast.List):
                found[str(name.value)] = [each for value in values.elts for each in _texts(value, {})]
    return found


def _texts(given: ast.expr, names: Mapping[str, list[str]]) -> list[str]:
    """Return what an expression may be; nothing where that is not seen by reading."""
    if isinstance(given, ast.Constant):
        return [str(given.value)]
    if isinstance(given, ast.Name):
        return names.get(given.id, [])
    if isinstance(given, ast.FormattedValue):
        return _texts(given.value, names)
    if isinstance(given, ast.JoinedStr):
        return ["".join(parts) for parts in product(*(_texts(part, names) for part in given.values))]
    return []


@pytest.mark.parametrize("page", sorted(TYPED_BY))
def test_the_test_of_a_page_types_all_of_it(page: str) -> None:
    assert any(block.typed for block in blocks(page)), "there is nothing to type"
    ways = reads(TYPED_BY[page]).get(page, set())
    assert ways, "it reads the page in a way of its own, or not at all"
    if any(block.answer for block in blocks(page)):
        assert "walks" in ways, "nobody holds what the page shows as answers"
    if any(block.language == "sh" for block in blocks(page)):
        assert page.rpartition("/")[2] in (ROOT / WHOLE[page]).read_text(encoding="utf-8")


@pytest.mark.parametrize("block", [block for block in EVERY if block.language in READ], ids=_told)
def test_what_a_page_shows_of_a_file_is_what_the_product_reads(block: Block, tmp_path: Path) -> None:
    READ[block.language](block.text, tmp_path)


def test_a_file_with_a_mistake_would_not_pass(tmp_path: Path) -> None:
    for language, wrong in (
        ("toml", "[queue]\nlease = 1\n"),
        ("json", '{"active": "a", "providers": {"a": {"type": "b"}}}'),
        ("yaml", "name: a\nstrategy: b\n"),
        ("yaml", "name: a\nstages: 7\n"),
    ):
        with pytest.raises(InterlockError):
            READ[language](wrong, tmp_path)


def test_the_picture_of_the_house_has_every_room_and_nothing_that_is_not_there() -> None:
    [picture] = [block for block in blocks("CONTRIBUTING.md") if block.language == "text"]
    named = {name for line in picture.text.splitlines() for name in re.findall(r"\b(\w+(?:/|\.py))(?:\s|$)", line[:33])}
    house = ROOT / "src" / "interlock"
    assert [name for name in named if not (house / name).exists()] == []
    assert {f"{room.parent.name}/" for room in house.glob("*/__init__.py")} <= named


def test_no_page_is_named_that_is_not_there() -> None:
    assert {page for page in (*TYPED_BY, *WHOLE) if page not in pages()} == set()
    assert [page for page in SHOWN if not (ROOT / page).exists()] == []
