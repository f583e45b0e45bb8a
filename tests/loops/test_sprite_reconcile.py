"""Reconciling over a service: what it can not have, or can not believe, it says; it never stops without a verdict."""

from __future__ import annotations

import json
import random
import ssl
import subprocess
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.access.models import Principal
from interlock.loops import files, polling, sprite_server, sprite_service
from interlock.loops.files import Document
from interlock.loops.health import Thresholds
from interlock.loops.reconcile import Outcome, ReconcileOptions, reconcile
from interlock.loops.sprite_client import Base, Client
from interlock.loops.sprite_server import Server
from interlock.loops.sprite_service import Service
from interlock.loops.sprite_transport import SpriteService
from tests.loops.loop import PROFILES, Loop
from tests.loops.sprite import TOKEN, Pretender, Running, http, pretending, serving
from tests.loops.test_reconcile_anything import AROUND, half_written, odd, replace_somewhere, steps
from tests.loops.test_sprite_client import nobody, reset


def over(loop: Loop, url: str, **more: Any) -> Outcome:  # noqa: ANN401 - the options' own types
    """Reconcile over a service."""
    token = more.pop("token", TOKEN)
    client = Client(base=Base.of(url), token=token, attempts=more.pop("attempts", 1), backoff_seconds=0)
    asked: dict[str, Any] = {"trace_id": "t-1", "profiles": PROFILES, "thresholds": Thresholds("balanced"), **more}
    return reconcile(loop.places, ReconcileOptions(**asked), SpriteService(client), lambda: loop.now * 1000)


@pytest.fixture
def running(tmp_path: Path) -> Generator[Running]:
    with serving(tmp_path) as service:
        yield service


def verdict(loop: Loop, outcome: Outcome) -> tuple[str, list[str]]:
    """Return failure code and reasons of a reconcile that could not read; everything has to be written down."""
    assert outcome.exit_code == 1
    assert outcome.document == loop.kept("health.json")
    (row,) = loop.rows("telemetry/reconcile.jsonl")[-1:]
    assert (row["status"], row["transport"], row["traceId"]) == ("failed", "sprite_service", "t-1")
    assert row["failureMessage"]
    assert loop.kept("telemetry/transport-health.json")["lastResult"] == "failed"
    return row["failureCode"], outcome.document["reasonCodes"]


# --- it works ---------------------------------------------------------------------------------------------------------


def test_it_writes_the_cursor_and_every_row_says_by_which_way(loop: Loop, running: Running) -> None:
    outcome = over(loop.running().beat(), running.url)
    assert outcome.exit_code == 0
    assert loop.kept("cursor.json") == polling.cursor(loop.places, 2, 2, loop.now)
    assert (loop.manager / "cursor.json").read_text().startswith('{\n  "')
    for name in ("reconcile", "heartbeat", "sequence"):
        assert loop.rows(f"telemetry/{name}.jsonl")[-1]["transport"] == "sprite_service"
    assert outcome.document["evidence"]["lastEventEnvelope"]["traceId"] == "t-1"
    assert loop.kept("telemetry/transport-health.json")["transport"] == "sprite_service"


def test_a_trace_that_no_header_can_carry_is_filed_all_the_same(loop: Loop, running: Running) -> None:
    outcome = over(loop.running(), running.url, trace_id="my trace")
    assert outcome.document["trace"]["reconcileTraceId"] == "my trace"
    assert outcome.document["evidence"]["lastEventEnvelope"]["traceId"] == "my trace"


def test_the_ways_may_be_changed_at_any_time_and_no_event_is_read_twice(loop: Loop, running: Running) -> None:
    loop.running()
    for turn in range(6):
        loop.events("role_start", "role_end")
        outcome = over(loop, running.url) if turn % 2 else loop.reconcile()
        assert outcome.document["sequence"]["violations"] == []
    assert [row["eventsIngested"] for row in loop.rows("telemetry/reconcile.jsonl")] == [4, 2, 2, 2, 2, 2]


@pytest.fixture(scope="module")
def paging(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    """A service in this process, which answers no more than a few events at once."""
    folder = tmp_path_factory.mktemp("paging")
    service = Service(
        repo=str(folder), root=str(folder), token=TOKEN, environment={}, principal=Principal.parse("human:ada")
    )
    server, stop = Server(service, "127.0.0.1", 0), threading.Event()
    thread = threading.Thread(target=server.serve_until, args=(stop.is_set,))
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sprite_service, "MOST_PAGE", 300)
        yield server
    stop.set()
    thread.join(10)


@pytest.mark.timeout(300)
@settings(deadline=None, max_examples=60)
@given(steps)
def test_every_event_is_read_once_in_however_many_parts(
    tmp_path_factory: pytest.TempPathFactory, paging: Server, happened: list[str | int]
) -> None:
    loop = Loop(tmp_path_factory.mktemp("loop")).raw(b"")
    paging.service.repo = str(loop.repo)
    written = 0
    for each in happened:
        if each in AROUND:
            AROUND[str(each)](loop)
        elif each == "half":
            half_written(loop)
            written += 1
        elif isinstance(each, str):
            loop.events(*[each] * 5)
            written += 5
        over(loop, paging.url, max_events=each if isinstance(each, int) else 0)
    for path in (loop.repo / ".superloop" / "state.json", loop.run / "run-summary.json"):
        path.unlink(missing_ok=True)
    assert over(loop, paging.url).exit_code == 0
    # `half` reconciles the local way in between
    assert sum(row["eventsIngested"] for row in loop.rows("telemetry/reconcile.jsonl")) == written
    assert over(loop, paging.url, from_start=True).document["sequence"]["violations"] == []
    assert loop.rows("telemetry/reconcile.jsonl")[-1]["eventsIngested"] == written


def test_a_replay_in_parts_of_an_intact_log_finds_nothing_wrong(loop: Loop, running: Running) -> None:
    over(loop.running().events("role_start", "role_end"), running.url)
    for step in range(4):
        outcome = over(loop, running.url, from_start=not step, max_events=1)
        assert outcome.document["sequence"]["violations"] == []
        assert loop.kept("cursor.json")["eventLineOffset"] == step + 1


def test_where_it_was_in_a_long_log_is_kept_for_the_next_time(loop: Loop, running: Running) -> None:
    loop.running().raw(json.dumps(loop.event("role_end", message="x" * 200)).encode().join([b"", b"\n"]) * 20_000)
    over(loop, running.url)
    position = loop.kept(".position.json")
    assert position["read"] == position["end"]
    assert position["read"]["lines"] == 20_002
    loop.events("role_start")
    assert over(loop, running.url).document["cursor"]["eventLineOffset"] == 20_003
    assert loop.kept(".position.json")["read"]["lines"] == 20_003


def test_a_log_that_was_rewritten_to_the_same_length_is_seen_over_the_service_too(loop: Loop, running: Running) -> None:
    over(loop.running(), running.url)
    loop.log.write_bytes(b"")
    loop.events("role_start", "role_end")
    outcome = over(loop, running.url)
    assert outcome.document["divergence"]["flags"]["cursorRegression"] is True
    assert loop.rows("telemetry/reconcile.jsonl")[-1]["eventsIngested"] == 2


# --- it does not work -------------------------------------------------------------------------------------------------


def test_nobody_there_is_transport_unreachable_as_it_is_here(loop: Loop) -> None:
    assert verdict(loop, over(loop, nobody())) == ("service_request_failed", ["transport_unreachable"])
    other = Loop(loop.repo, id="other")
    other.run.rmdir()
    assert other.reconcile().document["reasonCodes"] == ["transport_unreachable"]


def test_a_wrong_token_is_transport_unreachable_and_not_told(loop: Loop, running: Running) -> None:
    outcome = over(loop.running(), running.url, token="not-this-one")  # noqa: S106 - it opens nothing
    assert verdict(loop, outcome) == ("service_request_failed", ["transport_unreachable"])
    for path in loop.manager.rglob("*"):
        assert path.is_dir() or "not-this-one" not in path.read_text()
    assert "service request failed" in loop.rows("telemetry/reconcile.jsonl")[-1]["failureMessage"]
    assert "code=401" in loop.rows("telemetry/reconcile.jsonl")[-1]["failureMessage"]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<html>",
        http(200, b"<html>it works</html>"),
        http(200, b""),
        http(200, b"[]"),
        http(200, b'"text"'),
        http(200, b"{" * 5000),
        http(200, b'{"a":' * 2000 + b"1" + b"}" * 2000),
        http(200, b"\xff\xfe"),
        http(200, {"ok": True}),
        http(200, {"schemaVersion": "v1", "envelopeType": "loop_run_snapshot", "source": {"loopId": "other"}}),
        http(200, {"schemaVersion": "v2", "envelopeType": "loop_run_snapshot", "source": {"loopId": "docs"}}),
        http(200, {"schemaVersion": "v1", "envelopeType": "loop_run_snapshot", "source": {"loopId": "docs"}}),
    ],
)
def test_defect_15_a_snapshot_that_is_none_is_an_invalid_payload_and_no_abort(loop: Loop, answer: bytes) -> None:
    with pretending(answer) as pretender:
        outcome = over(loop, pretender.url)
    assert verdict(loop, outcome) == ("service_response_invalid", ["invalid_transport_payload"])


@pytest.mark.parametrize("answer", [http(500, b"<html>"), http(502), http(404), http(302, Location="/"), reset, b""])
def test_defect_15_an_error_of_the_service_is_transport_unreachable_and_no_abort(
    loop: Loop,
    answer: Any,  # noqa: ANN401 - bytes or a deed
) -> None:
    with pretending(answer) as pretender:
        outcome = over(loop, pretender.url)
    assert verdict(loop, outcome) == ("service_request_failed", ["transport_unreachable"])


SNAPSHOT: Document = {
    "schemaVersion": "v1",
    "envelopeType": "loop_run_snapshot",
    "source": {"loopId": "docs", "repoPath": "/elsewhere"},
    "run": {"status": "running", "runId": "r", "iteration": 1, "summary": None},
    "runtime": {"superloopState": {"active": True, "current_loop_id": "docs"}, "heartbeat": {"timestamp": "x"}},
    "sequence": {"source": "cursor_event_line_offset", "value": 1},
    "cursor": {"eventLineOffset": 1, "eventLineCount": 1},
    "health": {"lastEventName": "role_start", "lastEventAt": "2026-11-18T11:06:40Z"},
    "artifacts": {},
}
EVENT: Document = {
    "schemaVersion": "v1",
    "envelopeType": "loop_run_event",
    "source": {"loopId": "docs"},
    "sequence": {"value": 1},
    "event": {"name": "role_start", "timestamp": "2026-11-18T11:06:40Z", "raw": {}},
}
EVENTS: Document = {"ok": True, "events": [EVENT], "cursor": {"eventLineOffset": 1, "eventLineCount": 1}}


WRONG: list[Document] = [
    {"ok": False},
    {"ok": "yes"},
    {"events": None},
    {"events": {}},
    {"events": [1]},
    {"events": [None, EVENT]},
    {"events": [{**EVENT, "source": {"loopId": "other"}}]},
    {"events": [{**EVENT, "event": {}}]},
    {"cursor": None},
    {"cursor": {"eventLineOffset": 1}},
    {"cursor": {"eventLineOffset": -1, "eventLineCount": 1}},
    {"cursor": {"eventLineOffset": 5, "eventLineCount": 1}},
    {"cursor": {"eventLineOffset": "one", "eventLineCount": 1}},
]


@pytest.mark.parametrize("wrong", WRONG)
def test_defect_15_events_that_are_none_move_no_cursor(loop: Loop, wrong: Document) -> None:
    with pretending(http(200, SNAPSHOT), http(200, EVENTS | wrong)) as pretender:
        outcome = over(loop, pretender.url)
    assert verdict(loop, outcome) == ("service_response_invalid", ["invalid_transport_payload"])
    assert not (loop.manager / "cursor.json").exists()


def test_a_service_of_the_contract_alone_is_enough(loop: Loop) -> None:
    with pretending(http(200, SNAPSHOT), http(200, EVENTS)) as pretender:
        outcome = over(loop, pretender.url)
    assert outcome.exit_code == 0
    assert outcome.document["transition"]["triggeringSignal"] == "event:role_start"
    assert loop.kept("cursor.json")["eventLineOffset"] == 1
    assert not (loop.manager / ".position.json").exists()


def test_a_log_that_got_shorter_at_a_service_of_the_contract_alone_is_read_from_its_start(loop: Loop) -> None:
    files.replace(loop.places.of_manager("cursor.json"), files.bytes_of(polling.cursor(loop.places, 9, 9, loop.now)))
    with pretending(http(200, SNAPSHOT), http(200, EVENTS)) as pretender:
        outcome = over(loop, pretender.url)
    assert b"cursor=0&" in pretender.heard[1]
    assert outcome.document["divergence"]["flags"]["cursorRegression"] is True


def test_defect_15_whatever_a_service_answers_there_is_a_verdict(tmp_path_factory: pytest.TempPathFactory) -> None:
    pretender = Pretender([b""])

    @settings(deadline=None, max_examples=300)
    @given(st.randoms(use_true_random=False), odd, st.booleans())
    def check(dice: random.Random, value: object, first: bool) -> None:  # noqa: FBT001 - a case
        loop = Loop(tmp_path_factory.mktemp("loop"))
        snapshot, events = json.loads(json.dumps([SNAPSHOT, EVENTS]))
        replace_somewhere(snapshot if first else events, value, dice)
        answers = [http(200, files.bytes_of(each)) for each in (snapshot, events)]
        pretender.answers = [*answers]
        for _ in range(2):
            outcome = over(loop, url)
            assert files.parsed(files.bytes_of(outcome.document)) is not None
            assert outcome.exit_code in {0, 1}
            pretender.answers = [*answers]

    with pretending(b"") as it:
        pretender, url = it, it.url
        check()


def test_a_service_that_recovers_ends_the_outage(loop: Loop, running: Running) -> None:
    loop.running()
    with pretending(http(500, b"<html>"), http(200, b"garbage")) as pretender:
        over(loop, pretender.url)
        over(loop, pretender.url)
    assert loop.kept("telemetry/transport-health.json")["failureStreak"] == 2
    outcome = over(loop, running.url)
    assert (outcome.exit_code, outcome.document["health"]["status"]) == (0, "healthy")
    assert outcome.document["projection"]["status"] == "running"
    assert loop.kept("telemetry/transport-health.json")["failureStreak"] == 0
    assert loop.escalated() == ["health_degraded", "health_degraded"]


def test_a_service_that_is_killed_and_started_again_is_one_failure(loop: Loop, running: Running) -> None:
    loop.running()
    assert over(loop, running.url).exit_code == 0
    running.stop(9)
    assert over(loop, running.url).document["reasonCodes"] == ["transport_unreachable"]
    with serving(loop.repo, "--port", str(running.port)):
        assert over(loop, running.url).exit_code == 0


@pytest.mark.parametrize("name", ["state.json", "loops/docs/run-summary.json", "loops/docs/approval.json"])
def test_an_artefact_that_is_corrupt_over_there_is_not_an_outage(loop: Loop, running: Running, name: str) -> None:
    (loop.running().repo / ".superloop" / name).write_text('{"torn')
    assert verdict(loop, over(loop, running.url)) == ("artifact_corrupt", ["artifact_corrupt"])
    assert loop.kept("telemetry/transport-health.json")["failureStreak"] == 0


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that we have made ourselves."""
    folder = tmp_path_factory.mktemp("tls")
    paths = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=loops", "-addext", "subjectAltName=IP:127.0.0.1", "-out", paths[0], "-keyout", paths[1]],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    return paths


def test_over_tls_a_certificate_that_is_trusted_is_enough(
    loop: Loop, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--tls-cert", str(certificate[0]), "--tls-key", str(certificate[1]))
    with serving(loop.running().repo, *words) as running:
        assert running.url.startswith("https://")
        untrusted = over(loop, running.url)
        assert untrusted.document["reasonCodes"] == ["transport_unreachable"]
        assert "certificate is not trusted" in loop.rows("telemetry/reconcile.jsonl")[-1]["failureMessage"]
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        assert over(loop, running.url).exit_code == 0
        assert over(loop, running.url.replace("127.0.0.1", "localhost")).exit_code == 1  # it is not its name
        assert over(loop, running.url.replace("https", "http")).exit_code == 1
        assert running.stop() == 0
    assert running.err == ""


def test_tls_is_never_older_than_one_point_two(certificate: tuple[Path, Path]) -> None:
    context = sprite_server.tls_of(*map(str, certificate))
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_a_key_that_is_another_s_is_refused(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True, timeout=30)
    with pytest.raises(sprite_server.CertificateInvalid):
        sprite_server.tls_of(str(certificate[0]), str(key))
