"""The steps of a run, carried out by one worker under one claim: prepare, agent, collect, verify, finish.

A step's output is stored before the next begins. A worker that takes a run over goes on after the last completed
step; an agent that had not finished starts again in a fresh worktree at the base commit.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from interlock.access.models import Actor
from interlock.approval.models import Approved, Rung, Work
from interlock.approval.ports import Attest
from interlock.evidence.content import Sealed, named, named_envelope
from interlock.kernel.canonical import Json, JsonObject, digest
from interlock.kernel.clock import Clock, to_text
from interlock.kernel.errors import InterlockError, Unreachable
from interlock.queue.errors import LeaseLost
from interlock.queue.models import Item
from interlock.runs.agents import AGENTS
from interlock.runs.agents.hearing import Hearing
from interlock.runs.agents.port import Adapter, Said
from interlock.runs.agents.sessions import find_session, keep_session
from interlock.runs.containment.errors import TookTooLong
from interlock.runs.containment.launch import Contained, Ended, launch
from interlock.runs.containment.processes import kill_marked
from interlock.runs.containment.spec import Overlay, Spec
from interlock.runs.errors import StepFailed
from interlock.runs.models import MAY_BECOME, Claim, LogLine, Outcome, RunStatus, Step, StepName
from interlock.runs.options import RunOptions
from interlock.runs.output import OutputLog
from interlock.runs.ports import WorkerRuns
from interlock.runs.remaking import commit_message
from interlock.runs.repositories import Mirror, Mirrors, Worktree, Worktrees, collect, remove_tree, tree_bytes
from interlock.runs.repositories.errors import CommitNotInMirror, PatchTooLarge, WorktreeNotRemoved
from interlock.runs.rungs import needed, proven, unless_reached
from interlock.runs.vitals import Vitals

RUN_PREDICATE = "urn:interlock:predicate:agent-run/v1"

_WATCH_SECONDS = 0.1
_OF_A_LEASE = 0.9
"""For this part of a lease an agent may be at work without another answer; then it stands still."""
_DISK_SHARE = 20
"""A look at the disk may take a twentieth of the time: the next one waits twenty times as long as the last took."""
_START_SECONDS = 60.0
_FILES_TOLD = 1_000
_ROOM_BYTES = 64 * 1024
"""So far a single file may grow beyond the limit for all: then the look at the disk finds it."""
_PATIENCE_SECONDS = 60.0
_T = TypeVar("_T")
_NOTHING: JsonObject = {"commit": None, "patch": None, "files": [], "files_total": 0, "left_out": []}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a worker has at hand to carry out runs."""

    runs: WorkerRuns
    actor: Actor
    attest: Attest
    mirrors: Mirrors
    worktrees: Worktrees
    state: Path
    """The workspace's state folder; hidden from agents."""
    windows: Path
    """The folder of the windows and of the providers' configuration; hidden from agents as well."""
    folder: Path
    """Private folders of runs under way."""
    options: RunOptions
    now: Clock
    environment: Mapping[str, str]
    """The worker's own environment, of which an agent gets what was approved."""
    hidden: tuple[Path, ...] = ()
    """What else agents must not read: the token of a worker elsewhere."""
    probe: Callable[[str], None] = lambda _: None
    """Told where a run stands; tests stop the world there."""


class Lost(Exception):
    """The run is not this worker's any more."""


class DatabaseAway(Exception):
    """The database did not come back in time; the run is left to whoever sees it next."""


@dataclass(slots=True, kw_only=True)
class Execution:
    """One claim being carried out."""

    bench: Bench
    claim: Claim
    lost: threading.Event = field(default_factory=threading.Event)
    """Set when the lease is lost or the run was cancelled: the agent is ended, nothing is written any more."""
    returning: threading.Event = field(default_factory=threading.Event)
    """Set when this worker stops: the agent is ended and the run given back."""
    outputs: dict[StepName, JsonObject] = field(default_factory=dict[StepName, JsonObject])
    lease_until: float | None = None
    """Until when the agent may be at work, by `containment.line.lease_clock`; `renewed` puts it off."""
    _contained: Contained | None = field(default=None, init=False)
    _session: str | None = field(default=None, init=False)
    """The name of the agent's conversation, by which it can be taken up again."""
    _place_of_agent: Path = field(default_factory=Path, init=False)
    _last_word: Said | None = field(default=None, init=False)
    """What the agent said of the whole."""
    vitals: Vitals = field(init=False)
    """What is seen of the agent; an adapter that reads its output tells it `told` and `ended`."""

    def __post_init__(self) -> None:
        """Begin with nothing seen."""
        self.vitals = Vitals(
            lambda pulse: self._runs.put_pulse(self.claim, pulse),
            fence=self.claim.item.fence,
            host=socket.gethostname(),
            node_id=self.claim.item.node_id,
        )

    def carry_out(self) -> None:
        """Do what is left of the run, and end it; or let go of it when it is not ours any more."""
        try:
            for name in StepName:
                if not self.advance(name):
                    return
        finally:
            self.close()

    def renewed(self, until: float) -> None:
        """Let the agent go on until then: the lease was renewed. Without that it stands still; from any thread."""
        self.lease_until = until
        if self._contained is not None:
            self._contained.renew(until)

    def advance(self, name: StepName) -> bool:
        """Do one step, the first of which is to prepare; False when there is none after it.

        Then the run has ended, or it is not ours any more. Whoever advances calls `close` after the last step.
        """
        try:
            try:
                return self._advance(name)
            except StepFailed as error:
                self._finish(error.reason, error.message)
            except (LeaseLost, Lost, DatabaseAway):
                raise
            except InterlockError as error:
                self._finish(error.code, error.message)
            except Exception as error:  # noqa: BLE001 - whatever it is, the run must not stay behind as running
                self._finish("worker_failed", f"the worker could not go on: {type(error).__name__}: {error}")
        except (LeaseLost, Lost):
            if self.returning.is_set() and not self.lost.is_set():
                self._give_back()
        return False

    def give_back(self) -> None:
        """Return the run between two steps; one that is not ours any more stays where it is."""
        with contextlib.suppress(LeaseLost, DatabaseAway):
            self._give_back()

    def close(self) -> None:
        """Take away what only a run under way needs."""
        self._clean_up()

    # --- the steps ----------------------------------------------------------------------------------------------------

    def _advance(self, name: StepName) -> bool:
        if name is StepName.PREPARE:
            self._make_ready()
            self._take_over()
        if name is StepName.FINISH:
            self._finish(*self._verdict())
            return False
        if name not in self.outputs:
            self._do(name)
        return True

    def _take_over(self) -> None:
        """Keep what earlier claims completed, as far as it is still here."""
        self.outputs = {name: cast("JsonObject", step.output) for name, step in following(self.claim.steps)}
        if self.outputs and not self._can_go_on():
            self.outputs = {}
            self._check_startable()  # the agent will be started again

    def _do(self, name: StepName) -> None:
        """Do one step, and keep its output before the next begins."""
        step = {
            StepName.PREPARE: self._prepare,
            StepName.AGENT: self._agent,
            StepName.COLLECT: self._collect,
            StepName.VERIFY: self._verify,
        }[name]
        self._patiently(lambda: self._runs.begin_step(self._actor, self.claim, name))
        self.bench.probe(f"{name.value}.begun")
        output, bodies = step()
        self.bench.probe(f"{name.value}.made")
        self._patiently(lambda: self._runs.complete_step(self._actor, self.claim, name, output, bodies=bodies))
        self.outputs[name] = output
        self.bench.probe(f"{name.value}.done")

    def _can_go_on(self) -> bool:
        """Say whether what completed steps left behind is still here; until the agent has ended, nothing counts."""
        agent, collected = self.outputs.get(StepName.AGENT), self.outputs.get(StepName.COLLECT)
        if agent is None:
            return False
        if StepName.VERIFY in self.outputs and self._needed is Rung.CI:
            return True  # all that is left is to hear of it, for which nothing has to be here
        if collected is None:
            place = Path(str(agent["place"]))
            ours = place.parent == self.bench.worktrees.root  # not that of another worker on a machine of this name
            return ours and agent["host"] == socket.gethostname() and place.is_dir()
        mirror = self._mirror()
        return mirror is None or collected["commit"] is None or self._holds(mirror, str(collected["commit"]))

    def _holds(self, mirror: Mirror, commit: str) -> bool:
        """Say whether this machine's mirror has a result; another machine's worker may have collected it."""
        try:
            with mirror.opened() as place:
                mirror.require(place, commit)
        except CommitNotInMirror:
            return False
        return True

    def _make_ready(self) -> None:
        """End what an earlier claim left running on this machine, and make this claim's private folder."""
        for step in self._patiently(lambda: self._runs.steps(self.claim.run.id)):
            if step.fence != self.claim.item.fence:
                kill_marked(self._marker(step.fence))
        remove_tree(self._private)
        self._private.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("home", "task", "upper", "overlay"):
            (self._private / name).mkdir(mode=0o700)
        self._write_task()

    def _prepare(self) -> tuple[JsonObject, Sequence[Sealed]]:
        began = time.monotonic()
        earlier = find_session(self.bench.folder, self.bench.worktrees.root, self.claim.run, self._private.name)
        if earlier is not None and self._resumed(earlier.session_id) is not None and earlier.move_to(self._private):
            return {
                "place": str(earlier.place),
                "base_commit": self._work.base_commit,
                "session_id": earlier.session_id,
                "duration_ms": _since(began),
            }, ()
        return self._prepare_anew()

    def _prepare_anew(self) -> tuple[JsonObject, Sequence[Sealed]]:
        began = time.monotonic()
        mirror = self._mirror()
        if mirror is None:
            place = self.bench.worktrees.root / self._name()
            remove_tree(place)
            place.mkdir(mode=0o700)
            return {"place": str(place), "base_commit": None, "duration_ms": _since(began)}, ()
        base = str(self._work.base_commit)
        brought = mirror.fetch(base, pin=self.claim.approved.id)
        fetched = _since(began)
        self.bench.worktrees.remove(mirror, self._name())
        worktree = self.bench.worktrees.add(mirror, base, self._name())
        return {
            "place": str(worktree.path),
            "base_commit": base,
            "fetched": brought,
            "fetch_ms": fetched,
            "worktree_ms": _since(began) - fetched,
        }, ()

    def _agent(self) -> tuple[JsonObject, Sequence[Sealed]]:
        prepared = self.outputs[StepName.PREPARE]
        command, place = self._work.command, Path(str(prepared["place"]))
        if command is None:
            raise StepFailed("no_command", "the approved record names no command")
        session_id = prepared.get("session_id")
        again = self._resumed(session_id) if isinstance(session_id, str) else None
        if again is not None:
            self._say("INFO", f"Takes the session {session_id} up again: {shlex.join(again)}")
            output = self._run_agent(again, place)
            if output["exit_code"] == 0 or self._session is not None:
                return {**output, "resumed": {"session_id": session_id, "command": list(again)}}, ()
            self._say("WARN", "The session could not be taken up again; the agent begins anew from the base commit")
            for name in ("home", "upper", "overlay"):
                remove_tree(self._private / name)
                (self._private / name).mkdir(mode=0o700)
            place = Path(str(self._prepare_anew()[0]["place"]))
        return self._run_agent(command, place), ()

    def _resumed(self, session_id: str) -> tuple[str, ...] | None:
        """Return the approved command as it takes a session up again, if its adapter knows how."""
        return self._adapter.resume(self._work.command or (), session_id)

    def _run_agent(self, command: tuple[str, ...], place: Path) -> JsonObject:
        if self._patiently(self._runs.frozen):
            self.returning.set()
        if self.lost.is_set() or self.returning.is_set():
            raise Lost
        self._check_startable()  # a claim may have waited for its turn
        limits = self._work.limits
        began = time.monotonic()
        self._place_of_agent = place
        with launch(self._spec(command, place, limits.wall_clock_seconds)) as contained:
            started = contained.wait_started(_START_SECONDS)
            start_ms = _since(began)
            self._patiently(
                lambda: self._runs.agent_started(
                    self._actor,
                    self.claim,
                    pid=started.pid,
                    start_time=started.start_time,
                    boot=started.boot_id,
                    mode=started.containment,
                )
            )
            self.vitals.process(started, self.bench.now())
            self._patiently(self.vitals.flush)
            self.bench.probe("agent.started")
            ended, log, broken = self._watch(contained, place, "", limits.output_bytes)
        return {
            "agent": self._figures(),
            "place": str(place),
            "host": socket.gethostname(),
            "exit_code": ended.exit_code,
            "signal": ended.signal,
            "ended_by": broken or ended.reason,
            "duration_ms": ended.duration_ms,
            "start_ms": start_ms,
            "output_bytes": log.total_bytes,
            "containment": started.containment,
            "git": started.git,
            "notes": list(started.notes),
            "killed_leftovers": ended.killed_leftovers,
        }

    def _figures(self) -> JsonObject | None:
        """Return what the agent said of itself; None for any command."""
        if self._work.agent == "command":
            return None
        pulse, word = self.vitals.pulse, self._last_word
        return {
            "name": self._work.agent,
            "session_id": pulse.session_id,
            "turns": pulse.turns,
            "input_tokens": pulse.input_tokens,
            "output_tokens": pulse.output_tokens,
            "cost_microusd": pulse.cost_microusd,
            "terminal": pulse.terminal,
            "resets_at": to_text(word.resets_ms) if word is not None and word.resets_ms is not None else None,
        }

    def _collect(self) -> tuple[JsonObject, Sequence[Sealed]]:
        mirror = self._mirror()
        if mirror is None:
            return _NOTHING, ()
        place = Path(str(self.outputs[StepName.AGENT]["place"]))
        run, limits = self.claim.run, self._work.limits
        # One ref for each claim: a worker that wakes up late must not take the place of who took over.
        ref = f"refs/interlock/runs/{run.id}/{self.claim.item.fence}"
        try:
            found = collect(
                mirror,
                Worktree(name=place.name, path=place, mirror=mirror.folder),
                base=str(self._work.base_commit),
                ref=ref,
                message=commit_message(run, self.claim.approved),
                at_ms=run.created_ms,
                max_patch_bytes=limits.patch_bytes,
                max_file_bytes=limits.disk_bytes,
            )
        except PatchTooLarge as error:
            if self._agent_verdict() is None:
                raise
            self._say("WARN", f"nothing was collected: {error.message}")
            return _NOTHING, ()
        patch = named(found.patch, "text/x-diff") if found.patch else None
        files: list[Json] = [
            {
                "path": file.name,
                "status": file.status,
                "added": file.added,
                "deleted": file.deleted,
                "binary": file.binary,
                "mode": file.new_mode,
            }
            for file in found.files[:_FILES_TOLD]
        ]
        return {
            "commit": found.commit,
            "ref": ref,
            "tree": found.tree,
            "patch": {"digest": patch.ref, "bytes": len(found.patch)} if patch else None,
            "files": files,
            "files_total": len(found.files),
            "left_out": [{"path": each.name, "reason": each.reason} for each in found.left_out[:_FILES_TOLD]],
        }, ([patch] if patch else [])

    def _verify(self) -> tuple[JsonObject, Sequence[Sealed]]:
        if self._agent_verdict() is not None:
            return {"checks": [], "skipped": "the agent did not end well", "proof": None}, ()
        checks: list[Json] = []
        if self._work.checks:
            place, mirror = self._clean_place()
            checks += [self._check(check, place) for check in self._work.checks]
            if mirror is not None:
                self._remove(mirror, check_name(self.claim.run.id, self.claim.item.fence))
        return {"checks": checks, "skipped": None, "proof": self._proof(checks)}, ()

    def _proof(self, checks: Sequence[Json]) -> JsonObject:
        """Say how well the result is proven, and of which tree that is true."""
        mirror, rung = self._mirror(), Rung.EXIT_CODE
        commit = tree = None
        if mirror is not None:
            collected = self.outputs[StepName.COLLECT]
            commit = str(collected["commit"] or self._work.base_commit)
            with mirror.opened() as place:
                tree = mirror.git.run(place, "rev-parse", "--verify", f"{commit}^{{tree}}").line
            passed = [bool(cast("dict[str, Any]", each)["passed"]) for each in checks]
            if passed and all(passed) and tree == collected.get("tree"):
                rung = Rung.CHECKED  # the checks saw a clean worktree of this commit, and nothing else
        return {"rung": rung.value, "tree": tree, "commit": commit, "at_ms": self.bench.now(), "checks": list(checks)}

    def _check(self, check: tuple[str, ...], place: Path) -> JsonObject:
        self._say("INFO", f"Check: {' '.join(check)}")
        try:
            with launch(self._spec(check, place, self._work.limits.check_seconds)) as contained:
                contained.wait_started(_START_SECONDS)
                ended, _, broken = self._watch(contained, place, "check ", self._work.limits.output_bytes)
        except (LeaseLost, Lost, DatabaseAway):
            raise
        except InterlockError as error:
            return {
                "command": list(check),
                "exit_code": None,
                "ended_by": error.code,
                "duration_ms": 0,
                "passed": False,
            }
        return {
            "command": list(check),
            "exit_code": ended.exit_code,
            "ended_by": broken or ended.reason,
            "duration_ms": ended.duration_ms,
            "passed": ended.exit_code == 0 and broken is None,
        }

    def _finish(self, reason: str | None, message: str) -> None:
        result = self._result()
        self._patiently(lambda: self._runs.begin_step(self._actor, self.claim, StepName.FINISH))
        signed = self._patiently(
            lambda: self.bench.attest(
                self._actor,
                predicate_type=RUN_PREDICATE,
                subject=self.claim.run.id,
                digest=digest(result),
                predicate={"approved_id": self.claim.approved.id, "reason": reason, "result": told(result)},
            )
        )
        outcome = Outcome(reason=reason, message=message, result={**result, "attestation": signed.attestation})
        envelope = named_envelope(signed.envelope)
        self.bench.probe("finish.begun")
        self._patiently(lambda: self._runs.finish(self._actor, self.claim, outcome, bodies=[envelope]))
        self.bench.probe("finish.done")

    # --- what it comes to ---------------------------------------------------------------------------------------------

    def _verdict(self) -> tuple[str | None, str]:
        agent = self._agent_verdict()
        if agent is not None:
            return agent
        for check in cast("list[dict[str, Any]]", self.outputs[StepName.VERIFY]["checks"]):
            if not check["passed"]:
                told = f"exit code {check['exit_code']}" if check["exit_code"] is not None else check["ended_by"]
                return "check_failed", f"the check {' '.join(check['command'])} did not pass ({told})"
        want = self._needed
        if want is Rung.CI:
            return None, "done"  # whether CI has spoken is found where the run is finished
        judged = unless_reached(proven(self._result()), want)
        return judged.reason, judged.message or "done"

    @property
    def _needed(self) -> Rung:
        return needed(self._work, self.bench.options.rung)

    def _still_true(self, proof: JsonObject | None) -> JsonObject | None:
        """Take back what was proven of a result that somebody has put another one in the place of."""
        gathered, mirror = self.outputs.get(StepName.COLLECT, {}), self._mirror()
        if proof is None or mirror is None or gathered.get("commit") is None or gathered.get("ref") is None:
            return proof
        with mirror.opened() as place:
            found = mirror.git.run(place, "rev-parse", "--verify", "--quiet", str(gathered["ref"]), codes=(0, 1, 128))
        # On another machine than that which collected it there is no ref, and so none that leads elsewhere.
        if found.code != 0 or found.line == gathered["commit"]:
            return proof
        self._say("ERROR", f"{gathered['ref']} leads to {found.line} and not to the result that was checked")
        return {**proof, "rung": Rung.SELF_REPORTED.value}

    def _agent_verdict(self) -> tuple[str, str] | None:
        agent = self.outputs[StepName.AGENT]
        by, code = str(agent["ended_by"]), agent["exit_code"]
        if by == "wall_clock":
            return "limit_wall_clock", f"the agent took longer than {self._work.limits.wall_clock_seconds} s"
        if by.startswith("limit_"):
            return by, f"the agent went over its limit: {by.removeprefix('limit_')}"
        told = cast("dict[str, Any]", agent.get("agent") or {})
        if told.get("terminal") == "limit":
            when = f" until {told['resets_at']}" if told.get("resets_at") else ""
            return "agent_limited", f"the agent's provider lets it do no more{when}"
        if code != 0:
            ended = f"exit code {code}" if code is not None else f"signal {agent['signal']}"
            return "agent_failed", f"the agent ended with {ended}"
        if told.get("terminal") == "failure":
            return "agent_failed", "the agent ended with exit code 0 and said itself that it is not done"
        return None

    def _result(self) -> JsonObject:
        agent = self.outputs.get(StepName.AGENT, {})
        gathered = self.outputs.get(StepName.COLLECT, {})
        prepared = self.outputs.get(StepName.PREPARE, {})
        return {
            "base_commit": self._work.base_commit,
            "agent": agent.get("agent"),
            "exit_code": agent.get("exit_code"),
            "signal": agent.get("signal"),
            "ended_by": agent.get("ended_by"),
            "containment": agent.get("containment"),
            "git": agent.get("git"),
            "notes": agent.get("notes", []),
            "output_bytes": agent.get("output_bytes", 0),
            "proof": self._still_true(cast("JsonObject | None", self.outputs.get(StepName.VERIFY, {}).get("proof"))),
            "commit": gathered.get("commit"),
            "patch": gathered.get("patch"),
            "files": gathered.get("files", []),
            "files_total": gathered.get("files_total", 0),
            "left_out": gathered.get("left_out", []),
            "checks": self.outputs.get(StepName.VERIFY, {}).get("checks", []),
            "durations_ms": {
                "fetch": prepared.get("fetch_ms"),
                "worktree": prepared.get("worktree_ms"),
                "start": agent.get("start_ms"),
                "agent": agent.get("duration_ms"),
            },
        }

    # --- watching a process -------------------------------------------------------------------------------------------

    def _spec(self, argv: tuple[str, ...], place: Path, wall_clock_seconds: int) -> Spec:
        mirror, options = self._mirror(), self.bench.options
        task = self._private / "task"
        overlays = (
            (Overlay(lower=mirror.folder, upper=self._private / "upper", work=self._private / "overlay"),)
            if mirror is not None
            else ()
        )
        return Spec(
            argv=argv,
            env=self._environment(),
            cwd=place,
            run_marker=self._marker(self.claim.item.fence),
            stdin_file=task / "prompt.txt",
            wall_clock_seconds=wall_clock_seconds,
            lease_until=self.lease_until,
            grace_seconds=options.grace_seconds,
            max_file_bytes=self._work.limits.disk_bytes + _ROOM_BYTES,
            hidden_paths=tuple(
                path for path in (self.bench.state, self.bench.windows, *self.bench.hidden) if path.exists()
            ),
            writable_paths=(place, self._private / "home"),
            readonly_paths=(task, *options.visible),
            overlay_paths=overlays,
            private_tmp_bytes=options.private_tmp_bytes,
            network=self._work.network,
            namespaces=options.namespaces,
        )

    def _watch(
        self, contained: Contained, place: Path, prefix: str, limit_bytes: int
    ) -> tuple[Ended, OutputLog, str | None]:
        """Follow a process to its end; returns how it ended, its log, and the limit that it broke."""
        secrets = {name: self.bench.environment.get(name, "") for name in self._work.environment}
        log = OutputLog(
            lambda lines: self.vitals.beside(lambda pulse: self._runs.write_log(self.claim, lines, pulse=pulse)),
            now=self.bench.now,
            limit_bytes=limit_bytes,
            secrets=secrets,
        )
        # Checks print what they like: only the agent's own output is read.
        hearing = None if prefix else Hearing(self._adapter.reader(), log.hidden)
        reader = threading.Thread(target=self._read, args=(contained, log, prefix, hearing), daemon=True)
        reader.start()
        self._contained = contained
        if self.lease_until is not None:
            contained.renew(self.lease_until)  # it may have been renewed while the agent was born
        disk = _Disk((place, self._private / "home", self._private / "upper"), self._work.limits.disk_bytes)
        broken: str | None = None
        asked = False
        while True:
            try:
                ended = contained.wait(_WATCH_SECONDS)
                break
            except TookTooLong:
                self._patiently(log.flush)
                self._patiently(self.vitals.flush)
            if not asked and (self.lost.is_set() or self.returning.is_set()):
                contained.stop()
                asked = True
            if broken is None:
                broken = self._broken(log) or ("limit_disk" if disk.exceeded() else None)
                if broken is not None:
                    contained.kill()
        reader.join(_START_SECONDS)
        self._patiently(lambda: log.flush(end=True))
        self._patiently(lambda: self.vitals.flush(end=True))
        if self.lost.is_set() or self.returning.is_set():
            raise Lost
        if broken is None:
            broken = self._broken(log) or ("limit_disk" if disk.too_large() else None)
        return ended, log, broken

    def _broken(self, log: OutputLog) -> str | None:
        """Return the limit that what was printed, or what the agent says of itself, is over."""
        return "limit_output" if log.exceeded.is_set() else self.vitals.broken(self._work.limits)

    def _read(self, contained: Contained, log: OutputLog, prefix: str, hearing: Hearing | None) -> None:
        for stream, chunk in contained.output():
            self.vitals.printed(self.bench.now(), len(chunk))
            log.take(prefix + stream, chunk)
            if hearing is not None:
                self._heard(hearing.take(stream, chunk), log)
        if hearing is not None:
            self._heard(hearing.end(), log)

    def _heard(self, said: Sequence[Said], log: OutputLog) -> None:
        """Keep what the agent says of itself."""
        for each in said:
            if each.text:
                log.note(each.level, each.text)
            if each.told is not None:
                self.vitals.told(**asdict(each.told))
                if each.told.session_id is not None and each.told.session_id != self._session:
                    self._session = each.told.session_id
                    keep_session(self._private, self._session, self._place_of_agent, self.claim.run.generation)
            if each.terminal is not None:
                self._last_word = each
                self.vitals.ended(each.terminal, self.bench.now())

    def _environment(self) -> dict[str, str]:
        own, task = self.bench.environment, self._private / "task"
        given = {name: own[name] for name in self._work.environment if name in own}
        return {
            "PATH": own.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "TMPDIR": "/tmp",  # noqa: S108 - the run's own, see private_tmp_bytes
            "HOME": str(self._private / "home"),
            "GIT_AUTHOR_NAME": "Interlock agent",
            "GIT_AUTHOR_EMAIL": "agent@localhost",
            "GIT_COMMITTER_NAME": "Interlock agent",
            "GIT_COMMITTER_EMAIL": "agent@localhost",
            "INTERLOCK_PROMPT_FILE": str(task / "prompt.txt"),
            "INTERLOCK_TASK_FILE": str(task / "task.json"),
            **given,
        }

    # --- places -------------------------------------------------------------------------------------------------------

    def _write_task(self) -> None:
        approved = self.claim.approved
        body = approved.content.body if approved.content else None
        prompt = (approved.prompt.body or "") + (f"\n\n{body}" if body else "")
        task = {
            "run_id": self.claim.run.id,
            "approved_id": approved.id,
            "digest": approved.digest,
            "prompt": approved.prompt.body,
            "content": body,
            "context": json.loads(approved.context.body or "{}"),
        }
        (self._private / "task" / "prompt.txt").write_text(prompt, encoding="utf-8")
        (self._private / "task" / "task.json").write_text(json.dumps(task, ensure_ascii=False), encoding="utf-8")

    def _clean_place(self) -> tuple[Path, Mirror | None]:
        """Make a clean checkout of the result; without a repository the checks look at what there is."""
        mirror = self._mirror()
        if mirror is None:
            return Path(str(self.outputs[StepName.AGENT]["place"])), None
        name = check_name(self.claim.run.id, self.claim.item.fence)
        self.bench.worktrees.remove(mirror, name)
        commit = self.outputs[StepName.COLLECT]["commit"] or self._work.base_commit
        return self.bench.worktrees.add(mirror, str(commit), name).path, mirror

    def _mirror(self) -> Mirror | None:
        if self._work.repository is None or self._work.base_commit is None:
            return None
        sha256 = len(self._work.base_commit) == 64
        return self.bench.mirrors.open(self._work.repository, "sha256" if sha256 else "sha1")

    def _remove(self, mirror: Mirror, name: str) -> None:
        try:
            self.bench.worktrees.remove(mirror, name)
        except (WorktreeNotRemoved, InterlockError) as error:
            self._say("WARN", f"a worktree could not be removed: {error}")

    def _clean_up(self) -> None:
        """Take away what the run needed while it was under way; what stays is in the database and the mirror."""
        names = {self._name(), check_name(self.claim.run.id, self.claim.item.fence)}
        mirror = self._mirror()
        if self._ended():
            # Nobody goes on with it: what earlier claims left behind goes too.
            found = [
                *self.bench.worktrees.root.glob(f"{self.claim.run.id}-*"),
                *self.bench.folder.glob(f"{self.claim.run.id}-*"),
            ]
            found += mirror.folder.glob(f"worktrees/{self.claim.run.id}-*") if mirror is not None else ()
            names |= {path.name for path in found}
        elif StepName.AGENT in self.outputs and StepName.VERIFY not in self.outputs:
            names.discard(Path(str(self.outputs[StepName.AGENT]["place"])).name)  # the next claim goes on from there
        elif self._leaves_a_session():
            return  # the next claim on this machine takes the session up again, in this place and with this home
        for name in names:
            if mirror is not None:
                self._remove(mirror, name)
            else:
                remove_tree(self.bench.worktrees.root / name)
            remove_tree(self.bench.folder / name)
        remove_tree(self._private)

    def _leaves_a_session(self) -> bool:
        session_id = self._session if StepName.AGENT not in self.outputs else None
        return session_id is not None and self._resumed(session_id) is not None

    def _ended(self) -> bool:
        """Say whether nobody goes on with it; where nobody can tell, somebody may."""
        try:
            status = self._patiently(lambda: self._runs.get(self.claim.run.id)).status
        except DatabaseAway:
            return False
        return MAY_BECOME.final(status) or status is RunStatus.ERROR

    def _give_back(self) -> None:
        self._patiently(lambda: self._runs.give_back(self._actor, self.claim))

    def _say(self, level: str, text: str) -> None:
        line = LogLine(ts_ms=self.bench.now(), level=level, source="interlock", msg=text)
        self._patiently(lambda: self._runs.write_log(self.claim, [line]))

    def _check_startable(self) -> None:
        self._patiently(lambda: self._runs.check_startable(self.claim.approved.id))

    def _patiently(self, deed: Callable[[], _T]) -> _T:
        """Do it, also if the database is away for a moment; a lost lease or a refusal is final."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        pause = 0.05
        while True:
            try:
                return deed()
            except Unreachable:
                if time.monotonic() > deadline or self.lost.is_set():
                    raise DatabaseAway from None
                time.sleep(pause)
                pause = min(pause * 2, 2.0)

    def _marker(self, fence: int) -> str:
        return marker(self.claim.run.id, fence)

    def _name(self) -> str:
        return place_name(self.claim.run.id, self.claim.item.fence)

    @property
    def _private(self) -> Path:
        return self.bench.folder / self._name()

    @property
    def _adapter(self) -> Adapter:
        return AGENTS.get(self._work.agent, AGENTS["command"])

    @property
    def _work(self) -> Work:
        return self._approved.work

    @property
    def _approved(self) -> Approved:
        return self.claim.approved

    @property
    def _runs(self) -> WorkerRuns:
        return self.bench.runs

    @property
    def _actor(self) -> Actor:
        return self.bench.actor


def leased_until(began: float, item: Item) -> float:
    """Return until when what was claimed or renewed after `began` may be at work, by `containment.line.lease_clock`.

    A little less than others leave it alone; an item keeps the lease with which it was claimed, whatever is set since.
    """
    return began + item.lease_ms / 1000 * _OF_A_LEASE


def marker(run_id: str, fence: int) -> str:
    """Return the word by which the processes of one claim of a run are found."""
    return f"{run_id}:{fence}"


def place_name(run_id: str, fence: int) -> str:
    """Return the name of the worktree and the private folder of one claim of a run."""
    return f"{run_id}-{fence}"


def check_name(run_id: str, fence: int) -> str:
    """Return the name of the worktree in which the checks of one claim run."""
    return f"{run_id}-{fence}-check"


def following(steps: Mapping[StepName, Step]) -> Iterator[tuple[StepName, Step]]:
    """Yield the steps that follow from each other.

    One that an earlier claim completed before another began the step before it anew is evidence of what is gone.
    """
    fence = 0
    for name in StepName:
        step = steps.get(name)
        if step is None or step.fence < fence:
            return
        fence = step.fence
        yield name, step


class _Disk:
    """Looks at how large a folder has grown, as often as it can afford."""

    def __init__(self, places: Sequence[Path], limit: int) -> None:
        self._places, self._limit = places, limit
        self._next = time.monotonic() + 1.0

    def exceeded(self) -> bool:
        """Say whether it is too large; False also when it is not time to look."""
        began = time.monotonic()
        if began < self._next:
            return False
        found = self.too_large()
        took = time.monotonic() - began
        self._next = time.monotonic() + max(1.0, took * _DISK_SHARE)
        return found

    def too_large(self) -> bool:
        """Look now."""
        size = 0
        for place in self._places:
            size += tree_bytes(place, self._limit - size)
            if size > self._limit:
                return True
        return False


def told(result: JsonObject) -> JsonObject:
    """Return the result without its long lists: a statement names what it is about, the log holds the rest."""
    return {name: value for name, value in result.items() if name not in {"files", "left_out"}}


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
