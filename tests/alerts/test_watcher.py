"""Alerts of the rest of the product: from its log, from what stands in it, and the alerter's own heartbeat."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from interlock.access.models import Role
from interlock.alerts.ports import Condition
from interlock.alerts.watcher import ENDS, OPENS, Alerter
from interlock.app import Interlock
from interlock.approval.events import DraftNotGenerated
from interlock.founding import create_workspace
from interlock.kernel.events import Event
from interlock.loops import files
from interlock.loops.places import LoopPlaces
from interlock.pipelines.events import CheckpointRefused, ExecutionCompleted, ExecutionFailed
from interlock.runs.events import RunFailed, RunRetried
from interlock.workspace.alert_probes import probes
from tests.alerts.conftest import Town, both
from tests.alerts.receiver import Receiver, Say
from tests.conftest import ALICE, WORKER, until
from tests.test_docs import below, every_module

RUN = "r_01ARZ3NDEKTSV4RRFFQ69G5FAV"
PIPELINE = "pipeline_01K9ZZZZZZZZZZZZZZZZZZZZZZ"


@dataclass
class Post:
    """An alerter in a town, with a monotonic clock of the test's."""

    town: Town
    now: float = 0.0
    found: list[Condition] = field(default_factory=list[Condition])

    def __post_init__(self) -> None:
        self.alerter = self.another()

    def another(self) -> Alerter:
        def probe(_: int) -> Iterable[Condition]:
            return list(self.found)

        return Alerter(
            alerts=self.town.alerts,
            files=files,
            log=self.town.house.event_log,
            actor=WORKER,
            clock=self.town.time,
            probes={"approval_waiting": probe},
            manager=lambda repo, loop: LoopPlaces.of(repo, loop).manager,
            monotonic=lambda: self.now,
        )

    def turn(self) -> None:
        """Look once, and wait for what is being sent."""
        self.town.database.seal()
        self.alerter.turn()
        self.alerter.monotonic = lambda: 0.0
        self.alerter.finish(20)
        self.alerter.monotonic = lambda: self.now

    def tell(self, event: Event) -> None:
        self.town.house.tell(WORKER, event, calming=True)


@pytest.fixture
def post(town: Town, hook: Receiver) -> Post:
    made = Post(town.sink("hook", "webhook", hook))
    made.turn()
    return made


def failed(fence: int = 1) -> RunFailed:
    return RunFailed(subject=RUN, fence=fence, reason="agent_failed", result_digest=None, attestation=None)


def test_every_kind_that_is_matched_by_name_is_one_that_is_told() -> None:
    every_module()
    kinds = {kind.kind for kind in below(Event) if hasattr(kind, "kind")}
    assert OPENS.keys() | ENDS.keys() <= kinds
    assert {each for ended in ENDS.values() for each in ended} <= {each.category for each in OPENS.values()}


@both
def test_a_failed_run_is_told_once_and_over_when_it_is_tried_anew(post: Post, hook: Receiver) -> None:
    post.tell(failed())
    post.turn()
    post.turn()
    (body,) = hook.bodies
    assert (body["event"]["category"], body["escalation"]["subject"], body["escalation"]["reasonCode"]) == (
        "run_failed",
        RUN,
        "agent_failed",
    )
    post.town.time.passes(10)
    post.tell(RunRetried(subject=RUN, generation=2))
    post.turn()
    assert [each["event"]["action"] for each in hook.bodies] == ["trigger", "resolve"]
    post.tell(failed(3))
    post.turn()
    post.turn()
    assert [each["event"]["action"] for each in hook.bodies] == ["trigger", "resolve", "trigger"]


def test_a_pipeline_that_failed_and_a_checkpoint_that_did_not_hold_are_told_until_it_went_well(
    post: Post, hook: Receiver
) -> None:
    post.tell(
        CheckpointRefused(
            subject=PIPELINE,
            checkpoint="planner-sanity",
            role="planner",
            reason="checkpoint_missing",
            message="m",
            before="job docs",
        )
    )
    post.tell(ExecutionFailed(subject=PIPELINE, name="docs", reason="checkpoint_missing", message="m"))
    post.turn()
    post.turn()
    told = {(each["event"]["category"], each["escalation"]["reasonCode"]) for each in hook.bodies}
    assert told == {("checkpoint_refused", "checkpoint_missing"), ("pipeline_failed", "checkpoint_missing")}
    post.town.time.passes(10)
    post.tell(ExecutionCompleted(subject=PIPELINE, name="docs"))
    post.turn()
    post.turn()
    over = [each["event"]["category"] for each in hook.bodies if each["event"]["action"] == "resolve"]
    assert sorted(over) == ["checkpoint_refused", "pipeline_failed"]


def test_what_happened_before_there_was_an_alerter_is_not_told(town: Town, hook: Receiver) -> None:
    made = Post(town.sink("hook", "webhook", hook))
    made.tell(failed())
    made.turn()
    made.turn()
    assert not hook.got


@both
def test_panic_is_told_while_it_is_on_and_when_it_is_over(post: Post, hook: Receiver) -> None:
    post.town.house.access.raise_panic(ALICE, role=Role.ADMIN, reason="smoke")
    post.turn()
    post.turn()
    assert [(each["event"]["category"], each["event"]["severity"]) for each in hook.bodies] == [
        ("panic_raised", "critical")
    ]
    post.town.house.access.release_panic(ALICE, role=Role.ADMIN, reason="aired")
    post.turn()
    post.turn()
    assert [each["event"]["action"] for each in hook.bodies] == ["trigger", "resolve"]


def test_two_alerters_tell_once(post: Post, hook: Receiver) -> None:
    other = post.another()
    for number in range(20):
        post.tell(not_generated(number))
    post.town.database.seal()
    for each in (post.alerter, other, post.alerter, other):
        each.turn()
    for each in (post.alerter, other):
        each.monotonic = lambda: 0.0
        each.finish(20)
    post.turn()
    assert len(hook.got) == len({each["escalation"]["subject"] for each in hook.bodies}) == 20


@both
def test_an_alerter_that_was_overtaken_takes_nothing_twice(post: Post, hook: Receiver) -> None:
    real, other = post.town.house.event_log, post.another()

    class Overtaken:
        def size(self) -> int:
            return real.size()

        def events(self, start: int, limit: int) -> Sequence[tuple[int, Mapping[str, Any]]]:
            found = real.events(start, limit)
            other.turn()
            return found

    post.tell(failed())
    post.alerter.log = Overtaken()
    post.turn()
    other.monotonic = lambda: 0.0
    other.finish(20)
    post.turn()
    assert [each.count for each in post.town.alerts.list()] == [1]
    assert len(hook.got) == 1


def test_threads_and_with_them_connections_are_kept_and_not_made_anew(post: Post, hook: Receiver) -> None:
    before = threading.active_count()
    for number in range(100):
        post.tell(not_generated(number))
        post.turn()
        post.turn()
    assert threading.active_count() - before < 40
    assert len(hook.got) == 100


def not_generated(number: int) -> DraftNotGenerated:
    return DraftNotGenerated(subject=f"d_{number}", draft_version=1, reason="no answer", generated={})


@both
def test_what_can_not_be_routed_waits_and_is_told_when_it_can(post: Post, hook: Receiver) -> None:
    path = post.town.root / "config" / "ops-manager-alert-sinks.v1.json"
    path.write_text("{")
    post.tell(failed())
    post.turn()
    post.turn()
    assert not hook.got
    assert post.town.alerts.list()[0].silenced
    post.town.write()
    post.turn()
    post.turn()
    assert len(hook.got) == 1


def test_a_sink_that_is_down_gets_it_later_and_is_not_hammered(post: Post, hook: Receiver) -> None:
    hook.says(Say(503))
    post.tell(failed())
    for _ in range(10):
        post.turn()
    assert len(hook.got) == 1
    hook.says(Say())
    post.town.time.passes(60)
    post.turn()
    post.turn()
    assert len(hook.got) == 2


def test_a_slow_sink_holds_up_neither_the_turn_nor_another_sink(post: Post, hook: Receiver, other: Receiver) -> None:
    hook.says("hang")
    post.town.sink("hook", "webhook", hook, timeoutSeconds=20).sink("other", "webhook", other)
    for number in range(3):
        post.tell(not_generated(number))
        post.town.database.seal()
        post.alerter.turn()
        post.alerter.turn()
        until(lambda number=number: len(other.got) > number, 3)
    hook.over.set()
    post.alerter.finish(20)


# --- loops ------------------------------------------------------------------------------------------------------------


def escalated(town: Town) -> None:
    told: dict[str, Any] = {
        "traceId": "t-1",
        "repo": str(town.root),
        "loop": "docs",
        "before": None,
        "after": {"state": "running", "health": "critical", "reasons": []},
        "escalations": [town.row("health_critical")],
    }
    town.escalates("health_critical").house.loops.tell(WORKER, told)


def judged(town: Town, health: str) -> None:
    after: dict[str, Any] = {"state": "complete", "health": health, "reasons": []}
    town.house.loops.tell(
        WORKER, {"traceId": f"t-{town.time.ms}", "repo": str(town.root), "loop": "docs", "before": {}, "after": after}
    )


@both
def test_a_loop_that_escalates_is_gone_after_and_one_that_recovers_is_resolved(post: Post, hook: Receiver) -> None:
    escalated(post.town)
    post.turn()
    post.turn()
    assert [each["event"]["category"] for each in hook.bodies] == ["health_critical"]
    assert post.town.told()[0]["status"] == "dispatched"
    post.town.time.passes(60)
    judged(post.town, "healthy")
    post.turn()
    post.turn()
    assert [each["event"]["action"] for each in hook.bodies] == ["trigger", "resolve"]


def test_an_alerter_that_died_before_it_went_after_a_loop_is_followed_by_one_that_does(
    post: Post, hook: Receiver
) -> None:
    escalated(post.town)
    post.town.database.seal()
    post.alerter._follow()  # pyright: ignore[reportPrivateUsage] - as far as it came
    post.alerter = post.another()
    post.turn()
    post.turn()
    assert len(hook.got) == 1


def test_a_loop_whose_repository_is_gone_disturbs_nobody(post: Post, hook: Receiver) -> None:
    post.town.house.loops.tell(
        WORKER,
        {"traceId": "t", "repo": "/no/where", "loop": "docs", "escalations": [{"category": "x"}]},
    )
    post.tell(failed())
    post.turn()
    post.turn()
    assert len(hook.got) == 1


# --- what stands ------------------------------------------------------------------------------------------------------


def looks(post: Post, times: int = 1) -> None:
    for _ in range(times):
        post.now += 31
        post.turn()
        post.turn()


@both
def test_what_stands_is_told_when_it_was_found_twice_and_over_when_it_is_gone(post: Post, hook: Receiver) -> None:
    post.found = [Condition("drafts", "warning", "1 drafts wait", ["d_1"])]
    looks(post)
    assert not hook.got
    looks(post, 5)
    assert [each["escalation"]["message"] for each in hook.bodies] == ["1 drafts wait"]
    post.found = [Condition("drafts", "warning", "2 drafts wait", ["d_2", "d_1"])]
    looks(post, 3)
    assert [each["escalation"]["message"] for each in hook.bodies] == ["1 drafts wait", "2 drafts wait"]
    post.found = []
    looks(post, 3)
    assert [each["event"]["action"] for each in hook.bodies] == ["trigger", "trigger", "resolve"]


def test_what_was_there_for_a_moment_is_not_told(post: Post, hook: Receiver) -> None:
    post.found = [Condition("drafts", "warning", "1 drafts wait", ["d_1"])]
    looks(post)
    post.found = []
    looks(post, 2)
    assert not hook.got


@both
def test_the_workspace_s_probes_find_what_waits_too_long(town: Town) -> None:
    house, options = town.house, town.with_options(approval_seconds=3600).options
    looking = probes(options, house.approval, house.runs, house.queue_look, lambda: None, truths=house.truths)
    assert set(looking) == {"approval_waiting", "run_stuck", "run_truth", "queue_stale", "evidence_unverified"}
    draft = house.approval.create(ALICE, "sweep")
    town.time.passes(3599)
    assert list(looking["approval_waiting"](town.time())) == []
    town.time.passes(2)
    (found,) = looking["approval_waiting"](town.time())
    assert list(found.codes) == [draft.id]
    house.approval.reject(ALICE, draft.id)
    for each in looking.values():
        assert list(each(town.time())) == []
    none = town.with_options(approval_seconds=0, run_seconds=0, evidence_seconds=0).options
    assert set(probes(none, house.approval, house.runs, house.queue_look, lambda: None, truths=house.truths)) == {
        "queue_stale",
        "run_truth",
    }


def test_evidence_that_was_altered_is_found_and_what_is_unsigned_is_not_wrong(tmp_path: Path) -> None:
    create_workspace(tmp_path, ALICE, database_url="", replace=False)
    with closing(Interlock.at(tmp_path)) as house:
        probe = house.alerter().probes["evidence_unverified"]
        assert list(probe(0)) == []
        house.approval.create(ALICE, "sweep")
        house.evidence.head()
        house.catch_up(ALICE)
        assert list(probe(3_600_000)) == []
        ledger = house.layout.evidence / "ledger.jsonl"
        ledger.write_bytes(ledger.read_bytes().replace(b"alice", b"mallory", 1))
        assert list(probe(3_600_001)) == []  # it is looked at once an hour
        (found,) = probe(7_200_000)
        assert (found.subject, found.severity) == ("evidence", "critical")
        assert found.codes


def test_entries_that_a_verb_for_many_has_yet_to_export_are_no_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_workspace(tmp_path, ALICE, database_url="", replace=False)
    with closing(Interlock.at(tmp_path)) as house:
        probe = house.alerter().probes["evidence_unverified"]
        house.evidence.head()
        house.catch_up(ALICE)
        house.approval.create(ALICE, "sweep")  # and not exported: that comes when all of them are done
        assert list(probe(0)) == []
        monkeypatch.setattr("interlock.workspace.windows._LATE_MS", -1)
        (found,) = probe(3_600_000)
        assert found.codes == ["log_mismatch"]
        monkeypatch.undo()
        house.catch_up(ALICE)
        assert list(probe(7_200_000)) == []
        ledger = house.layout.evidence / "ledger.jsonl"
        ledger.write_bytes(b"".join(ledger.read_bytes().splitlines(keepends=True)[:-1]))
        (found,) = probe(10_800_000)  # young as it is, the file had it
        assert found.codes == ["log_mismatch"]


# --- the alerter itself -----------------------------------------------------------------------------------------------


def test_the_alerter_says_every_so_often_that_it_is_alive(town: Town, hook: Receiver, other: Receiver) -> None:
    town.sink("hook", "webhook", hook).sink("dead-man", "webhook", other)
    post = Post(town.with_options(heartbeat_minutes=5, heartbeat_sink="dead-man"))
    for _ in range(11):
        post.turn()
        post.now += 60
    assert [each["event"] for each in other.bodies] == [other.bodies[0]["event"]] * 3
    assert other.bodies[0]["event"]["category"] == "alerter_heartbeat"
    assert other.bodies[0]["event"]["severity"] == "info"
    assert not hook.got
    assert json.dumps(other.bodies[0]["escalation"])


def test_without_the_setting_there_is_no_heartbeat(post: Post, hook: Receiver) -> None:
    looks(post, 100)
    assert not hook.got


def test_the_house_plugs_an_alerter_together(house: Interlock, caplog: pytest.LogCaptureFixture) -> None:
    alerter = house.alerter()
    for _ in range(3):
        house.database.seal()
        alerter.turn()
    alerter.stop()
    alerter.finish(5)
    assert set(alerter.probes) == {"approval_waiting", "run_stuck", "run_truth", "queue_stale", "evidence_unverified"}
    assert caplog.text == ""
