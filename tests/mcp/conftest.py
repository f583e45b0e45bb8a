"""One served workspace for all tests of a process, and the official client connected to it in every way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.door import copy_of
from tests.mcp.world import NAME, WAYS, Peer, World, peer, world_of


@pytest.fixture(scope="session")
def world(fresh_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A served workspace with a worker."""
    folder = tmp_path_factory.mktemp("mcp")
    workspace = copy_of(fresh_workspace, folder / "workspace")
    with (workspace / "interlock.toml").open("a") as file:
        file.write("[access]\nrequests_per_minute = 1000000\nburst = 1000000\nbad_tokens_per_minute = 1000000\n")
        file.write(f'[server]\nnames = ["{NAME}"]\n')
    with world_of(workspace, folder) as made:
        yield made


@pytest.fixture(scope="session")
def operator(world: World) -> str:
    """The token of an agent that may run things."""
    return world.token("agent-operator")


@pytest.fixture(scope="session", params=WAYS)
def connect(request: pytest.FixtureRequest, world: World, operator: str) -> Iterator[Peer]:
    """The official client, connected to the workspace in each way and era."""
    made = peer(world, request.param, operator)
    yield made
    made.close()
