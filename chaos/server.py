"""The scene `server`: clients ask over HTTP for what may be made once, and ask again whenever no answer comes."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from random import Random
from typing import Any, ClassVar

import httpx2
from tests.engines.collector import agent, collecting

from chaos.fleet import ALICE, until
from chaos.invariants import agents_are_as_claimed, ended_once, left_behind, logged, nothing_left
from chaos.scene import Hand, Scene
from chaos.workspace import TOKEN, Workspace
from interlock.kernel.errors import InterlockError
from interlock.runs.models import RunStatus

_CLIENTS = 3
_CALM_SECONDS = 180.0
_RUNS = 0.15
"""How many of the approved drafts are carried out; the others' runs are cancelled."""


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
        self._asked = 0

    def hands(self) -> Sequence[Hand]:
        """Return the clients."""
        return [_Client(self, f"c{number}").act for number in range(_CLIENTS)]

    def connections_dropped(self, on: str) -> Any:  # noqa: ANN401 - what the workspace's own fault is
        """Every connection breaks, again and again, in the middle of whatever is said."""
        return self._workspace.connections_dropped(on)

    def calm(self) -> None:
        """Ask for a last thing, cancel what nobody will carry out, and wait until every run has ended."""
        _Client(self, "last").act(Random(0))
        runs = self._workspace.house.runs
        for run in runs.list(status=RunStatus.PENDING, limit=100_000):
            with suppress(InterlockError):  # a worker has begun it just now
                runs.cancel(ALICE, run.id)
        until(
            lambda: not runs.list(status=RunStatus.PENDING) and not runs.list(status=RunStatus.RUNNING),
            _CALM_SECONDS,
            "every run of the server has ended",
        )
        state = self._workspace.house.layout.state
        until(lambda: not any(left_behind([state])), _CALM_SECONDS, "what a killed server left is taken away")

    def broken(self) -> Iterator[str]:
        """Hold what was answered against the log."""
        for key, ids in self._answered.items():
            if len(set(ids)) > 1:
                yield f"the key {key} was answered with {sorted(set(ids))}"
        if not self._answered:
            yield "nothing was answered"
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

    def command(self) -> Sequence[str]:
        """Return what an agent does: it tells the world outside."""
        return agent(self._collector.port, "for i in 1 2 3 4 5 6; do say tick; sleep 0.1; done; say ends")

    def asked(self) -> None:
        """Count a request."""
        with self._lock:
            self._asked += 1

    def answered(self, key: str, made: str) -> None:
        """Take down what a key made."""
        with self._lock:
            self._answered[key].append(made)


class _Client:
    """Somebody who asks until there is an answer, and sometimes once more."""

    def __init__(self, scene: Server, name: str) -> None:
        self._scene = scene
        self._name = name
        self._number = 0

    def act(self, dice: Random) -> None:
        """Ask for a draft, approve it, run it; or for an item."""
        self._number += 1
        key = f"{self._name}-{self._number}"
        if dice.random() < 0.3:
            self._made(dice, key, "/ops/queue/items", {"task": f"asked {key}", "success_criteria": "it is there"})
            return
        does = dice.random() < _RUNS
        work = {"command": list(self._scene.command())} if does else None
        draft = self._made(dice, key, "/ops/drafts", {"prompt": key, "work": work})
        if draft is None or dice.random() < 0.5:
            return
        approved = f"a_{draft.removeprefix('d_')}"
        if self._ask("POST", f"/ops/drafts/{draft}/approve") is None:
            return
        run = self._made(dice, f"run-{key}", "/ops/runs", {"approved_id": approved})
        if run is not None and not does:
            self._ask("POST", f"/ops/runs/{run}/cancel")

    def _made(self, dice: Random, key: str, path: str, body: Mapping[str, Any]) -> str | None:
        """Ask for something under a key, until it is there; None where the server says no."""
        made = self._ask("POST", path, key, body)
        if made is None:
            return None
        self._scene.answered(key, str(made["id"]))
        if dice.random() < 0.2 and (again := self._ask("POST", path, key, body)):
            self._scene.answered(key, str(again["id"]))
        return str(made["id"])

    def _ask(self, method: str, path: str, key: str = "", body: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
        """Ask until there is an answer, at most for a minute; None where it is no, or where there is none."""
        headers = {"Authorization": f"Bearer {TOKEN}"} | ({"Idempotency-Key": key} if key else {})
        for _ in range(100):
            self._scene.asked()
            try:
                with httpx2.Client(base_url=self._scene.address, timeout=3, headers=headers) as client:
                    answer = client.request(method, path, json=body)
            except (httpx2.TransportError, OSError):
                threading.Event().wait(0.1)
                continue
            if answer.status_code < 300:
                return answer.json()
            if answer.status_code < 500:
                return None
            threading.Event().wait(0.1)
        return None
