"""The scene `server`: clients ask over HTTP for what may be made once, and ask again whenever no answer comes."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from random import Random
from typing import Any, ClassVar

import httpx2
from tests.engines.collector import agent, collecting

from chaos.fleet import until
from chaos.invariants import agents_are_as_claimed, ended_once, left_behind, logged, nothing_left
from chaos.scene import Hand, Scene
from chaos.workspace import TOKEN, Workspace
from interlock.runs.models import RunStatus

_CLIENTS = 3
_CALM_SECONDS = 180.0
_PATIENCE_SECONDS = 60.0
_LAST = 20
"""How much is asked for when all is calm; a server may be down for all of a short storm."""
_CANCELLED = 0.8
"""How many of the runs are cancelled; the others are to be done."""
_SHORTLY, _FOR_LONG = 6, 600
"""For how many tenths of a second an agent works that is to end, and one that is to be cancelled."""


class Server(Scene):
    """Clients of the workspace's server. What befalls the server and the way to it, befalls the workspace."""

    name = "server"
    kinds: ClassVar[Mapping[str, Sequence[str]]] = {"connections_dropped": ("wire",)}

    def __init__(self, workspace: Workspace, _: int) -> None:
        """Let clients come to this workspace's server."""
        self._workspace = workspace
        self._stack = ExitStack()
        self._collector = self._stack.enter_context(collecting())
        self._lock = threading.Lock()
        self._answered: dict[str, list[str]] = defaultdict(list)
        """What was made for a key, as often as it was answered."""
        self._promised: list[tuple[str, str]] = []
        """The event that an answer without a key promised, and its subject."""
        self._wrong: list[str] = []
        self._asked = 0

    def hands(self) -> Sequence[Hand]:
        """Return the clients."""
        return [_Client(self, f"c{number}").act for number in range(_CLIENTS)]

    def connections_dropped(self, on: str) -> Any:  # noqa: ANN401 - what the workspace's own fault is
        """Every connection breaks, again and again, in the middle of whatever is said."""
        return self._workspace.connections_dropped(on)

    def calm(self) -> None:
        """Ask for some last things, and wait until every run has ended."""
        runs = self._workspace.house.runs
        client, dice = _Client(self, "last"), Random(0)
        for _ in range(_LAST):
            if not self._wrong:  # else it may be that nobody is ever answered
                client.act(dice)
        until(
            lambda: not runs.list(status=RunStatus.PENDING) and not runs.list(status=RunStatus.RUNNING),
            _CALM_SECONDS,
            "every run of the server has ended",
        )
        state = self._workspace.house.layout.state
        until(lambda: not any(left_behind([state])), _CALM_SECONDS, "what a killed server left is taken away")

    def broken(self) -> Iterator[str]:
        """Hold what was answered against the log."""
        yield from self._wrong
        for key, ids in self._answered.items():
            if len(set(ids)) > 1:
                yield f"the key {key} was answered with {sorted(set(ids))}"
        if len({kind for kind, _ in self._promised}) < 3:
            yield f"nothing was promised but {self._promised}"
        events = logged(self._workspace.house)
        yield from self._made_once(events)
        yield from self._one_draft_for_each_prompt()
        yield from agents_are_as_claimed(self._collector, events)
        yield from ended_once(events, [each["subject"] for each in events if each["kind"] == "run.created"])
        yield from nothing_left(self._collector, [self._workspace.house.layout.state])

    def _made_once(self, events: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        made = Counter((each["kind"], each["subject"]) for each in events)
        kinds = {"d": "draft.created", "r": "run.created", "O": "item.added"}
        for key, ids in self._answered.items():
            times = made[kinds[ids[0][0]], ids[0]]
            if times != 1:
                yield f"what the key {key} made, {ids[0]}, is {times} times in the log"
        for kind, subject in self._promised:
            if made[kind, subject] != 1:
                yield f"{kind} of {subject} was promised, and is {made[kind, subject]} times in the log"

    def _one_draft_for_each_prompt(self) -> Iterator[str]:
        house = self._workspace.house
        drafts = Counter(each.prompt for each in house.approval.drafts(limit=100_000))
        yield from (f"there are {times} drafts `{prompt}`" for prompt, times in drafts.items() if times > 1)
        runs = Counter(each.approved_id for each in house.runs.list(limit=100_000))
        yield from (f"there are {times} runs of {approved}" for approved, times in runs.items() if times > 1)
        with house.queue_look() as queue:
            tasks = Counter(each.task for each in queue.list(limit=100_000) if each.task.startswith("asked "))
        yield from (f"there are {times} items `{task}`" for task, times in tasks.items() if times > 1)

    def told(self) -> str:
        """Count."""
        return f"{self._asked} requests for {len(self._answered)} keys"

    def close(self) -> None:
        """End the world outside."""
        self._stack.close()

    # --- for the clients ----------------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """Where the server answers."""
        return self._workspace.address

    def command(self, ticks: int) -> Sequence[str]:
        """Return what an agent does: it tells the world outside, so often."""
        return agent(self._collector.port, f"for i in $(seq {ticks}); do say tick; sleep 0.1; done; say ends")

    def asked(self) -> None:
        """Count a request."""
        with self._lock:
            self._asked += 1

    def answered(self, key: str, made: str) -> None:
        """Take down what a key made."""
        with self._lock:
            self._answered[key].append(made)

    def promised(self, kind: str, subject: str) -> None:
        """Take down what was answered to have happened."""
        with self._lock:
            self._promised.append((kind, subject))

    def refused(self, said: str) -> None:
        """Take down that somebody was refused what he may have, or never answered."""
        with self._lock:
            self._wrong.append(said)


class _Client:
    """Somebody who asks until there is an answer, and sometimes once more."""

    def __init__(self, scene: Server, name: str) -> None:
        self._scene = scene
        self._name = name
        self._number = 0

    def act(self, dice: Random) -> None:
        """Ask for an item; or for a draft, which may be approved, and carried out or cancelled."""
        self._number += 1
        key = f"{self._name}-{self._number}"
        if dice.random() < 0.3:
            self._made(dice, key, "/ops/queue/items", {"task": f"asked {key}", "success_criteria": "it is there"})
            return
        is_cancelled = dice.random() < _CANCELLED
        command = list(self._scene.command(_FOR_LONG if is_cancelled else _SHORTLY))
        draft = self._made(dice, key, "/ops/drafts", {"prompt": key, "work": {"command": command}})
        if draft is None or dice.random() < 0.5:
            return
        run = self._run(dice, key, draft)
        if run is not None and not is_cancelled:
            self._scene.promised("run.done", run)
        elif run is not None and self._ask(f"/ops/runs/{run}/cancel"):
            self._scene.promised("run.cancelled", run)

    def _run(self, dice: Random, key: str, draft: str) -> str | None:
        if not self._ask(f"/ops/drafts/{draft}/approve"):
            return None
        self._scene.promised("draft.approved", draft)
        return self._made(dice, f"run-{key}", "/ops/runs", {"approved_id": f"a_{draft.removeprefix('d_')}"})

    def _made(self, dice: Random, key: str, path: str, body: Mapping[str, Any]) -> str | None:
        """Ask for something under a key; None where it is not made."""
        made = self._ask(path, key, body)
        if made is None:
            return None
        self._scene.answered(key, str(made["id"]))
        if dice.random() < 0.2 and (again := self._ask(path, key, body)):
            self._scene.answered(key, str(again["id"]))
        return str(made["id"])

    def _ask(self, path: str, key: str = "", body: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
        """Ask until there is an answer, for a minute; None where there is none, or where it is no: both are taken down.

        Without a key a repetition may find that it has happened already.
        """
        headers = {"Authorization": f"Bearer {TOKEN}"} | ({"Idempotency-Key": key} if key else {})
        deadline, again = time.monotonic() + _PATIENCE_SECONDS, False
        while time.monotonic() < deadline:
            self._scene.asked()
            with suppress(httpx2.TransportError, OSError):
                with httpx2.Client(base_url=self._scene.address, timeout=3, headers=headers) as client:
                    answer = client.post(path, json=body)
                if answer.status_code < 300 or (answer.status_code == 409 and again and not key):
                    return answer.json()
                if answer.status_code < 500:
                    self._scene.refused(f"{path} is refused: {answer.status_code} {answer.text}")
                    return None
            again = True
            threading.Event().wait(0.1)
        self._scene.refused(f"{path} is not answered within {_PATIENCE_SECONDS} s")
        return None
