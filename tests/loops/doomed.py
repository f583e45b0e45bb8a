"""A reconcile as a process of its own, with a fate: `python -m tests.loops.doomed REPO TRACE FATE STEP`.

A step is a call to the operating system that changes a file. FATE is what befalls it at that step: `killed` (half of a
write has happened by then), `full` (there is no space, now and from then on), `well`. It prints what it came to.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from interlock.kernel.errors import InterlockError
from interlock.loops.health import Thresholds
from interlock.loops.local import Local
from interlock.loops.places import LoopPlaces
from interlock.loops.reconcile import ReconcileOptions, reconcile
from tests.loops.loop import NOW, PROFILES

STEPS = ("open", "write", "fsync", "rename", "ftruncate", "unlink")
SURVIVED = "survived"


def doom(fate: str, step: int) -> None:
    """Let the given step be the one at which it happens."""
    taken = 0

    def doomed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:  # noqa: ANN401 - whatever the call takes and gives
            nonlocal taken
            if name == "open" and not arguments[1] & os.O_CREAT:
                return call(*arguments)
            taken += 1
            if taken == step and fate == "killed":
                if name == "write":
                    call(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            if taken >= step and fate == "full" and name in {"write", "open"}:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return call(*arguments)

        return wrapped

    for name in STEPS:
        setattr(os, name, doomed(name, getattr(os, name)))


def say(document: dict[str, Any]) -> None:
    with open(1, "w", encoding="utf-8", closefd=False) as output:
        json.dump(document, output)


def main(repo: str, trace: str, fate: str, step: str) -> int:
    options = ReconcileOptions(trace_id=trace, profiles=PROFILES, thresholds=Thresholds("balanced"))
    heard = os.open(f"{repo}/heard.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    tell_write, places = os.write, LoopPlaces.of(repo, "docs")

    def tell(told: dict[str, Any]) -> None:
        tell_write(heard, json.dumps(told).encode() + b"\n")

    doom(fate, int(step))
    try:
        outcome = reconcile(places, options, Local(), lambda: NOW * 1000, tell=tell)
    except InterlockError as error:
        say({"error": error.message})
        return 1
    say(outcome.document)
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
