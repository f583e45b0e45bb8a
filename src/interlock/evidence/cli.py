"""The command-line door of evidence: `interlock evidence`. Verifying needs only exported files and public keys."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from interlock.doors.cli import answer, call, house, note, table
from interlock.evidence.models import Report
from interlock.evidence.service import Evidence
from interlock.kernel.clock import to_text
from interlock.kernel.errors import Invalid

door = typer.Typer(help="Evidence: what happened, provable to an outsider.", no_args_is_help=True)

_PROGRESS_EVERY = 200_000

KeyFile = Annotated[
    Path | None, typer.Option("--key", help="File of trusted public keys (vkey lines), got another way.")
]


class _Still(Protocol):
    def held_still(self) -> AbstractContextManager[int]: ...


class _House(Protocol):
    @property
    def evidence(self) -> Evidence: ...

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
) -> None:
    """Verify the log. Reads, repairs nothing; exit 0, or 10 and up with the first bad entry named.

    10 malformed line, 11 torn tail, 12 index, 13 leaf hash, 14 projection, 15 head signature, 16 root, 17 truncated,
    18 head order, 19 saved head, 20 differs from the database's log, 21 unsigned, 22 missing file.
    """
    saved = [_text(path) for path in since or ()]
    if folder is not None:
        report = _verify(folder, key, saved, None, None)
    else:
        rooms = house(_House)
        with rooms.windows.held_still() as entries:
            log = rooms.evidence.log
            report = _verify(rooms.evidence_folder, key, saved, rooms.evidence.origin, log.leaves(0, entries))
    answer(
        {
            "id": report.root,
            "status": "verified",
            "entries": report.entries,
            "root": report.root,
            "heads": report.heads,
            "last_head": report.last_head,
            "uncovered": report.uncovered,
            "caveats": list(report.caveats),
        },
        [
            f"verified {report.entries} entries, {report.heads} signed heads; the last covers {report.last_head}",
            f"root {report.root}",
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


@door.command("export")
def export(folder: Annotated[Path, typer.Argument(metavar="DIR")]) -> None:
    """Sign a head and write everything that an outsider needs: ledger, heads, public key, instructions."""
    evidence = house(_House).evidence
    signed = evidence.head()
    call().wrote()
    try:
        evidence.export(folder)
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


def _verify(
    folder: Path, key: Path | None, saved: Sequence[str], origin: str | None, reference: Iterator[bytes] | None
) -> Report:
    from interlock.evidence.keys import load_verifiers
    from interlock.evidence.verify import verify_export

    own = key is None
    key = folder / "log.vkey" if key is None else key

    def progress(entries: int) -> None:
        if sys.stderr.isatty() and entries % _PROGRESS_EVERY < 4096:
            note(f"… {entries} entries")

    report = verify_export(
        folder / "ledger.jsonl",
        folder / "heads.jsonl",
        load_verifiers(key),
        origin=origin,
        since=saved,
        reference=reference,
        progress=progress,
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
