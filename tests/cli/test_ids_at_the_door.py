"""Whatever stands where an id should stand is an id, or it is refused and nothing is touched."""

from __future__ import annotations

import pytest

from interlock.kernel.ids import UlidSource
from tests.cli.door import Door, call, commands, files
from tests.cli.lived import Lived

TAKES: dict[tuple[str, ...], str] = {
    ("draft", "show"): "d",
    ("draft", "edit"): "d",
    ("draft", "diff"): "d",
    ("draft", "approve"): "d",
    ("draft", "reject"): "d",
    ("draft", "erase"): "d",
    ("approved", "show"): "a",
    ("approved", "revoke"): "a",
    ("approved", "erase"): "a",
    ("run", "create"): "a",
    ("run", "show"): "r",
    ("run", "log"): "r",
    ("run", "truth"): "r",
    ("run", "diff"): "r",
    ("run", "receipt"): "r",
    ("run", "apply"): "r",
    ("run", "cancel"): "r",
    ("run", "retry"): "r",
    ("run", "ci"): "r",
    ("run", "wait"): "r",
    ("token", "rotate"): "t",
    ("token", "revoke"): "t",
    ("loop", "unwatch"): "w",
    ("pipeline", "resume"): "pipeline",
    ("pipeline", "cancel"): "pipeline",
    ("pipeline", "log"): "pipeline",
    ("deployment", "show"): "deploy",
    ("deployment", "monitor"): "deploy",
    ("deployment", "promote"): "deploy",
    ("deployment", "rollback"): "deploy",
    ("deployment", "resume"): "deploy",
    ("alert", "show"): "al",
    ("alert", "ack"): "al",
    ("alert", "resolve"): "al",
    ("alert", "replay"): "al",
    ("alert", "unsilence"): "si",
    ("queue", "show"): "ORCH",
    ("queue", "cancel"): "ORCH",
    ("queue", "replan"): "ORCH",
    ("queue", "retry"): "ORCH",
    ("queue", "explain"): "ORCH",
    ("queue", "heartbeat"): "ORCH",
    ("queue", "complete"): "ORCH",
    ("queue", "fail"): "ORCH",
    ("queue", "release"): "ORCH",
    ("queue", "reprioritise"): "ORCH",
    ("queue", "snooze"): "ORCH",
}
MORE: dict[tuple[str, ...], list[str]] = {
    ("run", "receipt"): ["--out", "receipt.json"],
    ("draft", "edit"): ["--prompt", "taken over"],
    ("deployment", "rollback"): ["--reason", "taken over"],
    **{(room, "erase"): ["--reason", "asked for"] for room in ("draft", "approved")},
    ("queue", "replan"): ["--notes", "taken over"],
    **{("queue", verb): ["--fence", "1"] for verb in ("heartbeat", "complete", "fail", "release")},
    ("queue", "reprioritise"): ["--to", "P0"],
    ("queue", "snooze"): ["--for", "1h"],
}


def hostile(prefix: str, real: str) -> list[str]:
    """Return what looks like the id of something real, and is not."""
    ulid = real.partition("_")[2]
    folder = {"d": "drafts", "a": "approved", "r": "runs", "t": "tokens"}.get(prefix, "loops")
    return [
        "",
        " ",
        ulid,
        f"{prefix}_",
        prefix + ulid,
        real.lower(),
        real.upper(),
        f" {real}",
        f"{real} ",
        f"{real}\n",
        f"{real}\0",
        f"{real}.json",
        f"./{real}",
        f"../{folder}/{real}",
        f"{folder}/../{folder}/{real}",
        f"/{real}",
        f".orch_data/ops/{folder}/{real}.json",
        f"{prefix}_{ulid[:-1]}",
        f"{real}{ulid}",
        f"{real},{real}",
        f"{real}' OR '1'='1",
        f"{real}%",
        "%",
        "*",
        f"{prefix}_8{ulid[1:]}",  # more than 128 bits
        f"{prefix}_{'I' * 26}",  # a letter that the alphabet leaves out
        f"{prefix}_0{'О' * 25}",  # noqa: RUF001 - a Cyrillic look-alike
        real.replace("0", "０"),  # noqa: RUF001 - a full-width digit
        "\u202e" + real,
        "ａ" + real[1:],  # noqa: RUF001 - a full-width letter
        f"{prefix}_{ulid}\udcff",
        "\x1b[2J",
        prefix * 10_000,
        f"{prefix}_{ulid * 400}",
        "-1",
        *(f"{other}_{ulid}" for other in ("d", "a", "r", "x", "") if other != prefix),
    ]


def test_the_table_has_every_command_that_takes_an_id() -> None:
    taking = {words for words, command in commands().items() if any(p.name.endswith("_id") for p in command.params)}
    assert taking - {("queue", "add")} == TAKES.keys()  # whose id is for a new row of a Markdown queue


@pytest.mark.parametrize("words", [words for words, prefix in TAKES.items() if prefix != "ORCH"], ids=" ".join)
def test_a_hostile_id_is_refused_and_nothing_is_written(
    lived: Lived, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    ask, prefix = Door(lived.root, capsys), TAKES[words]
    known = {"d": lived["open"], "a": lived["done: approved"], "r": lived["done"], "t": lived["token to rotate"]}
    real = known.get(prefix, f"{prefix}_{lived['done'][2:]}")
    before, entries = files(lived.root), ask.log_size()
    for wrong in hostile(prefix, real):
        answered = ask(*words, wrong, *MORE.get(words, []))
        from_a_draft = words == ("run", "create") and wrong.startswith("d_")
        assert answered.code == (4 if from_a_draft else 2), (wrong, answered)
        answered.refuses(answered.code)
        assert len(answered.err) < 500, wrong
    assert (files(lived.root), ask.log_size()) == (before, entries)


@pytest.mark.parametrize("words", [words for words, prefix in TAKES.items() if prefix == "ORCH"], ids=" ".join)
def test_an_item_that_is_not_there_is_not_found_by_any_trick(
    lived: Lived, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    ask = Door(lived.root, capsys)
    before, entries = files(lived.root), ask.log_size()
    real = lived["done: item"]
    for wrong in (
        "",
        " ",
        real.lower(),
        f"{real} ",
        f"{real}\0",
        "%",
        f"{real}' --",
        "O" * 10_000,
        "\x1b[2J",
        real[:-1],
    ):
        answered = ask(*words, wrong, *MORE.get(words, []))
        answered.refuses(3)
        assert len(answered.err) < 500, wrong
    assert (files(lived.root), ask.log_size()) == (before, entries)


def test_a_draft_id_says_which_command_it_is_for(ask: Door) -> None:
    draft = ask.draft()
    ask("run", "create", draft).refuses(4, "interlock draft approve")
    ask("approved", "show", draft).refuses(2, "interlock draft show")
    ask("draft", "show", draft.replace("d_", "a_")).refuses(2, "interlock approved show")


def test_the_installed_program_refuses_a_path_to_an_approved_file(ask: Door) -> None:
    approved = ask.approved()
    for wrong in (f"../approved/{approved}", f".orch_data/ops/approved/{approved}.json", f"{approved}\n"):
        call("run", "create", wrong, at=ask.root).refuses(2, "not a a_<ulid> id")
    assert ask.json("run", "list") == []


def test_an_unknown_id_of_the_right_form_is_quoted_whole(ask: Door) -> None:
    unknown = f"a_{UlidSource()()}"
    ask("run", "create", unknown).refuses(3, unknown)
