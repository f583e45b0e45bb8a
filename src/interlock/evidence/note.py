"""Signed notes as C2SP specifies them (c2sp.org/signed-note), with Ed25519 keys.

A note is text ending in a newline, a blank line, and one line `— <name> <base64(key id || signature)>` for each
signature, the dash being U+2014. Go's `golang.org/x/mod/sumdb/note` reads and writes the same. Base64 is taken in its
one canonical spelling, so that no byte of a note can change unseen.
"""

from __future__ import annotations

import binascii
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Self

from interlock.evidence.errors import KeyMalformed, NoteMalformed, NoteUntrusted, SignatureInvalid
from interlock.evidence.models import OpenedNote

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

MAX_NOTE = 1_000_000
"""Bytes."""
MAX_SIGNATURES = 100
KEY_BYTES = 32
_DASH = "— "
_ED25519 = b"\x01"
_ID_BYTES = 4


@dataclass(frozen=True, slots=True)
class Verifier:
    """The public half of a named Ed25519 key; name and key together are its identity."""

    name: str
    public: bytes
    """32 bytes, RFC 8032."""

    def __post_init__(self) -> None:
        _check_name(self.name)
        if len(self.public) != KEY_BYTES:
            raise KeyMalformed(f"an Ed25519 public key has 32 bytes, this one {len(self.public)}")

    @property
    def key_id(self) -> bytes:
        """Four bytes that name the key: a hint, not a proof."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:_ID_BYTES]

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Say whether `signature` (64 bytes) is this key's over `message`."""
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - 30 ms that only a signature needs

        try:
            _public(self.public).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    def vkey(self) -> str:
        """Return the key's text: `<name>+<key id in hex>+<base64 of type and key>`."""
        return f"{self.name}+{self.key_id.hex()}+{b64encode(_ED25519 + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `vkey` wrote; raises `KeyMalformed` for another form, another type of key or a wrong key id."""
        name, _, rest = text.partition("+")
        stated, _, encoded = rest.partition("+")
        key = decode_base64(encoded)
        if key is None or key[:1] != _ED25519:
            raise KeyMalformed(f"not an Ed25519 verifier key: {text[:200]!a}")
        verifier = cls(name, key[1:])
        if stated != verifier.key_id.hex():
            raise KeyMalformed(
                f"the verifier key's id is {stated[:8]!a}, its name and key give {verifier.key_id.hex()}"
            )
        return verifier


@dataclass(frozen=True, slots=True)
class Signer:
    """A named Ed25519 key that can sign."""

    name: str
    private: Ed25519PrivateKey = field(repr=False)

    def __post_init__(self) -> None:
        _check_name(self.name)

    def sign(self, message: bytes) -> bytes:
        """Return the signature over `message`, 64 bytes."""
        return self.private.sign(message)

    def verifier(self) -> Verifier:
        """Return the public half."""
        return Verifier(self.name, self.private.public_key().public_bytes_raw())


@lru_cache(maxsize=256)
def _public(raw: bytes) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - see Verifier.verify

    return Ed25519PublicKey.from_public_bytes(raw)


def sign(text: str, signers: Sequence[Signer]) -> str:
    """Return the note that says `text`, signed by every signer in order.

    Raises `NoteMalformed` if the text can not be a note's: it ends in a newline and holds no other control character.
    """
    if not signers:
        raise ValueError("a note needs a signer")
    body = _check_text(text)
    lines = [
        f"{_DASH}{signer.name} {b64encode(signer.verifier().key_id + signer.sign(body)).decode()}\n"
        for signer in signers
    ]
    return f"{text}\n{''.join(lines)}"


def open_note(note: str | bytes, verifiers: Iterable[Verifier]) -> OpenedNote:
    """Return a note's text once a trusted key is seen to have signed it.

    Signatures by unknown keys are ignored. Raises `NoteMalformed`, `SignatureInvalid` (a trusted key's signature is
    wrong, or stands there twice) or `NoteUntrusted` (no trusted key signed).
    """
    known = by_identity(verifiers)
    text, lines = _split(note)
    body = text.encode()
    verified: list[str] = []
    for name, blob in lines:
        verifier = known.get((name, blob[:_ID_BYTES]))
        if verifier is None:
            continue
        identity = f"{name}+{verifier.key_id.hex()}"
        if identity in verified:
            raise SignatureInvalid(f"{identity} signed this note twice")
        if not verifier.verify(body, blob[_ID_BYTES:]):
            raise SignatureInvalid(f"the signature by {identity} does not fit the note's text")
        verified.append(identity)
    if not verified:
        raise NoteUntrusted(f"no trusted key signed this note; it names {', '.join(sorted({n for n, _ in lines}))}")
    return OpenedNote(text, tuple(verified), len(lines) - len(verified))


def text_of(note: str | bytes) -> str:
    """Return what a note says, whoever signed it; raises `NoteMalformed`."""
    return _split(note)[0]


def by_identity(verifiers: Iterable[Verifier]) -> Mapping[tuple[str, bytes], Verifier]:
    """Index verifiers by name and key id; raises `KeyMalformed` if two different keys share both."""
    known: dict[tuple[str, bytes], Verifier] = {}
    for verifier in verifiers:
        if known.setdefault((verifier.name, verifier.key_id), verifier) != verifier:
            raise KeyMalformed(f"two keys are both {verifier.name}+{verifier.key_id.hex()}")
    return known


def decode_base64(text: str) -> bytes | None:
    """Decode standard base64 in its canonical spelling, else return None (RFC 4648 sections 3.5 and 4)."""
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return None
    return data if b64encode(data).decode() == text else None


def _split(note: str | bytes) -> tuple[str, list[tuple[str, bytes]]]:
    """Cut a note into its text and its signatures (name, key id and signature)."""
    whole = _as_text(note)
    text, gap, tail = whole.rpartition("\n\n")
    if not gap or not tail.endswith("\n"):
        raise NoteMalformed("a note is text, a blank line and signature lines, each ended by a newline")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteMalformed(f"a note with more than {MAX_SIGNATURES} signatures is not read")
    return text + "\n", [parse_signature(line) for line in lines]


def parse_signature(line: str) -> tuple[str, bytes]:
    """Read a signature line without its newline: name, and key id with signature; raises `NoteMalformed`."""
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    blob = decode_base64(encoded)
    if not line.startswith(_DASH) or not is_name(name) or blob is None or len(blob) <= _ID_BYTES:
        raise NoteMalformed(f"not a signature line: {line[:200]!a}")
    return name, blob


def _as_text(note: str | bytes) -> str:
    try:
        data = note.encode() if isinstance(note, str) else note
        text = data.decode()
    except UnicodeError:
        raise NoteMalformed("a note is UTF-8 text") from None
    if len(data) > MAX_NOTE:
        raise NoteMalformed(f"a note of more than {MAX_NOTE} bytes is not read")
    if any(character < " " and character != "\n" for character in text):
        raise NoteMalformed("a note holds no control character but newline")
    return text


def _check_text(text: str) -> bytes:
    if not _as_text(text).endswith("\n"):
        raise NoteMalformed("a note's text ends in a newline")
    return text.encode()


def is_name(name: str) -> bool:
    """Say whether a key may have this name."""
    return bool(name) and "+" not in name and not any(c.isspace() or c < " " for c in name) and _is_utf8(name)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_name(name: str) -> None:
    if not is_name(name):
        raise KeyMalformed(f"a key's name is text without spaces, plus signs and control characters: {name[:200]!a}")
