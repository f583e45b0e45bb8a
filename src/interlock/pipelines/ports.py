"""What the room needs from outside: its rows, the log's keys, a signer, and the files that follow the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from interlock.access.models import Actor
from interlock.approval.ports import Attest, Signed
from interlock.evidence.content import ContentStore
from interlock.kernel.clock import Clock
from interlock.kernel.events import Emit
from interlock.pipelines.models import Acceptance, Deployment, LogLine, Pipeline, Status

__all__ = ["Attest", "Signed"]


class PipelineStore(Protocol):
    """Reads and writes runs of pipelines inside the transaction that is open."""

    def add(self, pipeline: Pipeline) -> None:
        """Insert a run."""
        ...

    def get(self, pipeline_id: str) -> Pipeline | None:
        """Return a run."""
        ...

    def replace(self, pipeline: Pipeline, *, seen_revision: int) -> bool:
        """Write a run over the revision that was seen; False if it is another one by now."""
        ...

    def list(self, *, name: str | None, status: Status | None, limit: int, before: str | None) -> Sequence[Pipeline]:
        """List runs, newest first; those made before the one called `before`."""
        ...

    def add_lines(self, pipeline_id: str, lines: Sequence[tuple[str, str, int, str]]) -> None:
        """Append log lines, each (job, stream, time_ms, text); they are numbered from 1 within the run."""
        ...

    def lines(self, pipeline_id: str, *, after: int, limit: int, job: str | None) -> Sequence[LogLine]:
        """Return log lines from `after` (exclusive) on."""
        ...


class DeploymentStore(Protocol):
    """Reads and writes deployments inside the transaction that is open."""

    def add(self, deployment: Deployment) -> None:
        """Insert a deployment."""
        ...

    def get(self, deployment_id: str) -> Deployment | None:
        """Return a deployment."""
        ...

    def replace(self, deployment: Deployment, *, seen_revision: int) -> bool:
        """Write a deployment over the revision that was seen; False if it is another one by now."""
        ...

    def list(self, *, name: str | None, limit: int, before: str | None) -> Sequence[Deployment]:
        """List deployments, newest first."""
        ...

    def history(self, deployment_id: str, limit: int) -> Sequence[Mapping[str, Any]]:
        """Return the last events of a deployment that are sealed, in their order."""
        ...

    def current(self, name: str, environment: str) -> Deployment | None:
        """Return the last promoted one that was not rolled back."""
        ...


class AcceptanceStore(Protocol):
    """Reads and writes what humans accepted inside the transaction that is open."""

    def get(self, name: str) -> Acceptance | None:
        """Return the last acceptance of a definition."""
        ...

    def put(self, acceptance: Acceptance) -> None:
        """Keep an acceptance in the place of the one before."""
        ...

    def roles(self) -> dict[str, tuple[str, str]]:
        """Return what the log last said of each role: agent id and description."""
        ...

    def put_role(self, name: str, agent_id: str | None, description: str) -> None:
        """Keep what the log says of a role; without an agent it is gone."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """One open transaction, as this room sees it."""

    pipelines: PipelineStore
    deployments: DeploymentStore
    acceptances: AcceptanceStore
    contents: ContentStore
    emit: Emit
    now: Clock


class Open(Protocol):
    """Opens a transaction that may change something."""

    def __call__(self, actor: Actor, *, calming: bool = False) -> AbstractContextManager[Desk]:
        """Open it; while panic is on only where `calming`."""
        ...


Look = Callable[[], AbstractContextManager[Desk]]
"""Opens a transaction that only reads."""
Publish = Callable[[Actor], None]
"""Brings the files that follow the log up to its end; called before an artefact that is such a file is looked at."""
AgentKey = Callable[[Actor, str, str], object]
"""Takes an actor, an agent's id and its role; makes the agent's key, and tells the log of it, where it is missing."""
KeyStands = Callable[[str, str, str], str | None]
"""Takes a key id, a role and an agent's id; says what is wrong with the key now: `unknown`, `revoked`, `wrong_role`."""
OpenEnvelope = Callable[[bytes, str, str], Mapping[str, object]]
"""Takes an envelope, a role and an agent's id; returns the statement if a key of that agent in that role signed it.

Raises `EnvelopeRejected`."""
