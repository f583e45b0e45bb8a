"""There is no road from a draft to a run: every element, every key and every address of the draft screens is tried."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from playwright.sync_api import Request

from tests.console.conftest import Sit
from tests.console.people import Person
from tests.console.test_together import draft
from tests.http.processes import HUMAN, Process

pytestmark = pytest.mark.timeout(300)
_TOUCHABLE = "main :is(a, button, summary, input, select, textarea, [tabindex='0'])"
_KEYS = (*string.ascii_letters, *string.digits, "Enter", "Space", "Control+Enter", "Shift+Enter", "Alt+r", "Control+r")


@pytest.mark.proves("console-no-road")
def test_no_element_of_the_draft_screens_starts_a_run(server: Process, repository: Path, sit: Sit) -> None:
    draft_id = draft(server, repository=str(repository))
    alice = sit(HUMAN)
    asked: list[Request] = []
    alice.context.on("request", lambda request: asked.append(request))  # noqa: PLW0108 - a built-in is refused
    for path in ("/factory", "/review", f"/review/{draft_id}", "/review?status=rejected"):
        number = 0
        while _touch(alice, path, number):
            number += 1
        assert number > 2, path
    assert _changes(asked)  # the walk did something: drafts were written and decided
    assert not [each for each in _changes(asked) if not each.startswith(("/ops/drafts", "/ops/generate"))]
    with server.client() as client:
        assert client.get("/ops/runs").json() == []


@pytest.mark.proves("console-no-road")
def test_no_key_and_no_address_of_the_draft_screens_starts_a_run(server: Process, repository: Path, sit: Sit) -> None:
    drafts = [draft(server, repository=str(repository)) for _ in range(2)]
    alice = sit(HUMAN)
    asked: list[Request] = []
    alice.context.on("request", lambda request: asked.append(request))  # noqa: PLW0108 - a built-in is refused
    for path in ("/factory", "/review", f"/review/{drafts[0]}"):
        alice.goto(path)
        alice.settle()
        for key in _KEYS:
            alice.page.keyboard.press(key)
            if alice.page.locator("main form.confirm").count():
                alice.page.keyboard.press("Enter")
            alice.page.keyboard.press("Escape")
        alice.settle()
    for path in (
        *(f"/{screen}/{drafts[1]}" for screen in ("approved", "runs", "queue", "factory")),
        *(f"/review/{drafts[1]}{tail}" for tail in ("?run=1", "?status=approved&verb=run", "/run", "#run")),
    ):
        alice.goto(path)
        alice.page.wait_for_timeout(100)
        assert alice.page.get_by_role("button", name="Run", exact=True).count() == 0, path
    assert not [each for each in _changes(asked) if not each.startswith(("/ops/drafts", "/ops/generate"))]
    with server.client() as client:
        assert client.get("/ops/runs").json() == []


def _touch(somebody: Person, path: str, number: int) -> bool:
    """Click the element of this number on a page that was opened anew, and what it asks then; False behind the last."""
    somebody.goto(path)
    somebody.settle()
    found = somebody.page.locator(_TOUCHABLE)
    if number >= found.count():
        return False
    element = found.nth(number)
    if element.is_visible() and element.is_enabled():
        element.click(force=True)
        submit = somebody.page.locator("main form button[type=submit]:visible")
        if submit.count():
            submit.first.click(force=True)
        somebody.settle()
    return True


def _changes(asked: list[Request]) -> list[str]:
    """Return the paths of what was more than a look."""
    paths = [(each.method, "/" + each.url.split("/", 3)[3]) for each in asked]
    return [path for method, path in paths if method not in {"GET", "HEAD"}]
