"""What is refused is refused from afar in the same words: same sentence, same hint, same code, nothing on stdout."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest

from interlock.access.models import Role
from interlock.app import Interlock
from interlock.kernel.ids import with_prefix
from interlock.queue.models import Executor, ItemKind, NewItem
from tests.cli.lived import ME, Lived
from tests.remote.conftest import Pair
from tests.remote.far import alike

NOBODY = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def _draft_of(lived: Lived, approved: str) -> str:
    return with_prefix(lived[approved], "d")


REFUSALS: dict[str, tuple[int, Callable[[Lived], list[str]]]] = {
    "an unknown draft": (3, lambda _: ["draft", "show", f"d_{NOBODY}"]),
    "no id of a draft": (2, lambda _: ["draft", "show", "../../etc/passwd"]),
    "an empty id": (2, lambda _: ["draft", "show", ""]),
    "an approved id as a draft": (2, lambda lived: ["draft", "show", lived["to revoke"]]),
    "an edit of what is decided": (
        4,
        lambda lived: ["draft", "edit", _draft_of(lived, "to revoke"), "--prompt", "other"],
    ),
    "an edit of another version": (
        4,
        lambda lived: ["draft", "edit", lived["open"], "--prompt", "x", "--version", "9"],
    ),
    "a rejection of another version": (4, lambda lived: ["draft", "reject", lived["open"], "--version", "9"]),
    "an approval of another digest": (
        4,
        lambda lived: ["draft", "approve", lived["open"], "--digest", f"sha256:{'0' * 64}"],
    ),
    "a second approval": (4, lambda lived: ["draft", "approve", _draft_of(lived, "to revoke")]),
    "an approval of nothing": (3, lambda _: ["draft", "approve", f"d_{NOBODY}"]),
    "a blank prompt": (2, lambda _: ["draft", "create", "--prompt", " "]),
    "a context with a fraction": (2, lambda _: ["draft", "create", "--prompt", "p", "--context", '{"a": 1.5}']),
    "a repository that is not there": (3, lambda _: ["draft", "create", "--prompt", "p", "--repo", "/nowhere/at/all"]),
    "a base without a repository": (2, lambda _: ["draft", "create", "--prompt", "p", "--base", "main"]),
    "a variable that is ours": (2, lambda _: ["draft", "create", "--prompt", "p", "--env", "INTERLOCK_TOKEN"]),
    "an unknown approved record": (3, lambda _: ["approved", "show", f"a_{NOBODY}"]),
    "a draft as an approved record": (2, lambda lived: ["approved", "show", lived["open"]]),
    "an unknown revocation": (3, lambda _: ["approved", "revoke", f"a_{NOBODY}"]),
    "a plan that is none": (2, lambda lived: ["plan", "set", str(lived.root / "no-plan.json")]),
    "a run of a draft": (4, lambda lived: ["run", "create", lived["open"]]),
    "a run of nothing": (3, lambda _: ["run", "create", f"a_{NOBODY}"]),
    "a run of no id": (2, lambda _: ["run", "create", "../approved/x"]),
    "a run of no priority": (2, lambda lived: ["run", "create", lived["done: approved"], "--priority", "P9"]),
    "an unknown run": (3, lambda _: ["run", "show", f"r_{NOBODY}"]),
    "the log of an unknown run": (3, lambda _: ["run", "log", f"r_{NOBODY}"]),
    "the patch of an unknown run": (3, lambda _: ["run", "diff", f"r_{NOBODY}"]),
    "a cancelled end": (4, lambda lived: ["run", "cancel", lived["done"]]),
    "a retried success": (4, lambda lived: ["run", "retry", lived["done"]]),
    "an applied nothing": (4, lambda lived: ["run", "apply", lived["to cancel"], "--repo", str(lived.root / "clone")]),
    "an applied unknown": (3, lambda lived: ["run", "apply", f"r_{NOBODY}", "--repo", str(lived.root / "clone")]),
    "an unknown item": (3, lambda _: ["queue", "show", "ORCH-999"]),
    "an item of another path": (3, lambda _: ["queue", "show", "../limits"]),
    "an item of dots": (3, lambda _: ["queue", "show", ".."]),
    "an item of a sentence": (3, lambda _: ["queue", "show", "ÄÖ? #%2f é"]),
    "an unexplained item": (3, lambda _: ["queue", "explain", "ORCH-999"]),
    "an empty item": (3, lambda _: ["queue", "cancel", ""]),
    "a wrong fence": (4, lambda lived: ["queue", "complete", lived["held"], "--fence", "99"]),
    "a wrong session": (4, lambda lived: ["queue", "heartbeat", lived["held"], "--owner-session", "eve"]),
    "a nameless session": (2, lambda lived: ["queue", "release", lived["held"]]),
    "a session that is no name": (2, lambda _: ["queue", "claim", "--owner-session", "-"]),
    "a failure of what nobody holds": (4, lambda lived: ["queue", "fail", lived["manual"], "--fence", "0"]),
    "a retry of what waits": (4, lambda lived: ["queue", "retry", lived["manual"]]),
    "a cancelled finish": (4, lambda lived: ["queue", "cancel", lived["done: item"]]),
    "a finish with another priority": (4, lambda lived: ["queue", "reprioritise", lived["done: item"], "--to", "P0"]),
    "a snoozed finish": (4, lambda lived: ["queue", "snooze", lived["done: item"], "--for", "2h"]),
    "a pause without a reason": (2, lambda _: ["queue", "pause", "--reason", " "]),
    "a limit beyond all": (2, lambda _: ["queue", "limit", "gpu", "--most", "1000001"]),
    "a limit of no key": (2, lambda _: ["queue", "limit", "a|b", "--most", "1"]),
    "an item without a task": (2, lambda _: ["queue", "add", "--task", " ", "--success-criteria", "s"]),
    "an item due never": (2, lambda _: ["queue", "add", "--task", "t", "--success-criteria", "s", "--due", "soon"]),
    "a key of another task": (
        4,
        lambda _: ["queue", "add", "--task", "t", "--success-criteria", "s", "--idempotency-key", "once"],
    ),
    "an unknown token": (3, lambda _: ["token", "rotate", f"t_{NOBODY}"]),
    "no id of a token": (2, lambda _: ["token", "revoke", "mine"]),
    "a token of no name": (2, lambda _: ["token", "create", "--name", "a b", "--role", "actions"]),
    "panic that is not on": (4, lambda _: ["panic", "release", "--reason", "why not"]),
    "panic without a reason": (2, lambda _: ["panic", "on", "--reason", " "]),
    "an unknown provider": (2, lambda _: ["provider", "set", "--active", "nobody"]),
    "a provider that is asked and taken away": (2, lambda _: ["provider", "set", "--remove", "here"]),
    "providers of another version": (4, lambda _: ["provider", "set", "--active", "here", "--version", "a\nb"]),
    "a proof of what is not there": (4, lambda _: ["evidence", "prove", "999999"]),
    "a filter without an answer": (2, lambda _: ["queue", "cancel"]),
    "an id and a filter": (2, lambda lived: ["queue", "cancel", lived["manual"], "--status", "PENDING"]),
}


@pytest.fixture(scope="module")
def prepared(shared: Pair) -> Pair:
    for lived in (shared.here_lived, shared.far_lived):
        (lived.root / "no-plan.json").write_text('{"id": "p"}')
        with closing(Interlock.at(lived.root)) as house, house.queue(ME) as queue:
            queue.add(
                NewItem(
                    kind=ItemKind.MANUAL,
                    executor=Executor.EXTERNAL,
                    priority="P2",
                    task="another",
                    success_criteria="s",
                    idempotency_key="once",
                )
            )
    return shared


@pytest.mark.parametrize("name", REFUSALS)
@pytest.mark.usefixtures("prepared")
def test_a_refusal_is_the_same_sentence_from_afar(steady: Pair, name: str) -> None:
    code, line = REFUSALS[name]
    before = _log_sizes(steady)
    here, there = steady.here(*line(steady.here_lived)), steady.far(*line(steady.far_lived))
    here.refuses(code)
    there.refuses(code)
    assert alike(there.err) == alike(here.err)
    assert _log_sizes(steady) == before


def _log_sizes(pair: Pair) -> list[int]:
    """Count what has happened in both, but for who was turned away: only a server tells that."""
    logs = [door("--json", "evidence", "list", "--limit", "1000").json for door in (pair.here, pair.far)]
    return [len([each for each in log if each["kind"] != "access.denied"]) for log in logs]


FROZEN: dict[str, Callable[[Lived], list[str]]] = {
    "draft create": lambda _: ["--prompt", "p"],
    "draft generate": lambda _: ["--prompt", "p"],
    "draft edit": lambda lived: [lived["open"], "--prompt", "q"],
    "draft approve": lambda lived: [lived["open"]],
    "draft reject": lambda lived: [lived["open"]],
    "approved revoke": lambda lived: [lived["to revoke"]],
    "plan set": lambda lived: [str(lived.outside / "plan.json")],
    "run create": lambda lived: [lived["done: approved"]],
    "run retry": lambda lived: [lived["failed"]],
    "run apply": lambda lived: [lived["done"], "--repo", str(lived.root / "clone")],
    "queue add": lambda _: ["--task", "t", "--success-criteria", "s"],
    "queue claim": lambda _: ["--owner-session", "ada"],
    "queue replan": lambda lived: [lived["manual"], "--notes", "n"],
    "queue reprioritise": lambda lived: [lived["manual"], "--to", "P0"],
    "queue snooze": lambda lived: [lived["manual"], "--for", "1h"],
    "queue pause": lambda _: ["--reason", "r"],
    "queue resume": lambda _: [],
    "queue limit": lambda _: ["gpu", "--most", "2"],
    "token create": lambda _: ["--name", "n", "--role", "actions"],
    "token rotate": lambda lived: [lived["token to rotate"]],
    "provider set": lambda _: ["--name", "n", "--type", "gemini", "--model", "m"],
}


@pytest.mark.parametrize("verb", FROZEN)
def test_panic_freezes_a_verb_from_afar_as_it_does_here(steady: Pair, verb: str) -> None:
    for lived in (steady.here_lived, steady.far_lived):
        with closing(Interlock.at(lived.root)) as house:
            house.access.raise_panic(ME, role=Role.ADMIN, reason="a rogue agent")  # after which nothing more changes
    lines = [[*verb.split(), *FROZEN[verb](lived)] for lived in (steady.here_lived, steady.far_lived)]
    here, there = steady.here(*lines[0]), steady.far(*lines[1])
    here.refuses(4, "a rogue agent", "[panic_mode]")
    there.refuses(4)
    assert alike(there.err) == alike(here.err)


def test_what_ends_something_goes_on_in_panic_from_afar(pair: Pair) -> None:
    lived = pair.far_lived
    pair.far.json("panic", "on", "--reason", "r")
    assert pair.far.json("run", "cancel", lived["to cancel"])["status"] == "cancelled"
    assert pair.far.json("queue", "complete", lived["held"], "--owner-session", "bob")["status"] == "DONE"
    assert pair.far.json("token", "revoke", lived["token to take back"])["status"] == "revoked"
    assert pair.far.json("panic", "release", "--reason", "over")["status"] == "off"
    assert pair.far.draft()


def test_an_agent_approves_neither_here_nor_from_afar(pair: Pair) -> None:
    here = pair.here("--as", "agent:r_x", "draft", "approve", pair.here_lived["open"])
    there = pair.far.as_("admin", "agent")("draft", "approve", pair.far_lived["open"])
    here.refuses(4, "[human_needed]")
    there.refuses(4)
    assert alike(there.err) == alike(here.err)


@pytest.mark.parametrize(
    ("role", "line"),
    [
        ("operator", ["draft", "create", "--prompt", "p"]),
        ("actions", ["run", "create", f"a_{NOBODY}"]),
        ("actions", ["queue", "claim", "--owner-session", "ada"]),
        ("operator", ["token", "list"]),
        ("operator", ["provider", "show"]),
        ("operator", ["run", "purge", "--older-than", "1d"]),
        ("actions", ["queue", "limit", "gpu", "--most", "1"]),
        ("actions", ["evidence", "head"]),
    ],
    ids=str,
)
def test_a_role_that_is_too_low_is_told_so(steady: Pair, role: str, line: list[str]) -> None:
    steady.far.as_(role, "human")(*line).refuses(4, f"you are human:human-{role}, {role} [role_too_low]")


def test_a_role_that_reads_reads(steady: Pair) -> None:
    reader = steady.far.as_("actions", "service")
    for line in (
        "draft list",
        "approved list",
        "run list",
        "queue status",
        "queue limit",
        "evidence list",
        "panic show",
    ):
        assert reader("--json", *line.split()).code == 0, line
