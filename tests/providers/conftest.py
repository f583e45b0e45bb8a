"""Rooms with a provider: a workspace of each test's own, and a server that speaks the protocol."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interlock.app import Interlock
from interlock.kernel.ids import UlidSource
from interlock.providers.models import ProviderType
from interlock.providers.options import ProviderOptions
from interlock.settings import Settings
from interlock.storage.evidence import StoredLog
from interlock.storage.sqlite.database import SqliteDatabase
from interlock.workspace.layout import Layout
from interlock.workspace.service import make_folders, make_keys
from tests.conftest import ORIGIN
from tests.providers.model_server import ModelServer, model_server, write

OTHERS_KEYS = (
    "OPENAI_API_KEY",
    "OPENAI_ADMIN_KEY",
    "OPENAI_ORG_ID",
    "OPENAI_PROJECT_ID",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "GOOGLE_API_KEY",
    "GEMINI_API_KEY",
)
KINDS = tuple(ProviderType)
Configured = Callable[..., Interlock]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.value)
def kind(request: pytest.FixtureRequest) -> ProviderType:
    """Each protocol in turn."""
    return request.param


@pytest.fixture
def server() -> Iterator[ModelServer]:
    """A provider on this machine."""
    with model_server() as running:
        yield running


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[Interlock]:
    """The rooms over SQLite; providers have ten seconds."""
    layout = Layout(tmp_path)
    list(make_folders(layout))
    database = SqliteDatabase(layout.database, wake_folder=layout.wake)
    database.create(ORIGIN)
    make_keys(layout, ORIGIN, "alice")
    yield Interlock(layout, Settings(providers=ProviderOptions(timeout_seconds=10)), database, UlidSource())
    database.close()


@pytest.fixture
def configured(rooms: Interlock) -> Configured:
    """Writes provider.json as its owner would, and returns the rooms."""

    def configure(**providers: Mapping[str, Any]) -> Interlock:
        write(rooms.layout, {"active": next(iter(providers)), "providers": providers})
        return rooms

    return configure


def with_options(rooms: Interlock, **options: Any) -> Interlock:  # noqa: ANN401 - any option
    """Return the same rooms with other settings."""
    settings = Settings(providers=replace(rooms.settings.providers, **options))
    return Interlock(rooms.layout, settings, rooms.database, UlidSource())


def events(rooms: Interlock, kind: str = "") -> list[Mapping[str, Any]]:
    """Return the log, or what is of one kind."""
    found = [event for _, event in StoredLog(rooms.database).events(0, 1000)]
    return [event for event in found if event["kind"].startswith(kind)]


def inside(folder: Path) -> dict[Path, bytes]:
    """Return what every file below a folder holds."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def processes() -> bytes:
    """Return what `ps` shows of every process: its command line."""
    found: list[bytes] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found.append((entry / "cmdline").read_bytes())
            except OSError:
                continue
    assert any(str(os.getpid()) == entry.name for entry in Path("/proc").iterdir())
    return b"\n".join(found)


from tests.cli.conftest import ask  # noqa: E402 - behind what it needs set

__all__ = ["ask"]
