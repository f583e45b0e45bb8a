"""What a worker without a database may do: claim, and carry out what it claimed itself. Its server asks this room.

Who it is, its token says. The name under which it holds leases is made of that principal and of the id that it gave
itself: so nobody can touch a claim of somebody else's, whatever ids and fences are guessed. Whatever it asks twice,
because an answer was lost, is done once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, cast

from interlock.access.models import Actor, PrincipalKind
from interlock.approval.ports import Attest
from interlock.approval.service import startable, verify_frozen
from interlock.evidence.content import Sealed, named_envelope
from interlock.fleet.errors import NodeUnknown
from interlock.fleet.models import Facts, NodeState, node_name
from interlock.fleet.service import Fleet
from interlock.kernel.canonical import JsonObject, check, digest
from interlock.kernel.ids import checked
from interlock.queue.errors import LeaseLost
from interlock.queue.models import Executor, ItemStatus, WorkerProcess
from interlock.runs.errors import (
    BodyDiffers,
    BodyTooLarge,
    NotAWorker,
    OutputTooLarge,
    ResultMalformed,
    WorkerMalformed,
    WorkerProtocolDiffers,
)
from interlock.runs.models import ENDED, Claim, LogLine, Outcome, Pulse, Run, Step, StepName
from interlock.runs.ports import FarDesk, RunDesk
from interlock.runs.service import Runs
from interlock.runs.steps import RUN_PREDICATE, told
from interlock.runs.wire import PROTOCOL

PRINCIPALS = "worker@"
"""With this the name of a service begins that may carry runs out."""
_WORKER = re.compile(r"worker-[0-9A-HJKMNP-TV-Z]{26}")
_REF = re.compile(r"sha256:[0-9a-f]{64}")
_MOST_NAME = 90
_ROOM = 1024 * 1024
"""What may come beside the approved bytes: our own lines, and what is put in a secret's place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A body that came in parts."""

    ref: str
    media_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FarRuns:
    """The verbs of workers elsewhere."""

    runs: Runs
    look: Callable[[], AbstractContextManager[RunDesk]]
    light: Callable[[], AbstractContextManager[FarDesk]]
    fleet: Fleet
    attest: Attest
    """Signs with the service's key on the worker's behalf; never with the worker's."""
    waits_for: Callable[[], str]
    """Says why this server can not sign yet; then nothing is taken up through it."""

    def welcome(self, actor: Actor, protocol: int) -> None:
        """Refuse who is no worker, or speaks another protocol."""
        principal = actor.principal
        if principal.kind is not PrincipalKind.SERVICE or not principal.name.startswith(PRINCIPALS):
            raise NotAWorker(f"{principal} is no worker: runs are carried out by service:{PRINCIPALS}NAME")
        if len(principal.name) > _MOST_NAME:
            raise NotAWorker(f"the name of a worker has at most {_MOST_NAME} characters")
        if protocol != PROTOCOL:
            raise WorkerProtocolDiffers(f"the worker speaks protocol {protocol}, this server {PROTOCOL}")

    def frozen(self) -> bool:
        """Say whether panic is on."""
        return self.runs.frozen()

    # --- nodes --------------------------------------------------------------------------------------------------------

    def join(self, actor: Actor, facts: Facts) -> None:
        """Say that a worker's machine is there, as a node that is called as its token's principal is.

        Raises `NotAWorker` for the id of a node that is called otherwise: it is somebody else's.
        """
        if facts.name != node_called(actor):
            raise NotAWorker(f"a node of {actor.principal} is called {node_called(actor)}")
        self._own(actor, facts.id)
        self.fleet.join(actor, facts)
        self.beat(actor, facts.id)

    def beat(self, actor: Actor, node_id: str) -> NodeState | None:
        """Say that a node lives; returns what it may do, None if it has to join (again)."""
        if self._own(actor, node_id) is None:
            return None
        self.fleet.beat(node_id, config_version=self.fleet.newest_version())
        return self.fleet.standing(node_id)[0]

    def _own(self, actor: Actor, node_id: str) -> Facts | None:
        try:
            facts = self.fleet.get(node_id).facts
        except NodeUnknown:
            return None
        if facts.name != node_called(actor):
            raise NotAWorker(f"{node_id} is not a node of {actor.principal}")
        return facts

    # --- leases -------------------------------------------------------------------------------------------------------

    def claim(
        self, actor: Actor, worker: WorkerProcess, begun: Mapping[str, int], *, node_id: str | None = None
    ) -> Claim | None:
        """Take up the next run; first whatever this worker holds and has not begun, as it never got that answer.

        `begun` is what it has begun (item id → fence). A node is given what it has the labels and capabilities for,
        and nothing while it may not take anything up.
        """
        owner = _owner(actor, worker.id)
        for item_id, fence in self.runs.renew(owner).items():
            if begun.get(item_id) != fence:
                return self._again(owner, item_id, fence)
        # It can be found by nobody here: only its silence says that it is gone.
        known = WorkerProcess(id=owner, host=f"{worker.host} (elsewhere)", boot_id="", pid=0, start_time=0)
        has: frozenset[str] = frozenset()
        if node_id is not None:
            facts = self._own(actor, node_id)
            if facts is None:
                raise NodeUnknown(f"{node_id[:64]!a} has not joined, or was forgotten")
            has = facts.has
        claim = None if self.waits_for() else self.runs.claim(actor, known, has=has, node_id=node_id)
        if claim is not None:
            self._sweep()
        return claim

    def _again(self, owner: str, item_id: str, fence: int) -> Claim:
        claim = self._held(owner, item_id, fence)
        with self.look() as desk:
            verify_frozen(desk.approval, claim.approved)
            steps = {s.name: s for s in desk.runs.steps(claim.run.id, claim.run.generation) if s.output is not None}
        return Claim(item=claim.item, run=claim.run, approved=claim.approved, steps=steps)

    def renew(self, actor: Actor, worker_id: str) -> Mapping[str, int]:
        """Renew a worker's leases; returns what it still holds (item id → fence)."""
        return self.runs.renew(_owner(actor, worker_id))

    def alive(self, run_ids: Sequence[str]) -> Sequence[tuple[str, int]]:
        """List those of these runs that have not ended, with the fences under which they were worked on."""
        asked = {checked(run_id, "r") for run_id in run_ids}
        return [place for place in self.runs.places() if place[0] in asked]

    def give_back(self, actor: Actor, worker_id: str, item_id: str, fence: int, *, failed: bool) -> None:
        """Return a run; no attempt is used up, unless the worker failed at it."""
        claim = self._held(_owner(actor, worker_id), item_id, fence)
        if failed:
            self.runs.rescue(actor, claim.item, reason="worker_failed")
        else:
            self.runs.give_back(actor, claim)
        self._sweep()

    # --- what a claim brings about ------------------------------------------------------------------------------------

    def check_startable(self, actor: Actor, worker_id: str, item_id: str, fence: int) -> None:
        """Raise what stands against starting an agent now."""
        claim = self._held(_owner(actor, worker_id), item_id, fence)
        with self.look() as desk:
            startable(desk.approval, claim.approved.id)

    def begin_step(self, actor: Actor, worker_id: str, item_id: str, fence: int, name: StepName) -> None:
        """Note that a step begins."""
        self.runs.begin_step(actor, self._held(_owner(actor, worker_id), item_id, fence), name)

    def agent_started(
        self, actor: Actor, worker_id: str, item_id: str, fence: int, *, pid: int, start_time: int, boot: str, mode: str
    ) -> None:
        """Record the agent's process."""
        claim = self._held(_owner(actor, worker_id), item_id, fence)
        self.runs.agent_started(actor, claim, pid=pid, start_time=start_time, boot=boot, mode=mode)

    def write_log(
        self,
        actor: Actor,
        worker_id: str,
        item_id: str,
        fence: int,
        *,
        batch: int,
        lines: Sequence[LogLine],
        pulse: Pulse | None,
    ) -> None:
        """Append a batch of lines, once; `batch` counts from 1 under each fence.

        Raises `LeaseLost`, and `OutputTooLarge` for more than was approved.
        """
        claim = self._held(_owner(actor, worker_id), item_id, fence)
        limits, chars = claim.approved.work.limits, sum(len(line.msg) for line in lines)
        most = (limits.output_bytes + _ROOM) * (1 + len(claim.approved.work.checks))
        with self.light() as desk:
            if not desk.run.queue.store.hold(item_id, fence):
                return
            if lines:
                total = desk.far.take_batch(item_id, fence, batch, chars)
                if total is not None and total > most:
                    raise OutputTooLarge(f"{claim.run.id} has printed more than its limit allows")
                if total is not None:
                    desk.run.runs.log(claim.run.id, lines)
            if pulse is not None and pulse.fence == fence:
                desk.run.runs.put_pulse(claim.run.id, pulse)

    def put_part(
        self, actor: Actor, worker_id: str, item_id: str, fence: int, *, ref: str, place: int, data: bytes
    ) -> None:
        """Keep a part of a body until the step that names it is complete. Raises `BodyTooLarge`."""
        claim = self._held(_owner(actor, worker_id), item_id, fence)
        if not _REF.fullmatch(ref):
            raise BodyDiffers("a body is named by the sha256 of its bytes")
        most = claim.approved.work.limits.patch_bytes + _ROOM
        with self.light() as desk:
            if not desk.run.queue.store.hold(item_id, fence):
                raise LeaseLost(f"{item_id} is not held under fence {fence} any more")
            desk.far.put_part(item_id, fence, ref, place, data)
            if desk.far.parts_bytes(item_id, fence) > most:
                raise BodyTooLarge(f"{claim.run.id} sends more than its limit for a patch, {most - _ROOM} bytes")

    def complete_step(
        self,
        actor: Actor,
        worker_id: str,
        item_id: str,
        fence: int,
        *,
        name: StepName,
        output: JsonObject,
        bodies: Sequence[Body],
    ) -> Step:
        """Keep a step's output and the bodies that it names, which came before."""
        claim = self._held(_owner(actor, worker_id), item_id, fence)
        _check(output)
        whole = [self._whole(claim, body) for body in bodies]
        self._check_patch(output, {body.ref for body in whole})
        return self.runs.complete_step(actor, claim, name, output, bodies=whole)

    def finish(self, actor: Actor, worker_id: str, item_id: str, fence: int, outcome: Outcome) -> Run:
        """End a run and its item; the server signs what the worker says of it, on its behalf."""
        owner = _owner(actor, worker_id)
        done = self._finished(owner, item_id, fence)
        if done is not None:
            return done  # the answer to an earlier try was lost
        claim = self._held(owner, item_id, fence)
        _check(outcome.result)
        self._check_patch(outcome.result, set())
        result = {name: value for name, value in outcome.result.items() if name != "attestation"}
        signed = self.attest(
            actor,
            predicate_type=RUN_PREDICATE,
            subject=claim.run.id,
            digest=digest(result),
            predicate={"approved_id": claim.approved.id, "reason": outcome.reason, "result": told(result)},
        )
        signed_outcome = Outcome(
            reason=outcome.reason, message=outcome.message, result={**result, "attestation": signed.attestation}
        )
        run = self.runs.finish(actor, claim, signed_outcome, bodies=[named_envelope(signed.envelope)])
        self._sweep()
        return run

    # ------------------------------------------------------------------------------------------------------------------

    def _held(self, owner: str, item_id: str, fence: int) -> Claim:
        """Return what an owner holds under a fence; raises `LeaseLost`, whoever else may hold it."""
        with self.look() as desk:
            item = desk.queue.store.get(item_id) if _is_id(item_id) else None
            ours = item is not None and item.owner_session == owner and item.fence == fence
            if item is None or not ours or item.status is not ItemStatus.IN_PROGRESS or item.run_id is None:
                raise LeaseLost(f"this worker does not hold {item_id[:64]!a} under fence {fence}")
            run = desk.runs.get(item.run_id)
            approved = desk.approval.approved.get(run.approved_id) if run is not None else None
            if run is None or approved is None or item.executor is not Executor.INTERLOCK:
                raise LeaseLost(f"there is no run behind {item_id}")
            return Claim(item=item, run=run, approved=approved, steps={})

    def _finished(self, owner: str, item_id: str, fence: int) -> Run | None:
        """Return the run that this owner has ended under this very fence."""
        with self.look() as desk:
            item = desk.queue.store.get(item_id) if _is_id(item_id) else None
            if item is None or item.owner_session != owner or item.fence != fence or item.run_id is None:
                return None
            run = desk.runs.get(item.run_id)
            ended = item.status in {ItemStatus.DONE, ItemStatus.FAILED} and run is not None and run.status in ENDED
            return run if ended else None

    def _whole(self, claim: Claim, body: Body) -> Sealed:
        with self.light() as desk:
            data = desk.far.body(claim.item.id, claim.item.fence, body.ref)
        if "sha256:" + hashlib.sha256(data).hexdigest() != body.ref:
            raise BodyDiffers("what came of a body is not what its name says")
        return Sealed(ref=body.ref, salt=None, body=data, media_type=body.media_type)

    def _check_patch(self, output: JsonObject, brought: set[str]) -> None:
        """Let a worker name no other body than a public one that is here: a text of somebody's is none."""
        patch = output.get("patch")
        if patch is None:
            return
        ref = str(cast("Mapping[str, Any]", patch).get("digest")) if isinstance(patch, Mapping) else ""
        with self.look() as desk:
            if not _REF.fullmatch(ref) or (ref not in brought and desk.approval.contents.get(ref) is None):
                raise ResultMalformed("the result names a patch that was not sent")

    def _sweep(self) -> None:
        with self.light() as desk:
            desk.far.sweep()


def node_called(actor: Actor) -> str:
    """Return what the nodes of a worker's principal are called."""
    return node_name("", actor.principal.name.removeprefix(PRINCIPALS))


def _owner(actor: Actor, worker_id: str) -> str:
    """Return under which name a worker holds leases; no principal's name has a slash."""
    if not _WORKER.fullmatch(worker_id):
        raise WorkerMalformed(f"{worker_id[:64]!a} is no id of a worker")
    return f"{actor.principal.name}/{worker_id}"


def _is_id(item_id: str) -> bool:
    return len(item_id) <= 128 and item_id.isprintable()


def _check(value: JsonObject) -> None:
    try:
        check(value)
    except ValueError as error:
        raise ResultMalformed(f"the result can not be kept: {error}"[:300]) from None
