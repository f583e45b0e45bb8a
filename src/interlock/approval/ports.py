"""What approval needs from outside its room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from interlock.access.models import Actor
from interlock.approval.models import Approved, Draft, DraftStatus, Plan, Version, Work
from interlock.evidence.content import ContentStore
from interlock.kernel.canonical import JsonObject
from interlock.kernel.clock import Clock
from interlock.kernel.events import Emit


class DraftStore(Protocol):
    """Reads and writes drafts inside the transaction that is open."""

    def add(self, draft: Draft) -> None:
        """Insert a draft."""
        ...

    def get(self, draft_id: str) -> Draft | None:
        """Return a draft with its texts."""
        ...

    def list(self, *, status: DraftStatus | None, limit: int, before: str | None) -> Sequence[Draft]:
        """List drafts, newest first; those made before the one called `before`."""
        ...

    def replace(self, draft: Draft, *, seen_version: int) -> bool:
        """Write a draft over the version that was seen; False if it is another one by now."""
        ...

    def keep(self, draft: Draft) -> None:
        """Keep what a draft says now, for comparing with later versions."""
        ...

    def versions(self, draft_id: str, *, limit: int, before: int) -> Sequence[Version]:
        """List what a draft said, the newest first; only versions below `before`."""
        ...

    def writers(self, draft_id: str) -> frozenset[str]:
        """Return who wrote a draft or a part of it, as the log says."""
        ...


class ApprovedStore(Protocol):
    """Reads and writes approved records inside the transaction that is open."""

    def add(self, approved: Approved) -> bool:
        """Insert a record; False if the draft has one already."""
        ...

    def get(self, approved_id: str) -> Approved | None:
        """Return a record with its texts."""
        ...

    def logged_digest(self, draft_id: str) -> str | None:
        """Return the digest that the log says was agreed to."""
        ...

    def list(self, *, limit: int, before: str | None) -> Sequence[Approved]:
        """List records, newest first; those made before the one called `before`."""
        ...

    def before(self, draft_id: str, repository: str) -> str | None:
        """Return the id of what was last approved for a repository, before this draft was."""
        ...

    def revoke(self, approved_id: str, *, by: str, reason: str) -> bool:
        """Mark a record as revoked; False if it is already."""
        ...


class PlanStore(Protocol):
    """Reads and writes the plan inside the transaction that is open."""

    def get(self) -> Plan | None:
        """Return the plan."""
        ...

    def put(self, plan: Plan) -> bool:
        """Write the plan over the version before it; False if that is not the last one any more."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """One open transaction, as approval sees it."""

    drafts: DraftStore
    approved: ApprovedStore
    plans: PlanStore
    contents: ContentStore
    emit: Emit
    now: Clock


Open = Callable[[Actor], AbstractContextManager[Desk]]
"""Opens a transaction that may change something."""
Look = Callable[[], AbstractContextManager[Desk]]
"""Opens a transaction that only reads."""


class Pin(Protocol):
    """Finds out which commit is meant. Runs git, so it is never called inside a transaction."""

    def __call__(self, work: Work) -> Work:
        """Return the work with the repository's absolute path and the base commit."""
        ...


class Agents(Protocol):
    """Knows the agents, and how each is called without a person at hand."""

    def known(self) -> Sequence[str]:
        """Return their names; `command`, which is any command, is one of them."""
        ...

    def invoke(self, work: Work) -> tuple[str, ...]:
        """Return the argument list for `work.agent`; the same work gives the same words."""
        ...


class Attest(Protocol):
    """Signs a statement on a principal's behalf. Never called inside a transaction."""

    def __call__(
        self, actor: Actor, *, predicate_type: str, subject: str, digest: str, predicate: JsonObject
    ) -> Signed:
        """Return the signed statement."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A signed statement, ready to be stored beside the event that names it."""

    envelope: bytes
    attestation: JsonObject
    """What goes into the event: digest, keyid, predicate_type, signed_by."""
