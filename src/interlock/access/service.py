"""The verbs of access: tokens, sessions, panic, and what is told of those who are turned away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from interlock.access.errors import (
    NotFrozen,
    ReasonBlank,
    RoleNeeded,
    SessionInvalid,
    TokenEnded,
    TokenInvalid,
    TokenNeeded,
    TokenNotFound,
)
from interlock.access.events import (
    AccessDenied,
    PanicRaised,
    PanicReleased,
    SessionEnded,
    SessionOpened,
    TokenCreated,
    TokenExpired,
    TokenRevoked,
    TokenRotated,
)
from interlock.access.models import (
    Actor,
    Identity,
    NewToken,
    Panic,
    Principal,
    PrincipalKind,
    Role,
    Session,
    Token,
    checked_name,
    require_human,
)
from interlock.access.options import AccessOptions
from interlock.access.ports import Desk, Look, Open
from interlock.access.throttle import Denials
from interlock.access.tokens import SESSION, TOKEN, EnvironmentToken, Shown, digest_of, mint, read, same
from interlock.kernel.clock import Clock
from interlock.kernel.errors import InterlockError, Invalid
from interlock.kernel.ids import UlidSource, checked

ITSELF = Actor(principal=Principal(PrincipalKind.SERVICE, "access"))
"""Who tells what nobody did: an expiry, a flood."""
_USED_EVERY_MS = 10 * 60_000
_SEEN_EVERY_MS = 60_000
_MOST_REASON = 2_000
_MOST_SPAN_MS = 10 * 366 * 24 * 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A token whose text is known, now and never again."""

    token: Token
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Tokens, sessions and panic; each verb opens the transaction that it needs."""

    open: Open
    look: Look
    light: Look
    """Opens a transaction for what is no event: when something was last used."""
    new_ulid: UlidSource
    environment: Callable[[], Sequence[EnvironmentToken]]
    """Returns the tokens of the environment, or raises `TokenWeak`: who serves asks before it listens."""
    options: AccessOptions
    clock: Clock
    """The wall clock of this process; only denials are counted by it."""
    denials: Denials = field(default_factory=Denials)

    # --- tokens -------------------------------------------------------------------------------------------------------

    def create(self, actor: Actor, new: NewToken, *, role: Role) -> Issued:
        """Make a token. Needs the role admin and no agent; a human's token is made by a human."""
        _may_manage(actor.principal, role, new.principal)
        checked_name(new.name)
        _checked_span(new.expires_in_ms)
        ulid = self.new_ulid()
        secret = mint(TOKEN, ulid)
        with self.open(actor) as desk:
            now = desk.now()
            token = Token(
                id=f"t_{ulid}",
                name=new.name,
                principal=new.principal,
                role=new.role,
                digest=secret.digest,
                previous_digest=None,
                previous_until_ms=None,
                created_ms=now,
                created_by=str(actor.principal),
                expires_ms=None if new.expires_in_ms is None else now + new.expires_in_ms,
                rotated_ms=None,
                revoked_ms=None,
                revoked_by=None,
                last_used_ms=None,
            )
            desk.tokens.add(token)
            desk.emit(
                TokenCreated(
                    subject=token.id,
                    name=token.name,
                    holder=str(token.principal),
                    role=token.role.value,
                    expires_ms=token.expires_ms,
                )
            )
        return Issued(token=token, text=secret.text)

    def list(self) -> Sequence[Token]:
        """List tokens, newest first, also those that have ended."""
        with self.look() as desk:
            return desk.tokens.list()

    def get(self, token_id: str) -> Token:
        """Return a token; raises `TokenNotFound`."""
        checked(token_id, "t")
        with self.look() as desk:
            return _token(desk, token_id)

    def rotate(self, actor: Actor, token_id: str, *, role: Role, grace_ms: int = 0) -> Issued:
        """Give a token another secret. The old one ends at once or after `grace_ms`; its sessions end at once."""
        checked(token_id, "t")
        _checked_span(grace_ms or None)
        with self.open(actor) as desk:
            token = _token(desk, token_id)
            _may_manage(actor.principal, role, token.principal)
            now = desk.now()
            if token.standing(now) != "valid":
                raise TokenEnded(f"{token_id} is {token.standing(now)}")
            secret = mint(TOKEN, token_id.removeprefix("t_"))
            until = now + grace_ms if grace_ms else None
            if not desk.tokens.rotate(token_id, digest=secret.digest, previous_until_ms=until):
                raise TokenEnded(f"{token_id} was revoked meanwhile")
            desk.sessions.end_all(token_id)
            desk.emit(TokenRotated(subject=token_id, old_until_ms=until))
            return Issued(token=_token(desk, token_id), text=secret.text)

    def revoke(self, actor: Actor, token_id: str, *, role: Role, reason: str = "") -> Token:
        """Take a token back, and every session that it opened; also while panic is on."""
        checked(token_id, "t")
        _may_manage(actor.principal, role, None)
        reason = _checked_text(reason)
        with self.open(actor, calming=True) as desk:
            token = _token(desk, token_id)
            if not desk.tokens.revoke(token_id, by=str(actor.principal)):
                raise TokenEnded(f"{token_id} has been revoked already, by {token.revoked_by}")
            desk.sessions.end_all(token_id)
            desk.emit(TokenRevoked(subject=token_id, reason=reason))
            return _token(desk, token_id)

    def known(self, text: str) -> Identity | None:
        """Say who shows a token of the environment, without a look at the database; None for any other text."""
        given = digest_of(text)
        found = [each for each in self.environment() if same(each.digest, given)]
        return _of_environment(found[0]) if found else None

    def identify(self, text: str) -> Identity:
        """Say who shows this token; raises `TokenInvalid`, which does not tell what is wrong with it."""
        self.settle(self.clock())
        known = self.known(text)
        if known is not None:
            return known
        shown = read(TOKEN, text)
        if shown is None:
            raise TokenInvalid
        with self.look() as desk:
            now, token = desk.now(), desk.tokens.get(f"t_{shown.ulid}")
        if token is None or not _proves(shown, token, now) or token.revoked_ms is not None:
            raise TokenInvalid
        if token.standing(now) == "expired":
            self._tell_expired(token)
            raise TokenInvalid
        if now - (token.last_used_ms or 0) >= _USED_EVERY_MS:
            self._note(lambda desk: desk.tokens.used(token.id))
        return Identity(principal=token.principal, role=token.role, token_id=token.id)

    # --- a browser's sessions -----------------------------------------------------------------------------------------

    def open_session(self, identity: Identity, *, correlation_id: str | None = None) -> str:
        """Log a browser in; returns the text of its cookie. Also while panic is on: who ends it may come this way."""
        if identity.session_id is not None:
            raise TokenNeeded
        ulid = self.new_ulid()
        secret = mint(SESSION, ulid)
        actor = Actor(principal=identity.principal, correlation_id=correlation_id)
        with self.open(actor, calming=True) as desk:
            now = desk.now()
            digest = self._digest_now(desk, identity.token_id, now)
            if digest is None:
                raise TokenInvalid
            desk.sessions.clear(
                opened_before_ms=now - self.options.session_seconds * 1000,
                seen_before_ms=now - self.options.session_idle_seconds * 1000,
            )
            desk.sessions.add(
                Session(
                    id=f"s_{ulid}",
                    digest=secret.digest,
                    token_id=identity.token_id,
                    token_digest=digest,
                    opened_ms=now,
                    seen_ms=now,
                )
            )
            desk.emit(SessionOpened(subject=f"s_{ulid}", token_id=identity.token_id))
        return secret.text

    def session(self, cookie: str) -> Identity:
        """Say who shows this cookie; raises `SessionInvalid`. It ends with its token, whatever its own time."""
        shown = read(SESSION, cookie)
        if shown is None:
            raise SessionInvalid
        with self.look() as desk:
            now, session = desk.now(), desk.sessions.get(f"s_{shown.ulid}")
            proven = same(shown.digest, session.digest if session else None)
            token_id = session.token_id if session else ""
            identity = self._identity(desk, token_id, now)
            digest = self._digest_now(desk, token_id, now)
        if session is None or identity is None or not proven or not same(session.token_digest, digest):
            raise SessionInvalid
        if not self._lasts(session, now):
            raise SessionInvalid
        if now - session.seen_ms >= min(_SEEN_EVERY_MS, self.options.session_idle_seconds * 100):
            self._note(lambda desk: desk.sessions.seen(session.id))
        return replace(identity, session_id=session.id)

    def end_session(self, identity: Identity, *, correlation_id: str | None = None) -> None:
        """Log a browser out; its cookie is worth nothing from now on."""
        if identity.session_id is None:
            raise SessionInvalid
        with self.open(Actor(principal=identity.principal, correlation_id=correlation_id), calming=True) as desk:
            if desk.sessions.end(identity.session_id):
                desk.emit(SessionEnded(subject=identity.session_id, token_id=identity.token_id))

    # --- panic --------------------------------------------------------------------------------------------------------

    def panic(self) -> Panic | None:
        """Return the panic that is on."""
        with self.look() as desk:
            return desk.panic.get()

    def raise_panic(self, actor: Actor, *, role: Role, reason: str) -> Panic:
        """Freeze every verb that begins something, everywhere. Once this returns, none of them changes anything more.

        Where panic is on already it stays as it was raised.
        """
        if actor.principal.kind is not PrincipalKind.HUMAN and not role.covers(Role.OPERATOR):
            raise RoleNeeded(f"raising panic needs a human or the role operator; this is {actor.principal}")
        reason = _checked_reason(reason)
        with self.open(actor, calming=True) as desk:
            desk.panic.hold()
            panic = desk.panic.get()
            if panic is None:
                panic = Panic(by=str(actor.principal), reason=reason, since_ms=desk.now())
                desk.panic.put(panic)
                desk.emit(PanicRaised(subject="panic", reason=reason))
        return panic

    def release_panic(self, actor: Actor, *, role: Role, reason: str) -> Panic:
        """Let everything go on; only a human admin may. Returns the panic that was on."""
        require_human(actor.principal, "release panic")
        if not role.covers(Role.ADMIN):
            raise RoleNeeded(f"releasing panic needs the role admin; {actor.principal} calls with {role.value}")
        reason = _checked_reason(reason)
        with self.open(actor, calming=True) as desk:
            desk.panic.hold()
            panic = desk.panic.get()
            if panic is None:
                raise NotFrozen
            desk.panic.put(None)
            desk.emit(PanicReleased(subject="panic", reason=reason, lasted_ms=max(0, desk.now() - panic.since_ms)))
        return panic

    # --- who was turned away ------------------------------------------------------------------------------------------

    def refused(self, actor: Actor, *, code: str, deed: str, subject: str = "access") -> None:
        """Tell that a proven principal was turned away."""
        with self.open(actor, calming=True) as desk:
            desk.emit(AccessDenied(subject=subject, code=code, deed=deed[:_MOST_REASON]))

    def denied(self, source: str, correlation_id: str | None, code: str) -> None:
        """Count that somebody was turned away who proved nothing; told once for each source and minute."""
        del correlation_id  # one of many; none stands for all
        now = self.clock()
        self.denials.count(source, code, now)
        self.settle(now)

    def settle(self, now_ms: int | None = None) -> None:
        """Tell what was counted in minutes that are over; with None in all, for whoever is about to end."""
        if now_ms is not None and not self.denials.waiting(now_ms):
            return
        floods = self.denials.due(now_ms)
        if not floods:
            return
        with suppress(InterlockError), self.open(ITSELF, calming=True) as desk:
            for flood in floods:
                desk.emit(
                    AccessDenied(
                        subject="access",
                        code=flood.code,
                        deed="",
                        source=flood.source,
                        times=flood.times,
                        minute_ms=flood.minute_ms,
                    )
                )

    # ------------------------------------------------------------------------------------------------------------------

    def _lasts(self, session: Session, now: int) -> bool:
        return (
            now - session.opened_ms < self.options.session_seconds * 1000
            and now - session.seen_ms < self.options.session_idle_seconds * 1000
        )

    def _of_environment(self, token_id: str) -> EnvironmentToken | None:
        return next((each for each in self.environment() if each.id == token_id), None)

    def _identity(self, desk: Desk, token_id: str, now: int) -> Identity | None:
        ours = self._of_environment(token_id)
        if ours is not None:
            return _of_environment(ours)
        token = desk.tokens.get(token_id)
        if token is None or token.standing(now) != "valid":
            return None
        return Identity(principal=token.principal, role=token.role, token_id=token.id)

    def _digest_now(self, desk: Desk, token_id: str, now: int) -> str | None:
        """Return what a token's secret hashes to now; None where it proves nobody any more."""
        ours = self._of_environment(token_id)
        if ours is not None:
            return ours.digest
        token = desk.tokens.get(token_id)
        return token.digest if token is not None and token.standing(now) == "valid" else None

    def _tell_expired(self, token: Token) -> None:
        with suppress(InterlockError), self.open(ITSELF, calming=True) as desk:
            if desk.tokens.tell_expired(token.id):
                desk.emit(TokenExpired(subject=token.id, expires_ms=token.expires_ms or 0))

    def _note(self, deed: Callable[[Desk], None]) -> None:
        """Note what nobody should have to wait for, and what is no failure where it can not be written."""
        with suppress(InterlockError), self.light() as desk:
            deed(desk)


def _of_environment(each: EnvironmentToken) -> Identity:
    return Identity(principal=each.principal, role=each.role, token_id=each.id)


def _proves(shown: Shown, token: Token, now: int) -> bool:
    """Say whether a secret is the token's, or was until its rotation and still counts."""
    current = same(shown.digest, token.digest)
    previous = same(shown.digest, token.previous_digest)
    return current or (previous and now < (token.previous_until_ms or 0))


def _may_manage(principal: Principal, role: Role, holder: Principal | None) -> None:
    """Refuse who may not manage tokens; `holder` is whom a new secret would prove."""
    if principal.kind is PrincipalKind.AGENT or (holder is not None and holder.kind is PrincipalKind.HUMAN):
        require_human(principal, "manage the tokens of humans" if holder is not None else "manage tokens")
    if not role.covers(Role.ADMIN):
        raise RoleNeeded(f"managing tokens needs the role admin; {principal} calls with {role.value}")


def _token(desk: Desk, token_id: str) -> Token:
    token = desk.tokens.get(token_id)
    if token is None:
        raise TokenNotFound(f"there is no token {token_id}")
    return token


def _checked_span(ms: int | None) -> None:
    if ms is not None and not 1000 <= ms <= _MOST_SPAN_MS:
        raise Invalid("a token lasts from a second to ten years")


def _checked_reason(reason: str) -> str:
    text = _checked_text(reason)
    if not text.strip():
        raise ReasonBlank
    return text


def _checked_text(text: str) -> str:
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise ReasonBlank("the reason holds a lone surrogate, which is not text") from None
    if "\0" in text or size > _MOST_REASON:
        raise ReasonBlank(f"the reason holds a NUL or is longer than {_MOST_REASON} bytes")
    return text
