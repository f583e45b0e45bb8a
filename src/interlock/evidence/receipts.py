"""Receipts: one file from which an outsider checks, with the log's public key alone, how a run ended and who said so.

A receipt is JSON: `format`, `run_id`, `approved_id`, `draft_id`, `origin` (the log's name), `head` (the signed tree
head), `entries` (each `index`, the ledger's `line` and the `proof` that leads from it to the head, c2sp.org/tlog-proof)
and `envelopes` (the signed statements that entries name, by digest). Lines, proofs and envelopes are texts, byte for
byte what the log's own export holds, so every tool that reads those reads these.

The entries are those of the run, the approval that it carries out, and every change of keys that the head covers. What
a receipt can not show is that nothing was left out of it: that a key was not revoked later, say. The export shows that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from interlock.evidence.attestations import Attested, Check, check_signed, take_change
from interlock.evidence.directory import KeyDirectory, is_key_change
from interlock.evidence.dsse import read_envelope
from interlock.evidence.envelopes import MAX_ENVELOPE, Envelopes, named_envelope
from interlock.evidence.errors import (
    EntryNotCovered,
    EnvelopeRejected,
    FileMissing,
    HeadRefused,
    RunReceiptRejected,
)
from interlock.evidence.head import open_head
from interlock.evidence.ledger import read_line, render_line
from interlock.evidence.models import LedgerEntry, LoggedEvent, TreeHead
from interlock.evidence.note import Verifier
from interlock.evidence.ports import LogReader
from interlock.evidence.predicates import AGENT_RUN, DEMANDED
from interlock.evidence.proof import Proof, check_proof, decode_proof, encode_proof
from interlock.evidence.tree import inclusion_paths, root_of
from interlock.kernel.canonical import Json

FORMAT: Final = "interlock-run-receipt/v1"
MAX_BYTES: Final = 32 * 1024 * 1024
MAX_ENTRIES: Final = 2_000
ENDS: Final = frozenset({"run.done", "run.failed", "run.cancelled"})
_KEYS: Final = frozenset({"format", "run_id", "approved_id", "draft_id", "origin", "head", "entries", "envelopes"})


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a receipt is to show."""

    run_id: str
    approved_id: str
    draft_id: str
    indexes: Sequence[int]
    """The entries of the run and of its approval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a receipt shows, once it is checked."""

    run_id: str
    approved_id: str
    outcome: str
    """`done`, `failed` or `cancelled`."""
    reason: str | None
    approved_by: str
    approved_digest: str
    commit: str | None
    signed_by: str | None
    """Whose signature the outcome's statement bears, as its entry says; None for one that nobody signed."""
    head: TreeHead
    entries: int
    statements: int

    def to_json(self) -> dict[str, Json]:
        """Return it as doors show it."""
        return {
            "approved_id": self.approved_id,
            "reason": self.reason,
            "approved_by": self.approved_by,
            "approved_digest": self.approved_digest,
            "commit": self.commit,
            "signed_by": self.signed_by,
            "origin": self.head.origin,
            "size": self.head.size,
            "entries": self.entries,
            "statements": self.statements,
        }


def write_receipt(log: LogReader, about: About, verifiers: Sequence[Verifier], origin: str) -> dict[str, Any]:
    """Return the receipt as JSON. How often the log is hashed does not depend on the number of entries.

    Raises `EntryNotCovered` where no signed head covers the run's entries yet, `HeadRefused` where the log is not the
    one that was signed.
    """
    last = log.last_head()
    top = max(about.indexes, default=-1)
    if last is None or top >= last.size:
        raise EntryNotCovered(
            f"entry {top} of the run is not covered by a signed head yet; {last.size if last else 0} entries are",
            hint="a worker signs while it works; `interlock evidence head` (POST /ops/evidence/head) signs now",
        )
    leaves = log.leaf_hashes(last.size)
    if root_of(leaves) != last.root:
        raise HeadRefused(f"the log's first {last.size} entries are not those of its last signed head")
    open_head(last.note, verifiers)
    indexes = sorted({*about.indexes, *(index for index, _ in log.key_events() if index < last.size)})
    entries: list[dict[str, Any]] = []
    envelopes: dict[str, str] = {}
    for index, path in zip(indexes, inclusion_paths(leaves, indexes, last.size), strict=True):
        line = render_line(index, next(iter(log.leaves(index, index + 1))))
        proof = encode_proof(Proof(index, path, last.note))
        entries.append({"index": index, "line": line.decode(), "proof": proof})
        ref = named_envelope(read_line(line, index).event)
        if ref is not None and (data := log.envelope(ref)) is not None:
            envelopes[ref] = data.decode()
    return {
        "format": FORMAT,
        "run_id": about.run_id,
        "approved_id": about.approved_id,
        "draft_id": about.draft_id,
        "origin": origin,
        "head": last.note,
        "entries": entries,
        "envelopes": envelopes,
    }


def check_receipt(data: bytes, roots: Sequence[Verifier]) -> Shown:
    """Return what a receipt shows, or raise the `EvidenceError` of the first thing that does not hold.

    `roots` are keys of the log, got another way than the receipt. `RunReceiptRejected` says that it is no receipt, or
    that its parts do not belong together; everything else is raised as for an export.
    """
    told = _read(data)
    envelopes = _Held(told["envelopes"])
    entries = [(read_line(line.encode(), index), proof) for index, line, proof in _entries(told)]
    directory = _directory(roots, envelopes, [entry for entry, _ in entries])
    head = _check_proofs(told, roots, directory, entries)
    check = Check(directory=directory, envelopes=envelopes)
    statements = 0
    for entry, _ in entries:
        attested = Attested(entry.index, entry.event)
        if entry.event["kind"] in DEMANDED and directory.begun_at is not None:
            check_signed(attested)
        if named_envelope(entry.event) is not None:
            if check.one(attested) == "unverified":
                raise EnvelopeRejected("the log told of no key that signed it", index=entry.index, line=entry.index + 1)
            statements += 1
    return _shown(told, envelopes, [entry.event for entry, _ in entries], head, statements)


@dataclass(frozen=True)
class _Held(Envelopes):
    """Envelopes in memory."""

    held: Mapping[str, str]

    def __init__(self, held: Mapping[str, str]) -> None:
        from pathlib import Path  # noqa: PLC0415 - the folder that is not there

        super().__init__(Path())
        object.__setattr__(self, "held", held)

    def read(self, ref: str) -> bytes:
        """Return an envelope's bytes; raises `FileMissing`, or `EnvelopeRejected` where they are others."""
        from hashlib import sha256  # noqa: PLC0415 - beside its only use

        self.path(ref)
        found = self.held.get(ref)
        if found is None:
            raise FileMissing(f"its envelope {ref} is not in the receipt")
        data = found.encode("utf-8", "surrogatepass")
        if len(data) > MAX_ENVELOPE or "sha256:" + sha256(data).hexdigest() != ref:
            raise EnvelopeRejected(f"{ref} is not the envelope that the entry names: it was edited")
        return data


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _read(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        raise RunReceiptRejected(f"a receipt has at most {MAX_BYTES} bytes")
    try:
        found: object = json.loads(data.decode(), object_pairs_hook=_object)
        json.dumps(found, ensure_ascii=False).encode()  # no lone surrogate: it is no text, and would not be hashed
    except (ValueError, RecursionError) as error:
        raise RunReceiptRejected(f"it is not JSON: {error}"[:300]) from None
    if not isinstance(found, dict) or found.keys() != _KEYS or found["format"] != FORMAT:  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType] - any JSON object
        raise RunReceiptRejected(f"a receipt is an object of {', '.join(sorted(_KEYS))}, and its format is {FORMAT}")
    told = cast("dict[str, Any]", found)
    texts = [told[name] for name in ("run_id", "approved_id", "draft_id", "origin", "head")]
    held = told["envelopes"]
    if not isinstance(held, dict) or not all(isinstance(each, str) for each in (*texts, *held, *held.values())):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType, reportUnknownMemberType] - checked here
        raise RunReceiptRejected("ids, origin, head and envelopes of a receipt are texts")
    return told


def _entries(told: Mapping[str, Any]) -> list[tuple[int, str, str]]:
    found = told["entries"]
    if not isinstance(found, list) or len(cast("list[Any]", found)) > MAX_ENTRIES:
        raise RunReceiptRejected(f"a receipt has a list of at most {MAX_ENTRIES} entries")
    entries: list[tuple[int, str, str]] = []
    for each in cast("list[Any]", found):
        try:
            index, line, proof = each["index"], each["line"], each["proof"]
        except (TypeError, KeyError):
            raise RunReceiptRejected("an entry has an index, a line and a proof") from None
        if type(index) is not int or index < 0 or not isinstance(line, str) or not isinstance(proof, str):
            raise RunReceiptRejected("an entry's index is a number, its line and its proof are texts")
        if entries and entries[-1][0] >= index:
            raise RunReceiptRejected("the entries are not in the log's order")
        entries.append((index, line, proof))
    return entries


def _directory(roots: Sequence[Verifier], envelopes: Envelopes, entries: Sequence[LedgerEntry]) -> KeyDirectory:
    """Follow the log's own changes of keys, each proven by who signed it."""
    directory = KeyDirectory()
    for entry in entries:
        if is_key_change(entry.event["kind"]):
            take_change(directory, roots, envelopes, Attested(entry.index, entry.event))
    return directory


def _check_proofs(
    told: Mapping[str, Any],
    roots: Sequence[Verifier],
    directory: KeyDirectory,
    entries: Sequence[tuple[LedgerEntry, str]],
) -> TreeHead:
    at = decode_size(told["head"])
    trusted = directory.log_verifiers(max(0, at - 1), roots)
    head = open_head(told["head"], trusted)
    if head.origin != told["origin"]:
        raise RunReceiptRejected(f"the head is of the log {head.origin}, not of {told['origin'][:200]}")
    for entry, proof in entries:
        read = decode_proof(proof)
        if read.index != entry.index or read.head != told["head"]:
            raise RunReceiptRejected("a proof is of another entry or head than the receipt", index=entry.index)
        check_proof(proof, entry.leaf, trusted)
    return head


def decode_size(note: str) -> int:
    """Return how many entries a head says it covers; whether that is so, its signature says."""
    size = note.split("\n")[1:2]
    if not size or not (size[0].isascii() and size[0].isdigit() and len(size[0]) < 17):
        raise RunReceiptRejected("the head does not say how many entries it covers")
    return int(size[0])


def _shown(
    told: Mapping[str, Any], envelopes: Envelopes, events: Sequence[LoggedEvent], head: TreeHead, statements: int
) -> Shown:
    """Hold the parts against each other: one approval, one run made from it, and its last end."""
    run_id, approved_id = str(told["run_id"]), str(told["approved_id"])
    own = [event for event in events if event["kind"].startswith("run.") and event["subject"] == run_id]
    others = [event for event in events if event not in own and not is_key_change(event["kind"])]
    approvals = [event for event in others if _approves(event, told)]
    made = [event for event in own if event["kind"] == "run.created"]
    ended = [event for event in own if event["kind"] in ENDS]
    if len(made) != 1 or len(approvals) != 1 or len(others) != 1 or not ended:
        raise RunReceiptRejected("a receipt holds one approval, one run that was made from it, and how that ended")
    approval, end = approvals[0]["payload"], ended[-1]
    if made[0]["payload"]["approved_id"] != approved_id or made[0]["payload"]["digest"] != approval["digest"]:
        raise RunReceiptRejected("the run was not made from this approval")
    if any(event["kind"] == "run.retried" for event in own[own.index(end) :]):
        raise RunReceiptRejected("the run was begun anew behind the end that the receipt shows")
    payload = end["payload"]
    ref = named_envelope(end)
    if ref is not None:
        _check_outcome(envelopes, ref, end, approved_id)
    return Shown(
        run_id=run_id,
        approved_id=approved_id,
        outcome=end["kind"].removeprefix("run."),
        reason=cast("str | None", payload.get("reason")),
        approved_by=approvals[0]["principal"],
        approved_digest=str(approval["digest"]),
        commit=cast("str | None", payload.get("commit")),
        signed_by=cast("Mapping[str, str]", payload["attestation"])["signed_by"] if ref is not None else None,
        head=head,
        entries=len(events),
        statements=statements,
    )


def _approves(event: LoggedEvent, told: Mapping[str, Any]) -> bool:
    named = (event["subject"], event["payload"].get("approved_id"))
    return event["kind"] == "draft.approved" and named == (told["draft_id"], told["approved_id"])


def _check_outcome(envelopes: Envelopes, ref: str, end: LoggedEvent, approved_id: str) -> None:
    """Hold the signed statement of the outcome against its entry: the same run, approval, reason and commit."""
    statement = read_envelope(envelopes.read(ref)).statement
    first = cast("Sequence[Mapping[str, Any]]", statement["subject"])[0]
    predicate = cast("Mapping[str, Any]", statement["predicate"])
    result = cast("Mapping[str, Any]", predicate.get("result") or {})
    payload = end["payload"]
    if statement["predicateType"] != AGENT_RUN or first["name"] != end["subject"]:
        raise RunReceiptRejected("the statement is not about how this run ended")
    if predicate.get("approved_id") != approved_id or predicate.get("reason") != payload.get("reason"):
        raise RunReceiptRejected("the signed statement tells of another approval or another end than the entry")
    if "commit" in payload and result.get("commit") != payload["commit"]:
        raise RunReceiptRejected("the signed statement names another commit than the entry")
