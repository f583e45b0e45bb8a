"""The archive of runs that ended long ago: log and steps in a file, the rest stays where it is.

The file is written first and named by its digest in the event; a run that is retried meanwhile is left alone, and a
file that was written for nothing is written over the next time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from interlock.access.models import Actor
from interlock.evidence import publish
from interlock.runs.models import LogLine, Run
from interlock.runs.service import Runs
from interlock.runs.shown import show_line, show_run, show_steps
from interlock.workspace.layout import Layout
from interlock.workspace.rendering import as_file

_PAGE = 1_000
_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Archive:
    """One workspace's archive."""

    layout: Layout
    runs: Runs

    def purge(self, actor: Actor, ended_before_ms: int) -> Iterator[str]:
        """Put every run that ended before an instant into the archive; yields the ids."""
        done: set[str] = set()
        while True:
            found = [run for run in self.runs.ended_before(ended_before_ms, limit=_AT_ONCE) if run.id not in done]
            if not found:
                return
            for run in found:
                done.add(run.id)
                if self._archive(actor, run, ended_before_ms):
                    yield run.id

    def _archive(self, actor: Actor, run: Run, ended_before_ms: int) -> bool:
        lines = list(self._lines(run))
        content = as_file(
            show_run(run)
            | {
                "steps": show_steps(self.runs.steps(run.id)),
                "log": [show_line(line, run.correlation_id) for line in lines],
            }
        )
        self.layout.archive.mkdir(parents=True, exist_ok=True)
        publish.replace(self.layout.archive / f"{run.id}.json", [content])
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        return self.runs.archive(actor, run.id, ended_before_ms=ended_before_ms, digest=digest, log_lines=len(lines))

    def _lines(self, run: Run) -> Iterator[LogLine]:
        after = 0
        while lines := self.runs.log(run.id, after=after, limit=_PAGE):
            yield from lines
            after = lines[-1].line
