"""The places of seed 2 in a workspace: entry points of loop supervision, threshold profiles, JSON Schemas."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from interlock.evidence import publish
from interlock.kernel.ids import UlidSource
from interlock.workspace.layout import Layout
from interlock.workspace.service import Made

ENTRY_POINTS: Final = (
    "reconcile",
    "status",
    "control",
    "telemetry-summary",
    "project-state",
    "loop-run-snapshot",
    "poll-events",
    "health",
    "profile-drift",
    "threshold-profile",
    "confirm-intent",
    "alert-sink-config",
    "alert-dispatch",
    "service-client",
    "sprite-service",
)
_SHIPPED = Path(__file__).with_name("shipped")
_SCRIPT = r"""#!/bin/sh
# Loop supervision; hands over to Interlock. Made by `interlock init`, which also brings it up to date.
PYTHON={python}
case $0 in */*) self=$0 ;; *) self=./$0 ;; esac
while [ -L "$self" ]; do
    link=$(readlink "$self")
    case $link in /*) self=$link ;; *) self=${{self%/*}}/$link ;; esac
done
if [ ! -x "$PYTHON" ]; then
    echo "error: Interlock is not at $PYTHON any more; run \`interlock init\` in this workspace" >&2
    exit 1
fi
exec "$PYTHON" -I -m interlock.cli.ops_manager "${{self%/*}}/.." {name} "$@"
"""
_SERVICE = """#!/usr/bin/env python3
# The loop service; hands over to Interlock. Made by `interlock init`, which also brings it up to date.
import os
import sys

PYTHON = {python}
HERE = os.path.abspath(__file__)
while os.path.islink(HERE):
    HERE = os.path.join(os.path.dirname(HERE), os.readlink(HERE))
ROOT = os.path.join(os.path.dirname(HERE), "..")
try:
    os.execv(PYTHON, [PYTHON, "-I", "-m", "interlock.cli.ops_manager", ROOT, "{name}"] + sys.argv[1:])
except OSError:
    sys.exit("error: Interlock is not at %s any more; run `interlock init` in this workspace" % PYTHON)
"""


def make_loop_scripts(layout: Layout, *, replace: bool) -> Iterator[Made]:
    """Write entry points, threshold profiles and schemas; what somebody else has there is kept.

    With `replace`, a foreign entry point is moved aside.
    """
    stamp = UlidSource()() if replace else None
    for name in ENTRY_POINTS:
        yield from _entry_point(layout.root / "scripts" / file_of(name), name, stamp)
    for shipped in sorted(_SHIPPED.glob("*/*.json")):
        path = layout.root / shipped.relative_to(_SHIPPED)
        if path.exists():
            yield Made(path, "kept")
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        publish.replace(path, [shipped.read_bytes()])
        yield Made(path, "created")


def file_of(name: str) -> str:
    """Return what an entry point is called."""
    return f"ops-manager-{name}.{'py' if name == 'sprite-service' else 'sh'}"


def _entry_point(path: Path, name: str, stamp: str | None) -> Iterator[Made]:
    text = _text(name, repr(sys.executable) if name == "sprite-service" else shlex.quote(sys.executable))
    found = path.read_text(encoding="utf-8", errors="replace") if path.exists() else None
    ours = found is not None and _is_ours(found, name)
    if found is not None and not ours and stamp is not None:
        aside = path.with_name(f"{path.name}.{stamp}.backup")
        path.rename(aside)
        yield Made(aside, "backed up")
        found = None
    if found is not None and (found == text or not ours):
        yield Made(path, "kept")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    publish.replace(path, [text.encode("utf-8")], mode=0o755)
    path.chmod(0o755)
    yield Made(path, "created" if found is None else "updated")


def _is_ours(text: str, name: str) -> bool:
    ours = re.escape(_text(name, "@")).replace("@", "[^\n]*", 1)
    return re.fullmatch(ours, text) is not None


def _text(name: str, python: str) -> str:
    return (_SERVICE if name == "sprite-service" else _SCRIPT).format(python=python, name=name)
