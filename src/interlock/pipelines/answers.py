"""What the HTTP doors of pipelines and deployments answer with."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from interlock.doors.api import Shown

StatusWord = Literal["Pending", "Running", "Success", "Failed"]


class DefinitionShown(Shown):
    """A pipeline's definition, and whether it may run as it is now."""

    id: str
    status: Literal["accepted", "not accepted", "changed", "invalid"]
    digest: str | None = Field(description="What an acceptance would be of; null where the definition is invalid.")
    changes: list[str] = Field(description="What is not as it was accepted, or why it is invalid.")
    accepted_digest: str | None
    accepted_by: str | None
    accepted_at: str | None


class MaterialShown(Shown):
    """A file or program that a definition names."""

    name: str
    kind: Literal["file", "program"]
    path: str
    sha256: str | None


class RuleDeclared(Shown):
    """That a role must have looked at an artefact, and said so."""

    name: str
    role: str
    artefact: str
    description: str


class RequirementDeclared(Shown):
    """A checkpoint that has to be there before a job starts."""

    checkpoint: str
    summary: str


class LineDeclared(Shown):
    """A command."""

    argv: list[str]
    if_exists: str | None = Field(description="It is left out where this path is not there.")


class LimitsDeclared(Shown):
    """How far a job may go."""

    seconds: int
    output_bytes: int
    file_bytes: int


class JobDeclared(Shown):
    """A piece of work: commands, an action of a role's agent, or both in this order."""

    id: str
    stage: str
    needs: list[str]
    lines: list[LineDeclared]
    role: str | None
    action: str | None
    parameters: dict[str, Any] = Field(description="Of the action, as it is declared.")
    artefacts: list[str]
    requires: list[RequirementDeclared]
    signs: list[str] = Field(description="Checkpoints that its role's agent signs when it has ended well.")
    repository: str | None
    ref: str
    network: bool
    environment: dict[str, str]
    limits: LimitsDeclared
    estimated_tokens: int
    estimated_latency_ms: int
    budget_sensitive: bool


class BudgetDeclared(Shown):
    """What the jobs of a stage may take together."""

    tokens: int | None
    latency_ms: int | None


class StageDeclared(Shown):
    """A named part of a pipeline."""

    name: str
    type: str
    parallel: bool
    budget: BudgetDeclared


class DefinitionDeclared(Shown):
    """A pipeline as its file declares it."""

    name: str
    version: str
    description: str
    dialect: Literal["stages", "jobs"]
    path: str
    roles: dict[str, str]
    variables: dict[str, str]
    checkpoints: list[RuleDeclared]
    stages: list[StageDeclared]
    jobs: list[JobDeclared]
    artefacts: list[str]


class DefinitionWhole(DefinitionShown):
    """A definition with everything that an acceptance of it covers."""

    search_path: str
    materials: list[MaterialShown]
    definition: DefinitionDeclared = Field(description="Every variable is put in.")


class RunRow(Shown):
    """One run of a pipeline, in a line."""

    id: str
    name: str
    status: StatusWord
    reason: str | None
    message: str | None
    digest: str
    triggered_at: str
    triggered_by: str
    ended_at: str | None


class ArtefactShown(Shown):
    """A file as it was at one moment."""

    path: str
    sha256: str
    size: int


class StageShown(Shown):
    """A stage of a run."""

    name: str
    stage_type: str
    status: str
    duration_ms: int | None


class JobShown(Shown):
    """A job of a run."""

    id: str
    stage: str
    role: str | None
    status: str
    attempt: int
    started_ms: int | None
    ended_ms: int | None
    reason: str | None
    message: str | None
    exit_code: int | None
    containment: str | None
    notes: list[str]
    artefacts: list[ArtefactShown]


class RuleShown(Shown):
    """A checkpoint that a run has to pass."""

    name: str
    role: str
    artefact: str


class CheckpointShown(Shown):
    """A checkpoint that was passed, and who signed it."""

    name: str
    role: str
    agent_id: str
    keyid: str
    job: str
    summary: str
    artefact: ArtefactShown
    envelope: str = Field(description="Digest of the signed statement.")
    issued_ms: int
    expires_ms: int


class ScanMetadata(Shown):
    """What was searched."""

    sha256: str
    size: int
    skipped_because: str | None


class ScanShown(Shown):
    """That an artefact was searched for secrets; told are rule and line, never what was found."""

    subject: str
    tool: str
    status: str
    issues: list[str]
    report_artifact: str | None
    metadata: ScanMetadata


class RunWhole(RunRow):
    """One run of a pipeline."""

    commit_sha: str
    stages: list[StageShown]
    jobs: list[JobShown]
    rules: list[RuleShown]
    checkpoints: list[CheckpointShown]
    security_scans: list[ScanShown]


class PipelineLine(Shown):
    """A line of a run's log, redacted."""

    line: int
    ts: str
    job: str
    stream: Literal["stdout", "stderr", "interlock"]
    msg: str


class DeploymentHealth(Shown):
    """What the last look measured: rates in percent, times in milliseconds."""

    error_rate: float
    response_time_ms: int
    cpu_usage: float
    memory_usage: float
    active_connections: int


class DeploymentShown(Shown):
    """A version on its way into an environment."""

    id: str
    name: str
    environment: str
    strategy: str
    version: str
    previous_version: str | None
    status: str
    healthy: bool | None = Field(description="Null: not looked at yet.")
    health_metrics: DeploymentHealth
    pipeline_id: str | None
    reason: str | None
    message: str | None
    created_at: str
    created_by: str


class DeploymentStep(Shown):
    """A step that has ended."""

    at: str
    number: int
    name: str
    status: str = Field(description="`Success` or `Failed`; `RolledBack` of one that was taken back.")
    exit_code: int | None
    message: str | None
    duration_ms: int
    containment: str | None
    notes: list[str]


class ProbeFound(Shown):
    """What one probe found."""

    name: str
    kind: str
    passed: bool
    measured: str
    message: str


class DeploymentLook(Shown):
    """A look at a deployment's health."""

    at: str
    healthy: bool
    health_metrics: DeploymentHealth
    probes: list[ProbeFound]


class DeploymentTold(Shown):
    """What happened to a deployment."""

    at: str
    by: str
    what: str
    reason: str | None
    message: str | None


class DeploymentInFull(DeploymentShown):
    """A version on its way into an environment, and all that stands behind it."""

    digest: str = Field(description="Of the definition under which it began.")
    steps_done: int
    steps: list[DeploymentStep]
    looks: list[DeploymentLook] = Field(description="The oldest first.")
    history: list[DeploymentTold]
    run: RunRow | None = Field(description="The run of a pipeline that made it.")
    signed: list[CheckpointShown] = Field(description="The checkpoints that this run has passed.")
