"""The rows of the plan, of drafts, of approved records and of the content store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interlock.approval.models import Approved, Draft, DraftStatus, Plan, Version, Work
from interlock.evidence.content import Sealed, Text, commitment, named
from interlock.kernel.canonical import canonical
from interlock.storage.database import Row, Transaction, Value


@dataclass(frozen=True, slots=True)
class StoredContents:
    """Bodies in the transaction that is open; implements `evidence.content.ContentStore`."""

    transaction: Transaction

    def put(self, sealed: Sealed, *, of: str | None = None) -> str:
        """Keep a body; returns its reference."""
        self.transaction.run(
            "content_put",
            ref=sealed.ref,
            salt=sealed.salt,
            body=sealed.body,
            media_type=sealed.media_type,
            of=of,
            now=self.transaction.now(),
        )
        return sealed.ref

    def erase(self, of: str, refs: Sequence[str]) -> Sequence[str]:
        """Erase salt and body of these, and of all that belongs to `of`; returns what was there and is gone."""
        named_so = {str(row["ref"]) for row in self.transaction.all("content_of", of=of)}
        gone = [ref for ref in sorted(named_so | set(refs)) if self.transaction.run("content_erase", ref=ref)]
        return tuple(gone)

    def get(self, ref: str) -> bytes | None:
        """Return a body, or None where it was erased or never kept."""
        row = self.transaction.one("content_get", ref=ref)
        return bytes(row["body"]) if row and row["body"] is not None else None

    def intact(self, ref: str) -> bool:
        """Say whether the stored body still matches its reference."""
        row = self.transaction.one("content_get", ref=ref)
        if row is None:
            return False
        if row["body"] is None:
            return True
        if row["salt"] is None:
            return named(bytes(row["body"]), "").ref == ref
        return commitment(bytes(row["salt"]), bytes(row["body"])) == ref


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """The plan in the transaction that is open; implements `approval.ports.PlanStore`."""

    transaction: Transaction

    def get(self) -> Plan | None:
        """Return the plan."""
        row = self.transaction.one("plan_get")
        if row is None:
            return None
        return Plan(
            version=row["version"],
            body=json.loads(row["body"]),
            updated_ms=row["updated_ms"],
            updated_by=row["updated_by"],
        )

    def put(self, plan: Plan) -> bool:
        """Write the plan over the version before it; False if that is not the last one any more."""
        changed = self.transaction.run(
            "plan_put",
            version=plan.version,
            body=canonical(plan.body).decode("utf-8"),
            updated_ms=plan.updated_ms,
            updated_by=plan.updated_by,
        )
        return changed == 1


@dataclass(frozen=True, slots=True)
class StoredDrafts:
    """Drafts in the transaction that is open; implements `approval.ports.DraftStore`."""

    transaction: Transaction

    def add(self, draft: Draft) -> None:
        """Insert a draft."""
        self.transaction.run("draft_add", author=draft.author, created_ms=draft.created_ms, **_columns(draft))

    def get(self, draft_id: str) -> Draft | None:
        """Return a draft with its texts."""
        row = self.transaction.one("draft_get", id=draft_id)
        return _draft(row) if row else None

    def list(self, *, status: DraftStatus | None, limit: int, before: str | None) -> Sequence[Draft]:
        """List drafts, newest first; those made before the one called `before`."""
        rows = self.transaction.all(
            "draft_list",
            any_status=int(status is None),
            status=status.value if status else "",
            from_newest=int(before is None),
            before=before or "",
            limit=limit,
        )
        return [_draft(row) for row in rows]

    def replace(self, draft: Draft, *, seen_version: int) -> bool:
        """Write a draft over the version that was seen."""
        return self.transaction.run("draft_replace", seen_version=seen_version, **_columns(draft)) == 1

    def keep(self, draft: Draft) -> None:
        """Keep what a draft says now, for comparing with later versions."""
        columns = _columns(draft)
        named_so = ("version", "prompt_ref", "content_ref", "context_ref", "work")
        self.transaction.run(
            "draft_version_add",
            draft_id=draft.id,
            written_ms=draft.updated_ms,
            **{name: columns[name] for name in named_so},
        )

    def versions(self, draft_id: str, *, limit: int, before: int) -> Sequence[Version]:
        """List what a draft said, the newest first; only versions below `before`."""
        written: dict[int, dict[str, Any]] = {}
        for row in self.transaction.all("draft_written", draft_id=draft_id):
            event = json.loads(row["leaf"])
            written[event["payload"]["draft_version"]] = event
        rows = self.transaction.all("draft_version_list", draft_id=draft_id, limit=limit, before=before)
        return [_version(row, written.get(row["version"], {})) for row in rows]

    def writers(self, draft_id: str) -> frozenset[str]:
        """Return who wrote a draft or a part of it, as the log says."""
        rows = self.transaction.all("draft_written", draft_id=draft_id)
        return frozenset(str(json.loads(row["leaf"])["principal"]) for row in rows)


@dataclass(frozen=True, slots=True)
class StoredApproved:
    """Approved records in the transaction that is open; implements `approval.ports.ApprovedStore`."""

    transaction: Transaction

    def add(self, approved: Approved) -> bool:
        """Insert a record; False if the draft has one already."""
        return (
            self.transaction.run(
                "approved_add",
                id=approved.id,
                draft_id=approved.draft_id,
                digest=approved.digest,
                terms=canonical(approved.terms).decode("utf-8"),
                prompt_ref=approved.prompt.ref,
                content_ref=approved.content.ref if approved.content else None,
                context_ref=approved.context.ref,
                provider=approved.provider,
                approved_ms=approved.approved_ms,
                approved_by=approved.approved_by,
                expires_ms=approved.expires_ms,
                attestation=canonical(approved.attestation).decode("utf-8") if approved.attestation else None,
                repository=approved.work.repository,
            )
            == 1
        )

    def get(self, approved_id: str) -> Approved | None:
        """Return a record with its texts."""
        row = self.transaction.one("approved_get", id=approved_id)
        return _approved(row) if row else None

    def logged_digest(self, draft_id: str) -> str | None:
        """Return the digest that the log says was agreed to."""
        rows = self.transaction.all("approved_logged", draft_id=draft_id)
        return str(json.loads(rows[0]["leaf"])["payload"]["digest"]) if len(rows) == 1 else None

    def list(self, *, limit: int, before: str | None) -> Sequence[Approved]:
        """List records, newest first; those made before the one called `before`."""
        rows = self.transaction.all("approved_list", from_newest=int(before is None), before=before or "", limit=limit)
        return [_approved(row) for row in rows]

    def before(self, draft_id: str, repository: str) -> str | None:
        """Return the id of what was last approved for a repository, before this draft was."""
        row = self.transaction.one("approved_before", draft_id=draft_id, repository=repository)
        return str(row["id"]) if row else None

    def revoke(self, approved_id: str, *, by: str, reason: str) -> bool:
        """Mark a record as revoked; False if it is already."""
        return (
            self.transaction.run(
                "approved_revoke", id=approved_id, revoked_by=by, reason=reason, now=self.transaction.now()
            )
            == 1
        )


def _columns(draft: Draft) -> dict[str, Value]:
    return {
        "id": draft.id,
        "version": draft.version,
        "status": draft.status.value,
        "prompt_ref": draft.prompt.ref,
        "content_ref": draft.content.ref if draft.content else None,
        "context_ref": draft.context.ref,
        "work": canonical(draft.work.to_json()).decode("utf-8"),
        "provider": draft.provider,
        "error": draft.error,
        "updated_ms": draft.updated_ms,
        "decided_by": draft.decided_by,
        "decision_reason": draft.decision_reason,
        "generated": canonical(draft.generated).decode("utf-8") if draft.generated is not None else None,
    }


def _text(row: Row, name: str) -> Text | None:
    ref: str | None = row[f"{name}_ref"]
    if ref is None:
        return None
    return Text(ref, bytes(row[name]).decode("utf-8") if row[name] is not None else None)


def _sure_text(row: Row, name: str) -> Text:
    text = _text(row, name)
    if text is None:
        raise RuntimeError(f"{row['id']} has no {name}, which its table does not allow")
    return text


def _draft(row: Row) -> Draft:
    return Draft(
        id=row["id"],
        version=row["version"],
        status=DraftStatus(row["status"]),
        prompt=_sure_text(row, "prompt"),
        content=_text(row, "content"),
        context=_sure_text(row, "context"),
        work=Work.from_json(json.loads(row["work"])),
        provider=row["provider"],
        error=row["error"],
        author=row["author"],
        created_ms=row["created_ms"],
        updated_ms=row["updated_ms"],
        decided_by=row["decided_by"],
        decision_reason=row["decision_reason"],
        generated=json.loads(row["generated"]) if row["generated"] is not None else None,
    )


def _version(row: Row, event: Mapping[str, Any]) -> Version:
    return Version(
        draft_id=row["draft_id"],
        version=row["version"],
        prompt=_sure_text(row, "prompt"),
        content=_text(row, "content"),
        context=_sure_text(row, "context"),
        work=Work.from_json(json.loads(row["work"])),
        written_ms=row["written_ms"],
        by=event.get("principal"),
        how=str(event["kind"]).removeprefix("draft.") if event else "written",
        reason=event["payload"].get("reason", "") if event else "",
    )


def _approved(row: Row) -> Approved:
    return Approved(
        id=row["id"],
        draft_id=row["draft_id"],
        digest=row["digest"],
        terms=json.loads(row["terms"]),
        prompt=_sure_text(row, "prompt"),
        content=_text(row, "content"),
        context=_sure_text(row, "context"),
        provider=row["provider"],
        approved_ms=row["approved_ms"],
        approved_by=row["approved_by"],
        expires_ms=row["expires_ms"],
        attestation=json.loads(row["attestation"]) if row["attestation"] else None,
        revoked_ms=row["revoked_ms"],
        revoked_by=row["revoked_by"],
        revoke_reason=row["revoke_reason"],
    )
