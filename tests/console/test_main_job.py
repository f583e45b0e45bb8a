"""The whole main job in the browser, without a page of documentation: draft, review, approve, run, look, verify."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.console.conftest import Sit
from tests.console.people import PHONE
from tests.console.test_together import approved, draft
from tests.http.processes import HUMAN, Process

pytestmark = pytest.mark.timeout(180)
COMMAND = "sh -c 'echo one line more >> README.md && echo it is done'"
_MOST_STEPS = 200


class Hands(Protocol):
    """How somebody gets along: every step through a keyboard, or through a mouse."""

    def press(self, target: Locator) -> None:
        """Press a button or follow a link."""
        ...

    def write(self, target: Locator, text: str) -> None:
        """Write into a field."""
        ...


class Keyboard:
    """Tab until it is reached, then Enter."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def press(self, target: Locator) -> None:
        self._reach(target)
        self.page.keyboard.press("Enter")

    def write(self, target: Locator, text: str) -> None:
        self._reach(target)
        self.page.keyboard.press("Control+A")
        self.page.keyboard.type(text)

    def _reach(self, target: Locator) -> None:
        expect(target).to_be_visible()
        for _ in range(_MOST_STEPS):
            if target.evaluate("it => it === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"no number of tabs leads to {target}")


class Mouse:
    """Go there and click; text alone is put in as dictation would."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def press(self, target: Locator) -> None:
        expect(target).to_be_visible()
        target.scroll_into_view_if_needed()
        box = target.bounding_box()
        assert box
        self.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    def write(self, target: Locator, text: str) -> None:
        self.press(target)
        self.page.keyboard.insert_text(text)


@pytest.mark.proves("console-main-job")
@pytest.mark.parametrize("hands", [Keyboard, Mouse])
def test_somebody_drafts_approves_runs_and_verifies(
    server: Process, repository: Path, hands: Callable[[Page], Hands], sit: Sit
) -> None:
    alice = sit(HUMAN)
    page, by = alice.page, hands(alice.page)
    _draft(page, by, repository)
    _approve(page, by)
    _run(page, by)
    with server.client() as client:
        (run,) = client.get("/ops/runs").json()
    assert run["status"] == "done"
    _verify(page, by)


def _draft(page: Page, by: Hands, repository: Path) -> None:
    by.press(page.get_by_role("link", name="Prompt Factory"))
    by.write(page.get_by_label("Prompt", exact=True), "Add one line to the README.")
    by.write(page.get_by_label("Repository"), str(repository))
    by.write(page.get_by_label("Agent command"), COMMAND)
    by.press(page.get_by_role("button", name="Create draft"))
    page.wait_for_url(re.compile("/review/d_"))


def _approve(page: Page, by: Hands) -> None:
    expect(page.get_by_role("group", name="Command", exact=True)).to_contain_text("one line more")
    by.press(page.get_by_role("button", name="Approve"))
    form = page.get_by_role("form", name="Approve")
    by.press(form.get_by_role("button", name="Approve"))
    expect(page.get_by_role("article").get_by_text("approved", exact=True).first).to_be_visible()


def _run(page: Page, by: Hands) -> None:
    by.press(page.get_by_role("link", name="Approved", exact=True))
    by.press(page.get_by_role("list", name="Approved").get_by_role("link").first)
    by.press(page.get_by_role("button", name="Run", exact=True))
    by.press(page.get_by_role("form", name="Run").get_by_role("button", name="Run", exact=True))
    page.wait_for_url(re.compile("/runs/r_"))
    run = page.get_by_role("article", name="Run")
    expect(run.get_by_text("done", exact=True).first).to_be_visible(timeout=60_000)
    expect(run.get_by_text("it is done").first).to_be_visible()
    expect(run.get_by_text("one line more").first).to_be_visible()


def _verify(page: Page, by: Hands) -> None:
    by.press(page.get_by_role("link", name="Evidence", exact=True))
    by.press(page.get_by_role("list", name="Entries").get_by_role("link").first)
    here = page.get_by_role("button", name="Verify here")
    sign = page.get_by_role("button", name="Sign head").first
    expect(here.or_(sign)).to_be_visible()
    if sign.is_visible():  # the newest entry: a worker signs from time to time, anybody may ask for it now
        by.press(sign)
        by.press(page.get_by_role("form", name="Sign head").get_by_role("button", name="Sign head"))
    by.press(here)
    expect(page.get_by_text("The entry stands in the log as it is shown here")).to_be_visible()


def test_somebody_approves_from_a_phone(server: Process, repository: Path, sit: Sit) -> None:
    draft_id = draft(server, repository=str(repository))
    alice = sit(HUMAN, **PHONE)
    alice.page.get_by_role("link", name=re.compile("sweep the floor")).first.tap()
    button = alice.page.get_by_role("button", name="Approve")
    button.tap()
    alice.page.get_by_role("form", name="Approve").get_by_role("button", name="Approve").tap()
    expect(alice.page.get_by_role("article").get_by_text("approved", exact=True).first).to_be_visible()
    assert approved(server) == [draft_id]
