"""Coding agents: how each is called without a person at hand, and what it says while it works.

An agent is one file here and one line in `AGENTS`. Its `invoke` writes the argument list that is shown, approved and
frozen: exactly that is run. Its reader makes readable lines and figures of what the agent prints. What it prints is
written by a model and is never trusted: a line that is torn, hostile or of an unknown kind says nothing, and breaks
nothing. What an agent can and can not enforce itself stands in docs/agents.md; the walls are `containment/`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from interlock.approval.errors import InvalidWork
from interlock.approval.models import Work
from interlock.runs.agents import claude_code, codex, command, gemini_cli, opencode
from interlock.runs.agents.port import Adapter

AGENTS: Mapping[str, Adapter] = {
    "command": command.ADAPTER,
    "claude_code": claude_code.ADAPTER,
    "codex": codex.ADAPTER,
    "gemini_cli": gemini_cli.ADAPTER,
    "opencode": opencode.ADAPTER,
}


class Known:
    """Answers `approval.ports.Agents`."""

    def known(self) -> Sequence[str]:
        """Return the names of the agents."""
        return tuple(AGENTS)

    def invoke(self, work: Work) -> tuple[str, ...]:
        """Return the argument list for `work.agent`; raises `InvalidWork`."""
        adapter = AGENTS.get(work.agent)
        if adapter is None:
            raise InvalidWork(f"there is no agent {work.agent}; there are {', '.join(AGENTS)}")
        return adapter.invoke(work)
