"""The product, plugged together for one workspace. The only place where adapters meet the rooms."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from interlock.access.errors import Frozen
from interlock.access.models import Actor, Principal, PrincipalKind
from interlock.approval.models import Rung, Work
from interlock.approval.service import Approval
from interlock.fleet.errors import NotLeader
from interlock.kernel.canonical import JsonObject
from interlock.kernel.clock import Clock
from interlock.kernel.errors import InterlockError, Invalid
from interlock.kernel.events import Event
from interlock.kernel.ids import UlidSource
from interlock.queue.service import Queue
from interlock.runs.service import Runs
from interlock.settings import DatabaseSettings, Engine, Followed, Settings, checked_address, load, load_followed
from interlock.workspace.layout import Layout

if TYPE_CHECKING:
    from interlock.access.service import Access
    from interlock.alerts.service import Alerts
    from interlock.alerts.watcher import Alerter
    from interlock.approval.ports import Attest
    from interlock.delivery import Delivery
    from interlock.desks import Desks
    from interlock.engines.local import Links, Worker
    from interlock.engines.reconciler import Reconciler
    from interlock.engines.temporal.worker import TemporalWorker
    from interlock.evidence.errors import EvidenceError
    from interlock.evidence.keyring import Keyring
    from interlock.evidence.service import Evidence
    from interlock.fleet.leading import Part, Reign
    from interlock.fleet.models import Facts, Process, Term
    from interlock.fleet.presence import Presence
    from interlock.fleet.service import Fleet
    from interlock.fleet.watch import Watch
    from interlock.inbox.ports import PanicRow
    from interlock.inbox.service import Inbox
    from interlock.kernel.once import Noted, Once
    from interlock.loops.service import Loops
    from interlock.loops.supervisor import Supervisor
    from interlock.pipelines.deployments import Deployments
    from interlock.pipelines.service import Pipelines
    from interlock.providers.configuration import Configuration
    from interlock.providers.models import ProviderType
    from interlock.providers.ports import Adapter
    from interlock.providers.service import Providers
    from interlock.queue.bulks import Bulks
    from interlock.queue.markdown_journal import Journal
    from interlock.queue.markdown_service import MarkdownQueue
    from interlock.queue.models import WorkerProcess
    from interlock.runs.far import FarRuns
    from interlock.runs.options import RunOptions
    from interlock.runs.repositories import Mirrors
    from interlock.runs.results import Receipts, Results
    from interlock.runs.steps import Bench
    from interlock.runs.watching import Truths
    from interlock.signing import Signing
    from interlock.storage.database import Database
    from interlock.storage.evidence import StoredLog
    from interlock.workspace.queue_window import QueueWindows
    from interlock.workspace.windows import Windows

_MOST_RUNS_SEEN, _LAST_RUNS_SEEN = 10_000, 50
_ONE_HOST_TERM_SECONDS = 60
"""On SQLite all processes are on one host: a leader that has died is seen to be dead, and need not write often."""
_AT_START = ("access", "alerts", "fleet", "loops", "pipelines", "server", "temporal")
"""The sections that are read when something is started."""
_ROOMS_WITH_OPTIONS = ("approval", "alerts", "loops", "providers", "inbox", "delivery")


@dataclass(frozen=True)
class Interlock:
    """One workspace's rooms over one database."""

    layout: Layout
    settings: Settings
    database: Database
    new_ulid: UlidSource
    ours: bool = True
    """Whether the database is the workspace's, and not another that a command named."""
    followed: Followed = field(default_factory=Followed)
    """The published configuration that the settings are laid over."""

    @classmethod
    def at(cls, root: Path, *, now: Clock | None = None, database_url: str = "") -> Interlock:
        """Plug a workspace together, over the database that the settings name or another; opens nothing yet."""
        followed = load_followed(root)
        settings = load(root, followed=followed)
        if database_url:
            checked_address(database_url, "--database")
            settings = replace(settings, database=DatabaseSettings(url=database_url))
        layout = Layout(root, settings.windows.ops_folder)
        database = open_database(layout, settings, now=now)
        return cls(layout, settings, database, UlidSource(), followed=followed)

    @cached_property
    def desks(self) -> Desks:
        """What a verb needs of one transaction, room by room."""
        from interlock.desks import Desks

        return Desks(self.database, lambda: self.settings, lambda: self.followed.version)

    # --- rooms --------------------------------------------------------------------------------------------------------

    @cached_property
    def access(self) -> Access:
        """Tokens, sessions and panic."""
        from interlock.access.service import Access
        from interlock.access.tokens import from_environment
        from interlock.kernel.clock import system_clock

        return Access(
            open=self.desks.access.open,
            look=self.desks.access.look,
            light=self.desks.access.light,
            new_ulid=self.new_ulid,
            environment=cache(lambda: from_environment(os.environ)),
            options=self.settings.access,
            clock=system_clock,
        )

    def stop_runs(self, actor: Actor, *, reason: str) -> list[str]:
        """Cancel every run that is under way; returns their ids."""
        from interlock.kernel.errors import Conflict
        from interlock.pipelines.models import Status
        from interlock.runs.models import RunStatus

        tried: set[str] = set()
        stopped: list[str] = []
        while found := [run for run in self.runs.list(status=RunStatus.RUNNING) if run.id not in tried]:
            for run in found:
                tried.add(run.id)
                with suppress(Conflict):  # it has ended by itself
                    self.runs.cancel(actor, run.id, reason=reason)
                    stopped.append(run.id)
        for pipeline in self.pipelines.list(status=Status.RUNNING):
            with suppress(Conflict):
                self.pipelines.cancel(actor, pipeline.id, reason=reason)
                stopped.append(pipeline.id)
        return stopped

    @cached_property
    def approval(self) -> Approval:
        """The plan, drafts and approved records."""
        from interlock.runs.agents import Known

        return Approval(
            open=self.desks.approval.open,
            look=self.desks.approval.look,
            new_ulid=self.new_ulid,
            pin=self.pin,
            agents=Known(),
            attest=self.attest,
            options=self.settings.approval_options(),
        )

    @cached_property
    def alerts(self) -> Alerts:
        """What people should hear of, and whether they have."""
        from interlock.alerts.outbox import Outbox
        from interlock.alerts.service import Alerts

        return Alerts(
            root=str(self.layout.root),
            open=self.desks.alerts.open,
            look=self.desks.alerts.look,
            new_ulid=self.new_ulid,
            environment=os.environ,
            options=self.settings.alerts,
            outbox=Outbox(
                open=self.desks.alerts.open,
                look=self.desks.alerts.look,
                environment=os.environ,
                options=self.settings.alerts,
                repo=str(self.layout.root),
            ),
        )

    def _unverified(self) -> EvidenceError | None:
        """Verify the exported log against its heads and the database; an unsigned log is none that is wrong."""
        from interlock.evidence.errors import EvidenceError, LedgerUnsigned
        from interlock.evidence.verify import verify_export

        evidence, folder = self.evidence, self.layout.evidence
        try:
            with self.windows.held_still() as entries:
                verify_export(
                    folder / "ledger.jsonl",
                    folder / "heads.jsonl",
                    evidence.verifiers,
                    origin=evidence.origin,
                    reference=evidence.log.leaves(0, entries),
                )
        except LedgerUnsigned:
            return None
        except EvidenceError as error:
            return error
        return None

    def alerter(self) -> Alerter:
        """Return what follows the log for what people should hear of, and has it sent, as a service of this machine."""
        import socket

        from interlock.alerts.watcher import Alerter
        from interlock.kernel.clock import system_clock
        from interlock.loops import files
        from interlock.loops.places import LoopPlaces
        from interlock.workspace.alert_probes import probes

        host = socket.gethostname()
        return Alerter(
            alerts=self.alerts,
            files=files,
            log=self.event_log,
            actor=Actor(principal=Principal(PrincipalKind.SERVICE, f"alerter@{host}"[:128])),
            clock=system_clock,
            probes=probes(
                self.settings.alerts, self.approval, self.runs, self.queue_look, self._unverified, truths=self.truths
            ),
            manager=lambda repo, loop: LoopPlaces.of(repo, loop).manager,
        )

    @cached_property
    def loops(self) -> Loops:
        """Agent loops: what is looked after, and the log of what happens to them."""
        from interlock.kernel.clock import system_clock
        from interlock.loops.service import Loops

        return Loops(
            root=str(self.layout.root),
            runs=str(self.layout.loops),
            recent_runs=self._recent_runs,
            open=self.desks.loops.open,
            look=self.desks.loops.look,
            new_ulid=self.new_ulid,
            clock=system_clock,
            environment=os.environ,
            thawed=self._thawed,
        )

    def _recent_runs(self) -> list[str]:
        from interlock.runs.models import RunStatus

        under_way = self.runs.list(status=RunStatus.RUNNING, limit=_MOST_RUNS_SEEN)
        return list(dict.fromkeys(run.id for run in (*under_way, *self.runs.list(limit=_LAST_RUNS_SEEN))))

    def supervisor(self) -> Supervisor:
        """Return what reconciles every loop that is looked after, as a service of this machine."""
        import socket

        from interlock.loops.supervisor import Supervisor

        host = socket.gethostname()
        options = self.settings.loops
        return Supervisor(
            loops=self.loops,
            actor=Actor(principal=Principal(PrincipalKind.SERVICE, f"supervisor@{host}"[:128])),
            interval_seconds=options.interval_seconds,
            most_seconds=options.most_seconds,
            at_once=options.at_once,
        )

    @cached_property
    def inbox(self) -> Inbox:
        """What waits for a person, in every room."""
        from interlock.inbox.fleet import lost, troubled
        from interlock.inbox.service import Inbox

        return Inbox(
            look=self.desks.inbox.look,
            panic=self._panicked,
            lost=lambda: lost(self.queue_look),
            loops=lambda: troubled(self.loops),
            run_seconds=lambda: self.settings.alerts.run_seconds,
        )

    def inbox_shown(self, actor: Actor, *, most: int) -> JsonObject:
        """Return that as it is shown to a caller on this machine."""
        from interlock.access.local import local_role
        from interlock.inbox.models import Looker
        from interlock.inbox.shown import show_inbox

        human = actor.principal.kind is PrincipalKind.HUMAN
        return show_inbox(self.inbox.list(most=most), Looker(local_role(actor.principal).value, human))

    def _panicked(self) -> PanicRow | None:
        from interlock.inbox.ports import PanicRow

        panic = self.access.panic()
        return None if panic is None else PanicRow(panic.by, panic.reason, panic.since_ms)

    @cached_property
    def delivery(self) -> Delivery:
        """Pipelines, deployments, and the files of seed 3 that follow them."""
        from interlock.delivery import Delivery

        return Delivery(
            layout=self.layout,
            settings=self.settings,
            database=self.database,
            new_ulid=self.new_ulid,
            log=self.event_log,
            attest=self.attest,
            agent_key=self.keyring.ensure_agent,
            keys=self.signing.directory,
            catch_up=lambda actor: _log_all(self.catch_up(actor)),
            sign_head=self._sign_head,
            tell=self.tell,
        )

    def _sign_head(self) -> None:
        """Sign the log; in a workspace whose log key is kept elsewhere, somebody else does."""
        if self.signing.signs_log:
            self.evidence.head()

    @property
    def pipelines(self) -> Pipelines:
        """Definitions and runs of pipelines."""
        return self.delivery.pipelines

    @property
    def deployments(self) -> Deployments:
        """Versions on their way into environments."""
        return self.delivery.deployments

    @cached_property
    def providers(self) -> Providers:
        """The models that write the content of drafts."""
        from interlock.providers.service import Providers

        return Providers(
            configuration=self._provider_configuration,
            approval=self.approval,
            adapters=_adapters(),
            options=self.settings.providers,
            environment=os.environ,
        )

    @cached_property
    def _provider_configuration(self) -> Configuration:
        from interlock.providers.configuration import Configuration, is_installed

        return Configuration(
            path=self.layout.ops / "provider.json",
            folder=self.layout.state / "provider",
            log=self.desks.providers.open,
            new_ulid=self.new_ulid,
            installed=is_installed,
        )

    @cached_property
    def runs(self) -> Runs:
        """Runs."""
        return Runs(
            open=self.desks.runs.open,
            look=self.desks.runs.look,
            light=self.desks.runs.light,
            new_ulid=self.new_ulid,
            rung=lambda: Rung(self.settings.runs.rung),
        )

    @cached_property
    def truths(self) -> Truths:
        """What is true of runs."""
        from interlock.runs.truth import check_options
        from interlock.runs.watching import Truths

        check_options(self.settings.truth)
        return Truths(
            open=self.desks.runs.open,
            look=self.desks.runs.look,
            light=self.desks.runs.light,
            options=lambda: self.settings.truth,
        )

    @cached_property
    def far_runs(self) -> FarRuns:
        """What workers without a database may do."""
        from interlock.runs.far import FarRuns

        return FarRuns(
            runs=self.runs,
            look=self.desks.runs.look,
            light=self.desks.far_runs.light,
            fleet=self.fleet,
            attest=partial(self.signing.attest, on_behalf=True),
            waits_for=self.signing.waiting(),
        )

    @property
    def queue(self) -> Callable[[Actor], AbstractContextManager[Queue]]:
        """Open the queue for writing. Which of its verbs panic freezes, each knows itself."""
        return self.desks.queue.open

    @cached_property
    def bulks(self) -> Bulks:
        """Verbs for many items, carried out in this process."""
        from interlock.kernel.clock import system_clock
        from interlock.queue.bulks import Bulks

        return Bulks(open=self.queue, look=self.queue_look, new_ulid=self.new_ulid, clock=system_clock)

    @property
    def queue_look(self) -> Callable[[], AbstractContextManager[Queue]]:
        """Open the queue for reading."""
        return self.desks.queue.look

    def beside(self, target: str) -> Interlock:
        """Return the rooms over the database that `--db` names: the workspace's own, or one with its own log.

        A queue of the earlier tools is upgraded by the first write, in place, after a backup.
        """
        if target not in self._others:
            self._others[target] = self._over(target)
        return self._others[target]

    @cached_property
    def _others(self) -> dict[str, Interlock]:
        return {}

    def _over(self, target: str) -> Interlock:
        from interlock.reading import is_server
        from interlock.settings import resolved_address

        if is_server(target):
            from interlock.storage.postgres.database import PostgresDatabase

            url = resolved_address(target, "--db")
            return (
                self
                if url == self.settings.database_url()
                else replace(self, database=PostgresDatabase(url), ours=False)
            )
        from interlock.storage.sqlite.database import SqliteDatabase
        from interlock.storage.sqlite.reading import SqliteReading

        SqliteReading(target).standing(0)  # says what is wrong before anything is written
        path = Path(target).resolve()
        if path == self.layout.database.resolve() and not self.settings.database.url:
            return self
        database = SqliteDatabase(path, adopts_as=f"interlock.local/{self.new_ulid().lower()}")
        return replace(self, database=database, ours=False)

    def close(self) -> None:
        """Close the database, and those beside it."""
        if "bulks" in self.__dict__:
            self.bulks.close()
        if "presence" in self.__dict__:
            with suppress(InterlockError):
                self.presence.leave()
        if "access" in self.__dict__:
            self.access.settle()
        self.database.close()
        for other in self._others.values():
            other.database.close()

    # --- the fleet ----------------------------------------------------------------------------------------------------

    @cached_property
    def fleet(self) -> Fleet:
        """The nodes of this database, who leads what, and the configuration of all."""
        from interlock.fleet.service import Fleet

        return Fleet(
            open=self.desks.fleet.open,
            look=self.desks.fleet.look,
            light=self.desks.fleet.light,
            validate=_check_configuration,
        )

    @cached_property
    def presence(self) -> Presence:
        """This process's part in its node; refuses where the node file is another machine's."""
        import socket

        from interlock.fleet.identity import node_id
        from interlock.fleet.models import Process
        from interlock.fleet.presence import Presence
        from interlock.runs.containment.processes import boot_id, start_time_of

        node_id(self.layout.state, self.new_ulid)
        host = socket.gethostname()
        me = Process(
            id=f"process-{self.new_ulid()}",
            host=host,
            boot_id=boot_id(),
            pid=os.getpid(),
            start_time=start_time_of(os.getpid()) or 0,
        )
        return Presence(
            fleet=self.fleet,
            actor=Actor(principal=Principal(PrincipalKind.SERVICE, f"node@{host}"[:128])),
            me=me,
            facts=self._facts,
            adopt=self.adopt_configuration,
            beat_seconds=self.settings.fleet.beat_seconds,
            config_version=self.followed.version,
            waits_for=self.signing.waiting(),
        )

    def admit_keys(self) -> None:
        """Tell the log of keys that nodes asked for, where its own key lies and this process is the one that signs."""
        if not self.signing.signs_log or not (waiting := self.fleet.keys_asked()):
            return
        term = self.reign("sign", lazy=True).hold()
        if term is None:
            return
        from interlock.evidence.errors import EvidenceError
        from interlock.evidence.joining import KEEPER, admitted

        log, led = self.signing.log_signer(), self.led(term)
        for each in waiting:
            try:
                event, envelope = admitted(each.envelope, each.name, each.vkey, each.reason, log)
            except EvidenceError as error:
                _log_all([f"the key {each.name} is not added: {error.message}"])
                continue
            with led.database.write(KEEPER) as transaction:
                from interlock.storage.approval import StoredContents
                from interlock.storage.fleet import StoredKeys

                StoredContents(transaction).put(envelope)
                StoredKeys(transaction).grant(each.name)
                transaction.emit(event)
        self.database.seal()

    def _facts(self) -> Facts:
        import socket

        from interlock import __version__
        from interlock.fleet.capabilities import capabilities, has_namespaces
        from interlock.fleet.identity import node_id
        from interlock.fleet.models import Facts, checked_labels, node_name
        from interlock.runs.containment.processes import boot_id

        host, options = socket.gethostname(), self.settings.worker
        held = has_namespaces(wanted=options.namespaces != "never")
        return Facts(
            id=node_id(self.layout.state, self.new_ulid),
            name=node_name(self.settings.node.name, host),
            host=host,
            boot_id=boot_id(),
            version=__version__,
            capabilities=capabilities(os.environ.get("PATH"), namespaces=held),
            labels=checked_labels(self.settings.node.labels),
            concurrency=options.concurrency,
        )

    def reign(self, role: str, *, lazy: bool = False) -> Reign:
        """Return this process's hold on a role; a `lazy` one is asked for only now and then, for a chore."""
        from interlock.fleet.leading import Reign
        from interlock.runs.containment.processes import is_alive

        def dead(other: Process) -> bool:
            here = (other.host, other.boot_id) == (self.presence.me.host, self.presence.me.boot_id)
            return here and not is_alive(other.pid, other.start_time, other.boot_id)

        seconds = self.settings.fleet.leader_seconds
        if not lazy and not self.settings.database.url:
            seconds = max(seconds, _ONE_HOST_TERM_SECONDS)
        if role not in self._reigns:
            self._reigns[role] = Reign(
                fleet=self.fleet, role=role, me=self.presence.me, lease_seconds=seconds, dead=dead
            )
        return self._reigns[role]

    @cached_property
    def _reigns(self) -> dict[str, Reign]:
        return {}

    def adopt_configuration(self) -> tuple[int, str]:
        """Take over the newest configuration: at once what can be, and say what only a restart brings."""
        from interlock.evidence import publish
        from interlock.fleet.errors import ConfigUnknown
        from interlock.fleet.service import digest_of
        from interlock.settings import followed_file

        newest = self.fleet.newest()
        if newest is None:
            raise ConfigUnknown
        if digest_of(newest.body) != newest.digest:
            raise Invalid(f"configuration {newest.version} is not what its digest says")
        followed = Followed(version=newest.version, digest=newest.digest, body=newest.body)
        settings = load(self.layout.root, followed=followed)
        settings = replace(settings, database=self.settings.database, windows=self.settings.windows)
        name, data = followed_file(followed)
        publish.replace(self.layout.state / name, [data], mode=0o600)
        changed = [each for each in _AT_START if getattr(settings, each) != getattr(self.settings, each)]
        object.__setattr__(self, "settings", settings)  # everything else of a house stays as it is
        object.__setattr__(self, "followed", followed)
        for room in _ROOMS_WITH_OPTIONS:
            self.__dict__.pop(room, None)
        for adopted in self._adopters:
            adopted()
        needed = [each for each in changed if each in self._at_start]
        self._at_start_changed.update(needed)
        told = ", ".join(f"[{each}]" for each in sorted(self._at_start_changed))
        return followed.version, f"restart needed for {told}" if told else ""

    def settings_shown(self) -> list[dict[str, Any]]:
        """List every setting that holds here, and where it comes from; secrets of an address are left out."""
        from interlock.access.redaction import redact
        from interlock.settings import origins

        found = origins(self.layout.root, os.environ)
        return [
            {"section": name, "key": key, "value": redact(value) if isinstance(value, str) else value, "origin": where}
            for name, key, value, where in found
        ]

    @cached_property
    def _adopters(self) -> list[Callable[[], None]]:
        """What applies new settings to what works already."""
        return []

    @cached_property
    def _at_start(self) -> set[str]:
        """The sections that are read when something is started which works in this process."""
        return set()

    @cached_property
    def _at_start_changed(self) -> set[str]:
        return set()

    def purge_runs(self, actor: Actor, *, older_than_ms: int) -> list[str]:
        """Put runs that ended so long ago into the archive; returns their ids."""
        from interlock.workspace.archive import Archive

        return list(Archive(self.layout, self.runs).purge(actor, self.now() - older_than_ms))

    @cached_property
    def signing(self) -> Signing:
        """Who signs what here."""
        from interlock.signing import Signing

        return Signing(self.layout, self.database)

    @property
    def evidence(self) -> Evidence:
        """The sealed log; without the log's private key it can be read and not signed."""
        return self.signing.evidence

    @property
    def event_log(self) -> StoredLog:
        """The log of events, as it is sealed."""
        return self.signing.log

    @property
    def keyring(self) -> Keyring:
        """The keys that sign, and what the log says of them."""
        return self.signing.keyring

    @property
    def attest(self) -> Attest:
        """What signs statements."""
        return self.signing.attest

    @cached_property
    def windows(self) -> Windows:
        """The files in the places that the seeds name."""
        from interlock.storage.evidence import StoredLog
        from interlock.workspace.windows import Windows

        return Windows(
            layout=self.layout,
            log=StoredLog(self.database),
            approval=self.approval,
            runs=self.runs,
            tell=self.tell,
        )

    def catch_up(self, actor: Actor) -> tuple[str, ...]:
        """Bring everything that follows the log up to its end; returns what differs and was left alone."""
        from interlock.storage.queue import StoredHistory

        StoredHistory(self.database).keep_up()
        if not self.ours:
            return ()
        journal = self._journal(actor)
        journal.complete_all()
        waiting = self._provider_configuration.complete(actor)
        size = self.event_log.size()
        found = (*self.windows.catch_up(actor), *self.delivery.windows.catch_up(actor))
        if self.event_log.size() > size:  # what was completed was told, and that is an entry of the ledger, too
            self.windows.catch_up(actor)
        differs = [f"{each}; see `interlock windows verify` and `interlock evidence verify`" for each in found]
        return (*journal.warnings, *waiting, *differs, *self._queue_windows.catch_up())

    @cached_property
    def _queue_windows(self) -> QueueWindows:
        from interlock.storage.evidence import StoredLog
        from interlock.workspace.queue_window import QueueWindows

        return QueueWindows(self.layout, StoredLog(self.database), self._item_rows)

    def _item_rows(self) -> list[Mapping[str, str]]:
        from interlock.queue.exchange import as_rows

        with self.queue_look() as queue:
            return list(as_rows(queue))

    def own_queue_window(self, path: Path, *, owned: bool) -> None:
        """Let a Markdown queue follow the workspace's database from now on, or no longer."""
        if not self.ours:
            raise Invalid("only the workspace's own database keeps a Markdown queue up to date")
        if owned:
            self._queue_windows.own(path)
        else:
            self._queue_windows.disown(path)

    @property
    def places(self) -> Layout:
        """Where the workspace's files lie."""
        return self.layout

    def markdown(self, path: str | Path, actor: Actor) -> MarkdownQueue:
        """Return a Markdown queue; what lies in the workspace tells its changes to the log."""
        from interlock.queue.markdown_service import MarkdownQueue

        # realpath, unlike resolve, has no trouble with a loop of links: reading it will say what is wrong
        inside = Path(os.path.realpath(path)).is_relative_to(self.layout.root.resolve())
        return MarkdownQueue(path, journal=self._journal(actor), thawed=self._thawed) if inside else MarkdownQueue(path)

    def _journal(self, actor: Actor) -> Journal:
        from interlock.queue.markdown_journal import Journal, ends

        return Journal(
            root=self.layout.root,
            folder=self.layout.intents,
            tell=lambda event: self.tell(actor, event, calming=ends(event)),
            by=str(actor.principal),
        )

    def tell(self, actor: Actor, event: Event, *, calming: bool | None = None) -> None:
        """Log an event that changes no row; while panic is on only where that is `calming`, as its kind says."""
        with self.database.write(actor, calming=event.calming if calming is None else calming) as transaction:
            transaction.emit(event)

    def _thawed(self) -> None:
        """Raise `Frozen` while panic is on; what the database can not be asked about is not frozen."""
        try:
            with self.database.read() as transaction:
                transaction.thawed()
        except Frozen:
            raise
        except InterlockError:
            return

    @cached_property
    def results(self) -> Results:
        """What runs brought about, on its way to people."""
        from interlock.runs.results import Results

        return Results(runs=self.runs, look=self.desks.approval.look, mirrors=self._mirrors, thawed=self._thawed)

    @cached_property
    def receipts(self) -> Receipts:
        """What outsiders get to check how runs ended."""
        from interlock.runs.results import Receipts

        return Receipts(
            runs=self.runs, look=self.desks.approval.look, log=self.event_log, evidence=lambda: self.evidence
        )

    @property
    def evidence_folder(self) -> Path:
        """Where the exported log lies."""
        return self.layout.evidence

    def worker(
        self, *, once: bool = False, concurrency: int | None = None, probe: Callable[[str], None] = lambda _: None
    ) -> Worker:
        """Return a worker of this process; refuses when it could not sign what it will have to sign."""
        import os
        import socket

        from interlock.engines.local import Worker
        from interlock.queue.models import WorkerProcess
        from interlock.runs.containment.processes import boot_id, start_time_of

        self.signing.service_signer()
        if self.signing.signs_log:
            self.signing.log_signer()
        host = socket.gethostname()
        actor = Actor(principal=Principal(PrincipalKind.SERVICE, f"worker@{host}"[:128]))
        me = WorkerProcess(
            id=f"worker-{self.new_ulid()}",
            host=host,
            boot_id=boot_id(),
            pid=os.getpid(),
            start_time=start_time_of(os.getpid()) or 0,
        )
        options = self.settings.worker
        bench = self._bench(actor, probe)
        links = self._links(actor)
        reconciler = self._reconciler(me, actor, probe)
        worker = Worker(
            me=me,
            reconciler=reconciler,
            runs=self.runs,
            bench=bench,
            links=links,
            concurrency=options.concurrency if concurrency is None else concurrency,
            lease_seconds=self.settings.queue.lease_seconds,
            once=once,
        )

        def adopted() -> None:
            """Let runs that begin from now on, and leases, be as the new settings say."""
            worker.bench = replace(worker.bench, options=self._run_options())
            worker.lease_seconds = self.settings.queue.lease_seconds
            if concurrency is None:
                worker.concurrency = self.settings.worker.concurrency
            reconciler.options = self.settings.truth
            reconciler.grace_seconds = self.settings.worker.grace_seconds

        self._at_start.add("fleet")
        self._adopters.append(adopted)
        return worker

    def _bench(self, actor: Actor, probe: Callable[[str], None]) -> Bench:
        """Return what a worker has at hand to carry out runs."""
        from interlock.access.tokens import without_tokens
        from interlock.kernel.clock import system_clock
        from interlock.runs.repositories import Worktrees
        from interlock.runs.steps import Bench

        return Bench(
            runs=self.runs,
            actor=actor,
            attest=self.attest,
            mirrors=self._mirrors,
            worktrees=Worktrees(self.layout.worktrees),
            state=self.layout.state,
            windows=self.layout.ops,
            folder=self.layout.runs,
            options=self._run_options(),
            now=system_clock,
            environment=without_tokens(os.environ),
            hidden=self._secret_files(),
            probe=probe,
        )

    def _secret_files(self) -> tuple[Path, ...]:
        """Return the files by which a worker proves who it is: no agent reads them."""
        temporal = self.settings.temporal
        return tuple(Path(name).absolute() for name in (temporal.api_key_file, temporal.tls_key_file) if name)

    def _links(self, actor: Actor) -> Links:
        """Return what a worker needs of the house."""
        from interlock.engines.local import Links
        from interlock.kernel.clock import system_clock
        from interlock.workspace.run_loops import RunLoops

        return Links(
            queue=lambda: self.queue(actor),
            look=self.queue_look,
            listen=self.database.listen,
            wrote=lambda: _log_all(self.catch_up(actor)),
            seal=self.database.seal,
            sign=lambda: self._sign(actor),
            alive=lambda runs: RunLoops(self.layout, self.runs).beat(runs, system_clock()),
            archive=lambda: self._archive(actor),
            promote=lambda: self._promote(actor),
            presence=self.presence,
            watch=self._look_around(actor),
        )

    def _reconciler(self, me: WorkerProcess, actor: Actor, probe: Callable[[str], None]) -> Reconciler:
        """Return who says of every run what is true of it, as this machine sees it."""
        from interlock.engines.reconciler import Machine, Reconciler

        return Reconciler(
            me=me,
            truths=self.truths,
            actor=actor,
            sight=Machine(worktrees=self.layout.worktrees, mirrors=self.layout.mirrors),
            options=self.settings.truth,
            grace_seconds=self.settings.worker.grace_seconds,
            node_id=lambda: self.presence.node_id,
            probe=lambda point: probe(f"reconcile.{point}"),
        )

    def _run_options(self) -> RunOptions:
        from interlock.runs.options import RunOptions

        options = self.settings.worker
        return RunOptions(
            namespaces=options.namespaces,
            grace_seconds=options.grace_seconds,
            visible=tuple(Path(each) for each in options.visible),
            rung=Rung(self.settings.runs.rung),
        )

    def _look_around(self, actor: Actor) -> Callable[[], None]:
        watch = self._watch(actor)

        def look() -> None:
            with suppress(NotLeader, Frozen):
                if watch.turn() and self.settings.database.url:  # nobody joins a database that is a file
                    self.admit_keys()

        return look

    def _watch(self, actor: Actor) -> Watch:
        from interlock.fleet.watch import Silence, Watch

        return Watch(
            fleet=self.fleet,
            actor=actor,
            node_id=lambda: self.presence.node_id,
            lead=lambda: self.reign("nodes").hold(),
            silence=Silence(lost_seconds=self.settings.fleet.lost_seconds),
        )

    def parts(self) -> list[Part]:
        """Return what works beside a server and its worker: what one process of all nodes does, and its presence.

        Loops are folders of a machine, so each node supervises its own; two processes of one node do not.
        """
        from interlock.fleet.leading import Led

        self._at_start.update(each for each in _AT_START if each != "temporal")  # which its worker alone reads
        carrier = self.delivery.carrier()
        # A machine that joined has no keys of the agents that sign for checkpoints.
        carrier.leads = lambda: not self.layout.has_joined and self.reign("carrier", lazy=True).hold() is not None
        supervisors = self.reign(f"supervisor@{self._facts().id}")
        return [
            Led(name="supervisor", reign=supervisors, make=lambda term: self.led(term).supervisor()),
            Led(name="alerter", reign=self.reign("alerter"), make=lambda term: self.led(term).alerter()),
            carrier,
            self.presence,
        ]

    def worker_of(
        self,
        engine: str,
        *,
        once: bool = False,
        concurrency: int | None = None,
        temporal_address: str = "",
        temporal_namespace: str = "",
    ) -> Worker | TemporalWorker:
        """Return a worker of this process on an engine, `local` or `temporal`; empty for the one of the settings."""
        engine = engine or self.settings.worker.engine
        if engine not in get_args(Engine):
            raise Invalid(f"there is no engine {engine[:20]!a}; there are {', '.join(get_args(Engine))}")
        if engine == "temporal":
            return self.temporal_worker(
                once=once, concurrency=concurrency, address=temporal_address, namespace=temporal_namespace
            )
        if temporal_address or temporal_namespace:
            raise Invalid("--temporal-address and --temporal-namespace go with --engine temporal")
        return self.worker(once=once, concurrency=concurrency)

    def temporal_worker(
        self,
        *,
        once: bool = False,
        concurrency: int | None = None,
        address: str = "",
        namespace: str = "",
        probe: Callable[[str], None] = lambda _: None,
    ) -> TemporalWorker:
        """Return a worker of this process whose runs go on as workflows; raises `TemporalExtraMissing`."""
        from interlock.engines.temporal.errors import TemporalExtraMissing
        from interlock.engines.temporal.options import TemporalOptions

        try:
            from interlock.engines.temporal.worker import TemporalWorker
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "temporalio":
                raise
            raise TemporalExtraMissing from None
        keeper, settings = self.worker(concurrency=0, probe=probe), self.settings.temporal
        self._at_start.add("temporal")
        options = TemporalOptions(
            address=address or settings.address,
            namespace=namespace or settings.namespace,
            task_queue=settings.task_queue or f"interlock:{self.event_log.origin()}",
            tls=settings.tls,
            tls_ca_file=settings.tls_ca_file,
            tls_certificate_file=settings.tls_certificate_file,
            tls_key_file=settings.tls_key_file,
            api_key_file=settings.api_key_file,
            lease_seconds=settings.lease_seconds,
            heartbeat_seconds=settings.heartbeat_seconds,
            take_up_seconds=settings.take_up_seconds,
            sweep_seconds=settings.sweep_seconds,
        )
        return TemporalWorker(
            me=keeper.me,
            runs=self.runs,
            bench=keeper.bench,
            keeper=keeper,
            options=options,
            concurrency=self.settings.worker.concurrency if concurrency is None else concurrency,
            once=once,
        )

    def _archive(self, actor: Actor) -> None:
        """Put what ended long ago into the archive, where that is wanted."""
        after = self.settings.runs.archive_after_seconds
        if not after or (term := self.reign("archive", lazy=True).hold()) is None:
            return
        if self.led(term).purge_runs(actor, older_than_ms=after * 1000):
            _log_all(self.catch_up(actor))

    def _promote(self, actor: Actor) -> None:
        """Let be claimed what is due, where this process is the one that does; a claim that finds nothing does, too."""
        term = self.reign("promote", lazy=True).hold()
        if term is not None:
            with self.led(term).queue(actor) as queue:
                queue.promote()

    def _sign(self, actor: Actor) -> None:
        """Sign the log and show the head."""
        if not self.signing.signs_log:
            return
        term = self.reign("sign", lazy=True).hold()
        if term is None:
            return
        with suppress(NotLeader):
            self.led(term).evidence.head()
        _log_all(self.windows.catch_up(actor))

    def led(self, term: Term) -> Interlock:
        """Return these rooms, writing only as long as a term holds."""
        from interlock.storage.fleet import LedDatabase

        return replace(self, database=LedDatabase(self.database, term))

    @cached_property
    def _mirrors(self) -> Mirrors:
        from interlock.runs.repositories import Git, Mirrors

        return Mirrors(git=Git(scratch=self.layout.state / "git"), folder=self.layout.mirrors)

    # --- ports --------------------------------------------------------------------------------------------------------

    def pin(self, work: Work) -> Work:
        """Find out which commit is meant."""
        if work.repository is None and work.base_ref is None:
            return work
        from interlock.runs.repositories.pin import pinned

        return pinned(work)

    def made_once(self, actor: Actor, once: Once) -> Noted | None:
        """Return what a principal has made under a key of its own."""
        with self.database.read() as transaction:
            return transaction.made(str(actor.principal), once)

    def now(self) -> int:
        """Return the database's time, in milliseconds since the epoch."""
        with self.database.read() as transaction:
            return transaction.now()


def _adapters() -> Mapping[ProviderType, Callable[[], Adapter]]:
    from interlock.providers.models import ProviderType

    def openai_compat() -> Adapter:
        from interlock.providers.adapters.openai_compat import OpenAiCompatible

        return OpenAiCompatible()

    def anthropic() -> Adapter:
        from interlock.providers.adapters.anthropic import AnthropicMessages

        return AnthropicMessages()

    def gemini() -> Adapter:
        from interlock.providers.adapters.gemini import Gemini

        return Gemini()

    return {
        ProviderType.OPENAI_COMPAT: openai_compat,
        ProviderType.ANTHROPIC: anthropic,
        ProviderType.GEMINI: gemini,
    }


def _log_all(sentences: Sequence[str]) -> None:
    import logging

    for sentence in sentences:
        logging.getLogger("interlock.windows").warning("%s", sentence)


def open_database(layout: Layout, settings: Settings, *, now: Clock | None = None) -> Database:
    """Return the workspace's database; opens nothing yet."""
    url = settings.database_url()
    if url:
        from interlock.storage.postgres.database import PostgresDatabase

        return PostgresDatabase(url, now=now)
    from interlock.kernel.clock import system_clock
    from interlock.storage.sqlite.database import SqliteDatabase

    return SqliteDatabase(layout.database, now=now or system_clock, wake_folder=layout.wake)


def _check_configuration(text: str) -> None:
    """Refuse what can not be published for all nodes, or what everybody would read."""
    from interlock.access.redaction import redact
    from interlock.runs.truth import check_options
    from interlock.settings import published

    check_options(published(text).truth)
    if redact(text) != text:
        raise Invalid("the configuration holds a secret, which every node would keep", hint="name it by reference")
