"""What access refuses."""

from __future__ import annotations

from typing import ClassVar

from interlock.kernel.errors import Conflict, Invalid, NotFound, Refused


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


class TokenInvalid(Refused):
    """The token is not valid."""

    code = "token_invalid"
    status: ClassVar[int] = 401
    default_hint = "send Authorization: Bearer TOKEN with one that `interlock token create` printed"


class SessionInvalid(TokenInvalid):
    """The session has ended."""

    code = "session_invalid"
    default_hint = "log in again with a token"


class ForeignOrigin(Refused):
    """Another site may not act with a visitor's session."""

    code = "foreign_origin"


class RoleNeeded(Refused):
    """This needs a higher role."""

    code = "role_needed"


class TokenNeeded(Refused):
    """A session is opened with a token, and not with another session."""

    code = "token_needed"


class TokenNotFound(NotFound):
    """There is no such token."""

    code = "token_not_found"


class TokenEnded(Conflict):
    """The token has been revoked, or has expired."""

    code = "token_ended"
    default_hint = "make a new one: `interlock token create`"


class TokenWeak(Invalid):
    """A token from the environment can be guessed, or is two tokens at once."""

    code = "token_weak"


class ReasonBlank(Invalid):
    """The reason is blank, or is no text."""

    code = "reason_blank"
    default_hint = "say why: --reason TEXT"


class Frozen(Refused):
    """Panic mode is on: nothing new begins."""

    code = "panic_mode"
    status: ClassVar[int] = 423
    default_hint = "what is under way goes on; a human admin ends it with `interlock panic release --reason R`"


class NotFrozen(Conflict):
    """Panic mode is not on."""

    code = "panic_not_on"
