"""The verbs of alerts: list, show, acknowledge, silence, resolve, test, replay; and that panic stops none of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from interlock.access.models import Role
from interlock.alerts.errors import (
    AlertOver,
    AlertUnknown,
    SilenceInvalid,
    SilenceUnknown,
    SinkFailed,
    SinkUnknown,
)
from interlock.alerts.models import AlertState
from interlock.kernel.ids import MalformedId
from tests.alerts.conftest import Town, both
from tests.alerts.receiver import Receiver, Say
from tests.conftest import ALICE, BOB

NOBODY = "al_01ARZ3NDEKTSV4RRFFQ69G5FAV"


@both
def test_alerts_are_listed_shown_and_paged(town: Town, hook: Receiver) -> None:
    town.sink("hook", "webhook", hook).escalates("a", "b", "c").dispatch()
    everything = town.alerts.list()
    assert {each.category for each in everything} == {"a", "b", "c"}
    first = town.alerts.list(limit=2)
    rest = town.alerts.list(limit=2, before=first[-1].id)
    assert [*first, *rest] == list(everything)
    shown = town.alerts.show(everything[0].id)
    assert shown.alert == everything[0]
    assert [(each.sink, each.status, each.attempts) for each in shown.deliveries] == [("hook", "delivered", 1)]
    for wrong, error in ((NOBODY, AlertUnknown), ("al_x", MalformedId), ("d_01ARZ3NDEKTSV4RRFFQ69G5FAV", MalformedId)):
        with pytest.raises(error):
            town.alerts.show(wrong)
        with pytest.raises(error):
            town.alerts.list(before=wrong)


@both
def test_what_is_acknowledged_is_not_told_again_until_it_is_another_matter(town: Town, hook: Receiver) -> None:
    town.sink("hook", "webhook", hook).escalates("a").dispatch()
    (alert,) = town.alerts.list()
    acked = town.alerts.ack(ALICE, alert.id, note="I look")
    assert (acked.state, acked.by) == (AlertState.ACKNOWLEDGED, "human:alice")
    town.time.passes(5 * 3600)
    town.escalates("a").dispatch()
    assert len(hook.got) == 1
    town.escalates("a", severity="critical").dispatch()
    assert len(hook.got) == 2
    assert town.alerts.list()[0].state is AlertState.OPEN
    assert [each["subject"] for each in town.logged("alert.acknowledged")] == [alert.id]


@both
def test_what_is_resolved_by_hand_is_told_and_over(town: Town, hook: Receiver) -> None:
    town.sink("hook", "webhook", hook).escalates("a").dispatch()
    (alert,) = town.alerts.list(state="standing")
    town.alerts.resolve(BOB, alert.id, reason="mended")
    town.dispatch()
    assert [each["event"]["action"] for each in hook.bodies] == ["trigger", "resolve"]
    assert town.alerts.list(state="standing") == []
    assert [each.state for each in town.alerts.list(state="resolved")] == [AlertState.RESOLVED]
    for verb in (town.alerts.resolve, town.alerts.ack):
        with pytest.raises(AlertOver):
            verb(ALICE, alert.id)
    town.escalates("a").dispatch()
    assert len(hook.got) == 3
    assert town.alerts.list(state="standing")[0].id != alert.id


def test_what_nobody_heard_of_is_resolved_without_a_word(town: Town, hook: Receiver) -> None:
    town.sink("hook", "webhook", hook).escalates("a", severity="info").dispatch()
    town.alerts.resolve(ALICE, town.alerts.list()[0].id)
    assert town.short()[0] == "no_new_escalations"
    assert not hook.got


@both
def test_eight_who_resolve_at_once_resolve_once(town: Town, hook: Receiver) -> None:
    town.sink("hook", "webhook", hook).escalates("a").dispatch()
    (alert,) = town.alerts.list()

    def resolve() -> bool:
        try:
            town.alerts.resolve(ALICE, alert.id)
        except AlertOver:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        done = [each.result() for each in [pool.submit(resolve) for _ in range(8)]]
    assert sorted(done) == [False] * 7 + [True]
    town.dispatch()
    assert len(hook.got) == 2


# --- silences ---------------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    ("source", "category", "quiet"),
    [
        ("", "", True),
        ("", "a", True),
        ("", "a*", True),
        ("loop:*", "", True),
        ("", "b", False),
        ("event", "", False),
        ("loop:*", "b*", False),
    ],
)
def test_a_silence_keeps_quiet_what_it_names_and_nothing_else(
    town: Town, hook: Receiver, source: str, category: str, *, quiet: bool
) -> None:
    town.alerts.silence(ALICE, reason="work", for_ms=3600_000, source=source, category=category)
    town.sink("hook", "webhook", hook).escalates("a")
    state = town.dispatch()
    assert (state["skippedCount"], len(hook.got)) == ((1, 0) if quiet else (0, 1))
    if quiet:
        assert town.told()[0]["reasonCode"] == "silenced"
        assert town.alerts.list()[0].silenced


@both
@pytest.mark.parametrize("how", ["time", "hand"])
def test_what_outlasts_its_silence_is_told_then_once(town: Town, hook: Receiver, how: str) -> None:
    made = town.alerts.silence(ALICE, reason="work", for_ms=3600_000)
    town.sink("hook", "webhook", hook).escalates("a", "b").dispatch()
    town.alerts.resolve(ALICE, next(each.id for each in town.alerts.list() if each.category == "b"))
    assert town.short()[0] == "no_new_escalations"
    assert town.alerts.silences() == [made]
    if how == "time":
        town.time.passes(3601)
    else:
        town.alerts.unsilence(BOB, made.id)
    assert town.alerts.silences() == []
    assert town.short() == ("success", 1, 1, 0, 0, [])
    assert town.short()[0] == "no_new_escalations"
    assert [each["event"]["category"] for each in hook.bodies] == ["a"]
    with pytest.raises(SilenceUnknown):
        town.alerts.unsilence(BOB, made.id)


@pytest.mark.parametrize(("reason", "for_ms"), [("", 1), (" ", 1), ("x" * 2001, 1), ("x", 0), ("x", -1), ("x", 10**12)])
def test_a_silence_needs_a_reason_and_an_end(town: Town, reason: str, for_ms: int) -> None:
    with pytest.raises(SilenceInvalid):
        town.alerts.silence(ALICE, reason=reason, for_ms=for_ms)


# --- replay, test -----------------------------------------------------------------------------------------------------


@both
def test_a_replay_makes_due_what_waits_and_on_request_what_was_taken(town: Town, hook: Receiver) -> None:
    hook.says(Say(500))
    town.sink("hook", "webhook", hook)
    town.escalates(*(f"c{number}" for number in range(7))).dispatch(forced=False)
    assert town.short(forced=False)[0] == "no_new_escalations"
    hook.says(Say())
    assert town.alerts.replay(ALICE, sink="other") == 0
    assert town.alerts.replay(ALICE) == 7
    assert town.short(forced=False) == ("success", 7, 7, 0, 0, [])
    got = len(hook.got)
    alert = town.alerts.list()[0]
    assert town.alerts.replay(ALICE, alert_id=alert.id) == 0
    assert town.alerts.replay(ALICE, alert_id=alert.id, delivered=True) == 1
    assert town.short(forced=False) == ("success", 1, 1, 0, 0, [])
    assert len(hook.got) == got + 1
    assert hook.got[-1].headers["Idempotency-Key"].startswith(alert.id)
    with pytest.raises(AlertUnknown):
        town.alerts.replay(ALICE, alert_id=NOBODY)


def test_a_sink_is_tested_and_an_incident_of_a_test_is_closed_at_once(
    town: Town, hook: Receiver, other: Receiver
) -> None:
    town.sink("hook", "webhook", hook).sink("pager", "pagerduty_events", other).sink("poor", "webhook")
    town.alerts.test(ALICE, "hook")
    assert hook.bodies[0]["event"]["category"] == "test"
    town.alerts.test(ALICE, "pager")
    assert [each["event_action"] for each in other.bodies] == ["trigger", "resolve"]
    hook.says(Say(404, hook.url))
    with pytest.raises(SinkFailed) as caught:
        town.alerts.test(ALICE, "hook")
    assert "http_error" in caught.value.message
    assert "s3cr3t" not in caught.value.message
    with pytest.raises(SinkFailed) as caught:
        town.alerts.test(ALICE, "poor")
    assert "S_POOR" in caught.value.message
    with pytest.raises(SinkUnknown):
        town.alerts.test(ALICE, "nobody")
    assert [each["payload"]["delivered"] for each in town.logged("sink.tested")] == [True, True, False, False]


@both
def test_panic_stops_no_alert(town: Town, hook: Receiver) -> None:
    town.house.access.raise_panic(ALICE, role=Role.ADMIN, reason="look")
    town.sink("hook", "webhook", hook).escalates("a").dispatch()
    (alert,) = town.alerts.list()
    made = town.alerts.silence(ALICE, reason="x", for_ms=1000)
    town.alerts.unsilence(ALICE, made.id)
    town.alerts.ack(ALICE, alert.id)
    town.alerts.replay(ALICE)
    town.alerts.test(ALICE, "hook")
    town.alerts.resolve(ALICE, alert.id)
    town.dispatch()
    assert len(hook.got) == 3
