"""The command-line door of evidence: `interlock evidence`. Verifying needs only exported files and public keys."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from interlock.doors.cli import answer, call, house, note, table
from interlock.evidence.directory import Key
from interlock.evidence.keyring import Keyring
from interlock.evidence.models import Attestations, Report
from interlock.evidence.policy import Policy
from interlock.evidence.service import Evidence
from interlock.kernel.clock import to_text
from interlock.kernel.errors import Invalid

door = typer.Typer(help="Evidence: what happened, provable to an outsider.", no_args_is_help=True, add_completion=False)
keys_door = typer.Typer(
    help="Who may sign what: the log's own list of keys.", no_args_is_help=True, add_completion=False
)
witness_door = typer.Typer(
    help="Outside witnesses of the log's heads, by files.", no_args_is_help=True, add_completion=False
)
door.add_typer(keys_door, name="keys")
door.add_typer(witness_door, name="witness")

_PROGRESS_EVERY = 200_000

KeyFile = Annotated[
    Path | None, typer.Option("--key", help="File of trusted public keys (vkey lines), got another way.")
]

PolicyFile = Annotated[
    Path | None,
    typer.Option("--policy", help="Which witnesses count (C2SP tlog-policy); default: policy.tlog beside the ledger."),
]
Out = Annotated[Path | None, typer.Option("--out", help="Write it to a file.")]
Why = Annotated[str, typer.Option("--reason", help="Why; kept in the log.")]
Named = Annotated[str, typer.Argument(metavar="NAME", help="As `keys list` names it, or its id.")]


class _Still(Protocol):
    def held_still(self) -> AbstractContextManager[int]: ...


class _House(Protocol):
    @property
    def evidence(self) -> Evidence: ...

    @property
    def keyring(self) -> Keyring: ...

    @property
    def windows(self) -> _Still: ...

    @property
    def evidence_folder(self) -> Path: ...


@door.command("verify")
def verify(
    folder: Annotated[Path | None, typer.Option("--dir", help="An exported folder; default: this workspace.")] = None,
    key: KeyFile = None,
    since: Annotated[
        list[Path] | None, typer.Option("--since", help="A head that you saved earlier; repeatable.")
    ] = None,
    policy: PolicyFile = None,
    signed_by: Annotated[
        str, typer.Option("--signed-by", help="`principal`: approvals must bear the principal's own signature.")
    ] = "",
) -> None:
    """Verify the log. Reads, repairs nothing; exit 0, or 10 and up with the first bad entry named.

    10 malformed line, 11 torn tail, 12 index, 13 leaf hash, 14 projection, 15 head signature, 16 root, 17 truncated,
    18 head order, 19 saved head, 20 differs from the database's log, 21 unsigned, 22 missing file, 24 envelope,
    25 key not allowed, 26 key revoked or retired, 27 statement about something else, 28 quorum, 33 not in person.
    """
    if signed_by not in {"", "principal"}:
        raise Invalid("--signed-by takes principal")
    saved = [_text(path) for path in since or ()]
    if folder is not None:
        demands = _Demands(_policy(folder, policy), bool(signed_by))
        report = _verify(folder, key, saved, demands, None, None)
    else:
        rooms = house(_House)
        demands = _Demands(_policy(rooms.evidence_folder, policy), bool(signed_by))
        with rooms.windows.held_still() as entries:
            log, origin = rooms.evidence.log, rooms.evidence.origin
            report = _verify(rooms.evidence_folder, key, saved, demands, origin, log.leaves(0, entries))
    signed = report.attestations
    answer(
        {
            "id": report.root,
            "status": "verified",
            "entries": report.entries,
            "root": report.root,
            "heads": report.heads,
            "last_head": report.last_head,
            "uncovered": report.uncovered,
            "keys": report.keys,
            "attestations": asdict(signed),
            "witnesses": list(report.witnesses),
            "caveats": list(report.caveats),
        },
        [
            f"verified {report.entries} entries, {report.heads} signed heads; the last covers {report.last_head}",
            f"root {report.root}",
            _counted(signed),
            *([f"cosigned by {', '.join(report.witnesses)}"] if report.witnesses else []),
            *(f"note: {caveat}" for caveat in report.caveats),
        ],
    )


@door.command("head")
def head() -> None:
    """Sign the log as it is now, and print the signed head. Keep it somewhere else: it catches a rewrite."""
    signed = house(_House).evidence.head()
    call().wrote()
    if call().as_json:
        answer(
            {
                "id": str(signed.size),
                "status": "signed",
                "size": signed.size,
                "root": signed.root.hex(),
                "time": to_text(signed.at),
                "note": signed.note,
            }
        )
    else:
        sys.stdout.write(signed.note)


@door.command("prove")
def prove(
    index: Annotated[int, typer.Argument(min=0)],
    out: Annotated[Path | None, typer.Option("--out", help="Write the proof to a file.")] = None,
) -> None:
    """Prove that an entry is in the log: one text file that verifies offline (C2SP tlog-proof)."""
    from interlock.evidence import publish

    proof = house(_House).evidence.prove(index)
    if out is None:
        if call().as_json:
            answer({"id": str(index), "status": "proved", "proof": proof})
        else:
            sys.stdout.write(proof)
        return
    try:
        publish.replace(out, [proof.encode("utf-8")])
    except OSError as error:
        raise Invalid(f"{out} can not be written: {error.strerror}") from None
    answer({"id": str(index), "status": "proved", "file": str(out)}, [f"proof of entry {index} in {out}"])


@door.command("check")
def check(
    proof: Annotated[Path, typer.Argument(help="A proof from `evidence prove`.")],
    entry: Annotated[Path, typer.Argument(help="A file with the entry: its ledger line.")],
    key: KeyFile = None,
) -> None:
    """Check a proof against an entry, offline."""
    from interlock.evidence.keys import load_verifiers
    from interlock.evidence.ledger import read_line
    from interlock.evidence.proof import check_proof, decode_proof

    if key is None:
        key = house(_House).evidence_folder / "log.vkey"
    text = _text(proof)
    read = read_line(_bytes(entry), decode_proof(text).index)
    covered = check_proof(text, read.leaf, load_verifiers(key))
    answer(
        {"id": str(read.index), "status": "proved", "origin": covered.origin, "size": covered.size},
        [f"entry {read.index} ({read.event['kind']}) is in {covered.origin}, under its head of {covered.size} entries"],
    )


@door.command("check-receipt")
def check_receipt(
    receipt: Annotated[Path, typer.Argument(help="A receipt from `run receipt`, or from the console.")],
    key: KeyFile = None,
) -> None:
    """Check the receipt of a run, offline: who approved it, how it ended, and that the log says so."""
    from interlock.evidence.keys import load_verifiers
    from interlock.evidence.receipts import check_receipt as checked_receipt

    if key is None:
        key = house(_House).evidence_folder / "log.vkey"
    shown = checked_receipt(_bytes(receipt), load_verifiers(key))
    told = {"id": shown.run_id, "status": shown.outcome, **shown.to_json()}
    by = f"signed ({shown.signed_by})" if shown.signed_by else "not signed by anybody"
    answer(
        told,
        [
            f"{shown.run_id} {shown.outcome}" + (f": {shown.reason}" if shown.reason else "") + f", {by}",
            f"  approved   {shown.approved_id} by {shown.approved_by}, {shown.approved_digest}",
            f"  commit     {shown.commit or 'none'}",
            f"  log        {shown.head.origin}, {shown.entries} entries under its head of {shown.head.size}",
            f"  statements {shown.statements} signed",
        ],
    )


@door.command("export")
def export(folder: Annotated[Path, typer.Argument(metavar="DIR")]) -> None:
    """Sign a head and write everything that an outsider needs: ledger, heads, envelopes, public keys, instructions."""
    evidence, own = house(_House).evidence, house(_House).evidence_folder / "policy.tlog"
    signed = evidence.head()
    call().wrote()
    try:
        evidence.export(folder, own.read_bytes() if own.exists() else None)
    except OSError as error:
        raise Invalid(f"{folder} can not be written: {error.strerror}") from None
    answer(
        {"id": str(signed.size), "status": "exported", "folder": str(folder), "entries": signed.size},
        [f"exported {signed.size} entries to {folder}", f"verify with: interlock evidence verify --dir {folder}"],
    )


@door.command("list")
def list_events(
    after: Annotated[int, typer.Option(min=0, max=2**53, help="Start at this entry.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    subject: Annotated[str | None, typer.Option(help="Only events about this id.")] = None,
) -> None:
    """List what happened, in order."""
    rows = list(islice((row for row in _events(after) if subject is None or row["subject"] == subject), limit))
    table(rows, ("index", "time", "kind", "subject", "principal"), empty="nothing has happened")


def _events(start: int) -> Iterator[dict[str, Any]]:
    from interlock.evidence.ledger import read_leaf

    log = house(_House).evidence.log
    for index, leaf in enumerate(log.leaves(start, log.size()), start):
        yield {"index": index, **read_leaf(leaf)}


@door.command("consistency")
def consistency(
    old: Annotated[str, typer.Argument(metavar="OLD", help="A head: its size, or the file in which you saved it.")],
    new: Annotated[str | None, typer.Argument(metavar="NEW", help="Another; default: the last.")] = None,
    out: Out = None,
) -> None:
    """Prove that one signed head is the beginning of another: one text file that verifies offline."""
    proof = house(_House).evidence.consistency(_head_named(old), None if new is None else _head_named(new))
    _given(proof, out, "proof", f"consistency {old}")


@door.command("check-consistency")
def check_consistency(
    proof: Annotated[Path, typer.Argument(help="A proof from `evidence consistency`.")],
    key: KeyFile = None,
    saved: Annotated[
        Path | None, typer.Option("--since", help="The older head as you saved it: the proof must begin with it.")
    ] = None,
) -> None:
    """Check, offline, that the newer head of a proof extends the older one. Exit 29 if not."""
    from interlock.evidence.consistency import check_heads, decode_consistency
    from interlock.evidence.errors import ConsistencyRejected
    from interlock.evidence.head import open_head
    from interlock.evidence.keys import load_verifiers

    known = load_verifiers(key if key is not None else house(_House).evidence_folder / "log.vkey")
    older, newer = check_heads(decode_consistency(_text(proof)), known)
    if saved is not None and open_head(_text(saved), known) != older:
        raise ConsistencyRejected(f"the proof does not begin with the head in {saved}")
    answer(
        {"id": str(newer.size), "status": "consistent", "origin": newer.origin, "old": older.size, "new": newer.size},
        [f"{newer.origin}: the head of {newer.size} entries extends the one of {older.size}"],
    )


# --- keys -------------------------------------------------------------------------------------------------------------


@keys_door.command("list")
def keys_list() -> None:
    """List every key that the log told of, and for which entries each counts."""
    rows = [dict(key.to_json()) for key in house(_House).keyring.list()]
    columns = ("keyid", "name", "purpose", "role", "owner", "from_index", "until_index", "revoked_from")
    table(rows, columns, empty="the log has told of no key yet; `interlock init` on this folder tells it")


@keys_door.command("add")
def keys_add(
    name: Annotated[str, typer.Argument(help="The person's name, or the agent's id.")],
    purpose: Annotated[str, typer.Option("--purpose", help="human, agent or service.")],
    role: Annotated[str | None, typer.Option("--role", help="Of an agent: planner, operator or verifier.")] = None,
    reason: Why = "",
) -> None:
    """Make a key in this workspace and tell the log of it. Only a human may."""
    _shown_key(house(_House).keyring.add(call().actor(), purpose, name, role=role, reason=reason), "added")


@keys_door.command("rotate")
def keys_rotate(name: Named, reason: Why = "") -> None:
    """Give a key a successor, signed by both. The old one counts until you retire it. Only a human may."""
    _shown_key(house(_House).keyring.rotate(call().actor(), name, reason=reason), "rotated")


@keys_door.command("retire")
def keys_retire(name: Named, reason: Why = "") -> None:
    """Let a key sign nothing from now on; what it signed stands. Only a human may."""
    _shown_key(house(_House).keyring.retire(call().actor(), name, reason=reason), "retired")


@keys_door.command("revoke")
def keys_revoke(
    name: Named,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the log.")],
    first: Annotated[
        int | None, typer.Option("--from", min=0, max=2**53 - 1, help="The first entry that does not count any more.")
    ] = None,
) -> None:
    """Let nothing count that a key signed from an entry on, which may be long past. Only a human may."""
    _shown_key(house(_House).keyring.revoke(call().actor(), name, reason=reason, from_index=first), "revoked")


def _shown_key(key: Key, status: str) -> None:
    call().wrote()
    answer({"id": key.keyid, "status": status, **key.to_json()}, [f"{key} ({key.name}) {status}"])


# --- witnesses --------------------------------------------------------------------------------------------------------


@witness_door.command("request")
def witness_request(
    out: Out = None,
    old: Annotated[
        int | None, typer.Option("--old", min=0, max=2**53 - 1, help="The size that the witness cosigned last.")
    ] = None,
) -> None:
    """Write what a witness is to be asked about the last head (the body of C2SP's add-checkpoint)."""
    _given(house(_House).evidence.witness_request(old), out, "request", "witness request")


@witness_door.command("add")
def witness_add(
    file: Annotated[Path, typer.Argument(help="What the witness answered: signature lines.")],
    policy: PolicyFile = None,
) -> None:
    """Keep a witness's answer, once a witness of the policy is seen to have signed it."""
    rooms = house(_House)
    found = _policy(rooms.evidence_folder, policy)
    if found is None:
        raise Invalid(
            "there is no policy that says which witnesses count",
            hint=f"write {rooms.evidence_folder / 'policy.tlog'}, or name one with --policy",
        )
    names = rooms.evidence.add_cosignatures(_text(file), found)
    call().wrote()
    answer({"id": ",".join(names), "status": "added", "witnesses": names}, [f"cosigned by {', '.join(names)}"])


@witness_door.command("init")
def witness_init(
    key: Annotated[Path, typer.Argument(help="Where the private key is to lie, e.g. witness.key.")],
    name: Annotated[str, typer.Option("--name", help="The witness's name, e.g. witness.example/w1.")],
) -> None:
    """Make the key of a witness of your own; needs no workspace. Prints its vkey, for a policy."""
    from interlock.evidence.witness import make_witness

    vkey = make_witness(key, name).vkey()
    answer({"id": name, "status": "created", "vkey": vkey, "file": str(key)}, [vkey])


@witness_door.command("sign")
def witness_sign(
    request: Annotated[Path, typer.Argument(help="A request from `evidence witness request`.")],
    key: Annotated[Path, typer.Option("--key", help="The witness's private key.")],
    state: Annotated[Path, typer.Option("--state", help="What this witness has cosigned; made if it is not there.")],
    log_key: Annotated[Path, typer.Option("--log-key", help="File of the log's public keys (vkey lines).")],
    out: Out = None,
) -> None:
    """Cosign a head if it extends the one cosigned last; needs no workspace. Exit 29, with that size, if not."""
    from interlock.evidence.keys import load_verifiers
    from interlock.evidence.witness import Witness, load_witness
    from interlock.kernel.clock import system_clock

    witness = Witness(signer=load_witness(key), logs=load_verifiers(log_key), state=state)
    try:
        line = witness.cosign(_text(request), system_clock() // 1000)
    except OSError as error:
        raise Invalid(f"{state} can not be written: {error.strerror}") from None
    _given(line, out, "answer", "cosigned")


def _counted(signed: Attestations) -> str:
    return (
        f"attestations: {signed.principal} signed by the principal, {signed.on_behalf} by the service on its behalf, "
        f"{signed.log} by the log, {signed.unverified} unverified"
    )


@dataclass(frozen=True, slots=True)
class _Demands:
    policy: Policy | None
    own_signatures: bool


def _policy(folder: Path, named: Path | None) -> Policy | None:
    from interlock.evidence.policy import read_policy

    own = folder / "policy.tlog"
    if named is None and not own.exists():
        return None
    return read_policy(own if named is None else named)


def _head_named(text: str) -> int | str:
    if text.isascii() and text.isdigit() and len(text) <= 16:
        return int(text)
    return _text(Path(text))


def _given(text: str, out: Path | None, what: str, name: str) -> None:
    """Write a text to a file, or to standard output."""
    from interlock.evidence import publish

    if out is None:
        if call().as_json:
            answer({"id": name, "status": "ok", what: text})
        else:
            sys.stdout.write(text)
        return
    try:
        publish.replace(out, [text.encode("utf-8")])
    except OSError as error:
        raise Invalid(f"{out} can not be written: {error.strerror}") from None
    answer({"id": name, "status": "ok", "file": str(out)}, [f"{what} in {out}"])


def _verify(
    folder: Path,
    key: Path | None,
    saved: Sequence[str],
    demands: _Demands,
    origin: str | None,
    reference: Iterator[bytes] | None,
) -> Report:
    from interlock.evidence.keys import load_verifiers
    from interlock.evidence.verify import verify_export

    own = key is None
    key = folder / "log.vkey" if key is None else key

    def progress(entries: int) -> None:
        if sys.stderr.isatty() and entries >= _PROGRESS_EVERY and entries % _PROGRESS_EVERY < 4096:
            note(f"… {entries} entries")

    report = verify_export(
        folder / "ledger.jsonl",
        folder / "heads.jsonl",
        load_verifiers(key),
        origin=origin,
        since=saved,
        reference=reference,
        progress=progress,
        policy=demands.policy,
        own_signatures=demands.own_signatures,
    )
    if own and origin is None and not call().as_json:
        note(f"note: trusted {key}, which lies beside the ledger; compare it, or name your own with --key")
    return report


def _text(path: Path) -> str:
    try:
        return _bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        raise Invalid(f"{path} is not text") from None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Invalid(f"{path} can not be read: {error.strerror}") from None
