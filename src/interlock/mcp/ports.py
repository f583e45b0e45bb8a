"""What MCP needs of the product."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol


class Bridge(Protocol):
    """The product, as one caller may use it. Each verb is one short call that blocks; answers are as over HTTP."""

    def plan(self) -> dict[str, Any]:
        """Return what `GET /ops/plan` answers."""
        ...

    def approved_list(self, *, limit: int, before: str | None = None) -> Sequence[dict[str, Any]]:
        """Return what `GET /ops/approved` answers: newest first."""
        ...

    def approved(self, approved_id: str) -> dict[str, Any]:
        """Return what `GET /ops/approved/{id}` answers."""
        ...

    def dispatchable(self, approved_id: str) -> dict[str, Any]:
        """Return the same of a record that a run may start from now; raises what stands against that."""
        ...

    def run(self, run_id: str, *, log_lines: int) -> dict[str, Any]:
        """Return what `GET /ops/runs/{id}` answers, with the last lines of its log."""
        ...

    def standing(self, run_id: str) -> tuple[str, int]:
        """Return a run's status and attempt."""
        ...

    def run_ids(self, limit: int) -> Sequence[str]:
        """List the newest runs."""
        ...

    def context(self) -> dict[str, Any]:
        """Return what `GET /ui/status` answers."""
        ...

    def create_run(self, approved_id: str, *, key: str | None) -> str:
        """Make a run, as `POST /ops/runs` does; under a key of the caller's the same one again. Returns its id."""
        ...

    def check(self) -> None:
        """Raise where the caller is not let in any more."""
        ...


class Change(NamedTuple):
    """An entry of the log, as far as it matters here."""

    kind: str
    subject: str


class Changes(Protocol):
    """The log, as it grows."""

    def follow(self) -> AbstractAsyncContextManager[AsyncIterator[Sequence[Change]]]:
        """Follow it from its end on, until the block is left."""
        ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, in the middle of one request."""

    bridge: Bridge
    correlation_id: str
    refused: Callable[[str, str], None]
    """Logs a denial: the error's code, and what was to be done."""
    noted: Callable[[], None] = lambda: None
    """Has the request logged: it changes something, or it has failed."""
    key: str | None = None
    """What the caller names its request by, so that it is done once."""
