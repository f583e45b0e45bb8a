"""A served workspace with a repository, a browser, and people who use it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.cli.door import make_repository
from tests.console.people import Person, browsing, person
from tests.http.processes import HUMAN, Process, process

Sit = Callable[..., Person]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repository")


@pytest.fixture
def server(workspace: Path) -> Generator[Process]:
    """`interlock serve` with its worker, in a process of its own."""
    with process(workspace) as made:
        yield made


@pytest.fixture
def browser() -> Generator[Browser]:
    with browsing() as made:
        yield made


@pytest.fixture
def sit(browser: Browser, server: Process) -> Generator[Sit]:
    """Let people sit down: `sit(token, path, **context)`; by default the first human, at the first screen."""
    with ExitStack() as stack:

        def seated(token: str = HUMAN, path: str = "/", **how: Any) -> Person:  # noqa: ANN401 - Playwright's options
            made = stack.enter_context(person(browser, server.address, **how))
            made.log_in(token, path)
            return made

        yield seated
