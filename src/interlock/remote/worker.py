"""A worker without a database: it takes runs from a server over HTTP, and carries them out on this machine.

Its server may be away for a while: the agents go on, and what they print is kept. For a whole lease without an answer
nobody may be sure any more that a run is still ours; so its processes are ended before anybody else can begin it anew.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from interlock import __version__
from interlock.access.errors import Frozen
from interlock.access.models import Actor, Principal
from interlock.approval.models import terms_digest
from interlock.approval.ports import Signed
from interlock.fleet.capabilities import capabilities, has_namespaces
from interlock.fleet.errors import NodeBehind, NodeNotTaking, NodeUnknown
from interlock.fleet.identity import node_id
from interlock.fleet.models import Facts, NodeState, checked_labels
from interlock.kernel.clock import system_clock
from interlock.kernel.errors import Failed, InterlockError, Unreachable
from interlock.kernel.ids import UlidSource
from interlock.queue.models import WorkerProcess
from interlock.remote.errors import WorkFolderUnusable
from interlock.remote.working import RemoteWorkerRuns, Renewed, Welcome
from interlock.runs.containment.line import lease_clock
from interlock.runs.containment.processes import boot_id, start_time_of
from interlock.runs.models import Claim, Outcome, StepName
from interlock.runs.options import RunOptions
from interlock.runs.repositories import Git, Mirrors, Worktrees, remove_tree
from interlock.runs.steps import Bench, Execution, check_name, leased_until, place_name

_LOG = logging.getLogger("interlock.worker")
_MOST_BEAT_SECONDS = 1.0
_BEATS_PER_LEASE = 4
_NODE_SECONDS = 5.0
_LOOK_SECONDS = 0.05
_OUTPUT_SECONDS = 0.5
_OUTPUT_SHARE_SECONDS = 0.25
"""For each run under way, so long at least passes between two batches of output."""
_WAIT_SECONDS = 2
"""So long a claim waits for a run: it is also how long the end of a worker may have to wait for it."""
_AWAY_SECONDS = 0.5
_FROZEN_SECONDS = 2.0
_RUN = re.compile(r"r_[0-7][0-9A-HJKMNP-TV-Z]{25}(?=-)")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkFolder:
    """Where such a worker keeps mirrors, worktrees and private folders."""

    root: Path

    def make(self) -> WorkFolder:
        """Make what is missing, for its owner's eyes only; raises `WorkFolderUnusable`."""
        try:
            for folder in (self.root, self.mirrors, self.worktrees, self.runs):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.root.stat()
            if found.st_uid != os.geteuid() or found.st_mode & 0o077:
                raise WorkFolderUnusable(f"{self.root} can be reached by others; it has to be yours alone (mode 700)")
        except OSError as error:
            raise WorkFolderUnusable(f"{self.root} can not be used: {error.strerror}") from None
        return self

    @property
    def mirrors(self) -> Path:
        """Git mirrors, one for each repository."""
        return self.root / "mirrors"

    @property
    def worktrees(self) -> Path:
        """One for each run under way."""
        return self.root / "worktrees"

    @property
    def runs(self) -> Path:
        """Private folders of runs under way."""
        return self.root / "runs"


def default_work_folder(environment: Mapping[str, str]) -> Path:
    """Return where a user's programs keep their state."""
    home = environment.get("XDG_STATE_HOME", "")
    return (Path(home) if home.startswith("/") else Path.home() / ".local" / "state") / "interlock" / "worker"


@dataclass(frozen=True, slots=True)
class _Begun:
    """Under which fence an item was begun, and when (monotonic)."""

    fence: int
    at: float


@dataclass(slots=True, kw_only=True)
class FarWorker:
    """One worker process; `work` and `stop` are those of `engines.local.Worker`."""

    me: WorkerProcess
    runs: RemoteWorkerRuns
    bench: Bench
    facts: Facts
    """What this machine is as a node; its name is the token's."""
    concurrency: int
    once: bool = False
    stopping: threading.Event = field(default_factory=threading.Event)
    carried_out: int = 0
    _lease_seconds: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _under_way: dict[str, tuple[Execution, threading.Thread]] = field(
        default_factory=dict[str, tuple[Execution, threading.Thread]]
    )
    _begun: dict[str, _Begun] = field(default_factory=dict[str, "_Begun"])
    """Items that were begun here: none of them is begun twice under one fence."""
    _failed: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    _claims: int = 0
    """Rises when a claim is asked for, and when it is answered: odd while one is under way."""
    _heard: float = 0.0
    """When the request went out that was answered last; monotonic."""
    _node_at: float = 0.0
    _away: bool = False
    _refused: InterlockError | None = None
    _frozen: bool = False
    _idle: bool = False
    _over: threading.Event = field(default_factory=threading.Event)

    def work(self) -> int:
        """Claim and carry out runs until told to stop; returns how many were carried out.

        Raises what the server has against this worker: a token that has ended, another protocol.
        """
        welcome = self._welcome()
        threads = [
            threading.Thread(target=each, name=each.__name__.strip("_"), daemon=True)
            for each in (self._beat, self._claim, self._send)
        ]
        self.runs.join(self.facts)
        self._tidy()
        _LOG.info("works for a server of version %s as %s", welcome.version, welcome.principal)
        self._heard = time.monotonic()  # nothing is held yet
        for thread in threads:
            thread.start()
        self._watch()
        self._leave(threads)
        if self._refused is not None:
            raise self._refused
        return self.carried_out

    def stop(self) -> None:
        """Stop soon: runs under way are given back, no attempt is used up."""
        self.stopping.set()

    def refuse(self, error: InterlockError) -> None:
        """Hear that the server takes nothing from us any more: whatever is under way is not ours now."""
        self._refused = self._refused or error
        self.stopping.set()
        self._lose("the server refuses this worker")

    def has_lost(self, run_id: str) -> bool:
        """Say whether a run is not ours any more; of no run: whether the server refuses us."""
        if not run_id:
            return self._refused is not None
        found = [each for each, _ in self._executions() if each.claim.run.id == run_id]
        return not found or found[0].lost.is_set()

    # --- the main thread ----------------------------------------------------------------------------------------------

    def _welcome(self) -> Welcome:
        welcome = self.runs.welcome()
        self._lease_seconds = welcome.lease_seconds
        self.runs.where = f"{welcome.principal} on {self.me.host}"
        return welcome

    def _watch(self) -> None:
        """Look after what is under way until told to stop, or until nothing is left to do."""
        while not self.stopping.is_set():
            self._reap()
            if time.monotonic() - self._heard > self._lease_seconds:
                self._lose("the server has not answered for a whole lease")
            if self.once and self._idle and not self._under_way:
                return
            self.stopping.wait(_LOOK_SECONDS)

    def _leave(self, threads: list[threading.Thread]) -> None:
        """Give back what is under way, and wait until its processes have ended."""
        self.stopping.set()
        claiming = threads[1]
        while claiming.is_alive() or any(thread.is_alive() for _, thread in self._executions()):
            for execution, _ in self._executions():
                execution.returning.set()
            if time.monotonic() - self._heard > self._lease_seconds:
                self._lose("the server has not answered for a whole lease")
            time.sleep(_LOOK_SECONDS)
        self._reap()
        if self._refused is None:
            with contextlib.suppress(InterlockError):
                self.runs.send_output()
                self._return_strays(self.runs.renew(seconds=self._lease_seconds).held)
        self._over.set()
        for thread in threads:
            thread.join(self._lease_seconds)
        self.runs.close()

    def _lose(self, why: str) -> None:
        for execution, _ in self._executions():
            if not execution.lost.is_set():
                _LOG.warning("run %s is not ours any more: %s", execution.claim.run.id, why)
                execution.lost.set()

    def _executions(self) -> list[tuple[Execution, threading.Thread]]:
        with self._lock:
            return list(self._under_way.values())

    def _reap(self) -> None:
        with self._lock:
            ended = [item_id for item_id, (_, thread) in self._under_way.items() if not thread.is_alive()]
            gone = [self._under_way.pop(item_id) for item_id in ended]
        for execution, _ in gone:
            self.runs.let_go(execution.claim)
            self.carried_out += 1

    def _tidy(self) -> None:
        """Remove worktrees and private folders that no run needs any more: what killed workers left behind."""
        bench = self.bench

        def living() -> set[str]:  # asked after looking: other workers may share this folder
            known = (bench.worktrees.root, bench.folder, *bench.mirrors.folder.glob("*.git/worktrees"))
            names = {each.name for folder in known for each in folder.iterdir()}
            runs = {match[0] for name in names if (match := _RUN.match(name)) is not None}
            places = self.runs.alive(sorted(runs))
            return {name(*place) for place in places for name in (place_name, check_name)}

        found = list(bench.folder.iterdir())
        alive = living()
        for folder in found:
            if folder.name not in alive:
                remove_tree(folder)
        for problem in bench.worktrees.prune(bench.mirrors, living).left:
            _LOG.warning("could not be removed: %s", problem)

    # --- heartbeats ---------------------------------------------------------------------------------------------------

    def _beat(self) -> None:
        pause = min(_MOST_BEAT_SECONDS, self._lease_seconds / _BEATS_PER_LEASE)
        while not self._over.is_set():
            try:
                self._beat_once()
            except Exception:  # noqa: BLE001 - without heartbeats every lease would be lost, and nothing would say why
                _LOG.warning("a heartbeat failed, and is tried again", exc_info=True)
            self._over.wait(pause if not self._away else min(pause, _AWAY_SECONDS))

    def _beat_once(self) -> None:
        asked, claims, began = time.monotonic(), self._claims, lease_clock()
        node = self.facts.id if asked >= self._node_at else None
        found = self._asked(partial(self._renewed, node))
        if found is not None:
            held = found.held
            self._heard = asked
            self._let_go(held, began, asked)
            self._carefully_return(held, asked, claiming=claims != self._claims or claims % 2 == 1)

    def _renewed(self, node: str | None) -> Renewed:
        found = self.runs.renew(seconds=max(1.0, self._lease_seconds / 2), node_id=node)
        if node is not None:
            self._node_at = time.monotonic() + _NODE_SECONDS
            if found.node is None:
                self.runs.join(self.facts)
            if found.node == NodeState.QUARANTINED.value:
                for execution, _ in self._executions():
                    execution.returning.set()
        return found

    def _asked(self, ask: Callable[[], Renewed]) -> Renewed | None:
        """Ask the server; None where it does not answer, which is said once."""
        try:
            found = ask()
        except (Unreachable, Failed) as error:
            if not self._away:
                self._away = True
                _LOG.warning("the server does not answer, trying again: %s", error.message)
            return None
        except InterlockError as error:
            if self._refused is None:
                self.refuse(error)
            return None
        if self._away:
            self._away = False
            _LOG.info("the server answers again")
        return found

    def _let_go(self, held: Mapping[str, int], began: float, asked: float) -> None:
        for execution, _ in self._executions():
            item, begun = execution.claim.item, self._begun.get(execution.claim.item.id)
            if held.get(item.id) == item.fence:
                execution.renewed(leased_until(began, item))
            elif begun is None or begun.at > asked:
                continue  # it was let go of before, and is still clearing up; or it was claimed after the question
            elif not execution.lost.is_set():
                _LOG.info("run %s has ended, or was taken from us", execution.claim.run.id)
                execution.lost.set()

    def _carefully_return(self, held: Mapping[str, int], asked: float, *, claiming: bool) -> None:
        """Return what we hold and nobody here works at; what was never begun, the next claim takes up."""
        with self._lock:
            free = len(self._under_way) < self.concurrency and not self.stopping.is_set() and not self._frozen
            self._begun = {
                name: each for name, each in self._begun.items() if each.at > asked or held.get(name) == each.fence
            }
            begun = self._fences()
        ours = free or claiming
        strays = {name: fence for name, fence in held.items() if begun.get(name) == fence or not ours}
        with contextlib.suppress(Unreachable, Failed):
            self._return_strays(strays)

    def _fences(self) -> dict[str, int]:
        return {name: each.fence for name, each in self._begun.items()}

    def _return_strays(self, held: Mapping[str, int]) -> None:
        for item_id, fence in held.items():
            if item_id not in self._under_way:
                self.runs.give_up(item_id, fence, failed=(item_id, fence) in self._failed)
                self._failed.discard((item_id, fence))

    # --- claims -------------------------------------------------------------------------------------------------------

    def _claim(self) -> None:
        while not self.stopping.is_set():
            with self._lock:
                free = len(self._under_way) < self.concurrency
            if not free:
                self.stopping.wait(_LOOK_SECONDS)
                continue
            self._claims += 1
            try:
                pause = self._claim_one()
            finally:
                self._claims += 1
            self.stopping.wait(pause)

    def _claim_one(self) -> float:
        """Ask for a run and begin it; returns how long to wait until the next is asked for, in seconds."""
        began, asked = lease_clock(), time.monotonic()
        try:
            wait = 0 if self.once else _WAIT_SECONDS
            claim = self.runs.claim(self.me, self._fences(), node_id=self.facts.id, wait_seconds=wait)
        except (Frozen, NodeNotTaking, NodeBehind, NodeUnknown) as error:
            self._node_at = 0.0
            if not self._frozen:
                _LOG.warning("nothing is taken up: %s", error.message)
            self._frozen, self._idle = True, True
            return _FROZEN_SECONDS
        except (Unreachable, Failed):
            return _AWAY_SECONDS
        except InterlockError as error:
            self.refuse(self._refused or error)
            return 0.0
        if self._frozen:
            self._frozen = False
            _LOG.info("runs are taken up again")
        self._heard = max(self._heard, asked)  # a claim renews what is held, too
        self._idle = claim is None
        if claim is not None and not self.stopping.is_set():  # else it is returned as what nobody works at
            self._begin(claim, leased_until(began, claim.item))
        return 0.0 if claim is not None or not self.once else _LOOK_SECONDS

    def _begin(self, claim: Claim, until: float) -> None:
        execution = Execution(bench=self.bench, claim=claim, lease_until=until)

        def carry_out() -> None:
            try:
                against = _against(claim)
                if against is None:
                    execution.carry_out()
                else:
                    self.bench.runs.begin_step(self.bench.actor, claim, StepName.FINISH)
                    self.bench.runs.finish(
                        self.bench.actor, claim, Outcome(reason=against[0], message=against[1], result={})
                    )
            except Exception:  # noqa: BLE001 - a thread's last resort: the next heartbeat lets go of the run
                self._failed.add((claim.item.id, claim.item.fence))
                _LOG.warning("run %s: the worker failed", claim.run.id, exc_info=True)

        thread = threading.Thread(target=carry_out, name=claim.run.id, daemon=True)
        with self._lock:
            self._under_way[claim.item.id] = (execution, thread)
            self._begun[claim.item.id] = _Begun(claim.item.fence, time.monotonic())
            thread.start()

    # --- output -------------------------------------------------------------------------------------------------------

    def _send(self) -> None:
        while not self._over.wait(max(_OUTPUT_SECONDS, _OUTPUT_SHARE_SECONDS * len(self._under_way))):
            try:
                self.runs.send_output()
            except (Unreachable, Failed):
                continue  # the heartbeat says it
            except InterlockError as error:
                _LOG.warning("output was not taken: %s", error.message)


def _against(claim: Claim) -> tuple[str, str] | None:
    """Return what stands against a claim, as this machine can see it: it does what was approved, and nothing else."""
    approved = claim.approved
    if claim.run.approved_id != approved.id or terms_digest(approved.terms) != approved.digest:
        return "digest_mismatch", f"{approved.id} came to the worker with terms that do not match its digest"
    for name in ("prompt", "content", "context"):
        text = getattr(approved, name)
        if approved.terms.get(name) != (None if text is None else text.ref):
            return "digest_mismatch", f"{approved.id} came to the worker with another {name} than was approved"
        if text is not None and text.body is None:
            return "content_erased", f"a text of {approved.id} has been erased"
    return None


def _unsigned(actor: Actor, **statement: Any) -> Signed:  # noqa: ANN401 - as `approval.ports.Attest`
    """Sign nothing: a worker has no key here; the server signs what this one says, and names it."""
    del actor, statement
    return Signed(envelope=b"", attestation={})


def far_worker(
    runs: Callable[[str], RemoteWorkerRuns],
    *,
    folder: WorkFolder,
    hidden: tuple[Path, ...],
    environment: Mapping[str, str],
    options: RunOptions,
    labels: tuple[str, ...],
    concurrency: int,
    once: bool,
    probe: Callable[[str], None] = lambda _: None,
) -> FarWorker:
    """Return a worker of this process that works in a folder."""
    folder.make()
    me = _this_process()
    room = runs(me.id)
    bench = Bench(
        runs=room,
        actor=Actor(principal=Principal.parse(f"service:worker@{me.host}"[:128])),
        attest=_unsigned,
        mirrors=Mirrors(git=Git(scratch=folder.root / "git"), folder=folder.mirrors),
        worktrees=Worktrees(folder.worktrees),
        state=folder.root,
        windows=folder.root,
        hidden=hidden,
        folder=folder.runs,
        options=options,
        now=system_clock,
        environment=environment,
        probe=probe,
    )
    held = has_namespaces(wanted=options.namespaces != "never")
    facts = Facts(
        id=node_id(folder.root, UlidSource()),
        name="",
        host=me.host,
        boot_id=me.boot_id,
        version=__version__,
        capabilities=capabilities(environment.get("PATH"), namespaces=held),
        labels=checked_labels(labels),
        concurrency=concurrency,
    )
    worker = FarWorker(me=me, runs=room, bench=bench, facts=facts, concurrency=concurrency, once=once)
    room.lost, room.on_refused = worker.has_lost, worker.refuse
    return worker


def _this_process() -> WorkerProcess:
    return WorkerProcess(
        id=f"worker-{UlidSource()()}",
        host=socket.gethostname(),
        boot_id=boot_id(),
        pid=os.getpid(),
        start_time=start_time_of(os.getpid()) or 0,
    )
