"""Drafts, approved records, and the terms that an approval freezes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from typing import Any, cast

from interlock.approval.errors import InvalidWork
from interlock.evidence.content import Text
from interlock.kernel.canonical import JsonObject, digest
from interlock.kernel.transitions import Transitions
from interlock.kernel.words import LABEL

TERMS_SCHEMA = "interlock.terms/v1"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_AGENT = re.compile(r"[a-z][a-z0-9_]{0,31}")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@\[\]-]{0,127}")
_TOOL = re.compile(r"[A-Za-z][^\x00-\x1f\x7f,]{0,199}")
_MAY_BE_NONE = {"tokens", "cost_microusd"}
_MOST = 2**53 - 1
_MOST_SECONDS = 366 * 24 * 3600


class DraftStatus(Enum):
    """Where a draft stands."""

    DRAFT = "draft"
    REJECTED = "rejected"
    APPROVED = "approved"
    ERROR = "error"


MAY_BECOME = Transitions(
    {
        DraftStatus.DRAFT: {DraftStatus.DRAFT, DraftStatus.REJECTED, DraftStatus.APPROVED},
        DraftStatus.ERROR: {DraftStatus.DRAFT, DraftStatus.REJECTED},
        DraftStatus.REJECTED: set(),
        DraftStatus.APPROVED: set(),
    }
)


class Rung(Enum):
    """How well it is known that a run is done, from the least to the most."""

    SELF_REPORTED = "self_reported"
    """Somebody said so."""
    EXIT_CODE = "exit_code"
    """We saw the agent's process end with 0."""
    CHECKED = "checked"
    """We ran the approved checks ourselves, in a clean worktree of exactly the result."""
    CI = "ci"
    """The project's CI says so of exactly the result."""

    def reaches(self, needed: Rung) -> bool:
        """Say whether this is enough where that is needed."""
        order = list(Rung)
        return order.index(self) >= order.index(needed)

    @staticmethod
    def highest(*rungs: Rung) -> Rung:
        """Return the one that is hardest to reach."""
        return max(rungs, key=list(Rung).index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a run may use; each is part of what is approved."""

    wall_clock_seconds: int = 3600
    """How long the agent may take."""
    check_seconds: int = 600
    """How long each check may take."""
    output_bytes: int = 10 * 1024 * 1024
    """How much the agent may print in all."""
    disk_bytes: int = 2 * 1024 * 1024 * 1024
    """How large the worktree may grow."""
    patch_bytes: int = 16 * 1024 * 1024
    """How large the resulting patch may be."""
    tokens: int = 0
    """How many tokens, read and written, the agent may use, as it says itself; 0 for no limit."""
    cost_microusd: int = 0
    """What the agent may cost, in millionths of a US dollar, as it says itself; 0 for no limit."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            most = _MOST_SECONDS if each.name.endswith("_seconds") else _MOST
            least = 0 if each.name in _MAY_BE_NONE else 1
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
                told = f"{most} (a year)" if most == _MOST_SECONDS else "2^53"
                raise InvalidWork(f"the limit {each.name} must be a whole number from {least} to {told}")

    def to_json(self) -> dict[str, int]:
        """Return the limits by name; what was added later stands there only where it is set (digests stay)."""
        return {name: value for name, value in asdict(self).items() if value or name not in _MAY_BE_NONE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What would be run, where, and how it is judged."""

    command: tuple[str, ...] | None = None
    """The agent's argument list; None until the workspace's default is frozen in, or for an external session."""
    repository: str | None = None
    """Absolute path or address of the git repository."""
    base_ref: str | None = None
    """What the author named; shown, not part of what is approved: the commit is."""
    base_commit: str | None = None
    """40 or 64 hex digits."""
    checks: tuple[tuple[str, ...], ...] = ()
    """Commands that must succeed in a clean checkout of the result."""
    environment: tuple[str, ...] = ()
    """Names of environment variables that the agent is given beyond PATH, HOME, LANG and its own."""
    network: bool = True
    """Whether the agent may reach the network."""
    limits: Limits = field(default_factory=Limits)
    agent: str = "command"
    """Which adapter reads what the command prints, and can take its session up again: `runs/agents/`."""
    needs: tuple[str, ...] = ()
    """Labels and capabilities that a node must have to take the run, `gpu` or `region=eu`."""
    rung: str | None = None
    """The least evidence of being done that is accepted (`Rung`); None for the workspace's policy."""
    model: str | None = None
    """The model that the agent is told to use; None for its own default."""
    tools: tuple[str, ...] = ()
    """What the agent may use without asking, in its own words; none for what the adapter allows as a rule."""

    def __post_init__(self) -> None:
        self._check_agent()
        for label in self.needs:
            if not LABEL.fullmatch(label):
                raise InvalidWork(f"a node is asked for by NAME or NAME=VALUE, not {label[:80]!a}")
        for name in self.environment:
            if not _VARIABLE.fullmatch(name) or name.startswith(("INTERLOCK_", "ORCH_")):
                raise InvalidWork(f"--env takes the name of a variable that may be handed on, not {name[:80]!a}")
        for word in (*(self.command or ()), *(word for check in self.checks for word in check)):
            if "\0" in word:
                raise InvalidWork("a command or check holds a NUL character")

    def _check_agent(self) -> None:
        if not _AGENT.fullmatch(self.agent):
            raise InvalidWork(f"an agent is named like claude_code, not {self.agent[:80]!a}")
        if self.model is not None and not _MODEL.fullmatch(self.model):
            raise InvalidWork(f"this is no name of a model: {self.model[:80]!a}")
        for tool in self.tools:
            if not _TOOL.fullmatch(tool):
                raise InvalidWork(f"a tool is named by the agent's own word, without a comma; not {tool[:80]!a}")
        if self.rung is not None and self.rung not in _RUNGS:
            raise InvalidWork(f"the rung is one of {', '.join(_RUNGS)}, not {self.rung[:80]!a}")
        if self.command is not None and (self.model is not None or self.tools):
            raise InvalidWork(
                "model and tools shape the command that is written for an agent; this work brings its own",
                hint="write them into the command, or leave the command away",
            )

    def to_json(self) -> dict[str, Any]:
        """Return the work as plain JSON."""
        plain = asdict(self)
        plain["command"] = list(self.command) if self.command is not None else None
        plain["checks"] = [list(check) for check in self.checks]
        plain["environment"] = sorted(self.environment)
        plain["limits"] = self.limits.to_json()
        for (
            name,
            usual,
        ) in _LATER.items():  # these stand there only where they are set: earlier digests stay as they are
            if plain[name] == usual:
                del plain[name]
        if self.needs:
            plain["needs"] = sorted(set(self.needs))
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Work:
        """Read what `to_json` wrote."""
        command = cast("Sequence[str] | None", data["command"])
        return cls(
            command=tuple(command) if command is not None else None,
            repository=data["repository"],
            base_ref=data["base_ref"],
            base_commit=data["base_commit"],
            checks=tuple(tuple(cast("Sequence[str]", check)) for check in data["checks"]),
            environment=tuple(cast("Sequence[str]", data["environment"])),
            network=data["network"],
            limits=Limits(**data["limits"]),
            agent=data.get("agent", "command"),
            needs=tuple(cast("Sequence[str]", data.get("needs", ()))),
            rung=data.get("rung"),
            model=data.get("model"),
            tools=tuple(cast("Sequence[str]", data.get("tools", ()))),
        )


_LATER: Mapping[str, Any] = {"agent": "command", "needs": (), "rung": None, "model": None, "tools": ()}
_RUNGS = tuple(each.value for each in Rung)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A proposal: what somebody would like an agent to do."""

    id: str
    version: int
    """Rises with every change; what an editor saw is named by it."""
    status: DraftStatus
    prompt: Text
    content: Text | None
    """What a provider made of the prompt."""
    context: Text
    """Canonical JSON of an object."""
    work: Work
    provider: str | None
    error: str | None
    author: str
    created_ms: int
    updated_ms: int
    decided_by: str | None
    decision_reason: str | None
    generated: JsonObject | None = None
    """How the provider was asked, and what is known of its answer; `request` names the exact request by commitment."""

    def terms(self, defaults: Work) -> JsonObject:
        """Return everything that an approval of this draft freezes; erasable fields enter as commitments."""
        work = with_defaults(self.work, defaults)
        return {
            "schema": TERMS_SCHEMA,
            "prompt": self.prompt.ref,
            "content": self.content.ref if self.content else None,
            "context": self.context.ref,
            **{name: value for name, value in work.to_json().items() if name != "base_ref"},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What a draft said once."""

    draft_id: str
    version: int
    prompt: Text
    content: Text | None
    context: Text
    work: Work
    written_ms: int
    by: str | None
    """Who wrote it, as the log says."""
    how: str
    """`created`, `edited` or `generated`."""
    reason: str
    """Why it was edited; empty where nobody said."""


def with_defaults(work: Work, defaults: Work) -> Work:
    """Fill in what the draft leaves open with the workspace's default agent and repository.

    Model and tools are not kept beside the command: they stand in it, word by word.
    """
    if work.command is not None:
        return work
    return Work(
        command=defaults.command,
        repository=work.repository or defaults.repository,
        base_ref=work.base_ref or defaults.base_ref,
        base_commit=work.base_commit or defaults.base_commit,
        checks=work.checks or defaults.checks,
        environment=work.environment or defaults.environment,
        network=work.network,
        limits=work.limits,
        agent=defaults.agent,
        needs=work.needs or defaults.needs,
        rung=work.rung or defaults.rung,
    )


def terms_digest(terms: JsonObject) -> str:
    """Name terms by their canonical bytes: `sha256:<hex>`."""
    return digest(terms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """What a human has agreed to; it never changes, it only ends."""

    id: str
    draft_id: str
    digest: str
    terms: JsonObject
    prompt: Text
    content: Text | None
    context: Text
    provider: str | None
    approved_ms: int
    approved_by: str
    expires_ms: int | None
    attestation: JsonObject | None
    """Digest, key and signer of the signed statement, where there is one."""
    revoked_ms: int | None
    revoked_by: str | None
    revoke_reason: str | None

    @property
    def work(self) -> Work:
        """The work as it was frozen."""
        return Work.from_json({**cast("dict[str, Any]", self.terms), "base_ref": None})

    def standing(self, now_ms: int) -> str:
        """Say whether runs may start from it: `valid`, `expired` or `revoked`."""
        if self.revoked_ms is not None:
            return "revoked"
        return "expired" if self.expires_ms is not None and now_ms >= self.expires_ms else "valid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The workspace's plan, as its authors wrote it."""

    version: int
    body: JsonObject
    updated_ms: int
    updated_by: str
