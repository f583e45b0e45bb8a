"""Drafts, approved records and the plan as JSON: the shapes of seed 4, with what we add. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from interlock.approval.compared import Difference
from interlock.approval.models import Approved, Draft, Plan, Version
from interlock.evidence.content import Text
from interlock.kernel.canonical import JsonObject
from interlock.kernel.clock import to_text

_ERASED = "erased"


def show_plan(plan: Plan) -> JsonObject:
    """Return the plan as it was written."""
    return plan.body


def show_draft(draft: Draft) -> dict[str, Any]:
    """Return a draft in the shape of OpsDraft."""
    return {
        "id": draft.id,
        "status": draft.status.value,
        "version": draft.version,
        "prompt": _text(draft.prompt),
        "context": _context(draft.context),
        "provider": draft.provider,
        "generated": draft.generated,
        "content": _text(draft.content) if draft.content else None,
        "error": draft.error,
        "work": draft.work.to_json(),
        "author": draft.author,
        "created_at": to_text(draft.created_ms),
        "updated_at": to_text(draft.updated_ms),
        "decided_by": draft.decided_by,
        "decision_reason": draft.decision_reason,
    }


def show_approved(approved: Approved) -> dict[str, Any]:
    """Return an approved record in the shape of OpsApproved."""
    return {
        "id": approved.id,
        "draft_id": approved.draft_id,
        "digest": approved.digest,
        "prompt": _text(approved.prompt),
        "context": _context(approved.context),
        "provider": approved.provider,
        "content": _text(approved.content) if approved.content else "",
        "terms": approved.terms,
        "approved_at": to_text(approved.approved_ms),
        "approved_by": approved.approved_by,
        "expires_at": _instant(approved.expires_ms),
        "attestation": approved.attestation,
        "revoked_at": _instant(approved.revoked_ms),
        "revoked_by": approved.revoked_by,
        "revoke_reason": approved.revoke_reason,
    }


def show_version(version: Version) -> dict[str, Any]:
    """Return who wrote a version of a draft, when and why."""
    return {
        "version": version.version,
        "how": version.how,
        "by": version.by,
        "at": to_text(version.written_ms),
        "reason": version.reason,
    }


def show_difference(difference: Difference) -> dict[str, Any]:
    """Return what differs, and from what."""
    return {
        "draft_id": difference.draft_id,
        "version": difference.version,
        "to": difference.to.value,
        "other": difference.other,
        "other_version": difference.other_version,
        "by": difference.by,
        "at": _instant(difference.at_ms),
        "sentence": difference.sentence,
        "fields": [asdict(field) for field in difference.fields],
    }


def _text(text: Text) -> str:
    return _ERASED if text.body is None else text.body


def _context(text: Text) -> Any:  # noqa: ANN401 - JSON of any shape
    return _ERASED if text.body is None else json.loads(text.body)


def _instant(ms: int | None) -> str | None:
    return to_text(ms) if ms is not None else None
