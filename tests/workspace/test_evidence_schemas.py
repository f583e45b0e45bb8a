"""The published schemas of what is signed, held against what is really signed."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from interlock.evidence.predicates import (
    AGENT_RUN,
    ALLOWED,
    APPROVAL,
    CHECKPOINT,
    DEPLOYMENT_OUTCOME,
    KEY_CHANGE,
    PIPELINE_ACCEPTANCE,
    PREFIX,
    ROLE_CHANGE,
    SELF_HEAL_REPORT,
)
from tests.cli.door import Door
from tests.engines.world import make_repository

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schemas"
NAMED = {kind: kind.removeprefix(PREFIX).replace("/", "-") for kind in ALLOWED}


def schema(name: str) -> Any:  # noqa: ANN401 - JSON of any shape
    return json.loads((SCHEMAS / f"{name}.schema.json").read_bytes())


def statements(root: Path) -> list[Any]:
    found = sorted((root / "storage" / "db" / "evidence" / "envelopes").iterdir())
    return [json.loads(b64decode(json.loads(path.read_bytes())["payload"])) for path in found]


def without(data: Any, path: list[str]) -> Any:  # noqa: ANN401 - JSON of any shape
    """Return a copy that lacks one key."""
    copy = json.loads(json.dumps(data))
    inner = copy
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return copy


@pytest.mark.parametrize("name", sorted(NAMED.values()))
def test_a_schema_is_one_of_draft_2020_12(name: str) -> None:
    assert schema(name)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema_rs.meta.validate(schema(name))


def test_what_is_signed_of_approvals_runs_and_keys_is_as_its_schema_says(ask: Door, tmp_path: Path) -> None:
    proven = ("--agent", "codex", "--repo", str(make_repository(tmp_path / "repository")))
    for command, words in (("true", ()), ("false", ()), ("true", proven)):
        approved = ask.approved("--command", command, "--check", "true", *words)
        ask.json("run", "create", approved)
        assert ask("worker", "--once").code in {0, 1}
    ask.approved()
    for verb in (["rotate", "service"], ["add", "bob", "--purpose", "human"], ["retire", "human-bob"]):
        assert ask("evidence", "keys", *verb).code == 0
    assert ask("evidence", "keys", "revoke", "human-bob", "--reason", "lost", "--from", "3").code == 0
    assert {APPROVAL, AGENT_RUN, KEY_CHANGE} <= _all_fit(ask.root)
    results: list[dict[str, Any]] = [
        each["predicate"]["result"] for each in statements(ask.root) if each["predicateType"] == AGENT_RUN
    ]
    rungs = [each["proof"]["rung"] if each["proof"] else None for each in results]
    assert sorted(map(str, rungs)) == ["None", "checked", "exit_code"]
    assert [each["agent"]["name"] for each in results if each["agent"]] == ["codex"]


def test_what_is_signed_of_pipelines_is_as_its_schema_says(ask: Door) -> None:
    ask.json("pipeline", "approve", "agent-self-heal")
    ask.json("pipeline", "run", "agent-self-heal")
    ask.json("deployment", "approve", "workspace-reports")
    ask.json("deployment", "create", "workspace-reports", "--environment", "staging", "--version", "1.0")
    told = {CHECKPOINT, DEPLOYMENT_OUTCOME, PIPELINE_ACCEPTANCE, ROLE_CHANGE, SELF_HEAL_REPORT}
    assert told <= _all_fit(ask.root)


def _all_fit(root: Path) -> set[str]:
    """Hold every statement of a workspace against its schema; returns their types."""
    seen: set[str] = set()
    for statement in statements(root):
        kind = statement["predicateType"]
        seen.add(kind)
        check = jsonschema_rs.Draft202012Validator(schema(NAMED[kind]))
        check.validate(statement)
        for path in (["predicate", "principal"], ["predicate", "signed_by"], ["subject"]):
            assert not check.is_valid(without(statement, path))
        assert not check.is_valid({**statement, "predicateType": "urn:other"})
        assert not check.is_valid({**statement, "predicate": {**statement["predicate"], "more": 1}})
    return seen
