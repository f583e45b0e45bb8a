"""What can stand against a pipeline. Codes are stable: reports, events and people's scripts rely on them."""

from __future__ import annotations

from interlock.kernel.errors import Conflict, Failed, Invalid, NotFound, Refused


class RoleFileInvalid(Invalid):
    """The role file is not what it has to be."""

    code = "role_file_invalid"
    default_hint = "mend agents/data/agent_roles.json; nothing runs on a role file that is only half understood"


class RoleUnknown(Invalid):
    """No such role is in the role file."""

    code = "role_unknown"


class AgentUnknown(Invalid):
    """The role's agent is none that is built in."""

    code = "agent_unknown"


class ActionUnknown(Invalid):
    """The role's agent knows no such action."""

    code = "action_unknown"


class DefinitionInvalid(Invalid):
    """The definition is not what it has to be."""

    code = "definition_invalid"


class DefinitionMissing(NotFound):
    """There is no such definition."""

    code = "definition_missing"
    default_hint = "`interlock pipeline list` names them"


class DefinitionNotAccepted(Refused):
    """No human has accepted this definition as it is now."""

    code = "definition_not_accepted"


class DigestChanged(Conflict):
    """The definition is another one than the one that was looked at."""

    code = "definition_changed"
    default_hint = "look at it again: interlock pipeline show NAME"


class VariableSecret(Invalid):
    """A variable of the definition looks like a secret."""

    code = "variable_secret"
    default_hint = "a definition is shown to everybody; let the command read its secret from where it is kept"


class AssetsMissing(Conflict):
    """Something that has to be there before a pipeline starts is not there."""

    code = "assets_missing"
    default_hint = "`interlock init` brings back what it ships"


class PipelineMissing(NotFound):
    """There is no such run of a pipeline."""

    code = "pipeline_missing"


class PipelineNotMovable(Conflict):
    """The run's status does not allow this."""

    code = "pipeline_not_movable"


class PipelineTaken(Conflict):
    """Somebody else has taken up this run."""

    code = "pipeline_taken"


class WorkspaceBusy(Conflict):
    """Another pipeline is being carried out in this workspace."""

    code = "workspace_busy"
    default_hint = "wait for it (`interlock pipeline runs` names it), or cancel it"


class LockUnusable(Failed):
    """What keeps a second pipeline out of the workspace can not be written."""

    code = "lock_unusable"
    default_hint = "the state folder has to be writable, and its files plain ones"


class PipelineFailed(Failed):
    """The pipeline has failed."""

    code = "pipeline_failed"


class ArtefactMissing(NotFound):
    """There is no such artefact."""

    code = "artefact_missing"


class ArtefactEmpty(Failed):
    """The artefact is empty."""

    code = "artefact_empty"


class ArtefactTooLarge(Failed):
    """The artefact is too large to be kept."""

    code = "artefact_too_large"


class ArtefactUnsafe(Refused):
    """The artefact's path leads out of the workspace."""

    code = "artefact_unsafe"


class TaskFailed(Failed):
    """A role's agent could not carry out its action."""

    code = "task_failed"


class CheckpointRefusedError(Refused):
    """A checkpoint does not let this go on."""

    code = "checkpoint_refused"


class CheckpointMissing(CheckpointRefusedError):
    """The checkpoint has not been passed in this run."""

    code = "checkpoint_missing"


class CheckpointStale(CheckpointRefusedError):
    """The checkpoint has expired."""

    code = "checkpoint_stale"


class CheckpointReplayed(CheckpointRefusedError):
    """The checkpoint is of another run."""

    code = "checkpoint_replayed"


class CheckpointWrongRole(CheckpointRefusedError):
    """The checkpoint was not signed by the key of its role's agent."""

    code = "checkpoint_wrong_role"


class CheckpointKeyRevoked(CheckpointRefusedError):
    """The key that signed the checkpoint does not count any more."""

    code = "checkpoint_key_revoked"


class CheckpointArtefactMissing(CheckpointRefusedError):
    """The artefact that the checkpoint is about is not there."""

    code = "checkpoint_artefact_missing"


class CheckpointArtefactEmpty(CheckpointRefusedError):
    """The artefact that the checkpoint is about is empty."""

    code = "checkpoint_artefact_empty"


class CheckpointArtefactChanged(CheckpointRefusedError):
    """The artefact was changed after it was signed."""

    code = "checkpoint_artefact_changed"


class CheckpointSummaryBlank(CheckpointRefusedError):
    """The checkpoint says nothing."""

    code = "checkpoint_summary_blank"


class CheckpointSameKey(CheckpointRefusedError):
    """Verifier and operator have signed with one key."""

    code = "checkpoint_same_key"


class CheckpointForged(CheckpointRefusedError):
    """The checkpoint's signature does not hold, or its record is not what was signed."""

    code = "checkpoint_forged"


class ReportRowMissing(CheckpointRefusedError):
    """The report of deployment outcomes has no new row for this run."""

    code = "report_row_missing"


class DeploymentMissing(NotFound):
    """There is no such deployment."""

    code = "deployment_missing"


class DeploymentNotMovable(Conflict):
    """The deployment's status does not allow this."""

    code = "deployment_not_movable"


class DeploymentBusy(Conflict):
    """Another version is on its way into this environment."""

    code = "deployment_busy"


class EnvironmentUnknown(Invalid):
    """The definition declares no such environment."""

    code = "environment_unknown"


class VersionInvalid(Invalid):
    """This can not be the name of a version."""

    code = "version_invalid"
    default_hint = "letters, digits, . _ + and -, beginning with a letter or digit"


class PromotionBlocked(Refused):
    """The deployment may not be promoted."""

    code = "promotion_blocked"


class DeploymentFailed(Failed):
    """The deployment has failed."""

    code = "deployment_failed"
