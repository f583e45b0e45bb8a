"""The verbs of loops beside their files: watch, unwatch, the fleet; and what the workspace's log is told of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, cast

from interlock.access.models import Actor, checked_correlation_id
from interlock.kernel.clock import Clock
from interlock.kernel.errors import Conflict, InterlockError, Invalid, NotFound, Unreachable
from interlock.kernel.events import Event
from interlock.kernel.ids import checked, has_prefix
from interlock.loops import confirmation, control, reconcile, status, thresholds
from interlock.loops.control import Controlled, LocalTransport, Request
from interlock.loops.events import (
    LoopControlled,
    LoopEscalated,
    LoopJudged,
    LoopUnfrozen,
    LoopUnwatched,
    LoopWatched,
)
from interlock.loops.files import Document
from interlock.loops.local import Local
from interlock.loops.models import new_trace, stamp, text, texts, whole
from interlock.loops.places import LOOP_ID, LoopPlaces
from interlock.loops.ports import Look, Open, Watch
from interlock.loops.reasons import REASONS, said
from interlock.loops.reconcile import Outcome, ReconcileOptions
from interlock.loops.runtime import Runtime

_MOST_CODES = 64


class LoopUnknown(NotFound):
    """The supervisor looks after no such loop."""

    code = "loop_unknown"
    default_hint = "`interlock loop list` shows them; `interlock loop watch --repo DIR` adds some"


class WatchUnknown(NotFound):
    """There is no such watch."""

    code = "watch_unknown"


class AlreadyWatched(Conflict):
    """It is watched already."""

    code = "already_watched"


class OurRun(Conflict):
    """It is a run of ours, which has no runtime beside it."""

    code = "our_run"


class LoopAmbiguous(Invalid):
    """Loops of that name are watched in several repositories."""

    code = "loop_ambiguous"


class Target(NamedTuple):
    """A loop that is looked after."""

    places: LoopPlaces
    watch: str | None
    """The id of its watch; None for a run of ours."""


@dataclass(kw_only=True)
class Loops:
    """Loops as one workspace sees them."""

    root: str
    """The workspace: its threshold profiles, and the runtime's program, hold for all its loops."""
    runs: str
    """The folder below which each run of ours is a loop of its own (`workspace/run_loops.py`)."""
    recent_runs: Callable[[], Sequence[str]]
    """Returns the ids of the runs that are looked after: what is under way, and the last that were made."""
    open: Open
    look: Look
    new_ulid: Callable[[], str]
    clock: Clock
    environment: Mapping[str, str]
    thawed: Callable[[], None]
    """Raises `Frozen` while panic is on."""
    _catalog: tuple[tuple[int, int], Document] | None = field(init=False, default=None, repr=False)

    # --- what is looked after -----------------------------------------------------------------------------------------

    def watch(self, actor: Actor, repo: str, loop: str | None = None) -> Watch:
        """Look after a loop, or after every loop of a repository; raises `AlreadyWatched`."""
        places = LoopPlaces.of(repo, loop or "every")
        with self.open(actor) as desk:
            made = Watch(f"w_{self.new_ulid()}", places.repo, loop, desk.now(), str(actor.principal))
            if not desk.watches.add(made):
                raise AlreadyWatched(f"{loop or 'every loop'} in {places.repo} is watched already")
            desk.emit(LoopWatched(subject=made.id, repo=made.repo, loop=loop))
        return made

    def unwatch(self, actor: Actor, watch_id: str) -> Watch:
        """Look after it no more; its files stay. Raises `WatchUnknown`."""
        with self.open(actor) as desk:
            found = desk.watches.get(checked(watch_id, "w"))
            if found is None or not desk.watches.remove(watch_id):
                raise WatchUnknown(f"there is no watch {watch_id}")
            desk.emit(LoopUnwatched(subject=watch_id, repo=found.repo, loop=found.loop))
        return found

    def watched(self) -> Sequence[Watch]:
        """List what is looked after."""
        with self.look() as desk:
            return desk.watches.list()

    def targets(self, watches: Sequence[Watch] | None = None) -> Iterator[Target]:
        """Yield every loop that is looked after, once: the watched ones, then our own runs that say something new."""
        seen: set[LoopPlaces] = set()
        for watch in self.watched() if watches is None else watches:
            for loop in (watch.loop,) if watch.loop else _loops_in(watch.repo):
                places = LoopPlaces(watch.repo, loop)
                if places not in seen:
                    seen.add(places)
                    yield Target(places, watch.id)
        for run in self.recent_runs():
            if (target := self._run(run)) is not None:
                yield target

    def _run(self, run_id: str) -> Target | None:
        places = LoopPlaces(os.path.join(self.runs, run_id), run_id)
        return Target(places, None) if os.path.isdir(places.run) else None

    def find(self, loop: str, repo: str | None = None) -> Target:
        """Return a loop that is looked after by its name; raises `LoopUnknown`, `LoopAmbiguous`."""
        ours = self._run(loop) if has_prefix(loop, "r") and repo is None else None
        if ours is not None:
            return ours
        found = [each for each in self.targets() if each.places.loop == loop and repo in {None, each.places.repo}]
        if not found:
            raise LoopUnknown(f"no loop {loop[:128]!a} is looked after")
        if len(found) > 1:
            raise LoopAmbiguous(f"{loop} is watched in {', '.join(each.places.repo for each in found)}: name the repo")
        return found[0]

    def fleet(self) -> list[Document]:
        """Say of every loop that is looked after how it is, from what was written of it last."""
        return [self.row(each) for each in self.targets()]

    def row(self, target: Target) -> Document:
        """Say how one loop is, in a line."""
        places = target.places
        shown: Document = {
            "id": places.loop,
            "status": "unknown",
            "repo": places.repo,
            "watch": target.watch,
            "state": None,
            "reasons": [],
            "why": [],
            "heartbeat_lag_seconds": None,
            "heartbeat_at": None,
            "sequence": None,
            "divergence": False,
            "drift": None,
            "last_control": None,
            "frozen": [],
            "reconciled_at": None,
        }
        try:
            found = status.status(places, stamp(self.clock() // 1000))
        except status.StatusMissing:
            return shown | {"status": "not_reconciled"}
        except InterlockError as error:
            return shown | {"status": "unreadable", "reasons": [error.code], "why": [said(REASONS, error.code).title]}
        last = found["control"]
        codes = texts(found["health"], "reasonCodes")
        return shown | {
            "status": text(found, "health", "status") or "unknown",
            "state": found["lifecycle"]["state"],
            "reasons": codes,
            "why": [said(REASONS, code).title for code in codes],
            "heartbeat_lag_seconds": whole(found, "visibility", "heartbeat", "heartbeatLagSeconds"),
            "heartbeat_at": text(found, "visibility", "heartbeat", "lastHeartbeatAt"),
            "sequence": text(found, "visibility", "sequence", "status"),
            "divergence": "divergence_detected" in codes,
            "drift": text(found, "drift", "status"),
            "last_control": f"{last['lastIntent']} {last['lastStatus']}" if last["lastIntent"] else None,
            "frozen": sorted({fact.code for fact in control.frozen(places)}),
            "reconciled_at": found["reconcile"]["lastTimestamp"],
        }

    # --- verbs that tell ----------------------------------------------------------------------------------------------

    def reconcile(self, actor: Actor, target: Target, *, trace_id: str = "", from_start: bool = False) -> Outcome:
        """Reconcile a loop with the workspace's profile, and tell the log what has changed."""
        with suppress(Unreachable):
            self.tell_untold(actor, target.places)
        catalog = self._thresholds()
        source = thresholds.catalog_path(None, self.root, self.environment)
        profile = thresholds.resolve(catalog, self.environment.get("OPS_MANAGER_THRESHOLD_PROFILE"), source)
        options = ReconcileOptions(
            trace_id=trace_id or new_trace(),
            from_start=from_start,
            thresholds=thresholds.applied(profile, {}),
            profiles=thresholds.names(catalog),
        )
        return reconcile.reconcile(
            target.places, options, Local(), self.clock, tell=lambda told: self.tell(actor, told)
        )

    def control(self, actor: Actor, target: Target, request: Request) -> Controlled:
        """Carry an intent out on this machine, look for its effect, record it, and tell the log."""
        places = target.places
        if target.watch is None:
            raise OurRun(f"{places.loop} is a run of ours", hint=f"`interlock run cancel {places.loop}` ends it")
        done = control.control(
            places,
            request,
            LocalTransport(Runtime.of(self.root, self.environment)),
            lambda: confirmation.observed(places),
            actor.principal,
            thawed=self.thawed,
        )
        self.tell_control(actor, places, done.document)
        return done

    def acknowledge(self, actor: Actor, target: Target, *, note: str | None = None) -> Document:
        """Record that a human has looked after an intent whose outcome was not clear."""
        row = control.acknowledge(target.places, actor.principal, actor.correlation_id or new_trace(), note=note)
        self.tell_control(actor, target.places, row)
        return row

    def unfreeze(self, actor: Actor, target: Target, *, note: str | None = None) -> Document:
        """Let machines steer a loop again in spite of what stands there now."""
        found = control.unfreeze(target.places, actor.principal, actor.correlation_id or new_trace(), note=note)
        self.tell_unfrozen(actor, target.places, found)
        return found

    # --- the log ------------------------------------------------------------------------------------------------------

    def tell(self, actor: Actor, told: Document) -> None:
        """Tell the log what a reconcile has found, once for its trace id, however often it is called."""
        places, trace = LoopPlaces(str(told["repo"]), str(told["loop"])), str(told["traceId"])
        found: list[Event] = []
        if told.get("before") != told.get("after"):
            found.append(
                LoopJudged(
                    **_about(places, trace, "judged"),
                    before=told.get("before"),
                    after=cast("dict[str, Any]", told.get("after")),
                )
            )
        for number, row in enumerate(cast("list[Document]", told.get("escalations") or [])):
            found.append(
                LoopEscalated(
                    **_about(places, trace, f"escalated:{number}"),
                    category=str(row.get("category")),
                    reason_codes=tuple(_codes(row)),
                )
            )
        self._emit(actor, trace, found)

    def tell_control(self, actor: Actor, places: LoopPlaces, row: Document) -> None:
        """Tell the log of an intent, as its record says; where it is away, it is told with the next reconcile."""
        try:
            self._tell_control(actor, places, row)
        except Unreachable:
            control.keep_untold(places, row)

    def tell_untold(self, actor: Actor, places: LoopPlaces) -> None:
        """Tell the log of intents of which it could not be told."""
        control.tell_untold(places, lambda row: self._tell_control(actor, places, row))

    def _tell_control(self, actor: Actor, places: LoopPlaces, row: Document) -> None:
        trace = str(row.get("traceId"))
        controlled = LoopControlled(
            **_about(places, trace, f"controlled:{row.get('intent')}"),
            intent=str(row.get("intent")),
            status=str(row.get("status")),
            requested_by=str(row.get("requestedBy")),
            transport=str(row.get("transport")),
        )
        self._emit(actor, trace, [controlled])

    def tell_unfrozen(self, actor: Actor, places: LoopPlaces, found: Document) -> None:
        """Tell the log that machines may steer a loop again."""
        trace = str(found.get("traceId"))
        codes = tuple(texts(found, "reasonCodes"))[:_MOST_CODES]
        self._emit(actor, trace, [LoopUnfrozen(**_about(places, trace, "unfrozen"), reason_codes=codes)])

    def _emit(self, actor: Actor, trace: str, events: Sequence[Event]) -> None:
        if not events:
            return
        with self.open(replace(actor, correlation_id=_correlation(trace) or actor.correlation_id)) as desk:
            for event in events:
                desk.emit(event)

    def _thresholds(self) -> Document:
        """Read the catalog, again only when it has changed."""
        path = thresholds.catalog_path(None, self.root, self.environment)
        try:
            found = os.stat(path)
        except OSError:
            return thresholds.load(path)
        sign = (found.st_mtime_ns, found.st_ino)
        if self._catalog is None or self._catalog[0] != sign:
            self._catalog = (sign, thresholds.load(path))
        return self._catalog[1]


def _about(places: LoopPlaces, trace: str, what: str) -> dict[str, Any]:
    """Return what every event of a loop says; its key is the same for the same trace, loop and repository."""
    where = hashlib.sha256(f"{places.repo}\0{places.loop}\0{trace}".encode("utf-8", "surrogateescape")).hexdigest()
    return {
        "subject": f"loop/{places.loop}",
        "key": f"loop:{what}:{where[:40]}",
        "repo": places.repo,
        "trace_id": trace[:128],
    }


def _codes(row: Document) -> list[str]:
    codes = texts(row, "reasonCodes") or [code for code in (text(row, "reasonCode"),) if code]
    flags = row.get("divergenceFlags")
    if isinstance(flags, dict):
        codes += sorted(name for name, on in cast("Document", flags).items() if on is True)
    return codes[:_MOST_CODES]


def _correlation(trace: str) -> str | None:
    try:
        return checked_correlation_id(trace)
    except InterlockError:
        return None


def _loops_in(repo: str) -> list[str]:
    """List a repository's loops: those that run or have run, and those that were supervised."""
    base = os.path.join(repo, ".superloop")
    return sorted(_folders(os.path.join(base, "loops")) | _folders(os.path.join(base, "ops-manager")))


def _folders(folder: str) -> set[str]:
    try:
        with os.scandir(folder) as found:
            return {each.name for each in found if LOOP_ID.fullmatch(each.name) and each.is_dir()}
    except OSError:
        return set()
