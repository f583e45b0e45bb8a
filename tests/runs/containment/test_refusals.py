"""An agent that can't be started as asked is not started at all, and the reason has a code. In both modes."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from interlock.runs.containment import processes
from interlock.runs.containment.errors import (
    AgentCommandNotExecutable,
    AgentCommandNotFound,
    CwdMissing,
    NamespacesUnavailable,
    PathMissing,
    SpecInvalid,
    StdinFileMissing,
    StoppedBeforeStart,
    SupervisorFailed,
)
from interlock.runs.containment.launch import launch
from interlock.runs.containment.spec import Overlay, Spec
from tests.runs.containment.trees import DEADLINE_SECONDS, TMP, shell, spec

if TYPE_CHECKING:
    from interlock.kernel.errors import InterlockError
    from tests.runs.containment.trees import Mode, Wanted

NOWHERE = Path("/nowhere/at/all")


def refused(wanted: Spec, kind: type[InterlockError]) -> str:
    """Return the sentence with which this specification is refused, at every question, leaving nothing."""
    with launch(wanted) as run:
        with pytest.raises(kind) as at_start:
            run.wait_started(DEADLINE_SECONDS)
        with pytest.raises(kind):
            run.wait(DEADLINE_SECONDS)
        assert list(run.output()) == []
    assert not processes.marked(wanted.run_marker)
    assert at_start.value.code == kind.code
    return at_start.value.message


@pytest.mark.parametrize("command", ["no-such-agent", "/no/such/agent", "./no-such-agent", "/etc/hostname/agent"])
def test_a_command_that_does_not_exist_is_refused(mode: Mode, command: str) -> None:
    assert command in refused(spec(command, mode=mode), AgentCommandNotFound)


def test_a_file_without_the_right_to_run_is_refused(mode: Mode, tmp_path: Path) -> None:
    (tmp_path / "agent").write_text("#!/bin/sh\n")

    refused(spec(str(tmp_path / "agent"), mode=mode), AgentCommandNotExecutable)
    refused(spec("agent", mode=mode, env={"PATH": f"{tmp_path}:/bin"}), AgentCommandNotExecutable)


def test_a_file_that_is_no_program_is_refused(mode: Mode, tmp_path: Path) -> None:
    (tmp_path / "agent").write_text("just text")
    (tmp_path / "agent").chmod(0o755)

    refused(spec(str(tmp_path / "agent"), mode=mode), AgentCommandNotExecutable)
    refused(spec(str(tmp_path), mode=mode), AgentCommandNotExecutable)


def test_a_missing_working_folder_is_refused(mode: Mode, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert str(NOWHERE) in refused(shell("exit 0", mode=mode, cwd=NOWHERE), CwdMissing)
    refused(shell("exit 0", mode=mode, cwd=tmp_path / "file"), CwdMissing)


def test_a_working_folder_that_the_agent_may_not_see_is_refused(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()

    refused(shell("exit 0", cwd=tmp_path / "inner", hidden_paths=(tmp_path,)), CwdMissing)


def test_a_missing_prompt_is_refused(mode: Mode) -> None:
    refused(shell("exit 0", mode=mode, stdin_file=NOWHERE), StdinFileMissing)


@pytest.mark.parametrize(
    "paths",
    [
        {"writable_paths": (NOWHERE,)},
        {"readonly_paths": (NOWHERE,)},
        {"overlay_paths": (Overlay(lower=NOWHERE, upper=TMP, work=TMP),)},
        {"overlay_paths": (Overlay(lower=TMP, upper=NOWHERE, work=TMP),)},
    ],
)
def test_a_missing_path_is_refused_because_the_agent_relies_on_it(paths: Wanted) -> None:
    assert str(NOWHERE) in refused(shell("exit 0", **paths), PathMissing)


def test_without_namespaces_a_run_that_must_not_reach_the_network_is_refused() -> None:
    refused(shell("exit 0", mode="never", network=False), NamespacesUnavailable)


def test_stopping_before_the_agent_has_started_means_that_it_never_starts(mode: Mode, tmp_path: Path) -> None:
    wanted = shell(f"touch {tmp_path}/trace", mode=mode, writable_paths=(tmp_path,))
    with launch(wanted) as run:
        run.stop()
        with pytest.raises(StoppedBeforeStart):
            run.wait_started(DEADLINE_SECONDS)

    assert not (tmp_path / "trace").exists()


def test_stopping_at_any_moment_either_prevents_the_start_or_is_told_as_start_and_end(
    mode: Mode, tmp_path: Path
) -> None:
    for moment in range(25):
        trace = tmp_path / str(moment)
        with launch(shell(f"touch {trace}; exec sleep 60", mode=mode, writable_paths=(tmp_path,))) as run:
            time.sleep(moment / 1000)
            run.kill()
            try:
                ended = run.wait(DEADLINE_SECONDS)
            except StoppedBeforeStart:
                assert not trace.exists()
            else:
                assert ended.reason == "stopped"
                run.wait_started(0)  # raises, were the start not told
        assert not processes.marked(run.marker)


def test_a_supervisor_that_can_not_be_started_is_an_error_and_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(NOWHERE))

    with pytest.raises(SupervisorFailed):
        launch(shell("exit 0"))


def test_a_supervisor_that_dies_at_once_is_an_error_and_not_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")

    refused(shell("exit 0"), SupervisorFailed)


@pytest.mark.parametrize(
    "wrong",
    [
        {"argv": ()},
        {"argv": ("",)},
        {"argv": ("a\0b",)},
        {"run_marker": ""},
        {"run_marker": "two words"},
        {"run_marker": "one\nother"},
        {"env": {"A=B": ""}},
        {"env": {"": ""}},
        {"env": {"A": "\0"}},
        {"cwd": Path("here")},
        {"hidden_paths": (Path("/"),)},
        {"writable_paths": (Path("/"),)},
        {"writable_paths": (Path("there"),)},
        {"wall_clock_seconds": 0},
        {"grace_seconds": -1},
        {"grace_seconds": float("nan")},
        {"max_file_bytes": -1},
        {"private_tmp_bytes": 0},
    ],
)
def test_a_malformed_specification_is_refused_when_it_is_made(wrong: dict[str, Any]) -> None:
    good = shell("exit 0")

    with pytest.raises(SpecInvalid):
        replace(good, **wrong)
