"""Runs as a worker without a database asks for them: each verb is a request to its server, with the same fences.

A lost answer is asked for again; the server does nothing twice. Output is kept here until the server has it, bounded,
and always before the step that it belongs to is complete.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from interlock.access.errors import Frozen
from interlock.access.models import Actor
from interlock.evidence.content import Sealed
from interlock.fleet.models import Facts
from interlock.kernel.canonical import JsonObject
from interlock.kernel.errors import Failed, InterlockError, NotFound, Refused, Unreachable
from interlock.kernel.threads import Threads
from interlock.queue.errors import LeaseLost
from interlock.queue.models import WorkerProcess
from interlock.remote.connection import Connection, several, understood
from interlock.remote.errors import ServerAway
from interlock.remote.problems import as_error
from interlock.runs.errors import WorkerProtocolDiffers
from interlock.runs.models import Claim, LogLine, Outcome, Pulse, Run, Step, StepName
from interlock.runs.wire import (
    BATCH_BYTES,
    MOST_LINE,
    MOST_LINES,
    PART_BYTES,
    PROTOCOL,
    read_claim,
    read_run,
    read_step,
    tell_line,
    tell_pulse,
)

_BUFFER_BYTES = 16 * 1024 * 1024
"""So much output of one run is kept while the server is away; then whoever prints has to wait."""
_PAUSE_SECONDS = 0.25
_CLAIM_SECONDS = 60.0
_NOT_THERE = frozenset(
    {
        "base_commit_gone",
        "git_missing",
        "not_a_repository",
        "remote_unreachable",
        "repository_missing",
        "repository_not_a_folder",
        "repository_unreadable",
    }
)
"""Why a run ended where the repository is not to be had on this machine."""


@dataclass(frozen=True, slots=True)
class Welcome:
    """What a server says to a worker."""

    principal: str
    lease_seconds: float
    version: str


@dataclass(frozen=True, slots=True)
class Renewed:
    """What a server says to a heartbeat."""

    held: Mapping[str, int]
    """Item id → fence."""
    node: str | None
    """What the node may do that was named; None if none was, or it is not known."""


class _Outlet:
    """One claim's output on its way: batches are numbered, and one is sent until it has been answered."""

    def __init__(self, send: Callable[[Mapping[str, Any]], None]) -> None:
        self._send = send
        self._sending, self._lock = threading.Lock(), threading.Lock()
        self._lines: deque[tuple[dict[str, Any], int]] = deque()
        self._bytes = 0
        self._batch = 0
        self._pulse: Pulse | None = None
        self._open: dict[str, Any] | None = None
        self.closed = False

    def put(self, lines: Sequence[LogLine], pulse: Pulse | None) -> None:
        """Keep lines and the newest pulse; raises `ServerAway` when too much waits already."""
        with self._lock:
            if self.closed:
                return
            if self._bytes > _BUFFER_BYTES:
                raise ServerAway("the server has not taken what was printed for too long")
            for line in lines:
                for start in range(0, max(1, len(line.msg)), MOST_LINE):
                    told = {**tell_line(line), "msg": line.msg[start : start + MOST_LINE]}
                    size = len(json.dumps(told))
                    self._lines.append((told, size))
                    self._bytes += size
            self._pulse = pulse or self._pulse

    def send(self) -> None:
        """Send everything that waits; a claim that was lost has nothing to send any more."""
        with self._sending:
            while not self.closed and (batch := self._next()) is not None:
                try:
                    self._send(batch)
                except LeaseLost:
                    self.close()
                    return
                self._open = None

    def close(self) -> None:
        """Take nothing any more, and forget what waits."""
        with self._lock:
            self.closed = True
            self._lines.clear()
            self._bytes = 0

    def _next(self) -> dict[str, Any] | None:
        with self._lock:
            if self._open is None and (self._lines or self._pulse is not None):
                lines: list[dict[str, Any]] = []
                size = 0
                while self._lines and len(lines) < MOST_LINES and size + self._lines[0][1] <= BATCH_BYTES:
                    line, bytes_ = self._lines.popleft()
                    lines.append(line)
                    size += bytes_
                self._bytes -= size
                self._batch += 1
                pulse, self._pulse = self._pulse, None
                told = None if pulse is None else tell_pulse(pulse)
                self._open = {"batch": self._batch, "lines": lines, "pulse": told}
            return self._open


@dataclass(slots=True)
class RemoteWorkerRuns:
    """Answers as `runs.ports.WorkerRuns`; from any thread, each with a connection of its own."""

    connect: Callable[[], Connection]
    worker_id: str
    on_refused: Callable[[InterlockError], None] = lambda _: None
    """Told that the server takes nothing from this worker any more: its token has ended, or another version serves."""
    where: str = ""
    """Who works on which machine, for sentences about what can not be had there."""
    patience_seconds: float = 60.0
    lost: Callable[[str], bool] = lambda _: False
    """Says of a run that this worker has lost it, so that nobody waits for the server for its sake."""
    _threads: Threads[Connection] = field(default_factory=lambda: Threads[Connection](usable=lambda _: True))
    _outlets: dict[tuple[str, int], _Outlet] = field(default_factory=dict[tuple[str, int], _Outlet])
    _claims: dict[str, Claim] = field(default_factory=dict[str, Claim])
    _opened: list[Connection] = field(default_factory=list[Connection])

    # --- leases -------------------------------------------------------------------------------------------------------

    def welcome(self) -> Welcome:
        """Ask whether this worker may work; raises what stands against it."""
        try:
            told = self._server.get("/ops/worker", protocol=PROTOCOL).json
        except NotFound:
            raise WorkerProtocolDiffers("this server takes no workers over HTTP: it is an older one") from None
        return understood(
            lambda data: Welcome(str(data["principal"]), int(data["lease_ms"]) / 1000, str(data["version"])), told
        )

    def join(self, facts: Facts) -> None:
        """Say that this machine is there; what it is called, the token says."""
        told = {
            "id": facts.id,
            "host": facts.host,
            "boot_id": facts.boot_id,
            "version": facts.version,
            "capabilities": list(facts.capabilities),
            "labels": list(facts.labels),
            "concurrency": facts.concurrency,
        }
        self._ask("/ops/worker/join", told)

    def claim(
        self, me: WorkerProcess, begun: Mapping[str, int], *, node_id: str | None, wait_seconds: int
    ) -> Claim | None:
        """Take up the next run; raises what stands against taking anything up now: panic, an operator's word."""
        body = {"host": me.host, "begun": dict(begun), "node_id": node_id, "wait_seconds": wait_seconds}
        told = self._ask("/ops/worker/claim", body, seconds=_CLAIM_SECONDS)
        why = understood(lambda data: data.get("why"), told)
        if why is not None:
            raise understood(lambda data: as_error(Refused, str(data["code"]), str(data["message"]), ""), why)
        claim = understood(lambda data: None if data["claim"] is None else read_claim(data["claim"]), told)
        if claim is not None:
            self._claims[claim.run.id] = claim
            self._outlets[claim.item.id, claim.item.fence] = _Outlet(lambda batch: self._post(claim, "log", batch))
        return claim

    def renew(self, *, seconds: float, node_id: str | None = None) -> Renewed:
        """Renew the leases, and give a sign of life of the node that is named."""
        told = self._ask("/ops/worker/renew", {"node_id": node_id}, seconds=seconds)
        return understood(
            lambda data: Renewed({str(name): int(fence) for name, fence in data["held"].items()}, data["node"]), told
        )

    def alive(self, run_ids: Sequence[str]) -> Sequence[tuple[str, int]]:
        """List those of these runs that have not ended, with the fences under which they were worked on."""
        found: list[tuple[str, int]] = []
        for start in range(0, len(run_ids), 1000):
            told = self._ask("/ops/worker/places", {"runs": list(run_ids[start : start + 1000])})
            found += understood(lambda data: [(str(run), int(fence)) for run, fence in data["places"]], told)
        return found

    def give_up(self, item_id: str, fence: int, *, failed: bool) -> None:
        """Give an item back that nobody here works at; one that is lost already is no matter."""
        try:
            self._ask(f"/ops/worker/items/{item_id}/return", {"fence": fence, "failed": failed})
        except LeaseLost:
            return

    def send_output(self) -> None:
        """Send what was printed, as far as the server takes it."""
        for outlet in list(self._outlets.values()):
            outlet.send()

    def let_go(self, claim: Claim) -> None:
        """Forget a claim."""
        outlet = self._outlets.pop((claim.item.id, claim.item.fence), None)
        if outlet is not None:
            outlet.close()
        if self._claims.get(claim.run.id) is claim:  # and not the one that came after it
            del self._claims[claim.run.id]

    def close(self) -> None:
        """Hang up."""
        for each in self._opened:
            each.close()

    # --- what a claim is carried out with -----------------------------------------------------------------------------

    def get(self, run_id: str) -> Run:
        """Return a run; of one that this worker has lost, and can not ask for, what it knew last."""
        claim = self._claims.get(run_id)
        try:
            return self._patiently(run_id, lambda: self._shown(run_id)[0])
        except (Unreachable, Refused):
            if claim is None:
                raise
            return claim.run

    def steps(self, run_id: str) -> Sequence[Step]:
        """List the steps of a run's present generation."""
        return self._patiently(run_id, lambda: self._shown(run_id)[1])

    def check_startable(self, approved_id: str) -> None:
        """Raise what stands against starting an agent from this record now."""
        claim = next(each for each in self._claims.values() if each.approved.id == approved_id)
        self._patiently(claim.run.id, lambda: self._post(claim, "startable", {}))

    def frozen(self) -> bool:
        """Say whether panic is on."""
        told = self._patiently("", lambda: self._server.get("/ops/worker", protocol=PROTOCOL).json)
        return understood(lambda data: bool(data["frozen"]), told)

    def begin_step(self, actor: Actor, claim: Claim, name: StepName) -> None:
        """Note that a step begins."""
        del actor
        self._post(claim, "begin", {"step": name.value})

    def complete_step(
        self, actor: Actor, claim: Claim, name: StepName, output: JsonObject, *, bodies: Sequence[Sealed] = ()
    ) -> Step:
        """Keep a step's output and the bodies that it names, after all that was printed until then."""
        del actor
        self._drain(claim)
        for body in bodies:
            for place in range(0, len(body.body), PART_BYTES):
                data = base64.b64encode(body.body[place : place + PART_BYTES]).decode("ascii")
                self._post(claim, "body", {"ref": body.ref, "place": place, "data": data})
        named = [{"ref": body.ref, "media_type": body.media_type} for body in bodies]
        told = self._post(claim, "complete", {"step": name.value, "output": dict(output), "bodies": named})
        return understood(lambda data: read_step(data["step"]), told)

    def agent_started(self, actor: Actor, claim: Claim, *, pid: int, start_time: int, boot: str, mode: str) -> None:
        """Record the agent's process."""
        del actor
        self._post(claim, "agent", {"pid": pid, "start_time": start_time, "boot": boot, "mode": mode})

    def write_log(self, claim: Claim, lines: Sequence[LogLine], *, pulse: Pulse | None = None) -> None:
        """Append output lines, and the pulse where one is due: they are sent soon."""
        outlet = self._outlets.get((claim.item.id, claim.item.fence))
        if outlet is not None:
            outlet.put(lines, pulse)

    def put_pulse(self, claim: Claim, pulse: Pulse) -> None:
        """Keep what is seen of the agent now; it is sent with the next output."""
        self.write_log(claim, (), pulse=pulse)

    def finish(self, actor: Actor, claim: Claim, outcome: Outcome, *, bodies: Sequence[Sealed] = ()) -> Run:
        """End a run and its item together; the server signs it on this worker's behalf."""
        del actor, bodies
        self._drain(claim)
        result = {name: value for name, value in outcome.result.items() if name != "attestation"}
        message = outcome.message
        if outcome.reason in _NOT_THERE:
            message = f"{message} (seen by {self.where}: the approved address has to be reachable from there)"
        told = self._post(claim, "finish", {"reason": outcome.reason, "message": message, "result": result})
        return understood(lambda data: read_run(data["run"]), told)

    def give_back(self, actor: Actor, claim: Claim) -> None:
        """Return a run that this worker will not finish; no attempt is used up."""
        del actor
        self._drain(claim)
        self._post(claim, "return", {})

    # ------------------------------------------------------------------------------------------------------------------

    @property
    def _server(self) -> Connection:
        mine = self._threads.mine() or self._threads.inherit()
        if mine is None:
            mine = self.connect()
            self._threads.keep(mine)
            self._opened.append(mine)
        return mine

    def _shown(self, run_id: str) -> tuple[Run, Sequence[Step]]:
        from interlock.remote.runs import read_run as read_shown
        from interlock.remote.runs import read_step as read_shown_step

        told = self._server.get(f"/ops/runs/{run_id}").json
        steps = several(read_shown_step, understood(lambda data: data["steps"], told))
        return understood(read_shown, told), steps

    def _drain(self, claim: Claim) -> None:
        outlet = self._outlets.get((claim.item.id, claim.item.fence))
        if outlet is not None:
            outlet.send()

    def _post(self, claim: Claim, verb: str, body: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON of any shape
        asked = {"fence": claim.item.fence, **body}
        return self._ask(f"/ops/worker/items/{claim.item.id}/{verb}", asked)

    def _ask(self, path: str, body: Mapping[str, Any], *, seconds: float = 30.0) -> Any:  # noqa: ANN401 - JSON
        asked = {"worker": self.worker_id, "protocol": PROTOCOL, **body}
        try:
            return self._server.again(path, asked, seconds=seconds).json
        except Frozen:
            raise
        except (Refused, WorkerProtocolDiffers) as error:
            if not _ends_everything(error):
                raise
            self.on_refused(error)
            raise LeaseLost(error.message) from None

    def _patiently(self, run_id: str, ask: Callable[[], Any]) -> Any:  # noqa: ANN401 - what is asked
        """Ask until the server answers, but not for a run that was lost meanwhile."""
        deadline = time.monotonic() + self.patience_seconds
        while True:
            try:
                return ask()
            except (Unreachable, Failed):
                if time.monotonic() > deadline or self.lost(run_id):
                    raise
                time.sleep(_PAUSE_SECONDS)


def _ends_everything(error: InterlockError) -> bool:
    return error.code in {
        "token_invalid",
        "role_too_low",
        "not_a_worker",
        "worker_protocol_differs",
        "switched_off",
    }
