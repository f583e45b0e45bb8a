"""What can be wrong with Temporal."""

from __future__ import annotations

from interlock.kernel.errors import Conflict, Invalid, Unreachable


class TemporalExtraMissing(Conflict):
    """The client library of Temporal is not installed."""

    code = "temporal_extra_missing"
    default_hint = "pip install 'interlock[temporal]'"


class TemporalUnreachable(Unreachable):
    """Temporal does not answer."""

    code = "temporal_unreachable"


class TemporalFileUnreadable(Invalid):
    """A file that the section [temporal] names can not be read."""

    code = "temporal_file_unreadable"
