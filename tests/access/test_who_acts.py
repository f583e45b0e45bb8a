"""Who acts on the command line: proven by the operating system and by descent, lowered by options, never raised."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from interlock.access.errors import HumanNeeded, LoweringOnly, MalformedPrincipal
from interlock.access.local import local_principal
from interlock.access.models import Principal, PrincipalKind, require_human
from tests.cli.door import Door, call

MARKED = {"INTERLOCK_RUN": "r_01ARZ3NDEKTSV4RRFFQ69G5FAV"}


def author(ask: Door, *words: str) -> str:
    return str(ask.json("draft", "create", "--prompt", "x", *words)["author"])


def test_the_caller_is_the_operating_system_s_user(ask: Door) -> None:
    assert author(ask) == f"human:{getpass.getuser()}"


@pytest.mark.parametrize("less", ["agent:claude", "service:cron@host", "agent:r_01ARZ3NDEKTSV4RRFFQ69G5FAV"])
def test_a_human_may_act_as_less_and_can_then_neither_approve_nor_revoke(ask: Door, less: str) -> None:
    draft, approved = ask.draft(), ask.approved()
    assert author(ask, "--as", less) == less
    entries = ask.log_size()
    ask("draft", "approve", draft, "--as", less).refuses(4, "only a human may approve", less)
    ask("approved", "revoke", approved, "--as", less).refuses(4, "only a human may revoke", less)
    assert ask.log_size() == entries


def test_nobody_becomes_another_human(ask: Door) -> None:
    draft = ask.draft()
    for other in ("human:bob", "human:root2", f"human:{getpass.getuser().upper()}"):
        ask("draft", "approve", draft, "--as", other).refuses(4, "--as can make that less")
    assert ask.json("draft", "approve", draft, "--as", f"human:{getpass.getuser()}")["status"] == "valid"


@pytest.mark.parametrize("words", [("draft", "list"), ("evidence", "verify"), ("windows", "verify")], ids=" ".join)
def test_what_would_be_refused_is_refused_on_reading_commands_too(ask: Door, words: tuple[str, ...]) -> None:
    """Else a script learns of its mistake only when it first writes."""
    ask(*words, "--as", "human:bob").refuses(4, "--as can make that less")
    ask(*words, "--as", "nobody").refuses(2, "not a principal")
    ask(*words, "--correlation-id", "a b").refuses(2, "correlation id")


@pytest.mark.parametrize(
    "wrong",
    ["bob", "human", "human:", "agent:", ":x", "root:x", "HUMAN:x", "agent:a b", "agent:é", "agent:x\n", "human:\0"],
)
def test_what_is_no_principal_is_refused(ask: Door, wrong: str) -> None:
    ask("draft", "create", "--prompt", "x", "--as", wrong).refuses(2, "not a")
    assert ask.json("draft", "list") == []


def test_a_run_s_marker_makes_the_caller_its_agent(ask: Door) -> None:
    draft, approved = ask.draft(), ask.approved()
    here = ("--workspace", str(ask.root))
    made = call("draft", "create", "--prompt", "x", "--json", *here, at=ask.root, env=MARKED)
    assert made.json["author"] == f"agent:{MARKED['INTERLOCK_RUN']}"
    call("draft", "approve", draft, *here, at=ask.root, env=MARKED).refuses(4, "only a human may approve", "run")
    call("approved", "revoke", approved, *here, at=ask.root, env=MARKED).refuses(4, "only a human may revoke")
    me = f"human:{getpass.getuser()}"
    call("draft", "approve", draft, *here, "--as", me, at=ask.root, env=MARKED).refuses(4, "--as can make that less")


@pytest.mark.parametrize(
    "escape",
    [
        'env -i "$@"',
        'env -u INTERLOCK_RUN "$@"',
        'INTERLOCK_RUN= "$@"',
        'env -i setsid -w "$@"',
        'env -i sh -c \'"$@"; exit $?\' sh "$@"',
        "env -i python3 -c 'import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))' \"$@\"",
    ],
)
def test_a_run_s_descendant_is_its_agent_however_it_scrubs_its_environment(ask: Door, escape: str) -> None:
    draft = ask.draft()
    # The shell stays as the marked ancestor: it has something to do afterwards.
    shell = ("sh", "-c", f"{escape}; code=$?; exit $code", "sh")
    answered = call("draft", "approve", draft, "--workspace", str(ask.root), at=ask.root, prefix=shell, env=MARKED)
    answered.refuses(4, "only a human may approve")
    assert ask.json("draft", "show", draft)["status"] == "draft"


def test_a_marker_that_is_no_name_still_makes_an_agent(ask: Door) -> None:
    odd = {"INTERLOCK_RUN": "human:root \x1b[2J ü"}
    made = call("draft", "create", "--prompt", "x", "--json", "--workspace", str(ask.root), at=ask.root, env=odd)
    assert made.json["author"].startswith("agent:human:root")
    assert made.json["author"].isascii()


def test_inside_a_run_no_workspace_is_found_by_looking_around(ask: Door) -> None:
    call("draft", "list", at=ask.root, env=MARKED).refuses(3, "there is no workspace")


def test_an_agent_gets_no_key_of_a_human(tmp_path: Path) -> None:
    made = call("init", str(tmp_path / "own"), at=tmp_path, env=MARKED)
    assert made.code in {0, 4}, made
    keys = {path.name for path in (tmp_path / "own" / ".interlock" / "keys").glob("human-*.key")}
    assert not {name for name in keys if "r_01ARZ" in name}
    call("init", str(tmp_path / "own2"), "--as", "service:cron", at=tmp_path)
    assert not list((tmp_path / "own2" / ".interlock" / "keys").glob("human-cron.key"))


@pytest.mark.parametrize("kind", [PrincipalKind.AGENT, PrincipalKind.SERVICE])
def test_only_a_human_passes_where_a_human_is_needed(kind: PrincipalKind) -> None:
    require_human(Principal(PrincipalKind.HUMAN, "alice"), "do this")
    with pytest.raises(HumanNeeded, match="only a human may do this; this call comes from"):
        require_human(Principal(kind, "alice"), "do this")


def test_lowering_is_a_one_way_street() -> None:
    def inside() -> str:
        return "r_1"

    assert str(local_principal(inside, None)) == "agent:r_1"
    assert str(local_principal(inside, "agent:r_1")) == "agent:r_1"
    for wanted in ("human:alice", "agent:r_2", "service:x"):
        with pytest.raises(LoweringOnly):
            local_principal(inside, wanted)
    with pytest.raises(MalformedPrincipal):
        local_principal(inside, "agent:")
