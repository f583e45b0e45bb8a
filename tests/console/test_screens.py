"""Every screen, in both themes and on a phone: for everybody, as text, and to be looked at."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.cli.door import copy_of, make_repository
from tests.console.furnished import furnish
from tests.console.people import DESK, PHONE, Person, person
from tests.http.processes import HUMAN, Process, process

SCREENS = (
    *("inbox", "factory", "review", "approved", "runs", "queue", "loops", "pipelines", "deployments", "evidence"),
    *("alerts", "maintenance", "nodes", "provider", "access", "audit"),
)
WAYS: Mapping[str, Mapping[str, Any]] = {
    "dark": {**DESK, "color_scheme": "dark"},
    "light": {**DESK, "color_scheme": "light", "reduced_motion": "reduce"},
    "phone": {**PHONE, "color_scheme": "light"},
    "phone-dark": {**PHONE, "color_scheme": "dark"},
    "narrow": {"viewport": {"width": 320, "height": 640}, "color_scheme": "dark"},  # 1280 at 400 %, as WCAG 1.4.10 asks
}
_OVERLAPS = """() => {
  const parts = [...document.querySelectorAll(".bar > *")].map((it) => [it.className, it.getBoundingClientRect()]);
  return parts.flatMap(([one, a], place) => parts.slice(place + 1)
    .filter(([, b]) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
    .map(([other]) => `${one} and ${other}`));
}"""
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def furnished(
    fresh_workspace: Path, tmp_path_factory: pytest.TempPathFactory
) -> Generator[tuple[Process, Mapping[str, str]]]:
    """A server with one of everything, and where each is."""
    folder = tmp_path_factory.mktemp("furnished")
    workspace = copy_of(fresh_workspace, folder / "workspace")
    with process(workspace) as server:
        yield server, furnish(server, workspace, make_repository(folder / "repository"))


@pytest.mark.proves("console-everybody")
@pytest.mark.parametrize("way", WAYS)
def test_every_screen_is_for_everybody(
    furnished: tuple[Process, Mapping[str, str]], browser: Browser, way: str
) -> None:
    server, things = furnished
    places = {**{screen: f"/{screen}" for screen in SCREENS}, **things}
    wrong: list[str] = []
    with person(browser, server.address, **WAYS[way]) as alice:
        alice.goto("/")
        expect(alice.page.get_by_label("Token", exact=True)).to_be_visible()
        wrong += _looked_at(alice, way, "login")
        alice.log_in(HUMAN)
        for name, path in places.items():
            alice.goto(path)
            alice.settle()
            wrong += _looked_at(alice, way, name)
    assert wrong == []


def _looked_at(somebody: Person, way: str, name: str) -> list[str]:
    """Keep a picture, and return what is wrong, a sentence each."""
    page = somebody.page
    somebody.picture(f"{name.replace(' ', '-')}-{way}")
    wrong = [f"{name}: {each}" for each in somebody.axe()]
    wide = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
    if wide > 0:
        wrong.append(f"{name}: {wide} px wider than the screen")
    wrong += [f"{name}: {each} lie over each other" for each in page.evaluate(_OVERLAPS)]
    wrong += [f"{name}: {each}" for each in page.get_by_role("alert").all_inner_texts()]
    if page.evaluate("() => globalThis.harmed !== undefined || document.querySelector('[data-harm]') !== null"):
        wrong.append(f"{name}: a text was taken for markup")
    if page.locator("a[href^='javascript:']").count():
        wrong.append(f"{name}: a link that is a program")
    return wrong
