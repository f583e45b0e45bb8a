"""Whatever Apprise knows (mail, ntfy, Teams, Discord, …) as one sink: its URL stands in a variable."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from interlock.alerts.models import Delivered, Document, Message, Outcome, Refused
from interlock.alerts.sinks.posting import INVALID_RESULT, REQUEST_FAILED, UNSUPPORTED, Sink

_MOST_BODY = 16 * 1024


def text_of(message: Message) -> str:
    """Return what stands below the title."""
    row = json.dumps(message.escalation, indent=2, ensure_ascii=False)
    return f"{message.title}\n\nkey: {message.dedup_key}\nat: {message.emitted_at}\n\n{row}"[:_MOST_BODY]


def _send(message: Message, config: Document, secrets: Mapping[str, str], timeout: float) -> Outcome:
    del config
    try:
        import apprise  # an extra, and slow to load
    except ImportError:
        return Refused(UNSUPPORTED, "Apprise is not installed here: pip install 'interlock[sinks]'")
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # it would write addresses into other people's logs
    told: Any = apprise.Apprise(asset=apprise.AppriseAsset(async_mode=False, http_redirects=False))
    if not told.add(secrets["urlEnv"]):
        return Refused(REQUEST_FAILED, "the address in the variable is none that Apprise knows")
    kinds = {"info": apprise.NotifyType.INFO, "critical": apprise.NotifyType.FAILURE}
    kind = kinds.get(message.severity, apprise.NotifyType.WARNING)
    if message.action == "resolve":
        kind = apprise.NotifyType.SUCCESS
    result = told.notify(
        body=text_of(message),
        title=message.title[:200],
        notify_type=kind,
        body_format=apprise.NotifyFormat.TEXT,
        timeout=timeout,
    )
    if result:
        return Delivered(None)
    if not result.results:
        return Refused(INVALID_RESULT, f"Apprise says {result.status.name.lower()} and of no service how it went")
    return Refused(REQUEST_FAILED, f"Apprise says {result.status.name.lower()}")


SINK = Sink(send=_send, secrets={"urlEnv": True})
