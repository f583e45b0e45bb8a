"""The way to Temporal: a connection with its own thread, and what is asked of the server."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from temporalio import activity
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client, TLSConfig, WorkflowExecutionStatus
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import PollerBehaviorSimpleMaximum, Worker

from interlock.engines.temporal.errors import TemporalFileUnreadable, TemporalUnreachable
from interlock.engines.temporal.options import TemporalOptions
from interlock.engines.temporal.workflow import CANCELLED, SETTLE, STEP, WORKFLOW, Order, RunWorkflow

_LOG = logging.getLogger("interlock.worker")
_RPC = timedelta(seconds=5)
_CALL_SECONDS = 15.0
"""The client tries a call again by itself; behind this we take the server to be away."""
_RETRY_SECONDS = 1.0
_HEARTBEATS = 4
_TASK_SECONDS = 10
"""How long at most a workflow waits for one worker process to say what comes next, before it asks another."""
_MOST_STEPS = 1_000
"""How many steps one process can be asked for at once; claims are what bounds them."""
ATTRIBUTES = ("InterlockRun", "InterlockApproval", "InterlockRepository")
_Answer = TypeVar("_Answer")


class Found(Enum):
    """What Temporal knows of a workflow."""

    OPEN = "open"
    MISSING = "missing"
    CANCELLED = "cancelled"
    TERMINATED = "terminated"
    CLOSED = "closed"
    """It ended in any other way."""


_CLOSED = {
    WorkflowExecutionStatus.CANCELED: Found.CANCELLED,
    WorkflowExecutionStatus.TERMINATED: Found.TERMINATED,
    WorkflowExecutionStatus.RUNNING: Found.OPEN,
    WorkflowExecutionStatus.CONTINUED_AS_NEW: Found.OPEN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What this process does when a workflow asks."""

    step: Callable[[Order, str], Future[str]]
    settle: Callable[[Order, str], str]


class _Missing(Exception):
    """There is no such workflow."""


class _Malformed(Exception):
    """The server does not understand a request."""


def workflow_id(run_id: str, fence: int) -> str:
    """Return the name of the workflow of one claim of a run."""
    return f"{run_id}:{fence}"


@dataclass(slots=True, kw_only=True)
class Temporal:
    """One process's connection; its methods are called from other threads and raise `TemporalUnreachable`."""

    options: TemporalOptions
    queue: str
    """The task queue of this process alone."""
    answers: Answers
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _thread: threading.Thread | None = None
    _client: Client | None = None
    _attributes: bool = False
    _ending: asyncio.Event = field(default_factory=asyncio.Event)
    _ready: threading.Event = field(default_factory=threading.Event)
    _said: str = ""

    def start(self) -> None:
        """Begin to connect; it goes on beside us until it works, and says once why it does not."""
        self._thread = threading.Thread(target=self._live, name="temporal", daemon=True)
        self._thread.start()

    def ready(self, seconds: float = 0.0) -> bool:
        """Say whether there has been a connection, waiting for it so long."""
        return self._ready.wait(seconds)

    def close(self) -> None:
        """Let go of the server; answers that are on their way are brought there first."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._ending.set)
            self._thread.join(_CALL_SECONDS)

    # --- what is asked of it ------------------------------------------------------------------------------------------

    def healthy(self) -> bool:
        """Say whether it answers now."""
        try:
            return self._client is not None and self._call(self._client.service_client.check_health(timeout=_RPC))
        except TemporalUnreachable:
            return False

    def begin(self, order: Order, *, approved_id: str, repository: str) -> None:
        """Start a claim's workflow; one that is there already, open or closed, stays the only one."""
        told = (order.run_id, approved_id, repository)
        pairs = [
            SearchAttributePair(SearchAttributeKey.for_keyword(name), value)
            for name, value in zip(ATTRIBUTES, told, strict=True)
            if value
        ]
        start = self._connected().start_workflow(
            WORKFLOW,
            order,
            id=workflow_id(order.run_id, order.fence),
            task_queue=self.options.task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            search_attributes=TypedSearchAttributes(pairs) if self._attributes else None,
            task_timeout=timedelta(seconds=min(_TASK_SECONDS, order.heartbeat_seconds)),
            rpc_timeout=_RPC,
        )
        try:
            self._call(start)
        except WorkflowAlreadyStartedError:
            return
        except _Missing:
            raise TemporalUnreachable(f"{self._name} has no namespace {self.options.namespace}") from None
        except _Malformed as error:
            if not self._attributes:
                raise TemporalUnreachable(f"{self._name}: {error}") from None
            # It does not know the words for searching any more: it has lost its data, or another one is there now.
            self._attributes = self._call(self._name_attributes(self._connected()))
            raise TemporalUnreachable(f"{self._name} has forgotten what it is asked with: {error}") from None

    def look(self, run_id: str, fence: int) -> Found:
        """Return what it knows of a claim's workflow."""
        handle = self._connected().get_workflow_handle(workflow_id(run_id, fence))
        try:
            status = self._call(handle.describe(rpc_timeout=_RPC)).status
        except _Missing:
            return Found.MISSING
        except _Malformed as error:
            raise TemporalUnreachable(f"{self._name}: {error}") from None
        return Found.OPEN if status is None else _CLOSED.get(status, Found.CLOSED)

    def _call(self, asked: Coroutine[Any, Any, _Answer]) -> _Answer:
        try:
            return asyncio.run_coroutine_threadsafe(asked, self._loop).result(_CALL_SECONDS)
        except NotInTime:
            raise TemporalUnreachable(f"{self._name} does not answer") from None
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise _Missing from None
            if error.status is RPCStatusCode.INVALID_ARGUMENT:
                raise _Malformed(error.message) from None
            raise TemporalUnreachable(f"{self._name}: {error.message}") from None

    def _connected(self) -> Client:
        if self._client is None:
            raise TemporalUnreachable(f"{self._name} does not answer")
        return self._client

    @property
    def _name(self) -> str:
        return f"Temporal at {self.options.address}"

    # --- its own thread -----------------------------------------------------------------------------------------------

    def _live(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        while not self._ending.is_set():
            try:
                self._client = await self._connect()
                self._attributes = await self._name_attributes(self._client)
                _LOG.info("connected to %s, namespace %s", self._name, self.options.namespace)
                self._said = ""
                self._ready.set()
                await self._answer(self._client)
            except Exception as error:  # noqa: BLE001 - whatever it is, runs wait and we try again
                self._ready.clear()
                self._say(f"{self._name} can not be used, trying again: {error}")
            await self._pause(_RETRY_SECONDS)

    def _say(self, sentence: str) -> None:
        if sentence != self._said:
            self._said = sentence
            _LOG.warning("%s", sentence)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._ending.wait(), seconds)
        except TimeoutError:
            return

    async def _connect(self) -> Client:
        options = self.options
        key = _read(options.api_key_file)
        client = await Client.connect(
            options.address,
            namespace=options.namespace,
            api_key=key.decode().strip() if key else None,
            tls=_tls(options),
            connect_timeout=_RPC,
        )
        await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=options.namespace), timeout=_RPC
        )
        return client

    async def _name_attributes(self, client: Client) -> bool:
        """Have the words by which operators find runs; False where they are missing and stay so."""
        service, namespace = client.operator_service, self.options.namespace
        try:
            known = await service.list_search_attributes(ListSearchAttributesRequest(namespace=namespace), timeout=_RPC)
            missing = [name for name in ATTRIBUTES if name not in known.custom_attributes]
            if missing:
                kinds = dict.fromkeys(missing, IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD)
                asked = AddSearchAttributesRequest(namespace=namespace, search_attributes=kinds)
                await service.add_search_attributes(asked, timeout=_RPC)
        except RPCError as error:
            _LOG.warning(
                "the search attributes %s are missing in %s and could not be made (%s); runs are found by workflow id: "
                "`temporal operator search-attribute create --name NAME --type Keyword` makes them",
                ", ".join(ATTRIBUTES),
                self._name,
                error.message,
            )
            return False
        return True

    async def _answer(self, client: Client) -> None:
        """Serve workflows and settling for all, and steps for our own claims, until we end."""
        everyone = Worker(
            client,
            task_queue=self.options.task_queue,
            workflows=[RunWorkflow],
            activities=[self._settling(client)],
            # What is given to a process that stands still is lost for as long as it may take; so each asks for little.
            workflow_task_poller_behavior=PollerBehaviorSimpleMaximum(maximum=2),
            activity_task_poller_behavior=PollerBehaviorSimpleMaximum(maximum=1),
            sticky_queue_schedule_to_start_timeout=timedelta(seconds=min(_TASK_SECONDS, self.options.take_up_seconds)),
            graceful_shutdown_timeout=_RPC,
        )
        own = Worker(
            client,
            task_queue=self.queue,
            activities=[self._stepping(client)],
            max_concurrent_activities=_MOST_STEPS,
            activity_task_poller_behavior=PollerBehaviorSimpleMaximum(maximum=1),
            graceful_shutdown_timeout=_RPC,
        )
        serving = [asyncio.ensure_future(each.run()) for each in (everyone, own)]
        ending = asyncio.ensure_future(self._ending.wait())
        await asyncio.wait([*serving, ending], return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        await asyncio.gather(*(each.shutdown() for each in (everyone, own)), return_exceptions=True)
        await asyncio.gather(*serving)

    def _stepping(self, client: Client) -> Callable[[Order, str], Coroutine[Any, Any, str]]:
        @activity.defn(name=STEP)
        async def step(order: Order, name: str) -> str:
            done = asyncio.wrap_future(self.answers.step(order, name))
            await _with_heartbeats(done, order)
            return await _told(client, order, _result(done))

        return step

    def _settling(self, client: Client) -> Callable[[Order, str], Coroutine[Any, Any, str]]:
        @activity.defn(name=SETTLE)
        async def settle(order: Order, why: str) -> str:
            asked = asyncio.ensure_future(asyncio.to_thread(self.answers.settle, order, why))
            await _with_heartbeats(asked, order)
            return await _told(client, order, _result(asked))

        return settle


async def _with_heartbeats(done: asyncio.Future[str], order: Order) -> None:
    while not done.done():
        activity.heartbeat()
        await asyncio.wait([done], timeout=order.heartbeat_seconds / _HEARTBEATS)


def _result(done: asyncio.Future[str]) -> str:
    """Return the word; what went wrong stays here, and Temporal, which tries again, learns its kind alone."""
    error = done.exception()
    if error is not None:
        _LOG.warning("no answer for Temporal yet: %s", error)
        raise ApplicationError(f"no answer yet ({type(error).__name__})")
    return done.result()


async def _told(client: Client, order: Order, word: str) -> str:
    """Return a word; where it says that the run was stopped, Temporal's own view becomes that too."""
    if word == CANCELLED:
        try:
            await client.get_workflow_handle(workflow_id(order.run_id, order.fence)).cancel(rpc_timeout=_RPC)
        except RPCError as error:
            _LOG.info("the workflow of %s ends by itself: %s", order.run_id, error.message)
    return word


def _tls(options: TemporalOptions) -> bool | TLSConfig:
    files = (options.tls_ca_file, options.tls_certificate_file, options.tls_key_file)
    if not any(files):
        return options.tls or bool(options.api_key_file)  # a key goes out in no other way
    ca, certificate, key = (_read(each) for each in files)
    return TLSConfig(server_root_ca_cert=ca, client_cert=certificate, client_private_key=key)


def _read(name: str) -> bytes | None:
    if not name:
        return None
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise TemporalFileUnreadable(f"{name} can not be read: {error.strerror}") from None
