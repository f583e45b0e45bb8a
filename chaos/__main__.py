"""`python -m chaos`: a storm over a fleet, as a seed says; afterwards all has to be as if there had been none."""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.faults import Storm, plan
from chaos.fleet import Fleet, fleet, until
from chaos.invariants import broken
from interlock.runs.models import ENDED, Run, RunStatus

_CALM_SECONDS = 600.0


@dataclass(frozen=True)
class Outcome:
    """What a storm came to."""

    problems: Sequence[str]
    faults: int
    runs: int
    claims: int
    seconds: float


def storm(place: Path, *, seed: int, seconds: float, runs: int, say: Callable[[str], None] = print) -> Outcome:
    """Let a fleet carry out runs while faults happen; returns what does not hold afterwards."""
    faults = plan(seed, seconds)
    began = time.monotonic()
    with fleet(place) as made:
        wanted = made.runs(runs)
        made.start()
        weather = Storm(made)
        for fault in faults:
            time.sleep(max(0.0, began + fault.at - time.monotonic()))
            if _all_ended(made, wanted):
                break
            say(str(fault))
            weather.strike(fault)
        weather.over()
        made.mend()
        say("no more faults; everything goes on to its end")
        _calm(made, wanted)
        for node in made.nodes:
            node.end()
        claims = len(made.collector.claims())
        problems = [*weather.failed, *broken(made, wanted, place / "export")]
    return Outcome(problems, len(faults), runs, claims, time.monotonic() - began)


def _calm(made: Fleet, wanted: Sequence[Run]) -> None:
    """Wait until every run has ended; a process that gave up in the storm is started again, as systemd would."""

    def ended() -> bool:
        made.start()
        return _all_ended(made, wanted)

    until(ended, _CALM_SECONDS, "every run has ended")


def _all_ended(made: Fleet, wanted: Sequence[Run]) -> bool:
    try:
        open_runs = [*made.house.runs.list(status=RunStatus.PENDING), *made.house.runs.list(status=RunStatus.RUNNING)]
    except Exception:  # noqa: BLE001 - the database is down: that is one of the faults
        return False
    return not open_runs and all(made.house.runs.get(run.id).status in ENDED for run in wanted[-1:])


def main() -> int:
    """Read the words, let it storm, and say what came of it; 1 where something does not hold."""
    given = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    given.add_argument("--seed", type=int, default=None, help="repeat the faults of another storm")
    given.add_argument("--seconds", type=float, default=180.0, help="for how long things go wrong")
    given.add_argument("--runs", type=int, default=1000)
    words = given.parse_args()
    seed = secrets.randbelow(2**31) if words.seed is None else words.seed
    again = f"python -m chaos --seed {seed} --seconds {words.seconds:g} --runs {words.runs}"
    print(f"storm {seed}: {words.runs} runs, faults for {words.seconds:g} s; again with: {again}", flush=True)
    with tempfile.TemporaryDirectory(prefix="interlock-chaos-") as folder:
        outcome = storm(Path(folder) / "fleet", seed=seed, seconds=words.seconds, runs=words.runs)
        for problem in outcome.problems[:50]:
            print(f"BROKEN: {problem}")
        if outcome.problems:
            for said in sorted((Path(folder) / "fleet").glob("*.log")):
                print(f"--- {said.name}\n{said.read_text(errors='replace')[-4000:]}")
    came = f"{len(outcome.problems)} things do not hold; again with: {again}" if outcome.problems else "all holds"
    told = f"{outcome.runs} runs under {outcome.faults} faults took {outcome.claims} claims and {outcome.seconds:.0f} s"
    print(f"{told}; {came}")
    return 1 if outcome.problems else 0


if __name__ == "__main__":
    threading.excepthook = lambda _: None  # a wire that is cut ends its threads
    sys.exit(main())
