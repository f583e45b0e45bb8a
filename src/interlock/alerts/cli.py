"""The command-line door of alerts: `interlock alert`."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Protocol

import typer

from interlock.alerts.service import Alerts
from interlock.alerts.shown import alert_row, alert_whole, silence_row
from interlock.doors.cli import answer, call, house, table
from interlock.kernel.errors import Invalid

door = typer.Typer(
    help="Alerts: what people should hear of, and whether they have.", no_args_is_help=True, add_completion=False
)

_SPAN = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_COLUMNS = ("id", "status", "severity", "category", "source", "count", "opened_at", "last_at")

AlertId = Annotated[str, typer.Argument(metavar="ID")]
State = Literal["standing", "open", "acknowledged", "silenced", "resolved", "all"]


class SpanInvalid(Invalid):
    """A span of time is a number and s, m, h or d: 90m, 12h, 3d."""

    code = "span_invalid"


class _House(Protocol):
    @property
    def alerts(self) -> Alerts: ...


def _alerts() -> Alerts:
    return house(_House).alerts


@door.command("list")
def list_alerts(
    state: Annotated[State, typer.Option("--state", help="Which; default: all that are not resolved.")] = "standing",
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")] = 100,
    silences: Annotated[bool, typer.Option("--silences", help="List the silences that hold instead.")] = False,
) -> None:
    """List alerts, the newest first."""
    if silences:
        rows = [silence_row(each) for each in _alerts().silences()]
        table(rows, ("id", "source", "category", "until_at", "reason", "by"), empty="no silence")
        return
    found = _alerts().list(state="" if state == "all" else state, limit=limit)
    table([alert_row(each) for each in found], _COLUMNS, empty="no alert")


@door.command("show")
def show(alert_id: AlertId) -> None:
    """Show an alert, and what became of each message."""
    data = alert_whole(_alerts().show(alert_id))
    lines = [f"{data['id']}: {data['status']}, {data['severity']}: {data['summary']}"]
    lines += [
        f"  {name}: {data[name]}" for name in ("source", "category", "count", "opened_at", "last_at", "dedup_key")
    ]
    for each in data["deliveries"]:
        why = f" ({each['reason']}: {each['message']})" if each["reason"] else ""
        lines.append(f"  {each['action']} → {each['sink']}: {each['status']}, {each['attempts']} attempts{why}")
    answer(data, lines)


@door.command("ack")
def ack(alert_id: AlertId, note: Annotated[str, typer.Option("--note", help="For the others.")] = "") -> None:
    """Say that you look after it: it is not told of again as long as it stays as it is."""
    alert = _alerts().ack(call().actor(), alert_id, note=note)
    call().wrote()
    answer(alert_row(alert), [f"{alert.id} acknowledged"])


@door.command("resolve")
def resolve(alert_id: AlertId, reason: Annotated[str, typer.Option("--reason", help="Why it is over.")] = "") -> None:
    """Say that it is over; the sinks that were told of it are told so."""
    alert = _alerts().resolve(call().actor(), alert_id, reason=reason)
    call().wrote()
    answer(alert_row(alert), [f"{alert.id} resolved"])


@door.command("silence")
def silence(
    reason: Annotated[str, typer.Option("--reason", help="Why; whoever wonders reads it.")],
    span: Annotated[str, typer.Option("--for", metavar="SPAN", help="For how long: 90m, 12h, 3d.")],
    source: Annotated[str, typer.Option("--source", help="Of which source; `…*` for all that begin so.")] = "",
    category: Annotated[str, typer.Option("--category", help="Of which category; `…*` for all that begin so.")] = "",
) -> None:
    """Tell nobody of some alerts for a time. What outlasts it is told then."""
    match = _SPAN.fullmatch(span)
    if match is None:
        raise SpanInvalid
    made = _alerts().silence(
        call().actor(), reason=reason, for_ms=int(match[1]) * _MS[match[2]], source=source, category=category
    )
    call().wrote()
    data = silence_row(made)
    answer({**data, "status": "silenced"}, [f"{made.id}: silent until {data['until_at']}"])


@door.command("unsilence")
def unsilence(silence_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """End a silence."""
    ended = _alerts().unsilence(call().actor(), silence_id)
    call().wrote()
    answer({**silence_row(ended), "status": "ended"}, [f"{ended.id} ended"])


@door.command("test")
def test(sink: Annotated[str, typer.Argument(metavar="SINK")]) -> None:
    """Send a sink a message that says that it is a test."""
    outcome = _alerts().test(call().actor(), sink)
    call().wrote()
    shown = {"id": sink, "status": "delivered", "http_status": outcome.http_status}
    answer(shown, [f"{sink} took it"])


@door.command("replay")
def replay(
    alert_id: Annotated[str | None, typer.Argument(metavar="ID", show_default=False)] = None,
    sink: Annotated[str, typer.Option("--sink", help="Only what is for this sink.")] = "",
    delivered: Annotated[bool, typer.Option("--delivered", help="Also what was taken: send it again.")] = False,
) -> None:
    """Make what waits for its next attempt due at once; the next dispatch, or the server, sends it."""
    many = _alerts().replay(call().actor(), alert_id=alert_id, sink=sink, delivered=delivered)
    call().wrote()
    answer({"id": alert_id or "alerts", "sink": sink or None, "status": "due", "deliveries": many}, [f"{many} due now"])
