"""What an agent is given, what comes back of it, and how its end is told. In both modes."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from interlock.runs.containment import processes
from interlock.runs.containment.errors import TookTooLong
from interlock.runs.containment.launch import launch
from tests.runs.containment.trees import (
    DEADLINE_SECONDS,
    children,
    is_root,
    python,
    shell,
    spec,
    wait_for_output,
    watch,
)

if TYPE_CHECKING:
    from tests.runs.containment.trees import Mode


def test_both_streams_arrive_and_the_exit_code_is_reported(mode: Mode) -> None:
    seen = watch(shell("echo to the one; echo to the other >&2; exit 7", mode=mode))

    assert (seen.stdout, seen.stderr) == ("to the one\n", "to the other\n")
    assert (seen.ended.exit_code, seen.ended.signal, seen.ended.reason) == (7, None, "exited")
    assert seen.ended.killed_leftovers == seen.ended.survivors == 0


def test_output_larger_than_a_pipe_arrives_whole(mode: Mode) -> None:
    seen = watch(python("print('x' * 1_000_000)", mode=mode))

    assert seen.stdout == "x" * 1_000_000 + "\n"


def test_the_signal_that_ended_the_agent_is_reported(mode: Mode) -> None:
    seen = watch(shell("kill -USR1 $$", mode=mode))

    assert (seen.ended.exit_code, seen.ended.signal, seen.ended.reason) == (None, signal.SIGUSR1, "exited")


def test_the_agent_reads_its_prompt_from_stdin_and_then_end_of_file(mode: Mode, tmp_path: Path) -> None:
    prompt = tmp_path / "prompt.md"
    prompt.write_text("Make it so.\n")

    seen = watch(shell("cat", mode=mode, stdin_file=prompt, hidden_paths=(tmp_path,)))

    assert seen.stdout == "Make it so.\n"


def test_the_agent_is_named_as_the_worker_sees_it(mode: Mode) -> None:
    with launch(shell("read line < /dev/zero", mode=mode)) as run:
        started = run.wait_started(DEADLINE_SECONDS)

        assert b"read line" in Path(f"/proc/{started.pid}/cmdline").read_bytes()
        assert processes.is_alive(started.pid, started.start_time, started.boot_id)
        assert started.supervisor_pid == os.getsid(started.supervisor_pid)
        assert started.supervisor_pid in children(os.getpid())
        assert started.containment == {"require": "namespaces", "never": "best_effort"}[mode]
        run.kill()
        run.wait(DEADLINE_SECONDS)
        assert not processes.is_alive(started.pid, started.start_time, started.boot_id)


def test_the_environment_is_exactly_what_was_given_and_the_marker(mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCH_TOKEN", "a secret of the worker")
    given = {"PATH": "/usr/bin:/bin", "EMPTY": "", "ODD": "a=b\nc\udcff"}
    wanted = spec("cat", "/proc/self/environ", mode=mode, env=given)

    seen = watch(wanted)

    expected = {**given, "INTERLOCK_RUN": wanted.run_marker}
    assert sorted(seen.stdout.split("\0")[:-1]) == sorted(f"{name}={value}" for name, value in expected.items())


def test_the_agent_has_no_file_open_but_its_three_streams(mode: Mode) -> None:
    with tempfile.TemporaryFile() as canary:
        os.set_inheritable(canary.fileno(), True)  # noqa: FBT003 - positional only

        seen = watch(python("import os; print(sorted(map(int, os.listdir('/proc/self/fd')))[:-1])", mode=mode))

    assert seen.stdout == "[0, 1, 2]\n"


def test_supervisor_and_keeper_hold_no_file_of_the_worker(mode: Mode, tmp_path: Path) -> None:
    with (tmp_path / "canary").open("w") as canary:
        os.set_inheritable(canary.fileno(), True)  # noqa: FBT003 - positional only
        with launch(shell("echo ready; read line < /dev/zero", mode=mode)) as run:
            wait_for_output(run, b"ready")
            supervisor = run.wait_started(DEADLINE_SECONDS).supervisor_pid
            held = {
                os.readlink(entry)  # noqa: PTH115 - `Path` would take the pipe's name for a path
                for pid in (supervisor, *children(supervisor))
                for entry in Path(f"/proc/{pid}/fd").iterdir()
            }

    assert {name.partition(":")[0] for name in held} == {"pipe", "/dev/null"}


def test_the_agent_starts_with_plain_signals_a_plain_umask_and_its_own_session(mode: Mode) -> None:
    program = (
        "import os; status = dict(line.split(':', 1) for line in open('/proc/self/status'));"
        "print(int(status['SigBlk'], 16), os.umask(0), os.getsid(0) == os.getpid(), status['NoNewPrivs'].strip())"
    )
    seen = watch(python(program, mode=mode))
    ignored = watch(shell("grep SigIgn /proc/self/status", mode=mode))

    assert seen.stdout == f"0 {0o022} True 1\n"
    the_c_library_s_own = 0b11 << 31  # 32 and 33: ignored by whatever was started with posix_spawn, as make starts us
    assert int(ignored.stdout.split()[1], 16) & ~the_c_library_s_own == 0


def test_the_agent_has_no_capability_and_can_get_none(mode: Mode) -> None:
    seen = watch(shell("grep ^Cap /proc/self/status", mode=mode))

    held = dict(line.split(":\t") for line in seen.stdout.splitlines())
    may_keep_its_bound = mode == "never" and not is_root()  # it can't be lowered there, and gives nothing: NoNewPrivs
    wanted = ["CapInh", "CapPrm", "CapEff", "CapAmb", *([] if may_keep_its_bound else ["CapBnd"])]
    assert {name: held[name] for name in wanted} == dict.fromkeys(wanted, "0" * 16)


def test_a_polite_stop_lets_the_agent_finish_in_its_own_way(mode: Mode) -> None:
    with launch(shell("trap 'echo saved; exit 3' TERM; echo ready; while :; do sleep 0.01; done", mode=mode)) as run:
        wait_for_output(run, b"ready")
        run.stop()
        ended = run.wait(DEADLINE_SECONDS)

        assert b"saved\n" in b"".join(data for _, data in run.output())
    assert (ended.exit_code, ended.reason) == (3, "stopped")


def test_an_agent_that_ignores_the_polite_stop_is_killed_after_the_grace_period(mode: Mode) -> None:
    deaf = shell("trap '' TERM; echo ready; while :; do sleep 0.01; done", mode=mode, grace_seconds=0.3)
    with launch(deaf) as run:
        wait_for_output(run, b"ready")
        run.stop()
        ended = run.wait(DEADLINE_SECONDS)

    assert (ended.exit_code, ended.signal, ended.reason) == (None, signal.SIGKILL, "stopped")
    assert ended.duration_ms >= 300


def test_everything_in_the_tree_hears_the_polite_stop_not_only_the_agent(mode: Mode, tmp_path: Path) -> None:
    child = f"trap 'echo heard > {tmp_path}/child; exit' TERM; echo ready; while :; do sleep 0.01; done"
    script = f"trap 'while [ ! -s {tmp_path}/child ]; do sleep 0.01; done; exit 0' TERM; setsid -f sh -c \"{child}\"; "
    script += "while :; do sleep 0.01; done"
    with launch(shell(script, mode=mode, writable_paths=(tmp_path,))) as run:
        wait_for_output(run, b"ready")
        run.stop()
        ended = run.wait(DEADLINE_SECONDS)

    assert (ended.exit_code, (tmp_path / "child").read_text()) == (0, "heard\n")


def test_the_wall_clock_stops_an_agent_that_takes_too_long(mode: Mode) -> None:
    seen = watch(shell("sleep 60", mode=mode, wall_clock_seconds=0.2))

    assert (seen.ended.signal, seen.ended.reason) == (signal.SIGTERM, "wall_clock")
    assert 200 <= seen.ended.duration_ms < 2000


def test_no_file_grows_beyond_the_limit(mode: Mode, tmp_path: Path) -> None:
    wanted = shell(
        "head -c 100000 /dev/zero > big", mode=mode, cwd=tmp_path, writable_paths=(tmp_path,), max_file_bytes=5000
    )
    seen = watch(wanted)

    assert (tmp_path / "big").stat().st_size == 5000
    assert seen.ended.exit_code == 128 + signal.SIGXFSZ


def test_killing_is_possible_from_another_thread_while_the_output_is_being_read(mode: Mode) -> None:
    with launch(shell("while :; do echo again; done", mode=mode, grace_seconds=60)) as run:
        run.wait_started(DEADLINE_SECONDS)
        killer = threading.Timer(0.05, run.kill)
        killer.start()
        lines = sum(data.count(b"again") for _, data in run.output())
        ended = run.wait(DEADLINE_SECONDS)
        killer.join()

    assert lines > 0
    assert (ended.signal, ended.reason) == (signal.SIGKILL, "stopped")


def test_closing_ends_the_reading_of_another_thread(mode: Mode) -> None:
    with launch(shell("sleep 60", mode=mode)) as run:
        reader = threading.Thread(target=lambda: list(run.output()))
        reader.start()
        run.close()
        reader.join(DEADLINE_SECONDS)

        assert not reader.is_alive()


def test_waiting_too_long_is_an_error_that_ends_nothing(mode: Mode) -> None:
    with launch(shell("read line < /dev/zero", mode=mode)) as run:
        started = run.wait_started(DEADLINE_SECONDS)
        with pytest.raises(TookTooLong):
            run.wait(0.01)

        assert processes.is_alive(started.pid, started.start_time, started.boot_id)


def test_stopping_killing_and_closing_an_agent_that_has_ended_is_no_error(mode: Mode) -> None:
    with launch(shell("exit 0", mode=mode)) as run:
        run.wait(DEADLINE_SECONDS)
        run.stop()
        run.kill()
        run.close()
        run.stop()
        run.kill()

    assert run.wait(0).exit_code == 0


def test_what_the_worker_does_with_signals_does_not_deafen_its_supervisors(mode: Mode) -> None:
    own = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        run = launch(shell("exit 6", mode=mode))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        signal.signal(signal.SIGCHLD, own)
    with run:
        assert run.wait(DEADLINE_SECONDS).exit_code == 6
