"""Verbs of operators: cancel, replan, retry, reprioritise, one item or many; snooze, pause, resume, limit, rescue."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Annotated, Any, TypeGuard

import typer

from interlock.doors.cli import answer, call, note, table
from interlock.kernel.clock import to_text
from interlock.kernel.errors import Invalid, Unreachable
from interlock.queue.bulk import Chosen, Progress, choose, move
from interlock.queue.cli.looking import OfOwner, OfPriority, OfStatus, OlderThan, WithText, filtered
from interlock.queue.cli.meant import (
    in_file,
    instant_ms,
    looking,
    moved,
    only_database,
    shown_item,
    span_ms,
    writing,
    wrote,
)
from interlock.queue.markdown import Row
from interlock.queue.markdown_service import MarkdownQueue
from interlock.queue.models import Filter, Item, ItemStatus
from interlock.queue.service import Queue
from interlock.queue.words import checked_line, checked_priority

OneOrMany = Annotated[str | None, typer.Argument(metavar="[ID]", help="One item; else a filter says which.")]
Reason = Annotated[str, typer.Option(help="Why; kept with each item.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it; without this, many items are only shown.")]
_TOLD_EVERY_SECONDS = 1.0
_RESCUE_EVERY_SECONDS = 30.0
_INTERRUPTED = 130
_REFUSED = 4


def cancel(
    item_id: OneOrMany = None,
    reason: Reason = "",
    status: OfStatus = None,
    priority: OfPriority = None,
    owner: OfOwner = None,
    older_than: OlderThan = None,
    text: WithText = None,
    yes: Yes = False,
) -> None:
    """Stop an item: it becomes BLOCKED, and its run is cancelled. Without an ID, all that the filter names."""
    which = (status, priority, owner, older_than, text)
    if _is_one(item_id, which):
        _one(lambda file: file.cancel(item_id, reason=reason), lambda q: q.cancel(item_id, reason=reason))
        return
    checked_line(reason, "reason")
    _many(
        which,
        "become BLOCKED",
        lambda queue, seen: queue.cancel(seen.id, reason=reason, seen=seen),
        yes=yes,
    )


def replan(
    notes: Annotated[str, typer.Option(help="What has to be planned anew; kept with each item.")],
    item_id: OneOrMany = None,
    status: OfStatus = None,
    priority: OfPriority = None,
    owner: OfOwner = None,
    older_than: OlderThan = None,
    text: WithText = None,
    yes: Yes = False,
) -> None:
    """Send an item back to planning. Without an ID, all that the filter names."""
    if not checked_line(notes, "notes"):
        raise Invalid("--notes is blank; say what has to be planned anew")
    which = (status, priority, owner, older_than, text)
    if _is_one(item_id, which):
        _one(lambda file: file.replan(item_id, notes), lambda queue: queue.replan(item_id, notes))
        return
    _many(
        which,
        "become PENDING, what is IN_PROGRESS becomes BLOCKED",
        lambda queue, seen: queue.replan(seen.id, notes, seen=seen),
        yes=yes,
    )


def retry(
    item_id: OneOrMany = None,
    reason: Reason = "",
    status: OfStatus = None,
    priority: OfPriority = None,
    owner: OfOwner = None,
    older_than: OlderThan = None,
    text: WithText = None,
    yes: Yes = False,
) -> None:
    """Give an item that FAILED another attempt, after its back-off. Without an ID, all that the filter names."""
    which = (status, priority, owner, older_than, text)
    if _is_one(item_id, which):
        _one(lambda file: file.retry(item_id, reason=reason), lambda q: q.retry(item_id, reason=reason))
        return
    checked_line(reason, "reason")
    _many(
        which,
        "become PENDING after their back-off, with one attempt more",
        lambda queue, seen: queue.retry(seen.id, reason=reason, seen=seen),
        yes=yes,
    )


def reprioritise(
    to: Annotated[str, typer.Option("--to", help="P0, P1 or P2.")],
    item_id: OneOrMany = None,
    reason: Reason = "",
    status: OfStatus = None,
    priority: OfPriority = None,
    owner: OfOwner = None,
    older_than: OlderThan = None,
    text: WithText = None,
    yes: Yes = False,
) -> None:
    """Give an item another priority. Without an ID, all that the filter names."""
    checked_priority(to)
    which = (status, priority, owner, older_than, text)
    if _is_one(item_id, which):
        _one(
            lambda file: file.reprioritise(item_id, to, reason=reason),
            lambda queue: queue.reprioritise(item_id, to, reason=reason),
        )
        return
    checked_line(reason, "reason")
    _many(
        which,
        f"get the priority {to}",
        lambda queue, seen: queue.reprioritise(seen.id, to, reason=reason, seen=seen),
        yes=yes,
    )


def snooze(
    item_id: Annotated[str, typer.Argument(metavar="ID")],
    span: Annotated[str, typer.Option("--for", metavar="SPAN", help="90s, 15m, 2h, 3d; 0 lets it go on.")] = "",
    until: Annotated[str, typer.Option("--until", metavar="INSTANT", help="2026-11-21T08:00:00Z")] = "",
    reason: Reason = "",
) -> None:
    """Let a PENDING item wait."""
    only_database("let a row wait")
    if bool(span) == bool(until):
        raise Invalid("say how long: --for SPAN or --until INSTANT")
    with writing() as queue:
        instant = instant_ms(until, "--until") if until else queue.now() + span_ms(span, "--for")
        item = queue.snooze(item_id, instant, reason=reason)
    wrote()
    answer(
        shown_item(item),
        [f"{item.id} -> {item.status.value} not_before={to_text(item.not_before_ms) if item.not_before_ms else '-'}"],
    )


def pause(
    reason: Annotated[str, typer.Option(help="Why nothing may start.")],
    span: Annotated[str, typer.Option("--for", metavar="SPAN", help="Ends by itself: 90s, 15m, 2h, 3d.")] = "",
    until: Annotated[str, typer.Option("--until", metavar="INSTANT", help="2026-11-21T08:00:00Z")] = "",
) -> None:
    """Let nothing be claimed; what is under way goes on."""
    only_database("be paused")
    if span and until:
        raise Invalid("--for and --until say the same; give one")
    with writing() as queue:
        end = instant_ms(until, "--until") if until else queue.now() + span_ms(span, "--for") if span else None
        made = queue.pause(str(call().actor().principal), reason=reason, until_ms=end)
    wrote()
    shown_end = None if made.until_ms is None else to_text(made.until_ms)
    answer(
        {"id": "queue", "status": "paused", "by": made.paused_by, "reason": made.reason, "until": shown_end},
        [f"queue -> paused until {shown_end or 'somebody resumes it'}"],
    )


def resume() -> None:
    """Let items be claimed again."""
    only_database("be paused")
    with writing() as queue:
        was_paused = queue.resume()
    wrote()
    answer({"id": "queue", "status": "running", "was_paused": was_paused}, ["queue -> running"])


def limit(
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="[KEY]", help="A concurrency key, repository:ADDRESS, agent:NAME or node:ID; without one, all."
        ),
    ] = None,
    most: Annotated[int | None, typer.Option(min=0, help="So many of its items may be under way.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="It has no limit any more.")] = False,
) -> None:
    """Show the limits, or set how many items of a key, repository, agent or node may be under way at the same time."""
    only_database("hold limits")
    if most is not None and remove:
        raise Invalid("--most and --remove contradict each other")
    if key is not None and (most is not None or remove):
        with writing() as queue:
            queue.limit(key, most)
        wrote()
        told = f"{key} -> no limit" if most is None else f"{key} -> at most {most}"
        answer({"id": key, "status": "ok", "most": most}, [told])
        return
    if most is not None or remove:
        raise Invalid("say which key: `interlock queue limit KEY --most N`")
    with looking() as queue:
        found = [each for each in queue.store.concurrencies() if key in {None, each.key}]
    rows = [{"key": each.key, "most": each.most, "held": each.held, "pending": each.pending} for each in found]
    table(rows, ("key", "most", "held", "pending"), empty="there is no limit")


def rescue(
    once: Annotated[bool, typer.Option("--once", help="Look once, for cron; else every 30 s until Ctrl-C.")] = False,
    stale_minutes: Annotated[int | None, typer.Option(min=0, help="Give up what has no lease and is so old.")] = None,
) -> None:
    """Take items back from whoever is gone: to PENDING after a back-off, to FAILED at the attempt limit."""
    file = in_file()
    with _stopped_politely() as stopping:
        while True:
            try:
                taken = _rescue(stale_minutes) if file is None else file.rescue(_minutes(stale_minutes))
            except Unreachable as error:
                if once:
                    raise
                note(f"warning: {error.message}; it is tried again")
            else:
                _rescued(taken, file, is_silent=not (taken or once))
            if once or stopping.wait(_RESCUE_EVERY_SECONDS):
                return


def _minutes(stale_minutes: int | None) -> int:
    return 60 if stale_minutes is None else stale_minutes


def _rescue(stale_minutes: int | None) -> list[str]:
    with looking() as queue:
        lost = queue.lost(stale_minutes=stale_minutes)
        due = queue.due()
    taken: list[str] = []
    for item, reason in lost:
        with writing() as queue:
            if queue.rescue(item, reason=reason) is not None:
                taken.append(item.id)
    if due:
        with writing() as queue:
            queue.promote()
    return taken


def _rescued(ids: list[str], file: MarkdownQueue | None, *, is_silent: bool) -> None:
    if ids:
        wrote(file)
    if not is_silent:
        answer(
            {"id": "queue", "status": "RESET" if ids else "NOOP", "reset": ids},
            [f"RESET {','.join(ids)}" if ids else "NOOP"],
        )
        sys.stdout.flush()  # the next answer may be days away


# --- one, and many ----------------------------------------------------------------------------------------------------


def _one(in_markdown: Callable[[MarkdownQueue], Row], in_database: Callable[[Queue], Item]) -> None:
    file = in_file()
    if file is not None:
        row = in_markdown(file)
        wrote(file)
        moved(row)
        return
    with writing() as queue:
        item = in_database(queue)
    wrote()
    moved(item)


_Options = tuple[ItemStatus | None, str | None, str | None, str | None, str | None]


def _is_one(item_id: str | None, which: _Options) -> TypeGuard[str]:
    """Say whether one item is named; a filter beside it would be passed over in silence."""
    if item_id is not None and which != (None,) * 5:
        raise Invalid("an ID and a filter exclude each other")
    return item_id is not None


def _many(options: _Options, outcome: str, verb: Callable[[Queue, Item], Item], *, yes: bool) -> None:
    only_database("be changed by a filter")
    with looking() as queue:
        which = filtered(queue.now(), *options)
        if which == Filter():
            raise Invalid(
                "name an ID, or a filter such as --status FAILED", hint="`interlock queue list` takes the same"
            )
        chosen = choose(queue, which)
    if not yes:
        _preview(chosen, outcome)
        return
    with _stopped_politely() as stopping:
        progress = _carried_out(chosen, verb, stopping)
    wrote()
    _told(progress, stopped=progress.done < progress.of)


def _preview(chosen: Chosen, outcome: str) -> None:
    seen = chosen.preview()
    counted = " ".join(f"{name}={count}" for name, count in seen.by_status.items())
    lines = [
        f"{seen.count} items {counted}".rstrip(),
        *(
            f"- {item.id} ({item.priority}) {item.status.value} owner={item.owner_session} {item.task[:60]}"
            for item in seen.sample
        ),
        *(["- …"] if seen.count > len(seen.sample) else []),
        f"they would {outcome}, where their state allows it; nothing was changed, --yes does it",
    ]
    shown: dict[str, Any] = {
        "id": "queue",
        "status": "preview",
        "matched": seen.count,
        "by_status": seen.by_status,
        "sample": [item.id for item in seen.sample],
        "outcome": outcome,
    }
    answer(shown, lines)


def _carried_out(chosen: Chosen, verb: Callable[[Queue, Item], Item], stopping: threading.Event) -> Progress:
    last, told_at = Progress(of=len(chosen.items)), time.monotonic()
    for last in move(chosen, verb, writing):
        if stopping.is_set():
            break
        if time.monotonic() - told_at >= _TOLD_EVERY_SECONDS:
            note(f"{last.done} of {last.of}")
            told_at = time.monotonic()
    return last


def _told(progress: Progress, *, stopped: bool) -> None:
    status = "stopped" if stopped else "done"
    refused = sum(progress.refused.values())
    lines = [f"{status}: matched={progress.of} changed={progress.changed} refused={refused}"]
    if stopped:
        lines.append(f"stopped before {progress.of - progress.done} items, which are as they were")
    lines += [f"- {example}" for example in progress.examples]
    shown: dict[str, Any] = {
        "id": "queue",
        "status": status,
        "matched": progress.of,
        "changed": progress.changed,
        "refused": dict(progress.refused),
        "examples": progress.examples,
    }
    answer(shown, lines)
    if stopped:
        raise typer.Exit(_INTERRUPTED)
    if refused and not progress.changed:
        raise typer.Exit(_REFUSED)


@contextmanager
def _stopped_politely() -> Generator[threading.Event]:
    """Turn Ctrl-C and SIGTERM into a wish: what is under way is finished first."""
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


VERBS: Mapping[str, Callable[..., None]] = {
    "cancel": cancel,
    "replan": replan,
    "retry": retry,
    "reprioritise": reprioritise,
    "snooze": snooze,
    "pause": pause,
    "resume": resume,
    "limit": limit,
    "rescue": rescue,
}
