"""Whoever asks for whatever in any order: a small model says what is answered, and the log says what then is.

The server and its SQLite are real. What the model knows: who may call (the document says it), what panic freezes, and
which state allows which verb. After each step every thing's state is what its events come to, and every run stands on
an approval.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import Any, ClassVar, cast

import httpx2
import jsonschema_rs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from interlock.queue.models import MAY_BECOME as ITEM_MAY_BECOME
from interlock.queue.models import ItemStatus
from interlock.runs.models import MAY_BECOME as RUN_MAY_BECOME
from interlock.runs.models import RunStatus
from interlock.storage.evidence import StoredLog
from tests.fuzz.effort import effort
from tests.http.document import COMMITTED
from tests.http.served import KINDS, ROLES, Served

DOCUMENT: dict[str, Any] = json.loads(COMMITTED.read_text(encoding="utf-8"))
NOBODY = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
HELD_VERBS = ("heartbeat", "complete", "fail", "release")
CALMING = {
    ("POST", "/ops/runs/{run_id}/cancel"),
    *(("POST", f"/ops/queue/items/{{item_id}}/{verb}") for verb in (*HELD_VERBS, "cancel")),
    ("POST", "/ops/tokens/{token_id}/revoke"),
    ("PUT", "/ops/panic"),
    ("POST", "/ops/panic/release"),
}
"""What may be done while panic is on: it only brings to an end. Everything else that writes is frozen."""
callers = st.tuples(st.sampled_from(ROLES), st.sampled_from(KINDS))
mostly = st.one_of(*[st.just(("admin", "human"))] * 4, callers)
Caller = tuple[str, str]


@dataclass
class Thing:
    """What the model knows of one thing."""

    status: str
    about: str = ""
    """Of an approved record its draft, of a run its approved record, of an item its run."""
    fence: int = 0
    version: int = 1
    attempts: int = 0
    waits: bool = False
    """Of an item: for a new approved draft."""
    path: list[str] = field(default_factory=list[str])


Things = dict[str, Thing]


class AnyOrder(RuleBasedStateMachine):
    """One server, and what was made in this example."""

    served: ClassVar[Served]

    def __init__(self) -> None:
        super().__init__()
        self.drafts: Things = {}
        self.approved: Things = {}
        self.runs: Things = {}
        self.items: Things = {}
        self.tokens: Things = {}
        self.panic = False
        self.paused = False
        self.log = StoredLog(self.served.house.database)
        self.begun = self.log.size()

    @initialize(then=st.sampled_from(["", *HELD_VERBS]), transient=st.booleans())
    def begin(self, then: str, *, transient: bool) -> None:
        """Begin with something, so that no example has nothing to do."""
        somebody = ("admin", "human")
        for prompt in ("sweep", "dust"):
            self.drafts[self.ask(somebody, "POST", "/ops/drafts", {"prompt": prompt}, 201)["id"]] = Thing("draft")
        made = self.ask(somebody, "POST", "/ops/drafts/{draft_id}/approve", {}, 200, draft_id=next(iter(self.drafts)))
        self.approved[made["approved"]["id"]] = Thing("valid", about=made["approved"]["draft_id"])
        self.drafts[made["approved"]["draft_id"]].status = "approved"
        self.new_run(self.ask(somebody, "POST", "/ops/runs", {"approved_id": made["approved"]["id"]}, 201))
        self.add_item(somebody, 2)
        self.claim(somebody, then, transient=transient)

    def teardown(self) -> None:
        """Leave nothing behind that another example would stand on."""
        admin = self.served.client()
        if admin.get("/ops/panic").json()["status"] != "off":
            assert admin.post("/ops/panic/release", json={"reason": "over"}).status_code == 200
        admin.request("DELETE", "/ops/queue/pause")
        for item in admin.get("/ops/queue/items", params={"limit": 1000}).json():
            if item["status"] in {"PENDING", "IN_PROGRESS"}:
                admin.post(f"/ops/queue/items/{item['id']}/cancel")

    # --- asking -------------------------------------------------------------------------------------------------------

    def ask(self, by: Caller, method: str, template: str, body: object, *expected: int, **ids: str) -> Any:  # noqa: ANN401 - JSON of any shape
        """Ask, and hold the answer against the document and the model; returns what it holds, None for a refusal.

        `expected` is what is answered where the caller may and nothing is frozen.
        """
        operation = DOCUMENT["paths"][template][method.lower()]
        refused, frozen = self.refusal(by, method, template, operation)
        wanted = (refused,) if refused else expected
        if frozen:  # what is wrong besides may be said first
            wanted = (423, *(code for code in expected if code >= 400))
        answer = self.served.client(*by).request(method, template.format(**ids), json=body)
        assert answer.status_code in wanted, (by, method, template, ids, answer.text)
        _check_answer(operation, answer)
        return answer.json() if answer.status_code < 300 else None

    def refusal(self, by: Caller, method: str, template: str, operation: Mapping[str, Any]) -> tuple[int, bool]:
        """Say with which status this caller is refused, whatever it asks for (0: none), and whether it is frozen."""
        role, kind = by
        low = ROLES.index(role) < ROLES.index(operation["x-required-role"])
        if low or (operation.get("x-only-humans") and kind != "human"):
            return 403, False
        return 0, self.panic and (method, template) not in CALMING

    def pick(self, data: st.DataObject, things: Things, prefix: str) -> str:
        """Choose one of the things, or one that is not there."""
        return data.draw(st.sampled_from([*list(things) * (1 + 6 // (1 + len(things))), f"{prefix}_{NOBODY}"]))

    # --- drafts -------------------------------------------------------------------------------------------------------

    @rule(by=mostly, key=st.sampled_from(["", "a", "b"]))
    def create_draft(self, by: Caller, key: str) -> None:
        made = self.ask(by, "POST", "/ops/drafts", {"prompt": f"sweep {key}"}, 201)
        if made:
            assert (made["status"], made["author"]) == ("draft", f"{by[1]}:{by[1]}-{by[0]}")
            self.drafts[made["id"]] = Thing("draft")

    @rule(by=mostly, data=st.data())
    def edit_draft(self, by: Caller, data: st.DataObject) -> None:
        name = self.pick(data, self.drafts, "d")
        known = self.drafts.get(name)
        code = 404 if known is None else 200 if known.status == "draft" else 409
        text = f"sweep {known.version if known else 0} more"
        if self.ask(by, "PUT", "/ops/drafts/{draft_id}", {"prompt": text}, code, draft_id=name) and known:
            known.version += 1

    @rule(by=mostly, data=st.data())
    def reject_draft(self, by: Caller, data: st.DataObject) -> None:
        name = self.pick(data, self.drafts, "d")
        known = self.drafts.get(name)
        code = 404 if known is None else 200 if known.status == "draft" else 409
        if self.ask(by, "POST", "/ops/drafts/{draft_id}/reject", {"reason": "no"}, code, draft_id=name) and known:
            known.status = "rejected"

    @rule(by=mostly, data=st.data())
    def approve_draft(self, by: Caller, data: st.DataObject) -> None:
        name = self.pick(data, self.drafts, "d")
        known = self.drafts.get(name)
        code = 404 if known is None else 200 if known.status == "draft" else 409
        made = self.ask(by, "POST", "/ops/drafts/{draft_id}/approve", {}, code, draft_id=name)
        if made and known:
            known.status = "approved"
            self.approved[made["approved"]["id"]] = Thing("valid", about=name)
            assert made["approved"]["approved_by"].startswith("human:")

    @rule(by=mostly, dice=st.integers(0, 3))
    def generate(self, by: Caller, dice: int) -> None:
        if dice == 0:  # nobody listens where the provider that is set up at first should be
            assert self.ask(by, "POST", "/ops/generate", {"prompt": "write"}, 503) is None

    # --- approved records and runs ------------------------------------------------------------------------------------

    @precondition(lambda self: self.approved)
    @rule(by=mostly, data=st.data())
    def revoke(self, by: Caller, data: st.DataObject) -> None:
        name = self.pick(data, self.approved, "a")
        known = self.approved.get(name)
        code = 404 if known is None else 200 if known.status == "valid" else 409
        if self.ask(by, "POST", "/ops/approved/{approved_id}/revoke", {}, code, approved_id=name) and known:
            known.status = "revoked"

    @rule(by=mostly, data=st.data())
    def create_run(self, by: Caller, data: st.DataObject) -> None:
        name = self.pick(data, self.approved, "a")
        known = self.approved.get(name)
        code = 404 if known is None else 201 if known.status == "valid" else 409
        made = self.ask(by, "POST", "/ops/runs", {"approved_id": name}, code)
        if made:
            self.new_run(made)

    @rule(by=mostly, data=st.data())
    def create_run_of_what_is_no_approval(self, by: Caller, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from([*self.drafts, *self.runs, "", "../a", f"a_{NOBODY.lower()}"]))
        code = 403 if name in self.drafts else 422
        assert self.ask(by, "POST", "/ops/runs", {"approved_id": name}, code) is None

    @precondition(lambda self: self.runs)
    @rule(by=mostly, data=st.data(), verb=st.sampled_from(["cancel", "retry"]))
    def end_or_retry_run(self, by: Caller, data: st.DataObject, verb: str) -> None:
        name = self.pick(data, self.runs, "r")
        known = self.runs.get(name)
        code = 404 if known is None else 200 if self.may(known, verb) else 409
        body: dict[str, str] | None = {"reason": "enough"} if verb == "cancel" else None
        self.ask(by, "POST", f"/ops/runs/{{run_id}}/{verb}", body, code, run_id=name)
        self.look_again()

    def may(self, run: Thing, verb: str) -> bool:
        """Say whether a run's state and approval allow this."""
        if verb == "cancel":
            return run.status in {"pending", "running"}
        return run.status == "error" and self.approved[run.about].status == "valid"

    # --- the queue ----------------------------------------------------------------------------------------------------

    @rule(by=mostly, attempts=st.sampled_from([1, 2]))
    def add_item(self, by: Caller, attempts: int) -> None:
        body = {"task": "sweep", "success_criteria": "swept", "max_attempts": attempts}
        made = self.ask(by, "POST", "/ops/queue/items", body, 201)
        if made:
            self.items[made["id"]] = Thing("PENDING", attempts=attempts)

    @rule(by=mostly, then=st.sampled_from(["", "fail", *HELD_VERBS]), transient=st.booleans())
    def claim(self, by: Caller, then: str, *, transient: bool) -> None:
        made = self.ask(by, "POST", "/ops/queue/claim", {"owner_session": "s", "lease_seconds": 600}, 200)
        if made is None:
            return
        free = {name for name, item in self.items.items() if item.status == "PENDING"}
        assert made["id"] is None or (made["id"] in free and not self.paused), (made, free)
        self.look_again()
        if made["id"] is not None and then:
            self.tell(by, made["id"], then, transient=transient)

    @precondition(lambda self: self.items)
    @rule(
        by=mostly,
        data=st.data(),
        verb=st.sampled_from(HELD_VERBS),
        transient=st.booleans(),
        late=st.sampled_from([0, 0, 0, 1]),
    )
    def tell_of_item(self, by: Caller, data: st.DataObject, verb: str, *, transient: bool, late: int) -> None:
        self.tell(by, self.pick(data, self.items, "q"), verb, transient=transient, late=late)

    def tell(self, by: Caller, name: str, verb: str, *, transient: bool, late: int = 0) -> None:
        """Tell of an item as whoever holds it would, or with a fence that is none."""
        known = self.items.get(name)
        held = known is not None and known.status == "IN_PROGRESS" and not late
        body: dict[str, Any] = {"fence": (known.fence if known else 0) + late}
        body |= {"transient": transient, "reason": "it rained"} if verb == "fail" else {}
        code = 404 if known is None else 200 if held else 409
        self.ask(by, "POST", f"/ops/queue/items/{{item_id}}/{verb}", body, code, item_id=name)
        self.look_again()

    @precondition(lambda self: self.items)
    @rule(by=mostly, data=st.data(), verb=st.sampled_from(["cancel", "replan", "reprioritise", "snooze", "retry"]))
    def steer_item(self, by: Caller, data: st.DataObject, verb: str) -> None:
        name = self.pick(data, self.items, "q")
        known = self.items.get(name)
        codes = (404,) if known is None else self.steered(known, verb)
        bodies = {"replan": {"notes": "again"}, "reprioritise": {"priority": "P0"}}
        self.ask(by, "POST", f"/ops/queue/items/{{item_id}}/{verb}", bodies.get(verb, {}), *codes, item_id=name)
        self.look_again()

    def steered(self, item: Thing, verb: str) -> tuple[int, ...]:
        """Say what is answered to an operator."""
        if verb == "cancel":
            return (200,) if item.status in {"PENDING", "IN_PROGRESS", "BLOCKED"} else (409,)
        if verb == "replan":
            return (200, 409) if item.about else (200,)  # of a run, whether that can still end
        if verb == "reprioritise":
            return (409,) if item.status == "DONE" else (200,)
        if verb == "snooze":
            return (200,) if item.status == "PENDING" and not item.waits else (409,)
        return (200, 409) if item.status == "FAILED" else (409,)  # as long as there are attempts

    @rule(by=mostly, dice=st.integers(0, 3))
    def pause(self, by: Caller, dice: int) -> None:
        on = dice == 0
        if self.ask(by, "PUT" if on else "DELETE", "/ops/queue/pause", {"reason": "lunch"} if on else None, 200):
            self.paused = on

    # --- panic and tokens ---------------------------------------------------------------------------------------------

    @rule(by=callers, really=st.booleans())
    def raise_panic(self, by: Caller, *, really: bool) -> None:
        if really and self.ask(by, "PUT", "/ops/panic", {"reason": "smoke"}, 200):
            self.panic = True

    @precondition(lambda self: self.panic)
    @rule(by=mostly)
    def release_panic(self, by: Caller) -> None:
        if self.ask(by, "POST", "/ops/panic/release", {"reason": "fine"}, 200):
            self.panic = False

    @rule(by=mostly, role=st.sampled_from(ROLES), kind=st.sampled_from(KINDS))
    def create_token(self, by: Caller, role: str, kind: str) -> None:
        body = {"name": "x", "role": role, "kind": kind, "principal": "somebody"}
        # Only a human makes another human's token.
        made = self.ask(by, "POST", "/ops/tokens", body, *((201,) if by[1] == "human" else (201, 403)))
        if made:
            assert kind != "human" or by[1] == "human"
            self.tokens[made["id"]] = Thing("valid", about=made["token"])

    @precondition(lambda self: self.tokens)
    @rule(by=mostly, data=st.data())
    def revoke_token(self, by: Caller, data: st.DataObject) -> None:
        name = self.pick(data, self.tokens, "t")
        known = self.tokens.get(name)
        code = 404 if known is None else 200 if known.status == "valid" else 409
        if self.ask(by, "POST", "/ops/tokens/{token_id}/revoke", {}, code, 403, token_id=name) and known:
            known.status = "revoked"

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def show_token(self, data: st.DataObject) -> None:
        token = self.tokens[data.draw(st.sampled_from(list(self.tokens)))]
        answer = self.served.client("actions", "agent").get(
            "/ops/me", headers={"Authorization": f"Bearer {token.about}"}
        )
        assert answer.status_code == (200 if token.status == "valid" else 401), answer.text

    # --- what is then -------------------------------------------------------------------------------------------------

    def look_again(self) -> None:
        """Read runs and items anew; each went on only where its table lets it."""
        admin = self.served.client()
        for name, run in self.runs.items():
            run.path.append(run.status)
            run.status = admin.get(f"/ops/runs/{name}").json()["status"]
            moved = run.path[-1] != run.status
            assert not moved or _can_reach(RunStatus, RUN_MAY_BECOME.allows, run.path[-1], run.status)
        for name, item in self.items.items():
            shown = admin.get(f"/ops/queue/items/{name}").json()
            was, item.status, item.fence = item.status, shown["status"], shown["fence"]
            item.waits = shown["waits_for"] in {"approval", "ci"}
            assert was == item.status or _can_reach(ItemStatus, ITEM_MAY_BECOME.allows, was, item.status)

    def new_run(self, made: Mapping[str, Any]) -> None:
        """Note a run that was made, and its item."""
        self.runs[made["id"]] = Thing("pending", about=made["approved_id"])
        self.items[self.served.house.runs.get(made["id"]).item_id] = Thing("PENDING", about=made["id"])

    @invariant()
    def every_state_is_what_the_events_come_to(self) -> None:
        house, told = self.served.house, self.folded()
        assert {name: told[name] for name in self.drafts} == {
            name: house.approval.draft(name).status.value for name in self.drafts
        }
        assert {name: thing.status for name, thing in self.drafts.items()} == {name: told[name] for name in self.drafts}
        assert {name: told[name] for name in self.runs} == {
            name: house.runs.get(name).status.value for name in self.runs
        }
        with house.queue_look() as queue:
            assert {name: told[name] for name in self.items} == {
                name: queue.get(name).status.value for name in self.items
            }
        assert (told.get("panic") == "on") == self.panic == (house.access.panic() is not None)

    @invariant()
    def no_run_is_there_without_an_approval_by_a_human(self) -> None:
        house = self.served.house
        for name, run in self.runs.items():
            approved = house.approval.approved(house.runs.get(name).approved_id)
            assert approved.id == run.about
            assert approved.approved_by.startswith("human:")
        assert {run.id for run in house.runs.list(limit=10_000) if run.approved_id in self.approved} == set(self.runs)

    def folded(self) -> dict[str, str]:
        """Return what the log's events of this example come to, by subject."""
        found: dict[str, str] = {}
        for _, event in self.events():
            after = BECOMES.get(event["kind"])
            if after is not None:
                found[event["subject"]] = after if isinstance(after, str) else after(event["payload"])
        return found

    def events(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        at = self.begun
        while page := self.log.events(at, 500):
            yield from page
            at = page[-1][0] + 1


BECOMES: Mapping[str, str | Callable[[Mapping[str, Any]], str]] = {
    "draft.created": "draft",
    "draft.edited": "draft",
    "draft.rejected": "rejected",
    "draft.approved": "approved",
    "run.created": "pending",
    "run.started": "running",
    "run.done": "done",
    "run.failed": "error",
    "run.cancelled": "cancelled",
    "run.returned": "pending",
    "run.retried": "pending",
    "item.added": "PENDING",
    "item.claimed": "IN_PROGRESS",
    "item.completed": "DONE",
    "item.failed": "FAILED",
    "item.returned": "PENDING",
    "item.released": "PENDING",
    "item.rescued": "PENDING",
    "item.retried": "PENDING",
    "item.cancelled": "BLOCKED",
    "item.replanned": lambda told: str(told["status"]),
    "panic.raised": "on",
    "panic.released": "off",
}


DEEP = {
    *("item.claimed", "item.completed", "item.released", "item.cancelled", "run.started", "run.cancelled"),
    *("draft.edited", "draft.approved", "approval.revoked", "token.revoked"),
}
"""What has to happen somewhere in the examples, or they prove nothing."""


def _can_reach(states: type[Enum], allows: Callable[[Any, Any], bool], before: str, after: str) -> bool:
    """Say whether one gets there in one move or two: a verb may give back and end at once."""
    here, there = states(before), states(after)
    return allows(here, there) or any(allows(here, each) and allows(each, there) for each in states)


@cache
def _validator(reference: str) -> Any:  # noqa: ANN401 - the library's own
    return jsonschema_rs.validator_for({"$ref": reference, "components": DOCUMENT["components"]})


def _check_answer(operation: Mapping[str, Any], answer: httpx2.Response) -> None:
    """Hold an answer against the document: a status that it names, in the shape that it names, with its own id."""
    status = str(answer.status_code)
    assert status in operation["responses"], (status, answer.text)
    assert answer.status_code < 500 or answer.status_code in {502, 503, 504}, answer.text
    assert answer.headers["x-correlation-id"]
    if answer.status_code >= 300:
        problem = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        assert problem["correlation_id"] == answer.headers["x-correlation-id"]
        assert problem["detail"]
    told: dict[str, Any] = operation["responses"][status]
    if "$ref" in told:
        told = DOCUMENT["components"]["responses"][told["$ref"].rsplit("/", 1)[1]]
    for kind in cast("dict[str, Any]", told.get("content", {})).values():
        _validator(f"#/components/schemas/{kind['schema']['$ref'].rsplit('/', 1)[1]}").validate(answer.json())


@pytest.mark.proves("ops-openapi")
@pytest.mark.timeout(600)
@pytest.mark.proves("ops-any-order")
def test_in_any_order_by_anybody_the_model_knows_every_answer(shared: Served) -> None:
    class Here(AnyOrder):
        served = shared

    run_state_machine_as_test(Here, settings=settings(effort(25), stateful_step_count=30))
    seen = {event["kind"] for _, event in StoredLog(shared.house.database).events(0, 100_000)}
    assert seen >= DEEP, DEEP - seen
