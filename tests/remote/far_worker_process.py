"""A worker of a server as a process of its own, which a test can stop exactly where it wants."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from interlock.remote.address import read_address
from interlock.remote.house import RemoteHouse
from interlock.remote.token import read_token


def main() -> None:
    given = argparse.ArgumentParser()
    given.add_argument("server")
    given.add_argument("token_file")
    given.add_argument("folder", type=Path)
    given.add_argument("--once", action="store_true")
    given.add_argument("--stop-at", default="")
    given.add_argument("--sign", type=Path, required=True)
    words = given.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")

    def probe(point: str) -> None:
        if point == words.stop_at:
            words.sign.touch()
            while not words.sign.with_name(words.sign.name + ".go").exists():
                time.sleep(0.005)

    token = read_token(words.token_file, {})
    house = RemoteHouse(
        read_address(words.server), token, correlation_id=None, inside_run=None, token_file=words.token_file
    )
    worker = house.far_worker(words.folder, once=words.once, concurrency=1)
    worker.bench = replace(worker.bench, probe=probe)
    signal.signal(signal.SIGTERM, lambda _number, _frame: worker.stop())
    worker.work()


if __name__ == "__main__":
    sys.exit(main())
