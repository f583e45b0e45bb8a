"""A worker as a process of its own, which a test can stop exactly where it wants: `python worker_process.py ROOT …`.

At the probe named by `--stop-at` it makes the file named by `--sign` and stands still, until the file `<sign>.go` is
there. Its heartbeats go on: only the run's own thread stands.
"""

from __future__ import annotations

import argparse
import logging
import signal
import socket
import sys
import time
from pathlib import Path

from interlock.app import Interlock


def main() -> None:
    given = argparse.ArgumentParser()
    given.add_argument("root", type=Path)
    given.add_argument("--once", action="store_true")
    given.add_argument("--stop-at", default="")
    given.add_argument("--sign", type=Path, required=True)
    given.add_argument("--host", default=socket.gethostname(), help="be on a machine of this name")
    given.add_argument("--temporal-address", default="", help="carry runs out as workflows of this server")
    words = given.parse_args()
    socket.gethostname = lambda: str(words.host)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")

    def probe(point: str) -> None:
        if point == words.stop_at:
            words.sign.touch()
            while not words.sign.with_name(words.sign.name + ".go").exists():
                time.sleep(0.005)

    house = Interlock.at(words.root)
    worker = (
        house.temporal_worker(once=words.once, probe=probe, address=words.temporal_address)
        if words.temporal_address
        else house.worker(once=words.once, probe=probe)
    )
    signal.signal(signal.SIGTERM, lambda _number, _frame: worker.stop())
    worker.work()


if __name__ == "__main__":
    sys.exit(main())
