"""The sinks: one file each, and one line here. A sink says what it needs to know, and sends one message.

A secret stands in a variable that the configuration names; it reaches the sink when it sends, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping

from interlock.alerts.sinks import apprise, pagerduty, slack, webhook
from interlock.alerts.sinks.posting import Sink

SINKS: dict[str, Sink] = {
    "webhook": webhook.SINK,
    "slack": slack.SINK,
    "pagerduty_events": pagerduty.SINK,
    "apprise": apprise.SINK,
}


def known() -> Mapping[str, Sink]:
    """Return every type of sink by its name."""
    return SINKS
