"""The rows of tokens, sessions and panic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from interlock.access.models import Panic, Principal, PrincipalKind, Role, Session, Token
from interlock.storage.database import Row, Transaction


@dataclass(frozen=True, slots=True)
class StoredTokens:
    """Tokens in the transaction that is open; implements `access.ports.TokenStore`."""

    transaction: Transaction

    def add(self, token: Token) -> None:
        """Insert a token."""
        self.transaction.run(
            "token_add",
            id=token.id,
            name=token.name,
            kind=token.principal.kind.value,
            principal=token.principal.name,
            role=token.role.value,
            digest=token.digest,
            created_ms=token.created_ms,
            created_by=token.created_by,
            expires_ms=token.expires_ms,
        )

    def get(self, token_id: str) -> Token | None:
        """Return a token, whatever became of it."""
        row = self.transaction.one("token_get", id=token_id)
        return _token(row) if row else None

    def list(self) -> Sequence[Token]:
        """List tokens, newest first."""
        return [_token(row) for row in self.transaction.all("token_list")]

    def rotate(self, token_id: str, *, digest: str, previous_until_ms: int | None) -> bool:
        """Give a token another secret; False if it was revoked meanwhile."""
        changed = self.transaction.run(
            "token_rotate", id=token_id, digest=digest, previous_until=previous_until_ms, now=self.transaction.now()
        )
        return changed == 1

    def revoke(self, token_id: str, *, by: str) -> bool:
        """Take a token back; False if it was already."""
        return self.transaction.run("token_revoke", id=token_id, revoked_by=by, now=self.transaction.now()) == 1

    def used(self, token_id: str) -> None:
        """Note that a token is used."""
        self.transaction.run("token_used", id=token_id, now=self.transaction.now())

    def tell_expired(self, token_id: str) -> bool:
        """Note that its expiry is told; False if it was before."""
        return self.transaction.run("token_expiry_told", id=token_id) == 1


@dataclass(frozen=True, slots=True)
class StoredSessions:
    """Sessions in the transaction that is open; implements `access.ports.SessionStore`."""

    transaction: Transaction

    def add(self, session: Session) -> None:
        """Insert a session."""
        self.transaction.run(
            "session_add",
            id=session.id,
            digest=session.digest,
            token_id=session.token_id,
            token_digest=session.token_digest,
            opened_ms=session.opened_ms,
            seen_ms=session.seen_ms,
        )

    def get(self, session_id: str) -> Session | None:
        """Return a session."""
        row = self.transaction.one("session_get", id=session_id)
        if row is None:
            return None
        return Session(
            id=row["id"],
            digest=row["digest"],
            token_id=row["token_id"],
            token_digest=row["token_digest"],
            opened_ms=row["opened_ms"],
            seen_ms=row["seen_ms"],
        )

    def seen(self, session_id: str) -> None:
        """Note that a session is used."""
        self.transaction.run("session_seen", id=session_id, now=self.transaction.now())

    def end(self, session_id: str) -> bool:
        """Delete a session; False if there is none."""
        return self.transaction.run("session_end", id=session_id) == 1

    def end_all(self, token_id: str) -> None:
        """Delete every session that a token opened."""
        self.transaction.run("session_end_all", token_id=token_id)

    def clear(self, *, opened_before_ms: int, seen_before_ms: int) -> None:
        """Delete what has ended by itself."""
        self.transaction.run("session_clear", opened_before=opened_before_ms, seen_before=seen_before_ms)


@dataclass(frozen=True, slots=True)
class StoredPanic:
    """Panic mode in the transaction that is open; implements `access.ports.PanicStore`."""

    transaction: Transaction

    def hold(self) -> None:
        """Wait until every transaction that may change something has ended, and let none begin before this one has."""
        self.transaction.all("panic_hold")
        self.transaction.all("panic_lock")

    def get(self) -> Panic | None:
        """Return the panic that is on."""
        row = self.transaction.one("panic_get")
        return Panic(by=row["raised_by"], reason=row["reason"], since_ms=row["since_ms"]) if row else None

    def put(self, panic: Panic | None) -> None:
        """Write it, or that there is none."""
        self.transaction.run("panic_clear")
        if panic is not None:
            self.transaction.run("panic_put", raised_by=panic.by, reason=panic.reason, since_ms=panic.since_ms)


def _token(row: Row) -> Token:
    return Token(
        id=row["id"],
        name=row["name"],
        principal=Principal(PrincipalKind(row["kind"]), row["principal"]),
        role=Role(row["role"]),
        digest=row["digest"],
        previous_digest=row["previous_digest"],
        previous_until_ms=row["previous_until_ms"],
        created_ms=row["created_ms"],
        created_by=row["created_by"],
        expires_ms=row["expires_ms"],
        rotated_ms=row["rotated_ms"],
        revoked_ms=row["revoked_ms"],
        revoked_by=row["revoked_by"],
        last_used_ms=row["last_used_ms"],
    )
