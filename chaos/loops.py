"""The scene `loops`: a runtime writes its artefacts, whole, torn and spoilt, while reconciles of them are killed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from chaos.calls import Called, Calls
from chaos.fleet import until
from chaos.invariants import logged
from chaos.scene import Hand, Scene
from chaos.workspace import Workspace
from interlock.loops import files
from interlock.loops.models import stamp

_LOOPS = ("north", "south")
_NAMES = ("loop_start", "iteration_start", "role_start", "role_end", "gates_evaluated", "iteration_end")
_BUSY = "reconcile_busy"
_FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EFBIG))


class Loops(Scene):
    """Two loops of one repository, and three who reconcile them all the time."""

    name = "loops"
    kinds: ClassVar[Mapping[str, Sequence[str]]] = {
        "reconcile_killed": ("reconciles",),
        "reconcile_paused": ("reconciles",),
        "line_torn": _LOOPS,
        "line_spoilt": _LOOPS,
    }
    pace = (0.5, 2.5)

    def __init__(self, workspace: Workspace, seed: int) -> None:
        """Prepare a repository for each loop."""
        self._workspace = workspace
        self._calls = Calls(workspace.root, workspace.environment)
        self._dice = Random(seed)
        self._script = workspace.root / "scripts" / "ops-manager-reconcile.sh"
        self._runtimes = {each: _Runtime(workspace.disk / each, each) for each in _LOOPS}
        self._codes: Counter[int] = Counter()
        self._escalated = 0
        self._wrong: list[str] = []
        workspace.limited.append(self._calls.pids)

    def hands(self) -> Sequence[Hand]:
        """Return both runtimes, and who reconciles."""
        return [*(each.write for each in self._runtimes.values()), *[self._reconcile] * 3]

    def calm(self) -> None:
        """Let the runtimes write a last whole line each, and reconcile until all is read and told."""
        for name, runtime in self._runtimes.items():
            runtime.last()
            for _ in range(2):
                said = self._called(self._dice, runtime.repo, name)
                if said.code:
                    self._wrong.append(f"the last reconcile of {name} says {said}")

    def told(self) -> str:
        """Count."""
        done, killed = self._codes[0], sum(number for code, number in self._codes.items() if code < 0)
        lines = sum(each.lines for each in self._runtimes.values())
        return f"{done} reconciles and {killed} killed ones over {lines} lines, {self._escalated} escalations"

    def close(self) -> None:
        """End nothing: whatever was called has ended."""

    # --- what befalls it ----------------------------------------------------------------------------------------------

    @contextmanager
    def reconcile_killed(self, _: str) -> Generator[None]:
        """Reconciles die by `kill -9`, wherever they are."""
        with self._calls.killing():
            yield

    @contextmanager
    def reconcile_paused(self, _: str) -> Generator[None]:
        """Whoever reconciles stands still for a while, the lock in his hand."""
        with self._calls.pausing():
            yield

    @contextmanager
    def line_torn(self, on: str) -> Generator[None]:
        """The runtime has written half a line, and does not come to the other half for a while."""
        with self._runtimes[on].torn():
            yield

    @contextmanager
    def line_spoilt(self, on: str) -> Generator[None]:
        """The runtime died in the middle of a line; the next one begins behind it."""
        self._runtimes[on].spoil()
        yield

    # --- what must hold -----------------------------------------------------------------------------------------------

    def broken(self) -> Iterator[str]:
        """Hold each loop's state against a reconcile from nothing, and its escalations against its verdicts."""
        yield from self._wrong
        yield from self._calls.accidents
        if not self._codes[0]:
            yield "nothing was reconciled"
        events = logged(self._workspace.house)
        for name in _LOOPS:
            yield from self._as_from_nothing(name)
            yield from self._escalated_as_judged(name, [each for each in events if each["subject"] == f"loop/{name}"])

    def _as_from_nothing(self, name: str) -> Iterator[str]:
        anew = self._workspace.place / f"{name}-anew"
        shutil.copytree(self._runtimes[name].repo, anew)
        shutil.rmtree(anew / ".superloop" / "ops-manager")
        for _ in range(2):
            said = self._called(self._dice, anew, name)
            if said.code:
                yield f"a reconcile of {name} from nothing says {said}"
                return
        now, fresh = (_facts(each / ".superloop" / "ops-manager" / name) for each in (self._runtimes[name].repo, anew))
        for what in now:
            if now[what] != fresh[what]:
                yield f"{what} of {name} is {now[what]}, and from nothing {fresh[what]}"
        if now["cursor"] != {
            "eventLineOffset": self._runtimes[name].lines,
            "eventLineCount": self._runtimes[name].lines,
        }:
            yield f"{name} has {self._runtimes[name].lines} lines, and was read up to {now['cursor']}"

    def _escalated_as_judged(self, name: str, events: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        repo = self._runtimes[name].repo
        manager = repo / ".superloop" / "ops-manager" / name
        rows = files.last_rows(str(manager / "escalations.jsonl"), 1_000_000)
        wrote = Counter((each["traceId"], each["category"]) for each in rows)
        ours = [each for each in events if each["payload"].get("repo") == str(repo)]
        told = Counter(
            (each["payload"]["trace_id"], each["payload"]["category"])
            for each in ours
            if each["kind"] == "loop.escalated"
        )
        yield from (f"{name} escalated {which} {times} times" for which, times in wrote.items() if times > 1)
        if wrote != told:
            yield f"{name} escalated {wrote - told} beyond the log, and the log says {told - wrote} beyond that"
        judged = [each["payload"] for each in ours if each["kind"] == "loop.judged"]
        before: object = None
        for each in judged:
            if each["before"] != before:
                yield f"{name} was {before}, and the log goes on from {each['before']} ({each['trace_id']})"
            before = each["after"]
        wanted = Counter(
            (each["trace_id"], f"health_{each['after']['health']}")
            for each in judged
            if each["after"]["health"] != "healthy" and _health(each["before"]) != _health(each["after"])
        )
        self._escalated += len(rows)
        health = Counter({which: times for which, times in wrote.items() if which[1].startswith("health_")})
        if health != wanted:
            yield f"{name} escalated {health - wanted} without a new verdict, and not {wanted - health} with one"

    # --- inside -------------------------------------------------------------------------------------------------------

    def _reconcile(self, dice: Random) -> None:
        name = dice.choice(_LOOPS)
        said = self._called(dice, self._runtimes[name].repo, name)
        self._codes[said.code] += 1
        if said.code == 1 and _BUSY in said.out:
            threading.Event().wait(0.1)
        elif said.code > 0 and not any(each in said.out + said.err for each in _FULL):
            self._wrong.append(f"a reconcile of {name} says {said}")

    def _called(self, dice: Random, repo: Path, name: str) -> Called:
        words = ("--repo", str(repo), "--loop", name, "--alerts-enabled", "false")
        return self._calls.call(dice, self._script, *words)


class _Runtime:
    """The runtime of one loop: it appends to its log, a line at a time."""

    def __init__(self, repo: Path, name: str) -> None:
        self.repo = repo
        self._name = name
        self._folder = repo / ".superloop" / "loops" / name
        self._folder.mkdir(parents=True)
        self._log = self._folder / "events.jsonl"
        self._log.touch()
        self._writing = threading.Lock()
        self._put_state(active=True)

    @property
    def lines(self) -> int:
        """How many lines there are by now."""
        return self._log.read_bytes().count(b"\n")

    def write(self, dice: Random) -> None:
        """Append a few events, at times behind the loop's end: then its artefacts contradict each other for a while."""
        if dice.random() < 0.3:
            self._put_state(active=dice.random() < 0.5)
        for _ in range(dice.randrange(1, 5)):
            with self._writing:
                self._append(self._line(dice.choice(_NAMES)))
        threading.Event().wait(dice.uniform(0.05, 0.4))

    def last(self) -> None:
        """Append a whole line, so that what was torn has ended."""
        self._put_state(active=True)
        with self._writing:
            until(lambda: self._append(self._line("iteration_end")), 10, "the runtime's last line is written")

    @contextmanager
    def torn(self) -> Generator[None]:
        """Leave half a line meanwhile."""
        with self._writing:
            line = self._line("role_end")
            begun = self._append(line[: len(line) // 2])
            try:
                yield
            finally:
                if begun:
                    self._append(line[len(line) // 2 :], goes_on=True)

    def spoil(self) -> None:
        """Leave half a line for good."""
        with self._writing:
            self._append(self._line("role_end")[:20] + b"\n")

    def _put_state(self, *, active: bool) -> None:
        state = self.repo / ".superloop" / "state.json"
        fresh = state.with_name("state.new")
        with suppress(OSError):  # the disk is full
            fresh.write_text(json.dumps({"active": active, "current_loop_id": self._name}) + "\n")
            fresh.replace(state)

    def _line(self, name: str) -> bytes:
        now = stamp(int(time.time()))  # noqa: TID251 - the runtime is another program, with the machine's clock
        event = {"timestamp": now, "event": name, "loop_id": self._name, "run_id": "r-7", "iteration": 2}
        return json.dumps(event).encode() + b"\n"

    def _append(self, data: bytes, *, goes_on: bool = False) -> bool:
        """Write as much as there is room for; a torn line is ended before the next one, as careful runtimes do."""
        try:
            with self._log.open("r+b", buffering=0) as file:
                end = file.seek(0, 2)
                if end and not goes_on:
                    file.seek(end - 1)
                    if file.read(1) != b"\n" and file.write(b"\n") != 1:
                        return False
                return file.write(data) == len(data)
        except OSError:
            return False


def _health(verdict: Mapping[str, Any] | None) -> tuple[str, Sequence[str]]:
    return ("healthy", []) if verdict is None else (verdict["health"], verdict["reasons"])


def _facts(manager: Path) -> dict[str, Any]:
    """What has to be the same, whatever happened on the way."""
    state, health = (json.loads((manager / name).read_bytes()) for name in ("state.json", "health.json"))
    sequence = json.loads((manager / "sequence-state.json").read_bytes())
    return {
        "cursor": {name: state["cursor"][name] for name in ("eventLineOffset", "eventLineCount")},
        "run": state["run"],
        "state": state["transition"]["currentState"],
        "projection": state["projection"],
        "health": (health["status"], health["reasonCodes"]),
        "mark": sequence["events"]["last"],
    }
