"""The supervisor reconciles every loop that is looked after: at once when its files change, and now and then.

It is level-triggered: nothing has to be heard, and nothing is lost when it dies; it looks at how the files are. A
reconcile that hangs (a file system that is away) holds up its own loop alone; one that fails is tried again later and
later. A loop whose files do not change is looked at when it would be late; one that has ended is left alone.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from dataclasses import dataclass, field

from interlock.access.models import Actor
from interlock.kernel.errors import InterlockError
from interlock.loops import artefacts
from interlock.loops.files import Document
from interlock.loops.models import at, text, whole
from interlock.loops.places import LoopPlaces
from interlock.loops.reconcile import Outcome
from interlock.loops.service import Loops, Target

_LOG = logging.getLogger("interlock.loops")
_LOOK_SECONDS = 1.0
_TARGETS_SECONDS = 5.0
_BUSY_SECONDS = 2.0
_LONGEST_BACK_OFF_SECONDS = 300.0
_LONGEST_SECONDS = 300.0
"""How long a loop that has not ended is left alone, whatever is to be expected of it."""
_MOST_STUCK = 16
_ENDED = frozenset({"complete", "stopped", "failed", "idle"})

Signature = tuple[tuple[int, int, int] | None, ...]


@dataclass(slots=True)
class _Care:
    """What is remembered of one loop."""

    target: Target
    due: float = 0.0
    signature: Signature = ()
    process: int | None = None
    """The runtime's process, as it was noted when the signature was taken."""
    failures: int = 0
    trouble: str = ""
    began: float | None = None
    """When the reconcile that is under way began."""
    stuck: bool = False
    leaving: bool = False
    """It is not among what is looked after any more: a run that has ended is reconciled a last time."""


@dataclass(kw_only=True)
class Supervisor:
    """Looks after loops, from one thread, with a few others that do the work.

    Those are kept: each has a connection to the database of its own.
    """

    loops: Loops
    actor: Actor
    interval_seconds: float = 30.0
    """How soon at the earliest a loop is looked at again whose files do not change."""
    most_seconds: float = 30.0
    """How long a reconcile may take before others go on without waiting for it."""
    at_once: int = 2
    stopping: threading.Event = field(default_factory=threading.Event)
    _known: dict[LoopPlaces, _Care] = field(default_factory=dict[LoopPlaces, _Care])
    _targets_at: float = 0.0
    _ended: threading.Condition = field(default_factory=threading.Condition)
    _waiting: queue.SimpleQueue[_Care | None] = field(default_factory=queue.SimpleQueue["_Care | None"])
    _threads: list[threading.Thread] = field(default_factory=list[threading.Thread])
    reconciled: int = 0

    def work(self) -> int:
        """Supervise until told to stop; returns how many reconciles were made."""
        while not self.stopping.is_set():
            began = time.monotonic()
            self.turn(began)
            with self._ended:
                self._ended.wait(max(0.05, _LOOK_SECONDS - (time.monotonic() - began)))
        self._finish()
        return self.reconciled

    def stop(self) -> None:
        """Stop soon; what is under way is finished."""
        self.stopping.set()
        with self._ended:
            self._ended.notify_all()

    def turn(self, now: float) -> None:
        """Look once at all loops, and begin what is due."""
        if now >= self._targets_at:
            self._targets_at = now + _TARGETS_SECONDS
            self._refresh(now)
        due: list[_Care] = []
        for care in self._known.values():
            if care.began is None:
                if _has_changed(care):
                    care.due = min(care.due, now)
                if care.due <= now:
                    due.append(care)
            elif not care.stuck and now - care.began > self.most_seconds:
                care.stuck = True
                _LOG.warning("reconciling %s takes longer than %d s", _name(care.target), self.most_seconds)
        due.sort(key=lambda care: care.due)
        for care in due[: self._free()]:
            self._begin(care, now)

    def _refresh(self, now: float) -> None:
        try:
            found = {each.places: each for each in self.loops.targets() if os.path.isdir(each.places.repo)}
        except InterlockError as error:
            _LOG.warning("which loops are watched can not be read now: %s", error.message)
            return
        for places in self._known.keys() - found.keys():
            care = self._known[places]
            if care.began is not None:
                continue
            if care.leaving or care.target.watch is not None:
                del self._known[places]
            else:
                care.leaving, care.due = True, now
        for places, target in found.items():
            if places not in self._known:
                self._known[places] = _Care(target, due=_first_due(places, now, self.interval_seconds))
                _has_changed(self._known[places])

    def _free(self) -> int:
        under_way = [care for care in self._known.values() if care.began is not None]
        stuck = sum(care.stuck for care in under_way)
        return 0 if stuck >= _MOST_STUCK else max(0, self.at_once - (len(under_way) - stuck))

    def _begin(self, care: _Care, now: float) -> None:
        care.began = now
        self._waiting.put(care)
        if len(self._threads) < self.at_once + sum(each.stuck for each in self._known.values()):
            thread = threading.Thread(target=self._serve, name=f"loops-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self) -> None:
        while (care := self._waiting.get()) is not None:
            self._reconcile(care)

    def _reconcile(self, care: _Care) -> None:
        try:
            outcome = self.loops.reconcile(self.actor, care.target)
        except InterlockError as error:
            self._failed(care, error.message)
        except Exception:  # noqa: BLE001 - a thread's last resort: the loop is tried again later
            _LOG.warning("reconciling %s failed", _name(care.target), exc_info=True)
            self._failed(care, "an accident")
        else:
            self._came(care, outcome)
        finally:
            with self._ended:
                care.began, care.stuck = None, False
                self.reconciled += 1
                self._ended.notify_all()

    def _came(self, care: _Care, outcome: Outcome) -> None:
        now = time.monotonic()
        for warning in outcome.warnings:
            _LOG.warning("%s: %s", _name(care.target), warning)
        if outcome.busy:
            care.due = now + _BUSY_SECONDS
        elif outcome.exit_code:
            self._failed(care, ", ".join(outcome.after.reasons) if outcome.after else "nothing could be read")
        else:
            care.failures, care.trouble = 0, ""
            care.due = now + max(self.interval_seconds, _seconds_until_news(outcome.document))

    def _failed(self, care: _Care, trouble: str) -> None:
        care.failures += 1
        care.due = time.monotonic() + min(_LONGEST_BACK_OFF_SECONDS, 2.0**care.failures)
        if trouble != care.trouble:
            care.trouble = trouble
            _LOG.warning("%s can not be reconciled: %s", _name(care.target), trouble)

    def _finish(self) -> None:
        """Wait for what is under way, but not for what is stuck."""
        deadline = time.monotonic() + self.most_seconds
        with self._ended:
            self._ended.wait_for(
                lambda: all(care.began is None or care.stuck for care in self._known.values()),
                max(0.0, deadline - time.monotonic()),
            )
        for _ in self._threads:
            self._waiting.put(None)


def _name(target: Target) -> str:
    return f"{target.places.loop} in {target.places.repo}"


def _signature(places: LoopPlaces) -> Signature:
    """Tell how the files are that say something new. A heartbeat says only that all is well: it waits its turn."""
    return tuple(
        _sign(path)
        for path in (
            places.runtime_state,
            places.active_run,
            places.of_run("events.jsonl"),
            places.of_run("run-summary.json"),
            places.of_run("approval.json"),
            places.of_manager("intents.jsonl"),
        )
    )


def _has_changed(care: _Care) -> bool:
    """Say whether a loop's files have changed since they were last looked at, or its process has ended; note how."""
    signature = _signature(care.target.places)
    if signature != care.signature:
        care.signature, care.process = signature, artefacts.noted_process(care.target.places)
        return True
    if care.process is None or artefacts.is_there(care.process):
        return False
    care.process = None  # that it has ended is written nowhere
    return True


def _sign(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _first_due(places: LoopPlaces, now: float, interval_seconds: float) -> float:
    """Say when a loop is looked at that was never looked at by this process: at once, if anything is newer."""
    judged = _sign(places.of_manager("health.json"))
    newest = max((sign[0] for sign in _signature(places) if sign is not None), default=0)
    if judged is None or newest >= judged[0]:
        return now
    return now + interval_seconds * (hash(places) % 97) / 97  # spread: all at once would make others wait


def _seconds_until_news(document: Document) -> float:
    """Say when something else may be said of a loop whose files do not change: when it is late by a threshold."""
    if _has_ended(document):
        return float("inf")
    soon = [_LONGEST_SECONDS]
    for name in ("IngestLagSeconds", "HeartbeatLagSeconds"):
        lag = whole(document, "health", "metrics", name[0].lower() + name[1:])
        for level in ("degraded", "critical"):
            limit = whole(document, "health", "thresholds", level + name)
            if lag is not None and limit is not None and lag < limit:
                soon.append(limit - lag)
    return min(soon)


def _has_ended(document: Document) -> bool:
    """Say whether nothing changes by itself any more: a loop that has ended and is well."""
    state = text(document, "transition", "currentState")
    return state in _ENDED and at(document, "health", "status") == "healthy"
