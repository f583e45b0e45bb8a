"""What access refuses."""

from __future__ import annotations

from interlock.kernel.errors import Invalid, Refused


class MalformedPrincipal(Invalid):
    """This is not a principal of the form kind:name."""

    code = "malformed_principal"


class MalformedCorrelationId(Invalid):
    """A correlation id is 1 to 128 letters, digits, dots, colons, dashes or underscores."""

    code = "malformed_correlation_id"


class HumanNeeded(Refused):
    """Only a human may do this."""

    code = "human_needed"
    default_hint = "ask a person to do it from their own terminal, outside of any run"


class LoweringOnly(Refused):
    """An option can only lower rights."""

    code = "lowering_only"
