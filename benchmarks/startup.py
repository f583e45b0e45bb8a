"""What a command costs before it does anything: beside the bare interpreter of the same virtual environment.

The modules are compiled before the first round, as they are from the second start on wherever they may be written.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.grounds import ALICE, Grounds, approved, compiled, workspace
from benchmarks.measuring import in_turns, ratio, timed
from benchmarks.table import Peer, Row
from interlock.approval.models import Work

_RUNS = 100
_ROUNDS, _ROUNDS_QUICK = 20, 7
_SECONDS, _SECONDS_QUICK = 40.0, 10.0
_BARE = "python -c pass"
_COMMANDS: Sequence[tuple[str, ...]] = (("--version",), ("run", "list"), ("queue", "status"))


def measure(grounds: Grounds) -> Iterator[Row]:
    """Start commands in a workspace with a hundred runs."""
    root = grounds.folder / "startup"
    house = workspace(root)
    record = approved(house, Work(command=("true",))).id
    for _ in range(_RUNS):
        house.runs.create(ALICE, record)
    house.database.close()
    program = str(Path(sys.executable).parent / "interlock")
    environment = compiled(grounds)
    started = {_BARE: partial(_started, root, environment, (sys.executable, "-c", "pass"))}
    for words in _COMMANDS:
        started[f"interlock {' '.join(words)}"] = partial(_started, root, environment, (program, *words))
    for warm_up in started.values():
        warm_up()
    found = in_turns(
        started,
        rounds=_ROUNDS_QUICK if grounds.quick else _ROUNDS,
        seconds=_SECONDS_QUICK if grounds.quick else _SECONDS,
    )
    bare = found.pop(_BARE)
    for name, times in found.items():
        yield Row(
            name=f"start-up, {name}",
            value=median(times),
            unit="ms",
            peer=Peer(name=_BARE, value=median(bare)),
            ratio=ratio(times, bare),
        )


def _started(root: Path, environment: Mapping[str, str], command: Sequence[str]) -> float:
    """Return how many milliseconds the command takes, from its start to its end."""
    return 1000 * timed(
        lambda: subprocess.run(command, cwd=root, env=environment, stdout=subprocess.DEVNULL, check=True)
    )
