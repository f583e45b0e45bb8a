"""The words of the room. Values only; what may follow what stands in the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal

from interlock.kernel.canonical import Json
from interlock.kernel.transitions import Transitions

Dialect = Literal["stages", "jobs"]
"""`stages`: stages with tasks of role agents; `jobs`: named jobs with scripts."""
StageType = Literal[
    "CRC", "Validate", "Build", "Test", "SingleHostAcceptance", "Deploy", "Verify", "Promote", "DocsRefresh"
]
"""What readers of `state.json` know; a definition's own word for a stage is its name."""
Strategy = Literal["Recreate", "BlueGreen", "Canary", "RollingUpdate"]
Environment = Literal["Development", "Staging", "Production"]


class Status(Enum):
    """Of pipelines, stages, jobs and deployments, spelt as the seed's readers know them."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCESS = "Success"
    FAILED = "Failed"
    ROLLED_BACK = "RolledBack"
    SKIPPED = "Skipped"
    """Of jobs only: the budget guardian dropped it."""


PIPELINE_MOVES: Final = Transitions[Status](
    {
        Status.PENDING: {Status.RUNNING, Status.FAILED},
        Status.RUNNING: {Status.RUNNING, Status.SUCCESS, Status.FAILED},
        Status.FAILED: {Status.RUNNING},  # resume
        Status.SUCCESS: (),
        Status.ROLLED_BACK: (),
        Status.SKIPPED: (),
    }
)
"""`Running` follows itself where a run is taken over whose holder is gone; cancelled is `Failed` with that reason."""

WORK_MOVES: Final = Transitions[Status](
    {
        Status.PENDING: {Status.RUNNING, Status.SKIPPED, Status.FAILED},
        Status.RUNNING: {Status.RUNNING, Status.SUCCESS, Status.FAILED},
        Status.FAILED: {Status.RUNNING},
        Status.SUCCESS: {Status.RUNNING},  # a resumed run does again what does not stand any more
        Status.SKIPPED: (),
        Status.ROLLED_BACK: (),
    }
)
"""Of a run's stages and jobs."""

DEPLOYMENT_MOVES: Final = Transitions[Status](
    {
        Status.PENDING: {Status.RUNNING, Status.FAILED},
        Status.RUNNING: {Status.SUCCESS, Status.FAILED, Status.ROLLED_BACK},
        Status.FAILED: {Status.FAILED, Status.ROLLED_BACK},
        Status.SUCCESS: {Status.FAILED, Status.ROLLED_BACK},
        Status.ROLLED_BACK: (),
        Status.SKIPPED: (),
    }
)
"""`Running` is healthy or being looked at, `Success` is promoted; `Failed` is being rolled back, or could not be."""

# --- what may run -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Role:
    """A role of the directory and the agent that fills it."""

    name: str
    """Lower case, e.g. `planner`."""
    agent_id: str
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRule:
    """That a role must have looked at an artefact, and said so."""

    name: str
    role: str
    artefact: str
    """A path below the workspace, with `/`."""
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A checkpoint that has to be there before a job starts."""

    checkpoint: str
    """The name of a `CheckpointRule`."""
    summary: str = ""
    """What the checkpoint is about, as the definition says it; for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One command of a job."""

    argv: tuple[str, ...]
    if_exists: str | None = None
    """A path below the workspace; the command is left out where it is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How far one job may go."""

    seconds: int = 1800
    output_bytes: int = 10 * 2**20
    file_bytes: int = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One piece of work: commands, an action of a role's agent, or both in this order. A task is a job, too."""

    id: str
    """`[a-z0-9][a-z0-9._/-]{0,99}`; of a task `<stage>/<number>-<action>`."""
    stage: str
    needs: tuple[str, ...] = ()
    """Ids of jobs that have to end well before."""
    lines: tuple[Line, ...] = ()
    role: str | None = None
    action: str | None = None
    """One of `agents.ACTIONS` of that role."""
    parameters: Mapping[str, Json] = field(default_factory=dict[str, Json])
    artefacts: tuple[str, ...] = ()
    """Paths that have to be there, not empty, when it has ended."""
    requires: tuple[Requirement, ...] = ()
    """Named ones and those of every job that it needs, near and far; no name twice."""
    signs: tuple[str, ...] = ()
    """Names of the checkpoints that its role's agent signs when it has ended well."""
    repository: str | None = None
    """Runs in a worktree of this repository (absolute, or below the workspace) instead of in the workspace."""
    ref: str = "HEAD"
    """What of the repository."""
    network: bool = False
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    limits: Limits = Limits()
    estimated_tokens: int = 0
    estimated_latency_ms: int = 0
    budget_sensitive: bool = False
    """May be dropped where its stage would go over its budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What the jobs of one stage may take together, by their own estimates; None: no limit."""

    tokens: int | None = None
    latency_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A named part of a pipeline."""

    name: str
    type: StageType
    parallel: bool = False
    """Whether its tasks run beside each other; jobs always do as far as their needs let them."""
    budget: Budget = Budget()


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A pipeline as its file declares it, every variable put in."""

    name: str
    version: str
    description: str
    dialect: Dialect
    path: str
    """Below the workspace, e.g. `cicd/pipelines/doc-refresh.yaml`."""
    roles: Mapping[str, str]
    """Role to agent id; equal to the role directory, or the definition is refused."""
    variables: Mapping[str, str]
    checkpoints: tuple[CheckpointRule, ...]
    stages: tuple[Stage, ...]
    """In their order."""
    jobs: tuple[Job, ...]
    """In an order in which each stands after all that it needs."""
    artefacts: tuple[str, ...]

    def job(self, job_id: str) -> Job:
        """Return a job; raises KeyError."""
        return {job.id: job for job in self.jobs}[job_id]

    def checkpoint(self, name: str) -> CheckpointRule:
        """Return a checkpoint's rule; raises KeyError."""
        return {rule.name: rule for rule in self.checkpoints}[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Something outside its own text that a definition names, as it was found."""

    name: str
    """As the definition writes it."""
    kind: Literal["file", "program"]
    """`file` is named by a path: its bytes count. `program` is a bare name found on PATH: its place counts."""
    path: str
    """Absolute, links resolved; empty where there is none."""
    sha256: str | None
    """Of a file's bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """That a human agreed to a definition, once, with everything it names."""

    name: str
    """A pipeline's name, or `deployment/<name>`."""
    digest: str
    search_path: str
    """The PATH in which its programs were found and are run."""
    materials: tuple[Material, ...]
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    """Its variables, as they were put in."""
    accepted_by: str
    accepted_ms: int
    envelope: str
    """Digest of the signed statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Whether a definition may run as it is now."""

    name: str
    digest: str
    accepted: Acceptance | None
    changes: tuple[str, ...] = ()
    """What is not as it was accepted, as sentences; empty if it may run."""

    @property
    def may_run(self) -> bool:
        """Whether a human accepted exactly this."""
        return self.accepted is not None and self.accepted.digest == self.digest


# --- what runs --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """A file as it was at one moment."""

    path: str
    """Below the workspace, with `/`."""
    sha256: str
    """Hex, of its first `size` bytes."""
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StageState:
    """A stage of one run."""

    name: str
    type: str
    status: Status = Status.PENDING
    duration_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """A job of one run."""

    id: str
    stage: str
    role: str | None
    status: Status = Status.PENDING
    attempt: int = 0
    started_ms: int | None = None
    ended_ms: int | None = None
    reason: str | None = None
    """Why it failed or was skipped: a code."""
    message: str | None = None
    exit_code: int | None = None
    containment: str | None = None
    notes: tuple[str, ...] = ()
    """What could not be held, e.g. `egress_not_enforced`."""
    artefacts: tuple[Artefact, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint that was passed."""

    name: str
    role: str
    agent_id: str
    keyid: str
    job: str
    summary: str
    artefact: Artefact
    envelope: str
    """Digest of the signed statement."""
    issued_ms: int
    expires_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """One run of a pipeline, as its events say."""

    id: str
    """`pipeline_<ulid>`."""
    name: str
    digest: str
    """The definition's."""
    status: Status
    fence: int
    """Rises whenever somebody takes the run up."""
    commit_sha: str
    """Of the workspace's repository; empty where it is none."""
    triggered_ms: int
    triggered_by: str
    stages: tuple[StageState, ...]
    jobs: tuple[JobState, ...]
    rules: tuple[CheckpointRule, ...]
    """The checkpoints that it has to pass."""
    checkpoints: tuple[Checkpoint, ...] = ()
    """Passed ones; a later one of the same name counts."""
    reason: str | None = None
    """Why it failed: a code."""
    message: str | None = None
    ended_ms: int | None = None
    scans: tuple[Mapping[str, Json], ...] = ()
    """Of artefacts, for secrets: `subject`, `tool`, `status`, `issues`, `report_artifact`, `metadata`."""
    revision: int = 0
    """How many events made it what it is."""

    def stage(self, name: str) -> StageState:
        """Return a stage; raises KeyError."""
        return {each.name: each for each in self.stages}[name]

    def job(self, job_id: str) -> JobState:
        """Return a job; raises KeyError."""
        return {each.id: each for each in self.jobs}[job_id]

    def passed(self, name: str) -> Checkpoint | None:
        """Return the last checkpoint of this name."""
        return {each.name: each for each in self.checkpoints}.get(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What the last look at a deployment measured; rates in thousandths of a percent, times in milliseconds."""

    error_rate_milli: int = 0
    response_time_ms: int = 0
    cpu_usage_milli: int = 0
    memory_usage_milli: int = 0
    active_connections: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One version on its way into one environment, as its events say."""

    id: str
    """`deploy_<ulid>`."""
    name: str
    """Of its definition."""
    digest: str
    """The definition's."""
    environment: str
    strategy: str
    version: str
    previous_version: str | None
    """What a roll back brings back; None: nothing was there."""
    status: Status
    pipeline_id: str | None
    """The run that made it; without one it can not be promoted."""
    created_ms: int
    created_by: str
    health: Health = Health()
    healthy: bool | None = None
    """As last probed; None: not yet."""
    steps_done: int = 0
    reason: str | None = None
    message: str | None = None
    revision: int = 0
    """How many events made it what it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of a run's log, redacted."""

    line: int
    """From 1, within the run."""
    job: str
    stream: str
    """`stdout`, `stderr`, or `interlock` for what the runner says."""
    time_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class Fleet:
    """Everything that the log says of pipelines and deployments."""

    pipelines: Mapping[str, Pipeline] = field(default_factory=dict[str, Pipeline])
    deployments: Mapping[str, Deployment] = field(default_factory=dict[str, Deployment])

    def in_order(self) -> tuple[Sequence[Pipeline], Sequence[Deployment]]:
        """Return both, sorted by id."""
        return (
            [self.pipelines[key] for key in sorted(self.pipelines)],
            [self.deployments[key] for key in sorted(self.deployments)],
        )
