"""What no honest client sends."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import ExitStack, closing

import pytest

from interlock.http import protocol
from tests.conftest import until
from tests.http.served import Served, everything, told

JSON = {"Content-Type": "application/json"}
DEEP = b'{"prompt": "p", "context": ' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}"
DEEPISH = b'{"prompt": "p", "context": ' + b'{"a":' * 400 + b"1" + b"}" * 400 + b"}"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (DEEP, "malformed_json"),
        (DEEPISH, None),
        (b'{"prompt": "a\\u0000b"}', "malformed_text"),
        (b'{"prompt": "a\\ud800b"}', "malformed_text"),
        (b'{"prompt": "p", "context": {"\\udfff": 1}}', "malformed_text"),
        (b'{"prompt": "p", "prompt": "q"}', "malformed_json"),
        (b'{"prompt": "p", "context": {"n": 1' + b"0" * 400 + b"}}", "malformed_json"),
        (b'{"prompt": "p", "context": {"n": 9007199254740993}}', "malformed_json"),
        (b'{"prompt": "p", "context": {"n": 1e400}}', "malformed_json"),
        (b'{"prompt": "p", "context": {"n": NaN}}', "malformed_json"),
        (b'{"prompt": "p", "context": {"n": 1.5}}', None),
        (b'{"prompt": "\xff"}', "malformed_json"),
        (b'\xef\xbb\xbf{"prompt": "p"}', "malformed_json"),
        ('{"prompt": "p"}'.encode("utf-16"), "malformed_json"),
        (b'{"prompt": 1}', "not_valid"),
        (b'{"prompt": null}', "not_valid"),
        (b"null", "not_valid"),
        (b"[]", "not_valid"),
        (b"   ", "malformed_json"),
        (b"", "not_valid"),
        (b'{"prompt": "p"} {"prompt": "q"}', "malformed_json"),
    ],
)
def test_a_body_that_can_not_be_kept_exactly_is_refused(shared: Served, body: bytes, code: str | None) -> None:
    told(shared.client().post("/ops/drafts", content=body, headers=JSON), 422, code)


def test_a_backslash_before_u0000_is_no_nul(shared: Served) -> None:
    made = shared.client().post("/ops/drafts", content=b'{"prompt": "a\\\\u0000 \\u00e4"}', headers=JSON)
    assert made.status_code == 201
    assert made.json()["prompt"] == "a\\u0000 ä"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/ops/queue/items", {"task": "t", "success_criteria": "s", "not_before_ms": 2**53}),
        ("POST", "/ops/queue/items", {"task": "t", "success_criteria": "s", "max_attempts": 10**12}),
        ("POST", "/ops/queue/items", {"task": "t" * 100_000, "success_criteria": "s"}),
        ("POST", "/ops/queue/items", {"task": "t", "success_criteria": "s", "priority": "P9"}),
        ("POST", "/ops/queue/items", {"task": "t", "success_criteria": "s", "concurrency_key": "k" * 10_000}),
        ("POST", "/ops/queue/claim", {"owner_session": ""}),
        ("POST", "/ops/queue/claim", {"owner_session": "o" * 100_000}),
        ("PUT", "/ops/queue/pause", {"reason": "r" * 100_000}),
        ("PUT", "/ops/queue/pause", {"reason": "", "until_ms": 2**53}),
        ("PUT", "/ops/panic", {"reason": "r" * 100_000}),
        ("POST", "/ops/tokens", {"name": "n" * 100_000, "role": "admin"}),
        ("POST", "/ops/tokens", {"name": "n", "role": "root"}),
        ("POST", "/ops/tokens", {"name": "n", "role": "admin", "principal": "human:eve"}),
        ("POST", "/ops/runs", {"approved_id": "../drafts/d_01ARZ3NDEKTSV4RRFFQ69G5FAV"}),
        ("POST", "/ops/runs", {"approved_id": "a_" + "A" * 100_000}),
        ("PUT", "/ops/plan", {"tasks": "none"}),
        ("POST", "/ops/drafts", {"prompt": "p", "work": {"limits": {"seconds": -1}}}),
        ("POST", "/ops/drafts", {"prompt": "p", "work": {"command": "'"}}),
        ("POST", "/ops/drafts", {"prompt": "p", "work": {"repository": "somewhere"}}),
        ("POST", "/ops/drafts", {"prompt": "p", "work": {"environment": ["A=B"]}}),
        ("POST", "/ops/drafts", {"prompt": "p", "context": {"ä": 1}}),
        ("PUT", "/ops/provider", {"active": "nobody"}),
    ],
)
def test_a_value_out_of_its_bounds_is_refused_and_is_no_accident(
    shared: Served, method: str, path: str, body: object
) -> None:
    answer = shared.client().request(method, path, json=body)
    assert answer.status_code in {403, 404, 409, 422}, answer.text
    told(answer, answer.status_code)


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=x", "limit=1e3", "before=%00", "status=nothing", "text=%00", "before=" + "a" * 65],
)
@pytest.mark.parametrize("path", ["/ops/drafts", "/ops/runs", "/ops/audit", "/ops/queue/items", "/ops/approved"])
def test_a_wrong_parameter_is_refused(shared: Served, path: str, query: str) -> None:
    answer = shared.client().get(f"{path}?{query}")
    if answer.status_code != 200:  # a parameter that the route does not have
        told(answer, 422)
    else:
        assert query.partition("=")[0] in {"status", "before", "text"}
        assert "%00" not in query


def test_what_was_sent_is_not_sent_back(shared: Served) -> None:
    answer = shared.client().post("/ops/drafts", json={"prompt": ["s3cret-value"], "s3cret-value": 1})
    assert "s3cret-value" not in told(answer, 422)["detail"]
    assert answer.text.count("s3cret-value") <= 1  # the name of an unknown field is said, to be found


def test_a_header_can_not_smuggle_another_one_into_the_answer(shared: Served) -> None:
    for value in (b"a\r\nX-Evil: 1", b"a%0d%0aX-Evil: 1", b"a\x00b", b"a\nX-Evil: 1"):
        said = shared.raw(
            b"GET /status HTTP/1.1\r\nHost: h\r\n" + shared.bearer() + b"X-Correlation-ID: " + value + b"\r\n"
            b"Connection: close\r\n\r\n"
        )
        assert said.startswith((b"HTTP/1.1 200", b"HTTP/1.1 400"))
        assert b"x-evil" not in said.partition(b"\r\n\r\n")[0].lower()


def test_what_is_no_http_is_refused_in_our_shape_and_the_connection_ends(shared: Served) -> None:
    long = b"GET /status HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 400_000 + b"\r\n\r\n"
    for data in (
        b"\x16\x03\x01 hello\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        long,
        b"GET /\x00 HTTP/1.1\r\nHost: h\r\n\r\n",
    ):
        head, _, body = shared.raw(data).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400")
        assert b"application/problem+json" in head
        assert json.loads(body)["code"] == "bad_request"


def test_requests_that_are_sent_at_once_are_answered_in_their_order(shared: Served) -> None:
    one = b"GET /ops/me HTTP/1.1\r\nHost: h\r\n" + shared.bearer() + b"X-Correlation-ID: n%d\r\n\r\n"
    last = one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    said = shared.raw(b"".join(one % n for n in range(20)) + last % 20)
    assert said.count(b"HTTP/1.1 200 OK") == 21
    places = [said.index(b"x-correlation-id: n%d\r\n" % n) for n in range(21)]
    assert places == sorted(places)


def test_a_body_of_unknown_length_is_bounded_too(shared: Served) -> None:
    client = shared.client()
    told(client.post("/ops/drafts", content=(b"a" * 65_536 for _ in range(50)), headers=JSON), 413, "body_too_large")
    two = b"POST /ops/drafts HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert b"HTTP/1.1 201" not in shared.raw(two, seconds=1)


def test_who_holds_half_a_request_open_is_dropped_and_hinders_nobody(
    shared: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 1.0)
    monkeypatch.setattr(protocol, "BODY_SECONDS", 1.5)
    head = b"GET /status HTTP/1.1\r\nHost: h\r\n"
    body = b"POST /ops/drafts HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 100\r\n"
    begun = [b"", b"GET", head, body + shared.bearer() + b"\r\n{"]
    with ExitStack() as stack:
        held = [stack.enter_context(closing(shared.connect())) for _ in range(60) for _ in begun]
        for connection, data in zip(held, begun * 60, strict=True):
            connection.sendall(data)
        dripping = stack.enter_context(closing(shared.connect()))
        began = time.monotonic()
        assert shared.client().get("/status").status_code == 200
        assert time.monotonic() - began < 1.0
        _drip(dripping, head)
        assert time.monotonic() - began < 8.0
        for connection in held:
            assert everything(connection) == b""
        assert time.monotonic() - began < 10.0


def _drip(connection: socket.socket, data: bytes) -> None:
    """Send one byte after another until the other side has had enough."""
    for place in range(200):
        try:
            connection.sendall(data[place % len(data) : place % len(data) + 1])
        except OSError:
            return
        time.sleep(0.05)
    pytest.fail("nobody had enough")


def test_a_thousand_connections_do_not_keep_others_out(shared: Served) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(closing(shared.connect())) for _ in range(1000)]
        assert shared.client().get("/status").status_code == 200
        request = b"GET /ops/me HTTP/1.1\r\nHost: h\r\n" + shared.bearer() + b"Connection: close\r\n\r\n"
        for connection in held[:100]:
            connection.sendall(request)
        assert all(everything(connection).startswith(b"HTTP/1.1 200") for connection in held[:100])


def test_who_does_not_take_the_answer_is_dropped(shared: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "STALL_SECONDS", 0.5)
    for _ in range(6):
        shared.draft("a" * 1_000_000)
    with closing(socket.socket()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", shared.port))
        before = len(shared.server.server_state.connections)
        connection.sendall(b"GET /ops/drafts HTTP/1.1\r\nHost: h\r\n" + shared.bearer() + b"\r\n")
        until(lambda: len(shared.server.server_state.connections) > before - 1)
        mine = connection.getsockname()
        until(lambda: mine not in shared.peers(), 8)


def test_slow_requests_of_some_do_not_hold_up_the_panic_of_others(served: Served) -> None:
    """A thread for every handler that hangs, and still one for who has to be proven."""
    held = [threading.Thread(target=served.follower.follow) for _ in range(4)]
    for thread in held:
        thread.start()
    assert served.client().put("/ops/panic", json={"reason": "enough"}).status_code == 200
    for thread in held:
        thread.join()
