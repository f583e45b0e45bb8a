"""The verbs of keys: private halves in the key folder, and what the log says of them.

A key file is made first and its event is logged after it, idempotent by the key itself; who dies between the two
finds the file on the next call. Only a human adds, rotates, retires and revokes; the key of an agent with a role is
made when the agent is first needed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from interlock.access.models import Actor, require_human
from interlock.evidence import publish
from interlock.evidence.content import Sealed, named_envelope
from interlock.evidence.directory import Key, KeyDirectory, change_predicate, change_subject, signers_of
from interlock.evidence.dsse import seal, statement
from interlock.evidence.errors import (
    KeyEnded,
    KeyExists,
    KeyMalformed,
    KeyMissing,
    KeyNameInvalid,
    KeyNeeded,
    KeyRoleTaken,
    KeyUnknown,
)
from interlock.evidence.events import KeyAdded, KeyRetired, KeyRevoked, KeyRotated
from interlock.evidence.keys import create_key, load_signer, load_verifiers
from interlock.evidence.note import Signer, Verifier
from interlock.evidence.predicates import AGENT_ROLES, KEY_CHANGE
from interlock.kernel.canonical import JsonObject
from interlock.kernel.events import Event

LOG: Final = "log"
SERVICE: Final = "service"
_NAME: Final = re.compile(r"(?:human|agent|service)-[A-Za-z0-9_][A-Za-z0-9._@-]{0,99}")
_NEXT: Final = "next"
_FORMER: Final = re.compile(r"(.+)\.(?:next|[0-9a-f]{8})")
_NEEDED: Final = {LOG, SERVICE}


@dataclass(frozen=True, slots=True)
class _Signed:
    envelope: Sealed
    told: JsonObject
    """The event's `attestation`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """The keys of one log."""

    folder: Path
    """Of the private halves, mode 0700."""
    roots: Path
    """The file of the log's public keys beside its export."""
    origin: str
    directory: Callable[[], KeyDirectory]
    """Reads what the log says of keys by now."""
    tell: Callable[[Actor, Event, Sealed], None]
    """Keeps an envelope and logs the event that names it, in one transaction."""

    # --- what there is ------------------------------------------------------------------------------------------------

    def list(self) -> Sequence[Key]:
        """Return every key that the log told of, ended ones included."""
        return tuple(self.directory().keys.values())

    def log_signers(self) -> Sequence[Signer]:
        """Return the keys that sign a head: the log's own, and those before it that are not retired yet."""
        newest = self._load(LOG)
        former = [path for path in self.folder.glob(f"{LOG}.*.key") if path.stem != f"{LOG}.{_NEXT}"]
        if not former:
            return [newest]
        known = self.directory().keys
        signers = [self._load(path.stem) for path in sorted(former)]
        counting = [each for each in signers if _counts(known.get(each.verifier().vkey()))]
        return [*(each for each in counting if each.verifier() != newest.verifier()), newest]

    # --- verbs --------------------------------------------------------------------------------------------------------

    def complete(self, actor: Actor) -> Sequence[Key]:
        """Tell the log of every key here of which it does not know, and end what was begun; returns those added.

        They count from the first entry on. Without the log's private key nothing can be told.
        """
        if not self._path(LOG).exists():
            return []
        self._end_successions()
        before = self.directory().keys
        for name in (LOG, SERVICE, *sorted(path.stem for path in self.folder.glob("human-*.key"))):
            if _former(name) or not self._path(name).exists():
                continue
            if self._load(name).verifier().vkey() not in before:
                self.announce(actor, name, role=None, from_index=0, reason="found in the key folder")
        return [key for vkey, key in self.directory().keys.items() if vkey not in before]

    def add(self, actor: Actor, purpose: str, name: str, *, role: str | None = None, reason: str = "") -> Key:
        """Make a key for a person, an agent with a role, or a service, and tell the log of it."""
        require_human(actor.principal, "add a key")
        if purpose not in {"human", "agent", "service"}:
            raise KeyNameInvalid("a key is added for a human, an agent or a service; the log's own is rotated")
        if (purpose == "agent") != (role is not None):
            raise KeyNameInvalid("an agent's key has a role, and no other key has one")
        self.complete(actor)
        return self._made(actor, f"{purpose}-{name}", role, reason or "added")

    def ensure_agent(self, actor: Actor, agent_id: str, role: str) -> Key:
        """Return the key of an agent with a role; made, and told to the log, where it is missing.

        Raises `KeyRoleTaken` if the agent's key is for another role, `KeyMissing` without the log's key.
        """
        name = f"agent-{agent_id}"
        _check(name, role)
        found = self.directory().current(name)
        if found is None or not self._path(name).exists():
            self.complete(actor)
            found = self._made(actor, name, role, "its agent has a role", unless_there=True)
        if found.role != role:
            raise KeyRoleTaken(f"the key of {agent_id} is for the role {found.role}, not {role}")
        return found

    def rotate(self, actor: Actor, name: str, *, reason: str = "") -> Key:
        """Make a successor of a key, signed by both. The old one counts until it is retired."""
        require_human(actor.principal, "rotate a key")
        self.complete(actor)
        directory = self.directory()
        old = directory.current(name)
        if old is None:
            raise KeyUnknown(f"the log knows no key {name[:100]!a} that counts")
        owner = self._load(name)
        if owner.verifier() != old.verifier:
            raise KeyMalformed(f"{self._path(name)} is not the key of this name that the log knows, {old}")
        fresh = self._fresh(f"{name}.{_NEXT}", owner.name)
        fields: JsonObject = {
            "old_keyid": old.keyid,
            **_fields(
                fresh,
                owner=old.owner,
                purpose=old.purpose,
                role=old.role,
                from_index=None,
                reason=reason or "rotated",
            ),
        }
        signed = self._signed(actor, KeyRotated.kind, name, fields, signers=[owner, fresh])
        self.tell(actor, KeyRotated(subject=name, attestation=signed.told, **_loose(fields)), signed.envelope)
        self._succeed(name, self.directory())
        return self._known(fresh.verifier())

    def retire(self, actor: Actor, name: str, *, reason: str = "") -> Key:
        """Let a key sign nothing any more; `name` may be its id where several of a name count."""
        require_human(actor.principal, "retire a key")
        return self._end(actor, name, KeyRetired, {"until_index": None, "reason": reason or "retired"})

    def revoke(self, actor: Actor, name: str, *, reason: str, from_index: int | None = None) -> Key:
        """Let nothing count that a key signed from an entry on (default: from now on); earlier entries stand."""
        require_human(actor.principal, "revoke a key")
        return self._end(actor, name, KeyRevoked, {"revoked_from": from_index, "reason": reason})

    # --- how ----------------------------------------------------------------------------------------------------------

    def _made(self, actor: Actor, name: str, role: str | None, reason: str, *, unless_there: bool = False) -> Key:
        _check(name, role)
        if self.directory().current(name) is not None and not unless_there:
            raise KeyExists(f"there is a key {name} already", hint=f"interlock evidence keys rotate {name}")
        self._load(LOG)  # else a key would be left here that signs, and that the log does not know
        signer = self._fresh(name, f"interlock/{name}")
        self.announce(actor, name, role=role, from_index=None, reason=reason)
        return self._known(signer.verifier())

    def _fresh(self, stem: str, vkey_name: str) -> Signer:
        """Make a key, or take the one that an interrupted call, or one at this moment, has made."""
        try:
            return create_key(self._path(stem), vkey_name)
        except KeyExists:
            return load_signer(self._path(stem), vkey_name)

    def announce(self, actor: Actor, name: str, *, role: str | None, from_index: int | None, reason: str) -> None:
        """Tell the log of a key file, signed by the log's key and by the key itself."""
        signer, log = self._load(name), self._load(LOG)
        purpose = name.partition("-")[0]
        fields = _fields(
            signer, owner=self._owner(name), purpose=purpose, role=role, from_index=from_index, reason=reason
        )
        signers = [log] if signer.verifier() == log.verifier() else [log, signer]
        signed = self._signed(actor, KeyAdded.kind, name, fields, signers=signers)
        event = KeyAdded(
            subject=name, key=f"key.added:{fields['vkey']}", attestation=signed.told, **_loose(fields)
        )  # two processes may tell of one key at once
        self.tell(actor, event, signed.envelope)

    def _end(self, actor: Actor, name: str, kind: type[KeyRetired | KeyRevoked], fields: JsonObject) -> Key:
        self._end_successions()
        key = self._one(self.directory(), name)
        if key.revoked_from is not None or (key.until_index is not None and kind is KeyRetired):
            raise KeyEnded(f"{key} has ended already: {key.outside(2**53)}")
        path = self._path(key.name)
        current = path.exists() and self._load(key.name).verifier() == key.verifier
        if current and key.name in _NEEDED:
            raise KeyNeeded(f"{key} is the key that signs now, and has no successor")
        told: JsonObject = {"vkey": key.verifier.vkey(), "keyid": key.keyid, **fields}
        signed = self._signed(actor, kind.kind, key.name, told, signers=[self._load(LOG)], about=key.verifier)
        self.tell(actor, kind(subject=key.name, attestation=signed.told, **_loose(told)), signed.envelope)
        if current:
            self._set_aside(key.name, key.keyid)
        return self._known(key.verifier)

    def _one(self, directory: KeyDirectory, name: str) -> Key:
        named_so = [key for key in directory.keys.values() if key.keyid == name]
        found = named_so or [key for key in directory.keys.values() if key.name == name and key.revoked_from is None]
        counting = [key for key in found if not key.ended] or found
        if not counting:
            raise KeyUnknown(f"the log knows no key {name[:100]!a}")
        if len(counting) > 1:
            raise KeyUnknown(
                f"several keys are named {name[:100]!a}",
                hint=f"name one by its id: {', '.join(key.keyid for key in counting)}",
            )
        return counting[0]

    def _signed(
        self,
        actor: Actor,
        kind: str,
        name: str,
        fields: JsonObject,
        *,
        signers: Sequence[Signer],
        about: Verifier | None = None,
    ) -> _Signed:
        by = signers_of(kind, str(fields.get("purpose")))
        told = change_predicate(kind, fields, name=name, principal=str(actor.principal), signed_by=by)
        body = statement([change_subject(about or signers[-1].verifier())], KEY_CHANGE, told)
        envelope = named_envelope(seal(body, signers))
        keyid = signers[0].verifier().key_id.hex()
        return _Signed(
            envelope, {"digest": envelope.ref, "keyid": keyid, "predicate_type": KEY_CHANGE, "signed_by": by}
        )

    def _end_successions(self) -> None:
        for path in sorted(self.folder.glob(f"*.{_NEXT}.key")):
            self._succeed(path.stem.removesuffix(f".{_NEXT}"), self.directory())

    def _succeed(self, name: str, directory: KeyDirectory) -> None:
        """Let a logged successor take its name. Each step can be the last one before a crash, and be done again."""
        following = self._path(f"{name}.{_NEXT}")
        if not following.exists():
            return
        vkey = load_signer(following, self._vkey_name(name)).verifier().vkey()
        if vkey not in directory.keys:
            return
        if name == LOG:
            self._trust(vkey)
        keyid = self._load(name).verifier().key_id.hex()
        for suffix in (".vkey", ".key"):
            current, former = self.folder / f"{name}{suffix}", self.folder / f"{name}.{keyid}{suffix}"
            if current.exists() and not former.exists():
                os.link(current, former)  # and not moved: there is a key to sign with at every instant
            fresh = following.with_suffix(suffix)
            if fresh.exists():
                fresh.replace(current)

    def _trust(self, vkey: str) -> None:
        lines = [verifier.vkey() for verifier in load_verifiers(self.roots)]
        if vkey not in lines:
            publish.replace(self.roots, [f"{line}\n".encode() for line in [*lines, vkey]])

    def _set_aside(self, name: str, keyid: str) -> None:
        """Keep a key under its id: what it signed is still verified, and a former key of the log signs for a while."""
        for suffix in (".vkey", ".key"):
            path = self.folder / f"{name}{suffix}"
            if path.exists():
                path.rename(self.folder / f"{name}.{keyid}{suffix}")

    def _known(self, verifier: Verifier) -> Key:
        found = self.directory().keys.get(verifier.vkey())
        if found is None:
            raise KeyUnknown(f"the log does not know {verifier.name} yet", hint="is its sequencer running?")
        return found

    def _load(self, stem: str) -> Signer:
        if stem == LOG and not self._path(LOG).exists():
            raise KeyMissing(
                f"the log's key is not on this machine: there is no {self._path(LOG)}",
                hint="do it where the key is kept, as a rule on the workspace's first machine; or restore it",
            )
        return load_signer(self._path(stem), self._vkey_name(stem))

    def _vkey_name(self, stem: str) -> str:
        name = _former(stem) or stem
        return self.origin if name == LOG else f"interlock/{name}"

    def _path(self, stem: str) -> Path:
        return self.folder / f"{stem}.key"

    def _owner(self, name: str) -> str:
        purpose, _, rest = name.partition("-")
        return f"{purpose}:{rest or (self.origin if purpose == LOG else 'interlock')}"


def _fields(
    signer: Signer, *, owner: str, purpose: str, role: str | None, from_index: int | None, reason: str
) -> JsonObject:
    verifier = signer.verifier()
    return {
        "vkey": verifier.vkey(),
        "keyid": verifier.key_id.hex(),
        "owner": owner,
        "purpose": purpose,
        "role": role,
        "from_index": from_index,
        "reason": reason,
    }


def _loose(fields: JsonObject) -> dict[str, Any]:
    return dict(fields)


def _counts(key: Key | None) -> bool:
    return key is not None and not key.ended


def _former(stem: str) -> str | None:
    """Return the name of a key that was set aside under its id."""
    match = _FORMER.fullmatch(stem)
    return match[1] if match else None


def _check(name: str, role: str | None) -> None:
    if not _NAME.fullmatch(name) or _former(name):
        raise KeyNameInvalid(f"a key's name is letters, digits and . _ @ -, at most 100; not {name[:100]!a}")
    if role is not None and role not in AGENT_ROLES:
        raise KeyNameInvalid(f"an agent's role is one of {', '.join(sorted(AGENT_ROLES))}; not {role[:50]!a}")
