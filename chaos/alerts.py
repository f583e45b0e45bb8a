"""The scene `alerts`: escalations come, sinks fail in every way, and whoever sends is killed: each is heard once."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from random import Random
from typing import Any, ClassVar

from tests.alerts.receiver import Receiver, Say, receiving

from chaos.calls import Called, Calls
from chaos.fleet import until
from chaos.invariants import logged
from chaos.scene import Hand, Scene
from chaos.workspace import Workspace
from interlock.alerts import config
from interlock.loops import files
from interlock.loops.models import stamp
from interlock.loops.places import LoopPlaces

_LOOP = "watched"
_SINKS = ("first", "second")
_CALM_SECONDS = 120.0
_KEY = "Idempotency-Key"


class Alerts(Scene):
    """A loop that escalates, two sinks, and two who send beside the server."""

    name = "alerts"
    kinds: ClassVar[Mapping[str, Sequence[str]]] = {
        "sink_fails": _SINKS,
        "sink_is_busy": _SINKS,
        "sink_hangs": _SINKS,
        "sink_drops": _SINKS,
        "sender_killed": ("senders",),
        "sender_paused": ("senders",),
    }
    pace = (0.5, 2.5)

    def __init__(self, workspace: Workspace, seed: int) -> None:
        """Prepare the sinks, and tell the workspace of them. Its server has to be started behind this."""
        self._workspace = workspace
        self._dice = Random(seed)
        self._stack = ExitStack()
        self._sinks = {each: _Sink(self._stack.enter_context(receiving())) for each in _SINKS}
        self._repo = workspace.disk / "watched"
        (self._repo / ".superloop" / "ops-manager" / _LOOP).mkdir(parents=True)
        self._places = LoopPlaces.of(str(self._repo), _LOOP)
        self._configure()
        self._calls = Calls(workspace.root, workspace.environment)
        self._script = workspace.root / "scripts" / "ops-manager-alert-dispatch.sh"
        self._escalated: list[str] = []
        workspace.limited.append(self._calls.pids)

    def _configure(self) -> None:
        for name, sink in self._sinks.items():
            self._workspace.environment[f"STORM_{name.upper()}"] = sink.receiver.url
        sinks = {
            name: {"enabled": True, "type": "webhook", "urlEnv": f"STORM_{name.upper()}", "timeoutSeconds": 1}
            for name in _SINKS
        }
        routing: files.Document = {"defaultSinks": list(_SINKS), "categorySeverity": {}, "routes": []}
        document: files.Document = {
            "schemaVersion": "v1",
            "defaultMinSeverity": "warning",
            "sinks": sinks,
            "routing": routing,
        }
        (self._workspace.root / config.FILE).write_text(json.dumps(document))

    def hands(self) -> Sequence[Hand]:
        """Return what escalates, and who sends."""
        return (self._escalate, self._dispatch, self._dispatch)

    def calm(self) -> None:
        """Let the sinks take everything, and send until nothing waits any more."""
        for sink in self._sinks.values():
            sink.says(Say())

        def all_sent() -> bool:
            said = self._dispatched(self._dice)
            return said.code == 0 and not self._waiting()

        until(all_sent, _CALM_SECONDS, "every alert has been sent")

    def _waiting(self) -> int:
        with self._workspace.house.alerts.look() as desk:
            return sum(number for _, status, number in desk.alerts.counts() if status == "pending")

    def told(self) -> str:
        """Count."""
        heard = sum(len(each.taken()) for each in self._sinks.values())
        asked = sum(len(each.receiver.got) for each in self._sinks.values())
        return f"{len(self._escalated)} escalations, of {asked} messages {heard} were taken"

    def close(self) -> None:
        """End the sinks."""
        self._stack.close()

    # --- what befalls it ----------------------------------------------------------------------------------------------

    @contextmanager
    def sink_fails(self, on: str) -> Generator[None]:
        """The sink answers that it has an accident."""
        with self._sinks[on].saying(Say(500, "accident")):
            yield

    @contextmanager
    def sink_is_busy(self, on: str) -> Generator[None]:
        """The sink wants to be asked later."""
        with self._sinks[on].saying(Say(429, "later", {"Retry-After": "1"})):
            yield

    @contextmanager
    def sink_hangs(self, on: str) -> Generator[None]:
        """The sink takes what is sent, and answers too late."""
        with self._sinks[on].saying("slow1.5"):
            yield

    @contextmanager
    def sink_drops(self, on: str) -> Generator[None]:
        """The sink's connections break before an answer."""
        with self._sinks[on].saying("die"):
            yield

    @contextmanager
    def sender_killed(self, _: str) -> Generator[None]:
        """Who sends dies by `kill -9`, perhaps between sending and noting it."""
        with self._calls.killing():
            yield

    @contextmanager
    def sender_paused(self, _: str) -> Generator[None]:
        """Who sends stands still for a while."""
        with self._calls.pausing():
            yield

    # --- what must hold -----------------------------------------------------------------------------------------------

    def broken(self) -> Iterator[str]:
        """Hold what the sinks took against what was escalated, and against the log."""
        yield from self._calls.accidents
        if not self._escalated:
            yield "nothing was escalated"
        events = logged(self._workspace.house)
        opened = Counter(each["payload"]["category"] for each in events if each["kind"] == "alert.opened")
        for category in self._escalated:
            if opened[category] != 1:
                yield f"{category} was escalated, and opened {opened[category]} alerts"
        delivered = Counter(
            (each["payload"]["sink"], f"{each['subject']}:{each['payload']['change']}:{each['payload']['sink']}")
            for each in events
            if each["kind"] == "alert.delivered"
        )
        yield from (f"{key} is logged as delivered {times} times" for key, times in delivered.items() if times > 1)
        for name, sink in self._sinks.items():
            yield from self._heard(name, sink, {key for on, key in delivered if on == name})

    def _heard(self, name: str, sink: _Sink, delivered: set[str]) -> Iterator[str]:
        taken = sink.taken()
        keys = {key for key, _ in taken}
        yield from (f"{key} is logged as delivered, and {name} never took it" for key in delivered - keys)
        yield from (f"{name} took {key}, and the log knows nothing of it" for key in keys - delivered)
        heard: dict[str, set[str]] = {each: set() for each in self._escalated}
        for key, category in taken:
            heard.setdefault(category, set()).add(key)
        for category in self._escalated:
            if len(heard[category]) != 1:
                yield f"{name} heard of {category} under {len(heard[category])} keys: {sorted(heard[category])}"

    # --- inside -------------------------------------------------------------------------------------------------------

    def _escalate(self, dice: Random) -> None:
        category = f"storm_{len(self._escalated):05}"
        row = {
            "timestamp": stamp(int(time.time())),  # noqa: TID251 - a loop is another program, with the machine's clock
            "loopId": _LOOP,
            "traceId": f"t-{category}",
            "category": category,
            "transport": "local",
            "reasonCodes": ["storm"],
        }
        line = files.bytes_of(row)
        try:
            # The same matter once more is no news.
            files.append(self._places.of_manager("escalations.jsonl"), [line] * dice.choice((1, 1, 2)), lasting=True)
        except files.FileUnwritten:
            return  # the disk is full; the same category comes again
        self._escalated.append(category)
        threading.Event().wait(dice.uniform(0.1, 0.5))

    def _dispatch(self, dice: Random) -> None:
        self._dispatched(dice)
        threading.Event().wait(0.2)

    def _dispatched(self, dice: Random) -> Called:
        return self._calls.call(dice, self._script, "--repo", str(self._repo), "--loop", _LOOP)


class _Sink:
    """A receiver, and what it took for good."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self._saying: Say | str = Say()
        self._took: list[int] = []
        receiver.answers = self._answer

    def says(self, what: Say | str) -> None:
        """Answer so from now on."""
        self._saying = what

    @contextmanager
    def saying(self, what: Say | str) -> Generator[None]:
        """Answer so meanwhile."""
        self._saying = what
        try:
            yield
        finally:
            self._saying = Say()

    def taken(self) -> list[tuple[str, str]]:
        """Return key and category of what was taken."""
        got = [self.receiver.got[number] for number in self._took]
        return [(each.headers[_KEY], _category(each.body)) for each in got]

    def _answer(self, number: int) -> Say | str:
        saying = self._saying  # once: it may become another while this is answered
        if saying == Say() or (isinstance(saying, str) and saying.startswith("slow")):
            self._took.append(number)
        return saying


def _category(body: Any) -> str:  # noqa: ANN401 - JSON
    return str(body["event"]["category"])
