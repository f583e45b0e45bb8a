"""What every command promises: its help, one JSON document, lists that are arrays, options anywhere on the line."""

from __future__ import annotations

import atexit
import json
import logging
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest

from interlock import __version__
from interlock.access.models import Role
from interlock.alerts.dispatch import dispatch
from interlock.alerts.idle import Order
from interlock.app import Interlock
from interlock.kernel.clock import system_clock
from interlock.loops import files
from interlock.pipelines.models import Status
from interlock.providers.models import ProviderType
from interlock.workspace.layout import Layout
from tests.alerts.receiver import receiving
from tests.cli.door import FRESH, Door, call, commands, said
from tests.cli.lived import ME, Lived
from tests.ports import free_port
from tests.providers.model_server import model_server, write

_OPEN = ExitStack()
atexit.register(_OPEN.close)
LISTS = {
    ("draft", "list"),
    ("approved", "list"),
    ("evidence", "keys"),
    ("run", "list"),
    ("queue", "list"),
    ("queue", "limit"),
    ("evidence", "list"),
    ("provider", "check"),
    ("token", "list"),
    ("run", "log"),
    ("loop", "events"),
    ("loop", "threshold"),
    ("loop", "list"),
    ("loop", "watches"),
    ("alert", "list"),
    ("pipeline", "list"),
    ("pipeline", "roles"),
    ("pipeline", "runs"),
    ("pipeline", "log"),
    ("deployment", "list"),
    ("deployment", "definitions"),
    ("node", "list"),
    ("config", "history"),
}


def _panicked(lived: Lived) -> list[str]:
    house = Interlock.at(lived.root)
    house.access.raise_panic(ME, role=Role.ADMIN, reason="a rogue agent")
    house.close()
    return []


def _watch(lived: Lived) -> str:
    house = Interlock.at(lived.root)
    made = house.loops.watch(ME, str(lived.root))
    house.close()
    return made.id


def _alerted(lived: Lived, *, silenced: bool = False) -> str:
    """Let a loop escalate to a webhook; returns the alert's id, or that of a silence."""
    hook = _OPEN.enter_context(receiving())
    os.environ["HOOK_OF_TEST_ANSWERS"] = hook.url
    config = lived.root / "config" / "ops-manager-alert-sinks.v1.json"
    catalog = json.loads(config.read_text())
    catalog["sinks"] = {"hook": {"enabled": True, "type": "webhook", "urlEnv": "HOOK_OF_TEST_ANSWERS"}}
    catalog["routing"] = {"defaultSinks": ["hook"], "categorySeverity": {}, "routes": []}
    config.write_text(json.dumps(catalog))
    manager = str(lived.root / ".superloop" / "ops-manager" / "demo")
    files.append(f"{manager}/escalations.jsonl", [b'{"category":"health_critical"}\n'])
    house = Interlock.at(lived.root)
    dispatch(house.alerts, files, ME, Order.of(str(lived.root), "demo", manager, "t"), system_clock)
    found = house.alerts.silence(ME, reason="work", for_ms=9_000).id if silenced else house.alerts.list()[0].id
    house.close()
    return found


def _looped(lived: Lived, *more: str) -> list[str]:
    """Let a loop begin in the workspace itself, and find out about it."""
    runtime = lived.root / "superloop.sh"
    shutil.copy(Path(__file__).parents[1] / "loops" / "superloop.sh", runtime)
    where = ["--repo", str(lived.root), "--loop", "demo"]
    subprocess.run([runtime, "start", *where], check=True, timeout=30)
    subprocess.run(
        [lived.root / "scripts" / "ops-manager-reconcile.sh", *where],
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=30,
    )
    return ["demo", *more]


def _unresolved(lived: Lived) -> list[str]:
    """Let an intent on that loop come to nothing that was seen."""
    words = _looped(lived)
    intents = lived.root / ".superloop" / "ops-manager" / "demo" / "intents.jsonl"
    intents.write_text('{"intent":"cancel","status":"ambiguous","traceId":"t"}\n')
    return words


def _first_head(lived: Lived) -> str:
    heads = lived.root / "storage" / "db" / "evidence" / "heads.jsonl"
    return str(json.loads(heads.read_bytes().splitlines()[0])["size"])


def _consistency(lived: Lived) -> str:
    proof = lived.outside / "consistency"
    proof.write_text(Interlock.at(lived.root).evidence.consistency(int(_first_head(lived))))
    return str(proof)


def _receipt(lived: Lived) -> str:
    path = lived.outside / "receipt.json"
    house = Interlock.at(lived.root)
    house.evidence.head()
    path.write_text(json.dumps(house.receipts.of(lived["done"])))
    house.close()
    return str(path)


HEAL, REPORTS = "agent-self-heal", "workspace-reports"
REVIEW = "build_output/planner_review.json"


def _piped(lived: Lived) -> str:
    """Carry a pipeline out; returns the run."""
    house = Interlock.at(lived.root)
    run = house.pipelines.create(ME, HEAL)
    assert house.delivery.runner().run(run.id).status is Status.SUCCESS
    house.close()
    return run.id


def _asked(lived: Lived) -> str:
    """Ask for a run that nobody carries out yet."""
    house = Interlock.at(lived.root)
    run = house.pipelines.create(ME, HEAL)
    house.close()
    return run.id


def _deployed(lived: Lived) -> str:
    """Bring a version into an environment, behind a run of a pipeline."""
    run = _piped(lived)
    house = Interlock.at(lived.root)
    made = house.deployments.create(ME, REPORTS, environment="staging", version="1.0", pipeline_id=run)
    house.close()
    return made.id


class _Cut(BaseException):
    """The end of a process in the middle of what it does."""


def _cut_off(lived: Lived) -> str:
    """Leave a deployment behind in its first step."""

    def cut(where: str) -> None:
        if where.endswith(".begun") or "step" in where:
            raise _Cut

    house = Interlock.at(lived.root)
    with suppress(_Cut):
        replace(house.deployments, probe=cut).create(ME, REPORTS, environment="staging", version="1.0")
    found = house.deployments.list()[0]
    house.close()
    return found.id


def _node(lived: Lived, verb: str = "") -> str:
    """Let a node join, and bring it to where a verb finds it; returns its id."""
    house = Interlock.at(lived.root)
    house.presence.join()
    found = house.fleet.list()[0].id
    if verb == "resume":
        house.fleet.drain(ME, found, reason="a new disk")
    house.close()
    return found


def _published(lived: Lived, *, twice: bool = False) -> list[str]:
    """Publish a configuration; returns nothing, or the two versions."""
    house = Interlock.at(lived.root)
    for seconds in (21, 22) if twice else (21,):
        house.fleet.publish(ME, f"[queue]\nlease_seconds = {seconds}\n")
    house.close()
    return ["1", "2"] if twice else []


def _configuration(lived: Lived) -> str:
    path = lived.outside / "common.toml"
    path.write_text("[queue]\nlease_seconds = 23\n")
    return str(path)


def _on_a_free_port(lived: Lived) -> list[str]:
    """Let the workspace's server listen where nobody does: the usual port may be taken on this machine."""
    settings = lived.root / "interlock.toml"
    settings.write_text(f"{settings.read_text()}\n[server]\nport = {free_port()}\n")
    return []


CALLS: dict[tuple[str, ...], Callable[[Lived], list[str]]] = {
    ("node", "list"): lambda lived: _node(lived)[:0].split(),
    ("node", "show"): lambda lived: [_node(lived)],
    ("node", "drain"): lambda lived: [_node(lived), "--reason", "a new disk"],
    ("node", "quarantine"): lambda lived: [_node(lived), "--reason", "it behaves oddly"],
    ("node", "resume"): lambda lived: [_node(lived, "resume")],
    ("node", "forget"): lambda lived: [_node(lived)],
    ("config", "publish"): lambda lived: [_configuration(lived)],
    ("config", "show"): _published,
    ("config", "history"): _published,
    ("config", "diff"): lambda lived: _published(lived, twice=True),
    ("init",): lambda lived: [str(lived.root)],
    ("inbox",): lambda _: [],
    ("plan", "show"): lambda _: [],
    ("plan", "set"): lambda lived: [str(lived.outside / "plan.json")],
    ("draft", "create"): lambda _: ["--prompt", "sweep"],
    ("draft", "generate"): lambda _: ["--prompt", "sweep"],
    ("draft", "list"): lambda _: [],
    ("draft", "show"): lambda lived: [lived["open"]],
    ("draft", "edit"): lambda lived: [lived["to edit"], "--prompt", "sweep well"],
    ("draft", "diff"): lambda lived: [lived["open"]],
    ("draft", "approve"): lambda lived: [lived["to approve"]],
    ("draft", "reject"): lambda lived: [lived["to reject"]],
    ("draft", "erase"): lambda lived: [lived["to edit"], "--reason", "asked for"],
    ("approved", "list"): lambda _: [],
    ("approved", "show"): lambda lived: [lived["done: approved"]],
    ("approved", "revoke"): lambda lived: [lived["to revoke"]],
    ("approved", "erase"): lambda lived: [lived["to revoke"], "--reason", "asked for"],
    ("provider", "show"): lambda _: [],
    ("provider", "set"): lambda _: ["--name", "spare", "--type", "gemini", "--model", "gemini-x"],
    ("provider", "check"): lambda _: [],
    ("run", "create"): lambda lived: [lived["done: approved"]],
    ("run", "list"): lambda _: [],
    ("run", "show"): lambda lived: [lived["done"]],
    ("run", "log"): lambda lived: [lived["done"]],
    ("run", "truth"): lambda lived: [lived["done"]],
    ("run", "diff"): lambda lived: [lived["done"]],
    ("run", "receipt"): lambda lived: [lived["done"], "--out", _receipt(lived)],
    ("run", "apply"): lambda lived: [lived["done"]],
    ("run", "cancel"): lambda lived: [lived["to cancel"]],
    ("run", "retry"): lambda lived: [lived["failed"]],
    ("run", "ci"): lambda lived: [lived["to cancel"], "--commit", "a" * 40, "--status", "success"],
    ("run", "wait"): lambda lived: [lived["done"]],
    ("run", "purge"): lambda _: ["--older-than", "9d"],
    ("queue", "status"): lambda _: [],
    ("queue", "workers"): lambda _: [],
    ("queue", "explain"): lambda lived: [lived["manual"]],
    ("queue", "consistency-check"): lambda lived: ["--queue", str(lived.outside / "QUEUE.md")],
    ("queue", "kpi"): lambda _: [],
    ("queue", "health"): lambda lived: ["--queue", str(lived.outside / "QUEUE.md")],
    ("queue", "add"): lambda _: ["--task", "sweep", "--success-criteria", "it is clean"],
    ("queue", "claim"): lambda _: ["--owner-session", "ada"],
    ("queue", "heartbeat"): lambda lived: [lived["held"], "--owner-session", "bob"],
    ("queue", "complete"): lambda lived: [lived["held"], "--owner-session", "bob"],
    ("queue", "fail"): lambda lived: [lived["held"], "--owner-session", "bob"],
    ("queue", "release"): lambda lived: [lived["held"], "--owner-session", "bob"],
    ("queue", "reprioritise"): lambda lived: [lived["manual"], "--to", "P0"],
    ("queue", "snooze"): lambda lived: [lived["manual"], "--for", "2h"],
    ("queue", "pause"): lambda _: ["--reason", "a feast"],
    ("queue", "resume"): lambda _: [],
    ("queue", "limit"): lambda _: [],
    ("queue", "rescue"): lambda _: ["--once"],
    ("queue", "import"): lambda lived: ["--queue", str(lived.outside / "QUEUE.md")],
    ("queue", "render"): lambda _: [],
    ("queue", "list"): lambda _: [],
    ("queue", "show"): lambda lived: [lived["done: item"]],
    ("queue", "cancel"): lambda lived: [lived["to cancel by item: item"]],
    ("queue", "replan"): lambda lived: [lived["to replan: item"], "--notes", "smaller steps"],
    ("queue", "retry"): lambda lived: [lived["failed too: item"]],
    ("token", "create"): lambda _: ["--name", "ci", "--role", "operator"],
    ("token", "list"): lambda _: [],
    ("token", "rotate"): lambda lived: [lived["token to rotate"]],
    ("token", "revoke"): lambda lived: [lived["token to take back"]],
    ("panic", "on"): lambda _: ["--reason", "a rogue agent"],
    ("panic", "release"): lambda lived: [*_panicked(lived), "--reason", "it is gone"],
    ("panic", "show"): lambda _: [],
    ("worker",): lambda _: ["--once"],
    ("mcp", "config"): lambda _: ["claude-code"],
    ("evidence", "verify"): lambda _: [],
    ("evidence", "head"): lambda _: [],
    ("evidence", "prove"): lambda _: ["0"],
    ("evidence", "check-receipt"): lambda lived: [_receipt(lived)],
    ("evidence", "check"): lambda lived: [str(lived.outside / "proof"), str(lived.outside / "entry")],
    ("evidence", "export"): lambda lived: [str(lived.root / "exported")],
    ("evidence", "list"): lambda _: [],
    ("evidence", "keys"): lambda _: ["list"],
    ("evidence", "witness"): lambda lived: ["init", str(lived.root / "witness" / "w.key"), "--name", "w"],
    ("evidence", "consistency"): lambda lived: [_first_head(lived)],
    ("evidence", "check-consistency"): lambda lived: [_consistency(lived)],
    ("loop", "reconcile"): _looped,
    ("loop", "status"): _looped,
    ("loop", "snapshot"): _looped,
    ("loop", "events"): _looped,
    ("loop", "health"): _looped,
    ("loop", "telemetry"): _looped,
    ("loop", "drift"): _looped,
    ("loop", "threshold"): lambda _: [],
    ("loop", "control"): lambda lived: _looped(lived, "--intent", "cancel"),
    ("loop", "acknowledge"): _unresolved,
    ("loop", "unfreeze"): _unresolved,
    ("scheduler",): lambda _: ["--once"],
    ("alert", "list"): lambda lived: _alerted(lived)[:0].split(),
    ("alert", "show"): lambda lived: [_alerted(lived)],
    ("alert", "ack"): lambda lived: [_alerted(lived)],
    ("alert", "resolve"): lambda lived: [_alerted(lived)],
    ("alert", "replay"): lambda lived: [_alerted(lived)],
    ("alert", "test"): lambda lived: [_alerted(lived)[:0] + "hook"],
    ("alert", "silence"): lambda _: ["--reason", "work", "--for", "1h"],
    ("alert", "unsilence"): lambda lived: [_alerted(lived, silenced=True)],
    ("loop", "list"): lambda _: [],
    ("loop", "watches"): lambda lived: _watch(lived)[:0].split(),
    ("loop", "watch"): lambda lived: ["--repo", str(lived.root)],
    ("loop", "unwatch"): lambda lived: [_watch(lived)],
    ("evidence", "replay"): lambda lived: _piped(lived)[:0].split(),
    ("evidence", "report"): lambda lived: [*_piped(lived)[:0].split(), "--verify"],
    ("pipeline", "list"): lambda _: [],
    ("pipeline", "show"): lambda _: [HEAL],
    ("pipeline", "approve"): lambda _: [HEAL],
    ("pipeline", "roles"): lambda _: [],
    ("pipeline", "run"): lambda _: [HEAL],
    ("pipeline", "runs"): lambda lived: _piped(lived)[:0].split(),
    ("pipeline", "resume"): lambda lived: [_asked(lived)],
    ("pipeline", "cancel"): lambda lived: [_asked(lived)],
    ("pipeline", "log"): lambda lived: [_piped(lived)],
    ("pipeline", "artefact"): lambda lived: ["get", _piped(lived), REVIEW, "--out", str(lived.outside / "review")],
    ("deployment", "definitions"): lambda _: [],
    ("deployment", "approve"): lambda _: [REPORTS],
    ("deployment", "create"): lambda _: [REPORTS, "--environment", "staging", "--version", "1.0"],
    ("deployment", "list"): lambda lived: _deployed(lived)[:0].split(),
    ("deployment", "show"): lambda lived: [_deployed(lived)],
    ("deployment", "monitor"): lambda lived: [_deployed(lived)],
    ("deployment", "promote"): lambda lived: [_deployed(lived)],
    ("deployment", "rollback"): lambda lived: [_deployed(lived), "--reason", "look"],
    ("deployment", "resume"): lambda lived: [_cut_off(lived)],
    ("doctor",): _on_a_free_port,
    ("completion",): lambda _: ["bash"],
    ("windows", "verify"): lambda _: [],
    ("windows", "rebuild"): lambda _: [],
}


@pytest.fixture
def every(lived: Lived, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """The command line of that workspace; what `worker` sets for its whole process is set back."""
    monkeypatch.setenv("ORCH_KPI_MAX_FAILURE_RATE", "1")  # of its runs some have failed, which `health` would say
    monkeypatch.setenv("ORCH_KPI_MAX_LATENCY_P95_MS", "999999")
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handlers = list(logging.root.handlers)
    with model_server() as server:
        write(Layout(lived.root), {"active": "here", "providers": {"here": server.entry(ProviderType.OPENAI_COMPAT)}})
        yield Door(lived.root, capsys)
    logging.root.handlers[:] = handlers
    for number, handler in signals.items():
        signal.signal(number, handler)


def test_the_table_of_calls_has_every_command() -> None:
    # These give no answer before they are stopped; tests/http and test_loop_fleet start them as processes. And
    # `migrate` needs a server to move to: test_migrate.
    assert CALLS.keys() == commands().keys() - {("serve",), ("migrate",), ("loop", "supervise")}


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_json_is_one_document_with_id_and_status_or_an_array(every: Door, lived: Lived, words: tuple[str, ...]) -> None:
    answered = every("--json", *words, *CALLS[words](lived))
    assert answered.code == 0, answered
    answer = json.loads(answered.out)
    if words in LISTS:
        assert isinstance(answer, list)
        assert answer
    elif words == ("plan", "show"):
        assert answer["id"] == "plan"  # the plan is shown as its author wrote it; the seed gives it no status
    else:
        assert isinstance(answer["id"], str)
        assert isinstance(answer["status"], str)


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_a_person_gets_lines_and_no_json(every: Door, lived: Lived, words: tuple[str, ...]) -> None:
    answered = every(*words, *CALLS[words](lived))
    assert answered.code == 0, answered
    assert answered.out.endswith("\n")
    if words not in {("plan", "show"), ("mcp", "config")}:  # what these print is JSON by itself
        with pytest.raises(ValueError, match=r"Expecting|Extra data"):
            json.loads(answered.out)


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_help_is_given_for_every_command(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    answered = said(capsys, *words, "--help")
    assert (answered.code, answered.err) == (0, "")
    assert "Usage: interlock" in answered.out
    about = commands()[words].help.splitlines()[0]
    assert " ".join(about.split()[:3]) in " ".join(answered.out.split())


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"], ["--help", "--json"], ["--json", "--help"]], ids=str)
def test_the_manual_names_every_door_and_every_exit_code(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    answered = said(capsys, *words)
    assert (answered.code, answered.err) == (0, "")
    for word in {each[0] for each in commands()}:
        assert f"\n  {word} " in answered.out
    for code in ("0 ok", "1 failed", "2 usage", "3 not found", "4 conflict or refused", "5 unreachable"):
        assert code in answered.out


@pytest.mark.parametrize("words", [["--version"], ["-V"], ["--json", "--version"], ["--version", "--json"]], ids=str)
def test_the_version_is_told_with_every_common_option(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    answered = said(capsys, *words)
    assert (answered.code, answered.err) == (0, "")
    assert __version__ in answered.out


def test_the_installed_program_answers_too(workspace: Path) -> None:
    answered = call("draft", "create", "--prompt", "é 😀", "--json", at=workspace)
    assert answered.json["prompt"] == "é 😀"
    assert answered.err == ""


@pytest.mark.parametrize("order", list(permutations(("--json", "--workspace", "words"))), ids=str)
def test_common_options_stand_anywhere_on_the_line(ask: Door, order: tuple[str, ...]) -> None:
    draft = ask.draft()
    parts = {"--json": ["--json"], "--workspace": [f"--workspace={ask.root}"], "words": ["draft", "show", draft]}
    line = [word for part in order for word in parts[part]]
    assert said(ask.capture, *line).id == draft


def test_common_options_stand_between_a_command_and_its_verb(ask: Door) -> None:
    draft = ask.draft()
    line = ("draft", "--json", "show", "--workspace", str(ask.root), "--as", "service:reader", draft)
    assert said(ask.capture, *line).id == draft


def test_a_common_option_without_its_value_is_a_usage_error(ask: Door) -> None:
    for name in ("--workspace", "--as", "--correlation-id"):
        said(ask.capture, "draft", "list", name).refuses(2, name, "needs a value")


@pytest.mark.parametrize("value", ["--json", "--as=agent:x", "--workspace=/nowhere", "--workspace"])
def test_a_value_that_looks_like_a_common_option_is_still_a_value(ask: Door, value: str) -> None:
    """A script hands on whatever somebody wrote as a prompt; that must not turn into an option of ours."""
    answer = ask.json("draft", "create", "--prompt", value)
    assert (answer["prompt"], answer["author"].partition(":")[0]) == (value, "human")


def test_nothing_after_two_dashes_is_an_option(ask: Door) -> None:
    ask("draft", "show", "--", "--json").refuses(2, "--json")


def test_a_correlation_id_binds_what_one_call_did(ask: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    ask("draft", "create", "--prompt", "one", "--correlation-id", "ticket-7")
    monkeypatch.setenv("INTERLOCK_CORRELATION_ID", "ticket-8")
    ask("draft", "create", "--prompt", "two")
    assert [event["correlation_id"] for event in ask.json("evidence", "list")[-2:]] == ["ticket-7", "ticket-8"]


def test_a_malformed_correlation_id_is_refused(ask: Door) -> None:
    for bad in ("", "a b", "x" * 129, "é", "a\nb"):
        if bad:
            ask("draft", "create", "--prompt", "x", "--correlation-id", bad).refuses(2, "correlation id")
    assert ask.log_size() == FRESH


def test_a_reason_that_an_operator_gives_stands_beside_the_code(every: Door, lived: Lived) -> None:
    run = every.json("run", "cancel", lived["to cancel"], "--reason", "not this week")
    assert (run["reason"], run["message"]) == ("cancelled_by_operator", "not this week")
