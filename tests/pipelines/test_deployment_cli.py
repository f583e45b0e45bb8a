"""The command line of deployments."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.main import get_command

from interlock.access.errors import Frozen
from interlock.doors.cli import Call, open_door
from interlock.kernel.errors import InterlockError
from interlock.pipelines.deployment_cli import door
from interlock.pipelines.errors import (
    CheckpointMissing,
    DefinitionMissing,
    DeploymentFailed,
    DeploymentMissing,
    PromotionBlocked,
)
from tests.conftest import ALICE, ORIGIN
from tests.pipelines.fleet import RUN
from tests.pipelines.test_deployments import World, at, furnish, make_keys

PLAIN = """\
name: plain
description: A file that says its version.
environments: {staging: }
steps:
  - name: write
    run: sh -c 'echo $VERSION > released'
    undo: sh -c 'echo $PREVIOUS_VERSION > released'
probes: [{name: sound, command: "grep -v broken released"}]
artefacts: [released]
"""


class Terminal:
    """Calls commands as the program does, in this process."""

    def __init__(self, world: World, capture: pytest.CaptureFixture[str]) -> None:
        self.world, self.capture = world, capture
        self.wrote = 0
        self.err = ""

    def __call__(self, *words: str, code: int = 0, as_json: bool = False) -> str:
        open_door(
            Call(
                as_json=as_json,
                actor=lambda: ALICE,
                root=lambda: self.world.root,
                app=lambda: SimpleNamespace(deployments=self.world.rooms),
                catch_up=self._catch_up,
            )
        )
        self.capture.readouterr()
        failed = ""
        try:
            found = get_command(door).main(args=list(words), standalone_mode=False)
        except DeploymentFailed as error:  # the program says it at its end
            found, failed = 1, f"error: {error} [{error.code}]\n"
        told = self.capture.readouterr()
        self.err = told.err + failed
        assert (found or 0) == code, told
        return told.out

    def json(self, *words: str, code: int = 0) -> Any:  # noqa: ANN401 - JSON of any shape
        return json.loads(self(*words, code=code, as_json=True))

    def _catch_up(self) -> Sequence[str]:
        self.wrote += 1
        return ()


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    (tmp_path / ".interlock").mkdir()
    house = at(tmp_path)
    house.database.create(ORIGIN)
    make_keys(house.layout, ORIGIN, "alice")
    world = furnish(house, tmp_path)
    world.define(PLAIN, "plain")
    yield Terminal(world, capsys)
    house.close()


def test_a_version_goes_its_way_on_the_command_line(terminal: Terminal) -> None:
    seen = terminal.json("definitions", "plain")
    assert (seen["status"], seen["commands"][0]) == ("not_accepted", ["sh", "-c", "echo $VERSION > released"])
    assert terminal.json("approve", "plain", "--digest", seen["digest"])["status"] == "accepted"
    words = ("create", "plain", "--environment", "staging", "--pipeline", RUN, "--version")
    first = terminal.json(*words, "1.0")
    assert (first["status"], first["version"], first["health_metrics"]["error_rate"]) == ("Running", "1.0", 0.0)
    assert terminal.json("monitor", first["id"])["healthy"] is True
    assert terminal.json("promote", first["id"])["status"] == "Success"
    bad = terminal.json(*words, "2.0-broken", code=1)
    assert (bad["status"], bad["previous_version"]) == ("RolledBack", "1.0")
    assert f"error: {bad['id']} is RolledBack: sound:" in terminal.err
    assert "[deployment_failed]" in terminal.err
    assert [row["id"] for row in terminal.json("list")] == [bad["id"], first["id"]]
    assert terminal.json("rollback", first["id"], "--reason", "enough")["status"] == "RolledBack"
    assert terminal.wrote == 6


def test_people_see_what_they_accept(terminal: Terminal) -> None:
    shown = terminal("definitions", "plain")
    assert "  command     sh -c 'echo $VERSION > released'" in shown
    assert "  probe       sound: command" in shown
    assert "  changed     no human has accepted it yet" in shown


def test_a_definition_that_can_not_be_read_is_listed_with_its_mistake(terminal: Terminal) -> None:
    terminal.world.define("name: bad\n", "bad")
    rows = {row["name"]: row for row in terminal.json("definitions")}
    assert rows["bad"]["status"] == "definition_invalid"
    assert rows["bad"]["changes"][0].startswith("cicd/deployments/bad.yaml:1: ")
    assert rows["plain"]["status"] == "not_accepted"
    with pytest.raises(DefinitionMissing):
        terminal("definitions", "nobody")


def test_one_deployment_is_shown_with_all_that_is_known(terminal: Terminal) -> None:
    terminal("approve", "plain")
    made = terminal.json("create", "plain", "--environment", "staging", "--version", "1.0")
    shown = terminal("show", made["id"])
    assert "  version     1.0 in Staging by Recreate" in shown
    assert "  run         none, so it can not be promoted" in shown
    assert "  health      healthy; errors 0.0 %" in shown
    with pytest.raises(DeploymentMissing):
        terminal("show", "deploy_01K9AAAAAAAAAAAAAAAAAAAAAA")
    with pytest.raises(InterlockError, match="not a deploy_<ulid> id"):
        terminal("show", "../x")


def test_a_blocked_promotion_brings_the_files_up_to_date_all_the_same(terminal: Terminal) -> None:
    terminal("approve", "plain")
    made = terminal.json("create", "plain", "--environment", "staging", "--version", "1.0", "--pipeline", RUN)

    def blocked(*_: object) -> None:
        raise CheckpointMissing("nobody has verified it")

    terminal.world.rooms = replace(terminal.world.rooms, check_promotion=blocked)
    before = terminal.wrote
    with pytest.raises(PromotionBlocked, match="nobody has verified it"):
        terminal("promote", made["id"])
    assert terminal.wrote == before + 1


@pytest.mark.parametrize("verb", ["create", "monitor", "rollback"])
def test_whatever_is_stopped_on_its_way_brings_the_files_up_to_date_all_the_same(terminal: Terminal, verb: str) -> None:
    def frozen(_: object) -> None:
        raise Frozen

    terminal("approve", "plain")
    words: tuple[str, ...] = ("create", "plain", "--environment", "staging", "--version", "1.0")
    if verb != "create":
        words = (verb, terminal.json(*words)["id"], *(("--reason", "enough") if verb == "rollback" else ()))
    terminal.world.rooms = replace(terminal.world.rooms, record_outcome=frozen)
    before = terminal.wrote
    with pytest.raises(Frozen):
        terminal(*words)
    assert terminal.wrote == before + 1


def test_a_deployment_that_was_cut_off_is_resumed(terminal: Terminal) -> None:
    class Cut(Exception):
        """Where a kill would come."""

    def cut(_: str) -> None:
        raise Cut

    terminal("approve", "plain")
    whole = terminal.world.rooms
    terminal.world.rooms = replace(whole, probe=cut)
    with pytest.raises(Cut):
        terminal("create", "plain", "--environment", "staging", "--version", "1.0")
    terminal.world.rooms = whole
    [row] = terminal.json("list")
    assert terminal.json("resume", row["id"])["healthy"] is True
