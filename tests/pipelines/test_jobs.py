"""Commands in containment: what they see, what they may, how they end. Real processes throughout."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interlock.access.errors import Frozen
from interlock.kernel.errors import Unreachable
from interlock.pipelines import jobs
from interlock.pipelines.jobs import Errand, LinesEnded, Printed, Workshop, environment_of, run_lines
from interlock.pipelines.models import Limits, Line
from interlock.runs.containment.processes import marked
from tests.conftest import until

MARKER = "pipeline_test:1:job"


class Bench:
    """A workspace of folders, and what was printed in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.printed: list[Printed] = []
        for name in (".interlock/keys", "agents", "storage/db", "build_output", ".git/hooks"):
            (root / name).mkdir(parents=True)
        (root / ".interlock/keys/log.key").write_text("private")
        (root / "agents/roles.json").write_text("{}")
        self.shop = Workshop(root=root, state=root / ".interlock", namespaces="require")

    def errand(self, given: Mapping[str, str] | None = None, **parts: Any) -> Errand:  # noqa: ANN401 - any field
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return Errand(job="docs", marker=MARKER, environment=environment_of(self.root, path, given or {}), **parts)

    def run(self, *scripts: str, stopped: threading.Event | None = None, **parts: Any) -> LinesEnded:  # noqa: ANN401 - handed through
        lines = [Line(argv=("sh", "-c", script)) for script in scripts]
        return run_lines(self.shop, lines, self.errand(**parts), write=self.write, stopped=stopped)

    def write(self, printed: Sequence[Printed]) -> None:
        self.printed += printed

    @property
    def text(self) -> str:
        return "\n".join(text for _, _, _, text in self.printed)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "work")


def test_commands_run_one_after_the_other_in_the_workspace(bench: Bench) -> None:
    ended = bench.run("echo one > build_output/a; pwd", "cat build_output/a; echo two >&2")
    assert (ended.reason, ended.exit_code, ended.containment) == (None, 0, "namespaces")
    printed = [(job, stream, text) for job, stream, _, text in bench.printed]
    assert printed[0] == ("docs", "stdout", str(bench.root))
    assert sorted(printed[1:]) == [("docs", "stderr", "two"), ("docs", "stdout", "one")]
    assert (bench.root / "build_output/a").read_text() == "one\n"


def test_the_first_command_that_fails_is_the_last(bench: Bench) -> None:
    ended = bench.run("exit 7", "touch build_output/after")
    assert (ended.reason, ended.exit_code, ended.message) == ("command_failed", 7, "sh ended with exit code 7")
    assert not (bench.root / "build_output/after").exists()


def test_nothing_is_put_in_the_place_of_what_a_command_may_not_write(bench: Bench) -> None:
    script = bench.root / "tools/docs/agent.sh"
    for path in (bench.root / "services/gateway/self_heal.py", script):
        path.parent.mkdir(parents=True)
        path.write_text("ours")
    bench.run("mv services old; mkdir -p services/gateway; echo theirs > services/gateway/self_heal.py")
    bench.run("mv tools/docs tools/old; mkdir tools/docs; echo theirs > tools/docs/agent.sh", readonly=(script,))
    assert (bench.root / "services/gateway/self_heal.py").read_text() == "ours"
    assert script.read_text() == "ours"
    assert bench.run("touch services/new tools/docs/new; mv services/new tools/moved").reason is None


def test_a_command_that_is_not_there_is_named(bench: Bench) -> None:
    ended = run_lines(bench.shop, [Line(argv=("no-such-program",))], bench.errand(), write=bench.write)
    assert ended.reason == "agent_command_not_found"
    assert "no-such-program" in ended.message


def test_a_command_for_a_file_that_is_not_there_is_left_out_and_that_is_said(bench: Bench) -> None:
    lines = [Line(argv=("cargo", "doc"), if_exists="Cargo.toml"), Line(argv=("touch", "build_output/done"))]
    assert run_lines(bench.shop, lines, bench.errand(), write=bench.write).reason is None
    assert bench.printed[0][1:2] == ("interlock",)
    assert "Cargo.toml is not there" in bench.text
    assert (bench.root / "build_output/done").exists()


def test_the_state_folder_is_hidden_and_what_governs_can_not_be_written(bench: Bench) -> None:
    ended = bench.run(
        "ls .interlock/keys 2>/dev/null; for f in agents/roles.json agents/new storage/db/x .git/hooks/pre-commit; do"
        " (echo x > $f) 2>/dev/null && echo wrote $f; done; echo x > build_output/mine"
    )
    assert ended.reason is None
    assert bench.text == ""
    assert (bench.root / "build_output/mine").exists()


def test_what_governs_can_not_be_made_either(bench: Bench) -> None:
    ended = bench.run("mkdir -p cicd/pipelines")
    assert (ended.reason, ended.message[:5]) == ("protected_path_made", "cicd ")


def test_the_environment_is_what_was_given_and_nothing_else(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCH_TOKEN", "from-outside")
    assert bench.run("env", given={"GREETING": "hello", "LANG": "C"}).reason is None
    names = {text.partition("=")[0] for _, _, _, text in bench.printed}
    given = {"PATH", "HOME", "LANG", "TERM", "TMPDIR", "NOA_WORKFLOW_ROOT", "GREETING", "INTERLOCK_RUN", "PWD"}
    assert names - {"_", "SHLVL", "OLDPWD"} == given
    assert "LANG=C" in bench.text.splitlines()


def test_the_home_folder_is_private_and_gone_afterwards(bench: Bench) -> None:
    assert bench.run("echo x > $HOME/x && ls $HOME").reason is None
    assert bench.text == "x"
    assert list((bench.root / ".interlock/pipelines/homes").iterdir()) == []


@pytest.mark.proves("pipeline-offline")
def test_there_is_no_network_unless_it_is_asked_for(bench: Bench) -> None:
    look = "cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' ' | sort -u"
    assert bench.run(look).notes == ()
    assert bench.text == "lo"


@pytest.mark.proves("pipeline-offline")
def test_without_namespaces_it_goes_on_and_says_what_is_not_held(bench: Bench) -> None:
    bench.shop = replace(bench.shop, namespaces="never")
    ended = bench.run("echo here")
    assert (ended.reason, ended.containment, bench.text) == (None, "best_effort", "here")
    assert {jobs.EGRESS_NOT_ENFORCED, jobs.PATHS_NOT_ENFORCED} <= set(ended.notes)


def test_a_secret_is_redacted_from_the_log(bench: Bench) -> None:
    bench.run("echo the token is $DOC_TOKEN", given={"DOC_TOKEN": "correct-horse-battery"})
    assert bench.text == "the token is [REDACTED:DOC_TOKEN]"


def test_time_output_and_file_size_are_limited(bench: Bench) -> None:
    ended = bench.run("sleep 0.3", "sleep 60", limits=Limits(seconds=1))
    assert ended.reason == "limit_wall_clock"
    assert ended.duration_ms < 20_000
    assert bench.run("yes", limits=Limits(output_bytes=100_000)).reason == "limit_output"
    assert sum(len(text) + 1 for _, _, _, text in bench.printed) <= 100_001
    ended = bench.run("head -c 100000 /dev/zero > build_output/large", limits=Limits(file_bytes=1000))
    assert ended.reason == "command_failed"
    assert (bench.root / "build_output/large").stat().st_size <= 1000


@pytest.mark.parametrize("namespaces", ["require", "never"])
def test_a_stop_leaves_nothing_behind_also_of_what_forked_twice(bench: Bench, namespaces: Any) -> None:  # noqa: ANN401 - either of two words
    bench.shop = replace(bench.shop, namespaces=namespaces)
    stopped = threading.Event()
    found: list[LinesEnded] = []
    script = "(setsid sh -c 'trap \"\" TERM; (sleep 1000 & echo forked; sleep 1000)' &) ; sleep 1000"
    thread = threading.Thread(target=lambda: found.append(bench.run(script, stopped=stopped)))
    thread.start()
    until(lambda: "forked" in bench.text, 30)
    assert marked(MARKER)
    stopped.set()
    thread.join(30)
    assert [each.reason for each in found] == ["stopped"]
    assert marked(MARKER) == []


def test_nothing_begins_once_it_is_stopped(bench: Bench) -> None:
    stopped = threading.Event()
    stopped.set()
    assert bench.run("touch build_output/late", stopped=stopped).reason == "stopped"
    assert not (bench.root / "build_output/late").exists()


def test_each_command_begins_only_if_it_may(bench: Bench) -> None:
    asked: list[int] = []

    def before() -> None:
        asked.append(len(asked))
        if len(asked) == 2:
            raise Frozen("panic mode is on")

    lines = [Line(argv=("touch", f"build_output/{name}")) for name in ("one", "two", "three")]
    ended = run_lines(bench.shop, lines, bench.errand(), write=bench.write, before=before)
    assert (ended.reason, asked) == ("panic_mode", [0, 1])
    assert [path.name for path in (bench.root / "build_output").iterdir()] == ["one"]


def test_a_log_that_can_not_be_written_ends_the_command_and_is_the_callers_error(bench: Bench) -> None:
    def write(_: Sequence[Printed]) -> None:
        raise Unreachable("the database is away")

    with pytest.raises(Unreachable):
        run_lines(bench.shop, [Line(argv=("sh", "-c", "echo x; sleep 1000"))], bench.errand(), write=write)
    assert marked(MARKER) == []


def git(folder: Path, *words: str) -> str:
    told = ("-c", "user.name=A", "-c", "user.email=a@localhost", "-c", "init.defaultBranch=main")
    return subprocess.run(["git", *told, *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_a_job_of_a_repository_works_in_a_worktree_of_it_that_is_gone_afterwards(bench: Bench) -> None:
    source = bench.root / "vendor/site"
    source.mkdir(parents=True)
    git(source, "init", "-q")
    (source / "page.txt").write_text("committed\n")
    git(source, "add", ".")
    git(source, "commit", "-qm", "one")
    (source / "page.txt").write_text("not committed")
    with jobs.worktree(bench.shop, "vendor/site", "main", "pipeline_x-1-abc") as ground:
        ended = bench.run(
            "cat page.txt; git log --format=%s; echo made > made.txt; (echo x > $NOA_WORKFLOW_ROOT/x) 2>/dev/null"
            " || echo refused",
            ground=ground,
        )
        assert (ended.reason, bench.text.splitlines()) == (None, ["committed", "one", "refused"])
        assert (ground.cwd / "made.txt").read_text() == "made\n"
        place = ground.cwd
    assert not place.exists()
    assert (source / "page.txt").read_text() == "not committed"
    assert git(source, "worktree", "list").count("\n") == 0
    assert list((bench.shop.folder / "mirrors").glob("*.git/refs/interlock/base/*")) == []


def test_what_a_killed_run_left_is_tidied_up(bench: Bench) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    homes = bench.shop.folder / "homes"
    left, own = homes / f"{gone.pid}-abc", homes / f"{os.getpid()}-abc"
    for folder in (left, own, bench.shop.folder / "worktrees/pipeline_x-1-abc", bench.shop.folder / "overlays/x"):
        folder.mkdir(parents=True)
    jobs.tidy(bench.shop)
    assert not left.exists()
    assert own.exists()
    assert list((bench.shop.folder / "worktrees").iterdir()) == []
    assert not (bench.shop.folder / "overlays").exists()
