"""Access from afar: tokens and panic. Which role the caller has, its own token tells the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from interlock.access.errors import Frozen
from interlock.access.models import Actor, NewToken, Panic, Principal, Role, Token
from interlock.access.service import Issued
from interlock.kernel.clock import from_text, to_text
from interlock.kernel.ids import checked
from interlock.remote.connection import Connection, several, understood

# --- what `access/api.py` writes, read --------------------------------------------------------------------------------


def read_token(data: Mapping[str, Any]) -> Token:
    """Read a token; of its secret nothing is shown."""
    return Token(
        id=data["id"],
        name=data["name"],
        principal=Principal.parse(data["principal"]),
        role=Role(data["role"]),
        digest="",
        previous_digest=None,
        previous_until_ms=_instant(data.get("old_until")),
        created_ms=from_text(data["created_at"]),
        created_by=data["created_by"],
        expires_ms=_instant(data["expires_at"]),
        rotated_ms=_instant(data["rotated_at"]),
        revoked_ms=_instant(data["revoked_at"]),
        revoked_by=data["revoked_by"],
        last_used_ms=_instant(data["last_used_at"]),
    )


def read_panic(data: Mapping[str, Any]) -> Panic | None:
    """Read the panic that is on."""
    return _raised(data) if data["status"] == "on" else None


def _raised(data: Mapping[str, Any]) -> Panic:
    return Panic(by=data["by"], reason=data["reason"], since_ms=from_text(data["since"]))


def _issued(data: Mapping[str, Any]) -> Issued:
    return Issued(token=read_token(data), text=data["token"])


def _instant(text: str | None) -> int | None:
    return None if text is None else from_text(text)


# --- the room ---------------------------------------------------------------------------------------------------------


class RemoteAccess:
    """Answers as `access.service.Access` does."""

    def __init__(self, server: Connection) -> None:
        self._server = server

    def create(self, actor: Actor, new: NewToken, *, role: Role) -> Issued:
        """Make a token."""
        del actor, role
        body = {
            "name": new.name,
            "role": new.role.value,
            "kind": new.principal.kind.value,
            "principal": new.principal.name,
            "expires_in_seconds": None if new.expires_in_ms is None else new.expires_in_ms // 1000,
        }
        return understood(_issued, self._server.send("POST", "/ops/tokens", body).json)

    def list(self) -> Sequence[Token]:
        """List tokens, newest first."""
        found = self._server.get("/ops/tokens").json
        return several(read_token, found)

    def rotate(self, actor: Actor, token_id: str, *, role: Role, grace_ms: int = 0) -> Issued:
        """Give a token another secret."""
        del actor, role
        path = f"/ops/tokens/{checked(token_id, 't')}/rotate"
        return understood(_issued, self._server.send("POST", path, {"grace_seconds": grace_ms // 1000}).json)

    def revoke(self, actor: Actor, token_id: str, *, role: Role, reason: str = "") -> Token:
        """Take a token back."""
        del actor, role
        path = f"/ops/tokens/{checked(token_id, 't')}/revoke"
        return understood(read_token, self._server.send("POST", path, {"reason": reason}).json)

    def panic(self) -> Panic | None:
        """Return the panic that is on."""
        return understood(read_panic, self._server.get("/ops/panic").json)

    def thawed(self) -> None:
        """Raise `Frozen` while panic is on."""
        panic = self.panic()
        if panic is not None:
            raise Frozen(f"panic mode is on since {to_text(panic.since_ms)}, raised by {panic.by}: {panic.reason}")

    def raise_panic(self, actor: Actor, *, role: Role, reason: str) -> Panic:
        """Freeze everything that begins something."""
        del actor, role
        found = self._server.send("PUT", "/ops/panic", {"reason": reason}).json
        return understood(_raised, found)

    def stop_runs(self, reason: str) -> Sequence[str]:
        """Cancel every run that is under way; while panic is on, which stays as it was raised."""
        found = self._server.send("PUT", "/ops/panic", {"reason": reason, "stop_runs": True}).json
        return understood(lambda told: list[str](told["stopped_runs"]), found)

    def release_panic(self, actor: Actor, *, role: Role, reason: str) -> Panic:
        """Let everything go on."""
        del actor, role
        found = self._server.send("POST", "/ops/panic/release", {"reason": reason}).json
        return understood(lambda told: _raised(told["was"]), found)

    def is_human(self) -> bool:
        """Say whether the token proves a human."""
        return understood(lambda told: bool(told["kind"] == "human"), self._server.get("/ops/me").json)
