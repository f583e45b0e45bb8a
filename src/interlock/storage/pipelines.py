"""The rows of pipelines, deployments, and what humans accepted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from interlock.pipelines.documents import read_deployment, read_pipeline, show_deployment, show_pipeline
from interlock.pipelines.models import Acceptance, Deployment, LogLine, Material, Pipeline, Status
from interlock.storage.database import Transaction


@dataclass(frozen=True, slots=True)
class StoredPipelines:
    """Runs of pipelines in the transaction that is open; implements `pipelines.ports.PipelineStore`."""

    transaction: Transaction

    def add(self, pipeline: Pipeline) -> None:
        """Insert a run."""
        self.transaction.run(
            "pipeline_add",
            id=pipeline.id,
            name=pipeline.name,
            status=pipeline.status.value,
            revision=pipeline.revision,
            document=_text(show_pipeline(pipeline)),
        )

    def get(self, pipeline_id: str) -> Pipeline | None:
        """Return a run."""
        row = self.transaction.one("pipeline_get", id=pipeline_id)
        return read_pipeline(json.loads(row["document"])) if row else None

    def replace(self, pipeline: Pipeline, *, seen_revision: int) -> bool:
        """Write a run over the revision that was seen; False if it is another one by now."""
        changed = self.transaction.run(
            "pipeline_replace",
            id=pipeline.id,
            status=pipeline.status.value,
            revision=pipeline.revision,
            document=_text(show_pipeline(pipeline)),
            seen=seen_revision,
        )
        return changed == 1

    def list(self, *, name: str | None, status: Status | None, limit: int, before: str | None) -> Sequence[Pipeline]:
        """List runs, newest first; those made before the one called `before`."""
        rows = self.transaction.all(
            "pipeline_list",
            any_name=int(name is None),
            name=name or "",
            any_status=int(status is None),
            status=status.value if status else "",
            from_newest=int(before is None),
            before=before or "",
            limit=limit,
        )
        return [read_pipeline(json.loads(row["document"])) for row in rows]

    def add_lines(self, pipeline_id: str, lines: Sequence[tuple[str, str, int, str]]) -> None:
        """Append log lines, each (job, stream, time_ms, text); they are numbered from 1 within the run."""
        row = self.transaction.one("pipeline_line_numbers", id=pipeline_id, lines=len(lines)) if lines else None
        if row is None:
            return
        first = int(row["line_count"]) - len(lines) + 1
        for number, (job, stream, time_ms, text) in enumerate(lines, first):
            self.transaction.run(
                "pipeline_line_add",
                pipeline_id=pipeline_id,
                line=number,
                job=job,
                stream=stream,
                time_ms=time_ms,
                text=text,
            )

    def lines(self, pipeline_id: str, *, after: int, limit: int, job: str | None) -> Sequence[LogLine]:
        """Return log lines from `after` (exclusive) on."""
        rows = self.transaction.all(
            "pipeline_lines",
            pipeline_id=pipeline_id,
            after=after,
            any_job=int(job is None),
            job=job or "",
            limit=limit,
        )
        return [
            LogLine(line=row["line"], job=row["job"], stream=row["stream"], time_ms=row["time_ms"], text=row["text"])
            for row in rows
        ]


@dataclass(frozen=True, slots=True)
class StoredDeployments:
    """Deployments in the transaction that is open; implements `pipelines.ports.DeploymentStore`."""

    transaction: Transaction

    def add(self, deployment: Deployment) -> None:
        """Insert a deployment."""
        self.transaction.run(
            "deployment_add",
            id=deployment.id,
            name=deployment.name,
            environment=deployment.environment,
            status=deployment.status.value,
            revision=deployment.revision,
            document=_text(show_deployment(deployment)),
        )

    def get(self, deployment_id: str) -> Deployment | None:
        """Return a deployment."""
        row = self.transaction.one("deployment_get", id=deployment_id)
        return read_deployment(json.loads(row["document"])) if row else None

    def replace(self, deployment: Deployment, *, seen_revision: int) -> bool:
        """Write a deployment over the revision that was seen; False if it is another one by now."""
        changed = self.transaction.run(
            "deployment_replace",
            id=deployment.id,
            status=deployment.status.value,
            revision=deployment.revision,
            document=_text(show_deployment(deployment)),
            seen=seen_revision,
        )
        return changed == 1

    def list(self, *, name: str | None, limit: int, before: str | None) -> Sequence[Deployment]:
        """List deployments, newest first; those made before the one called `before`."""
        rows = self.transaction.all(
            "deployment_list",
            any_name=int(name is None),
            name=name or "",
            from_newest=int(before is None),
            before=before or "",
            limit=limit,
        )
        return [read_deployment(json.loads(row["document"])) for row in rows]

    def history(self, deployment_id: str, limit: int) -> Sequence[Mapping[str, Any]]:
        """Return the last events of a deployment that are sealed, in their order."""
        rows = self.transaction.all("deployment_history", id=deployment_id, limit=limit)
        return [json.loads(row["leaf"]) for row in reversed(rows)]

    def current(self, name: str, environment: str) -> Deployment | None:
        """Return the last promoted one that was not rolled back."""
        row = self.transaction.one("deployment_current", name=name, environment=environment)
        return read_deployment(json.loads(row["document"])) if row else None


@dataclass(frozen=True, slots=True)
class StoredAcceptances:
    """What humans accepted, in the transaction that is open; implements `pipelines.ports.AcceptanceStore`."""

    transaction: Transaction

    def get(self, name: str) -> Acceptance | None:
        """Return the last acceptance of a definition."""
        row = self.transaction.one("acceptance_get", name=name)
        return _acceptance(json.loads(row["document"])) if row else None

    def put(self, acceptance: Acceptance) -> None:
        """Keep an acceptance in the place of the one before."""
        self.transaction.run("acceptance_put", name=acceptance.name, document=_text(asdict(acceptance)))

    def roles(self) -> dict[str, tuple[str, str]]:
        """Return what the log last said of each role: agent id and description."""
        rows = self.transaction.all("pipeline_role_list")
        return {row["name"]: (row["agent_id"], row["description"]) for row in rows}

    def put_role(self, name: str, agent_id: str | None, description: str) -> None:
        """Keep what the log says of a role; without an agent it is gone."""
        if agent_id is None:
            self.transaction.run("pipeline_role_remove", name=name)
        else:
            self.transaction.run("pipeline_role_put", name=name, agent_id=agent_id, description=description)


def _text(document: Mapping[str, Any]) -> str:
    # Not the canonical form: the seed's readers find fractions in it. As ASCII it fits every database's text.
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def _acceptance(found: Mapping[str, Any]) -> Acceptance:
    materials = tuple(Material(**each) for each in found["materials"])
    return Acceptance(materials=materials, **{name: value for name, value in found.items() if name != "materials"})
