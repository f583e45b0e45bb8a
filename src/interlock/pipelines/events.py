"""What happens to pipelines and deployments. Kinds with two dots are the seed's, and spelt as it spells them.

A `*.state.*` event changes a pipeline or deployment: `fold` says how, and nothing else does. The others say why, or
what came of it. Ends and failures may be told while panic is on; what begins something may not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from interlock.kernel.canonical import Json, JsonObject
from interlock.kernel.events import Event

# --- definitions and roles --------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class DefinitionAccepted(Event):
    """A human agreed to a definition with everything that it names. The subject is its name."""

    kind = "pipeline.definition_accepted"
    digest: str
    previous_digest: str | None
    materials: int
    attestation: JsonObject


@dataclass(frozen=True, kw_only=True)
class RoleChanged(Event):
    """A role is filled by another agent, or described otherwise, than the log said. The subject is the role."""

    kind = "role.changed"
    agent_id: str | None
    """None: there is no such role any more."""
    previous_agent_id: str | None
    role_file: str
    """Digest of the role file."""
    attestation: JsonObject


# --- pipelines --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class PipelineCreated(Event):
    """A run of a pipeline was asked for."""

    kind = "pipeline.state.created"
    name: str
    status: str
    commit_sha: str
    triggered_at: int
    """Seconds since the epoch."""
    triggered_ms: int
    triggered_by: str
    auto_approved: bool
    digest: str
    stages: Sequence[JsonObject]
    """Each `name`, `stage_type`."""
    jobs: Sequence[JsonObject]
    """Each `id`, `stage`, `role`."""
    checkpoints: Sequence[JsonObject]
    """Each `name`, `role`, `artefact`."""


@dataclass(frozen=True, kw_only=True)
class PipelineTriggered(Event):
    """What made somebody ask."""

    kind = "pipeline.triggered"
    trigger: str


@dataclass(frozen=True, kw_only=True)
class PipelineStatusChanged(Event):
    """A run is begun, resumed or taken over."""

    kind = "pipeline.state.status_changed"
    previous_status: str
    current_status: str
    fence: int
    reason: str | None = None
    message: str | None = None
    at_ms: int


@dataclass(frozen=True, kw_only=True)
class PipelineEnded(PipelineStatusChanged):
    """A run has ended, well or not: may be told while panic is on."""

    calming = True


@dataclass(frozen=True, kw_only=True)
class ExecutionStarted(Event):
    """Somebody carries a run out: for the first time, again, or in the place of one who is gone."""

    kind = "pipeline.execution_started"
    name: str
    fence: int


@dataclass(frozen=True, kw_only=True)
class ExecutionCompleted(Event):
    """A run has ended well."""

    kind = "pipeline.execution_completed"
    calming = True
    name: str


@dataclass(frozen=True, kw_only=True)
class ExecutionFailed(Event):
    """A run has failed, or was cancelled."""

    kind = "pipeline.execution_failed"
    calming = True
    name: str
    reason: str | None
    message: str | None


@dataclass(frozen=True, kw_only=True)
class StageChanged(Event):
    """A stage of a run begins or ends."""

    kind = "pipeline.state.stage_changed"
    calming = True
    stage: str
    previous_status: str
    current_status: str
    duration_ms: int | None = None


@dataclass(frozen=True, kw_only=True)
class JobStarted(Event):
    """A job of a run begins."""

    kind = "pipeline.state.job_started"
    job: str
    stage: str
    attempt: int
    at_ms: int


@dataclass(frozen=True, kw_only=True)
class JobEnded(Event):
    """A job of a run has ended, well or not, or was skipped."""

    kind = "pipeline.state.job_ended"
    calming = True
    job: str
    stage: str
    status: str
    reason: str | None
    message: str | None
    exit_code: int | None
    containment: str | None
    notes: Sequence[str]
    """What could not be held, e.g. `egress_not_enforced`."""
    artefacts: Sequence[JsonObject]
    """Each `path`, `sha256`, `size`."""
    duration_ms: int
    at_ms: int


@dataclass(frozen=True, kw_only=True)
class CheckpointPassed(Event):
    """A role's agent looked at an artefact, and signed that it did."""

    kind = "pipeline.state.checkpoint_passed"
    checkpoint: str
    role: str
    agent_id: str
    keyid: str
    job: str
    summary: str
    artefact: JsonObject
    """`path`, `sha256`, `size`."""
    issued_ms: int
    expires_ms: int
    attestation: JsonObject


@dataclass(frozen=True, kw_only=True)
class CheckpointRefused(Event):
    """A job, or a promotion, was held back by a checkpoint that is not there or does not hold."""

    kind = "pipeline.checkpoint_refused"
    calming = True
    checkpoint: str
    role: str
    reason: str
    message: str
    before: str
    """The job, or `promotion`."""


@dataclass(frozen=True, kw_only=True)
class TaskDispatched(Event):
    """A role's agent carried out an action. The subject is the run."""

    kind = "task.dispatched"
    calming = True
    workflow_id: str
    stage_id: str
    agent: str
    agent_name: str
    action: str
    tool_receipts: Sequence[JsonObject]
    output: JsonObject


@dataclass(frozen=True, kw_only=True)
class StageReceipted(Event):
    """The Merkle root over the jobs of a stage and what they made. The subject is the run."""

    kind = "stage_receipt.issued"
    calming = True
    workflow_id: str
    stage_id: str
    stage_type: str
    root: str
    levels: Sequence[JsonObject]
    """Each `level`, `nodes`."""
    leaves: Sequence[JsonObject]
    """Each `index`, `hash`, `task_hash`, `artifact_hash`."""


@dataclass(frozen=True, kw_only=True)
class SecurityScanned(Event):
    """An artefact was searched for secrets. The subject is the run."""

    kind = "security_scan.recorded"
    calming = True
    scanned: str
    tool: str
    status: str
    """`passed`, `failed` or `skipped`."""
    issues: Sequence[str]
    report_artifact: str | None = None
    metadata: JsonObject


@dataclass(frozen=True, kw_only=True)
class BudgetDecided(Event):
    """The guardian looked at what a stage would take. The subject is the run."""

    kind = "budget.decided"
    calming = True
    workflow_id: str
    stage_id: str
    tokens_used: int
    token_limit: int | None
    latency_ms: int
    latency_limit: int | None
    action: str
    """`proceed`, `rewrite` or `escalate`."""
    rewritten_plan: Sequence[str] | None
    """Ids of the jobs that are left; None where nothing was dropped."""


@dataclass(frozen=True, kw_only=True)
class DocumentUpdated(Event):
    """A job of a documentation stage made or changed a document. The subject is the run."""

    kind = "document.updated"
    calming = True
    path: str
    sha256: str
    job: str


# --- deployments ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _OfRelease(Event):
    """Tells of a version; the payload's key for it is `version`, a word that an event has for itself."""

    release: str

    def payload(self) -> dict[str, Json]:
        """Return the fields, the release under the seed's key."""
        found = super().payload()
        return {**{name: value for name, value in found.items() if name != "release"}, "version": self.release}


@dataclass(frozen=True, kw_only=True)
class DeploymentCreated(_OfRelease):
    """A version is on its way into an environment."""

    kind = "deployment.state.created"
    name: str
    environment: str
    strategy: str
    previous_version: str | None
    status: str
    auto_approved: bool
    digest: str
    pipeline_id: str | None
    created_ms: int
    created_by: str


@dataclass(frozen=True, kw_only=True)
class DeploymentStatusChanged(Event):
    """A deployment is healthy, promoted, failed or rolled back."""

    kind = "deployment.state.status_changed"
    calming = True
    previous_status: str
    current_status: str
    reason: str | None = None
    message: str | None = None


@dataclass(frozen=True, kw_only=True)
class DeploymentStepped(Event):
    """A declared step of a deployment was carried out, or failed."""

    kind = "deployment.state.step_ended"
    calming = True
    step: str
    number: int
    status: str
    """`Success` or `Failed`; `RolledBack` of one that was taken back."""
    exit_code: int | None
    message: str | None
    duration_ms: int
    containment: str | None = None
    notes: Sequence[str] = ()
    """What could not be held."""


@dataclass(frozen=True, kw_only=True)
class DeploymentProbed(Event):
    """A deployment's health was measured."""

    kind = "deployment.state.health_changed"
    calming = True
    healthy: bool
    health: JsonObject
    """The fields of `models.Health`."""
    probes: Sequence[JsonObject]
    """Each `name`, `kind`, `passed`, `measured`, `message`."""


@dataclass(frozen=True, kw_only=True)
class DeploymentStarted(_OfRelease):
    """The first step is about to be taken."""

    kind = "deployment.auto_start"
    environment: str
    strategy: str


@dataclass(frozen=True, kw_only=True)
class DeploymentHealthPassed(Event):
    """Every probe passed."""

    kind = "deployment.health_passed"
    calming = True
    environment: str


@dataclass(frozen=True, kw_only=True)
class DeploymentHealthFailed(Event):
    """A probe failed."""

    kind = "deployment.health_failed"
    calming = True
    environment: str
    failed: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class DeploymentPromoted(_OfRelease):
    """The version stays."""

    kind = "deployment.auto_promote"
    environment: str
    pipeline_id: str


@dataclass(frozen=True, kw_only=True)
class DeploymentPromotionBlocked(Event):
    """The version may not stay, yet."""

    kind = "deployment.auto_promote_blocked"
    calming = True
    environment: str
    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class DeploymentRolledBack(_OfRelease):
    """The version before is back, as far as the declared steps could bring it."""

    kind = "deployment.rolled_back"
    calming = True
    environment: str
    previous_version: str | None
    complete: bool


# --- what people read -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class OutcomeRecorded(Event):
    """A row of the report of deployment outcomes. The subject is the run or the deployment."""

    kind = "deployment_outcome.recorded"
    calming = True
    workflow: str
    stage: str
    agent_role: str
    agent_id: str
    action: str
    status: str
    notes: Json
    attestation: JsonObject
