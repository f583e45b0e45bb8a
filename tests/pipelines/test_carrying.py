"""Carrying out beside a server: what waits, what was left behind, and what is nobody's business here."""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from interlock.founding import create_workspace
from interlock.kernel.errors import InterlockError, Unreachable
from interlock.pipelines.carrying import Carrier
from interlock.pipelines.errors import PipelineNotMovable, WorkspaceBusy
from interlock.pipelines.models import Pipeline, Status
from interlock.workspace.errors import WorkspaceInvalid
from tests.conftest import ALICE, Found
from tests.pipelines.workshop import Workspace


@pytest.fixture
def space(founded: Found, tmp_path: Path) -> Generator[Workspace]:
    made = Workspace(tmp_path / "work", founded(tmp_path / "work", "sqlite"))
    made.declare({"a": {"script": ["true"]}})
    yield made
    made.close()


@dataclass
class Failing:
    """Carries nothing out, for a reason."""

    error: Exception
    asked: list[str] = field(default_factory=list[str])

    def resume(self, pipeline_id: str) -> Pipeline:
        self.asked.append(pipeline_id)
        raise self.error

    def left_behind(self, pipeline_id: str) -> bool:
        return bool(pipeline_id)


def carrier(space: Workspace, failing: Failing | None = None) -> Carrier:
    real = space.house.delivery.carrier()

    def runner(_: threading.Event) -> Failing:
        assert failing is not None
        return failing

    return real if failing is None else replace(real, runner=runner)


def test_what_waits_is_carried_out_oldest_first(space: Workspace) -> None:
    asked = [space.create().id for _ in range(2)]
    works = carrier(space)
    assert works.turn()
    assert [space.house.pipelines.get(each).status for each in asked] == [Status.SUCCESS, Status.PENDING]
    assert works.turn()
    assert not works.turn()
    assert space.house.pipelines.get(asked[1]).status is Status.SUCCESS


def test_a_run_whose_holder_died_is_taken_up_again(space: Workspace) -> None:
    run = space.create()

    def die(where: str) -> None:
        if where == "a.begun":
            raise KeyboardInterrupt  # as near as a thread comes to an end of its process

    with pytest.raises(KeyboardInterrupt):
        space.runner(probe=die).run(run.id)
    assert space.house.pipelines.get(run.id).status is Status.RUNNING
    assert carrier(space).turn()
    assert space.house.pipelines.get(run.id).status is Status.SUCCESS


def test_a_run_that_was_left_behind_and_may_not_go_on_is_ended_with_the_reason_and_can_be_resumed(
    space: Workspace,
) -> None:
    run = space.create()

    def die(where: str) -> None:
        if where == "a.begun":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        space.runner(probe=die).run(run.id)
    text = space.read("cicd/pipelines/work.yaml")
    space.write("cicd/pipelines/work.yaml", text + "\n# edited\n")
    assert carrier(space).turn()
    ended = space.house.pipelines.get(run.id)
    assert (ended.status, ended.reason) == (Status.FAILED, "definition_not_accepted")
    space.write("cicd/pipelines/work.yaml", text)
    assert space.runner().resume(run.id).status is Status.SUCCESS


def test_a_run_that_another_machine_holds_is_left_to_it(space: Workspace) -> None:
    run = space.create()
    space.house.pipelines.begin(space.house.delivery.runner().actor, run.id)
    assert not carrier(space).turn()
    assert space.house.pipelines.get(run.id).fence == 1


def test_a_run_that_somebody_else_took_up_is_not_taken_back(space: Workspace) -> None:
    run = space.create()

    def taken(where: str) -> None:
        if where == "a.begun":
            space.house.pipelines.begin(space.house.delivery.runner().actor, run.id)

    with pytest.raises(InterlockError):
        space.runner(probe=taken).run(run.id)
    assert not carrier(space).turn()


def test_a_run_that_is_asked_for_and_carried_out_at_once_is_taken_by_nobody_between(space: Workspace) -> None:
    works, seen = carrier(space), list[bool]()

    def ask() -> Pipeline:
        made = space.create()
        seen.append(works.turn())
        return made

    assert space.runner().run_new(ask).status is Status.SUCCESS
    assert seen == [False]


def test_a_run_that_is_asked_for_while_another_one_works_waits(space: Workspace) -> None:
    asked: list[str] = []

    def ask() -> Pipeline:
        asked.append(space.create().id)
        return space.house.pipelines.get(asked[-1])

    def meanwhile(where: str) -> None:
        if where == "a.begun":
            with pytest.raises(WorkspaceBusy):
                space.runner().run_new(ask)

    assert space.run(probe=meanwhile).status is Status.SUCCESS
    assert space.house.pipelines.get(asked[0]).status is Status.PENDING


def test_what_can_not_begin_is_ended_once_with_its_reason(space: Workspace) -> None:
    run = space.create()
    space.write("cicd/pipelines/work.yaml", space.read("cicd/pipelines/work.yaml") + "\n# edited\n")
    works = carrier(space)
    assert works.turn()
    ended = space.house.pipelines.get(run.id)
    assert (ended.status, ended.reason) == (Status.FAILED, "definition_not_accepted")
    assert not works.turn()


@pytest.mark.parametrize("error", [WorkspaceBusy("another one"), Unreachable("the database is away")])
def test_what_passes_is_waited_for_and_fails_no_run(space: Workspace, error: InterlockError) -> None:
    run, failing = space.create(), Failing(error)
    works = carrier(space, failing)
    assert not works.turn()
    assert not works.turn()
    assert failing.asked == [run.id, run.id]
    assert space.house.pipelines.get(run.id).status is Status.PENDING


def test_a_full_disk_does_not_end_the_server(space: Workspace) -> None:
    run, failing = space.create(), Failing(OSError(28, "No space left on device"))
    works = carrier(space, failing)
    assert works.turn()
    assert not works.turn()
    assert failing.asked == [run.id]


def test_a_run_that_was_moved_while_it_is_refused_is_no_accident(space: Workspace) -> None:
    def refused(_: str, __: InterlockError) -> None:
        raise PipelineNotMovable("it was cancelled meanwhile")

    space.create()
    works = replace(carrier(space, Failing(WorkspaceInvalid("no"))), refused=refused)
    assert works.turn()


def test_work_ends_when_it_is_told_to(space: Workspace) -> None:
    works = carrier(space)
    thread = threading.Thread(target=works.work)
    thread.start()
    works.stop()
    thread.join(20)
    assert not thread.is_alive()


def test_the_database_of_another_workspace_is_refused(tmp_path: Path, postgres_url: str) -> None:
    first = Workspace(tmp_path / "first", postgres_url)
    first.close()
    with pytest.raises(WorkspaceInvalid, match="another workspace"):
        create_workspace(tmp_path / "second", ALICE, database_url=postgres_url, replace=False)
    create_workspace(tmp_path / "first", ALICE, database_url=postgres_url, replace=False)
