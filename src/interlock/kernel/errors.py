"""Errors are sentences with a code.

    InterlockError
    ├── Invalid       what was asked is malformed            CLI exit 2, HTTP 422
    ├── NotFound      no such thing                          CLI exit 3, HTTP 404
    ├── Conflict      the state does not allow it            CLI exit 4, HTTP 409
    ├── Refused       the caller may not                     CLI exit 4, HTTP 403
    ├── Unreachable   what is needed does not answer now     CLI exit 5, HTTP 503
    └── Failed        it was tried and did not work          CLI exit 1, HTTP 500

A class's docstring is its default sentence; `code` is stable and snake_case; `hint` says what to do.
"""

from __future__ import annotations

from typing import ClassVar


class InterlockError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "error"
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        """Take the sentence (default: the class's docstring) and what to do about it."""
        self.message = message or (self.__doc__ or "").strip().splitlines()[0]
        self.hint = hint or self.default_hint
        super().__init__(self.message)


class Invalid(InterlockError):
    """What was asked for is malformed."""

    code = "invalid"


class NotFound(InterlockError):
    """There is no such thing."""

    code = "not_found"


class Conflict(InterlockError):
    """The present state does not allow this."""

    code = "conflict"


class Refused(InterlockError):
    """The caller may not do this."""

    code = "refused"


class Unreachable(InterlockError):
    """Something that is needed does not answer, or has no room left."""

    code = "unreachable"


class Failed(InterlockError):
    """It was tried and did not work."""

    code = "failed"
