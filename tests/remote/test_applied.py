"""What a worker elsewhere brought about can be applied: on the server, which never had the commit, and from afar."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from interlock.access.models import Role
from interlock.evidence.content import named
from interlock.runs.errors import ResultDiffers
from interlock.runs.models import Run, RunStatus
from interlock.storage.approval import StoredContents
from tests.conftest import ALICE
from tests.engines.world import INTERLOCK, git
from tests.remote.far_world import FarWorld, wire

LONG = 60.0
# What a patch can bring: text, a file without a last newline, bytes, a mode, a link, a removed file, an odd name.
EFFECT = (
    "echo carried out >> effect.txt; printf 'no end' > 'odd name.txt'; head -c 3000 /dev/urandom > bytes.bin; "
    "printf '#!/bin/sh\\n' > tool; chmod +x tool; ln -s effect.txt link; git rm -q --cached .gitignore; rm .gitignore"
)


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarWorld]:
    """A served workspace."""
    with wire() as made_wire:
        made = FarWorld(tmp_path_factory.mktemp("far"), wire=made_wire)
        try:
            yield made
        finally:
            made.close()


@pytest.fixture
def run(far: FarWorld) -> Run:
    """A run of the test's own that a worker elsewhere has carried out."""
    made = far.create(EFFECT)
    worker = far.far(once=True)
    assert worker.wait(LONG) == 0, worker.words()
    done = far.run(made)
    assert done.status is RunStatus.DONE, far.story(done)
    return done


def commit_of(run: Run) -> str:
    return str((run.result or {})["commit"])


def has(folder: Path, commit: str) -> bool:
    asked = ["git", "-C", str(folder), "cat-file", "-e", commit]
    return subprocess.run(asked, check=False, capture_output=True, timeout=30).returncode == 0


def assert_brought(repository: Path, run: Run) -> None:
    assert git(repository, "rev-parse", f"interlock/{run.id}") == commit_of(run)
    assert git(repository, "rev-parse", f"interlock/{run.id}^") == git(repository, "rev-parse", "main")
    assert git(repository, "show", f"{commit_of(run)}:effect.txt") == "carried out"
    assert git(repository, "fsck", "--strict") == ""


@pytest.mark.proves("fleet-far-applied")
def test_a_result_of_a_worker_elsewhere_is_applied_on_the_server_that_never_had_it(far: FarWorld, run: Run) -> None:
    [elsewhere] = (far.place / "far" / "mirrors").glob("*.git")
    assert has(elsewhere, commit_of(run))
    assert not has(far.repository, commit_of(run))
    assert not any(has(each, commit_of(run)) for each in far.house.layout.mirrors.glob("*.git"))

    applied = far.house.results.apply(ALICE, run.id, repository=None, into_tree=False)
    assert (applied.repository, applied.changed) == (far.repository, True)
    [here] = far.house.layout.mirrors.glob("*.git")
    assert has(here, commit_of(run))  # so that is where it was not
    assert_brought(far.repository, run)
    assert far.house.results.apply(ALICE, run.id, repository=None, into_tree=False).changed is False

    clone = far.place / "clone"
    git(far.place, "clone", "-q", str(far.repository), str(clone))
    assert set(far.house.results.apply(ALICE, run.id, repository=clone, into_tree=True).files) == {
        *(b"effect.txt", b"odd name.txt", b"bytes.bin", b"tool", b"link", b".gitignore")
    }
    assert [told["mode"] for told in far.events(run, "run.applied")] == ["branch", "working_tree"]
    assert far.verified().uncovered == 0


@pytest.mark.proves("fleet-far-applied")
def test_a_result_of_a_worker_elsewhere_is_applied_from_afar(far: FarWorld, run: Run) -> None:
    clone = far.place / "from-afar"
    git(far.place, "clone", "-q", str(far.repository), str(clone))
    token = far.token_of("alice", "human", Role.ADMIN)
    words = ("--server", far.wire.address, "--token-file", str(token), "run", "apply", run.id, "--repo", str(clone))
    said = subprocess.run(
        [str(INTERLOCK), "--json", *words], cwd=far.place, capture_output=True, text=True, check=False, timeout=LONG
    )
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)["changed"] is True
    assert_brought(clone, run)


def test_a_patch_that_does_not_make_the_recorded_commit_is_applied_nowhere(far: FarWorld, run: Run) -> None:
    for forged in (far.patch(run).replace("+carried out", "+carried off"), "no patch at all\n"):
        _change_patch(far, run, forged.encode())
        with pytest.raises(ResultDiffers):
            far.house.results.apply(ALICE, run.id, repository=None, into_tree=False)
    assert git(far.repository, "branch", "--list", f"interlock/{run.id}") == ""
    refs = git(next(far.house.layout.mirrors.glob("*.git")), "for-each-ref", f"refs/interlock/runs/{run.id}")
    assert refs == ""
    assert far.events(run, "run.applied") == []


def _change_patch(far: FarWorld, run: Run, patch: bytes) -> None:
    """Let the record name another patch, as a worker that lies could have had it from the beginning."""
    other = named(patch, "text/x-diff")
    result = {**(run.result or {}), "patch": {"digest": other.ref, "bytes": len(patch)}}
    with far.house.database.light() as transaction:
        StoredContents(transaction).put(other)
    with closing(sqlite3.connect(far.house.layout.database, isolation_level=None)) as connection:
        connection.execute("UPDATE run SET result = ? WHERE id = ?", (json.dumps(result), run.id))
