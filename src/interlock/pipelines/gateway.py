"""The policy of the services behind the gateway: who may ask what of which service, decided without asking anybody.

Nothing is forwarded here: the table is read strictly, and a request is judged in one fixed order, so that two readers
of one answer know which rule spoke. A capability token is this process's own word about a client, valid for a minute.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import json
import re
import secrets
from base64 import urlsafe_b64encode
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn, cast

from interlock.kernel.canonical import canonical
from interlock.kernel.clock import Clock
from interlock.pipelines.healing_errors import CapabilitySecretWeak, GatewayPolicyInvalid

SECRET_VARIABLE: Final = "NOA_CAPABILITY_TOKEN_SECRET"  # noqa: S105 - a variable's name
SECRET_BYTES: Final = 32
LIFETIME_SECONDS: Final = 60
FORWARDED: Final = "forwarded"
_WINDOW_MS: Final = 60_000
_MOST_POLICY_BYTES: Final = 1 << 20
_MOST_TOKEN: Final = 8192
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_SCOPE = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}", re.ASCII)
_METHOD = re.compile(r"[A-Z]{1,16}", re.ASCII)
_PATH = re.compile(r"/(?:[A-Za-z0-9._~:@!$&'()*+,;=-]+(?:/[A-Za-z0-9._~:@!$&'()*+,;=-]+)*)?", re.ASCII)
_RULE_KEYS: Final = frozenset(
    {"auth_required", "fs_scope", "methods", "network_scope", "path_prefixes", "requests_per_minute"}
)
_CLAIMS: Final = frozenset(
    {"client_id", "expires_at", "fs_scopes", "issued_at", "network_scopes", "rate_limit_per_minute"}
)


# --- the table --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What may be asked of one service."""

    methods: tuple[str, ...]
    path_prefixes: tuple[str, ...]
    """A request's path is one of these or lies below one, whole segments only."""
    requests_per_minute: int
    fs_scope: str | None
    network_scope: str | None
    auth_required: bool = True


Policy = Mapping[str, Rule | None]
"""Every service that is known, with its rule; None for one of which nothing may be asked."""


def read_policy(path: Path) -> Policy:
    """Read the table; raises `GatewayPolicyInvalid`, which names the file and the line or place inside, or OSError."""
    data = path.read_bytes()
    if len(data) > _MOST_POLICY_BYTES:
        raise GatewayPolicyInvalid(f"{path} is larger than {_MOST_POLICY_BYTES} bytes")
    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise GatewayPolicyInvalid(f"{path}, line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise GatewayPolicyInvalid(f"{path}: {error}") from None
    try:
        return _policy(found)
    except ValueError as error:
        raise GatewayPolicyInvalid(f"{path}: {error}") from None


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:80]!a} stands twice in one object")
    return found


def _policy(found: object) -> Policy:
    top = _object(found, "the document")
    _only(top, {"schema_version", "services"}, "the document")
    if top["schema_version"] != 1 or type(top["schema_version"]) is not int:
        _wrong("schema_version", "is not 1")
    services = _object(top["services"], "services")
    if not services:
        _wrong("services", "names no service")
    for name in services:
        if not _NAME.fullmatch(name):
            _wrong("services", f"has a name that is none: {name[:80]!a}")
    return {name: None if rule is None else _rule(rule, f"services.{name}") for name, rule in services.items()}


def _rule(found: object, where: str) -> Rule:
    fields = _object(found, where)
    _only(fields, _RULE_KEYS, where)
    auth, rate = fields["auth_required"], fields["requests_per_minute"]
    if not isinstance(auth, bool):
        _wrong(f"{where}.auth_required", "is neither true nor false")
    if type(rate) is not int or not 1 <= rate <= 1_000_000:
        _wrong(f"{where}.requests_per_minute", "is not a whole number from 1 to 1000000")
    scopes = {key: _scope(fields[key], f"{where}.{key}") for key in ("fs_scope", "network_scope")}
    for key, scope in scopes.items():
        if scope is not None and not auth:
            _wrong(f"{where}.{key}", "needs a token to hold it, and auth_required is false")
    return Rule(
        methods=_words(fields["methods"], f"{where}.methods", _METHOD),
        path_prefixes=_words(fields["path_prefixes"], f"{where}.path_prefixes", _PATH),
        requests_per_minute=rate,
        fs_scope=scopes["fs_scope"],
        network_scope=scopes["network_scope"],
        auth_required=auth,
    )


def _scope(found: object, where: str) -> str | None:
    if found is None:
        return None
    if not isinstance(found, str) or not _SCOPE.fullmatch(found):
        _wrong(where, "is neither null nor a scope such as fs.policy.read")
    return found


def _words(found: object, where: str, grammar: re.Pattern[str]) -> tuple[str, ...]:
    if not isinstance(found, list) or not found:
        _wrong(where, "is not a list with something in it")
    words: list[str] = []
    for place, word in enumerate(cast("list[object]", found)):
        if not isinstance(word, str) or not grammar.fullmatch(word) or _climbs(word):
            _wrong(f"{where}[{place}]", f"is not what belongs there: {str(word)[:80]!a}")
        if word in words:
            _wrong(f"{where}[{place}]", "stands there twice")
        words.append(word)
    return tuple(words)


def _object(found: object, where: str) -> dict[str, object]:
    if not isinstance(found, dict):
        _wrong(where, "is not an object")
    return cast("dict[str, object]", found)


def _only(found: Mapping[str, object], keys: frozenset[str] | set[str], where: str) -> None:
    for name in sorted(keys - found.keys()):
        _wrong(where, f"lacks {name}")
    for name in sorted(found.keys() - keys):
        _wrong(where, f"has a key that is unknown: {name[:80]!a}")


def _wrong(where: str, problem: str) -> NoReturn:
    raise ValueError(f"{where} {problem}")


def _climbs(path: str) -> bool:
    return any(segment in {".", ".."} for segment in path.split("/"))


# --- capability tokens ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a token says of its client. Times are whole seconds since 1970."""

    client_id: str
    fs_scopes: tuple[str, ...]
    network_scopes: tuple[str, ...]
    rate_limit_per_minute: int
    issued_at: int
    expires_at: int


def secret_of(environment: Mapping[str, str]) -> bytes:
    """Return the secret that is configured, or a fresh one of this process; raises `CapabilitySecretWeak`."""
    given = environment.get(SECRET_VARIABLE)
    if given is None:
        return secrets.token_bytes(SECRET_BYTES)
    secret = given.encode("utf-8", "surrogateescape")
    if len(secret) < SECRET_BYTES:
        raise CapabilitySecretWeak
    return secret


def issue(claims: Claims, secret: bytes) -> str:
    """Return the token: base64url of the sorted claims without padding, a dot, the hex HMAC-SHA256 over that text."""
    body = canonical(
        {
            "client_id": claims.client_id,
            "expires_at": claims.expires_at,
            "fs_scopes": list(claims.fs_scopes),
            "issued_at": claims.issued_at,
            "network_scopes": list(claims.network_scopes),
            "rate_limit_per_minute": claims.rate_limit_per_minute,
        }
    )
    text = urlsafe_b64encode(body).rstrip(b"=")
    return f"{text.decode()}.{hmac.new(secret, text, hashlib.sha256).hexdigest()}"


def open_token(token: str, secret: bytes) -> Claims | None:
    """Return what a token says, or None if this secret did not sign it, or signed no claims."""
    text, dot, signature = token.partition(".")
    if not dot or not token.isascii() or len(token) > _MOST_TOKEN:
        return None
    proven = hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(proven.encode(), signature.encode()):
        return None
    try:
        found = json.loads(binascii.a2b_base64(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4)))
    except (ValueError, RecursionError):
        return None
    return _claims(found)


def _claims(found: object) -> Claims | None:
    if not isinstance(found, dict) or (fields := cast("dict[str, object]", found)).keys() != _CLAIMS:
        return None
    numbers = [fields[key] for key in ("rate_limit_per_minute", "issued_at", "expires_at")]
    lists = [_texts(fields[key]) for key in ("fs_scopes", "network_scopes")]
    client = fields["client_id"]
    if not isinstance(client, str) or None in lists or any(type(number) is not int for number in numbers):
        return None
    rate, issued, expires = cast("list[int]", numbers)
    fs, network = cast("list[tuple[str, ...]]", lists)
    return Claims(
        client_id=client,
        fs_scopes=fs,
        network_scopes=network,
        rate_limit_per_minute=rate,
        issued_at=issued,
        expires_at=expires,
    )


def _texts(found: object) -> tuple[str, ...] | None:
    if not isinstance(found, list):
        return None
    words = cast("list[object]", found)
    return tuple(cast("list[str]", words)) if all(isinstance(word, str) for word in words) else None


# --- decisions --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What somebody asks of a service."""

    service: str
    method: str
    path: str
    client_id: str
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gateway answers."""

    status: int
    message: str
    claims: Claims | None = None
    """What the token said, where the service asks for one and it was genuine."""

    @property
    def forwarded(self) -> bool:
        """Say whether the service would be asked."""
        return self.status == 200


@dataclass(slots=True)
class Gateway:
    """One gateway: a table, a secret, and who asked what within the last minute."""

    policy: Policy
    clock: Clock
    secret: bytes = field(repr=False)
    _asked: dict[tuple[str, str], deque[int]] = field(default_factory=dict[tuple[str, str], "deque[int]"])

    def issue(
        self,
        client_id: str,
        *,
        fs_scopes: Sequence[str] = (),
        network_scopes: Sequence[str] = (),
        rate_limit_per_minute: int,
        lifetime_seconds: int = LIFETIME_SECONDS,
    ) -> str:
        """Return a token that holds from now on for `lifetime_seconds`."""
        now = self.clock() // 1000
        claims = Claims(
            client_id=client_id,
            fs_scopes=tuple(fs_scopes),
            network_scopes=tuple(network_scopes),
            rate_limit_per_minute=rate_limit_per_minute,
            issued_at=now,
            expires_at=now + lifetime_seconds,
        )
        return issue(claims, self.secret)

    def decide(self, request: Request) -> Decision:
        """Judge a request. The order is fixed: service, rule, token, client, scopes, rate, method and path, window."""
        rule = self.policy.get(request.service)
        if rule is None:
            known = request.service in self.policy
            return Decision(403, "no rule for this service") if known else Decision(404, "service unknown")
        claims: Claims | None = None
        if rule.auth_required:
            proven = self._proven(request)
            if isinstance(proven, Decision):
                return proven
            claims = proven
            refused = _overstepped(rule, claims, request)
            if refused:
                return Decision(403, refused, claims)
        if request.method not in rule.methods or not _below(request.path, rule.path_prefixes):
            return Decision(403, "method or path not allowed", claims)
        if not self._has_room(request, rule, claims):
            return Decision(429, "rate limit exceeded", claims)
        return Decision(200, FORWARDED, claims)

    def _proven(self, request: Request) -> Claims | Decision:
        """Return what the request's token says, or why it says nothing."""
        if not request.token:
            return Decision(401, "token missing")
        claims = open_token(request.token, self.secret)
        if claims is None:
            return Decision(401, "token invalid")
        in_time = claims.issued_at <= self.clock() // 1000 < claims.expires_at
        return claims if in_time else Decision(401, "token expired")

    def _has_room(self, request: Request, rule: Rule, claims: Claims | None) -> bool:
        """Count a request, if the last minute has room for it."""
        most = rule.requests_per_minute if claims is None else claims.rate_limit_per_minute
        now = self.clock()
        asked = self._asked.setdefault((request.client_id, request.service), deque())
        while asked and asked[0] <= now - _WINDOW_MS:
            asked.popleft()
        if len(asked) >= most:
            return False
        asked.append(now)
        return True


def _overstepped(rule: Rule, claims: Claims, request: Request) -> str | None:
    if claims.client_id != request.client_id:
        return "client does not match the token"
    if rule.fs_scope is not None and rule.fs_scope not in claims.fs_scopes:
        return "file system scope not granted"
    if rule.network_scope is not None and rule.network_scope not in claims.network_scopes:
        return "network scope not granted"
    if not 1 <= claims.rate_limit_per_minute <= rule.requests_per_minute:
        return "rate scope beyond the service's"
    return None


def _below(path: str, prefixes: Sequence[str]) -> bool:
    """Say whether a path is one of these or below one. Anything with an escape or a dot segment is below none."""
    plain = path.partition("?")[0]
    if not _PATH.fullmatch(plain) or _climbs(plain):
        return False
    return any(plain == prefix or plain.startswith(prefix.rstrip("/") + "/") for prefix in prefixes)
