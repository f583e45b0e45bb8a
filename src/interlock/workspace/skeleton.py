"""The places of seed 3 in a workspace: role file, gateway policy, READMEs and schemas, documentation agent, folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from interlock.evidence import publish
from interlock.pipelines.checks import FOLDERS
from interlock.workspace.layout import Layout
from interlock.workspace.service import Made

_SKELETON: Final = Path(__file__).with_name("shipped") / "skeleton"
_COMPILED: Final = "__pycache__"


def make_skeleton(layout: Layout) -> Iterator[Made]:
    """Make folders, and every file below `shipped/skeleton` at its place; what is there is kept. Raises OSError."""
    for folder in FOLDERS:
        path = layout.root / folder
        there = os.path.lexists(path)
        if not there:
            path.mkdir(parents=True)
        yield Made(path, "kept" if there else "created")
    for shipped in sorted(path for path in _SKELETON.rglob("*") if path.is_file() and _COMPILED not in path.parts):
        yield _copied(shipped, layout.root / shipped.relative_to(_SKELETON))


def as_shipped(layout: Layout, path: str) -> bool:
    """Say whether a file is, byte for byte, the one that is shipped for its place."""
    try:
        return (layout.root / path).read_bytes() == (_SKELETON / path).read_bytes()
    except OSError:
        return False


def _copied(shipped: Path, path: Path) -> Made:
    """Copy a file; one that says what runs it can be run."""
    if os.path.lexists(path):
        return Made(path, "kept")
    data = shipped.read_bytes()
    mode = 0o755 if data.startswith(b"#!") else 0o644
    path.parent.mkdir(parents=True, exist_ok=True)
    publish.replace(path, [data], mode=mode)
    path.chmod(mode)
    return Made(path, "created")
