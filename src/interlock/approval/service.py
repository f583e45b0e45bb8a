"""The verbs of approval. Each opens the short transactions that it needs; git and signing happen between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from interlock.access.models import Actor, require_human
from interlock.approval.compared import Against, Difference, against_approved, against_nothing, against_version
from interlock.approval.errors import (
    ApprovalEnded,
    ApprovalLapsed,
    ApprovedNotFound,
    ContentErased,
    DigestMismatch,
    DraftChanged,
    DraftDecided,
    DraftInError,
    DraftNotApproved,
    DraftNotFound,
    FourEyesNeeded,
    InvalidWork,
    NothingToErase,
    PlanChanged,
    PromptInvalid,
    RungOutOfReach,
)
from interlock.approval.events import (
    ApprovalRevoked,
    DraftApproved,
    DraftCreated,
    DraftEdited,
    DraftGenerated,
    DraftNotGenerated,
    DraftRejected,
    PlanSet,
)
from interlock.approval.events import ContentErased as ContentErasedEvent
from interlock.approval.models import (
    MAY_BECOME,
    Approved,
    Draft,
    DraftStatus,
    Plan,
    Rung,
    Version,
    Work,
    terms_digest,
    with_defaults,
)
from interlock.approval.options import ApprovalOptions
from interlock.approval.plan import EMPTY_PLAN, check_plan
from interlock.approval.ports import Agents, Attest, Desk, Look, Open, Pin, Signed
from interlock.evidence.content import Text, commit, named_envelope
from interlock.kernel.canonical import JsonObject, canonical, check, digest
from interlock.kernel.ids import UlidSource, checked, has_prefix, with_prefix

APPROVAL_PREDICATE = "urn:interlock:predicate:approval/v1"
_ANY_COMMAND = "command"
"""The agent that is whatever command was written."""
_MAX_TERMS_BYTES = 24 * 1024
_MAX_REASON_BYTES = 4 * 1024
"""Beside the terms in one event."""
_MOST_VERSION = 2**31 - 1
_MOST_REFS = 200
"""In one event, so that it stays within its 32 KiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What an edit changes; None keeps what is there."""

    prompt: str | None = None
    content: str | None = None
    context: JsonObject | None = None
    work: Work | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """How a provider was asked for a draft's content, and what is known of its answer."""

    request: bytes | None
    """The body of the request, exactly as it went out; kept like every other text, so that it can be erased."""
    facts: JsonObject
    """Provider, model, tokens, cost, time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """The plan, drafts and approved records."""

    open: Open
    look: Look
    new_ulid: UlidSource
    pin: Pin
    agents: Agents
    attest: Attest
    options: ApprovalOptions

    # --- drafts -----------------------------------------------------------------------------------------------------

    def create(
        self,
        actor: Actor,
        prompt: str,
        *,
        content: str | None = None,
        context: JsonObject | None = None,
        work: Work | None = None,
    ) -> Draft:
        """Make a draft; the base commit is looked up now, so that a reviewer sees exactly which one is meant."""
        return self._create(actor, prompt, content=content, context=context, work=work)

    def await_content(
        self, actor: Actor, prompt: str, *, context: JsonObject | None = None, provider: str, error: str
    ) -> Draft:
        """Make a draft whose content a provider is about to write. Until it has, the draft is in error, and says so."""
        return self._create(actor, prompt, context=context, provider=provider, error=error)

    def _create(
        self,
        actor: Actor,
        prompt: str,
        *,
        content: str | None = None,
        context: JsonObject | None,
        work: Work | None = None,
        provider: str | None = None,
        error: str | None = None,
    ) -> Draft:
        self._checked_text(prompt, "the prompt")
        if content is not None:
            self._checked_text(content, "the content")
        shown = self._checked_context(context or {})
        self._check_agent(work or Work())
        pinned = self.pin(work or Work())
        defaults = self._defaults(pinned)
        with self.open(actor) as desk:
            now = desk.now()
            draft_id = f"d_{self.new_ulid()}"
            draft = Draft(
                id=draft_id,
                version=1,
                status=DraftStatus.DRAFT if error is None else DraftStatus.ERROR,
                prompt=_keep(desk, draft_id, prompt),
                content=_keep(desk, draft_id, content) if content is not None else None,
                context=_keep(desk, draft_id, shown, "application/json"),
                work=pinned,
                provider=provider,
                error=error,
                author=str(actor.principal),
                created_ms=now,
                updated_ms=now,
                decided_by=None,
                decision_reason=None,
            )
            terms = _loggable(draft.terms(defaults))
            desk.drafts.add(draft)
            desk.drafts.keep(draft)
            desk.emit(DraftCreated(subject=draft.id, draft_version=1, terms_digest=terms_digest(terms)))
        return draft

    def write_content(self, actor: Actor, draft: Draft, content: str, generated: Generated) -> Draft:
        """Put what the provider wrote into the draft that waits for it."""
        self._checked_text(content, "what the provider wrote")
        defaults = self._defaults(draft.work)
        with self.open(actor) as desk:
            after = replace(
                _generated(desk, draft, generated),
                status=DraftStatus.DRAFT,
                error=None,
                content=_keep(desk, draft.id, content),
            )
            terms = _loggable(after.terms(defaults))
            _replace(desk, after, draft.version)
            desk.drafts.keep(after)
            desk.emit(
                DraftGenerated(
                    subject=draft.id,
                    draft_version=after.version,
                    before_digest=terms_digest(draft.terms(defaults)),
                    terms_digest=terms_digest(terms),
                    generated=after.generated or {},
                )
            )
        return after

    def miss_content(self, actor: Actor, draft: Draft, error: str, generated: Generated) -> Draft:
        """Say why the draft that waits for its content has none; it stays in error."""
        with self.open(actor) as desk:
            after = replace(_generated(desk, draft, generated), error=error)
            _replace(desk, after, draft.version)
            desk.emit(
                DraftNotGenerated(
                    subject=draft.id, draft_version=after.version, reason=error, generated=after.generated or {}
                )
            )
        return after

    def draft(self, draft_id: str) -> Draft:
        """Return a draft; raises `DraftNotFound`."""
        checked(draft_id, "d")
        with self.look() as desk:
            return _draft(desk, draft_id)

    def drafts(
        self, *, status: DraftStatus | None = None, limit: int = 100, before: str | None = None
    ) -> Sequence[Draft]:
        """List drafts, newest first; those made before the one called `before`."""
        with self.look() as desk:
            return desk.drafts.list(status=status, limit=limit, before=before)

    def terms(self, draft: Draft) -> JsonObject:
        """Return what an approval of this draft froze, or would freeze now: what a reviewer is shown."""
        if draft.status is DraftStatus.APPROVED:
            return self.approved(with_prefix(draft.id, "a")).terms
        return draft.terms(self._defaults(draft.work) if draft.status is not DraftStatus.REJECTED else Work())

    def edit(
        self, actor: Actor, draft_id: str, change: Change, *, seen_version: int | None = None, reason: str = ""
    ) -> Draft:
        """Change a draft that is not decided; a draft in error becomes a draft again. No change is no new version."""
        checked(draft_id, "d")
        self._checked_reason(reason)
        for text, name in ((change.prompt, "the prompt"), (change.content, "the content")):
            if text is not None:
                self._checked_text(text, name)
        context = self._checked_context(change.context) if change.context is not None else None
        if change.work is not None:
            self._check_agent(change.work)
        pinned = self.pin(change.work) if change.work is not None else None
        before = self.draft(draft_id)
        if change == Change():
            _may(before, DraftStatus.DRAFT)
            _unchanged(before, seen_version)
            return before
        earlier = self._defaults(before.work)
        defaults = earlier if pinned is None else self._defaults(pinned)
        with self.open(actor) as desk:
            draft = _draft(desk, draft_id)
            _may(draft, DraftStatus.DRAFT)
            _unchanged(draft, seen_version)
            after = replace(
                draft,
                version=draft.version + 1,
                status=DraftStatus.DRAFT,
                error=None,
                prompt=_keep(desk, draft.id, change.prompt) if change.prompt is not None else draft.prompt,
                content=_keep(desk, draft.id, change.content) if change.content is not None else draft.content,
                context=_keep(desk, draft.id, context, "application/json") if context is not None else draft.context,
                work=pinned or draft.work,
                updated_ms=desk.now(),
            )
            terms = _loggable(after.terms(defaults))
            _replace(desk, after, draft.version)
            desk.drafts.keep(after)
            desk.emit(
                DraftEdited(
                    subject=draft.id,
                    draft_version=after.version,
                    before_digest=terms_digest(draft.terms(earlier)),
                    terms_digest=terms_digest(terms),
                    reason=reason,
                )
            )
        return after

    def reject(self, actor: Actor, draft_id: str, *, reason: str = "", seen_version: int | None = None) -> Draft:
        """Turn a draft down, for good."""
        checked(draft_id, "d")
        self._checked_text(reason, "the reason", empty=True)
        with self.open(actor) as desk:
            draft = _draft(desk, draft_id)
            _may(draft, DraftStatus.REJECTED)
            _unchanged(draft, seen_version)
            after = _decided(desk, draft, DraftStatus.REJECTED, actor, reason)
            _replace(desk, after, draft.version)
            desk.emit(DraftRejected(subject=draft.id, draft_version=after.version, reason=reason))
        return after

    def erase(self, actor: Actor, some_id: str, *, reason: str) -> Draft:
        """Erase the texts of a draft (or of the draft of an approved record), earlier ones included, for good.

        Every proof goes on to hold: the log has commitments only. What was approved of it can not start any more.
        """
        require_human(actor.principal, "erase a text")
        draft_id = with_prefix(checked(some_id, "a" if has_prefix(some_id, "a") else "d"), "d")
        self._checked_text(reason, "the reason")
        with self.open(actor) as desk:
            draft = _draft(desk, draft_id)
            request = (draft.generated or {}).get("request")
            texts = [text.ref for text in (draft.prompt, draft.content, draft.context) if text is not None]
            gone = desk.contents.erase(draft_id, [*texts, *([request] if isinstance(request, str) else [])])
            if not gone:
                raise NothingToErase(f"every text of {draft_id} has been erased already")
            for at in range(0, len(gone), _MOST_REFS):
                desk.emit(ContentErasedEvent(subject=draft_id, refs=gone[at : at + _MOST_REFS], reason=reason))
            return _draft(desk, draft_id)

    def approve(
        self,
        actor: Actor,
        draft_id: str,
        *,
        seen_digest: str | None = None,
        expires_after_seconds: int | None = None,
        reason: str = "",
    ) -> Approved:
        """Freeze a draft into an approved record. Starts nothing; happens once; only a human may.

        `seen_digest` is the digest that the reviewer was shown: anything else is refused as `DraftChanged`.
        """
        require_human(actor.principal, "approve a draft")
        checked(draft_id, "d")
        self._checked_reason(reason)
        with self.look() as desk:
            draft = _draft(desk, draft_id)
            writers = desk.drafts.writers(draft_id) if self.options.four_eyes else frozenset[str]()
        if str(actor.principal) in writers:
            raise FourEyesNeeded(f"{actor.principal} wrote {draft_id}, or a part of it, and may not approve it")
        _may(draft, DraftStatus.APPROVED)
        _readable(draft)
        terms = self.terms(draft)
        check_provable(Work.from_json({**terms, "base_ref": None}), self.options.rung)
        frozen = terms_digest(terms)
        if seen_digest is not None and seen_digest != frozen:
            raise DraftChanged(f"{draft_id} is {frozen} by now, not {seen_digest[:80]}")
        lasts = expires_after_seconds if expires_after_seconds is not None else self.options.expires_after_seconds
        approved_id = with_prefix(draft_id, "a")
        signed = self.attest(
            actor,
            predicate_type=APPROVAL_PREDICATE,
            subject=approved_id,
            digest=frozen,
            predicate={"draft_id": draft_id, "draft_version": draft.version, "terms": terms, "lasts_seconds": lasts},
        )
        return self._publish(actor, draft, terms, signed, lasts=lasts, reason=reason)

    def _publish(
        self, actor: Actor, draft: Draft, terms: JsonObject, signed: Signed, *, lasts: int | None, reason: str
    ) -> Approved:
        with self.open(actor) as desk:
            now = desk.now()
            approved = Approved(
                id=with_prefix(draft.id, "a"),
                draft_id=draft.id,
                digest=terms_digest(terms),
                terms=terms,
                prompt=draft.prompt,
                content=draft.content,
                context=draft.context,
                provider=draft.provider,
                approved_ms=now,
                approved_by=str(actor.principal),
                expires_ms=now + lasts * 1000 if lasts is not None else None,
                attestation=signed.attestation,
                revoked_ms=None,
                revoked_by=None,
                revoke_reason=None,
            )
            after = _decided(desk, draft, DraftStatus.APPROVED, actor, reason)
            if not desk.drafts.replace(after, seen_version=draft.version):
                _may(_draft(desk, draft.id), DraftStatus.APPROVED)
                raise DraftChanged(f"{draft.id} was changed while it was being approved")
            if not desk.approved.add(approved):
                raise DraftDecided(f"{draft.id} has been approved already, as {approved.id}")
            desk.contents.put(named_envelope(signed.envelope))
            desk.emit(
                DraftApproved(
                    subject=draft.id,
                    approved_id=approved.id,
                    draft_version=after.version,
                    digest=approved.digest,
                    reason=reason,
                    terms=terms,
                    expires_ms=approved.expires_ms,
                    attestation=signed.attestation,
                )
            )
        return approved

    def versions(self, draft_id: str, *, limit: int = 50, before: int | None = None) -> Sequence[Version]:
        """List what a draft said, the newest version first; versions from before they were kept are not there."""
        with self.look() as desk:
            _draft(desk, checked(draft_id, "d"))
            return desk.drafts.versions(draft_id, limit=limit, before=before or _MOST_VERSION)

    def difference(self, draft_id: str, to: Against = Against.PREVIOUS) -> Difference:
        """Hold a draft against its version before, or against what was last approved for its repository."""
        checked(draft_id, "d")
        draft = self.draft(draft_id)
        terms = self.terms(draft)
        repository = terms["repository"]
        with self.look() as desk:
            if to is Against.PREVIOUS:
                kept = desk.drafts.versions(draft_id, limit=2, before=_MOST_VERSION)
                earlier = kept[1] if len(kept) > 1 else None
                other = None
            else:
                named_so = desk.approved.before(draft_id, repository) if isinstance(repository, str) else None
                earlier, other = None, _approved(desk, named_so) if named_so is not None else None
        if earlier is not None:
            past = replace(
                draft, prompt=earlier.prompt, content=earlier.content, context=earlier.context, work=earlier.work
            )
            return against_version(draft, terms, earlier, past, past.terms(self._defaults(earlier.work)))
        return against_approved(draft, terms, other) if other is not None else against_nothing(draft, terms, to)

    # --- approved records ---------------------------------------------------------------------------------------------

    def approved(self, approved_id: str) -> Approved:
        """Return an approved record; raises `ApprovedNotFound`."""
        checked(approved_id, "a")
        with self.look() as desk:
            return _approved(desk, approved_id)

    def all_approved(self, *, limit: int = 100, before: str | None = None) -> Sequence[Approved]:
        """List approved records, newest first; those made before the one called `before`."""
        with self.look() as desk:
            return desk.approved.list(limit=limit, before=before)

    def revoke(self, actor: Actor, approved_id: str, *, reason: str = "") -> Approved:
        """Take an approval back: no run starts from it any more. Runs that are under way go on; cancel them."""
        require_human(actor.principal, "revoke an approval")
        checked(approved_id, "a")
        self._checked_text(reason, "the reason", empty=True)
        with self.open(actor) as desk:
            approved = _approved(desk, approved_id)
            if not desk.approved.revoke(approved_id, by=str(actor.principal), reason=reason):
                raise ApprovalEnded(f"{approved_id} has been revoked already, by {approved.revoked_by}")
            desk.emit(ApprovalRevoked(subject=approved_id, digest=approved.digest, reason=reason))
            return _approved(desk, approved_id)

    # --- the plan -----------------------------------------------------------------------------------------------------

    def plan(self) -> Plan:
        """Return the plan; an empty one where none has been set."""
        with self.look() as desk:
            return desk.plans.get() or Plan(version=0, body=EMPTY_PLAN, updated_ms=0, updated_by="")

    def set_plan(self, actor: Actor, body: JsonObject, *, seen_version: int | None = None) -> Plan:
        """Write the plan; over another version than the one that was seen it is refused as `PlanChanged`."""
        check_plan(body)
        with self.open(actor) as desk:
            before = desk.plans.get()
            version = before.version if before else 0
            if seen_version not in {None, version}:
                raise PlanChanged(f"the plan is at version {version}")
            plan = Plan(
                version=version + 1,
                body=body,
                updated_ms=desk.now(),
                updated_by=str(actor.principal),
            )
            if not desk.plans.put(plan):
                raise PlanChanged("another plan was written at the same time")
            desk.emit(
                PlanSet(
                    subject="plan",
                    plan_version=plan.version,
                    before_digest=digest(before.body) if before else None,
                    digest=digest(body),
                )
            )
        return plan

    # --- checks -------------------------------------------------------------------------------------------------------

    def _defaults(self, work: Work) -> Work:
        """Pin the workspace's default repository, if the draft will take it, and write its agent's command."""
        if work.command is not None:
            return self.options.defaults
        usual = self.pin(self.options.defaults)
        agent = self._agent_of(work)
        if agent == _ANY_COMMAND or (work.agent == _ANY_COMMAND and usual.command is not None):
            return usual
        bare = replace(usual, command=None, agent=agent)
        wanted = replace(with_defaults(work, bare), model=work.model or usual.model, tools=work.tools or usual.tools)
        return replace(bare, command=self.agents.invoke(wanted), model=None, tools=())

    def _agent_of(self, work: Work) -> str:
        return self.options.defaults.agent if work.agent == _ANY_COMMAND and work.command is None else work.agent

    def _check_agent(self, work: Work) -> None:
        known, agent = self.agents.known(), self._agent_of(work)
        if agent not in known:
            raise InvalidWork(f"there is no agent {agent}; there are {', '.join(known)}")
        if (work.model is not None or work.tools) and agent == _ANY_COMMAND:
            raise InvalidWork("model and tools shape an agent's command, and no agent is named", hint="name one")

    def _checked_text(self, text: str, name: str, *, empty: bool = False) -> None:
        if not empty and not text.strip():
            raise PromptInvalid(f"{name} is empty")
        if "\0" in text:
            raise PromptInvalid(f"{name} holds a NUL character (at {text.index(chr(0))})")
        try:
            size = len(text.encode("utf-8"))
        except UnicodeEncodeError as error:
            raise PromptInvalid(f"{name} holds a lone surrogate (at {error.start}), which is not text") from None
        if size > self.options.max_text_bytes:
            raise PromptInvalid(
                f"{name} is {size} bytes; at most {self.options.max_text_bytes} are taken",
                hint="put the material into the repository and refer to it",
            )

    def _checked_reason(self, reason: str) -> None:
        self._checked_text(reason, "the reason", empty=True)
        size = len(reason.encode("utf-8"))
        if size > _MAX_REASON_BYTES:
            raise PromptInvalid(f"the reason is {size} bytes; at most {_MAX_REASON_BYTES} are taken")

    def _checked_context(self, context: JsonObject) -> str:
        try:
            check(context, "context")
        except (ValueError, RecursionError) as error:
            raise PromptInvalid(f"the context can not be kept exactly: {error}") from None
        text = canonical(context).decode("utf-8")
        self._checked_text(text, "the context")
        return text


def check_provable(work: Work, policy: Rung) -> None:
    """Raise `RungOutOfReach` where nothing in this work could ever prove it done as well as is needed.

    That a process ended with 0 can not be asked of an external session: the workspace's policy asks that only of what
    Interlock starts, and a human who approves work without a command knows that nobody but the session will say so.
    """
    asked = Rung(work.rung) if work.rung is not None else Rung.SELF_REPORTED
    needed = Rung.highest(asked, policy)
    if work.command is None:
        if asked is not Rung.SELF_REPORTED or not Rung.EXIT_CODE.reaches(policy):
            raise RungOutOfReach(
                f"{needed.value} is needed, and an external session can only report of itself",
                hint="name a command or an agent that Interlock starts, or ask for less",
            )
    elif needed is Rung.CHECKED and not (work.checks and work.repository):
        raise RungOutOfReach(
            f"checked is needed, and the work names no {'checks' if work.repository else 'repository'}",
            hint="name what has to pass on the result (--check), and the repository that it changes",
        )
    elif needed is Rung.CI and not work.repository:
        raise RungOutOfReach("ci is needed, and the work names no repository that a CI could look at")


def startable(desk: Desk, approved_id: str) -> Approved:
    """Return an approved record that a run may start from now, or raise what stands against it."""
    if has_prefix(approved_id, "d"):
        raise DraftNotApproved("Runs can only be created from approved_id")
    checked(approved_id, "a")
    approved = _approved(desk, approved_id)
    match approved.standing(desk.now()):
        case "revoked":
            raise ApprovalEnded(f"{approved_id} was revoked by {approved.revoked_by}")
        case "expired":
            raise ApprovalLapsed(f"{approved_id} has expired")
        case _:
            verify_frozen(desk, approved)
            return approved


def verify_frozen(desk: Desk, approved: Approved) -> None:
    """Hold a record against its digest, the digest against the log, and its texts against their commitments."""
    if desk.approved.logged_digest(approved.draft_id) != approved.digest:
        raise DigestMismatch(f"{approved.id} is not what the log says was approved")
    texts = {
        "prompt": approved.prompt.ref,
        "content": approved.content.ref if approved.content else None,
        "context": approved.context.ref,
    }
    named_texts = {name: approved.terms.get(name) for name in texts}
    if terms_digest(approved.terms) != approved.digest or named_texts != texts:
        raise DigestMismatch(f"{approved.id} does not match its digest {approved.digest}")
    for ref in filter(None, texts.values()):
        if desk.contents.get(ref) is None:
            raise ContentErased(f"a text of {approved.id} has been erased")
        if not desk.contents.intact(ref):
            raise DigestMismatch(f"a text of {approved.id} does not match its commitment")


def _loggable(terms: JsonObject) -> JsonObject:
    """Refuse work that could be reviewed and never approved, because no event could hold its terms."""
    check(terms, "terms")
    size = len(canonical(terms))
    if size > _MAX_TERMS_BYTES:
        raise InvalidWork(
            f"command, checks and environment are {size} bytes; at most {_MAX_TERMS_BYTES} are taken",
            hint="put a script into the repository and name that as command or check",
        )
    return terms


def _draft(desk: Desk, draft_id: str) -> Draft:
    draft = desk.drafts.get(draft_id)
    if draft is None:
        raise DraftNotFound(f"there is no draft {draft_id}")
    return draft


def _approved(desk: Desk, approved_id: str) -> Approved:
    approved = desk.approved.get(approved_id)
    if approved is None:
        raise ApprovedNotFound(f"there is no approved record {approved_id}")
    return approved


def _may(draft: Draft, after: DraftStatus) -> None:
    if MAY_BECOME.allows(draft.status, after):
        return
    if draft.status is DraftStatus.ERROR:
        raise DraftInError(f"{draft.id} could not be generated: {draft.error or 'no reason is known'}")
    by = f" by {draft.decided_by}" if draft.decided_by else ""
    raise DraftDecided(f"{draft.id} has been {draft.status.value}{by}")


def _generated(desk: Desk, draft: Draft, generated: Generated) -> Draft:
    body = generated.request
    request = _keep(desk, draft.id, body.decode("utf-8"), "application/json").ref if body is not None else None
    return replace(
        draft,
        version=draft.version + 1,
        generated={**generated.facts, "request": request},
        updated_ms=desk.now(),
    )


def _unchanged(draft: Draft, seen_version: int | None) -> None:
    if seen_version is not None and seen_version != draft.version:
        raise DraftChanged(f"{draft.id} is at version {draft.version}, not {seen_version}")


def _readable(draft: Draft) -> None:
    for text in (draft.prompt, draft.context, draft.content):
        if text is not None and text.body is None:
            raise ContentErased(f"a text of {draft.id} has been erased; nobody can approve what nobody can read")


def _decided(desk: Desk, draft: Draft, status: DraftStatus, actor: Actor, reason: str) -> Draft:
    return replace(
        draft,
        version=draft.version + 1,
        status=status,
        updated_ms=desk.now(),
        decided_by=str(actor.principal),
        decision_reason=reason or None,
    )


def _replace(desk: Desk, after: Draft, seen_version: int) -> None:
    if not desk.drafts.replace(after, seen_version=seen_version):
        raise DraftChanged(f"{after.id} was changed by somebody else at the same moment")


def _keep(desk: Desk, draft_id: str, body: str, media_type: str = "text/plain") -> Text:
    return Text(desk.contents.put(commit(body, media_type), of=draft_id), body)
