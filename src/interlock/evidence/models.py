"""The words of the room: what is read, signed and reported. Values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from interlock.kernel.canonical import Json


class LoggedEvent(TypedDict):
    """One leaf, read: these eight keys and no other."""

    correlation_id: str | None
    key: str | None
    """The idempotency key of a fact whose owner is a file."""
    kind: str
    payload: Mapping[str, Json]
    principal: str
    subject: str
    time: str
    """As `kernel.clock.to_text` writes it."""
    version: int


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One checked line of the exported ledger."""

    index: int
    """The leaf's place in the log, from 0."""
    leaf: bytes
    """The canonical JSON of the event: what the log's tree is built over."""
    leaf_hash: bytes
    event: LoggedEvent


@dataclass(frozen=True, slots=True)
class TreeHead:
    """A log's state: its first `size` leaves have this root."""

    origin: str
    """The log's name, unique among logs: a schema-less URL by custom."""
    size: int
    root: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedHead:
    """A head as the log keeps it for ever."""

    size: int
    root: bytes
    at: int
    """When it was signed, in milliseconds since the epoch: the log's own word, not covered by the signature."""
    note: str
    """The signed note that says the same; it alone is proof."""


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A witness's signature line for the head of a size."""

    size: int
    line: str
    """Without its newline."""


@dataclass(frozen=True, slots=True)
class OpenedNote:
    """A note of which at least one signature is by a trusted key, and none by a trusted key is wrong."""

    text: str
    verified: tuple[str, ...]
    """The trusted keys that signed it, as `name+keyid`, in the note's order."""
    unknown: int
    """How many signatures are by keys that nobody here knows; they say nothing."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What an attestation is about (an in-toto ResourceDescriptor with a name and digests)."""

    name: str
    digest: Mapping[str, str]
    """Algorithm to lower-case hex, e.g. `{"sha256": "…"}` or `{"gitCommit": "…"}`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestations:
    """How many signed statements a verification saw, by whose signature they bear."""

    principal: int = 0
    """The principal's own."""
    on_behalf: int = 0
    """The service's, on behalf of the principal that the statement names."""
    log: int = 0
    """The log's: changes of keys."""
    unverified: int = 0
    """By keys of which the log did not tell yet."""

    @property
    def verified(self) -> int:
        """Return how many were seen to be signed by a key that may sign them."""
        return self.principal + self.on_behalf + self.log


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a successful verification found."""

    entries: int
    root: str
    """The whole ledger's root, hex."""
    heads: int
    """How many signed heads were checked, saved ones included."""
    last_head: int
    """The size that the largest checked head covers."""
    uncovered: int
    """Entries after it."""
    caveats: tuple[str, ...]
    """What this verification can not say, as sentences."""
    attestations: Attestations = Attestations()
    keys: int = 0
    """How many keys the log told of."""
    witnesses: tuple[str, ...] = ()
    """The witnesses of the policy that cosigned the last head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which entries of the log are looked for; an empty text asks for nothing."""

    kind: str = ""
    """A kind, or the family before one of its dots: `draft` is every `draft.…`."""
    subject: str = ""
    principal: str = ""
    text: str = ""
    """A text somewhere in the leaf; letters of ASCII in either case."""
    outcome: str = ""
    """`denied`: who was turned away; `allowed`: all else."""

    @property
    def everything(self) -> bool:
        """Say whether nothing is asked for."""
        return self == Wanted()


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """Some entries, newest first, and how far the log was looked through for them."""

    entries: Sequence[tuple[int, LoggedEvent]]
    size: int
    """How many entries the log has."""
    searched_from: int
    """Everything of `searched_from <= index < searched_to` that is wanted is in `entries`."""
    searched_to: int

    @property
    def following(self) -> int | None:
        """Return below which index the next page begins; None at the log's beginning."""
        return self.searched_from or None


@dataclass(frozen=True, slots=True)
class Body:
    """What became of a body that the log names only by a commitment."""

    ref: str
    standing: Literal["kept", "erased", "unknown"]
    erased_at: int | None
    """In milliseconds since the epoch."""
