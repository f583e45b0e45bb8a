"""Which process is meant, whether it lives, and whether this one is part of a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from interlock.runs.containment import processes
from tests.runs.containment.trees import PYTHON, marker, python, spec, wait_until, watch

if TYPE_CHECKING:
    from tests.runs.containment.trees import Mode

SOURCE = str(Path(processes.__file__).parents[3])
ASK = f"""
import sys
sys.path.insert(0, {SOURCE!r})
from interlock.runs.containment import processes
print(processes.inside_run())
"""


def test_a_process_is_alive_only_as_itself() -> None:
    me, boot = os.getpid(), processes.boot_id()
    start = processes.start_time_of(me)

    assert start is not None
    assert processes.is_alive(me, start, boot)
    assert not processes.is_alive(me, start + 1, boot)
    assert not processes.is_alive(me, start, "another boot")


def test_a_process_that_waits_to_be_reaped_is_dead() -> None:
    with subprocess.Popen(["true"]) as child:
        wait_until(lambda: Path(f"/proc/{child.pid}/stat").read_text().split()[2] == "Z", "it is a zombie")

        assert processes.start_time_of(child.pid) is None


def test_a_process_that_never_was_is_dead_and_no_error() -> None:
    assert processes.start_time_of(2**22 + 1) is None
    processes.send(2**22 + 1, 15)


def test_a_process_with_a_bewildering_name_is_read_correctly(tmp_path: Path) -> None:
    odd = tmp_path / "a) S 1 (b"
    odd.symlink_to("/bin/sleep")
    with subprocess.Popen([str(odd), "60"]) as child:
        try:
            wait_until(lambda: b"a) S 1" in Path(f"/proc/{child.pid}/comm").read_bytes(), "it has its name")
            assert child.pid in processes.descendants(os.getpid())
            assert processes.is_alive(child.pid, processes.start_time_of(child.pid) or 0, processes.boot_id())
        finally:
            child.kill()


def test_marked_processes_are_found_by_their_whole_marker() -> None:
    name = marker()
    environment = {"INTERLOCK_RUN": name, "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(["sleep", "60"], env=environment) as child:
        wait_until(lambda: processes.marked(name) == [child.pid], "it is found")

        assert processes.marked(name[:-1]) == []
        assert processes.kill_marked(name) == []
        assert child.wait(5) == -9


def test_the_sweep_never_kills_the_one_who_sweeps() -> None:
    name = marker()
    program = f"{ASK}print(processes.kill_marked({name!r}))"
    seen = subprocess.run(
        [sys.executable, "-c", program], env={"INTERLOCK_RUN": name}, capture_output=True, text=True, check=True
    )

    assert seen.stdout.splitlines() == [name, "[]"]


def test_outside_of_a_run_nobody_is_inside() -> None:
    if f"{processes.MARKER_VARIABLE}=".encode() in Path("/proc/self/environ").read_bytes():
        pytest.skip("these tests are being run by an agent of Interlock")

    assert processes.inside_run() is None


@pytest.mark.parametrize("hideout", [(), ("env", "-i"), ("setsid", "-w", "env", "-i")], ids=["none", "env", "setsid"])
def test_an_agent_is_inside_its_run_even_if_it_sheds_its_environment(mode: Mode, hideout: tuple[str, ...]) -> None:
    wanted = spec(*hideout, *PYTHON, ASK, mode=mode)

    assert watch(wanted).stdout.strip() == wanted.run_marker


def test_an_orphan_is_still_inside_its_run(mode: Mode) -> None:
    orphan = """
import os, sys
ended, held = os.pipe()
os.set_inheritable(held, True)
if os.fork():
    os.close(held)
    sys.exit(os.read(ended, 1))  # the agent stays until nobody holds the pipe any more
os.setsid()
parent = os.getpid()
if os.fork():
    os._exit(0)
while os.getppid() == parent: pass
os.execve(sys.argv[1], [sys.argv[1], "-I", "-S", "-c", sys.argv[2]], {})
"""
    wanted = python(orphan, PYTHON[0], ASK, mode=mode)

    assert watch(wanted).stdout.strip() == wanted.run_marker
