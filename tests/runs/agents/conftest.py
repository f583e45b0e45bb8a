"""A world whose workers find stand-ins of the coding agents on their PATH."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import interlock
from interlock.approval.models import Limits, Work
from interlock.runs.containment.processes import marked
from interlock.runs.models import Run
from tests.conftest import ALICE, Found
from tests.engines.world import World

NAMES = {"claude_code": "claude", "codex": "codex", "gemini_cli": "gemini", "opencode": "opencode"}
SCRIPT = Path(__file__).with_name("stand_in.py")


@dataclass
class AgentWorld(World):
    """A world in which agents work."""

    environment: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        super().__post_init__()
        folder = self.place / "bin"
        folder.mkdir()
        for name in NAMES.values():
            made = folder / name
            made.write_text(f"#!{sys.executable}\n{SCRIPT.read_text()}")
            made.chmod(0o755)
        seen = (sys.prefix, str(Path(interlock.__file__).parents[1]), str(folder))
        self.environment = {
            "PATH": f"{folder}:{os.environ['PATH']}",
            "INTERLOCK_WORKER_VISIBLE": ",".join(seen),
        }

    def asked(self, agent: str, prompt: str, *, limits: Limits | None = None, checks: tuple[str, ...] = ()) -> Run:
        """Draft, approve and queue work for an agent."""
        work = Work(
            agent=agent,
            repository=str(self.repository),
            checks=tuple(("sh", "-c", check) for check in checks),
            limits=limits or Limits(wall_clock_seconds=60),
        )
        draft = self.house.approval.create(ALICE, prompt, work=work)
        return self.house.runs.create(ALICE, self.house.approval.approve(ALICE, draft.id).id)

    def processes_of(self, run: Run, fence: int) -> list[int]:
        """Return the processes of one claim of a run."""
        return marked(f"{run.id}:{fence}")

    def done(self, run: Run) -> Run:
        """Let one worker carry out what there is, and return the run as it ended."""
        self.work_it_off(environment=self.environment)
        return self.run(run)


@pytest.fixture
def agents(request: pytest.FixtureRequest, founded: Found, tmp_path: Path) -> Iterator[AgentWorld]:
    """A world with agents, on SQLite or on what `on_both` says."""
    made = AgentWorld(tmp_path, founded(tmp_path / "workspace", getattr(request, "param", "sqlite")))
    yield made
    made.close()
