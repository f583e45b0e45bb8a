"""What `init` makes of seed 3: role file, policy, READMEs, schemas, entry points, and a documentation agent."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from interlock.pipelines import checks
from interlock.pipelines.gateway import read_policy
from interlock.pipelines.roles import read_roles
from interlock.workspace import skeleton
from interlock.workspace.devops_scripts import make_devops_scripts, scripts
from interlock.workspace.layout import Layout
from interlock.workspace.loop_scripts import make_loop_scripts
from interlock.workspace.skeleton import make_skeleton

SHIPPED = Path(skeleton.__file__).with_name("shipped") / "skeleton"
HEAL = "services/gateway/self_heal.py"
OPTIMIZE = "tools/maintenance/workspace_optimization.sh"
AGENT = "tools/docs/doc_agent.py"
REPORT = "docs/documentation/sync-report.md"
STATUS = ".workspace/sop/automation-status.md"


def make(root: Path, *, replace: bool = False) -> dict[str, str]:
    layout = Layout(root)
    made = [*make_skeleton(layout), *make_devops_scripts(layout, replace=replace)]
    return {str(each.path.relative_to(root)): each.done for each in made}


def test_everything_is_made_once_and_then_kept(tmp_path: Path) -> None:
    made = make(tmp_path)
    assert set(made.values()) == {"created"}
    wanted = {"agents/data/agent_roles.json", "services/gateway/policy.json", AGENT, HEAL, OPTIMIZE}
    assert wanted | {*checks.READMES, *checks.SCHEMAS, *checks.FOLDERS} <= made.keys()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert set(make(tmp_path).values()) == {"kept"}
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_every_file_below_the_skeleton_is_made(tmp_path: Path) -> None:
    make(tmp_path)
    for path in SHIPPED.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert (tmp_path / path.relative_to(SHIPPED)).read_bytes() == path.read_bytes()


def test_the_loops_files_do_not_take_the_skeleton_s(tmp_path: Path) -> None:
    made = [each.path.relative_to(tmp_path).parts[0] for each in make_loop_scripts(Layout(tmp_path), replace=False)]
    assert set(made) == {"config", "schema", "scripts"}


def test_what_somebody_else_has_there_is_kept(tmp_path: Path) -> None:
    mine = tmp_path / "agents/data/agent_roles.json"
    mine.parent.mkdir(parents=True)
    mine.write_text("{}")
    (tmp_path / "services/gateway").mkdir(parents=True)
    (tmp_path / HEAL).write_text("print('mine')\n")
    made = make(tmp_path)
    assert (made["agents/data/agent_roles.json"], made[HEAL]) == ("kept", "kept")
    assert mine.read_text() == "{}"
    assert make(tmp_path, replace=True)[HEAL] == "created"
    (aside,) = (tmp_path / "services/gateway").glob("self_heal.py.*.backup")
    assert aside.read_text() == "print('mine')\n"


@pytest.mark.parametrize("name", [HEAL, OPTIMIZE])
def test_an_entry_point_of_ours_is_brought_up_to_date(tmp_path: Path, name: str) -> None:
    make(tmp_path)
    current = (tmp_path / name).read_text()
    for python in ("'/old/python'", "'/o l d/python'", '"/it\'s/python"'):
        lines = [
            re.sub(r"^PYTHON ?= ?.*", f"PYTHON = {python}" if name == HEAL else f"PYTHON={python}", line)
            for line in current.split("\n")
        ]
        (tmp_path / name).write_text("\n".join(lines))
        (tmp_path / name).chmod(0o644)
        assert make(tmp_path)[name] == "updated"
        assert (tmp_path / name).read_text() == current
        assert os.access(tmp_path / name, os.X_OK)
    (tmp_path / name).write_text(current + "# mine\n")
    assert make(tmp_path)[name] == "kept"


@pytest.mark.parametrize("name", [HEAL, OPTIMIZE])
def test_an_entry_point_without_its_interlock_says_so(tmp_path: Path, name: str) -> None:
    script = scripts()[name]
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    python = script.python.replace(sys.executable, "/nowhere/python")
    path.write_text(script.text.replace(script.python, python))
    path.chmod(0o755)
    done = subprocess.run([path], capture_output=True, check=False, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr == "error: Interlock is not at /nowhere/python any more; run `interlock init` in this workspace\n"
    )


def test_the_shipped_role_file_and_policy_are_read_strictly(tmp_path: Path) -> None:
    make(tmp_path)
    roles = read_roles(tmp_path).roles
    assert {name: role.agent_id for name, role in roles.items()} == {
        "planner": "PlanAgent",
        "operator": "OperationsBoardAgent",
        "verifier": "ReviewAgent",
    }
    assert all(role.description for role in roles.values())
    assert len(read_policy(tmp_path / "services/gateway/policy.json")) == 6


def test_the_shipped_documents_link_to_what_is_made(tmp_path: Path) -> None:
    make(tmp_path)
    for readme in checks.READMES:
        for link in re.findall(r"\]\(([^)#]+)\)", (tmp_path / readme).read_text()):
            assert ((tmp_path / readme).parent / link).exists(), (readme, link)


# --- schemas ----------------------------------------------------------------------------------------------------------


def schema(name: str) -> Any:  # noqa: ANN401 - JSON of any shape
    return json.loads((SHIPPED / f"storage/db/schemas/{name}.schema.json").read_text())


@pytest.mark.parametrize("path", checks.SCHEMAS)
def test_a_schema_is_one_and_knows_its_name(path: str) -> None:
    document = json.loads((SHIPPED / path).read_text())
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert document["$id"] == f"urn:interlock:schema:{Path(path).name.removesuffix('.schema.json')}"
    jsonschema_rs.meta.validate(document)


SHAPES: dict[str, Any] = {
    "pipeline-event": {
        "event": {
            "event_type": "pipeline.state.created",
            "actor": "cicd",
            "scope": "pipeline_1f",
            "source": "cicd",
            "target": None,
            "metadata": {},
            "timestamp": 1,
        },
        "policy": {"record": {}, "hash": "0", "signature": "1", "previous_signature": "2"},
        "previous_hash": "GENESIS",
        "entry_hash": "0f",
    },
    "state": {
        "pipelines": [
            {
                "id": "pipeline_1f",
                "name": "nightly",
                "status": "AutoApproved",
                "stages": [{"name": "validate", "stage_type": "Validate", "status": "Pending", "duration_ms": None}],
                "commit_sha": "9c0ffee",
                "triggered_at": 1790000000,
                "crc_job_id": "crc_7",
                "auto_approved": True,
                "ai_confidence": 0.97,
                "diff_summary": None,
                "approvals_required": [],
                "approvals_granted": [],
                "security_scans": [],
            }
        ],
        "deployments": [
            {
                "id": "deploy_2a",
                "environment": "Staging",
                "strategy": "Canary",
                "version": "2.4.1",
                "status": "Running",
                "health_metrics": {
                    "error_rate": 0.0,
                    "response_time_ms": 0,
                    "cpu_usage": 0.0,
                    "memory_usage": 0.0,
                    "active_connections": 0,
                },
                "auto_approved": True,
            }
        ],
    },
    "auto-fix-snapshot": {
        "fixer": "workflow.auto_fix.lint",
        "target": "pkg/api",
        "recorded_at": 1790000001000,
        "plan": {"description": "format and lint pkg/api", "commands": ["ruff check --fix pkg/api"], "dry_run": True},
        "policy": {
            "decision": "review",
            "reason": "auto-fix::lint",
            "signals": ["auto_fix::lint"],
            "metadata": {"dry_run": True, "target": "pkg/api"},
        },
    },
    "budget-manifest": {
        "workflow_id": "nightly",
        "stage_id": "repair",
        "recorded_at": 1790000002000,
        "tokens_used": 2600.0,
        "token_limit": 2000.0,
        "latency_ms": 310.5,
        "latency_limit": 1200.0,
        "action": "escalate",
        "rewritten_plan": None,
    },
    "rolling-summary": {
        "generated_at": "2026-09-21T14:13:20+00:00",
        "sample_count": 50,
        "tokens": {"p50": 30.0, "p90": 80.0, "p99": 120.0},
        "latency_ms": {"p50": 200.0, "p90": 400.0, "p99": 900.0},
    },
    "self-heal-metrics": {
        "events": [
            {
                "client_id": "self-heal::gateway",
                "fs_scope": "fs.policy.read",
                "latency_ms": 0.04,
                "method": "GET",
                "network_scope": "net.gateway",
                "path": "/v1/policy",
                "service": "gateway",
                "timestamp": 1790000000.5,
                "token_rate_limit": 120,
            }
        ],
        "p95_latency_ms": 0.04,
        "rejected_auth": 1,
        "rejected_policy": 0,
        "rejected_rate": 0,
        "requests_total": 1,
    },
}
"""The documented examples."""


@pytest.mark.parametrize("name", SHAPES)
def test_a_documented_example_fits_its_schema_and_a_shorter_one_does_not(name: str) -> None:
    validator = jsonschema_rs.Draft202012Validator(schema(name))
    validator.validate(SHAPES[name])
    for key in SHAPES[name]:
        assert not validator.is_valid({left: value for left, value in SHAPES[name].items() if left != key})


# --- the documentation agent ------------------------------------------------------------------------------------------


GUIDE = """intro

```
# not a title
[no link](nowhere.md)
```

# The | guide #

`[code](nowhere.md)` [space](<a b.md>) [out](../../outside.md) [quoted](a%20b.md 'title')
![picture](none.png) [up](#here) [absolute](/etc/x)
"""


@pytest.fixture
def documented(tmp_path: Path) -> Path:
    """A workspace with documents, links that hold, and links that lead nowhere."""
    root = tmp_path / "workspace"
    make(root)
    for name, text in {
        "docs/runbook/restart.md": "# How to restart\n\n[there](../guide.md#part) [gone](missing.md) [web](https://x.y/z)\n",
        "docs/guide.md": GUIDE,
        "docs/a b.md": "no title\n",
        "node_modules/x/README.md": "# not ours\n",
        "target/doc/README.md": "# not ours\n",
        ".hidden/README.md": "# not ours\n",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "outside.md").write_text("# outside\n")
    return root


def run_agent(root: Path, *words: str, cwd: str = "/") -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    return subprocess.run([root / AGENT, *words], cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def given(root: Path, text: str) -> str:
    path = root / "build_output/pipeline.json"
    path.write_text(text)
    return str(path)


def test_the_agent_lists_documents_with_title_and_digest(documented: Path) -> None:
    done = run_agent(documented, "--pipeline-output", given(documented, '{"name": "docs", "id": "p|1"}'))
    assert (done.returncode, done.stderr) == (0, "")
    report = (documented / REPORT).read_text()
    digest = hashlib.sha256((documented / "docs/guide.md").read_bytes()).hexdigest()
    assert f"| docs/guide.md | The \\| guide | `{digest}` |" in report
    assert "| docs/runbook/restart.md | How to restart |" in report
    assert "| docs/a b.md | a b |" in report
    assert "| id | p\\|1 |" in report
    assert "not ours" not in report


def test_the_agent_finds_links_that_lead_nowhere_and_no_others(documented: Path) -> None:
    run_agent(documented, "--pipeline-output", given(documented, "{}"))
    broken = (documented / REPORT).read_text().partition("## Links that lead nowhere")[2]
    rows = [line for line in broken.splitlines() if line.startswith("| docs/")]
    assert rows == [
        "| docs/guide.md | ../../outside.md |",
        "| docs/guide.md | none.png |",
        "| docs/runbook/restart.md | missing.md |",
    ]
    assert "- links that lead nowhere: 3" in (documented / STATUS).read_text()


def test_the_agent_writes_index_pages_whose_links_hold(documented: Path) -> None:
    run_agent(documented, "--pipeline-output", given(documented, "{}"))
    wiki = (documented / "docs/wiki/index.md").read_text()
    assert "- [a b](../a%20b.md)" in wiki
    assert "- [How to restart](restart.md)" in (documented / "docs/runbook/index.md").read_text()
    assert "guide" not in (documented / "docs/runbook/index.md").read_text()
    for link in re.findall(r"\]\(([^)]*)\)", wiki):
        assert (documented / "docs/wiki" / link.replace("%20", " ")).exists()


def test_the_agent_reads_a_diff(documented: Path) -> None:
    diff = "diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1,2 +1,2 @@\n-old\n+++ new\n+more\n same\n"
    expected = "| x.py | 2 | 1 |"
    run_agent(documented, "--pipeline-output", given(documented, diff))
    assert expected in (documented / REPORT).read_text()
    run_agent(documented, "--pipeline-output", given(documented, json.dumps({"diff_summary": diff})))
    assert expected in (documented / REPORT).read_text()


def test_the_same_input_gives_the_same_bytes(documented: Path) -> None:
    pages = (REPORT, STATUS, "docs/wiki/index.md", "docs/runbook/index.md")
    run_agent(documented, "--pipeline-output", given(documented, "{}"))
    first = [(documented / page).read_bytes() for page in pages]
    run_agent(documented, "--pipeline-output", given(documented, "{}"), cwd=str(documented))
    assert [(documented / page).read_bytes() for page in pages] == first


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "usage"),
        (("--pipeline-output",), "usage"),
        (("--other", "x"), "usage"),
        (("--pipeline-output", "/nowhere"), "/nowhere: No such file"),
        (("--pipeline-output", "EMPTY"), "is empty"),
        (("--pipeline-output", "LIST"), "no object"),
        (("--pipeline-output", "BYTES"), "not UTF-8"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(documented: Path, words: tuple[str, ...], told: str) -> None:
    for name, data in {"EMPTY": b" \n", "LIST": b"[]", "BYTES": b"\xff\xfe"}.items():
        (documented / "build_output" / name).write_bytes(data)
    done = run_agent(documented, *words, cwd=str(documented / "build_output"))
    assert (done.returncode, done.stdout) == (1, "")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (documented / REPORT).exists()


def test_somebody_else_s_index_page_is_not_overwritten(documented: Path) -> None:
    page = documented / "docs/wiki/index.md"
    page.write_text("# mine\n")
    done = run_agent(documented, "--pipeline-output", given(documented, "{}"))
    assert done.returncode == 1
    assert "docs/wiki/index.md is somebody else's page" in done.stderr
    assert page.read_text() == "# mine\n"
