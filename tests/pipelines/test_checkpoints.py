"""A job begins only behind checkpoints that hold: each way in which one may not is seen, and told by its own name."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from interlock.access.models import Actor, Principal, PrincipalKind
from interlock.app import Interlock
from interlock.evidence.content import named
from interlock.evidence.dsse import open_envelope
from interlock.evidence.errors import KeyRoleTaken
from interlock.evidence.predicates import CHECKPOINT, DEPLOYMENT_OUTCOME
from interlock.founding import create_workspace
from interlock.kernel.errors import InterlockError
from interlock.pipelines import errors
from interlock.pipelines.checkpoints import predicate
from interlock.pipelines.documents import show_artefact
from interlock.pipelines.events import CheckpointPassed
from interlock.pipelines.models import Artefact, Checkpoint, Definition, Job, Status
from interlock.pipelines.ports import OpenEnvelope
from interlock.pipelines.report import REPORT_PATH
from interlock.pipelines.service import Ended, Hold, Outcome, Pipelines
from tests.conftest import ALICE

RUNNER = Actor(principal=Principal(PrincipalKind.SERVICE, "pipelines@test"))
SHIPPED = ("agent-self-heal", "doc-refresh")
REVIEW = "build_output/planner_review.json"
AGENTS = {"planner": "PlanAgent", "operator": "OperationsBoardAgent", "verifier": "ReviewAgent"}


@dataclass
class Walk:
    """A run that is taken from job to job by hand, as a runner would."""

    house: Interlock
    hold: Hold
    definition: Definition

    @property
    def rooms(self) -> Pipelines:
        return self.house.pipelines

    @classmethod
    def of(cls, house: Interlock, name: str) -> Walk:
        run = house.pipelines.create(ALICE, name)
        _, hold = house.pipelines.begin(RUNNER, run.id)
        return cls(house, hold, house.pipelines.definition(name))

    def until(self, before: str | None, *, unsigned: str | None = None) -> Walk:
        """Do every job that stands before one, signing all that they sign but `unsigned`."""
        for job in self.definition.jobs:
            if job.id == before:
                break
            self.do(job, unsigned=unsigned)
        return self

    def do(self, job: Job, *, unsigned: str | None = None) -> None:
        self.start(job.id)
        for path in {*job.artefacts, *(self.definition.checkpoint(name).artefact for name in job.signs)} - {
            REPORT_PATH
        }:
            place = self.house.layout.root / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(f"{path} of {self.hold.pipeline_id}\n")
        if job.action and "deploy" in job.action:
            self.record(job)
        for name in job.signs:
            if name != unsigned:
                self.rooms.pass_checkpoint(self.hold, name, job_id=job.id, summary="looked at, and well")
        self.rooms.end_job(RUNNER, self.hold, job.id, Ended(status=Status.SUCCESS))

    def record(self, job: Job) -> None:
        self.rooms.record_outcome(
            Outcome(
                subject=self.hold.pipeline_id,
                workflow=self.hold.pipeline_id,
                stage=job.stage,
                role=str(job.role),
                agent_id=AGENTS[str(job.role)],
                action=str(job.action),
                status="succeeded",
                notes={"job": job.id},
            )
        )

    def start(self, job_id: str) -> None:
        self.rooms.start_job(RUNNER, self.hold, job_id)

    def refused(self, job_id: str, kind: type[InterlockError]) -> str:
        """See that a job is not let begin, and that the log says so; returns the sentence."""
        with pytest.raises(kind) as caught:
            self.start(job_id)
        assert type(caught.value) is kind
        told = self.events("pipeline.checkpoint_refused")
        assert (told[-1]["payload"]["reason"], told[-1]["payload"]["before"]) == (kind.code, f"job {job_id}")
        assert self.rooms.get(self.hold.pipeline_id).job(job_id).status is Status.PENDING
        return caught.value.message

    def events(self, kind: str) -> list[Any]:
        self.house.database.seal()
        return [
            event
            for _, event in self.house.event_log.events(0, 5000)
            if event["kind"] == kind and event["subject"] == self.hold.pipeline_id
        ]

    def passed(self, name: str) -> Checkpoint:
        found = self.rooms.get(self.hold.pipeline_id).passed(name)
        assert found is not None
        return found

    def put(self, name: str, **other: Any) -> None:  # noqa: ANN401 - any field of the event
        """Write a checkpoint into the run as somebody would who can write, but not sign."""
        before = self.rooms.get(self.hold.pipeline_id)
        own = before.passed(name)
        assert own is not None
        told: dict[str, Any] = {
            "subject": self.hold.pipeline_id,
            "checkpoint": name,
            "role": own.role,
            "agent_id": own.agent_id,
            "keyid": own.keyid,
            "job": own.job,
            "summary": own.summary,
            "artefact": show_artefact(own.artefact),
            "issued_ms": own.issued_ms,
            "expires_ms": own.expires_ms,
            "attestation": {"digest": own.envelope},
        }
        event = CheckpointPassed(**{**told, **other})
        self.rooms._write(RUNNER, before, [event])  # pyright: ignore[reportPrivateUsage] - as a forger would

    def sign(self, name: str, signer: str, kind: str = CHECKPOINT, **other: Any) -> dict[str, Any]:  # noqa: ANN401 - any word of the predicate
        """Sign a statement about a checkpoint with an agent's key; returns what an event says of it."""
        run = self.rooms.get(self.hold.pipeline_id)
        own = self.passed(name)
        told = predicate(
            run,
            self.definition.checkpoint(name),
            self.definition.job(own.job),
            agent_id=signer,
            summary=own.summary,
            artefact=own.artefact,
            inputs=(),
            issued_ms=own.issued_ms,
            expires_ms=own.expires_ms,
        )
        signed = self.house.attest(
            Actor(principal=Principal(PrincipalKind.AGENT, signer)),
            predicate_type=kind,
            subject=own.artefact.path,
            digest=f"sha256:{own.artefact.sha256}",
            predicate={**told, **other},
        )
        with self.rooms.open(RUNNER) as desk:
            desk.contents.put(named(signed.envelope, "x"))
        return {"attestation": signed.attestation, "keyid": str(signed.attestation["keyid"]), "agent_id": signer}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace as `init` leaves it; copied, never used."""
    root = tmp_path_factory.mktemp("devops") / "workspace"
    create_workspace(root, ALICE, database_url="", replace=False)
    return root


@pytest.fixture
def devops(fresh: Path, tmp_path: Path) -> Iterator[Interlock]:
    """A workspace of the test's own."""
    root = tmp_path / "workspace"
    shutil.copytree(fresh, root, symlinks=True)
    with closing(Interlock.at(root)) as house:
        yield house


def healed(house: Interlock) -> Walk:
    """A run of `agent-self-heal` that stands before its deployment, behind the planner's checkpoint."""
    return Walk.of(house, "agent-self-heal").until("deploy/1-deploy_updates")


DEPLOY = "deploy/1-deploy_updates"
VERIFY = "verify/1-audit_deployment"


@pytest.mark.parametrize("name", SHIPPED)
def test_a_run_whose_checkpoints_are_all_passed_goes_through(devops: Interlock, name: str) -> None:
    walk = Walk.of(devops, name).until(None)
    ended = devops.pipelines.end(RUNNER, walk.hold, Status.SUCCESS)
    assert ended.status is Status.SUCCESS
    assert {each.name for each in ended.checkpoints} == {rule.name for rule in ended.rules}


@pytest.mark.proves("pipeline-fails-fast")
@pytest.mark.parametrize(
    ("name", "checkpoint", "job"),
    [
        ("agent-self-heal", "planner-precheck", DEPLOY),
        ("agent-self-heal", "operator-deploy", VERIFY),
        ("doc-refresh", "planner-sanity", "validate"),
        ("doc-refresh", "operator-record", "doc-refresh"),
    ],
)
def test_a_job_does_not_begin_without_each_checkpoint_before_it(
    devops: Interlock, name: str, checkpoint: str, job: str
) -> None:
    walk = Walk.of(devops, name).until(job, unsigned=checkpoint)
    assert checkpoint in walk.refused(job, errors.CheckpointMissing)


@pytest.mark.proves("checkpoint-promotion")
@pytest.mark.parametrize(
    ("name", "checkpoint"), [("agent-self-heal", "verifier-audit"), ("doc-refresh", "verifier-gate")]
)
def test_a_run_does_not_end_well_and_nothing_is_promoted_without_the_verifier(
    devops: Interlock, name: str, checkpoint: str
) -> None:
    walk = Walk.of(devops, name).until(None, unsigned=checkpoint)
    with pytest.raises(errors.CheckpointMissing, match=checkpoint):
        devops.pipelines.end(RUNNER, walk.hold, Status.SUCCESS)
    with pytest.raises(errors.CheckpointMissing, match=checkpoint):
        devops.pipelines.check_promotion(ALICE, walk.hold.pipeline_id)


@pytest.mark.proves("checkpoint-docs")
def test_the_documentation_stage_needs_the_planner_s_checkpoint_by_its_own_word(devops: Interlock) -> None:
    job = devops.pipelines.definition("doc-refresh").job("doc-refresh")
    assert {"planner-sanity", "operator-record"} <= {each.checkpoint for each in job.requires}


def test_a_checkpoint_that_has_expired_counts_no_more(devops: Interlock) -> None:
    walk = healed(devops)
    late = replace(devops.pipelines, clock=lambda: walk.passed("planner-precheck").expires_ms)
    with pytest.raises(errors.CheckpointStale):
        late.start_job(RUNNER, walk.hold, DEPLOY)
    just = replace(devops.pipelines, clock=lambda: walk.passed("planner-precheck").expires_ms - 1)
    just.start_job(RUNNER, walk.hold, DEPLOY)


@pytest.mark.proves("checkpoint-signed")
def test_a_checkpoint_of_another_run_is_a_replay(devops: Interlock) -> None:
    other = healed(devops).passed("planner-precheck")
    walk = healed(devops)
    walk.put(
        "planner-precheck",
        attestation={"digest": other.envelope},
        artefact=show_artefact(other.artefact),
        issued_ms=other.issued_ms,
        expires_ms=other.expires_ms,
    )
    walk.refused(DEPLOY, errors.CheckpointReplayed)


def test_a_checkpoint_under_another_definition_is_a_replay(devops: Interlock) -> None:
    walk = healed(devops)
    walk.put("planner-precheck", **walk.sign("planner-precheck", "PlanAgent", policy_sha256="0" * 64))
    walk.refused(DEPLOY, errors.CheckpointReplayed)


@pytest.mark.proves("checkpoint-signed")
def test_another_role_s_key_does_not_pass(devops: Interlock) -> None:
    walk = healed(devops)
    walk.put("planner-precheck", **walk.sign("planner-precheck", "OperationsBoardAgent"))
    walk.refused(DEPLOY, errors.CheckpointWrongRole)


def test_another_role_s_key_under_the_right_agent_s_name_does_not_pass(devops: Interlock) -> None:
    walk = healed(devops)
    own = walk.passed("planner-precheck").keyid
    forged = walk.sign("planner-precheck", "OperationsBoardAgent", agent_id="PlanAgent")
    walk.put("planner-precheck", **{**forged, "agent_id": "PlanAgent"})
    walk.refused(DEPLOY, errors.CheckpointWrongRole)
    walk.put("planner-precheck", attestation=forged["attestation"], keyid=own)
    walk.refused(DEPLOY, errors.CheckpointForged)


def test_a_statement_about_another_role_does_not_pass(devops: Interlock) -> None:
    walk = healed(devops)
    walk.put("planner-precheck", **walk.sign("planner-precheck", "PlanAgent", role="verifier"))
    walk.refused(DEPLOY, errors.CheckpointWrongRole)


@pytest.mark.proves("checkpoint-signed")
def test_a_revoked_key_does_not_pass(devops: Interlock) -> None:
    walk = healed(devops)
    devops.keyring.revoke(ALICE, "agent-PlanAgent", reason="it was seen elsewhere")
    walk.refused(DEPLOY, errors.CheckpointKeyRevoked)


def test_what_a_revoked_key_signed_does_not_pass_under_the_next_key_s_id(devops: Interlock) -> None:
    walk = healed(devops)
    devops.keyring.revoke(ALICE, "agent-PlanAgent", reason="it was seen elsewhere")
    devops.pipelines.accept(ALICE, "agent-self-heal")
    after = next(
        key.keyid for key in devops.delivery.keys().keys.values() if key.owner == "agent:PlanAgent" and not key.ended
    )
    walk.put("planner-precheck", keyid=after)
    walk.refused(DEPLOY, errors.CheckpointForged)


@pytest.mark.parametrize(
    "other",
    [
        {"summary": "not what was signed"},
        {"job": "context/1-gather_context"},
        {"expires_ms": 2**52},
        {"artefact": {"path": REVIEW, "sha256": "0" * 64, "size": 1}},
        {"artefact": {"path": "build_output/context.json", "sha256": "0" * 64, "size": 1}},
        {"attestation": {"digest": "sha256:" + "0" * 64}},
    ],
)
def test_a_record_that_nobody_signed_does_not_pass(devops: Interlock, other: dict[str, Any]) -> None:
    walk = healed(devops)
    walk.put("planner-precheck", **other)
    walk.refused(DEPLOY, errors.CheckpointForged)


def test_a_checkpoint_over_another_artefact_does_not_pass(devops: Interlock) -> None:
    walk = healed(devops)
    other = {"path": "build_output/context.json", "sha256": "0" * 64, "size": 1}
    walk.put("planner-precheck", artefact=other, **walk.sign("planner-precheck", "PlanAgent", artefact=other))
    walk.refused(DEPLOY, errors.CheckpointForged)


def test_the_right_agent_s_statement_of_another_kind_is_no_checkpoint(devops: Interlock) -> None:
    walk = healed(devops)
    walk.put("planner-precheck", **walk.sign("planner-precheck", "PlanAgent", DEPLOYMENT_OUTCOME))
    walk.refused(DEPLOY, errors.CheckpointForged)


def test_a_checkpoint_that_says_nothing_is_not_signed(devops: Interlock) -> None:
    walk = healed(devops)
    with pytest.raises(errors.CheckpointSummaryBlank):
        devops.pipelines.pass_checkpoint(walk.hold, "planner-precheck", job_id="repair/2-gather_context", summary=" \n")


def test_a_checkpoint_that_said_nothing_does_not_pass(devops: Interlock) -> None:
    walk = healed(devops)
    walk.put("planner-precheck", summary=" ", **walk.sign("planner-precheck", "PlanAgent", summary=" "))
    walk.refused(DEPLOY, errors.CheckpointSummaryBlank)


def _edited(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1] + b"!")


def _grown(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more\n")


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _gone(path: Path) -> None:
    path.unlink()


def _a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _led_away(path: Path) -> None:
    elsewhere = path.parents[2] / "elsewhere.json"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def _folder_led_away(path: Path) -> None:
    elsewhere = path.parents[2] / "elsewhere"
    path.parent.rename(elsewhere)
    path.parent.symlink_to(elsewhere)


@pytest.mark.proves("checkpoint-signed")
@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (_edited, errors.CheckpointArtefactChanged),
        (_grown, errors.CheckpointArtefactChanged),
        (_emptied, errors.CheckpointArtefactEmpty),
        (_gone, errors.CheckpointArtefactMissing),
        (_a_folder, errors.CheckpointArtefactMissing),
        (_led_away, errors.CheckpointArtefactMissing),
        (_folder_led_away, errors.CheckpointArtefactMissing),
    ],
)
def test_an_artefact_that_is_not_as_it_was_signed_stops_the_run(
    devops: Interlock, change: Callable[[Path], None], kind: type[InterlockError]
) -> None:
    walk = healed(devops)
    change(devops.layout.root / REVIEW)
    walk.refused(DEPLOY, kind)


@pytest.mark.parametrize("change", [_emptied, _gone])
def test_nothing_is_signed_over_an_artefact_that_is_not_there(
    devops: Interlock, change: Callable[[Path], None]
) -> None:
    walk = healed(devops)
    change(devops.layout.root / REVIEW)
    with pytest.raises((errors.CheckpointArtefactEmpty, errors.CheckpointArtefactMissing)):
        devops.pipelines.pass_checkpoint(walk.hold, "planner-precheck", job_id="repair/2-gather_context", summary="ok")


def test_the_report_may_grow_after_it_was_signed_and_what_was_signed_still_counts(devops: Interlock) -> None:
    walk = Walk.of(devops, "agent-self-heal").until(VERIFY)
    walk.record(walk.definition.job(DEPLOY))
    devops.delivery.publish(RUNNER)
    assert (devops.layout.root / REPORT_PATH).stat().st_size > walk.passed("operator-deploy").artefact.size
    walk.start(VERIFY)


@pytest.mark.parametrize("row", ["| a | b | c | d | e | f | succeeded | {} |\n", ""])
def test_a_report_that_is_not_what_the_ledger_says_stops_the_run(devops: Interlock, row: str) -> None:
    walk = Walk.of(devops, "agent-self-heal").until(VERIFY)
    report = devops.layout.root / REPORT_PATH
    text = report.read_text()
    report.write_text(text + row if row else text.replace("succeeded", "unchecked"))
    walk.refused(VERIFY, errors.CheckpointArtefactChanged)


def test_verifier_and_operator_can_not_be_one_agent(devops: Interlock) -> None:
    path = devops.layout.root / "agents/data/agent_roles.json"
    roles = json.loads(path.read_text())
    roles["verifier"]["agent_id"] = roles["operator"]["agent_id"]
    path.write_text(json.dumps(roles, indent=2))
    text = (devops.layout.root / "cicd/pipelines/doc-refresh.yaml").read_text()
    (devops.layout.root / "cicd/pipelines/doc-refresh.yaml").write_text(
        text.replace("ReviewAgent", "OperationsBoardAgent")
    )
    with pytest.raises(KeyRoleTaken):
        devops.pipelines.accept(ALICE, "doc-refresh")


@pytest.mark.proves("checkpoint-signed")
def test_verifier_and_operator_do_not_sign_with_one_key(devops: Interlock) -> None:
    walk = Walk.of(devops, "agent-self-heal").until(None)
    operator = walk.passed("operator-deploy")
    gate = replace(devops.pipelines.gate, key_stands=_never_wrong, open_envelope=_opened_by_anybody(devops))
    walk.put("verifier-audit", **walk.sign("verifier-audit", operator.agent_id))
    run = devops.pipelines.get(walk.hold.pipeline_id)
    with devops.pipelines.look() as desk:
        bodies = {each.envelope: desk.contents.get(each.envelope) for each in run.checkpoints}
    with pytest.raises(errors.CheckpointSameKey):
        gate.check(run, "verifier-audit", body=bodies.get, now_ms=operator.issued_ms)


def _never_wrong(_keyid: str, _role: str, _agent_id: str) -> None:
    return None


def _none(_run: str) -> int:
    return 0


def _opened_by_anybody(house: Interlock) -> OpenEnvelope:
    keys = [key.verifier for key in house.keyring.directory().keys.values()]

    def opened(data: bytes, _role: str, _agent_id: str) -> Mapping[str, object]:
        return open_envelope(data, keys)[0]

    return opened


@pytest.mark.proves("checkpoint-promotion")
def test_promotion_needs_a_row_of_this_very_run(devops: Interlock) -> None:
    first = Walk.of(devops, "agent-self-heal").until(None)
    assert devops.pipelines.check_promotion(ALICE, first.hold.pipeline_id).id == first.hold.pipeline_id
    rowless = replace(devops.pipelines, report_rows=_none)
    with pytest.raises(errors.ReportRowMissing):
        rowless.check_promotion(ALICE, first.hold.pipeline_id)


def test_nothing_is_promoted_behind_a_run_that_failed(devops: Interlock) -> None:
    walk = Walk.of(devops, "agent-self-heal").until(None)
    devops.pipelines.end(RUNNER, walk.hold, Status.FAILED, reason="x", message="x")
    with pytest.raises(errors.CheckpointMissing, match="Failed"):
        devops.pipelines.check_promotion(ALICE, walk.hold.pipeline_id)


def test_an_edited_script_lets_no_further_job_begin(devops: Interlock) -> None:
    walk = healed(devops)
    script = devops.layout.root / "services/gateway/self_heal.py"
    script.write_text(script.read_text() + "# edited\n")
    with pytest.raises(errors.DefinitionNotAccepted, match=r"self_heal\.py was changed"):
        walk.start(DEPLOY)


def test_whoever_was_cancelled_writes_nothing_more(devops: Interlock) -> None:
    walk = healed(devops)
    ended = devops.pipelines.cancel(ALICE, walk.hold.pipeline_id, reason="not today")
    assert (ended.status, ended.reason, ended.message) == (
        Status.FAILED,
        "cancelled",
        "cancelled by human:alice: not today",
    )
    for late in (
        lambda: walk.start(DEPLOY),
        lambda: devops.pipelines.end(RUNNER, walk.hold, Status.SUCCESS),
        lambda: devops.pipelines.write_log(walk.hold, [("x", "stdout", 1, "late")]),
        lambda: devops.pipelines.pass_checkpoint(walk.hold, "planner-precheck", job_id=DEPLOY, summary="x"),
    ):
        with pytest.raises(errors.PipelineTaken):
            late()


def test_whoever_takes_a_run_over_shuts_out_who_held_it(devops: Interlock) -> None:
    walk = healed(devops)
    _, later = devops.pipelines.begin(RUNNER, walk.hold.pipeline_id)
    assert later.fence == walk.hold.fence + 1
    with pytest.raises(errors.PipelineTaken):
        walk.start(DEPLOY)
    devops.pipelines.start_job(RUNNER, later, DEPLOY)


def test_an_artefact_is_a_digest_and_a_size(devops: Interlock) -> None:
    walk = healed(devops)
    data = (devops.layout.root / REVIEW).read_bytes()
    assert walk.passed("planner-precheck").artefact == Artefact(
        path=REVIEW, sha256=hashlib.sha256(data).hexdigest(), size=len(data)
    )
