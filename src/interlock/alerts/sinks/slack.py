"""A channel of Slack, through an incoming webhook; its address is the secret."""

from __future__ import annotations

from collections.abc import Mapping

from interlock.alerts.models import Document, Message, Outcome, text_at, texts
from interlock.alerts.sinks.posting import Sink, post

_MOST = 2900
"""Slack refuses a section's text of more than 3,000 characters."""


def body(message: Message, config: Document) -> Document:
    """Return what is posted."""
    over = "Resolved: " if message.action == "resolve" else ""
    codes = texts(message.escalation, "reasonCodes")
    reasons = f"\nreasons: {_plain(', '.join(codes))}" if codes else ""
    where = f"loop `{_plain(message.loop)}`" if message.loop else "the workspace"
    section = f"*{over}{_plain(message.category)}* ({message.severity})\n{where}{reasons}"
    at = text_at(message.escalation, "timestamp") or message.emitted_at
    shown: Document = {
        "text": _plain(message.title)[:_MOST],
        "channel": config.get("channel"),
        "username": config.get("username"),
        "icon_emoji": config.get("iconEmoji"),
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": section[:_MOST]}},
            {
                "type": "context",
                "elements": [
                    {"type": "mrkdwn", "text": f"{_plain(at)[:200]} · trace {_plain(message.trace_id)[:200]}"}
                ],
            },
        ],
    }
    return {name: value for name, value in shown.items() if value is not None}


def _plain(text: str) -> str:
    """Spell out what Slack takes for its own marks, so that a loop's name calls nobody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _send(message: Message, config: Document, secrets: Mapping[str, str], timeout: float) -> Outcome:
    return post(secrets["webhookUrlEnv"], body(message, config), {}, timeout, secrets=secrets)


SINK = Sink(
    send=_send,
    secrets={"webhookUrlEnv": True},
    config={"channel": None, "username": None, "iconEmoji": None},
)
