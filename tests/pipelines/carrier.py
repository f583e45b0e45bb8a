"""A process that carries a run out, for tests that kill it: WORKSPACE PIPELINE [run|resume] [where it ends itself]."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from interlock.app import Interlock


def main(root: str, pipeline_id: str, verb: str, last: str = "") -> None:
    house = Interlock.at(Path(root))

    def probe(where: str) -> None:
        if where == last:
            os.kill(os.getpid(), signal.SIGKILL)

    runner = replace(house.delivery.runner(lambda line: print(line, flush=True)), probe=probe)  # noqa: T201 - is read
    done = runner.run(pipeline_id) if verb == "run" else runner.resume(pipeline_id)
    house.close()
    sys.exit(0 if done.status.value == "Success" else 1)


if __name__ == "__main__":
    main(*sys.argv[1:])
