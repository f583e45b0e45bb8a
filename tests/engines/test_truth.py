"""The reconciler over each kind of database: what it sees, keeps and does, look by look on a clock of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from interlock.app import Interlock
from interlock.approval.models import Limits, Work
from interlock.engines.reconciler import Machine, Patience, Reconciler
from interlock.fleet.models import Facts
from interlock.queue.models import Executor, WorkerProcess
from interlock.runs.containment.processes import MARKER_VARIABLE, boot_id, start_time_of
from interlock.runs.models import Claim, Pulse, RunStatus, StepName
from interlock.runs.options import TruthOptions
from interlock.runs.truth import Action, Verdict
from tests.conftest import ALICE, WORKER

HOST = socket.gethostname()
OPTIONS = TruthOptions(stall_seconds=60, report_seconds=20, scan_seconds=1)


def worker(name: str, pid: int | None = None, start_time: int | None = None) -> WorkerProcess:
    """Return a worker of this machine: this process, or the one that is named."""
    pid = pid or os.getpid()
    return WorkerProcess(
        id=name, host=HOST, boot_id=boot_id(), pid=pid, start_time=start_time or start_time_of(pid) or 0
    )


@dataclass
class Town:
    """A house with runs under way, and who looks after them."""

    house: Interlock
    place: Path
    seconds: float = 1000.0
    living: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])

    def claim(self, holder: WorkerProcess, limits: Limits | None = None, node: str | None = None) -> Claim:
        work = Work(command=("true",), limits=limits or Limits())
        approved = self.house.approval.approve(ALICE, self.house.approval.create(ALICE, "do it", work=work).id)
        self.house.runs.create(ALICE, approved.id)
        claim = self.house.runs.claim(WORKER, holder, node_id=node)
        assert claim is not None
        return claim

    def node(self, name: str) -> Facts:
        facts = Facts(
            id=f"n_{self.house.new_ulid()}",
            name=name,
            host=HOST,
            boot_id="b",
            version="1",
            capabilities=(),
            labels=(),
            concurrency=2,
        )
        self.house.fleet.join(WORKER, facts)
        return facts

    def begun(self, holder: WorkerProcess, limits: Limits | None = None) -> Claim:
        """Take a run up, and begin its agent's step in a place that is there."""
        claim = self.claim(holder, limits)
        self.house.runs.begin_step(WORKER, claim, StepName.AGENT)
        (self.place / f"{claim.run.id}-{claim.item.fence}").mkdir()
        return claim

    def process(self, marker: str = "") -> subprocess.Popen[bytes]:
        """Start a process that stays, under a run's marker."""
        env = {**os.environ, **({MARKER_VARIABLE: marker} if marker else {})}
        made = subprocess.Popen(["sleep", "300"], env=env, stdin=subprocess.DEVNULL)
        self.living.append(made)
        return made

    def beats(self, claim: Claim, process: subprocess.Popen[bytes], **more: Any) -> Pulse:  # noqa: ANN401 - of a Pulse
        pulse = Pulse(
            fence=claim.item.fence,
            host=HOST,
            pid=process.pid,
            start_time=start_time_of(process.pid),
            boot_id=boot_id(),
            **more,
        )
        self.house.runs.put_pulse(claim, pulse)
        return pulse

    def looker(self, options: TruthOptions = OPTIONS, **more: Any) -> Reconciler:  # noqa: ANN401 - of a Reconciler
        return Reconciler(
            me=worker("looker"),
            truths=self.house.truths,
            actor=WORKER,
            sight=more.pop("sight", Machine(self.place, self.place / "mirrors")),
            options=options,
            grace_seconds=1.0,
            **more,
        )

    def passes(self, seconds: int, *lookers: Reconciler) -> None:
        """Let time pass on the lookers' clock, with a look each second."""
        for _ in range(seconds):
            self.seconds += 1.0
            for each in lookers:
                each.look(self.seconds)

    def keeps_lease(self, claim: Claim, looker: Reconciler, seconds: int) -> None:
        for _ in range(seconds):
            self.house.runs.renew(claim.item.owner_session)
            self.passes(1, looker)

    def verdict(self, claim: Claim) -> tuple[Verdict, str, Action] | None:
        found = self.house.truths.get(claim.run.id)
        return (found.verdict, found.reason, found.action) if found is not None else None

    def told(self, kind: str) -> list[dict[str, Any]]:
        self.house.database.seal()
        log = self.house.windows.log
        return [event["payload"] for _, event in log.events(0, self.house.evidence.log.size()) if event["kind"] == kind]


@pytest.fixture
def town(house: Interlock, tmp_path: Path) -> Iterator[Town]:
    place = tmp_path / "places"
    place.mkdir()
    made = Town(house, place)
    yield made
    for each in made.living:
        each.kill()
        each.wait(10)


def test_a_run_that_is_silent_asks_once_and_is_well_again_when_it_prints(town: Town) -> None:
    claim = town.begun(worker("w"))
    agent, looker = town.process(), town.looker()
    pulse = town.beats(claim, agent)
    town.keeps_lease(claim, looker, 61)
    assert town.verdict(claim) == (Verdict.SILENT, "no_output", Action.ASK)
    town.keeps_lease(claim, looker, 20)
    assert [each["verdict"] for each in town.told("run.judged")] == ["silent"]
    assert [each.run_id for each in town.house.truths.asking()] == [claim.run.id]
    assert claim.run.id in [each.id for each in town.house.inbox.list().entries]

    town.house.runs.put_pulse(claim, replace(pulse, output_bytes=5))
    town.keeps_lease(claim, looker, 2)
    assert town.verdict(claim) == (Verdict.PROGRESSING, "at_work", Action.WAIT)
    assert [(each["verdict"], each["previous"]) for each in town.told("run.judged")] == [
        ("silent", None),
        ("progressing", "silent"),
    ]
    assert town.house.truths.asking() == []
    assert town.house.inbox.list().entries == []


def test_a_silent_run_is_ended_with_its_whole_tree_where_the_policy_says_so(town: Town) -> None:
    claim = town.begun(worker("w"))
    agent = town.process(f"{claim.run.id}:{claim.item.fence}")
    bystander = town.process("r_01ARZ3NDEKTSV4RRFFQ69G5FAV:1")
    town.beats(claim, agent)
    looker = town.looker(replace(OPTIONS, silent="kill"))
    town.keeps_lease(claim, looker, 62)
    run = town.house.runs.get(claim.run.id)
    assert (run.status, run.reason) == (RunStatus.ERROR, "silent")
    assert agent.wait(10) == -9
    assert bystander.poll() is None, "a run of another workspace is nobody's here to judge"
    town.passes(2, looker)
    assert town.house.truths.get(claim.run.id) is None


@pytest.mark.proves("truth-pid")
def test_a_process_that_got_a_dead_agent_s_pid_is_never_touched(town: Town) -> None:
    innocent = town.process()
    claim = town.begun(worker("dead", innocent.pid, (start_time_of(innocent.pid) or 0) - 1))
    town.house.runs.put_pulse(
        claim,
        Pulse(
            fence=claim.item.fence,
            host=HOST,
            pid=innocent.pid,
            start_time=(start_time_of(innocent.pid) or 0) - 1,
            boot_id=boot_id(),
        ),
    )
    town.passes(2, town.looker())
    assert town.verdict(claim) is None, "given to whoever is next"
    assert [(each["verdict"], each["reason"]) for each in town.told("run.judged")] == [("lost_worker", "worker_dead")]
    assert [each["reason"] for each in town.told("run.returned")] == ["worker_dead"]
    assert innocent.poll() is None


def test_a_tree_whose_worker_died_is_ended_before_the_run_goes_on(town: Town) -> None:
    dead = town.process()
    holder = worker("dead", dead.pid)
    dead.kill()
    dead.wait(10)
    claim = town.begun(holder)
    agent = town.process(f"{claim.run.id}:{claim.item.fence}")
    town.beats(claim, agent)
    town.passes(1, town.looker())
    assert [(each["verdict"], each["action"]) for each in town.told("run.judged")] == [("orphaned", "take_over")]
    assert town.house.runs.get(claim.run.id).status is RunStatus.PENDING
    assert agent.poll() == -9


def test_an_agent_that_ended_and_is_not_reported_ends_its_run_and_starts_no_second_one(town: Town) -> None:
    claim = town.begun(worker("w"))
    agent, looker = town.process(), town.looker()
    town.beats(claim, agent)
    agent.kill()
    agent.wait(10)
    town.keeps_lease(claim, looker, 20)
    assert town.house.runs.get(claim.run.id).status is RunStatus.RUNNING
    town.keeps_lease(claim, looker, 2)
    run = town.house.runs.get(claim.run.id)
    assert (run.status, run.reason) == (RunStatus.ERROR, "finished_unreported")
    assert [each["reason"] for each in town.told("run.judged")] == ["process_ended"]


def test_a_result_that_is_written_and_not_reported_is_carried_on_from_what_is_stored(town: Town) -> None:
    claim = town.begun(worker("w"))
    town.house.runs.complete_step(WORKER, claim, StepName.AGENT, {"exit_code": 0})
    town.house.runs.begin_step(WORKER, claim, StepName.COLLECT)
    ref = town.place / "mirrors" / "m.git" / "refs" / "interlock" / "runs" / claim.run.id / str(claim.item.fence)
    ref.parent.mkdir(parents=True)
    ref.touch()
    looker = town.looker()
    town.keeps_lease(claim, looker, 40)
    assert [each["reason"] for each in town.told("run.judged")] == ["result_unreported"]
    run = town.house.runs.get(claim.run.id)
    assert (run.status, run.reason) == (RunStatus.PENDING, "finished_unreported")
    again = town.house.runs.claim(WORKER, worker("next"))
    assert again is not None
    assert StepName.AGENT in again.steps


def test_what_a_run_that_ended_left_behind_is_ended_when_its_time_is_over(town: Town) -> None:
    claim = town.begun(worker("w"))
    left = town.process(f"{claim.run.id}:{claim.item.fence}")
    town.house.runs.cancel(ALICE, claim.run.id)
    looker = town.looker()
    town.passes(3, looker)
    assert left.poll() is None, "its own worker still has the time to do it"
    town.passes(5, looker)
    assert left.wait(10) == -9
    assert [each["verdict"] for each in town.told("run.judged")] == ["zombie"]
    town.passes(3, looker)
    assert town.house.truths.list() == []


def test_a_run_that_ended_is_not_called_a_zombie_for_ever_where_nothing_is_left(town: Town) -> None:
    claim = town.begun(worker("w"))
    town.beats(claim, town.process())
    looker = town.looker()
    town.keeps_lease(claim, looker, 61)
    town.house.runs.cancel(ALICE, claim.run.id)
    town.passes(1, looker)
    assert town.house.truths.list() == []
    assert town.house.truths.asking() == []


def test_tokens_and_cost_over_their_limits_end_a_run_whose_worker_does_not(town: Town) -> None:
    claim = town.begun(worker("w"), Limits(tokens=100))
    town.beats(claim, town.process(), input_tokens=90, output_tokens=11)
    looker = town.looker()
    town.keeps_lease(claim, looker, 2)
    assert town.verdict(claim) == (Verdict.OVER_BUDGET, "limit_tokens", Action.WAIT)
    town.keeps_lease(claim, looker, 15)
    run = town.house.runs.get(claim.run.id)
    assert (run.status, run.reason) == (RunStatus.ERROR, "limit_tokens")


def test_an_agent_whose_worktree_is_gone_asks(town: Town) -> None:
    claim = town.begun(worker("w"))
    town.beats(claim, town.process())
    (town.place / f"{claim.run.id}-{claim.item.fence}").rmdir()
    town.passes(1, town.looker())
    assert town.verdict(claim) == (Verdict.MISPLACED, "worktree_gone", Action.ASK)


def test_the_folders_of_another_node_of_this_host_are_not_looked_for_in_ours(town: Town) -> None:
    mine, its = town.node("mine"), town.node("its")
    claims = [town.claim(worker(f"w-{each.name}"), node=each.id) for each in (mine, its)]
    looker = town.looker(node_id=lambda: mine.id)
    for claim in claims:
        town.house.runs.begin_step(WORKER, claim, StepName.AGENT)
        town.beats(claim, town.process())
    for _ in range(61):
        for claim in claims:
            town.house.runs.renew(claim.item.owner_session)
        town.passes(1, looker)
    assert town.verdict(claims[0]) == (Verdict.MISPLACED, "worktree_gone", Action.ASK)
    assert town.verdict(claims[1]) == (Verdict.SILENT, "no_output", Action.ASK)


def test_a_holder_that_gives_no_sign_is_given_up_after_one_whole_lease_on_our_own_clock(town: Town) -> None:
    elsewhere = replace(worker("far"), host="elsewhere")
    claim = town.begun(elsewhere)
    looker = town.looker()
    town.passes(20, looker)
    assert town.house.runs.get(claim.run.id).status is RunStatus.RUNNING
    town.passes(2, looker)
    assert [(each["verdict"], each["reason"]) for each in town.told("run.judged")] == [("lost_node", "lease_expired")]
    assert town.house.runs.get(claim.run.id).status is RunStatus.PENDING


def test_a_look_that_comes_late_counts_for_one(town: Town) -> None:
    patience = Patience()
    patience.begin(0.0)
    assert patience.seconds("it", "sign") == 0.0
    patience.begin(3600.0)
    assert patience.seconds("it", "sign") == 1.5
    patience.begin(0.0)  # a clock that goes back passes no time
    assert patience.seconds("it", "sign") == 1.5
    patience.begin(1.0)
    assert patience.seconds("it", "another") == 0.0
    del town


def test_two_who_look_at_the_same_time_do_each_thing_once(town: Town) -> None:
    dead = town.process()
    holder = worker("dead", dead.pid)
    claims = [town.claim(holder) for _ in range(10)]
    dead.kill()
    dead.wait(10)
    start = threading.Barrier(3)

    def look() -> None:
        looker = town.looker()
        start.wait(20)
        looker.look(1.0)
        looker.look(2.0)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for each in lookers:
        each.start()
    start.wait(20)
    for each in lookers:
        each.join(60)
    assert len(town.told("item.rescued")) == len(claims)
    assert len(town.told("run.judged")) == len(claims)
    assert {town.house.runs.get(each.run.id).attempt for each in claims} == {2}


class Killed(BaseException):
    """Stands for a death between two statements."""


@pytest.mark.parametrize("point", ["kept", "take_over.begun"])
@pytest.mark.proves("truth-restart")
def test_a_reconciler_that_dies_half_way_is_completed_by_the_next(town: Town, point: str) -> None:
    dead = town.process()
    holder = worker("dead", dead.pid)
    claim = town.claim(holder)
    dead.kill()
    dead.wait(10)

    def die(at: str) -> None:
        if at == point:
            raise Killed

    with pytest.raises(Killed):
        town.looker(probe=die).look(1.0)
    assert town.house.runs.get(claim.run.id).status is RunStatus.RUNNING
    town.looker().look(1.0)
    assert town.house.runs.get(claim.run.id).status is RunStatus.PENDING
    assert len(town.told("run.judged")) == len(town.told("item.rescued")) == 1


@dataclass(frozen=True)
class Stubborn:
    """A machine on which nothing can be killed for a while."""

    machine: Machine
    fails: list[str]

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the machine has
        return getattr(self.machine, name)

    def kill(self, run_marker: str) -> int:
        if self.fails:
            raise OSError(self.fails.pop())
        return self.machine.kill(run_marker)


def test_an_action_that_fails_is_told_and_tried_again_later_and_later(town: Town) -> None:
    dead = town.process()
    holder = worker("dead", dead.pid)
    dead.kill()
    dead.wait(10)
    claim = town.begun(holder)
    sight = Stubborn(Machine(town.place, town.place / "mirrors"), ["no more", "no"])
    looker = town.looker(sight=sight)
    town.passes(1, looker)
    assert [(each["error"], each["tries"]) for each in town.told("run.action_failed")] == [("no", 1)]
    town.passes(1, looker)
    assert len(sight.fails) == 1, "it waits for two seconds"
    town.passes(1, looker)
    assert [each["tries"] for each in town.told("run.action_failed")] == [1, 2]
    town.passes(4, looker)
    assert town.house.runs.get(claim.run.id).status is RunStatus.PENDING


def test_a_run_that_is_lost_again_and_again_for_one_reason_asks_instead_of_going_on(town: Town) -> None:
    options, looker = replace(OPTIONS, most_takeovers=1), town.looker(replace(OPTIONS, most_takeovers=1))
    first = town.process()
    holder = worker("first", first.pid)
    first.kill()
    first.wait(10)
    claim = town.claim(holder)
    town.passes(1, looker)
    assert town.house.runs.claim(WORKER, replace(holder, id="second")) is not None
    town.passes(2, town.looker(options))
    assert town.verdict(claim) == (Verdict.LOST_WORKER, "worker_dead", Action.ASK)
    assert town.house.runs.get(claim.run.id).status is RunStatus.RUNNING
    assert len(town.told("item.rescued")) == 1


def test_an_item_that_a_session_outside_holds_is_left_to_it_while_its_lease_lasts(town: Town) -> None:
    approved = town.house.approval.approve(ALICE, town.house.approval.create(ALICE, "do it").id)
    run = town.house.runs.create(ALICE, approved.id)
    with town.house.queue(WORKER) as queue:
        item = queue.claim(Executor.EXTERNAL, "outside", lease_seconds=30)
    assert item is not None
    looker = town.looker()
    town.passes(30, looker)
    found = town.house.truths.get(run.id)
    assert found is not None
    assert (found.verdict, found.action) == (Verdict.WAITING_EXTERNAL, Action.WAIT)
    town.passes(2, looker)
    assert town.house.runs.get(run.id).status is RunStatus.PENDING


def test_short_runs_in_good_order_leave_no_row_and_no_event(town: Town) -> None:
    claim = town.begun(worker("w"))
    town.beats(claim, town.process())
    looker = town.looker()
    town.keeps_lease(claim, looker, 10)
    assert town.house.truths.list() == []
    assert town.told("run.judged") == []
    assert town.verdict(claim) == (Verdict.PROGRESSING, "at_work", Action.WAIT), "it is judged when it is asked about"


@contextlib.contextmanager
def jumping(root: Path) -> Generator[tuple[Interlock, list[int]]]:
    """Open a workspace whose clock can be moved."""
    clock = [1_800_000_000_000]
    house = Interlock.at(root, now=lambda: clock[0])
    try:
        yield house, clock
    finally:
        house.database.close()


@pytest.mark.parametrize("jump_ms", [3_600_000, -3_600_000])
@pytest.mark.parametrize("policy", ["ask", "kill", "take_over"])
@pytest.mark.proves("truth-clock")
def test_a_clock_that_jumps_an_hour_harms_no_run(tmp_path: Path, jump_ms: int, policy: str) -> None:
    from interlock.founding import create_workspace  # noqa: PLC0415 - only here

    create_workspace(tmp_path / "w", ALICE, database_url="", replace=False)
    with jumping(tmp_path / "w") as (house, clock):
        (tmp_path / "places").mkdir()
        town = Town(house, tmp_path / "places")
        claim, looker = town.begun(worker("w")), town.looker(replace(OPTIONS, silent=policy))  # type: ignore[arg-type] - a case's own value
        pulse = town.beats(claim, town.process())
        for second in range(40):
            clock[0] += 1000 + (jump_ms if second == 20 else 0)
            if second % 5 == 0:
                house.runs.put_pulse(claim, replace(pulse, output_bytes=second))
            town.keeps_lease(claim, looker, 1)
        run = house.runs.get(claim.run.id)
        assert (run.status, run.attempt) == (RunStatus.RUNNING, 1)
        assert town.verdict(claim) == (Verdict.PROGRESSING, "at_work", Action.WAIT)
        for each in town.living:
            each.kill()
            each.wait(10)


def test_an_old_claim_s_processes_are_ended_while_the_new_one_goes_on(town: Town) -> None:
    first = town.begun(worker("w"))
    old = town.process(f"{first.run.id}:{first.item.fence}")
    assert town.house.truths.take_back(WORKER, first.item, reason="silent")
    second = town.house.runs.claim(WORKER, worker("w"))
    assert second is not None
    town.house.runs.begin_step(WORKER, second, StepName.AGENT)
    (town.place / f"{second.run.id}-{second.item.fence}").mkdir()
    fresh = town.process(f"{second.run.id}:{second.item.fence}")
    town.beats(second, fresh)
    looker = town.looker()
    town.keeps_lease(second, looker, 10)
    assert old.wait(10) == -9
    assert fresh.poll() is None
    town.keeps_lease(second, looker, 3)
    assert town.verdict(second) == (Verdict.PROGRESSING, "at_work", Action.WAIT)
    assert town.house.runs.get(first.run.id).status is RunStatus.RUNNING
