"""A workspace in good health: as `init` makes it, with what seed 3 asks for, and a signed tree head."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from interlock.app import Interlock
from interlock.founding import create_workspace
from interlock.kernel.clock import system_clock
from interlock.pipelines.checks import Place
from interlock.workspace.devops_scripts import make_devops_scripts
from interlock.workspace.layout import Layout
from interlock.workspace.skeleton import make_skeleton
from tests.conftest import ALICE

RUNNING = "r_01ARZ3NDEKTSV4RRFFQ69G5FAV"
ENDED = "r_01ARZ3NDEKTSV4RRFFQ69G5FAW"


def workspace(factory: pytest.TempPathFactory, root: Path) -> Place:
    """Copy one to `root`, and return it as its owner sees it; two runs are known."""
    template = factory.getbasetemp() / "healthy"
    if not template.exists():
        _make(template)
    shutil.copytree(template, root, symlinks=True)
    layout = Layout(root)
    return replace(
        Place.at(root, clock=system_clock, environment={}),
        state=layout.state,
        keys=layout.keys,
        worktrees=layout.worktrees,
        alive={RUNNING: True, ENDED: False}.get,
    )


def _make(root: Path) -> None:
    create_workspace(root, ALICE, database_url="", replace=False)
    layout = Layout(root)
    for made in (*make_skeleton(layout), *make_devops_scripts(layout, replace=False)):
        assert made.done in {"created", "kept"}
    house = Interlock.at(root)
    try:
        house.evidence.head()
        house.catch_up(ALICE)
    finally:
        house.close()
