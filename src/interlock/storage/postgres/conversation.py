"""One transaction's conversation with the server: it begins with its first statement, and ends, in one round trip each.

The server's clock, and whether panic is on, are asked for together with the first statement. So an answer may come to a
statement that should not have been asked: then the conversation is over, and can only be rolled back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache

import psycopg

from interlock.kernel.clock import Clock
from interlock.kernel.events import Leaf
from interlock.storage.database import Refuse, Row, Value, instant
from interlock.storage.errors import DatabaseFailed
from interlock.storage.postgres.wire import Answer, Wire

_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]\w*)")
_NOW = "floor(extract(epoch FROM now()) * 1000)::bigint"  # of the transaction's beginning: the same all through it
_INSTANT = {
    "now": _NOW,
    "now_kst": "to_char(now() AT TIME ZONE 'UTC' + interval '9 hours', 'YYYY-MM-DD HH24:MI')",
}
_CLOCK = f"SELECT {_NOW} AS ms".encode()
_CLOCK_AND_PANIC = (
    f"SELECT {_NOW} AS ms, raised_by, reason, since_ms"  # noqa: S608 - our own words
    " FROM (SELECT 1 AS one) AS always LEFT JOIN panic ON panic.one = always.one"
).encode()
_PANIC = b"SELECT raised_by, reason, since_ms FROM panic"
_KEY = b"INSERT INTO event_key VALUES ($1) ON CONFLICT DO NOTHING"
_TELL = (
    b"WITH told AS (INSERT INTO event (kind, subject, time_ms, leaf) VALUES ($1, $2, $3, $4) RETURNING event_id)"
    b" INSERT INTO event_unsealed SELECT event_id FROM told"
)

# What is written is decided on what is there when a lock is had, not on what was there when it was asked for. So is
# whether panic is on.
WRITING = (b"BEGIN ISOLATION LEVEL READ COMMITTED",)
LIGHT = (*WRITING, b"SET LOCAL synchronous_commit = off")
READING = (b"BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",)


class Conversation:
    """What one transaction and the server say to each other."""

    def __init__(self, wire: Wire, opening: Sequence[bytes], clock: Clock | None) -> None:
        """Take a connection that is idle; nothing is said yet. `clock` replaces the server's (tests)."""
        self._wire = wire
        self._opening = opening
        self._clock = clock
        self._opened = False
        self._ms: int | None = None
        """The transaction's instant, once the server has told it."""
        self._refuse: Refuse | None = None
        self._refused: Exception | None = None

    def begin(self) -> int:
        """Make sure that the transaction has begun; returns its instant."""
        if self._ms is None:
            self._open()
            return self._hear(self._wire.exchange()[-1])
        return self._ms

    def now(self) -> int:
        """Return the transaction's instant."""
        return self.begin() if self._clock is None else self._clock()

    def ask_panic(self, refuse: Refuse) -> None:
        """Call `refuse` with panic's row: now, or as soon as the transaction begins, and in any case before it ends."""
        if self._opened:
            rows = self._ask(_PANIC).rows
            refuse(rows[0] if rows else None)
        else:
            self._refuse = refuse

    def execute(self, statement: str, values: Mapping[str, Value]) -> tuple[list[Row], int]:
        """Run a statement; `:now` and `:now_kst` are the transaction's instant where the caller names no other."""
        if self._clock is not None:
            values = {**instant(self._clock()), **values}
        text, names = _adapted(statement, "now" in values, "now_kst" in values)
        answer = self._ask(text, [values[name] for name in names])
        return answer.rows, answer.changed

    def commit(self, leaves: Sequence[Leaf]) -> None:
        """Write the events, and end; the sequencer gives them their index."""
        if self._refuse is not None or (leaves and not self._opened):
            self.begin()
        if not self._opened:
            return
        for leaf in leaves:
            if leaf.key is None or self._ask(_KEY, [leaf.key]).changed:
                self._wire.send(_TELL, [leaf.kind, leaf.subject, leaf.time_ms, leaf.data.decode("utf-8")])
        if self._ask(b"COMMIT").tag != b"COMMIT":  # the server's answer behind a statement that failed: ROLLBACK
            raise DatabaseFailed("nothing was changed: a statement had failed before")

    def roll_back(self) -> None:
        """Undo everything; a connection that can not is closed, and then the server does it."""
        self._wire.forget()
        if self._wire.in_transaction:
            try:
                self._wire.send(b"ROLLBACK")
                self._wire.exchange()
            except psycopg.Error:
                self._wire.connection.close()

    def _ask(self, statement: bytes, values: Sequence[Value] = ()) -> Answer:
        """Have a statement answered; the first one takes the transaction's beginning with it."""
        if self._refused is not None:
            raise self._refused
        first = not self._opened
        if first:
            self._open()
        self._wire.send(statement, values)
        answers = self._wire.exchange()
        if first:
            self._hear(answers[-2])
        return answers[-1]

    def _open(self) -> None:
        self._opened = True
        for statement in self._opening:
            self._wire.send(statement)
        self._wire.send(_CLOCK if self._refuse is None else _CLOCK_AND_PANIC)

    def _hear(self, answer: Answer) -> int:
        """Take note of the time, and of panic, which ends it here: what was asked already is not committed any more."""
        (row,) = answer.rows
        self._ms = int(row["ms"])
        refuse, self._refuse = self._refuse, None
        if refuse is not None:
            try:
                refuse(row if row["raised_by"] is not None else None)
            except Exception as error:
                self._refused = error
                raise
        return self._ms


@cache
def _adapted(statement: str, has_now: bool, has_now_kst: bool) -> tuple[bytes, Sequence[str]]:  # noqa: FBT001 - a cache's key
    """Write `:name` as the server's `$1`; returns the names in their order, too."""
    own = {name for name, given in (("now", has_now), ("now_kst", has_now_kst)) if not given}
    names: list[str] = []

    def place(found: re.Match[str]) -> str:
        name = found[1]
        if name in own:
            return _INSTANT[name]
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return _PARAMETER.sub(place, statement).encode(), names
