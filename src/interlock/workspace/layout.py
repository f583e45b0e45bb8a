"""Where things lie in a workspace."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

STATE_FOLDER = ".interlock"


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one workspace."""

    root: Path
    ops_folder: str = ".orch_data/ops"
    """Where the windows of seed 4 lie; below the workspace, or an absolute path."""

    @property
    def state(self) -> Path:
        """What belongs to Interlock alone: database, keys, mirrors, worktrees. Hidden from agents."""
        return self.root / STATE_FOLDER

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.state / "interlock.db"

    @property
    def keys(self) -> Path:
        """Private keys, mode 0600 in a folder of 0700."""
        return self.state / "keys"

    @property
    def log_key(self) -> Path:
        """What signs the log's heads; on the first machine, or kept elsewhere."""
        return self.keys / "log.key"

    @property
    def service_key(self) -> Path:
        """What signs for this node's services; where a machine joined, it bears the node's name."""
        return next(iter(sorted(self.keys.glob("service-n_*.key"))), self.keys / "service.key")

    @property
    def has_joined(self) -> bool:
        """Whether this machine came to a workspace that another one had made, whose other keys lie there."""
        return self.service_key.stem != "service"

    @property
    def wake(self) -> Path:
        """Doorbells of idle workers."""
        return self.state / "wake"

    @property
    def mirrors(self) -> Path:
        """Bare mirrors of the repositories that runs work on."""
        return self.state / "mirrors"

    @property
    def worktrees(self) -> Path:
        """One worktree per run and fence."""
        return self.state / "worktrees"

    @property
    def runs(self) -> Path:
        """Private folders of runs under way: prompt, home, overlay."""
        return self.state / "runs"

    @property
    def kept(self) -> Path:
        """Window files that differed and were replaced on an operator's word."""
        return self.state / "kept"

    @property
    def orchestrator(self) -> Path:
        """The folder of seed 1: entry point, Markdown queue, run log, and a link to the database."""
        return self.root / "automation" / "orchestrator"

    @property
    def entry_point(self) -> Path:
        """The program that operators' scripts call."""
        return self.orchestrator / "ops.py"

    @property
    def markdown_queue(self) -> Path:
        """The Markdown queue; it owns its rows until it is made a window of the database."""
        return self.orchestrator / "QUEUE.md"

    @property
    def run_log(self) -> Path:
        """Which work ended, and how long it took."""
        return self.orchestrator / "logs" / "orch_runs.jsonl"

    @property
    def database_link(self) -> Path:
        """Where seed 1's tools look for the database."""
        return self.orchestrator / "db" / "queue.db"

    @property
    def server_entry(self) -> Path:
        """What seed 4's preflight starts as a module: `python -m tools.repo_orchestrator.main`."""
        return self.root / "tools" / "repo_orchestrator" / "main.py"

    @property
    def intents(self) -> Path:
        """Changes of Markdown queues that are under way."""
        return self.state / "markdown"

    @property
    def ops(self) -> Path:
        """The windows of seed 4: plan, provider, drafts, approved, runs."""
        return self.root / self.ops_folder

    @property
    def archive(self) -> Path:
        """What was shown of runs that ended long ago: log and steps."""
        return self.ops / "archive"

    @property
    def loops(self) -> Path:
        """Each run as a loop: its artefacts in the shapes of seed 2."""
        return self.ops / "loops"

    @property
    def evidence(self) -> Path:
        """The exported log of seed 3: `ledger.jsonl`, `heads.jsonl`, `log.vkey`."""
        return self.root / "storage" / "db" / "evidence"
