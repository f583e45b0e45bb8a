"""What the queue refuses."""

from __future__ import annotations

from interlock.kernel.errors import Conflict, Failed, Invalid, NotFound, Refused, Unreachable


class ItemNotFound(NotFound):
    """There is no such item."""

    code = "item_not_found"
    default_hint = "`interlock queue list` shows what there is"


class LeaseLost(Conflict):
    """The item is not held under this fence any more."""

    code = "lease_lost"
    default_hint = "it was cancelled, replanned or taken over; stop working on it, nothing that you report is taken"


class ItemStateConflict(Conflict):
    """The item's state does not allow this."""

    code = "item_state_conflict"


class IdempotencyKeyReused(Conflict):
    """The idempotency key was used for another task."""

    code = "idempotency_key_reused"
    default_hint = "a key stands for one task; take a new key"


class AttemptsExhausted(Conflict):
    """The item has used all its attempts."""

    code = "attempts_exhausted"


class ItemExists(Conflict):
    """There is such an item already."""

    code = "item_exists"


class NotesBlank(Invalid):
    """The notes are blank."""

    code = "notes_blank"
    default_hint = "say what has to be planned anew: --notes TEXT"


class BulkNotFound(NotFound):
    """There is no such bulk, or not any more."""

    code = "bulk_not_found"
    default_hint = (
        "a preview is kept for 15 minutes, and none outlives the server; what was done stands in the log: ask again"
    )


class BulkBusy(Conflict):
    """A server carries out one bulk at a time."""

    code = "bulk_busy"
    default_hint = "wait for it, or stop it"


class BulkTooLarge(Invalid):
    """More items match than a bulk takes."""

    code = "bulk_too_large"
    default_hint = "narrow the filter, and do it in parts"


class MarkdownMissing(NotFound):
    """There is no Markdown queue here."""

    code = "markdown_missing"
    default_hint = "name it with --queue, or make a workspace with `interlock init DIR`"


class MarkdownMalformed(Invalid):
    """The Markdown queue can not be read."""

    code = "markdown_malformed"
    default_hint = "nothing was changed; mend the line"


class MarkdownChanged(Conflict):
    """The Markdown queue was changed in the moment in which it should be written."""

    code = "markdown_changed"
    default_hint = "nothing was written; do it again"


class MarkdownRowsMissing(Conflict):
    """The Markdown queue has rows that what should replace them has not."""

    code = "markdown_rows_missing"
    default_hint = "nothing was changed; bring them into the database first, or say that they may be dropped"


class MarkdownUnwritten(Failed):
    """The Markdown queue could not be written."""

    code = "markdown_unwritten"
    default_hint = "nothing was changed; see to the disk and the folder's permissions"


class ImportDiffers(Conflict):
    """Rows of a Markdown queue differ from the database."""

    code = "import_differs"
    default_hint = "--keep leaves the database as it is, --replace takes the file's word"


class RenderDiffers(Conflict):
    """Rows of a Markdown queue are other tasks than the database's items of the same ids."""

    code = "render_differs"
    default_hint = "nothing was changed; bring them into the database under other ids, or say that they may be dropped"


class MarkdownReadOnly(Refused):
    """The Markdown queue may not be written."""

    code = "markdown_read_only"


class MarkdownLocked(Unreachable):
    """The Markdown queue is held by another process."""

    code = "markdown_locked"


class RunLogUnreadable(Failed):
    """The run log can not be read."""

    code = "run_log_unreadable"


class RunLogUnwritten(Failed):
    """The run log could not be written."""

    code = "run_log_unwritten"
    default_hint = "see to the disk and the folder's permissions; the next command writes what is missing"
