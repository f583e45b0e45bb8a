"""The rooms of a server's workspace, as the command-line doors ask for them."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from interlock.access.models import Actor, Principal, PrincipalKind
from interlock.kernel.errors import InterlockError
from interlock.remote.address import Address
from interlock.remote.connection import LONG_SECONDS, Connection, understood
from interlock.remote.errors import InsideRun, NotFromAfar

if TYPE_CHECKING:
    from interlock.remote.access import RemoteAccess
    from interlock.remote.approval import RemoteApproval
    from interlock.remote.evidence import RemoteEvidence
    from interlock.remote.fleet import RemoteFleet
    from interlock.remote.providers import RemoteProviders
    from interlock.remote.queue import RemoteQueue
    from interlock.remote.results import RemoteResults
    from interlock.remote.runs import RemoteReceipts, RemoteRuns
    from interlock.remote.truth import RemoteTruths
    from interlock.remote.worker import FarWorker

_THEIRS = -1
"""As a number of seconds: left to the server."""
_SOMEBODY = Principal(PrincipalKind.SERVICE, "afar")

ROOMS = frozenset(
    {"inbox", "plan", "draft", "approved", "provider", "run", "queue", "token", "panic", "evidence", "mcp"}
    | {"node", "config"}
)
"""What a server is asked for."""
OWN_WAYS = frozenset({("worker",)})
"""What goes on from afar in a way of its own: not as it does on the server's machine."""
REFUSED: Mapping[tuple[str, ...], str] = {
    ("init",): "makes a workspace in a folder of this machine",
    ("serve",): "serves a workspace of this machine",
    ("migrate",): "moves the database of a workspace of this machine",
    ("scheduler",): "is what a server does by itself",
    ("alert",): "works where the workspace is; a server shows alerts under /ops/alerts",
    ("loop",): "works on the files of loops where they are; a server shows them under /ops/loops",
    ("pipeline",): "carries runs out where the workspace is; a server takes them under /ops/pipelines",
    ("deployment",): "runs its steps where the workspace is; a server shows them under /ops/deployments",
    ("config", "show"): "says what holds where it is called; `config history` asks the server",
    ("completion",): "prints a script for a shell of this machine",
    ("doctor",): "looks at this machine; a server says how it is under /health and /metrics",
    ("windows",): "works on the workspace's own files",
    ("mcp", "config"): "prints what a client of this machine has to be told; name the server with --url",
    ("queue", "import"): "brings a file into a database of this machine",
    ("queue", "render"): "writes the queue of a database of this machine",
    ("queue", "rescue"): "is what a server does by itself",
    ("queue", "kpi"): "reads the run log, which lies in the workspace",
    ("queue", "health"): "reads the run log, which lies in the workspace",
    ("evidence", "verify"): "reads files of this machine, and asks nobody",
    ("evidence", "check"): "reads files of this machine, and asks nobody",
    ("evidence", "check-receipt"): "reads files of this machine, and asks nobody",
    ("evidence", "replay"): "reads files of this machine, and asks nobody",
    ("evidence", "report"): "reads files of this machine, and asks nobody",
    ("evidence", "export"): "writes out the whole log where the workspace is",
    ("evidence", "keys"): "works on the keys of a workspace where they lie",
    ("evidence", "witness"): "works with files where they lie",
    ("evidence", "consistency"): "proves from the log where the workspace is",
    ("evidence", "check-consistency"): "reads files of this machine, and asks nobody",
}
"""What can not be done from afar, and why; a door that is in neither works on this machine."""


def refuse(words: Sequence[str]) -> None:
    """Refuse what can not be done from afar, before anything of it is done."""
    room, *rest = words
    while rest and rest[0].startswith(("--queue", "--db")):  # the queue's own options, which may stand before its verb
        rest = rest[1 if "=" in rest[0] else 2 :]
    named = (room, *rest[:1]) if room in ROOMS else (room,)
    if named in OWN_WAYS:
        return
    why = REFUSED.get(named, None if room in ROOMS else "works on this machine")
    if why is not None:
        raise NotFromAfar(f"`interlock {' '.join(named)}` {why}; no server is asked for that")


def somebody(correlation_id: str | None) -> Actor:
    """Return the actor of a call from afar: who it is, the token says, and only the server knows."""
    return Actor(principal=_SOMEBODY, correlation_id=correlation_id)


class RemoteHouse:
    """One server's rooms."""

    ours = False

    def __init__(
        self,
        address: Address,
        token: str,
        *,
        correlation_id: str | None,
        inside_run: str | None,
        token_file: str | None = None,
    ) -> None:
        """Take where the server is and who asks; inside of a run a human's token is refused."""
        self._server = Connection(address, token=token, correlation_id=correlation_id)
        self._token_file = token_file
        if inside_run is not None:
            self._refuse_human(inside_run)

    def _refuse_human(self, run_id: str) -> None:
        try:
            if self.access.is_human():
                raise InsideRun(f"this call comes from inside of the run {run_id}, and its token is a human's")
        except InterlockError:
            self.close()
            raise

    @property
    def server(self) -> Connection:
        """The way to the server, for what is shown just as it answers."""
        return self._server

    # --- rooms --------------------------------------------------------------------------------------------------------

    @cached_property
    def approval(self) -> RemoteApproval:
        """The plan, drafts and approved records."""
        from interlock.remote.approval import RemoteApproval

        return RemoteApproval(self._server)

    @cached_property
    def runs(self) -> RemoteRuns:
        """Runs."""
        from interlock.remote.runs import RemoteRuns

        return RemoteRuns(self._server)

    @cached_property
    def results(self) -> RemoteResults:
        """What runs brought about."""
        from interlock.remote.results import RemoteResults

        return RemoteResults(
            run=self.runs.get, approved=self.approval.approved, patch=self.runs.patch, thawed=self.access.thawed
        )

    @cached_property
    def truths(self) -> RemoteTruths:
        """What is true of runs."""
        from interlock.remote.truth import RemoteTruths

        return RemoteTruths(self._server)

    @cached_property
    def receipts(self) -> RemoteReceipts:
        """What outsiders get to check how runs ended."""
        from interlock.remote.runs import RemoteReceipts

        return RemoteReceipts(self._server)

    @cached_property
    def access(self) -> RemoteAccess:
        """Tokens and panic."""
        from interlock.remote.access import RemoteAccess

        return RemoteAccess(self._server)

    @cached_property
    def providers(self) -> RemoteProviders:
        """The models that write the content of drafts."""
        from interlock.remote.providers import RemoteProviders

        return RemoteProviders(self._server)

    @cached_property
    def evidence(self) -> RemoteEvidence:
        """The sealed log."""
        from interlock.remote.evidence import RemoteEvidence

        return RemoteEvidence(self._server)

    @cached_property
    def fleet(self) -> RemoteFleet:
        """The server's nodes, and the configuration that all follow."""
        from interlock.remote.fleet import RemoteFleet

        return RemoteFleet(self._server)

    @contextmanager
    def queue(self, actor: Actor) -> Generator[RemoteQueue]:
        """Open the queue for changing it."""
        del actor
        with self.queue_look() as queue:
            yield queue

    @contextmanager
    def queue_look(self) -> Generator[RemoteQueue]:
        """Open the queue."""
        from interlock.remote.queue import RemoteQueue

        yield RemoteQueue(self._server)

    def far_worker(
        self, folder: Path | None, *, once: bool, concurrency: int | None, labels: Sequence[str] = ()
    ) -> FarWorker:
        """Return a worker of this process that takes runs from the server, and works in a folder of this machine."""
        from interlock.access.tokens import without_tokens
        from interlock.remote.worker import WorkFolder, default_work_folder, far_worker
        from interlock.remote.working import RemoteWorkerRuns
        from interlock.runs.options import RunOptions
        from interlock.settings import load

        place = WorkFolder(root=(folder or default_work_folder(os.environ)).absolute()).make()
        settings = load(place.root)
        options = settings.worker
        return far_worker(
            lambda name: RemoteWorkerRuns(self._another, name),
            folder=place,
            hidden=tuple(file.absolute() for file in (Path(self._token_file or "/"),) if file.is_file()),
            environment=without_tokens(os.environ),
            options=RunOptions(
                namespaces=options.namespaces,
                grace_seconds=options.grace_seconds,
                visible=tuple(Path(each) for each in options.visible),
            ),
            labels=(*settings.node.labels, *labels),
            concurrency=options.concurrency if concurrency is None else concurrency,
            once=once,
        )

    def _another(self) -> Connection:
        return Connection(self._server.address, token=self._server.token)

    # --- what the house itself is asked -------------------------------------------------------------------------------

    def now(self) -> int:
        """Return the server's time."""
        return self._server.now()

    def inbox_shown(self, actor: Actor, *, most: int) -> Mapping[str, Any]:
        """Return what waits for a person, as the server shows it to whoever holds the token."""
        del actor
        return understood(_inbox, self._server.get("/ops/inbox", most=most).json)

    def stop_runs(self, actor: Actor, *, reason: str) -> list[str]:
        """Cancel every run that is under way; panic is on."""
        del actor
        return list(self.access.stop_runs(reason))

    def purge_runs(self, actor: Actor, *, older_than_ms: int) -> list[str]:
        """Put runs that ended so long ago into the server's archive."""
        del actor
        body = {} if older_than_ms < 0 else {"older_than_seconds": older_than_ms // 1000}
        found = self._server.send("POST", "/ops/runs/purge", body, seconds=LONG_SECONDS).json
        return understood(lambda told: list[str](told["archived"]), found)

    @property
    def settings(self) -> Settings:
        """What is the server's to say."""
        return Settings()

    def catch_up(self, actor: Actor) -> tuple[str, ...]:
        """Do nothing: what follows the log follows it there."""
        del actor
        return ()

    def close(self) -> None:
        """Hang up."""
        self._server.close()

    # --- what is not to be had from afar ------------------------------------------------------------------------------

    @property
    def places(self) -> Places:
        """Where the workspace's files are: not here."""
        return Places()

    @property
    def evidence_folder(self) -> Path:
        """Refuse: the exported log lies with the server."""
        raise NotFromAfar("the exported log lies with the server")

    def beside(self, target: str) -> NoReturn:
        """Refuse another database than the server's."""
        del target
        raise NotFromAfar("a server has a database of its own; leave --db (and ORCH_DB_PATH) out")

    def markdown(self, path: str | Path, actor: Actor) -> NoReturn:
        """Refuse a file in place of the server's queue."""
        del path, actor
        raise NotFromAfar("--queue names a file of this machine, in place of the server's queue")


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What is left to the server."""

    archive_after_seconds: int = _THEIRS


@dataclass(frozen=True, slots=True)
class Settings:
    """What is left to the server."""

    runs: RunSettings = RunSettings()


def _inbox(told: Mapping[str, Any]) -> Mapping[str, Any]:
    for each in told["items"]:
        _ = each["title"], each["sentence"], each["since"], each["deadline"], each["next"], each["who_can"]
    _ = told["now"], [each["more"] for each in told["kinds"]]
    return told


class Places:
    """Where the workspace's files are: not here."""

    @property
    def markdown_queue(self) -> Path:
        """Refuse: which file is meant has to be said."""
        raise NotFromAfar("the workspace's Markdown queue lies with the server", hint="name one here: --queue PATH")

    @property
    def run_log(self) -> Path:
        """Refuse."""
        raise NotFromAfar("the run log lies with the server")
