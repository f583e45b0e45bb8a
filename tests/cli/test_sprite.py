"""The entry points of the service transport, as the runbook writes them: real scripts, real processes."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from interlock.access.models import Role
from interlock.app import Interlock
from interlock.cli import ops_manager
from interlock.loops import files
from interlock.loops.sprite_client import Base, Client, ServiceRequestFailed
from tests.cli.door import Said, environment
from tests.cli.lived import ME
from tests.conftest import until
from tests.loops.sprite import SUPERLOOP, TOKEN, Runtime, does, http, pretending
from tests.loops.test_sprite_client import nobody

SECRET = "flag-token-0123456789"  # noqa: S105 - it opens nothing


@dataclass(frozen=True)
class Place:
    """A workspace with its scripts, and a repository with the loop `demo`."""

    root: Path
    repo: Path

    def env(self, token: str | None = TOKEN, **more: str) -> Mapping[str, str]:
        known = {} if token is None else {"OPS_MANAGER_SERVICE_TOKEN": token}
        return environment(**{"SUPERLOOP_BIN": str(SUPERLOOP), "USER": "ada", **known, **more})

    def call(self, script: str, *words: str, token: str | None = TOKEN, **more: str) -> Said:
        done = subprocess.run(
            [self.root / "scripts" / script, *words],
            env=self.env(token, **more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def loop(self, name: str, *words: str, token: str | None = TOKEN, **more: str) -> Said:
        where = ("--repo", str(self.repo), "--loop", "demo")
        return self.call(f"ops-manager-{name}.sh", *where, *words, token=token, **more)

    @contextmanager
    def service(self, *words: str, token: str | None = TOKEN, **more: str) -> Generator[str]:
        """Start the service's script; kill it by the number of the process that was started."""
        process = subprocess.Popen(
            [self.root / "scripts" / "ops-manager-sprite-service.py", "--repo", self.repo, "--port", "0", *words],
            env=self.env(token, **more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        assert said["pid"] == process.pid
        try:
            yield said["url"]
        finally:
            process.send_signal(signal.SIGTERM)
            _, told = process.communicate(timeout=20)
        assert (process.returncode, told) == (0, "")

    def over(self, url: str) -> tuple[str, ...]:
        return ("--transport", "sprite_service", "--service-base-url", url)

    def rows(self, name: str = "intents.jsonl") -> list[dict[str, Any]]:
        return files.last_rows(str(self.manager / name), 100)

    @property
    def manager(self) -> Path:
        return self.repo / ".superloop" / "ops-manager" / "demo"


@pytest.fixture
def place(workspace: Path, tmp_path: Path) -> Place:
    repo = tmp_path / "repo"
    repo.mkdir()
    does(repo, "start", "work")
    return Place(workspace, repo)


def test_the_service_s_script_is_a_program_of_python_that_any_python_reads(place: Place) -> None:
    script = place.root / "scripts" / "ops-manager-sprite-service.py"
    text = script.read_text()
    assert text.startswith("#!/usr/bin/env python3\n")
    assert script.stat().st_mode & stat.S_IXUSR
    done = subprocess.run(
        [sys.executable, script, "--help"], env=place.env(), capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.startswith("Usage: ops-manager-sprite-service.py")
    linked = place.repo / "service"
    linked.symlink_to(script)
    assert subprocess.run([linked, "-h"], env=place.env(), capture_output=True, check=True, timeout=30).stdout


@pytest.mark.proves("loop-service")
def test_the_commands_of_service_mode_work_as_the_seed_writes_them(place: Place) -> None:
    with place.service("--token", SECRET, token=None) as url:
        where = (*place.over(url), "--service-token", SECRET)
        said = place.loop("reconcile", *where, token=None)
        assert (said.code, said.err) == (0, "")
        assert json.loads(said.out)["projection"]["status"] == "running"
        does(place.repo, "ask")
        said = place.loop(
            "control", "--intent", "approve", *where, "--idempotency-key", "approve-demo-001", "--trace-id", "t-5",
            token=None,
        )  # fmt: skip
        assert (said.code, said.err) == (0, "")
    done = json.loads(said.out)
    assert (done["status"], done["transport"], done["traceId"]) == ("confirmed", "sprite_service", "t-5")
    assert json.loads(done["commandOutput"])["replayed"] is False
    assert list(json.loads((place.manager / "service-idempotency.json").read_text())) == ["approve-demo-001"]
    assert len(place.rows()) >= 2
    assert place.rows()[-1] == done
    assert place.rows("telemetry/control-invocations.jsonl")[-1]["transport"] == "sprite_service"
    shown = json.loads(place.loop("status").out)
    assert shown["reconcile"]["lastTransport"] == "sprite_service"
    assert shown["visibility"]["invocationAudit"]["transport"] == "sprite_service"


def test_the_flag_wins_over_the_environment(place: Place) -> None:
    with place.service("--token", SECRET, token="another") as url:  # noqa: S106 - it opens nothing
        assert place.loop("reconcile", *place.over(url), "--service-token", SECRET).code == 0
        assert place.loop("reconcile", *place.over(url), "--service-token", "").code == 1
        assert place.loop("reconcile", *place.over(url), token=SECRET).code == 0


def test_defect_11_a_token_that_was_given_as_a_flag_is_in_no_command_line(place: Place, tmp_path: Path) -> None:
    runtime = Runtime(tmp_path)
    runtime.be("hold")
    with place.service("--token", SECRET, SUPERLOOP_BIN=str(runtime.path)) as url, ThreadPoolExecutor(1) as pool:
        where = (*place.over(url), "--service-token", SECRET)
        asked = pool.submit(place.loop, "control", "--intent", "cancel", *where, token=None)
        until(lambda: bool(runtime.calls))
        shown = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True).stdout
        runtime.be()
        said = asked.result(60)
    assert said.code == 0
    assert "ops_manager" in shown
    assert SECRET not in shown
    for path in place.manager.rglob("*"):
        assert path.is_dir() or SECRET not in path.read_text()


def test_a_wrong_token_is_a_failed_command_and_a_failed_reconcile_in_plain_json(place: Place) -> None:
    with place.service() as url:
        said = place.loop("control", "--intent", "cancel", *place.over(url), token=SECRET)
        assert (said.code, said.err) == (1, "")
        assert json.loads(said.out)["status"] == "failed_command"
        said = place.loop("reconcile", *place.over(url), token=SECRET)
        assert (said.code, said.err) == (1, "")
        assert json.loads(said.out)["reasonCodes"] == ["control_failed_command", "transport_unreachable"]
        said = place.call(
            "ops-manager-service-client.sh", "--method", "GET", "--base-url", url, "--path", "/healthz", token=SECRET
        )
    assert (said.code, said.out) == (1, "")
    assert f"service request failed (method=GET url={url}/healthz code=401)" in said.err
    assert SECRET not in said.err


@pytest.mark.proves("loop-service-outage")
def test_an_outage_falls_back_to_the_local_way_and_service_mode_comes_back(place: Place) -> None:
    quick = ("--retry-backoff-seconds", "0")
    said = place.loop("control", "--intent", "cancel", *place.over(nobody()), *quick)
    assert (said.code, json.loads(said.out)["status"]) == (1, "failed_command")
    assert "service request failed" in json.loads(said.out)["failure"]
    said = place.loop("reconcile", *place.over(nobody()), *quick)
    assert (said.code, said.err) == (1, "")
    assert "transport_unreachable" in json.loads(said.out)["reasonCodes"]
    assert place.loop("reconcile", "--transport", "local").code == 0
    assert place.loop("control", "--intent", "cancel", "--transport", "local").code == 0
    with place.service() as url:
        said = place.loop("reconcile", *place.over(url), "--from-start")
    assert said.code == 0
    assert json.loads(said.out)["health"]["status"] == "healthy"


def test_defect_15_a_service_that_answers_garbage_leaves_a_verdict_on_stdout(place: Place) -> None:
    with pretending(http(200, b"<html>\n<b>it works</b>")) as pretender:
        said = place.loop("reconcile", *place.over(pretender.url))
    assert (said.code, said.err) == (1, "")
    assert json.loads(said.out)["reasonCodes"] == ["invalid_transport_payload"]
    assert place.rows("telemetry/reconcile.jsonl")[-1]["failureCode"] == "service_response_invalid"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--service-base-url", "user:pw@host"], "address is"),
        (["--service-base-url", "http://u:hidden@host"], "address is"),
        ([], "--service-base-url is required"),
    ],
)
def test_an_address_that_is_none_writes_nothing(place: Place, words: list[str], told: str) -> None:
    for name, more in (("reconcile", ()), ("control", ("--intent", "cancel"))):
        said = place.loop(name, "--transport", "sprite_service", *words, *more)
        assert (said.code, said.out) == (1, "")
        assert told in said.err
        assert "hidden" not in said.err
    assert not place.manager.exists()


# --- the client as a script -------------------------------------------------------------------------------------------


def test_the_client_prints_what_was_answered(place: Place, tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    wanted = {"loopId": "demo", "intent": "cancel", "idempotencyKey": "k", "timeoutSeconds": 0}
    body.write_text(json.dumps(wanted))
    with place.service() as url:
        ask = ("ops-manager-service-client.sh", "--base-url", url, "--trace-id", "t-1")
        assert place.call(*ask, "--method", "GET", "--path", "/healthz") == Said(0, '{"ok":true}\n', "")
        said = place.call(*ask, "--method", "GET", "--path", "/ops/snapshot?loopId=demo")
        assert json.loads(said.out)["traceId"] == "t-1"
        for replayed in (False, True):
            said = place.call(*ask, "--method", "POST", "--path", "/ops/control", "--body-file", str(body))
            assert (said.code, said.err) == (0, "")
            assert json.loads(said.out)["replayed"] is replayed


def test_the_client_fails_with_what_was_answered_on_stderr(place: Place) -> None:
    with place.service() as url:
        words = ("--base-url", url, "--method", "GET", "--path", "/ops/snapshot?loopId=other")
        said = place.call("ops-manager-service-client.sh", *words)
    assert (said.code, said.out) == (1, "")
    assert "code=502): required artifact root missing" in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--base-url", "http://h", "--path", "/x"], "--method is required"),
        (["--method", "GET", "--path", "/x"], "--base-url is required"),
        (["--method", "GET", "--base-url", "http://h"], "--path is required"),
        (["--method", "GET", "--base-url", "http://h", "--path", "x"], "--path must begin"),
        (["--method", "GET", "--base-url", "http://h", "--path", "/a b"], "--path must begin"),
        (["--method", "POST", "--base-url", "http://h", "--path", "/x"], "--body-file is required"),
        (["--method", "POST", "--base-url", "http://h", "--path", "/x", "--body-file", "/no/x"], "body file not found"),
        (["--method", "PUT"], "--method must be one of GET, POST"),
        (["--retry-attempts", "0"], "--retry-attempts must be"),
    ],
)
def test_the_client_says_what_is_missing(capsys: pytest.CaptureFixture[str], words: list[str], told: str) -> None:
    assert ops_manager.main(["/nowhere", "service-client", *words]) == 1
    found = capsys.readouterr()
    assert found.out == ""
    assert told in found.err


# --- in a workspace ---------------------------------------------------------------------------------------------------


def test_while_panic_is_on_the_service_approves_nothing_and_cancels(place: Place) -> None:
    does(place.repo, "ask")
    with closing(Interlock.at(place.root)) as house:
        house.access.raise_panic(ME, role=Role.ADMIN, reason="drill")
    with place.service() as url:
        client = Client(base=Base.of(url), token=TOKEN)
        body = {"loopId": "demo", "intent": "approve"}
        with pytest.raises(ServiceRequestFailed) as caught:
            client.post("/ops/control", json.dumps(body).encode(), bound=False)
        assert caught.value.status == 423
        assert "panic_mode" in caught.value.body.decode()
        answer = client.post("/ops/control", json.dumps(body | {"intent": "cancel"}).encode(), bound=False)
        assert answer.status == 200


def test_the_workspace_s_log_hears_of_it_once(place: Place) -> None:
    with place.service() as url:
        assert place.loop("control", "--intent", "cancel", *place.over(url), "--trace-id", "t-9").code == 0
    ledger = (place.root / "storage" / "db" / "evidence" / "ledger.jsonl").read_text().splitlines()
    assert [json.loads(line)["kind"] for line in ledger].count("loop.controlled") == 1


def test_people_may_use_the_service_too(place: Place) -> None:
    interlock = str(Path(sys.executable).with_name("interlock"))
    where = ("demo", "--repo", str(place.repo), "--transport", "sprite_service")

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [interlock, "loop", *words],
            cwd=place.root,
            env=place.env(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    with place.service() as url:
        assert "demo: running, healthy" in call("reconcile", *where, "--service-base-url", url).stdout
        done = call("control", *where, "--service-base-url", url, "--intent", "cancel")
        assert (done.returncode, done.stdout) == (0, "demo: cancel confirmed\n")
    assert call("reconcile", *where).returncode == 2
    failed = call("control", *where, "--service-base-url", nobody(), "--intent", "cancel")
    assert failed.returncode == 1
    assert "service request failed" in failed.stderr
    assert "--transport is local or sprite_service" in call("reconcile", *where[:-1], "pigeon").stderr


def test_the_service_answers_within_six_seconds_of_its_start(place: Place) -> None:
    began = time.monotonic()
    with place.service() as url:
        said = place.call("ops-manager-service-client.sh", "--method", "GET", "--base-url", url, "--path", "/healthz")
        assert said.code == 0
        assert time.monotonic() - began < 6
