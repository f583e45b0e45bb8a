"""However a run ends, nothing of its tree is left: neither the obedient nor those that fled as far as they could."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.runs.containment import processes
from interlock.runs.containment.launch import launch
from tests.runs.containment.trees import (
    DEADLINE_SECONDS,
    Orphan,
    children,
    is_root,
    marker,
    python,
    shell,
    wait_for_output,
    wait_until,
    watch,
)

if TYPE_CHECKING:
    from interlock.runs.containment.launch import Contained
    from tests.runs.containment.trees import Mode

STAY = "trap '' TERM; while :; do sleep 0.01; done"


def staying_with(orphan: Orphan, *, mode: Mode) -> Contained:
    """Start an agent that stays, and return when its orphan lives."""
    run = launch(shell(f"{orphan.script}; {STAY}", mode=mode, grace_seconds=0.2))
    try:
        run.wait_started(DEADLINE_SECONDS)
        orphan.wait_until_it_lives()
    except BaseException:
        run.close()
        raise
    return run


def test_the_end_of_the_agent_is_the_end_of_what_it_left_behind(mode: Mode) -> None:
    orphan = Orphan()
    seen = watch(shell(f"{orphan.script}; until grep -qs {orphan.name} /proc/*/cmdline; do :; done; exit 5", mode=mode))

    assert not orphan.lives()
    assert seen.ended.exit_code == 5
    assert seen.ended.killed_leftovers in (1, 2)  # the shell that bore the orphan may still be on its way out


def test_a_polite_stop_ends_also_what_is_deaf_to_it(mode: Mode) -> None:
    orphan = Orphan()
    with staying_with(orphan, mode=mode) as run:
        run.stop()
        run.wait(DEADLINE_SECONDS)

        assert not orphan.lives()


def test_letting_go_of_the_run_ends_its_tree(mode: Mode) -> None:
    orphan = Orphan()
    run = staying_with(orphan, mode=mode)
    run.close()

    assert not orphan.lives()
    assert run.wait(0).reason == "control_closed"


def test_the_sudden_death_of_the_worker_ends_the_tree(mode: Mode) -> None:
    orphan = Orphan()
    wanted = shell(f"{orphan.script}; {STAY}", mode=mode, grace_seconds=60)
    program = f"""
import pathlib, time
from interlock.runs.containment.launch import launch
from interlock.runs.containment.spec import Spec
run = launch(Spec(argv={wanted.argv!r}, env={dict(wanted.env)!r}, cwd=pathlib.Path("/"), namespaces={mode!r},
                  run_marker={wanted.run_marker!r}, grace_seconds=60))
run.wait_started(5)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program]) as worker:
        orphan.wait_until_it_lives()
        worker.send_signal(signal.SIGKILL)

    orphan.wait_until_it_is_gone()
    wait_until(lambda: not processes.marked(wanted.run_marker), "the whole tree is gone")


def test_the_sudden_death_of_the_supervisor_ends_the_tree(mode: Mode) -> None:
    orphan = Orphan()
    with staying_with(orphan, mode=mode) as run:
        os.kill(run.wait_started(DEADLINE_SECONDS).supervisor_pid, signal.SIGKILL)
        ended = run.wait(DEADLINE_SECONDS)

        assert (ended.reason, ended.exit_code, ended.signal, ended.survivors) == ("supervisor_lost", None, None, 0)
        assert not orphan.lives()
        assert not processes.marked(run.marker)


def test_the_sudden_death_of_the_keeper_ends_the_tree(mode: Mode) -> None:
    orphan = Orphan()
    with staying_with(orphan, mode=mode) as run:
        (keeper,) = children(run.wait_started(DEADLINE_SECONDS).supervisor_pid)
        os.kill(keeper, signal.SIGKILL)
        ended = run.wait(DEADLINE_SECONDS)

        assert (ended.reason, ended.exit_code, ended.signal, ended.survivors) == ("supervisor_lost", None, None, 0)
        assert not orphan.lives()
        assert not processes.marked(run.marker)


def test_an_agent_in_namespaces_can_neither_see_nor_hurt_its_keepers() -> None:
    script = "kill -9 1; kill -9 $PPID; ls -d /proc/[0-9]* | wc -l; exit 4"
    seen = watch(shell(script))

    assert int(seen.stdout) <= 4  # the keeper, the shell, ls, wc
    assert (seen.ended.exit_code, seen.ended.reason) == (4, "exited")


def test_an_agent_without_namespaces_that_kills_its_keeper_takes_its_orphans_with_it() -> None:
    orphan = Orphan()
    script = f"{orphan.script}; until grep -qs {orphan.name} /proc/*/cmdline; do :; done; kill -9 $PPID; {STAY}"
    seen = watch(shell(script, mode="never"))

    assert seen.ended.reason == "supervisor_lost"
    assert not orphan.lives()


def test_a_terminated_supervisor_takes_its_tree_with_it(mode: Mode) -> None:
    orphan = Orphan()
    with staying_with(orphan, mode=mode) as run:
        os.kill(run.wait_started(DEADLINE_SECONDS).supervisor_pid, signal.SIGTERM)
        ended = run.wait(DEADLINE_SECONDS)

        assert (ended.reason, ended.signal) == ("control_closed", signal.SIGKILL)
        assert not orphan.lives()


def test_a_rescuer_ends_what_a_dead_worker_left(mode: Mode) -> None:
    orphan = Orphan()
    with staying_with(orphan, mode=mode) as run:
        assert processes.kill_marked(run.marker) == []

        assert not orphan.lives()
        assert not processes.marked(run.marker)


def test_a_rescuer_ends_also_a_tree_whose_supervisor_hangs(mode: Mode) -> None:
    with launch(shell(f"trap '' TERM; echo ready; {STAY}", mode=mode)) as run:
        wait_for_output(run, b"ready")
        os.kill(run.wait_started(DEADLINE_SECONDS).supervisor_pid, signal.SIGSTOP)

        assert processes.kill_marked(run.marker) == []
        assert not processes.marked(run.marker)


def test_processes_that_fork_and_exit_all_the_time_are_caught(mode: Mode) -> None:
    hydra = """
import os, time
for _ in range(4):
    if os.fork() == 0:
        os.setsid()
        while True:
            if os.fork():
                os._exit(0)
print("ready", flush=True)
time.sleep(60)
"""
    with launch(python(hydra, mode=mode)) as run:
        wait_for_output(run, b"ready")
        run.kill()
        ended = run.wait(DEADLINE_SECONDS)

        assert ended.killed_leftovers
        assert not processes.marked(run.marker)


def test_a_tree_of_many_sessions_ends_with_its_run(mode: Mode) -> None:
    bush = """
import os, time
for _ in range(6):
    os.fork()
    os.fork() or os.setsid()
    if os.getpid() % 3: break
print("ready", flush=True)
time.sleep(60)
"""
    with launch(python(bush, mode=mode)) as run:
        wait_for_output(run, b"ready")
        run.kill()
        run.wait(DEADLINE_SECONDS)

        assert not processes.marked(run.marker)


def test_no_more_processes_than_allowed_can_exist_at_a_time() -> None:
    bomb = """
import os, time
count = 0
try:
    while count < 2000:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        count += 1
except BlockingIOError:
    pass
print(count, flush=True)
"""
    seen = watch(python(bomb, max_processes=30))

    assert 29 <= int(seen.stdout) <= (30 + 300 if is_root() else 30)
    assert seen.started.notes == ()
    assert seen.ended.killed_leftovers == int(seen.stdout)


def test_twenty_runs_in_parallel_leave_nothing(mode: Mode) -> None:
    orphans = [Orphan() for _ in range(20)]
    markers = [marker() for _ in orphans]
    codes: dict[int, int | None] = {}

    def one(number: int) -> None:
        script = f"{orphans[number].script}; echo {number}; exit {number}"
        seen = watch(shell(script, mode=mode, run_marker=markers[number]))
        assert seen.stdout == f"{number}\n"
        codes[number] = seen.ended.exit_code

    threads = [threading.Thread(target=one, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert codes == {number: number for number in range(20)}
    assert [name for name in markers if processes.marked(name)] == []
    assert not any(orphan.lives() for orphan in orphans)


def test_the_pipes_of_ended_runs_are_closed_again() -> None:
    watch(shell("exit 0"))
    before = len(list(Path("/proc/self/fd").iterdir()))
    watch(shell("exit 0"))
    watch(shell("exit 0", mode="never"))

    assert len(list(Path("/proc/self/fd").iterdir())) == before
