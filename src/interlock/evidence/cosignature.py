"""Cosignatures: a witness's word that it has seen a head, and none that contradicts it (c2sp.org/tlog-cosignature, v1).

A witness signs `cosignature/v1`, its time in seconds, and the head's three lines. The signature line looks like any
other of a signed note (key type 0x04, the time before the signature), so that who does not know it passes over it.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, cast

from interlock.evidence.errors import FileMissing, KeyMalformed, LineMalformed, NoteMalformed
from interlock.evidence.models import Cosignature
from interlock.evidence.note import KEY_BYTES, Verifier, decode_base64, is_name, parse_signature
from interlock.evidence.strict_json import parse
from interlock.kernel.canonical import canonical

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_TYPE: Final = b"\x04"
_ID_BYTES: Final = 4
_TIME_BYTES: Final = 8
_MAX_LINE: Final = 4096
_MAX_SECONDS: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class WitnessKey:
    """The public half of a witness's key."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        if not is_name(self.name) or len(self.public) != KEY_BYTES:
            raise KeyMalformed(f"not a witness's name and Ed25519 key: {self.name[:200]!a}")

    @property
    def key_id(self) -> bytes:
        """Four bytes that name the key."""
        return sha256(self.name.encode() + b"\n" + _TYPE + self.public).digest()[:_ID_BYTES]

    def vkey(self) -> str:
        """Return the key's text: `<name>+<key id in hex>+<base64 of type 0x04 and key>`."""
        return f"{self.name}+{self.key_id.hex()}+{b64encode(_TYPE + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `vkey` wrote; raises `KeyMalformed`."""
        name, _, rest = text.partition("+")
        stated, _, encoded = rest.partition("+")
        key = decode_base64(encoded)
        if key is None or key[:1] != _TYPE:
            raise KeyMalformed(f"not a witness's verifier key (Ed25519 cosignatures, type 04): {text[:200]!a}")
        witness = cls(name, key[1:])
        if stated != witness.key_id.hex():
            raise KeyMalformed(f"the witness key's id is {stated[:8]!a}, its name and key give {witness.key_id.hex()}")
        return witness

    def cosigned(self, body: str, line: str) -> int | None:
        """Return when this witness cosigned a head's text, in seconds, or None if the line is not its cosignature."""
        try:
            name, blob = parse_signature(line)
        except NoteMalformed:
            return None
        if name != self.name or blob[:_ID_BYTES] != self.key_id:
            return None
        stamp, signature = blob[_ID_BYTES : _ID_BYTES + _TIME_BYTES], blob[_ID_BYTES + _TIME_BYTES :]
        seconds = int.from_bytes(stamp, "big")
        fits = seconds <= _MAX_SECONDS and Verifier(self.name, self.public).verify(_message(body, seconds), signature)
        return seconds if fits else None


@dataclass(frozen=True, slots=True)
class WitnessSigner:
    """A witness's key that can sign."""

    name: str
    private: Ed25519PrivateKey = field(repr=False)

    def public(self) -> WitnessKey:
        """Return the public half."""
        return WitnessKey(self.name, self.private.public_key().public_bytes_raw())

    def cosign(self, body: str, seconds: int) -> str:
        """Return the signature line over a head's text, without its newline."""
        signature = self.private.sign(_message(body, seconds))
        blob = self.public().key_id + seconds.to_bytes(_TIME_BYTES, "big") + signature
        return f"— {self.name} {b64encode(blob).decode()}"


def _message(body: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{body}".encode()


def render_cosignature(cosignature: Cosignature) -> bytes:
    """Return the line of `cosignatures.jsonl`: canonical JSON of `line` and `size`."""
    return canonical({"line": cosignature.line, "size": cosignature.size}) + b"\n"


def read_cosignatures(file: Path, size: int) -> Sequence[str]:
    """Return the signature lines for the head of this size in a `cosignatures.jsonl`; none if there is no such file.

    Raises `LineMalformed` for a line that `render_cosignature` does not write.
    """
    found: list[str] = []
    try:
        with file.open("rb") as lines:
            number = 0
            while line := lines.readline(_MAX_LINE + 1):
                number += 1
                if (cosignature := _read(line, number)).size == size:
                    found.append(cosignature.line)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise FileMissing(f"{file} can not be read: {error.strerror}") from None
    return found


def _read(line: bytes, number: int) -> Cosignature:
    try:
        fields = cast("dict[str, object]", parse(line))
        size, text = fields["size"], fields["line"]
        if type(size) is int and isinstance(text, str):
            found = Cosignature(size, text)
            if render_cosignature(found) == line:
                return found
    except (ValueError, TypeError, KeyError):
        pass
    raise LineMalformed(f"line {number} of cosignatures.jsonl is not what we write")
