"""Units and container file name only what is there: commands, options, files, targets. No engine builds it here."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock.runs.options import RunOptions
from tests.cli.door import PROGRAM, commands
from tests.packaging.conftest import ROOT

UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
CONTAINER = (ROOT / "deploy" / "Containerfile").read_text()
HINDERS_CONTAINMENT = {
    *("RestrictNamespaces", "SystemCallFilter", "PrivateUsers", "PrivateDevices", "MemoryDenyWriteExecute"),
    *("ProtectKernelTunables", "ProtectKernelLogs", "ProtectProc", "ProcSubset", "NoExecPaths", "ProtectControlGroups"),
}


def settings(unit: Path) -> dict[str, list[str]]:
    """Read a unit: what each key is set to, in order."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def checked(words: list[str]) -> None:
    """Assert that the program takes such a line."""
    command, options = commands()[words[0],], [word for word in words[1:] if word.startswith("--")]
    assert set(options) <= {opt for each in command.params for opt in each.opts}, words


def test_there_is_a_unit_for_each_process_that_goes_on() -> None:
    assert [unit.name for unit in UNITS] == [
        "interlock-scheduler.service",
        "interlock-server.service",
        "interlock-worker@.service",
    ]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_starts_what_the_program_takes(unit: Path) -> None:
    told = settings(unit)
    [line] = told["ExecStart"]
    program, *words = shlex.split(line)
    assert program == "/opt/interlock/bin/interlock"
    checked(words)
    assert told["User"] == ["interlock"]
    assert told["NoNewPrivileges"] == ["yes"]
    assert told["UMask"] == ["0077"]
    assert told["Environment"] == ["INTERLOCK_WORKSPACE=/var/lib/interlock/workspace"]
    assert told["StateDirectory"] == ["interlock"]
    assert not re.search(r"(?i)(password|token|secret|key)\s*=", unit.read_text())


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_nothing_wrong_with_a_unit(unit: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.fail("there is no systemd-analyze: apt-get install systemd")
    # It asks whether the program is there, which nobody has installed at its place on this machine.
    text = unit.read_text().replace("/opt/interlock/bin/interlock", str(PROGRAM))
    name = unit.name.replace("@", "@1")
    (tmp_path / name).write_text(text)
    done = subprocess.run(
        [analyze, "verify", "--man=no", tmp_path / name], capture_output=True, text=True, check=False, timeout=30
    )
    ours = [line for line in done.stderr.splitlines() if name in line]
    assert (done.returncode, ours) == (0, []), done.stderr


@pytest.mark.parametrize("name", ["server", "worker@"])
def test_who_works_can_hold_its_agents_and_gives_its_runs_back(name: str) -> None:
    told = settings(ROOT / "deploy" / "systemd" / f"interlock-{name}.service")
    assert not told.keys() & HINDERS_CONTAINMENT
    assert told["KillMode"] == ["mixed"], "SIGTERM is for the worker, which ends its agents itself"
    assert int(told["TimeoutStopSec"][0]) > 3 * RunOptions().grace_seconds
    assert told["OOMPolicy"] == ["continue"]


def instructions() -> Iterator[tuple[str, str]]:
    """Yield the container file's instructions with what stands behind them, continued lines joined."""
    text = re.sub(r"\\\n\s*", " ", re.sub(r"(?m)^#.*\n", "", CONTAINER))
    for line in filter(None, text.splitlines()):
        name, _, rest = line.partition(" ")
        yield name, rest.strip()


def test_everything_that_the_container_copies_is_there_and_enough_to_build() -> None:
    copied: set[str] = set()
    for name, rest in instructions():
        if name == "COPY":
            copied |= set(rest.split()[:-1])
    assert [each for each in copied if not (ROOT / each).exists()] == []
    ready = re.search(r"^\$\(READY\): (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert ready
    needed = {*ready[1].split(), "Makefile", "hatch_build.py", "src", "ui", "deploy", "docs", "README.md", "LICENSE"}
    assert needed <= copied
    ignored = (ROOT / "deploy" / "Containerfile.containerignore").read_text().split()
    assert not copied & set(ignored)


def test_the_container_runs_commands_that_there_are_as_nobody_special() -> None:
    lines = list(instructions())
    names = [name for name, _ in lines]
    known = {"FROM", "RUN", "WORKDIR", "COPY", "ARG", "USER", "VOLUME", "ENV", "EXPOSE", "HEALTHCHECK"}
    assert set(names) <= {*known, "ENTRYPOINT", "CMD"}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {word for _, rest in lines for word in re.findall(r"\bmake ([a-z-]+)(?= |$)", rest)} - targets <= {"git"}
    last = dict(lines[names.index("FROM", 1) :])
    assert last["USER"] not in {"root", "0"}
    assert json.loads(last["ENTRYPOINT"]) == ["interlock"]
    checked(json.loads(last["CMD"]))
    assert last["ENV"] == f"INTERLOCK_WORKSPACE={last['VOLUME']}"
    assert not re.search(r"(?i)(password|token|secret)\s*=", CONTAINER)


def test_the_container_s_health_is_asked_where_the_server_answers() -> None:
    asked = next(rest for name, rest in instructions() if name == "HEALTHCHECK")
    words = json.loads(asked[asked.index("[") :])
    assert words[0] == "python"
    compile(words[2], "healthcheck", "exec")
    assert "/health" in words[2]
    assert ":9325/" in words[2]
    assert next(rest for name, rest in instructions() if name == "EXPOSE") == "9325"
