"""The HTTP doors of alerts: `/ops/alerts`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Protocol

from fastapi import Query, Request, Response
from pydantic import Field

from interlock.alerts.service import Alerts
from interlock.alerts.shown import alert_row, alert_whole, silence_row
from interlock.doors.api import ApiCall, Before, Body, Door, Here, Limit, Shown, house, needs, paged, problems

door = Door("/ops/alerts", "alerts")

State = Annotated[
    Literal["standing", "open", "acknowledged", "resolved", "all"], Query(description="`standing`: not resolved.")
]


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


@door.post("/replay", responses=problems(404, 413, 415))
@needs("operator")
def replay(call: Here, body: NewReplay) -> dict[str, Any]:
    """Make what waits for its next attempt due at once."""
    many = _alerts(call).replay(call.actor, alert_id=body.alert_id, sink=body.sink, delivered=body.delivered)
    call.wrote()
    return {"id": body.alert_id or "alerts", "sink": body.sink or None, "status": "due", "deliveries": many}


@door.post("/sinks/{sink_id}/test", responses=problems(404, 500))
@needs("admin")
def test_sink(call: Here, sink_id: str) -> dict[str, Any]:
    """Send a sink a message that says that it is a test."""
    outcome = _alerts(call).test(call.actor, sink_id)
    call.wrote()
    return {"id": sink_id, "status": "delivered", "http_status": outcome.http_status}


@door.get("/{alert_id}", responses=problems(404))
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
