"""Who signs what in one workspace: its log's heads, and the statements of people, agents and services."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.access.models import Actor, Principal, PrincipalKind
from interlock.approval.ports import Signed
from interlock.kernel.canonical import JsonObject
from interlock.kernel.events import Event
from interlock.workspace.layout import Layout

if TYPE_CHECKING:
    from interlock.evidence.content import Sealed
    from interlock.evidence.directory import KeyDirectory
    from interlock.evidence.keyring import Keyring
    from interlock.evidence.models import Cosignature, SignedHead
    from interlock.evidence.note import Signer
    from interlock.evidence.service import Evidence
    from interlock.storage.database import Database
    from interlock.storage.evidence import StoredLog


def human_key(name: str) -> str:
    """Return the name of the key file of a person who works on the command line."""
    return f"human-{name}.key"


def agent_key(agent_id: str) -> str:
    """Return the name of the key file of an agent with a role."""
    return f"agent-{agent_id}.key"


@dataclass(frozen=True)
class Signing:
    """The keys of a workspace, and the log that says which of them count."""

    layout: Layout
    database: Database

    # --- the log ------------------------------------------------------------------------------------------------------

    @cached_property
    def log(self) -> StoredLog:
        """The sealed log, to be read."""
        from interlock.storage.evidence import StoredLog

        return StoredLog(self.database)

    @property
    def evidence(self) -> Evidence:
        """The sealed log; without the log's private key it can be read and not signed."""
        from interlock.evidence.keys import load_verifiers
        from interlock.evidence.service import Evidence

        return Evidence(
            log=self.log,
            heads=_Heads(self.database),
            verifiers=load_verifiers(self.layout.evidence / "log.vkey"),
            now=self._now,
            origin=self.log.origin(),
            sign=self.keyring.log_signers,
        )

    @property
    def signs_log(self) -> bool:
        """Whether the log's own key lies here."""
        return self.layout.log_key.exists()

    def log_signer(self) -> Signer:
        """Return what signs the log's heads; raises where its key is missing or broken."""
        from interlock.evidence.keys import load_signer

        return load_signer(self.layout.log_key, self.log.origin())

    # --- keys ---------------------------------------------------------------------------------------------------------

    @cached_property
    def keyring(self) -> Keyring:
        """The keys that sign, and what the log says of them."""
        from interlock.evidence.keyring import Keyring

        return Keyring(
            folder=self.layout.keys,
            roots=self.layout.evidence / "log.vkey",
            origin=self.log.origin(),
            directory=self.directory,
            tell=self._tell,
        )

    def directory(self) -> KeyDirectory:
        """Return what the log says of keys by now."""
        from interlock.evidence.directory import folded

        self.database.seal()  # whoever has just told of a key is to find it
        return folded(self.log.key_events())

    def service_signer(self) -> Signer:
        """Return what signs for this node's services; raises where its key is missing or broken."""
        return self._signer(self.layout.service_key)

    def waiting(self) -> Callable[[], str]:
        """Return what says why this node's services can not sign yet: the log may not know a joined node's own key."""
        if self.signs_log:
            return lambda: ""
        vkey = self.service_signer().verifier().vkey()
        known: list[bool] = []

        def waits_for() -> str:
            if not known and vkey not in self.directory().keys:
                return "the log does not know this node's key yet: a worker or server where the log's key lies adds it"
            known.append(True)
            return ""

        return waits_for

    # --- statements ---------------------------------------------------------------------------------------------------

    def attest(
        self,
        actor: Actor,
        *,
        predicate_type: str,
        subject: str,
        digest: str,
        predicate: JsonObject,
        on_behalf: bool = False,
    ) -> Signed:
        """Sign a statement with the principal's own key where there is one, else with the service's on its behalf.

        `on_behalf` says that the principal is elsewhere, and a service's name no reason to call the signature its own.
        """
        from interlock.evidence.content import named
        from interlock.evidence.dsse import seal, statement
        from interlock.evidence.models import Subject

        key, signed_by = self._key_of(actor.principal, on_behalf=on_behalf)
        signer = self._signer(key)
        body = statement(
            [Subject(subject, {"sha256": digest.removeprefix("sha256:")})],
            predicate_type,
            {**predicate, "principal": str(actor.principal), "signed_by": signed_by},
        )
        envelope = seal(body, [signer])
        return Signed(
            envelope=envelope,
            attestation={
                "digest": named(envelope, "").ref,
                "keyid": signer.verifier().key_id.hex(),
                "predicate_type": predicate_type,
                "signed_by": signed_by,
            },
        )

    def _key_of(self, principal: Principal, *, on_behalf: bool) -> tuple[Path, str]:
        if on_behalf:
            return self.layout.service_key, "service_on_behalf"
        if principal.kind is PrincipalKind.SERVICE:
            return self.layout.service_key, "principal"
        own = human_key(principal.name) if principal.kind is PrincipalKind.HUMAN else agent_key(principal.name)
        if (self.layout.keys / own).exists() and self._counts(self.layout.keys / own):
            return self.layout.keys / own, "principal"
        return self.layout.service_key, "service_on_behalf"

    def _counts(self, key: Path) -> bool:
        """Say whether the log knows a key, or will: where its own key lies, it is told of what is found there."""
        return self.signs_log or self._signer(key).verifier().vkey() in self.directory().keys

    def _signer(self, key: Path) -> Signer:
        from interlock.evidence.keys import load_signer

        return load_signer(key, f"interlock/{key.stem}")

    def _tell(self, actor: Actor, event: Event, envelope: Sealed) -> None:
        from interlock.storage.approval import StoredContents

        with self.database.write(actor, calming=event.calming) as transaction:
            StoredContents(transaction).put(envelope)
            transaction.emit(event)

    def _now(self) -> int:
        with self.database.read() as transaction:
            return transaction.now()


@dataclass(frozen=True, slots=True)
class _Heads:
    """Keeps a head in a transaction of its own. A head is no event: it covers events, and would never end."""

    database: Database

    def add_head(self, head: SignedHead) -> None:
        from interlock.storage.evidence import StoredHeads

        keeper = Actor(principal=Principal(PrincipalKind.SERVICE, "evidence"))
        with self.database.write(keeper, calming=True) as transaction:
            StoredHeads(transaction).add_head(head)

    def add_cosignatures(self, cosignatures: Sequence[Cosignature]) -> None:
        from interlock.storage.evidence import StoredHeads

        keeper = Actor(principal=Principal(PrincipalKind.SERVICE, "evidence"))
        with self.database.write(keeper, calming=True) as transaction:
            StoredHeads(transaction).add_cosignatures(cosignatures)
