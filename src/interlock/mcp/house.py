"""The product on this machine: a workspace's rooms, asked as one caller."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from threading import Thread
from typing import Any, Protocol

import anyio
from anyio import to_thread

from interlock.access.errors import RoleNeeded
from interlock.access.models import Actor, Role
from interlock.approval.service import Approval
from interlock.approval.shown import show_approved
from interlock.kernel.once import AlreadyMade, KeyUsed, Noted, Once
from interlock.mcp.ports import Change
from interlock.runs.service import Runs
from interlock.runs.shown import show_in_full
from interlock.workspace.standing import Standing, service_status, show_standing

_BEGAN = time.monotonic()
_LOOK_SECONDS = 0.25
_PAGE = 200
_ROUTE = "POST /ops/runs"
"""As the HTTP door names it: one key makes one run, whichever door it comes through."""


class House(Standing, Protocol):
    """What of a workspace's rooms is asked."""

    @property
    def approval(self) -> Approval:
        """The plan and approved records."""
        ...

    @property
    def runs(self) -> Runs:
        """Runs."""
        ...

    def made_once(self, actor: Actor, once: Once) -> Noted | None:
        """Return what a principal has made under a key of its own."""
        ...


class Log(Protocol):
    """The sealed log."""

    def size(self) -> int:
        """Return how many events there are."""
        ...

    def events(self, start: int, limit: int) -> Sequence[tuple[int, Any]]:
        """Return events from a place on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HouseBridge:
    """Asks a workspace's rooms as one caller."""

    house: House
    actor: Actor
    role: Role
    wrote: Callable[[], None]
    """Brings what follows the log up to date."""
    still: Callable[[], None] = lambda: None
    """Raises where the caller is not let in any more."""
    began: float = _BEGAN
    """When this process began, by `time.monotonic`."""
    beside: Sequence[Thread] = ()
    """What works beside the server."""

    def plan(self) -> dict[str, Any]:
        """Return the plan."""
        return dict(self.house.approval.plan().body)

    def approved_list(self, *, limit: int, before: str | None = None) -> Sequence[dict[str, Any]]:
        """List approved records, newest first."""
        return [show_approved(each) for each in self.house.approval.all_approved(limit=limit, before=before)]

    def approved(self, approved_id: str) -> dict[str, Any]:
        """Return an approved record."""
        return show_approved(self.house.approval.approved(approved_id))

    def dispatchable(self, approved_id: str) -> dict[str, Any]:
        """Return a record that a run may start from now."""
        self.house.runs.check_startable(approved_id)
        return self.approved(approved_id)

    def run(self, run_id: str, *, log_lines: int) -> dict[str, Any]:
        """Return a run with its steps and the last lines of its log."""
        return show_in_full(*self.house.runs.in_full(run_id, lines=log_lines))

    def standing(self, run_id: str) -> tuple[str, int]:
        """Return a run's status and attempt."""
        run = self.house.runs.get(run_id)
        return run.status.value, run.attempt

    def run_ids(self, limit: int) -> Sequence[str]:
        """List the newest runs."""
        return [run.id for run in self.house.runs.list(limit=limit)]

    def context(self) -> dict[str, Any]:
        """Say how Interlock is: the same fields as `GET /ui/status`, so that both say the same."""
        shown = show_standing(self.house, began=self.began, beside=self.beside)
        return {**shown, "service_status": service_status(shown, "Dashboard")}

    def create_run(self, approved_id: str, *, key: str | None) -> str:
        """Make a run of a record that is valid now; under the same key the same one again."""
        if not self.role.covers(Role.OPERATOR):
            raise RoleNeeded(
                "making runs needs the role operator or higher",
                hint=f"you are {self.actor.principal}, {self.role.value}",
            )
        run_id = self._made(approved_id, key)
        self.wrote()
        return run_id

    def _made(self, approved_id: str, key: str | None) -> str:
        if key is None:
            return self.house.runs.create(self.actor, approved_id).id
        asked = json.dumps({"approved_id": approved_id, "priority": "P1"}, separators=(",", ":"))
        request = "sha256:" + hashlib.sha256(asked.encode()).hexdigest()
        once = Once(route=_ROUTE, key=key, request=request, kind="run.created")
        before = self.house.made_once(self.actor, once)
        if before is None:
            try:
                return self.house.runs.create(replace(self.actor, once=once), approved_id).id
            except AlreadyMade:
                before = self.house.made_once(self.actor, once)
                if before is None:
                    raise
        if before.request != request:
            raise KeyUsed(f"under this key {before.subject} was made from another request")
        return before.subject

    def check(self) -> None:
        """Raise where the caller is not let in any more."""
        self.still()


@dataclass(frozen=True, slots=True)
class LogChanges:
    """The log of a workspace on this machine, looked at a few times a second while anybody waits."""

    log: Log

    @asynccontextmanager
    async def follow(self) -> AsyncGenerator[AsyncIterator[Sequence[Change]]]:
        """Follow it from its end on."""
        yield self._pages(await to_thread.run_sync(self.log.size))

    async def _pages(self, start: int) -> AsyncGenerator[Sequence[Change]]:
        while True:
            found = await to_thread.run_sync(self.log.events, start, _PAGE)
            if found:
                start = found[-1][0] + 1
                yield [Change(str(event["kind"]), str(event["subject"])) for _, event in found]
            else:
                await anyio.sleep(_LOOK_SECONDS)
