"""`interlock serve` as a process: begun, stopped, killed, restarted."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from interlock.app import Interlock
from tests.cli.door import call, make_repository
from tests.conftest import until
from tests.http.processes import HUMAN, READER, process, run
from tests.http.served import told


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repository")


@pytest.mark.proves("ops-run-log")
@pytest.mark.timeout(120)
def test_it_carries_runs_out_and_gives_one_back_when_it_is_stopped(workspace: Path, repository: Path) -> None:
    with process(workspace) as server, server.client() as client:
        first = run(client, "echo more >> README.md", repository)
        until(lambda: client.get(f"/ops/runs/{first}").json()["status"] == "done", 40)
        assert "+more" in client.get(f"/ops/runs/{first}/diff").text
        long = run(client, "sleep 60", repository)
        until(lambda: "agent" in client.get(f"/ops/runs/{long}").text and _running(client, long), 30)
        assert server.end() == 0
    with closing(Interlock.at(workspace)) as house:
        given_back = house.runs.get(long)
        with house.queue_look() as queue:
            item = queue.get(given_back.item_id)
    assert (item.status.value, item.attempt_count) == ("PENDING", 0)
    assert call("windows", "verify", at=workspace).code == 0


def _running(client: httpx2.Client, run_id: str) -> bool:
    return any(step["name"] == "agent" for step in client.get(f"/ops/runs/{run_id}").json()["steps"])


def test_a_request_that_is_under_way_is_finished_when_it_is_stopped(workspace: Path) -> None:
    with process(workspace, "--api-only") as server, server.client() as client:
        answers: list[int] = []
        asking = [threading.Thread(target=lambda: _ask(client, answers)) for _ in range(6)]
        for thread in asking:
            thread.start()
        until(lambda: len(answers) > 0, 20)
        began = time.monotonic()
        assert server.end() == 0
        assert time.monotonic() - began < 8
        for thread in asking:
            thread.join()
    assert set(answers) == {201}
    with closing(Interlock.at(workspace)) as house:
        assert len(house.approval.drafts(limit=1000)) == len(answers)


def _ask(client: httpx2.Client, answers: list[int]) -> None:
    while True:
        try:
            answers.append(client.post("/ops/drafts", json={"prompt": "p"}).status_code)
        except httpx2.TransportError:
            return  # closed between two requests: nothing was made of this one


@pytest.mark.proves("ops-crash")
@pytest.mark.timeout(180)
@pytest.mark.timeout(180)
def test_killed_in_the_middle_of_changes_nothing_is_half_done_and_keys_still_count(any_workspace: Path) -> None:
    workspace = any_workspace
    for round_ in range(2):
        with process(workspace, "--api-only") as server, server.client() as client:
            done: dict[str, str] = {}
            threads = [threading.Thread(target=_change, args=(client, f"{round_}-{n}", done)) for n in range(3)]
            for thread in threads:
                thread.start()
            until(lambda: len(done) >= 4, 30)  # noqa: B023 - done in here
            server.end(signal.SIGKILL)
            for thread in threads:
                thread.join()
        with process(workspace, "--api-only") as server, server.client() as client:
            for key, draft_id in done.items():
                again = client.post("/ops/drafts", json={"prompt": key}, headers={"Idempotency-Key": key})
                assert (again.status_code, again.json()["id"]) == (201, draft_id)
            drafts = client.get("/ops/drafts", params={"limit": 1000}).json()
            approved = {each["draft_id"] for each in client.get("/ops/approved", params={"limit": 1000}).json()}
            assert {draft["id"] for draft in drafts if draft["status"] == "approved"} == approved
            assert len({draft["prompt"] for draft in drafts}) == len(drafts)
            items = {each["run_id"]: each["status"] for each in _items(client) if each["run_id"]}
            runs = {each["id"]: each["status"] for each in client.get("/ops/runs", params={"limit": 1000}).json()}
            assert items.keys() == runs.keys()
            assert {(status, items[run]) for run, status in runs.items()} <= {
                ("pending", "PENDING"),
                ("running", "IN_PROGRESS"),
                ("done", "DONE"),
                ("cancelled", "BLOCKED"),
            }
            client.post("/ops/drafts", json={"prompt": f"after {round_}"})
            assert server.end() == 0
        assert call("windows", "verify", at=workspace).code == 0
        assert call("evidence", "head", at=workspace).code == 0
        assert call("evidence", "verify", at=workspace).code == 0


def _change(client: httpx2.Client, name: str, done: dict[str, str]) -> None:
    for number in range(10_000):
        key = f"{name}-{number}"
        try:
            made = client.post("/ops/drafts", json={"prompt": key}, headers={"Idempotency-Key": key})
            done[key] = made.json()["id"]
            client.put(f"/ops/drafts/{done[key]}", json={"content": key})
            approved = client.post(f"/ops/drafts/{done[key]}/approve").json()["approved"]["id"]
            run = client.post("/ops/runs", json={"approved_id": approved}).json()["id"]
            client.put("/ops/plan", json={"tasks": []})
            client.post(f"/ops/runs/{run}/cancel")
            client.post("/ops/queue/items", json={"task": key, "success_criteria": "done"})
            item = client.post("/ops/queue/claim", json={"owner_session": name}).json()
            if item["id"] is not None:
                client.post(f"/ops/queue/items/{item['id']}/complete", json={"fence": item["fence"]})
            token = client.post("/ops/tokens", json={"name": key, "kind": "service", "role": "actions"}).json()
            client.post(f"/ops/tokens/{token['id']}/revoke")
        except httpx2.TransportError:
            return


def _items(client: httpx2.Client) -> list[Any]:
    return list(client.get("/ops/queue/items", params={"limit": 1000}).json())


@pytest.mark.proves("ops-panic")
def test_panic_outlives_it(workspace: Path) -> None:
    with process(workspace, "--api-only") as server, server.client() as client:
        assert client.put("/ops/panic", json={"reason": "wrong"}).status_code == 200
        server.end(signal.SIGKILL)
    with process(workspace, "--api-only") as server, server.client() as client:
        told(client.post("/ops/drafts", json={"prompt": "p"}), 423, "panic_mode")
        told(server.client(READER).post("/ops/panic/release", json={"reason": "r"}), 403)
        assert client.post("/ops/panic/release", json={"reason": "r"}).status_code == 200
        assert client.post("/ops/drafts", json={"prompt": "p"}).status_code == 201


def test_two_servers_over_one_workspace_agree(workspace: Path) -> None:
    with process(workspace, "--api-only") as one, process(workspace, "--api-only") as other:
        first, second = one.client(), other.client()
        with first, second, second.stream("GET", "/ops/events") as following:
            lines = following.iter_lines()
            draft_id = first.post("/ops/drafts", json={"prompt": "p"}).json()["id"]
            assert any(draft_id in line for line in lines)
            assert second.post(f"/ops/drafts/{draft_id}/approve").status_code == 200
            told(first.post(f"/ops/drafts/{draft_id}/approve"), 409)
            first.put("/ops/panic", json={"reason": "r"})
            told(second.post("/ops/drafts", json={"prompt": "p"}), 423)
        assert one.end() == other.end() == 0
    assert call("windows", "verify", at=workspace).code == 0


@pytest.mark.proves("ops-switched-off")
def test_switched_off_it_answers_501_on_ops_and_goes_on_with_the_rest(workspace: Path) -> None:
    with process(workspace, "--no-ops") as server, server.client() as client:
        told(client.get("/ops/drafts"), 501, "switched_off")
        told(client.post("/ops/drafts", json={"prompt": "p"}), 501)
        told(server.client("wrong").get("/ops/drafts"), 401)
        assert client.get("/health").status_code == client.get("/status").status_code == 200
    with process(workspace, "--api-only") as server, server.client() as client:
        assert client.get("/ops/drafts").json() == []


def test_a_port_that_is_taken_is_one_clear_line(workspace: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        call("serve", "--port", port, "--api-only", at=workspace).refuses(5, f"port {port}", "--port")
    call("serve", "--host", "nowhere.invalid", at=workspace).refuses(5, "nowhere.invalid")


def test_a_weak_token_of_the_environment_is_refused_before_it_listens(workspace: Path) -> None:
    said = call("serve", "--port", "0", at=workspace, env={"ORCH_TOKEN": "guess-me"})
    said.refuses(2, "ORCH_TOKEN")
    assert "guess-me" not in said.err


def _secret(text: str) -> str:
    """Return what is secret of `ilk_<ulid>_<secret>`; it may hold an underscore itself."""
    return text.split("_", 2)[2]


@pytest.mark.proves("ops-redaction")
def test_no_secret_is_in_a_log_an_answer_an_event_a_file_or_a_command_line(workspace: Path, repository: Path) -> None:
    with process(workspace) as server, server.client() as client:
        made = client.post("/ops/tokens", json={"name": "t", "role": "admin"}).json()
        opened = client.post("/ops/session")
        cookie = opened.cookies["interlock_session"]
        client.cookies.clear()
        planted = [HUMAN, READER, made["token"], _secret(made["token"]), cookie, _secret(cookie)]
        for each in [HUMAN, READER, made["token"], cookie]:
            client.get(f"/ops/drafts/{each}", params={"before": each[:64]})
            client.post("/ops/runs", json={"approved_id": each})
            client.put("/ops/plan", json={"title": each})
            server.client(f"{each}x").get(f"/status/{each}")
            told(server.client(READER).get(f"/ops/tokens/{each}"), 403)
        run_id = run(client, "env; cat /proc/*/cmdline | tr '\\0' ' '", repository)
        until(lambda: client.get(f"/ops/runs/{run_id}").json()["status"] == "done", 40)
        lines = [Path(f"/proc/{pid}/cmdline") for pid in os.listdir("/proc") if pid.isdigit()]  # noqa: PTH208 - names
        said = b"".join(line.read_bytes() for line in lines if line.exists())
        answers = [
            client.get(path) for path in ("/ops/tokens", "/ops/me", "/status", "/metrics", f"/ops/runs/{run_id}")
        ]
        said += b"".join(answer.content for answer in answers)
        events = client.get("/ops/audit", params={"limit": 1000}).text
        assert server.end() == 0
        log = server.log.read_text()
    stored = b"".join(path.read_bytes() for path in workspace.rglob("*") if path.is_file())
    for each in planted:
        assert each.encode() not in said
        assert each not in log
        assert each not in events
        assert each.encode() not in stored
    assert all(json.loads(line) for line in log.splitlines() if line.startswith("{"))
    assert '"correlation_id"' in log
