"""The command-line door of loops: `interlock loop`. What the entry points in `scripts/` do, told to people."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from interlock.access.models import Actor
from interlock.doors.cli import answer, call, house, table
from interlock.doors.cli import note as say
from interlock.kernel.clock import system_clock, to_text
from interlock.kernel.errors import Failed, InterlockError, Invalid
from interlock.loops import confirmation, control, files, polling, snapshot, status, telemetry, thresholds
from interlock.loops import health as judging
from interlock.loops import reconcile as reconciling
from interlock.loops.control import LocalTransport, Request
from interlock.loops.errors import ReconcileBusy
from interlock.loops.files import Document
from interlock.loops.local import LOCAL, SPRITE_SERVICE, Local
from interlock.loops.local import Transport as Reading
from interlock.loops.models import at, new_trace, stamp, text
from interlock.loops.places import LoopPlaces
from interlock.loops.ports import Watch
from interlock.loops.reasons import REASONS, said
from interlock.loops.runtime import SERVICE_TOKEN, Runtime

if TYPE_CHECKING:
    from interlock.loops.sprite_client import Client

door = typer.Typer(
    help="Loops: what is really true of an agent loop, and how it is steered.",
    no_args_is_help=True,
    add_completion=False,
)

Loop = Annotated[str | None, typer.Argument(metavar="LOOP", show_default=False, help="The loop's id.")]
Named = Annotated[str | None, typer.Option("--loop", metavar="LOOP", help="The loop's id, as the scripts take it.")]
Repo = Annotated[str | None, typer.Option("--repo", metavar="DIR", help="Whose loop it is; else the workspace.")]
Note = Annotated[str | None, typer.Option("--note", help="Why.")]
Trace = Annotated[str | None, typer.Option("--trace-id", help="The trace of this call.")]
OfProfile = Annotated[str | None, typer.Option("--threshold-profile", metavar="NAME", help="Else the catalog's own.")]
Catalog = Annotated[str | None, typer.Option("--thresholds-file", metavar="FILE", help="The catalog of profiles.")]
FromStart = Annotated[bool, typer.Option("--from-start", help="Read the events again from their start.")]
AtMost = Annotated[int, typer.Option("--max-events", min=0, help="How many events at most; 0 is all.")]
Window = Annotated[int, typer.Option("--window", min=1, help="How many rows of telemetry count.")]


Way = Annotated[
    str, typer.Option("--transport", metavar="local|sprite_service", help="The way to the runtime and its artefacts.")
]
ServiceUrl = Annotated[
    str | None,
    typer.Option("--service-base-url", metavar="URL", help="Its address; OPS_MANAGER_SERVICE_TOKEN opens it."),
]


class ReconcileFailed(Failed):
    """The loop's artefacts could not be read; the verdict says so."""

    code = "reconcile_failed"


class ControlAmbiguous(Failed):
    """It was carried out, but its effect was not seen."""

    code = "control_ambiguous"
    default_hint = "do not repeat it blindly: look at the runtime first, then `interlock loop acknowledge`"


class ControlFailed(Failed):
    """It could not be carried out."""

    code = "control_failed_command"


class _Loops(Protocol):
    @property
    def thawed(self) -> Callable[[], None]: ...

    def tell(self, actor: Actor, told: Document) -> None: ...

    def tell_control(self, actor: Actor, places: LoopPlaces, row: Document) -> None: ...

    def tell_unfrozen(self, actor: Actor, places: LoopPlaces, found: Document) -> None: ...


class _House(Protocol):
    @property
    def loops(self) -> _Loops: ...


class _Supervisor(Protocol):
    def work(self) -> int: ...

    def stop(self) -> None: ...


class _Fleet(Protocol):
    @property
    def loops(self) -> _Watching: ...

    def supervisor(self) -> _Supervisor: ...


class _Watching(Protocol):
    def watch(self, actor: Actor, repo: str, loop: str | None = None) -> Watch: ...

    def unwatch(self, actor: Actor, watch_id: str) -> Watch: ...

    def watched(self) -> Sequence[Watch]: ...

    def fleet(self) -> list[Document]: ...


# --- looking ----------------------------------------------------------------------------------------------------------


@door.command("reconcile")
def reconcile(
    loop: Loop = None,
    named: Named = None,
    repo: Repo = None,
    from_start: FromStart = False,
    max_events: AtMost = 0,
    threshold_profile: OfProfile = None,
    thresholds_file: Catalog = None,
    trace: Trace = None,
    transport: Way = LOCAL,
    service_base_url: ServiceUrl = None,
) -> None:
    """Find out what is true of a loop now, and write it down."""
    places = _places(loop, named, repo)
    way = _reading(transport, service_base_url)
    limits, names = _limits(threshold_profile, thresholds_file)
    options = reconciling.ReconcileOptions(
        trace_id=_trace(trace), from_start=from_start, max_events=max_events, thresholds=limits, profiles=names
    )
    actor: Actor = call().actor()
    outcome = reconciling.reconcile(
        places,
        options,
        way,
        system_clock,
        tell=lambda told: _loops().tell(actor, told),
    )
    for sentence in outcome.warnings:
        say(f"warning: {sentence}")
    if outcome.verdict_changed or outcome.escalations:
        call().wrote()
    if outcome.busy:
        since = at(outcome.document, "holder", "since")
        raise ReconcileBusy(f"{places.loop} is just being reconciled" + (f" (since {since})" if since else ""))
    read = outcome.exit_code == 0
    judged: Document = outcome.document["health"] if read else outcome.document
    state = (text(outcome.document, "transition", "currentState") if read else None) or "unknown"
    _show(places, state if read else judged["status"], outcome.document, _verdict(places, state, judged))
    if not read:
        raise ReconcileFailed(f"{places.loop} could not be read: {', '.join(judged['reasonCodes'])}")


@door.command("status")
def show_status(loop: Loop = None, named: Named = None, repo: Repo = None, window: Window = 200) -> None:
    """Say what is known of a loop; changes nothing."""
    places = _places(loop, named, repo)
    found = status.status(places, _now(), window=window)
    state = str(found["lifecycle"]["state"])
    judged: Document = found["health"]
    _show(places, state, found, [*_verdict(places, state, judged), *_standing(found), *_frozen(places)])


@door.command("snapshot")
def take_snapshot(loop: Loop = None, named: Named = None, repo: Repo = None, trace: Trace = None) -> None:
    """Show everything that the runtime's artefacts say of a loop."""
    places = _places(loop, named, repo)
    found = snapshot.take(places, now=_seconds(), trace_id=trace)
    run, health = found["run"], found["health"]
    lines = {
        "run": f"{run['runId']}, iteration {run['iteration']}",
        "events": health["eventCount"],
        "last event": f"{health['lastEventName']} at {health['lastEventAt']}",
        "approval": "pending" if health["hasPendingApproval"] else "none pending",
        "heartbeat": at(found, "runtime", "heartbeat", "timestamp"),
    }
    _show(places, run["status"], found, [f"{places.loop}: {run['status']}", *_pairs(lines)])


@door.command("events")
def events(
    loop: Loop = None,
    named: Named = None,
    repo: Repo = None,
    from_start: FromStart = False,
    max_events: AtMost = 0,
    cursor_file: Annotated[str | None, typer.Option("--cursor-file", help="Else the loop's own.")] = None,
) -> None:
    """Show the events that are new since the last time."""
    places = _places(loop, named, repo)
    found = list(
        polling.poll(
            places,
            now=_seconds(),
            cursor_file=None if cursor_file is None else os.path.abspath(cursor_file),
            from_start=from_start,
            max_events=max_events,
        )
    )
    if call().as_json:
        answer(found)
        return
    rows = [{"line": at(each, "sequence", "value"), **each["event"]} for each in found]
    table(rows, ("line", "timestamp", "name", "role", "status", "message"), empty="no new event")


@door.command("health")
def health(
    loop: Loop = None,
    named: Named = None,
    repo: Repo = None,
    threshold_profile: OfProfile = None,
    thresholds_file: Catalog = None,
) -> None:
    """Judge now what the last reconcile has found; changes nothing."""
    places = _places(loop, named, repo)
    kept = reconciling.LoopFiles.of(places)
    surfaces = judging.Surfaces(
        state=files.read_json(kept.state),
        heartbeat=files.read_json(kept.heartbeat),
        sequence=files.read_json(kept.sequence),
        transport=files.read_json(kept.transport),
        intent=files.last_row(kept.intents),
    )
    ingest = judging.Ingest(
        text(surfaces.transport, "transport") or "local",
        failed=at(surfaces.transport, "lastResult") == "failed",
        failure_code=text(surfaces.transport, "lastFailureCode"),
    )
    if surfaces.state is None and surfaces.transport is None:
        raise status.StatusMissing(f"{places.loop} was never reconciled")
    limits = _limits(threshold_profile, thresholds_file)[0]
    found = judging.evaluate(surfaces, limits, ingest, now=_seconds())
    lifecycle: str = found.document["metrics"]["lifecycleState"]
    _show(places, found.status, found.document, _verdict(places, lifecycle, found.document))


@door.command("telemetry")
def show_telemetry(loop: Loop = None, named: Named = None, repo: Repo = None, window: Window = 200) -> None:
    """Summarise the telemetry, and recommend a threshold profile."""
    places = _places(loop, named, repo)
    sources = telemetry.Sources.of(places, window)
    found = telemetry.read(sources)
    seen = found.observed
    lines = {
        "recommended": f"{found.profile} (confidence {found.confidence})",
        "why": found.rationale,
        "reconciles": f"{seen['reconcileAttempts']}, {seen['reconcileFailedCount']} failed",
        "degraded": seen["health"]["degradedCount"],
        "critical": seen["health"]["criticalCount"],
        "ambiguous": seen["control"]["ambiguousCount"],
    }
    _show(places, "ok", telemetry.document(places, sources, found, _now()), _pairs(lines))


@door.command("drift")
def drift(loop: Loop = None, named: Named = None, repo: Repo = None) -> None:
    """Show whether the applied profile is the recommended one, as the last reconcile has found."""
    places = _places(loop, named, repo)
    found = files.read_json(reconciling.LoopFiles.of(places).drift)
    if found is None:
        raise status.StatusMissing(f"no profile drift was evaluated for {places.loop}")
    lines = {
        "applied": found.get("appliedProfile"),
        "recommended": found.get("recommendedProfile"),
        "confidence": found.get("recommendationConfidence"),
        "streak": f"{found.get('mismatchStreak')} of {found.get('requiredStreak')}",
        "why": found.get("rationale"),
        "advice": found.get("action"),
    }
    verdict = text(found, "status") or "unknown"
    _show(places, verdict, found, [f"{places.loop}: {verdict}", *_pairs(lines)])


@door.command("threshold")
def threshold(
    profile: Annotated[str | None, typer.Argument(metavar="PROFILE", help="Else all of them.")] = None,
    thresholds_file: Catalog = None,
) -> None:
    """Show the threshold profiles."""
    source = _catalog(thresholds_file)
    catalog = thresholds.load(source)
    if profile is not None:
        found = thresholds.resolve(catalog, profile, source)
        answer({"id": found.name, "status": "ok", **found.document()}, _pairs(found.document()["values"]))
        return
    known = [thresholds.resolve(catalog, name, source) for name in thresholds.names(catalog)]
    shown = [
        {"profile": each.name, "default": each.name == catalog.get("defaultProfile"), **each.document()["values"]}
        for each in known
    ]
    table(shown, tuple(shown[0]), empty="no profile")


# --- steering ---------------------------------------------------------------------------------------------------------


@door.command("control")
def steer(
    loop: Loop = None,
    named: Named = None,
    repo: Repo = None,
    intent: Annotated[str, typer.Option("--intent", help="cancel, approve or reject")] = "",
    note: Note = None,
    by: Annotated[str | None, typer.Option("--by", help="Who wants it; else you.")] = None,
    trace: Trace = None,
    idempotency_key: Annotated[str | None, typer.Option("--idempotency-key")] = None,
    timeout_seconds: Annotated[int, typer.Option(min=0, help="How long to look for the effect.")] = 30,
    interval_seconds: Annotated[int, typer.Option(min=0, help="How long to wait between two looks.")] = 2,
    no_confirm: Annotated[bool, typer.Option("--no-confirm", help="Do not look for the effect.")] = False,
    transport: Way = LOCAL,
    service_base_url: ServiceUrl = None,
) -> None:
    """Cancel a loop, or decide what it waits for; only a human approves."""
    places = _places(loop, named, repo)
    confirmation.checked(intent)
    way = _steering(transport, service_base_url)
    actor: Actor = call().actor()
    request = Request(
        intent=intent,
        by=by or actor.principal.name,
        trace_id=_trace(trace),
        idempotency_key=idempotency_key or f"{intent}-{_seconds()}-{os.getpid()}",
        note=note,
        confirm=not no_confirm,
        patience=confirmation.Patience(timeout_seconds, interval_seconds),
    )
    done = control.control(
        places,
        request,
        way,
        lambda: confirmation.observed(places),
        actor.principal,
        thawed=lambda: _loops().thawed(),
    )
    _logged(lambda loops: loops.tell_control(actor, places, done.document))
    found = str(done.document["status"])
    output = text(done.document, "failure") or text(done.document, "commandOutput")
    _show(places, found, done.document, [f"{places.loop}: {intent} {found}"])
    if found == "ambiguous":
        raise ControlAmbiguous
    if done.exit_code:
        raise ControlFailed(f"{intent} could not be carried out" + (f": {output}" if output else ""))


@door.command("acknowledge")
def acknowledge(
    loop: Loop = None, named: Named = None, repo: Repo = None, note: Note = None, trace: Trace = None
) -> None:
    """Say that you have looked after the last intent, which was ambiguous or failed. Only a human may."""
    places = _places(loop, named, repo)
    actor: Actor = call().actor()
    row = control.acknowledge(places, actor.principal, _trace(trace), note=note)
    _logged(lambda loops: loops.tell_control(actor, places, row))
    _show(places, "acknowledged", row, [f"{places.loop}: the last intent is acknowledged"])


@door.command("unfreeze")
def unfreeze(loop: Loop = None, named: Named = None, repo: Repo = None, note: Note = None, trace: Trace = None) -> None:
    """Let machines steer a loop again in spite of what stands there now. Only a human may."""
    places = _places(loop, named, repo)
    actor: Actor = call().actor()
    found = control.unfreeze(places, actor.principal, _trace(trace), note=note)
    _logged(lambda loops: loops.tell_unfrozen(actor, places, found))
    _show(places, "released", found, [f"{places.loop}: released {', '.join(found['reasonCodes'])}"])


def _loops() -> _Loops:
    return house(_House).loops


def _logged(tell: Callable[[_Loops], None]) -> None:
    """Tell the log of what was done and recorded; trouble with that is said, and is no failure."""
    try:
        tell(_loops())
    except InterlockError as error:
        say(f"warning: done, but not logged: {error.message}")
    call().wrote()


# --- the fleet --------------------------------------------------------------------------------------------------------


@door.command("list")
def show_fleet(
    status: Annotated[str | None, typer.Option("--status", help="Only loops of this health.")] = None,
) -> None:
    """List every loop that is looked after, our own runs among them, and how each is."""
    rows = [each for each in house(_Fleet).loops.fleet() if status in {None, each["status"]}]
    shown = rows if call().as_json else [{**each, "reasons": ", ".join(each["reasons"]) or None} for each in rows]
    columns = (
        "id",
        "status",
        "state",
        "reasons",
        "heartbeat_lag_seconds",
        "drift",
        "last_control",
        "reconciled_at",
        "repo",
    )
    table(shown, columns, empty="no loop is looked after: `interlock loop watch --repo DIR`")


@door.command("watches")
def show_watches() -> None:
    """List what the supervisor looks after."""
    table([_shown(each) for each in house(_Fleet).loops.watched()], ("id", "repo", "loop", "added_by"), empty="nothing")


@door.command("watch")
def watch(
    repo: Annotated[str, typer.Option("--repo", metavar="DIR", help="Whose loops.")],
    loop: Annotated[str | None, typer.Option("--loop", metavar="LOOP", help="Only this one; else all of them.")] = None,
) -> None:
    """Look after the loops of a repository, also those to come."""
    made = house(_Fleet).loops.watch(call().actor(), os.path.abspath(repo), loop)
    call().wrote()
    answer(_shown(made), [f"{made.id}  {made.repo}  {made.loop or 'every loop'}"])


@door.command("unwatch")
def unwatch(watch_id: Annotated[str, typer.Argument(metavar="WATCH_ID")]) -> None:
    """Look after them no more; their files stay."""
    found = house(_Fleet).loops.unwatch(call().actor(), watch_id)
    call().wrote()
    answer({**_shown(found), "status": "unwatched"}, [f"{found.id} is not watched any more"])


@door.command("supervise")
def supervise() -> None:
    """Reconcile every loop that is looked after, when its files change and now and then, until SIGTERM or Ctrl-C.

    `interlock serve` does this too.
    """
    import logging
    import signal

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    supervisor = house(_Fleet).supervisor()

    def stop(_number: int, _frame: FrameType | None) -> None:
        supervisor.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    say(f"{len(house(_Fleet).loops.fleet())} loops are looked after; stop it with Ctrl-C")
    made = supervisor.work()
    answer({"id": "supervisor", "status": "stopped", "reconciled": made}, [f"{made} reconciles were made"])


def _shown(watch: Watch) -> Document:
    return {
        "id": watch.id,
        "status": "watched",
        "repo": watch.repo,
        "loop": watch.loop,
        "added_at": to_text(watch.added_ms),
        "added_by": watch.added_by,
    }


# --- what is meant ----------------------------------------------------------------------------------------------------


def _places(loop: str | None, named: str | None, repo: str | None) -> LoopPlaces:
    root = call().root()
    if loop and named and loop != named:
        raise Invalid(f"two loops are named: {loop} and {named}")
    which = loop or named
    if not which:
        raise Invalid("no loop is named", hint="give its id, or --loop ID")
    return LoopPlaces.of(repo or str(root), which)


def _reading(transport: str, base_url: str | None) -> Reading:
    if transport == LOCAL:
        return Local()
    from interlock.loops.sprite_transport import SpriteService

    return SpriteService(_client(transport, base_url))


def _steering(transport: str, base_url: str | None) -> control.Transport:
    if transport == LOCAL:
        return LocalTransport(Runtime.of(str(call().root()), os.environ))
    from interlock.loops.sprite_transport import SpriteControl

    return SpriteControl(_client(transport, base_url))


def _client(transport: str, base_url: str | None) -> Client:
    from interlock.loops.sprite_client import Base, Client

    if transport != SPRITE_SERVICE:
        raise Invalid(f"--transport is {LOCAL} or {SPRITE_SERVICE}, not {transport[:64]!a}")
    if not base_url:
        raise Invalid(f"--service-base-url is required for the transport {SPRITE_SERVICE}")
    return Client(base=Base.of(base_url), token=os.environ.get(SERVICE_TOKEN, ""))


def _catalog(given: str | None) -> str:
    return thresholds.catalog_path(given, str(call().root()), os.environ)


def _limits(profile: str | None, given: str | None) -> tuple[judging.Thresholds, list[str]]:
    source = _catalog(given)
    catalog = thresholds.load(source)
    wanted = profile or os.environ.get("OPS_MANAGER_THRESHOLD_PROFILE")
    return thresholds.applied(thresholds.resolve(catalog, wanted, source), {}), thresholds.names(catalog)


def _trace(given: str | None) -> str:
    correlation: str | None = call().actor().correlation_id
    return given or correlation or os.environ.get("OPS_MANAGER_TRACE_ID") or new_trace()


def _seconds() -> int:
    return system_clock() // 1000


def _now() -> str:
    return stamp(_seconds())


# --- what is shown ----------------------------------------------------------------------------------------------------


def _show(places: LoopPlaces, status: str, document: Document, lines: list[str]) -> None:
    answer({"id": places.loop, "status": status, **{k: v for k, v in document.items() if k != "status"}}, lines)


def _verdict(places: LoopPlaces, state: str, judged: Mapping[str, Any]) -> list[str]:
    return [f"{places.loop}: {state}, {judged.get('status', 'not judged')}", *_reasons(judged)]


def _reasons(judged: Mapping[str, Any]) -> Iterator[str]:
    for each in judged.get("reasons", ()):
        measured = f"{each['metric']} is {each['observed']}, limit {each['threshold']}"
        yield f"  {each['severity']:9} {each['code']}: {measured}"
        about = said(REASONS, each["code"])
        yield f"  {'':9} {about.means} {about.do}"


def _standing(found: Document) -> list[str]:
    control, last = found["control"], found["reconcile"]
    return _pairs({
        "run": f"{at(found, 'lifecycle', 'runId')}, iteration {at(found, 'lifecycle', 'iteration')}",
        "reconciled": f"{last['lastStatus']} at {last['lastTimestamp']}" if last["lastStatus"] else None,
        "heartbeat": at(found, "visibility", "heartbeat", "freshnessStatus"),
        "sequence": at(found, "visibility", "sequence", "status"),
        "drift": at(found, "drift", "status"),
        "control": f"{control['lastIntent']} {control['lastStatus']}" if control["lastIntent"] else None,
        "profile": f"{at(found, 'tuning', 'appliedProfile')}, recommended {at(found, 'tuning', 'recommendedProfile')}",
    })  # fmt: skip


def _frozen(places: LoopPlaces) -> list[str]:
    codes = sorted({fact.code for fact in control.frozen(places)})
    return _pairs({"frozen": f"for machines: {', '.join(codes)}"} if codes else {})


def _pairs(values: Mapping[str, Any]) -> list[str]:
    return list(_each_pair(values))


def _each_pair(values: Mapping[str, Any]) -> Iterator[str]:
    width = max(map(len, values), default=0)
    for name, value in values.items():
        yield f"  {name:{width}}  {'-' if value is None else value}"
