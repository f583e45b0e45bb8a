"""Beside the ledger: the envelopes that its entries name, what the log says of keys, and what witnesses added.

An envelope is written once and stays. `keys.json` and `cosignatures.jsonl` are written anew when something is added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from interlock.evidence import publish
from interlock.evidence.envelopes import Envelopes, named_envelope
from interlock.evidence.export import COSIGNATURES, ENVELOPES, KEYS
from interlock.evidence.models import LoggedEvent
from interlock.evidence.ports import LogReader

_PAGE = 500


class EventLog(LogReader, Protocol):
    """The sealed log, with its events readable."""

    def origin(self) -> str:
        """Return the log's name."""
        ...

    def events(self, start: int, limit: int) -> Sequence[tuple[int, Mapping[str, Any]]]:
        """Return up to `limit` events from `start` on, each with its leaf index."""
        ...


def catch_up(folder: Path, log: EventLog, start: int, end: int) -> int:
    """Write the envelopes of events of `start <= index < end`, and the keys where they changed; returns how far it is.

    `end` is where the ledger ends: the keys are those that it tells of, though the log may have grown meanwhile.
    """
    keys_changed = not (folder / KEYS).exists()
    while start < end and (events := log.events(start, min(_PAGE, end - start))):
        for index, event in events:
            _write(folder, log, cast("LoggedEvent", event))
            keys_changed = keys_changed or event["kind"].startswith("key.")
            start = index + 1
    if keys_changed:
        publish.replace(folder / KEYS, [_keys(log, start)])
    return start


def write_cosignatures(folder: Path, log: LogReader) -> None:
    """Write what witnesses added, if it is not there yet; a workspace without witnesses has no such file."""
    expected = _cosignatures(log)
    path = folder / COSIGNATURES
    if expected and (not path.exists() or path.read_bytes() != expected):
        publish.replace(path, [expected])


def renders(folder: Path, log: EventLog, entries: int) -> Iterator[tuple[Path, Callable[[], bytes]]]:
    """List what there should be beside a ledger of so many entries, with what makes its bytes."""
    yield folder / KEYS, lambda: _keys(log, entries)
    if log.cosignatures():
        yield folder / COSIGNATURES, lambda: _cosignatures(log)
    start, envelopes = 0, Envelopes(folder / ENVELOPES)
    while start < entries and (events := log.events(start, _PAGE)):
        for index, event in events:
            start = index + 1
            ref = _ref(log, cast("LoggedEvent", event)) if index < entries else None
            if ref is not None:
                yield envelopes.path(ref), lambda ref=ref: log.envelope(ref) or b""


def _write(folder: Path, log: EventLog, event: LoggedEvent) -> None:
    if "attestation" not in event["payload"] or (ref := named_envelope(event)) is None:
        return
    path = Envelopes(folder / ENVELOPES).path(ref)
    if not path.exists() and (data := log.envelope(ref)) is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        publish.replace(path, [data])


def _ref(log: EventLog, event: LoggedEvent) -> str | None:
    """Return the digest of the envelope that an event names and the database has."""
    if "attestation" not in event["payload"] or (ref := named_envelope(event)) is None:
        return None
    return ref if log.envelope(ref) is not None else None


def _keys(log: EventLog, entries: int) -> bytes:
    from interlock.evidence.directory import folded  # noqa: PLC0415 - rarely needed, and every command that writes is here

    return folded((index, event) for index, event in log.key_events() if index < entries).render(log.origin())


def _cosignatures(log: LogReader) -> bytes:
    found = log.cosignatures()
    if not found:
        return b""
    from interlock.evidence.cosignature import render_cosignature  # noqa: PLC0415 - see _keys

    return b"".join(map(render_cosignature, found))
