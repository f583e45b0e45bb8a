"""Who this node is: `.interlock/node.json`, made at the first start of a worker or server, never moved by hand.

The file names the machine on which it was made. Found on another machine it is a copy: two nodes of one id would look
like one, so it is refused. Moving a workspace to another machine is to delete the file.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, cast

from interlock.evidence import publish
from interlock.fleet.errors import NodeIdentityBroken, NodeIdentityForeign
from interlock.kernel.ids import has_prefix

FILE_NAME: Final = "node.json"
_MACHINE_FILES: Final = ("/etc/machine-id", "/var/lib/dbus/machine-id")


def machine_id() -> str:
    """Name this machine; empty where it has no name of its own. Hashed: the name itself is nobody's business."""
    for path in _MACHINE_FILES:
        with suppress(OSError):
            named = Path(path).read_text(encoding="ascii", errors="replace").strip()
            if named:
                return sha256(f"interlock node {named}".encode()).hexdigest()[:32]
    return ""


def node_id(folder: Path, new_ulid: Callable[[], str], *, machine: str | None = None) -> str:
    """Return this node's id; made where there is none. `folder` is the state folder.

    Raises `NodeIdentityForeign` for a file of another machine, `NodeIdentityBroken` for one that can not be used.
    """
    path, here = folder / FILE_NAME, machine_id() if machine is None else machine
    for _ in range(2):
        found = _read(path)
        if found is not None:
            return _checked(found, path, here)
        with suppress(FileExistsError):  # another process of this node was faster
            _make(path, f"n_{new_ulid()}", here)
    raise NodeIdentityBroken(f"{path} can not be made")


def read_id(folder: Path) -> str | None:
    """Return this node's id; None where it has none yet. Raises as `node_id` does, and makes nothing."""
    found = _read(folder / FILE_NAME)
    return None if found is None else _checked(found, folder / FILE_NAME, machine_id())


def _make(path: Path, made: str, machine: str) -> None:
    told = {"host": socket.gethostname(), "id": made, "machine": machine}
    data = json.dumps(told, indent=2, sort_keys=True) + "\n"
    try:
        publish.create(path, data.encode(), mode=0o600)
    except FileExistsError:
        raise
    except OSError as error:
        raise NodeIdentityBroken(f"{path} can not be written: {error.strerror}") from None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            found: object = json.loads(file.read(64 * 1024))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise _broken(path, str(error)) from None
    if not isinstance(found, dict):
        raise _broken(path, "it is no JSON object")
    return cast("dict[str, Any]", found)


def _checked(found: dict[str, Any], path: Path, here: str) -> str:
    made, machine = found.get("id"), found.get("machine")
    if not isinstance(made, str) or not has_prefix(made, "n") or not isinstance(machine, str):
        raise _broken(path, "it names no node")
    if machine and here and machine != here:
        host = str(found.get("host", "?"))[:100]
        raise NodeIdentityForeign(
            f"{path} is of another machine ({host!a}): this workspace was copied, and two nodes can not be one",
            hint="if this is a copy or a move, delete that file and start again: this machine then joins as a new node",
        )
    return made


def _broken(path: Path, why: str) -> NodeIdentityBroken:
    return NodeIdentityBroken(
        f"{path} can not be used: {why}", hint="delete it, and this machine joins as a new node at the next start"
    )
