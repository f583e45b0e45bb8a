"""Approval from afar: the plan, drafts, approved records."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from interlock.access.models import Actor
from interlock.approval.compared import Against, Difference, Field
from interlock.approval.differences import Line, Part
from interlock.approval.errors import DraftChanged, PlanChanged
from interlock.approval.models import Approved, Draft, DraftStatus, Plan, Work
from interlock.approval.options import ApprovalOptions
from interlock.approval.service import Change
from interlock.evidence.content import Text
from interlock.kernel.canonical import JsonObject, canonical
from interlock.kernel.clock import from_text
from interlock.kernel.errors import Conflict
from interlock.kernel.ids import checked, has_prefix, with_prefix
from interlock.remote.connection import Connection, several, understood

_ERASED = "erased"
_STALE = "precondition_failed"


# --- what `approval/shown.py` writes, read ----------------------------------------------------------------------------


def read_draft(data: Mapping[str, Any]) -> Draft:
    """Read a draft; what stands for its texts is known only where its terms are shown too."""
    refs: Mapping[str, str | None] = data.get("terms") or {}
    return Draft(
        id=data["id"],
        version=data["version"],
        status=DraftStatus(data["status"]),
        prompt=_text(data["prompt"], refs.get("prompt")),
        content=None if data["content"] is None else _text(data["content"], refs.get("content")),
        context=_context(data["context"], refs.get("context")),
        work=Work.from_json(data["work"]),
        provider=data["provider"],
        error=data["error"],
        author=data["author"],
        created_ms=from_text(data["created_at"]),
        updated_ms=from_text(data["updated_at"]),
        decided_by=data["decided_by"],
        decision_reason=data["decision_reason"],
        generated=data["generated"],
    )


def read_approved(data: Mapping[str, Any]) -> Approved:
    """Read an approved record."""
    refs = data["terms"]
    return Approved(
        id=data["id"],
        draft_id=data["draft_id"],
        digest=data["digest"],
        terms=refs,
        prompt=_text(data["prompt"], refs["prompt"]),
        content=None if refs["content"] is None else _text(data["content"], refs["content"]),
        context=_context(data["context"], refs["context"]),
        provider=data["provider"],
        approved_ms=from_text(data["approved_at"]),
        approved_by=data["approved_by"],
        expires_ms=_instant(data["expires_at"]),
        attestation=data["attestation"],
        revoked_ms=_instant(data["revoked_at"]),
        revoked_by=data["revoked_by"],
        revoke_reason=data["revoke_reason"],
    )


def _text(shown: str, ref: str | None) -> Text:
    return Text(ref or "", None if shown == _ERASED else shown)


def _context(shown: Any, ref: str | None) -> Text:  # noqa: ANN401 - JSON of any shape
    return Text(ref or "", None if shown == _ERASED else canonical(shown).decode())


def _instant(text: str | None) -> int | None:
    return None if text is None else from_text(text)


# --- the room ---------------------------------------------------------------------------------------------------------


class RemoteApproval:
    """Answers as `approval.service.Approval` does."""

    def __init__(self, server: Connection) -> None:
        self._server = server
        self._terms: dict[tuple[str, int], JsonObject] = {}

    @property
    def options(self) -> ApprovalOptions:
        """How the server's approval behaves."""
        return understood(_options, self._server.get("/ops/defaults").json)

    def plan(self) -> Plan:
        """Return the plan."""
        answer = self._server.get("/ops/plan")
        return understood(lambda told: _plan(told, int(answer.tag)), answer.json)

    def set_plan(self, actor: Actor, body: JsonObject, *, seen_version: int | None = None) -> Plan:
        """Write the plan."""
        del actor
        seen = None if seen_version is None else str(seen_version)
        try:
            written = self._server.send("PUT", "/ops/plan", body, if_match=seen).json
        except Conflict as error:
            if error.code == _STALE:
                raise PlanChanged(error.message) from None
            raise
        return understood(lambda told: _plan(body, told["version"]), written)

    # --- drafts -------------------------------------------------------------------------------------------------------

    def create(
        self,
        actor: Actor,
        prompt: str,
        *,
        content: str | None = None,
        context: JsonObject | None = None,
        work: Work | None = None,
    ) -> Draft:
        """Make a draft."""
        del actor
        body: dict[str, Any] = {
            "prompt": prompt,
            "context": context,
            "work": None if work is None else _new_work(work),
            **({} if content is None else {"content": content}),
        }
        return understood(read_draft, self._server.make("/ops/drafts", body).json)

    def draft(self, draft_id: str) -> Draft:
        """Return a draft."""
        found = self._server.get(f"/ops/drafts/{checked(draft_id, 'd')}").json
        draft = understood(read_draft, found)
        self._terms[draft.id, draft.version] = understood(lambda told: told["terms"], found)
        return draft

    def drafts(
        self, *, status: DraftStatus | None = None, limit: int = 100, before: str | None = None
    ) -> Sequence[Draft]:
        """List drafts, newest first."""
        asked = None if status is None else status.value
        found = self._server.get("/ops/drafts", status=asked, limit=limit, before=before).json
        return several(read_draft, found)

    def terms(self, draft: Draft) -> JsonObject:
        """Return what an approval of exactly this draft froze, or would freeze now."""
        if (draft.id, draft.version) not in self._terms:
            found = self.draft(draft.id)
            if found.version != draft.version:
                raise DraftChanged(f"{draft.id} is as you wanted it, and was changed by somebody else right afterwards")
        return self._terms[draft.id, draft.version]

    def difference(self, draft_id: str, to: Against = Against.PREVIOUS) -> Difference:
        """Hold a draft against its version before, or against what was last approved for its repository."""
        path = f"/ops/drafts/{checked(draft_id, 'd')}/difference"
        return understood(_difference, self._server.get(path, to=to.value).json)

    def edit(
        self, actor: Actor, draft_id: str, change: Change, *, seen_version: int | None = None, reason: str = ""
    ) -> Draft:
        """Change a draft that is not decided."""
        del actor
        said: dict[str, Any] = {"prompt": change.prompt, "content": change.content, "context": change.context}
        if change.work is not None:
            said["work"] = {**_new_work(change.work), "base_commit": change.work.base_commit}
        body = {name: value for name, value in said.items() if value is not None}
        if reason:
            body["reason"] = reason
        return self._decide("PUT", draft_id, "", body, seen_version)

    def reject(self, actor: Actor, draft_id: str, *, reason: str = "", seen_version: int | None = None) -> Draft:
        """Turn a draft down."""
        del actor
        return self._decide("POST", draft_id, "/reject", {"reason": reason}, seen_version)

    def erase(self, actor: Actor, some_id: str, *, reason: str) -> Draft:
        """Erase the texts of a draft, or of the draft of an approved record."""
        del actor
        draft_id = with_prefix(checked(some_id, "a" if has_prefix(some_id, "a") else "d"), "d")
        return understood(
            read_draft, self._server.send("POST", f"/ops/drafts/{draft_id}/erase", {"reason": reason}).json
        )

    def _decide(self, method: str, draft_id: str, verb: str, body: JsonObject, seen_version: int | None) -> Draft:
        path = f"/ops/drafts/{checked(draft_id, 'd')}{verb}"
        seen = None if seen_version is None else str(seen_version)
        try:
            return understood(read_draft, self._server.send(method, path, body, if_match=seen).json)
        except Conflict as error:
            if error.code == _STALE:
                raise DraftChanged(error.message) from None
            raise

    def approve(
        self,
        actor: Actor,
        draft_id: str,
        *,
        seen_digest: str | None = None,
        expires_after_seconds: int | None = None,
        reason: str = "",
    ) -> Approved:
        """Freeze a draft into an approved record."""
        del actor
        body = {"digest": seen_digest, "expires_after_seconds": expires_after_seconds, "reason": reason}
        found = self._server.send("POST", f"/ops/drafts/{checked(draft_id, 'd')}/approve", body).json
        return understood(lambda told: read_approved(told["approved"]), found)

    # --- approved records ---------------------------------------------------------------------------------------------

    def approved(self, approved_id: str) -> Approved:
        """Return an approved record."""
        return understood(read_approved, self._server.get(f"/ops/approved/{checked(approved_id, 'a')}").json)

    def all_approved(self, *, limit: int = 100, before: str | None = None) -> Sequence[Approved]:
        """List approved records, newest first."""
        found = self._server.get("/ops/approved", limit=limit, before=before).json
        return several(read_approved, found)

    def revoke(self, actor: Actor, approved_id: str, *, reason: str = "") -> Approved:
        """Take an approval back."""
        del actor
        path = f"/ops/approved/{checked(approved_id, 'a')}/revoke"
        return understood(read_approved, self._server.send("POST", path, {"reason": reason}).json)


def _plan(body: JsonObject, version: int) -> Plan:
    return Plan(version=version, body=json.loads(canonical(body)), updated_ms=0, updated_by="")


def _difference(told: Mapping[str, Any]) -> Difference:
    return Difference(
        draft_id=told["draft_id"],
        version=told["version"],
        to=Against(told["to"]),
        other=told["other"],
        other_version=told["other_version"],
        by=told["by"],
        at_ms=_instant(told["at"]),
        sentence=told["sentence"],
        fields=[Field(name=each["name"], lines=[_line(line) for line in each["lines"]]) for each in told["fields"]],
    )


def _line(told: Mapping[str, Any]) -> Line:
    parts = tuple(Part(part["text"], changed=part["changed"]) for part in told["parts"])
    return Line(told["mark"], parts, told["count"])


def _options(told: Mapping[str, Any]) -> ApprovalOptions:
    return ApprovalOptions(
        expires_after_seconds=told["expires_after_seconds"],
        four_eyes=told["four_eyes"],
        defaults=Work.from_json(told["work"]),
    )


def _new_work(work: Work) -> dict[str, Any]:
    plain = work.to_json()
    plain["base"] = plain.pop("base_ref")
    del plain["base_commit"]
    return plain
