"""Envelopes as files: `<hex>.json` in a folder, named by the digest that an entry gives."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, cast

from interlock.evidence.errors import AttestationMismatch, EnvelopeRejected, EvidenceError, FileMissing
from interlock.evidence.models import LoggedEvent

MAX_ENVELOPE: Final = 256 * 1024
"""Bytes."""
_REF: Final = re.compile(r"sha256:([0-9a-f]{64})")
_FIELDS: Final = ("digest", "keyid", "predicate_type", "signed_by")


@dataclass(frozen=True, slots=True)
class Envelopes:
    """A folder of envelopes, one file each."""

    folder: Path

    def path(self, ref: str) -> Path:
        """Return where an envelope lies; raises `EnvelopeRejected` for what names none."""
        match = _REF.fullmatch(ref)
        if match is None:
            raise EnvelopeRejected(f"an envelope is named by sha256:<64 hex digits>, not {ref[:100]!a}")
        return self.folder / f"{match[1]}.json"

    def read(self, ref: str) -> bytes:
        """Return an envelope's bytes; raises `FileMissing`, or `EnvelopeRejected` where they are others."""
        path = self.path(ref)
        try:
            with path.open("rb", buffering=0) as file:
                data = file.read(MAX_ENVELOPE + 1)
        except OSError as error:
            raise FileMissing(f"its envelope {path} can not be read: {error.strerror}") from None
        if "sha256:" + sha256(data).hexdigest() != ref:
            raise EnvelopeRejected(f"{path} is not the envelope that the entry names: it was edited")
        return data


def stated(event: LoggedEvent) -> Mapping[str, str]:
    """Return an event's attestation; raises `AttestationMismatch` where it does not say what one says."""
    found = event["payload"].get("attestation")
    if not isinstance(found, Mapping) or not all(isinstance(found.get(name), str) for name in _FIELDS):
        raise AttestationMismatch(f"an attestation has {', '.join(_FIELDS)}")
    return cast("Mapping[str, str]", found)


def named_envelope(event: LoggedEvent) -> str | None:
    """Return the digest of the envelope that an event names, in the form that names a file."""
    try:
        ref = stated(event)["digest"]
        Envelopes(Path()).path(ref)
    except EvidenceError:
        return None
    return ref
