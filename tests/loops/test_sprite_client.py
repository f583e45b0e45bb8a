"""Asking a service: what is tried again, what never is, and what an error tells."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from interlock.kernel.errors import Invalid
from interlock.loops.sprite_client import AGAIN, Base, Client, ServiceAddressInvalid, ServiceRequestFailed
from tests.loops.sprite import TOKEN, Pretender, http, pretending

BINDS = {"X_Ops_Idempotency": "bound"}
CONTROL = b'{"loopId":"demo","intent":"cancel","idempotencyKey":"k-1"}'
DONE = http(200, {"ok": True, "exitCode": 0})
WELL = http(200, {"ok": True}, X_Ops_Idempotency="bound")


def client(pretender: Pretender | str, **more: Any) -> tuple[Client, list[float]]:  # noqa: ANN401 - the client's own types
    paused: list[float] = []
    url = pretender if isinstance(pretender, str) else pretender.url
    known: dict[str, Any] = {"token": TOKEN, "sleep": paused.append, **more}
    return Client(base=Base.of(url), **known), paused


def nobody() -> str:
    """Return an address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}"


def reset(sock: socket.socket) -> None:
    """End a connection after the request was read, as the kernel does for a process that was killed."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


def silent(sock: socket.socket) -> None:
    sock.recv(1)  # until the client goes


def paths(pretender: Pretender) -> list[str]:
    return [each.split(b" ")[1].decode() for each in pretender.heard]


def failed(deed: Callable[[], object]) -> ServiceRequestFailed:
    with pytest.raises(ServiceRequestFailed) as caught:
        deed()
    return caught.value


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_reading_is_tried_again_after_what_may_pass(status: int) -> None:
    with pretending(http(status, b"<html>"), http(status), http(200, {"a": 1})) as pretender:
        asking, paused = client(pretender)
        assert asking.get("/x").document == {"a": 1}
    assert paused == [1, 2]
    assert len(pretender.heard) == 3


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 404, 501])
def test_reading_is_not_tried_again_after_what_stays(status: int) -> None:
    with pretending(http(status, Location="http://127.0.0.1:1/")) as pretender:
        asking, paused = client(pretender)
        error = failed(lambda: asking.get("/x"))
    assert (error.status, paused, len(pretender.heard)) == (status, [], 1)


def test_what_the_service_says_could_not_be_read_is_not_asked_again() -> None:
    body = {"ok": False, "error": {"code": "runtime_error", "message": "m", "reason": "artifact_missing"}}
    with pretending(http(502, body)) as pretender:
        asking, _ = client(pretender)
        assert failed(lambda: asking.get("/x")).reason == "artifact_missing"
    assert len(pretender.heard) == 1


def test_defect_13_a_refused_connection_is_tried_again_until_somebody_is_there() -> None:
    url = nobody()
    port = int(url.rpartition(":")[2])
    listening: list[socket.socket] = []

    def come(_: float) -> None:
        sock = socket.create_server(("127.0.0.1", port))
        listening.append(sock)
        threading.Thread(target=Pretender([http(200, {"a": 1})]).serve, args=(sock,), daemon=True).start()

    asking, _ = client(url, sleep=come)
    assert asking.get("/x").document == {"a": 1}
    listening[0].close()


def test_defect_13_nobody_there_fails_after_all_attempts_and_says_so() -> None:
    asking, paused = client(url := nobody(), attempts=3)
    error = failed(lambda: asking.get("/healthz"))
    assert error.message == f"service request failed (method=GET url={url}/healthz code=000): Connection refused"
    assert paused == [1, 2]


def test_as_long_as_the_service_asks_for_is_waited_but_not_for_ever() -> None:
    with pretending(http(429, Retry_After="7"), http(503, Retry_After="86400"), http(200, {})) as pretender:
        asking, paused = client(pretender)
        asking.get("/x")
    assert paused == [7, 30]


@pytest.mark.parametrize("answer", [reset, b"", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", b"garbage\r\n\r\n"])
def test_an_answer_that_ends_early_is_no_answer(answer: Any) -> None:  # noqa: ANN401 - bytes or a deed
    with pretending(answer, http(200, {"a": 1})) as pretender:
        asking, _ = client(pretender)
        assert asking.get("/x").document == {"a": 1}


@pytest.mark.parametrize(
    "drip", [b"", b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"]
)
def test_an_answer_that_trickles_ends_at_its_time(drip: bytes) -> None:
    def trickle(sock: socket.socket) -> None:
        sock.sendall(drip)
        while True:
            sock.sendall(b"x")
            time.sleep(0.02)

    with pretending(trickle if drip else silent) as pretender:
        asking, _ = client(pretender, attempts=1, most_seconds=0.4)
        began = time.monotonic()
        error = failed(lambda: asking.get("/x"))
    assert time.monotonic() - began < 3
    assert error.message.endswith("code=000): timed out")


def test_an_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interlock.loops.sprite_client.MOST_ANSWER", 1000)
    with pretending(http(200, b"x" * 5000)) as pretender:
        asking, _ = client(pretender, attempts=1)
        assert "more than 1000 bytes" in failed(lambda: asking.get("/x")).message


def test_the_token_goes_in_both_headers_and_the_trace_beside_it() -> None:
    with pretending(http(200, {})) as pretender:
        asking, _ = client(pretender, trace_id="t-1")
        asking.get("/x")
    heard = pretender.heard[0].decode()
    assert f"Authorization: Bearer {TOKEN}\r\n" in heard
    assert f"X-Ops-Token: {TOKEN}\r\n" in heard
    assert "X-Trace-Id: t-1\r\n" in heard


def test_defect_14_a_trace_that_no_header_can_carry_is_not_sent() -> None:
    with pretending(http(200, {})) as pretender:
        asking, _ = client(pretender, trace_id="t\r\nX-Evil: 1")
        asking.get("/x")
    assert b"Evil" not in pretender.heard[0]


# --- errors -----------------------------------------------------------------------------------------------------------


def test_defect_11_an_error_does_not_repeat_the_token_even_if_the_service_does() -> None:
    with pretending(http(500, f"debug: Authorization: Bearer {TOKEN}".encode())) as pretender:
        asking, _ = client(pretender, attempts=1)
        error = failed(lambda: asking.get("/x"))
    assert TOKEN not in error.message
    assert "code=500): debug: Authorization: Bearer [token]" in error.message
    assert TOKEN not in repr(asking)


def test_an_error_tells_the_last_lines_of_what_was_answered() -> None:
    with pretending(http(404, "\n".join(map(str, range(100))).encode())) as pretender:
        asking, _ = client(pretender)
        told = failed(lambda: asking.get("/x")).message.partition("): ")[2].split("\n")
    assert (told[0], told[-1], len(told)) == ("60", "99", 40)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8787",
        "ftp://host",
        "http://",
        "http://user:pass@host",
        "http://host:port",
        "http://host:99999",
        "http://host/?q=1",
        "http://host/#f",
        "http://ho st",
        "http://host/\r\nX: y",
        "file:///etc/passwd",
    ],
)
def test_an_address_that_is_none_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ServiceAddressInvalid) as caught:
        Base.of(url)
    assert "pass" not in caught.value.message


def test_an_address_may_have_a_path_and_an_ipv6_host() -> None:
    assert Base.of("https://host/ops/") == ("https", "host", 443, "/ops", "https://host/ops")
    assert Base.of("http://[::1]:8787").shown == "http://[::1]:8787"


def test_a_token_of_several_lines_is_refused() -> None:
    with pytest.raises(Invalid):
        Client(base=Base.of("http://host"), token="a\r\nX-Evil: 1")  # noqa: S106 - it opens nothing


# --- a control is never blindly repeated ------------------------------------------------------------------------------


def test_a_control_is_posted_once_and_its_answer_returned() -> None:
    with pretending(DONE) as pretender:
        asking, _ = client(pretender)
        assert asking.post("/ops/control", CONTROL, bound=True).document == {"ok": True, "exitCode": 0}
    assert pretender.heard[0].endswith(CONTROL)
    assert AGAIN.encode() not in pretender.heard[0]


@pytest.mark.parametrize(("status", "code"), [(409, 2), (500, 1), (500, 124)])
def test_defect_12_an_answer_that_tells_what_came_of_it_is_final_whatever_its_status(status: int, code: int) -> None:
    with pretending(http(status, {"ok": False, "exitCode": code, "result": {}})) as pretender:
        asking, paused = client(pretender)
        assert asking.post("/ops/control", CONTROL, bound=True).status == status
    assert (len(pretender.heard), paused) == (1, [])


@pytest.mark.parametrize("bound", [True, False])
def test_a_control_that_was_certainly_not_received_is_posted_again(bound: bool) -> None:  # noqa: FBT001 - a case
    overloaded = http(503, {"ok": False, "error": {"code": "overloaded", "message": "m"}})
    with pretending(http(429), http(408), overloaded, DONE) as pretender:
        asking, _ = client(pretender, attempts=5)
        asking.post("/ops/control", CONTROL, bound=bound)
    assert paths(pretender) == ["/ops/control"] * 4


def test_a_control_to_nobody_is_tried_again_and_known_not_to_have_run() -> None:
    asking, paused = client(nobody())
    error = failed(lambda: asking.post("/ops/control", CONTROL, bound=True))
    assert (error.unknown, error.status, paused) == (False, 0, [1, 2])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 423])
def test_a_control_that_was_refused_is_not_posted_again(status: int) -> None:
    with pretending(http(status, {"ok": False, "error": {"code": "x", "message": "m"}})) as pretender:
        asking, _ = client(pretender)
        error = failed(lambda: asking.post("/ops/control", CONTROL, bound=True))
    assert (error.unknown, len(pretender.heard)) == (False, 1)


UNKNOWN = [reset, b"", http(500, b"<html>"), http(502, b"bad gateway"), http(503, b"<html>"), http(504)]


@pytest.mark.parametrize("answer", UNKNOWN)
def test_a_control_of_which_nobody_knows_is_posted_again_only_to_who_binds_keys(answer: Any) -> None:  # noqa: ANN401 - bytes or a deed
    with pretending(answer, WELL, DONE) as pretender:
        asking, _ = client(pretender)
        asking.post("/ops/control", CONTROL, bound=True)
    assert paths(pretender) == ["/ops/control", "/healthz", "/ops/control"]
    assert f"{AGAIN}: 2".encode() in pretender.heard[2]


@pytest.mark.parametrize("answer", UNKNOWN)
def test_a_control_of_which_nobody_knows_is_never_repeated_to_a_service_that_does_not_say_so(answer: Any) -> None:  # noqa: ANN401 - bytes or a deed
    with pretending(answer, http(200, {"ok": True})) as pretender:
        asking, _ = client(pretender)
        error = failed(lambda: asking.post("/ops/control", CONTROL, bound=True))
    assert error.unknown
    assert paths(pretender) == ["/ops/control", "/healthz"]


@pytest.mark.parametrize("answer", UNKNOWN)
def test_a_control_without_a_key_of_which_nobody_knows_is_never_repeated(answer: Any) -> None:  # noqa: ANN401 - bytes or a deed
    with pretending(answer, WELL) as pretender:
        asking, _ = client(pretender)
        assert failed(lambda: asking.post("/ops/control", CONTROL, bound=False)).unknown
    assert paths(pretender) == ["/ops/control"]


def test_what_is_unknown_stays_so_whatever_a_later_attempt_says() -> None:
    with pretending(reset, WELL, http(401, {"ok": False, "error": {"code": "unauthorized"}})) as pretender:
        asking, _ = client(pretender)
        error = failed(lambda: asking.post("/ops/control", CONTROL, bound=True))
    assert (error.unknown, error.status) == (True, 401)


def test_a_service_that_went_and_came_back_is_asked_again() -> None:
    with pretending(reset, http(503), WELL, DONE) as pretender:
        asking, _ = client(pretender, attempts=4)
        asking.post("/ops/control", CONTROL, bound=True)
    assert paths(pretender) == ["/ops/control", "/healthz", "/healthz", "/ops/control"]


def test_a_control_whose_time_is_over_is_unknown() -> None:
    with pretending(silent) as pretender:
        asking, _ = client(pretender, attempts=1, most_seconds=0.2)
        error = failed(lambda: asking.post("/ops/control", CONTROL, bound=True))
    assert error.unknown
    assert json.loads(pretender.heard[0].partition(b"\r\n\r\n")[2])["idempotencyKey"] == "k-1"


def test_an_answer_that_came_before_everything_was_sent_is_heard() -> None:
    def early(sock: socket.socket) -> None:
        sock.sendall(http(413, {"ok": False, "error": {"code": "too_large", "message": "m"}}))

    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            sock, _ = listening.accept()
            with sock:
                sock.recv(100)
                early(sock)
                time.sleep(0.2)

        threading.Thread(target=serve, daemon=True).start()
        asking, _ = client(f"http://127.0.0.1:{listening.getsockname()[1]}", attempts=1)
        error = failed(lambda: asking.post("/ops/control", b"x" * 50_000_000, bound=True))
    assert not error.unknown
