"""`python -m chaos`: a storm over every part of the product, as a seed says; all has to hold as if there was none."""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from chaos.alerts import Alerts
from chaos.evidence import Evidence
from chaos.faults import Fault, Storm, plan
from chaos.loops import Loops
from chaos.queue import Queue
from chaos.runs import Runs
from chaos.scene import Hands, Scene
from chaos.server import Server
from chaos.workspace import Workspace, small_disk

SCENES: dict[str, type[Scene]] = {each.name: each for each in (Runs, Workspace, Queue, Server, Loops, Alerts, Evidence)}


@dataclass(frozen=True)
class Outcome:
    """What a storm came to."""

    problems: Sequence[str]
    faults: int
    """How many happened."""
    told: Sequence[str]
    """What each scene did, in a few words."""
    seconds: float


@dataclass(frozen=True)
class Order:
    """Which storm it is to be."""

    seed: int
    seconds: float
    runs: int
    only: Collection[str] = ()
    """The scenes; none for all."""

    @property
    def again(self) -> str:
        """The command that lets it be again."""
        only = "".join(f" --only {each}" for each in self.only)
        return f"python -m chaos --seed {self.seed} --seconds {self.seconds:g} --runs {self.runs}{only}"


def storm(place: Path, order: Order, say: Callable[[str], None] = print) -> Outcome:
    """Let all scenes be at work while faults happen; returns what does not hold afterwards."""
    began = time.monotonic()
    with _prepared(place, order) as scenes:
        weather = Storm(scenes)
        faults = plan(order.seed, order.seconds, [type(each) for each in scenes])
        hands = [Hands(each, order.seed) for each in scenes]
        _happen(faults, weather, say)
        for each in hands:
            each.rest()
        say("no more faults; everything goes on to its end")
        problems = [*weather.failed, *(problem for each in hands for problem in each.failed)]
        if sorted(weather.struck) != faults:
            problems.append(f"it did not storm: {len(weather.struck)} of {len(faults)} faults happened")
        town = [each for each in scenes if isinstance(each, Workspace)]
        others = [each for each in scenes if each not in town]
        problems += [*_calmed(town), *_calmed(others)]  # the others need the workspace's server
        problems += [*_broken(others), *_broken(town)]  # and all of them write to it until they have been asked
        told = [each.told() for each in scenes]
    return Outcome(problems, len(weather.struck), told, time.monotonic() - began)


def _happen(faults: Sequence[Fault], weather: Storm, say: Callable[[str], None]) -> None:
    began = time.monotonic()
    for fault in faults:
        time.sleep(max(0.0, began + fault.at - time.monotonic()))
        say(str(fault))
        weather.strike(fault)
    weather.over()


def _calmed(scenes: Sequence[Scene]) -> list[str]:
    return _together(scenes, lambda scene: _found(scene.calm))


def _broken(scenes: Sequence[Scene]) -> list[str]:
    return _together(scenes, lambda scene: _found(scene.broken))


def _together(scenes: Sequence[Scene], ask: Callable[[Scene], Iterator[str]]) -> list[str]:
    """Ask all of them at once; returns what they found, each sentence with its scene."""

    def found(scene: Scene) -> list[str]:
        return [f"{scene.name}: {problem}" for problem in ask(scene)]

    with ThreadPoolExecutor(len(SCENES)) as pool:
        return [problem for problems in pool.map(found, scenes) for problem in problems]


def _found(ask: Callable[[], Iterable[str] | None]) -> Iterator[str]:
    try:
        yield from ask() or ()
    except Exception:  # noqa: BLE001 - what does not come to its end is a finding like any other
        yield f"it does not come to its end: {traceback.format_exc(limit=-4)}"


@contextmanager
def _prepared(place: Path, order: Order) -> Generator[list[Scene]]:
    """Make the scenes that are meant. The one of the workspace is there wherever another one works in it."""
    wanted = [name for name in SCENES if name in (order.only or SCENES)]
    with ExitStack() as stack:
        scenes: list[Scene] = []

        def add(scene: Scene) -> None:
            scenes.append(stack.enter_context(closing(scene)))

        if Runs.name in wanted:
            add(Runs(place / "fleet", order.runs))
        if set(wanted) - {Runs.name}:
            disk = stack.enter_context(small_disk(place / "town" / "disk"))
            workspace = Workspace(place / "town", disk)
            add(workspace)  # the first to be calmed, and the last to be asked
            for kind in (Queue, Server, Loops, Alerts, Evidence):
                if kind.name in wanted:
                    add(kind(workspace, order.seed))
        yield scenes


def main() -> int:
    """Read the words, let it storm, and say what came of it; 1 where something does not hold."""
    given = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    given.add_argument("--seed", type=int, default=None, help="repeat the faults of another storm")
    given.add_argument("--seconds", type=float, default=120.0, help="for how long things go wrong")
    given.add_argument("--runs", type=int, default=300, help="how many runs the fleet carries out")
    given.add_argument("--only", action="append", choices=list(SCENES), default=[], help="one scene; repeat it")
    words = given.parse_args()
    seed = secrets.randbelow(2**31) if words.seed is None else words.seed
    order = Order(seed, words.seconds, words.runs, words.only)
    print(f"storm {seed}: {words.runs} runs, faults for {words.seconds:g} s; again with: {order.again}", flush=True)
    with tempfile.TemporaryDirectory(prefix="interlock-chaos-") as folder:
        place = Path(folder)
        outcome = storm(place, order, lambda line: print(line, flush=True))
        for problem in outcome.problems[:50]:
            print(f"BROKEN: {problem}")
        if outcome.problems:
            for said in sorted(place.glob("*/*.log")):
                print(f"--- {said.name}\n{said.read_text(errors='replace')[-4000:]}")
    came = f"{len(outcome.problems)} things do not hold; again with: {order.again}" if outcome.problems else "all holds"
    print(f"{outcome.faults} faults in {outcome.seconds:.0f} s: {'; '.join(outcome.told)}; {came}")
    return 1 if outcome.problems else 0


def _ended(*_: object) -> None:
    sys.exit(1)  # what was started is ended on the way, and the disk given back


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _ended)
    threading.excepthook = lambda _: None  # a wire that is cut ends its threads
    sys.exit(main())
