"""The places of seed 1 in a workspace: its entry point, an empty Markdown queue, and the database's second name."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from interlock.evidence import publish
from interlock.queue import markdown
from interlock.workspace.errors import WorkspaceInvalid
from interlock.workspace.layout import Layout
from interlock.workspace.service import Made

_ENTRY_POINT = '''\
#!/usr/bin/env python3
"""The queue's commands; hands over to Interlock. Made by `interlock init`, which also brings it up to date."""
import os
import sys

PYTHON = {python!r}
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
try:
    os.execv(PYTHON, [PYTHON, "-I", "-m", "interlock.cli.ops", ROOT] + sys.argv[1:])
except OSError as error:
    sys.exit("error: Interlock is not at %s any more (%s); run `interlock init %s`" % (PYTHON, error.strerror, ROOT))
'''
_OURS = re.compile(re.escape(_ENTRY_POINT.format(python="")).replace("''", r"(?:'[^\n]*'|\"[^\n]*\")", 1))

_MOVED = """\
This database was moved to PostgreSQL; interlock.toml says where. Without --db, ops.py and interlock work on it there.
"""

_QUEUE = """\
# Queue

Work that people and agents keep by hand: one row each. `ops.py` and `interlock queue --queue` change it safely beside
an editor; a `|` in a cell is written as `/`.

## Queue

| {names} |
|{separator}|
"""


def make_entry_point(layout: Layout) -> Made:
    """Write the entry point; one of ours that names another Interlock is brought up to date, a foreign one is kept."""
    path, text = layout.entry_point, _ENTRY_POINT.format(python=sys.executable)
    found = path.read_text(encoding="utf-8", errors="replace") if path.exists() else None
    if found is not None and (found == text or not _OURS.fullmatch(found)):
        return Made(path, "kept")
    publish.replace(path, [text.encode("utf-8")], mode=0o755)
    path.chmod(0o755)
    return Made(path, "created" if found is None else "updated")


def make_queue(layout: Layout) -> Made:
    """Write an empty Markdown queue."""
    path = layout.markdown_queue
    if path.exists():
        return Made(path, "kept")
    names = " | ".join(markdown.COLUMNS)
    publish.replace(path, [_QUEUE.format(names=names, separator="---|" * 8 + "---").encode("utf-8")])
    return Made(path, "created")


def take_over_database(layout: Layout, adopt: Callable[[Path], None]) -> Iterator[Made]:
    """Make the queue's database of earlier tools the workspace's, where it has none yet and never had one.

    It is upgraded where it lies; then it moves into the state folder, which agents do not see.
    """
    link, ledger = layout.database_link, layout.evidence / "ledger.jsonl"
    if layout.database.exists() or (ledger.exists() and ledger.stat().st_size):
        return
    if not link.is_file() or link.is_symlink() or not link.stat().st_size:
        return
    try:
        adopt(link)
        for end in ("-wal", "-shm"):
            if (beside := link.with_name(link.name + end)).exists() and beside.stat().st_size:
                raise WorkspaceInvalid(f"{link} is in use", hint="stop what uses it, and do this again")
        link.rename(layout.database)
    except OSError as error:
        raise WorkspaceInvalid(f"{link} can not be taken over: {error.strerror}") from None
    layout.database.chmod(stat.S_IRUSR | stat.S_IWUSR)
    yield Made(layout.database, "adopted")


def link_database(layout: Layout) -> Iterator[Made]:
    """Give the workspace's database its second name; another file that has it is kept, unless nothing is in it.

    Earlier tools leave an empty file behind where they find no database.
    """
    link = layout.database_link
    if link.is_file() and not link.is_symlink() and not link.stat().st_size:
        link.unlink()
    if os.path.lexists(link):
        yield Made(link, "kept")
        return
    link.symlink_to(os.path.relpath(layout.database, link.parent))
    yield Made(link, "created")


def unlink_database(layout: Layout) -> None:
    """Take the second name away from a database that was moved to a server, and say so beside both names.

    A link that leads nowhere would let earlier tools make an empty file where the database was.
    """
    link = layout.database_link
    if link.is_symlink() and Path(os.path.realpath(link)) == Path(os.path.realpath(layout.database)):
        publish.replace(link.with_name(f"{link.name}.moved"), [_MOVED.encode("utf-8")])
        link.unlink()
    publish.replace(layout.database.with_name(f"{layout.database.name}.moved"), [_MOVED.encode("utf-8")], mode=0o600)
