"""What is particular from afar: many items, long lists, growing logs, what can not be done, a server that dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import pytest

from interlock.access.models import NewToken, Principal, PrincipalKind, Role
from interlock.app import Interlock
from interlock.approval.models import Limits, Work
from interlock.evidence.ledger import read_leaf
from interlock.kernel.clock import from_text
from interlock.queue.models import Executor, ItemKind, NewItem
from interlock.remote.address import read_address
from interlock.remote.connection import Connection
from interlock.remote.evidence import RemoteLog
from interlock.remote.house import OWN_WAYS, REFUSED, ROOMS
from interlock.runs.models import LogLine, RunStatus
from tests.cli.door import PROGRAM, call, commands, environment, git, make_repository, said
from tests.cli.lived import ME
from tests.cli.test_answers import CALLS
from tests.http.served import Served
from tests.remote.conftest import Pair
from tests.remote.far import Far, token_in
from tests.remote.test_both_ways import BOTH
from tests.remote.wire import wire


def fill(house: Interlock, count: int, **more: Any) -> None:  # noqa: ANN401 - fields of a new item
    with house.queue(ME) as queue:
        for number in range(count):
            queue.add(
                NewItem(
                    kind=ItemKind.MANUAL,
                    executor=Executor.EXTERNAL,
                    priority=f"P{number % 3}",
                    task=f"task {number}",
                    success_criteria="s",
                    **more,
                )
            )


# --- what can not be done ---------------------------------------------------------------------------------------------


def is_refused(words: tuple[str, ...]) -> bool:
    return words in REFUSED or (words[0] not in ROOMS and words not in OWN_WAYS)


def test_every_command_can_be_called_from_afar_or_is_refused() -> None:
    assert {words for words in commands() if not is_refused(words)} == set(BOTH) | OWN_WAYS
    assert {words[0] for words in commands()} >= ROOMS


@pytest.mark.parametrize("words", [each for each in commands() if is_refused(each)], ids=" ".join)
def test_what_can_not_be_done_from_afar_is_refused_in_one_sentence(pair: Pair, words: tuple[str, ...]) -> None:
    line = CALLS[words](pair.far_lived) if words in CALLS else []
    before = pair.far.json("evidence", "list")
    pair.far(*words, *line).refuses(2, f"interlock {words[0]}", "without --server", "[not_from_afar]")
    assert pair.far.json("evidence", "list") == before
    helped = pair.far(*words, "--help")
    assert (helped.code, helped.err) == (0, "")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["queue", "--queue", "Q.md", "import"], "queue import"),
        (["queue", "--db=other.db", "rescue", "--once"], "queue rescue"),
        (["queue", "list", "--db", "other.db"], "--db"),
        (["queue", "list", "--queue", "Q.md"], "--queue"),
        (["queue", "add", "--queue=Q.md", "--task", "t", "--success-criteria", "s"], "--queue"),
        (["queue", "consistency-check"], "name one here: --queue PATH"),
        (["run", "apply", "r_01ARZ3NDEKTSV4RRFFQ69G5FAV"], "name one here: --repo DIR"),
    ],
    ids=str,
)
def test_what_means_this_machine_is_refused(far: Far, words: list[str], told: str) -> None:
    far(*words).refuses(2, told, "[not_from_afar]")


def test_the_name_of_a_verb_in_another_place_is_no_verb(far: Far) -> None:
    assert far.json("queue", "add", "--task", "rescue", "--success-criteria", "import")["task"] == "rescue"


def test_help_needs_neither_token_nor_server(capsys: pytest.CaptureFixture[str]) -> None:
    answered = said(capsys, "--server", "http://127.0.0.1:1", "draft", "--help")
    assert (answered.code, answered.err) == (0, "")


def test_inside_of_a_run_a_humans_token_is_refused(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = far.draft()
    monkeypatch.setattr("interlock.runs.containment.processes.inside_run", lambda: "r_7")
    far("draft", "approve", draft).refuses(4, "r_7", "[inside_run]")
    far("draft", "list").refuses(4, "[inside_run]")
    agent = far.as_("operator", "agent")
    assert agent.json("draft", "list")[0]["status"] == "draft"


# --- drafts -----------------------------------------------------------------------------------------------------------


def test_an_edit_keeps_the_commit_that_was_shown_unless_the_base_is_named(far: Far, tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repository")
    draft = far.draft("--repo", str(repository), "--base", "main", "--command", "true")
    first = far.json("draft", "show", draft)["terms"]["base_commit"]
    git(repository, "commit", "-q", "--allow-empty", "-m", "Go on")
    kept = far.json("draft", "edit", draft, "--command", "sh -c 'echo hi'")
    assert (kept["terms"]["base_commit"], kept["base_ref"]) == (first, "main")
    moved = far.json("draft", "edit", draft, "--base", "main")
    assert moved["terms"]["base_commit"] == git(repository, "rev-parse", "HEAD") != first


def test_a_commit_that_is_not_the_drafts_own_can_not_be_slipped_in(far: Far, tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repository")
    draft = far.draft("--repo", str(repository), "--command", "true")
    own = far.json("draft", "show", draft)["terms"]["base_commit"]
    put = far.served.client().put
    for work in (
        {"repository": str(repository), "base_commit": "0" * 40},
        {"repository": "https://me:secret@example.org/x", "base_commit": own},
        {"base_commit": own},
    ):
        refused = put(f"/ops/drafts/{draft}", json={"work": work})
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_work")
    assert far.json("draft", "show", draft)["version"] == 1


def test_the_servers_default_limits_hold_for_what_is_not_named(workspace: Path, far: Far) -> None:
    house = far.served.house
    options = house.approval.options
    object.__setattr__(options, "defaults", Work(limits=Limits(wall_clock_seconds=77, check_seconds=66)))
    limits = far.json("draft", "create", "--prompt", "p", "--limit", "check_seconds=600")["terms"]["limits"]
    assert (limits["wall_clock_seconds"], limits["check_seconds"]) == (77, 600)
    assert workspace.exists()


def test_a_digest_is_never_shown_beside_a_text_that_it_is_not_of(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    from interlock.remote.approval import RemoteApproval  # noqa: PLC0415 - only to come between two of its requests

    create, client = RemoteApproval.create, far.served.client()

    def edited_at_once(*given: Any, **more: Any) -> Any:  # noqa: ANN401 - as `create`
        draft = create(*given, **more)
        assert client.put(f"/ops/drafts/{draft.id}", json={"prompt": "something else"}).status_code == 200
        return draft

    monkeypatch.setattr(RemoteApproval, "create", edited_at_once)
    far("draft", "create", "--prompt", "as I wrote it").refuses(4, "changed by somebody else", "[draft_changed]")


def test_a_failed_generation_is_the_same_failure_from_afar(pair: Pair) -> None:
    entry = ["provider", "set", "--active", "away", "--name", "away", "--type", "openai_compat", "--model", "m"]
    for door in (pair.here, pair.far):
        assert door(*entry, "--base-url", "http://127.0.0.1:9/v1").code == 0
        answered = door("draft", "generate", "--prompt", "p")
        answered.refuses(5, "keeps the prompt, in error", "[provider_unreachable]")
        failed = door.json("draft", "list", "--status", "error")[0]["id"]
        shown = door.json("draft", "show", failed)
        assert shown["status"] == "error"
        assert shown["digest"].startswith("sha256:")
        assert failed in answered.err
        door("draft", "approve", failed).refuses(4, "[draft_in_error]")


def test_a_generation_whose_failure_was_lost_is_told_as_a_failure(far: Far) -> None:
    entry = ["provider", "set", "--active", "away", "--name", "away", "--type", "openai_compat", "--model", "m"]
    assert far(*entry, "--base-url", "http://127.0.0.1:9/v1").code == 0
    with wire(far.served, cut=1, of="POST") as cable:
        far.at(cable.address)("draft", "generate", "--prompt", "p").refuses(1, "keeps the prompt", "[provider_failed]")
    assert len(far.json("draft", "list", "--status", "error")) == 1


# --- the queue --------------------------------------------------------------------------------------------------------


def test_a_list_longer_than_a_page_comes_whole_and_in_order(any_far: Far) -> None:
    far = any_far
    fill(far.served.house, 2_100)
    shown = far("--json", "queue", "list", "--limit", "2050")
    ids = [each["id"] for each in json.loads(shown.out)]
    with far.served.house.queue_look() as queue:
        assert ids == [item.id for item in queue.list(limit=2_050)]
    assert "there are more" in shown.err
    for exactly in ("1000", "2000", "2100"):
        assert len(far.json("queue", "list", "--limit", exactly)) == int(exactly)


@pytest.mark.parametrize(
    "line",
    [
        ["cancel", "--status", "PENDING", "--reason", "enough"],
        ["replan", "--priority", "P1", "--notes", "anew"],
        ["reprioritise", "--text", "task", "--to", "P0"],
        ["retry", "--status", "PENDING"],
        ["cancel", "--older-than", "1d"],
    ],
    ids=" ".join,
)
def test_many_are_moved_from_afar_as_they_are_here(pair: Pair, line: list[str]) -> None:
    for lived in (pair.here_lived, pair.far_lived):
        with closing(Interlock.at(lived.root)) as house:
            fill(house, 12)
    for more in ([], ["--yes"]):
        here, there = (door("--json", "queue", *line, *more) for door in (pair.here, pair.far))
        assert (there.code, json.loads(there.out)) == (here.code, json.loads(here.out))
    listed = [
        [(each["id"], each["status"], each["priority"]) for each in door.json("queue", "list")]
        for door in (pair.here, pair.far)
    ]
    assert listed[0] == listed[1]


def test_what_moved_since_the_filter_was_resolved_is_left_alone(any_far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    far = any_far
    from interlock.queue.cli import steering  # noqa: PLC0415 - only to come between its two steps

    house = far.served.house
    fill(house, 3)
    choose = steering.choose

    def claimed_meanwhile(*given: Any) -> Any:  # noqa: ANN401 - as `choose`
        chosen = choose(*given)
        with house.queue(ME) as queue:
            assert queue.claim(Executor.EXTERNAL, "bob") is not None
        return chosen

    monkeypatch.setattr(steering, "choose", claimed_meanwhile)
    told = far.json("queue", "cancel", "--status", "PENDING", "--yes")
    assert (told["matched"], told["changed"], told["refused"]) == (3, 2, {"item_state_conflict": 1})
    assert [each["owner_session"] for each in far.json("queue", "list", "--status", "IN_PROGRESS")] == ["bob"]


def test_a_whole_life_of_an_item_from_afar(any_far: Far) -> None:
    far = any_far
    added = far.json("queue", "add", "--task", "t", "--success-criteria", "s", "--max-attempts", "7", "--delay", "1s")
    assert added["max_attempts"] == 7
    assert far.json("queue", "snooze", added["id"], "--for", "0")["not_before"] is None
    held = far.json("queue", "claim", "--owner-session", "ada", "--lease-seconds", "60")
    assert held["id"] == added["id"]
    with far.served.house.queue_look() as queue:
        assert 55_000 < (queue.get(held["id"]).lease_until_ms or 0) - queue.now() <= 60_000
    back = far.json("queue", "fail", held["id"], "--fence", str(held["fence"]), "--class", "transient", "--reason", "x")
    assert (back["status"], back["attempt_count"], back["last_error"]) == ("PENDING", 1, "x")
    far.json("queue", "pause", "--reason", "a feast", "--for", "2h")
    empty = far("--json", "queue", "claim", "--owner-session", "ada")
    assert (empty.json["status"], "a feast" in empty.err) == ("NOOP", True)
    assert far.json("queue", "resume")["was_paused"] is True
    default = far.json("queue", "add", "--task", "u", "--success-criteria", "s")
    assert default["max_attempts"] == far.served.house.settings.queue.max_attempts


def test_what_is_given_for_a_while_lasts_as_long(far: Far) -> None:
    approved = far.json("draft", "approve", far.draft(), "--expires-after", "60")
    assert from_text(approved["expires_at"]) - from_text(approved["approved_at"]) == 60_000
    made = far.json("token", "create", "--name", "ci", "--role", "actions", "--principal", "ada", "--expires-in", "2h")
    assert made["principal"] == "service:ada"
    assert from_text(made["expires_at"]) - from_text(made["created_at"]) == 2 * 3_600_000
    replaced = far.json("token", "rotate", made["id"], "--grace", "1h")
    for text in (made["token"], replaced["token"]):
        ci = replace(far, token_file=token_in(far.folder, text, "ci"))
        assert ci.json("run", "list") == []
    last = far.json("token", "rotate", made["id"])
    replace(far, token_file=token_in(far.folder, replaced["token"], "ci"))("run", "list").refuses(4, "[token_invalid]")
    assert replace(far, token_file=token_in(far.folder, last["token"], "ci"))("run", "list").code == 0


def test_the_servers_clock_counts(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interlock.remote.connection.system_clock", lambda: 0)  # here it is 1970 still
    far.json("queue", "add", "--task", "t", "--success-criteria", "s", "--delay", "1h")
    item = far.json("queue", "list")[0]
    with far.served.house.queue_look() as queue:
        left = (queue.get(item["id"]).not_before_ms or 0) - queue.now()
    assert 3_590_000 < left <= 3_602_000
    approved = far.approved()
    assert far.json("approved", "show", approved)["status"] == "valid"


# --- runs -------------------------------------------------------------------------------------------------------------


def test_a_log_longer_than_a_page_comes_whole(far: Far) -> None:
    run = far.json("run", "create", far.approved())["id"]
    house = far.served.house
    with house.desks.runs.light() as desk:
        desk.runs.log(run, [LogLine(ts_ms=n, level="INFO", source="stdout", msg=f"line {n}") for n in range(2_300)])
    shown = far.json("run", "log", run)
    assert [each["msg"] for each in shown] == ["Run created", *(f"line {n}" for n in range(2_300))]
    assert [each["msg"] for each in far.json("run", "log", run, "--after", str(shown[-2]["line"]))] == ["line 2299"]


def test_an_archive_is_filled_by_the_servers_setting_or_by_a_span(pair: Pair) -> None:
    assert pair.far.json("run", "purge")["archived"] == pair.here.json("run", "purge")["archived"] == []
    told = pair.far.json("run", "purge", "--older-than", "0")
    assert sorted(told["archived"]) == sorted(pair.here.json("run", "purge", "--older-than", "0")["archived"])
    assert pair.far_lived["done"] in told["archived"]


def test_a_result_is_brought_into_the_tree_here_or_not_at_all(pair: Pair) -> None:
    run, clone = pair.far_lived["done"], pair.far_lived.root / "clone"
    applied = pair.far.json("run", "apply", run, "--repo", str(clone))
    commit = pair.far.json("run", "show", run)["result"]["commit"]
    assert git(clone, "rev-parse", applied["branch"]) == commit
    assert pair.far.json("run", "apply", run, "--repo", str(clone))["changed"] is False
    assert pair.far.json("run", "apply", run, "--repo", str(clone), "--into-tree")["changed"] is True
    assert "more" in (clone / "README.md").read_text()
    stranger = make_repository(clone.parent / "stranger")
    pair.far("run", "apply", run, "--repo", str(stranger)).refuses(4)
    assert git(stranger, "branch", "--list") == "* main"


def test_a_patch_that_is_not_the_runs_own_changes_nothing(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    run, clone = pair.far_lived["done"], pair.far_lived.root / "clone"
    from interlock.remote.runs import RemoteRuns  # noqa: PLC0415 - stands in for a server that lies

    genuine = RemoteRuns.patch

    def forged(room: RemoteRuns, run_id: str) -> bytes:
        return genuine(room, run_id).replace(b"+more", b"+evil")

    monkeypatch.setattr(RemoteRuns, "patch", forged)
    pair.far("run", "apply", run, "--repo", str(clone)).refuses(1, "[result_differs]")
    assert git(clone, "branch", "--list", "interlock/*") == ""


# --- the log ----------------------------------------------------------------------------------------------------------


def test_the_log_from_afar_is_the_log_to_the_byte(pair: Pair) -> None:
    with closing(Interlock.at(pair.far_lived.root)) as house:
        log = house.event_log
        size = log.size()
        ours = list(log.leaves(0, size))
    server = Connection(read_address(pair.far.address), token=pair.far.token_file.read_text().strip())
    theirs = RemoteLog(server)
    assert theirs.size() == size
    assert list(theirs.leaves(0, size)) == ours
    assert list(theirs.leaves(5, 9)) == ours[5:9]
    assert all(read_leaf(leaf) for leaf in ours)
    server.close()


def test_a_proof_from_afar_holds_here(pair: Pair, tmp_path: Path) -> None:
    pair.far.json("evidence", "head")
    proof, entry = tmp_path / "proof", tmp_path / "entry"
    pair.far.json("evidence", "prove", "3", "--out", str(proof))
    there = pair.far_lived.root
    with closing(Interlock.at(there)) as house:
        house.evidence.export(tmp_path / "export")
    entry.write_bytes((tmp_path / "export" / "ledger.jsonl").read_bytes().splitlines(keepends=True)[3])
    checked = said(
        pair.far.capture, "evidence", "check", str(proof), str(entry), "--key", str(tmp_path / "export" / "log.vkey")
    )
    assert checked.code == 0, checked


def test_a_token_made_from_afar_works_and_its_text_is_shown_once(far: Far, tmp_path: Path) -> None:
    made = far("token", "create", "--name", "ci", "--role", "actions", "--expires-in", "2h")
    text = made.out.strip()
    assert text.startswith("ilk_")
    assert text not in made.err
    ci = Far(far.served, tmp_path, far.capture, token_in(tmp_path, text, "ci"), far.address)
    assert ci.json("run", "list") == []
    assert text not in json.dumps(ci.json("evidence", "list"))
    listed = {each["name"]: each for each in far.json("token", "list")}
    assert listed["ci"]["status"] == "valid"


# --- processes --------------------------------------------------------------------------------------------------------


@dataclass
class Process:
    """`interlock serve` as a process, and how to speak to it."""

    process: subprocess.Popen[str]
    env: dict[str, str]


@pytest.fixture
def process(workspace: Path, tmp_path: Path) -> Iterator[Process]:
    with closing(Interlock.at(workspace)) as house:
        new = NewToken(name="me", principal=Principal(PrincipalKind.HUMAN, "me"), role=Role.ADMIN)
        file = token_in(tmp_path, house.access.create(ME, new, role=Role.ADMIN).text, "me")
    words = [str(PROGRAM), "serve", "--workspace", str(workspace), "--port", "0", "--api-only"]
    with subprocess.Popen(words, env=environment(), stderr=subprocess.PIPE, text=True) as started:
        lines: SimpleQueue[str] = SimpleQueue()
        thread = Thread(target=lambda: [lines.put(line) for line in started.stderr or ()], daemon=True)
        thread.start()
        address = ""
        try:
            while not address:
                _, _, address = lines.get(timeout=20).strip().partition(" on ")
        except Empty:
            started.kill()
            pytest.fail("the server did not say where it is")
        try:
            yield Process(started, {"INTERLOCK_SERVER": address, "INTERLOCK_TOKEN_FILE": str(file)})
        finally:
            started.kill()
            started.wait(10)
            thread.join(10)


def test_the_installed_program_speaks_to_an_installed_server(process: Process, tmp_path: Path) -> None:
    draft = call("draft", "create", "--prompt", "é 😀", "--json", at=tmp_path, env=process.env).json
    assert draft["prompt"] == "é 😀"
    approved = call(
        "draft", "approve", draft["id"], "--digest", draft["digest"], "--json", at=tmp_path, env=process.env
    )
    assert approved.json["approved_by"] == "human:me"
    assert call("run", "create", approved.id, "--json", at=tmp_path, env=process.env).json["status"] == "pending"
    given = call("draft", "create", "--prompt-file", "-", at=tmp_path, env=process.env, given=b"x" * 3_000_000)
    given.refuses(2, "at most 2097152 bytes", "[body_too_large]")


def test_a_server_that_is_killed_ends_who_waits_for_it(process: Process, tmp_path: Path) -> None:
    draft = call("draft", "create", "--prompt", "p", "--json", at=tmp_path, env=process.env).id
    approved = call("draft", "approve", draft, "--json", at=tmp_path, env=process.env).id
    run = call("run", "create", approved, "--json", at=tmp_path, env=process.env).json
    assert run["status"] == RunStatus.PENDING.value
    words = [str(PROGRAM), "run", "log", "--follow", run["id"]]
    env = environment(**process.env)
    with subprocess.Popen(
        words, env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as follower:
        assert follower.stdout is not None
        assert "Run created" in follower.stdout.readline()
        token = Path(process.env["INTERLOCK_TOKEN_FILE"]).read_text().strip().encode()
        shown = [Path(f"/proc/{follower.pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
        assert all(token not in each for each in shown)
        os.kill(process.process.pid, signal.SIGKILL)
        began = time.monotonic()
        _, told = follower.communicate(timeout=20)
    assert follower.returncode == 5
    assert "[server_unreachable]" in told
    assert told.count("\n") == 1
    assert time.monotonic() - began < 10


def test_what_is_called_from_afar_opens_nothing_here(served: Served, tmp_path: Path) -> None:
    file = token_in(tmp_path, served.tokens["admin", "human"])
    env = {"INTERLOCK_SERVER": served.address, "INTERLOCK_TOKEN_FILE": str(file)}
    empty = tmp_path / "empty"
    empty.mkdir()
    assert call("run", "list", "--json", at=empty, env=env).json == []
    assert list(empty.iterdir()) == []
