"""Sealing on PostgreSQL: the sequencer gives committed events their places in the tree, one sequencer at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from psycopg import errors as pg

from interlock.evidence.tree import Frontier
from interlock.kernel.errors import InterlockError
from interlock.storage.errors import DatabaseDamaged
from interlock.storage.postgres.conversation import WRITING, Conversation
from interlock.storage.postgres.wire import Wire

SEAL_BATCH = 1_000
_TURN = (b"SET LOCAL lock_timeout = '1s'", b"SELECT pg_advisory_xact_lock(1229736706)")
"""Its number is 0x494C4B02."""
_GATHERING_SECONDS = 0.05
_LOOK_SECONDS = 1.0
# The server hashes (RFC 6962: a 0x00 before the leaf), so that 1,000 leaves do not have to go to and fro. It is written
# so that no plan made while the tables were small can scan them when they are large.
_PLACE = """
WITH batch AS (
    DELETE FROM event_unsealed
    WHERE event_id = ANY (ARRAY (SELECT event_id FROM event_unsealed ORDER BY event_id LIMIT :batch))
    RETURNING event_id
), placed AS (
    INSERT INTO leaf (leaf_index, event_id, leaf_hash)
    SELECT :size + row_number() OVER (ORDER BY event_id) - 1, event_id,
        (SELECT sha256(decode('00', 'hex') || convert_to(leaf, 'UTF8')) FROM event WHERE event_id = batch.event_id)
    FROM batch
    RETURNING leaf_index, leaf_hash
)
SELECT leaf_hash FROM placed ORDER BY leaf_index
"""


def seal_batch(wire: Wire) -> int:
    """Seal up to 1,000 events; 0 when nothing waits, or when another sequencer did not end its turn in a second."""
    talk = Conversation(wire, (*WRITING, *_TURN), None)
    try:
        sealed = _seal(talk)
        talk.commit(())
    except BaseException as error:
        talk.roll_back()
        if isinstance(error, pg.LockNotAvailable):
            return 0
        raise
    return sealed


def seal_within(wire: Wire) -> int:
    """Seal up to 1,000 events inside a transaction that is open."""
    return _seal(Conversation(wire, _TURN, None))


def _seal(talk: Conversation) -> int:
    rows, _ = talk.execute("SELECT frontier FROM log_state", {})
    if not rows:
        raise DatabaseDamaged("the log's state is gone from the database")
    frontier = Frontier.decode(bytes(rows[0]["frontier"]))
    placed, _ = talk.execute(_PLACE, {"batch": SEAL_BATCH, "size": frontier.size})
    if placed:
        after = frontier.extend([row["leaf_hash"] for row in placed])
        talk.execute("UPDATE log_state SET frontier = :frontier", {"frontier": after.encode()})
    return len(placed)


class Sequencer:
    """Seals beside the work of a process that lives long: at once after a commit, then what gathers in 50 ms."""

    def __init__(self, seal: Callable[[], int], hang_up: Callable[[], None]) -> None:
        self._seal = seal
        self._hang_up = hang_up
        self._told, self._ending = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="sequencer", daemon=True)
        self._thread.start()

    def tell(self) -> None:
        """Say that something was committed."""
        self._told.set()

    def end(self) -> None:
        """Seal what is left, and stop."""
        self._ending.set()
        self._told.set()
        self._thread.join()

    def _work(self) -> None:
        ending = False
        while not ending:
            self._told.wait(_LOOK_SECONDS)  # somebody may have committed who could not seal any more
            self._told.clear()
            ending = self._ending.is_set()
            with suppress(InterlockError):
                if self._seal():
                    self._ending.wait(_GATHERING_SECONDS)
        self._hang_up()
