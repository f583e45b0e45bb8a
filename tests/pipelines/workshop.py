"""A real workspace in which pipelines are declared, accepted and carried out."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from interlock.app import Interlock
from interlock.founding import create_workspace
from interlock.pipelines.models import Pipeline
from interlock.pipelines.running import Runner
from tests.conftest import ALICE


class Workspace:
    """One workspace over one database, and the pipeline `work` in it."""

    def __init__(self, root: Path, database_url: str = "") -> None:
        if not root.exists():  # else its maker has laid a fresh one down
            create_workspace(root, ALICE, database_url=database_url, replace=False)
        self.root = root
        self.house = Interlock.at(root)
        self.said: list[str] = []

    def close(self) -> None:
        self.house.close()

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def read(self, path: str) -> str:
        return (self.root / path).read_text()

    def declare(
        self,
        jobs: Mapping[str, Mapping[str, Any]],
        *,
        stages: Sequence[Any] = ("build",),
        checkpoints: Sequence[Mapping[str, Any]] = (),
        **more: Any,  # noqa: ANN401 - any key of a definition
    ) -> None:
        """Write the definition (JSON is YAML) and accept it."""
        document: dict[str, Any] = {
            "name": "work",
            "version": "1",
            "description": "What a test needs.",
            "agent_roles": {"planner": "PlanAgent", "operator": "OperationsBoardAgent", "verifier": "ReviewAgent"},
            "agent_checkpoints": list(checkpoints),
            "stages": list(stages),
            "jobs": {name: {"stage": "build", "needs": [], **job} for name, job in jobs.items()},
            **more,
        }
        self.write("cicd/pipelines/work.yaml", json.dumps(document, indent=1))
        self.accept()

    def accept(self) -> None:
        self.house.pipelines.accept(ALICE, "work")

    def runner(self, probe: Callable[[str], None] = lambda _: None, **parts: Any) -> Runner:  # noqa: ANN401 - handed through
        return replace(self.house.delivery.runner(self.said.append), probe=probe, **parts)

    def create(self) -> Pipeline:
        return self.house.pipelines.create(ALICE, "work")

    def run(self, **parts: Any) -> Pipeline:  # noqa: ANN401 - handed through
        return self.runner(**parts).run(self.create().id)

    def log(self, pipeline: Pipeline) -> list[str]:
        return [line.text for line in self.house.pipelines.log(pipeline.id, limit=10_000)]

    def events(self, pipeline: Pipeline, kind: str = "") -> list[Mapping[str, Any]]:
        """Return the payloads of a run's events, of one kind or all, in their order."""
        self.house.database.seal()
        found = self.house.event_log.leaves(0, self.house.event_log.size())
        told = [json.loads(leaf) for leaf in found]
        own = [each for each in told if each["subject"] == pipeline.id and each["kind"].startswith(kind)]
        return [each["payload"] | {"kind": each["kind"], "principal": each["principal"]} for each in own]


def sh(*texts: str) -> list[str]:
    """Return a job's script that is these programs of the shell."""
    return [f"sh -c {shlex.quote(text)}" for text in texts]


def statuses(pipeline: Pipeline) -> dict[str, str]:
    return {job.id: job.status.value for job in pipeline.jobs}
