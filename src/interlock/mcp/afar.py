"""The product on a server: each verb is a request with the caller's token, and nothing is kept."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from interlock.approval.errors import ApprovalEnded, ApprovalLapsed, ContentErased, DigestMismatch
from interlock.approval.models import terms_digest
from interlock.kernel.clock import to_text
from interlock.kernel.errors import InterlockError
from interlock.mcp.errors import ArgumentInvalid
from interlock.mcp.ports import Change
from interlock.remote.connection import Connection, understood
from interlock.remote.errors import ServerAway

_SILENCE_SECONDS = 40.0
"""A server says every 15 s that it is alive."""
_MOST_LINE = 1024 * 1024
_TEXTS = ("prompt", "content", "context")


@dataclass(frozen=True, slots=True)
class RemoteBridge:
    """Asks a server, one request at a time."""

    server: Connection
    _alone: threading.Lock = field(default_factory=threading.Lock)

    def _get(self, path: str, **query: object) -> Any:  # noqa: ANN401 - JSON of any shape
        with self._alone:
            return self.server.get(path, **query).json

    def plan(self) -> dict[str, Any]:
        """Return the plan."""
        return understood(dict, self._get("/ops/plan"))

    def approved_list(self, *, limit: int, before: str | None = None) -> Sequence[dict[str, Any]]:
        """List approved records, newest first."""
        return understood(list, self._get("/ops/approved", limit=limit, before=before))

    def approved(self, approved_id: str) -> dict[str, Any]:
        """Return an approved record."""
        return understood(dict, self._get(f"/ops/approved/{approved_id}"))

    def dispatchable(self, approved_id: str) -> dict[str, Any]:
        """Return a record that a run may start from now, as far as can be seen from here; the server looks again."""
        found = self.approved(approved_id)
        with self._alone:
            now = to_text(self.server.now())
        against = understood(lambda told: _against(told, now), found)
        if against is not None:
            raise against
        return found

    def run(self, run_id: str, *, log_lines: int) -> dict[str, Any]:
        """Return a run with its steps and the last lines of its log."""
        found = understood(dict, self._get(f"/ops/runs/{run_id}"))
        return {**found, "log": understood(lambda told: told["log"][-log_lines:], found)}

    def standing(self, run_id: str) -> tuple[str, int]:
        """Return a run's status and attempt."""
        return understood(lambda told: (str(told["status"]), int(told["attempt"])), self._get(f"/ops/runs/{run_id}"))

    def run_ids(self, limit: int) -> Sequence[str]:
        """List the newest runs."""
        return understood(lambda told: [str(each["id"]) for each in told], self._get("/ops/runs", limit=limit))

    def context(self) -> dict[str, Any]:
        """Say how the server is."""
        return understood(dict, self._get("/ui/status"))

    def create_run(self, approved_id: str, *, key: str | None) -> str:
        """Make a run; a lost answer is asked for again under one key, so that it is made once."""
        if key is not None:
            raise ArgumentInvalid("a key of the caller's own is not taken on the way to a server; leave it out")
        with self._alone:
            made = self.server.make("/ops/runs", {"approved_id": approved_id}).json
        return understood(lambda told: str(told["id"]), made)

    def check(self) -> None:
        """Do nothing: the server looks at the token with each request."""


def _against(told: Mapping[str, Any], now: str) -> InterlockError | None:
    approved_id, terms = told["id"], told["terms"]
    if told["revoked_at"] is not None:
        return ApprovalEnded(f"{approved_id} was revoked by {told['revoked_by']}")
    if told["expires_at"] is not None and now >= told["expires_at"]:
        return ApprovalLapsed(f"{approved_id} has expired")
    if terms_digest(terms) != told["digest"]:
        return DigestMismatch(f"{approved_id} does not match its digest {told['digest']}")
    if any(told[name] == "erased" and terms.get(name) for name in _TEXTS):
        return ContentErased(f"a text of {approved_id} has been erased")
    return None


@dataclass(frozen=True, slots=True)
class RemoteChanges:
    """The log of a server, as it tells of it (`GET /ops/events`), while anybody waits."""

    server: Connection

    @asynccontextmanager
    async def follow(self) -> AsyncGenerator[AsyncIterator[Sequence[Change]]]:
        """Follow it from its end on."""
        heard: asyncio.Queue[Change | InterlockError | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def tell(each: Change | InterlockError | None) -> None:
            with suppress(RuntimeError):  # nobody listens any more
                loop.call_soon_threadsafe(heard.put_nowait, each)

        reader = _Reader(self.server, tell)
        threading.Thread(target=reader.read, name="events", daemon=True).start()
        try:
            if (first := await heard.get()) is not None:
                raise first if isinstance(first, InterlockError) else ServerAway("the server tells of no changes")
            yield _told(heard)
        finally:
            reader.end()


async def _told(heard: asyncio.Queue[Change | InterlockError | None]) -> AsyncGenerator[Sequence[Change]]:
    while True:
        each = await heard.get()
        if isinstance(each, InterlockError):
            raise each
        if each is not None:
            yield [each]


class _Reader:
    """Reads events in a thread: first tells None once they come, then each, at last what went wrong."""

    def __init__(self, server: Connection, tell: Callable[[Change | InterlockError | None], None]) -> None:
        self._server, self._tell = server, tell
        self._connection = _connection(server)
        self._ended = False

    def read(self) -> None:
        try:
            self._read()
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, RecursionError) as error:
            self._tell(ServerAway(f"{self._server.address} tells of no changes any more: {error.__class__.__name__}"))

    def _read(self) -> None:
        headers = {"Authorization": f"Bearer {self._server.token}", "Accept": "text/event-stream"}
        self._connection.request("GET", f"{self._server.address.prefix}/ops/events", headers=headers)
        answer = self._connection.getresponse()
        if answer.status != 200:
            self._tell(ServerAway(f"{self._server.address} does not tell of changes ({answer.status})"))
            return
        self._tell(None)
        while not self._ended and (line := answer.readline(_MOST_LINE)):
            if line.startswith(b"data: "):
                event = json.loads(line[6:])
                self._tell(Change(str(event["kind"]), str(event["subject"])))
        self._tell(ServerAway(f"{self._server.address} has ended the stream of changes"))

    def end(self) -> None:
        """Hang up; the thread ends with it."""
        self._ended = True
        with suppress(OSError, AttributeError):
            self._connection.sock.shutdown(2)
        self._connection.close()


def _connection(server: Connection) -> http.client.HTTPConnection:
    host, port = server.address.host, server.address.port
    if not server.address.secure:
        return http.client.HTTPConnection(host, port, timeout=_SILENCE_SECONDS)
    import ssl  # noqa: PLC0415 - only for servers elsewhere

    return http.client.HTTPSConnection(host, port, timeout=_SILENCE_SECONDS, context=ssl.create_default_context())
