"""The exported ledger follows the log: completed where it ends early, left alone where it was changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.door import Door


@pytest.fixture
def ledger(ask: Door) -> Path:
    for _ in range(3):
        ask.draft()
    return ask.root / "storage" / "db" / "evidence" / "ledger.jsonl"


def completed(ask: Door) -> int:
    return [event["kind"] for event in ask.json("evidence", "list")].count("window.completed")


@pytest.mark.parametrize("cut", [1, 10, 700, 1200, 10**6], ids=["newline", "torn", "line and a half", "lines", "all"])
def test_an_end_that_is_missing_is_completed_and_that_is_an_event(ask: Door, ledger: Path, cut: int) -> None:
    whole = ledger.read_bytes()
    ledger.write_bytes(whole[: max(0, len(whole) - cut)])
    assert ask("draft", "create", "--prompt", "next").err == ""
    assert ledger.read_bytes().startswith(whole)
    assert completed(ask) == 1
    ask.draft()
    assert completed(ask) == 1
    assert ask("evidence", "head").code == 0
    assert ask("evidence", "verify").code == 0


def test_a_ledger_that_is_gone_is_written_anew(ask: Door, ledger: Path) -> None:
    whole = ledger.read_bytes()
    ledger.unlink()
    ask.draft()
    assert ledger.read_bytes().startswith(whole)
    assert completed(ask) == 1


def changes(whole: bytes) -> dict[str, bytes]:
    lines = whole.splitlines(keepends=True)
    return {
        "longer": whole.replace(b"plan.set", b"plan.reset"),
        "same length": whole.replace(b"plan.set", b"plan.sEt"),
        "another line": whole + b"{}\n",
        "torn and not ours": whole + b'{"forged',
        "shorter": lines[0] + b"".join(lines[2:]),
        "swapped": lines[1] + lines[0] + b"".join(lines[2:]),
        "changed and torn": whole.replace(b"plan.set", b"plan.sEt")[:-5],
        "last line": whole[:-3] + b"!!\n",
    }


@pytest.mark.parametrize("change", changes(b"\n\n"))
def test_a_changed_ledger_is_left_alone_reported_and_rebuilt_on_an_operators_word(
    ask: Door, ledger: Path, change: str
) -> None:
    whole = ledger.read_bytes()
    changed = changes(whole)[change]
    assert changed != whole
    ledger.write_bytes(changed)
    answered = ask("windows", "verify")
    assert answered.code == 1, f"{change} is not seen by windows verify"
    assert "ledger.jsonl" in answered.out
    assert ledger.read_bytes() == changed
    assert ask("evidence", "verify").code >= 10
    ask("windows", "rebuild", "--json")
    kept = list((ask.root / ".interlock" / "kept").rglob("ledger.jsonl"))
    assert [path.read_bytes() for path in kept] == [changed]
    assert ledger.read_bytes().startswith(whole)
    assert ask("windows", "verify").code == 0
    assert ask("evidence", "head").code == 0
    assert ask("evidence", "verify").code == 0


@pytest.mark.parametrize("change", ["longer", "another line", "torn and not ours", "shorter", "swapped"])
def test_commands_that_write_warn_of_a_changed_ledger_and_do_not_touch_it(ask: Door, ledger: Path, change: str) -> None:
    changed = changes(ledger.read_bytes())[change]
    swapped_only = len(changed) == ledger.stat().st_size
    ledger.write_bytes(changed)
    answered = ask("draft", "create", "--prompt", "next")
    assert answered.code == 0
    if swapped_only:
        # What has the length that we left is not read again by every command; `windows verify` reads it.
        assert ledger.read_bytes().startswith(changed)
        return
    assert answered.err.count("\n") == 1
    assert "ledger.jsonl differs from the database's log" in answered.err
    assert "interlock evidence verify" in answered.err
    assert ledger.read_bytes() == changed
    assert ask.json("draft", "list")[0]["prompt"] == "next"


def test_a_changed_file_of_heads_is_reported_and_never_overwritten_in_silence(ask: Door, ledger: Path) -> None:
    """A head that the database does not know is evidence."""
    assert ask("evidence", "head").code == 0
    heads = ledger.with_name("heads.jsonl")
    changed = heads.read_bytes() * 2
    heads.write_bytes(changed)
    answered = ask("draft", "create", "--prompt", "next")
    kept = [path.read_bytes() for path in (ask.root / ".interlock").rglob("heads.jsonl")]
    assert heads.read_bytes() == changed or changed in kept
    assert "heads.jsonl" in answered.err + ask("windows", "verify").out


def test_a_ledger_that_is_a_link_is_not_followed(ask: Door, ledger: Path, tmp_path: Path) -> None:
    """Whoever may write there could otherwise have us write to any file of ours."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    ledger.unlink()
    ledger.symlink_to(victim)
    answered = ask("draft", "create", "--prompt", "next")
    assert answered.code == 0
    assert answered.err.startswith("warning: ")
    assert victim.read_bytes() == b"precious"
