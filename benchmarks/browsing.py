"""The console in Chromium: how soon it can be used, how soon it shows what happens, and what it holds on to."""

from __future__ import annotations

import json
import secrets
import threading
import time
import urllib.request
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

from playwright.sync_api import Browser, Page
from tests.console.people import DESK, browsing

from benchmarks.filling import fill_sqlite
from benchmarks.grounds import Grounds, workspace
from benchmarks.measuring import percentile
from benchmarks.serving import ours_served
from benchmarks.table import Aim, Row
from interlock.kernel.clock import system_clock

_ITEMS, _ITEMS_QUICK = 100_000, 5_000
_TRIES, _TRIES_QUICK = 9, 3
_EVENTS, _EVENTS_QUICK = 40, 10
_HOUR, _HOUR_QUICK = 3_600, 300
"""Events of an hour at one a second; they are told as fast as the server takes them."""
_READY = """async words => {
    const there = () => document.querySelectorAll(words).length > 0;
    const late = performance.now() + 30000;
    while (!there()) {
        if (performance.now() > late) throw new Error(`there is no ${words}`);
        await new Promise(requestAnimationFrame);
    }
    await new Promise(requestAnimationFrame);
    return performance.now();
}"""
_SINCE = """async ([words, text, began]) => {
    const there = () => [...document.querySelectorAll(words)].some(each => each.textContent.includes(text));
    const late = performance.now() + 30000;
    while (!there()) {
        if (performance.now() > late) throw new Error(`there is no ${words}`);
        await new Promise(requestAnimationFrame);
    }
    await new Promise(requestAnimationFrame);
    return performance.timeOrigin + performance.now() - began;
}"""
_SEEN = """text => new Promise(done => {
    const look = () => document.body.innerText.includes(text) && (watch.disconnect(), done(Date.now()));
    const watch = new MutationObserver(look);
    watch.observe(document.body, { childList: true, subtree: true, characterData: true });
    look();
})"""
_SCRIPTS = """() => performance.getEntriesByType("resource")
    .filter(each => each.name.endsWith(".js")).reduce((sum, each) => sum + each.encodedBodySize, 0)"""
_CLICK = """link => {
    const at = performance.timeOrigin + performance.now();
    document.querySelector(link).click();
    return at;
}"""
_FIRST = "main h1"
# What is done stands first in the queue's order here, so what waits is seen only where it is filtered for.
_STATUS = ".queue-body [data-column='status']"


def measure(grounds: Grounds) -> Iterator[Row]:
    """Measure the first screen, a long queue, live events and memory."""
    root = grounds.new_folder("browsing")
    with closing(workspace(root)):
        pass
    fill_sqlite(root, _ITEMS_QUICK if grounds.quick else _ITEMS)
    token = secrets.token_urlsafe(24)
    with ours_served(root, token) as port, browsing() as browser:
        site = _Site(browser, f"http://127.0.0.1:{port}", token)
        yield from _first_screen(site, _TRIES_QUICK if grounds.quick else _TRIES)
        yield from _queue(site, _TRIES_QUICK if grounds.quick else _TRIES)
        yield _latency(site, _EVENTS_QUICK if grounds.quick else _EVENTS)
        yield _memory(site, _HOUR_QUICK if grounds.quick else _HOUR)


@dataclass(frozen=True, slots=True)
class _Site:
    browser: Browser
    address: str
    token: str

    @contextmanager
    def visitor(self) -> Generator[Page]:
        """Give a page of somebody who is logged in and whose cache is empty."""
        context = self.browser.new_context(**DESK)
        answer = context.request.post(
            f"{self.address}/ops/session", headers={"Authorization": f"Bearer {self.token}", "Origin": self.address}
        )
        if not answer.ok:
            raise RuntimeError(answer.text())
        yield context.new_page()
        context.close()

    def tell(self, prompt: str) -> None:
        """Make a draft."""
        body = json.dumps({"prompt": prompt}).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        with urllib.request.urlopen(  # noqa: S310 - our own server on this machine
            urllib.request.Request(f"{self.address}/ops/drafts", body, headers)  # noqa: S310 - the same
        ) as answer:
            answer.read()


def _first_screen(site: _Site, tries: int) -> Iterator[Row]:
    times: list[float] = []
    size = 0
    for _ in range(tries):
        with site.visitor() as page:
            page.goto(site.address, wait_until="commit")
            times.append(page.evaluate(_READY, _FIRST))
            size = page.evaluate(_SCRIPTS)
    yield Row(
        name="console: first screen with a cold cache",
        value=median(times),
        unit="ms",
        aim=Aim(of="value", bound=1_000, at_most=True),
    )
    yield Row(
        name="console: JavaScript of the first screen, gzip",
        value=size / 1_000,
        unit="kB",
        aim=Aim(of="value", bound=150, at_most=True),
    )


def _queue(site: _Site, tries: int) -> Iterator[Row]:
    first: list[float] = []
    filtered: list[float] = []
    for _ in range(tries):
        with site.visitor() as page:
            page.goto(site.address)
            page.evaluate(_READY, _FIRST)
            first.append(_clicked(page, "nav a[href='/queue']", _STATUS, "DONE"))
            filtered.append(_clicked(page, "a[href*='status=PENDING']", _STATUS, "PENDING"))
    yield Row(
        name="console: first rows of a long queue",
        value=median(first),
        unit="ms",
        aim=Aim(of="value", bound=1_000, at_most=True),
    )
    yield Row(
        name="console: a long queue filtered",
        value=median(filtered),
        unit="ms",
        aim=Aim(of="value", bound=300, at_most=True),
    )


def _clicked(page: Page, link: str, words: str, text: str) -> float:
    """Click, and return after how many ms an element that is meant shows a text."""
    began = page.evaluate(_CLICK, link)
    return float(page.evaluate(_SINCE, [words, text, began]))


def _latency(site: _Site, events: int) -> Row:
    times: list[float] = []
    with site.visitor() as page:
        page.goto(f"{site.address}/review")
        page.evaluate(_READY, _FIRST)
        for number in range(events):
            prompt = f"event number {number} of so many"
            began: list[int] = []

            def tell(prompt: str = prompt, began: list[int] = began) -> None:
                time.sleep(1)  # a busy fleet tells something every second
                began.append(system_clock())
                site.tell(prompt)

            teller = threading.Thread(target=tell)
            teller.start()
            seen: Any = page.evaluate(_SEEN, prompt)
            teller.join()
            times.append(float(seen) - began[0])
    return Row(
        name="console: request of a change → on another's screen, one a second, p95",
        value=percentile(times, 0.95),
        unit="ms",
        aim=Aim(of="value", bound=300, at_most=True),
    )


def _memory(site: _Site, events: int) -> Row:
    with site.visitor() as page:
        page.goto(f"{site.address}/inbox")
        page.evaluate(_READY, _FIRST)
        for number in range(events // 6):
            site.tell(f"warm up {number}")
        before = _heap(page)
        for number in range(events):
            site.tell(f"an hour's event {number}")
        page.wait_for_timeout(1_000)
        after = _heap(page)
    return Row(
        name=f"console: memory after {events} live events",
        value=after / 2**20,
        unit="MiB",
        ratio=after / before,
        aim=Aim(of="ratio", bound=1.2, at_most=True),
    )


def _heap(page: Page) -> float:
    """Return the bytes that the page's scripts hold on to."""
    session: Any = page.context.new_cdp_session(page)  # what it answers has no types
    session.send("HeapProfiler.enable")
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    found: list[dict[str, Any]] = session.send("Performance.getMetrics")["metrics"]
    session.detach()
    return next(float(each["value"]) for each in found if each["name"] == "JSHeapUsedSize")
