"""What the queue refuses."""

from __future__ import annotations

from interlock.kernel.errors import Conflict, NotFound


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


class AttemptsExhausted(Conflict):
    """The item has used all its attempts."""

    code = "attempts_exhausted"
