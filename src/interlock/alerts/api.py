"""The HTTP doors of alerts: `/ops/alerts`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Protocol

from fastapi import Query, Request, Response
from pydantic import Field

from interlock.alerts.service import Alerts
from interlock.alerts.shown import alert_row, alert_whole, preview_row, silence_row, sinks_whole
from interlock.doors.api import ApiCall, Before, Body, Door, Here, Limit, Shown, house, needs, paged, problems

door = Door("/ops/alerts", "alerts")

State = Annotated[
    Literal["standing", "open", "acknowledged", "silenced", "resolved", "all"],
    Query(description="`standing`: not resolved; `silenced`: not resolved, and nobody was told."),
]
Pattern = Annotated[str, Query(max_length=300, description="Empty for all; one that ends in `*` for what begins so.")]


class _House(Protocol):
    @property
    def alerts(self) -> Alerts: ...


class AlertShown(Shown):
    """Something that is, or was, the matter."""

    id: str
    status: Literal["open", "acknowledged", "resolved"]
    severity: Literal["info", "warning", "critical"]
    category: str
    source: str = Field(description="`loop:<repository>:<loop>`, or `event`.")
    summary: str
    count: int = Field(description="How often it came in.")
    opened_at: str
    last_at: str
    ended_at: str | None
    by: str | None = Field(description="Who acknowledged or resolved it.")
    untold: bool = Field(description="Nobody was told, because of a silence or a broken configuration.")


class SilenceShown(Shown):
    """Alerts that nobody is told of for a time."""

    id: str
    source: str
    category: str
    until_at: str
    reason: str
    by: str
    created_at: str


class DeliveryShown(Shown):
    """One message for one sink."""

    sink: str
    action: Literal["trigger", "resolve"]
    created_at: str
    change: int = Field(description="The how manieth thing there was to tell.")
    status: Literal["pending", "delivered", "skipped"]
    attempts: int
    reason: str | None = Field(description="Why the last attempt failed: a code.")
    http_status: int | None
    message: str | None
    next_at: str | None
    delivered_at: str | None


class SubjectShown(Shown):
    """Of what an alert is."""

    kind: Literal["loop", "run", "draft", "pipeline", "deployment", "panic", "other"]
    id: str
    repo: str | None = Field(description="Of a loop.")


class ToldShown(Shown):
    """What happened to an alert."""

    at: str
    kind: str = Field(description="Of the event: `alert.opened`, `alert.acknowledged`, …")
    by: str
    severity: str | None
    sink: str | None
    note: str | None


class AlertInFull(AlertShown):
    """An alert, what happened to it, and what became of each message."""

    dedup_key: str
    trace_id: str | None
    subject: SubjectShown
    reasons: list[str]
    escalation: dict[str, Any] = Field(description="What came in last, as it came.")
    deliveries: list[DeliveryShown]
    history: list[ToldShown] = Field(description="The oldest first, at most the last 200.")


class SilencePreview(Shown):
    """What a silence would cover now."""

    count: int
    alerts: list[AlertShown] = Field(description="The newest of them.")


class VariableShown(Shown):
    """A variable that holds a secret; what is in it is shown nowhere."""

    name: str
    present: bool


class SinkShown(Shown):
    """A sink, and how it does."""

    id: str
    type: str
    enabled: bool
    timeout_seconds: int
    variables: list[VariableShown]
    pending: int
    delivered: int
    skipped: int
    failures: int = Field(description="In a row, by now.")
    paused_until: str | None = Field(description="It failed so often that it is left alone until then.")


class SinkRoute(Shown):
    """Where alerts of a category go."""

    category: str
    min_severity: str | None
    enabled: bool
    sinks: list[str] = Field(description="Empty: the default ones.")


class SinksShown(Shown):
    """Every sink, and where alerts go."""

    source: str = Field(description="The file on the server that says so.")
    problem: str | None = Field(description="What is wrong with it; then nothing is sent.")
    default_min_severity: str | None
    default_sinks: list[str]
    routes: list[SinkRoute]
    sinks: list[SinkShown]


class SinkTestedShown(Shown):
    """That a sink took a test."""

    id: str
    status: Literal["delivered"]
    http_status: int | None


class ReplayShown(Shown):
    """How many messages are due now."""

    id: str
    sink: str | None
    status: Literal["due"]
    deliveries: int


class NewSilence(Body):
    """What nobody is to be told of; an empty word holds for all, one that ends in `*` for what begins so."""

    reason: str = Field(min_length=1, max_length=2000)
    seconds: int = Field(ge=1, le=366 * 24 * 3600)
    source: str = Field(default="", max_length=300)
    category: str = Field(default="", max_length=128)


class NewNote(Body):
    """Why."""

    note: str = Field(default="", max_length=2000)


class NewReplay(Body):
    """What is to be sent at once."""

    alert_id: str | None = Field(default=None, max_length=64)
    sink: str = Field(default="", max_length=128)
    delivered: bool = Field(default=False, description="Also what was taken: send it again.")


def _alerts(call: ApiCall) -> Alerts:
    return house(call, _House).alerts


@door.get("", responses=problems(404), response_model=list[AlertShown])
@needs("actions")
def list_alerts(
    call: Here,
    request: Request,
    response: Response,
    state: State = "standing",
    limit: Limit = 100,
    before: Before = None,
) -> list[dict[str, Any]]:
    """List alerts, the newest first."""
    found = _alerts(call).list(state="" if state == "all" else state, limit=limit, before=before)
    shown = [alert_row(each) for each in found]
    paged(request, response, shown, limit)
    return shown


@door.get("/sinks", response_model=SinksShown)
@needs("operator")
def list_sinks(call: Here) -> dict[str, Any]:
    """List the sinks, whether each can be sent to, and where alerts go; no secret is in it."""
    return sinks_whole(_alerts(call).sinks())


@door.get("/silences/preview", response_model=SilencePreview)
@needs("actions")
def preview_silence(call: Here, source: Pattern = "", category: Pattern = "") -> dict[str, Any]:
    """Return which alerts a silence would cover now; nothing is silenced."""
    return preview_row(_alerts(call).would_silence(source=source, category=category))


@door.get("/silences", response_model=list[SilenceShown])
@needs("actions")
def list_silences(call: Here) -> list[dict[str, Any]]:
    """List the silences that hold."""
    return [silence_row(each) for each in _alerts(call).silences()]


@door.post("/silences", status_code=201, responses=problems(413, 415), response_model=SilenceShown)
@needs("operator")
def silence(call: Here, response: Response, body: NewSilence) -> dict[str, Any]:
    """Tell nobody of some alerts for a time; what outlasts it is told then."""
    made = _alerts(call).silence(
        call.actor, reason=body.reason, for_ms=body.seconds * 1000, source=body.source, category=body.category
    )
    call.wrote()
    response.headers["Location"] = "/ops/alerts/silences"
    return silence_row(made)


@door.delete("/silences/{silence_id}", responses=problems(404), response_model=SilenceShown)
@needs("operator")
def unsilence(call: Here, silence_id: str) -> dict[str, Any]:
    """End a silence."""
    ended = _alerts(call).unsilence(call.actor, silence_id)
    call.wrote()
    return silence_row(ended)


@door.post("/replay", responses=problems(404, 413, 415), response_model=ReplayShown)
@needs("operator")
def replay(call: Here, body: NewReplay) -> dict[str, Any]:
    """Make what waits for its next attempt due at once."""
    many = _alerts(call).replay(call.actor, alert_id=body.alert_id, sink=body.sink, delivered=body.delivered)
    call.wrote()
    return {"id": body.alert_id or "alerts", "sink": body.sink or None, "status": "due", "deliveries": many}


@door.post("/sinks/{sink_id}/test", responses=problems(404, 502), response_model=SinkTestedShown)
@needs("admin")
def test_sink(call: Here, sink_id: str) -> dict[str, Any]:
    """Send a sink a message that says that it is a test."""
    outcome = _alerts(call).test(call.actor, sink_id)
    call.wrote()
    return {"id": sink_id, "status": "delivered", "http_status": outcome.http_status}


@door.get("/{alert_id}", responses=problems(404), response_model=AlertInFull)
@needs("actions")
def get_alert(call: Here, alert_id: str) -> dict[str, Any]:
    """Return an alert, and what became of each message."""
    return alert_whole(_alerts(call).show(alert_id))


@door.post("/{alert_id}/ack", responses=problems(404, 409, 413, 415), response_model=AlertShown)
@needs("operator")
def ack(call: Here, alert_id: str, body: NewNote) -> dict[str, Any]:
    """Say that you look after it: it is not told of again as long as it stays as it is."""
    alert = _alerts(call).ack(call.actor, alert_id, note=body.note)
    call.wrote()
    return alert_row(alert)


@door.post("/{alert_id}/resolve", responses=problems(404, 409, 413, 415), response_model=AlertShown)
@needs("operator")
def resolve(call: Here, alert_id: str, body: NewNote) -> dict[str, Any]:
    """Say that it is over; the sinks that were told of it are told so."""
    alert = _alerts(call).resolve(call.actor, alert_id, reason=body.note)
    call.wrote()
    return alert_row(alert)
