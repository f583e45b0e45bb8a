"""Pipelines, deployments and the files that follow them, plugged together for one workspace."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from interlock.access.models import Actor, Principal, PrincipalKind
from interlock.evidence.content import named_envelope
from interlock.kernel.errors import InterlockError
from interlock.kernel.events import Event
from interlock.kernel.ids import UlidSource
from interlock.settings import Settings
from interlock.workspace.layout import Layout

if TYPE_CHECKING:
    from interlock.approval.ports import Attest
    from interlock.evidence.directory import Key, KeyDirectory
    from interlock.pipelines.carrying import Carrier
    from interlock.pipelines.declared import Declared
    from interlock.pipelines.deployments import Deployments
    from interlock.pipelines.healing_events import SelfHealReported
    from interlock.pipelines.jobs import Workshop
    from interlock.pipelines.models import Artefact
    from interlock.pipelines.ports import AgentKey, Desk, Publish
    from interlock.pipelines.running import Runner
    from interlock.pipelines.service import Pipelines
    from interlock.storage.database import Database, Transaction
    from interlock.storage.evidence import StoredLog
    from interlock.workspace.pipeline_windows import PipelineWindows

_OPERATOR: Final = "operator"


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """The delivery rooms of one workspace. What they share with the others is given to them by `app`."""

    layout: Layout
    settings: Settings
    database: Database
    new_ulid: UlidSource
    log: StoredLog
    attest: Attest
    agent_key: AgentKey
    keys: Callable[[], KeyDirectory]
    """Reads what the log says of keys by now."""
    catch_up: Publish
    """Brings every file that follows the log up to its end."""
    sign_head: Callable[[], None]
    tell: Callable[[Actor, Event], None]

    # --- rooms --------------------------------------------------------------------------------------------------------

    @cached_property
    def pipelines(self) -> Pipelines:
        """Definitions and runs of pipelines."""
        from interlock.kernel.clock import system_clock
        from interlock.pipelines.checkpoints import Gate
        from interlock.pipelines.report import REPORT_PATH
        from interlock.pipelines.service import Pipelines

        return Pipelines(
            root=self.layout.root,
            open=self._open,
            look=self._look,
            new_ulid=self.new_ulid,
            declared=self.declared,
            gate=Gate(
                root=self.layout.root,
                open_envelope=self._open_envelope,
                key_stands=self._key_stands,
                growing={REPORT_PATH: self._report_wrong},
            ),
            attest=self.attest,
            agent_key=self.agent_key,
            publish=self.publish,
            report_rows=self._report_rows,
            commit_of=self._commit,
            clock=system_clock,
            options=self.settings.pipelines,
        )

    @cached_property
    def declared(self) -> Declared:
        """What the workspace's files declare."""
        from interlock.pipelines.declared import Declared

        return Declared(root=self.layout.root, environment=os.environ)

    @cached_property
    def deployments(self) -> Deployments:
        """Deployments."""
        from interlock.kernel.clock import system_clock
        from interlock.pipelines.deployments import Deployments

        return Deployments(
            root=self.layout.root,
            locks=self.layout.state / "deployments",
            open=self._open,
            look=self._look,
            new_ulid=self.new_ulid,
            judge=self.declared,
            keep=self.pipelines.keep,
            check_promotion=self.pipelines.check_promotion,
            record_outcome=self.pipelines.record_outcome,
            operator=lambda: self.declared.roles().role(_OPERATOR),
            shop=self._workshop(),
            clock=system_clock,
        )

    @cached_property
    def windows(self) -> PipelineWindows:
        """The evidence files of seed 3."""
        from interlock.workspace.pipeline_windows import PipelineWindows

        return PipelineWindows(layout=self.layout, log=self.log, tell=self.tell)

    def accept_shipped(self, actor: Actor) -> None:
        """Accept, in a person's name, the shipped definitions that nobody has accepted and nobody has edited."""
        from interlock.pipelines.definitions import FOLDER
        from interlock.pipelines.deployment_definitions import FOLDER as DEPLOYMENTS
        from interlock.workspace.skeleton import as_shipped

        for name in self.pipelines.names():
            if as_shipped(self.layout, f"{FOLDER}/{name}.yaml") and self.pipelines.acceptance(name) is None:
                self.pipelines.accept(actor, name)
        for name in self.deployments.names():
            if (
                as_shipped(self.layout, f"{DEPLOYMENTS}/{name}.yaml")
                and self.deployments.standing(name).accepted is None
            ):
                self.deployments.accept(actor, name)

    def carrier(self) -> Carrier:
        """Return what carries out, beside the server, the runs that wait for it."""
        from interlock.pipelines.carrying import Carrier

        return Carrier(
            pipelines=self.pipelines,
            runner=lambda stopping: self.runner(halt=stopping),
            refused=lambda run_id, error: self.pipelines.refuse(self._actor(), run_id, error),
        )

    @staticmethod
    def _actor() -> Actor:
        return Actor(principal=Principal(PrincipalKind.SERVICE, f"pipelines@{socket.gethostname()}"[:128]))

    def runner(self, say: Callable[[str], None] = lambda _: None, halt: threading.Event | None = None) -> Runner:
        """Return what carries runs out in this process, as a service of this machine, until `halt` is set."""
        from interlock.pipelines.artefacts import Artefacts
        from interlock.pipelines.running import Runner

        actor = self._actor()

        def deploy(*, name: str, environment: str, version: str, pipeline_id: str) -> str:
            rooms = replace(self.deployments, say=say)
            return rooms.deploy(actor, name, environment=environment, version=version, pipeline_id=pipeline_id)

        return Runner(
            pipelines=self.pipelines,
            workshop=self._workshop(),
            artefacts=Artefacts(self.layout.root, self.layout.state / "artefacts"),
            actor=actor,
            lock=self.layout.state / "pipelines.lock",
            sign_head=self.sign_head,
            heal=self._heal,
            reported=self._reported,
            deploy=deploy,
            halt=halt or threading.Event(),
            say=say,
        )

    def _workshop(self) -> Workshop:
        from interlock.pipelines.jobs import Workshop

        options = self.settings.worker
        return Workshop(
            root=self.layout.root,
            state=self.layout.state,
            hidden=(self.layout.ops,),
            visible=tuple(Path(each) for each in options.visible),
            namespaces=options.namespaces,
            grace_seconds=options.grace_seconds,
        )

    def publish(self, actor: Actor) -> None:
        """Seal what was told, and bring every file that follows the log up to it."""
        self.database.seal()
        self.catch_up(actor)

    def tell_heal(self, actor: Actor, event: SelfHealReported) -> None:
        """Sign for a self-heal report, and tell of it."""
        from interlock.evidence.predicates import SELF_HEAL_REPORT

        told = {name: value for name, value in event.payload().items() if name != "attestation"}
        signed = self.attest(
            actor,
            predicate_type=SELF_HEAL_REPORT,
            subject=event.report,
            digest=event.report_sha256,
            predicate={**told, "attention": list(event.attention), "run_id": event.subject},
        )
        with self._open(actor, calming=True) as desk:
            desk.contents.put(named_envelope(signed.envelope))
            desk.emit(replace(event, attestation=signed.attestation))

    def _reported(self, agent: Actor, report: Mapping[str, object], found: Artefact) -> None:
        from interlock.pipelines.self_heal import reported

        self.tell_heal(agent, reported(report, found.sha256, found.path))

    def _heal(self, output: Path) -> object:
        """Look over the workspace from here, where nothing is hidden."""
        from interlock.kernel.clock import system_clock
        from interlock.pipelines import self_heal
        from interlock.pipelines.checks import Place

        place = Place.at(self.layout.root, clock=system_clock, environment=os.environ)
        place = replace(place, state=self.layout.state, keys=self.layout.keys, hidden="")
        self._check_output(self_heal.output_path(self.layout.root, str(output)))
        return self_heal.heal(place, output=output)

    def _check_output(self, output: Path) -> None:
        """Refuse to write a report where no job may write: nothing contains us, and a job may have made a link."""
        from interlock.pipelines.healing_errors import OutputForbidden
        from interlock.pipelines.report import FOLLOWING, GOVERNING
        from interlock.pipelines.self_heal import METRICS

        top = self.layout.root.resolve()
        for path in (output, output.parent / METRICS):
            place = path.parent.resolve() / path.name
            kept = any(place.is_relative_to(top / each) for each in (*FOLLOWING, *GOVERNING))
            if kept or not place.is_relative_to(top):
                raise OutputForbidden(f"no report is written to {place}")

    # --- what checkpoints are held against ----------------------------------------------------------------------------

    def _open_envelope(self, data: bytes, role: str, agent_id: str) -> Mapping[str, object]:
        from interlock.evidence.dsse import open_envelope

        own = [key.verifier for key in self.keys().keys.values() if _is_of(key, role, agent_id) and not key.ended]
        return open_envelope(data, own)[0]

    def _key_stands(self, keyid: str, role: str, agent_id: str) -> str | None:
        found = self.keys().named(keyid)
        own = [key for key in found if _is_of(key, role, agent_id)]
        if not own:
            return "wrong_role" if found else "unknown"
        return "revoked" if all(key.ended for key in own) else None

    def _report_wrong(self) -> str | None:
        from interlock.pipelines.report import HEAD, REPORT_PATH, explain_difference, render_row

        rows = [render_row(index, leaf_hash, event) for index, leaf_hash, event in self.log.outcome_events()]
        try:
            found = (self.layout.root / REPORT_PATH).read_bytes()
        except OSError as error:
            return f"it can not be read: {error.strerror}"
        expected = HEAD + b"".join(rows)
        if found == expected:
            return None
        told = explain_difference(found.decode("utf-8", "replace"), expected.decode("utf-8"))
        return told or "it is not what the ledger renders"

    def _report_rows(self, pipeline_id: str) -> int:
        return sum(event["payload"].get("workflow") == pipeline_id for _, _, event in self.log.outcome_events())

    def _commit(self) -> str:
        """Name the commit of the repository that the workspace is in; empty where it is in none."""
        from interlock.runs.repositories.git import Git
        from interlock.runs.repositories.local import locate

        with suppress(InterlockError):
            return locate(Git(scratch=self.layout.state / "git"), self.layout.root).head or ""
        return ""

    # --- transactions -------------------------------------------------------------------------------------------------

    @contextmanager
    def _open(self, actor: Actor, *, calming: bool = False) -> Generator[Desk]:
        with self.database.write(actor, calming=calming) as transaction:
            yield _desk(transaction)

    @contextmanager
    def _look(self) -> Generator[Desk]:
        with self.database.read() as transaction:
            yield _desk(transaction)


def _is_of(key: Key, role: str, agent_id: str) -> bool:
    return (key.purpose, key.role, key.owner) == ("agent", role, f"agent:{agent_id}")


def _desk(transaction: Transaction) -> Desk:
    from interlock.pipelines.ports import Desk
    from interlock.storage.approval import StoredContents
    from interlock.storage.pipelines import StoredAcceptances, StoredDeployments, StoredPipelines

    return Desk(
        pipelines=StoredPipelines(transaction),
        deployments=StoredDeployments(transaction),
        acceptances=StoredAcceptances(transaction),
        contents=StoredContents(transaction),
        emit=transaction.emit,
        now=transaction.now,
    )
