"""The rows of nodes, of who leads, and of published configurations."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from interlock.access.models import Actor
from interlock.fleet.errors import NodeBehind, NodeNotTaking, NodeUnknown, NotLeader
from interlock.fleet.models import Facts, KeyAsked, Leader, Node, NodeState, Process, Published, Term
from interlock.storage.database import Database, Row, Transaction, Waiter


@dataclass(frozen=True, slots=True)
class StoredNodes:
    """Nodes in the transaction that is open; implements `fleet.ports.NodeStore`."""

    transaction: Transaction

    def get(self, node_id: str) -> Node | None:
        """Return a node."""
        row = self.transaction.one("node_get", id=node_id)
        return _node(row) if row else None

    def list(self) -> Sequence[Node]:
        """List nodes, by name."""
        return [_node(row) for row in self.transaction.all("node_list")]

    def hold(self) -> None:
        """Wait until every claim under way has ended, and let none begin before this transaction has ended."""
        self.transaction.all("fleet_patience")
        self.transaction.run("fleet_hold")

    def join(self, facts: Facts) -> None:
        """Insert a node as active, or write anew what it says of itself."""
        self.transaction.run(
            "node_join",
            id=facts.id,
            name=facts.name,
            host=facts.host,
            boot_id=facts.boot_id,
            version=facts.version,
            capabilities=" ".join(facts.capabilities),
            labels=" ".join(facts.labels),
            concurrency=facts.concurrency,
            now=self.transaction.now(),
        )

    def beat(self, node_id: str, *, config_version: int, notice: str) -> bool:
        """Note that a node lives; False if it is not known (any more)."""
        changed = self.transaction.run(
            "node_beat", id=node_id, config_version=config_version, notice=notice, now=self.transaction.now()
        )
        return changed == 1

    def leave(self, node_id: str) -> None:
        """Note that a process of a node has ended in good order; another's next heartbeat takes that back."""
        self.transaction.run("node_leave", id=node_id, now=self.transaction.now())

    def move(self, node_id: str, state: NodeState, *, reason: str, by: str) -> None:
        """Put a node into a state."""
        self.transaction.run(
            "node_move", id=node_id, state=state.value, reason=reason, changed_by=by, now=self.transaction.now()
        )

    def lose(self, node_id: str, beat: int) -> bool:
        """Give a node up; False if it has given a sign of life since that beat."""
        return self.transaction.run("node_lose", id=node_id, beat=beat, now=self.transaction.now()) == 1

    def find(self, node_id: str) -> bool:
        """Take a node up again that was given up and has given a sign of life since; False if it has not."""
        return self.transaction.run("node_find", id=node_id) == 1

    def forget(self, node_id: str) -> bool:
        """Delete a node; False if it was gone."""
        return self.transaction.run("node_forget", id=node_id) == 1

    def state(self, node_id: str) -> NodeState | None:
        """Return the state of a node; None if it is not known."""
        row = self.transaction.one("node_state", id=node_id)
        return NodeState(row["state"]) if row else None

    def admit(self, node_id: str, config_version: int) -> None:
        """Raise `NodeNotTaking`, `NodeBehind` or `NodeUnknown` unless a node may claim in this transaction."""
        row = self.transaction.one("node_admit", id=node_id)
        if row is None:
            raise NodeUnknown(f"{node_id} has not joined, or was forgotten", hint="it joins at its next heartbeat")
        if row["state"] != NodeState.ACTIVE.value:
            raise NodeNotTaking(f"{node_id} is {row['state']}: {row['reason'] or 'no reason was given'}")
        if (row["newest"] or 0) > config_version:
            raise NodeBehind(f"{node_id} follows configuration {config_version}, and {row['newest']} is published")


@dataclass(frozen=True, slots=True)
class StoredLeaders:
    """Who leads, in the transaction that is open; implements `fleet.ports.LeaderStore`."""

    transaction: Transaction

    def get(self, role: str) -> Leader | None:
        """Return who leads, or led last."""
        row = self.transaction.one("leader_get", role=role)
        return _leader(row) if row else None

    def list(self) -> Sequence[Leader]:
        """List them, by role."""
        return [_leader(row) for row in self.transaction.all("leader_list")]

    def take(self, role: str, me: Process, *, seen: int | None, lease_ms: int, dead: bool) -> bool:
        """Take a role whose epoch was seen (None: nobody ever led), if its term is over or its holder `dead`."""
        values = {
            "role": role,
            "holder": me.id,
            "host": me.host,
            "boot_id": me.boot_id,
            "pid": me.pid,
            "start_time": me.start_time,
            "lease_ms": lease_ms,
            "now": self.transaction.now(),
        }
        if seen is None:
            return self.transaction.run("leader_first", **values) == 1
        return self.transaction.run("leader_take", **values, seen=seen, dead=int(dead)) == 1

    def renew(self, term: Term, lease_ms: int) -> bool:
        """Lead on; False if somebody else does."""
        changed = self.transaction.run(
            "leader_renew",
            role=term.role,
            holder=term.holder,
            epoch=term.epoch,
            lease_ms=lease_ms,
            now=self.transaction.now(),
        )
        return changed == 1

    def release(self, holder: str) -> None:
        """End every term of a process."""
        self.transaction.run("leader_release", holder=holder)

    def check(self, term: Term) -> None:
        """Raise `NotLeader` unless the term holds now, and until this transaction has ended."""
        row = self.transaction.one(
            "leader_check", role=term.role, holder=term.holder, epoch=term.epoch, now=self.transaction.now()
        )
        if row is None:
            raise NotLeader(f"{term.holder} does not lead {term.role} any more")


@dataclass(frozen=True, slots=True)
class StoredConfigs:
    """Published configurations in the transaction that is open; implements `fleet.ports.ConfigStore`."""

    transaction: Transaction

    def newest(self) -> int:
        """Return the number of the newest; 0 for none."""
        row = self.transaction.one("config_newest")
        return int(row["newest"] or 0) if row else 0

    def get(self, version: int) -> Published | None:
        """Return one."""
        row = self.transaction.one("config_get", version=version)
        return _published(row) if row else None

    def list(self, limit: int) -> Sequence[Published]:
        """List them, the newest first."""
        return [_published(row) for row in self.transaction.all("config_list", most=limit)]

    def add(self, published: Published) -> bool:
        """Insert one; False if its number is taken."""
        changed = self.transaction.run(
            "config_add",
            version=published.version,
            digest=published.digest,
            body=published.body,
            reason=published.reason,
            published_by=published.published_by,
            now=published.published_ms,
        )
        return changed == 1


@dataclass(frozen=True, slots=True)
class StoredKeys:
    """The keys that nodes ask for, in the transaction that is open; implements `fleet.ports.KeyStore`."""

    transaction: Transaction

    def ask(self, asked: KeyAsked) -> bool:
        """Insert a wish; False if there is one of this name."""
        changed = self.transaction.run(
            "key_ask",
            name=asked.name,
            vkey=asked.vkey,
            reason=asked.reason,
            envelope=asked.envelope,
            asked_by=asked.asked_by,
            now=self.transaction.now(),
        )
        return changed == 1

    def waiting(self) -> Sequence[KeyAsked]:
        """List what was not granted yet, the oldest first."""
        return [
            KeyAsked(
                name=row["name"],
                vkey=row["vkey"],
                reason=row["reason"],
                envelope=bytes(row["envelope"]),
                asked_by=row["asked_by"],
            )
            for row in self.transaction.all("key_waiting")
        ]

    def grant(self, name: str) -> bool:
        """Note that the log tells of it; False if that was noted before."""
        return self.transaction.run("key_admitted", name=name, now=self.transaction.now()) == 1


def _node(row: Row) -> Node:
    return Node(
        facts=Facts(
            id=row["id"],
            name=row["name"],
            host=row["host"],
            boot_id=row["boot_id"],
            version=row["version"],
            capabilities=tuple(row["capabilities"].split()),
            labels=tuple(row["labels"].split()),
            concurrency=row["concurrency"],
        ),
        state=NodeState(row["state"]),
        reason=row["reason"],
        changed_by=row["changed_by"],
        since_ms=row["since_ms"],
        joined_ms=row["joined_ms"],
        heartbeat_ms=row["heartbeat_ms"],
        beat=row["beat"],
        left_ms=row["left_ms"],
        lost_ms=row["lost_ms"],
        config_version=row["config_version"],
        notice=row["notice"],
        held=row["held"],
    )


def _leader(row: Row) -> Leader:
    process = Process(
        id=row["holder"], host=row["host"], boot_id=row["boot_id"], pid=row["pid"], start_time=row["start_time"]
    )
    return Leader(role=row["role"], process=process, epoch=row["epoch"], expires_ms=row["expires_ms"])


def _published(row: Row) -> Published:
    return Published(
        version=row["version"],
        digest=row["digest"],
        body=row["body"],
        reason=row["reason"],
        published_by=row["published_by"],
        published_ms=row["published_ms"],
    )


@dataclass(frozen=True, slots=True)
class LedDatabase:
    """A database into which only whoever leads writes: every transaction that may change something checks the term.

    Implements `storage.database.Database`. A write raises `NotLeader` where the term is over; then nothing was changed.
    """

    database: Database
    term: Term

    def create(self, origin: str) -> bool:
        """Make the database, or upgrade it."""
        return self.database.create(origin)

    @contextmanager
    def write(self, actor: Actor, *, calming: bool | None = False) -> Generator[Transaction]:
        """Open a transaction that may change something, as long as the term holds."""
        with self.database.write(actor, calming=calming) as transaction:
            StoredLeaders(transaction).check(self.term)
            yield transaction

    def read(self) -> AbstractContextManager[Transaction]:
        """Open a transaction that sees one consistent state."""
        return self.database.read()

    @contextmanager
    def light(self) -> Generator[Transaction]:
        """Open a transaction for what is no event, as long as the term holds."""
        with self.database.light() as transaction:
            StoredLeaders(transaction).check(self.term)
            yield transaction

    def seal(self) -> int:
        """Seal what was committed: that anybody may, at any time."""
        return self.database.seal()

    def sealing(self) -> AbstractContextManager[None]:
        """Seal in the background as long as the block lasts."""
        return self.database.sealing()

    def listen(self) -> AbstractContextManager[Waiter]:
        """Listen for work that becomes ready."""
        return self.database.listen()

    def close(self) -> None:
        """Do nothing: it is closed by whose it is."""
