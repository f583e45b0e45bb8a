"""Steering a loop through its service: one key is one command, and what nobody knows is never called done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from interlock.access.errors import HumanNeeded
from interlock.access.models import Principal
from interlock.loops import confirmation, files, idempotency
from interlock.loops.confirmation import Patience
from interlock.loops.control import Controlled, LocalTransport, Request, control, frozen
from interlock.loops.idempotency import Bound, IdempotencyConflict, IdempotencyUnreadable, Response
from interlock.loops.models import stamp
from interlock.loops.places import LoopPlaces
from interlock.loops.reconcile import ReconcileOptions, reconcile
from interlock.loops.runtime import Runtime as Program
from interlock.loops.sprite_client import AGAIN, Base, Client
from interlock.loops.sprite_service import Asked, Service
from interlock.loops.sprite_transport import SpriteControl, SpriteService
from tests.conftest import until
from tests.loops.sprite import TOKEN, Running, Runtime, Said, does, http, pretending, serving
from tests.loops.test_sprite_client import nobody, reset

ADA, ROBOT = Principal.parse("human:ada"), Principal.parse("agent:r_1")


@dataclass
class Served:
    """A loop that runs, its service, and the runtime behind it."""

    repo: Path
    running: Running
    runtime: Runtime

    @property
    def places(self) -> LoopPlaces:
        return LoopPlaces.of(str(self.repo), "demo")

    def control(self, intent: str = "cancel", key: str = "k-1", principal: Principal = ADA, **more: Any) -> Controlled:  # noqa: ANN401 - a request's own types
        """Steer it through the service, as the entry point does."""
        return controlled(self.places, self.running.client(), intent, key, principal, **more)

    def rows(self, name: str = "intents.jsonl") -> list[dict[str, Any]]:
        return files.last_rows(self.places.of_manager(name), 100)

    @property
    def keys(self) -> dict[str, Any]:
        return files.read_json(self.places.of_manager(idempotency.NAME)) or {}


def controlled(
    places: LoopPlaces,
    client: Client,
    intent: str = "cancel",
    key: str = "k-1",
    principal: Principal = ADA,
    **more: Any,  # noqa: ANN401 - a request's own types
) -> Controlled:
    known: dict[str, Any] = {"patience": Patience(0, 1), **more}
    request = Request(intent=intent, by="ada", trace_id="t-1", idempotency_key=key, **known)
    return control(places, request, SpriteControl(client), lambda: confirmation.observed(places), principal)


@pytest.fixture
def served(tmp_path: Path) -> Generator[Served]:
    runtime = Runtime(tmp_path)
    repo = tmp_path / "repo"
    repo.mkdir()
    does(repo, "start", "work")
    with serving(repo, runtime=runtime.path) as running:
        yield Served(repo, running, runtime)


# --- outcomes ---------------------------------------------------------------------------------------------------------


def test_a_confirmed_cancel_has_a_row_of_the_service_and_then_one_of_the_client(served: Served) -> None:
    done = served.control()
    assert (done.exit_code, done.document["status"]) == (0, "confirmed")
    assert [each["transport"] for each in served.rows()] == ["local", "sprite_service"]
    assert done.document == served.rows()[-1]
    assert done.document["command"] == f"POST {served.running.url}/ops/control"
    said = json.loads(done.document["commandOutput"])
    assert said["replayed"] is False
    assert said["result"] == served.rows()[0]
    assert done.document["confirm"] == said["result"]["confirm"]
    assert {each["traceId"] for each in served.rows()} == {"t-1"}
    audit = served.rows("telemetry/control-invocations.jsonl")[-1]
    assert audit["execution"]["status"] == "succeeded"
    assert audit["confirmation"] | {"outcome": 0} == {
        "attempted": True,
        "status": "confirmed",
        "exitCode": 0,
        "outcome": 0,
    }


def test_an_approval_and_a_rejection_are_confirmed_by_their_record(served: Served) -> None:
    for intent, reason in (("approve", "approval_recorded"), ("reject", "rejection_observed")):
        does(served.repo, "ask")
        done = served.control(intent, key=intent, note="because")
        assert (done.exit_code, done.document["confirm"]["reason"]) == (0, reason)
    assert served.runtime.calls[-1].endswith("--by ada --note because --reject")


def test_without_confirmation_it_is_executed_unconfirmed(served: Served) -> None:
    done = served.control(confirm=False)
    assert (done.exit_code, done.document["status"]) == (0, "executed_unconfirmed")
    assert served.rows("telemetry/control-invocations.jsonl")[-1]["confirmation"]["status"] == "skipped"


@pytest.mark.parametrize("attempts", [1, 3])
def test_defect_12_an_ambiguous_outcome_stays_ambiguous_and_is_not_asked_for_again(
    served: Served, attempts: int
) -> None:
    served.runtime.be("deaf")
    done = controlled(served.places, served.running.client(attempts=attempts))
    assert (done.exit_code, done.document["status"], done.document["exitCode"]) == (2, "ambiguous", 2)
    assert json.loads(done.document["commandOutput"])["replayed"] is False
    assert len(served.runtime.calls) == 1
    again = controlled(served.places, served.running.client())
    assert (again.exit_code, json.loads(again.document["commandOutput"])["replayed"]) == (2, True)
    assert len(served.runtime.calls) == 1
    assert served.rows("telemetry/control-invocations.jsonl")[-1]["execution"]["replayed"] is True


def test_defect_12_a_command_that_failed_can_be_retried_under_its_key(served: Served) -> None:
    served.runtime.be("fail")
    done = served.control()
    assert (done.exit_code, done.document["status"], done.document["exitCode"]) == (1, "failed_command", 1)
    result = json.loads(done.document["commandOutput"])["result"]
    assert (result["exitCode"], result["commandOutput"]) == (3, "it is broken")
    served.runtime.be()
    again = served.control()
    assert (again.exit_code, again.document["status"]) == (0, "confirmed")
    assert len(served.runtime.calls) == 2
    replayed = served.control()
    assert json.loads(replayed.document["commandOutput"])["replayed"] is True
    assert len(served.runtime.calls) == 2


def test_defect_12_a_key_stands_for_one_intent(served: Served) -> None:
    assert served.running.control("cancel").status == 200
    said = served.running.control("approve")
    assert (said.status, said.json["error"]["code"]) == (409, "idempotency_conflict")
    others: list[dict[str, Any]] = [{"note": "another"}, {"by": "bob"}, {"noConfirm": True}]
    for more in others:
        assert served.running.control("cancel", **more).json["error"]["code"] == "idempotency_conflict"
    assert len(served.runtime.calls) == 1
    done = served.control("approve")
    assert (done.exit_code, done.document["status"]) == (1, "failed_command")
    assert "idempotency_conflict" in done.document["commandOutput"]
    assert "another cancel" in done.document["failure"]


@pytest.mark.proves("loop-service-once")
@pytest.mark.parametrize("many", [3, 8])
@pytest.mark.parametrize("how", ["well", "fail", "deaf"])
def test_defect_12_posts_at_once_under_one_key_run_the_command_once(served: Served, many: int, how: str) -> None:
    served.runtime.be("hold", how)
    with ThreadPoolExecutor(many) as pool:
        asked = [pool.submit(served.running.control) for _ in range(many)]
        until(lambda: len(served.runtime.calls) == 1)
        time.sleep(0.2)  # all of them are there by now; more calls would be, too
        served.runtime.be(how)
        said = [each.result(20) for each in asked]
    assert len(served.runtime.calls) == 1
    assert {each.status for each in said} == {{"well": 200, "fail": 500, "deaf": 409}[how]}
    assert sorted(each.json["replayed"] for each in said) == [False] + [True] * (many - 1)
    assert len({json.dumps(each.json["result"]) for each in said}) == 1
    assert len(served.rows()) == 1


def test_posts_at_once_to_two_services_of_one_repository_run_the_command_once(served: Served) -> None:
    served.runtime.be("hold")
    with serving(served.repo, runtime=served.runtime.path) as other, ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(each.control) for each in (served.running, other) * 3]
        until(lambda: bool(served.runtime.calls))
        time.sleep(0.2)
        served.runtime.be()
        assert sorted(each.result(20).json["replayed"] for each in asked) == [False] + [True] * 5
    assert len(served.runtime.calls) == 1


def test_posts_at_once_under_different_keys_do_not_wait_for_each_other(served: Served) -> None:
    served.runtime.be("hold")
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(served.running.control, key=f"k-{each}") for each in range(4)]
        until(lambda: len(served.runtime.calls) == 4)
        served.runtime.be()
        assert {each.result(20).json["replayed"] for each in asked} == {False}
    assert set(served.keys) == {"k-0", "k-1", "k-2", "k-3"}


def test_the_key_may_come_in_the_header(served: Served) -> None:
    body = json.dumps({"loopId": "demo", "intent": "cancel", "timeoutSeconds": 0}).encode()
    for replayed in (False, True):
        said = served.running.ask("POST", "/ops/control", body, {"X-Idempotency-Key": "h-1", "X-Trace-Id": "t-9"})
        assert (said.json["replayed"], said.json["traceId"]) == (replayed, "t-9")
    assert list(served.keys) == ["h-1"]


def test_without_a_key_every_post_is_one_command(served: Served) -> None:
    for _ in range(2):
        assert served.running.control(key=None).json["replayed"] is False
    assert len(served.runtime.calls) == 2
    assert served.keys == {}


def test_whoever_asks_again_gets_what_came_of_it_also_if_that_was_a_failure(served: Served) -> None:
    served.runtime.be("fail")
    body = json.dumps({"loopId": "demo", "intent": "cancel", "idempotencyKey": "k", "timeoutSeconds": 0}).encode()
    for replayed in (False, True):
        said = served.running.ask("POST", "/ops/control", body, {AGAIN: "2"})
        assert (said.status, said.json["replayed"]) == (500, replayed)
    assert len(served.runtime.calls) == 1


# --- who steers -------------------------------------------------------------------------------------------------------


def test_a_machine_that_says_so_is_one_to_the_service_too(served: Served) -> None:
    does(served.repo, "ask")
    with pytest.raises(HumanNeeded):
        served.control("approve", principal=ROBOT)
    said = served.running.control("approve", by="agent:r_1")
    assert (said.status, said.json["error"]["code"]) == (403, "human_needed")
    assert served.runtime.calls == []
    assert served.keys == {}
    assert served.running.control("approve", by="human:somebody").status == 200


def test_whoever_calls_himself_a_person_is_none_to_a_service_that_a_machine_has_started(served: Served) -> None:
    does(served.repo, "ask")
    service = Service(repo=served.places.repo, root="/", token=TOKEN, environment={}, principal=ROBOT)
    body = files.bytes_of({"loopId": "demo", "intent": "approve", "by": "human:ada"})
    said = service.answer(Asked("POST", "/ops/control", {"x-ops-token": TOKEN}, body))
    assert (said.status, said.document["error"]["code"]) == (403, "human_needed")


def test_a_machine_is_frozen_out_by_the_service_too_and_may_come_back_under_its_key(served: Served) -> None:
    state = served.places.of_manager("state.json")
    files.replace(state, files.bytes_of({"divergence": {"any": True}}))
    said = served.running.control(by="service:night-watch")
    assert (said.status, said.json["error"]["code"]) == (409, "control_frozen")
    assert served.keys == {}
    Path(state).unlink()
    assert served.running.control(by="service:night-watch").status == 200


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.proves("loop-service-once")
def test_a_service_killed_in_the_middle_of_a_control_leaves_it_ambiguous_and_it_never_runs_again(
    served: Served,
) -> None:
    served.runtime.be("hold")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(served.control)
        until(lambda: bool(served.runtime.calls))
        served.running.stop(signal.SIGKILL)
        done = asked.result(30)
    served.runtime.be()
    assert (done.exit_code, done.document["status"], done.document["confirmed"]) == (2, "ambiguous", False)
    assert "service request failed (method=POST" in done.document["failure"]
    assert [each.code for each in frozen(served.places)] == ["control_ambiguous"]
    assert served.keys["k-1"]["result"]["status"] == "ambiguous"
    with serving(served.repo, runtime=served.runtime.path) as running:
        again = controlled(served.places, running.client())
        said = json.loads(again.document["commandOutput"])
        assert (again.exit_code, again.document["status"], said["replayed"]) == (2, "ambiguous", True)
    assert len(served.runtime.calls) == 1


def test_a_service_that_comes_back_in_time_tells_the_client_that_nobody_knows(served: Served) -> None:
    served.runtime.be("hold")
    port = str(served.running.port)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(controlled, served.places, served.running.client(attempts=40, backoff_seconds=0.02))
        until(lambda: bool(served.runtime.calls))
        served.running.stop(signal.SIGKILL)
        with serving(served.repo, "--port", port, runtime=served.runtime.path):
            done = asked.result(30)
    served.runtime.be()
    said = json.loads(done.document["commandOutput"])
    assert (done.document["status"], said["replayed"], said["result"]["status"]) == ("ambiguous", True, "ambiguous")
    assert len(served.runtime.calls) == 1


CLIENT = """
import sys
from tests.loops.sprite import TOKEN
from tests.loops.test_sprite_control import controlled
from interlock.loops.places import LoopPlaces
from interlock.loops.sprite_client import Base, Client
controlled(LoopPlaces.of(sys.argv[1], "demo"), Client(base=Base.of(sys.argv[2]), token=TOKEN))
"""


def test_a_client_killed_in_the_middle_of_its_wait_finds_the_outcome_under_its_key(served: Served) -> None:
    served.runtime.be("hold")
    client = subprocess.Popen([sys.executable, "-c", CLIENT, served.repo, served.running.url], cwd=Path.cwd())
    until(lambda: bool(served.runtime.calls), 30)
    client.kill()
    client.wait()
    served.runtime.be()
    until(lambda: [each["status"] for each in served.rows()] == ["confirmed"])
    done = served.control()
    assert (done.exit_code, json.loads(done.document["commandOutput"])["replayed"]) == (0, True)
    assert len(served.runtime.calls) == 1


def test_defect_13_a_slow_confirmation_is_waited_for(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interlock.loops.sprite_transport._LEAST_SECONDS", 0)
    monkeypatch.setattr("interlock.loops.sprite_transport._MARGIN_SECONDS", 2)
    served.runtime.be("deaf")
    gone = threading.Timer(2.5, (served.repo / ".superloop/state.json").unlink)
    gone.start()
    done = served.control(patience=Patience(10, 1))
    gone.join()
    assert (done.exit_code, done.document["status"]) == (0, "confirmed")
    assert done.document["confirm"]["attempts"] > 2


def test_defect_13_the_client_waits_longer_than_the_service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    waited: list[float] = []

    def post(self: Client, *_: object, **__: object) -> object:
        waited.append(self.most_seconds)
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "post", post)
    (tmp_path / ".superloop").mkdir()
    client = Client(base=Base.of("http://127.0.0.1:1"))
    for seconds in (0, 30, 600):
        with pytest.raises(KeyboardInterrupt):
            controlled(LoopPlaces.of(str(tmp_path), "demo"), client, patience=Patience(seconds, 1))
    assert waited == [45, 45, 615]


def test_sigterm_ends_a_wait_for_the_effect_at_once_and_records_that_nobody_knows(served: Served) -> None:
    served.runtime.be("deaf")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(served.running.control, timeoutSeconds=60)
        until(lambda: bool(served.runtime.calls))
        time.sleep(0.2)
        began = time.monotonic()
        assert served.running.stop() == 0
        assert time.monotonic() - began < 3
        said: Said = asked.result(10)
    assert (said.status, said.json["result"]["status"]) == (409, "ambiguous")
    assert [each["status"] for each in served.rows()] == ["ambiguous"]
    assert served.keys["k-1"]["result"]["status"] == "ambiguous"


def test_sigterm_lets_a_command_finish_that_is_at_work(served: Served) -> None:
    served.runtime.be("hold")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(served.running.control)
        until(lambda: bool(served.runtime.calls))
        served.running.process.terminate()
        time.sleep(0.3)
        served.runtime.be()
        assert asked.result(10).json["result"]["status"] == "confirmed"
        assert served.running.stop() == 0


def test_sigterm_ends_a_command_that_does_not_end_and_records_that_nobody_knows(served: Served) -> None:
    served.runtime.be("hold")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(served.running.control)
        until(lambda: bool(served.runtime.calls))
        assert served.running.stop(seconds=30) == 0
        said: Said = asked.result(10)
    assert (said.status, said.json["result"]["status"]) == (409, "ambiguous")
    assert [each["status"] for each in served.rows()] == ["ambiguous"]
    assert served.keys["k-1"]["result"]["status"] == "ambiguous"
    assert subprocess.run(["pgrep", "-f", str(served.runtime.path)], check=False, capture_output=True).stdout == b""


@pytest.mark.parametrize(
    "answer",
    [
        http(200, b"<html>it works</html>"),
        http(200, b""),
        http(200, b"[1]"),
        http(
            200, {"ok": True, "exitCode": 0, "result": {"loopId": "demo", "intent": "approve", "status": "confirmed"}}
        ),
        http(
            200, {"ok": True, "exitCode": 0, "result": {"loopId": "other", "intent": "cancel", "status": "confirmed"}}
        ),
    ],
)
def test_an_answer_that_tells_nothing_of_this_intent_confirms_nothing(tmp_path: Path, answer: bytes) -> None:
    places = LoopPlaces.of(str(tmp_path), "demo")
    with pretending(answer) as pretender:
        done = controlled(places, Client(base=Base.of(pretender.url), token=TOKEN))
    assert (done.exit_code, done.document["status"], done.document["commandOutput"]) == (2, "ambiguous", "{}")
    assert "service response invalid" in done.document["failure"]
    assert [each.code for each in frozen(places)] == ["control_ambiguous"]


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {"ok": True}, ("confirmed", 0, 0)),
        (200, {"ok": False, "exitCode": 2}, ("ambiguous", 2, 2)),
        (200, {"ok": False, "exitCode": 7}, ("failed_command", 7, 1)),
        (200, {"ok": True, "exitCode": 0, "result": {"status": "executed"}}, ("executed", 0, 1)),
        (200, {"ok": True, "exitCode": 0, "result": {"status": []}}, ("confirmed", 0, 0)),
        (409, {"ok": False, "exitCode": 2, "result": {"status": "ambiguous"}}, ("ambiguous", 2, 2)),
    ],
)
def test_the_answer_of_an_older_service_is_read_as_the_contract_has_it(
    tmp_path: Path, status: int, body: object, expected: tuple[str, int, int]
) -> None:
    with pretending(http(status, body)) as pretender:
        done = controlled(LoopPlaces.of(str(tmp_path), "demo"), Client(base=Base.of(pretender.url)))
    assert (done.document["status"], done.document["exitCode"], done.exit_code) == expected
    assert json.loads(done.document["commandOutput"]) == body


def test_an_outage_is_recorded_freezes_machines_and_leaves_the_local_way(served: Served) -> None:
    nowhere = Client(base=Base.of(nobody()), token=TOKEN, attempts=2, backoff_seconds=0)
    done = controlled(served.places, nowhere)
    assert (done.exit_code, done.document["status"], done.document["commandOutput"]) == (1, "failed_command", "{}")
    assert served.rows() == [done.document]
    assert [each.code for each in frozen(served.places)] == ["transport_unreachable"]
    options = ReconcileOptions(trace_id="t-2")
    outcome = reconcile(served.places, options, SpriteService(nowhere), lambda: 1_795_000_000_000)
    assert outcome.exit_code == 1
    assert "transport_unreachable" in outcome.document["reasonCodes"]
    request = Request("cancel", "ada", "t-3", "k-2", patience=Patience(0, 1))
    program = LocalTransport(Program(str(served.runtime.path), dict(os.environ)))
    local = control(served.places, request, program, lambda: confirmation.observed(served.places), ADA)
    assert (local.exit_code, local.document["status"]) == (0, "confirmed")


def test_a_wrong_token_fails_the_command_and_runs_nothing(served: Served) -> None:
    done = controlled(served.places, served.running.client(token="wrong-token"))  # noqa: S106 - it opens nothing
    assert (done.exit_code, done.document["status"], done.document["commandOutput"]) == (1, "failed_command", "{}")
    assert "code=401" in done.document["failure"]
    assert "wrong-token" not in json.dumps(done.document)
    assert served.runtime.calls == []


def test_a_service_and_a_client_on_one_repository_do_not_wait_for_each_others_locks(served: Served) -> None:
    began = time.monotonic()
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(served.control, key=f"k-{each}") for each in range(6)]
        assert {each.result(30).exit_code for each in asked} == {0}
    assert time.monotonic() - began < 15
    assert len(served.rows()) == 12


# --- keys -------------------------------------------------------------------------------------------------------------

NOW = 1_795_000_000_000
LOST = Response(409, {"ok": False, "exitCode": 2, "result": {"status": "ambiguous"}})
BOUND = Bound.of("demo", "cancel", {"by": "ada"})


def once(
    places: LoopPlaces,
    key: str,
    *,
    status: str = "confirmed",
    bound: Bound = BOUND,
    now: int = NOW,
    after: Callable[[], None] = lambda: None,
) -> Response:
    def run(begin: Callable[[], None]) -> Response:
        begin()
        after()
        return Response(200, {"ok": True, "exitCode": 0, "result": {"status": status}, "replayed": False})

    return idempotency.once(places, key, bound, run, LOST, clock=lambda: now)


@pytest.fixture
def places(tmp_path: Path) -> LoopPlaces:
    return LoopPlaces.of(str(tmp_path), "demo")


def kept(places: LoopPlaces) -> dict[str, Any]:
    return files.read_json(places.of_manager(idempotency.NAME)) or {}


def test_the_key_is_a_top_level_key(places: LoopPlaces) -> None:
    once(places, "k")
    assert list(kept(places)) == ["k"]
    assert kept(places)["k"]["result"] == {"status": "confirmed"}


def test_no_more_than_a_thousand_keys_are_kept_the_newest(places: LoopPlaces) -> None:
    files.replace(
        places.of_manager(idempotency.NAME),
        files.bytes_of({f"k-{each}": {"stored": {"at": stamp(NOW // 1000)}} for each in range(1200)}),
    )
    once(places, "new")
    found = list(kept(places))
    assert (len(found), found[0], found[-1]) == (1000, "k-201", "new")


def test_a_key_is_forgotten_after_a_week(places: LoopPlaces) -> None:
    once(places, "old")
    once(places, "new", now=NOW + 6 * 86_400_000)
    assert set(kept(places)) == {"old", "new"}
    once(places, "newer", now=NOW + 8 * 86_400_000)
    assert set(kept(places)) == {"new", "newer"}


def test_what_another_service_has_stored_is_answered(places: LoopPlaces) -> None:
    stored = {"ok": False, "exitCode": 2, "result": {"loopId": "demo", "intent": "cancel", "status": "ambiguous"}}
    files.replace(places.of_manager(idempotency.NAME), files.bytes_of({"k": stored}))
    said = once(places, "k")
    assert (said.status, said.document) == (409, {**stored, "replayed": True})
    with pytest.raises(IdempotencyConflict):
        once(places, "k", bound=Bound.of("demo", "approve", {}))


@pytest.mark.parametrize("text", ['{"torn', "[]", "\xff"])
def test_keys_that_can_not_be_read_let_nothing_run(places: LoopPlaces, text: str) -> None:
    path = Path(places.of_manager(idempotency.NAME))
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="latin-1")
    with pytest.raises(IdempotencyUnreadable):
        once(places, "k", after=lambda: pytest.fail("it ran"))
    assert path.read_text(encoding="latin-1") == text


def test_no_lock_is_left_behind(places: LoopPlaces) -> None:
    for each in range(5):
        once(places, f"k-{each}")
    assert list(Path(places.of_manager(".service-keys")).iterdir()) == []


def test_what_fails_before_it_begins_leaves_no_key(places: LoopPlaces) -> None:
    def run(_: Callable[[], None]) -> Response:
        raise IdempotencyConflict

    with pytest.raises(IdempotencyConflict):
        idempotency.once(places, "k", BOUND, run, LOST)
    assert kept(places) == {}


def test_what_fails_after_it_has_begun_is_ambiguous_for_ever(places: LoopPlaces) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        once(places, "k", after=broken)
    said = once(places, "k", after=lambda: pytest.fail("it ran"))
    assert (said.status, said.document["result"]["status"], said.document["replayed"]) == (409, "ambiguous", True)


def test_a_reset_connection_is_not_called_a_failure(tmp_path: Path) -> None:
    with pretending(reset) as pretender:
        done = controlled(
            LoopPlaces.of(str(tmp_path), "demo"), Client(base=Base.of(pretender.url), attempts=2, backoff_seconds=0)
        )
    assert (done.document["status"], done.exit_code) == ("ambiguous", 2)
