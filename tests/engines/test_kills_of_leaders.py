"""Whoever leads is killed at every step of what it leads: the next one does it, once, under a newer epoch."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

import interlock
from interlock.approval.events import DraftNotGenerated
from interlock.fleet.models import Facts
from interlock.founding import join_workspace
from interlock.kernel.ids import UlidSource
from interlock.queue.models import Executor, ItemKind, NewItem
from tests.conftest import ALICE, until
from tests.engines.world import World, surroundings

pytestmark = pytest.mark.timeout(400)

SCRIPT = Path(__file__).with_name("leading_process.py")
POINTS = ("held", "made", "done")
PATIENCE_SECONDS = 150.0
_ROLE = re.compile(r"reign\(\s*f?\"([a-z]+)")
WITHOUT_WORK = {"supervisor", "carrier"}
"""Roles with nothing to do without a loop or a pipeline; who carries a pipeline on is killed in tests/pipelines."""

ASKED_FOR_WORK = {"promote", "sign"}
"""Roles that nobody takes where there is nothing to do."""


def roles() -> set[str]:
    """Return every role that somebody leads, as the code has them."""
    source = Path(interlock.__file__).parent
    return {role for file in source.rglob("*.py") for role in _ROLE.findall(file.read_text())}


@dataclass(frozen=True)
class Acts:
    """One thing to do for each role, and by which events it is seen to be done."""

    node: str
    run: str
    key: str
    item: str

    def told(self) -> Mapping[str, tuple[str, str]]:
        """Return kind and subject (or a part of what is told) by role; promoting is no event."""
        return {
            "nodes": ("node.lost", self.node),
            "archive": ("run.archived", self.run),
            "alerter": ("alert.opened", "generation_failed"),
            "sign": ("key.added", self.key),
        }


class Fleet:
    """A world on PostgreSQL with processes that lead."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._started: list[subprocess.Popen[bytes]] = []
        self._new = UlidSource()
        settings = world.root / "interlock.toml"
        settings.write_text(
            settings.read_text() + "\n[fleet]\nlost_seconds = 2\n[runs]\narchive_after_seconds = 1\n", encoding="utf-8"
        )

    def acts(self) -> Acts:
        """Give every leader something to do."""
        world, house = self.world, self.world.house
        run = house.runs.create(ALICE, world.approve("true").id)
        house.runs.cancel(ALICE, run.id, reason="for the archive")
        house.alerter().turn()  # from now on it follows: what was before is nobody's alert
        draft = house.approval.create(ALICE, "a draft").id
        house.tell(
            ALICE, DraftNotGenerated(subject=draft, draft_version=1, reason="provider_unreachable", generated={})
        )
        node = f"n_{self._new()}"
        house.fleet.join(ALICE, facts(node, "gone"))
        other = world.place / "joined"
        join_workspace(other, ALICE, database_url=world.database_url, replace=False)
        until(lambda: house.runs.get(run.id).ended_ms is not None, PATIENCE_SECONDS)
        with house.queue(ALICE) as queue:
            later = queue.now() + 500
            new = NewItem(
                kind=ItemKind.MANUAL,
                executor=Executor.EXTERNAL,
                priority="P1",
                task="t",
                success_criteria="s",
                not_before_ms=later,
            )
            item = queue.add(new).id
        key = next((other / ".interlock" / "keys").glob("service-n_*.key")).stem
        return Acts(node, run.id, key, item)

    def lead(self, point: str, roles_: Sequence[str]) -> Path:
        """Start a process for each role; returns the folder in which they say where they stand."""
        folder = self.world.place / f"leading-{len(self._started)}"
        folder.mkdir()
        with (folder / ".said").open("wb") as said:
            command = [sys.executable, str(SCRIPT), str(self.world.root), str(folder), point, *roles_]
            self._started.append(
                subprocess.Popen(command, stdout=said, stderr=said, env=surroundings(), start_new_session=True, cwd="/")
            )
        return folder

    def kill(self) -> None:
        """Kill all that lead, as `kill -9` does."""
        for each in self._started:
            if each.poll() is None:
                os.killpg(each.pid, signal.SIGKILL)
                each.wait()

    def events(self) -> list[tuple[str, str]]:
        self.world.seal()
        log = self.world.house.windows.log
        return [(e["kind"], f"{e['subject']} {e['payload']}") for _, e in log.events(0, log.size())]

    def count(self, told: tuple[str, str]) -> int:
        """Count the events of a kind that tell of somebody."""
        return len([words for kind, words in self.events() if kind == told[0] and told[1] in words])

    def has(self, told: tuple[str, str]) -> bool:
        return self.count(told) > 0

    def is_promoted(self, item: str) -> bool:
        with self.world.house.queue_look() as queue:
            return queue.get(item).not_before_ms is None

    def terms(self) -> dict[str, tuple[int, int]]:
        """Return who leads: role → epoch and pid."""
        with psycopg.connect(self.world.database_url) as connection:
            rows = connection.execute("SELECT role, epoch, pid FROM leader").fetchall()
        return {str(role).partition("@")[0]: (int(epoch), int(pid)) for role, epoch, pid in rows}


def facts(node: str, name: str) -> Facts:
    return Facts(id=node, name=name, host=name, boot_id=name, version="1", capabilities=(), labels=(), concurrency=1)


@pytest.fixture
def fleet(tmp_path: Path, postgres_url: str) -> Iterator[Fleet]:
    world = World(tmp_path, postgres_url)
    made = Fleet(world)
    try:
        yield made
    finally:
        made.kill()
        world.close()


def test_every_role_that_somebody_leads_has_something_to_do_here_or_is_named_as_one_that_has_not() -> None:
    assert roles() == {*Acts("", "", "", "").told(), *WITHOUT_WORK, "promote"}


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.proves("fleet-kills")
def test_every_leader_killed_at_a_step_is_followed_by_one_that_does_it_once(fleet: Fleet, point: str) -> None:
    acts, everyone = fleet.acts(), sorted(roles())
    standing = sorted(set(everyone) - WITHOUT_WORK | ({"supervisor"} if point == "held" else set()))
    folder = fleet.lead(point, standing)
    until(lambda: {each.name for each in folder.glob("[a-z]*")} == set(standing), PATIENCE_SECONDS)
    killed = fleet.terms()
    stood = {role: int((folder / role).read_text()) for role in standing}
    assert {role: pid for role, (_, pid) in killed.items()} == stood
    fleet.kill()
    done = {role for role, told in acts.told().items() if fleet.has(told)}
    assert done == (set(acts.told()) if point == "done" else set())

    fleet.lead("none", ["*"])
    until(lambda: all(fleet.has(told) for told in acts.told().values()), PATIENCE_SECONDS)
    until(lambda: fleet.is_promoted(acts.item), PATIENCE_SECONDS)
    always = set(standing) - ASKED_FOR_WORK
    until(lambda: all(fleet.terms()[role][0] > killed[role][0] for role in always), PATIENCE_SECONDS)
    fleet.kill()
    assert {role: fleet.count(told) for role, told in acts.told().items()} == dict.fromkeys(acts.told(), 1)
    assert fleet.world.verified().uncovered == 0
