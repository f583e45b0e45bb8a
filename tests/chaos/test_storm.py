"""A short storm over every part of the product: what fails is mended by itself, and nothing is lost, doubled or left.

A longer one is `make chaos`.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest
from chaos.__main__ import SCENES, Order, storm
from chaos.calls import accidents
from chaos.faults import plan
from chaos.process import clock_jumping, disk_slow
from chaos.wire import Wire
from chaos.workspace import Disk, Workspace, small_disk

from tests.conftest import until

SHORT = Order(seed=180_238, seconds=9, runs=12)


@pytest.mark.proves("fleet-storm", "storm")
@pytest.mark.timeout(400)
def test_after_a_short_storm_everything_is_as_if_there_had_been_none(tmp_path: Path) -> None:
    said: list[str] = []
    outcome = storm(tmp_path, SHORT, said.append)
    assert outcome.problems == [], "\n".join([*said, *outcome.problems])
    assert outcome.faults == len(plan(SHORT.seed, SHORT.seconds, SCENES.values())) > 20, "it did storm"


def test_the_short_storm_has_a_full_disk_a_slow_one_kills_cut_wires_wrong_clocks_and_torn_files() -> None:
    kinds = {f"{each.scene} {each.kind}" for each in plan(SHORT.seed, SHORT.seconds, SCENES.values())}
    assert kinds >= {
        "workspace disk_full",
        "workspace disk_slow",
        "workspace server_killed",
        "runs killed",
        "queue killed",
        "queue clock_jumps",
        "loops reconcile_killed",
        "loops line_torn",
        "alerts sender_killed",
        "evidence exporter_killed",
        "evidence ledger_torn",
    }


def test_the_same_seed_means_the_same_faults_and_every_kind_comes_up() -> None:
    everything = plan(1, 600, SCENES.values())
    assert everything == plan(1, 600, SCENES.values())
    assert everything != plan(2, 600, SCENES.values())
    for name, scene in SCENES.items():
        assert {each.kind for each in everything if each.scene == name} == set(scene.kinds)


def test_a_scene_alone_meets_the_faults_that_it_meets_among_the_others() -> None:
    alone = plan(1, 60, [SCENES["loops"]])
    assert alone == [each for each in plan(1, 60, SCENES.values()) if each.scene == "loops"]


@contextmanager
def limited_disk(folder: Path) -> Generator[Disk]:
    """Give what there is where nobody may mount a disk of its own."""
    folder.mkdir()
    yield Disk(folder, is_small=False)


WRITER = """
import sys
with open(sys.argv[1], "ab", buffering=0) as file:
    for _ in sys.stdin:
        try:
            file.write(b"x" * 100)
            print("written", flush=True)
        except OSError as error:
            print(error.strerror, flush=True)
"""


@pytest.mark.parametrize("disk_of", [small_disk, limited_disk], ids=["the one of this machine", "none can be mounted"])
def test_a_full_disk_takes_nothing_while_it_is_full(
    tmp_path: Path, disk_of: Callable[[Path], AbstractContextManager[Disk]]
) -> None:
    folder = tmp_path / "disk"
    with disk_of(folder) as disk, closing(Workspace(tmp_path, disk)) as workspace:
        words = [sys.executable, "-c", WRITER, str(folder / "file")]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
            workspace.limited.append(lambda: [writer.pid])
            assert wrote(writer) == "written"
            with workspace.disk_full("disk"):
                until(lambda: wrote(writer) in {"No space left on device", "File too large"})
            assert wrote(writer) == "written"
            writer.communicate()


def wrote(writer: subprocess.Popen[str]) -> str:
    """Let it write once; returns what came of it."""
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdin.write("now\n")
    writer.stdin.flush()
    return writer.stdout.readline().strip()


def test_how_to_have_a_storm_again_names_all_that_it_was_made_of() -> None:
    again = Order(seed=7, seconds=30, runs=5, only=("queue", "loops")).again
    assert again == "python -m chaos --seed 7 --seconds 30 --runs 5 --only queue --only loops"


def test_a_closed_wire_waits_for_nobody_any_more() -> None:
    before = set(threading.enumerate())
    wire = Wire.to_port(lambda: 1)
    wire.close()
    assert set(threading.enumerate()) <= before


def test_a_clock_that_is_right_again_leaves_a_slow_disk_slow(tmp_path: Path) -> None:
    with disk_slow(tmp_path / "one", 0.1):
        with clock_jumping(tmp_path / "one"):
            pass
        assert (tmp_path / "one.disk").read_text() == "0.1"


FORESEEN = """Traceback (most recent call last)\\n  File x\\ninterlock.storage.errors.StorageFull: no room"}"""
UNFORESEEN = """Traceback (most recent call last)\\n  File x\\nValueError: 7"}"""


@pytest.mark.parametrize(
    ("line", "times"),
    [
        ("all is well", 0),
        (FORESEEN, 0),
        ("Traceback (most recent call last)\\\\n  File x\\\\nOSError: [Errno 28] No space left on device", 0),
        (f"{UNFORESEEN[:-2]}\\n{FORESEEN}", 0),
        (UNFORESEEN, 1),
        (f"{FORESEEN[:-2]}\\n{UNFORESEEN}", 1),
        ("Traceback (most recent call last):\n  File x\ninterlock.kernel.errors.Failed: on a terminal", 1),
        ("this should not have happened", 1),
    ],
)
def test_an_accident_is_what_ends_in_no_error_of_ours(tmp_path: Path, line: str, times: int) -> None:
    (tmp_path / "log").write_text(f"before\n{line}\nbehind\n")
    assert len(list(accidents([tmp_path / "log"]))) == times
