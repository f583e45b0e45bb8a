"""Seed 4's whole road by the same steps through each door: draft, approve, run, status.

The MCP prompt between approving and running joins when there is an MCP server.
"""

from __future__ import annotations

import shlex
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx2
import pytest

from tests.cli.door import call, make_repository
from tests.conftest import until
from tests.http.processes import HUMAN, process

CHANGE = "echo swept >> README.md"


@dataclass(frozen=True)
class Refusal(Exception):
    """What was asked for was not done."""

    code: str
    text: str


class Door(Protocol):
    """The main job, as a door offers it."""

    def draft(self, prompt: str, repository: Path) -> Mapping[str, Any]: ...

    def edit(self, draft_id: str, content: str) -> Mapping[str, Any]: ...

    def approve(self, draft_id: str, digest: str) -> str: ...

    def run(self, approved_id: str) -> Mapping[str, Any]: ...

    def status(self, run_id: str) -> Mapping[str, Any]: ...

    def diff(self, run_id: str) -> str: ...

    def revoke(self, approved_id: str) -> None: ...

    def runs(self) -> list[Any]: ...


@dataclass(frozen=True)
class CommandLine:
    """`interlock …` in the workspace."""

    root: Path
    where: Mapping[str, str]
    """What the environment says of a server; nothing for this machine."""

    def _ask(self, *words: str) -> Any:  # noqa: ANN401 - JSON of any shape
        said = call("--json", *words, at=self.root, env=self.where)
        if said.code:
            code = said.err.rstrip().removesuffix("]").rpartition("[")[2]
            raise Refusal(code, said.err)
        return said.json

    def draft(self, prompt: str, repository: Path) -> Mapping[str, Any]:
        made = self._ask(
            "draft",
            "create",
            "--prompt",
            prompt,
            "--repo",
            str(repository),
            "--command",
            shlex.join(("sh", "-c", CHANGE)),
        )
        return self._ask("draft", "show", made["id"])

    def edit(self, draft_id: str, content: str) -> Mapping[str, Any]:
        self._ask("draft", "edit", draft_id, "--content", content)
        return self._ask("draft", "show", draft_id)

    def approve(self, draft_id: str, digest: str) -> str:
        return str(self._ask("draft", "approve", draft_id, "--digest", digest)["id"])

    def run(self, approved_id: str) -> Mapping[str, Any]:
        return self._ask("run", "create", approved_id)

    def status(self, run_id: str) -> Mapping[str, Any]:
        return self._ask("run", "show", run_id)

    def diff(self, run_id: str) -> str:
        return str(self._ask("run", "diff", run_id)["patch"])

    def revoke(self, approved_id: str) -> None:
        self._ask("approved", "revoke", approved_id)

    def runs(self) -> list[Any]:
        return list(self._ask("run", "list"))


@dataclass(frozen=True)
class Http:
    """The routes of the seed."""

    client: httpx2.Client

    def _ask(self, method: str, path: str, body: Any = None) -> Any:  # noqa: ANN401 - JSON of any shape
        answer = self.client.request(method, f"/ops/{path}", json=body)
        if answer.is_error:
            raise Refusal(answer.json()["code"], answer.text)
        return answer.json()

    def draft(self, prompt: str, repository: Path) -> Mapping[str, Any]:
        work = {"command": ["sh", "-c", CHANGE], "repository": str(repository)}
        made = self._ask("POST", "drafts", {"prompt": prompt, "work": work})
        return self._ask("GET", f"drafts/{made['id']}")

    def edit(self, draft_id: str, content: str) -> Mapping[str, Any]:
        self._ask("PUT", f"drafts/{draft_id}", {"content": content})
        return self._ask("GET", f"drafts/{draft_id}")

    def approve(self, draft_id: str, digest: str) -> str:
        return str(self._ask("POST", f"drafts/{draft_id}/approve", {"digest": digest})["approved"]["id"])

    def run(self, approved_id: str) -> Mapping[str, Any]:
        return self._ask("POST", "runs", {"approved_id": approved_id})

    def status(self, run_id: str) -> Mapping[str, Any]:
        return self._ask("GET", f"runs/{run_id}")

    def diff(self, run_id: str) -> str:
        return self.client.get(f"/ops/runs/{run_id}/diff").text

    def revoke(self, approved_id: str) -> None:
        self._ask("POST", f"approved/{approved_id}/revoke")

    def runs(self) -> list[Any]:
        return list(self._ask("GET", "runs"))


@pytest.fixture(params=["command line", "from afar", "HTTP"])
def door(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Door]:
    """A workspace with a server that carries runs out, by each door."""
    root = tmp_path / "workspace"
    assert call("init", str(root), at=tmp_path).code == 0
    with process(root) as server, server.client() as client:
        afar = {"INTERLOCK_SERVER": server.address, "INTERLOCK_TOKEN": HUMAN}
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        doors: Mapping[str, Door] = {
            "command line": CommandLine(root, {}),
            "from afar": CommandLine(elsewhere, afar),
            "HTTP": Http(client),
        }
        yield doors[request.param]


@pytest.mark.proves("ops-drafts")
@pytest.mark.timeout(120)
def test_draft_approve_run_and_status(door: Door, tmp_path: Path) -> None:
    drafted = door.draft("sweep the floor", make_repository(tmp_path / "repository"))
    edited = door.edit(drafted["id"], "in small steps")
    assert edited["digest"] != drafted["digest"]
    with pytest.raises(Refusal) as stale:
        door.approve(drafted["id"], drafted["digest"])
    assert stale.value.code == "draft_changed"
    approved_id = door.approve(drafted["id"], edited["digest"])
    assert door.runs() == []
    run = door.run(approved_id)
    assert run["status"] in {"pending", "running"}  # a worker that waits takes it up within milliseconds
    until(lambda: door.status(run["id"])["status"] not in {"pending", "running"}, 60)
    done = door.status(run["id"])
    assert (done["status"], done["approved_id"]) == ("done", approved_id)
    assert "+swept" in door.diff(run["id"])
    door.revoke(approved_id)
    with pytest.raises(Refusal) as revoked:
        door.run(approved_id)
    assert revoked.value.code == "approval_revoked"


@pytest.mark.proves("ops-runs-approved-only")
@pytest.mark.timeout(120)
def test_no_road_leads_from_a_draft_to_a_run(door: Door, tmp_path: Path) -> None:
    drafted = door.draft("sweep the floor", make_repository(tmp_path / "repository"))
    ulid = drafted["id"].removeprefix("d_")
    for wrong in (drafted["id"], f"a_{ulid}", f"../drafts/{drafted['id']}", drafted["id"].upper(), f"a_{ulid}\n"):
        with pytest.raises(Refusal):
            door.run(wrong)
    assert door.runs() == []
