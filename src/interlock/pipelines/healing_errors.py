"""What can go wrong while the workspace is looked after."""

from __future__ import annotations

from interlock.kernel.errors import Conflict, Failed, Invalid, NotFound, Refused


class GatewayPolicyInvalid(Invalid):
    """The policy of the services behind the gateway is not one."""

    code = "gateway_policy_invalid"
    default_hint = "storage/db/README.md names its schema; `interlock init` writes a new one where none is"


class CapabilitySecretWeak(Invalid):
    """NOA_CAPABILITY_TOKEN_SECRET is shorter than 32 bytes."""

    code = "capability_secret_weak"
    default_hint = "unset it: without it every process makes a key of its own"


class RepairsNotFound(NotFound):
    """There is nothing of this name in .workspace/quarantine."""

    code = "repairs_not_found"


class RepairsBusy(Conflict):
    """Another process is repairing this workspace."""

    code = "repairs_busy"
    default_hint = "wait until it has ended"


class UndoBlocked(Conflict):
    """Something stands where a thing was moved away from."""

    code = "undo_blocked"
    default_hint = "move it aside and undo again; nothing was overwritten"


class UndoListMalformed(Invalid):
    """The list of what was moved is not one that was written here."""

    code = "undo_list_malformed"


class PlaceForbidden(Refused):
    """This place is not touched by repairs."""

    code = "place_forbidden"


class RepairFailed(Failed):
    """A repair could not be carried out."""

    code = "repair_failed"


class RepairInsideRun(Refused):
    """Repairs are not carried out from inside a run."""

    code = "repair_inside_run"
    default_hint = "a person does that in a terminal; without --apply it is only planned"


class RepairUnrecorded(Refused):
    """A repair is recorded before it is carried out, and that is not possible now."""

    code = "repair_unrecorded"


class ReportMalformed(Invalid):
    """This is no report of self-heal."""

    code = "heal_report_malformed"


class OutputForbidden(Refused):
    """A report is not written to this place."""

    code = "output_forbidden"
