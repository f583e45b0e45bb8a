"""What can go wrong between asking for an agent and knowing how it ended."""

from __future__ import annotations

from interlock.kernel.errors import Conflict, Failed, InterlockError, Invalid, NotFound


class SpecInvalid(Invalid):
    """The containment's specification is malformed."""

    code = "containment_spec_invalid"


class AgentCommandNotFound(NotFound):
    """There is no such agent command."""

    code = "agent_command_not_found"
    default_hint = "Check the command's name, and the PATH in the agent's environment."


class AgentCommandNotExecutable(Failed):
    """The agent command is not a program that can be run."""

    code = "agent_command_not_executable"
    default_hint = "Make it executable; a script also needs its first line (#!)."


class CwdMissing(NotFound):
    """The agent's working folder does not exist, or not in what the agent may see."""

    code = "cwd_missing"


class StdinFileMissing(NotFound):
    """The file that the agent should read as its input can't be opened."""

    code = "stdin_file_missing"


class PathMissing(NotFound):
    """A path that the agent should see does not exist."""

    code = "path_missing"


class NamespacesUnavailable(Failed):
    """This host does not give us the namespaces that the run requires."""

    code = "namespaces_unavailable"
    default_hint = "Allow unprivileged user namespaces on this host, or let the run go on with best effort."


class ViewFailed(Failed):
    """The agent's view of the file system could not be built."""

    code = "view_failed"


class AgentStartFailed(Failed):
    """The agent's process could not be started."""

    code = "agent_start_failed"


class StoppedBeforeStart(Conflict):
    """The run was stopped before its agent had started."""

    code = "stopped_before_start"


class SupervisorFailed(Failed):
    """The supervisor failed, and the agent with it."""

    code = "supervisor_failed"


class TookTooLong(Failed):
    """What was waited for did not happen in time; it may still happen."""

    code = "took_too_long"


REFUSALS: dict[str, type[InterlockError]] = {
    kind.code: kind
    for kind in (
        AgentCommandNotFound,
        AgentCommandNotExecutable,
        CwdMissing,
        StdinFileMissing,
        PathMissing,
        NamespacesUnavailable,
        ViewFailed,
        AgentStartFailed,
        StoppedBeforeStart,
        SupervisorFailed,
    )
}
"""Why an agent was not started, by the supervisor's reason code."""
