"""The storm: what goes wrong when, as a seed says, and that it begins, lasts for a while, and ends."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from random import Random

from chaos.scene import Scene


@dataclass(frozen=True, order=True)
class Fault:
    """A fault of the plan: when, in which scene, which, on what, for how long."""

    at: float
    """Seconds from the beginning."""
    scene: str
    kind: str
    on: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.at:6.1f} s  {self.scene}: {self.kind} on {self.on} for {self.seconds:.1f} s"


def plan(seed: int, seconds: float, scenes: Iterable[type[Scene]]) -> list[Fault]:
    """Return the faults that a seed means, in their order. A scene meets the same ones whatever else there is."""
    return sorted(fault for scene in scenes for fault in _of(scene, Random(f"{seed} {scene.name}"), seconds))


def _of(scene: type[Scene], dice: Random, seconds: float) -> Iterable[Fault]:
    at = 1.0
    while at < seconds:
        kind = dice.choice(list(scene.kinds))
        lasts = min(dice.choice(scene.lasts), max(1.0, seconds - at))  # nobody waits for the last one
        yield Fault(round(at, 2), scene.name, kind, dice.choice(scene.kinds[kind]), round(lasts, 2))
        at += dice.uniform(*scene.pace)


class Storm:
    """Lets faults happen beside each other, but only one at a time on the same thing."""

    def __init__(self, scenes: Iterable[Scene]) -> None:
        """Take whom it hits."""
        self._scenes: Mapping[str, Scene] = {each.name: each for each in scenes}
        self._targets: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._under_way: list[threading.Thread] = []
        self.struck: list[Fault] = []
        """What has happened."""
        self.failed: list[str] = []
        """What a fault could not do: then the storm itself is wrong."""

    def strike(self, fault: Fault) -> None:
        """Let it begin; it is over after its time."""
        locks = [self._targets[each] for each in sorted(fault.on.split())]
        thread = threading.Thread(target=self._last, args=(fault, locks), daemon=True)
        self._under_way.append(thread)
        thread.start()

    def over(self) -> None:
        """Return when no fault lasts any more."""
        for thread in self._under_way:
            thread.join()

    def _last(self, fault: Fault, locks: Iterable[threading.Lock]) -> None:
        with ExitStack() as held:
            for each in locks:
                held.enter_context(each)
            try:
                with self._scenes[fault.scene].strike(fault.kind, fault.on):
                    self.struck.append(fault)
                    time.sleep(fault.seconds)  # that is the fault
            except Exception as error:  # noqa: BLE001 - told where the storm is looked at
                self.failed.append(f"{fault}: {type(error).__name__}: {error}")
