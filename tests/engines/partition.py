"""A worker's way to PostgreSQL that can be cut as a cable is: what is under way stands, and nobody is told.

As root the worker gets a network namespace, whose only way out is a pair of devices; one of them is set down. Without
root, or without `ip`, its connections go over a wire that can stand still.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from chaos.wire import Wire, connect_to_postgres

WAYS = ("namespace", "wire") if os.geteuid() == 0 and shutil.which("ip") else ("wire",)
"""The ways that this machine can make; each test that goes them has them in its name."""


@dataclass(frozen=True)
class Way:
    """How a worker comes to the database."""

    before: tuple[str, ...]
    """What its command begins with."""
    database_url: str
    cut: Callable[[], None]
    heal: Callable[[], None]


def make_way(kind: str, folder: Path, database_url: str) -> contextlib.AbstractContextManager[Way]:
    """Give a way to the database at a folder's socket."""
    parts = urlsplit(database_url)
    name, there = parts.path.removeprefix("/"), Path(parse_qs(parts.query)["host"][0])
    return _by_namespace(name, there) if kind == "namespace" else _by_wire(name, there, folder)


@contextmanager
def _by_wire(name: str, there: Path, folder: Path) -> Generator[Way]:
    wire = Wire.to_postgres(folder / "wire", there)
    try:
        yield Way((), f"postgresql://postgres@/{name}?host={folder / 'wire'}", wire.stall, wire.heal)
    finally:
        wire.close()


@contextmanager
def _by_namespace(name: str, there: Path) -> Generator[Way]:
    tag = f"il{os.getpid() % 100_000}"
    ours, theirs = f"{tag}a", f"{tag}b"
    net = IPv4Address("198.18.0.0") + 4 * (os.getpid() % 32_768)  # of those that are for trying networks out
    here, worker = net + 1, net + 2
    _ip("netns", "add", tag)
    try:
        _ip("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", tag)
        _ip("addr", "add", f"{here}/30", "dev", ours)
        _ip("link", "set", ours, "up")
        for words in (("addr", "add", f"{worker}/30", "dev", theirs), ("link", "set", theirs, "up")):
            _ip("-n", tag, *words)
        _ip("-n", tag, "link", "set", "lo", "up")
        with contextlib.closing(_relay(str(here), there)) as relay:
            yield Way(
                ("ip", "netns", "exec", tag),
                f"postgresql://postgres@{here}:{relay.port}/{name}",
                lambda: _ip("link", "set", ours, "down"),
                lambda: _ip("link", "set", ours, "up"),
            )
    finally:
        subprocess.run(["ip", "link", "del", ours], check=False, capture_output=True, timeout=20)
        _ip("netns", "del", tag)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)


def _relay(host: str, there: Path) -> Wire:
    """Pass what comes to an address on to PostgreSQL's socket; this wire is never cut."""
    return Wire(socket.create_server((host, 0)), lambda: connect_to_postgres(there))
