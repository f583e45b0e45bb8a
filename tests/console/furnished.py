"""A workspace in which there is one of everything, made by real verbs, with texts that mean harm."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2

from interlock.app import Interlock
from interlock.kernel.clock import system_clock
from tests.alerts.test_doors import escalated
from tests.cli.door import git
from tests.conftest import until
from tests.http.processes import Process
from tests.loops.loop import Loop

HOSTILE = """<img src=x onerror="globalThis.harmed=1" data-harm>"><script>globalThis.harmed=1</script>"""
_LONG = 600
_FILE = "<img src=x onerror=harmed=1 data-harm>.txt"
_WRITES = f"""
printf '%s\\n' '{HOSTILE.replace("'", "")}'
printf '%s\\n' '{HOSTILE}' >> README.md
printf 'x' > '{_FILE}'
"""


def furnish(server: Process, workspace: Path, repository: Path) -> Mapping[str, str]:
    """Make one of everything; returns the address of each by what it is."""
    (repository / _FILE).write_text("it was here before\n")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", HOSTILE)
    with server.client() as client:
        made = {
            "run": f"/runs/{_run(client, _WRITES, repository, 'done')}",
            "failed run": f"/runs/{_run(client, 'echo no >&2; exit 3', repository, 'error')}",
            "approved": f"/approved/{_approved(client, 'true', repository)}",
            "item": f"/queue/{_item(client)}",
            "definition": "/pipelines/definitions/doc-refresh",
            "pipeline run": f"/pipelines/runs/{_pipeline_run(client)}",
            "loop": _loop(client, workspace.with_name("loop")),
            "token": f"/access/{_made(client, '/ops/tokens', {'name': 'ci', 'role': 'actions'})['id']}",
            "alert": f"/alerts/{_alert(client, workspace)}",
            "entry": "/evidence/3",
            "draft": f"/review/{_draft(client, repository, 'true')}",
            "agent draft": f"/review/{_agent_draft(client, repository)}",
        }
        silence = {"category": "health_*", "seconds": 3600, "reason": HOSTILE}
        client.post("/ops/alerts/silences", json=silence)
        made["running run"] = f"/runs/{_run(client, f'echo begun; exec sleep {_LONG}', repository, 'running')}"
        made["node"] = f"/nodes/{_drained(client)}"  # at last: it takes nothing more
        return made


def _made(client: httpx2.Client, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    answer = client.post(path, json=dict(body))
    assert answer.status_code in {200, 201}, answer.text
    return dict(answer.json())


def _draft(client: httpx2.Client, repository: Path, command: str) -> str:
    work = {"command": ["sh", "-c", command], "repository": str(repository), "checks": [["true"]]}
    body = {"prompt": f"{HOSTILE} \u202egnp.exe\u202c", "content": HOSTILE, "context": {HOSTILE: HOSTILE}, "work": work}
    return str(_made(client, "/ops/drafts", body)["id"])


def _agent_draft(client: httpx2.Client, repository: Path) -> str:
    work = {
        "agent": "claude_code",
        "repository": str(repository),
        "checks": [["true"]],
        "needs": ["gpu", "region=eu"],
        "rung": "checked",
        "limits": {"tokens": 1_000_000, "cost_microusd": 2_500_000},
    }
    return str(_made(client, "/ops/drafts", {"prompt": HOSTILE, "work": work})["id"])


def _approved(client: httpx2.Client, command: str, repository: Path) -> str:
    draft = _draft(client, repository, command)
    return str(_made(client, f"/ops/drafts/{draft}/approve", {})["approved"]["id"])


def _run(client: httpx2.Client, command: str, repository: Path, ends: str) -> str:
    run_id = str(_made(client, "/ops/runs", {"approved_id": _approved(client, command, repository)})["id"])
    wait(client, f"/ops/runs/{run_id}", ends)
    return run_id


def wait(client: httpx2.Client, path: str, status: str) -> None:
    """Wait for a status, a few looks a second: whoever looks more often is told to wait."""

    def ended() -> bool:
        time.sleep(0.2)
        return client.get(path).json()["status"] == status

    until(ended, 90)


def _item(client: httpx2.Client) -> str:
    return str(_made(client, "/ops/queue/items", {"task": HOSTILE, "success_criteria": HOSTILE})["id"])


def _pipeline_run(client: httpx2.Client) -> str:
    run_id = str(_made(client, "/ops/pipelines/doc-refresh/runs", {})["id"])
    wait(client, f"/ops/pipeline-runs/{run_id}", "Success")
    return run_id


def _loop(client: httpx2.Client, folder: Path) -> str:
    loop = Loop(folder, now=system_clock() // 1000).running().beat()
    _made(client, "/ops/loops/watches", {"repo": str(loop.repo)})
    _made(client, "/ops/loops/docs/reconcile", {})
    return "/loops/docs"


def _drained(client: httpx2.Client) -> str:
    node_id = str(client.get("/ops/nodes").json()[0]["id"])
    _made(client, f"/ops/nodes/{node_id}/drain", {"reason": HOSTILE})
    return node_id


def _alert(client: httpx2.Client, workspace: Path) -> str:
    with closing(Interlock.at(workspace)) as house:
        escalated(house, workspace)
    return str(client.get("/ops/alerts").json()[0]["id"])
