"""What each thread has of its own, and what becomes of it when the thread ends: the next one that asks takes it over.

Connections cost too much to be made for each transaction, and a worker has a thread for each run: were they only kept,
a few hundred runs would use up what the server or the system allows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

_Kept = TypeVar("_Kept")


@dataclass(slots=True)
class Threads(Generic[_Kept]):
    """One thing for each thread."""

    usable: Callable[[_Kept], bool]
    """Says of what a thread left behind whether another may use it; asked once, then it is taken or dropped."""
    _local: threading.local = field(default_factory=threading.local)
    _owned: list[tuple[threading.Thread, _Kept]] = field(default_factory=list[tuple[threading.Thread, _Kept]])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def mine(self) -> _Kept | None:
        """Return what this thread has."""
        return getattr(self._local, "kept", None)

    def inherit(self) -> _Kept | None:
        """Take over what a thread that has ended had; None where there is nothing."""
        with self._lock:
            ended = [each for each in self._owned if not each[0].is_alive()]
            for each in ended:
                self._owned.remove(each)
                if self.usable(each[1]):
                    self._keep(each[1])
                    return each[1]
        return None

    def keep(self, made: _Kept) -> None:
        """Let it be this thread's from now on."""
        with self._lock:
            self._keep(made)

    def _keep(self, made: _Kept) -> None:
        me = threading.current_thread()
        self._owned = [each for each in self._owned if each[0] is not me]
        self._owned.append((me, made))
        self._local.kept = made

    def drop(self) -> None:
        """Let this thread have nothing."""
        me = threading.current_thread()
        with self._lock:
            self._owned = [each for each in self._owned if each[0] is not me]
            self._local.kept = None

    def forget(self) -> None:
        """Forget everything of everybody."""
        with self._lock:
            self._owned.clear()
            self._local = threading.local()
