"""What each sink sends, held against what its receiver publishes; and Apprise, through a real mail server."""

from __future__ import annotations

import builtins
import email
import socket
import time as clock
from collections.abc import Iterator
from email.policy import default
from typing import Any, cast

import jsonschema_rs
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from interlock.alerts.models import Delivered, Message, Refused
from interlock.alerts.sinks import pagerduty, slack, webhook
from interlock.alerts.sinks.posting import cleaned, post, seconds_to_wait
from tests.alerts.conftest import Town
from tests.alerts.receiver import Receiver, Say
from tests.ports import free_port

SLACK: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["text"],
    "properties": {
        "text": {"type": "string", "maxLength": 40_000},
        "channel": {"type": "string"},
        "username": {"type": "string"},
        "icon_emoji": {"type": "string", "pattern": "^:.*:$"},
        "blocks": {
            "type": "array",
            "maxItems": 50,
            "items": {
                "oneOf": [
                    {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["type", "text"],
                        "properties": {"type": {"const": "section"}, "text": {"$ref": "#/$defs/text"}},
                    },
                    {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["type", "elements"],
                        "properties": {
                            "type": {"const": "context"},
                            "elements": {"type": "array", "maxItems": 10, "items": {"$ref": "#/$defs/text"}},
                        },
                    },
                ]
            },
        },
    },
    "$defs": {
        "text": {
            "type": "object",
            "additionalProperties": False,
            "required": ["type", "text"],
            "properties": {"type": {"const": "mrkdwn"}, "text": {"type": "string", "minLength": 1, "maxLength": 3000}},
        }
    },
}
"""What Slack's reference says of an incoming webhook's message, of sections and contexts."""
PAGERDUTY: dict[str, Any] = {
    "type": "object",
    "required": ["routing_key", "event_action"],
    "properties": {
        "routing_key": {"type": "string"},
        "event_action": {"enum": ["trigger", "acknowledge", "resolve"]},
        "dedup_key": {"type": "string", "maxLength": 255},
        "payload": {
            "type": "object",
            "required": ["summary", "source", "severity"],
            "properties": {
                "summary": {"type": "string", "maxLength": 1024},
                "source": {"type": "string", "minLength": 1},
                "severity": {"enum": ["critical", "error", "warning", "info"]},
                "component": {"type": "string"},
                "group": {"type": "string"},
                "class": {"type": "string"},
                "custom_details": {"type": "object"},
            },
        },
    },
    "if": {"properties": {"event_action": {"const": "trigger"}}},
    "then": {"required": ["payload"]},
    "else": {"required": ["dedup_key"]},
}
"""What PagerDuty's reference says of an event of the Events API v2."""


def message(**more: object) -> Message:
    given: dict[str, Any] = {
        "action": "trigger",
        "category": "health_critical",
        "severity": "critical",
        "dedup_key": "loop:abc:docs:health_critical",
        "repo": "/repo",
        "loop": "docs",
        "emitted_at": "2026-11-21T08:00:00.000Z",
        "trace_id": "t-1",
        "delivery_key": "al_1:1:x",
        "escalation": {
            "timestamp": "2026-11-21T07:59:58Z",
            "category": "health_critical",
            "reasonCodes": ["ingest_stale"],
        },
    }
    return Message(**(given | cast("dict[str, Any]", more)))


def test_a_webhook_gets_the_whole_escalation() -> None:
    assert webhook.body(message(), "hook") == {
        "schemaVersion": "v1",
        "emittedAt": "2026-11-21T08:00:00.000Z",
        "source": {
            "repoPath": "/repo",
            "loopId": "docs",
            "channel": "ops_manager_alert_dispatch",
            "traceId": "t-1",
        },
        "event": {
            "category": "health_critical",
            "severity": "critical",
            "action": "trigger",
            "dedupKey": "loop:abc:docs:health_critical",
        },
        "sink": {"id": "hook", "type": "webhook"},
        "escalation": message().escalation,
    }


def test_a_webhook_s_headers_and_token_are_sent(town: Town, hook: Receiver) -> None:
    town.sink("hook", "webhook", hook, authTokenEnv="TOKEN_OF", headers={"X-Team": "ops"})
    town.environment["TOKEN_OF"] = "t0ken"  # noqa: S105 - a test's
    town.escalates("a").dispatch()
    headers = hook.got[0].headers
    assert (headers["Authorization"], headers["X-Team"]) == ("Bearer t0ken", "ops")
    assert headers["Content-Type"] == "application/json"
    assert hook.got[0].path == "/hook/s3cr3t-path"


@pytest.mark.parametrize("action", ["trigger", "resolve"])
@pytest.mark.parametrize("loop", ["docs", "", "<!channel> & <@U1>", "x" * 9000])
def test_what_slack_gets_is_as_slack_wants_it_and_calls_nobody(action: str, loop: str) -> None:
    config = {"channel": "#ops-alerts", "username": "ops-manager", "iconEmoji": ":rotating_light:"}
    body = slack.body(message(action=action, loop=loop), config)
    jsonschema_rs.validator_for(SLACK).validate(body)
    assert "<" not in str(body)
    assert "\\n" not in body["blocks"][0]["text"]["text"]
    if loop == "docs":
        over = "[resolved]" if action == "resolve" else ""
        assert body["text"] == f"[ops-manager]{over}[critical] health_critical loop=docs trace=t-1"
        assert "ingest_stale" in body["blocks"][0]["text"]["text"]


def test_slack_is_not_sent_what_is_not_set() -> None:
    assert slack.body(message(), {"channel": None}).keys() == {"text", "blocks"}


def test_what_pagerduty_gets_is_as_pagerduty_wants_it() -> None:
    validator = jsonschema_rs.validator_for(PAGERDUTY)
    body = pagerduty.body(message(), {"component": "ours"}, "key")
    validator.validate(body)
    assert body["payload"] | {"custom_details": 0} == {
        "summary": "[ops-manager][critical] health_critical loop=docs trace=t-1",
        "severity": "critical",
        "source": "superloop-ops-manager",
        "component": "ours",
        "group": "loop-run",
        "class": "escalation",
        "custom_details": 0,
    }
    resolve = pagerduty.body(message(action="resolve"), {}, "key")
    validator.validate(resolve)
    assert resolve == {"routing_key": "key", "event_action": "resolve", "dedup_key": body["dedup_key"]}
    large = pagerduty.body(message(escalation={"x": "y" * 600_000}, loop="z" * 3000), {}, "key")
    validator.validate(large)
    assert len(str(large)) < 10_000


def test_pagerduty_s_address_is_the_published_one_unless_a_variable_names_another(town: Town, hook: Receiver) -> None:
    assert pagerduty.EVENTS == "https://events.pagerduty.com/v2/enqueue"
    town.sink("pager", "pagerduty_events", hook, source="mine").escalates("a").dispatch()
    assert hook.bodies[0]["routing_key"] == "r0utingkey-0123456789"
    assert hook.bodies[0]["payload"]["source"] == "mine"


# --- one post ---------------------------------------------------------------------------------------------------------


def test_an_answer_s_end_is_not_waited_for_longer_than_allowed(hook: Receiver) -> None:
    hook.says("drip")
    began = clock.monotonic()
    outcome = post(hook.url, {}, {}, 0.5, secrets={})
    assert isinstance(outcome, Refused)
    assert outcome.code == "request_failed"
    assert clock.monotonic() - began < 3


def test_of_a_long_answer_only_a_piece_is_kept(hook: Receiver) -> None:
    hook.says(Say(500, "x" * 10_000_000))
    outcome = post(hook.url, {}, {}, 5, secrets={})
    assert isinstance(outcome, Refused)
    assert len(outcome.message) <= 300


@pytest.mark.parametrize("status", [301, 302, 307, 308, 304])
def test_nobody_is_led_elsewhere(hook: Receiver, other: Receiver, status: int) -> None:
    hook.says(Say(status, "", {"Location": other.url}))
    outcome = post(hook.url, {}, {}, 5, secrets={})
    assert (type(outcome), outcome.http_status) == (Refused, status)
    assert not other.got


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_taken(hook: Receiver, status: int) -> None:
    hook.says(Say(status, ""))
    assert post(hook.url, {}, {}, 5, secrets={}) == Delivered(status)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7),
        ("99999999999", 86_400),
        ("-1", None),
        ("soon", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 21 Oct 2915 07:28:00 GMT", 86_400),
    ],
)
def test_a_retry_after_is_read_as_seconds_or_as_an_instant(given: str | None, seconds: int | None) -> None:
    assert seconds_to_wait(given) == seconds


@pytest.mark.parametrize(
    "text",
    ["https://hooks.example/T123/B456/s3cr3ts3cr3t", "s3cr3ts3cr3t", "/T123/B456/s3cr3ts3cr3t", "u%3Aword"],
)
def test_no_piece_of_a_secret_address_stays_in_a_text(text: str) -> None:
    secrets = {"a": "https://hooks.example/T123/B456/s3cr3ts3cr3t", "b": "u%3Aword"}
    assert "s3cr3t" not in cleaned(f"no: {text}", secrets)
    assert "word" not in cleaned(f"no: {text} u:word", secrets)


# --- Apprise ----------------------------------------------------------------------------------------------------------


class Mailbox:
    """A mail server's."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.answer = "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        del server, session
        if self.answer.startswith("250"):
            assert isinstance(envelope.content, bytes)
            self.mails.append(email.message_from_bytes(envelope.content, policy=default))
        return self.answer


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    box, port = Mailbox(), free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield box, port
    controller.stop()


def test_a_mail_goes_out_through_apprise(town: Town, mailbox: tuple[Mailbox, int]) -> None:
    box, port = mailbox
    town.sink("mail", "apprise")
    town.environment["S_MAIL"] = f"mailto://127.0.0.1:{port}?from=ops@example.org&to=you@example.org&mode=insecure"
    town.escalates("health_critical", reasonCodes=["ingest_stale"]).judged("critical")
    assert town.short() == ("success", 1, 1, 0, 0, [])
    (mail,) = box.mails
    assert "health_critical" in mail["Subject"]
    assert mail["To"].endswith("you@example.org>") or mail["To"] == "you@example.org"
    text = mail.get_body(("plain", "html")).get_content()
    assert "ingest_stale" in text
    town.time.passes(1)
    town.judged("healthy").dispatch()
    assert "[resolved]" in box.mails[1]["Subject"]


def test_a_mail_server_that_refuses_is_a_failure_and_gets_it_later(town: Town, mailbox: tuple[Mailbox, int]) -> None:
    box, port = mailbox
    box.answer = "451 not now"
    town.sink("mail", "apprise")
    town.environment["S_MAIL"] = f"mailto://127.0.0.1:{port}?from=ops@example.org&to=you@example.org&mode=insecure"
    assert town.escalates("a").short() == ("failed", 1, 0, 0, 1, ["request_failed"])
    box.answer = "250 OK"
    assert town.short() == ("success", 1, 1, 0, 0, [])
    assert len(box.mails) == 1


@pytest.mark.parametrize("url", ["nothing://x", "no url", "://"])
def test_an_address_that_apprise_does_not_know_is_a_failure(town: Town, url: str) -> None:
    town.sink("mail", "apprise")
    town.environment["S_MAIL"] = url
    assert town.escalates("a").short() == ("failed", 1, 0, 0, 1, ["request_failed"])


def test_without_apprise_its_sinks_are_of_an_unsupported_type(
    town: Town, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:  # noqa: ANN401 - as the builtin
        if name == "apprise":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    town.sink("mail", "apprise").sink("hook", "webhook", hook)
    town.environment["S_MAIL"] = "ntfy://x"
    assert town.escalates("a").short() == ("partial", 1, 1, 0, 1, ["unsupported_sink_type"])
    assert "interlock[sinks]" in str(town.told())


def test_a_mail_server_that_says_nothing_is_not_waited_for_longer_than_allowed(town: Town, hook: Receiver) -> None:
    town.sink("mail", "apprise", timeoutSeconds=1).sink("hook", "webhook", hook)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        town.environment["S_MAIL"] = f"mailto://127.0.0.1:{port}?from=ops@example.org&to=you@example.org&mode=insecure"
        began = clock.monotonic()
        assert town.escalates("a").short() == ("partial", 1, 1, 0, 1, ["request_failed"])
        assert clock.monotonic() - began < 10
