"""Steering a loop: an intent is carried out once, its effect confirmed, and every attempt recorded.

An intent whose effect was not seen is `ambiguous`, and is never repeated by a machine: while divergence, an outage or
such an intent is unresolved, whoever is not a person is refused (`control_frozen`). What is frozen is computed from
the files, so a healthy reconcile releases it; a person can also release what stands there now, fact by fact.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final, NamedTuple, Protocol, cast

from interlock.access.models import Principal, PrincipalKind, require_human
from interlock.access.redaction import redact
from interlock.kernel.clock import Clock, system_clock
from interlock.kernel.errors import Conflict
from interlock.loops import confirmation, files
from interlock.loops.confirmation import Observed, Patience
from interlock.loops.files import Document
from interlock.loops.models import at, stamp, stripped
from interlock.loops.places import LoopPlaces
from interlock.loops.runtime import Done, Runtime
from interlock.loops.transport_health import NOT_THE_TRANSPORTS

EXIT_CODES: Final = {"confirmed": 0, "executed_unconfirmed": 0, "ambiguous": 2}
"""Every other status exits with 1."""
_REASONS: Final = {"ambiguous": "control_ambiguous", "failed_command": "control_failed_command"}
_UNRESOLVED: Final = frozenset(_REASONS)
_INTERRUPTED = 130
_LOCK, _RELEASED = ".records.lock", ".unfreeze.json"
_UNTOLD, _MOST_UNTOLD = ".untold.jsonl", 10_000
_MOST_ESCALATIONS = 2000


class ControlFrozen(Conflict):
    """Only a person may steer this loop now."""

    code = "control_frozen"
    default_hint = "a person looks at `interlock loop status`, and may release it with `interlock loop unfreeze`"


class NothingToAcknowledge(Conflict):
    """The last intent is neither ambiguous nor failed."""

    code = "nothing_to_acknowledge"


class NothingToUnfreeze(Conflict):
    """Nothing is frozen."""

    code = "nothing_to_unfreeze"


class Request(NamedTuple):
    """What is wanted of a loop, by whom, and how patiently its effect is looked for."""

    intent: str
    by: str
    trace_id: str
    idempotency_key: str
    note: str | None = None
    confirm: bool = True
    patience: Patience = Patience()
    retry_attempts: int = 3
    retry_backoff_seconds: int = 1


class Outcome(NamedTuple):
    """What a transport knows of an intent that it had confirmed elsewhere."""

    status: str
    confirm_exit_code: int = 0
    confirm: Document | None = None


class Carried(NamedTuple):
    """What came of carrying an intent out."""

    done: Done
    replayed: bool = False
    outcome: Outcome | None = None
    """None where the caller is to look for the effect itself."""
    failure: str | None = None
    """Why it is not known to have been carried out, where the way there failed."""


class Transport(Protocol):
    """The way to the runtime."""

    @property
    def name(self) -> str:
        """`local` or `sprite_service`."""
        ...

    def carry_out(self, places: LoopPlaces, request: Request) -> Carried:
        """Carry an intent out; what can not be carried out has failed and is returned, not raised."""
        ...


class LocalTransport(NamedTuple):
    """The runtime of this machine."""

    runtime: Runtime

    @property
    def name(self) -> str:
        """What the records call it."""
        return "local"

    def carry_out(self, places: LoopPlaces, request: Request) -> Carried:
        """Call the runtime's program."""
        return Carried(self.runtime.carry_out(places, request.intent, request.by, request.note))


class Controlled(NamedTuple):
    """One attempt: what is printed and recorded, and the exit code."""

    document: Document
    exit_code: int


def control(
    places: LoopPlaces,
    request: Request,
    transport: Transport,
    look: Callable[[], Observed | None],
    principal: Principal,
    *,
    thawed: Callable[[], None] = lambda: None,
    clock: Clock = system_clock,
) -> Controlled:
    """Carry an intent out, look for its effect, and record the attempt.

    `thawed` raises while panic is on; a cancellation goes on. Raises also `IntentUnknown`, `ControlFrozen`,
    `HumanNeeded` (only a person approves) and `FileUnwritten`; before anything is done where that can be known.
    """
    confirmation.checked(request.intent)
    if request.intent != "cancel":
        thawed()
    _may(places, request.intent, principal)
    if principal.kind is not PrincipalKind.HUMAN:
        request = request._replace(by=str(principal))  # a machine can not say that it is somebody
    with _records(places):
        pass  # what can not be recorded is not begun
    attempt = _attempted(places, request, transport, look, clock)
    return Controlled(attempt.intent(), EXIT_CODES.get(attempt.outcome.status, 1))


def _attempted(
    places: LoopPlaces, request: Request, transport: Transport, look: Callable[[], Observed | None], clock: Clock
) -> _Attempt:
    """Carry it out and record it; also where somebody interrupts us, when nobody knows what came of it."""
    began, carried, outcome = clock(), Carried(Done("", _INTERRUPTED, "interrupted")), Outcome("ambiguous", 1)
    try:
        carried = transport.carry_out(places, request)
        outcome = _outcome(request, carried, look, clock)
    finally:
        attempt = _Attempt(places, request, transport.name, carried, outcome, began, clock())
        _record(attempt)
    return attempt


def acknowledge(
    places: LoopPlaces,
    principal: Principal,
    trace_id: str,
    *,
    note: str | None = None,
    clock: Clock = system_clock,
) -> Document:
    """Record that a person has looked after the last intent, which was ambiguous or failed.

    Raises `HumanNeeded`, `NothingToAcknowledge`, `FileUnwritten`.
    """
    require_human(principal, "acknowledge an intent")
    with _records(places):
        last = files.last_row(places.of_manager("intents.jsonl"))
        if last is None or last.get("status") not in _UNRESOLVED:
            raise NothingToAcknowledge
        row = {
            "timestamp": _at_second(clock()),
            "loopId": places.loop,
            "intent": "acknowledge",
            "traceId": trace_id,
            "requestedBy": principal.name,
            "note": note and redact(note),
            "transport": "local",
            "status": "acknowledged",
            "acknowledged": {key: last.get(key) for key in ("intent", "status", "traceId", "timestamp")},
        }
        files.append(places.of_manager("intents.jsonl"), [files.bytes_of(stripped(row))], lasting=True)
    return stripped(row)


# --- what is frozen ---------------------------------------------------------------------------------------------------


class Fact(NamedTuple):
    """Why a loop is frozen: a reason code, and which occurrence of it."""

    code: str
    occurrence: str

    @property
    def key(self) -> str:
        """Return the name under which it is released."""
        return f"{self.code}:{self.occurrence}"


def frozen(places: LoopPlaces) -> tuple[Fact, ...]:
    """Say why machines may not steer a loop now; nothing where they may."""
    released = _released(places)
    return tuple(fact for fact in _facts(places) if fact.key not in released)


def unfreeze(
    places: LoopPlaces,
    principal: Principal,
    trace_id: str,
    *,
    note: str | None = None,
    clock: Clock = system_clock,
) -> Document:
    """Release what freezes a loop now, and nothing that happens later.

    Raises `HumanNeeded`, `NothingToUnfreeze`, `FileUnwritten`.
    """
    require_human(principal, "release a frozen loop")
    with _records(places):
        facts = frozen(places)
        if not facts:
            raise NothingToUnfreeze
        document = {
            "schemaVersion": "v1",
            "updatedAt": _at_second(clock()),
            "loopId": places.loop,
            "traceId": trace_id,
            "releasedBy": principal.name,
            "note": note and redact(note),
            "reasonCodes": sorted({fact.code for fact in facts}),
            "released": sorted(fact.key for fact in _facts(places)),
        }
        files.replace(places.of_manager(_RELEASED), files.bytes_of(stripped(document)))
    return stripped(document)


def _may(places: LoopPlaces, intent: str, principal: Principal) -> None:
    if intent == "approve":
        require_human(principal, "approve what a loop waits for")
    facts = frozen(places) if principal.kind is not PrincipalKind.HUMAN else ()
    if facts:
        codes = ", ".join(sorted({fact.code for fact in facts}))
        raise ControlFrozen(f"{places.loop} is frozen for {principal}: {codes}")


def _facts(places: LoopPlaces) -> Iterator[Fact]:
    state = yield from _read_or_fact(places.of_manager("state.json"))
    if at(state, "divergence", "any") is True:
        yield Fact("divergence_detected", _divergence_began(places, state))
    transport = yield from _read_or_fact(places.of_telemetry("transport-health.json"))
    if transport.get("lastResult") == "failed":
        code = str(transport.get("lastFailureCode"))
        code = code if code in NOT_THE_TRANSPORTS else "transport_unreachable"
        yield Fact(code, f"since {transport.get('lastSuccessAt') or 'ever'}")
    last = files.last_row(places.of_manager("intents.jsonl")) or {}
    if last.get("status") == "ambiguous":
        yield Fact("control_ambiguous", str(last.get("traceId")))
    elif _service_did_not_answer(last) and str(transport.get("lastSuccessAt") or "") <= str(last.get("timestamp")):
        yield Fact("transport_unreachable", str(last.get("traceId")))


def _read_or_fact(path: str) -> Generator[Fact, None, Document]:
    """Return what a file holds; a file that can not be read is a reason not to act, too."""
    try:
        return files.read_json(path) or {}
    except (files.FileCorrupt, files.FileUnreadable):
        yield Fact("artifact_corrupt", os.path.basename(path))
        return {}


def _divergence_began(places: LoopPlaces, state: Document) -> str:
    """Return the trace of the reconcile that escalated the divergence; it goes on under others."""
    for number, line in enumerate(files.lines_backwards(places.of_manager("escalations.jsonl"))):
        row = files.parsed(line) if b"divergence_detected" in line else None
        if row is not None and row.get("category") == "divergence_detected":
            return str(row.get("traceId"))
        if number >= _MOST_ESCALATIONS:
            break
    return str(at(state, "trace", "reconcileTraceId"))


def _service_did_not_answer(row: Document) -> bool:
    return (row.get("transport"), row.get("status"), row.get("commandOutput")) == (
        "sprite_service",
        "failed_command",
        "{}",
    )


def _released(places: LoopPlaces) -> frozenset[str]:
    try:
        document = files.read_json(places.of_manager(_RELEASED)) or {}
    except (files.FileCorrupt, files.FileUnreadable):
        return frozenset()
    keys = document.get("released")
    return frozenset(map(str, cast("list[Any]", keys))) if isinstance(keys, list) else frozenset()


# --- records ----------------------------------------------------------------------------------------------------------


def _outcome(request: Request, carried: Carried, look: Callable[[], Observed | None], clock: Clock) -> Outcome:
    if carried.outcome is not None:
        return carried.outcome
    if carried.done.exit_code:
        return Outcome("failed_command")
    if not request.confirm:
        return Outcome("executed_unconfirmed")
    seen = confirmation.confirm(request.intent, look, request.patience, clock)
    return Outcome("confirmed", 0, seen.document) if seen.confirmed else Outcome("ambiguous", 1, seen.document)


def _record(attempt: _Attempt) -> None:
    places = attempt.places
    try:
        with _records(places):
            files.append(places.of_manager("intents.jsonl"), [files.bytes_of(attempt.intent())], lasting=True)
            files.append(places.of_telemetry("control.jsonl"), [files.bytes_of(attempt.telemetry())])
            files.append(places.of_telemetry("control-invocations.jsonl"), [files.bytes_of(attempt.audit())])
    except files.FileUnwritten as error:
        intent, status = attempt.request.intent, attempt.outcome.status
        raise files.FileUnwritten(f"the {intent} came out as {status}, but is not recorded: {error.message}") from None


class _Attempt(NamedTuple):
    """Everything that is recorded of one attempt."""

    places: LoopPlaces
    request: Request
    transport: str
    carried: Carried
    outcome: Outcome
    began: int
    ended: int

    def intent(self) -> Document:
        """The row of the intents, which is also what is printed."""
        request, done = self.request, self.carried.done
        return stripped(
            {
                "timestamp": _at_second(self.ended),
                "loopId": self.places.loop,
                "intent": request.intent,
                "traceId": request.trace_id,
                "requestedBy": request.by,
                "note": self._note(),
                "transport": self.transport,
                "status": self.outcome.status,
                "command": done.command,
                "idempotencyKey": request.idempotency_key,
                "exitCode": done.exit_code,
                "confirmExitCode": self.outcome.confirm_exit_code,
                "confirmed": self._confirmed(),
                "commandOutput": done.output,
                "confirm": self.outcome.confirm,
                "failure": self.carried.failure,
            }
        )

    def telemetry(self) -> Document:
        """The row of the control telemetry."""
        request = self.request
        return stripped(
            {
                "timestamp": _at_second(self.ended),
                "startedAt": _at_second(self.began),
                "loopId": self.places.loop,
                "intent": request.intent,
                "traceId": request.trace_id,
                "transport": self.transport,
                "status": self.outcome.status,
                "reasonCode": _REASONS.get(self.outcome.status),
                "idempotencyKey": request.idempotency_key,
                "requestedBy": request.by,
                "exitCode": self.carried.done.exit_code,
                "confirmExitCode": self.outcome.confirm_exit_code,
                "confirmed": self._confirmed(),
                "durationSeconds": self._seconds(),
                "retryAttempts": request.retry_attempts,
                "retryBackoffSeconds": request.retry_backoff_seconds,
            }
        )

    def audit(self) -> Document:
        """The row of the invocation audit."""
        request = self.request
        return stripped(
            {
                "schemaVersion": "v1",
                "timestamp": _at_second(self.ended),
                "startedAt": _at_second(self.began),
                "loopId": self.places.loop,
                "intent": request.intent,
                "traceId": request.trace_id,
                "transport": self.transport,
                "requestedBy": request.by,
                "note": self._note(),
                "idempotencyKey": request.idempotency_key,
                "request": {
                    "doConfirm": request.confirm,
                    "timeoutSeconds": request.patience.timeout_seconds,
                    "intervalSeconds": request.patience.interval_seconds,
                    "retryAttempts": request.retry_attempts,
                    "retryBackoffSeconds": request.retry_backoff_seconds,
                },
                "execution": self._execution(),
                "confirmation": self._confirmation(),
                "outcome": stripped(
                    {
                        "status": self.outcome.status,
                        "confirmed": self._confirmed(),
                        "reasonCode": _REASONS.get(self.outcome.status),
                        "durationSeconds": self._seconds(),
                    }
                ),
            }
        )

    def _execution(self) -> Document:
        done = self.carried.done
        return stripped(
            {
                "status": "failed_command" if self._failed() else "succeeded",
                "exitCode": done.exit_code,
                "command": done.command,
                "output": done.output,
                "failure": self.carried.failure,
                "replayed": self.carried.replayed,
            }
        )

    def _confirmation(self) -> Document:
        outcome, attempted = self.outcome, self.outcome.confirm is not None
        status = "not_attempted"
        if attempted:
            status = outcome.status if outcome.status in {"confirmed", "ambiguous"} else "attempted_unknown"
        elif not self.request.confirm and outcome.status != "failed_command":
            status = "skipped"
        return stripped(
            {
                "attempted": attempted,
                "status": status,
                "exitCode": outcome.confirm_exit_code,
                "outcome": outcome.confirm,
            }
        )

    def _failed(self) -> bool:
        if self.outcome.status == "failed_command" or self.carried.failure is not None:
            return True
        return self.carried.outcome is None and bool(self.carried.done.exit_code)

    def _confirmed(self) -> bool:
        return self.outcome.status == "confirmed"

    def _seconds(self) -> int:
        return max(0, self.ended // 1000 - self.began // 1000)

    def _note(self) -> str | None:
        return redact(self.request.note) if self.request.note else None


def keep_untold(places: LoopPlaces, row: Document) -> None:
    """Note an attempt of which the workspace's log could not be told."""
    with _records(places):
        files.append(places.of_manager(_UNTOLD), [files.bytes_of(row)], lasting=True)


def tell_untold(places: LoopPlaces, tell: Callable[[Document], None]) -> None:
    """Tell of what could not be told before; what `tell` raises leaves it for the next time."""
    path = places.of_manager(_UNTOLD)
    if not os.path.exists(path):
        return
    with _records(places):
        for row in files.last_rows(path, _MOST_UNTOLD):
            tell(row)
        files.forget(path)


def _records(places: LoopPlaces) -> AbstractContextManager[bool]:
    """Hold the records alone. Nothing else is done meanwhile, so that a service on the same repository never waits."""
    return files.held(places.of_manager(_LOCK), wait=True)


def _at_second(ms: int) -> str:
    return stamp(ms // 1000)
