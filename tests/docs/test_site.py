"""The pages as a site: it builds, all on it leads somewhere, it loads nothing from elsewhere, and it is searched."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.console.people import browsing
from tests.docs import site

pytestmark = pytest.mark.timeout(120)
SOUND = """
[project]
site_name = "Two pages"
site_dir = "build/site"
use_directory_urls = false
nav = ["index.md", "other.md"]
theme.font = false
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of a copy of the pages that has been built."""
    copy = tmp_path_factory.mktemp("pages")
    shutil.copytree(site.ROOT / "docs", copy / "docs")
    (copy / "benchmarks").mkdir()
    for name in ("zensical.toml", "CONTRIBUTING.md", "benchmarks/README.md"):
        shutil.copy(site.ROOT / name, copy / name)
    site.build(copy / "zensical.toml")
    return copy / "zensical.toml"


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """The configuration of two pages without fault."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# One\n\n[the other](other.md#end)\n", encoding="utf-8")
    (tmp_path / "docs/other.md").write_text("# Other\n\n## End\n", encoding="utf-8")
    config = tmp_path / "zensical.toml"
    config.write_text(SOUND, encoding="utf-8")
    return config


def say(pages: Path, text: str) -> None:
    with (pages.parent / "docs/index.md").open("a", encoding="utf-8") as page:
        page.write(f"\n{text}\n")


def faults(config: Path) -> list[str]:
    place = config.parent / "build/site"
    return [*site.unplaced(config), *site.broken(place), *site.unsearchable(place, config)]


def test_every_page_has_its_place_every_link_leads_somewhere_and_nothing_comes_from_elsewhere(built: Path) -> None:
    assert faults(built) == []
    assert len(site.planned(built)) > 60


def test_two_pages_without_fault_have_none(pages: Path) -> None:
    site.build(pages)
    assert faults(pages) == []


@pytest.mark.parametrize("text", ["[gone](gone.md)", "[gone](other.md#gone)"], ids=["page", "anchor"])
def test_a_link_to_what_is_not_there_fails_the_build(pages: Path, text: str) -> None:
    say(pages, text)
    with pytest.raises(subprocess.CalledProcessError):
        site.build(pages)


def test_what_the_builder_does_not_mind_is_found(pages: Path) -> None:
    say(pages, "[a folder](folder/) and [nothing][named]\n")
    say(pages, '<img src="https://example.org/a.png" alt="elsewhere">\n\n<pre class="mermaid">graph</pre>')
    (pages.parent / "docs/orphan.md").write_text("# Orphan\n", encoding="utf-8")
    (pages.parent / "docs/own.css").write_text("@import 'https://example.org/a.css';", encoding="utf-8")
    pages.write_text(SOUND.replace('"other.md"', '"other.md", "gone.md", "index.md"'), encoding="utf-8")
    site.build(pages)
    found = "\n".join(faults(pages))
    for each in (
        "orphan.md has no place",
        "names gone.md, which is not there",
        "names index.md 2 times",
        "index.html: folder/: is not there",
        "index.html: [nothing][named] names no link",
        "index.html: https://example.org/a.png would be loaded",
        "index.html: mermaid needs a script",
        "own.css: @import 'https://example.org/a.css",
        "search knows nothing of gone.md",
    ):
        assert each in found, found


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Say nothing."""


@contextmanager
def shown(place: Path) -> Generator[str]:
    """Serve a folder; yields its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(place))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_reader_finds_a_word_and_no_other_host_hears_of_it(built: Path) -> None:
    with shown(built.parent / "build/site") as address, browsing() as browser:
        page = browser.new_page()
        asked: set[str] = set()
        page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
        page.goto(f"{address}/architecture.html")
        assert page.get_by_role("img", name="The house").evaluate("picture => picture.naturalWidth") > 0
        page.get_by_role("button", name="Search").first.click()
        page.keyboard.type("worktree_gone")
        result = page.get_by_role("option", name="Runs: what is really true").first
        expect(result).to_be_visible(timeout=30_000)
        result.click()
        expect(page.get_by_role("heading", name="Reasons")).to_be_visible(timeout=30_000)
        assert asked == {urlsplit(address).netloc}
