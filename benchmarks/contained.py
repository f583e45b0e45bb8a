"""The bare loop beside an engine: contained processes and nothing else, no record, no queue, no evidence of them."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from interlock.runs.containment.launch import launch
from interlock.runs.containment.spec import Spec

_LONGEST_SECONDS = 60.0


def contained_per_second(folder: Path, command: Sequence[str], runs: int, *, at_once: int) -> float:
    """Return how many processes a second are started under a supervisor, and seen to their end, so many at a time."""

    def one(number: int) -> None:
        place = folder / f"contained-{number}"
        place.mkdir()
        spec = Spec(
            argv=tuple(command),
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(place)},
            cwd=place,
            run_marker=f"bench:{number}",
            writable_paths=(place,),
            private_tmp_bytes=64 * 1024 * 1024,
        )
        with launch(spec) as contained:
            for _ in contained.output():
                pass
            ended = contained.wait(_LONGEST_SECONDS)
        place.rmdir()
        if ended.exit_code != 0:
            raise RuntimeError(f"{command[0]} ended with {ended.exit_code} ({ended.reason})")

    began = time.perf_counter()
    with ThreadPoolExecutor(at_once) as threads:
        list(threads.map(one, range(runs)))
    return runs / (time.perf_counter() - began)
