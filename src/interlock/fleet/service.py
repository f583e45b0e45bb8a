"""The verbs of the fleet: an operator's, a node's own, a leader's, and those of published configurations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from interlock.access.errors import HumanNeeded, ReasonBlank
from interlock.access.models import Actor, PrincipalKind, require_human
from interlock.fleet.errors import (
    ConfigRaced,
    ConfigUnchanged,
    ConfigUnknown,
    NodeStateConflict,
    NodeUnknown,
    NotLeader,
)
from interlock.fleet.events import (
    ConfigPublished,
    NodeDrained,
    NodeForgotten,
    NodeFound,
    NodeJoined,
    NodeKeyAsked,
    NodeLost,
    NodeQuarantined,
    NodeResumed,
)
from interlock.fleet.models import Facts, KeyAsked, Leader, Node, NodeState, Process, Published, Term
from interlock.fleet.ports import Desk, Look, Open
from interlock.kernel.errors import Invalid
from interlock.kernel.ids import checked

_MOST_REASON = 1000
_MOST_BODY = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The nodes of one database; each verb opens the transaction that it needs."""

    open: Open
    look: Look
    light: Look
    """Opens a transaction for what is no event: heartbeats and terms."""
    validate: Callable[[str], None]
    """Raises `Invalid` for a configuration that can not be published."""

    # --- what there is ------------------------------------------------------------------------------------------------

    def list(self) -> Sequence[Node]:
        """List nodes, by name."""
        with self.look() as desk:
            return desk.nodes.list()

    def get(self, node_id: str) -> Node:
        """Return a node; raises `NodeUnknown`."""
        checked(node_id, "n")
        with self.look() as desk:
            return _node(desk, node_id)

    def find(self, named: str) -> Node:
        """Return the node of this id or name; raises `NodeUnknown`, also where several are called that."""
        found = [each for each in self.list() if named in {each.id, each.facts.name}]
        if len(found) != 1:
            why = f"{len(found)} nodes are called" if found else "there is no node"
            raise NodeUnknown(f"{why} {named[:80]!a}", hint="name it by its id; `interlock node list` shows them")
        return found[0]

    def leaders(self) -> Sequence[Leader]:
        """List who leads which loop, or led it last."""
        with self.look() as desk:
            return desk.leaders.list()

    # --- for operators ------------------------------------------------------------------------------------------------

    def drain(self, actor: Actor, node_id: str, *, reason: str) -> Node:
        """Let a node take nothing new, and finish what it has. No claim of it commits after this has returned."""
        return self._stop(actor, node_id, NodeState.DRAINING, reason)

    def quarantine(self, actor: Actor, node_id: str, *, reason: str) -> Node:
        """Trust a node no more: it takes nothing, and gives back what it has at its next heartbeat."""
        return self._stop(actor, node_id, NodeState.QUARANTINED, reason)

    def resume(self, actor: Actor, node_id: str, *, reason: str = "") -> Node:
        """Let a node take work again. What a human put into quarantine only a human lets out."""
        _check_may(actor, "let a node go on")
        checked(node_id, "n")
        told = _reason(reason, needed=False)
        with self.open(actor) as desk:
            desk.nodes.hold()
            node = _node(desk, node_id)
            if node.state is NodeState.ACTIVE:
                raise NodeStateConflict(f"{node_id} is active already")
            if node.state is NodeState.QUARANTINED and node.changed_by.startswith(f"{PrincipalKind.HUMAN.value}:"):
                require_human(actor.principal, f"end a quarantine that {node.changed_by} has imposed")
            desk.nodes.move(node_id, NodeState.ACTIVE, reason="", by=str(actor.principal))
            desk.emit(NodeResumed(subject=node_id, reason=told, before=node.state.value))
            return _node(desk, node_id)

    def forget(self, actor: Actor, node_id: str, *, reason: str = "") -> Node:
        """List a node no more that is gone; if it comes back, it joins anew. Returns it as it was."""
        _check_may(actor, "forget a node")
        checked(node_id, "n")
        told = _reason(reason, needed=False)
        with self.open(actor, calming=True) as desk:
            desk.nodes.hold()
            node = _node(desk, node_id)
            if node.state is NodeState.QUARANTINED:
                raise NodeStateConflict(
                    f"{node_id} is in quarantine; forgotten, it would come back without", hint="resume it first"
                )
            if node.left_ms is None and node.lost_ms is None:
                raise NodeStateConflict(f"{node_id} lives", hint="stop its workers and servers first")
            desk.nodes.forget(node_id)
            desk.emit(NodeForgotten(subject=node_id, reason=told))
        return node

    def _stop(self, actor: Actor, node_id: str, state: NodeState, reason: str) -> Node:
        _check_may(actor, "take a node out of work")
        checked(node_id, "n")
        told = _reason(reason, needed=True)
        with self.open(actor, calming=True) as desk:
            desk.nodes.hold()
            node = _node(desk, node_id)
            if node.state is state:
                raise NodeStateConflict(f"{node_id} is {state.value} already: {node.reason}")
            if node.state is NodeState.QUARANTINED:
                raise NodeStateConflict(f"{node_id} is in quarantine, which is more", hint="resume it first")
            desk.nodes.move(node_id, state, reason=told, by=str(actor.principal))
            kind = NodeDrained if state is NodeState.DRAINING else NodeQuarantined
            desk.emit(kind(subject=node_id, reason=told))
            return _node(desk, node_id)

    # --- for nodes ----------------------------------------------------------------------------------------------------

    def join(self, actor: Actor, facts: Facts) -> Node:
        """Say that a node is there; an event where that, or something about it, is new."""
        checked(facts.id, "n")
        with self.look() as desk:
            seen = desk.nodes.get(facts.id)
        if seen is not None and seen.facts == facts and seen.left_ms is None:
            return seen
        with self.open(actor, calming=True) as desk:
            seen = desk.nodes.get(facts.id)
            desk.nodes.join(facts)
            if seen is None or _told(seen.facts) != _told(facts):
                desk.emit(
                    NodeJoined(
                        subject=facts.id,
                        name=facts.name,
                        host=facts.host,
                        interlock=facts.version,
                        capabilities=list(facts.capabilities),
                        labels=list(facts.labels),
                    )
                )
            return _node(desk, facts.id)

    def beat(self, node_id: str, *, config_version: int, notice: str = "") -> bool:
        """Say that a node lives; False if it is not known (any more). Not an event."""
        with self.light() as desk:
            return desk.nodes.beat(node_id, config_version=config_version, notice=notice[:300])

    def leave(self, node_id: str, holder: str) -> None:
        """Say that a process of a node ends in good order, and end its terms. Not an event."""
        with self.light() as desk:
            desk.nodes.leave(node_id)
            desk.leaders.release(holder)

    def standing(self, node_id: str) -> tuple[NodeState | None, int]:
        """Return a node's state (None: not known) and the number of the newest configuration."""
        with self.look() as desk:
            return desk.nodes.state(node_id), desk.configs.newest()

    def ask_key(self, actor: Actor, node_id: str, asked: KeyAsked) -> None:
        """Ask for a node's own key to be added to the log; only a human may let a machine join."""
        require_human(actor.principal, "let a machine join")
        checked(node_id, "n")
        with self.open(actor) as desk:
            if desk.keys.ask(asked):
                desk.emit(NodeKeyAsked(subject=node_id, name=asked.name, vkey=asked.vkey))

    def keys_asked(self) -> Sequence[KeyAsked]:
        """List the keys of which the log does not tell yet."""
        with self.look() as desk:
            return desk.keys.waiting()

    # --- for leaders --------------------------------------------------------------------------------------------------

    def lead(
        self, role: str, me: Process, *, lease_ms: int, held: Term | None = None, dead: Callable[[Process], bool]
    ) -> Term | None:
        """Take a role, or lead on; None where somebody else leads. Not an event.

        A role is free when its term is over by the database's clock, or its holder is provably `dead` on this machine.
        """
        if held is not None:
            with self.light() as desk:
                return held if desk.leaders.renew(held, lease_ms) else None
        with self.look() as desk:
            seen, now = desk.leaders.get(role), desk.now()
        gone = seen is not None and seen.process.id != me.id and dead(seen.process)
        if seen is not None and seen.expires_ms > now and seen.process.id != me.id and not gone:
            return None
        with self.light() as desk:
            if seen is not None and seen.process.id == me.id:
                term = Term(role=role, holder=me.id, epoch=seen.epoch)
                return term if desk.leaders.renew(term, lease_ms) else None
            epoch = None if seen is None else seen.epoch
            taken = desk.leaders.take(role, me, seen=epoch, lease_ms=lease_ms, dead=gone)
        return Term(role=role, holder=me.id, epoch=(epoch or 0) + 1) if taken else None

    def check(self, term: Term) -> None:
        """Raise `NotLeader` unless a term holds now. A write is checked in its own transaction, not with this."""
        with self.look() as desk:
            leader = desk.leaders.get(term.role)
            held = leader is not None and (leader.process.id, leader.epoch) == (term.holder, term.epoch)
            if leader is None or not held or leader.expires_ms <= desk.now():
                raise NotLeader(f"{term.holder} does not lead {term.role} any more")

    def lose(self, actor: Actor, node: Node, term: Term, *, silent_seconds: int) -> bool:
        """Give a node up; False if it lives. Raises `NotLeader`."""
        with self.open(actor, calming=True) as desk:
            desk.leaders.check(term)
            if not desk.nodes.lose(node.id, node.beat):
                return False
            desk.emit(NodeLost(subject=node.id, silent_seconds=silent_seconds))
        return True

    def find_again(self, actor: Actor, node: Node, term: Term) -> bool:
        """Take a node up again that was given up; False if it gave no sign of life. Raises `NotLeader`."""
        with self.open(actor, calming=True) as desk:
            desk.leaders.check(term)
            if not desk.nodes.find(node.id):
                return False
            desk.emit(NodeFound(subject=node.id))
        return True

    # --- published configurations -------------------------------------------------------------------------------------

    def publish(self, actor: Actor, body: str, *, reason: str = "") -> Published:
        """Let all nodes follow a configuration from now on; only a human may. No claim under the old one follows."""
        require_human(actor.principal, "publish a configuration for all nodes")
        told = _reason(reason, needed=False)
        if len(body.encode("utf-8", "replace")) > _MOST_BODY:
            raise Invalid(f"a configuration has at most {_MOST_BODY} bytes")
        self.validate(body)
        with self.open(actor) as desk:
            desk.nodes.hold()
            newest = desk.configs.newest()
            before = desk.configs.get(newest)
            if before is not None and before.body == body:
                raise ConfigUnchanged(f"version {newest} says exactly this already")
            published = Published(
                version=newest + 1,
                digest=digest_of(body),
                body=body,
                reason=told,
                published_by=str(actor.principal),
                published_ms=desk.now(),
            )
            if not desk.configs.add(published):
                raise ConfigRaced
            desk.emit(ConfigPublished(subject="config", number=published.version, digest=published.digest, reason=told))
        return published

    def newest_version(self) -> int:
        """Return the number of the newest configuration; 0 for none."""
        with self.look() as desk:
            return desk.configs.newest()

    def newest(self) -> Published | None:
        """Return the configuration that all nodes follow; None where none was published."""
        with self.look() as desk:
            return desk.configs.get(desk.configs.newest())

    def config(self, version: int) -> Published:
        """Return one version; raises `ConfigUnknown`."""
        with self.look() as desk:
            found = desk.configs.get(version) if 0 < version < 2**53 else None
        if found is None:
            raise ConfigUnknown(f"there is no version {version} of the configuration")
        return found

    def configs(self, *, limit: int = 100) -> Sequence[Published]:
        """List the versions, the newest first."""
        with self.look() as desk:
            return desk.configs.list(limit)


def digest_of(body: str) -> str:
    """Return the digest of a configuration's text."""
    return f"sha256:{sha256(body.encode()).hexdigest()}"


def _told(facts: Facts) -> tuple[object, ...]:
    """Return what an event tells; a restart of the machine is none."""
    return (facts.name, facts.host, facts.version, facts.capabilities, facts.labels)


def _node(desk: Desk, node_id: str) -> Node:
    node = desk.nodes.get(node_id)
    if node is None:
        raise NodeUnknown(f"there is no node {node_id}")
    return node


def _check_may(actor: Actor, deed: str) -> None:
    if actor.principal.kind is PrincipalKind.AGENT:
        raise HumanNeeded(f"only a human or a service may {deed}; this call comes from {actor.principal}")


def _reason(text: str, *, needed: bool) -> str:
    told = " ".join(text.split())
    if needed and not told:
        raise ReasonBlank
    try:
        told.encode("utf-8")
    except UnicodeEncodeError:
        raise Invalid("the reason is no text") from None
    if len(told) > _MOST_REASON or any(not each.isprintable() for each in told):
        raise Invalid(f"a reason is one line of at most {_MOST_REASON} characters")
    return told
