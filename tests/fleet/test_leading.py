"""One process at a time leads, another takes over from who is gone, and who wakes late writes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from interlock.app import Interlock
from interlock.fleet.errors import NotLeader
from interlock.fleet.leading import Led, Reign
from interlock.fleet.models import Process, Term
from interlock.founding import create_workspace
from interlock.kernel.events import Event
from interlock.queue.events import QueueResumed
from interlock.queue.models import Executor, ItemKind, NewItem
from interlock.storage.fleet import StoredLeaders
from tests.conftest import ALICE, until
from tests.engines.world import surroundings

ONE = Process(id="one", host="vm", boot_id="b", pid=1, start_time=1)
TWO = replace(ONE, id="two", pid=2)
SCRIPT = Path(__file__).with_name("standby.py")
NEW = NewItem(kind=ItemKind.MANUAL, executor=Executor.EXTERNAL, priority="P1", task="t", success_criteria="s")


def nobody(_: Process) -> bool:
    return False


def take(house: Interlock, me: Process, held: Term | None = None, *, lease_ms: int = 60_000) -> Term | None:
    return house.fleet.lead("role", me, lease_ms=lease_ms, held=held, dead=nobody)


def expire(house: Interlock) -> None:
    with house.database.light() as transaction:
        for holder in (ONE, TWO):
            StoredLeaders(transaction).release(holder.id)


def test_one_leads_and_the_other_stands_by(house: Interlock) -> None:
    term = take(house, ONE)
    assert term == Term(role="role", holder="one", epoch=1)
    assert take(house, TWO) is None
    assert term is not None
    assert take(house, ONE, term) == term
    house.fleet.check(term)


def test_a_term_that_is_over_goes_to_the_next_under_a_new_epoch_and_the_old_one_is_told(house: Interlock) -> None:
    old = take(house, ONE)
    assert old is not None
    expire(house)
    new = take(house, TWO)
    assert new == Term(role="role", holder="two", epoch=2)
    assert take(house, ONE, old) is None
    with pytest.raises(NotLeader):
        house.fleet.check(old)
    assert new is not None
    house.fleet.check(new)


def test_a_holder_that_is_provably_dead_is_followed_at_once(house: Interlock) -> None:
    take(house, ONE)
    found = house.fleet.lead("role", TWO, lease_ms=60_000, dead=lambda process: process == ONE)
    assert found == Term(role="role", holder="two", epoch=2)


def test_a_process_that_ends_in_good_order_lets_go(house: Interlock) -> None:
    take(house, ONE)
    house.fleet.leave("n_nobody", "one")
    assert take(house, TWO) is not None


def test_who_does_not_lead_any_more_writes_nothing_anywhere(house: Interlock) -> None:
    old = take(house, ONE)
    assert old is not None
    led = house.led(old)
    with led.queue(ALICE) as queue:
        queue.add(NEW)
    expire(house)
    for deed in (lambda: _add(led), lambda: led.tell(ALICE, _event()), lambda: _beat(led)):
        with pytest.raises(NotLeader):
            deed()
    with house.queue_look() as queue:
        assert queue.counts()["PENDING"] == 1


def _add(led: Interlock) -> None:
    with led.queue(ALICE) as queue:
        queue.add(NEW)


def _beat(led: Interlock) -> None:
    with led.database.light():
        pass


def _event() -> Event:
    return QueueResumed(subject="queue")


def test_a_reign_asks_the_database_only_now_and_then(house: Interlock) -> None:
    clock = [0.0]
    reign = Reign(fleet=house.fleet, role="role", me=ONE, lease_seconds=9, dead=nobody, monotonic=lambda: clock[0])
    term = reign.hold()
    assert term is not None
    expire(house)
    assert take(house, TWO) is not None
    clock[0] = 2.9
    assert reign.hold() == term  # what it writes is refused all the same
    clock[0] = 3.0
    assert reign.hold() is None


def test_a_part_works_only_while_it_is_led(house: Interlock) -> None:
    made: list[Term] = []
    ended: list[Term] = []

    class Part:
        def __init__(self, term: Term) -> None:
            self.term, self.stopping = term, threading.Event()
            made.append(term)

        def work(self) -> int:
            self.stopping.wait()
            ended.append(self.term)
            return 0

        def stop(self) -> None:
            self.stopping.set()

    clock = [0.0]
    reign = Reign(fleet=house.fleet, role="role", me=ONE, lease_seconds=9, dead=nobody, monotonic=lambda: clock[0])
    led = Led(name="part", reign=reign, make=Part)
    led.turn()
    led.turn()
    assert [each.epoch for each in made] == [1]
    expire(house)
    other = take(house, TWO)
    clock[0] = 10.0
    led.turn()
    assert ended == made
    expire(house)
    clock[0] = 20.0
    led.turn()
    assert other is not None
    assert [each.epoch for each in made] == [1, 3]
    led.end()


# --- processes --------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgres"])
def workspace(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else ""
    create_workspace(tmp_path / "w", ALICE, database_url=url, replace=False)
    return tmp_path / "w"


@contextmanager
def leader(workspace: Path, log: Path, seconds: float) -> Generator[subprocess.Popen[bytes]]:
    with log.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(workspace), "role", str(seconds)],
            cwd=Path(__file__).parents[2],
            stdout=said,
            stderr=said,
            env=surroundings(),
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wrote(house: Interlock) -> list[tuple[int, int]]:
    house.database.seal()
    log = house.event_log
    return [
        (each["payload"]["pid"], each["payload"]["epoch"])
        for _, each in log.events(0, log.size())
        if each["kind"] == "test.wrote"
    ]


@pytest.mark.proves("fleet-leading")
def test_a_killed_leader_is_followed_and_a_paused_one_that_wakes_late_writes_nothing(
    workspace: Path, tmp_path: Path
) -> None:
    house = Interlock.at(workspace)
    with leader(workspace, tmp_path / "a", 2.0) as a:
        until(lambda: wrote(house), 30)
        with leader(workspace, tmp_path / "b", 2.0) as b:
            a.send_signal(signal.SIGSTOP)
            until(lambda: wrote(house)[-1][0] == b.pid, 30)
            a.send_signal(signal.SIGCONT)
            until(lambda: "does not lead" in (tmp_path / "a").read_text(), 30)
            many = len(wrote(house))
            until(lambda: len(wrote(house)) > many + 5, 30)
            b.kill()
            until(lambda: wrote(house)[-1][0] == a.pid, 30)
    found = wrote(house)
    epochs = [epoch for _, epoch in found]
    assert epochs == sorted(epochs)
    assert [pid for pid, _ in dict.fromkeys(found)] == [a.pid, b.pid, a.pid]
    assert os.getpid() not in {pid for pid, _ in found}
    house.close()
