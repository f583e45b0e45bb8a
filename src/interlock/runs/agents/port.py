"""What an adapter is, and what its reader says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from interlock.approval.models import Work

Terminal = Literal["success", "failure", "limit"]
"""An agent's last word on the whole: it is done, it could not, or its provider lets it do no more for now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Figures that an agent gives of itself: totals since it was started; None where it does not say."""

    session_id: str | None = None
    turns: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_microusd: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one printed line comes to."""

    text: str = ""
    """For people to read, one line; empty where there is nothing to read."""
    level: Literal["INFO", "WARN", "ERROR"] = "INFO"
    told: Told | None = None
    terminal: Terminal | None = None
    resets_ms: int | None = None
    """With `limit`: when the provider lets it go on, where that was printed."""


class Reader(Protocol):
    """Reads one process's output, line by line."""

    def take(self, line: str, source: str) -> list[Said]:
        """Read a whole line of `stdout` or `stderr`; never raises, whatever it holds."""
        ...

    def end(self) -> list[Said]:
        """Say what is left when the process has ended."""
        ...


Enforced = Literal["agent", "interlock", "both", "no"]
"""Who holds a limit: the agent by its own flags, Interlock from outside, both, or nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holds:
    """What is enforced with an agent; docs/agents.md shows it as a table."""

    network: Enforced
    tools: Enforced
    model: Enforced
    turns: Enforced
    tokens: Enforced
    cost: Enforced
    resume: bool
    """Whether its session can be taken up again on the same machine."""
    hooks: str
    """What its own hooks do when they break."""


class Adapter(Protocol):
    """One coding agent."""

    @property
    def name(self) -> str:
        """Its name in a draft."""
        ...

    @property
    def executable(self) -> str:
        """The program that must be on PATH; empty for any."""
        ...

    @property
    def holds(self) -> Holds:
        """What is enforced with it, and by whom."""
        ...

    def invoke(self, work: Work) -> tuple[str, ...]:
        """Return the argument list for this work: the same work gives the same words. The prompt comes by stdin.

        Raises `InvalidWork` for what this agent can not be told.
        """
        ...

    def resume(self, command: Sequence[str], session_id: str) -> tuple[str, ...] | None:
        """Return the approved argument list as it takes a session up again; None where that can not be done."""
        ...

    def reader(self) -> Reader:
        """Return a reader for one process."""
        ...


Json = Mapping[str, object]
