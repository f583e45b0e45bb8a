"""The loop service as a process: its routes, who may ask, and that nobody who is slow, large or strange stops it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest

from interlock.access.models import Principal
from interlock.loops import sprite_server
from interlock.loops.sprite_server import Limits, Server
from interlock.loops.sprite_service import MOST_PAGE, Asked, Service
from interlock.loops.sprite_transport import POSITION
from tests.conftest import until
from tests.loops.sprite import TOKEN, Running, Runtime, Said, command, does, serving

ROUTES = [
    ("GET", "/healthz"),
    ("GET", "/ops/snapshot?loopId=demo"),
    ("GET", "/ops/events?loopId=demo"),
    ("POST", "/ops/control"),
    ("GET", "/nowhere"),
    ("DELETE", "/healthz"),
]


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose loop runs; tests of this module change nothing in it."""
    folder = tmp_path_factory.mktemp("served")
    does(folder, "start", "work")
    return folder


@pytest.fixture(scope="module")
def running(repo: Path) -> Generator[Running]:
    with serving(repo) as service:
        yield service


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return Runtime(tmp_path)


def error(said: Said) -> tuple[int, str]:
    assert said.json["ok"] is False
    assert set(said.json["error"]) >= {"code", "message"}
    assert "Traceback" not in said.body.decode()
    return said.status, said.json["error"]["code"]


# --- who may ask ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"X-Ops-Token": ""},
        {"X-Ops-Token": TOKEN + "x"},
        {"X-Ops-Token": "\xff"},
    ],
)
def test_every_route_wants_the_token(running: Running, method: str, path: str, headers: dict[str, str]) -> None:
    assert error(running.ask(method, path, headers=headers, token=None)) == (401, "unauthorized")


@pytest.mark.parametrize("headers", [{"Authorization": f"beARer {TOKEN}"}, {"X-Ops-Token": TOKEN}])
def test_the_token_is_shown_in_either_header(running: Running, headers: dict[str, str]) -> None:
    said = running.ask("GET", "/healthz", headers=headers, token=None)
    assert (said.status, said.json) == (200, {"ok": True})


def test_a_token_of_any_letters_opens_it(repo: Path) -> None:
    token = "schlüssel-\u2713"  # noqa: S105 - it opens nothing
    with serving(repo, env={"OPS_MANAGER_SERVICE_TOKEN": f" {token} "}) as running:
        assert running.client(token=token).get("/healthz").status == 200
        assert running.ask("GET", "/healthz", token=TOKEN).status == 401


@pytest.mark.proves("loop-service-token")
def test_defect_11_an_empty_token_opens_nothing(repo: Path) -> None:
    for token in ("", "  "):
        done = subprocess.run(
            command(repo, "--repo", str(repo), "--port", "0"),
            env={**os.environ, "OPS_MANAGER_SERVICE_TOKEN": token},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert done.returncode == 1
        assert done.stdout == ""
        assert "OPS_MANAGER_SERVICE_TOKEN" in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.proves("loop-service-token")
def test_defect_11_the_token_is_in_no_command_line_log_or_error(tmp_path: Path, runtime: Runtime) -> None:
    does(tmp_path, "start")
    secret = "not-to-be-seen-0123456789"  # noqa: S105 - it opens nothing
    runtime.be("hold")
    with serving(tmp_path, "--token", secret, runtime=runtime.path, env={"OPS_MANAGER_SERVICE_TOKEN": "other"}) as it:
        body = json.dumps({"loopId": "demo", "intent": "cancel", "timeoutSeconds": 0}).encode()
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(it.ask, "POST", "/ops/control", body, token=secret)
            until(lambda: bool(runtime.calls))
            seen = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True).stdout
            children = subprocess.run(["pgrep", "-f", str(runtime.path)], capture_output=True, text=True, check=True)
            environments = [Path(f"/proc/{pid}/environ").read_bytes() for pid in children.stdout.split()]
            runtime.be()
            assert asked.result(20).status == 200
        assert it.ask("GET", "/healthz", token=TOKEN).status == 401
        it.stop()
    assert environments
    told = [seen, it.out, it.err, *map(str, environments)]
    told += [each.read_text() for each in tmp_path.rglob("*") if each.is_file()]
    assert not [each for each in told if secret in each]


def test_defect_11_tokens_are_compared_in_constant_time(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return one == other

    monkeypatch.setattr("hmac.compare_digest", compare)
    service = of(repo)
    assert service.knows({"authorization": f"Bearer {TOKEN}"})
    assert not service.knows({"x-ops-token": "x" * 5000})
    assert not service.knows({})
    assert set(compared) == {(32, 32)}
    assert len(compared) == 6


def of(repo: Path) -> Service:
    return Service(
        repo=str(repo),
        root=str(repo),
        token=TOKEN,
        environment=dict(os.environ),
        principal=Principal.parse("human:ada"),
    )


# --- the routes -------------------------------------------------------------------------------------------------------


def test_health_is_answered_within_six_seconds_and_sigterm_ends_it_well(repo: Path) -> None:
    began = time.monotonic()
    with serving(repo) as service:
        assert service.ask("GET", "/healthz").json == {"ok": True}
        assert time.monotonic() - began < 6
        assert service.stop() == 0
    assert service.out.count("\n") == 1
    assert service.err == ""
    assert time.monotonic() - began < 8


def test_a_snapshot_is_the_raw_envelope(running: Running, repo: Path) -> None:
    said = running.ask("GET", "/ops/snapshot?loopId=demo", headers={"X-Trace-Id": "t-7"})
    assert (said.status, said.headers["x-trace-id"]) == (200, "t-7")
    found = said.json
    assert (found["envelopeType"], found["traceId"], found["run"]["status"]) == ("loop_run_snapshot", "t-7", "running")
    assert found["source"] == {"repoPath": str(repo), "loopId": "demo"}
    assert len(found["artifacts"]["events"]["sha256"]) == 64
    assert "ok" not in found
    assert "findings" not in found


def test_events_come_after_the_cursor_and_no_more_than_asked_for(running: Running) -> None:
    found = running.ask("GET", "/ops/events?loopId=demo&cursor=1&maxEvents=2", headers={"X-Trace-Id": "t-8"}).json
    assert list(found) == ["ok", "schemaVersion", "traceId", "source", "events", "cursor"]
    assert [each["sequence"]["value"] for each in found["events"]] == [2, 3]
    assert {each["traceId"] for each in found["events"]} == {"t-8"}
    assert (found["cursor"]["eventLineOffset"], found["cursor"]["eventLineCount"]) == (3, 4)
    assert len(running.ask("GET", "/ops/events?loopId=demo").json["events"]) == 4


def test_events_may_be_asked_for_up_to_a_line(running: Running) -> None:
    found = running.ask("GET", "/ops/events?loopId=demo&cursor=1&until=2")
    assert [each["sequence"]["value"] for each in found.json["events"]] == [2]
    assert found.json["cursor"]["eventLineOffset"] == found.json["cursor"]["eventLineCount"] == 2
    position = {POSITION: found.headers[POSITION.lower()]}
    for line, numbers in ((2, []), (3, [3]), (9, [3, 4])):
        said = running.ask("GET", f"/ops/events?loopId=demo&cursor=2&until={line}", headers=position)
        assert [each["sequence"]["value"] for each in said.json["events"]] == numbers


@pytest.mark.parametrize(
    "path",
    [
        "/ops/snapshot",
        "/ops/snapshot?loopId=",
        "/ops/events",
        "/ops/events?loopId=demo&cursor=x",
        "/ops/events?loopId=demo&cursor=-1",
        "/ops/events?loopId=demo&maxEvents=1.5",
        "/ops/events?loopId=demo&cursor=9999999999999999",
        "/ops/events?loopId=demo&loopId=other",
        "/ops/events?loopId=demo&until=%00",
        "/ops/events?" + "&".join(f"a{each}=1" for each in range(40)),
    ],
)
def test_a_request_that_is_not_right_is_400(running: Running, path: str) -> None:
    assert error(running.ask("GET", path)) == (400, "invalid_request")


@pytest.mark.parametrize(
    "body",
    [
        {"intent": "cancel"},
        {"loopId": "demo"},
        {"loopId": "demo", "intent": "destroy"},
        {"loopId": ["demo"], "intent": "cancel"},
        {"loopId": "demo", "intent": "cancel", "noConfirm": "yes"},
        {"loopId": "demo", "intent": "cancel", "timeoutSeconds": -1},
        {"loopId": "demo", "intent": "cancel", "timeoutSeconds": 10**9},
        {"loopId": "demo", "intent": "cancel", "intervalSeconds": True},
        {"loopId": "demo", "intent": "cancel", "by": 7},
        {"loopId": "demo", "intent": "cancel", "note": "a\0b"},
        {"loopId": "demo", "intent": "cancel", "by": "\ud800"},
        {"loopId": "demo", "intent": "cancel", "idempotencyKey": "k" * 257},
        {"loopId": "demo", "intent": "cancel", "idempotencyKey": 5},
        {"loopId": "demo", "intent": "cancel", "idempotencyKey": []},
        {"loopId": "demo", "intent": ["cancel"]},
        {"loopId": {}, "intent": "cancel"},
        ["demo"],
        "demo",
        None,
    ],
)
def test_a_control_that_is_not_right_is_400_and_runs_nothing(running: Running, repo: Path, body: object) -> None:
    said = running.ask("POST", "/ops/control", json.dumps(body).encode())
    assert error(said) == (400, "invalid_request")
    assert not (repo / ".superloop" / "ops-manager").exists()


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"{'a': 1}", b'{"a": NaN}x'])
def test_a_control_that_is_no_json_is_400(running: Running, body: bytes) -> None:
    assert error(running.ask("POST", "/ops/control", body)) == (400, "invalid_json")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/", (404, "not_found")),
        ("GET", "/ops/control", (404, "not_found")),
        ("POST", "/healthz", (404, "not_found")),
        ("PUT", "/healthz", (501, "unsupported_method")),
        ("BREW", "/healthz", (501, "unsupported_method")),
    ],
)
def test_what_is_not_there_is_answered_in_json(
    running: Running, method: str, path: str, expected: tuple[int, str]
) -> None:
    assert error(running.ask(method, path)) == expected


def test_artefacts_that_are_not_there_are_502_with_their_reason(running: Running) -> None:
    for path in ("/ops/snapshot?loopId=other", "/ops/events?loopId=other"):
        said = running.ask("GET", path)
        assert error(said) == (502, "runtime_error")
        assert said.json["error"]["reason"] == "artifact_missing"
        assert "required artifact root missing" in said.json["error"]["message"]


def test_a_cursor_beyond_the_log_is_502(running: Running) -> None:
    said = running.ask("GET", "/ops/events?loopId=demo&cursor=99")
    assert error(said) == (502, "runtime_error")
    assert "99" in said.json["error"]["message"]


@pytest.mark.parametrize("loop", ["../../../x", "..", "a/b", "/etc", "%2e%2e", "a b", "x" * 200, "\u202e", ".", "-x"])
def test_defect_14_a_loop_id_is_checked_before_anything(running: Running, repo: Path, loop: str) -> None:
    before = sorted(repo.parent.rglob("*"))
    for path in ("snapshot", "events"):
        assert error(running.ask("GET", f"/ops/{path}?loopId={quote(loop)}")) == (400, "invalid_request")
    said = running.ask("POST", "/ops/control", json.dumps({"loopId": loop, "intent": "cancel"}).encode())
    assert error(said) == (400, "invalid_request")
    assert sorted(repo.parent.rglob("*")) == before


def test_defect_14_a_trace_that_would_break_a_header_is_not_echoed(running: Running) -> None:
    said = running.ask("GET", "/ops/snapshot?loopId=demo", headers={"X-Trace-Id": "a b\tc"})
    assert said.json["traceId"] is None
    assert "x-trace-id" not in said.headers


def test_a_log_too_long_for_one_answer_is_answered_in_parts(tmp_path: Path) -> None:
    does(tmp_path, "start")
    log = tmp_path / ".superloop/loops/demo/events.jsonl"
    line = json.dumps({"timestamp": "2026-11-21T08:00:00Z", "event": "role_end", "message": "x" * 4000}) + "\n"
    with log.open("a") as file:
        file.write(line * (MOST_PAGE // 2000))
    with serving(tmp_path) as service:
        read, sizes = 0, list[int]()
        while True:
            said = service.ask("GET", f"/ops/events?loopId=demo&cursor={read}")
            sizes.append(len(said.body))
            read = said.json["cursor"]["eventLineOffset"]
            if read == said.json["cursor"]["eventLineCount"]:
                break
    assert read == MOST_PAGE // 2000 + 2
    assert len(sizes) > 1
    assert max(sizes) < 4 * MOST_PAGE


def test_a_line_that_is_no_event_does_not_block_the_others(tmp_path: Path) -> None:
    does(tmp_path, "start")
    with (tmp_path / ".superloop/loops/demo/events.jsonl").open("a") as file:
        file.write('{"torn\n\n')
    does(tmp_path, "work")
    with serving(tmp_path) as service:
        found = service.ask("GET", "/ops/events?loopId=demo").json
    assert [each["sequence"]["value"] for each in found["events"]] == [1, 2, 5, 6]
    assert found["invalidEvents"] == 1


# --- connections ------------------------------------------------------------------------------------------------------


def test_a_connection_is_kept_for_the_next_request(running: Running) -> None:
    with socket.create_connection(("127.0.0.1", running.port), 10) as sock:
        request = f"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Ops-Token: {TOKEN}\r\n\r\n".encode()
        for _ in range(3):
            sock.sendall(request)
            assert b'{"ok":true}' in sock.recv(65536)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 505),
        (b"GET http://[x/healthz HTTP/1.1\r\n@\r\nConnection: close\r\n\r\n", 400),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
        (b"POST /ops/control HTTP/1.1\r\n@\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", 400),
        (b"POST /ops/control HTTP/1.1\r\n@\r\nContent-Length: -5\r\n\r\n{}", 400),
        (b"POST /ops/control HTTP/1.1\r\n@\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"POST /ops/control HTTP/1.1\r\n@\r\nContent-Length: 10485760\r\n\r\n", 413),
    ],
)
def test_what_is_no_good_http_is_refused_in_json(running: Running, text: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", running.port), 10) as sock:
        sock.sendall(text.replace(b"@", f"X-Ops-Token: {TOKEN}".encode()))
        answer = b""
        while part := sock.recv(65536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert json.loads(body)["ok"] is False
    assert running.ask("GET", "/healthz").status == 200


def test_ten_megabytes_are_refused_before_they_are_read(running: Running) -> None:
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", running.port), 10) as sock:
        head = f"POST /ops/control HTTP/1.1\r\nX-Ops-Token: {TOKEN}\r\nContent-Length: 10485760\r\n\r\n"
        sock.sendall(head.encode())
        assert b" 413 " in sock.recv(65536)
    assert time.monotonic() - began < 5


def test_a_body_of_somebody_without_the_token_is_not_read(running: Running) -> None:
    with socket.create_connection(("127.0.0.1", running.port), 10) as sock:
        sock.sendall(b"POST /ops/control HTTP/1.1\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n")
        assert b" 401 " in sock.recv(65536)


def test_a_body_that_was_not_read_is_no_next_request(running: Running) -> None:
    inner = f"GET /healthz HTTP/1.1\r\nX-Ops-Token: {TOKEN}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", running.port), 10) as sock:
        sock.sendall(b"POST /ops/control HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(inner) + inner)
        answer = b""
        with suppress(ConnectionResetError):
            while part := sock.recv(65536):
                answer += part
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b" 401 " in answer


@pytest.fixture
def quick(repo: Path) -> Generator[Server]:
    """A service of which everything may take a fraction of a second, in this process."""
    server = Server(of(repo), "127.0.0.1", 0, limits=Limits(4, 0.4, 0.4, 0.8, 0.4, 1))
    stop = threading.Event()
    thread = threading.Thread(target=server.serve_until, args=(stop.is_set,))
    thread.start()
    yield server
    stop.set()
    thread.join(10)


def ended_after(sock: socket.socket, drip: bytes) -> float:
    """Send a byte now and then; return how long that was suffered."""
    began = time.monotonic()
    sock.settimeout(0.05)
    for each in range(200):
        try:
            sock.sendall(drip[each % len(drip) : each % len(drip) + 1])
            if not sock.recv(65536):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - began


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET /heal",
        b"GET /healthz HTTP/1.1\r\nX-Drip: ",
        f"POST /ops/control HTTP/1.1\r\nX-Ops-Token: {TOKEN}\r\nContent-Length: 500\r\n\r\n".encode(),
    ],
)
def test_whoever_drips_is_let_go(quick: Server, begun: bytes) -> None:
    with socket.create_connection(("127.0.0.1", quick.server_port), 10) as sock:
        sock.sendall(begun)
        assert ended_after(sock, b"x") < 3


def test_the_many_who_only_wait_make_room_for_one_who_asks(quick: Server) -> None:
    waiting = [socket.create_connection(("127.0.0.1", quick.server_port), 10) for _ in range(12)]
    with socket.create_connection(("127.0.0.1", quick.server_port), 10) as sock:
        sock.sendall(f"GET /healthz HTTP/1.1\r\nX-Ops-Token: {TOKEN}\r\nConnection: close\r\n\r\n".encode())
        assert b'{"ok":true}' in sock.recv(65536)
    for each in waiting:
        each.close()


def test_who_is_at_work_is_not_sent_away_for_another(quick: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    go, at_work, logged = threading.Event(), threading.Semaphore(0), list[object]()

    def told(level: str, message: str, **more: object) -> None:
        logged.append((level, message, more))

    def slow(_: Asked) -> object:
        at_work.release()
        go.wait(10)
        raise RuntimeError("secret inside")

    monkeypatch.setattr(quick.service, "answer", slow)
    monkeypatch.setattr(sprite_server, "log", told)
    request = f"GET /healthz HTTP/1.1\r\nX-Ops-Token: {TOKEN}\r\n\r\n".encode()
    busy = [socket.create_connection(("127.0.0.1", quick.server_port), 10) for _ in range(4)]
    for each in busy:
        each.sendall(request)
        assert at_work.acquire(timeout=10)
    with socket.create_connection(("127.0.0.1", quick.server_port), 10) as more:
        answer = more.recv(65536)
    assert b" 503 " in answer
    assert b'"overloaded"' in answer
    go.set()
    for each in busy:
        said = each.recv(65536)
        assert b" 500 " in said
        assert b"internal_error" in said
        assert b"secret inside" not in said
        each.close()
    assert logged[0] == ("error", "this should not have happened: RuntimeError", {"path": "/healthz"})


def test_stopping_does_not_wait_for_who_only_holds_a_connection(repo: Path) -> None:
    with serving(repo) as service, socket.create_connection(("127.0.0.1", service.port), 10) as sock:
        sock.sendall(b"GET /hea")
        began = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - began < 3


# --- beginning --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "--repo is required"),
        (["--repo", "/nowhere/at/all"], "repository not found"),
        (["--repo", "/etc", "--port", "99999"], "can listen"),
        (["--repo", "/etc", "--port", "-1"], "--port"),
        (["--repo", "/etc", "--tls-cert", "/etc/no"], "--tls-key"),
        (["--repo", "/etc", "--tls-cert", "/no/cert", "--tls-key", "/no/key"], "can not be used"),
        (["--nope"], "unknown argument: --nope"),
    ],
)
def test_what_can_not_begin_says_why_in_one_line(tmp_path: Path, words: list[str], told: str) -> None:
    done = subprocess.run(
        command(tmp_path, *words),
        env={**os.environ, "OPS_MANAGER_SERVICE_TOKEN": TOKEN},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_address_that_is_taken_is_told(running: Running, repo: Path) -> None:
    done = subprocess.run(
        command(repo, "--repo", str(repo), "--port", str(running.port), "--scripts-dir", "/anywhere"),
        env={**os.environ, "OPS_MANAGER_SERVICE_TOKEN": TOKEN},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 1
    assert "nobody can listen" in done.stderr


def test_the_heavy_libraries_stay_away_from_the_start() -> None:
    code = (
        "import sys; from interlock.loops import sprite_server; import interlock.cli.ops_manager;"
        "heavy = {'fastapi', 'pydantic', 'typer', 'uvicorn', 'psycopg', 'sqlite3'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[]"


def test_sigint_ends_it_too(repo: Path) -> None:
    with serving(repo) as service:
        assert service.stop(signal.SIGINT) == 0
