"""Panic: every verb that begins something is refused, on both databases, and nothing slips through while it is raised.

The lists of verbs are held against the services' public methods: a new verb belongs to one of them, or the test fails.
"""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from interlock.access.errors import Frozen, HumanNeeded, NotFrozen, ReasonBlank, RoleNeeded
from interlock.access.models import Actor, NewToken, Panic, Principal, PrincipalKind, Role
from interlock.access.service import Access
from interlock.app import Interlock
from interlock.approval.models import Work
from interlock.approval.service import Approval, Change, Generated
from interlock.evidence.cosignature import WitnessSigner
from interlock.evidence.keyring import Keyring
from interlock.evidence.note import text_of
from interlock.evidence.policy import Policy, parse_policy
from interlock.evidence.service import Evidence
from interlock.fleet.models import Facts, KeyAsked, Node, Process
from interlock.fleet.service import Fleet
from interlock.kernel.events import Event
from interlock.kernel.ids import UlidSource
from interlock.providers.service import Providers
from interlock.queue.events import QueueResumed
from interlock.queue.markdown import COLUMNS
from interlock.queue.markdown_service import MarkdownQueue
from interlock.queue.models import Executor, Item, ItemKind, NewItem, WorkerProcess
from interlock.queue.service import Queue
from interlock.runs.events import RunApplied
from interlock.runs.models import Claim, Outcome, Pulse, Run, StepName
from interlock.runs.results import Results
from interlock.runs.service import Runs
from interlock.runs.truth import Action, Truth, Verdict
from interlock.runs.watching import Truths
from interlock.settings import Settings
from interlock.storage.database import Database
from interlock.storage.evidence import StoredLog
from interlock.storage.postgres.database import PostgresDatabase
from interlock.storage.sqlite.database import SqliteDatabase
from interlock.workspace.layout import Layout
from interlock.workspace.service import make_folders, make_keys
from interlock.workspace.windows import Windows
from tests.conftest import ALICE, BOB, ORIGIN, ROBOT, WORKER, until

MANUAL = NewItem(
    kind=ItemKind.MANUAL, executor=Executor.EXTERNAL, priority="P1", task="sweep", success_criteria="swept"
)
ME = WorkerProcess(id="worker-1", host="here", boot_id="b", pid=1, start_time=1)
CI = NewToken(name="ci", principal=Principal(PrincipalKind.SERVICE, "ci"), role=Role.OPERATOR)
RUNNABLE = Work(command=("true",))
GENERATED = Generated(request=None, facts={})
PROVIDER = {
    "active": "local",
    "providers": {
        name: {"type": "openai_compat", "model": "m", "base_url": "http://127.0.0.1:9/v1", "api_key": None}
        for name in ("local", "other")
    },
}
ROW = "| A-{} | {} | P1 | sweep | swept | {} | 2026-11-21 11:00 | - | |\n"
HEADER = "| " + " | ".join(COLUMNS) + " |\n" + "|---" * 9 + "|\n"


@dataclass
class Scene:
    """A house in which something of every kind was begun before panic."""

    house: Interlock
    database: Database

    def __post_init__(self) -> None:
        house = self.house
        list(make_folders(house.layout))
        make_keys(house.layout, ORIGIN, "alice")
        (house.layout.ops / "provider.json").write_text(json.dumps(PROVIDER))
        (house.layout.ops / "provider.json").chmod(0o600)
        (house.layout.root / "QUEUE.md").write_text(
            HEADER + ROW.format(1, "PENDING", "-") + "".join(ROW.format(n, "IN_PROGRESS", "w") for n in range(2, 9))
        )
        house.approval.set_plan(ALICE, house.approval.plan().body)
        self.draft = house.approval.create(ALICE, "sweep")
        self.waiting = house.approval.await_content(ALICE, "sweep", provider="none", error="not generated yet")
        self.approved = house.approval.approve(BOB, house.approval.create(ALICE, "sweep", work=RUNNABLE).id)
        self.issued = house.access.create(ALICE, CI, role=Role.ADMIN)
        self.identity = house.access.identify(self.issued.text)
        self.session = house.access.session(house.access.open_session(self.identity))
        with house.queue(ALICE) as queue:
            self.items = [queue.add(MANUAL) for _ in range(16)]
            self.failed = _claimed(queue)
            queue.fail(self.failed.id, self.failed.fence, reason="r", message="m")
        self.errored = self.claimed()
        house.runs.begin_step(WORKER, self.errored, StepName.FINISH)
        house.runs.finish(WORKER, self.errored, Outcome(reason="agent_failed", message="m", result={}))
        self.pending = self.run()
        house.fleet.join(WORKER, replace(NODE, id="n_01ARZ3NDEKTSV4RRFFQ69G5FAW"))
        self.drained = house.fleet.drain(ALICE, "n_01ARZ3NDEKTSV4RRFFQ69G5FAW", reason="a new disk")
        house.windows.catch_up(ALICE)

    def held(self) -> Item:
        with self.house.queue(ALICE) as queue:
            return _claimed(queue)

    def run(self) -> Run:
        return self.house.runs.create(ALICE, self.approved.id)

    def claimed(self) -> Claim:
        """Make a run, and take it up."""
        self.run()
        claim = self.house.runs.claim(WORKER, ME)
        assert claim is not None
        return claim

    def judged(self) -> list[tuple[Truth, Truth | None]]:
        """Take a run up, and say something of it."""
        claim = self.claimed()
        truth = Truth(
            run_id=claim.run.id,
            fence=claim.item.fence,
            verdict=Verdict.SILENT,
            reason="no_output",
            action=Action.ASK,
            details={},
            sign="",
            host="here",
            since_ms=0,
            seen_ms=0,
        )
        return [(truth, None)]

    def queue(self, deed: Callable[[Queue], object]) -> object:
        with self.house.queue(ALICE) as queue:
            return deed(queue)

    def markdown(self) -> MarkdownQueue:
        return self.house.markdown(self.house.layout.root / "QUEUE.md", ALICE)

    def panic(self) -> None:
        self.house.access.raise_panic(ALICE, role=Role.ADMIN, reason="a rogue agent")

    def release(self) -> None:
        self.house.access.release_panic(ALICE, role=Role.ADMIN, reason="it is gone")

    def kinds(self) -> list[str]:
        """List the kinds of events in the log."""
        self.database.seal()
        return [str(event["kind"]) for _, event in StoredLog(self.database).events(0, 10_000)]

    def files(self) -> dict[str, bytes]:
        """Return what lies in the workspace, but for the database."""
        return {
            str(path): path.read_bytes()
            for path in self.house.layout.root.rglob("*")
            if path.is_file() and ".interlock" not in path.parts
        }


def _claimed(queue: Queue) -> Item:
    item = queue.claim(Executor.EXTERNAL, "w")
    assert item is not None
    return item


@pytest.fixture
def scene(house: Interlock, database: Database) -> Scene:
    """A house where work is under way."""
    return Scene(house, database)


Deed = Callable[[Scene], object]
Made = Callable[[Scene], Deed]
"""Begins something before panic, and returns what is done with it while panic is on."""


def _with(begun: Callable[[Scene], Any], deed: Callable[[Scene, Any], object]) -> Made:
    def make(scene: Scene) -> Deed:
        thing = begun(scene)
        return lambda scene: deed(scene, thing)

    return make


def _another(scene: Scene) -> str:
    return scene.house.access.create(ALICE, CI, role=Role.ADMIN).token.id


def _begun(scene: Scene, name: StepName) -> Claim:
    claim = scene.claimed()
    scene.house.runs.begin_step(WORKER, claim, name)
    return claim


def _completed(scene: Scene, claim: Claim) -> object:
    return scene.house.runs.complete_step(WORKER, claim, StepName.PREPARE, {})


def _applied(run: Run) -> Event:
    return RunApplied(subject=run.id, commit="0" * 40, mode="branch", branch=None)


def _damage(scene: Scene) -> None:
    """Change a window by hand, so that there is something to rebuild."""
    (scene.house.layout.ops / "plan.json").write_text("{}")


def _torn(scene: Scene) -> Scene:
    """Cut the exported ledger, as a crash does; what completes it is an event."""
    ledger = scene.house.layout.evidence / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes()[:-10])
    return scene


def _cosigned(scene: Scene) -> tuple[str, Policy]:
    body = text_of(scene.house.evidence.head().note)
    witness = WitnessSigner("w", Ed25519PrivateKey.generate())
    return witness.cosign(body, 1) + "\n", parse_policy(f"witness w {witness.public().vkey()}\nquorum w\n".encode())


def _keyed(scene: Scene) -> Scene:
    if not any(key.name == "agent-PlanAgent" and not key.ended for key in scene.house.keyring.list()):
        scene.house.keyring.ensure_agent(WORKER, "PlanAgent", "planner")
    return scene


NODE = Facts(
    id="n_01ARZ3NDEKTSV4RRFFQ69G5FAV",
    name="one",
    host="vm",
    boot_id="b",
    version="1",
    capabilities=(),
    labels=(),
    concurrency=1,
)
LEADER = Process(id="p", host="vm", boot_id="b", pid=1, start_time=1)
WISH = KeyAsked(name="service-n_1", vkey="v", reason="r", envelope=b"{}", asked_by="human:alice")


def _joined(scene: Scene) -> Node:
    """Let a node join that is active, and has left."""
    scene.house.fleet.join(WORKER, NODE)
    if scene.house.fleet.get(NODE.id).state.value != "active":
        scene.house.fleet.resume(ALICE, NODE.id)
    scene.house.fleet.leave(NODE.id, "p")
    return scene.house.fleet.get(NODE.id)


def _led(scene: Scene) -> object:
    return scene.house.fleet.lead("nodes", LEADER, lease_ms=60_000, dead=lambda _: False)


def _watched(scene: Scene, verb: str) -> object:
    term = scene.house.fleet.lead("nodes", LEADER, lease_ms=60_000, dead=lambda _: False)
    assert term is not None
    node = scene.house.fleet.get(NODE.id)
    if verb == "lose":
        return scene.house.fleet.lose(WORKER, node, term, silent_seconds=1)
    return scene.house.fleet.find_again(WORKER, node, term)


FROZEN: Mapping[type, Mapping[str, Deed]] = {
    Fleet: {
        "resume": lambda s: s.house.fleet.resume(ALICE, s.drained.id),
        "publish": lambda s: s.house.fleet.publish(ALICE, "[queue]\nlease_seconds = 9\n"),
        "ask_key": lambda s: s.house.fleet.ask_key(ALICE, NODE.id, WISH),
    },
    Approval: {
        "create": lambda s: s.house.approval.create(ALICE, "x"),
        "await_content": lambda s: s.house.approval.await_content(ALICE, "x", provider="p", error="e"),
        "write_content": lambda s: s.house.approval.write_content(ALICE, s.waiting, "c", GENERATED),
        "miss_content": lambda s: s.house.approval.miss_content(ALICE, s.waiting, "e", GENERATED),
        "edit": lambda s: s.house.approval.edit(ALICE, s.draft.id, Change(prompt="y")),
        "reject": lambda s: s.house.approval.reject(ALICE, s.draft.id),
        "approve": lambda s: s.house.approval.approve(BOB, s.draft.id),
        "revoke": lambda s: s.house.approval.revoke(ALICE, s.approved.id),
        "erase": lambda s: s.house.approval.erase(ALICE, s.draft.id, reason="asked for"),
        "set_plan": lambda s: s.house.approval.set_plan(ALICE, s.house.approval.plan().body),
    },
    Runs: {
        "create": lambda s: s.house.runs.create(ALICE, s.approved.id),
        "retry": lambda s: s.house.runs.retry(ALICE, s.errored.run.id),
        "claim": lambda s: s.house.runs.claim(WORKER, ME),
        "archive": lambda s: s.house.runs.archive(
            ALICE, s.errored.run.id, ended_before_ms=2**50, digest="sha256:0", log_lines=0
        ),
    },
    Queue: {
        "add": lambda s: s.queue(lambda q: q.add(MANUAL)),
        "claim": lambda s: s.queue(lambda q: q.claim(Executor.EXTERNAL, "w")),
        "promote": lambda s: s.queue(lambda q: q.promote()),
        "replan": lambda s: s.queue(lambda q: q.replan(s.items[-1].id, "anew")),
        "retry": lambda s: s.queue(lambda q: q.retry(s.failed.id)),
        "snooze": lambda s: s.queue(lambda q: q.snooze(s.items[-1].id, 2**50)),
        "reprioritise": lambda s: s.queue(lambda q: q.reprioritise(s.items[-1].id, "P0")),
        "pause": lambda s: s.queue(lambda q: q.pause("alice", reason="lunch")),
        "resume": lambda s: s.queue(lambda q: q.resume()),
        "limit": lambda s: s.queue(lambda q: q.limit("k", 1)),
    },
    MarkdownQueue: {
        "add": lambda s: s.markdown().add(priority="P1", task="t", success_criteria="c"),
        "claim": lambda s: s.markdown().claim("w"),
        "replan": lambda s: s.markdown().replan("A-1", "anew"),
        "retry": lambda s: s.markdown().retry("A-1"),
        "reprioritise": lambda s: s.markdown().reprioritise("A-1", "P0"),
        "replace_rows": lambda s: s.markdown().replace_rows([], banner=True, drop_missing=True),
    },
    Access: {
        "create": lambda s: s.house.access.create(ALICE, CI, role=Role.ADMIN),
        "rotate": lambda s: s.house.access.rotate(ALICE, s.issued.token.id, role=Role.ADMIN),
    },
    Windows: {"rebuild": lambda s: s.house.windows.rebuild(ALICE, "kept")},
    Evidence: {},
    Truths: {},
    Keyring: {
        "complete": lambda s: s.house.keyring.complete(ALICE),
        "add": lambda s: s.house.keyring.add(ALICE, "human", "bob"),
        "ensure_agent": lambda s: s.house.keyring.ensure_agent(WORKER, "PlanAgent", "planner"),
        "rotate": lambda s: s.house.keyring.rotate(ALICE, "service"),
        "announce": lambda s: s.house.keyring.announce(ALICE, "service", role=None, from_index=0, reason="r"),
    },
    Results: {
        "apply": lambda s: s.house.results.apply(ALICE, s.errored.run.id, repository=None, into_tree=False),
    },
    Providers: {
        "set": lambda s: s.house.providers.set(ALICE, {"active": "other"}),
        "generate": lambda s: s.house.providers.generate(ALICE, "x"),
    },
}
"""What panic refuses."""

CALMING: Mapping[type, Mapping[str, Made]] = {
    Fleet: {
        "join": _with(lambda s: s, lambda s, _: s.house.fleet.join(WORKER, NODE)),
        "beat": _with(_joined, lambda s, n: s.house.fleet.beat(n.id, config_version=0)),
        "lead": _with(_joined, lambda s, _: _led(s)),
        "lose": _with(_joined, lambda s, _: _watched(s, "lose")),
        "find_again": _with(_joined, lambda s, _: _watched(s, "find_again")),
        "drain": _with(_joined, lambda s, n: s.house.fleet.drain(ALICE, n.id, reason="r")),
        "quarantine": _with(_joined, lambda s, n: s.house.fleet.quarantine(ALICE, n.id, reason="r")),
        "leave": _with(_joined, lambda s, n: s.house.fleet.leave(n.id, "p")),
        "forget": _with(_joined, lambda s, n: s.house.fleet.forget(ALICE, n.id)),
    },
    Approval: {},
    Runs: {
        "cancel": _with(Scene.run, lambda s, run: s.house.runs.cancel(ALICE, run.id)),
        "begin_step": _with(Scene.claimed, lambda s, c: s.house.runs.begin_step(WORKER, c, StepName.PREPARE)),
        "agent_started": _with(
            Scene.claimed,
            lambda s, c: s.house.runs.agent_started(WORKER, c, pid=1, start_time=1, boot="b", mode="best_effort"),
        ),
        "complete_step": _with(lambda s: _begun(s, StepName.PREPARE), _completed),
        "finish": _with(
            lambda s: _begun(s, StepName.FINISH),
            lambda s, c: s.house.runs.finish(WORKER, c, Outcome(reason=None, message="", result={})),
        ),
        "tell": _with(Scene.run, lambda s, run: s.house.runs.tell(ALICE, _applied(run))),
        "give_back": _with(Scene.claimed, lambda s, c: s.house.runs.give_back(WORKER, c)),
        "rescue": _with(Scene.claimed, lambda s, c: s.house.runs.rescue(WORKER, c.item, reason="worker_dead")),
        "renew": _with(Scene.claimed, lambda s, _: s.house.runs.renew(ME.id)),
        "keep": _with(Scene.claimed, lambda s, c: s.house.runs.keep([(c.item.id, c.item.fence)])),
        "cancel_held": _with(
            Scene.claimed,
            lambda s, c: s.house.runs.cancel_held(WORKER, c.item.id, c.item.fence, cause="stopped", reason="elsewhere"),
        ),
        "write_log": _with(Scene.claimed, lambda s, c: s.house.runs.write_log(c, [])),
        "put_pulse": _with(Scene.claimed, lambda s, c: s.house.runs.put_pulse(c, Pulse(fence=c.item.fence))),
        "report_ci": _with(
            Scene.run, lambda s, run: s.house.runs.report_ci(ALICE, run.id, commit="a" * 40, succeeded=True)
        ),
    },
    Queue: {
        "hold": _with(Scene.held, lambda s, i: s.queue(lambda q: q.hold(i.id, i.fence))),
        "heartbeat": _with(Scene.held, lambda s, i: s.queue(lambda q: q.heartbeat(i.id, i.fence))),
        "renew": _with(Scene.held, lambda s, _: s.queue(lambda q: q.renew("w"))),
        "complete": _with(Scene.held, lambda s, i: s.queue(lambda q: q.complete(i.id, i.fence))),
        "fail": _with(
            Scene.held, lambda s, i: s.queue(lambda q: q.fail(i.id, i.fence, reason="r", message="m", transient=True))
        ),
        "release": _with(Scene.held, lambda s, i: s.queue(lambda q: q.release(i.id, i.fence))),
        "await_word": _with(Scene.held, lambda s, i: s.queue(lambda q: q.await_word(i.id, i.fence, waits_for="ci"))),
        "word_came": _with(Scene.held, lambda s, i: s.queue(lambda q: q.word_came(i.id, waits_for="ci"))),
        "rescue": _with(Scene.held, lambda s, i: s.queue(lambda q: q.rescue(i, reason="lease_expired"))),
        "cancel": _with(Scene.held, lambda s, i: s.queue(lambda q: q.cancel(i.id))),
        "settle": _with(Scene.held, lambda s, i: s.queue(lambda q: q.settle(i))),
    },
    MarkdownQueue: {
        "complete": _with(Scene.markdown, lambda _, q: q.complete("A-2")),
        "fail": _with(Scene.markdown, lambda _, q: q.fail("A-3")),
        "release": _with(Scene.markdown, lambda _, q: q.release("A-4")),
        "cancel": _with(Scene.markdown, lambda _, q: q.cancel("A-5")),
        "rescue": _with(Scene.markdown, lambda _, q: q.rescue(0)),
    },
    Access: {
        "revoke": _with(_another, lambda s, t: s.house.access.revoke(ALICE, t, role=Role.ADMIN)),
        "open_session": _with(lambda s: s.identity, lambda s, i: s.house.access.open_session(i)),
        "end_session": _with(lambda s: s.session, lambda s, i: s.house.access.end_session(i)),
        "raise_panic": _with(lambda s: s, lambda s, _: s.panic()),
        "refused": _with(lambda s: s, lambda s, _: s.house.access.refused(ROBOT, code="human_needed", deed="approve")),
        "denied": _with(lambda s: s, lambda s, _: s.house.access.denied("10.0.0.1", None, "token_invalid")),
        "settle": _with(lambda s: s, lambda s, _: s.house.access.settle()),
        "release_panic": _with(lambda s: s, lambda s, _: s.release()),
    },
    Windows: {"catch_up": _with(_torn, lambda s, _: s.house.windows.catch_up(ALICE))},
    Evidence: {
        "head": _with(lambda s: s, lambda s, _: s.house.evidence.head()),
        "add_cosignatures": _with(_cosigned, lambda s, given: s.house.evidence.add_cosignatures(*given)),
    },
    Keyring: {
        "retire": _with(_keyed, lambda s, _: s.house.keyring.retire(ALICE, "agent-PlanAgent")),
        "revoke": _with(_keyed, lambda s, _: s.house.keyring.revoke(ALICE, "agent-PlanAgent", reason="lost")),
    },
    Truths: {
        "put": _with(Scene.judged, lambda s, judged: s.house.truths.put(ALICE, judged)),
        "forget": _with(Scene.judged, lambda s, judged: s.house.truths.forget([judged[0][0]])),
        "note_failure": _with(Scene.judged, lambda s, judged: s.house.truths.note_failure(ALICE, judged[0][0], "x", 1)),
        "take_over": _with(Scene.claimed, lambda s, c: s.house.truths.take_over(ALICE, c.item, reason="worker_dead")),
        "take_back": _with(Scene.claimed, lambda s, c: s.house.truths.take_back(ALICE, c.item, reason="silent")),
        "end": _with(Scene.claimed, lambda s, c: s.house.truths.end(ALICE, c.item, reason="silent", message="m")),
        "finalise": _with(
            Scene.claimed, lambda s, c: s.house.truths.finalise(ALICE, c.item, reason="silent", message="m")
        ),
    },
    Results: {},
    Providers: {},
}
"""What goes on while panic is on; `release_panic` ends it, so it comes last."""

READING: Mapping[type, set[str]] = {
    Fleet: {
        *("list", "get", "find", "leaders", "standing", "check", "keys_asked"),
        *("newest", "newest_version", "config", "configs"),
    },
    Approval: {"draft", "drafts", "versions", "difference", "terms", "approved", "all_approved", "plan"},
    Runs: {
        *("get", "in_full", "list", "steps", "log", "search", "patch", "ended_before"),
        *("check_startable", "frozen", "places", "pulse"),
    },
    Queue: {"get", "list", "counts", "due", "waiting", "history", "explain", "lost", "paused", "together"},
    MarkdownQueue: {"warnings", "rows", "row"},
    Access: {"list", "get", "identify", "known", "session", "panic"},
    Windows: {"differences", "exported", "held_still"},
    Evidence: {"prove", "consistency", "witness_request", "export"},
    Keyring: {"list", "log_signers"},
    Truths: {"get", "list", "asking", "held", "standing", "limits", "ended", "get_kept"},
    Results: set(),
    Providers: {"show", "health"},
}
ROOMS = list(READING)


# --- every verb -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.__name__)
def test_every_verb_of_a_room_is_known_to_read_to_begin_or_to_end_something(room: type) -> None:
    public = {
        name
        for name, member in inspect.getmembers(room)
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property))
    }
    known = [*READING[room], *FROZEN[room], *CALMING[room]]
    assert len(known) == len(set(known))
    assert public == set(known)


@pytest.mark.parametrize("room", [room for room in ROOMS if FROZEN[room]], ids=lambda room: room.__name__)
def test_what_begins_something_is_refused_while_panic_is_on_and_changes_nothing(room: type, scene: Scene) -> None:
    scene.panic()
    scene.house.windows.catch_up(ALICE)
    _damage(scene)
    before, files = scene.kinds(), scene.files()
    for name, deed in FROZEN[room].items():
        with pytest.raises(Frozen, match="raised by human:alice: a rogue agent"):
            deed(scene)
        assert scene.kinds() == before, name
        assert scene.files() == files, name


@pytest.mark.parametrize("room", [room for room in ROOMS if CALMING[room]], ids=lambda room: room.__name__)
def test_what_ends_something_goes_on_while_panic_is_on(room: type, scene: Scene) -> None:
    for name, make in CALMING[room].items():
        deed = make(scene)
        scene.panic()
        deed(scene)
        if name != "release_panic":
            assert scene.house.access.panic() is not None
            scene.release()


def test_what_was_refused_is_done_after_the_release(scene: Scene) -> None:
    scene.panic()
    scene.release()
    for room in (Approval, Queue):
        for name in ("create", "add", "set_plan", "limit", "replan", "reprioritise"):
            if name in FROZEN[room]:
                FROZEN[room][name](scene)
    assert scene.kinds().count("panic.raised") == scene.kinds().count("panic.released") == 1


def test_a_transaction_that_goes_on_tells_nothing_that_panic_freezes(scene: Scene) -> None:
    """Whoever opens one for what ends something can not begin anything in it, not even past the verbs."""
    scene.panic()
    before = scene.kinds()
    with pytest.raises(Frozen), scene.database.write(ALICE, calming=True) as transaction:
        transaction.emit(QueueResumed(subject="queue"))
    assert scene.kinds() == before


# --- who raises and releases it ---------------------------------------------------------------------------------------

OPERATING = Actor(principal=Principal(PrincipalKind.SERVICE, "watch"))


def test_it_is_raised_by_a_human_or_an_operator_and_released_by_a_human_admin_alone(house: Interlock) -> None:
    access = house.access
    with pytest.raises(NotFrozen):
        access.release_panic(ALICE, role=Role.ADMIN, reason="r")
    with pytest.raises(RoleNeeded):
        access.raise_panic(OPERATING, role=Role.ACTIONS, reason="r")
    with pytest.raises(ReasonBlank):
        access.raise_panic(ALICE, role=Role.ADMIN, reason=" ")
    assert access.panic() is None
    raised = access.raise_panic(OPERATING, role=Role.OPERATOR, reason="first")
    assert access.raise_panic(ALICE, role=Role.ACTIONS, reason="second") == raised == access.panic()
    for actor in (OPERATING, ROBOT):
        with pytest.raises(HumanNeeded):
            access.release_panic(actor, role=Role.ADMIN, reason="r")
    with pytest.raises(RoleNeeded):
        access.release_panic(ALICE, role=Role.OPERATOR, reason="r")
    with pytest.raises(ReasonBlank):
        access.release_panic(ALICE, role=Role.ADMIN, reason="")
    assert access.panic() == raised
    assert access.release_panic(BOB, role=Role.ADMIN, reason="over") == raised
    assert access.panic() is None
    events = [event for _, event in StoredLog(house.database).events(0, 10)]
    assert [(e["kind"], e["principal"], e["payload"]["reason"]) for e in events] == [
        ("panic.raised", "service:watch", "first"),
        ("panic.released", "human:bob", "over"),
    ]


# --- nothing slips through --------------------------------------------------------------------------------------------


@dataclass
class Place:
    """One kind of database, and how another process finds it."""

    root: Path
    address: str
    opened: list[Database] = field(default_factory=list[Database])

    def database(self) -> Database:
        made = PostgresDatabase(self.address) if self.on_postgres else SqliteDatabase(Path(self.address))
        self.opened.append(made)
        return made

    def house(self) -> Interlock:
        return Interlock(Layout(self.root), Settings(), self.database(), UlidSource())

    @property
    def on_postgres(self) -> bool:
        return self.address.startswith("postgresql:")

    def blocked(self) -> int:
        """Count the connections that wait for a lock; SQLite's writers wait where nobody sees it."""
        if not self.on_postgres:
            return 0
        with psycopg.connect(self.address, autocommit=True) as connection:
            asked = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            row = connection.execute(asked).fetchone()
        return int(row[0]) if row else 0


@pytest.fixture(params=["sqlite", "postgres", "postgres that repeats its reads"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    state = tmp_path / ".interlock"
    state.mkdir(exist_ok=True)
    address = str(state / "interlock.db")
    if request.param != "sqlite":
        address = request.getfixturevalue("postgres_url")
    if "repeats" in request.param:
        with psycopg.connect(address, autocommit=True) as connection:
            name = connection.info.dbname
            connection.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'".encode())
    made = Place(tmp_path, address)
    made.database().create(ORIGIN)
    make_keys(Layout(tmp_path), ORIGIN, "alice")
    yield made
    for each in made.opened:
        each.close()


@contextmanager
def _writers(place: Place, count: int) -> Generator[list[subprocess.Popen[str]]]:
    script = (sys.executable, "-m", "tests.storage.panic_writer", str(place.root), place.address)
    started = [
        subprocess.Popen(script, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(count)
    ]
    try:
        yield started
    finally:
        for each in started:
            each.kill()
            each.communicate()


def test_eight_racing_writers_change_nothing_more_once_panic_was_raised(place: Place) -> None:
    house = place.house()
    with _writers(place, 8) as writers:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "begun\n"
        house.access.raise_panic(ALICE, role=Role.ADMIN, reason="stop")
        with house.queue_look() as queue:
            items = sum(queue.counts().values())
        told = [writer.communicate(timeout=50) for writer in writers]
    said = [json.loads(out) for out, _ in told]
    assert [each["slipped"] for each in said] == [0] * 8, told
    assert all(each["begun"] >= 4 for each in said)
    with house.queue_look() as queue:
        assert sum(queue.counts().values()) == items
    house.database.seal()
    kinds = [event["kind"] for _, event in StoredLog(house.database).events(0, 100_000)]
    assert len(kinds) == sum(each["begun"] for each in said) + 1
    assert kinds[-1] == "panic.raised"


def test_panic_waits_for_who_is_writing_and_who_comes_later_waits_for_panic(place: Place) -> None:
    early, late, brake = place.house(), place.house(), place.house()
    began, may_end = threading.Event(), threading.Event()

    def write_slowly() -> None:
        with early.queue(ALICE) as queue:
            queue.add(MANUAL)
            began.set()
            assert may_end.wait(20)
            queue.add(MANUAL)

    with ThreadPoolExecutor(3) as pool:
        writing = pool.submit(write_slowly)
        assert began.wait(20)
        raising = pool.submit(brake.access.raise_panic, ALICE, role=Role.ADMIN, reason="stop")
        if place.on_postgres:
            until(lambda: place.blocked() == 1 or raising.done())
        refused = pool.submit(late.approval.create, ALICE, "x")
        if place.on_postgres:
            until(lambda: place.blocked() == 2 or refused.done())
            assert not raising.done()
            assert not refused.done()
        may_end.set()
        writing.result(20)
        raising.result(20)
        if place.on_postgres:  # SQLite's write lock has no queue: there it may have come before the panic
            with pytest.raises(Frozen):
                refused.result(20)
        else:
            refused.exception(20)
    brake.database.seal()
    kinds = [event["kind"] for _, event in StoredLog(brake.database).events(0, 100)]
    assert kinds.count("item.added") == 2
    assert kinds[-1] == "panic.raised"


def _stop(house: Interlock) -> Panic:
    return house.access.raise_panic(ALICE, role=Role.ADMIN, reason="stop")


def test_two_who_raise_it_at_the_same_moment_do_not_lock_each_other_out(place: Place) -> None:
    houses = [place.house() for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        raised = list(pool.map(_stop, houses))
    assert len(set(raised)) == 1
    assert StoredLog(houses[0].database).size() == 1


def test_it_lasts_over_a_restart_and_holds_on_every_node(place: Place) -> None:
    place.house().access.raise_panic(ALICE, role=Role.ADMIN, reason="stop")
    place.opened[-1].close()
    node = place.house()
    with pytest.raises(Frozen):
        node.approval.create(ALICE, "x")
    place.house().access.release_panic(ALICE, role=Role.ADMIN, reason="go")
    assert node.approval.create(ALICE, "x").version == 1


# --- Markdown ---------------------------------------------------------------------------------------------------------


def test_a_markdown_queue_outside_of_the_workspace_is_not_frozen(
    scene: Scene, tmp_path_factory: pytest.TempPathFactory
) -> None:
    scene.panic()
    outside = tmp_path_factory.mktemp("outside") / "QUEUE.md"
    outside.write_text(HEADER + ROW.format(1, "PENDING", "-"))
    assert scene.house.markdown(outside, ALICE).claim("w") is not None


def test_a_change_that_was_cut_off_before_panic_is_told_after_it(scene: Scene) -> None:
    scene.house.database.close()

    def die(point: str) -> None:
        if point == "file.written":
            raise KeyboardInterrupt

    queue = scene.markdown()
    with pytest.raises(KeyboardInterrupt):
        MarkdownQueue(queue.path, journal=queue.journal, probe=die).claim("w")
    scene.panic()
    assert scene.markdown().complete("A-2").cells["status"] == "DONE"
    scene.house.catch_up(ALICE)
    changed = [k for k in scene.kinds() if k == "markdown.changed"]
    scene.release()
    scene.house.catch_up(ALICE)
    assert scene.kinds().count("markdown.changed") == 2
    assert changed == []  # what comes after it waits with it: the log keeps the file's order
