"""Workers without a database: whole runs over HTTP, whoever dies, whatever is lost on the way, and nothing twice."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock.access.models import Role
from interlock.approval.models import Limits
from interlock.evidence.errors import LogMismatch
from interlock.runs.models import Run, RunStatus
from tests.conftest import ALICE, Found, until
from tests.engines.world import LEASE_SECONDS, PATIENCE_SECONDS, surroundings
from tests.remote.far_world import FarWorld, wire

pytestmark = pytest.mark.timeout(180)  # some wait for a minute, on a machine that is busy

EFFECT = "echo carried out >> effect.txt; echo said"
ONE_EFFECT = 'test "$(cat effect.txt)" = "carried out"'
WAITS = "echo began; for n in $(seq 600); do test -e ../go && break; sleep 0.05; done; "
POINTS = (
    *("prepare.begun", "agent.started", "agent.made", "agent.done"),
    *("collect.made", "collect.done", "verify.made", "verify.done", "finish.begun", "finish.done"),
)
LONG = 60.0


@pytest.fixture
def far(
    request: pytest.FixtureRequest, founded: Found, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FarWorld]:
    """A served workspace, on SQLite or on what the test says; its server is a process where the test kills that."""
    kind, _, lease = str(getattr(request, "param", "sqlite")).partition(":")
    lease_seconds = int(lease or LEASE_SECONDS)
    for name, value in surroundings(INTERLOCK_QUEUE_LEASE_SECONDS=str(lease_seconds)).items():
        monkeypatch.setenv(name, value)
    with wire() as made_wire:
        url = founded(tmp_path / "workspace", kind)
        made = FarWorld(tmp_path, url, wire=made_wire, lease_seconds=lease_seconds, as_threads=not lease)
        try:
            yield made
        finally:
            made.close()


on_both = pytest.mark.parametrize("far", ["sqlite", "postgres"], indirect=True)


def done_once(far: FarWorld, made: Run) -> None:
    """Assert that a run is done, that its effect and its output are there once, and that its evidence holds."""
    run = far.run(made)
    assert run.status is RunStatus.DONE, far.story(run)
    assert far.patch(run).count("+carried out") == 1
    assert far.log(run, "stdout").count("said") == 1, far.log(run)
    assert len(far.events(run, "run.done")) == 1
    verify(far)


def verify(far: FarWorld) -> None:
    """Assert that the evidence holds; what is told between the export and the comparison is no difference."""
    before = -1
    while far.count() != before:
        before = far.count()
        try:
            far.verified()
        except LogMismatch:
            if far.count() == before:
                raise
        else:
            return


def lively(seconds: float, *, until_words: str = "") -> str:
    """Return a script that prints its way through some seconds."""
    return f"for n in $(seq {round(seconds * 10)}); do echo tick $n; sleep 0.1; done{until_words}; {EFFECT}"


@on_both
@pytest.mark.proves("fleet-far-worker")
def test_a_run_is_carried_out_by_a_worker_that_has_no_database(far: FarWorld) -> None:
    run = far.create(f"cat $INTERLOCK_PROMPT_FILE; echo; {EFFECT}", checks=[ONE_EFFECT], prompt="sweep the floor")
    worker = far.far(once=True)
    assert worker.wait(LONG) == 0, worker.words()
    done_once(far, run)
    ended = far.run(run)
    assert "sweep the floor" in far.log(run, "stdout")
    assert ended.result is not None
    assert [check["passed"] for check in ended.result["checks"]] == [True]
    assert ended.result["attestation"]["signed_by"] == "service_on_behalf"
    assert far.item(run).owner_session.startswith("worker@b2/worker-")
    assert far.far_left_behind() == []
    assert {event["principal"] for event in events(far, run.id, "run.done")} == {"service:worker@b2"}


def events(far: FarWorld, subject: str, kind: str) -> list[dict[str, object]]:
    far.seal()
    log = far.house.windows.log
    found = [dict(event) for _, event in log.events(0, far.house.evidence.log.size())]
    return [event for event in found if event["subject"] == subject and event["kind"] == kind]


@pytest.mark.parametrize(
    ("far", "point"),
    [("sqlite", point) for point in POINTS]
    + [("postgres", point) for point in ("agent.started", "collect.done", "finish.done")],
    indirect=["far"],
)
@pytest.mark.proves("fleet-far-worker")
def test_a_run_whose_worker_is_killed_is_finished_once_by_the_next(far: FarWorld, point: str) -> None:
    run = far.create(EFFECT, checks=[ONE_EFFECT])
    first = far.far(stop_at=point)
    first.wait_until_it_stands(LONG)
    first.kill()
    second = far.far()
    far.wait_for(run, seconds=LONG)
    if point not in {"agent.started", "agent.made"}:  # there the agent has begun twice, and may have said it twice
        done_once(far, run)
    assert far.run(run).status is RunStatus.DONE, far.story(run)
    assert far.patch(run).count("+carried out") == 1
    assert far.run(run).attempt == (1 if point == "finish.done" else 2)
    second.wait_for_words("works for a server", LONG)
    second.signal(signal.SIGTERM)
    assert second.wait(LONG) == 0
    assert far.far_left_behind() == []


@pytest.mark.parametrize("far", ["sqlite:60", "postgres:60"], indirect=True)
def test_a_server_that_is_killed_and_comes_back_within_the_lease_costs_nothing(far: FarWorld) -> None:
    run = far.create(lively(3), checks=[ONE_EFFECT])
    far.far()
    far.wait_for_line(run, "tick 3")
    far.stop_serving()
    far.serve()
    far.wait_for(run, seconds=LONG)
    done_once(far, run)
    ticks = [line for line in far.log(run, "stdout") if line.startswith("tick")]
    assert ticks == [f"tick {n}" for n in range(1, 31)]
    assert far.run(run).attempt == 1


def test_a_server_that_is_away_for_longer_than_the_lease_loses_the_run_and_nothing_is_written(far: FarWorld) -> None:
    run = far.create(f"{WAITS}{EFFECT}", checks=[ONE_EFFECT])
    worker = far.far()
    far.wait_for_line(run, "began")
    port, far.wire.port = far.wire.port, 0
    worker.wait_for_words("is not ours any more: the server has not answered for a whole lease", LONG)
    until(lambda: far.processes(run) == [], PATIENCE_SECONDS)
    far.wire.port = port
    until(lambda: far.item(run).fence > 1, LONG)  # given back, or taken back: in any case begun anew
    assert far.fences(run, "run.step_completed") in ([1], [1, 3])
    far.wait_for_line(run, "began")
    assert far.run(run).status is not RunStatus.DONE


@pytest.mark.parametrize("how", ["mute", "lose"])
@pytest.mark.parametrize(
    "part", ["/claim", "/begin", "/agent", "/log", "/body", "/complete", "/finish", "/renew", "/startable"]
)
def test_what_is_lost_on_the_way_is_asked_again_and_done_once(far: FarWorld, part: str, how: str) -> None:
    run = far.create(EFFECT, checks=[ONE_EFFECT])
    far.wire.lose(f"POST /ops/worker{part}" if part in {"/claim", "/renew"} else part, 2, how=how)
    worker = far.far()
    far.wait_for(run, seconds=LONG)
    done_once(far, run)
    assert far.run(run).attempt == 1
    assert len(far.events(run, "run.agent_started")) == 1
    assert sorted(step["step"] for step in far.events(run, "run.step_completed")) == [
        *("agent", "collect", "prepare", "verify")
    ]
    until(lambda: far.wire.count(part) >= 2, PATIENCE_SECONDS)
    worker.signal(signal.SIGTERM)
    assert worker.wait(LONG) == 0, worker.words()
    assert far.far_left_behind() == []


def test_a_claim_that_the_worker_never_heard_of_is_not_held_by_nobody(far: FarWorld) -> None:
    far.wire.lose("POST /ops/worker/claim", 1)
    runs = [far.create(EFFECT) for _ in range(2)]
    worker = far.far(once=True)
    assert worker.wait(LONG) == 0, worker.words()
    for run in runs:
        assert far.run(run).status is RunStatus.DONE, far.story(run)
        assert far.run(run).attempt == 1


def test_a_token_that_is_revoked_midway_ends_the_tree_and_the_worker_says_so(far: FarWorld) -> None:
    token = far.token_of("worker@b3", "service", Role.OPERATOR)
    run = far.create(f"{WAITS}{EFFECT}")
    worker = far.far(token=token)
    far.wait_for_line(run, "began")
    far.house.access.revoke(ALICE, token.stem, role=Role.ADMIN, reason="stolen")
    assert worker.wait(LONG) == 4, worker.words()
    assert "error: " in worker.words()
    assert "token" in worker.words().splitlines()[-1]
    assert far.processes(run) == []
    assert far.fences(run, "run.step_completed") == [1]
    until(lambda: far.item(run).fence > 1, LONG)


@pytest.mark.parametrize(
    ("name", "kind", "role", "code"),
    [
        ("alice", "human", Role.ADMIN, "carried out by"),
        ("worker@b2", "human", Role.OPERATOR, "carried out by"),
        ("worker@b2", "agent", Role.OPERATOR, "carried out by"),
        ("ci", "service", Role.OPERATOR, "carried out by"),
        ("worker@b2", "service", Role.ACTIONS, "operator role"),
    ],
)
def test_a_token_of_another_kind_carries_nothing_out(
    far: FarWorld, name: str, kind: str, role: Role, code: str
) -> None:
    run = far.create(EFFECT)
    worker = far.far(once=True, token=far.token_of(name, kind, role))
    assert worker.wait(LONG) == 4, worker.words()
    assert code in worker.words()
    assert far.run(run).status is RunStatus.PENDING


def test_while_panic_is_on_nothing_is_taken_up_and_what_is_under_way_goes_on(far: FarWorld) -> None:
    run = far.create(f"{lively(2)}")
    worker = far.far()
    far.wait_for_line(run, "tick 1")
    later = far.create(EFFECT)
    far.house.access.raise_panic(ALICE, role=Role.ADMIN, reason="look")
    far.wait_for(run, seconds=LONG)
    assert far.run(run).status is RunStatus.DONE, far.story(run)
    worker.wait_for_words("nothing is taken up", LONG)
    assert far.run(later).status is RunStatus.PENDING
    far.house.access.release_panic(ALICE, role=Role.ADMIN, reason="calm")
    far.wait_for(later, seconds=LONG)
    assert far.run(later).status is RunStatus.DONE


def test_who_stops_gives_back_what_is_under_way_and_no_attempt_is_used_up(far: FarWorld) -> None:
    run = far.create(f"{WAITS}{EFFECT}")
    worker = far.far()
    far.wait_for_line(run, "began")
    worker.signal(signal.SIGTERM)
    assert worker.wait(LONG) == 0, worker.words()
    assert far.run(run).status is RunStatus.PENDING
    assert far.run(run).attempt == 1
    assert far.processes(run) == []


def test_a_run_that_is_cancelled_ends_on_the_worker_s_machine(far: FarWorld) -> None:
    run = far.create(f"{WAITS}{EFFECT}")
    far.far()
    far.wait_for_line(run, "began")
    far.house.runs.cancel(ALICE, run.id, reason="not this")
    until(lambda: far.processes(run) == [], PATIENCE_SECONDS)
    until(lambda: far.far_left_behind() == [], PATIENCE_SECONDS)
    assert far.run(run).status is RunStatus.CANCELLED


def test_a_repository_that_the_worker_can_not_reach_is_named(far: FarWorld) -> None:
    run = far.create(EFFECT)
    far.repository.rename(far.place / "moved")
    worker = far.far(once=True)
    assert worker.wait(LONG) == 0, worker.words()
    ended = far.run(run)
    assert (ended.status, ended.reason) == (RunStatus.ERROR, "base_commit_gone")
    assert str(far.repository) in str(ended.message)
    assert "worker@" in str(ended.message)


def test_a_large_patch_arrives_whole_and_a_larger_one_than_approved_does_not(far: FarWorld) -> None:
    script = "head -c 3000000 /dev/urandom | base64 > big.txt"
    run = far.create(script, limits=Limits(wall_clock_seconds=60))
    small = far.create(script, limits=Limits(wall_clock_seconds=60, patch_bytes=100_000))
    worker = far.far(once=True)
    assert worker.wait(LONG) == 0, worker.words()
    assert far.run(run).status is RunStatus.DONE, far.story(run)
    assert len(far.patch(run)) > 4_000_000
    assert far.wire.count("/body") > 4
    assert (far.run(small).status, far.run(small).reason) == (RunStatus.ERROR, "patch_too_large")


def test_the_token_can_not_be_read_by_the_agent(far: FarWorld) -> None:
    run = far.create(f"cat {far.token} | wc -c; ls {far.place}/far/runs | wc -l")
    worker = far.far(once=True)
    assert worker.wait(LONG) == 0, worker.words()
    assert far.log(run, "stdout")[0] == "0", far.log(run)
    assert far.token.read_text() not in "".join(far.log(run))


def test_two_workers_share_the_runs_and_each_is_done_once(far: FarWorld) -> None:
    runs = [far.create(f"sleep 0.3; {EFFECT}", checks=[ONE_EFFECT]) for _ in range(6)]
    workers = [far.far(folder="one"), far.far(folder="two"), far.far(folder="two")]
    for run in runs:
        far.wait_for(run, seconds=LONG)
        done_once(far, run)
    owners = {far.item(run).owner_session for run in runs}
    assert len(owners) > 1
    for worker in workers:
        worker.signal(signal.SIGTERM)
        assert worker.wait(LONG) == 0, worker.words()
    assert far.far_left_behind("one") == far.far_left_behind("two") == []


def test_a_folder_that_others_can_reach_is_refused(far: FarWorld) -> None:
    (far.place / "open").mkdir(mode=0o755)
    worker = far.far(folder="open")
    assert worker.wait(LONG) == 2
    assert "mode 700" in worker.words()


def test_a_worker_that_works_for_nobody_leaves_its_folder_to_its_owner(far: FarWorld) -> None:
    assert far.far(once=True).wait(LONG) == 0
    assert all((far.place / "far" / name).stat().st_mode & 0o077 == 0 for name in ("", "runs", "worktrees", "mirrors"))
