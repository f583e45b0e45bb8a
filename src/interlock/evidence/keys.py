"""Key files: the private half as PKCS8 PEM of mode 0600 in a folder of mode 0700, the public half beside it as `.vkey`.

A key is made once and never overwritten; a private key that others could read, or swap, is not used.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from interlock.evidence import publish
from interlock.evidence.errors import KeyExists, KeyMalformed, KeyMissing, KeyUnsafe
from interlock.evidence.note import Signer, Verifier
from interlock.kernel.errors import InterlockError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Public = TypeVar("Public")
_MAX_FILE = 64 * 1024
_OTHERS = 0o077
_OTHERS_WRITE = 0o022
_MAKE_ONE = "name the right file, or let `interlock init` make a key"


def create_key(path: Path, name: str) -> Signer:
    """Make a key of this name at `path` and its public half beside it, with the suffix `.vkey`.

    Raises `KeyExists` if either file is there, `KeyUnsafe` if the folder is open to others.
    """
    return create_private(path, lambda private: Signer(name, private), lambda signer: signer.verifier().vkey())


def create_private(path: Path, named: Callable[[Ed25519PrivateKey], Public], vkey: Callable[[Public], str]) -> Public:
    """Make an Ed25519 key at `path`, and a `.vkey` beside it; `named` and `vkey` make its public half and that text.

    Raises `KeyExists` if either file is there, `KeyUnsafe` if the folder is open to others.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - 30 ms, rarely needed

    private = Ed25519PrivateKey.generate()
    made = named(private)
    public = path.with_suffix(".vkey")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_folder(path.parent, _OTHERS)
    for taken in (path, public):
        if os.path.lexists(taken):
            raise KeyExists(f"{taken} exists; a key is never overwritten", hint="use it, or choose another name")
    try:
        publish.create(path, _to_pem(private), mode=0o600)
        publish.create(public, f"{vkey(made)}\n".encode(), mode=0o644)
    except FileExistsError as error:
        raise KeyExists(f"{error.filename2} was just made by another process") from None
    return made


def restore_public(path: Path, name: str) -> None:
    """Write the public half of the key at `path` anew."""
    _write_public(path, load_signer(path, name))


def load_signer(path: Path, name: str) -> Signer:
    """Return the signer of the key at `path`, under this name.

    Raises `KeyMissing`, `KeyUnsafe` (others could read or swap it, or it is a link) or `KeyMalformed`.
    """
    return Signer(name, load_private(path))


def load_private(path: Path) -> Ed25519PrivateKey:
    """Return the private key at `path`; raises as `load_signer` does."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - 30 ms that few commands need
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - same
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - same

    try:
        private = load_pem_private_key(_read_private(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyMalformed(f"{path} is not an unencrypted private key in PEM", hint=_MAKE_ONE) from None
    if not isinstance(private, Ed25519PrivateKey):
        raise KeyMalformed(f"{path} holds a key of another kind than Ed25519", hint=_MAKE_ONE)
    return private


def load_verifiers(path: Path) -> tuple[Verifier, ...]:
    """Return the public keys in a file of vkeys, one a line; raises `KeyMissing` or `KeyMalformed`."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise KeyMissing(f"the public key {path} can not be read: {error.strerror}") from None
    except UnicodeError:
        raise KeyMalformed(f"{path} is not a file of verifier keys") from None
    return tuple(Verifier.parse(line) for line in lines)


def _write_public(path: Path, signer: Signer) -> None:
    publish.create(path.with_suffix(".vkey"), f"{signer.verifier().vkey()}\n".encode(), mode=0o644)


def _to_pem(private: Ed25519PrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - see create_key
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read_private(path: Path) -> bytes:
    """Read a file that nobody but its owner can read or swap, checked on the opened file itself."""
    _check_folder(path.parent, _OTHERS_WRITE)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(path, error) from None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise KeyUnsafe(f"{path} is not a file")
        if found.st_mode & _OTHERS:
            raise KeyUnsafe(f"{path} is open to others than its owner", hint=f"chmod 600 {shlex.quote(str(path))}")
        _check_owner(path, found)
        return file.read(_MAX_FILE)


def _unreadable(path: Path, error: OSError) -> InterlockError:
    if error.errno == errno.ELOOP:
        return KeyUnsafe(f"{path} is a symbolic link", hint="name the key file itself")
    if error.errno == errno.ENOENT:
        return KeyMissing(f"there is no key {path}", hint=_MAKE_ONE)
    return KeyUnsafe(f"{path} can not be read: {error.strerror}", hint="run as the key's owner")


def _check_folder(folder: Path, forbidden: int) -> None:
    try:
        found = folder.stat()
    except OSError as error:
        raise KeyMissing(f"there is no key folder {folder}: {error.strerror}", hint=_MAKE_ONE) from None
    if found.st_mode & forbidden:
        raise KeyUnsafe(f"the key folder {folder} is open to others", hint=f"chmod 700 {shlex.quote(str(folder))}")
    _check_owner(folder, found)


def _check_owner(path: Path, found: os.stat_result) -> None:
    if found.st_uid not in (0, os.geteuid()):
        raise KeyUnsafe(f"{path} belongs to another user (uid {found.st_uid})", hint="run as the key's owner")
