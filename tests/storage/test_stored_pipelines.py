"""Runs of pipelines, deployments and acceptances are kept alike by both databases."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from interlock.kernel.events import Event
from interlock.pipelines.fold import Fold
from interlock.pipelines.models import Acceptance, Deployment, Material, Pipeline, Status
from interlock.storage.database import Database
from interlock.storage.pipelines import StoredAcceptances, StoredDeployments, StoredPipelines
from tests.conftest import ALICE
from tests.pipelines.fleet import DEPLOY, RUN, deployed, whole_run

ACCEPTANCE = Acceptance(
    name="doc-refresh",
    digest="sha256:00",
    search_path="/usr/bin:/bin",
    materials=(
        Material(name="tools/é.sh", kind="file", path="/w/tools/é.sh", sha256="00"),
        Material(name="cargo", kind="program", path="", sha256=None),
    ),
    variables={"BIN": "x"},
    accepted_by="human:alice",
    accepted_ms=1790000000000,
    envelope="sha256:11",
)


def folded(events: Iterable[Event]) -> Fold:
    fold = Fold()
    for event in events:
        fold.apply(event.kind, event.subject, event.payload())
    return fold


@pytest.fixture
def run() -> Pipeline:
    return folded(whole_run()).pipelines[RUN]


@pytest.fixture
def deployment() -> Deployment:
    return folded(deployed()).deployments[DEPLOY]


def test_a_run_comes_back_as_it_was_kept(database: Database, run: Pipeline) -> None:
    told = replace(run, message="smiling \U0001f600 and \0 nothing", reason="é")
    with database.write(ALICE) as transaction:
        StoredPipelines(transaction).add(told)
    with database.read() as transaction:
        assert StoredPipelines(transaction).get(RUN) == told
        assert StoredPipelines(transaction).get("pipeline_none") is None


def test_a_run_is_only_written_over_the_revision_that_was_seen(database: Database, run: Pipeline) -> None:
    with database.write(ALICE) as transaction:
        StoredPipelines(transaction).add(run)
    after = replace(run, status=Status.FAILED, revision=run.revision + 1)
    with database.write(ALICE) as transaction:
        store = StoredPipelines(transaction)
        assert not store.replace(after, seen_revision=run.revision + 1)
        assert store.get(RUN) == run
        assert store.replace(after, seen_revision=run.revision)
        assert not store.replace(after, seen_revision=run.revision)
        assert store.get(RUN) == after


def test_of_writers_over_one_revision_one_wins(database: Database, run: Pipeline) -> None:
    with database.write(ALICE) as transaction:
        StoredPipelines(transaction).add(run)

    def write(number: int) -> bool:
        after = replace(run, message=str(number), revision=run.revision + 1)
        with database.write(ALICE) as transaction:
            return StoredPipelines(transaction).replace(after, seen_revision=run.revision)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(write, range(8))) == [False] * 7 + [True]


def test_runs_are_listed_newest_first_by_name_status_and_page(database: Database, run: Pipeline) -> None:
    runs = [
        replace(run, id="pipeline_c", name="a", status=Status.FAILED),
        replace(run, id="pipeline_b", name="b"),
        replace(run, id="pipeline_a", name="a"),
    ]
    with database.write(ALICE) as transaction:
        for each in runs:
            StoredPipelines(transaction).add(each)
    with database.read() as transaction:
        store = StoredPipelines(transaction)

        def ids(
            *, name: str | None = None, status: Status | None = None, limit: int = 9, before: str | None = None
        ) -> list[str]:
            return [each.id[-1] for each in store.list(name=name, status=status, limit=limit, before=before)]

        assert ids() == ["a", "b", "c"]
        assert ids(name="a") == ["a", "c"]
        assert ids(status=Status.FAILED) == ["c"]
        assert ids(limit=1) == ["a"]
        assert ids(before="pipeline_a") == ["b", "c"]
        assert ids(before="pipeline_none") == []


def test_lines_are_numbered_within_their_run(database: Database, run: Pipeline) -> None:
    with database.write(ALICE) as transaction:
        store = StoredPipelines(transaction)
        store.add(run)
        store.add(replace(run, id="pipeline_other"))
        store.add_lines(RUN, [("heal", "stdout", 5, "one"), ("heal", "stderr", 6, "two")])
        store.add_lines("pipeline_other", [("docs", "stdout", 7, "else")])
        store.add_lines(RUN, [])
        store.add_lines(RUN, [("docs", "stdout", 8, "three")])
        store.add_lines("pipeline_none", [("docs", "stdout", 8, "nowhere")])
    with database.read() as transaction:
        store = StoredPipelines(transaction)
        found = store.lines(RUN, after=0, limit=9, job=None)
        assert [(each.line, each.job, each.stream, each.time_ms, each.text) for each in found] == [
            (1, "heal", "stdout", 5, "one"),
            (2, "heal", "stderr", 6, "two"),
            (3, "docs", "stdout", 8, "three"),
        ]
        assert [each.line for each in store.lines(RUN, after=1, limit=1, job=None)] == [2]
        assert [each.text for each in store.lines(RUN, after=0, limit=9, job="docs")] == ["three"]


def test_jobs_that_write_lines_at_once_take_no_number_twice(database: Database, run: Pipeline) -> None:
    with database.write(ALICE) as transaction:
        StoredPipelines(transaction).add(run)

    def write(number: int) -> None:
        for _ in range(10):
            with database.light() as transaction:
                StoredPipelines(transaction).add_lines(RUN, [(f"job{number}", "stdout", 1, "x")] * 3)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    with database.read() as transaction:
        found = StoredPipelines(transaction).lines(RUN, after=0, limit=999, job=None)
    assert [each.line for each in found] == list(range(1, 121))


def test_a_deployment_comes_back_and_is_written_over_what_was_seen(database: Database, deployment: Deployment) -> None:
    after = replace(deployment, status=Status.ROLLED_BACK, revision=deployment.revision + 1)
    with database.write(ALICE) as transaction:
        store = StoredDeployments(transaction)
        store.add(deployment)
        assert store.get(DEPLOY) == deployment
        assert not store.replace(after, seen_revision=after.revision)
        assert store.replace(after, seen_revision=deployment.revision)
        assert store.get(DEPLOY) == after
        assert store.get("deploy_none") is None


def test_the_current_deployment_is_the_last_promoted_one_that_was_not_rolled_back(
    database: Database, deployment: Deployment
) -> None:
    def made(letter: str, status: Status, name: str = "site", environment: str = "Staging") -> Deployment:
        return replace(deployment, id=f"deploy_{letter}", status=status, name=name, environment=environment)

    with database.write(ALICE) as transaction:
        store = StoredDeployments(transaction)
        for each in (
            made("a", Status.SUCCESS),
            made("b", Status.SUCCESS),
            made("c", Status.ROLLED_BACK),
            made("d", Status.RUNNING),
            made("e", Status.SUCCESS, name="other"),
            made("f", Status.SUCCESS, environment="Production"),
        ):
            store.add(each)
        found = store.current("site", "Staging")
        assert found is not None
        assert found.id == "deploy_b"
        assert store.current("site", "Development") is None
        listed = store.list(name="site", limit=3, before="deploy_f")
        assert [each.id[-1] for each in listed] == ["d", "c", "b"]
        assert [each.id[-1] for each in store.list(name=None, limit=9, before=None)] == list("fedcba")


def test_an_acceptance_takes_the_place_of_the_one_before(database: Database) -> None:
    with database.write(ALICE) as transaction:
        store = StoredAcceptances(transaction)
        assert store.get("doc-refresh") is None
        store.put(ACCEPTANCE)
        assert store.get("doc-refresh") == ACCEPTANCE
        later = replace(ACCEPTANCE, digest="sha256:22", materials=())
        store.put(later)
        assert store.get("doc-refresh") == later
        assert store.get("deployment/doc-refresh") is None


def test_roles_are_kept_changed_and_removed(database: Database) -> None:
    with database.write(ALICE) as transaction:
        store = StoredAcceptances(transaction)
        store.put_role("planner", "PlanAgent", "plans")
        store.put_role("verifier", "ReviewAgent", "")
        store.put_role("planner", "OtherAgent", "plots")
        store.put_role("verifier", None, "")
        store.put_role("none", None, "")
        assert store.roles() == {"planner": ("OtherAgent", "plots")}
