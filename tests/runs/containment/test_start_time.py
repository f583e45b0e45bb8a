"""A start costs little."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from interlock.runs.containment.launch import launch
from tests.runs.containment.trees import DEADLINE_SECONDS, TMP, spec

if TYPE_CHECKING:
    from pathlib import Path


def test_from_spawn_to_exec_takes_less_than_a_blink(tmp_path: Path) -> None:
    taken: list[float] = []
    for _ in range(15):
        begun = time.perf_counter()
        with launch(
            spec(
                "/bin/true",
                hidden_paths=(tmp_path,),
                writable_paths=(TMP,),
                private_tmp_bytes=1_000_000,
            )
        ) as run:
            run.wait_started(DEADLINE_SECONDS)
            taken.append((time.perf_counter() - begun) * 1000)

    assert statistics.median(taken) < 60 * 3, taken  # aim: 60 ms; three times that on a machine busy with other tests
