"""The house holds, and what holds it bites: forbidden imports are injected and must be caught, each by its contract."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the house to break things in."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(house: Path) -> subprocess.CompletedProcess[str]:
    """Run the layer check on a copy."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=house,
        env={"PYTHONPATH": str(house / "src"), "PATH": "/usr/bin:/bin", "COLUMNS": "200", "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_house_as_it_stands_is_kept(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("queue/service.py", "import sqlite3", "A room's heart"),
        ("queue/service.py", "import interlock.runs.service", "The house"),
        ("evidence/tree.py", "import interlock.queue.models", "The house"),
        ("workspace/service.py", "import psycopg", "Only storage speaks SQL"),
        ("workspace/service.py", "import interlock.storage.database", "The house"),
        ("approval/service.py", "import typer", "A room's heart"),
        ("approval/models.py", "import interlock.approval.service", "Inside approval"),
        ("queue/reports.py", "import interlock.queue.service", "Inside the queue"),
        ("runs/repositories/git.py", "import interlock.runs.service", "Inside runs"),
        ("providers/merging.py", "import interlock.providers.service", "Inside providers"),
        ("providers/service.py", "import httpx2", "Only providers' protocols"),
        ("providers/service.py", "import interlock.providers.adapters.gemini", "Only app.py plugs providers'"),
        ("runs/service.py", "import interlock.providers.models", "The house"),
        ("storage/sqlite/database.py", "import interlock.storage.postgres.database", "dialects"),
        ("cli/main.py", "import interlock.storage.database", "Only what puts the house together"),
        ("approval/service.py", "import interlock.doors.cli", "Only doors"),
    ],
)
def test_a_forbidden_import_is_caught(copy: Path, file: str, line: str, contract: str) -> None:
    broken = copy / "src" / "interlock" / file
    broken.write_text(broken.read_text(encoding="utf-8") + f"\n{line}\n", encoding="utf-8")
    done = lint(copy)
    assert done.returncode != 0
    assert any("BROKEN" in told and contract in told for told in done.stdout.splitlines()), done.stdout


@pytest.mark.parametrize("stray", ["helpers.py", "queue/helpers.py"])
def test_a_stray_module_is_caught(copy: Path, stray: str) -> None:
    (copy / "src" / "interlock" / stray).write_text('"""Stray."""\n', encoding="utf-8")
    assert lint(copy).returncode != 0
