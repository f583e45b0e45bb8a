"""What happens to the plan, to drafts and to approved records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from interlock.kernel.canonical import JsonObject
from interlock.kernel.events import Event


@dataclass(frozen=True, kw_only=True)
class PlanSet(Event):
    """The plan was written."""

    kind = "plan.set"
    plan_version: int
    before_digest: str | None
    digest: str


@dataclass(frozen=True, kw_only=True)
class DraftCreated(Event):
    """A draft was made."""

    kind = "draft.created"
    draft_version: int
    terms_digest: str


@dataclass(frozen=True, kw_only=True)
class DraftGenerated(Event):
    """A provider wrote a draft's content."""

    kind = "draft.generated"
    draft_version: int
    before_digest: str
    terms_digest: str
    generated: JsonObject


@dataclass(frozen=True, kw_only=True)
class DraftNotGenerated(Event):
    """A provider was asked for a draft's content and wrote none."""

    kind = "draft.generation_failed"
    draft_version: int
    reason: str
    generated: JsonObject


@dataclass(frozen=True, kw_only=True)
class DraftEdited(Event):
    """A draft was changed."""

    kind = "draft.edited"
    draft_version: int
    before_digest: str
    terms_digest: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class DraftRejected(Event):
    """A draft was turned down."""

    kind = "draft.rejected"
    draft_version: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class DraftApproved(Event):
    """A human agreed to exactly these terms."""

    kind = "draft.approved"
    approved_id: str
    draft_version: int
    digest: str
    reason: str
    terms: JsonObject
    expires_ms: int | None
    attestation: JsonObject | None


@dataclass(frozen=True, kw_only=True)
class ContentErased(Event):
    """The texts of a draft, and of what was approved of it, were erased. What was agreed to stays provable, unread."""

    kind = "content.erased"
    refs: Sequence[str]
    """Commitments to what is gone."""
    reason: str


@dataclass(frozen=True, kw_only=True)
class ApprovalRevoked(Event):
    """An approval was taken back; nothing starts from it any more."""

    kind = "approval.revoked"
    digest: str
    reason: str
