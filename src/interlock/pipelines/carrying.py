"""Carrying out, beside the server, the runs that were asked for over HTTP, and those whose holder has died.

Only one process carries pipelines out in a workspace, under a lock that ends with it. So a run that was begun here and
is `Running` while the lock is free has no holder any more, and is taken up again where it stands. A run that was begun
on another machine, over the same database, is left to it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from interlock.access.errors import Frozen
from interlock.kernel.errors import InterlockError, Unreachable
from interlock.pipelines.errors import PipelineNotMovable, PipelineTaken, WorkspaceBusy
from interlock.pipelines.models import Pipeline, Status
from interlock.pipelines.service import Pipelines

_LOG = logging.getLogger("interlock.pipelines")
_IDLE_SECONDS = 1.0


class Carries(Protocol):
    """Carries one run out; `running.Runner` is it."""

    def resume(self, pipeline_id: str) -> Pipeline:
        """Begin a run, or go on with it."""
        ...

    def left_behind(self, pipeline_id: str) -> bool:
        """Say whether a run that is `Running` was begun in this workspace, and may have lost its holder."""
        ...


@dataclass(slots=True)
class Carrier:
    """One process's."""

    pipelines: Pipelines
    runner: Callable[[threading.Event], Carries]
    """Returns what carries out, until the event is set."""
    refused: Callable[[str, InterlockError], object]
    """Ends a run that can not even begin, so that it is not tried for ever."""
    leads: Callable[[], bool] = lambda: True
    """Whether this process takes up what was asked for; what it has begun itself it goes on with in any case."""
    _given_up: set[str] = field(default_factory=set[str])
    """Runs that can not be taken up as the workspace is now; who has mended it resumes them."""
    _stopping: threading.Event = field(default_factory=threading.Event)

    def work(self) -> int:
        """Work until told to stop; returns 0."""
        while not self._stopping.is_set():
            if not self.turn():
                self._stopping.wait(_IDLE_SECONDS)
        return 0

    def turn(self) -> bool:
        """Carry out the oldest run that waits; says whether there was one that could be."""
        runner = self.runner(self._stopping)
        for run in self._waiting(runner):
            try:
                runner.resume(run.id)
            except (WorkspaceBusy, Frozen, Unreachable):
                return False
            except (PipelineTaken, PipelineNotMovable):
                continue  # somebody else was quicker, or it was cancelled
            except (InterlockError, OSError) as error:
                self._give_up(run.id, error)
            return True
        return False

    def _waiting(self, runner: Carries) -> list[Pipeline]:
        try:
            begun = self.pipelines.list(status=Status.RUNNING, limit=100)
            asked = self.pipelines.list(status=Status.PENDING, limit=1000)[::-1]
            if asked and not self.leads():
                asked = asked[:0]
        except Unreachable as error:
            _LOG.warning("runs of pipelines can not be looked for: %s", error.message)
            return []
        waiting = [*(run for run in begun if runner.left_behind(run.id)), *asked]
        return [run for run in waiting if run.id not in self._given_up]

    def _give_up(self, run_id: str, error: InterlockError | OSError) -> None:
        _LOG.warning("%s can not be carried out: %s", run_id, error)
        self._given_up.add(run_id)
        if isinstance(error, InterlockError):
            with suppress(InterlockError):  # somebody has moved it meanwhile, or it can not be told
                self.refused(run_id, error)

    def stop(self) -> None:
        """Stop soon; what is under way fails as `interrupted`, and can be resumed."""
        self._stopping.set()
