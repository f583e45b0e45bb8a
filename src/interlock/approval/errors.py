"""What approval refuses."""

from __future__ import annotations

from interlock.kernel.errors import Conflict, Invalid, NotFound, Refused


class RungOutOfReach(Conflict):
    """Nothing that was drafted could prove the run done as well as is needed."""

    code = "rung_out_of_reach"


class DraftNotFound(NotFound):
    """There is no such draft."""

    code = "draft_not_found"
    default_hint = "`interlock draft list` shows what there is"


class ApprovedNotFound(NotFound):
    """There is no such approved record."""

    code = "approved_not_found"
    default_hint = "`interlock approved list` shows what there is"


class DraftNotApproved(Refused):
    """This is a draft; runs can only be created from an approved id."""

    code = "draft_not_approved"
    default_hint = "a human approves it with `interlock draft approve`; then run the a_… id"


class DraftDecided(Conflict):
    """The draft has been decided and can not change any more."""

    code = "draft_decided"
    default_hint = "make a new draft"


class DraftInError(Conflict):
    """The draft failed to be generated and can not be approved."""

    code = "draft_in_error"
    default_hint = "edit it into shape first (`interlock draft edit`), or reject it"


class DraftChanged(Conflict):
    """The draft is not what you looked at any more."""

    code = "draft_changed"
    default_hint = "look at it again (`interlock draft show`) and decide on what it says now"


class PlanChanged(Conflict):
    """The plan is not what you looked at any more."""

    code = "plan_changed"
    default_hint = "look at it again and write it anew"


class ApprovalEnded(Conflict):
    """The approval has been revoked."""

    code = "approval_revoked"


class ApprovalLapsed(Conflict):
    """The approval has expired."""

    code = "approval_expired"
    default_hint = "draft it again and have it approved"


class FourEyesNeeded(Refused):
    """Who wrote a draft, or a part of it, may not approve it."""

    code = "four_eyes_needed"
    default_hint = "ask somebody else to look at it and to approve it"


class DigestMismatch(Conflict):
    """The approved record does not match its digest: it was altered after the approval."""

    code = "digest_mismatch"
    default_hint = "nothing was run; keep the database for examination and run `interlock evidence verify`"


class ContentErased(Conflict):
    """The text of this has been erased."""

    code = "content_erased"
    default_hint = "what was erased can not run again; draft it anew"


class NothingToErase(Conflict):
    """Every text of this has been erased already."""

    code = "nothing_to_erase"


class PromptInvalid(Invalid):
    """The text can not be taken."""

    code = "prompt_invalid"


class InvalidWork(Invalid):
    """What should be run is not described properly."""

    code = "invalid_work"


class RepositoryDirty(Conflict):
    """The repository has changes that are not committed, which an approval would not cover."""

    code = "repository_dirty"
    default_hint = "commit or stash them, or name the commit that you mean with --base"


class PlanInvalid(Invalid):
    """This is not a plan."""

    code = "plan_invalid"
