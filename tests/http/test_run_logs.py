"""`/ops/runs/{run_id}/log/…`: a log is followed as it is written, and searched, however long it is."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import islice
from typing import Any

import httpx2
import pytest

from interlock.approval.models import Work
from interlock.http import live, run_logs
from interlock.runs import service
from interlock.runs.models import LogLine, Run, RunStatus
from interlock.runs.repositories.errors import CommitNotInMirror
from interlock.runs.service import Runs
from interlock.runs.shown import show_why
from tests.conftest import ALICE, until
from tests.http.served import Served, told

Said = tuple[str, int, Any]


def create(served: Served, script: str) -> str:
    """Make a run of a real command; nobody carries it out yet."""
    draft = served.house.approval.create(ALICE, "print", work=Work(command=("sh", "-c", script)))
    return served.house.runs.create(ALICE, served.house.approval.approve(ALICE, draft.id).id).id


@contextmanager
def worked(served: Served) -> Generator[None]:
    """Carry out one run beside the block; at its end it has ended."""
    worker = threading.Thread(target=served.house.worker(once=True).work)
    worker.start()
    try:
        yield
    finally:
        worker.join(60)
        assert not worker.is_alive()


def write(served: Served, run_id: str, texts: Sequence[str]) -> None:
    with served.house.runs.light() as desk:
        desk.runs.log(run_id, [LogLine(ts_ms=1, level="INFO", source="stdout", msg=text) for text in texts])


@contextmanager
def watch(served: Served, run_id: str, **more: Any) -> Generator[Iterator[Said]]:  # noqa: ANN401 - httpx2's own
    with (
        closing(served.anybody(Authorization=f"Bearer {served.tokens['actions', 'service']}")) as client,
        client.stream("GET", f"/ops/runs/{run_id}/log/stream", **more) as answer,
    ):
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield events(answer)


def events(answer: httpx2.Response) -> Iterator[Said]:
    kind, index = "", -1
    for line in answer.iter_lines():
        if line.startswith("id: "):
            index = int(line[4:])
        elif line.startswith("event: "):
            kind = line[7:]
        elif line.startswith("data: "):
            yield kind, index, json.loads(line[6:])


def watched(served: Served) -> int:
    app: Any = served.server.config.app
    return len(app.state.watched)


def test_a_real_run_is_followed_line_by_line_until_it_has_ended(any_served: Served) -> None:
    run_id = create(any_served, "echo one; sleep 0.6; echo two; sleep 0.6; echo three")
    with watch(any_served, run_id) as following:
        assert next(following)[2]["msg"] == "Run created"
        with worked(any_served):
            said = list(following)
        assert any_served.house.runs.get(run_id).status is RunStatus.DONE
    assert said[-1] == ("end", said[-2][1], {"status": "ended"})
    lines = said[:-1]
    assert [index for _, index, _ in lines] == list(range(2, len(lines) + 2))
    assert [line["msg"] for _, _, line in lines if line["source"] == "stdout"] == ["one", "two", "three"]
    assert lines[-1][2]["msg"] == "Execution completed"
    until(lambda: watched(any_served) == 0)


def test_who_was_cut_off_goes_on_from_the_last_line_and_loses_none(any_served: Served) -> None:
    run_id = create(any_served, "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.2; done")
    seen: list[int] = []
    with worked(any_served):
        for step in (3, 1, 2, 99):
            last = {"Last-Event-ID": str(seen[-1])} if seen else {}
            with (
                watch(any_served, run_id, params={"after": 999}, headers=last)
                if seen
                else watch(any_served, run_id) as following
            ):
                seen += [index for kind, index, _ in islice(following, step) if kind == "line"]
    assert seen == list(range(1, len(any_served.house.runs.log(run_id)) + 1))


def test_a_log_is_looked_at_once_however_many_watch_it(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = served.run()
    read = Runs.log
    counted: list[int] = []

    def counting(self: Runs, run_id: str, **more: Any) -> Sequence[LogLine]:  # noqa: ANN401 - what `log` takes
        if not more.get("last"):
            counted.append(more["after"])
        return read(self, run_id, **more)

    with ExitStack() as stack:
        readers = [stack.enter_context(watch(served, run_id, params={"after": 1})) for _ in range(20)]
        until(lambda: watched(served) == 1)
        monkeypatch.setattr(Runs, "log", counting)
        write(served, run_id, [f"line {number}" for number in range(50)])
        for reader in readers:
            assert [index for _, index, _ in islice(reader, 50)] == list(range(2, 52))
        assert len(counted) < 30
    until(lambda: watched(served) == 0)


def test_who_begins_far_back_gets_every_line_by_pages(any_served: Served) -> None:
    run_id = any_served.run()
    write(any_served, run_id, [f"line {number}" for number in range(2, 1_002)])
    any_served.house.runs.cancel(ALICE, run_id)
    with watch(any_served, run_id) as following:
        said = list(following)
    assert [index for _, index, _ in said[:-1]] == list(range(1, 1_003))
    assert said[-1][0] == "end"


def test_a_log_that_is_archived_while_somebody_reads_it_ends(
    any_served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_logs, "_KEPT", 1)
    house, run_id = any_served.house, any_served.run()
    write(any_served, run_id, ["x" * 16_000] * 1_500)  # more than any buffer on the way takes
    house.runs.cancel(ALICE, run_id)
    with watch(any_served, run_id) as following:
        next(following)
        until(lambda: house.now() > (house.runs.get(run_id).ended_ms or 0) + 1)
        assert house.purge_runs(ALICE, older_than_ms=0) == [run_id]
        said = list(following)
    assert said[-1][0] == "end"
    assert 1 < len(said) < 1_500
    until(lambda: watched(any_served) == 0)


def test_a_run_that_is_done_anew_is_followed_anew(served: Served) -> None:
    run_id = create(served, "test -e /nowhere")
    with worked(served):
        pass
    with watch(served, run_id) as following:
        first = list(following)
        served.house.runs.retry(ALICE, run_id)
        with watch(served, run_id, params={"after": first[-2][1]}) as again:
            assert next(again)[2]["msg"].startswith("Retry asked for")


def test_a_quiet_line_is_alive_and_ends_with_the_server(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_BEAT_SECONDS", 0.1)
    run_id = served.run()
    client = served.client("actions", "service")
    with client.stream("GET", f"/ops/runs/{run_id}/log/stream", params={"after": 1}) as answer:
        lines = answer.iter_lines()
        assert [line for line in islice(lines, 8) if line] == ["retry: 2000", ": alive", ": alive", ": alive"]
        served.server.should_exit = True
        assert "event: end" not in list(lines)


def test_more_logs_than_the_server_follows_are_refused(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_logs, "_MOST_LOGS", 1)
    first, second = served.run(), served.run()
    with watch(served, first) as following:
        next(following)
        told(served.client().get(f"/ops/runs/{second}/log/stream"), 503, "too_many_logs")
        with watch(served, first) as another:
            assert next(another)[1] == 1


def test_nobody_follows_what_is_not_there_or_from_nowhere(shared: Served) -> None:
    nobody = "r_01ARZ3NDEKTSV4RRFFQ69G5FAV"
    told(shared.anybody().get(f"/ops/runs/{nobody}/log/stream"), 401)
    told(shared.client().get(f"/ops/runs/{nobody}/log/stream"), 404)
    run_id = shared.run()
    for wrong in ("x", "-1", "9" * 40, "1 2"):
        told(shared.client().get(f"/ops/runs/{run_id}/log/stream", headers={"Last-Event-ID": wrong}), 422)


def test_a_log_is_searched_by_stretches_in_either_case_and_no_letter_is_special(
    any_served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "SEARCHED", 10)
    run_id = any_served.run()
    texts = ["plain"] * 22 + ["100% of a_b", "100x of aXb", "ÄRGER Mit Ümlaut", "it's! 'quoted'"]
    write(any_served, run_id, texts)

    def search(text: str) -> list[int]:
        found: list[int] = []
        after, calls = 0, 0
        while True:
            answer = any_served.client("actions", "agent").get(
                f"/ops/runs/{run_id}/log/search", params={"text": text, "after": after}
            )
            assert answer.status_code == 200, answer.text
            found += answer.json()["lines"]
            after, calls = answer.json()["searched_to"], calls + 1
            if answer.json()["status"] == "complete":
                assert calls == 3
                return found

    assert search("PLAIN") == list(range(2, 24))
    assert search("100%") == [24]
    assert search("A_B") == [24]
    assert search("mit Ü") == [26]
    assert search("it's! 'Q") == [27]
    assert search("nowhere") == []
    page = any_served.client().get(f"/ops/runs/{run_id}/log/search", params={"text": "plain", "limit": 3}).json()
    assert (page["lines"], page["status"], page["searched_to"]) == ([2, 3, 4], "partial", 4)
    told(any_served.client().get(f"/ops/runs/{run_id}/log/search", params={"text": ""}), 422)


def test_a_line_beyond_every_log_is_refused_where_no_database_can_count_so_far(any_served: Served) -> None:
    path = f"/ops/runs/{any_served.run()}/log"
    told(any_served.client().get(path, params={"after": 2**63}), 422)
    assert any_served.client().get(path, params={"after": 2**53}).json() == []


def test_a_run_says_how_long_its_log_is_and_shows_only_its_end(any_served: Served) -> None:
    run_id = any_served.run()
    write(any_served, run_id, [f"line {number}" for number in range(2, 502)])
    shown = any_served.client().get(f"/ops/runs/{run_id}").json()
    assert shown["log_lines"] == 501
    assert [line["line"] for line in shown["log"]] == list(range(302, 502))


def test_runs_are_listed_by_their_approved_record(any_served: Served) -> None:
    approved = any_served.approved()
    client = any_served.client()
    mine = [client.post("/ops/runs", json={"approved_id": approved}).json()["id"] for _ in range(3)]
    any_served.run()
    listed = client.get("/ops/runs", params={"approved_id": approved, "limit": 2})
    assert [each["id"] for each in listed.json()] == mine[:0:-1]
    rest = client.get("/ops/runs", params={"approved_id": approved, "before": mine[1]}).json()
    assert [each["id"] for each in rest] == mine[:1]
    told(client.get("/ops/runs", params={"approved_id": "r_1"}), 422)


def test_why_a_run_failed_is_told_in_words_with_what_to_do(served: Served) -> None:
    run_id = create(served, "exit 3")
    with worked(served):
        pass
    shown = served.client().get(f"/ops/runs/{run_id}").json()
    assert (shown["status"], shown["why"]["reason"]) == ("error", "agent_failed")
    assert "ended with an error" in shown["why"]["says"]
    assert "retry" in shown["why"]["hint"]
    other = served.run()
    assert served.client().get(f"/ops/runs/{other}").json()["why"] is None
    served.house.runs.cancel(ALICE, other)
    why = served.client().get(f"/ops/runs/{other}").json()["why"]
    assert (why["reason"], why["says"]) == ("cancelled_by_operator", "Somebody stopped it.")


def test_a_reason_that_is_an_error_speaks_as_the_error_does() -> None:
    code, words = CommitNotInMirror.code, (CommitNotInMirror.__doc__ or "").splitlines()[0]
    why = show_why(run_for(code))
    assert why is not None
    assert (why["reason"], why["says"]) == (code, words)
    assert why["hint"]
    unknown = show_why(run_for("some_day"))
    assert unknown is not None
    assert "some_day" in unknown["says"]


def run_for(reason: str) -> Run:
    return Run(
        id="r_1",
        approved_id="a_1",
        item_id="ORCH-001",
        status=RunStatus.ERROR,
        reason=reason,
        message=None,
        generation=1,
        attempt=1,
        created_ms=0,
        created_by="human:alice",
        started_ms=None,
        ended_ms=None,
        correlation_id=None,
        result=None,
    )
