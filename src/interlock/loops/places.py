"""Where a loop's files lie, by the names that seed 2 fixes. Paths are absolute; links in them are left as they are."""

from __future__ import annotations

import os
import re
from typing import Final, NamedTuple

from interlock.kernel.errors import Invalid

LOOP_ID: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)


class LoopIdInvalid(Invalid):
    """A loop is named by letters, digits, `.`, `_` and `-`, and begins with none of the last two marks."""

    code = "loop_id_invalid"


class LoopRootMissing(Invalid):
    """There is no such folder."""

    code = "loop_root_missing"


class LoopPlaces(NamedTuple):
    """The files of one loop in one repository (or in any folder that holds a `.superloop`)."""

    repo: str
    loop: str

    @classmethod
    def of(cls, repo: str, loop: str) -> LoopPlaces:
        """Check both names; raises `LoopIdInvalid` or `LoopRootMissing`."""
        if not LOOP_ID.fullmatch(loop):
            raise LoopIdInvalid(f"{loop[:140]!r} names no loop: letters, digits, and after the first . _ -")
        if not os.path.isdir(repo):
            raise LoopRootMissing(f"repository not found: {repo}")
        return cls(os.path.abspath(repo), loop)

    # --- the runtime's, which are only read ---------------------------------------------------------------------------

    @property
    def runtime_state(self) -> str:
        """Which loop is active in the repository."""
        return os.path.join(self.repo, ".superloop", "state.json")

    @property
    def active_run(self) -> str:
        """Which process runs it."""
        return os.path.join(self.repo, ".superloop", "active-run.json")

    @property
    def run(self) -> str:
        """The folder of the loop's own artefacts."""
        return os.path.join(self.repo, ".superloop", "loops", self.loop)

    def of_run(self, name: str) -> str:
        """Return the path of an artefact: `events.jsonl`, `run-summary.json`, `approval.json`, `heartbeat.v1.json`."""
        return os.path.join(self.run, name)

    # --- ours ---------------------------------------------------------------------------------------------------------

    @property
    def manager(self) -> str:
        """Our folder."""
        return os.path.join(self.repo, ".superloop", "ops-manager", self.loop)

    def of_manager(self, name: str) -> str:
        """Return the path of a file of ours, such as `state.json`."""
        return os.path.join(self.manager, name)

    def of_telemetry(self, name: str) -> str:
        """Return the path of a telemetry file, such as `reconcile.jsonl`."""
        return os.path.join(self.manager, "telemetry", name)
