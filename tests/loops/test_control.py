"""Control: one attempt, its outcome, its three records; what is frozen for machines, and how a person releases it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interlock.access.errors import HumanNeeded
from interlock.access.models import Principal
from interlock.loops import confirmation, files
from interlock.loops.confirmation import IntentUnknown, Observed, Patience
from interlock.loops.control import (
    Carried,
    ControlFrozen,
    Controlled,
    LocalTransport,
    NothingToAcknowledge,
    NothingToUnfreeze,
    Outcome,
    Request,
    acknowledge,
    control,
    frozen,
    unfreeze,
)
from interlock.loops.files import FileUnwritten
from interlock.loops.places import LoopPlaces
from interlock.loops.runtime import Done, Runtime

SUPERLOOP = Path(__file__).with_name("superloop.sh")
ADA, ROBOT, WATCHER = (Principal.parse(each) for each in ("human:ada", "agent:r_1", "service:supervisor@host"))
NOW = 1_795_248_000_000
INTENT_KEYS = [
    "timestamp",
    "loopId",
    "intent",
    "traceId",
    "requestedBy",
    "transport",
    "status",
    "command",
    "idempotencyKey",
    "exitCode",
    "confirmExitCode",
    "confirmed",
    "commandOutput",
    "confirm",
]


class Loop:
    """A loop of the smallest runtime there can be, and how it is steered."""

    def __init__(self, repo: Path) -> None:
        self.places = LoopPlaces.of(str(repo), "demo")
        self.transport: Any = LocalTransport(Runtime(str(SUPERLOOP), dict(os.environ)))

    def does(self, *verbs: str, loop: str = "demo") -> None:
        for verb in verbs:
            subprocess.run([SUPERLOOP, verb, "--repo", self.places.repo, "--loop", loop], check=True, timeout=30)

    def control(
        self,
        intent: str,
        principal: Principal = ADA,
        look: Callable[[], Observed | None] | None = None,
        **more: Any,  # noqa: ANN401 - a request's own types
    ) -> Controlled:
        request = Request(
            intent=intent, by="ada", trace_id="t-1", idempotency_key="k-1", patience=Patience(0, 1), **more
        )
        seen = look or (lambda: confirmation.observed(self.places))
        return control(self.places, request, self.transport, seen, principal, clock=lambda: NOW)

    def rows(self, name: str) -> list[dict[str, Any]]:
        path = Path(self.places.of_manager(name))
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def records(self) -> list[int]:
        return [len(self.rows(name)) for name in ("intents.jsonl", "telemetry/control.jsonl", AUDIT)]

    def write(self, name: str, **document: Any) -> None:  # noqa: ANN401 - JSON
        files.replace(self.places.of_manager(name), files.bytes_of(document))

    def append(self, name: str, **row: Any) -> None:  # noqa: ANN401 - JSON
        files.append(self.places.of_manager(name), [files.bytes_of(row)])


AUDIT = "telemetry/control-invocations.jsonl"


@pytest.fixture
def loop(tmp_path: Path) -> Loop:
    return Loop(tmp_path)


# --- outcomes ---------------------------------------------------------------------------------------------------------


@pytest.mark.proves("loop-control")
@pytest.mark.proves("loop-audit")
def test_a_cancel_is_carried_out_confirmed_and_recorded_three_times(loop: Loop) -> None:
    loop.does("start", "work")
    done = loop.control("cancel")
    assert done.exit_code == 0
    assert list(done.document) == INTENT_KEYS
    assert done.document["timestamp"] == "2026-11-21T08:00:00Z"
    assert (done.document["status"], done.document["confirmed"]) == ("confirmed", True)
    assert done.document["confirm"]["reason"] == "inactive_not_running"
    assert loop.rows("intents.jsonl") == [done.document]
    assert loop.records() == [1, 1, 1]


def test_an_approval_that_shows_only_when_the_loop_next_runs_is_confirmed_by_its_record(loop: Loop) -> None:
    loop.does("start", "ask")
    done = loop.control("approve", note="looks good")
    assert (done.exit_code, done.document["status"]) == (0, "confirmed")
    assert done.document["confirm"]["reason"] == "approval_recorded"
    assert done.document["confirm"]["observedLastEvent"] == "approval_decision"
    assert list(done.document)[4:6] == ["requestedBy", "note"]


def test_a_rejection_is_confirmed_by_a_rejection(loop: Loop) -> None:
    loop.does("start", "ask")
    done = loop.control("reject")
    assert (done.exit_code, done.document["confirm"]["reason"]) == (0, "rejection_observed")


def test_a_rejection_that_came_out_as_an_approval_is_ambiguous(loop: Loop, tmp_path: Path) -> None:
    loop.does("start", "ask")
    deaf = tmp_path / "deaf"
    deaf.write_text(f'#!/bin/sh\nexec {SUPERLOOP} approve --repo "$3" --loop demo --by ada\n')
    deaf.chmod(0o755)
    loop.transport = LocalTransport(Runtime(str(deaf), dict(os.environ)))
    done = loop.control("reject")
    assert done.document["confirm"]["observedLastEvent"] == "approval_decision"
    assert (done.exit_code, done.document["status"]) == (2, "ambiguous")


@pytest.mark.proves("loop-control")
def test_a_command_whose_effect_is_not_seen_is_ambiguous(loop: Loop) -> None:
    loop.does("start")
    loop.transport = LocalTransport(Runtime("/bin/true", dict(os.environ)))
    done = loop.control("cancel")
    assert (done.exit_code, done.document["status"], done.document["confirmExitCode"]) == (2, "ambiguous", 1)
    assert done.document["confirm"]["reason"] == "timeout"
    assert "commandOutput" not in done.document
    row, audit = loop.rows("telemetry/control.jsonl")[0], loop.rows(AUDIT)[0]
    assert row["reasonCode"] == audit["outcome"]["reasonCode"] == "control_ambiguous"
    assert audit["confirmation"]["status"] == "ambiguous"


def test_a_command_that_fails_is_not_confirmed(loop: Loop) -> None:
    loop.does("start")
    done = loop.control("approve")
    assert (done.exit_code, done.document["status"], done.document["exitCode"]) == (1, "failed_command", 1)
    assert done.document["commandOutput"] == "no approval is pending for demo"
    assert "confirm" not in done.document
    assert loop.rows("telemetry/control.jsonl")[0]["reasonCode"] == "control_failed_command"
    audit = loop.rows(AUDIT)[0]
    assert audit["execution"]["status"] == "failed_command"
    assert audit["confirmation"] == {"attempted": False, "status": "not_attempted", "exitCode": 0}


def test_without_confirmation_what_was_carried_out_is_good(loop: Loop) -> None:
    loop.does("start")
    done = loop.control("cancel", confirm=False)
    assert (done.exit_code, done.document["status"], done.document["confirmed"]) == (0, "executed_unconfirmed", False)
    audit = loop.rows(AUDIT)[0]
    assert audit["confirmation"]["status"] == "skipped"
    assert audit["request"]["doConfirm"] is False


def test_a_runtime_that_is_not_there_is_a_failed_command_and_recorded(loop: Loop) -> None:
    loop.transport = LocalTransport(Runtime("/nowhere/superloop.sh", dict(os.environ)))
    done = loop.control("cancel")
    assert (done.exit_code, done.document["exitCode"]) == (1, 127)
    assert "/nowhere/superloop.sh is not there" in done.document["commandOutput"]
    assert loop.records() == [1, 1, 1]


@pytest.mark.proves("loop-cancel-named")
def test_another_loop_s_run_is_never_cancelled(loop: Loop) -> None:
    loop.does("start", loop="other")
    loop.does("start", "finish")
    loop.does("start", loop="other")
    done = loop.control("cancel")
    assert (done.exit_code, done.document["status"]) == (1, "failed_command")
    assert done.document["commandOutput"] == "nothing was cancelled: the active loop is other, not demo"
    assert json.loads(Path(loop.places.runtime_state).read_text())["current_loop_id"] == "other"


def test_the_records_have_the_keys_of_the_contract_in_order(loop: Loop) -> None:
    loop.does("start")
    loop.control("cancel", note="why")
    assert list(loop.rows("telemetry/control.jsonl")[0]) == [
        "timestamp",
        "startedAt",
        "loopId",
        "intent",
        "traceId",
        "transport",
        "status",
        "idempotencyKey",
        "requestedBy",
        "exitCode",
        "confirmExitCode",
        "confirmed",
        "durationSeconds",
        "retryAttempts",
        "retryBackoffSeconds",
    ]
    audit = loop.rows(AUDIT)[0]
    assert list(audit) == [
        "schemaVersion",
        "timestamp",
        "startedAt",
        "loopId",
        "intent",
        "traceId",
        "transport",
        "requestedBy",
        "note",
        "idempotencyKey",
        "request",
        "execution",
        "confirmation",
        "outcome",
    ]
    assert list(audit["execution"]) == ["status", "exitCode", "command", "output", "replayed"]
    assert list(audit["confirmation"]) == ["attempted", "status", "exitCode", "outcome"]
    assert audit["outcome"] == {"status": "confirmed", "confirmed": True, "durationSeconds": 0}


@pytest.mark.parametrize("intent", ["", "acknowledge", "resume", "cancel "])
def test_an_intent_that_there_is_not_leaves_no_trace(loop: Loop, intent: str) -> None:
    with pytest.raises(IntentUnknown, match="intent must be one of cancel, approve, reject"):
        loop.control(intent)
    assert loop.records() == [0, 0, 0]


def test_secrets_in_a_note_do_not_get_into_the_records(loop: Loop) -> None:
    loop.does("start", "ask")
    loop.control("approve", note="password=hunter2hunter2")
    for path in Path(loop.places.manager).rglob("*.jsonl"):
        assert "hunter2" not in path.read_text(), path


@pytest.mark.proves("loop-audit")
def test_an_intent_that_was_interrupted_is_recorded_as_ambiguous(loop: Loop) -> None:
    loop.does("start")

    def interrupted() -> Observed | None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop.control("cancel", look=interrupted)
    assert loop.rows("intents.jsonl")[0]["status"] == "ambiguous"
    assert loop.rows(AUDIT)[0]["execution"]["status"] == "succeeded"

    class Broken:
        name = "local"

        def carry_out(self, places: LoopPlaces, request: Request) -> Carried:
            del places, request
            raise KeyboardInterrupt

    loop.transport = Broken()
    with pytest.raises(KeyboardInterrupt):
        loop.control("cancel")
    audit = loop.rows(AUDIT)[1]
    assert (audit["execution"]["status"], audit["execution"]["exitCode"]) == ("failed_command", 130)
    assert (audit["outcome"]["status"], loop.records()) == ("ambiguous", [2, 2, 2])


# --- the seam for another transport -----------------------------------------------------------------------------------


class Elsewhere:
    """A transport whose far end has confirmed by itself, as the service's will."""

    name = "sprite_service"

    def __init__(self, outcome: Outcome, code: int = 0) -> None:
        self.carried = Carried(Done("POST http://x/ops/control", code, '{"ok":true}'), replayed=True, outcome=outcome)

    def carry_out(self, places: LoopPlaces, request: Request) -> Carried:
        assert (places.loop, request.idempotency_key) == ("demo", "k-1")
        return self.carried


@pytest.mark.parametrize(
    ("status", "code", "confirmed"),
    [("confirmed", 0, True), ("ambiguous", 2, False), ("failed_command", 1, False), ("executed", 1, False)],
)
def test_what_another_transport_has_confirmed_is_taken_over(
    loop: Loop,
    status: str,
    code: int,
    confirmed: bool,  # noqa: FBT001 - a column
) -> None:
    loop.transport = Elsewhere(Outcome(status, 0, {"confirmed": confirmed}))
    done = loop.control("approve", look=lambda: pytest.fail("it is not ours to look"))
    assert (done.exit_code, done.document["confirmed"], done.document["transport"]) == (code, confirmed, Elsewhere.name)
    assert done.document["commandOutput"] == '{"ok":true}'
    audit = loop.rows(AUDIT)[0]
    assert audit["execution"]["replayed"] is True
    assert audit["confirmation"]["attempted"] is True
    expected = status if status in {"confirmed", "ambiguous"} else "attempted_unknown"
    assert audit["confirmation"]["status"] == expected


# --- many at once, and where nothing can be written -------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 6])
def test_controls_at_once_each_leave_whole_records(loop: Loop, count: int) -> None:
    loop.does("start")
    threads = [threading.Thread(target=loop.control, args=("cancel",)) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loop.records() == [count] * 3


def test_a_control_does_not_wait_for_a_reconcile(loop: Loop) -> None:
    loop.does("start")
    with files.held(loop.places.of_manager(".lock"), wait=False) as ours:
        assert ours
        assert loop.control("cancel").exit_code == 0


def test_a_client_s_control_can_wait_for_the_service_s_on_the_same_repository(loop: Loop) -> None:
    loop.does("start")

    class Nested:
        name = "sprite_service"

        def carry_out(self, places: LoopPlaces, request: Request) -> Carried:
            del places, request
            inner = Loop(Path(loop.places.repo)).control("cancel")
            return Carried(
                Done("POST", inner.exit_code, files.text_of(inner.document)), outcome=Outcome(inner.document["status"])
            )

    loop.transport = Nested()
    loop.control("cancel")
    assert [row["transport"] for row in loop.rows("intents.jsonl")] == ["local", "sprite_service"]


def test_where_nothing_can_be_recorded_nothing_is_done(loop: Loop) -> None:
    loop.does("start")
    Path(loop.places.manager).parent.write_text("a file where our folder should be")
    with pytest.raises(FileUnwritten):
        loop.control("cancel")
    assert Path(loop.places.runtime_state).exists()


def test_a_full_disk_is_told_with_what_came_out(loop: Loop) -> None:
    loop.does("start")
    script = f"""
import os, resource, signal
from pathlib import Path
from tests.loops.test_control import Loop
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
loop = Loop(Path({loop.places.repo!r}))
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
loop.control("cancel")
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        cwd=SUPERLOOP.parents[2],
    )
    assert "the cancel came out as confirmed, but is not recorded" in done.stderr
    assert loop.control("cancel").exit_code == 0
    assert files.last_row(loop.places.of_manager("intents.jsonl")) is not None


# --- who may ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("principal", [ROBOT, WATCHER])
def test_a_machine_never_approves(loop: Loop, principal: Principal) -> None:
    loop.does("start", "ask")
    with pytest.raises(HumanNeeded):
        loop.control("approve", principal)
    assert loop.records() == [0, 0, 0]
    assert json.loads(Path(loop.places.of_run("approval.json")).read_text())["status"] == "pending"


@pytest.mark.parametrize("principal", [ROBOT, WATCHER])
def test_a_machine_may_cancel_and_reject_but_not_say_that_it_is_somebody(loop: Loop, principal: Principal) -> None:
    loop.does("start", "ask")
    assert loop.control("reject", principal).document["requestedBy"] == str(principal)
    assert json.loads(Path(loop.places.of_run("approval.json")).read_text())["decision"]["by"] == str(principal)
    loop.does("resume")
    assert loop.control("cancel", principal).exit_code == 0


# --- the freeze -------------------------------------------------------------------------------------------------------


def diverge(loop: Loop, trace: str = "r-1") -> None:
    loop.write("state.json", divergence={"any": True}, trace={"reconcileTraceId": trace})


def outage(loop: Loop) -> None:
    loop.write("telemetry/transport-health.json", lastResult="failed", failureStreak=1, lastSuccessAt="s")


def torn(loop: Loop) -> None:
    Path(loop.places.of_manager("state.json")).parent.mkdir(parents=True, exist_ok=True)
    Path(loop.places.of_manager("state.json")).write_text("{")


def ambiguous(loop: Loop) -> None:
    loop.append("intents.jsonl", intent="cancel", status="ambiguous", traceId="c-1")


def unanswered(loop: Loop) -> None:
    loop.append(
        "intents.jsonl",
        timestamp="2026-11-21T08:00:00Z",
        transport="sprite_service",
        status="failed_command",
        commandOutput="{}",
        traceId="c-2",
    )


FREEZES = [
    (diverge, "divergence_detected"),
    (outage, "transport_unreachable"),
    (ambiguous, "control_ambiguous"),
    (unanswered, "transport_unreachable"),
    (torn, "artifact_corrupt"),
]


@pytest.mark.proves("loop-freeze")
@pytest.mark.parametrize(("make", "code"), FREEZES)
@pytest.mark.parametrize("principal", [ROBOT, WATCHER])
def test_machines_are_refused_while_something_is_unresolved_and_a_person_passes(
    loop: Loop, make: Callable[[Loop], None], code: str, principal: Principal
) -> None:
    loop.does("start")
    make(loop)
    before = loop.records()
    with pytest.raises(ControlFrozen, match=f"demo is frozen for {principal}: {code}"):
        loop.control("cancel", principal)
    assert loop.records() == before
    assert Path(loop.places.runtime_state).exists()
    assert loop.control("cancel").exit_code == 0


@pytest.mark.parametrize(("make", "code"), FREEZES)
def test_a_person_releases_what_stands_there_now(loop: Loop, make: Callable[[Loop], None], code: str) -> None:
    make(loop)
    released = unfreeze(loop.places, ADA, "u-1", note="looked", clock=lambda: NOW)
    assert (released["reasonCodes"], released["releasedBy"], released["traceId"]) == ([code], "ada", "u-1")
    assert frozen(loop.places) == ()
    with pytest.raises(NothingToUnfreeze):
        unfreeze(loop.places, ADA, "u-2")


def test_a_release_does_not_reach_what_happens_later(loop: Loop) -> None:
    ambiguous(loop)
    unfreeze(loop.places, ADA, "u-1")
    loop.append("intents.jsonl", intent="cancel", status="ambiguous", traceId="c-9")
    assert [fact.code for fact in frozen(loop.places)] == ["control_ambiguous"]


def test_a_divergence_goes_on_under_other_traces_and_stays_released(loop: Loop) -> None:
    loop.append("escalations.jsonl", category="divergence_detected", traceId="r-1")
    loop.append("escalations.jsonl", category="health_degraded", traceId="r-1")
    diverge(loop, "r-1")
    unfreeze(loop.places, ADA, "u-1")
    diverge(loop, "r-2")
    assert frozen(loop.places) == ()
    loop.append("escalations.jsonl", category="divergence_detected", traceId="r-3")
    diverge(loop, "r-3")
    assert [fact.key for fact in frozen(loop.places)] == ["divergence_detected:r-3"]


def test_releasing_one_fact_keeps_the_others_released(loop: Loop) -> None:
    diverge(loop)
    unfreeze(loop.places, ADA, "u-1")
    outage(loop)
    assert [fact.code for fact in frozen(loop.places)] == ["transport_unreachable"]
    unfreeze(loop.places, ADA, "u-2")
    assert frozen(loop.places) == ()


@pytest.mark.proves("loop-freeze")
def test_a_healthy_reconcile_releases_by_itself(loop: Loop) -> None:
    diverge(loop)
    outage(loop)
    assert len(frozen(loop.places)) == 2
    loop.write("state.json", divergence={"any": False})
    loop.write("telemetry/transport-health.json", lastResult="success", lastSuccessAt="2026-11-21T09:00:00Z")
    assert frozen(loop.places) == ()
    unanswered(loop)
    assert frozen(loop.places) == ()


def test_a_failure_of_the_command_itself_freezes_nothing(loop: Loop) -> None:
    loop.append("intents.jsonl", transport="local", status="failed_command", commandOutput="no", traceId="c")
    assert frozen(loop.places) == ()


def test_a_corrupt_release_releases_nothing(loop: Loop) -> None:
    ambiguous(loop)
    unfreeze(loop.places, ADA, "u-1")
    for text in ("{", '{"released":"all"}', "{}"):
        Path(loop.places.of_manager(".unfreeze.json")).write_text(text)
        assert len(frozen(loop.places)) == 1


@pytest.mark.parametrize("principal", [ROBOT, WATCHER])
def test_a_machine_can_neither_release_nor_acknowledge(loop: Loop, principal: Principal) -> None:
    ambiguous(loop)
    with pytest.raises(HumanNeeded):
        unfreeze(loop.places, principal, "u-1")
    with pytest.raises(HumanNeeded):
        acknowledge(loop.places, principal, "a-1")
    assert len(frozen(loop.places)) == 1


# --- acknowledging ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["ambiguous", "failed_command"])
def test_an_intent_that_a_person_has_looked_after_is_acknowledged(loop: Loop, status: str) -> None:
    loop.append("intents.jsonl", intent="cancel", status=status, traceId="c-1", timestamp="t")
    row = acknowledge(loop.places, ADA, "a-1", note="password=hunter2hunter2", clock=lambda: NOW)
    assert row == loop.rows("intents.jsonl")[-1]
    assert (row["intent"], row["status"], row["requestedBy"]) == ("acknowledge", "acknowledged", "ada")
    assert row["acknowledged"] == {"intent": "cancel", "status": status, "traceId": "c-1", "timestamp": "t"}
    assert "hunter2" not in row["note"]
    assert frozen(loop.places) == ()
    with pytest.raises(NothingToAcknowledge):
        acknowledge(loop.places, ADA, "a-2")


def test_where_nothing_went_wrong_there_is_nothing_to_acknowledge(loop: Loop) -> None:
    with pytest.raises(NothingToAcknowledge):
        acknowledge(loop.places, ADA, "a-1")
    loop.append("intents.jsonl", intent="cancel", status="confirmed")
    with pytest.raises(NothingToAcknowledge):
        acknowledge(loop.places, ADA, "a-1")
    assert len(loop.rows("intents.jsonl")) == 1
