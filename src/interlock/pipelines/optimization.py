"""Workspace optimisation: what build trees and left-over configuration take, and on request into quarantine with them.

`agent` only plans, and writes nothing but its report; `apply` moves, and can be taken back (`repairs.undo`). Nothing is
deleted, so the size after is what is left outside the quarantine. Empty folders are listed and stay.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from interlock.evidence import publish
from interlock.kernel.clock import Clock, to_text
from interlock.kernel.errors import InterlockError
from interlock.pipelines import repairs
from interlock.pipelines.healing_events import AutoFixPlanned
from interlock.pipelines.repairs import Action, Tell
from interlock.pipelines.self_heal import cell, output_path

REPORT: Final = "build_output/workspace-optimization.json"
FIXER: Final = "workspace_optimization"
Mode = Literal["agent", "apply"]
MODES: Final[tuple[Mode, ...]] = ("agent", "apply")
_NOT_OURS: Final = frozenset({".git", ".interlock"})


@dataclass(slots=True)
class Measured:
    """What a workspace holds, without git's data, the state folder and the quarantine. Links are not followed."""

    bytes: int = 0
    files: int = 0
    empty: list[str] = field(default_factory=list[str])
    """Folders with nothing in them, not even an empty folder; relative to the root."""


@dataclass(frozen=True, slots=True)
class Optimized:
    """What came of it."""

    plan: bytes
    """The report's exact bytes."""
    untold: str | None
    """Why the log could not be told of a plan."""


def optimize(root: Path, *, mode: Mode, folders: Sequence[str], clock: Clock, tell: Tell | None = None) -> Optimized:
    """Plan, with mode `apply` carry out, and write the report.

    Raises `OutputForbidden`, OSError, and what `repairs.carry_out` raises.
    """
    at, output = clock(), output_path(root, REPORT)
    session = _fresh_session(root, at)
    before = measure(root)
    trees, left = repairs.build_trees(root)
    configuration, also_left = repairs.left_configuration(root)
    moves = [*trees, *configuration]
    actions = [*repairs.missing_folders(root, folders), *moves]
    sizes = {action.target: _size(root / action.target) for action in moves}
    untold = None
    if mode == "agent":
        untold = _tell_plan(actions, session, tell)
    elif actions:
        repairs.carry_out(root, session, actions, clock=clock, tell=tell, fixer=FIXER)
    document: dict[str, Any] = {
        "schema_version": 1,
        "mode": mode,
        "status": "planned" if mode == "agent" else "applied",
        "at": to_text(at),
        "root": repairs.as_text(str(root)),
        "session": f"{repairs.QUARANTINE}/{session}",
        "moves": [_move(action, session, sizes[action.target]) for action in moves],
        "folders": [path for action in actions if action not in moves for path in action.changed_paths],
        **_sizes(before, sizes),
        "left_alone": [{"path": repairs.as_text(path), "reason": why} for path, why in {**left, **also_left}.items()],
        "undo": f"services/gateway/self_heal.py --undo {session}" if mode == "apply" and actions else None,
    }
    return Optimized(_written(output, document), untold)


def _sizes(before: Measured, moved: Mapping[str, tuple[int, int]]) -> dict[str, object]:
    return {
        "empty_directories": [repairs.as_text(path) for path in before.empty],
        "size_before_bytes": before.bytes,
        "size_after_bytes": before.bytes - sum(size for size, _ in moved.values()),
        "file_count": before.files,
        "file_count_after": before.files - sum(files for _, files in moved.values()),
    }


def measure(root: Path) -> Measured:
    """Look at everything that is not git's, Interlock's, or in quarantine; what can not be read is passed over."""
    found = Measured()
    quarantine = root / repairs.QUARANTINE
    for folder, folders, files in _walk(root):
        here = Path(folder)
        if here != root and not folders and not files:
            found.empty.append(here.relative_to(root).as_posix())
        folders[:] = sorted(name for name in folders if name not in _NOT_OURS and here / name != quarantine)
        for name in files:
            found.bytes += _bytes(here / name)
            found.files += 1
    return found


def _walk(top: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    for folder, folders, files in os.walk(top):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        yield folder, folders, [*files, *links]


def _size(path: Path) -> tuple[int, int]:
    """Return the bytes and the number of files that a thing holds."""
    if not path.is_dir():
        return _bytes(path), 1
    paths = [Path(folder) / name for folder, _, files in _walk(path) for name in files]
    return sum(_bytes(each) for each in paths), len(paths)


def _bytes(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _fresh_session(root: Path, at_ms: int) -> str:
    """Return a name that no quarantine has: `<YYYYmmdd_HHMMSS>`, with a number where that one is taken."""
    text = to_text(at_ms)
    name = f"{text[:10].replace('-', '')}_{text[11:19].replace(':', '')}"
    fresh, number = name, 1
    while os.path.lexists(root / repairs.QUARANTINE / fresh):
        number += 1
        fresh = f"{name}_{number}"
    return fresh


def _tell_plan(actions: Sequence[Action], session: str, tell: Tell | None) -> str | None:
    try:
        for action in actions:
            if tell is not None:
                tell(AutoFixPlanned(**repairs.told(action, session, FIXER, dry_run=True)))
    except InterlockError as error:
        return str(error)
    return None


def _move(action: Action, session: str, size: tuple[int, int]) -> dict[str, object]:
    to = f"{repairs.QUARANTINE}/{session}/{action.steps[-1].to}"
    return {"from": repairs.as_text(action.target), "to": repairs.as_text(to), "bytes": size[0], "files": size[1]}


def _written(path: Path, document: Mapping[str, Any]) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"
    publish.replace(path.with_suffix(".md"), [_markdown(document).encode()])
    publish.replace(path, [data])
    return data


def _markdown(document: Mapping[str, Any]) -> str:
    moves = [f"| {cell(each['from'])} | {cell(each['to'])} | {each['bytes']} |" for each in document["moves"]]
    empty = [f"- {cell(each)}" for each in document["empty_directories"]]
    lines = [
        f"# Workspace optimisation: {document['status']}",
        "",
        f"{document['at']}, mode {document['mode']}: {document['file_count']} files.",
        f"Size: {document['size_before_bytes']} bytes.",
        f"Without what is moved: {document['size_after_bytes']} bytes.",
        "",
        *(["| From | To | Bytes |", "| --- | --- | --- |", *moves] if moves else ["Nothing is to be moved."]),
        "",
        *(["## Empty folders", "", *empty, ""] if empty else []),
    ]
    return "\n".join(lines)
