"""Checkpoints: what has to be true of a run before a job starts, or a deployment is promoted.

A checkpoint is a statement that a role's agent signed with its own key over an artefact as it then was. It is checked
anew each time it is needed, against the run, the key, the clock and the file; the first thing wrong with it is said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from interlock.evidence.errors import EvidenceError
from interlock.evidence.predicates import CHECKPOINT
from interlock.kernel.canonical import Json, JsonObject
from interlock.kernel.clock import to_text
from interlock.pipelines.artefacts import look_at
from interlock.pipelines.documents import show_artefact, show_artefacts
from interlock.pipelines.errors import (
    ArtefactEmpty,
    ArtefactMissing,
    ArtefactUnsafe,
    CheckpointArtefactChanged,
    CheckpointArtefactEmpty,
    CheckpointArtefactMissing,
    CheckpointForged,
    CheckpointKeyRevoked,
    CheckpointMissing,
    CheckpointReplayed,
    CheckpointSameKey,
    CheckpointStale,
    CheckpointSummaryBlank,
    CheckpointWrongRole,
)
from interlock.pipelines.models import Artefact, Checkpoint, CheckpointRule, Job, Pipeline
from interlock.pipelines.ports import KeyStands, OpenEnvelope

OPERATOR: Final = "operator"
VERIFIER: Final = "verifier"

Body = Callable[[str], bytes | None]
"""Returns the envelope of a digest, or None where it was never kept."""
Intact = Callable[[], str | None]
"""Says what is wrong with a file that follows the log, beyond what was signed of it; None: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Everything that a checkpoint is held against."""

    root: Path
    open_envelope: OpenEnvelope
    key_stands: KeyStands
    growing: Mapping[str, Intact]
    """Paths of files that only grow, because they follow the log: what was signed is their beginning."""

    def check(self, pipeline: Pipeline, name: str, *, body: Body, now_ms: int) -> Checkpoint:
        """Return the checkpoint that a run has passed, still valid; raises a `CheckpointRefusedError` that says why."""
        rule = next((each for each in pipeline.rules if each.name == name), None)
        passed = pipeline.passed(name)
        if rule is None or passed is None:
            raise CheckpointMissing(f"checkpoint {name} has not been passed in this run")
        self._check_signature(pipeline, rule, passed, body)
        if not passed.summary.strip():
            raise CheckpointSummaryBlank(f"checkpoint {name} says nothing")
        if now_ms >= passed.expires_ms:
            raise CheckpointStale(f"checkpoint {name} counted until {to_text(passed.expires_ms)}")
        _check_duties(pipeline, rule, passed)
        self.check_artefact(name, passed.artefact)
        return passed

    def check_artefact(self, name: str, signed: Artefact) -> None:
        """Raise unless the artefact is what was signed; of a file that only grows, its beginning."""
        found = artefact_of(self.root, signed.path, name, first=signed.size if signed.path in self.growing else None)
        if (found.sha256, found.size) != (signed.sha256, signed.size):
            raise CheckpointArtefactChanged(f"{signed.path} was changed after checkpoint {name} was signed")
        wrong = self.growing[signed.path]() if signed.path in self.growing else None
        if wrong is not None:
            raise CheckpointArtefactChanged(f"{signed.path}, which checkpoint {name} is about: {wrong}")

    def _check_signature(self, pipeline: Pipeline, rule: CheckpointRule, passed: Checkpoint, body: Body) -> None:
        self._check_key(rule, passed)
        envelope = body(passed.envelope)
        if envelope is None:
            raise CheckpointForged(f"the signed statement of checkpoint {rule.name} is gone")
        try:
            statement = self.open_envelope(envelope, rule.role, passed.agent_id)
        except EvidenceError as error:
            raise CheckpointForged(f"checkpoint {rule.name}: {error.message}") from None
        told = cast("Mapping[str, Any]", statement["predicate"])
        if statement["predicateType"] != CHECKPOINT:
            raise CheckpointForged(f"what was signed for checkpoint {rule.name} is no checkpoint")
        if told.get("pipeline_id") != pipeline.id or told.get("policy_sha256") != _hex(pipeline.digest):
            raise CheckpointReplayed(f"checkpoint {rule.name} was signed for another run: {told.get('pipeline_id')}")
        if told.get("role") != rule.role:
            raise CheckpointWrongRole(f"checkpoint {rule.name} needs the {rule.role}, not the {told.get('role')}")
        if passed.artefact.path != rule.artefact or not _same(told, passed):
            raise CheckpointForged(f"the record of checkpoint {rule.name} is not what was signed")

    def _check_key(self, rule: CheckpointRule, passed: Checkpoint) -> None:
        wrong = self.key_stands(passed.keyid, rule.role, passed.agent_id)
        if wrong == "revoked":
            raise CheckpointKeyRevoked(f"the key {passed.keyid} of {passed.agent_id} does not count any more")
        if wrong is not None:
            raise CheckpointWrongRole(f"the key {passed.keyid} is not that of {passed.agent_id}, the {rule.role}")


def predicate(
    pipeline: Pipeline,
    rule: CheckpointRule,
    job: Job | None,
    *,
    agent_id: str,
    summary: str,
    artefact: Artefact,
    inputs: Sequence[Artefact],
    issued_ms: int,
    expires_ms: int,
) -> dict[str, Json]:
    """Return what a role's agent signs."""
    return {
        "checkpoint_id": rule.name,
        "run_id": pipeline.id,
        "pipeline_id": pipeline.id,
        "pipeline": pipeline.name,
        "stage": job.stage if job else None,
        "job": job.id if job else None,
        "role": rule.role,
        "agent_id": agent_id,
        "decision": "passed",
        "summary": summary,
        "artefact": show_artefact(artefact),
        "inputs": show_artefacts(inputs),
        "policy_sha256": _hex(pipeline.digest),
        "issued_at": to_text(issued_ms),
        "expires_at": to_text(expires_ms),
    }


def artefact_of(root: Path, path: str, name: str, *, first: int | None = None) -> Artefact:
    """Return what a checkpoint is about, as it is now or as its first bytes are.

    Raises `CheckpointArtefactMissing` (also where it leads out of the workspace) or `CheckpointArtefactEmpty`.
    """
    try:
        return look_at(root, path, first=first)
    except ArtefactEmpty:
        raise CheckpointArtefactEmpty(f"{path}, which checkpoint {name} is about, is empty") from None
    except (ArtefactMissing, ArtefactUnsafe) as error:
        raise CheckpointArtefactMissing(f"{path}, which checkpoint {name} is about: {error.message}") from None


def _same(told: Mapping[str, Any], passed: Checkpoint) -> bool:
    try:
        issued, expires = to_text(passed.issued_ms), to_text(passed.expires_ms)
    except (ValueError, OverflowError, OSError):
        return False
    signed: JsonObject = {
        "checkpoint_id": passed.name,
        "agent_id": passed.agent_id,
        "job": passed.job,
        "summary": passed.summary,
        "artefact": show_artefact(passed.artefact),
        "issued_at": issued,
        "expires_at": expires,
        "decision": "passed",
    }
    return all(told.get(key) == value for key, value in signed.items())


def _check_duties(pipeline: Pipeline, rule: CheckpointRule, passed: Checkpoint) -> None:
    """Raise where verifier and operator are one: whoever deploys does not look at it for everybody else."""
    other = {VERIFIER: OPERATOR, OPERATOR: VERIFIER}.get(rule.role)
    for each in pipeline.checkpoints:
        if each.role == other and (each.keyid == passed.keyid or each.agent_id == passed.agent_id):
            raise CheckpointSameKey(f"{each.name} and {passed.name} are signed by the same key, {passed.keyid}")


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")
