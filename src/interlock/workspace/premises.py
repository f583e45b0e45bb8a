"""What doctor sees of a workspace's own files: its folders, who may read what, their disk, its entry points."""

from __future__ import annotations

import os
import re
import shlex
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from interlock.workspace.doctor import Finding, Probe, failed, ok, warning
from interlock.workspace.layout import Layout

_OVER_NETWORKS = frozenset(
    {"nfs", "nfs3", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "beegfs", "gpfs"}
    | {"fuse.sshfs", "fuse.glusterfs", "fuse.cephfs", "fuse.s3fs", "fuse.rclone", "fuse.davfs", "davfs"}
)
_SHARED_WITH_A_HOST = frozenset({"9p", "virtiofs", "drvfs", "fuse.grpcfuse", "vboxsf", "fuse.vmhgfs-fuse"})
_INTERPRETER = re.compile(r"^PYTHON = '([^'\n]+)'$", re.MULTILINE)


def probes(layout: Layout, *, on_file: bool) -> dict[str, Probe]:
    """Return the probes of a workspace's files by name; `on_file` says whether its database is one of them."""
    found: dict[str, Probe] = {
        "workspace": lambda: _folders(layout),
        "permissions": lambda: _permissions(layout),
        "entry points": lambda: _entry_points(layout),
    }
    if on_file:
        found["file system"] = lambda: _file_system(layout.state)
    return found


def _folders(layout: Layout) -> Finding:
    needed = (layout.state, layout.keys, layout.wake, layout.mirrors, layout.worktrees, layout.runs, layout.evidence)
    missing = [str(each) for each in needed if not each.is_dir()]
    if missing:
        return failed(f"{layout.root} misses {', '.join(missing)}", _init(layout))
    if not os.access(layout.state, os.W_OK | os.X_OK):
        return failed(f"{layout.state} can not be written by this user", "run as the workspace's owner")
    return ok(f"{layout.root} is complete")


def _init(layout: Layout) -> str:
    return f"interlock init {shlex.quote(str(layout.root))}"


def _permissions(layout: Layout) -> Finding:
    wrong = list(_too_open(layout))
    if not wrong:
        return ok("state folder and keys are their owner's alone")
    sentences, todo = zip(*wrong, strict=True)
    return failed("; ".join(sentences[:3]) + (" …" if len(wrong) > 3 else ""), " && ".join(todo))


def _too_open(layout: Layout) -> Iterator[tuple[str, str]]:
    """Yield what others than its owner can read or swap, with what closes it."""
    folders = ((layout.state, "700"), (layout.keys, "700"))
    for path, mode in (*folders, *((key, "600") for key in sorted(layout.keys.glob("*.key")))):
        found, quoted = path.lstat(), shlex.quote(str(path))
        if stat.S_ISLNK(found.st_mode):
            yield f"{path} is a link", f'cp --remove-destination "$(realpath {quoted})" {quoted}'
        elif found.st_uid not in {0, os.geteuid()}:
            yield f"{path} belongs to another user", f"chown {os.geteuid()} {quoted}"
        elif stat.S_IMODE(found.st_mode) & 0o077:
            yield f"{path} is open to others", f"chmod {mode} {quoted}"


def _entry_points(layout: Layout) -> Finding:
    """See that what scripts call leads to an Interlock that is there: environments are moved and made anew."""
    gone: list[str] = []
    for path in (layout.entry_point, layout.server_entry):
        try:
            match = _INTERPRETER.search(path.read_text(encoding="utf-8", errors="replace"))
        except FileNotFoundError:
            return warning(f"{path} is missing", _init(layout))
        if match is not None and not Path(match[1]).exists():
            gone.append(f"{path} calls {match[1]}, which is gone")
    if gone:
        return failed("; ".join(gone), _init(layout))
    return ok(f"what lies at {layout.entry_point.parent} leads to an Interlock that is there")


def _file_system(folder: Path) -> Finding:
    return on(file_system(folder), folder)


def on(kind: str, folder: Path) -> Finding:
    """Say what a kind of file system means for a database in this folder."""
    if kind in _OVER_NETWORKS:
        return failed(
            f"{folder} lies on {kind}, over which SQLite loses what it wrote",
            "move the workspace to a disk of this machine, or its database to PostgreSQL: interlock migrate --to URL",
        )
    if kind in _SHARED_WITH_A_HOST:
        return warning(
            f"{folder} lies on {kind}, a folder of another system, where locks may not hold",
            "move the workspace to a disk of this system, and see that only one of the two works in it",
        )
    return ok(f"{folder} lies on {kind or 'a file system that does not say its kind'}")


def file_system(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """Return the kind of file system on which a folder lies; empty where the system does not tell."""
    if not sys.platform.startswith("linux"):
        return ""
    real, found = os.path.realpath(folder), ("", "")
    for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
        head, _, tail = line.partition(" - ")
        escaped = head.split(" ")[4:5]
        place = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), escaped[0]) if escaped else ""
        inside = real == place or real.startswith(place.rstrip("/") + "/")
        if place and inside and len(place) >= len(found[0]):  # of two at one place the later lies over the other
            found = (place, tail.split(" ", 1)[0])
    return found[1]
