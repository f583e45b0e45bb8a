"""A witness: it cosigns a log's head only if it extends the last one that it cosigned (c2sp.org/tlog-witness).

The exchange is by files, so that the witness may stand behind an air gap: a request goes out, signature lines come
back. What the witness has cosigned last, for each log, lies in a state file; it is compared and replaced under a lock,
before anything is signed.

A request is the body of C2SP's add-checkpoint:

old <size>
<base64 of a hash>         (zero or more lines, RFC 6962 section 2.1.2)

<the signed tree head>
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from base64 import b64encode
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from interlock.evidence import publish
from interlock.evidence.consistency import check_path, decode_path
from interlock.evidence.cosignature import WitnessKey, WitnessSigner
from interlock.evidence.errors import (
    ConsistencyRejected,
    KeyMalformed,
    NoteMalformed,
    NoteRejected,
    RequestMalformed,
    WitnessStateDamaged,
)
from interlock.evidence.head import open_own_head, parse_body
from interlock.evidence.keys import create_private, load_private
from interlock.evidence.models import TreeHead
from interlock.evidence.note import MAX_NOTE, MAX_SIGNATURES, Verifier, parse_signature, text_of
from interlock.evidence.tree import EMPTY_ROOT
from interlock.kernel.canonical import MAX_INTEGER

_OLD: Final = re.compile(r"old (0|[1-9][0-9]{0,15})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Request:
    """What a witness is asked: to cosign a head, given the path from the head that it cosigned last."""

    old: int
    path: tuple[bytes, ...]
    note: str


def render_request(request: Request) -> str:
    """Return the request's text."""
    return "\n".join([f"old {request.old}", *(b64encode(digest).decode() for digest in request.path), "", request.note])


def read_request(text: str) -> Request:
    """Read what `render_request` wrote; raises `RequestMalformed`."""
    top, gap, note = text.partition("\n\n")
    first, *lines = top.split("\n")
    match = _OLD.fullmatch(first)
    if match is None or not gap or int(match[1]) > MAX_INTEGER or len(note) > MAX_NOTE:
        raise RequestMalformed("a request is a line `old <size>`, hashes, a blank line and a signed tree head")
    try:
        return Request(int(match[1]), decode_path(lines), note)
    except ConsistencyRejected as error:
        raise RequestMalformed(error.message) from None


def read_answer(text: str) -> Sequence[str]:
    """Return the signature lines of a witness's answer; raises `RequestMalformed`."""
    lines = text.removesuffix("\n").split("\n")
    if not text.endswith("\n") or len(lines) > MAX_SIGNATURES:
        raise RequestMalformed("an answer is signature lines, each ended by a newline")
    try:
        for line in lines:
            parse_signature(line)
    except NoteMalformed as error:
        raise RequestMalformed(error.message) from None
    return lines


def make_witness(path: Path, name: str) -> WitnessKey:
    """Make a witness's key at `path`, its public half beside it as `.vkey`; raises `KeyExists` or `KeyUnsafe`."""
    WitnessKey(name, bytes(32))  # the name is one, before anything is made
    return create_private(path, lambda private: WitnessSigner(name, private).public(), WitnessKey.vkey)


def load_witness(path: Path) -> WitnessSigner:
    """Return the witness whose key lies at `path`, under the name in the `.vkey` beside it."""
    public = path.with_suffix(".vkey")
    try:
        stated = WitnessKey.parse(public.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeError) as error:
        raise KeyMalformed(f"the witness's public key {public} can not be read: {error}") from None
    signer = WitnessSigner(stated.name, load_private(path))
    if signer.public() != stated:
        raise KeyMalformed(f"{path} and {public} are not two halves of one key")
    return signer


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """One witness: a key, the logs that it watches, and what it has cosigned."""

    signer: WitnessSigner
    logs: tuple[Verifier, ...]
    state: Path

    def cosign(self, text: str, seconds: int) -> str:
        """Answer a request with a signature line over its head, remembered first.

        Raises `RequestMalformed`, a `NoteRejected` (its log is none of ours, or did not sign the head) or
        `ConsistencyRejected`, which says the size that was cosigned last.
        """
        request = read_request(text)
        head = open_own_head(request.note, self.logs)
        with _locked(self.state):
            seen = _load(self.state)
            last = seen.get(head.origin)
            self._check(request, head, _head_of(last, head.origin, self.state))
            seen[head.origin] = {"note": request.note, "size": head.size}
            publish.replace(
                self.state, [json.dumps(seen, indent=2, sort_keys=True, ensure_ascii=False).encode(), b"\n"], mode=0o600
            )
        return self.signer.cosign(text_of(request.note), seconds) + "\n"

    @staticmethod
    def _check(request: Request, head: TreeHead, last: TreeHead) -> None:
        if head.size < last.size:
            raise ConsistencyRejected(f"the head covers {head.size} entries; one of {last.size} has been cosigned")
        if request.old != last.size:
            raise ConsistencyRejected(
                f"the head that was cosigned last covers {last.size} entries, not {request.old}",
                hint=f"ask again with --old {last.size}",
            )
        check_path(last, head, request.path)


def _head_of(kept: Mapping[str, Any] | None, origin: str, state: Path) -> TreeHead:
    if kept is None:
        return TreeHead(origin, 0, EMPTY_ROOT)
    try:
        return parse_body(text_of(str(kept["note"])))
    except (NoteRejected, KeyError, TypeError) as error:
        raise WitnessStateDamaged(f"{state} does not say what was cosigned last: {error}") from None


def _load(state: Path) -> dict[str, Any]:
    try:
        found = json.loads(state.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise WitnessStateDamaged(f"{state} can not be read: {error}") from None
    if not isinstance(found, dict):
        raise WitnessStateDamaged(f"{state} is not a witness's state")
    return cast("dict[str, Any]", found)


@contextmanager
def _locked(state: Path) -> Generator[None]:
    descriptor = os.open(state.with_name(f".{state.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
