"""The evidence files of seed 3 as the log has them: their shapes, their chains, and that only events count."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from interlock.app import Interlock
from interlock.evidence.ledger import render_line
from interlock.evidence.tree import leaf_hash, root_of
from interlock.kernel.canonical import canonical
from interlock.kernel.events import to_leaf
from interlock.pipelines import events
from interlock.pipelines.documents import show_pipeline
from interlock.pipelines.fold import changes
from interlock.pipelines.healing_events import AutoFixApplied
from interlock.pipelines.rendering import (
    LOGS,
    STATE_PATH,
    SUMMARY_PATH,
    Changes,
    Projection,
    States,
    concerns,
    kind_of,
    paths_of,
    place_of,
    read_state,
)
from interlock.pipelines.report import is_outcome
from interlock.storage.evidence import StoredLog
from tests.conftest import ALICE
from tests.pipelines.fleet import ATTESTED, DEPLOY, RUN
from tests.workspace.told import budget, everything, fixed, say

NOON = 1_790_000_000_000
SCHEMAS = Path(__file__).parents[2] / "src/interlock/workspace/shipped/skeleton/storage/db/schemas"


def told(house: Interlock) -> tuple[Projection, Changes, list[bytes]]:
    say(house, *everything())
    log = StoredLog(house.database)
    leaves = list(log.leaves(0, log.size()))
    return *followed(leaves), leaves


def followed(leaves: Sequence[bytes]) -> tuple[Projection, Changes]:
    projection, changes = Projection(), Changes()
    for leaf in leaves:
        projection.take(leaf, changes)
    return projection, changes


def entries(changes: Changes, log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in changes.appended[log]]


def sha(value: Any) -> str:  # noqa: ANN401 - JSON
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def test_every_log_begins_with_its_genesis_at_the_time_of_the_first_entry(house: Interlock) -> None:
    _, changes, leaves = told(house)
    first = json.loads(render_line(0, leaves[0]))
    for log in LOGS:
        genesis = entries(changes, log)[0]
        assert genesis["event"]["event_type"] == f"{log}::genesis"
        assert genesis["event"]["actor"] == "system/bootstrap"
        assert genesis["event"]["scope"] == "instrumentation"
        assert genesis["event"]["timestamp"] == first["timestamp"]
        assert genesis["previous_hash"] == genesis["policy"]["previous_signature"] == "GENESIS"
        assert genesis["policy"]["signature"] == first["reference"]


def test_each_log_is_a_chain_that_anybody_can_check_and_each_line_joins_its_line_of_the_ledger(
    house: Interlock,
) -> None:
    _, changes, leaves = told(house)
    ledger = [json.loads(render_line(index, leaf)) for index, leaf in enumerate(leaves)]
    for log in LOGS:
        previous = signature = "GENESIS"
        for line, entry in zip(changes.appended[log], entries(changes, log), strict=True):
            assert line == canonical(entry) + b"\n"
            assert entry["previous_hash"] == previous
            assert entry["policy"]["previous_signature"] == signature
            assert entry["policy"]["hash"] == sha(entry["policy"]["record"])
            previous, signature = entry["entry_hash"], entry["policy"]["signature"]
            assert previous == sha({name: value for name, value in entry.items() if name != "entry_hash"})
            row = ledger[int(entry["policy"]["record"]["operation_id"].removeprefix("op-"))]
            assert signature == row["reference"]
            assert entry["event"]["timestamp"] == row["timestamp"]
            if entry["previous_hash"] != "GENESIS":
                assert entry["event"]["metadata"] == row["payload"]


@pytest.mark.parametrize(
    ("log", "types", "operation"),
    [
        ("stage_receipts", ["stage_receipt"], "stage_receipt"),
        ("task_dispatches", ["task.dispatch"], "other"),
        ("auto_fix_actions", ["auto_fix.action"] * 3, "other"),
        ("budget_guardian", ["budget.guardian"] * 2, "other"),
        ("security_scans", ["security_scan"], "security_scan"),
        ("documentation", ["documentation"], "document_update"),
        ("inference_metrics", ["inference.metric"], "other"),
        ("relocation", [], "file_move"),
    ],
)
def test_each_event_is_told_in_its_log_in_the_seeds_words(
    house: Interlock, log: str, types: list[str], operation: str
) -> None:
    _, changes, _ = told(house)
    found = entries(changes, log)[1:]
    assert [entry["event"]["event_type"] for entry in found] == types
    assert {entry["policy"]["record"]["kind"]["type"] for entry in found} <= {operation}


def test_pipeline_events_tells_of_every_change_of_a_pipeline_or_deployment(house: Interlock) -> None:
    _, changes, leaves = told(house)
    found = entries(changes, "pipeline_events")[1:]
    kinds = [kind_of(leaf) for leaf in leaves]
    assert [entry["event"]["event_type"] for entry in found] == [
        kind for kind in kinds if kind.startswith(("pipeline.", "deployment."))
    ]
    created = found[0]
    assert created["event"]["event_type"] == "pipeline.state.created"
    assert (created["event"]["actor"], created["event"]["source"]) == ("human:alice", "human:alice")
    assert (created["event"]["scope"], created["event"]["target"]) == (RUN, RUN)
    assert created["policy"]["keyid"] is None
    passed = next(entry for entry in found if entry["event"]["event_type"].endswith("checkpoint_passed"))
    assert (passed["policy"]["signature"], passed["policy"]["keyid"]) == (ATTESTED["digest"], ATTESTED["keyid"])
    deployed = next(entry for entry in found if entry["event"]["event_type"] == "deployment.state.created")
    assert deployed["event"]["scope"] == deployed["policy"]["record"]["target"] == f"deployment::{DEPLOY}"
    assert deployed["event"]["metadata"]["version"] == "2.4.1"


def test_the_state_names_the_last_entry_that_changed_something_and_the_root_up_to_it(house: Interlock) -> None:
    projection, _, leaves = told(house)
    state = json.loads(projection.state())
    assert projection.state().decode() == json.dumps(state, indent=2, ensure_ascii=False) + "\n"
    last = max(index for index, leaf in enumerate(leaves) if kind_of(leaf).startswith("deployment.state."))
    assert state["last_index"] == last < len(leaves) - 1
    assert state["root"] == root_of([leaf_hash(leaf) for leaf in leaves[: last + 1]]).hex()
    assert state["schema_version"] == 1
    assert [each["id"] for each in state["pipelines"]] == [RUN]
    assert [each["status"] for each in state["deployments"]] == ["Success"]
    again = read_state(projection.state())
    assert again.fleet() == projection.states.fleet()
    assert show_pipeline(again.pipelines[RUN]) == state["pipelines"][0]


def test_before_anything_happened_the_state_is_empty_and_names_no_entry(house: Interlock) -> None:
    say(house, budget())
    projection, changes = followed(list(StoredLog(house.database).leaves(0, 1)))
    assert projection.state().decode() == json.dumps(json.loads(projection.state()), indent=2) + "\n"
    assert json.loads(projection.state()) == {
        "schema_version": 1,
        "last_index": None,
        "root": None,
        "pipelines": [],
        "deployments": [],
    }
    assert changes.state


def test_snapshots_have_the_seeds_names_and_two_of_one_instant_do_not_take_each_others() -> None:
    events = [fixed(), fixed(AutoFixApplied), budget(), budget()]
    made = [to_leaf(each, principal="human:alice", correlation_id=None, time_ms=NOON) for each in events]
    _, changes = followed([leaf.data for leaf in made])
    named = sorted(changes.whole.keys() - {SUMMARY_PATH})
    assert named == [
        f"storage/db/auto_fix/{NOON}-gateway_locks-auto-fix.json",
        f"storage/db/auto_fix/{NOON + 1}-gateway_locks-auto-fix.json",
        f"storage/db/budget_guardian/{NOON}-.._nightly-repair-budget.json",
        f"storage/db/budget_guardian/{NOON + 1}-.._nightly-repair-budget.json",
    ]
    first, second, manifest, _ = (json.loads(changes.whole[path]) for path in named)
    assert first["recorded_at"] == second["recorded_at"] == NOON
    assert first["policy"]["decision"] == "review"
    assert manifest["tokens_used"] == 2600.0
    assert isinstance(manifest["tokens_used"], float)
    assert manifest["latency_limit"] is None


def test_the_rolling_summary_is_of_the_last_fifty_samples(house: Interlock) -> None:
    _, changes, _ = told(house)
    summary = json.loads(changes.whole[SUMMARY_PATH])
    assert summary["sample_count"] == 3
    assert summary["latency_ms"] == {"p50": 310.0, "p90": 310.0, "p99": 310.0}
    say(house, *(budget(tokens) for tokens in range(1, 101)))
    log = StoredLog(house.database)
    leaves = list(log.leaves(0, log.size()))
    _, changes = followed(leaves)
    summary = json.loads(changes.whole[SUMMARY_PATH])
    assert summary["sample_count"] == 50
    assert summary["tokens"] == {"p50": 75.0, "p90": 95.0, "p99": 100.0}
    assert summary["generated_at"] == json.loads(leaves[-1])["time"]


def test_following_in_parts_with_the_rest_of_it_put_away_in_between_comes_to_the_same(house: Interlock) -> None:
    projection, changes, leaves = told(house)
    again, parts = Projection(), Changes()
    for leaf in leaves:
        state = again.state()
        kept = json.loads(json.dumps(again.to_json()))
        again = Projection.from_json(kept, lambda state=state: States.of(state))
        again.take(leaf, parts)
    assert parts.appended == changes.appended
    assert parts.whole == changes.whole
    assert again.state() == projection.state()
    assert again.to_json() == projection.to_json()


@pytest.mark.parametrize("key", [None, 'a "key"\\', "plain"])
@pytest.mark.parametrize("correlation_id", [None, "x:1"])
def test_the_kind_of_a_leaf_is_found_without_reading_all_of_it(key: str | None, correlation_id: str | None) -> None:
    event = fixed()
    object.__setattr__(event, "key", key)
    leaf = to_leaf(event, principal=str(ALICE.principal), correlation_id=correlation_id, time_ms=1)
    assert kind_of(leaf.data) == "auto_fix.planned"


def test_only_events_that_change_one_of_the_files_concern_them() -> None:
    assert concerns("pipeline.triggered")
    assert concerns("deployment_outcome.recorded")
    assert concerns("budget.decided")
    assert not concerns("draft.created")
    assert not concerns("window.completed")


def test_every_event_that_changes_a_pipeline_or_deployment_has_its_place_in_a_log() -> None:
    kinds = {str(getattr(each, "kind", "")) for each in vars(events).values()}
    folded = {kind for kind in kinds if changes(kind)}
    assert len(folded) > 9
    assert all(place_of(kind) for kind in folded)
    assert is_outcome(events.OutcomeRecorded.kind)


@pytest.mark.parametrize(
    ("schema", "which"),
    [
        ("state", STATE_PATH),
        ("auto-fix-snapshot", "-auto-fix.json"),
        ("budget-manifest", "-budget.json"),
        ("rolling-summary", SUMMARY_PATH),
        ("pipeline-event", ".log"),
    ],
)
def test_each_file_fits_the_schema_that_is_shipped_for_it(house: Interlock, schema: str, which: str) -> None:
    projection, changes, _ = told(house)
    rules = json.loads((SCHEMAS / f"{schema}.schema.json").read_bytes())
    files = {**changes.whole, STATE_PATH: projection.state()}
    found = [json.loads(data) for path, data in files.items() if path.endswith(which)]
    found += [
        entry for log in LOGS for path in paths_of(log) if path.endswith(which) for entry in entries(changes, log)
    ]
    assert found
    for each in found:
        jsonschema_rs.Draft202012Validator(rules).validate(each)
