"""The steps of a run, carried out by one worker under one claim: prepare, agent, collect, verify, finish.

A step's output is stored before the next begins. A worker that takes a run over goes on after the last completed
step; an agent that had not finished starts again in a fresh worktree at the base commit.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from interlock.access.models import Actor
from interlock.approval.models import Approved, Work
from interlock.approval.ports import Attest
from interlock.evidence.content import Sealed, named, named_envelope
from interlock.kernel.canonical import Json, JsonObject, digest
from interlock.kernel.clock import Clock
from interlock.kernel.errors import InterlockError, Unreachable
from interlock.queue.errors import LeaseLost
from interlock.runs.containment.errors import TookTooLong
from interlock.runs.containment.launch import Contained, Ended, launch
from interlock.runs.containment.processes import kill_marked
from interlock.runs.containment.spec import Overlay, Spec
from interlock.runs.errors import StepFailed
from interlock.runs.models import MAY_BECOME, Claim, LogLine, Outcome, RunStatus, StepName
from interlock.runs.options import RunOptions
from interlock.runs.output import OutputLog
from interlock.runs.repositories import Mirror, Mirrors, Worktree, Worktrees, collect, remove_tree, tree_bytes
from interlock.runs.repositories.errors import CommitNotInMirror, PatchTooLarge, WorktreeNotRemoved
from interlock.runs.service import Runs

RUN_PREDICATE = "urn:interlock:predicate:agent-run/v1"

_WATCH_SECONDS = 0.1
_DISK_SHARE = 20
"""A look at the disk may take a twentieth of the time: the next one waits twenty times as long as the last took."""
_START_SECONDS = 60.0
_FILES_TOLD = 1_000
_ROOM_BYTES = 64 * 1024
"""So far a single file may grow beyond the limit for all: then the look at the disk finds it."""
_PATIENCE_SECONDS = 60.0
_NOTHING: JsonObject = {"commit": None, "patch": None, "files": [], "files_total": 0, "left_out": []}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a worker has at hand to carry out runs."""

    runs: Runs
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

    def carry_out(self) -> None:
        """Do what is left of the run, and end it; or let go of it when it is not ours any more."""
        try:
            try:
                self._make_ready()
                self._do_steps()
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
        finally:
            self._clean_up()

    # --- the steps ----------------------------------------------------------------------------------------------------

    def _do_steps(self) -> None:
        self.outputs = {name: cast("JsonObject", step.output) for name, step in self.claim.steps.items()}
        if self.outputs and not self._can_go_on():
            self.outputs = {}
            self._runs.check_startable(self.claim.approved.id)  # the agent will be started again
        for name in (StepName.PREPARE, StepName.AGENT, StepName.COLLECT, StepName.VERIFY):
            if name not in self.outputs:
                self._do(name)
        self._finish(*self._verdict())

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
        if collected is None:
            return agent["host"] == socket.gethostname() and Path(str(agent["place"])).is_dir()
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
        for step in self._runs.steps(self.claim.run.id):
            if step.fence != self.claim.item.fence:
                kill_marked(self._marker(step.fence))
        remove_tree(self._private)
        self._private.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("home", "task", "upper", "overlay"):
            (self._private / name).mkdir(mode=0o700)
        self._write_task()

    def _prepare(self) -> tuple[JsonObject, Sequence[Sealed]]:
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
        place = Path(str(self.outputs[StepName.PREPARE]["place"]))
        limits = self._work.limits
        command = self._work.command
        if command is None:
            raise StepFailed("no_command", "the approved record names no command")
        if self._runs.frozen():
            self.returning.set()
        if self.lost.is_set() or self.returning.is_set():
            raise Lost
        began = time.monotonic()
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
            self.bench.probe("agent.started")
            ended, log, broken = self._watch(contained, place, "", limits.output_bytes)
        return {
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
        }, ()

    def _collect(self) -> tuple[JsonObject, Sequence[Sealed]]:
        mirror = self._mirror()
        if mirror is None:
            return _NOTHING, ()
        place = Path(str(self.outputs[StepName.AGENT]["place"]))
        run, limits = self.claim.run, self._work.limits
        try:
            found = collect(
                mirror,
                Worktree(name=place.name, path=place, mirror=mirror.folder),
                base=str(self._work.base_commit),
                # One ref for each claim: a worker that wakes up late must not take the place of who took over.
                ref=f"refs/interlock/runs/{run.id}/{self.claim.item.fence}",
                message=f"Interlock run {run.id}\n\nApproved as {run.approved_id}\n{self.claim.approved.digest}",
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
            "tree": found.tree,
            "patch": {"digest": patch.ref, "bytes": len(found.patch)} if patch else None,
            "files": files,
            "files_total": len(found.files),
            "left_out": [{"path": each.name, "reason": each.reason} for each in found.left_out[:_FILES_TOLD]],
        }, ([patch] if patch else [])

    def _verify(self) -> tuple[JsonObject, Sequence[Sealed]]:
        if self._agent_verdict() is not None:
            return {"checks": [], "skipped": "the agent did not end well"}, ()
        checks: list[Json] = []
        if self._work.checks:
            place, mirror = self._clean_place()
            checks += [self._check(check, place) for check in self._work.checks]
            if mirror is not None:
                self._remove(mirror, check_name(self.claim.run.id, self.claim.item.fence))
        return {"checks": checks, "skipped": None}, ()

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
        signed = self.bench.attest(
            self._actor,
            predicate_type=RUN_PREDICATE,
            subject=self.claim.run.id,
            digest=digest(result),
            predicate={"approved_id": self.claim.approved.id, "reason": reason, "result": _told(result)},
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
        return None, "done"

    def _agent_verdict(self) -> tuple[str, str] | None:
        agent = self.outputs[StepName.AGENT]
        by, code = str(agent["ended_by"]), agent["exit_code"]
        if by == "wall_clock":
            return "limit_wall_clock", f"the agent took longer than {self._work.limits.wall_clock_seconds} s"
        if by.startswith("limit_"):
            return by, f"the agent went over its limit: {by.removeprefix('limit_')}"
        if code != 0:
            told = f"exit code {code}" if code is not None else f"signal {agent['signal']}"
            return "agent_failed", f"the agent ended with {told}"
        return None

    def _result(self) -> JsonObject:
        agent = self.outputs.get(StepName.AGENT, {})
        gathered = self.outputs.get(StepName.COLLECT, {})
        prepared = self.outputs.get(StepName.PREPARE, {})
        return {
            "base_commit": self._work.base_commit,
            "exit_code": agent.get("exit_code"),
            "signal": agent.get("signal"),
            "ended_by": agent.get("ended_by"),
            "containment": agent.get("containment"),
            "git": agent.get("git"),
            "notes": agent.get("notes", []),
            "output_bytes": agent.get("output_bytes", 0),
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
            grace_seconds=options.grace_seconds,
            max_file_bytes=self._work.limits.disk_bytes + _ROOM_BYTES,
            hidden_paths=tuple(path for path in (self.bench.state, self.bench.windows) if path.is_dir()),
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
            lambda lines: self._runs.write_log(self.claim, lines),
            now=self.bench.now,
            limit_bytes=limit_bytes,
            secrets=secrets,
        )
        reader = threading.Thread(target=_read, args=(contained, log, prefix), daemon=True)
        reader.start()
        disk = _Disk((place, self._private / "home", self._private / "upper"), self._work.limits.disk_bytes)
        broken: str | None = None
        asked = False
        while True:
            try:
                ended = contained.wait(_WATCH_SECONDS)
                break
            except TookTooLong:
                self._patiently(log.flush)
            if not asked and (self.lost.is_set() or self.returning.is_set()):
                contained.stop()
                asked = True
            if broken is None:
                broken = "limit_output" if log.exceeded.is_set() else "limit_disk" if disk.exceeded() else None
                if broken is not None:
                    contained.kill()
        reader.join(_START_SECONDS)
        self._patiently(lambda: log.flush(end=True))
        if self.lost.is_set() or self.returning.is_set():
            raise Lost
        if broken is None:
            broken = "limit_output" if log.exceeded.is_set() else "limit_disk" if disk.too_large() else None
        return ended, log, broken

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
        elif StepName.AGENT in self.outputs:
            names.discard(Path(str(self.outputs[StepName.AGENT]["place"])).name)  # the next claim goes on from there
        for name in names:
            if mirror is not None:
                self._remove(mirror, name)
            else:
                remove_tree(self.bench.worktrees.root / name)
            remove_tree(self.bench.folder / name)
        remove_tree(self._private)

    def _ended(self) -> bool:
        status = self._runs.get(self.claim.run.id).status
        return MAY_BECOME.final(status) or status is RunStatus.ERROR

    def _give_back(self) -> None:
        self._patiently(lambda: self._runs.give_back(self._actor, self.claim))

    def _say(self, level: str, text: str) -> None:
        line = LogLine(ts_ms=self.bench.now(), level=level, source="interlock", msg=text)
        self._runs.write_log(self.claim, [line])

    def _patiently(self, deed: Callable[[], object]) -> None:
        """Do it, also if the database is away for a moment; a lost lease or a refusal is final."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        pause = 0.05
        while True:
            try:
                deed()
            except Unreachable:
                if time.monotonic() > deadline or self.lost.is_set():
                    raise DatabaseAway from None
                time.sleep(pause)
                pause = min(pause * 2, 2.0)
            else:
                return

    def _marker(self, fence: int) -> str:
        return marker(self.claim.run.id, fence)

    def _name(self) -> str:
        return place_name(self.claim.run.id, self.claim.item.fence)

    @property
    def _private(self) -> Path:
        return self.bench.folder / self._name()

    @property
    def _work(self) -> Work:
        return self._approved.work

    @property
    def _approved(self) -> Approved:
        return self.claim.approved

    @property
    def _runs(self) -> Runs:
        return self.bench.runs

    @property
    def _actor(self) -> Actor:
        return self.bench.actor


def marker(run_id: str, fence: int) -> str:
    """Return the word by which the processes of one claim of a run are found."""
    return f"{run_id}:{fence}"


def place_name(run_id: str, fence: int) -> str:
    """Return the name of the worktree and the private folder of one claim of a run."""
    return f"{run_id}-{fence}"


def check_name(run_id: str, fence: int) -> str:
    """Return the name of the worktree in which the checks of one claim run."""
    return f"{run_id}-{fence}-check"


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


def _read(contained: Contained, log: OutputLog, prefix: str) -> None:
    for stream, chunk in contained.output():
        log.take(prefix + stream, chunk)


def _told(result: JsonObject) -> JsonObject:
    """Return the result without its long lists: a statement names what it is about, the log holds the rest."""
    return {name: value for name, value in result.items() if name not in {"files", "left_out"}}


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
