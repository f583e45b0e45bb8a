"""The windows follow beside the work."""

from __future__ import annotations

import threading
from dataclasses import replace

from interlock.runs.models import RunStatus
from tests.conftest import until
from tests.engines.world import PATIENCE_SECONDS, World


def test_no_run_waits_for_the_windows_of_another(world: World) -> None:
    worker = world.house.worker()
    written, shown, go_on = worker.links.wrote, threading.Event(), threading.Event()

    def slowly() -> None:
        shown.set()
        go_on.wait(PATIENCE_SECONDS * 3)
        written()

    worker.links = replace(worker.links, wrote=slowly)
    thread = threading.Thread(target=worker.work)
    first = world.create(("true",))
    thread.start()
    try:
        until(shown.is_set, PATIENCE_SECONDS)
        second = world.create(("true",))
        until(lambda: world.run(second).status is RunStatus.DONE, PATIENCE_SECONDS)
    finally:
        go_on.set()
        worker.stop()
        thread.join(PATIENCE_SECONDS)
    assert world.run(first).status is RunStatus.DONE
    assert world.house.windows.differences() == []
