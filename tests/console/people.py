"""Who sits before the console, and what their browser complains of."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

from interlock.web.pages import ASSETS
from tests.cli.door import CHECKOUT
from tests.conftest import until

DESK: Final[Mapping[str, Any]] = {"viewport": {"width": 1280, "height": 860}}
PHONE: Final[Mapping[str, Any]] = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}
SHOTS: Final = CHECKOUT / "build/console"
"""Pictures of every screen stay here after the tests, to be looked at."""
_AXE: Final = CHECKOUT / "ui/node_modules/axe-core/axe.min.js"
_RULES: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
_QUIET: Final = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")


def chromium() -> str:
    """Return where the browser is; raises AssertionError with what to do where there is none."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    assert found, "there is no Chromium: `apt-get install chromium`, or name one in CHROMIUM"
    assert (ASSETS / "index.html").is_file(), "the console is not built: `make ui`"
    return found


@contextmanager
def browsing() -> Generator[Browser]:
    """Start a browser that asks nobody outside."""
    sandbox = [] if os.geteuid() else ["--no-sandbox"]  # Chromium makes none for root
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=[*_QUIET, *sandbox])
        yield browser
        browser.close()


@dataclass(frozen=True)
class Person:
    """Somebody with a browser of their own."""

    context: BrowserContext
    page: Page
    address: str
    asking: list[Request] = field(default_factory=list["Request"])
    """What the page has asked for and has no answer to."""
    complaints: list[str] = field(default_factory=list[str])
    """What the page's console reported, what the policy refused, and errors that nobody caught."""

    def goto(self, path: str) -> None:
        self.page.goto(self.address + path)

    def settle(self) -> None:
        """Wait until the screen is there and nothing is asked for any more; the stream of events goes on."""
        expect(self.page.get_by_role("main").get_by_role("heading").first).to_be_visible()
        for _ in range(2):  # an answer may lead to one more question
            self.page.wait_for_timeout(60)
            until(self._is_quiet, 20)

    def _is_quiet(self) -> bool:
        self.page.wait_for_timeout(20)
        return not self.asking

    def log_in(self, token: str, path: str = "/") -> None:
        """Trade a token for a session; leads to the page that was asked for."""
        self.goto(path)
        self.page.get_by_label("Token", exact=True).fill(token)
        self.page.get_by_role("button", name="Log in").click()
        expect(self.page.get_by_label("Token", exact=True)).to_have_count(0)

    def axe(self) -> list[str]:
        """Return what axe finds wrong by WCAG 2.2 AA, a sentence each."""
        self.page.evaluate(_AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate("rules => globalThis.axe.run({ runOnly: rules })", _RULES)
        return [
            f"{each['id']}: {node['target']} {node['html'][:200]}"
            for each in found["violations"]
            for node in each["nodes"]
        ]

    def picture(self, name: str) -> Path:
        SHOTS.mkdir(parents=True, exist_ok=True)
        path = SHOTS / f"{name}.png"
        self.page.screenshot(path=path, animations="disabled")
        return path


@contextmanager
def person(browser: Browser, address: str, **how: Any) -> Generator[Person]:  # noqa: ANN401 - Playwright's options
    """Let somebody sit down; when they leave, their browser must not have complained."""
    context = browser.new_context(**{**DESK, **how})
    context.set_default_timeout(15_000)
    made = Person(context, context.new_page(), address)

    def heard(message: ConsoleMessage) -> None:
        if message.type == "error" and not _is_refusal(message):
            made.complaints.append(message.text)

    def asked(request: Request) -> None:
        if request.resource_type != "eventsource":
            made.asking.append(request)

    def answered(request: Request) -> None:
        if request in made.asking:
            made.asking.remove(request)

    context.on("request", asked)
    context.on("requestfinished", answered)
    context.on("requestfailed", answered)
    context.on("console", heard)
    context.on("weberror", lambda error: made.complaints.append(str(error.error)))
    yield made
    context.close()
    assert made.complaints == []


def _is_refusal(message: ConsoleMessage) -> bool:
    """Say whether it is Chromium's own line about an answer that the page itself tells of, or a lost connection."""
    return message.text.startswith("Failed to load resource:")
