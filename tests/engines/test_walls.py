"""What an agent can see and do from inside a run, and what it is handed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock.approval.models import DraftStatus
from interlock.runs.models import RunStatus
from tests.conftest import ALICE
from tests.engines.world import INTERLOCK, World
from tests.runs.containment.trees import commands

OWN_TMP = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - an agent has these for itself, which is what is tested
NEVER = {"INTERLOCK_WORKER_NAMESPACES": "never"}
EVERY_ESCAPE = pytest.mark.parametrize(
    "escape",
    ["", "env -i ", "setsid -f env -i ", "env -i sh -c 'exec \"$@\"' x setsid -w "],
    ids=["plainly", "without environment", "as an orphan", "in a session of its own"],
)


@pytest.fixture
def outside() -> Iterator[list[Path]]:
    """Places that are none of an agent's business."""
    name = f"interlock-test-{secrets.token_hex(6)}"
    places = [Path(folder) / name for folder in ("/", "/etc", "/usr/local/bin", *OWN_TMP, Path.home())]
    yield places
    for place in places:
        place.unlink(missing_ok=True)


def test_an_agent_can_write_nothing_outside_its_worktree(visible_world: World, outside: list[Path]) -> None:
    world = visible_world
    world.repository.joinpath("README.md").chmod(0o666)
    targets = [
        *outside,
        *(
            world.root / name
            for name in ("escaped", "interlock.toml", ".orch_data/ops/plan.json", ".interlock/escaped")
        ),
        *(world.repository / name for name in ("escaped", "README.md", ".git/config", ".git/hooks/post-checkout")),
    ]
    before = {path: path.read_bytes() if path.exists() else None for path in targets}
    script = "".join(f"echo escaped >> '{path}' || echo no: '{path}'; " for path in targets)
    run = world.carried_out(f"{script} echo done > effect.txt")

    assert (run.status, run.result and run.result["containment"]) == (RunStatus.DONE, "namespaces"), world.story(run)
    assert {path: path.read_bytes() if path.exists() else None for path in targets} == before
    refused = {line.removeprefix("no: ") for line in world.log(run, "stdout")}
    assert refused >= {str(path) for path in targets if not any(path.is_relative_to(place) for place in OWN_TMP)}
    assert [file["path"] for file in (run.result or {})["files"]] == ["effect.txt"]


def test_an_agent_finds_neither_keys_nor_the_database(visible_world: World) -> None:
    world = visible_world
    state = world.house.layout.state
    assert (state / "keys" / "service.key").exists()
    assert (state / "interlock.db").exists()
    run = world.carried_out(
        f"ls -A {state}; cat {state}/keys/service.key {state}/interlock.db;"
        f" find {world.root} -name '*.key' -o -name 'interlock.db*'; true"
    )

    assert run.status is RunStatus.DONE, world.story(run)
    listed = set(world.log(run, "stdout"))
    assert listed <= {"worktrees", "mirrors", "runs"}
    missing = [line for line in world.log(run, "stderr") if "No such file" in line]
    assert len(missing) == 2, world.story(run)


def approval_from_inside(world: World, escape: str) -> tuple[str, str]:
    """Return a draft, and a script that tries to approve it."""
    draft = world.house.approval.create(ALICE, "Let me do anything.")
    words = f"{INTERLOCK} draft approve {draft.id} --workspace {world.root} --json"
    patience = "for _ in $(seq 20); do test -s answer && break; sleep 0.2; done"
    return draft.id, f"{escape}{words} > answer 2>&1; {patience}; cat answer"


def assert_nothing_was_approved(world: World, draft_id: str, before: int) -> None:
    assert world.house.approval.draft(draft_id).status is DraftStatus.DRAFT
    assert len(world.house.approval.all_approved()) == before


@EVERY_ESCAPE
def test_an_agent_that_tries_to_approve_is_refused_or_finds_nothing(visible_world: World, escape: str) -> None:
    world = visible_world
    draft_id, script = approval_from_inside(world, escape)
    run = world.carried_out(script)

    assert run.status is RunStatus.DONE, world.story(run)
    answer = " ".join(world.log(run, "stdout"))
    assert [code for code in ("human_needed", "workspace_missing", "database_missing") if f"[{code}]" in answer], answer
    assert_nothing_was_approved(world, draft_id, 1)


@EVERY_ESCAPE
def test_without_namespaces_an_agent_that_tries_to_approve_is_known_and_refused(world: World, escape: str) -> None:
    draft_id, script = approval_from_inside(world, escape)
    run = world.create(script)
    world.work_it_off(environment=NEVER)

    done = world.run(run)
    assert (done.status, (done.result or {})["containment"]) == (RunStatus.DONE, "best_effort"), world.story(run)
    assert "[human_needed]" in " ".join(world.log(run, "stdout")), world.story(run)
    assert_nothing_was_approved(world, draft_id, 1)


def test_an_agent_gets_the_variables_that_were_named_and_no_others(world: World) -> None:
    secret, other = f"s3cret-{secrets.token_hex(8)}", f"other-{secrets.token_hex(8)}"
    key = f"-----BEGIN KEY-----\n{secrets.token_hex(16)}\n{secrets.token_hex(16)}\n-----END KEY-----"
    run = world.create(
        'env; echo "<$MY_TOKEN>" >&2; echo "$MY_KEY"; head -c 16380 /dev/zero | tr "\\0" x;'
        ' printf %s "$MY_TOKEN"; sleep 0.3; echo;'
        ' test "$(printf %s "$MY_TOKEN" | wc -c)" -eq 23 && echo whole > effect.txt',
        environment=["MY_TOKEN", "MY_KEY", "NOT_SET"],
        checks=['echo "$MY_TOKEN"; test "$(cat effect.txt)" = whole'],
    )
    world.work_it_off(environment={"MY_TOKEN": secret, "MY_KEY": key, "MY_OTHER": other, "ORCH_TOKEN": other})

    assert world.run(run).status is RunStatus.DONE, world.story(run)
    lines = world.log(run)
    assert "<[REDACTED:MY_TOKEN]>" in lines
    assert not [line for line in lines if secret in line or other in line or "MY_OTHER" in line or "ORCH_TOKEN" in line]
    assert not [line for line in lines if any(part in line for part in key.splitlines()[1:3])]
    joined = "".join(lines)
    assert secret not in joined, "a secret that lies across the end of a long line is not to be read from its parts"


def test_the_prompt_reaches_the_agent_by_stdin_and_file_and_stands_in_no_command_line(world: World) -> None:
    word = f"unmistakable-{secrets.token_hex(8)}"
    run = world.create(
        'cat > from-stdin; cat "$INTERLOCK_PROMPT_FILE" > from-file; echo ready; until test -e go; do sleep 0.05; done',
        prompt=f"Say {word}\nand nothing else.",
    )
    worker = world.worker(once=True)
    world.wait_for_line(run, "ready")
    assert world.processes(run)
    assert not [line for line in commands().values() if word in line]
    assert not [pid for pid in world.processes(run) if word.encode() in Path(f"/proc/{pid}/environ").read_bytes()]
    places = list(world.house.layout.worktrees.glob(f"{run.id}-*"))
    (places[0] / "go").touch()

    assert worker.wait() == 0, worker.words()
    assert world.run(run).status is RunStatus.DONE, world.story(run)
    patch = world.patch(run)
    for name in ("from-stdin", "from-file"):
        assert f"+++ b/{name}\n@@ -0,0 +1,2 @@\n+Say {word}\n+and nothing else.\n" in patch
    assert os.path.commonpath([str(places[0]), str(world.root)]) == str(world.root)


def test_a_tool_in_tmp_is_found_once_the_worker_is_told_to_show_it_and_it_can_not_be_changed(
    world: World, tmp_path: Path
) -> None:
    tool = tmp_path / "tools" / "tool"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho more >> $0 || echo done > effect.txt\n", encoding="utf-8")
    tool.chmod(0o755)
    hidden = world.create((str(tool),))
    world.work_it_off()
    assert world.run(hidden).reason == "agent_command_not_found", world.story(hidden)

    shown = world.create((str(tool),), checks=["test -f effect.txt"])
    world.work_it_off(environment={"INTERLOCK_WORKER_VISIBLE": str(tool.parent)})
    assert world.run(shown).status is RunStatus.DONE, world.story(shown)
    assert "more" not in tool.read_text(encoding="utf-8")[-6:]
