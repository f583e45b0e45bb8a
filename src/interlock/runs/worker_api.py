"""The HTTP doors of workers without a database: `/ops/worker`. See `runs/far.py` for what stands behind them."""

from __future__ import annotations

import asyncio
import base64
import binascii
from contextlib import suppress
from functools import partial
from typing import Annotated, Any, Literal, Protocol

from anyio import to_thread
from fastapi import Path, Query, Request
from fastapi.responses import JSONResponse
from pydantic import Field

from interlock import __version__
from interlock.access.errors import Frozen
from interlock.doors.api import ApiCall, Body, Door, Here, Shown, house, needs, problems
from interlock.fleet.errors import NodeBehind, NodeNotTaking, NodeUnknown
from interlock.fleet.models import MOST_LABELS, Facts, checked_labels
from interlock.kernel.clock import system_clock
from interlock.kernel.words import LABEL
from interlock.queue.models import WorkerProcess
from interlock.runs import far, wire
from interlock.runs.errors import BodyDiffers
from interlock.runs.far import FarRuns, node_called
from interlock.runs.models import LogLine, Outcome, Pulse, StepName

door = Door("/ops/worker", "worker")

_LOOK_SECONDS = 1.0
_SHORTEST_SECONDS = 0.1
_MOST_WAIT = 30
_MOST = 2**53 - 1

ItemId = Annotated[str, Path(max_length=128)]
Whole = Annotated[int, Field(ge=0, le=_MOST)]
Word = Annotated[str, Field(min_length=1, max_length=128)]


NodeId = Annotated[str, Field(max_length=64)]


class _Queue(Protocol):
    @property
    def lease_seconds(self) -> int: ...


class _Settings(Protocol):
    @property
    def queue(self) -> _Queue: ...


class _House(Protocol):
    @property
    def far_runs(self) -> FarRuns: ...

    @property
    def settings(self) -> _Settings: ...


class _Tail(Protocol):
    size: int
    ended: bool

    async def after(self, start: int) -> object: ...


class WorkerAsks(Body):
    """Which worker of the token's principal asks."""

    worker: str = Field(max_length=64, description="`worker-<ulid>`, made by the worker when it starts.")
    protocol: int = Field(description="Which protocol it speaks; a server that speaks another refuses it.")


class HolderAsks(WorkerAsks):
    """The same, of something that it claimed."""

    fence: Whole = Field(description="As the claim told it.")


class Claiming(WorkerAsks):
    """What a worker is ready to take."""

    host: Word
    begun: dict[Annotated[str, Field(max_length=128)], Whole] = Field(
        default_factory=dict, max_length=1024, description="Which items it has begun, with their fences."
    )
    node_id: NodeId | None = Field(default=None, description="Which node it works on; only what that has is given.")
    wait_seconds: int = Field(default=0, ge=0, le=_MOST_WAIT, description="How long to wait for a run.")


class Renewing(WorkerAsks):
    """Whose leases are renewed; and, now and then, which node lives."""

    node_id: NodeId | None = None


class Joining(WorkerAsks):
    """What a worker's machine is, and what it can do."""

    id: NodeId
    host: Word
    boot_id: Word
    version: Word
    capabilities: list[Annotated[str, Field(max_length=128, pattern=LABEL.pattern)]] = Field(max_length=256)
    labels: list[Annotated[str, Field(max_length=128, pattern=LABEL.pattern)]] = Field(max_length=MOST_LABELS)
    concurrency: int = Field(ge=1, le=1024)


class Places(WorkerAsks):
    """Runs of which a worker has something on its disk."""

    runs: list[Annotated[str, Field(max_length=64)]] = Field(max_length=1000)


class StepAsked(HolderAsks):
    """Which step begins."""

    step: StepName = Field(strict=False)


class BodyNamed(Body):
    """A body that came in parts."""

    ref: Word
    media_type: Literal["text/x-diff", "application/json", "application/octet-stream", "text/plain"]


class StepDone(StepAsked):
    """What a step brought about."""

    output: dict[str, Any]
    bodies: list[BodyNamed] = Field(default_factory=list[BodyNamed], max_length=16)


class AgentSeen(HolderAsks):
    """The agent's process."""

    pid: Whole
    start_time: Whole
    boot: Word
    mode: Word


class Line(Body):
    """A line of output."""

    ts_ms: Whole
    level: Literal["INFO", "WARN", "ERROR"]
    source: str = Field(max_length=32, pattern=r"^[a-z]+( [a-z]+)?$")
    msg: str = Field(max_length=wire.MOST_LINE)


class Seen(Body):
    """What was last seen of the agent."""

    fence: Whole
    node_id: Word | None = None
    host: Word | None = None
    pid: Whole | None = None
    start_time: Whole | None = None
    boot_id: Word | None = None
    started_ms: Whole | None = None
    output_ms: Whole | None = None
    output_bytes: Whole = 0
    session_id: Annotated[str, Field(max_length=1024)] | None = None
    turns: Whole = 0
    input_tokens: Whole = 0
    output_tokens: Whole = 0
    cost_microusd: Whole | None = None
    terminal: Word | None = None
    terminal_ms: Whole | None = None


class Output(HolderAsks):
    """A batch of lines, and what was last seen."""

    batch: Whole
    lines: list[Line] = Field(max_length=wire.MOST_LINES)
    pulse: Seen | None = None


class Part(HolderAsks):
    """A part of a body."""

    ref: Word
    place: Whole = Field(description="Where it begins, in bytes.")
    data: str = Field(max_length=wire.PART_BYTES * 4 // 3 + 4, description="base64.")


class Ending(HolderAsks):
    """How a run ended, as its worker saw it."""

    reason: Annotated[str, Field(max_length=128)] | None
    message: str = Field(max_length=64 * 1024)
    result: dict[str, Any]


class Returning(HolderAsks):
    """Why a run comes back."""

    failed: bool = Field(default=False, description="Whether the worker failed at it; that uses up an attempt.")


class Welcome(Shown):
    """What a worker has to know of its server."""

    protocol: int
    version: str
    principal: str
    lease_ms: int
    now_ms: int
    frozen: bool


class Held(Shown):
    """What a worker holds, item by item, with its fence."""

    held: dict[str, int]
    node: str | None = Field(default=None, description="What the node may do that was named; null if it has to join.")


class Alive(Shown):
    """Runs that have not ended, with the fences under which they were worked on."""

    places: list[tuple[str, int]]


class Done(Shown):
    """It is done; also if it was done before."""

    status: Literal["done"]


_DONE = {"status": "done"}
_ANSWERS = problems(409)


def _far(call: ApiCall, asks: WorkerAsks) -> FarRuns:
    rooms = house(call, _House).far_runs
    rooms.welcome(call.actor, asks.protocol)
    return rooms


@door.get("", response_model=Welcome, responses=_ANSWERS)
@needs("operator")
def worker_welcome(call: Here, protocol: Annotated[int, Query()]) -> dict[str, Any]:
    """Say whether and how a worker may work here."""
    rooms = house(call, _House)
    rooms.far_runs.welcome(call.actor, protocol)
    return {
        "protocol": wire.PROTOCOL,
        "version": __version__,
        "principal": str(call.actor.principal),
        "lease_ms": rooms.settings.queue.lease_seconds * 1000,
        "now_ms": system_clock(),
        "frozen": rooms.far_runs.frozen(),
    }


@door.post("/claim", responses=_ANSWERS)
@needs("operator")
async def worker_claim(call: Here, request: Request, body: Claiming) -> JSONResponse:
    """Take up the next run for a worker; waits for one. A claim whose answer was lost is answered again."""
    rooms = _far(call, body)
    process = WorkerProcess(id=body.worker, host=body.host, boot_id="", pid=0, start_time=0)
    tail: _Tail = request.app.state.tail
    clock = asyncio.get_running_loop().time
    until = clock() + body.wait_seconds
    take = partial(rooms.claim, call.actor, process, body.begun, node_id=body.node_id)
    while True:
        size = tail.size
        try:
            claim = await to_thread.run_sync(take)
        except (Frozen, NodeNotTaking, NodeBehind, NodeUnknown) as error:
            # No refusal that anybody would have to read in the log: it is asked again all the time.
            request.state.reads = True
            return JSONResponse({"claim": None, "why": {"code": error.code, "message": error.message}})
        left = until - clock()
        if claim is not None or left <= 0 or tail.ended or await request.is_disconnected():
            break
        with suppress(TimeoutError):
            await asyncio.wait_for(tail.after(size), min(left, _LOOK_SECONDS))
        await asyncio.sleep(min(_SHORTEST_SECONDS, max(0.0, until - clock())))
    request.state.reads = claim is None
    if claim is None:
        return JSONResponse({"claim": None})
    call.wrote()
    return JSONResponse({"claim": wire.tell_claim(claim)})


@door.post("/renew", response_model=Held, responses=_ANSWERS)
@needs("operator")
def worker_renew(call: Here, request: Request, body: Renewing) -> dict[str, Any]:
    """Renew a worker's leases, and say what it still holds."""
    request.state.reads = True  # a sign of life is not worth a line of the server's log
    rooms = _far(call, body)
    node = None if body.node_id is None else rooms.beat(call.actor, body.node_id)
    return {"held": dict(rooms.renew(call.actor, body.worker)), "node": None if node is None else node.value}


@door.post("/join", response_model=Done, responses=_ANSWERS)
@needs("operator")
def worker_join(call: Here, body: Joining) -> dict[str, Any]:
    """Say that a worker's machine is there, and what it can do: from then on it is a node."""
    rooms = _far(call, body)
    facts = Facts(
        id=body.id,
        name=node_called(call.actor),
        host=body.host,
        boot_id=body.boot_id,
        version=body.version,
        capabilities=tuple(sorted(set(body.capabilities))),
        labels=checked_labels(body.labels),
        concurrency=body.concurrency,
    )
    rooms.join(call.actor, facts)
    call.wrote()
    return _DONE


@door.post("/places", response_model=Alive, responses=_ANSWERS)
@needs("operator")
def worker_places(call: Here, body: Places) -> dict[str, Any]:
    """Say which runs have not ended, so that a worker may take away what it kept of all others."""
    return {"places": list(_far(call, body).alive(body.runs))}


@door.post("/items/{item_id}/startable", response_model=Done, responses=_ANSWERS)
@needs("operator")
def worker_startable(call: Here, item_id: ItemId, body: HolderAsks) -> dict[str, Any]:
    """Say whether an agent may be started now."""
    _far(call, body).check_startable(call.actor, body.worker, item_id, body.fence)
    return _DONE


@door.post("/items/{item_id}/begin", response_model=Done, responses=_ANSWERS)
@needs("operator")
def worker_begin(call: Here, item_id: ItemId, body: StepAsked) -> dict[str, Any]:
    """Note that a step begins."""
    _far(call, body).begin_step(call.actor, body.worker, item_id, body.fence, body.step)
    return _DONE


@door.post("/items/{item_id}/agent", response_model=Done, responses=_ANSWERS)
@needs("operator")
def worker_agent(call: Here, item_id: ItemId, body: AgentSeen) -> dict[str, Any]:
    """Record the agent's process."""
    _far(call, body).agent_started(
        call.actor,
        body.worker,
        item_id,
        body.fence,
        pid=body.pid,
        start_time=body.start_time,
        boot=body.boot,
        mode=body.mode,
    )
    call.wrote()
    return _DONE


@door.post("/items/{item_id}/log", response_model=Done, responses=_ANSWERS)
@needs("operator")
def worker_log(call: Here, request: Request, item_id: ItemId, body: Output) -> dict[str, Any]:
    """Append a batch of output, once, and keep what was last seen of the agent."""
    request.state.reads = True
    lines = [LogLine(ts_ms=each.ts_ms, level=each.level, source=each.source, msg=each.msg) for each in body.lines]
    pulse = None if body.pulse is None else Pulse(**body.pulse.model_dump())
    _far(call, body).write_log(call.actor, body.worker, item_id, body.fence, batch=body.batch, lines=lines, pulse=pulse)
    return _DONE


@door.post("/items/{item_id}/body", response_model=Done, responses=_ANSWERS)
@needs("operator")
def worker_body(call: Here, item_id: ItemId, body: Part) -> dict[str, Any]:
    """Keep a part of a body, such as a patch, until the step that names it is complete."""
    try:
        data = base64.b64decode(body.data, validate=True)
    except (binascii.Error, ValueError):
        raise BodyDiffers("a part of a body is no base64") from None
    _far(call, body).put_part(call.actor, body.worker, item_id, body.fence, ref=body.ref, place=body.place, data=data)
    return _DONE


@door.post("/items/{item_id}/complete", responses=_ANSWERS)
@needs("operator")
def worker_complete(call: Here, item_id: ItemId, body: StepDone) -> JSONResponse:
    """Keep a step's output and the bodies that it names."""
    step = _far(call, body).complete_step(
        call.actor,
        body.worker,
        item_id,
        body.fence,
        name=body.step,
        output=body.output,
        bodies=[far.Body(ref=each.ref, media_type=each.media_type) for each in body.bodies],
    )
    call.wrote()
    return JSONResponse({"step": wire.tell_step(step)})


@door.post("/items/{item_id}/finish", responses=_ANSWERS)
@needs("operator")
def worker_finish(call: Here, item_id: ItemId, body: Ending) -> JSONResponse:
    """End a run and its item; signed by the server on the worker's behalf."""
    outcome = Outcome(reason=body.reason, message=body.message, result=body.result)
    run = _far(call, body).finish(call.actor, body.worker, item_id, body.fence, outcome)
    call.wrote()
    return JSONResponse({"run": wire.tell_run(run)})


@door.post("/items/{item_id}/return", response_model=Done, responses=_ANSWERS)
@needs("operator")
def worker_return(call: Here, item_id: ItemId, body: Returning) -> dict[str, Any]:
    """Give a run back that this worker will not finish."""
    _far(call, body).give_back(call.actor, body.worker, item_id, body.fence, failed=body.failed)
    call.wrote()
    return _DONE
