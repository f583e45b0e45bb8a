"""Which keys count, and where: the log's own key events, folded. Pure.

The trust root is the log's public key, got another way. A key is added by the log's key and the key itself, rotated
by the old key and the new one, retired and revoked by the log's key; so who trusts the root can follow the log and
learn every other key from it, the log's own successors included. Windows are entries of the log, never times.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Final, cast

from interlock.evidence.errors import (
    AttestationMismatch,
    EnvelopeRejected,
    HeadSignatureInvalid,
    KeyMalformed,
    KeyNoLongerValid,
    KeyNotAllowed,
)
from interlock.evidence.events import KEY_CHANGES, KeyAdded, KeyRevoked, KeyRotated
from interlock.evidence.models import LoggedEvent, Subject
from interlock.evidence.note import Verifier
from interlock.evidence.predicates import KEY_CHANGE, PURPOSES
from interlock.kernel.canonical import Json, JsonObject, canonical

SCHEMA_VERSION: Final = 1
_VERB: Final = {kind: kind.partition(".")[2] for kind in KEY_CHANGES}
_TEXTS: Final = {"vkey", "keyid", "owner", "purpose", "reason", "old_keyid"}
_INDEXES: Final = {"from_index", "until_index", "revoked_from"}
_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "key.added": frozenset({"vkey", "keyid", "owner", "purpose", "role", "from_index", "reason"}),
    "key.rotated": frozenset({"old_keyid", "vkey", "keyid", "owner", "purpose", "role", "from_index", "reason"}),
    "key.retired": frozenset({"vkey", "keyid", "until_index", "reason"}),
    "key.revoked": frozenset({"vkey", "keyid", "revoked_from", "reason"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key, as the log tells of it."""

    verifier: Verifier
    keyid: str
    """8 hex digits; a hint, two keys may share it."""
    name: str
    """What its owner calls it, e.g. `human-alice`; its successors have the same."""
    owner: str
    """The principal whose key it is; `log:<origin>` for the log's own."""
    purpose: str
    role: str | None
    from_index: int
    """It signs entries from here on …"""
    until_index: int | None = None
    """… and before here, once it is retired …"""
    revoked_from: int | None = None
    """… and before here, once it is revoked."""
    reason: str = ""
    """Why it was last changed."""

    def covers(self, index: int) -> bool:
        """Say whether its signature counts at an entry."""
        return self.from_index <= index and all(
            end is None or index < end for end in (self.until_index, self.revoked_from)
        )

    def outside(self, index: int) -> str:
        """Say why its signature does not count at an entry it does not cover."""
        if self.revoked_from is not None and index >= self.revoked_from:
            return f"{self} is revoked from entry {self.revoked_from} on"
        if self.until_index is not None and index >= self.until_index:
            return f"{self} is retired from entry {self.until_index} on"
        return f"{self} counts only from entry {self.from_index} on"

    @property
    def ended(self) -> bool:
        """Say whether it is retired or revoked."""
        return self.until_index is not None or self.revoked_from is not None

    def __str__(self) -> str:
        return f"{self.verifier.name}+{self.keyid}"

    def to_json(self) -> dict[str, Json]:
        """Return it as `keys.json` shows it."""
        return {
            "from_index": self.from_index,
            "keyid": self.keyid,
            "name": self.name,
            "owner": self.owner,
            "purpose": self.purpose,
            "reason": self.reason,
            "revoked_from": self.revoked_from,
            "role": self.role,
            "until_index": self.until_index,
            "vkey": self.verifier.vkey(),
        }


@dataclass(slots=True)
class KeyDirectory:
    """Every key that the log told of so far, in its order."""

    keys: dict[str, Key] = field(default_factory=dict[str, Key])
    """By vkey text."""
    begun_at: int | None = None
    """The entry of the first key event; before it nothing is known of keys."""
    _by_id: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    _logs: list[str] = field(default_factory=list[str])

    def follow(self, index: int, event: LoggedEvent) -> None:
        """Take in a key event; raises `AttestationMismatch` for one that says nothing sensible."""
        told = _told(event)
        if self.begun_at is None:
            self.begun_at = index
        if event["kind"] in {KeyAdded.kind, KeyRotated.kind}:
            self._add(index, event["subject"], told)
            return
        key = self.keys.get(told["vkey"])
        if key is None:
            raise AttestationMismatch(f"{event['kind']} names a key that was never added: {told['vkey'][:200]!a}")
        end = "revoked_from" if event["kind"] == KeyRevoked.kind else "until_index"
        at = index if told[end] is None else told[end]
        before = getattr(key, end)
        at = at if before is None else min(at, before)
        self.keys[told["vkey"]] = (
            replace(key, revoked_from=at, reason=told["reason"])
            if end == "revoked_from"
            else replace(key, until_index=at, reason=told["reason"])
        )

    def _add(self, index: int, name: str, told: Mapping[str, Any]) -> None:
        if told["purpose"] not in PURPOSES:
            raise AttestationMismatch(f"a key's purpose is one of {', '.join(sorted(PURPOSES))}")
        key = Key(
            verifier=_verifier(told["vkey"]),
            keyid=told["keyid"],
            name=name,
            owner=told["owner"],
            purpose=told["purpose"],
            role=told["role"],
            from_index=index if told["from_index"] is None else told["from_index"],
            reason=told["reason"],
        )
        if key.verifier.key_id.hex() != key.keyid:
            raise AttestationMismatch(f"the key's id is {key.verifier.key_id.hex()}, not {key.keyid[:20]!a}")
        if told["vkey"] in self.keys:
            return  # told twice, it is the same key
        self.keys[told["vkey"]] = key
        self._by_id.setdefault(key.keyid, []).append(told["vkey"])
        if key.purpose == "log":
            self._logs.append(told["vkey"])

    def named(self, keyid: str) -> list[Key]:
        """Return the keys with this id."""
        return [self.keys[vkey] for vkey in self._by_id.get(keyid, ())]

    def current(self, name: str) -> Key | None:
        """Return the last key of this name that has not ended."""
        return next((key for key in reversed(self.keys.values()) if key.name == name and not key.ended), None)

    def log_keys(self) -> list[Key]:
        """Return the log's own keys, ended ones included."""
        return [self.keys[vkey] for vkey in self._logs]

    def log_verifiers(self, index: int, roots: Iterable[Verifier]) -> tuple[Verifier, ...]:
        """Return the log's keys that count at an entry: the trusted ones, and those that the log itself introduced."""
        told = {key.verifier: key for key in self.log_keys()}
        found = [root for root in roots if root not in told]
        return (*found, *(verifier for verifier, key in told.items() if key.covers(index)))

    def to_json(self, origin: str) -> dict[str, Json]:
        """Return what `keys.json` says."""
        return {
            "keys": [key.to_json() for key in self.keys.values()],
            "origin": origin,
            "schema_version": SCHEMA_VERSION,
        }

    def render(self, origin: str) -> bytes:
        """Return the bytes of `keys.json`."""
        text = json.dumps(self.to_json(origin), indent=2, sort_keys=True, ensure_ascii=False)
        return text.encode("utf-8", "surrogatepass") + b"\n"


def folded(events: Iterable[tuple[int, LoggedEvent]]) -> KeyDirectory:
    """Fold key events as they stand, unproven: for showing them.

    One that says nothing sensible is passed over here; verification names it, and proves each (`check_change`).
    """
    directory = KeyDirectory()
    for index, event in events:
        with suppress(AttestationMismatch):
            directory.follow(index, event)
    return directory


def is_key_change(kind: str) -> bool:
    """Say whether events of this kind change the directory."""
    return kind in KEY_CHANGES


def change_subject(verifier: Verifier) -> Subject:
    """Return what a change of a key is about: the key's vkey text."""
    return Subject(f"{verifier.name}+{verifier.key_id.hex()}", {"sha256": sha256(verifier.vkey().encode()).hexdigest()})


def change_predicate(kind: str, fields: JsonObject, *, name: str, principal: str, signed_by: str) -> JsonObject:
    """Return the predicate of a change: the event's fields, and what the event says beside them."""
    told = {field: value for field, value in fields.items() if field != "attestation"}
    return {**told, "change": _VERB[kind], "name": name, "principal": principal, "signed_by": signed_by}


def signers_of(kind: str, purpose: str) -> str:
    """Say in one word who signs a change: `principal` where the owner's keys do it alone, else `log`."""
    return "principal" if kind == KeyRotated.kind and purpose != "log" else "log"


@dataclass(frozen=True, slots=True)
class Change:
    """A key event beside its opened envelope."""

    index: int
    event: LoggedEvent
    statement: Mapping[str, Json]
    signed: Sequence[Verifier]
    """The keys whose signatures fit, out of those that could have signed it (`candidates`)."""


def candidates(
    directory: KeyDirectory, roots: Sequence[Verifier], event: LoggedEvent, keyids: Iterable[str]
) -> list[Verifier]:
    """Return the keys whose signature on a change could matter: those with these ids, and the one it introduces."""
    known = [*roots, *(key.verifier for keyid in keyids for key in directory.named(keyid))]
    if event["kind"] in {KeyAdded.kind, KeyRotated.kind}:
        known.append(_verifier(_told(event)["vkey"]))
    return list(dict.fromkeys(known))


def check_change(directory: KeyDirectory, roots: Sequence[Verifier], change: Change) -> None:
    """Raise unless the right keys signed exactly this change: as the directory stood before it.

    Raises `AttestationMismatch` (another statement), `KeyNoLongerValid`, `KeyNotAllowed` or `EnvelopeRejected`.
    """
    _check_statement(change)
    told, kind = _told(change.event), change.event["kind"]
    if kind in {KeyAdded.kind, KeyRotated.kind} and _verifier(told["vkey"]) not in change.signed:
        raise EnvelopeRejected("the new key itself did not sign: nobody has shown to hold it")
    if kind == KeyRotated.kind:
        _check_succession(directory, told, change)
        return
    valid = directory.log_verifiers(change.index, roots)
    if not any(verifier in valid for verifier in change.signed):
        if directory.begun_at is None:
            raise HeadSignatureInvalid("no trusted key signed the log's first key; is this the key of another log?")
        known = [key for key in directory.log_keys() if key.verifier in change.signed]
        if known:
            raise KeyNoLongerValid(known[0].outside(change.index))
        raise KeyNotAllowed(f"{kind} is not signed by the log's key")


def _check_succession(directory: KeyDirectory, told: Mapping[str, Any], change: Change) -> None:
    olds = [key for key in directory.named(told["old_keyid"]) if key.verifier in change.signed]
    if not olds:
        raise EnvelopeRejected(f"the old key {told['old_keyid'][:20]!a} did not sign its succession")
    old = olds[0]
    if not old.covers(change.index):
        raise KeyNoLongerValid(old.outside(change.index))
    same = (old.name, old.owner, old.purpose, old.role)
    if same != (change.event["subject"], told["owner"], told["purpose"], told["role"]):
        raise KeyNotAllowed(f"{old} can not pass on more than it is: {old.owner}, {old.purpose}, {old.role}")


def _check_statement(change: Change) -> None:
    event, told = change.event, _told(change.event)
    attestation = cast("Mapping[str, Json]", event["payload"]["attestation"])
    if attestation.get("signed_by") != signers_of(event["kind"], str(told.get("purpose"))):
        raise AttestationMismatch("the entry does not say whose signature a change of keys bears")
    subject = change_subject(_verifier(told["vkey"]))
    expected: JsonObject = {
        "predicate": change_predicate(
            event["kind"],
            event["payload"],
            name=event["subject"],
            principal=event["principal"],
            signed_by=str(attestation.get("signed_by")),
        ),
        "predicateType": KEY_CHANGE,
        "subject": [{"digest": dict(subject.digest), "name": subject.name}],
    }
    if canonical(expected) != canonical({field: change.statement[field] for field in expected}):
        raise AttestationMismatch("the signed change of a key is not the one that the entry tells")


def _told(event: LoggedEvent) -> Mapping[str, Any]:
    """Return a key event's payload, its fields known to be there and of the right kind."""
    payload = event["payload"]
    expected = _FIELDS.get(event["kind"], frozenset[str]())
    if frozenset(payload) != expected | {"attestation"}:
        raise AttestationMismatch(f"{event['kind'][:80]!a} does not have the fields of a change of keys")
    for name in expected:
        value = payload[name]
        if name in _TEXTS and not isinstance(value, str):
            raise AttestationMismatch(f"a key event's {name} is text")
        if name in _INDEXES and value is not None and (type(value) is not int or value < 0):
            raise AttestationMismatch(f"a key event's {name} is the number of an entry")
    if "role" in expected and not isinstance(payload["role"], str | None):
        raise AttestationMismatch("a key's role is text")
    return payload


def _verifier(vkey: str) -> Verifier:
    try:
        return Verifier.parse(vkey)
    except KeyMalformed as error:
        raise AttestationMismatch(error.message) from None
