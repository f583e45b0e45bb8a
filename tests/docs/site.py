"""Builds docs/ as a site in build/site, and holds what the builder does not: `.venv/bin/python -m tests.docs.site`.

The builder fails for a link to a page or an anchor that is not there. Here it is every page of docs/ that has to have
its place in the navigation, every link and picture of every built page that has to lead somewhere, and nothing that may
be loaded from another host.
"""

from __future__ import annotations

import json
import posixpath
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import unquote, urlsplit

ROOT: Final = Path(__file__).resolve().parents[2]
SITE: Final = ROOT / "build" / "site"
CONFIG: Final = ROOT / "zensical.toml"
_LOADED: Final = {"script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data", "link": "href"}
"""Which attribute of which element the browser follows by itself."""
_FOREIGN_STYLE: Final = re.compile(r"(?:url\(\s*['\"]?|@import\s+['\"])(?:https?:)?//[^'\")\s]+")
_NEEDS_FOREIGN: Final = {"mermaid", "glightbox", "pyodide", "arithmatex"}
"""Classes for which the theme's script would ask another host."""
_UNRESOLVED: Final = re.compile(r"\[[^\[\]]+\]\[[^\[\]]*\]")
_VERBATIM: Final = {"code", "pre", "script", "style"}


@dataclass
class Page:
    """What one built page holds that others may ask for, and what it asks for itself."""

    anchors: set[str] = field(default_factory=set[str])
    links: list[str] = field(default_factory=list[str])
    loads: list[str] = field(default_factory=list[str])
    classes: set[str] = field(default_factory=set[str])
    text: list[str] = field(default_factory=list[str])
    """What is read as prose."""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page()
        self._verbatim = 0

    def handle_data(self, data: str) -> None:
        if not self._verbatim:
            self.page.text.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._verbatim -= tag in _VERBATIM

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self._verbatim += tag in _VERBATIM
        self.page.anchors.update(found[name] for name in ("id", "name") if found.get(name))
        self.page.classes.update(found.get("class", "").split())
        if tag == "a" and "href" in found:
            self.page.links.append(found["href"])
        if tag in _LOADED and found.get(_LOADED[tag]) and found.get("rel") != "canonical":
            self.page.loads.append(found[_LOADED[tag]])


def build(config: Path = CONFIG) -> str:
    """Build the site; raises `CalledProcessError`, its words on stderr, where the builder finds fault with a page."""
    zensical = Path(sys.executable).with_name("zensical")
    command = [str(zensical), "build", "--strict", "--clean", "--config-file", str(config)]
    done = subprocess.run(command, cwd=config.parent, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.stderr.write(re.sub(r"\x1b\[[\d;]*m", "", done.stderr).partition("Traceback (most recent call last)")[0])
        done.check_returncode()
    return done.stdout


def planned(config: Path = CONFIG) -> list[str]:
    """Return the pages that the navigation names, in its order."""
    return list(_leaves(tomllib.loads(config.read_text(encoding="utf-8"))["project"]["nav"]))


def _leaves(nav: Any) -> Iterator[str]:  # noqa: ANN401 - TOML's own tree
    if isinstance(nav, str):
        yield nav
    else:
        inner: Iterable[Any] = cast("Mapping[str, Any]", nav).values() if isinstance(nav, Mapping) else nav
        for each in inner:
            yield from _leaves(each)


def unplaced(config: Path = CONFIG) -> Iterator[str]:
    """Say which pages have no place in the navigation, and which places have no page."""
    docs, named = config.parent / "docs", Counter(planned(config))
    there = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")}
    yield from (f"{page} has no place in the navigation: give it a row in {config.name}" for page in there - set(named))
    yield from (f"{config.name} names {page}, which is not there" for page in set(named) - there)
    yield from (f"{config.name} names {page} {times} times" for page, times in named.items() if times > 1)


def broken(site: Path = SITE) -> Iterator[str]:
    """Say which links of the built pages lead nowhere, and what a page would load from another host."""
    pages = {path.relative_to(site).as_posix(): read(path) for path in sorted(site.rglob("*.html"))}
    for name, page in pages.items():
        for link in [*page.links, *page.loads]:
            yield from (f"{name}: {link}: {fault}" for fault in _fault(site, pages, name, link))
        yield from (f"{name}: {each} would be loaded from another host" for each in page.loads if _is_foreign(each))
        yield from (f"{name}: {each} names no link" for each in _UNRESOLVED.findall("".join(page.text)))
        yield from (f"{name}: {each} needs a script of another host" for each in sorted(page.classes & _NEEDS_FOREIGN))
    for path in site.rglob("*.css"):
        found = _FOREIGN_STYLE.findall(path.read_text(encoding="utf-8"))
        yield from (f"{path.relative_to(site)}: {each} would be loaded from another host" for each in found)


def read(path: Path) -> Page:
    """Read a built page."""
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader.page


def _is_foreign(link: str) -> bool:
    return bool(urlsplit(link).netloc)


def _fault(site: Path, pages: Mapping[str, Page], name: str, link: str) -> Iterator[str]:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return
    there = posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(parts.path))) if parts.path else name
    target = there.removeprefix("/") if name == "404.html" else there  # that page stands at any address
    if target == "." or target.startswith(("/", "..")):
        target = "index.html" if target == "." else target
    if not (site / target).is_file():
        yield "is not there"
    elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
        yield "has no such anchor"


def unsearchable(site: Path = SITE, config: Path = CONFIG) -> Iterator[str]:
    """Say which pages search knows nothing of."""
    index = json.loads((site / "search.json").read_text(encoding="utf-8"))
    known = {each["location"].partition("#")[0] for each in index["items"]}
    for page in planned(config):
        built = page.removesuffix(".md") + ".html"
        if built not in known and not (built == "index.html" and "" in known):
            yield f"search knows nothing of {page}"


def main() -> int:
    """Build, and say everything that is wrong; returns the exit code."""
    wrong = sorted(unplaced())
    try:
        build()
    except subprocess.CalledProcessError:
        sys.stderr.write("\n".join([*wrong, ""]))
        return 1
    wrong += [*broken(), *unsearchable()]
    sys.stderr.write("".join(f"{each}\n" for each in wrong))
    if not wrong:
        sys.stdout.write(f"{len(planned())} pages in {SITE.relative_to(ROOT)}; open index.html, or `make docs-serve`\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
