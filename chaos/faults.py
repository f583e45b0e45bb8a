"""What goes wrong, one thing at a time or several: each fault begins, lasts for a while, and ends."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from random import Random

import psycopg

from chaos.fleet import LEASE_SECONDS, Fleet, Node

_HOUR = 3600


@dataclass(frozen=True)
class Fault:
    """A fault of the plan: when, which, on whom, how long."""

    at: float
    """Seconds from the beginning."""
    kind: str
    node: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.at:6.1f} s  {self.kind} on {'abc'[self.node]} for {self.seconds:.1f} s"


def plan(seed: int, seconds: float) -> list[Fault]:
    """Return the faults that a seed means, a second or two apart; so several last at the same time."""
    random = Random(seed)
    found: list[Fault] = []
    at = 1.0
    while at < seconds:
        lasts = random.choice((0.2, 1.0, LEASE_SECONDS * 0.9, LEASE_SECONDS * 1.5, LEASE_SECONDS * 2.5))
        found.append(Fault(round(at, 2), random.choice(list(FAULTS)), random.randrange(3), round(lasts, 2)))
        at += random.uniform(0.2, 3.0)
    return found


class Storm:
    """Lets faults happen beside each other, but only one at a time on each node, and one on the database."""

    def __init__(self, fleet: Fleet) -> None:
        """Take whom it hits."""
        self._fleet = fleet
        self._targets = [threading.Lock() for _ in fleet.nodes]
        self._database = threading.Lock()
        self._under_way: list[threading.Thread] = []
        self.failed: list[str] = []
        """What a fault could not do: then the storm itself is wrong."""

    def strike(self, fault: Fault) -> None:
        """Let it begin; it is over after its time."""
        thread = threading.Thread(target=self._last, args=(fault,), daemon=True)
        self._under_way.append(thread)
        thread.start()

    def over(self) -> None:
        """Return when no fault lasts any more."""
        for thread in self._under_way:
            thread.join()

    def _last(self, fault: Fault) -> None:
        node = self._fleet.nodes[fault.node]
        # A leader may be any node: who kills it must not meet another fault on one.
        locks = self._targets if fault.kind == "leader_killed" else [self._targets[fault.node]]
        locks = [self._database] if fault.kind.startswith("database") else locks
        with ExitStack() as held:
            for each in locks:
                held.enter_context(each)
            try:
                with FAULTS[fault.kind](self._fleet, node):
                    time.sleep(fault.seconds)  # that is the fault
            except psycopg.OperationalError:
                return  # the database is down, so it can not be asked who leads
            except Exception as error:  # noqa: BLE001 - told where the storm is looked at
                self.failed.append(f"{fault}: {type(error).__name__}: {error}")


@contextmanager
def killed(_fleet: Fleet, node: Node) -> Generator[None]:
    """The node's process dies by `kill -9`, and is started again."""
    node.kill()
    yield
    node.start()


@contextmanager
def paused(_fleet: Fleet, node: Node) -> Generator[None]:
    """The node's process stands still, and wakes late."""
    node.send(signal.SIGSTOP)
    yield
    node.send(signal.SIGCONT)


@contextmanager
def cut_off(_fleet: Fleet, node: Node) -> Generator[None]:
    """The node's connections to the database break, and no new ones can be made."""
    node.wire.cut()
    node.wire.cut()  # what was just being made
    yield
    node.wire.heal()


@contextmanager
def stalled(_fleet: Fleet, node: Node) -> Generator[None]:
    """The node's connections to the database stand, and nothing comes through."""
    node.wire.stall()
    yield
    node.wire.heal()


@contextmanager
def clock_jumps(_fleet: Fleet, node: Node) -> Generator[None]:
    """The node's clock goes an hour ahead, then an hour behind, then right again."""
    node.clock.write_text(str(_HOUR))
    yield
    node.clock.write_text(str(-_HOUR))
    time.sleep(1)
    node.clock.write_text("0")


@contextmanager
def database_killed(fleet: Fleet, _node: Node) -> Generator[None]:
    """PostgreSQL dies, and is started again."""
    fleet.server.stop()
    yield
    fleet.server.start()


@contextmanager
def database_crashed(fleet: Fleet, _node: Node) -> Generator[None]:
    """Every connection of everybody is broken by the server."""
    with psycopg.connect(fleet.server.url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend'"
            " AND pid <> pg_backend_pid()"
        )
    yield


@contextmanager
def leader_killed(fleet: Fleet, node: Node) -> Generator[None]:
    """Whoever leads dies by `kill -9`, and is started again."""
    with psycopg.connect(fleet.server.url, autocommit=True) as connection:
        rows = connection.execute("SELECT pid FROM leader ORDER BY expires_ms DESC").fetchall()
    processes = {each.process.pid: each for each in fleet.nodes if each.process is not None}
    leading = next((processes[pid] for (pid,) in rows if pid in processes), node)
    leading.kill()
    yield
    leading.start()


FAULTS: dict[str, Callable[[Fleet, Node], AbstractContextManager[None]]] = {
    "killed": killed,
    "paused": paused,
    "cut_off": cut_off,
    "stalled": stalled,
    "clock_jumps": clock_jumps,
    "database_killed": database_killed,
    "database_crashed": database_crashed,
    "leader_killed": leader_killed,
}
