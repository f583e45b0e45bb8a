"""A workspace whose log tells of everything that the evidence files of seed 3 show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from interlock.access.models import Actor, Principal, PrincipalKind
from interlock.app import Interlock
from interlock.approval.events import DraftGenerated
from interlock.approval.ports import Signed
from interlock.evidence.content import named
from interlock.evidence.predicates import CHECKPOINT, DEPLOYMENT_OUTCOME
from interlock.evidence.tree import root_of
from interlock.kernel.canonical import Json, digest
from interlock.kernel.events import Event
from interlock.pipelines.events import (
    BudgetDecided,
    CheckpointPassed,
    DocumentUpdated,
    OutcomeRecorded,
    StageReceipted,
    TaskDispatched,
)
from interlock.pipelines.healing_events import AutoFixApplied, AutoFixPlanned, AutoFixUndone
from interlock.pipelines.rendering import STATE_PATH, STREAMS, Changes, Projection, paths_of
from interlock.storage.approval import StoredContents
from interlock.storage.evidence import StoredLog
from interlock.workspace.pipeline_windows import PipelineWindows
from tests.conftest import ALICE
from tests.pipelines.fleet import ATTESTED, DEPLOY, RUN, deployed, whole_run

APPENDED = tuple(path for stream in STREAMS for path in paths_of(stream))
REPORT = "docs/reports/AGENT_DEPLOYMENT_OUTCOMES.md"
INDEX, MIRROR = ".workspace/indexes/pipeline_events.log", "storage/db/pipeline_events.log"
OUTCOME_ATTESTED = {**ATTESTED, "predicate_type": "urn:interlock:predicate:deployment-outcome/v1"}


def outcome(notes: Json = None, **parts: Any) -> OutcomeRecorded:  # noqa: ANN401 - any field of the event
    told: dict[str, Any] = {
        "subject": RUN,
        "workflow": RUN,
        "stage": "deploy",
        "agent_role": "operator",
        "agent_id": "OperationsBoardAgent",
        "action": "deploy_updates",
        "status": "succeeded",
        "notes": {"parameters": {}, "output": {"updated": 2}} if notes is None else notes,
        "attestation": OUTCOME_ATTESTED,
    }
    return OutcomeRecorded(**{**told, **parts})


def budget(tokens: int = 2600, stage: str = "repair") -> BudgetDecided:
    return BudgetDecided(
        subject=RUN,
        workflow_id="../nightly",
        stage_id=stage,
        tokens_used=tokens,
        token_limit=2000,
        latency_ms=310,
        latency_limit=None,
        action="escalate",
        rewritten_plan=None,
    )


def fixed(kind: type[AutoFixPlanned | AutoFixApplied] = AutoFixPlanned) -> AutoFixPlanned | AutoFixApplied:
    return kind(
        subject="h_01K9ZZZZZZZZZZZZZZZZZZZZZZ",
        fixer="gateway/locks",
        target=".interlock",
        plan={"description": "take away a stale lock", "commands": [], "dry_run": True},
        policy={"decision": "review", "reason": "auto-fix::lock", "signals": ["lock"], "metadata": {}},
    )


def everything() -> list[Event]:
    """Return events for every one of these files but the relocations, of which nothing tells yet."""
    receipts = [{"name": "heal"}]
    return [
        *whole_run(),
        TaskDispatched(
            subject=RUN,
            workflow_id=RUN,
            stage_id="repair",
            agent="PlanAgent",
            agent_name="planner",
            action="run_self_heal",
            tool_receipts=receipts,
            output={},
        ),
        StageReceipted(
            subject=RUN,
            workflow_id=RUN,
            stage_id="repair",
            stage_type="Validate",
            root=root_of([]).hex(),
            levels=[],
            leaves=[],
        ),
        DocumentUpdated(subject=RUN, path="docs/x.md", sha256="a" * 64, job="docs"),
        budget(),
        budget(),
        fixed(),
        fixed(AutoFixApplied),
        AutoFixUndone(subject="h_01K9ZZZZZZZZZZZZZZZZZZZZZZ", restored=1),
        DraftGenerated(
            subject="a draft",
            draft_version=2,
            before_digest="sha256:" + "1" * 64,
            terms_digest="sha256:" + "2" * 64,
            generated={"provider": "local", "duration_ms": 90, "input_tokens": 3, "output_tokens": 4},
        ),
        *deployed(),
        outcome(),
        outcome({"reason": "a | b"}, workflow=f"deployment::{DEPLOY}", subject=DEPLOY),
    ]


def say(house: Interlock, *events: Event) -> None:
    """Log events, in one transaction."""
    with house.database.write(ALICE, calming=True) as transaction:
        for event in events:
            transaction.emit(event)
    house.database.seal()


def following(house: Interlock) -> PipelineWindows:
    """Return what brings the files of this workspace up to the log's end."""
    return PipelineWindows(layout=house.layout, log=StoredLog(house.database), tell=house.tell)


def expected(house: Interlock) -> dict[str, bytes]:
    """Return every file as the log has it, made in one go."""
    log, projection, changes = StoredLog(house.database), Projection(), Changes()
    for leaf in log.leaves(0, log.size()):
        projection.take(leaf, changes)
    found = {path: b"".join(changes.appended[stream]) for stream in STREAMS for path in paths_of(stream)}
    return {**found, **changes.whole, STATE_PATH: projection.state()}


def there(root: Path) -> dict[str, bytes]:
    """Return every evidence file of seed 3 that is there, but the exported ledger and what a kill left of a new one."""
    folders = (".workspace", "storage", "docs")
    files = (path for folder in folders for path in (root / folder).rglob("[!.]*") if path.is_file())
    found = {str(path.relative_to(root)): path.read_bytes() for path in files}
    return {path: data for path, data in found.items() if not path.startswith("storage/db/evidence/")}


def kinds(house: Interlock) -> Sequence[str]:
    """Return the kinds of all events, in order."""
    return [str(event["kind"]) for _, event in StoredLog(house.database).events(0, 10_000)]


def signed_run(house: Interlock) -> None:
    """Log a run whose checkpoint and whose outcome are really signed, beside the keys; then sign a head."""
    house.keyring.complete(ALICE)
    key = house.keyring.ensure_agent(ALICE, "PlanAgent", "planner")
    planner = Actor(principal=Principal(PrincipalKind.AGENT, "PlanAgent"))
    for event in whole_run():
        if isinstance(event, CheckpointPassed):
            signed = house.attest(
                planner,
                predicate_type=CHECKPOINT,
                subject=str(event.artefact["path"]),
                digest=f"sha256:{event.artefact['sha256']}",
                predicate={"role": "planner", "pipeline_id": RUN},
            )
            _keep(house, planner, replace(event, keyid=key.keyid, attestation=signed.attestation), signed)
        else:
            say(house, event)
    told = outcome()
    about = digest({name: value for name, value in told.payload().items() if name != "attestation"})
    signed = house.attest(ALICE, predicate_type=DEPLOYMENT_OUTCOME, subject=RUN, digest=about, predicate={})
    _keep(house, ALICE, replace(told, attestation=signed.attestation), signed)
    house.database.seal()
    house.evidence.head()


def _keep(house: Interlock, actor: Actor, event: Event, signed: Signed) -> None:
    with house.database.write(actor, calming=True) as transaction:
        StoredContents(transaction).put(named(signed.envelope, "application/vnd.dsse+json"))
        transaction.emit(event)


def caught_up(house: Interlock) -> None:
    """Bring the exported ledger and the files of seed 3 up to the log's end."""
    for folder in ("drafts", "approved", "runs"):
        (house.layout.ops / folder).mkdir(parents=True, exist_ok=True)
    assert house.windows.catch_up(ALICE) == ()
    assert following(house).catch_up(ALICE) == ()
