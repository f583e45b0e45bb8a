"""`scripts/ops-manager-*.sh`: supervision of agent loops as operators' scripts call it, from any folder.

They ask it every few seconds; so what a call does not use is imported later, and the flags are read by one small table.
Where JSON is printed nothing else is, on either stream; an error is one line on stderr and exit code 1.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from interlock.cli import streams
from interlock.kernel.clock import system_clock
from interlock.kernel.errors import Conflict, InterlockError, Invalid
from interlock.loops import files
from interlock.loops.models import new_trace, seconds_of, stamp
from interlock.loops.places import LoopPlaces

if TYPE_CHECKING:
    from interlock.access.models import Actor, Principal
    from interlock.alerts.idle import Order
    from interlock.app import Interlock
    from interlock.loops.control import Transport as Steering
    from interlock.loops.files import Document
    from interlock.loops.health import Thresholds
    from interlock.loops.journal import Journal
    from interlock.loops.local import Transport as Reading
    from interlock.loops.reconcile import Dispatch
    from interlock.loops.service import Loops
    from interlock.loops.sprite_client import Client
    from interlock.loops.thresholds import Profile

OK, FAILED = 0, 1
TRACE_VARIABLE: Final = "OPS_MANAGER_TRACE_ID"
TRANSPORTS: Final = ("local", "sprite_service")
TOKEN_VARIABLE: Final = "OPS_MANAGER_SERVICE_TOKEN"  # noqa: S105 - a variable's name
_WAIT_SECONDS = 10
_LEVELS: Final = ("low", "medium", "high")


class ArgumentWrong(Invalid):
    """The command line is not right."""

    code = "argument_invalid"


class ArgumentUnknown(ArgumentWrong):
    """There is no such flag."""

    code = "argument_unknown"


class OutboxMissing(Invalid):
    """There is no workspace whose outbox could be used."""

    code = "alert_outbox_missing"
    default_hint = "`interlock init` makes one"


class LoopBusy(Conflict):
    """Another process is at work on this loop."""

    code = "loop_busy"


# --- flags ------------------------------------------------------------------------------------------------------------


class Flag(NamedTuple):
    """One flag: `--name value`, or `--name` alone for a switch."""

    name: str
    read: Callable[[str, str], Any] | None
    default: Any = None
    about: str = ""
    environment: str = ""
    """The variable that stands in for it; its value is read like the flag's."""


def text(name: str, about: str = "", default: str | None = None, environment: str = "") -> Flag:
    """Take any text; an empty one is none."""

    def read(_: str, value: str) -> str | None:
        return value or None

    return Flag(name, read, default, about, environment)


def path(name: str, about: str = "") -> Flag:
    """Take a path, which is made absolute; links in it stay."""

    def read(_: str, value: str) -> str | None:
        return os.path.abspath(value) if value else None

    return Flag(name, read, None, about)


def switch(name: str, about: str = "") -> Flag:
    """Take no value."""
    return Flag(name, None, default=False, about=about)


def whole(name: str, default: int | None, about: str = "", least: int = 0, environment: str = "") -> Flag:
    """Take a whole number."""

    def read(flag: str, value: str) -> int:
        if not (value.isascii() and value.isdigit()) or len(value) > 15 or int(value) < least:
            raise ArgumentWrong(f"{flag} must be a whole number, {least} or more, not {value[:64]!a}")
        return int(value)

    return Flag(name, read, default, about, environment)


def one_of(name: str, choices: Sequence[str], default: str | None, about: str = "", environment: str = "") -> Flag:
    """Take one of some words."""

    def read(flag: str, value: str) -> str:
        if value not in choices:
            raise ArgumentWrong(f"{flag} must be one of {', '.join(choices)}, not {value[:64]!a}")
        return value

    return Flag(name, read, default, about, environment)


class Asked:
    """One call: the root in which the entry point lies, and its flags by name."""

    def __init__(self, root: str, values: Mapping[str, Any]) -> None:
        """Take what was said and what is assumed."""
        self.root = root
        self.values = values

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - a flag's value, as its row in the table reads it
        return self.values[name]

    def places(self) -> LoopPlaces:
        """Return the loop that is meant."""
        for name in ("repo", "loop"):
            if not self.values[name]:
                raise ArgumentWrong(f"--{name} is required")
        return LoopPlaces.of(self.values["repo"], self.values["loop"])

    def trace_id(self) -> str:
        """Return the trace that was given, or a new one."""
        return self.values["trace-id"] or new_trace()


class Command(NamedTuple):
    """What an entry point does, and which flags it takes."""

    about: str
    answer: Callable[[Asked], int]
    flags: Sequence[Flag]


LOOP = (text("repo", "the repository whose loop is meant"), text("loop", "the loop's id"))
PRETTY = switch("pretty", "indent the JSON")
TRACE = text("trace-id", "the trace of this call", environment=TRACE_VARIABLE)


def parse(root: str, name: str, command: Command, words: Sequence[str], environment: Mapping[str, str]) -> Asked | None:
    """Read the flags; None where help was asked for, and given."""
    flags = {flag.name: flag for flag in command.flags}
    values: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        if word in {"--help", "-h"}:
            sys.stdout.write(usage(name, command))
            return None
        flag = flags.get(word.removeprefix("--")) if word.startswith("--") else None
        if flag is None:
            sys.stdout.write(usage(name, command))
            raise ArgumentUnknown(f"unknown argument: {word}")
        if flag.read is None:
            values[flag.name] = True
            continue
        value = next(rest, None)
        if value is None:
            raise ArgumentWrong(f"{word} needs a value")
        values[flag.name] = flag.read(word, value)
    for flag in command.flags:
        if flag.environment and flag.read and values.get(flag.name) is None and environment.get(flag.environment):
            values[flag.name] = flag.read(flag.environment, environment[flag.environment])
    said = {name: value for name, value in values.items() if value is not None}
    return Asked(root, {flag.name: said.get(flag.name, flag.default) for flag in command.flags})


def usage(name: str, command: Command) -> str:
    """Return what `--help` shows."""
    kind = "py" if name == "sprite-service" else "sh"
    lines = [f"Usage: ops-manager-{name}.{kind} [--flag value]…", "", command.about, ""]
    width = max(len(flag.name) for flag in command.flags) + 2
    for flag in command.flags:
        default = "" if flag.default in {None, False} else f" (default {flag.default})"
        variable = f" [{flag.environment}]" if flag.environment else ""
        lines.append(f"  --{flag.name:{width}}{flag.about}{default}{variable}".rstrip())
    return "\n".join(lines) + "\n"


# --- answering --------------------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Answer one call; the first two arguments are the root and the entry point's name, the rest the operator's."""
    try:
        streams.prepare()
        code = _answer(list(sys.argv[1:] if argv is None else argv))
        streams.flush()
    except InterlockError as error:
        return _fail(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        streams.fall_silent()  # whoever read us has gone; nothing is wrong
        return OK
    except OSError as error:
        return _fail(InterlockError(f"it did not work: {error}"))
    except Exception as error:
        if os.environ.get("INTERLOCK_TRACEBACK"):
            raise
        return _fail(streams.accident(error))
    return code


def _answer(words: list[str]) -> int:
    if len(words) < 2 or words[1] not in COMMANDS:
        raise ArgumentWrong("this is called by a workspace's scripts/ops-manager-*.sh")
    command = COMMANDS[words[1]]
    asked = parse(_root(words[0]), words[1], command, words[2:], os.environ)
    return OK if asked is None else command.answer(asked)


def _root(given: str) -> str:
    """Return the folder above the entry point's, as it was written; where that is no workspace, as the links lead."""
    root = os.path.abspath(given)
    return root if os.path.isdir(os.path.join(root, ".interlock")) else os.path.realpath(given)


def _say(document: Mapping[str, Any], *, pretty: bool = False) -> int:
    sys.stdout.write(files.text_of(document, pretty=pretty) + "\n")
    return OK


def _fail(error: InterlockError) -> int:
    streams.complain(streams.refusal(error))
    return FAILED


def _now() -> str:
    return stamp(_seconds())


def _seconds() -> int:
    return system_clock() // 1000


# --- status, telemetry, thresholds, drift -----------------------------------------------------------------------------


def _status(asked: Asked) -> int:
    from interlock.loops.status import StatusFiles, status

    places = asked.places()
    named = {flag: asked[flag] for flag in _STATUS_FILES if asked[flag]}
    of = StatusFiles.of(places)._replace(**{_STATUS_FILES[flag]: path for flag, path in named.items()})
    return _say(status(places, _now(), window=asked["summary-window"], of=of), pretty=asked["pretty"])


_STATUS_FILES: Final = {
    "state-file": "state",
    "cursor-file": "cursor",
    "health-file": "health",
    "intents-file": "intents",
    "heartbeat-state-file": "heartbeat",
    "heartbeat-telemetry-file": "heartbeat_telemetry",
    "sequence-state-file": "sequence",
    "sequence-telemetry-file": "sequence_telemetry",
    "control-invocations-file": "control_invocations",
    "drift-state-file": "drift",
    "drift-history-file": "drift_history",
    "alert-dispatch-state-file": "alert_dispatch",
    "alert-dispatch-telemetry-file": "alert_telemetry",
}


def _telemetry_summary(asked: Asked) -> int:
    from interlock.loops import telemetry

    places = asked.places()
    own = telemetry.Sources.of(places, asked["window"])
    sources = own._replace(
        reconcile=asked["reconcile-telemetry-file"] or own.reconcile,
        control=asked["control-telemetry-file"] or own.control,
    )
    found = telemetry.read(sources)
    return _say(telemetry.document(places, sources, found, _now()), pretty=asked["pretty"])


def _catalog(asked: Asked, flag: str) -> tuple[Document, str]:
    from interlock.loops import thresholds

    source = thresholds.catalog_path(asked[flag], asked.root, os.environ)
    return thresholds.load(source), source


def _threshold_profile(asked: Asked) -> int:
    from interlock.loops import thresholds

    catalog, source = _catalog(asked, "profiles-file")
    if asked["list"]:
        sys.stdout.write("".join(f"{name}\n" for name in thresholds.names(catalog)))
        return OK
    profile: Profile = thresholds.resolve(catalog, asked["profile"], source)
    return _say(profile.document(), pretty=asked["pretty"])


def _profile_drift(asked: Asked) -> int:
    from interlock.loops import drift, thresholds
    from interlock.loops.journal import Appending, Changes, Replacement

    places = asked.places()
    names = thresholds.names(_catalog(asked, "thresholds-file")[0])
    if asked["applied-profile"] and asked["applied-profile"] not in names:
        raise drift.AppliedProfileUnknown(f"unknown applied profile: {asked['applied-profile']}")
    if asked["recommended-profile"] and asked["recommended-profile"] not in names:
        raise thresholds.ProfileUnknown(f"unknown recommended profile: {asked['recommended-profile']}")
    state = asked["drift-state-file"] or places.of_manager("profile-drift.json")
    history = asked["drift-history-file"] or places.of_telemetry("profile-drift.jsonl")
    with _alone(places, state, history) as journal:
        found = drift.evaluate(
            files.read_json(state),
            loop=places.loop,
            now=_now(),
            applied=asked["applied-profile"],
            recommended=drift.Recommended(
                asked["recommended-profile"], asked["recommendation-confidence"], asked["rationale"]
            ),
            options=drift.DriftOptions(asked["min-confidence"], asked["required-streak"], asked["summary-window"]),
        )
        journal.carry_out(
            Changes(
                (Replacement(state, files.bytes_of(found.document)),),
                (Appending(history, (files.bytes_of(drift.history_row(found)),)),),
            )
        )
    return _say(found.document, pretty=asked["pretty"])


@contextmanager
def _alone(places: LoopPlaces, *more: str) -> Generator[Journal]:
    """Hold the loop's lock, and complete what a reconcile that died has left; raises `LoopBusy`."""
    from interlock.loops.journal import Journal
    from interlock.loops.reconcile import LoopFiles

    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        with files.held(places.of_manager(".lock"), wait=False) as ours:
            if ours:
                journal = Journal(places.manager, {*LoopFiles.of(places), *more}, None)
                journal.complete()
                yield journal
                return
        if time.monotonic() > deadline:
            raise LoopBusy(f"{places.loop} has been reconciled by another process for {_WAIT_SECONDS} seconds")
        time.sleep(0.05)


# --- reconcile --------------------------------------------------------------------------------------------------------


def _reconcile(asked: Asked) -> int:
    from interlock.loops.drift import DriftOptions
    from interlock.loops.reconcile import LoopFiles, ReconcileOptions, reconcile

    places = asked.places()
    transport = _reading(asked)
    thresholds, profiles = _merged(asked)
    named = {field: asked[flag] for flag, field in _RECONCILE_FILES.items() if asked[flag]}
    options = ReconcileOptions(
        trace_id=asked.trace_id(),
        from_start=asked["from-start"],
        max_events=asked["max-events"],
        thresholds=thresholds,
        profiles=profiles,
        drift=DriftOptions(
            asked["drift-min-confidence"], asked["drift-required-streak"], asked["drift-summary-window"]
        ),
        retry_attempts=asked["retry-attempts"],
        retry_backoff_seconds=asked["retry-backoff-seconds"],
        files=LoopFiles.of(places)._replace(**named),
    )
    log = _Log(asked.root)
    log.controlled_before(places)
    outcome = reconcile(places, options, transport, system_clock, tell=log.found, dispatch=_alerting(asked))
    log.catch_up()
    _say(outcome.document, pretty=asked["pretty"])
    return outcome.exit_code


_RECONCILE_FILES: Final = {
    "cursor-file": "cursor",
    "state-file": "state",
    "drift-state-file": "drift",
    "drift-history-file": "drift_rows",
    "sequence-state-file": "sequence",
    "sequence-telemetry-file": "sequence_rows",
    "heartbeat-state-file": "heartbeat",
    "heartbeat-telemetry-file": "heartbeat_rows",
}


def _alerting(asked: Asked) -> Dispatch | None:
    """Return what sends the escalations, where that is wanted and there is a workspace whose outbox they can go to."""
    wanted = asked["alerts-enabled"] or os.environ.get("OPS_MANAGER_ALERTS_ENABLED") or "true"
    if wanted != "true" or not os.path.isdir(os.path.join(asked.root, ".interlock")):
        return None

    def send(places: LoopPlaces, trace_id: str) -> None:
        from interlock.alerts import idle

        order = _order(asked, places, trace_id)._replace(forced=False, seconds=_ALERT_SECONDS)
        try:
            if idle.rest(files, order, _seconds()) is None:
                _dispatched(asked.root, order)
        except (InterlockError, OSError) as error:
            with suppress(InterlockError, OSError), files.held(places.of_manager(idle.LOCK), wait=True):
                files.append(order.telemetry, [files.bytes_of(idle.failed_line(order, str(error), _seconds()))])

    return send


def _merged(asked: Asked) -> tuple[Thresholds, list[str]]:
    """Return the thresholds: each from its flag, else from the profile; and the names of the catalog's profiles."""
    from interlock.loops import thresholds

    catalog, source = _catalog(asked, "thresholds-file")
    profile = thresholds.resolve(catalog, asked["threshold-profile"], source)
    said = {name: asked[flag] for name, flag in _THRESHOLDS.items() if asked[flag] is not None}
    return thresholds.applied(profile, said), thresholds.names(catalog)


def _reading(asked: Asked) -> Reading:
    if asked["transport"] == "local":
        from interlock.loops.local import Local

        return Local()
    from interlock.loops.sprite_transport import SpriteService

    return SpriteService(_client(asked, asked["service-base-url"], asked["service-token"]))


def _client(asked: Asked, base_url: str | None, token: str | None) -> Client:
    from interlock.loops.sprite_client import Base, Client

    if not base_url:
        raise ArgumentWrong("--service-base-url is required for the transport sprite_service")
    return Client(
        base=Base.of(base_url),
        token=token or "",
        attempts=asked["retry-attempts"],
        backoff_seconds=asked["retry-backoff-seconds"],
    )


# --- single steps -----------------------------------------------------------------------------------------------------


def _loop_run_snapshot(asked: Asked) -> int:
    from interlock.loops import snapshot

    found = snapshot.take(asked.places(), now=_seconds(), run_id=asked["run-id"], trace_id=asked["trace-id"])
    return _say(found, pretty=asked["pretty"])


def _poll_events(asked: Asked) -> int:
    from interlock.loops import polling

    for envelope in polling.poll(
        asked.places(),
        now=_seconds(),
        cursor_file=asked["cursor-file"],
        from_start=asked["from-start"],
        max_events=asked["max-events"],
        trace_id=asked["trace-id"],
    ):
        _say(envelope)
        sys.stdout.flush()  # the cursor moves when all were taken; what was not written is none of them
    return OK


def _project_state(asked: Asked) -> int:
    from interlock.loops import projection

    places = asked.places()
    with _alone(places):
        found = projection.from_files(
            places,
            now=_seconds(),
            snapshot_file=asked["snapshot-file"],
            events_file=asked["events-file"],
            state_file=asked["state-file"],
        )
    return _say(found, pretty=asked["pretty"])


def _health(asked: Asked) -> int:
    from interlock.loops import health

    surfaces = health.Surfaces(
        state=_file(asked["state-file"]),
        heartbeat=_file(asked["heartbeat-state-file"]),
        sequence=_file(asked["sequence-state-file"]),
        transport=_file(asked["transport-health-file"]),
        intent=files.last_row(asked["intents-file"]) if asked["intents-file"] else None,
    )
    ingest = health.Ingest(asked["transport"], asked["ingest-status"] == "failed", asked["failure-code"])
    found = health.evaluate(surfaces, _thresholds(asked), ingest, now=_at(asked["now"]), trace_id=asked["trace-id"])
    return _say(found.document, pretty=asked["pretty"])


def _file(given: str | None) -> Document | None:
    return files.read_json(given) if given else None


def _thresholds(asked: Asked) -> Thresholds:
    from interlock.loops.health import Thresholds

    return Thresholds(asked["threshold-profile"], **{name: asked[flag] for name, flag in _THRESHOLDS.items()}).checked()


_THRESHOLDS: Final = {
    "degraded_ingest": "degraded-ingest-lag-seconds",
    "critical_ingest": "critical-ingest-lag-seconds",
    "degraded_heartbeat": "degraded-heartbeat-lag-seconds",
    "critical_heartbeat": "critical-heartbeat-lag-seconds",
    "degraded_streak": "degraded-transport-failure-streak",
    "critical_streak": "critical-transport-failure-streak",
}


def _at(given: str | None) -> int:
    if given is None:
        return _seconds()
    found = seconds_of(given)
    if found is None:
        raise ArgumentWrong(f"--now must be an instant like 2026-11-21T08:00:00Z, not {given[:64]!a}")
    return found


# --- alerts -----------------------------------------------------------------------------------------------------------


def _alert_sink_config(asked: Asked) -> int:
    from interlock.alerts import config, routing

    if asked["severity"] and not asked["category"]:
        raise ArgumentWrong("--severity requires --category")
    if asked["list-sinks"] and asked["category"]:
        raise ArgumentWrong("--list-sinks shows all sinks; --category asks for those of one category")
    found = config.load(config.config_path(asked["config-file"], asked.root, os.environ))
    checks = not asked["no-env-check"]
    if checks:
        found.check_secrets(os.environ)
    if asked["list-sinks"]:
        rows = (f"{name}\t{each['type']}\t{str(each['enabled']).lower()}\n" for name, each in found.sinks.items())
        sys.stdout.write("".join(rows))
        return OK
    shown = (
        routing.resolution(found, asked["category"], asked["severity"], os.environ, env_check=checks)
        if asked["category"]
        else found.catalog(os.environ, env_check=checks)
    )
    return _say(shown, pretty=asked["pretty"])


def _alert_dispatch(asked: Asked) -> int:
    order = _order(asked, asked.places(), asked.trace_id())
    named = {field: asked[flag] for flag, field in _DISPATCH_FILES.items() if asked[flag]}
    order = order._replace(most=asked["max-escalations"], **named)
    if not os.path.isdir(os.path.join(asked.root, ".interlock")):
        raise OutboxMissing(f"{asked.root} is no workspace: what waits to be sent is kept in its database")
    return _say(_dispatched(asked.root, order), pretty=asked["pretty"])


_DISPATCH_FILES: Final = {
    "escalations-file": "escalations",
    "dispatch-state-file": "state",
    "dispatch-telemetry-file": "telemetry",
}
_ALERT_SECONDS = 2.0
"""How long a reconcile sends; what is left then waits in the outbox for the next one."""


def _order(asked: Asked, places: LoopPlaces, trace_id: str) -> Order:
    from interlock.alerts.idle import Order

    named = {field: asked.values.get(f"alert-{field}-file") for field in ("dispatch-state", "dispatch-telemetry")}
    own = Order.of(places.repo, places.loop, places.manager, trace_id)
    return own._replace(
        config=asked["alert-config-file"],
        state=named["dispatch-state"] or own.state,
        telemetry=named["dispatch-telemetry"] or own.telemetry,
    )


def _dispatched(root: str, order: Order) -> Document:
    from pathlib import Path

    from interlock.alerts.dispatch import dispatch
    from interlock.app import Interlock

    with closing(Interlock.at(Path(root))) as house:
        return dispatch(house.alerts, files, _actor(), order, system_clock)


# --- control ----------------------------------------------------------------------------------------------------------


def _control(asked: Asked) -> int:
    from interlock.loops import confirmation
    from interlock.loops.control import Request, control

    intent = confirmation.checked(asked["intent"] or "")
    places = asked.places()
    transport = _steering(asked)
    log = _Log(asked.root)
    signal.signal(signal.SIGTERM, _interrupted)  # the runtime's program ends with us, and the attempt is recorded
    done = control(
        places,
        Request(
            intent=intent,
            by=asked["by"] or "unknown",
            trace_id=asked.trace_id(),
            idempotency_key=asked["idempotency-key"] or f"{intent}-{_seconds()}-{os.getpid()}",
            note=asked["note"],
            confirm=not asked["no-confirm"],
            patience=confirmation.Patience(asked["timeout-seconds"], asked["interval-seconds"]),
            retry_attempts=asked["retry-attempts"],
            retry_backoff_seconds=asked["retry-backoff-seconds"],
        ),
        transport,
        lambda: confirmation.observed(places),
        _principal(),
        thawed=log.thawed,
    )
    log.controlled(places, done.document)
    log.catch_up()
    _say(done.document)
    return done.exit_code


def _steering(asked: Asked) -> Steering:
    if asked["transport"] == "local":
        from interlock.loops.control import LocalTransport
        from interlock.loops.runtime import Runtime

        return LocalTransport(Runtime.of(asked.root, os.environ))
    from interlock.loops.sprite_transport import SpriteControl

    return SpriteControl(_client(asked, asked["service-base-url"], asked["service-token"]))


def _interrupted(number: int, _: object) -> None:
    sys.exit(128 + number)


def _confirm_intent(asked: Asked) -> int:
    from interlock.loops import confirmation

    intent = confirmation.checked(asked["intent"] or "")
    places = asked.places()
    patience = confirmation.Patience(asked["timeout-seconds"], asked["interval-seconds"])
    seen = confirmation.confirm(intent, lambda: confirmation.observed(places), patience)
    _say(seen.document)
    return OK if seen.confirmed else FAILED


def _principal() -> Principal:
    from interlock.access.local import local_principal
    from interlock.runs.containment.processes import inside_run

    return local_principal(inside_run, None)


# --- the service ------------------------------------------------------------------------------------------------------


def _service_client(asked: Asked) -> int:
    from dataclasses import replace

    for name in ("method", "base-url", "path"):
        if not asked[name]:
            raise ArgumentWrong(f"--{name} is required")
    given: str = asked["path"]
    if not given.startswith("/") or not given.isascii() or not given.isprintable() or " " in given:
        raise ArgumentWrong("--path must begin with / and be written as in a URL")
    client = replace(
        _client(asked, asked["base-url"], asked["token"]),
        trace_id=asked["trace-id"] or "",
        connect_seconds=asked["connect-timeout-seconds"],
    )
    body, waits, bound = _posted(asked) if asked["method"] == "POST" else (b"", 30, False)
    client = replace(client, most_seconds=asked["max-time-seconds"] or waits)
    answer = client.get(given) if asked["method"] == "GET" else client.post(given, body, bound=bound)
    if answer.status // 100 != 2:
        raise client.failed(asked["method"], given, answer)
    sys.stdout.write(answer.body.decode("utf-8", "replace"))
    return OK


def _posted(asked: Asked) -> tuple[bytes, int, bool]:
    """Return the body, how long its answer may take, and whether it names an idempotency key."""
    from interlock.loops import models

    if not asked["body-file"]:
        raise ArgumentWrong("--body-file is required with --method POST")
    body = files.read_bytes(asked["body-file"])
    if body is None:
        raise ArgumentWrong(f"body file not found: {asked['body-file']}")
    said = files.parsed(body)
    waits = models.whole(said, "timeoutSeconds")
    return body, max(30, waits or 0) + 15, models.text(said, "idempotencyKey") is not None


def _sprite_service(asked: Asked) -> int:
    from interlock.loops import sprite_server
    from interlock.loops.places import LoopRootMissing
    from interlock.loops.sprite_service import Service

    if not asked["repo"]:
        raise ArgumentWrong("--repo is required")
    if not os.path.isdir(asked["repo"]):
        raise LoopRootMissing(f"repository not found: {asked['repo']}")
    if bool(asked["tls-cert"]) != bool(asked["tls-key"]):
        raise ArgumentWrong("--tls-cert and --tls-key go together")
    log = _Log(asked.root)

    def controlled(places: LoopPlaces, row: Document) -> None:
        log.controlled(places, row)
        log.catch_up()

    service = Service(
        repo=asked["repo"],
        root=asked.root,
        token=asked["token"] or "",
        environment=dict(os.environ),
        principal=_principal(),
        thawed=log.thawed,
        controlled=controlled,
    )
    tls = sprite_server.tls_of(asked["tls-cert"], asked["tls-key"]) if asked["tls-cert"] else None
    server = sprite_server.Server(service, asked["host"], asked["port"], tls=tls)

    def ready(url: str) -> None:
        with suppress(OSError, ValueError):
            _say({"ok": True, "url": url, "repo": service.repo, "pid": os.getpid()})
            sys.stdout.flush()

    return sprite_server.run(server, ready)


# --- the workspace's log ----------------------------------------------------------------------------------------------


class _Log:
    """Is told what happened to a loop; opened only when there is something to tell, and only in a workspace."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._there = os.path.isdir(os.path.join(root, ".interlock"))
        self._told = False

    def found(self, told: Document) -> None:
        """Tell what a reconcile has found; raises what keeps it from that, and is asked again the next time."""
        self._tell(lambda loops: loops.tell(_actor(), told))

    def controlled(self, places: LoopPlaces, row: Document) -> None:
        """Tell of an intent. It was carried out and recorded: trouble with this is no failure."""
        with suppress(InterlockError):
            self._tell(lambda loops: loops.tell_control(_actor(), places, row))

    def controlled_before(self, places: LoopPlaces) -> None:
        """Tell of intents of which the log could not be told when they were carried out."""
        if os.path.exists(places.of_manager(".untold.jsonl")):
            with suppress(InterlockError):
                self._tell(lambda loops: loops.tell_untold(_actor(), places))

    def thawed(self) -> None:
        """Raise `Frozen` while panic is on."""
        if self._there:
            with self._house() as house:
                house.loops.thawed()

    def catch_up(self) -> None:
        """Bring up to date what follows the log."""
        if self._told:
            with suppress(InterlockError, OSError), self._house() as house:
                house.catch_up(_actor())

    def _tell(self, deed: Callable[[Loops], None]) -> None:
        if self._there:
            with self._house() as house:
                deed(house.loops)
                self._told = True

    def _house(self) -> AbstractContextManager[Interlock]:
        from pathlib import Path

        from interlock.app import Interlock

        return closing(Interlock.at(Path(self._root)))


def _actor() -> Actor:
    from interlock.access.models import Actor

    return Actor(principal=_principal())


# --- the table --------------------------------------------------------------------------------------------------------

_PATIENCE = (
    whole("timeout-seconds", 30, "how long to look for the effect"),
    whole("interval-seconds", 2, "how long to wait between two looks"),
)
_SERVICE = (
    one_of("transport", TRANSPORTS, "local", "the way to the runtime"),
    text("service-base-url", "where the service answers"),
    text("service-token", "proves who calls", environment=TOKEN_VARIABLE),
    whole("retry-attempts", 3, "how often the service is asked", least=1),
    whole("retry-backoff-seconds", 1, "how long to wait before asking again"),
)
_OWN_TRACE = text("trace-id", "the trace to show")
_LIMITS: Final = {
    "degraded-ingest-lag-seconds": 300,
    "critical-ingest-lag-seconds": 900,
    "degraded-heartbeat-lag-seconds": 120,
    "critical-heartbeat-lag-seconds": 300,
    "degraded-transport-failure-streak": 2,
    "critical-transport-failure-streak": 4,
}


def _limits(*, known: bool) -> tuple[Flag, ...]:
    """Return the flags of the thresholds; without a default where a profile may say what no flag does."""
    return tuple(
        whole(name, limit if known or "heartbeat" in name else None, "from when on") for name, limit in _LIMITS.items()
    )


COMMANDS: Final[Mapping[str, Command]] = {
    "reconcile": Command(
        "Find out what is true of a loop now, write it down, and escalate what a human should hear of.",
        _reconcile,
        (
            *LOOP,
            *_SERVICE,
            TRACE,
            whole("max-events", 0, "how many events at most; 0 is all"),
            switch("from-start", "read the events again from their start"),
            text("threshold-profile", "which thresholds", environment="OPS_MANAGER_THRESHOLD_PROFILE"),
            text("thresholds-file", "the catalog of profiles"),
            one_of(
                "drift-min-confidence",
                _LEVELS,
                "medium",
                "from which confidence on a mismatch counts",
                environment="OPS_MANAGER_DRIFT_MIN_CONFIDENCE",
            ),
            whole(
                "drift-required-streak",
                3,
                "how many in a row are a drift",
                least=1,
                environment="OPS_MANAGER_DRIFT_REQUIRED_STREAK",
            ),
            whole(
                "drift-summary-window",
                200,
                "how many rows of telemetry count",
                least=1,
                environment="OPS_MANAGER_DRIFT_SUMMARY_WINDOW",
            ),
            one_of("alerts-enabled", ("true", "false"), None, "whether escalations are sent (default true)"),
            text("alert-config-file", "the sinks"),
            path("alert-dispatch-state-file", "instead of the loop's own"),
            path("alert-dispatch-telemetry-file", "instead of the loop's own"),
            *(path(name, "instead of the loop's own") for name in _RECONCILE_FILES),
            *_limits(known=False),
            PRETTY,
        ),
    ),
    "status": Command(
        "Say what is known of a loop, from the files as they stand.",
        _status,
        (
            *LOOP,
            *(path(name, "instead of the loop's own") for name in _STATUS_FILES),
            whole("summary-window", 200, "how many rows of telemetry are summarised", least=1),
            PRETTY,
        ),
    ),
    "control": Command(
        "Cancel a loop, or decide what it waits for; confirm the effect, and record the attempt.",
        _control,
        (
            *LOOP,
            text("intent", "cancel, approve or reject"),
            *_SERVICE,
            text("idempotency-key", "under which key this is asked"),
            TRACE,
            text("by", "who wants it", environment="USER"),
            text("note", "why"),
            *_PATIENCE,
            switch("no-confirm", "do not look for the effect"),
        ),
    ),
    "confirm-intent": Command(
        "Look whether an intent has come about; exit code 0 if so, else 1.",
        _confirm_intent,
        (*LOOP, text("intent", "cancel, approve or reject"), *_PATIENCE),
    ),
    "telemetry-summary": Command(
        "Summarise the telemetry, and recommend a threshold profile.",
        _telemetry_summary,
        (
            *LOOP,
            path("reconcile-telemetry-file", "instead of the loop's own"),
            path("control-telemetry-file", "instead of the loop's own"),
            whole("window", 200, "how many rows are counted", least=1),
            PRETTY,
        ),
    ),
    "threshold-profile": Command(
        "Show a threshold profile of a catalog.",
        _threshold_profile,
        (
            text("profiles-file", "the catalog"),
            text("profile", "which of it; else its default"),
            switch("list", "name them all"),
            PRETTY,
        ),
    ),
    "loop-run-snapshot": Command(
        "Show everything that the runtime's artefacts say of a loop.",
        _loop_run_snapshot,
        (*LOOP, text("run-id", "instead of the one found"), _OWN_TRACE, PRETTY),
    ),
    "poll-events": Command(
        "Show the events that are new, one a line, and move the cursor.",
        _poll_events,
        (
            *LOOP,
            path("cursor-file", "instead of the loop's own"),
            switch("from-start", "whatever the cursor says"),
            whole("max-events", 0, "how many at most; 0 is all"),
            _OWN_TRACE,
        ),
    ),
    "project-state": Command(
        "Project the loop's state from a snapshot and events, and write it.",
        _project_state,
        (
            *LOOP,
            path("snapshot-file", "instead of one that is taken now"),
            path("events-file", "envelopes of the events that are new"),
            path("state-file", "instead of the loop's own"),
            PRETTY,
        ),
    ),
    "health": Command(
        "Judge what files say; writes nothing.",
        _health,
        (
            *(path(f"{name}-file") for name in ("state", "heartbeat-state", "sequence-state", "transport-health")),
            path("intents-file"),
            _OWN_TRACE,
            one_of("transport", TRANSPORTS, "local"),
            text("threshold-profile", "what the thresholds are called"),
            one_of("ingest-status", ("success", "failed"), "success"),
            text("failure-code", "why it failed"),
            *_limits(known=True),
            text("now", "instead of the present"),
            PRETTY,
        ),
    ),
    "alert-sink-config": Command(
        "Show the alert sinks, or where escalations of a category go; fails while an enabled sink lacks a secret.",
        _alert_sink_config,
        (
            text("config-file", "the sinks"),
            text("category", "what is escalated"),
            one_of("severity", ("info", "warning", "critical"), None, "instead of the category's own"),
            switch("list-sinks", "name them all"),
            switch("no-env-check", "whether secrets are set or not"),
            PRETTY,
        ),
    ),
    "alert-dispatch": Command(
        "Send the escalations that were not sent yet, and those whose sinks have failed before.",
        _alert_dispatch,
        (
            *LOOP,
            *(path(name, "instead of the loop's own") for name in _DISPATCH_FILES),
            TRACE,
            text("alert-config-file", "the sinks"),
            whole("max-escalations", 0, "how many new ones at most; 0 is all"),
            PRETTY,
        ),
    ),
    "service-client": Command(
        "Ask a loop service, and print what it answers.",
        _service_client,
        (
            one_of("method", ("GET", "POST"), None),
            text("base-url", "where the service answers"),
            text("path", "what is asked, with its query"),
            text("token", "proves who calls", environment=TOKEN_VARIABLE),
            TRACE,
            path("body-file", "what is posted"),
            whole("retry-attempts", 3, "how often it is asked", least=1),
            whole("retry-backoff-seconds", 1, "how long to wait before asking again"),
            whole("connect-timeout-seconds", 5, "how long to wait for a connection", least=1),
            whole("max-time-seconds", None, "how long to wait for an answer (default 30, more for a control)", least=1),
        ),
    ),
    "sprite-service": Command(
        "Serve the loops of one repository to a manager elsewhere, until SIGTERM.",
        _sprite_service,
        (
            path("repo", "the repository whose loops are served"),
            text("host", "where to listen", "127.0.0.1"),
            whole("port", 8787, "where to listen; 0 takes any that is free"),
            text("token", "what callers have to show", environment=TOKEN_VARIABLE),
            path("tls-cert", "the certificate, for https"),
            path("tls-key", "the certificate's key"),
            path("scripts-dir", "is taken and not needed"),
        ),
    ),
    "profile-drift": Command(
        "Hold the profile that is applied against the one that is recommended, and keep the count.",
        _profile_drift,
        (
            *LOOP,
            text("applied-profile"),
            text("recommended-profile"),
            text("thresholds-file", "the catalog"),
            one_of("recommendation-confidence", _LEVELS, "low"),
            one_of("min-confidence", _LEVELS, "medium"),
            whole("required-streak", 3, least=1),
            whole("summary-window", 200, least=1),
            text("rationale"),
            path("drift-state-file", "instead of the loop's own"),
            path("drift-history-file", "instead of the loop's own"),
            PRETTY,
        ),
    ),
}


def _hide_token(words: Sequence[str]) -> None:
    """Begin anew without the token in the command line, which every user of this machine can read."""
    command = COMMANDS.get(words[1]) if len(words) > 1 else None
    flags = {f"--{flag.name}": flag for flag in command.flags} if command else {}
    kept, token, rest = list(words[:2]), "", iter(words[2:])
    for word in rest:
        flag, value = flags.get(word), None
        if flag is None:
            return  # it will be told what is wrong
        if flag.read is not None and (value := next(rest, None)) is None:
            return
        if flag.environment == TOKEN_VARIABLE:
            token = value or token
        else:
            kept += [word] if value is None else [word, value]
    if token:
        before = sys.orig_argv[: len(sys.orig_argv) - len(words)]
        os.execve(sys.executable, [*before, *kept], {**os.environ, TOKEN_VARIABLE: token})  # noqa: S606 - this program


if __name__ == "__main__":
    _hide_token(sys.argv[1:])
    sys.exit(main())
