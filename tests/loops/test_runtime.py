"""The runtime's program: how it is called, and what it can not do to who calls it."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from interlock.loops.places import LoopPlaces
from interlock.loops.runtime import Done, Runtime

Write = Callable[..., Runtime]


@pytest.fixture
def places(tmp_path: Path) -> LoopPlaces:
    repo = tmp_path / "re po"
    (repo / ".superloop").mkdir(parents=True)
    return LoopPlaces.of(str(repo), "demo")


@pytest.fixture
def program(tmp_path: Path) -> Write:
    def write(script: str, *, first: str = "#!/bin/sh\n", seconds: float = 20, **more: str) -> Runtime:
        file = tmp_path / "superloop"
        file.write_text(first + script)
        file.chmod(0o755)
        return Runtime(str(file), {**os.environ, "OUT": str(tmp_path / "out"), **more}, seconds)

    return write


def alive(file: Path) -> bool:
    """Say whether the process that a file names lives; a zombie does not."""
    try:
        return Path(f"/proc/{int(file.read_text())}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return False


# --- what it is given -------------------------------------------------------------------------------------------------

PRINT = 'for each in "$@"; do printf "%s\\n" "$each"; done\n'


@pytest.mark.parametrize(
    ("intent", "note", "words"),
    [
        ("cancel", "n", ["cancel", "--repo", "{repo}", "--loop", "demo"]),
        ("approve", None, ["approve", "--repo", "{repo}", "--loop", "demo", "--by", "ada"]),
        ("approve", "a b", ["approve", "--repo", "{repo}", "--loop", "demo", "--by", "ada", "--note", "a b"]),
        (
            "reject",
            "--x",
            ["approve", "--repo", "{repo}", "--loop", "demo", "--by", "ada", "--note", "--x", "--reject"],
        ),
    ],
)
def test_it_is_called_with_the_words_of_the_contract_and_no_shell(
    places: LoopPlaces, program: Write, intent: str, note: str | None, words: list[str]
) -> None:
    done = program(PRINT).carry_out(places, intent, "ada", note)
    assert done.exit_code == 0
    assert (done.output or "").split("\n") == [each.format(repo=places.repo) for each in words]
    assert shlex.split(done.command)[1:] == [each.format(repo=places.repo) for each in words]


def test_what_a_shell_would_obey_is_only_text(places: LoopPlaces, program: Write, tmp_path: Path) -> None:
    done = program(PRINT).carry_out(places, "approve", f"$(touch {tmp_path}/a)", f"'; touch {tmp_path}/b; `id`")
    assert done.exit_code == 0
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()


def test_it_gets_no_token_of_ours_no_input_and_no_terminal(places: LoopPlaces, program: Write) -> None:
    runtime = program(
        'echo "t=$ORCH_TOKEN s=$OPS_MANAGER_SERVICE_TOKEN m=$MINE in=$(cat)"\n',
        ORCH_TOKEN="x" * 20,
        OPS_MANAGER_SERVICE_TOKEN="y" * 20,
        MINE="kept",
    )
    assert runtime.carry_out(places, "approve", "ada", None).output == "t= s= m=kept in="


def test_a_script_that_does_not_say_whose_it_is_is_the_shell_s(places: LoopPlaces, program: Write) -> None:
    assert program('echo "$1"\n', first="").carry_out(places, "approve", "ada", None)[1:] == (0, "approve")


def test_the_environment_names_the_program_and_else_the_root_has_it() -> None:
    assert Runtime.of("/root", {"SUPERLOOP_BIN": "/bin/x"}).binary == "/bin/x"
    assert Runtime.of("/root", {"SUPERLOOP_BIN": ""}).binary == "/root/superloop.sh"


# --- what comes back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "code", "output"),
    [
        ("exit 0", 0, None),
        ("echo out; echo err >&2; exit 7", 7, "out\nerr"),
        ("kill -9 $$", 137, None),
        ("echo last words; kill -TERM $$", 143, "last words"),
        ("exec >&- 2>&-; exit 3", 3, None),
    ],
)
def test_how_it_ended_is_told_as_a_shell_would(
    places: LoopPlaces, program: Write, script: str, code: int, output: str | None
) -> None:
    assert program(script).carry_out(places, "approve", "ada", None)[1:] == (code, output)


def test_a_program_that_is_not_there_is_named(places: LoopPlaces, tmp_path: Path) -> None:
    done = Runtime(str(tmp_path / "gone"), dict(os.environ)).carry_out(places, "cancel", "ada", None)
    assert done.exit_code == 127
    assert done.output == f"{tmp_path}/gone is not there; SUPERLOOP_BIN names the runtime's program"


def test_a_program_that_may_not_be_called_is_named(places: LoopPlaces, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    for path, why in ((tmp_path / "plain", "Permission denied"), (tmp_path, "Permission denied")):
        done = Runtime(str(path), dict(os.environ)).carry_out(places, "cancel", "ada", None)
        assert (done.exit_code, done.output) == (126, f"{path} can not be called: {why}")


def test_only_the_last_forty_lines_are_kept(places: LoopPlaces, program: Write) -> None:
    done = program("i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); done").carry_out(
        places, "cancel", "a", None
    )
    assert (done.output or "").split("\n") == [f"line {i}" for i in range(60, 100)]


def test_a_hundred_megabytes_are_read_and_not_kept(places: LoopPlaces, program: Write) -> None:
    script = f'exec {sys.executable} -c \'for _ in range(100): print("x" * 2**20, end="")\nprint()\nprint(9)\''
    done = program(script).carry_out(places, "cancel", "ada", None)
    assert done.exit_code == 0
    assert (done.output or "").endswith("x\n9")
    assert len(done.output or "") <= 16 * 1024


def test_bytes_that_are_no_text_and_secrets_do_not_get_into_records(places: LoopPlaces, program: Write) -> None:
    done = program("printf 'a\\377b\\n'; echo 'password=hunter2hunter2'").carry_out(places, "approve", "ada", None)
    assert done.output == "a\ufffdb\npassword=[REDACTED:password]"
    noted = program("exit 0").carry_out(places, "approve", "ada", "password=hunter2hunter2")
    assert "hunter2" not in noted.command


# --- what it can not do -----------------------------------------------------------------------------------------------


def test_one_that_hangs_is_ended_with_all_that_it_started(places: LoopPlaces, program: Write, tmp_path: Path) -> None:
    script = """
    echo begun
    sh -c 'echo $$ >"$OUT.a"; exec sleep 300' &
    setsid sh -c 'echo $$ >"$OUT.b"; exec sleep 300' &
    trap '' TERM
    while [ ! -s "$OUT.a" ] || [ ! -s "$OUT.b" ]; do sleep 0.05; done
    while :; do sleep 300; done
    """
    began = time.monotonic()
    done = program(script, seconds=1.5).carry_out(places, "cancel", "ada", None)
    assert time.monotonic() - began < 10
    assert done[1:] == (124, "begun\nended after 1.5 seconds, with all it started")
    assert not alive(tmp_path / "out.a")
    assert not alive(tmp_path / "out.b")


def test_one_that_has_closed_its_output_has_its_time_all_the_same(places: LoopPlaces, program: Write) -> None:
    done = program("exec >&- 2>&-; exec sleep 300", seconds=0.5).carry_out(places, "cancel", "ada", None)
    assert done.exit_code == 124


def test_one_that_prints_without_end_is_ended(places: LoopPlaces, program: Write) -> None:
    done = program("exec yes", seconds=0.5).carry_out(places, "cancel", "ada", None)
    assert done.exit_code == 124


@pytest.mark.parametrize("left", ["sleep 300 &", "yes &", "setsid sleep 300 &"])
def test_who_is_left_behind_holding_the_output_is_not_waited_for_and_lives_on(
    places: LoopPlaces, program: Write, tmp_path: Path, left: str
) -> None:
    began = time.monotonic()
    done = program(f'{left}\necho $! >"$OUT"\necho done\nexit 4\n').carry_out(places, "approve", "ada", None)
    assert time.monotonic() - began < 5
    assert done.exit_code == 4
    if "yes" not in left:
        assert done.output == "done"
        assert alive(tmp_path / "out")
        os.kill(int((tmp_path / "out").read_text()), signal.SIGKILL)


def test_who_interrupts_a_call_ends_the_program_too(places: LoopPlaces, program: Write, tmp_path: Path) -> None:
    runtime = program('echo $$ >"$OUT"; exec sleep 300')
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started us may have it ignored

    def interrupt() -> None:
        while not alive(tmp_path / "out"):
            time.sleep(0.02)
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=interrupt).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            runtime.carry_out(places, "cancel", "ada", None)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not alive(tmp_path / "out")


# --- cancelling only the loop that is meant ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "run", "other"),
    [
        (None, None, None),
        ('{"active":true,"current_loop_id":"demo"}', '{"loop_id":"demo"}', None),
        ('{"active":true,"current_loop_id":"demo"}', '{"loop_id":null,"stage":"run_start"}', None),
        ('{"active":false,"current_loop_id":"other"}', '{"loop_id":"demo"}', None),
        ("{}", "{}", None),
        ('{"active":true,"current_loop_id":"other"}', None, "other"),
        ('{"active":true,"current_loop_id":"other"}', '{"loop_id":"demo"}', "other"),
        ('{"active":true,"current_loop_id":"demo"}', '{"loop_id":"other"}', "other"),
        ('{"active":false,"current_loop_id":"other"}', None, "other"),
        (None, '{"loop_id":"other"}', "other"),
    ],
)
def test_a_cancel_never_ends_another_loop_s_run(
    places: LoopPlaces, program: Write, state: str | None, run: str | None, other: str | None
) -> None:
    for path, text in ((places.runtime_state, state), (places.active_run, run)):
        if text is not None:
            Path(path).write_text(text)
    done: Done = program("echo ran").carry_out(places, "cancel", "ada", None)
    if other is None:
        assert done[1:] == (0, "ran")
    else:
        assert done[1:] == (1, "nothing was cancelled: the active loop is other, not demo")


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_where_it_can_not_be_told_which_loop_is_active_nothing_is_cancelled(
    places: LoopPlaces, program: Write, text: str
) -> None:
    Path(places.runtime_state).write_text(text)
    done = program("echo ran").carry_out(places, "cancel", "ada", None)
    assert done.exit_code == 1
    assert "can not be told: invalid JSON" in (done.output or "")
    assert program("echo ran").carry_out(places, "approve", "ada", None).output == "ran"
