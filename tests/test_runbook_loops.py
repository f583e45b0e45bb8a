"""What the page on agent loops tells to type works as it stands there, in this order, on a loop that really runs."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import until
from tests.docs.page import ROOT, Said, Terminal, sections
from tests.ports import free_port

PAGE = "docs/runbooks/ops-manager.md"
SUPERLOOP = ROOT / "tests" / "loops" / "superloop.sh"
_DEAF_ONCE = """#!/bin/sh
if [ "$1" = cancel ] && [ ! -e "$0.heard" ]; then : >"$0.heard"; echo "cancelled (it says)"; exit 0; fi
exec {superloop} "$@"
"""


def _make_jq(folder: Path) -> None:
    """Make `jq` of its own library, so that no machine has to have it."""
    (folder / "jq").write_text(
        f"#!{sys.executable}\n"
        "import jq, json, sys\n"
        "text = open(sys.argv[2]).read() if len(sys.argv) > 2 else sys.stdin.read()\n"
        "for found in jq.compile(sys.argv[1]).input_text(text).all():\n"
        "    print(json.dumps(found, indent=2))\n"
    )
    (folder / "jq").chmod(0o755)


def _nobody_listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) != 0


@dataclass
class Place:
    """A fresh workspace, and a repository whose loop a small runtime carries out."""

    workspace: Path
    repo: Path
    terminal: Terminal
    port: int
    said: dict[str, Said] = field(default_factory=dict[str, Said])

    def types(self, command: str, code: int = 0) -> Said:
        """Type a command as the page has it."""
        self.said[command] = self.terminal.types(command, code)
        return self.said[command]

    def last(self, *words: str) -> Any:  # noqa: ANN401 - JSON of any shape
        """Return what the last command with these words printed."""
        command = next(each for each in reversed(self.said) if all(word in each for word in words))
        return json.loads(self.said[command].stdout)

    def runs(self, *verbs: str) -> None:
        """Let the runtime do what it does by itself."""
        for verb in verbs:
            subprocess.run([SUPERLOOP, verb, "--repo", self.repo, "--loop", "demo"], check=True, timeout=30)

    def kept(self, name: str) -> Any:  # noqa: ANN401 - JSON of any shape
        return json.loads((self.repo / ".superloop" / "ops-manager" / "demo" / name).read_text(encoding="utf-8"))


# --- what has happened before each section ----------------------------------------------------------------------------


def _begin(place: Place) -> None:
    place.runs("start", "work")


def _wait_for_a_decision(place: Place) -> None:
    place.runs("ask")
    place.types('scripts/ops-manager-reconcile.sh --repo "$REPO" --loop "$LOOP"')
    assert place.last("reconcile.sh")["transition"]["currentState"] == "awaiting_approval"


def _was_steered(place: Place) -> None:
    # the audit that the section reads is of a control that somebody issued before
    place.types('scripts/ops-manager-control.sh --repo "$REPO" --loop "$LOOP" --intent approve', 1)


def _lose_the_runtime_s_state(place: Place) -> None:
    place.runs("resume", "work")
    (place.repo / ".superloop" / "state.json").unlink()


def _hear_badly(place: Place) -> None:
    place.runs("work")
    (place.workspace / "superloop.sh").write_text(_DEAF_ONCE.format(superloop=SUPERLOOP), encoding="utf-8")


def _begin_again(place: Place) -> None:
    place.runs("start", "work")


def _ask_again(place: Place) -> None:
    place.runs("start", "ask")


def _work_on(place: Place) -> None:
    place.runs("resume", "work")


BEFORE: dict[str, Callable[[Place], None]] = {
    "Reconcile": _begin,
    "See everything": _was_steered,
    "Decide what a loop waits for": _wait_for_a_decision,
    "Divergence": _lose_the_runtime_s_state,
    "Try an intent again, safely": _hear_badly,
    "Reset the cursor and replay": _begin_again,
    "Over a service": _ask_again,
    "When the service does not answer": _work_on,
}
CODES = {
    'interlock loop control "$LOOP" --repo "$REPO" --intent cancel --as service:night-watch': 4,
    'scripts/ops-manager-control.sh --repo "$REPO" --loop "$LOOP" --intent cancel --timeout-seconds 1': 2,
    'scripts/ops-manager-confirm-intent.sh --repo "$REPO" --loop "$LOOP" --intent cancel --timeout-seconds 0': 1,
    'scripts/ops-manager-control.sh --repo "$REPO" --loop "$LOOP" --intent cancel --transport sprite_service'
    ' --service-base-url "http://127.0.0.1:$PORT"': 1,
    'scripts/ops-manager-reconcile.sh --repo "$REPO" --loop "$LOOP" --transport sprite_service'
    ' --service-base-url "http://127.0.0.1:$PORT" --retry-backoff-seconds 0': 1,
}
"""Commands that the page says end otherwise than with 0."""


# --- what is true after each section ----------------------------------------------------------------------------------


def _healthy(place: Place) -> None:
    state = place.kept("state.json")
    assert (state["transition"]["currentState"], state["health"]["status"]) == ("running", "healthy")


def _everything_is_seen(place: Place) -> None:
    shown = place.last("status.sh", "--pretty")["visibility"]
    assert (shown["heartbeat"]["freshnessStatus"], shown["sequence"]["status"]) == ("fresh", "ok")
    assert shown["invocationAudit"]["traceId"] == shown["trace"]["controlInvocationTraceId"]


def _approved(place: Place) -> None:
    assert place.last("--intent approve", "--note")["confirm"]["reason"] == "approval_recorded"


def _diverged(place: Place) -> None:
    first, *_, replayed = (json.loads(said.stdout) for line, said in place.said.items() if "reconcile.sh" in line)
    del first
    assert replayed["divergence"]["flags"]["activeMismatch"] is True
    assert replayed["health"]["reasonCodes"] == ["divergence_detected"]
    assert replayed["sequence"]["violations"] == []
    assert "control_frozen" in next(said.stderr for line, said in place.said.items() if "night-watch" in line)
    escalated = next(said.stdout for line, said in reversed(place.said.items()) if "escalations.jsonl" in line)
    assert json.loads(escalated.splitlines()[-1])["category"] == "divergence_detected"


def _cancelled(place: Place) -> None:
    rows = [
        json.loads(line)["status"]
        for line in (place.repo / ".superloop/ops-manager/demo/intents.jsonl").read_text().splitlines()
    ]
    assert rows[-3:] == ["ambiguous", "acknowledged", "confirmed"]
    state = place.kept("state.json")
    assert state["divergence"]["any"] is False
    assert state["health"]["status"] == "healthy"


def _replayed(place: Place) -> None:
    lines = (place.repo / ".superloop/loops/demo/events.jsonl").read_text().count("\n")
    assert place.kept("cursor.json")["eventLineOffset"] == lines
    state = place.kept("state.json")
    assert state["divergence"]["flags"]["cursorRegression"] is False
    assert state["sequence"]["violations"] == []


def _strict_with_one_flag(place: Place) -> None:
    thresholds = place.last("--threshold-profile strict")["health"]["thresholds"]
    assert (thresholds["profile"], thresholds["criticalIngestLagSeconds"]) == ("strict", 480)


def _approved_over_the_service(place: Place) -> None:
    done = place.last("--intent approve")
    assert (done["status"], done["transport"]) == ("confirmed", "sprite_service")
    assert json.loads(done["commandOutput"])["replayed"] is False
    assert place.last("sprite_service", "reconcile.sh")["projection"]["hasPendingApproval"] is True
    assert list(place.kept("service-idempotency.json")) == ["approve-demo-001"]
    assert len(place.last("service-client.sh")["events"]) == 5


def _fell_back_and_came_back(place: Place) -> None:
    failed = place.last("--intent cancel", "sprite_service")
    assert failed["status"] == "failed_command"
    assert failed == json.loads(next(said.stdout for line, said in place.said.items() if line.startswith("tail")))
    assert "transport_unreachable" in place.last("--retry-backoff-seconds 0")["reasonCodes"]
    assert place.last("--intent cancel", "--transport local")["status"] == "confirmed"
    state = place.last("--from-start", "sprite_service")
    assert (state["health"]["status"], state["divergence"]["any"]) == ("healthy", False)
    assert (place.workspace / "service.log").read_text().count("\n") == 1


AFTER: dict[str, Callable[[Place], None]] = {
    "Reconcile": _healthy,
    "Look first": _healthy,
    "See everything": _everything_is_seen,
    "Decide what a loop waits for": _approved,
    "Divergence": _diverged,
    "Try an intent again, safely": _cancelled,
    "Reset the cursor and replay": _replayed,
    "When something can not be seen": _healthy,
    "Tune the thresholds": _strict_with_one_flag,
    "Over a service": _approved_over_the_service,
    "When the service does not answer": _fell_back_and_came_back,
}


@pytest.mark.proves("loop-page")
@pytest.mark.timeout(180)
def test_every_command_of_the_loops_page_works(tmp_path: Path) -> None:
    workspace, repo, port = tmp_path / "workspace", tmp_path / "repo", free_port()
    _make_jq(tmp_path)
    repo.mkdir()
    workspace.mkdir()
    environment = {
        "PATH": str(tmp_path),
        "REPO": str(repo),
        "LOOP": "demo",
        "USER": "ada",
        "PORT": str(port),
        "OPS_MANAGER_SERVICE_TOKEN": "a-token-of-this-page",
        "SUPERLOOP_BIN": "",
    }
    with Terminal(tmp_path / "terminal", workspace, environment) as terminal:
        terminal.types("unset SUPERLOOP_BIN; interlock init .")
        shutil.copy(SUPERLOOP, workspace / "superloop.sh")
        _walk(Place(workspace, repo, terminal, port))


def _walk(place: Place) -> None:
    told = 0
    for heading, commands in sections(PAGE).items():
        place.said.clear()
        BEFORE.get(heading, lambda _: None)(place)
        for command in commands:
            said = place.types(command, CODES.get(command, 0))
            if command.startswith("kill"):  # it finishes what is under way, and answers until then
                until(lambda: _nobody_listens(place.port))
            assert not said.stderr or command in CODES, (heading, command, said)
            assert said.stdout or command in CODES or command.startswith(("cp", "rm", "kill")), (heading, command, said)
            told += 1
        AFTER.get(heading, lambda _: None)(place)
    assert told > 58


def test_every_heading_that_a_test_knows_is_on_the_page() -> None:
    told = sections(PAGE)
    assert (BEFORE.keys() | AFTER.keys()) <= told.keys()
    assert CODES.keys() <= {command for each in told.values() for command in each}


def test_every_flow_of_the_seed_that_is_here_is_on_the_page() -> None:
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    for script in ("reconcile", "status", "control", "telemetry-summary"):
        assert f"scripts/ops-manager-{script}.sh --repo" in text
    for word in (
        "--summary-window 200",
        "visibility.heartbeat",
        "visibility.sequence",
        "invocationAudit",
        "sharedTraceId",
        "drift_active",
        "--from-start",
        "control_ambiguous",
        "cursor.backup.json",
        "--transport local",
        "--threshold-profile balanced",
        "OPS_MANAGER_THRESHOLD_PROFILE",
        "--transport sprite_service",
        "--service-base-url",
        "--service-token",
        "--idempotency-key",
        "transport_unreachable",
        "invalid_transport_payload",
    ):
        assert word in text, word
