"""Dispatch of a loop's escalations: what is sent, what stays, what is written down."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from interlock.alerts.errors import DispatchStateCorrupt
from interlock.alerts.models import Document, Message, Outcome
from interlock.alerts.sinks import SINKS
from interlock.alerts.sinks.posting import Sink
from interlock.storage.sqlite.database import SqliteDatabase
from tests.alerts.conftest import Town, both
from tests.alerts.receiver import Receiver, Say
from tests.conftest import until


@pytest.mark.proves("alert-once")
@both
def test_an_escalation_reaches_its_sink_once(town: Town, hook: Receiver) -> None:
    town.sink("hook", "webhook", hook).escalates("divergence_detected", traceId="t-9")
    state = town.dispatch()
    assert state == {
        "schemaVersion": "v1",
        "updatedAt": state["updatedAt"],
        "loopId": "docs",
        "traceId": "dispatch-1",
        "escalationsFile": str(town.file),
        "dispatchTelemetryFile": str(town.manager / "telemetry" / "alerts.jsonl"),
        "status": "success",
        "processedCount": 1,
        "dispatchedCount": 1,
        "skippedCount": 0,
        "failedCount": 0,
        "failureReasonCodes": [],
        "escalationsLineOffset": 1,
        "escalationsLineCount": 1,
    }
    assert json.loads((town.manager / "alert-dispatch-state.json").read_text()) == state
    assert town.short() == ("no_new_escalations", 0, 0, 0, 0, [])
    assert len(hook.got) == 1


def test_without_a_file_there_is_no_source_and_the_state_carries_the_trace(town: Town, hook: Receiver) -> None:
    town.sink("hook", "webhook", hook)
    state = town.dispatch(trace_id="t-77")
    assert (state["status"], state["traceId"], state["escalationsLineCount"]) == ("no_source", "t-77", 0)


@pytest.mark.proves("alert-replay")
def test_what_a_sink_refused_is_sent_after_the_fix_and_then_no_more(town: Town, hook: Receiver) -> None:
    town.sink("hook", "webhook", hook).escalates("divergence_detected")
    hook.says(Say(500, "broken"), Say())
    assert town.short() == ("failed", 1, 0, 0, 1, ["http_error"])
    assert town.short() == ("success", 1, 1, 0, 0, [])
    assert town.short() == ("no_new_escalations", 0, 0, 0, 0, [])
    assert [each["status"] for each in town.told()] == ["failed", "dispatched"]
    assert hook.bodies[0] == hook.bodies[1]
    keys = {each.headers["Idempotency-Key"] for each in hook.got}
    assert len(keys) == 1


def test_a_state_that_is_no_json_is_refused(town: Town) -> None:
    (town.manager / "alert-dispatch-state.json").write_text("{")
    with pytest.raises(DispatchStateCorrupt):
        town.dispatch()


# --- every reason code ------------------------------------------------------------------------------------------------


def test_a_line_that_is_no_json_fails_once_and_holds_up_nothing(town: Town, hook: Receiver) -> None:
    town.sink("hook", "webhook", hook)
    town.file.write_bytes(b'{"category":"torn\n\n[1]\n')
    town.escalates("divergence_detected")
    assert town.short() == ("partial", 4, 1, 1, 2, ["invalid_escalation_json"])
    first = town.told()[0]
    assert (first["status"], first["reasonCode"], first["rawLine"]) == (
        "failed",
        "invalid_escalation_json",
        '{"category":"torn',
    )
    assert "sinkCount" not in first
    assert town.short() == ("no_new_escalations", 0, 0, 0, 0, [])


@pytest.mark.parametrize("category", [None, "", 7, "a\u0000b", "\ud800", "x" * 129])
def test_a_row_without_a_category_fails_once(town: Town, hook: Receiver, category: object) -> None:
    town.sink("hook", "webhook", hook)
    town.file.write_text(json.dumps({"category": category}) + "\n")
    assert town.short() == ("failed", 1, 0, 0, 1, ["missing_escalation_category"])
    assert town.short() == ("no_new_escalations", 0, 0, 0, 0, [])
    assert not hook.got


@pytest.mark.parametrize(
    "breakage",
    [
        "{",
        "[]",
        '{"schemaVersion":"v2"}',
        '{"schemaVersion":"v1","defaultMinSeverity":"warning","sinks":{},"routing":7}',
    ],
)
@both
def test_rows_that_a_broken_configuration_can_not_route_wait_for_its_mending(
    town: Town, hook: Receiver, breakage: str
) -> None:
    town.sink("hook", "webhook", hook)
    path = town.root / "config" / "ops-manager-alert-sinks.v1.json"
    path.write_text(breakage)
    town.escalates("divergence_detected", "health_critical")
    assert town.short() == ("failed", 2, 0, 0, 2, ["route_resolution_failed"])
    assert all(each["message"] for each in town.told())
    path.unlink()
    assert town.short() == ("no_new_escalations", 0, 0, 0, 0, [])
    town.write()
    assert town.short() == ("success", 2, 2, 0, 0, [])
    assert town.short() == ("no_new_escalations", 0, 0, 0, 0, [])
    assert sorted(each["event"]["category"] for each in hook.bodies) == ["divergence_detected", "health_critical"]


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("echo no json", "invalid_route_resolution"),
        ("echo '{}'", "invalid_route_resolution"),
        (
            'echo \'{"eventSeverity":"warning","shouldDispatch":true,"dispatchableSinks":[7]}\'',
            "invalid_route_resolution",
        ),
        ("echo wrong >&2; exit 3", "route_resolution_failed"),
    ],
)
def test_a_resolver_of_somebody_else_may_be_wrong(town: Town, script: str, code: str) -> None:
    path = town.root / "resolver"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    town.environment["OPS_MANAGER_ALERT_SINK_CONFIG_SCRIPT"] = str(path)
    town.escalates("divergence_detected")
    assert town.short() == ("failed", 1, 0, 0, 1, [code])


def test_a_resolver_of_somebody_else_decides_where_escalations_go(town: Town, hook: Receiver) -> None:
    town.sink("theirs", "webhook", hook)
    sink = {"id": "theirs", "type": "webhook", "timeoutSeconds": 2, "secretRefs": {"urlEnv": "S_THEIRS"}, "config": {}}
    shown = {"eventSeverity": "info", "shouldDispatch": True, "dispatchableSinks": [sink]}
    path = town.root / "resolver"
    path.write_text(f"#!/bin/sh\necho '{json.dumps(shown)}'\n")
    path.chmod(0o755)
    town.environment["OPS_MANAGER_ALERT_SINK_CONFIG_SCRIPT"] = str(path)
    town.escalates("divergence_detected")
    assert town.short() == ("success", 1, 1, 0, 0, [])
    assert hook.bodies[0]["event"]["severity"] == "info"


def test_what_is_not_grave_enough_is_skipped(town: Town, hook: Receiver) -> None:
    town.sink("hook", "webhook", hook).escalates("divergence_detected", severity="info")
    assert town.short() == ("success", 1, 0, 1, 0, [])
    row = town.told()[0]
    assert (row["status"], row["reasonCode"], row["eventSeverity"]) == ("skipped", "severity_below_min", "info")
    assert (row["sinkCount"], row["dispatchedSinkCount"], row["failedSinkCount"]) == (0, 0, 0)
    assert not hook.got


def test_disabled_sinks_are_not_sent_to(town: Town, hook: Receiver) -> None:
    town.sink("hook", "webhook", hook, enabled=False).escalates("divergence_detected")
    assert town.short() == ("success", 1, 0, 1, 0, [])
    assert town.told()[0]["reasonCode"] == "no_dispatchable_sinks"


def test_a_disabled_route_is_as_if_it_were_not_there(town: Town, hook: Receiver, other: Receiver) -> None:
    town.routes = [
        {"category": "divergence_detected", "enabled": False, "sinks": ["other"]},
        {"category": "divergence_detected", "minSeverity": "info", "sinks": ["hook"]},
    ]
    town.sink("hook", "webhook", hook).sink("other", "webhook", other).escalates("divergence_detected")
    town.dispatch()
    assert (len(hook.got), len(other.got)) == (1, 0)
    assert town.told()[0]["route"]["route"]["sinks"] == ["hook"]


@pytest.mark.proves("alert-isolated")
@both
def test_only_the_sink_that_lacks_its_secret_fails(town: Town, hook: Receiver) -> None:
    town.sink("hook", "webhook", hook).sink("poor", "webhook").escalates("divergence_detected")
    assert town.short() == ("partial", 1, 1, 0, 1, ["missing_secret"])
    row = town.told()[0]
    assert (row["status"], row["reasonCode"], row["sinkCount"], row["dispatchedSinkCount"], row["failedSinkCount"]) == (
        "partial",
        "partial_dispatch_failure",
        2,
        1,
        1,
    )
    assert [
        (each["id"], each["status"], each["reasonCode"]) for each in sorted(row["sinks"], key=lambda s: s["id"])
    ] == [
        ("hook", "success", None),
        ("poor", "failed", "missing_secret"),
    ]
    town.environment["S_POOR"] = hook.url
    assert town.short() == ("success", 1, 1, 0, 0, [])
    assert len(hook.got) == 2
    assert [each.body["sink"]["id"] for each in hook.got] == ["hook", "poor"]


def test_what_waits_for_a_sink_that_is_switched_off_meanwhile_is_skipped(town: Town, hook: Receiver) -> None:
    hook.says(Say(500), Say())
    town.sink("hook", "webhook", hook).escalates("a").dispatch()
    town.sinks["hook"]["enabled"] = False
    assert town.write().short() == ("success", 1, 0, 1, 0, [])
    assert (town.told()[-1]["status"], town.told()[-1]["reasonCode"]) == ("skipped", "no_dispatchable_sinks")
    assert town.short()[0] == "no_new_escalations"
    assert len(hook.got) == 1


def test_what_waits_is_not_lost_while_the_configuration_can_not_be_read(town: Town, hook: Receiver) -> None:
    hook.says(Say(500), Say())
    town.sink("hook", "webhook", hook).escalates("a").dispatch()
    (town.root / "config" / "ops-manager-alert-sinks.v1.json").write_text("{")
    assert town.short() == ("success", 1, 1, 0, 0, [])
    assert len(hook.got) == 2


def test_a_sink_of_an_unknown_type_fails_and_others_deliver(town: Town, hook: Receiver) -> None:
    town.sink("hook", "webhook", hook).sink("odd", "telepathy").escalates("divergence_detected")
    assert town.short() == ("partial", 1, 1, 0, 1, ["unsupported_sink_type"])


def test_none_took_it_is_dispatch_failed(town: Town, hook: Receiver) -> None:
    hook.says(Say(401, "who are you"))
    town.sink("hook", "webhook", hook).escalates("divergence_detected")
    assert town.short() == ("failed", 1, 0, 0, 1, ["http_error"])
    row = town.told()[0]
    assert (row["status"], row["reasonCode"]) == ("failed", "dispatch_failed")
    assert row["sinks"][0]["httpStatus"] == 401
    assert "who are you" in row["sinks"][0]["message"]


@pytest.mark.parametrize(
    ("does", "code"),
    [(lambda: 7, "invalid_sink_result"), (lambda: 1 / 0, "sink_dispatch_failed")],
)
def test_a_sink_s_own_accident_is_its_own(
    town: Town, hook: Receiver, monkeypatch: pytest.MonkeyPatch, does: Callable[[], Any], code: str
) -> None:
    def send(message: Message, config: Document, secrets: Mapping[str, str], timeout: float) -> Outcome:
        del message, config, secrets, timeout
        return does()

    monkeypatch.setitem(SINKS, "odd", Sink(send=send, secrets={}))
    town.sink("hook", "webhook", hook).sink("odd", "odd").escalates("divergence_detected")
    assert town.short() == ("partial", 1, 1, 0, 1, [code])


# --- sinks that behave badly ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "code", "status"),
    [
        ("hang", "request_failed", None),
        ("drip", "request_failed", None),
        ("reset", "request_failed", None),
        (Say(500), "http_error", 500),
        (Say(401), "http_error", 401),
        (Say(429, headers={"Retry-After": "1"}), "http_error", 429),
        (Say(302, headers={"Location": "http://127.0.0.1:1/"}), "http_error", 302),
    ],
)
def test_what_a_sink_does_not_take_stays_until_it_does(
    town: Town, hook: Receiver, answer: Say | str, code: str, status: int | None
) -> None:
    town.sink("hook", "webhook", hook, timeoutSeconds=1).escalates("divergence_detected")
    hook.says(answer, Say())
    assert town.short() == ("failed", 1, 0, 0, 1, [code])
    assert town.told()[0]["sinks"][0]["httpStatus"] == status
    assert town.short() == ("success", 1, 1, 0, 0, [])


@pytest.mark.parametrize(
    "address",
    ["", "not an address", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://", "http://[::1", "http://127.0.0.1:1/",
     "http://127.0.0.1:99999/", "http://a b/", "http://x/\r\nX: y", "http://nowhere.invalid/"],
)  # fmt: skip
def test_an_address_that_leads_nowhere_is_a_failure_like_another(town: Town, address: str) -> None:
    town.sink("hook", "webhook").escalates("divergence_detected")
    town.environment["S_HOOK"] = address
    assert town.short() == ("failed", 1, 0, 0, 1, ["request_failed" if address else "missing_secret"])


def test_a_sink_that_is_slow_or_hangs_holds_up_no_other(town: Town, hook: Receiver, other: Receiver) -> None:
    hook.says("hang")
    town.sink("hook", "webhook", hook, timeoutSeconds=3).sink("other", "webhook", other)
    town.escalates(*(f"c{number}" for number in range(8)))
    done = threading.Thread(target=town.dispatch)
    done.start()
    until(lambda: len(other.got) == 8, 2.5)
    assert done.is_alive()
    hook.over.set()
    done.join()


def test_retry_after_is_honoured_and_longer_waits_follow(town: Town, hook: Receiver) -> None:
    hook.says(Say(429, headers={"Retry-After": "600"}))
    town.sink("hook", "webhook", hook).escalates("divergence_detected")
    town.dispatch(forced=False)
    town.time.passes(599)
    assert town.short(forced=False) == ("no_new_escalations", 0, 0, 0, 0, [])
    town.time.passes(1)
    assert town.short(forced=False)[0] == "failed"
    assert len(hook.got) == 2


def test_a_sink_that_comes_back_after_an_hour_gets_it(town: Town, hook: Receiver) -> None:
    hook.says("reset")
    town.sink("hook", "webhook", hook).escalates("divergence_detected")
    for _ in range(60):
        town.dispatch(forced=False)
        town.time.passes(60)
    tried = len(hook.got)
    assert 5 <= tried <= 20
    hook.says(Say())
    town.time.passes(3600)
    assert town.short(forced=False) == ("success", 1, 1, 0, 0, [])
    assert len(hook.got) == tried + 1


def test_a_sink_that_is_down_is_left_alone_after_five_failures_then_one_looks(town: Town, hook: Receiver) -> None:
    hook.says(Say(503))
    town.sink("hook", "webhook", hook)
    town.escalates(*(f"c{number}" for number in range(20)))
    assert town.short(forced=False) == ("failed", 20, 0, 0, 20, ["http_error"])
    assert len(hook.got) == 5
    assert town.short(forced=False)[0] == "no_new_escalations"
    town.time.passes(61)
    assert town.short(forced=False) == ("failed", 1, 0, 0, 1, ["http_error"])
    assert len(hook.got) == 6
    hook.says(Say())
    assert town.short(forced=False)[0] == "no_new_escalations"
    town.time.passes(3600)
    assert town.short(forced=False) == ("success", 20, 20, 0, 0, [])
    assert len(hook.got) == 26


@pytest.mark.proves("alert-nothing-lost")
@pytest.mark.timeout(240)
@both
def test_nothing_is_lost_or_doubled_when_all_is_down_for_ten_thousand_escalations(
    town: Town, hook: Receiver, other: Receiver
) -> None:
    many = 10_000 if isinstance(town.database, SqliteDatabase) else 1_500
    hook.says("reset")
    other.says(Say(503))
    town.sink("hook", "webhook", hook).sink("other", "slack", other)
    town.escalates(*(f"c{number}" for number in range(many)))
    state = town.dispatch()
    assert (state["status"], state["processedCount"], state["failedCount"]) == ("failed", many, many)
    tried = len(hook.got), len(other.got)
    assert tried == (5, 5)
    hook.says(Say())
    other.says(Say())
    state = town.dispatch()
    assert (state["status"], state["dispatchedCount"]) == ("success", many)
    assert sorted(each["event"]["category"] for each in hook.bodies[5:]) == sorted(f"c{n}" for n in range(many))
    assert len({each["text"] for each in other.bodies[5:]}) == len(other.got) - 5 == many
    assert town.short()[0] == "no_new_escalations"


# --- once -------------------------------------------------------------------------------------------------------------


@both
def test_two_dispatchers_at_once_send_once(town: Town, hook: Receiver) -> None:
    hook.says("slow0.05")
    town.sink("hook", "webhook", hook)
    town.escalates(*(f"c{number}" for number in range(30)))
    with ThreadPoolExecutor(6) as pool:
        states = [each.result() for each in [pool.submit(town.dispatch) for _ in range(6)]]
    town.dispatch()
    assert sorted(each["event"]["category"] for each in hook.bodies) == sorted(f"c{n}" for n in range(30))
    assert {each["status"] for each in states} <= {"success", "failed", "no_new_escalations", "partial"}
    assert len(town.logged("alert.opened")) == len(town.logged("alert.delivered")) == 30
    assert {each.count for each in town.alerts.list(limit=100)} == {1}


@both
def test_the_same_verdict_is_told_again_only_after_the_repeat_interval(town: Town, hook: Receiver) -> None:
    town.sink("hook", "webhook", hook).escalates("divergence_detected").dispatch()
    town.time.passes(60)
    town.escalates("divergence_detected")
    assert town.short() == ("success", 1, 0, 1, 0, [])
    assert town.told()[-1]["reasonCode"] == "deduplicated"
    town.time.passes(4 * 3600)
    town.escalates("divergence_detected")
    assert town.short() == ("success", 1, 1, 0, 0, [])
    assert len(hook.got) == 2
    assert len({each["event"]["dedupKey"] for each in hook.bodies}) == 1
    (alert,) = town.alerts.list()
    assert (alert.count, alert.changes) == (3, 2)


def test_a_graver_verdict_and_one_with_other_reasons_are_told_at_once(town: Town, hook: Receiver) -> None:
    town.sink("hook", "webhook", hook)
    for more in (
        {},
        {"severity": "critical"},
        {"severity": "critical"},
        {"reasonCodes": ["b", "a"]},
        {"reasonCodes": ["a", "b"]},
    ):
        town.escalates("divergence_detected", **more).dispatch()
    assert [(each["event"]["severity"], each["escalation"].get("reasonCodes")) for each in hook.bodies] == [
        ("warning", None),
        ("critical", None),
        ("warning", ["b", "a"]),
    ]


@pytest.mark.proves("alert-resolve")
@both
@pytest.mark.parametrize(
    ("category", "verdicts"),
    [
        ("health_critical", (("critical",), ("degraded",))),
        ("health_degraded", (("critical",), ("healthy",))),
        ("divergence_detected", (("degraded", "divergence_detected"), ("degraded", "control_ambiguous"))),
        ("ordering_drift_detected", (("degraded", "ordering_drift_detected"), ("healthy",))),
    ],
)
def test_a_verdict_that_recovers_is_resolved_once_at_each_sink_that_heard_of_it(
    town: Town, hook: Receiver, other: Receiver, category: str, verdicts: tuple[tuple[str, ...], tuple[str, ...]]
) -> None:
    stands, over = verdicts
    town.sink("hook", "webhook", hook).sink("pager", "pagerduty_events", other).escalates(category).judged(*stands)
    town.dispatch()
    town.time.passes(30)
    town.judged(*stands)
    assert town.short()[0] == "no_new_escalations"
    town.time.passes(30)
    town.judged(*over)
    assert town.short() == ("success", 1, 1, 0, 0, [])
    assert town.short()[0] == "no_new_escalations"
    assert [each["event"]["action"] for each in hook.bodies] == ["trigger", "resolve"]
    assert [each["event_action"] for each in other.bodies] == ["trigger", "resolve"]
    assert len({each["dedup_key"] for each in other.bodies}) == 1
    town.escalates(category).dispatch()
    assert [each["event_action"] for each in other.bodies] == ["trigger", "resolve", "trigger"]
    assert other.bodies[2]["dedup_key"] == other.bodies[0]["dedup_key"]


def test_a_profile_drift_is_over_when_the_drift_is(town: Town, hook: Receiver) -> None:
    town.sink("hook", "webhook", hook).escalates("profile_drift_detected").judged("healthy", drift=True).dispatch()
    town.time.passes(1)
    town.judged("healthy", drift=True)
    assert town.short()[0] == "no_new_escalations"
    town.judged("healthy")
    assert town.short()[0] == "success"
    assert hook.bodies[-1]["event"]["action"] == "resolve"


def test_a_verdict_from_before_the_escalation_resolves_nothing(town: Town, hook: Receiver) -> None:
    town.sink("hook", "webhook", hook).judged("healthy")
    town.time.passes(10)
    town.escalates("health_critical").dispatch()
    assert town.short()[0] == "no_new_escalations"
    assert len(hook.got) == 1


def test_a_resolve_waits_until_its_trigger_was_taken(town: Town, hook: Receiver) -> None:
    hook.says(Say(500))
    town.sink("hook", "webhook", hook).escalates("health_critical").dispatch()
    town.time.passes(5)
    town.judged("healthy").dispatch()
    assert {each["event"]["action"] for each in hook.bodies} == {"trigger"}
    hook.says(Say())
    town.dispatch()
    assert [each["event"]["action"] for each in hook.bodies[-2:]] == ["trigger", "resolve"]


# --- the file ---------------------------------------------------------------------------------------------------------


def test_a_torn_line_is_left_until_it_is_whole(town: Town, hook: Receiver) -> None:
    town.sink("hook", "webhook", hook).escalates("a")
    whole = json.dumps(town.row("b"))
    with town.file.open("a") as file:
        file.write(whole[:20])
    assert town.short() == ("success", 1, 1, 0, 0, [])
    with town.file.open("a") as file:
        file.write(whole[20:] + "\n")
    assert town.short() == ("success", 1, 1, 0, 0, [])
    assert sorted(each["event"]["category"] for each in hook.bodies) == ["a", "b"]


def test_what_was_put_aside_is_read_first_and_once(town: Town, hook: Receiver) -> None:
    town.sink("hook", "webhook", hook).escalates("a", "b")
    town.dispatch(most=1)
    town.file.rename(f"{town.file}.000001")
    town.escalates("c")
    state = town.dispatch()
    assert (state["escalationsLineOffset"], state["escalationsLineCount"]) == (3, 3)
    town.file.rename(f"{town.file}.000002")
    assert town.short()[0] == "no_new_escalations"
    town.escalates("d")
    Path(f"{town.file}.000001").unlink()
    town.dispatch()
    assert sorted(each["event"]["category"] for each in hook.bodies) == ["a", "b", "c", "d"]


@both
@pytest.mark.parametrize("how", ["cut", "emptied", "gone", "copied"])
def test_a_file_that_is_cut_or_made_anew_kills_no_dispatch(town: Town, hook: Receiver, how: str) -> None:
    town.sink("hook", "webhook", hook).escalates("a", "b", "c").dispatch()
    lines = town.file.read_bytes().splitlines(keepends=True)
    if how == "cut":
        town.file.write_bytes(lines[0])
    elif how == "emptied":
        town.file.write_bytes(b"")
    elif how == "gone":
        town.file.unlink()
        assert town.short()[0] == "no_source"
    else:
        town.file.unlink()
        town.file.write_bytes(b"".join(lines))
    town.escalates("d")
    state = town.dispatch()
    assert (state["status"], state["processedCount"], state["dispatchedCount"]) == ("success", 1, 1)
    assert state["escalationsLineOffset"] == state["escalationsLineCount"] == len(town.file.read_bytes().splitlines())
    assert sorted(each["event"]["category"] for each in hook.bodies) == ["a", "b", "c", "d"]
    assert town.short()[0] == "no_new_escalations"


def test_rows_that_are_the_same_to_the_byte_come_in_as_often_as_they_stand_there(town: Town, hook: Receiver) -> None:
    town.sink("hook", "webhook", hook).escalates("a", "a").dispatch()
    town.escalates("a").dispatch()
    (alert,) = town.alerts.list()
    assert alert.count == 3
    town.file.write_bytes(town.file.read_bytes().splitlines(keepends=True)[0] * 2)
    (town.manager / "escalations.jsonl").rename(f"{town.file}.x")
    Path(f"{town.file}.x").rename(town.file)
    town.dispatch()
    assert town.alerts.list()[0].count == 3


def test_a_dispatch_goes_on_where_that_of_another_house_has_stopped(town: Town, hook: Receiver) -> None:
    town.sink("hook", "webhook", hook).escalates("a", "b", "c")
    state = {"schemaVersion": "v1", "escalationsLineOffset": 2, "escalationsLineCount": 2}
    (town.manager / "alert-dispatch-state.json").write_text(json.dumps(state))
    assert town.short() == ("success", 1, 1, 0, 0, [])
    (town.manager / "alert-dispatch-state.json").unlink()
    assert town.short() == ("no_new_escalations", 0, 0, 0, 0, [])
    assert sorted(each["event"]["category"] for each in hook.bodies) == ["c"]


def test_what_another_house_has_sent_stays_sent_when_the_file_is_made_anew(town: Town, hook: Receiver) -> None:
    town.sink("hook", "webhook", hook).escalates("a", "b", "c")
    (town.manager / "alert-dispatch-state.json").write_text('{"escalationsLineOffset": 2}')
    town.dispatch()
    kept = town.file.read_bytes()
    town.file.rename(f"{town.file}.aside")
    town.file.write_bytes(kept)
    assert town.short()[0] == "no_new_escalations"
    town.escalates("d").dispatch()
    assert sorted(each["event"]["category"] for each in hook.bodies) == ["c", "d"]


def test_an_offset_of_another_house_beyond_the_end_is_none(town: Town, hook: Receiver) -> None:
    town.sink("hook", "webhook", hook).escalates("a")
    (town.manager / "alert-dispatch-state.json").write_text('{"escalationsLineOffset": 7}')
    assert town.short() == ("success", 1, 1, 0, 0, [])


def test_at_most_so_many_are_taken_at_once(town: Town, hook: Receiver) -> None:
    town.sink("hook", "webhook", hook).escalates("a", "b", "c")
    state = town.dispatch(most=2)
    assert (state["processedCount"], state["escalationsLineOffset"], state["escalationsLineCount"]) == (2, 2, 3)
    assert town.dispatch(most=2)["processedCount"] == 1
    assert len(hook.got) == 3


# --- time -------------------------------------------------------------------------------------------------------------


def test_a_clock_that_was_wrong_keeps_nothing_back_and_doubles_nothing(town: Town, hook: Receiver) -> None:
    hook.says(Say(500))
    town.sink("hook", "webhook", hook)
    town.time.passes(365 * 24 * 3600)
    town.escalates(*(f"c{number}" for number in range(6))).dispatch(forced=False)
    hook.says(Say())
    town.time.passes(-365 * 24 * 3600)
    assert town.short(forced=False) == ("success", 6, 6, 0, 0, [])
    town.escalates("c0").dispatch(forced=False)
    town.time.passes(-3600)
    town.escalates("c0").dispatch(forced=False)
    assert len(hook.got) == 5 + 6


# --- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.proves("alert-secrets")
def test_no_secret_is_written_anywhere(town: Town, hook: Receiver, other: Receiver) -> None:
    planted = ["s3cr3t-path", "t0ken-value-1234", "r0utingkey-0123456789", "us3rpass", "qu3ry-secret"]
    town.sink("hook", "webhook", hook, authTokenEnv="TOKEN").sink("pager", "pagerduty_events", other)
    town.sink("down", "webhook").sink("mail", "apprise")
    town.environment |= {
        "TOKEN": "t0ken-value-1234",
        "S_DOWN": "http://ada:us3rpass@127.0.0.1:1/x?key=qu3ry-secret",
        "S_MAIL": "mailto://ada:us3rpass@127.0.0.1:1?smtp=127.0.0.1&mode=insecure",
    }
    echo = "; ".join([hook.url, *planted])
    hook.says(Say(500, echo))
    other.says(Say(403, echo))
    town.escalates("divergence_detected").dispatch()
    town.dispatch()
    kept = town.everything_written()
    for secret in planted:
        assert secret.encode() not in kept, secret
    assert b"REDACTED" in kept
    assert hook.got[0].headers["Authorization"] == "Bearer t0ken-value-1234"
