"""What docs/scale.md tells to type works as it stands there: from `make up` to three nodes, and to Temporal."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

import interlock
from interlock.app import Interlock
from interlock.approval.models import Work
from interlock.founding import create_workspace
from tests.around import without_ours
from tests.conftest import ALICE
from tests.docs import page
from tests.docs.page import ROOT
from tests.engines.temporal_server import BINARY, needs_temporal
from tests.engines.world import INTERLOCK, make_repository, surroundings
from tests.ports import free_port
from tests.postgres import ON_THE_PAGES

PAGE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
COMMANDS = page.typed("docs/scale.md")
_LONGEST_SECONDS = 400
_BEHIND = re.compile(r" & (\w+)=\$!$")


def up() -> str:
    """Return what `make up` does but for building the console, in this folder's own words."""
    recipe = re.search(r"^up:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert recipe
    said = [line.strip().removeprefix("@") for line in recipe[1].splitlines()]
    begun = [line.removeprefix("$(BIN)/") for line in said if line.startswith("$(BIN)/interlock ")]
    assert len(begun) == 2, begun
    return f"{begun[0]} && exec {begun[1]}"


def typed(line: str) -> str:
    """Return a line of the page for a script that ends where one fails."""
    if behind := _BEHIND.search(line):
        return f"( exec {line[: behind.start()]} ) & {behind[1]}=$!".replace("exec make up", up())
    return f"{line} || exit 1"


@pytest.mark.proves("scale-page")
@pytest.mark.timeout(450)
def test_every_command_of_the_page_works(tmp_path: Path, postgres_url: str) -> None:
    needs_temporal()
    assert len(COMMANDS) > 45
    there = {ON_THE_PAGES: shlex.quote(postgres_url), "7233": str(free_port()), "9325": str(free_port())}
    script = "\n".join(f"echo '[{number}]' after $SECONDS s; {typed(line)}" for number, line in enumerate(COMMANDS))
    assert all(told in script for told in there)
    script = re.sub("|".join(map(re.escape, there)), lambda found: there[found[0]], script)
    said = tmp_path / "said"
    code = shell(script, tmp_path, said, {"ORCH_PORT": there["9325"]})
    heard = said.read_text(encoding="utf-8", errors="replace")
    assert code == 0, heard[-4000:]
    for sentence in (
        "would be moved; nothing was changed",
        "is in quarantine",
        "attempt 2",  # the run whose worker was killed
        "# published 1",
        "cancelled_in_temporal",
        "0 unverified",
    ):
        assert sentence in heard, sentence


def shell(script: str, folder: Path, said: Path, more: dict[str, str]) -> int:
    """Carry out a script in one bash, and end everything that it began; returns its exit code."""
    own = without_ours() | {
        "PATH": f"{BINARY.parent}:/usr/bin:/bin",
        "HOME": str(folder),
        # This checkout, and the repository of the page, may lie in /tmp, where an agent sees nothing else.
        "INTERLOCK_WORKER_VISIBLE": f"{sys.prefix},{Path(interlock.__file__).parents[1]}",
    }
    with said.open("wb") as output:
        bash = subprocess.Popen(
            ["bash", "-c", script],
            cwd=folder,
            env=own | more,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            return bash.wait(_LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            return -1
        finally:
            page.end_group(bash)


@pytest.mark.timeout(240)
def test_a_run_is_as_many_events_as_the_plan_says(tmp_path: Path, postgres_url: str) -> None:
    told = re.search(r"^\| events \| \*\*(\d+)\*\*", PAGE, re.MULTILINE)
    assert told
    assert cost(tmp_path, postgres_url, runs=3, lines=1).events == int(told[1])


@dataclass(frozen=True)
class Cost:
    """What one run took on PostgreSQL."""

    events: float
    transactions: float
    bytes: float
    wal_bytes: float


def cost(folder: Path, url: str, *, runs: int, lines: int) -> Cost:
    """Carry out runs that print so many lines of 60 characters, and return what each of them took."""
    repository = make_repository(folder / "repository")
    create_workspace(folder / "workspace", ALICE, database_url=url, replace=False)
    with closing(Interlock.at(folder / "workspace")) as house:
        work = Work(
            command=("sh", "-c", f"for i in $(seq {lines}); do printf '%060d\\n' $i; done"), repository=str(repository)
        )
        draft = house.approval.create(ALICE, "Count.", work=work)
        approved = house.approval.approve(ALICE, draft.id)
        worked(house, approved.id, 1)  # a mirror, and a head, are there from now on
        before = taken(url)
        worked(house, approved.id, runs)
        after = taken(url)
    return Cost(*((new - old) / runs for old, new in zip(before, after, strict=True)))


def worked(house: Interlock, approved_id: str, runs: int) -> None:
    """Make runs, and let a worker carry them out."""
    for _ in range(runs):
        house.runs.create(ALICE, approved_id)
    words = (str(INTERLOCK), "worker", "--once", "--concurrency", "4")
    done = subprocess.run(
        words, cwd=house.layout.root, env=surroundings(), capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stderr


def taken(url: str) -> tuple[int, int, int, int]:
    """Return what a database has by now: events of runs and items, transactions, its size, bytes of the WAL."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_clear_snapshot()")
        row = connection.execute(
            """
            SELECT (SELECT count(*) FROM event WHERE kind LIKE 'run.%' OR kind LIKE 'item.%'),
                   (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()),
                   pg_database_size(current_database()), (pg_current_wal_lsn() - '0/0')::bigint
            """
        ).fetchone()
    assert row
    return row


if __name__ == "__main__":
    with TemporaryDirectory() as place:
        made = cost(Path(place), sys.argv[1], runs=60, lines=int(sys.argv[2]) if len(sys.argv) > 2 else 1)
        sys.stdout.write(f"{made}\n")
