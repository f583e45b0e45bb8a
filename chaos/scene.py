"""A scene: a part of the product at work, what befalls it in the storm, and what must hold of it afterwards."""

from __future__ import annotations

import threading
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from random import Random
from typing import ClassVar, cast

Hand = Callable[[Random], None]
"""Does one bit of the scene's work; is called again and again, in a thread of its own."""


class Scene(ABC):
    """One part of the storm. It is prepared when it is made; `broken` is asked when all is calm."""

    name: ClassVar[str]
    kinds: ClassVar[Mapping[str, Sequence[str]]]
    """What can befall it: the name of the method that does it, and on what. What has several words takes them all.

    A word means the same thing in every scene: nothing is hit by two faults at a time, which would undo each other.
    """
    lasts: ClassVar[Sequence[float]] = (0.2, 1.0, 2.5)
    """For how many seconds a fault may last."""
    pace: ClassVar[tuple[float, float]] = (0.3, 3.0)
    """How many seconds lie between two faults, at least and at most."""

    @abstractmethod
    def hands(self) -> Sequence[Hand]:
        """Return what is at work meanwhile."""

    @abstractmethod
    def calm(self) -> None:
        """Bring everything to its end; nothing befalls it any more, and no hand is at work."""

    @abstractmethod
    def broken(self) -> Iterator[str]:
        """Yield a sentence for whatever does not hold."""

    @abstractmethod
    def told(self) -> str:
        """Say in a few words how much was done."""

    @abstractmethod
    def close(self) -> None:
        """End everything that was started."""

    def strike(self, kind: str, on: str) -> AbstractContextManager[None]:
        """Let something befall it: begins when entered, is over when left."""
        return cast("AbstractContextManager[None]", getattr(self, kind)(on))


class Hands:
    """What is at work in a scene, until it is told to stop."""

    def __init__(self, scene: Scene, seed: int) -> None:
        """Begin."""
        self.failed: list[str] = []
        """What a hand could not do: then the scene itself is wrong."""
        self._over = threading.Event()
        self._name = scene.name
        self._threads = [
            threading.Thread(target=self._work, args=(hand, Random(f"{seed} {scene.name} {number}")), daemon=True)
            for number, hand in enumerate(scene.hands())
        ]
        for thread in self._threads:
            thread.start()

    def rest(self) -> None:
        """Let each end what it is at."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _work(self, hand: Hand, dice: Random) -> None:
        while not self._over.is_set():
            try:
                hand(dice)
            except Exception:  # noqa: BLE001 - told where the storm is looked at
                self.failed.append(f"{self._name}: a hand gave up: {traceback.format_exc(limit=-4)}")
                return
