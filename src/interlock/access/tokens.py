"""The texts that prove somebody: made once, shown once, kept only as what they hash to.

A token is `ilk_<ulid>_<secret>`, a session's cookie `ils_<ulid>_<secret>`; a secret has 256 random bits, so a plain
SHA-256 of it can be kept. Tokens of the environment are any text of 16 characters or more.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from interlock.access.errors import TokenWeak
from interlock.access.models import Principal, PrincipalKind, Role

TOKEN, SESSION = "ilk", "ils"
_TEXT = re.compile(r"(ilk|ils)_([0-7][0-9A-HJKMNP-TV-Z]{25})_([A-Za-z0-9_-]{43})")
_LEAST = 16
_NOTHING = "0" * 64

ENVIRONMENT: Mapping[str, tuple[Principal, Role]] = {
    "ORCH_TOKEN": (Principal(PrincipalKind.HUMAN, "orch"), Role.ADMIN),
    "ORCH_ACTIONS_TOKEN": (Principal(PrincipalKind.SERVICE, "orch-actions"), Role.ACTIONS),
    "ORCH_OPERATOR_TOKEN": (Principal(PrincipalKind.HUMAN, "orch-operator"), Role.OPERATOR),
}
"""The variables that the earlier server read, and whom they prove."""


class Secret(NamedTuple):
    """A text that was just made, and what is kept of it."""

    text: str
    digest: str


class Shown(NamedTuple):
    """A text that somebody shows: whose it says it is, and what its secret hashes to."""

    ulid: str
    digest: str


@dataclass(frozen=True, slots=True)
class EnvironmentToken:
    """A token that a variable of the environment holds."""

    id: str
    principal: Principal
    role: Role
    digest: str


def mint(prefix: str, ulid: str) -> Secret:
    """Make a text that nobody can guess."""
    secret = secrets.token_urlsafe(32)
    return Secret(f"{prefix}_{ulid}_{secret}", digest_of(secret))


def read(prefix: str, text: str) -> Shown | None:
    """Take a text apart; None if it has not our form."""
    match = _TEXT.fullmatch(text)
    return Shown(match[2], digest_of(match[3])) if match and match[1] == prefix else None


def digest_of(secret: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def same(digest: str, other: str | None) -> bool:
    """Compare in a time that says nothing, also where there is nothing to compare with."""
    return hmac.compare_digest(digest, other or _NOTHING) and other is not None


def from_environment(environment: Mapping[str, str]) -> Sequence[EnvironmentToken]:
    """Return the tokens of the environment; raises `TokenWeak`, which names the variable and not the text."""
    found: list[EnvironmentToken] = []
    for name, (principal, role) in ENVIRONMENT.items():
        text = environment.get(name, "").strip()
        if not text:
            continue
        if len(text) < _LEAST:
            raise TokenWeak(
                f"{name} has fewer than {_LEAST} characters, which can be guessed",
                hint="take a longer one, or unset it and use `interlock token create`",
            )
        digest = digest_of(text)
        if any(same(digest, each.digest) for each in found):
            raise TokenWeak(f"{name} holds the same token as another variable", hint="each role needs one of its own")
        found.append(EnvironmentToken(f"env:{name}", principal, role, digest))
    return found


_PROOFS = {*ENVIRONMENT, "INTERLOCK_TOKEN"}
"""Variables that prove who somebody is, to us or to a server elsewhere."""


def without_tokens(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment that a child may have: without the tokens that would make it somebody else."""
    return {name: value for name, value in environment.items() if name not in _PROOFS}
