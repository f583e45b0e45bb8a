"""A process that leads while it may, and writes an event every 50 ms: `python standby.py ROOT ROLE SECONDS`.

Each event's subject names the process and its epoch; what is refused because somebody else leads is printed.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from interlock.access.models import Actor, Principal, PrincipalKind
from interlock.app import Interlock
from interlock.fleet.errors import NotLeader
from interlock.kernel.events import Event

ME = Actor(principal=Principal(PrincipalKind.SERVICE, "test"))


@dataclass(frozen=True, kw_only=True)
class Wrote(Event):
    """A leader wrote."""

    kind = "test.wrote"
    pid: int
    epoch: int


def main() -> None:
    house = Interlock.at(Path(sys.argv[1]))
    reign = house.reign(sys.argv[2])
    reign.lease_seconds = float(sys.argv[3])
    term = None
    while True:
        # As a loop does that was paused behind the question: it goes on under the term that it had.
        late = term
        term = reign.hold()
        for each in [held for held in dict.fromkeys((late, term)) if held is not None]:
            try:
                house.led(each).tell(ME, Wrote(subject="test", pid=os.getpid(), epoch=each.epoch))
            except NotLeader as error:
                sys.stdout.write(f"{error.message}\n")
                sys.stdout.flush()
        time.sleep(0.05)


if __name__ == "__main__":
    main()
