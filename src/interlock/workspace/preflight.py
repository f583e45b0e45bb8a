"""The place of seed 4's server in a workspace: `python -m tools.repo_orchestrator.main` starts `interlock serve`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from interlock.evidence import publish
from interlock.workspace.layout import Layout
from interlock.workspace.service import Made

_MAIN = '''\
"""The server; hands over to Interlock. Made by `interlock init`, which also brings it up to date."""
import os
import sys

PYTHON = {python!r}
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
try:
    os.execv(PYTHON, [PYTHON, "-I", "-m", "interlock.cli.main", "--workspace", ROOT, "serve"] + sys.argv[1:])
except OSError as error:
    sys.exit("error: Interlock is not at %s any more (%s); run `interlock init %s`" % (PYTHON, error.strerror, ROOT))
'''
_OURS = re.compile(re.escape(_MAIN.format(python="")).replace("''", r"(?:'[^\n]*'|\"[^\n]*\")", 1))


def make_server_entry(layout: Layout) -> Iterator[Made]:
    """Write the package and its main module; what somebody else has there is kept."""
    package = layout.server_entry.with_name("__init__.py")
    text = _MAIN.format(python=sys.executable)
    layout.server_entry.parent.mkdir(parents=True, exist_ok=True)
    if not package.exists():
        publish.replace(package, [b'"""Hands over to Interlock."""\n'])
    found = layout.server_entry.read_text(encoding="utf-8", errors="replace") if layout.server_entry.exists() else None
    if found is not None and (found == text or not _OURS.fullmatch(found)):
        yield Made(layout.server_entry, "kept")
        return
    publish.replace(layout.server_entry, [text.encode("utf-8")])
    yield Made(layout.server_entry, "created" if found is None else "updated")
