"""Why an item waits, or why it runs: the rule, lease, limit or pause that holds it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from interlock.kernel.clock import to_text
from interlock.queue.models import PRIORITY_RANK, Because, Executor, Item, ItemStatus, Pause, UsedUp

MANY = 1_000
"""So many items before one are not counted further."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known about one item at one instant."""

    item: Item
    now_ms: int
    pause: Pause | None
    before: int
    """Claimable items that go before it, counted up to `MANY`."""
    most: int | None
    """The limit of its concurrency key."""
    holders: Sequence[tuple[str, str]]
    """Who holds items of its concurrency key: item id and owner."""
    nodes: int | None = None
    """How many live nodes have what it needs; None where nobody knows."""
    used_up: Sequence[UsedUp] = ()
    """Limits of its repository and its agent that are used up, and of nodes."""


def because(facts: Facts) -> list[Because]:
    """Return the reasons, the deciding one first."""
    item = facts.item
    match item.status:
        case ItemStatus.PENDING:
            return list(_waits(facts))
        case ItemStatus.IN_PROGRESS:
            return list(_runs(facts))
        case ItemStatus.BLOCKED:
            return [Because(code="blocked", text=_blocked(item))]
        case ItemStatus.FAILED:
            return list(_failed(item))
        case ItemStatus.DONE:
            return [Because(code="done", text=f"completed by {item.owner_session}; only `queue replan` opens it again")]


def _waits(facts: Facts) -> Iterator[Because]:
    item, pause = facts.item, facts.pause
    if item.waits_for == "approval":
        yield Because(
            code="waits_for_approval",
            text="it was replanned: its old run never runs again; a new approved draft makes a new run",
        )
        return
    if item.waits_for == "ci":
        yield Because(
            code="waits_for_ci",
            text="its work is done; it waits for its CI to report on exactly its result (`interlock run ci`)",
        )
        return
    if pause is not None:
        until = "until somebody resumes it" if pause.until_ms is None else f"until {to_text(pause.until_ms)}"
        yield Because(code="queue_paused", text=f"{pause.paused_by} paused the queue {until}: {pause.reason}")
    if item.not_before_ms is not None:
        code, when = "not_before", to_text(item.not_before_ms)
        if item.not_before_ms > facts.now_ms:
            yield Because(code=code, text=f"it was retried or snoozed, and is not to begin before {when}")
        else:
            yield Because(
                code="promotion_due", text=f"its time came at {when}; the next look of a worker lets it begin"
            )
        return
    if item.waits_for == "limit":
        yield Because(code="concurrency_limit", text=_limited(facts))
        return
    yield from _placed(facts)
    yield _in_line(facts)
    if item.aged:
        yield Because(
            code="aged", text=f"it has waited long, and counts as {_counts_as(item)} ({item.priority} was given)"
        )


def _placed(facts: Facts) -> Iterator[Because]:
    """Say what stands against taking it now, though it is its turn: what a node must have, and the limits."""
    item = facts.item
    for limit in facts.used_up:
        kind, _, name = limit.key.partition(":")
        held = ", ".join(f"{each} ({owner})" for each, owner in limit.holders) or "none"
        whose = "of its" if kind != "node" else "on the"
        yield Because(
            code=f"limit_{kind}",
            text=f"{whose} {kind} {name!r} {limit.most} may be under way at the same time; there are: {held}",
        )
    if item.needs:
        needs = ", ".join(item.needs)
        match facts.nodes:
            case None:
                yield Because(code="needs", text=f"only who has {needs} takes it; which nodes there are is not known")
            case 0:
                yield Because(code="needs_unmet", text=f"it needs {needs}, and no live node has that")
            case nodes:
                yield Because(code="needs", text=f"only who has {needs} takes it; live nodes that do: {nodes}")


def _counts_as(item: Item) -> str:
    given = PRIORITY_RANK.get(item.priority, len(PRIORITY_RANK))
    return f"P{max(1, given - item.aged)}"


def _limited(facts: Facts) -> str:
    held = ", ".join(f"{each} ({owner})" for each, owner in facts.holders)
    others = "" if facts.most == 0 else "; others of them go first"
    return (
        f"of the items with the key {facts.item.concurrency_key!r}, {facts.most} may be under way at the same time;"
        f" there {f'are: {held}' if held else f'is none{others}'}"
    )


def _in_line(facts: Facts) -> Because:
    item = facts.item
    who = "an Interlock worker" if item.executor is Executor.INTERLOCK else "a session's `queue claim`"
    if facts.before == 0:
        return Because(code="next", text=f"it is the next; it waits for {who}")
    many = "at least " if facts.before >= MANY else ""
    return Because(
        code="behind_others",
        text=f"{many}{facts.before} items go first (P0 before P1 before P2, then the older); it waits for {who}",
    )


def _runs(facts: Facts) -> Iterator[Because]:
    item = facts.item
    began = "" if item.started_ms is None else f" at {to_text(item.started_ms)}"
    yield Because(
        code="claimed",
        text=f"{item.owner_session} claimed it{began} as the first that was claimable (fence {item.fence})",
    )
    if item.lease_until_ms is None:
        yield Because(code="no_lease", text="its owner took no lease; it is given up when it is stale")
    elif item.lease_until_ms > facts.now_ms:
        yield Because(
            code="lease_live",
            text=f"the lease lasts until {to_text(item.lease_until_ms)}; {item.beat} heartbeats so far",
        )
    else:
        yield Because(
            code="lease_expired",
            text=f"the lease ended at {to_text(item.lease_until_ms)}; the rescuer, or `queue retry`, makes it PENDING",
        )


def _blocked(item: Item) -> str:
    last = item.notes.rsplit(" | ", 1)[-1]
    hint = "its run is cancelled: make a new run" if item.run_id else "`queue replan` makes it PENDING"
    return f"{last or 'somebody blocked it'}; {hint}"


def _failed(item: Item) -> Iterator[Because]:
    if item.attempt_count >= item.max_attempts:
        yield Because(
            code="attempts_exhausted",
            text=f"{item.attempt_count} of {item.max_attempts} retries are used up; `queue replan` opens it again",
        )
    yield Because(code="failed", text=item.last_error or "it failed, and no reason was given")
