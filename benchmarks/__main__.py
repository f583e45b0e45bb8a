"""`python -m benchmarks`: measure, and print one table."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import (
    alerting,
    approving,
    browsing,
    bulk,
    claims,
    engines,
    fleet,
    glancing,
    last,
    looping,
    mcp,
    migrating,
    recovering,
    sealing,
    serving,
    startup,
    truth,
    verifying,
    wakeup,
)
from benchmarks.grounds import Grounds
from benchmarks.last import Kind, Topic
from benchmarks.table import Row, rendered
from interlock.kernel.clock import system_clock, to_text

TOPICS: Mapping[str, Callable[[Grounds], Iterator[Row]]] = {
    "claims": claims.measure,
    "sealing": sealing.measure,
    "wakeup": wakeup.measure,
    "verify": verifying.measure,
    "engines": engines.measure,
    "fleet": fleet.measure,
    "recovery": recovering.measure,
    "startup": startup.measure,
    "glance": glancing.measure,
    "bulk": bulk.measure,
    "approve": approving.measure,
    "serve": serving.measure,
    "loops": looping.measure,
    "alerts": alerting.measure,
    "mcp": mcp.measure,
    "console": browsing.measure,
    "truth": truth.measure,
    "migrating": migrating.measure,
}


def main() -> int:
    """Measure what was asked for, print one table, and keep or check it if that was asked; returns the exit code."""
    asked, began = _asked(), time.monotonic()
    if asked.check and not last.read()[asked.kind]:
        _say(f"there is no last table of a {asked.kind} run to compare with: keep one with --keep")
        return 1
    found = _measured(asked.only or list(TOPICS), asked)
    about = _about(found)
    print(f"\n{', '.join(f'{name} {value}' for name, value in about.items())}, {time.monotonic() - began:.0f} s\n")
    print(rendered(row for topic in found.topics for row in topic.rows))
    for name, reason in found.crashed.items():
        print(f"\ncrashed: {name}: {reason}")
    if asked.json:
        told = {**about, "crashed": found.crashed, "topics": [topic.to_json() for topic in found.topics]}
        asked.json.write_text(json.dumps(told, indent=2) + "\n")
    if asked.keep:
        _keep(asked.kind, found)
    worse = asked.check and not _passes(asked, found)
    return 1 if found.crashed or worse else 0


@dataclass(slots=True)
class _Found:
    """What has been measured so far."""

    topics: list[Topic] = field(default_factory=list[Topic])
    crashed: dict[str, str] = field(default_factory=dict[str, str])
    disks: list[float] = field(default_factory=list[float])

    def take(self, name: str, grounds: Grounds) -> None:
        """Measure a topic, and say each row on stderr as soon as it is there; a crash leaves the other topics alone."""
        began, about = time.monotonic(), _now()
        self.disks.append(grounds.look_at_disk().value)
        rows: list[Row] = []
        try:
            for row in TOPICS[name](grounds):
                rows.append(row)
                _say(f"{name}: {'  '.join(filter(None, row.cells()))}")
        except Exception as error:  # noqa: BLE001 - said in the table's foot and by the exit code
            traceback.print_exc()
            self.crashed[name] = f"{type(error).__name__}: {error}"
        took = f"{time.monotonic() - began:.0f} s"
        _say(f"{name}: {'CRASHED after ' if name in self.crashed else ''}{took}")
        about |= {"fsync p95": f"{self.disks[-1]:.2g} ms", "took": took}
        self.topics.append(Topic(name=name, about=about, rows=rows))


def _measured(names: Sequence[str], asked: _Asked) -> _Found:
    """Measure these topics, on grounds of their own."""
    found = _Found()
    before = {topic.name: topic.about.get("took", "") for topic in last.read()[asked.kind]}
    with tempfile.TemporaryDirectory(prefix="interlock-bench-", dir=asked.folder) as folder:
        grounds = Grounds(folder=Path(folder), quick=asked.quick)
        try:
            for number, name in enumerate(names, 1):
                took = f", took {before[name]} the last time" if before.get(name) else ""
                _say(f"[{number}/{len(names)}] {name}{took}")
                found.take(name, grounds)
        finally:
            grounds.close()
    return found


def _passes(asked: _Asked, found: _Found) -> bool:
    """Hold what was found against the last table; what looks worse is measured once more before it counts."""
    kept = last.read()[asked.kind]
    doubted = sorted({each.topic for each in last.compare(kept, found.topics).regressions})
    if doubted:
        _say(f"once more, because they look worse: {', '.join(doubted)}")
        second = _measured(doubted, asked)
        found.crashed |= second.crashed
        again = {topic.name: topic for topic in second.topics}
        found.topics = [
            last.the_better(topic, again[topic.name]) if topic.name in again else topic for topic in found.topics
        ]
    comparison = last.compare(kept, found.topics)
    print("", *comparison.lines(), sep="\n")
    return not comparison.regressions


def _keep(kind: Kind, found: _Found) -> None:
    """Put the topics that did not crash into `last.json` and the README."""
    measured = [topic for topic in found.topics if topic.name not in found.crashed]
    last.write(last.keep(last.read(), kind, measured, list(TOPICS)))
    print(f"\nkept: {len(measured)} topics of a {kind} run, in {last.KEPT.name} and {last.PAGE.name}")


def _about(found: _Found) -> Mapping[str, str]:
    return {**_now(), "fsync p95": f"{min(found.disks):.2g} to {max(found.disks):.2g} ms"}


def _now() -> dict[str, str]:
    return {
        "date": to_text(system_clock())[:10],
        "system": f"{platform.system()} {platform.machine()}",
        "CPUs": str(os.cpu_count()),
        "Python": platform.python_version(),
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


class _Asked(argparse.Namespace):
    quick: bool
    only: list[str]
    json: Path | None
    folder: Path | None
    check: bool
    keep: bool

    @property
    def kind(self) -> Kind:
        """Which of the last tables this run is like."""
        return "quick" if self.quick else "full"


def _asked() -> _Asked:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller tables, fewer rounds")
    parser.add_argument("--only", action="append", choices=list(TOPICS), metavar="NAME", help=", ".join(TOPICS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows as JSON, too")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="measure on this folder's disk")
    after = parser.add_mutually_exclusive_group()
    after.add_argument(
        "--check", action="store_true", help="fail if a ratio is worse by a third than in the last table"
    )
    after.add_argument("--keep", action="store_true", help="make this the last table, in last.json and README.md")
    return parser.parse_args(namespace=_Asked())


if __name__ == "__main__":
    sys.exit(main())
