"""Deployments, with real commands in containment and a real server whose versions are switched."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from interlock.access.errors import Frozen, HumanNeeded
from interlock.access.models import Actor, Role
from interlock.app import Interlock
from interlock.kernel.ids import UlidSource
from interlock.pipelines.deployments import Deployments
from interlock.pipelines.errors import (
    CheckpointMissing,
    DefinitionNotAccepted,
    DeploymentBusy,
    DeploymentFailed,
    DeploymentNotMovable,
    DigestChanged,
    EnvironmentUnknown,
    PipelineMissing,
    PromotionBlocked,
    VersionInvalid,
)
from interlock.pipelines.fold import Fold
from interlock.pipelines.models import Deployment, Status
from interlock.settings import Settings
from interlock.storage.sqlite.database import SqliteDatabase
from interlock.workspace.layout import Layout
from interlock.workspace.service import make_keys
from interlock.workspace.skeleton import make_skeleton
from tests.conftest import ALICE, ORIGIN, ROBOT, until
from tests.pipelines.fleet import RUN, created

HOST = """
import json, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

live, ports, running = Path("live"), {}, {}

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        version = self.server.version
        self.send_response(500 if "broken" in version else 200)
        self.end_headers()
        self.wfile.write(json.dumps({"version": version, "errors": 40 if "leaky" in version else 1}).encode())
    def log_message(self, *_): pass

def turn(slot, version):
    if slot in running:
        running[slot].shutdown()
        running[slot].server_close()
        del running[slot]
    if version:
        server = ThreadingHTTPServer(("127.0.0.1", ports[slot]), Handler)
        server.version = version
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        running[slot] = server

for slot in sys.argv[1:]:
    probe = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ports[slot] = probe.server_address[1]
    probe.server_close()
    (live / slot).mkdir(parents=True)
(live / "ports.new").write_text(json.dumps(ports))
(live / "ports.new").rename(live / "ports.json")
while True:
    for slot in ports:
        wanted = live / slot / "wanted"
        version = wanted.read_text() if wanted.exists() else ""
        if version != (running[slot].version if slot in running else ""):
            turn(slot, version)
            (live / slot / "is.new").write_text(version)
            (live / slot / "is.new").rename(live / slot / "is")
    time.sleep(0.01)
"""
CONTROL = """
import sys, time
from pathlib import Path

deed, slot, version = sys.argv[1:4]
place = Path("live") / slot
with open("deeds", "a") as deeds:
    deeds.write(" ".join(sys.argv[1:]) + "\\n")
if Path("refuse").exists() and Path("refuse").read_text() == deed:
    sys.exit("refused to " + deed)
if deed not in ("start", "stop"):
    sys.exit()
wanted = version if deed == "start" else ""
(place / "wanted.new").write_text(wanted)
(place / "wanted.new").rename(place / "wanted")
end = time.monotonic() + 10
while (place / "is").read_text() if (place / "is").exists() else "" != wanted:
    if ((place / "is").read_text() if (place / "is").exists() else "") == wanted:
        break
    if time.monotonic() > end:
        sys.exit("the host does not listen")
    time.sleep(0.01)
"""
RECREATE = """\
name: site
strategy: recreate
environments: {staging: , production: }
hooks:
  start: python3 control.py start main ${VERSION}
  stop: python3 control.py stop main ${VERSION}
probes:
  - name: answers
    http: {url: "http://127.0.0.1:PORT-main/", contains: '"${VERSION}"'}
    retries: 5
  - name: errors
    metric: {url: "http://127.0.0.1:PORT-main/", value: errors, }
    as: error_rate
"""


@dataclass
class World:
    """A workspace with deployments over its database."""

    house: Interlock
    root: Path
    rooms: Deployments
    said: list[str] = field(default_factory=list[str])
    """What a verifier says of runs: empty, or why nothing may be promoted."""

    def define(self, text: str, name: str = "site") -> None:
        folder = self.root / "cicd" / "deployments"
        folder.mkdir(parents=True, exist_ok=True)
        ports = self.root / "live" / "ports.json"
        known: dict[str, int] = json.loads(ports.read_text()) if ports.exists() else {}
        for slot, port in known.items():
            text = text.replace(f"PORT-{slot}", str(port))
        (folder / f"{name}.yaml").write_text(text)

    def accept(self, text: str, name: str = "site") -> None:
        self.define(text, name)
        self.rooms.accept(ALICE, name)

    def create(self, version: str, name: str = "site", pipeline_id: str | None = RUN) -> Deployment:
        return self.rooms.create(ALICE, name, environment="staging", version=version, pipeline_id=pipeline_id)

    def promoted(self, version: str, name: str = "site") -> Deployment:
        return self.rooms.promote(ALICE, self.create(version, name).id)

    def answers(self, slot: str = "main") -> Any:  # noqa: ANN401 - JSON
        ports = json.loads((self.root / "live" / "ports.json").read_text())
        with urllib.request.urlopen(f"http://127.0.0.1:{ports[slot]}/", timeout=5) as answer:
            return json.loads(answer.read())["version"]

    def turn_into(self, version: str, slot: str = "main") -> None:
        """Have a running server become another, with no deployment's doing."""
        folder = self.root / "live" / slot
        (folder / "wanted").write_text(version)
        until(lambda: (folder / "is").exists() and (folder / "is").read_text() == version)

    def deeds(self) -> list[str]:
        """What was done since this was last asked."""
        path = self.root / "deeds"
        done = path.read_text().splitlines() if path.exists() else []
        path.write_text("")
        return done

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        self.house.database.seal()
        log = self.house.event_log
        return [leaf for leaf in map(json.loads, log.leaves(0, log.size())) if leaf["kind"].startswith(kind)]

    def kinds(self, subject: str) -> list[str]:
        return [leaf["kind"] for leaf in self.events("deployment.") if leaf["subject"] == subject]

    def rows(self) -> list[tuple[str, str]]:
        found = [leaf["payload"] for leaf in self.events("deployment_outcome.")]
        assert {(row["agent_role"], row["agent_id"]) for row in found} <= {("operator", "OperationsBoardAgent")}
        return [(row["action"], row["status"]) for row in found]


def world(house: Interlock, root: Path) -> World:
    """Plug deployments together; only the verifier's word is the test's own."""
    said: list[str] = []

    def check(actor: Actor, pipeline_id: str) -> None:
        assert (actor, pipeline_id) == (ALICE, RUN)
        for word in said:
            raise CheckpointMissing(word)

    rooms = replace(house.deployments, check_promotion=check, pause=threading.Event().wait)
    return World(house, root, rooms, said)


def furnish(house: Interlock, root: Path) -> World:
    """Make what a workspace has, and a run that may have made a version."""
    for _ in make_skeleton(house.layout):
        pass
    (root / "control.py").write_text(CONTROL)
    made = world(house, root)
    with house.deployments.open(ALICE) as desk:
        event = created()
        fold = Fold()
        fold.apply(event.kind, event.subject, event.payload())
        desk.pipelines.add(fold.pipelines[RUN])
        desk.emit(event)
    return made


def at(root: Path) -> Interlock:
    layout = Layout(root)
    return Interlock(layout, Settings(), SqliteDatabase(layout.database, wake_folder=layout.wake), UlidSource())


@pytest.fixture
def place(tmp_path: Path) -> Iterator[World]:
    """A workspace over SQLite, which most of these tests do with."""
    (tmp_path / ".interlock").mkdir()
    house = at(tmp_path)
    house.database.create(ORIGIN)
    make_keys(house.layout, ORIGIN, "alice")
    yield furnish(house, tmp_path)
    house.close()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Start the server process, with a port for each of its slots."""
    begun: list[subprocess.Popen[bytes]] = []

    def start(*slots: str) -> None:
        begun.append(subprocess.Popen([sys.executable, "-c", HOST, *slots], cwd=tmp_path))
        ports = tmp_path / "live" / "ports.json"
        wait = threading.Event().wait
        for _ in range(1000):
            if ports.exists():
                return
            wait(0.01)
        pytest.fail("the host did not come up")

    yield start
    for each in begun:
        each.kill()
        each.wait()


@pytest.fixture
def site(place: World, host: Callable[..., None]) -> World:
    host("main")
    place.accept(RECREATE)
    return place


# --- a version comes, stays, or goes ----------------------------------------------------------------------------------


def test_a_healthy_version_is_promoted_and_answers(site: World) -> None:
    made = site.create("1.0")
    assert (made.status, made.healthy, made.previous_version) == (Status.RUNNING, True, None)
    assert made.health.error_rate_milli == 1000
    assert site.answers() == "1.0"
    assert site.rooms.promote(ALICE, made.id).status is Status.SUCCESS
    second = site.promoted("2.0")
    assert (second.previous_version, site.answers()) == ("1.0", "2.0")
    assert site.deeds() == ["start main 1.0", "stop main 1.0", "start main 2.0"]
    assert site.rows() == [("create", "created"), ("promote", "promoted")] * 2


@pytest.mark.proves("deployment-health")
def test_an_unhealthy_version_is_rolled_back_and_the_old_one_answers_again(site: World) -> None:
    site.promoted("1.0")
    made = site.create("2.0-broken")
    assert (made.status, made.reason, made.healthy) == (Status.ROLLED_BACK, "health_failed", False)
    assert made.message is not None
    assert "answers: it answered 500, not 200" in made.message
    assert site.answers() == "1.0"
    assert site.deeds()[1:] == ["stop main 1.0", "start main 2.0-broken", "stop main 2.0-broken", "start main 1.0"]
    assert site.rows()[-1] == ("create", "rolled_back")
    assert site.promoted("2.1").previous_version == "1.0"


@pytest.mark.proves("deployment-health")
def test_a_number_over_its_threshold_rolls_back(site: World) -> None:
    site.promoted("1.0")
    made = site.create("2.0-leaky")
    assert (made.status, made.message) == (Status.ROLLED_BACK, "errors: 40 is not < 5")
    assert made.health.error_rate_milli == 40_000
    assert site.answers() == "1.0"


def test_a_promoted_version_that_falls_ill_is_rolled_back_by_the_next_look(site: World) -> None:
    site.promoted("1.0")
    second = site.promoted("2.0")
    assert site.rooms.monitor(ALICE, second.id).status is Status.SUCCESS
    site.turn_into("2.0-broken")
    after = site.rooms.monitor(ALICE, second.id)
    assert (after.status, after.reason, site.answers()) == (Status.ROLLED_BACK, "health_failed", "1.0")
    assert site.rows()[-2:] == [("monitor", "healthy"), ("monitor", "rolled_back")]


def test_events_tell_the_state_first_and_then_what_it_means(site: World) -> None:
    made = site.promoted("1.0")
    site.rooms.rollback(ALICE, made.id, reason="it smells")
    assert site.kinds(made.id) == [
        "deployment.state.created",
        "deployment.auto_start",
        "deployment.state.step_ended",
        "deployment.state.step_ended",
        "deployment.state.health_changed",
        "deployment.health_passed",
        "deployment.state.health_changed",
        "deployment.health_passed",
        "deployment.state.status_changed",
        "deployment.auto_promote",
        "deployment.state.status_changed",
        "deployment.state.step_ended",
        "deployment.state.status_changed",
        "deployment.rolled_back",
    ]
    failed = site.create("2.0-broken")
    assert site.kinds(failed.id)[-7:] == [
        "deployment.state.step_ended",
        "deployment.state.health_changed",
        "deployment.state.status_changed",
        "deployment.health_failed",
        "deployment.state.step_ended",
        "deployment.state.status_changed",
        "deployment.rolled_back",
    ]


def test_the_log_alone_says_what_the_rows_say(site: World) -> None:
    site.promoted("1.0")
    site.create("2.0-broken")
    site.rooms.rollback(ALICE, site.promoted("3.0").id, reason="")
    fold = Fold()
    for leaf in site.events():
        fold.apply(leaf["kind"], leaf["subject"], leaf["payload"])
    assert {each.id: each for each in site.rooms.list()} == fold.deployments


def test_an_asked_for_roll_back_brings_back_the_version_before(site: World) -> None:
    site.promoted("1.0")
    second = site.promoted("2.0")
    back = site.rooms.rollback(ALICE, second.id, reason="customers frown")
    assert (back.status, back.reason) == (Status.ROLLED_BACK, "rolling_back")
    assert back.message == "asked for by human:alice: customers frown"
    assert site.answers() == "1.0"
    assert site.rows()[-1] == ("rollback", "rolled_back")
    with pytest.raises(DeploymentNotMovable, match="is RolledBack"):
        site.rooms.rollback(ALICE, second.id, reason="again")


def test_only_the_newest_deployment_is_moved(site: World) -> None:
    first, second = site.promoted("1.0"), site.promoted("2.0")
    with pytest.raises(DeploymentNotMovable, match=f"after it came {second.id}"):
        site.rooms.rollback(ALICE, first.id, reason="")
    site.rooms.rollback(ALICE, second.id, reason="")
    assert site.rooms.rollback(ALICE, first.id, reason="").status is Status.ROLLED_BACK
    assert site.deeds()[-1] == "stop main 1.0"


def test_a_failed_step_takes_back_what_was_done(site: World) -> None:
    site.promoted("1.0")
    (site.root / "refuse").write_text("start")
    made = site.create("2.0")
    assert (made.status, made.reason) == (Status.FAILED, "rollback_incomplete")
    assert made.message is not None
    assert "start: python3 ended with exit code 1 (refused to start)" in made.message
    assert site.rows()[-1] == ("create", "failed")
    rolled = [leaf["payload"] for leaf in site.events("deployment.rolled_back")]
    assert [each["complete"] for each in rolled] == [False]


def test_a_roll_back_that_failed_can_be_done_again(site: World) -> None:
    site.promoted("1.0")
    (site.root / "refuse").write_text("start")
    made = site.create("2.0")
    (site.root / "refuse").unlink()
    again = site.rooms.rollback(ALICE, made.id, reason="mended")
    assert (again.status, again.reason, site.answers()) == (Status.ROLLED_BACK, "rolling_back", "1.0")


def test_a_roll_back_after_which_the_old_version_does_not_answer_is_incomplete(place: World) -> None:
    place.accept(
        """\
name: plain
environments: {staging: }
steps: [{name: write, run: "sh -c 'echo $VERSION > released'", undo: "true"}]
probes: [{name: sound, command: "sh -c 'grep -qx $VERSION released && ! grep -q broken released'"}]
artefacts: [released]
""",
        "plain",
    )
    place.promoted("1.0", "plain")
    made = place.create("2.0-broken", "plain")
    assert (made.status, made.reason) == (Status.FAILED, "rollback_incomplete")
    assert made.message is not None
    assert made.message.startswith("the roll back is incomplete: 1.0 does not answer as it should: sound: ")


def test_an_incomplete_roll_back_does_not_block_the_next_version(site: World) -> None:
    site.promoted("1.0")
    (site.root / "refuse").write_text("start")
    site.create("2.0")
    (site.root / "refuse").unlink()
    assert site.create("2.1").status is Status.RUNNING
    assert site.answers() == "2.1"


def test_whoever_deploys_for_a_pipeline_hears_of_a_failure(site: World) -> None:
    def deploy(version: str) -> str:
        return site.rooms.deploy(ALICE, "site", environment="staging", version=version, pipeline_id=RUN)

    with pytest.raises(DeploymentFailed, match="is RolledBack: answers: it answered 500"):
        deploy("1.0-broken")
    assert site.rooms.get(deploy("1.1")).status is Status.RUNNING


# --- promotion --------------------------------------------------------------------------------------------------------


def test_without_a_verifiers_word_nothing_is_promoted(site: World) -> None:
    made = site.create("1.0")
    site.said.append("the verifier has not signed")
    with pytest.raises(PromotionBlocked, match="is not promoted: the verifier has not signed"):
        site.rooms.promote(ALICE, made.id)
    assert site.rooms.get(made.id).status is Status.RUNNING
    [blocked] = site.events("deployment.auto_promote_blocked")
    assert blocked["payload"]["reason"] == "checkpoint_missing"
    assert site.rows()[-1] == ("promote", "blocked")
    site.said.clear()
    assert site.rooms.promote(ALICE, made.id).status is Status.SUCCESS


def test_a_version_that_no_run_made_is_not_promoted(site: World) -> None:
    made = site.create("1.0", pipeline_id=None)
    with pytest.raises(PromotionBlocked, match="not made by a run"):
        site.rooms.promote(ALICE, made.id)


def test_a_version_that_fell_ill_is_rolled_back_instead_of_promoted(site: World) -> None:
    made = site.create("1.0")
    site.turn_into("1.0-leaky")
    with pytest.raises(PromotionBlocked, match=r"it is not healthy: .*errors: 40 is not < 5; it is RolledBack now"):
        site.rooms.promote(ALICE, made.id)
    assert "deployment.auto_promote" not in site.kinds(made.id)
    with pytest.raises(DeploymentNotMovable, match="is RolledBack"):
        site.rooms.promote(ALICE, made.id)


def test_a_run_that_is_not_there_makes_no_version(site: World) -> None:
    with pytest.raises(PipelineMissing):
        site.create("1.0", pipeline_id="pipeline_01K9AAAAAAAAAAAAAAAAAAAAAA")
    assert site.rooms.list() == []


# --- what may run -----------------------------------------------------------------------------------------------------


def test_nothing_is_carried_out_that_no_human_accepted(place: World) -> None:
    place.define(RECREATE.replace("PORT-main", "80"))
    with pytest.raises(DefinitionNotAccepted, match="no human has accepted deployment/site yet"):
        place.create("1.0")
    with pytest.raises(HumanNeeded):
        place.rooms.accept(ROBOT, "site")
    with pytest.raises(DigestChanged):
        place.rooms.accept(ALICE, "site", seen_digest="sha256:" + "0" * 64)
    assert (place.deeds(), place.rooms.list()) == ([], [])


def test_an_edited_script_is_refused_until_it_is_accepted(site: World) -> None:
    (site.root / "control.py").write_text(CONTROL + "\n")
    with pytest.raises(DefinitionNotAccepted, match=r"control.py was changed"):
        site.create("1.0")
    site.rooms.accept(ALICE, "site")
    assert site.create("1.0").status is Status.RUNNING


def test_a_script_that_is_edited_meanwhile_stops_the_next_step(site: World) -> None:
    site.promoted("1.0")
    site.deeds()

    def edit(where: str) -> None:
        if where == "stop.done":
            (site.root / "control.py").write_text(CONTROL + "\n")

    with pytest.raises(DefinitionNotAccepted, match=r"control.py was changed"):
        replace(site.rooms, probe=edit).create(ALICE, "site", environment="staging", version="2.0", pipeline_id=RUN)
    assert site.deeds() == ["stop main 1.0"]
    assert site.rows()[-1] == ("create", "stopped")
    (site.root / "control.py").write_text(CONTROL)
    [stopped, *_] = site.rooms.list()
    assert site.rooms.resume(ALICE, stopped.id).healthy
    assert site.deeds() == ["start main 2.0"]


def test_a_definition_that_is_accepted_anew_meanwhile_stops_the_next_step(site: World) -> None:
    def edit(where: str) -> None:
        if where == "stop.done":
            (site.root / "control.py").write_text(CONTROL + "\n")
            site.rooms.accept(ALICE, "site")

    site.promoted("1.0")
    with pytest.raises(DefinitionNotAccepted, match="began with: it was accepted anew"):
        replace(site.rooms, probe=edit).create(ALICE, "site", environment="staging", version="2.0")
    [stopped, *_] = site.rooms.list()
    with pytest.raises(DefinitionNotAccepted, match="began with: it was accepted anew"):
        site.rooms.resume(ALICE, stopped.id)
    assert site.rooms.rollback(ALICE, stopped.id, reason="").status is Status.ROLLED_BACK
    assert site.answers() == "1.0"


def test_commands_have_no_network_unless_their_definition_says_so(place: World, host: Callable[..., None]) -> None:
    host("main")
    text = """\
name: caller
environments: {staging: }
steps: [{name: call, run: "python3 -c 'import socket; socket.create_connection((\\"127.0.0.1\\", PORT-main), 2)'"}]
probes: [{name: "true", command: "true"}]
"""
    place.turn_into("1.0")
    place.accept(text, "caller")
    made = place.create("1.0", "caller")
    assert (made.status, made.reason) == (Status.ROLLED_BACK, "step_failed")
    place.accept(text + "network: true\n", "caller")
    assert place.create("1.1", "caller").status is Status.RUNNING


@pytest.mark.parametrize("version", ["", "-x", "../up", "a b", "a/b", "1\n2", "x" * 129, "$(id)"])
def test_a_strange_version_is_refused(site: World, version: str) -> None:
    with pytest.raises(VersionInvalid):
        site.create(version)


def test_an_environment_has_to_be_declared(site: World) -> None:
    with pytest.raises(EnvironmentUnknown, match="declares production, staging"):
        site.rooms.create(ALICE, "site", environment="development", version="1.0")


def test_commands_see_no_keys_and_can_not_write_what_governs_them(place: World) -> None:
    place.accept(
        """\
name: nosy
environments: {staging: }
steps:
  - name: look
    run: |-
      sh -c 'ls .interlock; echo x > cicd/deployments/nosy.yaml; echo x > storage/x; env > seen; true'
probes: [{name: "true", command: "true"}]
""",
        "nosy",
    )
    before = (place.root / "cicd/deployments/nosy.yaml").read_text()
    place.create("1.0", "nosy")
    assert (place.root / "cicd/deployments/nosy.yaml").read_text() == before
    assert not (place.root / "storage" / "x").exists()
    seen = dict(line.split("=", 1) for line in (place.root / "seen").read_text().splitlines() if "=" in line)
    assert (seen["VERSION"], seen["ENVIRONMENT"], seen["INTERLOCK_DEPLOYMENT_STEP"]) == ("1.0", "staging", "look")
    assert "PYTEST_CURRENT_TEST" not in seen


def test_what_commands_print_is_in_the_log_of_the_run(place: World) -> None:
    place.accept(
        """\
name: chatty
environments: {staging: }
steps: [{name: talk, run: "echo hello ${VERSION}"}]
probes: [{name: "true", command: "true"}]
""",
        "chatty",
    )
    place.create("1.0", "chatty")
    with place.rooms.look() as desk:
        lines = desk.pipelines.lines(RUN, after=0, limit=10, job=None)
    assert [(line.job, line.text) for line in lines] == [("deployment/chatty/talk", "hello 1.0")]


# --- one after the other ----------------------------------------------------------------------------------------------


def test_a_second_version_is_refused_while_one_is_under_way(site: World) -> None:
    refused: list[str] = []

    def second(where: str) -> None:
        if where == "start.begun":
            with pytest.raises(DeploymentBusy) as error:
                site.create("2.0")
            refused.append(error.value.message)

    made = replace(site.rooms, probe=second).create(ALICE, "site", environment="staging", version="1.0")
    assert refused == ["somebody is at work on site in staging"]
    with pytest.raises(DeploymentBusy, match=f"{made.id} .1.0. is Running in staging: promote it or roll it back"):
        site.create("2.0")


def test_environments_do_not_wait_for_each_other(site: World) -> None:
    site.create("1.0")
    other = site.rooms.create(ALICE, "site", environment="Production", version="1.0")
    assert (other.environment, other.status, other.previous_version) == ("Production", Status.RUNNING, None)


@pytest.mark.parametrize(("when", "done"), [("stop.done", ["stop main 1.0"]), ("stop.begun", ["stop main 1.0"])])
def test_a_deployment_that_was_moved_elsewhere_meanwhile_is_let_go(site: World, when: str, done: list[str]) -> None:
    def meddle(where: str) -> None:
        if where == when:
            found = site.rooms.list()[0]
            with site.rooms.open(ALICE) as desk:
                desk.deployments.replace(replace(found, revision=found.revision + 1), seen_revision=found.revision)

    site.promoted("1.0")
    site.deeds()
    with pytest.raises(DeploymentNotMovable, match="moved by somebody else"):
        replace(site.rooms, probe=meddle).create(ALICE, "site", environment="staging", version="2.0")
    assert site.deeds() == done
    assert [leaf for leaf in site.kinds(site.rooms.list()[0].id) if leaf.endswith("step_ended")] == (
        ["deployment.state.step_ended"] if when == "stop.done" else []
    )


def test_panic_stops_the_way_there_and_leaves_the_way_back(site: World) -> None:
    def panic(where: str) -> None:
        if where == "stop.done":
            site.house.access.raise_panic(ALICE, role=Role.ADMIN, reason="smoke")

    site.promoted("1.0")
    with pytest.raises(Frozen):
        replace(site.rooms, probe=panic).create(ALICE, "site", environment="staging", version="2.0")
    [stopped, *_] = site.rooms.list()
    with pytest.raises(Frozen):
        site.rooms.resume(ALICE, stopped.id)
    assert site.rooms.rollback(ALICE, stopped.id, reason="smoke").status is Status.ROLLED_BACK
    assert site.answers() == "1.0"


# --- cut off ----------------------------------------------------------------------------------------------------------


def doomed(root: str, verb: str, target: str, where: str) -> None:
    """Carry out a verb in a process that kills itself at a place."""

    def die(place: str) -> None:
        if place == where:
            os.kill(os.getpid(), signal.SIGKILL)

    rooms = replace(world(at(Path(root)), Path(root)).rooms, probe=die)
    if verb == "create":
        rooms.create(ALICE, "site", environment="staging", version=target, pipeline_id=RUN)
    elif verb == "promote":
        rooms.promote(ALICE, target)
    else:
        rooms.rollback(ALICE, target, reason="")


def killed(root: Path, *words: str) -> None:
    script = "import sys; from tests.pipelines.test_deployments import doomed; doomed(*sys.argv[1:])"
    done = subprocess.run([sys.executable, "-c", script, str(root), *words], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("where", "again"),
    [
        ("stop.begun", ["stop main 1.0", "start main 2.0"]),
        ("stop.done", ["start main 2.0"]),
        ("start.done", []),
        ("probe.begun", []),
    ],
)
def test_a_deployment_that_was_killed_goes_on_with_the_unfinished_step(
    site: World, where: str, again: list[str]
) -> None:
    site.promoted("1.0")
    killed(site.root, "create", "2.0", where)
    [cut, *_] = site.rooms.list()
    assert cut.status is Status.RUNNING
    with pytest.raises(DeploymentNotMovable, match="was cut off after"):
        site.rooms.promote(ALICE, cut.id)
    site.deeds()
    assert site.rooms.resume(ALICE, cut.id).healthy
    assert (site.deeds(), site.answers()) == (again, "2.0")
    with pytest.raises(DeploymentNotMovable, match="was not cut off"):
        site.rooms.resume(ALICE, cut.id)


def test_a_run_that_is_resumed_goes_on_with_the_deployment_that_it_had_begun(site: World) -> None:
    def deploy(version: str = "2.0") -> str:
        return site.rooms.deploy(ALICE, "site", environment="staging", version=version, pipeline_id=RUN)

    site.promoted("1.0")
    killed(site.root, "create", "2.0", "stop.done")
    [cut, *_] = site.rooms.list()
    site.deeds()
    assert deploy() == cut.id
    assert (site.deeds(), site.answers()) == (["start main 2.0"], "2.0")
    assert deploy() == cut.id
    assert site.deeds() == []
    with pytest.raises(DeploymentBusy):
        deploy("2.1")


def test_a_deployment_that_was_killed_can_be_taken_back_instead(site: World) -> None:
    site.promoted("1.0")
    killed(site.root, "create", "2.0", "start.begun")
    [cut, *_] = site.rooms.list()
    assert site.rooms.rollback(ALICE, cut.id, reason="enough").status is Status.ROLLED_BACK
    assert site.answers() == "1.0"


@pytest.mark.parametrize("where", ["undo-1.begun", "undo-1.done", "undo-2.done"])
def test_a_roll_back_that_was_killed_is_carried_out_by_resume(site: World, where: str) -> None:
    site.promoted("1.0")
    second = site.promoted("2.0")
    killed(site.root, "rollback", second.id, where)
    cut = site.rooms.get(second.id)
    assert (cut.status, cut.reason) == (Status.FAILED, "rolling_back")
    with pytest.raises(DeploymentBusy, match="its roll back was cut off"):
        site.create("3.0")
    assert site.rooms.resume(ALICE, second.id).status is Status.ROLLED_BACK
    assert site.answers() == "1.0"


# --- the other strategies ---------------------------------------------------------------------------------------------

BLUE_GREEN = """\
name: site
strategy: blue-green
environments: {staging: }
colours: {blue: {PORT: "PORT-blue"}, green: {PORT: "PORT-green"}}
hooks:
  start: python3 control.py start ${COLOUR} ${VERSION}
  stop: python3 control.py stop ${COLOUR} ${VERSION}
  switch: python3 control.py switch ${COLOUR} ${VERSION}
probes:
  - name: answers
    http: {url: "http://127.0.0.1:${PORT}/", contains: '"${VERSION}"'}
    retries: 5
"""
CANARY = """\
name: site
strategy: canary
weights: [10, 100]
environments: {staging: }
hooks:
  start: python3 control.py start ${VERSION} ${VERSION}
  stop: python3 control.py stop ${VERSION} ${VERSION}
  weight: python3 control.py weight ${VERSION} ${WEIGHT}
probes:
  - name: errors
    metric: {file: "live/${VERSION}.json", value: errors}
    as: error_rate
    at: [weight-100]
  - name: there
    command: test -d live/${VERSION}
"""
ROLLING = """\
name: site
strategy: rolling
environments: {staging: }
instances: {a: {PORT: "PORT-a"}, b: {PORT: "PORT-b"}}
hooks:
  drain: python3 control.py drain ${INSTANCE} ${VERSION}
  stop: python3 control.py stop ${INSTANCE} ${VERSION}
  start: python3 control.py start ${INSTANCE} ${VERSION}
  attach: python3 control.py attach ${INSTANCE} ${VERSION}
probes:
  - name: answers
    http: {url: "http://127.0.0.1:${PORT}/", contains: '"${VERSION}"'}
    retries: 5
"""


def test_blue_green_switches_between_two_servers(place: World, host: Callable[..., None]) -> None:
    host("blue", "green")
    place.accept(BLUE_GREEN)
    place.promoted("1.0")
    made = place.create("2.0")
    assert (place.answers("blue"), place.answers("green")) == ("1.0", "2.0")
    assert place.deeds()[2:] == ["start green 2.0", "switch green 2.0"]
    place.rooms.promote(ALICE, made.id)
    assert place.deeds() == ["stop blue 1.0"]
    place.rooms.rollback(ALICE, made.id, reason="")
    assert place.answers("blue") == "1.0"
    assert place.deeds() == ["start blue 1.0", "switch blue 1.0", "stop green 2.0"]
    bad = place.create("3.0-broken")
    assert bad.status is Status.ROLLED_BACK
    assert place.deeds() == ["start green 3.0-broken", "stop green 3.0-broken"]
    assert place.rooms.rollback(ALICE, place.create("4.0").id, reason="").status is Status.ROLLED_BACK
    assert place.deeds() == ["start green 4.0", "switch green 4.0", "switch blue 1.0", "stop green 4.0"]
    place.promoted("5.0")
    assert place.deeds() == ["start green 5.0", "switch green 5.0", "stop blue 1.0"]


def test_a_promotion_that_was_killed_goes_on_or_is_taken_back(place: World, host: Callable[..., None]) -> None:
    host("blue", "green")
    place.accept(BLUE_GREEN)
    place.promoted("1.0")
    made = place.create("2.0")
    killed(place.root, "promote", made.id, "stop-blue.begun")
    place.deeds()
    assert place.rooms.get(made.id).status is Status.RUNNING
    assert place.rooms.promote(ALICE, made.id).status is Status.SUCCESS
    assert place.deeds() == ["stop blue 1.0"]
    third = place.create("3.0")
    killed(place.root, "promote", third.id, "stop-green.begun")
    place.deeds()
    place.rooms.rollback(ALICE, third.id, reason="")
    assert place.deeds() == ["start green 2.0", "switch green 2.0", "stop blue 3.0"]


def test_where_nobody_looked_nothing_is_said_of_health(place: World, host: Callable[..., None]) -> None:
    host("1.0")
    place.accept(CANARY[: CANARY.index("  - name: there")])
    (place.root / "live" / "1.0.json").write_text('{"errors": 1}')
    made = place.create("1.0")
    assert made.healthy
    assert place.kinds(made.id).count("deployment.health_passed") == 1


def test_a_failed_undo_is_told_although_the_old_version_answers(place: World, host: Callable[..., None]) -> None:
    host("blue", "green")
    place.accept(BLUE_GREEN)
    place.promoted("1.0")
    place.deeds()
    (place.root / "refuse").write_text("switch")
    made = place.create("2.0")
    assert (made.status, made.reason) == (Status.FAILED, "rollback_incomplete")
    assert place.deeds() == ["start green 2.0", "switch green 2.0", "switch blue 1.0", "stop green 2.0"]
    assert place.answers("blue") == "1.0"


def test_a_canary_that_errs_at_its_last_weight_is_taken_away(place: World, host: Callable[..., None]) -> None:
    host("1.0", "2.0", "3.0")
    place.accept(CANARY)
    for version, errors in (("1.0", 1), ("2.0", 1), ("3.0", 7)):
        (place.root / "live" / f"{version}.json").write_text(json.dumps({"errors": errors}))
    place.promoted("1.0")
    place.promoted("2.0")
    assert place.deeds() == [
        *("start 1.0 1.0", "weight 1.0 10", "weight 1.0 100"),
        *("start 2.0 2.0", "weight 2.0 10", "weight 2.0 100", "stop 1.0 1.0"),
    ]
    made = place.create("3.0")
    assert (made.status, made.message) == (Status.ROLLED_BACK, "errors: 7 is not < 5")
    assert place.deeds() == ["start 3.0 3.0", "weight 3.0 10", "weight 3.0 100", "weight 3.0 0", "stop 3.0 3.0"]
    assert place.answers("2.0") == "2.0"


def test_a_rolling_update_stops_at_the_first_instance_that_does_not_answer(
    place: World, host: Callable[..., None]
) -> None:
    host("a", "b")
    place.accept(ROLLING)
    place.promoted("1.0")
    place.promoted("2.0")
    assert (place.answers("a"), place.answers("b")) == ("2.0", "2.0")
    assert place.deeds() == [
        *("start a 1.0", "attach a 1.0", "start b 1.0", "attach b 1.0"),
        *("drain a 1.0", "stop a 1.0", "start a 2.0", "attach a 2.0"),
        *("drain b 1.0", "stop b 1.0", "start b 2.0", "attach b 2.0"),
    ]
    made = place.create("3.0-broken")
    assert made.status is Status.ROLLED_BACK
    assert (place.answers("a"), place.answers("b")) == ("2.0", "2.0")
    assert place.deeds() == [
        *("drain a 2.0", "stop a 2.0", "start a 3.0-broken"),
        *("stop a 3.0-broken", "start a 2.0", "attach a 2.0"),
    ]


def test_an_ill_instance_is_named(place: World, host: Callable[..., None]) -> None:
    host("a", "b")
    place.accept(ROLLING)
    made = place.promoted("1.0")
    place.turn_into("1.0-broken", "b")
    after = place.rooms.monitor(ALICE, made.id)
    assert (after.status, after.message) == (Status.ROLLED_BACK, "answers[b]: it answered 500, not 200")


# --- what is shipped, and both databases ------------------------------------------------------------------------------


def released(root: Path, folder: str) -> Sequence[str]:
    return sorted(path.name for path in (root / "build_output" / folder).iterdir())


def test_the_shipped_example_releases_the_reports_and_goes_back(place: World) -> None:
    place.rooms.accept(ALICE, "workspace-reports")
    output = place.root / "build_output"
    (output / "gateway-self-heal.json").write_text('{"status": "ok"}')
    first = place.promoted("1.0", "workspace-reports")
    assert first.status is Status.SUCCESS
    assert (output / "staged" / "current").read_text() == "1.0\n"
    (output / "gateway-self-heal.json").write_text('{"status": "attention"}')
    second = place.promoted("2.0", "workspace-reports")
    assert released(place.root, "staged") == ["1.0", "1.0.cksum", "2.0", "2.0.cksum", "current"]
    assert (output / "staged/1.0/gateway-self-heal.json").read_text() == '{"status": "ok"}'
    (output / "staged/2.0/gateway-self-heal.json").write_text("{}")
    after = place.rooms.monitor(ALICE, second.id)
    assert after.status is Status.ROLLED_BACK
    assert after.message is not None
    assert "2.0 is not as it was released" in after.message
    assert released(place.root, "staged") == ["1.0", "1.0.cksum", "current"]
    assert (output / "staged" / "current").read_text() == "1.0\n"


def test_the_shipped_example_works_in_a_fresh_workspace(place: World) -> None:
    place.rooms.accept(ALICE, "workspace-reports")
    shutil.rmtree(place.root / "build_output")
    (place.root / "build_output").mkdir()
    made = place.rooms.create(ALICE, "workspace-reports", environment="production", version="1.0")
    assert made.status is Status.RUNNING, made.message
    assert released(place.root, "released") == ["1.0", "1.0.cksum", "current"]
    assert place.rooms.standing("workspace-reports").may_run


def test_deployments_are_kept_in_each_database(house: Interlock, tmp_path: Path) -> None:
    made = furnish(house, tmp_path)
    made.accept(
        """\
name: plain
environments: {staging: , production: }
steps: [{name: write, run: "sh -c 'echo $VERSION > released'", undo: "sh -c 'echo $PREVIOUS_VERSION > released'"}]
probes: [{name: there, command: "test -s released"}]
artefacts: [released]
""",
        "plain",
    )
    first, second = made.promoted("1.0", "plain"), made.promoted("2.0", "plain")
    made.rooms.rollback(ALICE, second.id, reason="")
    assert (tmp_path / "released").read_text() == "1.0\n"
    assert [each.id for each in made.rooms.list(name="plain")] == [second.id, first.id]
    assert [each.id for each in made.rooms.list(before=second.id)] == [first.id]
    assert made.rooms.get(first.id).status is Status.SUCCESS
