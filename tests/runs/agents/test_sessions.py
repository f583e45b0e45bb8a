"""What is noted of an agent's session, and that nothing but a whole session of this very attempt is taken up."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from interlock.runs.agents.sessions import find_session, keep_session, places_in_use


@dataclass(frozen=True)
class Known:
    id: str = "r_1"
    generation: int = 1


RUN = Known()


@dataclass(frozen=True)
class Machine:
    """The folders of one machine."""

    private: Path
    worktrees: Path

    def left(self, fence: int, session_id: str = "s-1", *, place: int | None = None, generation: int = 1) -> Path:
        """Leave what a claim leaves that dies while its agent works."""
        folder = self.private / f"{RUN.id}-{fence}"
        for name in ("home", "upper"):
            (folder / name).mkdir(parents=True)
            (folder / name / "what").write_text(f"{name} of {fence}")
        worktree = self.worktrees / f"{RUN.id}-{fence if place is None else place}"
        worktree.mkdir(exist_ok=True)
        keep_session(folder, session_id, worktree, generation)
        return folder

    def fresh(self, fence: int) -> Path:
        """Make the private folder of a claim that begins."""
        folder = self.private / f"{RUN.id}-{fence}"
        for name in ("home", "upper"):
            (folder / name).mkdir(parents=True)
        return folder

    def found(self, own: int, run: Known = RUN) -> str | None:
        session = find_session(self.private, self.worktrees, run, f"{RUN.id}-{own}")
        return session.session_id if session is not None else None


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path / "runs", tmp_path / "worktrees")
    made.private.mkdir()
    made.worktrees.mkdir()
    return made


def test_the_latest_claim_that_left_a_session_is_the_one(machine: Machine) -> None:
    machine.left(2, "early")
    machine.left(10, "late")
    machine.left(30, "own")
    assert machine.found(30) == "late"


def test_home_and_objects_are_moved_and_the_place_stays_in_use(machine: Machine) -> None:
    machine.left(1)
    second = machine.fresh(2)
    session = find_session(machine.private, machine.worktrees, RUN, second.name)
    assert session is not None
    assert session.move_to(second)
    assert (second / "home" / "what").read_text() == "home of 1"
    assert machine.found(2) is None  # it went along
    assert machine.found(3) == "s-1"
    assert places_in_use(machine.private, [second.name]) == {f"{RUN.id}-1"}
    assert places_in_use(machine.private, []) == set()


def test_an_attempt_that_an_operator_asked_for_begins_anew(machine: Machine) -> None:
    machine.left(1)
    assert machine.found(2, Known(generation=2)) is None


def _no_worktree(folder: Path) -> None:
    (folder.parents[1] / "worktrees" / folder.name).rmdir()


def _linked_home(folder: Path) -> None:
    (folder / "home").rename(folder / "elsewhere")
    (folder / "home").symlink_to(folder / "elsewhere")


def _note(**changes: object) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        noted = json.loads((folder / "session.json").read_text())
        (folder / "session.json").write_text(json.dumps(noted | changes))

    return spoil


def _written(text: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / "session.json").write_text(text)

    return spoil


def _linked_note(folder: Path) -> None:
    (folder / "session.json").rename(folder / "other.json")
    (folder / "session.json").symlink_to(folder / "other.json")


@pytest.mark.parametrize(
    "spoil",
    [
        _no_worktree,
        _linked_home,
        _linked_note,
        _note(place="/etc"),
        _note(place="../worktrees/r_1-1"),
        _note(session_id="--yolo"),
        _note(session_id=7),
        _note(generation="1"),
        _written("{"),
        _written("[1]"),
        _written("[" * 4000),
        _written(""),
    ],
)
def test_what_is_not_whole_or_was_written_by_somebody_else_is_not_taken_up(
    machine: Machine, spoil: Callable[[Path], object]
) -> None:
    folder = machine.left(1)
    assert machine.found(2) == "s-1"
    spoil(folder)
    assert machine.found(2) is None
