"""Verbs that look: status, workers, list, show, explain, and the figures for whoever is on call."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from interlock.doors.cli import answer, call, house, note, table
from interlock.kernel.clock import to_text
from interlock.kernel.errors import InterlockError, Invalid
from interlock.queue import kpi as figures
from interlock.queue import markdown, reports, run_log
from interlock.queue.cli.meant import (
    Rooms,
    in_file,
    lines_of,
    looking,
    markdown_path,
    mean_as_scripts,
    only_database,
    shown_item,
    shown_row,
    span_ms,
)
from interlock.queue.exchange import as_row, as_rows
from interlock.queue.markdown import Fields
from interlock.queue.models import PRIORITY_RANK, Filter, ItemStatus, Pause
from interlock.queue.numbers import rate, whole_in
from interlock.queue.words import storable

ItemId = Annotated[str, typer.Argument(metavar="ID")]
OfStatus = Annotated[ItemStatus | None, typer.Option("--status", help="Only items that stand so.")]
OfPriority = Annotated[str | None, typer.Option("--priority", help="Only P0, P1 or P2.")]
OfOwner = Annotated[str | None, typer.Option("--owner", help="Only what this session holds or held.")]
OlderThan = Annotated[
    str | None, typer.Option("--older-than", metavar="SPAN", help="Only what was added before: 2h, 3d.")
]
WithText = Annotated[str | None, typer.Option("--text", help="Only with this in id, task, criteria or notes.")]
_COLUMNS = ("id", "status", "priority", "owner_session", "run_id", "task")
_ALERT, _DRIFT = 20, 10
_HEALTH_ERROR = 30
_ALL = 2**31 - 1


def status() -> None:
    """Count items by status, and show the first that are under way."""
    file = in_file()
    pause: Pause | None = None
    if file is not None:
        counts, active = reports.standing(row.cells for row in file.rows())
    else:
        with looking() as queue:
            counts, pause = queue.counts(), queue.paused()
            active = [as_row(item) for item in queue.list(Filter(status=ItemStatus.IN_PROGRESS), limit=5)]
    shown = {"id": "queue", "status": "ok", **counts, "paused": _shown_pause(pause), "top_in_progress": active[:5]}
    answer(shown, reports.status_lines(counts, active))
    if pause is not None and not call().as_json:
        until = "until somebody resumes it" if pause.until_ms is None else f"until {to_text(pause.until_ms)}"
        note(f"paused by {pause.paused_by} {until}: {pause.reason}")


def workers() -> None:
    """Show who works on what."""
    active = _active()
    owners = reports.by_owner(active)
    shown = [{"owner_session": owner, "tasks": len(rows), "ids": [row["id"] for row in rows]} for owner, rows in owners]
    answer({"id": "queue", "status": "ok", "workers": shown}, reports.workers_lines(active))


def _active() -> Sequence[Fields]:
    file = in_file()
    if file is not None:
        return reports.standing(row.cells for row in file.rows())[1]
    with looking() as queue:
        return [as_row(item) for item in queue.list(Filter(status=ItemStatus.IN_PROGRESS), limit=_ALL)]


def list_items(
    status: OfStatus = None,
    priority: OfPriority = None,
    owner: OfOwner = None,
    older_than: OlderThan = None,
    text: WithText = None,
    need: Annotated[str | None, typer.Option(metavar="LABEL", help="Only what needs this.")] = None,
    repository: Annotated[str | None, typer.Option(help="Only of this repository, as it was approved.")] = None,
    agent: Annotated[str | None, typer.Option(help="Only for this agent: command, claude_code.")] = None,
    node: Annotated[str | None, typer.Option(metavar="NODE_ID", help="Only what this node holds now.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
) -> None:
    """List items in the order in which they would be claimed."""
    file = in_file()
    if file is not None:
        if older_than is not None:
            only_database("tell how old a row is")
        if (need, repository, agent, node) != (None,) * 4:
            only_database("say where a row may go")
        which = filtered(0, status, priority, owner, None, text)
        rows = reports.by_priority(row.cells for row in file.rows() if _is_meant(row.cells, which))
        shown, columns = [dict(row) for row in rows[: limit + 1]], tuple(name for name in _COLUMNS if name != "run_id")
    else:
        with looking() as queue:
            which = replace(
                filtered(queue.now(), status, priority, owner, older_than, text),
                **_placed(need=need, repository=repository, agent=agent, node_id=node),
            )
            found = queue.list(which, limit=limit + 1)
        shown, columns = [shown_item(item) for item in found], _COLUMNS
    table(shown[:limit], columns, empty="no such item")
    if len(shown) > limit:
        note(f"there are more; --limit shows more than {limit}")


def _placed(**given: str | None) -> dict[str, str | None]:
    for name, value in given.items():
        if value is not None and (not value or not storable(value)):
            raise Invalid(f"--{name.removesuffix('_id')} is empty or holds a NUL")
    return given


def _is_meant(cells: Fields, which: Filter) -> bool:
    words = (cells[name].lower() for name in ("id", "task", "success_criteria", "notes"))
    return (
        which.status in {None, ItemStatus(cells["status"])}
        and which.priority in {None, cells["priority"]}
        and which.owner in {None, cells["owner_session"]}
        and (which.text is None or any(which.text.lower() in each for each in words))
    )


def filtered(
    now_ms: int,
    status: ItemStatus | None,
    priority: str | None,
    owner: str | None,
    older_than: str | None,
    text: str | None,
) -> Filter:
    """Return the filter that the options of `list` mean."""
    if priority is not None and priority not in PRIORITY_RANK:
        raise Invalid(f"the priority is one of {', '.join(PRIORITY_RANK)}, not {priority[:20]!a}")
    for name, value in (("--owner", owner), ("--text", text)):
        if value is not None and (not value or "\0" in value):
            raise Invalid(f"{name} is empty or holds a NUL")
    return Filter(
        status=status,
        priority=priority,
        owner=owner,
        created_before_ms=None if older_than is None else now_ms - span_ms(older_than, "--older-than"),
        text=text,
    )


def show(item_id: ItemId) -> None:
    """Show an item."""
    file = in_file()
    if file is not None:
        shown = shown_row(file.row(item_id))
    else:
        with looking() as queue:
            shown = shown_item(queue.get(item_id))
    answer(shown, lines_of(shown))


def explain(item_id: ItemId) -> None:
    """Say why an item waits, runs or stands still: the rule, lease, limit or pause that holds it."""
    only_database("explain its rows: a row has no lease, limit or pause")
    with looking() as queue:
        reasons, item = queue.explain(item_id), queue.get(item_id)
    because = [{"code": reason.code, "text": reason.text} for reason in reasons]
    answer(
        {"id": item.id, "status": item.status.value, "because": because},
        [f"{item.id} is {item.status.value}", *(f"- {reason.text} [{reason.code}]" for reason in reasons)],
    )


def consistency_check() -> None:
    """Hold the Markdown queue against the database; exit code 10 where they differ."""
    mean_as_scripts()
    found = _compared()
    answer(
        {
            "id": "queue",
            "status": "ok" if found.ok else "mismatch",
            "total": found.total,
            "missing_in_db": list(found.missing_in_db),
            "missing_in_md": list(found.missing_in_md),
            "mismatches": list(found.mismatches),
        },
        found.lines(),
    )
    if not found.ok:
        raise typer.Exit(_DRIFT)


def _compared() -> reports.Comparison:
    ours = {row.id: row.cells for row in markdown.read(markdown_path()).rows}
    with looking() as queue:
        return reports.compare(ours, {row["id"]: row for row in as_rows(queue)})


def kpi(
    log_path: Annotated[str | None, typer.Option(metavar="PATH", help="The run log.")] = None,
    max_failure_rate: Annotated[str, typer.Option(metavar="RATE")] = "0.2",
    max_latency_p95_ms: Annotated[int, typer.Option(min=0)] = 2000,
    max_stale_in_progress: Annotated[int, typer.Option(min=0)] = 0,
    stale_minutes: Annotated[int, typer.Option(min=0)] = 60,
    fail_on_alert: Annotated[bool, typer.Option("--fail-on-alert", help="Exit with 20 for an alert.")] = False,
) -> None:
    """Show success, latency, retries and stale work; alert above limits."""
    only_database("be judged by figures")
    mean_as_scripts()
    limits = figures.Limits(
        max_failure_rate=rate(max_failure_rate, "--max-failure-rate"),
        max_latency_p95_ms=max_latency_p95_ms,
        max_stale_in_progress=max_stale_in_progress,
    )
    found = _figures(log_path, stale_minutes)
    alerts = found.alerts(limits)
    failures = found.failure_rate
    answer(
        {
            "id": "queue",
            "status": "alert" if alerts else "ok",
            "done": found.done,
            "failed": found.failed,
            "success_rate": None if failures is None else round(float(1 - failures), 4),
            "latency_p95_ms": found.latency_p95_ms,
            "latency_avg_ms": None if found.latency_avg_ms is None else round(float(found.latency_avg_ms), 2),
            "retry_count": found.retry_count,
            "stale_in_progress": found.stale_in_progress,
            "alerts": alerts,
        },
        [found.line(), *alerts],
    )
    if alerts and fail_on_alert:
        raise typer.Exit(_ALERT)


def _figures(log_path: str | None, stale_minutes: int) -> figures.Kpi:
    from pathlib import Path

    named = log_path or os.environ.get("ORCH_LOG_PATH")
    path = Path(named) if named else house(Rooms).places.run_log
    log = figures.RunLog()
    log.add(run_log.read(path))
    if log.malformed:
        note(f"{path}: {log.malformed} lines are no run records and were left out")
    with looking() as queue:
        active = [as_row(item) for item in queue.list(Filter(status=ItemStatus.IN_PROGRESS), limit=_ALL)]
        stale = figures.stale(active, now_ms=queue.now(), minutes=stale_minutes)
        return figures.figures(log, retry_count=queue.store.retries(), stale_in_progress=stale)


def health() -> None:
    """Check consistency, then the figures, for cron: exit code 0 ok, 10 drift, 20 alert, 30 could not be checked.

    Limits come from ORCH_KPI_MAX_FAILURE_RATE, _MAX_LATENCY_P95_MS, _MAX_STALE_IN_PROGRESS and _STALE_MINUTES.
    """
    mean_as_scripts()
    try:
        lines, code, last = _health()
    except InterlockError as error:
        lines, code, last = [], _HEALTH_ERROR, f"HEALTH_ERROR {error.message} [{error.code}]"
    except OSError as error:
        lines, code, last = [], _HEALTH_ERROR, f"HEALTH_ERROR {error}"
    word = last.split(" ", 1)[0]
    answer({"id": "queue", "status": word, "exit_code": code, "lines": [*lines, last]}, [*lines, last])
    raise typer.Exit(code)


def _health() -> tuple[list[str], int, str]:
    limits = figures.Limits(
        max_failure_rate=rate(os.environ.get("ORCH_KPI_MAX_FAILURE_RATE", "0.2"), "ORCH_KPI_MAX_FAILURE_RATE"),
        max_latency_p95_ms=whole_in("ORCH_KPI_MAX_LATENCY_P95_MS", 2000),
        max_stale_in_progress=whole_in("ORCH_KPI_MAX_STALE_IN_PROGRESS", 0),
    )
    minutes = whole_in("ORCH_KPI_STALE_MINUTES", 60)
    compared = _compared()
    if not compared.ok:
        return compared.lines(), _DRIFT, "HEALTH_FAIL consistency_mismatch code=3"
    found = _figures(None, minutes)
    alerts = found.alerts(limits)
    lines = [*compared.lines(), found.line(), *alerts]
    return (lines, _ALERT, "HEALTH_WARN kpi_alert code=2") if alerts else (lines, 0, "HEALTH_OK")


def _shown_pause(pause: Pause | None) -> dict[str, Any] | None:
    if pause is None:
        return None
    return {
        "by": pause.paused_by,
        "reason": pause.reason,
        "since": to_text(pause.since_ms),
        "until": None if pause.until_ms is None else to_text(pause.until_ms),
    }


VERBS: Mapping[str, Callable[..., None]] = {
    "status": status,
    "workers": workers,
    "list": list_items,
    "show": show,
    "explain": explain,
    "consistency-check": consistency_check,
    "kpi": kpi,
    "health": health,
}
