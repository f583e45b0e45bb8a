"""The scene `runs`: a fleet of three nodes on one PostgreSQL carries runs out while nodes, wires and database fail."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import ClassVar

import psycopg

from chaos.calls import accidents
from chaos.fleet import LEASE_SECONDS, Node, fleet, until
from chaos.invariants import broken, left_behind
from chaos.process import clock_jumping
from chaos.scene import Hand, Scene
from interlock.runs.models import RunStatus

_CALM_SECONDS = 600.0
_EACH = ("a", "b", "c")


class Runs(Scene):
    """Three nodes: two servers with a worker each, and a worker."""

    name = "runs"
    kinds: ClassVar[Mapping[str, Sequence[str]]] = {
        "killed": _EACH,
        "paused": _EACH,
        "cut_off": _EACH,
        "stalled": _EACH,
        "clock_jumps": _EACH,
        "leader_killed": ("a b c",),  # a leader may be any node: who kills it must not meet another fault on one
        "database_killed": ("database",),
        "database_crashed": ("database",),
    }
    lasts = (0.2, 1.0, LEASE_SECONDS * 0.9, LEASE_SECONDS * 1.5, LEASE_SECONDS * 2.5)
    pace = (0.8, 3.5)

    def __init__(self, place: Path, most: int) -> None:
        """Prepare so many runs."""
        self._stack = ExitStack()
        self.fleet = self._stack.enter_context(fleet(place))
        self._nodes = {each.name: each for each in self.fleet.nodes}
        self._export = place / "export"
        self._wanted = self.fleet.runs(most)
        self._claims = 0
        self.fleet.start()

    def hands(self) -> Sequence[Hand]:
        """Its workers need none."""
        return ()

    def calm(self) -> None:
        """Wait until every run has ended; a process that gave up in the storm is started again, as systemd would."""
        self.fleet.mend()

        def ended() -> bool:
            self.fleet.start()
            return self._all_ended()

        until(ended, _CALM_SECONDS, "every run has ended")
        states = [node.root / ".interlock" for node in self.fleet.nodes]
        until(lambda: not any(left_behind(states)), _CALM_SECONDS, "what killed nodes left is taken away")
        for node in self.fleet.nodes:
            node.end()
        self._claims = len(self.fleet.collector.claims())

    def broken(self) -> Iterator[str]:
        """Ask the log, the world outside, and the machine."""
        if not self._claims:
            yield "no run was carried out"
        yield from accidents(node.said for node in self.fleet.nodes)
        yield from broken(self.fleet, self._wanted, self._export)

    def told(self) -> str:
        """Count."""
        return f"{len(self._wanted)} runs took {self._claims} claims"

    def close(self) -> None:
        """End the nodes and the database."""
        self._stack.close()

    def _all_ended(self) -> bool:
        runs = self.fleet.house.runs
        try:
            return not runs.list(status=RunStatus.PENDING) and not runs.list(status=RunStatus.RUNNING)
        except Exception:  # noqa: BLE001 - the database is still coming up
            return False

    # --- what befalls it ----------------------------------------------------------------------------------------------

    @contextmanager
    def killed(self, on: str) -> Generator[None]:
        """The node's process dies by `kill -9`, and is started again."""
        self._nodes[on].kill()
        yield
        self._nodes[on].start()

    @contextmanager
    def paused(self, on: str) -> Generator[None]:
        """The node's process stands still, and wakes late."""
        self._nodes[on].send(signal.SIGSTOP)
        yield
        self._nodes[on].send(signal.SIGCONT)

    @contextmanager
    def cut_off(self, on: str) -> Generator[None]:
        """The node's connections to the database break, and no new ones can be made."""
        wire = self._nodes[on].wire
        wire.cut()
        wire.cut()  # what was just being made
        yield
        wire.heal()

    @contextmanager
    def stalled(self, on: str) -> Generator[None]:
        """The node's connections to the database stand, and nothing comes through."""
        self._nodes[on].wire.stall()
        yield
        self._nodes[on].wire.heal()

    @contextmanager
    def clock_jumps(self, on: str) -> Generator[None]:
        """The node's clock goes an hour ahead, then an hour behind, then right again."""
        with clock_jumping(self._nodes[on].root):
            yield

    @contextmanager
    def leader_killed(self, on: str) -> Generator[None]:
        """Whoever leads dies by `kill -9`, and is started again."""
        leading = self._leading() or self._nodes[on.split(maxsplit=1)[0]]
        leading.kill()
        yield
        leading.start()

    def _leading(self) -> Node | None:
        with (
            suppress(psycopg.OperationalError),  # the database is down, so it can not be asked who leads
            psycopg.connect(self.fleet.server.url, autocommit=True) as connection,
        ):
            rows = connection.execute("SELECT pid FROM leader ORDER BY expires_ms DESC").fetchall()
            processes = {each.process.pid: each for each in self.fleet.nodes if each.process is not None}
            return next((processes[pid] for (pid,) in rows if pid in processes), None)
        return None

    @contextmanager
    def database_killed(self, _: str) -> Generator[None]:
        """PostgreSQL dies, and is started again."""
        self.fleet.server.stop()
        yield
        self.fleet.server.start()

    @contextmanager
    def database_crashed(self, _: str) -> Generator[None]:
        """Every connection of everybody is broken by the server."""
        with (
            suppress(psycopg.OperationalError),
            psycopg.connect(self.fleet.server.url, autocommit=True) as connection,
        ):
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend'"
                " AND pid <> pg_backend_pid()"
            )
        yield
