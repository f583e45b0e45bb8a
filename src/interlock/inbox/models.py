"""What can wait for a person, what each wait costs, and an entry of the list."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal, NamedTuple

from interlock.access.models import Role

Level = Literal["actions", "operator", "admin"]


class Kind(StrEnum):
    """What waits."""

    PANIC = "panic"
    AMBIGUOUS = "ambiguous_control"
    CRITICAL = "critical_alert"
    STUCK = "stuck_run"
    LOOP = "loop_in_trouble"
    CHECKPOINT = "checkpoint_failed"
    EXPIRING = "approval_expiring"
    DRAFT = "draft_waiting"
    FAILED = "run_failed"
    PIPELINE = "pipeline_failed"
    WAITING = "run_waiting"
    ALERT = "alert_open"


class About(NamedTuple):
    """What a kind costs while it waits; its place in the table is its rank."""

    kind: Kind
    title: str
    why: str
    """Why it stands before what follows, in a sentence."""
    cost: str
    """What waiting costs, in a sentence."""


RANKS: Final[Sequence[About]] = (
    About(
        Kind.PANIC,
        "Panic",
        "It holds up everything, everywhere.",
        "Nothing begins, on no door, until a human admin releases it.",
    ),
    About(
        Kind.AMBIGUOUS,
        "Ambiguous control",
        "Nobody knows what the loop does now, and no machine may touch it.",
        "Machines are refused every intent on it, while it may go on doing what you wanted ended.",
    ),
    About(
        Kind.CRITICAL,
        "Critical alert",
        "Something is told to be doing harm, and nobody has said that they look after it.",
        "It goes on as it is, and nobody is known to look after it.",
    ),
    About(
        Kind.STUCK,
        "Stuck run",
        "It holds a worker, and other work waits behind it.",
        "It holds a worker's place; what is queued waits behind it.",
    ),
    About(
        Kind.LOOP,
        "Loop in trouble",
        "It goes on working while it is not what it should be.",
        "What the loop does while it is not healthy may have to be done again.",
    ),
    About(
        Kind.CHECKPOINT,
        "Checkpoint failed",
        "A delivery stands still behind it.",
        "The delivery stands still, and nothing is promoted behind it.",
    ),
    About(
        Kind.EXPIRING,
        "Approval about to expire",
        "A decision that was made is lost when its time is over.",
        "When it expires unused, somebody has to review and approve the same again.",
    ),
    About(
        Kind.DRAFT,
        "Draft to review",
        "Work is ready to begin, and only a human's yes or no is missing.",
        "The work does not begin before somebody decides.",
    ),
    About(
        Kind.FAILED,
        "Failed run",
        "It has ended: it holds nobody up, and gets no better by itself.",
        "What was approved is not done.",
    ),
    About(
        Kind.PIPELINE,
        "Failed pipeline",
        "It has ended as well; what it delivers can be taken up where it broke off.",
        "What it delivers stays undelivered.",
    ),
    About(
        Kind.WAITING,
        "Run that does not begin",
        "It needs a worker, which comes by itself where one runs.",
        "What was approved does not begin, and its approval gets older.",
    ),
    About(
        Kind.ALERT,
        "Open alert",
        "It was told to people already; this says that none of them has taken it up.",
        "It is told again until somebody acknowledges it.",
    ),
)
"""In which order kinds stand: by what an hour of waiting costs. The first row is the dearest."""
RANK_OF: Final[Mapping[Kind, int]] = {about.kind: place for place, about in enumerate(RANKS)}
ABOUT: Final[Mapping[Kind, About]] = {about.kind: about for about in RANKS}


class Next(NamedTuple):
    """The verb that ends the wait, and who may do it."""

    verb: str
    words: tuple[str, ...]
    """Behind `interlock`."""
    level: Level
    human: bool = False
    console: bool = True
    """Whether the console has it as well; else it is typed where the workspace is."""

    @property
    def command(self) -> str:
        """As one types it."""
        return shlex.join(("interlock", *self.words))

    @property
    def who(self) -> str:
        """Say who can."""
        somebody = "a human" if self.human else "anybody"
        return f"{somebody} with the role {self.level}" + ("" if self.level == "admin" else " or above")


class Looker(NamedTuple):
    """Who looks."""

    level: Level
    human: bool

    def may(self, verb: Next) -> bool:
        """Say whether the verb is theirs."""
        return _LEVELS.index(self.level) >= _LEVELS.index(verb.level) and (self.human or not verb.human)


_LEVELS: Final = tuple(role.value for role in (Role.ACTIONS, Role.OPERATOR, Role.ADMIN))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that waits for a person."""

    kind: Kind
    id: str
    sentence: str
    since_ms: int
    href: str
    """Where it stands in the console."""
    next: Next
    deadline_ms: int | None = None
    gravity: int = 0
    """What goes first within its kind: the lower."""
    ids: Mapping[str, str] = field(default_factory=dict[str, str])
    keys: frozenset[str] = frozenset()
    """By what alerts may name it."""
    subjects: frozenset[str] = frozenset()
    """Of an alert: what it names."""
    alerts: tuple[str, ...] = ()
    """Open alerts about the same matter."""


class Listed(NamedTuple):
    """How many of a kind are listed, and whether there are more."""

    about: About
    listed: int
    more: bool


class Ranked(NamedTuple):
    """The list."""

    entries: Sequence[Entry]
    kinds: Sequence[Listed]
    """Of which there are any, in their order."""
    now_ms: int = 0
