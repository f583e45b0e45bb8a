"""The list as the doors show it, to somebody."""

from __future__ import annotations

from typing import Any

from interlock.inbox.models import ABOUT, Entry, Looker, Next, Ranked
from interlock.kernel.clock import to_text


def show_inbox(found: Ranked, looker: Looker) -> dict[str, Any]:
    """Show the list to somebody: the verb of an entry only where it is theirs."""
    return {
        "id": "inbox",
        "status": "waiting" if found.entries else "empty",
        "now": to_text(found.now_ms),
        "items": [show_entry(entry, looker) for entry in found.entries],
        "kinds": [
            {
                "kind": each.about.kind.value,
                "title": each.about.title,
                "why": each.about.why,
                "cost": each.about.cost,
                "listed": each.listed,
                "more": each.more,
            }
            for each in found.kinds
        ],
        "more": any(each.more for each in found.kinds),
    }


def show_entry(entry: Entry, looker: Looker) -> dict[str, Any]:
    """Show an entry to somebody."""
    verb = entry.next
    return {
        "kind": entry.kind.value,
        "id": entry.id,
        "title": ABOUT[entry.kind].title,
        "sentence": entry.sentence,
        "cost": ABOUT[entry.kind].cost,
        "since": to_text(entry.since_ms),
        "deadline": None if entry.deadline_ms is None else to_text(entry.deadline_ms),
        "href": entry.href,
        "next": _next(verb) if looker.may(verb) else None,
        "who_can": verb.who,
        "ids": dict(entry.ids),
        "alerts": list(entry.alerts),
    }


def _next(verb: Next) -> dict[str, Any]:
    return {"verb": verb.verb, "command": verb.command, "console": verb.console}
