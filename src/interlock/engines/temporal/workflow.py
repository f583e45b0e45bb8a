"""What Temporal keeps of a run: its workflow, which knows ids, and asks for one step after another.

It must be deterministic, and it imports nothing of the product: Temporal's sandbox loads this file by itself.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, is_cancelled_exception

WORKFLOW = "InterlockRun"
STEP, SETTLE = "interlock.step", "interlock.settle"
STEPS = ("prepare", "agent", "collect", "verify", "finish")
NEXT, STRAY, ALIVE, CANCELLED = "next", "stray", "alive", "cancelled"
"""What an answer may say: go on; nobody here carries it out; it is at work; an operator stopped the run."""
WORKER_LOST, WORKER_FAILED, CANCELLED_IN_TEMPORAL = "worker_lost", "worker_failed", "cancelled_in_temporal"
"""Why a run is settled."""
_LONGEST = timedelta(days=366)
"""A step's own limits end it; Temporal only looks whether its process lives."""
_RETRY = RetryPolicy(initial_interval=timedelta(seconds=1), backoff_coefficient=1.0)
_SETTLE_TIME = timedelta(seconds=60)
"""And the time for which it waits for a sign of life."""
_CANCEL_COMES = timedelta(seconds=30)


@dataclass(frozen=True)
class Order:
    """What a workflow is told: which claim it is for, and who holds it."""

    run_id: str
    item_id: str
    fence: int
    queue: str
    """The task queue of the process that claimed the run."""
    heartbeat_seconds: int
    """After so long without a sign of life of a step, its process is taken to be gone."""
    take_up_seconds: int
    """After so long without anybody who takes a step up, too."""


@workflow.defn(name=WORKFLOW)
class RunWorkflow:
    """One claim of a run; its result is the word that the last step had for where the run stands."""

    @workflow.run
    async def run(self, order: Order) -> str:
        """Carry the steps out, and settle the run where Temporal ends it."""
        try:
            return await self._steps(order)
        except (asyncio.CancelledError, ActivityError) as error:
            if not is_cancelled_exception(error):
                raise
            await self._settle(order, CANCELLED_IN_TEMPORAL)
            raise

    async def _steps(self, order: Order) -> str:
        word = NEXT
        for step in STEPS:
            word = await self._step(order, step)
            if word != NEXT:
                break
        if word == CANCELLED:  # whoever said so asks Temporal too: the workflow ends as what it is
            await workflow.sleep(_CANCEL_COMES)
        return word

    async def _step(self, order: Order, step: str) -> str:
        while True:
            try:
                word = await workflow.execute_activity(
                    STEP,
                    args=[order, step],
                    result_type=str,
                    task_queue=order.queue,
                    schedule_to_start_timeout=timedelta(seconds=order.take_up_seconds),
                    start_to_close_timeout=_LONGEST,
                    heartbeat_timeout=timedelta(seconds=order.heartbeat_seconds),
                    retry_policy=_RETRY,
                    summary=step,
                )
            except ActivityError as error:
                if is_cancelled_exception(error):
                    raise
                word = await self._settle(order, WORKER_LOST)
            else:
                if word == STRAY:
                    word = await self._settle(order, WORKER_FAILED)
            if word != ALIVE:
                return word

    async def _settle(self, order: Order, why: str) -> str:
        return await workflow.execute_activity(
            SETTLE,
            args=[order, why],
            result_type=str,
            start_to_close_timeout=_SETTLE_TIME + timedelta(seconds=order.heartbeat_seconds),
            heartbeat_timeout=timedelta(seconds=order.heartbeat_seconds),
            retry_policy=_RETRY,
            summary=why,
        )
