"""The receipt of a stage: one Merkle root over its jobs and what each of them made.

A leaf is the 32 bytes of a job's definition hash and the 32 bytes of its artefact hash, hashed as RFC 6962 says; the
leaves stand in the definition's order. Both hashes are SHA-256 over canonical JSON, so that the definition, the
events of its jobs and this page are all that is needed to come to the same root.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from interlock.evidence import tree
from interlock.kernel.canonical import Json, JsonObject, canonical
from interlock.pipelines.documents import show_artefacts
from interlock.pipelines.events import StageReceipted
from interlock.pipelines.models import Artefact, Definition, Job, Stage

MOST_LEAVES: Final = 48
"""So many are told one by one; an event has at most 32 KiB. Of more only the root is told, and the number of leaves."""


class ReceiptBroken(ValueError):
    """A stage's receipt does not follow from what it tells itself: none of our verbs wrote it."""


class Leaf(NamedTuple):
    """One job, and what it made; hex."""

    task_hash: str
    artifact_hash: str

    @property
    def hash(self) -> bytes:
        """The leaf's hash in the tree."""
        return tree.leaf_hash(bytes.fromhex(self.task_hash) + bytes.fromhex(self.artifact_hash))


def leaf(job: Job, artefacts: Sequence[Artefact]) -> Leaf:
    """Return the leaf of a job."""
    return Leaf(_hex(show_job(job)), _hex(show_artefacts(sorted(artefacts, key=lambda each: each.path))))


def receipt(pipeline_id: str, definition: Definition, stage: Stage, leaves: Sequence[Leaf]) -> StageReceipted:
    """Return the event that tells the root over these leaves."""
    told = _told(leaves)
    return StageReceipted(
        subject=pipeline_id,
        workflow_id=definition.name,
        stage_id=stage.name,
        stage_type="parallel" if stage.parallel or definition.dialect == "jobs" else "sequential",
        root=told.root,
        levels=told.levels if len(leaves) <= MOST_LEAVES else told.levels[-1:],
        leaves=told.leaves if len(leaves) <= MOST_LEAVES else [],
    )


def check(told: Mapping[str, Any]) -> None:
    """Raise `ReceiptBroken` unless an event's levels and root follow from its leaves.

    Of a stage with more than `MOST_LEAVES` jobs the event tells the last level and the root alone.
    """
    try:
        leaves = [Leaf(each["task_hash"], each["artifact_hash"]) for each in told["leaves"]]
        large = not leaves and bool(told["levels"])
        levels, root = told["levels"], told["root"]
        follows = (
            [each["nodes"] for each in levels] == [[root]] if large else _told(leaves) == (root, levels, told["leaves"])
        )
    except (KeyError, TypeError, ValueError):
        raise ReceiptBroken("this is no receipt of a stage") from None
    if not follows:
        raise ReceiptBroken("the receipt's levels and root do not follow from its jobs and what they made")


def show_job(job: Job) -> dict[str, Json]:
    """Return a job's definition as it is hashed."""
    return {
        "id": job.id,
        "stage": job.stage,
        "needs": sorted(job.needs),
        "lines": [{"argv": list(each.argv), "if_exists": each.if_exists} for each in job.lines],
        "role": job.role,
        "action": job.action,
        "parameters": exact(job.parameters),
        "artefacts": list(job.artefacts),
        "requires": [{"checkpoint": each.checkpoint, "summary": each.summary} for each in job.requires],
        "signs": list(job.signs),
        "repository": job.repository,
        "ref": job.ref,
        "network": job.network,
        "environment": dict(job.environment),
        "limits": {
            "seconds": job.limits.seconds,
            "output_bytes": job.limits.output_bytes,
            "file_bytes": job.limits.file_bytes,
        },
        "estimated_tokens": job.estimated_tokens,
        "estimated_latency_ms": job.estimated_latency_ms,
        "budget_sensitive": job.budget_sensitive,
    }


class _Told(NamedTuple):
    root: str
    levels: list[JsonObject]
    leaves: list[JsonObject]


def _told(leaves: Sequence[Leaf]) -> _Told:
    """Return what is told of these leaves, and what follows from them."""
    hashes = [each.hash for each in leaves]
    return _Told(
        tree.root_of(hashes).hex(),
        [{"level": number, "nodes": [node.hex() for node in nodes]} for number, nodes in enumerate(_levels(hashes))],
        [
            {
                "index": index,
                "hash": each.hash.hex(),
                "task_hash": each.task_hash,
                "artifact_hash": each.artifact_hash,
            }
            for index, each in enumerate(leaves)
        ],
    )


def _levels(hashes: Sequence[bytes]) -> list[list[bytes]]:
    """Return the nodes from the leaves up to the root; a last odd node is carried up as it is."""
    levels = [list(hashes)] if hashes else []
    while levels and len(levels[-1]) > 1:
        below = levels[-1]
        pairs = [tree.root_of(below[at : at + 2]) for at in range(0, len(below), 2)]
        levels.append(pairs)
    return levels


def exact(value: object) -> Json:
    """Return what a definition's parameter says in words that canonical JSON has: a fraction becomes text."""
    if isinstance(value, Mapping):
        found = cast("Mapping[object, object]", value)
        return {str(name): exact(each) for name, each in found.items()}
    if isinstance(value, list | tuple):
        return [exact(each) for each in cast("Sequence[object]", value)]
    return value if isinstance(value, str | int) or value is None else str(value)


def _hex(value: Json) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()
