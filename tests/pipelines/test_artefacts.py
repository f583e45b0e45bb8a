"""What jobs made: kept, found again, and never read from elsewhere."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock.pipelines import artefacts, scanning
from interlock.pipelines.artefacts import Artefacts
from interlock.pipelines.errors import ArtefactEmpty, ArtefactMissing, ArtefactTooLarge, ArtefactUnsafe
from interlock.pipelines.models import Artefact, Job, JobState, Status
from tests.pipelines.made import definition, run


@pytest.fixture
def kept(tmp_path: Path) -> Artefacts:
    (tmp_path / "work" / "out").mkdir(parents=True)
    return Artefacts(tmp_path / "work", tmp_path / "work" / ".interlock" / "artefacts", most_bytes=1000)


def write(kept: Artefacts, text: str, path: str = "out/a.json") -> None:
    (kept.root / path).write_text(text)


def state(made: Artefact, status: Status = Status.SUCCESS, name: str = "a", ended: int = 1) -> JobState:
    return JobState(id=name, stage="build", role=None, status=status, ended_ms=ended, artefacts=(made,))


JOBS = definition(Job(id="a", stage="build"), Job(id="b", stage="build"))


@pytest.mark.proves("pipeline-artefacts")
def test_an_artefact_is_kept_under_its_digest_and_found_again(kept: Artefacts) -> None:
    write(kept, "one")
    made = kept.keep("out/a.json")
    assert made == Artefact(path="out/a.json", sha256=hashlib.sha256(b"one").hexdigest(), size=3)
    write(kept, "changed since")
    found, place = kept.find(run(JOBS, state(made)), "out/a.json")
    assert (found, place.read_bytes()) == (made, b"one")
    assert place == kept.store / "sha256" / made.sha256[:2] / made.sha256


def test_the_same_bytes_are_kept_once(kept: Artefacts) -> None:
    write(kept, "one")
    write(kept, "one", "out/b.json")
    first = kept.find(run(JOBS, state(kept.keep("out/a.json"))), "out/a.json")[1]
    before = first.stat().st_ino
    kept.keep("out/b.json")
    assert first.stat().st_ino == before
    assert [each.name for each in kept.store.rglob("*") if each.is_file()] == [first.name]


def test_the_last_job_that_ended_well_says_what_an_artefact_is(kept: Artefacts) -> None:
    write(kept, "one")
    old = kept.keep("out/a.json")
    write(kept, "two")
    new = kept.keep("out/a.json")
    pipeline = run(JOBS, state(old, ended=1), state(new, name="b", ended=2))
    assert kept.find(pipeline, "out/a.json")[0] == new
    failed = run(JOBS, state(old, ended=1), state(new, Status.FAILED, name="b", ended=2))
    assert kept.find(failed, "out/a.json")[0] == old


@pytest.mark.proves("pipeline-artefacts")
def test_bytes_that_were_changed_in_the_store_are_not_given_out(kept: Artefacts) -> None:
    write(kept, "one")
    pipeline = run(JOBS, state(kept.keep("out/a.json")))
    place = kept.find(pipeline, "out/a.json")[1]
    place.chmod(0o600)
    place.write_text("two")
    with pytest.raises(ArtefactMissing, match="was changed"):
        kept.find(pipeline, "out/a.json")
    place.unlink()
    with pytest.raises(ArtefactMissing, match="is not kept any more"):
        kept.find(pipeline, "out/a.json")


def test_what_a_killed_run_was_about_to_keep_is_swept_away(kept: Artefacts) -> None:
    write(kept, "one")
    made = kept.keep("out/a.json")
    (kept.store / ".0011223344556677.tmp").write_text("half")
    kept.sweep()
    assert [each for each in kept.store.rglob("*") if each.is_file()] == [
        kept.find(run(JOBS, state(made)), "out/a.json")[1]
    ]


def test_what_a_run_never_made_is_not_found(kept: Artefacts) -> None:
    with pytest.raises(ArtefactMissing):
        kept.find(run(JOBS), "out/a.json")


def test_what_is_not_there_or_no_ordinary_file_is_missing(kept: Artefacts) -> None:
    os.mkfifo(kept.root / "out/pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(kept.root / "out/s"))
        for path in ("out/nothing", "out", "out/pipe", "out/s", "nowhere/a.json"):
            with pytest.raises(ArtefactMissing):
                kept.keep(path)


def test_an_empty_artefact_is_an_error_of_its_own(kept: Artefacts) -> None:
    write(kept, "")
    with pytest.raises(ArtefactEmpty):
        kept.keep("out/a.json")


def test_a_too_large_artefact_is_refused_and_nothing_is_left_of_it(kept: Artefacts) -> None:
    write(kept, "x" * 1001)
    with pytest.raises(ArtefactTooLarge):
        kept.keep("out/a.json")
    assert not [each for each in kept.store.rglob("*") if each.is_file()]


def test_no_link_is_followed_and_no_path_leads_elsewhere(kept: Artefacts, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (kept.root / ".interlock").mkdir()
    (kept.root / ".interlock/log.key").write_text("private")
    (kept.root / "out/file").symlink_to(tmp_path / "secret")
    (kept.root / "out/folder").symlink_to(tmp_path)
    (kept.root / "out/key").symlink_to("../.interlock/log.key")
    (kept.root / "out/keys").symlink_to("../.interlock")
    for path in (
        "out/file",
        "out/folder/secret",
        "out/key",
        "out/keys/log.key",
        ".interlock/log.key",
        ".git/config",
        "../secret",
        str(tmp_path / "secret"),
        "out/../../secret",
        ".",
        "",
    ):
        with pytest.raises(ArtefactUnsafe):
            kept.keep(path)


def test_what_is_written_goes_through_no_link_either(kept: Artefacts, tmp_path: Path) -> None:
    (kept.root / "out/folder").symlink_to(tmp_path)
    (kept.root / "out/file").symlink_to(tmp_path / "other")
    with pytest.raises(ArtefactUnsafe):
        artefacts.put(kept.root, "out/folder/made", [b"x"])
    artefacts.put(kept.root, "out/file", [b"x"])
    artefacts.put(kept.root, "new/folders/file", [b"x", b"y"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["work"]
    assert not (kept.root / "out/file").is_symlink()
    assert (kept.root / "new/folders/file").read_bytes() == b"xy"


@pytest.mark.parametrize("path", ["agents/data/agent_roles.json", "storage/db/a", "cicd/a", "tools/maintenance/a"])
def test_what_governs_is_not_written_for_a_job_either(kept: Artefacts, path: str) -> None:
    with pytest.raises(ArtefactUnsafe):
        artefacts.put(kept.root, path, [b"x"])
    assert not (kept.root / path).exists()


def test_a_write_that_fails_leaves_what_was_there(kept: Artefacts) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"new"
        raise OSError(errno.ENOSPC, "No space left on device")

    write(kept, "old")
    with pytest.raises(OSError, match="No space"):
        artefacts.put(kept.root, "out/a.json", chunks())
    assert [path.name for path in (kept.root / "out").iterdir()] == ["a.json"]
    assert (kept.root / "out/a.json").read_text() == "old"


def test_an_artefact_is_the_same_until_a_byte_of_it_changes(kept: Artefacts) -> None:
    write(kept, "one")
    made = kept.keep("out/a.json")
    assert kept.same(made)
    write(kept, "one and more")
    assert not kept.same(made)
    assert kept.same(made, {"out/a.json"})
    for other in ("on", "two", "ONE and more", ""):
        write(kept, other)
        assert not kept.same(made, {"out/a.json"})
    (kept.root / "out/a.json").unlink()
    assert not kept.same(made)


def test_an_artefact_of_a_worktree_is_brought_in_whole(kept: Artefacts, tmp_path: Path) -> None:
    place = tmp_path / "worktree"
    (place / "build").mkdir(parents=True)
    (place / "build/site.txt").write_text("made")
    artefacts.bring_in(place, kept.root, "build/site.txt")
    assert (kept.root / "build/site.txt").read_text() == "made"
    (place / "build/link").symlink_to("/etc/passwd")
    with pytest.raises(ArtefactUnsafe):
        artefacts.bring_in(place, kept.root, "build/link")


def scanned(kept: Artefacts, data: bytes) -> scanning.Scan:
    (kept.root / "out/a.json").write_bytes(data)
    return scanning.scan(kept, kept.keep("out/a.json"))


def test_a_secret_is_told_by_rule_and_line_and_never_shown(kept: Artefacts) -> None:
    secret = "ghp_" + "a1B2c3D4e5" * 3 + "F6g7H8"
    found = scanned(kept, f"# notes\n\n[REDACTED:earlier]\ntoken = {secret}\nlast line\n".encode())
    assert found.status == "failed"
    assert [issue.rpartition(" ")[2] for issue in found.issues] == ["4"]
    assert secret not in str(found)
    event = scanning.told("pipeline_1", Artefact(path="out/a.json", sha256="0" * 64, size=1), found)
    assert secret not in str(event)
    assert (event.tool, event.status) == ("kingfisher", "failed")


def test_an_artefact_without_secrets_passes_also_with_digests_in_it(kept: Artefacts) -> None:
    text = f'{{"sha256": "{"0a" * 32}", "size": 3, "keyid": "0a1b2c3d"}}\n'
    assert scanned(kept, text.encode()) == scanning.Scan(status="passed")


def test_what_is_no_text_or_too_large_is_said_to_be_skipped(kept: Artefacts, monkeypatch: pytest.MonkeyPatch) -> None:
    assert scanned(kept, b"\x89PNG\0\0").why == "not text"
    assert scanned(kept, b"\xff\xfe\xfd").why == "not text"
    monkeypatch.setattr(scanning, "MOST_BYTES", 10)
    assert scanned(kept, b"x" * 11).status == "skipped"
