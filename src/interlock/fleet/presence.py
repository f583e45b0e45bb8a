"""A node's presence: it says that it lives, hears what operators want of it, and takes over what was published.

`Presence.tick` is called every second or so by whatever lives long in a process: the worker's own loop, or a thread
beside the server. It does little: one read, and now and then one heartbeat.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from interlock.access.models import Actor
from interlock.fleet.models import Facts, NodeState, Process
from interlock.fleet.service import Fleet
from interlock.kernel.errors import InterlockError

_LOG = logging.getLogger("interlock.fleet")
_LOOK_SECONDS = 1.0


@dataclass(kw_only=True)
class Presence:
    """One process's part in its node."""

    fleet: Fleet
    actor: Actor
    me: Process
    facts: Callable[[], Facts]
    """Looks what the node is and can do."""
    adopt: Callable[[], tuple[int, str]]
    """Takes over the newest configuration; returns its number, and what an operator has to know of that."""
    beat_seconds: float = 5.0
    monotonic: Callable[[], float] = time.monotonic
    config_version: int = 0
    """Which configuration this process follows."""
    notice: str = ""
    state: NodeState = NodeState.ACTIVE
    """As it was last heard."""
    waits_for: Callable[[], str] = lambda: ""
    """Says what has to happen before this node may take anything up; empty where nothing has to."""
    has: frozenset[str] = frozenset()
    node_id: str = ""
    _beat_at: float = 0.0
    _look_at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def join(self) -> None:
        """Say that the node is there. Raises what stands against it."""
        with self._lock:
            self._join()

    def _join(self) -> None:
        facts = self.facts()
        self.node_id, self.has = facts.id, facts.has
        self.state = self.fleet.join(self.actor, facts).state
        self._beat()

    def tick(self) -> None:
        """Look whether there is something to hear, and give a sign of life when that is due."""
        with self._lock:
            now = self.monotonic()
            if now < self._look_at:
                return
            self._look_at = now + _LOOK_SECONDS
            if self.node_id:
                self._look()
            else:
                self._join()
                self._look()
            if now >= self._beat_at:
                self._beat()

    def _look(self) -> None:
        state, newest = self.fleet.standing(self.node_id)
        if state is None:
            _LOG.warning("%s was forgotten, and joins anew", self.node_id)
            self._join()
            return
        if state is not self.state:
            _LOG.info("%s is %s now", self.node_id, state.value)
        self.state = state
        if newest > self.config_version:
            self._adopt(newest)

    def _adopt(self, newest: int) -> None:
        try:
            self.config_version, self.notice = self.adopt()
        except InterlockError as error:
            self.notice = f"configuration {newest} can not be taken over: {error.message}"
            _LOG.warning("%s", self.notice)
        else:
            _LOG.info("follows configuration %d now%s", self.config_version, self.notice and f"; {self.notice}")
        self._beat_at = 0.0

    def _beat(self) -> None:
        self._beat_at = self.monotonic() + self.beat_seconds
        if not self.fleet.beat(self.node_id, config_version=self.config_version, notice=self.notice):
            self._look_at = 0.0

    def leave(self) -> None:
        """Say that this process ends in good order."""
        if self.node_id:
            self.fleet.leave(self.node_id, self.me.id)

    # --- beside a server ----------------------------------------------------------------------------------------------

    def work(self) -> int:
        """Tick until told to stop; returns 0."""
        away = False
        while not self._stopping.is_set():
            try:
                self.tick()
                away = False
            except InterlockError as error:
                if not away:
                    _LOG.warning("no sign of life can be given now: %s", error.message)
                away = True
            self._stopping.wait(_LOOK_SECONDS)
        return 0

    def stop(self) -> None:
        """Stop soon."""
        self._stopping.set()
