"""A small log with keys, attestations and an export, made by the product's own verbs over a log in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evidence_samples import NOON, ORIGIN, MemoryLog, leaf

from interlock.access.models import Actor, Principal
from interlock.evidence.content import Sealed, named
from interlock.evidence.directory import KeyDirectory, folded
from interlock.evidence.dsse import seal, statement
from interlock.evidence.keyring import Keyring
from interlock.evidence.keys import create_key, load_signer, load_verifiers
from interlock.evidence.models import Report, Subject
from interlock.evidence.note import Signer
from interlock.evidence.predicates import AGENT_RUN, APPROVAL, CHECKPOINT, DEPLOYMENT_OUTCOME
from interlock.evidence.service import Evidence
from interlock.evidence.verify import verify_export
from interlock.kernel.canonical import Json, digest
from interlock.kernel.events import Event, to_leaf

ALICE = Actor(principal=Principal.parse("human:alice"))
ROBOT = Actor(principal=Principal.parse("agent:r_01ARZ3NDEKTSV4RRFFQ69G5FAV"))
WORKER = Actor(principal=Principal.parse("service:worker@test"))
RUN = "r_01K9ABCDEFGHJKMNPQRSTVWXYZ"
ARTEFACT = "build_output/report.json"
SHA = "ab" * 32


@dataclass
class Workshop:
    """A log with its keys in a folder."""

    folder: Path
    log: MemoryLog = field(default_factory=MemoryLog)

    def __post_init__(self) -> None:
        self.keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.out.mkdir(exist_ok=True)
        for name in ("log", "service", "human-alice"):
            if not (self.keys / f"{name}.key").exists():
                create_key(self.keys / f"{name}.key", ORIGIN if name == "log" else f"interlock/{name}")
        roots = self.out / "log.vkey"
        if not roots.exists():
            roots.write_bytes((self.keys / "log.vkey").read_bytes())

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def keyring(self) -> Keyring:
        return Keyring(
            folder=self.keys,
            roots=self.out / "log.vkey",
            origin=ORIGIN,
            directory=self.directory,
            tell=self._tell,
        )

    def directory(self) -> KeyDirectory:
        return folded(self.log.key_events())

    def begin(self) -> Workshop:
        """Tell of the keys, and of two agents with a role."""
        self.log.data.append(leaf(0))
        self.keyring.complete(ALICE)
        self.keyring.ensure_agent(WORKER, "PlanAgent", "planner")
        self.keyring.ensure_agent(WORKER, "ReviewAgent", "verifier")
        return self

    def _tell(self, actor: Actor, event: Event, envelope: Sealed) -> None:
        if event.key is not None and any(f'"key":"{event.key}"'.encode() in data for data in self.log.data):
            return
        self.log.envelopes[envelope.ref] = envelope.body
        self.log.data.append(to_leaf(event, principal=str(actor.principal), correlation_id=None, time_ms=NOON).data)

    def signer(self, name: str) -> Signer:
        return load_signer(self.keys / f"{name}.key", ORIGIN if name.startswith("log") else f"interlock/{name}")

    def attest(
        self,
        key: str | Signer,
        predicate_type: str,
        about: tuple[str, str],
        predicate: Mapping[str, Json],
        *,
        principal: str,
        signed_by: str = "principal",
    ) -> dict[str, Json]:
        """Sign a statement, keep its envelope; return what its event says of it."""
        signer = self.signer(key) if isinstance(key, str) else key
        told: dict[str, Json] = {**predicate, "principal": principal, "signed_by": signed_by}
        body = statement([Subject(about[0], {"sha256": about[1]})], predicate_type, told)
        envelope = seal(body, [signer])
        ref = named(envelope, "").ref
        self.log.envelopes[ref] = envelope
        keyid = signer.verifier().key_id.hex()
        return {"digest": ref, "keyid": keyid, "predicate_type": predicate_type, "signed_by": signed_by}

    def tell(self, kind: str, subject: str, principal: str, payload: Mapping[str, Json]) -> int:
        """Append an entry; return its index."""
        self.log.data.append(leaf(self.log.size(), kind=kind, subject=subject, principal=principal, payload=payload))
        return self.log.size() - 1

    def approval(self, key: str | Signer = "human-alice", signed_by: str = "principal", **changes: Json) -> int:
        principal = str(changes.pop("principal", "human:alice"))
        attestation = self.attest(
            key, APPROVAL, ("a_1", SHA), {"draft_id": "d_1"}, principal=principal, signed_by=signed_by
        )
        payload: dict[str, Json] = {"approved_id": "a_1", "digest": f"sha256:{SHA}", "attestation": attestation}
        return self.tell("draft.approved", "d_1", principal, {**payload, **changes})

    def run(self, key: str = "service") -> int:
        attestation = self.attest(key, AGENT_RUN, (RUN, SHA), {"reason": None}, principal="service:worker@test")
        return self.tell("run.done", RUN, "service:worker@test", {"attestation": attestation})

    def checkpoint(
        self, key: str = "agent-ReviewAgent", *, role: str = "verifier", pipeline: str = "p_1", **changes: Json
    ) -> int:
        agent = "agent:ReviewAgent" if role == "verifier" else "agent:PlanAgent"
        predicate: dict[str, Json] = {"pipeline_id": pipeline, "role": role}
        attestation = self.attest(key, CHECKPOINT, (ARTEFACT, SHA), predicate, principal=agent)
        payload: dict[str, Json] = {
            "role": role,
            "artefact": {"path": ARTEFACT, "sha256": SHA},
            "attestation": attestation,
        }
        return self.tell("pipeline.state.checkpoint_passed", "p_1", agent, {**payload, **changes})

    def outcome(self, key: str = "agent-ReviewAgent", role: str = "verifier") -> int:
        told: dict[str, Json] = {"stage": "verify", "status": "passed", "agent_role": role}
        agent = "agent:ReviewAgent"
        attestation = self.attest(
            key,
            DEPLOYMENT_OUTCOME,
            ("p_1", digest(told).removeprefix("sha256:")),
            {**told, "role": role},
            principal=agent,
        )
        return self.tell("deployment_outcome.recorded", "p_1", agent, {**told, "attestation": attestation})

    def evidence(self) -> Evidence:
        return Evidence(
            log=self.log,
            heads=self.log,
            verifiers=load_verifiers(self.out / "log.vkey"),
            now=lambda: NOON,
            origin=ORIGIN,
            sign=self.keyring.log_signers,
        )

    def export(self) -> Path:
        """Sign, write everything out; return the folder."""
        self.evidence().head()
        self.evidence().export(self.out)
        return self.out

    def verified(self, **more: object) -> Report:
        """Export, and verify with the first key that the log had."""
        folder = self.export()
        first = load_verifiers(folder / "log.vkey")[:1]
        return verify_export(folder / "ledger.jsonl", folder / "heads.jsonl", first, **more)  # pyright: ignore[reportArgumentType] - passed on


def names(keys: Sequence[object]) -> list[str]:
    """Return what keys are called."""
    return [str(getattr(key, "name", key)) for key in keys]
