#!/usr/bin/env python3
"""The documentation agent that DOC_AGENT_BIN names by default: `doc_agent.py --pipeline-output FILE`.

FILE is what a pipeline did: a JSON object, or else the text of a diff. The agent lists the workspace's Markdown
documents with title and digest, finds relative links that lead nowhere, and writes `docs/documentation/sync-report.md`,
`.workspace/sop/automation-status.md`, and an index page each in `docs/wiki/` and `docs/runbook/`. The same documents
and the same FILE give the same bytes. It needs nothing but Python 3.9. Change it as you like: it is yours now.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple, cast
from urllib.parse import quote, unquote

ROOT = Path(__file__).resolve().parents[2]
REPORT = "docs/documentation/sync-report.md"
STATUS = ".workspace/sop/automation-status.md"
WIKI = "docs/wiki/index.md"
RUNBOOK = "docs/runbook/index.md"
MADE_HERE = "<!-- made by the documentation agent; a change made here is overwritten -->"
PASSED_OVER = {"node_modules", "target", "build_output", "dist", "__pycache__"}
MOST_BYTES = 16 << 20
FENCE = re.compile(r"^\s{0,3}(`{3,}|~{3,})")
TITLE = re.compile(r"^#\s+(.+?)\s*#*\s*$")
CODE = re.compile(r"(`+)(?:(?!\1).)+?\1")
LINK = re.compile(r"!?\[[^\]\n]*\]\(\s*(<[^>\n]*>|[^\s()]*(?:\([^\s()]*\)[^\s()]*)*)(?:\s+[\"'(][^\n]*?[\"')])?\s*\)")
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//|#|/")


class Wrong(Exception):
    """What keeps the agent from its work, in one sentence."""


class Document(NamedTuple):
    """One Markdown document."""

    path: str
    title: str
    sha256: str
    broken: list[str]
    """Relative links that lead nowhere."""


def main(words: list[str]) -> int:
    """Do it; returns the exit code: 0, or 1 with one sentence on standard error."""
    try:
        told = heading_of(read(named(words)))
        documents = [document for path in markdown_files() if (document := look(path))]
        runbooks = [each for each in documents if "runbook" in f"{each.path} {each.title}".lower()]
        write(WIKI, index("Documents", WIKI, documents), foreign=False)
        write(RUNBOOK, index("Runbooks", RUNBOOK, runbooks), foreign=False)
        write(REPORT, report(told, documents))
        write(STATUS, status(told, documents))
    except Wrong as error:
        return complain(str(error))
    except OSError as error:
        return complain(f"{error.filename}: {error.strerror}")
    return 0


def named(words: list[str]) -> str:
    """Return the file that the command line names."""
    if len(words) != 2 or words[0] != "--pipeline-output":
        raise Wrong("usage: doc_agent.py --pipeline-output FILE")
    return words[1]


def complain(sentence: str) -> int:
    """Say what is wrong."""
    sys.stderr.write(f"error: {sentence}\n")
    return 1


# --- what the pipeline did --------------------------------------------------------------------------------------------


def read(name: str) -> bytes:
    """Return what the pipeline hands over."""
    with Path(name).open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if not data.strip():
        raise Wrong(f"{name} is empty: there is nothing to synchronise")
    if len(data) > MOST_BYTES:
        raise Wrong(f"{name} is larger than {MOST_BYTES} bytes")
    return data


def heading_of(data: bytes) -> list[str]:
    """Return the lines that say what the pipeline handed over."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Wrong("the pipeline's output is not UTF-8 text") from None
    lines = [f"Input: `sha256:{hashlib.sha256(data).hexdigest()}`", ""]
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return lines + changed_files(text)
    if not isinstance(found, dict):
        raise Wrong("the pipeline's output is JSON, but no object")
    payload = cast("dict[str, object]", found)
    plain = [(key, value) for key, value in payload.items() if isinstance(value, (str, int, float))]
    rows = [
        f"| {cell(key)} | {cell(str(value)[:200])} |" for key, value in plain if key not in {"diff", "diff_summary"}
    ]
    diff = payload.get("diff") or payload.get("diff_summary")
    return [
        *lines,
        *(["| Key | Value |", "| --- | --- |", *rows, ""] if rows else []),
        *(changed_files(diff) if isinstance(diff, str) else []),
    ]


def changed_files(diff: str) -> list[str]:
    """Return a table of the files that a diff changes; a sentence where it names none."""
    counts: dict[str, list[int]] = {}
    name, inside = None, False
    for line in diff.splitlines():
        if line.startswith("diff --git "):
            name, inside = line.rpartition(" b/")[2], False
            counts.setdefault(name, [0, 0])
        elif not inside and line.startswith("+++ ") and line != "+++ /dev/null":
            name = line[4:].partition("\t")[0].removeprefix("b/")
            counts.setdefault(name, [0, 0])
        elif line.startswith("@@"):
            inside = True
        elif inside and name is not None and line[:1] in {"+", "-"}:
            counts[name][line[0] == "-"] += 1
    if not counts:
        return ["The text names no changed file.", ""]
    rows = [f"| {cell(path)} | {more} | {less} |" for path, (more, less) in sorted(counts.items())]
    return ["| Changed file | Lines added | Lines removed |", "| --- | --- | --- |", *rows, ""]


# --- the documents ----------------------------------------------------------------------------------------------------


def markdown_files() -> list[str]:
    """Return the workspace's documents, relative to it; hidden folders, build trees and our own pages are left out."""
    found: list[str] = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in PASSED_OVER)
        paths = [(Path(folder) / name).relative_to(ROOT).as_posix() for name in files if name.endswith(".md")]
        found += [path for path in paths if path not in {REPORT, WIKI, RUNBOOK}]
    return sorted(found)


def look(path: str) -> Document | None:
    """Read one document; None where it is a link, or can not be read."""
    place = ROOT / path
    try:
        data = b"" if place.is_symlink() or place.stat().st_size > MOST_BYTES else place.read_bytes()
    except OSError:
        return None
    if not data:
        return None
    prose = without_code(data.decode("utf-8", "replace"))
    titles = (TITLE.match(line) for line in prose)
    title = next((found[1] for found in titles if found), Path(path).stem)
    links = [found[1].strip("<>") for line in prose for found in LINK.finditer(CODE.sub("", line))]
    broken = sorted({link for link in links if leads_nowhere(place.parent, link)})
    return Document(path, title, hashlib.sha256(data).hexdigest(), broken)


def without_code(text: str) -> list[str]:
    """Return the lines that stand in no fenced block."""
    lines: list[str] = []
    fence = ""
    for line in text.splitlines():
        found = FENCE.match(line)
        if not fence and found:
            fence = found[1]
        elif fence:
            closes = found and found[1].startswith(fence) and not line.strip().strip(fence[0])
            fence = "" if closes else fence
        else:
            lines.append(line)
    return lines


def leads_nowhere(folder: Path, link: str) -> bool:
    """Say whether a relative link names nothing in the workspace."""
    if not link or SCHEME.match(link):
        return False
    path = unquote(link.partition("#")[0].partition("?")[0])
    target = Path(os.path.normpath(folder / path))
    return "\0" in path or ROOT not in (target, *target.parents) or not target.exists()


# --- the pages --------------------------------------------------------------------------------------------------------


def report(told: list[str], documents: list[Document]) -> list[str]:
    """Return the report: what was handed over, every document, every broken link."""
    rows = [f"| {cell(each.path)} | {cell(each.title)} | `{each.sha256}` |" for each in documents]
    broken = [f"| {cell(each.path)} | {cell(link)} |" for each in documents for link in each.broken]
    return [
        "# Documentation synchronisation",
        "",
        *told,
        "## Documents",
        "",
        *(["| Path | Title | SHA-256 |", "| --- | --- | --- |", *rows] if rows else ["There are none."]),
        "",
        "## Links that lead nowhere",
        "",
        *(["| In | Link |", "| --- | --- |", *broken] if broken else ["None."]),
    ]


def status(told: list[str], documents: list[Document]) -> list[str]:
    """Return the page for operators: is documentation in order, and on what does that rest."""
    broken = sum(len(each.broken) for each in documents)
    everything = "\n".join(f"{each.sha256}  {each.path}" for each in documents)
    return [
        "# Automation status",
        "",
        f"- documents: {len(documents)}",
        f"- links that lead nowhere: {broken}",
        f"- digest over all documents: `sha256:{hashlib.sha256(everything.encode('utf-8', 'replace')).hexdigest()}`",
        f"- {told[0]}",
        f"- report: `{REPORT}`",
    ]


def index(heading: str, page: str, documents: list[Document]) -> list[str]:
    """Return an index page."""
    here = Path(page).parent
    entries = [f"- [{cell(each.title)}]({quote(os.path.relpath(each.path, here))})" for each in documents]
    return [f"# {heading}", "", *(entries or ["There are none yet."])]


def cell(text: str) -> str:
    """Return a text that stays one line and one cell, and becomes no tag and no link."""
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    return "".join(f"\\{each}" if each in "\\`*_[]<>|" else each for each in line)


def write(page: str, lines: list[str], *, foreign: bool = True) -> None:
    """Put a page in its place, whole or not at all; where `foreign` is False, only in the place of one of ours."""
    place = ROOT / page
    if not foreign and place.exists() and MADE_HERE not in place.read_text(encoding="utf-8", errors="replace"):
        raise Wrong(f"{page} is somebody else's page: move it, and this one takes its place")
    place.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join([lines[0], "", MADE_HERE, *lines[1:]]) + "\n"
    descriptor, fresh = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode("utf-8", "replace"))
        Path(fresh).chmod(0o644)
        Path(fresh).replace(place)
    except BaseException:
        Path(fresh).unlink()
        raise


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
