"""The HTTP doors of the queue: `/ops/queue`."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Annotated, Any, Literal, Protocol

from fastapi import Query, Request, Response
from pydantic import Field

from interlock.access.models import Actor
from interlock.doors.api import ApiCall, Body, Door, Here, IdempotencyKey, Limit, Shown, house, made, needs, problems
from interlock.kernel.clock import to_text
from interlock.kernel.errors import Invalid
from interlock.queue.bulks import MOST_NAMED, Bulks, Deed, VerbName
from interlock.queue.errors import ItemStateConflict
from interlock.queue.models import FIRST, LAST, Executor, Filter, Item, ItemKind, ItemStatus, NewItem, Place
from interlock.queue.service import Queue
from interlock.queue.shown import show_bulk, show_history, show_holder, show_item, show_pause
from interlock.queue.trends import MOST_POINTS, Span

door = Door("/ops/queue", "queue")
_PLACE = r"^[0-9]{1,10}\.[0-9]{1,16}$"


class _House(Protocol):
    def queue(self, actor: Actor) -> AbstractContextManager[Queue]: ...

    def queue_look(self) -> AbstractContextManager[Queue]: ...

    @property
    def bulks(self) -> Bulks: ...


@contextmanager
def _writing(call: ApiCall) -> Generator[Queue]:
    with house(call, _House).queue(call.actor) as queue:
        yield queue
    call.wrote()


class NewWork(Body):
    """An item that somebody outside is to work on."""

    task: str
    success_criteria: str
    priority: str = "P1"
    due_at_kst: str = "-"
    notes: str = ""
    not_before_ms: int | None = Field(default=None, ge=0)
    idempotency_key: str | None = None
    concurrency_key: str | None = None
    needs: list[str] = Field(default=[], max_length=32, description="Labels that whoever takes it must have.")
    max_attempts: int | None = Field(default=None, ge=1, le=100)


class Claim(Body):
    """Who takes an item."""

    owner_session: str
    lease_seconds: int | None = Field(default=None, ge=1, le=86_400)
    has: list[str] = Field(default=[], max_length=256, description="Labels that the session has, and items may need.")


class Held(Body):
    """The fence under which the caller holds the item, and what it says about it."""

    fence: int
    notes: str = ""


class Failure(Held):
    """A failure."""

    transient: bool = False
    reason: str = ""


class Seen(Body):
    """What the caller saw of an item: one that moved since is left alone (409)."""

    status: str
    fence: int


class Reason(Body):
    """Why."""

    reason: str = ""
    seen: Seen | None = None


class Notes(Body):
    """What has to be planned anew."""

    notes: str
    seen: Seen | None = None


class Priority(Body):
    """Another priority."""

    priority: str
    reason: str = ""
    seen: Seen | None = None


class KeyLimit(Body):
    """How many items may be under way at the same time: of a concurrency key, or of a repository, agent or node."""

    key: str = Field(description="A concurrency key, `repository:ADDRESS`, `agent:NAME` or `node:ID`.")
    most: int | None = Field(ge=0, description="null removes the limit; a concurrency key always has one.")


class Snooze(Body):
    """Until when; null lets it go on."""

    not_before_ms: int | None = Field(default=None, ge=0)
    reason: str = ""


class NewPause(Body):
    """Why nothing may start, and until when."""

    reason: str
    until_ms: int | None = Field(default=None, ge=0)


class ItemShown(Shown):
    """An item of the queue."""

    id: str
    status: str
    priority: str
    kind: str
    executor: str
    run_id: str | None
    task: str
    success_criteria: str
    owner_session: str | None
    started_at: str | None
    started_at_kst: str | None
    due_at_kst: str | None
    fence: int | None
    lease_until: str | None
    attempt_count: int
    max_attempts: int
    not_before: str | None
    waits_for: str | None
    concurrency_key: str | None
    needs: list[str] = Field(description="Labels and capabilities that whoever takes it must have.")
    repository: str | None
    agent: str | None
    node_id: str | None = Field(description="The node that holds it now.")
    aged: int = Field(description="How many priorities higher it counts, because it has waited long.")
    idempotency_key: str | None
    created_at: str | None
    notes: str | None
    last_error: str | None


class Claimed(Shown):
    """The item that was taken; `id` is null where there is none."""

    id: str | None
    status: str


class PauseShown(Shown):
    """A pause."""

    by: str
    reason: str
    since: str
    until: str | None


class QueueShown(Shown):
    """How many items there are by status, and what is under way."""

    PENDING: int
    IN_PROGRESS: int
    BLOCKED: int
    FAILED: int
    DONE: int
    top_in_progress: list[ItemShown]
    paused: PauseShown | None


class KeyShown(Shown):
    """A concurrency key, or a repository, agent or node; its limit, and how far it is used."""

    key: str
    most: int
    held: int
    pending: int | None = Field(description="What waits of a concurrency key; null for the others.")


class ReasonShown(Shown):
    """One reason: its code, and the same in words."""

    code: str
    text: str


class Reasons(Shown):
    """Why an item stands as it does."""

    id: str
    status: str
    because: list[ReasonShown]


class PausedShown(Shown):
    """The pause that began."""

    status: str
    by: str
    reason: str
    until: str | None


class ResumedShown(Shown):
    """Whether anything had stood against it."""

    status: str
    was_paused: bool


class LimitShown(Shown):
    """A limit."""

    id: str
    status: str
    most: int | None


class CountShown(Shown):
    """How many items a filter names."""

    items: int
    by_status: dict[str, int]


class HolderShown(Shown):
    """Who holds items: how many, the first of them, since when, and when the first of the leases ends."""

    owner_session: str
    items: int
    first_id: str
    since: str | None
    lease_until: str | None
    host: str | None
    pid: int | None


class Backlog(Shown):
    """How many items stood how."""

    PENDING: int
    IN_PROGRESS: int
    BLOCKED: int
    FAILED: int


class PointShown(Shown):
    """What happened in one stretch of time, and the backlog at its end. Durations are exact to a tenth."""

    at: str
    added: int
    claimed: int
    completed: int
    failed: int
    retried: int
    cancelled: int
    wait_p50_ms: int | None = Field(description="From being added to the first claim.")
    wait_p95_ms: int | None
    work_p50_ms: int | None = Field(description="From a claim to its end.")
    work_p95_ms: int | None
    backlog: Backlog


class HistoryShown(Shown):
    """Figures over time."""

    from_: str = Field(alias="from")
    step_seconds: int
    points: list[PointShown]


class Which(Body):
    """A filter, as the list of items takes it."""

    status: ItemStatus | None = Field(default=None, strict=False)
    priority: str | None = Field(default=None, max_length=128)
    owner: str | None = Field(default=None, max_length=128)
    text: str | None = Field(default=None, max_length=2000)
    created_before_ms: int | None = Field(default=None, ge=0)
    need: str | None = Field(default=None, max_length=128)
    repository: str | None = Field(default=None, max_length=1024)
    agent: str | None = Field(default=None, max_length=128)
    node_id: str | None = Field(default=None, max_length=128)


class NewBulk(Body):
    """One verb, and the items that it is for: a filter, or their ids."""

    verb: VerbName
    reason: str = Field(default="", description="Why; for `replan` what has to be planned anew.")
    to: str | None = Field(default=None, description="The priority that `reprioritise` gives.")
    which: Which | None = None
    ids: list[str] | None = Field(default=None, min_length=1, max_length=MOST_NAMED)


class BulkShown(Shown):
    """A bulk. As a preview nothing has been changed; it is carried out by `POST …/run`."""

    id: str
    status: Literal["preview", "running", "done", "stopped", "failed"]
    verb: VerbName
    to: str | None
    reason: str
    outcome: str
    by: str
    matched: int
    by_status: dict[str, int]
    sample: list[ItemShown]
    done: int
    changed: int
    unchanged: int
    refused: dict[str, int] = Field(description="How many, by error code.")
    examples: list[str] = Field(description="Some of the refusals, in words.")
    message: str
    began_at: str | None
    ended_at: str | None


@door.get("/status", response_model=QueueShown)
@needs("actions")
def status(call: Here) -> dict[str, Any]:
    """Count items by status; show the first that are under way, and the pause."""
    with house(call, _House).queue_look() as queue:
        active = queue.list(Filter(status=ItemStatus.IN_PROGRESS), limit=5)
        return {
            **queue.counts(),
            "top_in_progress": [show_item(item) for item in active],
            "paused": show_pause(queue.paused()),
        }


@door.get("/items", response_model=list[ItemShown])
@needs("actions")
def list_items(
    call: Here,
    request: Request,
    response: Response,
    status: ItemStatus | None = None,
    priority: str | None = None,
    owner: str | None = None,
    text: Annotated[str | None, Query(max_length=2000)] = None,
    created_before_ms: Annotated[int | None, Query(ge=0, le=2**53)] = None,
    need: Annotated[str | None, Query(max_length=128, description="Only what needs this label.")] = None,
    repository: Annotated[str | None, Query(max_length=1024)] = None,
    agent: Annotated[str | None, Query(max_length=128)] = None,
    node_id: Annotated[str | None, Query(max_length=128, description="Only what this node holds now.")] = None,
    limit: Limit = 100,
    after: Annotated[str | None, Query(pattern=_PLACE, description="Where the page before ended: its `Link`.")] = None,
    until: Annotated[str | None, Query(pattern=_PLACE, description="Not beyond this place: another page's.")] = None,
) -> list[dict[str, Any]]:
    """List items in the order in which they would be claimed."""
    which = Filter(
        status=status,
        priority=priority,
        owner=owner,
        text=text,
        created_before_ms=created_before_ms,
        need=need,
        repository=repository,
        agent=agent,
        node_id=node_id,
    )
    with house(call, _House).queue_look() as queue:
        page = queue.store.page(which, _place(after, FIRST), limit, _place(until, LAST))
    if len(page) == limit:
        rank, number = page[-1][1]
        following = request.url.include_query_params(after=f"{rank}.{number}")
        response.headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    return [show_item(item) for item, _ in page]


def _place(text: str | None, otherwise: Place) -> Place:
    if text is None:
        return otherwise
    rank, _, number = text.partition(".")
    return int(rank), int(number)


@door.get("/count", response_model=CountShown)
@needs("actions")
def count(
    call: Here,
    status: ItemStatus | None = None,
    priority: str | None = None,
    owner: str | None = None,
    text: Annotated[str | None, Query(max_length=2000)] = None,
    created_before_ms: Annotated[int | None, Query(ge=0, le=2**53)] = None,
    need: Annotated[str | None, Query(max_length=128, description="Only what needs this label.")] = None,
    repository: Annotated[str | None, Query(max_length=1024)] = None,
    agent: Annotated[str | None, Query(max_length=128)] = None,
    node_id: Annotated[str | None, Query(max_length=128, description="Only what this node holds now.")] = None,
) -> dict[str, Any]:
    """Count the items that a filter names."""
    which = Filter(
        status=status,
        priority=priority,
        owner=owner,
        text=text,
        created_before_ms=created_before_ms,
        need=need,
        repository=repository,
        agent=agent,
        node_id=node_id,
    )
    with house(call, _House).queue_look() as queue:
        found = queue.store.count(which)
    return {"items": sum(found.values()), "by_status": {name: items for name, items in found.items() if items}}


@door.get("/workers", response_model=list[HolderShown])
@needs("actions")
def workers(call: Here, limit: Limit = 1000) -> list[dict[str, Any]]:
    """List who holds items, since when, and until when at least."""
    with house(call, _House).queue_look() as queue:
        return [show_holder(each) for each in queue.store.workers(limit)]


@door.get("/history", response_model=HistoryShown)
@needs("actions")
def history(
    call: Here,
    from_ms: Annotated[int | None, Query(ge=0, le=2**53, description="A day ago, unless said.")] = None,
    to_ms: Annotated[int | None, Query(ge=0, le=2**53, description="Now, unless said.")] = None,
    points: Annotated[int, Query(ge=1, le=MOST_POINTS, description="At most so many.")] = 120,
) -> dict[str, Any]:
    """Show throughput, waiting, work, retries and the backlog over time."""
    with house(call, _House).queue_look() as queue:
        span = Span.of(from_ms, to_ms, points, queue.now())
        return show_history(span, queue.history(span))


@door.get("/bulk", response_model=list[BulkShown])
@needs("actions")
def list_bulks(call: Here) -> list[dict[str, Any]]:
    """List the bulks that this server carries out or has carried out, the newest first."""
    return [show_bulk(bulk) for bulk in house(call, _House).bulks.list()]


@door.post("/bulk", status_code=201, responses=problems(404, 409, 413, 415), response_model=BulkShown)
@needs("operator")
def preview_bulk(call: Here, body: NewBulk) -> dict[str, Any]:
    """Show what a verb would do to many items; nothing is changed."""
    if (body.which is None) == (body.ids is None):
        raise Invalid("say which items: `which` or `ids`")
    which = body.which or Which()
    found = Filter(
        status=which.status,
        priority=which.priority,
        owner=which.owner,
        text=which.text,
        created_before_ms=which.created_before_ms,
        need=which.need,
        repository=which.repository,
        agent=which.agent,
        node_id=which.node_id,
    )
    deed = Deed(verb=body.verb, reason=body.reason, to=body.to)
    return show_bulk(house(call, _House).bulks.preview(call.actor, deed, found, body.ids))


@door.get("/bulk/{bulk_id}", responses=problems(404), response_model=BulkShown)
@needs("actions")
def get_bulk(call: Here, bulk_id: str) -> dict[str, Any]:
    """Say how far a bulk is."""
    return show_bulk(house(call, _House).bulks.get(bulk_id))


@door.post("/bulk/{bulk_id}/run", status_code=202, responses=problems(404, 409, 423), response_model=BulkShown)
@needs("operator")
def run_bulk(call: Here, bulk_id: str) -> dict[str, Any]:
    """Carry out what was shown, in short transactions, in the background; once, however often it is asked for."""
    return show_bulk(house(call, _House).bulks.run(call.actor, bulk_id, call.wrote))


@door.post("/bulk/{bulk_id}/stop", responses=problems(404), response_model=BulkShown)
@needs("operator")
def stop_bulk(call: Here, bulk_id: str) -> dict[str, Any]:
    """Let a bulk end with the transaction that is open: what is done stays done, the rest as it is."""
    return show_bulk(house(call, _House).bulks.stop(bulk_id))


@door.post("/items", status_code=201, responses=problems(409, 413, 415, 423), response_model=ItemShown)
@needs("operator")
def add_item(call: Here, response: Response, body: NewWork, key: IdempotencyKey = None) -> dict[str, Any]:
    """Put an item on the queue."""

    def make(actor: Actor) -> str:
        with house(call, _House).queue(actor) as queue:
            given = body.model_dump()
            attempts = given.pop("max_attempts") or queue.options.max_attempts
            given["needs"] = tuple(given["needs"])
            new = NewItem(kind=ItemKind.MANUAL, executor=Executor.EXTERNAL, max_attempts=attempts, **given)
            return queue.add(new).id

    item_id = made(call, response, key, "POST /ops/queue/items", "item.added", body, make)
    call.wrote()
    response.headers["Location"] = f"/ops/queue/items/{item_id}"
    return get_item(call, item_id)


@door.post("/claim", responses=problems(409, 413, 415, 423), response_model=Claimed)
@needs("operator")
def claim(call: Here, body: Claim) -> dict[str, Any]:
    """Take the oldest item of the highest priority; `id` is null where there is none."""
    with house(call, _House).queue(call.actor) as queue:
        queue.promote()
        item = queue.claim(
            Executor.EXTERNAL, body.owner_session, lease_seconds=body.lease_seconds, has=frozenset(body.has)
        )
    if item is None:
        return {"id": None, "status": "NOOP"}
    call.wrote()
    return show_item(item)


@door.get("/items/{item_id}", responses=problems(404), response_model=ItemShown)
@needs("actions")
def get_item(call: Here, item_id: str) -> dict[str, Any]:
    """Return an item."""
    with house(call, _House).queue_look() as queue:
        return show_item(queue.get(item_id))


@door.get("/items/{item_id}/explain", responses=problems(404), response_model=Reasons)
@needs("actions")
def explain(call: Here, item_id: str) -> dict[str, Any]:
    """Say why an item waits, runs or stands still."""
    with house(call, _House).queue_look() as queue:
        reasons, item = queue.explain(item_id), queue.get(item_id)
    because = [{"code": reason.code, "text": reason.text} for reason in reasons]
    return {"id": item.id, "status": item.status.value, "because": because}


@door.post("/items/{item_id}/heartbeat", responses=problems(404, 409, 413, 415), response_model=ItemShown)
@needs("operator")
def heartbeat(call: Here, item_id: str, body: Held) -> dict[str, Any]:
    """Say that the item is still worked on."""
    with house(call, _House).queue(call.actor) as queue:
        return show_item(queue.heartbeat(item_id, body.fence))


@door.post("/items/{item_id}/complete", responses=problems(404, 409, 413, 415), response_model=ItemShown)
@needs("operator")
def complete(call: Here, item_id: str, body: Held) -> dict[str, Any]:
    """Finish an item that is held."""
    with _writing(call) as queue:
        return show_item(queue.complete(item_id, body.fence, notes=body.notes))


@door.post("/items/{item_id}/fail", responses=problems(404, 409, 413, 415), response_model=ItemShown)
@needs("operator")
def fail(call: Here, item_id: str, body: Failure) -> dict[str, Any]:
    """End an item that is held as FAILED, or give it back to be tried again."""
    reason = "transient_failure" if body.transient else "permanent_failure"
    with _writing(call) as queue:
        return show_item(
            queue.fail(
                item_id,
                body.fence,
                reason=reason,
                message=body.reason or body.notes or "no reason was given",
                transient=body.transient,
                notes=body.notes,
            )
        )


@door.post("/items/{item_id}/release", responses=problems(404, 409, 413, 415), response_model=ItemShown)
@needs("operator")
def release(call: Here, item_id: str, body: Held) -> dict[str, Any]:
    """Give an item back; no attempt is used up."""
    with _writing(call) as queue:
        return show_item(queue.release(item_id, body.fence, notes=body.notes))


@door.post("/items/{item_id}/cancel", responses=problems(404, 409, 413, 415), response_model=ItemShown)
@needs("operator")
def cancel(call: Here, item_id: str, body: Reason | None = None) -> dict[str, Any]:
    """Stop an item: it becomes BLOCKED, and its run is cancelled."""
    with _writing(call) as queue:
        given = body or Reason()
        return show_item(queue.cancel(item_id, reason=given.reason, seen=_as_seen(queue, item_id, given.seen)))


@door.post("/items/{item_id}/replan", responses=problems(404, 409, 413, 415, 423), response_model=ItemShown)
@needs("operator")
def replan(call: Here, item_id: str, body: Notes) -> dict[str, Any]:
    """Send an item back to planning."""
    with _writing(call) as queue:
        return show_item(queue.replan(item_id, body.notes, seen=_as_seen(queue, item_id, body.seen)))


@door.post("/items/{item_id}/retry", responses=problems(404, 409, 413, 415, 423), response_model=ItemShown)
@needs("operator")
def retry(call: Here, item_id: str, body: Reason | None = None) -> dict[str, Any]:
    """Give an item another attempt, after its back-off."""
    with _writing(call) as queue:
        given = body or Reason()
        return show_item(queue.retry(item_id, reason=given.reason, seen=_as_seen(queue, item_id, given.seen)))


@door.post("/items/{item_id}/reprioritise", responses=problems(404, 409, 413, 415, 423), response_model=ItemShown)
@needs("operator")
def reprioritise(call: Here, item_id: str, body: Priority) -> dict[str, Any]:
    """Give an item another priority."""
    with _writing(call) as queue:
        seen = _as_seen(queue, item_id, body.seen)
        return show_item(queue.reprioritise(item_id, body.priority, reason=body.reason, seen=seen))


def _as_seen(queue: Queue, item_id: str, seen: Seen | None) -> Item | None:
    if seen is None:
        return None
    item = queue.get(item_id)
    if (item.status.value, item.fence) != (seen.status, seen.fence):
        raise ItemStateConflict(
            f"{item.id} changed while this was done", hint="look at it again and repeat what you still want"
        )
    return item


@door.post("/items/{item_id}/snooze", responses=problems(404, 409, 413, 415, 423), response_model=ItemShown)
@needs("operator")
def snooze(call: Here, item_id: str, body: Snooze) -> dict[str, Any]:
    """Let a PENDING item wait until an instant."""
    with _writing(call) as queue:
        return show_item(queue.snooze(item_id, body.not_before_ms, reason=body.reason))


@door.put("/pause", responses=problems(409, 413, 415, 423), response_model=PausedShown)
@needs("operator")
def pause(call: Here, body: NewPause) -> dict[str, Any]:
    """Let nothing be claimed; what is under way goes on."""
    with _writing(call) as queue:
        begun = queue.pause(str(call.actor.principal), reason=body.reason, until_ms=body.until_ms)
    until = None if begun.until_ms is None else to_text(begun.until_ms)
    return {"status": "paused", "by": begun.paused_by, "reason": begun.reason, "until": until}


@door.delete("/pause", responses=problems(409, 423), response_model=ResumedShown)
@needs("operator")
def resume(call: Here) -> dict[str, Any]:
    """Let items be claimed again."""
    with _writing(call) as queue:
        was_paused = queue.resume()
    return {"status": "running", "was_paused": was_paused}


@door.get("/limits", response_model=list[KeyShown])
@needs("actions")
def list_limits(call: Here) -> list[dict[str, Any]]:
    """List the limits of concurrency keys, repositories, agents and nodes."""
    with house(call, _House).queue_look() as queue:
        found = queue.store.concurrencies()
    return [{"key": each.key, "most": each.most, "held": each.held, "pending": each.pending} for each in found]


@door.put("/limits", responses=problems(409, 413, 415, 423), response_model=LimitShown)
@needs("operator")
def set_limit(call: Here, body: KeyLimit) -> dict[str, Any]:
    """Set how many items of a concurrency key, repository, agent or node may be under way at the same time."""
    with _writing(call) as queue:
        queue.limit(body.key, body.most)
    return {"id": body.key, "status": "ok", "most": body.most}
