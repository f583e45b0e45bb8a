"""The inbox over each kind of database: what real verbs leave for a person is listed, and gone when it is done."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock.access.models import Role
from interlock.alerts.dispatch import dispatch
from interlock.alerts.idle import Order
from interlock.alerts.watcher import Alerter
from interlock.inbox.models import Entry, Kind
from interlock.loops import files
from interlock.loops.places import LoopPlaces
from interlock.pipelines.models import Status
from interlock.queue.models import Executor
from interlock.runs.models import Run
from interlock.workspace.alert_probes import probes
from tests.alerts.conftest import Town, both
from tests.alerts.receiver import Receiver
from tests.cli.door import call
from tests.conftest import ALICE, ROBOT, WORKER
from tests.pipelines.test_running import GATE, ROLE, WANTS_GATE, makes
from tests.pipelines.workshop import Workspace, sh

HOUR, DAY = 3600, 24 * 3600


def listed(town: Town) -> list[tuple[Kind, str]]:
    return [(each.kind, each.id) for each in town.house.inbox.list().entries]


def only(town: Town) -> Entry:
    (entry,) = town.house.inbox.list().entries
    return entry


def drafted(town: Town, prompt: str = "sweep the floor") -> str:
    return town.house.approval.create(ROBOT, prompt).id


def made(town: Town, approved_id: str | None = None) -> Run:
    approved = approved_id or town.house.approval.approve(ALICE, drafted(town)).id
    return town.house.runs.create(ALICE, approved)


def begun(town: Town, run: Run, *, seconds: int = HOUR) -> tuple[str, int]:
    with town.house.queue(WORKER) as queue:
        item = queue.claim(Executor.EXTERNAL, "outside", lease_seconds=seconds)
    assert item is not None
    assert item.run_id == run.id
    return item.id, item.fence


def failed(town: Town, approved_id: str | None = None) -> Run:
    run = made(town, approved_id)
    item, fence = begun(town, run)
    with town.house.queue(WORKER) as queue:
        queue.fail(item, fence, reason="checks_failed", message="pytest said no")
    return town.house.runs.get(run.id)


def watcher(town: Town) -> Alerter:
    house = town.house
    return Alerter(
        alerts=town.alerts,
        files=files,
        log=house.event_log,
        actor=WORKER,
        clock=town.time,
        probes=probes(town.options, house.approval, house.runs, house.queue_look, lambda: None, truths=house.truths),
        manager=lambda repo, loop: LoopPlaces.of(repo, loop).manager,
        monotonic=lambda: town.time.ms / 1000,
    )


def turned(town: Town, alerter: Alerter) -> None:
    town.database.seal()
    alerter.turn()
    alerter.finish(20)
    town.database.seal()


@both
def test_an_empty_inbox_says_that_nothing_waits(town: Town) -> None:
    found = town.house.inbox.list()
    assert (found.entries, found.kinds) == ([], [])


@both
def test_a_draft_waits_until_it_is_decided_and_the_oldest_stands_first(town: Town) -> None:
    first = drafted(town, "\n  mend the roof  \nin small steps")
    town.time.passes(60)
    second = drafted(town, "x" * 500)
    assert listed(town) == [(Kind.DRAFT, first), (Kind.DRAFT, second)]
    entry = town.house.inbox.list().entries[0]
    assert entry.sentence == f"{ROBOT.principal} asks for: mend the roof"
    assert (entry.href, entry.next.command) == (f"/review/{first}", f"interlock draft show {first}")
    assert len(town.house.inbox.list().entries[1].sentence) < 200
    town.house.approval.approve(ALICE, first)
    town.house.approval.reject(ALICE, second, reason="no")
    assert listed(town) == []


@both
def test_a_character_that_turns_the_others_round_is_named(town: Town) -> None:
    drafted(town, "look at \u202egnp.exe\u200b")
    assert "look at <U+202E>gnp.exe<U+200B>" in town.house.inbox.list().entries[0].sentence


@both
def test_an_approval_waits_when_its_end_is_near_and_nothing_was_made_of_it(town: Town) -> None:
    approval = town.house.approval
    long = approval.approve(ALICE, drafted(town), expires_after_seconds=4 * DAY)
    short = approval.approve(ALICE, drafted(town), expires_after_seconds=HOUR // 2)
    used = approval.approve(ALICE, drafted(town), expires_after_seconds=HOUR // 2)
    run = made(town, used.id)
    town.house.runs.cancel(ALICE, run.id)
    entry = only(town)
    assert (entry.kind, entry.id, entry.deadline_ms) == (Kind.EXPIRING, short.id, short.expires_ms)
    assert (entry.href, entry.next.command) == (f"/approved/{short.id}", f"interlock run create {short.id}")
    town.time.passes(HOUR)
    assert listed(town) == []  # it has expired: that is over
    town.time.passes(3 * DAY)
    assert listed(town) == [(Kind.EXPIRING, long.id)]
    approval.revoke(ALICE, long.id, reason="no need")
    assert listed(town) == []


@both
def test_a_failed_run_waits_until_it_is_tried_anew_or_done_again(town: Town) -> None:
    run = failed(town)
    entry = only(town)
    assert (entry.kind, entry.id, entry.since_ms) == (Kind.FAILED, run.id, run.ended_ms)
    assert entry.sentence == f"The run of {run.item_id} (P1) failed: pytest said no"
    assert entry.next.command == f"interlock run retry {run.id}"
    again = made(town, run.approved_id)
    assert listed(town) == []
    town.house.runs.cancel(ALICE, again.id)
    other = failed(town)
    assert listed(town) == [(Kind.FAILED, other.id)]
    town.house.runs.retry(ALICE, other.id)
    assert listed(town) == []


@both
def test_what_failed_long_ago_waits_for_nobody(town: Town) -> None:
    failed(town)
    town.time.passes(8 * DAY)
    assert listed(town) == []


@both
def test_an_alert_is_one_entry_with_what_it_is_about_and_who_acknowledges_it_looks_after_both(
    town: Town, hook: Receiver
) -> None:
    town.sink("hook", "webhook", hook)
    alerter = watcher(town)
    turned(town, alerter)
    run = failed(town)
    turned(town, alerter)
    (alert,) = town.alerts.list(state="open")
    entry = only(town)
    assert (entry.kind, entry.id, entry.alerts) == (Kind.FAILED, run.id, (alert.id,))
    town.alerts.ack(ALICE, alert.id, note="mine")
    assert listed(town) == []
    town.house.runs.retry(ALICE, run.id)
    town.time.passes(HOUR)
    item, fence = begun(town, run)
    with town.house.queue(WORKER) as queue:
        queue.fail(item, fence, reason="checks_failed", message="again")
    assert listed(town) == [(Kind.FAILED, run.id)]  # that somebody looked after it before says nothing of now


@both
def test_an_alert_about_nothing_else_waits_until_it_is_acknowledged(town: Town, hook: Receiver) -> None:
    town.sink("hook", "webhook", hook)
    town.escalates("divergence_detected").dispatch()
    entry = only(town)
    (alert,) = town.alerts.list()
    assert (entry.kind, entry.id, entry.href) == (Kind.ALERT, alert.id, f"/alerts/{alert.id}")
    assert entry.next.command == f"interlock alert ack {alert.id}"
    town.alerts.ack(ALICE, alert.id)
    assert listed(town) == []


@both
def test_panic_stands_before_everything_else(town: Town, hook: Receiver) -> None:
    town.sink("hook", "webhook", hook)
    alerter = watcher(town)
    turned(town, alerter)
    draft = drafted(town)
    town.house.access.raise_panic(ALICE, role=Role.ADMIN, reason="a rogue agent")
    turned(town, alerter)
    assert listed(town) == [(Kind.PANIC, "panic"), (Kind.DRAFT, draft)]
    panic = town.house.inbox.list().entries[0]
    assert panic.sentence == "Panic mode is on, raised by human:alice: a rogue agent"
    assert len(panic.alerts) == 1  # its alert is critical, and is not listed beside it
    town.house.access.release_panic(ALICE, role=Role.ADMIN, reason="calm")
    turned(town, alerter)
    assert listed(town) == [(Kind.DRAFT, draft)]


@both
def test_a_run_that_does_not_end_waits_until_somebody_ends_it(town: Town, hook: Receiver) -> None:
    town.sink("hook", "webhook", hook)
    run = made(town)
    begun(town, run, seconds=14 * HOUR)
    town.time.passes(13 * HOUR)
    entry = only(town)
    assert (entry.kind, entry.id, entry.ids["worker"]) == (Kind.STUCK, run.id, "outside")
    assert entry.sentence.endswith("it last said something 13 h ago")
    assert entry.next.command == f"interlock run cancel {run.id} --reason 'it does not end'"
    folder = town.house.layout.loops / run.id
    folder.mkdir(parents=True)
    files.append(
        f"{LoopPlaces.of(str(folder), run.id).manager}/escalations.jsonl", [b'{"category":"health_critical"}\n']
    )
    order = Order.of(str(folder), run.id, LoopPlaces.of(str(folder), run.id).manager, "t")
    dispatch(town.alerts, files, WORKER, order, town.time)
    entry = only(town)
    assert (entry.id, len(entry.alerts)) == (run.id, 1)  # as a loop it is in trouble as well: that is the same matter
    town.house.runs.cancel(ALICE, run.id)
    assert Kind.STUCK not in {kind for kind, _ in listed(town)}


@both
def test_a_claim_of_somebody_who_is_gone_waits_until_it_is_taken_back(town: Town) -> None:
    run = made(town)
    item, _ = begun(town, run, seconds=60)
    town.time.passes(HOUR)
    entry = only(town)
    assert (entry.kind, entry.id, entry.ids["item"]) == (Kind.STUCK, run.id, item)
    assert entry.sentence == f"{item} is claimed by outside, who has let its lease expire"
    town.time.passes(13 * HOUR)
    assert only(town).id == run.id  # it goes on for too long as well, and is one entry all the same
    with town.house.queue(WORKER) as queue:
        for lost, why in queue.lost():
            queue.rescue(lost, reason=why)
    assert Kind.STUCK not in {kind for kind, _ in listed(town)}


@both
def test_a_run_that_nobody_takes_up_waits(town: Town) -> None:
    run = made(town)
    assert listed(town) == []
    town.time.passes(13 * HOUR)
    entry = only(town)
    assert (entry.kind, entry.id) == (Kind.WAITING, run.id)
    assert entry.next.command == f"interlock queue explain {run.item_id}"
    begun(town, run)
    assert listed(town) == []


@both
def test_a_loop_whose_intent_is_ambiguous_waits_until_a_human_acknowledges_it(town: Town) -> None:
    town.house.loops.watch(ALICE, str(town.root), "docs")
    intents = Path(town.places.of_manager("intents.jsonl"))
    town.judged("healthy")
    assert listed(town) == []
    row = {"intent": "cancel", "status": "ambiguous", "traceId": "t", "timestamp": "2026-11-18T10:00:00Z"}
    intents.write_text(json.dumps(row) + "\n")
    entry = only(town)
    assert (entry.kind, entry.id) == (Kind.AMBIGUOUS, "docs")
    assert entry.sentence == "Nobody knows whether `cancel` took effect on the loop docs; it is healthy"
    assert entry.next.words[:2] == ("loop", "acknowledge")
    town.house.loops.acknowledge(ALICE, town.house.loops.find("docs"))
    assert listed(town) == []


@both
def test_a_loop_in_trouble_waits_with_its_alert_until_it_is_healthy(town: Town, hook: Receiver) -> None:
    town.sink("hook", "webhook", hook)
    town.house.loops.watch(ALICE, str(town.root), "docs")
    town.judged("critical", "heartbeat_stale")
    town.escalates("health_critical").dispatch()
    entry = only(town)
    assert (entry.kind, entry.id, len(entry.alerts)) == (Kind.LOOP, "docs", 1)
    assert entry.sentence == "The loop docs is critical: heartbeat_stale"
    assert entry.href.startswith("/loops/docs")
    town.judged("healthy")
    town.dispatch()
    assert listed(town) == []


@pytest.fixture(params=["sqlite", "postgres"])
def space(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workspace]:
    made = Workspace(tmp_path / "work", request.getfixturevalue("postgres_url") if request.param == "postgres" else "")
    yield made
    made.close()


def test_a_pipeline_that_stands_before_a_checkpoint_waits_until_it_runs_well(space: Workspace) -> None:
    space.declare(
        {
            "a": makes("a", **ROLE),
            "edits": {"script": sh("echo more >> build_output/a.txt"), "needs": ["a"]},
            "b": makes("b", needs=["edits"], checkpoints=WANTS_GATE),
        },
        checkpoints=[GATE],
    )
    done = space.run()
    assert done.status is Status.FAILED
    (entry,) = space.house.inbox.list().entries
    assert (entry.kind, entry.id) == (Kind.CHECKPOINT, done.id)
    assert entry.next.command == f"interlock pipeline resume {done.id}"
    space.declare({"b": {"script": sh("false")}})
    other = space.run()
    (entry,) = space.house.inbox.list().entries
    assert (entry.kind, entry.id) == (Kind.PIPELINE, other.id)
    space.declare({"b": {"script": sh("true")}})
    assert space.run().status is Status.SUCCESS
    assert space.house.inbox.list().entries == []


@pytest.mark.proves("inbox-ranked")
@both
def test_everything_at_once_stands_in_the_order_of_the_table(town: Town) -> None:
    stuck = made(town)
    begun(town, stuck, seconds=14 * HOUR)
    town.time.passes(13 * HOUR)
    lost = failed(town)
    draft = drafted(town)
    expiring = town.house.approval.approve(ALICE, drafted(town), expires_after_seconds=60)
    town.house.loops.watch(ALICE, str(town.root), "docs")
    town.judged("degraded")
    assert listed(town) == [
        (Kind.STUCK, stuck.id),
        (Kind.LOOP, "docs"),
        (Kind.EXPIRING, expiring.id),
        (Kind.DRAFT, draft),
        (Kind.FAILED, lost.id),
    ]


@both
def test_at_most_so_many_of_a_kind_are_listed_and_it_is_said_that_there_are_more(town: Town) -> None:
    for number in range(4):
        drafted(town, f"number {number}")
    found = town.house.inbox.list(most=3)
    assert len(found.entries) == 3
    assert [(each.listed, each.more) for each in found.kinds] == [(3, True)]


@both
def test_a_command_of_the_list_can_be_typed_as_it_stands(town: Town) -> None:
    run = failed(town)
    words = shlex.split(only(town).next.command)
    assert words[0] == "interlock"
    house = town.house
    assert house.runs.retry(ALICE, words[-1]).id == run.id


def test_the_command_line_lists_what_waits_with_what_to_type(tmp_path: Path) -> None:
    root = tmp_path / "w"
    assert call("init", str(root), at=tmp_path).code == 0
    assert call("inbox", at=root).out == "nothing waits for a person\n"
    draft = json.loads(call("draft", "create", "--prompt", "mend the roof", "--json", at=root).out)["id"]
    (line,) = call("inbox", at=root).out.splitlines()
    said, command = line.split("\t")
    assert said.startswith("Draft to review, for 0 min: ")
    assert said.endswith("asks for: mend the roof")
    assert call(*shlex.split(command)[1:], at=root).out.startswith(draft)
    assert json.loads(call("inbox", "--json", at=root).out)["items"][0]["id"] == draft
    call("draft", "create", "--prompt", "another", at=root)
    assert call("inbox", "--most", "1", at=root).out.splitlines()[1] == "more of: Draft to review; raise --most"
    as_agent = call("inbox", "--as", "agent:robot", at=root).out
    assert as_agent.splitlines()[0].endswith("\ta human with the role admin")
