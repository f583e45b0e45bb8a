"""What the HTTP doors of evidence answer with: entries, heads, keys, proofs."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from interlock.doors.api import Shown
from interlock.evidence.browsing import Cosigner, Entry, Standing, Statement
from interlock.evidence.models import Body, LogPage, SignedHead
from interlock.evidence.note import Verifier
from interlock.kernel.clock import to_text


class EventShown(Shown):
    """One event of the log."""

    index: int
    kind: str
    subject: str
    principal: str
    correlation_id: str | None
    time: str
    payload: dict[str, Any]


class LogKeyShown(Shown):
    """A key, as the log tells of it."""

    keyid: str
    name: str
    owner: str
    purpose: Literal["log", "service", "human", "agent"]
    role: str | None
    vkey: str
    from_index: int = Field(description="It signs entries from here on …")
    until_index: int | None = Field(description="… and before here, once it is retired …")
    revoked_from: int | None = Field(description="… and before here, once it is revoked.")
    reason: str


class CosignerShown(Shown):
    """A witness that cosigned a head."""

    name: str
    keyid: str
    time: str | None = Field(description="The witness's own word.")
    counted: bool = Field(description="Whether a witness of this workspace's policy is seen to have signed.")


class HeadShown(Shown):
    """The signed head of the log."""

    size: int
    status: Literal["signed", "unsigned"]
    root: str | None = None
    root_base64: str | None = None
    time: str | None = None
    note: str | None = None
    origin: str | None = Field(default=None, description="The log's name.")
    entries: int | None = Field(default=None, description="How many entries the log has by now.")
    log_keys: list[str] | None = Field(default=None, description="Keys whose heads count here, as vkeys.")
    cosigned: list[CosignerShown] | None = None


class Proof(Shown):
    """A proof that an entry is in the log."""

    id: str
    status: Literal["proved"]
    proof: str


class EntriesPage(Shown):
    """Entries of the log, newest first, and how far it was looked through for them."""

    entries: list[EventShown]
    size: int = Field(description="How many entries the log has.")
    searched_from: int = Field(description="All that is wanted from this index on …")
    searched_to: int = Field(description="… and below this one is in `entries`.")
    next: int | None = Field(description="Go on with `before` set to this; null at the log's beginning.")


class CommittedShown(Shown):
    """A body that the entry names only by a salted commitment."""

    place: str = Field(description="Where in the payload.")
    ref: str
    standing: Literal["kept", "erased", "unknown"]
    erased_at: str | None


class StatementShown(Shown):
    """A signed statement that the entry bears."""

    digest: str
    keyid: str
    predicate_type: str
    signed_by: str
    envelope: str | None = Field(description="The DSSE envelope, byte for byte.")
    statement: dict[str, Any] | None
    key: LogKeyShown | None
    standing: Standing
    why: str = Field(description="What the standing rests on.")


class EntryWhole(EventShown):
    """An entry, whole."""

    leaf: str = Field(description="The canonical JSON that the log's tree is built over.")
    leaf_hash: str = Field(description="SHA-256 of 0x00 and the leaf, hex.")
    statement: StatementShown | None
    committed: list[CommittedShown]
    covered: bool = Field(description="Whether the last signed head covers it.")


class ConsistencyShown(Shown):
    """A proof that one signed head is the beginning of another."""

    id: str
    status: Literal["consistent"]
    first: int
    second: int
    proof: str


def show_head(
    head: SignedHead | None, *, entries: int, keys: Sequence[Verifier], cosigned: Sequence[Cosigner], origin: str
) -> dict[str, Any]:
    """Return the log's state: its signed head, if there is one, and by which keys heads are signed."""
    state = {"origin": origin, "entries": entries, "log_keys": [key.vkey() for key in keys]}
    if head is None:
        return {"size": 0, "status": "unsigned", "cosigned": [], **state}
    shown = [
        {"name": each.name, "keyid": each.keyid, "time": _seconds(each.at), "counted": each.counted}
        for each in cosigned
    ]
    return {**show_signed(head), "cosigned": shown, **state}


def show_signed(head: SignedHead) -> dict[str, Any]:
    """Return a signed head."""
    return {
        "size": head.size,
        "status": "signed",
        "root": head.root.hex(),
        "root_base64": base64.b64encode(head.root).decode(),
        "time": to_text(head.at),
        "note": head.note,
    }


def show_page(page: LogPage) -> dict[str, Any]:
    """Return a page of entries."""
    return {
        "entries": [{"index": index, **event} for index, event in page.entries],
        "size": page.size,
        "searched_from": page.searched_from,
        "searched_to": page.searched_to,
        "next": page.following,
    }


def show_entry(entry: Entry, *, covered: bool) -> dict[str, Any]:
    """Return an entry, whole."""
    return {
        "index": entry.index,
        **entry.event,
        "leaf": entry.leaf.decode(),
        "leaf_hash": entry.leaf_hash.hex(),
        "statement": None if entry.statement is None else _statement(entry.statement),
        "committed": [_committed(place, body) for place, body in entry.bodies],
        "covered": covered,
    }


def _statement(found: Statement) -> Mapping[str, Any]:
    names = ("digest", "keyid", "predicate_type", "signed_by")
    return {
        **{name: found.told[name] for name in names},
        "envelope": found.envelope,
        "statement": found.statement,
        "key": None if found.key is None else found.key.to_json(),
        "standing": found.standing,
        "why": found.why,
    }


def _committed(place: str, body: Body) -> Mapping[str, Any]:
    erased = None if body.erased_at is None else to_text(body.erased_at)
    return {"place": place, "ref": body.ref, "standing": body.standing, "erased_at": erased}


_LAST_SECOND = 253_402_300_799


def _seconds(at: int) -> str | None:
    return to_text(at * 1000) if at <= _LAST_SECOND else None
