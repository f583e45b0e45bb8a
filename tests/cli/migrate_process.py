"""`interlock migrate` as a process that can be stopped at a step: `python migrate_process.py ROOT URL STEP SIGN`.

At the step it makes the file SIGN and stands still until it is killed.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from interlock.access.local import local_principal
from interlock.access.models import Actor
from interlock.app import Interlock
from interlock.migrating import Migration


def main(root: str, url: str, step: str, sign: str) -> None:
    def probe(point: str) -> None:
        if point == step:
            Path(sign).touch()
            time.sleep(600)

    me = Actor(principal=local_principal(lambda: None, None))
    Migration(house=Interlock.at(Path(root)), address=url, probe=probe).carry_out(me)


if __name__ == "__main__":
    main(*sys.argv[1:])
