"""What can go wrong when a loop is looked at."""

from __future__ import annotations

from interlock.kernel.errors import Conflict, Invalid, NotFound


class ArtifactMissing(NotFound):
    """The runtime has not written what every run has."""

    code = "artifact_missing"


class ArtifactCorrupt(Invalid):
    """The runtime's file holds no JSON object, or one that is still being written."""

    code = "artifact_corrupt"


class ArtifactUnsupported(Invalid):
    """The runtime's file is of a version that is not known here."""

    code = "artifact_unsupported"


class CursorCorrupt(Invalid):
    """The cursor file does not say which events were read."""

    code = "cursor_corrupt"
    default_hint = "remove the cursor and replay with --from-start"


class CursorBeyondEnd(Conflict):
    """The cursor stands behind the last event: the log was cut or put aside."""

    code = "cursor_beyond_end"
    default_hint = "remove the cursor, or replay with --from-start"


class EventInvalid(Invalid):
    """A line of the event log is no event."""

    code = "event_invalid"


class EnvelopeInvalid(Invalid):
    """What was to be projected is no envelope of this loop."""

    code = "envelope_invalid"


class EnvelopeMissing(NotFound):
    """There is no such file."""

    code = "envelope_missing"


class ThresholdsInvalid(Invalid):
    """A critical threshold is lower than its degraded one."""

    code = "thresholds_invalid"


class ReconcileBusy(Conflict):
    """Somebody else is just reconciling this loop."""

    code = "reconcile_busy"
    default_hint = "look again in a moment"
