"""A server or PostgreSQL is killed while runs stand at every step there is: each run ends once, and nothing is lost."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest

from interlock.runs.models import Run, RunStatus
from tests.conftest import ALICE, until
from tests.engines.collector import Collector
from tests.engines.standing import (
    EFFECT,
    PATIENCE_SECONDS,
    assert_each_once,
    at_every_step,
    create_runs,
    folder_of,
    start,
    wait_until_done,
)
from tests.engines.world import WorkerUnderTest, World
from tests.http.processes import HUMAN, SECRETS
from tests.postgres import Server, running

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server of this module's own, which may be killed."""
    with running() as server:
        yield server


@pytest.fixture
def over_postgres(tmp_path: Path, postgres: Server) -> Iterator[World]:
    """A world over a database of its own on that server."""
    name = f"t_{uuid.uuid4().hex}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    made = World(tmp_path, postgres.url.replace("/postgres?", f"/{name}?"))
    yield made
    made.close()


# --- a server ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", ["sqlite", "postgres"], indirect=True)
@pytest.mark.proves("fleet-kills")
def test_a_server_killed_while_its_runs_stand_at_every_step_is_followed_by_the_next(
    world: World, collector: Collector
) -> None:
    runs, folder = create_runs(world, collector), folder_of(world)
    server = start(world, folder, "serve", "--port", "0")
    stood = at_every_step(world, folder, runs)
    server.kill()
    start(world, None, "serve", "--port", "0")
    wait_until_done(world, runs)

    def attempt(run: Run) -> int:
        return 1 if stood.get(run.id, "finish.done") == "finish.done" else 2

    assert_each_once(world, collector, runs, attempt)
    for run in runs:  # what was complete is kept: the agent began again only where it had not ended
        begun = {"prepare.begun", "prepare.made", "prepare.done", "agent.begun", "agent.started", "agent.made"}
        assert (world.fences(run, "run.agent_started")[-1] == 3) == (stood.get(run.id) in begun), stood.get(run.id)


@dataclass(frozen=True)
class Request:
    """What a person asks of a server, and the event that it brings about."""

    name: str
    path: str
    kind: str
    body: Mapping[str, Any] = field(default_factory=dict[str, Any])
    subject: str = ""
    """Whom the event is about; empty where only the answer says it."""
    again: int = 200
    """How a repetition is answered that finds it done: so that nobody takes it for a second one."""

    def send(self, address: str) -> httpx2.Response | None:
        """Send it, always with the same key; None where no answer came."""
        headers = {
            "Authorization": f"Bearer {HUMAN}",
            "Idempotency-Key": f"key-{self.name}",
            "X-Correlation-ID": self.name,
        }
        try:
            return httpx2.post(f"{address}{self.path}", json=dict(self.body), headers=headers, timeout=PATIENCE_SECONDS)
        except httpx2.TransportError:
            return None


def requests_of(world: World) -> list[Request]:
    """Return requests of every verb on the way of a run, each about something of its own."""
    work = {"command": ["sh", "-c", EFFECT], "repository": str(world.repository)}
    drafts = [world.house.approval.create(ALICE, f"draft {number}").id for number in range(2)]
    approved = [world.approve(EFFECT).id for _ in range(3)]
    run = world.house.runs.create(ALICE, approved[0]).id
    return [
        Request("create-draft", "/ops/drafts", "draft.created", {"prompt": "once", "work": work}, again=201),
        Request("approve", f"/ops/drafts/{drafts[0]}/approve", "draft.approved", {}, drafts[0], again=409),
        Request("reject", f"/ops/drafts/{drafts[1]}/reject", "draft.rejected", {"reason": "no"}, drafts[1], again=409),
        Request("create-run", "/ops/runs", "run.created", {"approved_id": approved[1]}, again=201),
        Request("cancel", f"/ops/runs/{run}/cancel", "run.cancelled", {"reason": "no"}, run, again=409),
        Request("revoke", f"/ops/approved/{approved[2]}/revoke", "approval.revoked", {}, approved[2], again=409),
    ]


@pytest.mark.parametrize("where", ["made", "done"])
@pytest.mark.proves("fleet-kills")
def test_a_server_killed_amid_requests_does_each_once_when_it_is_asked_again(over_postgres: World, where: str) -> None:
    world, requests = over_postgres, requests_of(over_postgres)
    folder, before = folder_of(world), told(world)
    (folder / "armed").write_text(where)
    server = start(world, folder, "serve", "--api-only", "--port", "0", **SECRETS)
    address = address_of(server)
    with ThreadPoolExecutor(len(requests)) as pool:
        asked = [pool.submit(each.send, address) for each in requests]
        until(lambda: len(list(folder.glob("request.*"))) == len(requests), PATIENCE_SECONDS)
        server.kill()
        assert [each.result() for each in asked] == [None] * len(requests)

    lasting = told(world)[len(before) :]
    assert sorted(kind for kind, _ in lasting) == sorted(each.kind for each in requests if where == "done")
    address = address_of(start(world, None, "serve", "--api-only", "--port", "0", **SECRETS))
    for each in requests:
        answer = each.send(address)
        assert answer is not None
        expected = {200, 201} if where == "made" else {each.again}
        assert answer.status_code in expected, (each.name, answer.text)
        found = [subject for kind, subject in told(world)[len(before) :] if kind == each.kind]
        assert found == [each.subject or answer.json()["id"]], each.name
    assert world.verified().uncovered == 0


def address_of(server: WorkerUnderTest) -> str:
    until(lambda: re.search(r" on (http://\S+)\n", server.words()) or not server.is_there(), PATIENCE_SECONDS)
    found = re.search(r" on (http://\S+)\n", server.words())
    assert found, server.words()
    return found[1]


def told(world: World) -> list[tuple[str, str]]:
    """Return kind and subject of every event of drafts, approvals and runs, in the log's order."""
    world.seal()
    found = [each for _, each in world.house.windows.log.events(0, world.house.evidence.log.size())]
    return [(each["kind"], each["subject"]) for each in found if each["kind"].startswith(("draft", "approval", "run"))]


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


@pytest.mark.proves("fleet-kills")
def test_postgresql_killed_while_runs_stand_at_every_step_costs_no_run_an_attempt(
    over_postgres: World, postgres: Server, collector: Collector
) -> None:
    world = over_postgres
    runs, folder = create_runs(world, collector), folder_of(world)
    worker = start(world, folder, "worker")
    at_every_step(world, folder, runs)
    before = world.count()
    postgres.kill()
    (folder / "go").touch()  # what was just done at each step meets a database that is not there
    worker.wait_for_words("the database can not be used", PATIENCE_SECONDS)
    postgres.start()
    world.house.database.close()
    until(lambda: world.count() > before + 3, PATIENCE_SECONDS)
    postgres.kill()  # and once more, amid the writes
    postgres.start()
    world.house.database.close()
    wait_until_done(world, runs)

    assert_each_once(world, collector, runs, lambda _: 1)
    assert {world.run(run).status for run in runs} == {RunStatus.DONE}
    assert worker.is_there(), worker.words()
