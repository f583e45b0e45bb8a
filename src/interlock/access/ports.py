"""What access needs from outside its room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from interlock.access.models import Actor, Panic, Session, Token
from interlock.kernel.clock import Clock
from interlock.kernel.events import Emit


class TokenStore(Protocol):
    """Reads and writes tokens inside the transaction that is open."""

    def add(self, token: Token) -> None:
        """Insert a token."""
        ...

    def get(self, token_id: str) -> Token | None:
        """Return a token, whatever became of it."""
        ...

    def list(self) -> Sequence[Token]:
        """List tokens, newest first."""
        ...

    def rotate(self, token_id: str, *, digest: str, previous_until_ms: int | None) -> bool:
        """Give a token another secret; False if it was revoked meanwhile."""
        ...

    def revoke(self, token_id: str, *, by: str) -> bool:
        """Take a token back; False if it was already."""
        ...

    def used(self, token_id: str) -> None:
        """Note that a token is used."""
        ...

    def tell_expired(self, token_id: str) -> bool:
        """Note that its expiry is told; False if it was before."""
        ...


class SessionStore(Protocol):
    """Reads and writes sessions inside the transaction that is open."""

    def add(self, session: Session) -> None:
        """Insert a session."""
        ...

    def get(self, session_id: str) -> Session | None:
        """Return a session."""
        ...

    def seen(self, session_id: str) -> None:
        """Note that a session is used."""
        ...

    def end(self, session_id: str) -> bool:
        """Delete a session; False if there is none."""
        ...

    def end_all(self, token_id: str) -> None:
        """Delete every session that a token opened."""
        ...

    def clear(self, *, opened_before_ms: int, seen_before_ms: int) -> None:
        """Delete what has ended by itself."""
        ...


class PanicStore(Protocol):
    """Reads and writes panic mode inside the transaction that is open."""

    def hold(self) -> None:
        """Wait until every transaction that may change something has ended, and let none begin before this one has.

        Only as the first thing of a transaction.
        """
        ...

    def get(self) -> Panic | None:
        """Return the panic that is on."""
        ...

    def put(self, panic: Panic | None) -> None:
        """Write it, or that there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """One open transaction, as access sees it."""

    tokens: TokenStore
    sessions: SessionStore
    panic: PanicStore
    emit: Emit
    now: Clock


class Open(Protocol):
    """Opens a transaction that may change something; with `calming`, also while panic is on."""

    def __call__(self, actor: Actor, *, calming: bool = False) -> AbstractContextManager[Desk]:
        """Open it."""
        ...


Look = Callable[[], AbstractContextManager[Desk]]
"""Opens a transaction that only reads, or that only notes what is no event."""
