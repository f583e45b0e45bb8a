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
from collections.abc import Callable, Iterator, Mapping
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
from benchmarks.table import Row, rendered

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
    """Measure what was asked for; returns the exit code."""
    asked, began = _asked(), time.monotonic()
    found = _Found()
    with tempfile.TemporaryDirectory(prefix="interlock-bench-", dir=asked.folder) as folder:
        grounds = Grounds(folder=Path(folder), quick=asked.quick)
        try:
            for name in asked.only or TOPICS:
                found.take(name, grounds)
        finally:
            grounds.close()
    about = _about(found)
    print(f"\n{', '.join(f'{name} {value}' for name, value in about.items())}, {time.monotonic() - began:.0f} s\n")
    print(rendered(found.rows))
    if found.crashed:
        print(f"\ncrashed: {', '.join(found.crashed)}")
    if asked.json:
        rows = [row.to_json() for row in found.rows]
        asked.json.write_text(json.dumps({**about, "crashed": found.crashed, "rows": rows}, indent=2) + "\n")
    return 1 if found.crashed else 0


@dataclass(slots=True)
class _Found:
    """What has been measured so far."""

    rows: list[Row] = field(default_factory=list[Row])
    disks: list[float] = field(default_factory=list[float])
    crashed: list[str] = field(default_factory=list[str])

    def take(self, name: str, grounds: Grounds) -> None:
        """Measure a topic, and say each row on stderr as soon as it is there; a crash leaves the other topics alone."""
        began = time.monotonic()
        self.disks.append(grounds.look_at_disk().value)
        try:
            for row in TOPICS[name](grounds):
                self.rows.append(row)
                sys.stderr.write(f"{name}: {'  '.join(filter(None, row.cells()))}\n")
        except Exception:  # noqa: BLE001 - said in the table's foot and by the exit code
            traceback.print_exc()
            self.crashed.append(name)
        sys.stderr.write(f"{name}: {time.monotonic() - began:.0f} s\n")


def _about(found: _Found) -> Mapping[str, str]:
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "CPUs": str(os.cpu_count()),
        "Python": platform.python_version(),
        "load": f"{os.getloadavg()[0]:.1f}",
        "fsync p95": f"{min(found.disks):.2g} to {max(found.disks):.2g} ms",
    }


class _Asked(argparse.Namespace):
    quick: bool
    only: list[str]
    json: Path | None
    folder: Path | None


def _asked() -> _Asked:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller tables, fewer rounds: under a minute")
    parser.add_argument("--only", action="append", choices=list(TOPICS), metavar="NAME", help=", ".join(TOPICS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows as JSON, too")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="measure on this folder's disk")
    return parser.parse_args(namespace=_Asked())


if __name__ == "__main__":
    sys.exit(main())
