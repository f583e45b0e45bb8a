"""The key of a machine that joins a log whose own key lies elsewhere.

A key is added by the log's key and the key itself, and both sign one statement. So the machine that joins makes the
statement and signs it; whoever holds the log's key looks at it, adds that signature, and tells the log.
"""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any, Final, cast

from interlock.access.models import Actor, Principal, PrincipalKind
from interlock.evidence.content import Sealed, named_envelope
from interlock.evidence.directory import change_predicate, change_subject, signers_of
from interlock.evidence.dsse import read_envelope, seal, statement
from interlock.evidence.errors import EnvelopeRejected
from interlock.evidence.events import KeyAdded
from interlock.evidence.note import Signer, Verifier
from interlock.evidence.predicates import KEY_CHANGE
from interlock.kernel.canonical import Json, JsonObject, canonical

KEEPER: Final = Actor(principal=Principal(PrincipalKind.SERVICE, "evidence"))
"""Who tells the log of a key that joined."""


def asked(signer: Signer, name: str, reason: str) -> bytes:
    """Return the envelope with which the owner of a service's key asks for it to be added."""
    return seal(_statement(signer.verifier(), name, reason), [signer])


def admitted(envelope: bytes, name: str, vkey: str, reason: str, log: Signer) -> tuple[KeyAdded, Sealed]:
    """Return the event, and the envelope signed by both; raises `EnvelopeRejected` unless the key asked for this."""
    verifier = Verifier.parse(vkey)
    body = _statement(verifier, name, reason)
    asking = read_envelope(envelope)
    if b64decode(_loaded(envelope)["payload"]) != body or asking.signed_by([verifier]) != [verifier]:
        raise EnvelopeRejected(f"the key {name} did not ask for this")
    both = _loaded(seal(body, [log]))
    both["signatures"] = [*both["signatures"], *_loaded(envelope)["signatures"]]
    sealed = named_envelope(canonical(cast("Json", both)))
    told: JsonObject = {
        "digest": sealed.ref,
        "keyid": log.verifier().key_id.hex(),
        "predicate_type": KEY_CHANGE,
        "signed_by": signers_of(KeyAdded.kind, "service"),
    }
    fields = cast("dict[str, Any]", dict(_fields(verifier, name, reason)))
    return KeyAdded(subject=name, key=f"key.added:{vkey}", attestation=told, **fields), sealed


def _statement(verifier: Verifier, name: str, reason: str) -> bytes:
    predicate = change_predicate(
        KeyAdded.kind,
        _fields(verifier, name, reason),
        name=name,
        principal=str(KEEPER.principal),
        signed_by=signers_of(KeyAdded.kind, "service"),
    )
    return statement([change_subject(verifier)], KEY_CHANGE, predicate)


def _fields(verifier: Verifier, name: str, reason: str) -> JsonObject:
    return {
        "vkey": verifier.vkey(),
        "keyid": verifier.key_id.hex(),
        "owner": f"service:{name.removeprefix('service-')}",
        "purpose": "service",
        "role": None,
        "from_index": None,
        "reason": reason,
    }


def _loaded(envelope: bytes) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(envelope))
