"""What docs/evidence.md says, done as it stands there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from attested_samples import ALICE, Workshop

PAGE = Path(__file__).resolve().parents[2] / "docs" / "evidence.md"


def blocks() -> list[str]:
    section = PAGE.read_text(encoding="utf-8").split("\n## Without Interlock\n")[1].split("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle with everything in it: a rotated log key, a retired one, statements of every sort."""
    shop = Workshop(tmp_path).begin()
    shop.evidence().head()
    shop.approval()
    shop.approval("service", "service_on_behalf", principal="human:bob")
    first = shop.keyring.list()[0].keyid
    shop.keyring.rotate(ALICE, "log")
    shop.evidence().head()
    shop.keyring.retire(ALICE, first)
    shop.run()
    shop.checkpoint()
    shop.outcome()
    shop.keyring.rotate(ALICE, "human-alice")
    shop.approval()
    folder = shop.export()
    (folder / "trusted.vkey").write_text((folder / "log.vkey").read_text().splitlines(keepends=True)[0])
    (folder / "saved-head.txt").write_text(shop.log.signed[0].note)
    return folder


def done(folder: Path) -> tuple[int, str]:
    """Do every block of the section; returns the exit code of the first that fails, and all that was said."""
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    said = ""
    for block in blocks():
        step = subprocess.run(
            ["sh", "-eu", "-c", block],
            cwd=folder,
            env={"PATH": search, "HOME": str(folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        said += step.stdout + step.stderr
        if step.returncode:
            return step.returncode, said
    return 0, said


@pytest.mark.proves("evidence-outside")
def test_the_steps_without_interlock_accept_a_bundle_and_import_nothing_of_ours(bundle: Path) -> None:
    code, said = done(bundle)
    assert code == 0, said
    entries = len((bundle / "ledger.jsonl").read_bytes().splitlines())
    assert said.splitlines()[-1].startswith(f"{entries} entries, 3 heads, ")
    assert "draft.approved human:bob signed with the key of service:interlock" in said
    assert len(blocks()) == 3
    assert "import interlock" not in "".join(blocks())


def swap(name: str, old: bytes, new: bytes) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / name
        assert old in path.read_bytes()
        path.write_bytes(path.read_bytes().replace(old, new))

    return damage


def envelope_edited(folder: Path) -> None:
    path = next((folder / "envelopes").iterdir())
    path.write_bytes(path.read_bytes() + b" ")


def tail_cut(folder: Path) -> None:
    path = folder / "ledger.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def line_dropped(folder: Path) -> None:
    path = folder / "ledger.jsonl"
    told = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*told[:3], *told[4:]]))


def other_log_trusted(folder: Path) -> None:
    other = Workshop(folder / "other")
    (folder / "trusted.vkey").write_bytes((other.keys / "log.vkey").read_bytes())


def head_forgotten(folder: Path) -> None:
    path = folder / "heads.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))


def statement_of_another_entry(folder: Path) -> None:
    """One entry's signed_operation under another, with every hash mended but the head's."""
    path = folder / "ledger.jsonl"
    told = [json.loads(line) for line in path.read_bytes().splitlines()]
    digests = [each["signed_operation"]["digest"] for each in told if each["signed_operation"]]
    path.write_bytes(path.read_bytes().replace(digests[0].encode(), digests[1].encode()))


def test_the_steps_without_interlock_refuse_a_checkpoint_that_was_replayed_in_another_run(tmp_path: Path) -> None:
    shop = Workshop(tmp_path).begin()
    shop.checkpoint()
    shop.log.data.append(shop.log.data[-1].replace(b'"subject":"p_1"', b'"subject":"p_2"'))
    folder = shop.export()
    (folder / "trusted.vkey").write_bytes((folder / "log.vkey").read_bytes())
    code, said = done(folder)
    assert code != 0
    assert "a checkpoint of another run, p_1" in said


@pytest.mark.parametrize(
    "damage",
    [
        swap("ledger.jsonl", b"human:bob", b"human:mal"),
        swap("heads.jsonl", b"workspace-1\\n", b"workspace-2\\n"),
        envelope_edited,
        tail_cut,
        line_dropped,
        other_log_trusted,
        head_forgotten,
        statement_of_another_entry,
    ],
    ids=["event", "head", "envelope", "cut", "dropped", "key", "forgotten", "swapped statement"],
)
def test_the_steps_without_interlock_refuse_a_bundle_that_was_touched(
    bundle: Path, damage: Callable[[Path], None]
) -> None:
    damage(bundle)
    code, said = done(bundle)
    assert code != 0, said
