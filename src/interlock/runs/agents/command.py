"""Any command: run as it was written, its output kept and not read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from interlock.approval.errors import InvalidWork
from interlock.approval.models import Work
from interlock.runs.agents.port import Holds, Said


class Deaf:
    """Reads nothing."""

    def take(self, line: str, source: str) -> list[Said]:
        """Say nothing."""
        del line, source
        return []

    def end(self) -> list[Said]:
        """Say nothing."""
        return []


_HOLDS = Holds(
    network="interlock",
    tools="no",
    model="no",
    turns="no",
    tokens="no",
    cost="no",
    resume=False,
    hooks="none known",
)


@dataclass(frozen=True, slots=True)
class AnyCommand:
    """The adapter of what has none."""

    name: str = "command"
    executable: str = ""
    holds: Holds = _HOLDS

    def invoke(self, work: Work) -> tuple[str, ...]:
        """Refuse: a command is written by whoever drafts."""
        del work
        raise InvalidWork("any command is meant, and none was written", hint="name one, or an agent")

    def resume(self, command: Sequence[str], session_id: str) -> None:
        """Nothing is known of its sessions."""
        del command, session_id

    def reader(self) -> Deaf:
        """Return a reader that reads nothing."""
        return Deaf()


ADAPTER = AnyCommand()
