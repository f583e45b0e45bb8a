"""`GET /ops/events`: every change once, in its order, to everybody who takes it."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import islice
from typing import Any

import httpx2
import pytest

from interlock.http import live, protocol
from tests.conftest import ALICE, until
from tests.http.served import Served, told

Said = tuple[int, dict[str, Any]]


@contextmanager
def follow(served: Served, **more: Any) -> Generator[Iterator[Said]]:  # noqa: ANN401 - httpx2's own
    """Follow the events."""
    level(served)
    with served.client("actions", "service").stream("GET", "/ops/events", **more) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield events(answer)


def events(answer: httpx2.Response) -> Iterator[Said]:
    index = -1
    for line in answer.iter_lines():
        if line.startswith("id: "):
            index = int(line[4:])
        if line.startswith("data: "):
            yield index, json.loads(line[6:])


def level(served: Served) -> None:
    """Wait until the server has seen what is in the log: who follows from now on begins there."""
    app: Any = served.server.config.app
    until(lambda: app.state.tail.size == served.house.event_log.size())


def write(served: Served, count: int) -> None:
    for number in range(count):
        served.house.approval.create(ALICE, f"p {number}")


def test_what_happens_is_seen_at_once_and_by_nobody_without_a_token(served: Served) -> None:
    told(served.anybody().get("/ops/events"), 401)
    told(served.client().get("/ops/events", headers={"Last-Event-ID": "x"}), 422)
    with follow(served) as following:
        draft_id = served.draft()
        index, event = next(following)
        assert (event["kind"], event["subject"], event["index"]) == ("draft.created", draft_id, index)


def test_going_on_from_the_last_id_loses_and_doubles_nothing_while_others_write(any_served: Served) -> None:
    size = any_served.house.event_log.size()
    writers = [threading.Thread(target=write, args=(any_served, 15)) for _ in range(3)]
    for writer in writers:
        writer.start()
    seen: list[int] = []
    last = size - 1
    for step in (1, 7, 2, 19, 16):
        with follow(any_served, headers={"Last-Event-ID": str(last)}) as following:
            part = [index for index, _ in islice(following, step)]
        seen += part
        last = part[-1]
    for writer in writers:
        writer.join()
    assert seen == list(range(size, size + 45))


def test_who_begins_at_the_beginning_gets_everything(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_PAGE", 7)
    write(served, 20)
    size = served.house.event_log.size()
    with follow(served, params={"after": -1}) as following:
        assert [index for index, _ in islice(following, size)] == list(range(size))


def test_a_reader_hears_that_the_line_is_alive(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_BEAT_SECONDS", 0.1)
    level(served)
    with served.client().stream("GET", "/ops/events") as answer:
        lines = [line for line in islice(answer.iter_lines(), 8) if line]
    assert lines == ["retry: 2000", ": alive", ": alive", ": alive"]


def test_fifty_readers_each_see_everything(served: Served) -> None:
    level(served)
    with ExitStack() as stack:
        readers = [_reader(stack, served, 65_536) for _ in range(50)]
        write(served, 30)
        last = b"id: %d\n" % (served.house.event_log.size() - 1)
        for reader in readers:
            said = b""
            while last not in said:
                part = reader.recv(65_536)
                assert part
                said += part
            assert said.count(b"\ndata: ") == 30


def test_a_slow_reader_is_dropped_and_hurts_nobody(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "STALL_SECONDS", 0.5)
    with ExitStack() as stack:
        slow = _reader(stack, served, 2048)
        following = stack.enter_context(follow(served))
        mine = slow.getsockname()
        served.house.approval.create(ALICE, "the first")
        assert next(following)[0] >= 0
        stop = threading.Event()
        writer = threading.Thread(target=_write_much, args=(served, stop))
        writer.start()
        try:
            until(lambda: mine not in served.peers(), 30)
        finally:
            stop.set()
            writer.join()
        before = time.monotonic()
        assert next(following)[0] >= 0
        assert time.monotonic() - before < 1.0


def _write_much(served: Served, stop: threading.Event) -> None:
    while not stop.is_set():
        with served.house.queue(ALICE) as queue:
            for _ in range(50):
                queue.pause("somebody", reason="r" * 900, until_ms=None)
                queue.resume()


def _reader(stack: ExitStack, served: Served, buffer: int) -> socket.socket:
    connection = stack.enter_context(closing(socket.socket()))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.settimeout(20)
    connection.connect(("127.0.0.1", served.port))
    connection.sendall(b"GET /ops/events HTTP/1.1\r\nHost: h\r\n" + served.bearer() + b"\r\n")
    if buffer > 2048:
        while b"retry:" not in connection.recv(4096):
            pass
    return connection


def test_readers_are_let_go_when_the_server_stops(served: Served) -> None:
    with follow(served) as following:
        began = time.monotonic()
        served.server.should_exit = True
        assert list(following) == []
        until(lambda: not served.server.started or not served.server.server_state.connections, 5)
        assert time.monotonic() - began < 3.0
