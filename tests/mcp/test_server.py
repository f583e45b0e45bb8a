"""What goes wrong behind the protocol is told once, and holds up nobody who comes later."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
import pytest

from interlock.access.errors import RoleNeeded
from interlock.access.models import Identity, Principal, PrincipalKind, Role
from interlock.kernel.errors import Unreachable
from interlock.mcp.changes import Hub
from interlock.mcp.mounted import Mounted
from interlock.mcp.ports import Caller, Change, Changes
from interlock.mcp.server import Profile, refusing
from mcp import MCPError

ALICE = Identity(principal=Principal(PrincipalKind.HUMAN, "alice"), role=Role.ADMIN, token_id="env:X")  # noqa: S106 - no secret: where one would come from
LIST = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'


class Log:
    """A log that can not be followed at first, in a way that nobody foresaw."""

    def __init__(self, failures: int) -> None:
        self._failures = failures

    @asynccontextmanager
    async def follow(self) -> AsyncGenerator[AsyncIterator[Sequence[Change]]]:
        if self._failures:
            self._failures -= 1
            raise ValueError("the disk")
        yield self._pages()

    async def _pages(self) -> AsyncGenerator[Sequence[Change]]:
        yield [Change("run.done", "r_1")]
        await anyio.sleep_forever()


def test_a_log_that_fails_in_an_unforeseen_way_is_followed_again() -> None:
    heard: list[Change] = []

    async def follow() -> None:
        hub, rung = Hub(cast("Changes", Log(failures=1))), anyio.Event()

        def hear(changes: Sequence[Change]) -> None:
            heard.extend(changes)
            rung.set()

        with anyio.fail_after(20):
            async with hub.running(), hub.heard(hear):
                await rung.wait()

    anyio.run(follow)
    assert heard == [Change("run.done", "r_1")]


def test_a_beginning_that_fails_is_begun_anew_with_the_next_request() -> None:
    begun: list[bool] = []

    def profile() -> type[Profile]:
        begun.append(True)
        if len(begun) == 1:
            raise OSError("no room on the disk")
        return Profile

    async def ask() -> list[dict[str, Any]]:
        mounted = Mounted(cast("Changes", Log(failures=0)), (), profile)
        async with mounted.running():
            with anyio.fail_after(20):
                with pytest.raises(OSError, match="no room"):
                    await _listed(mounted)
                return await _listed(mounted)

    tools = anyio.run(ask)
    assert [each["name"] for each in tools] == ["create_run", "get_run_status"]


async def _listed(mounted: Mounted) -> list[dict[str, Any]]:
    headers = [(b"host", b"localhost"), (b"accept", b"application/json"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/mcp", "headers": headers, "state": {"identity": ALICE}}
    said: list[bytes] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": LIST}

    async def send(message: Any) -> None:  # noqa: ANN401 - ASGI's own
        said.append(message.get("body", b""))

    await mounted(scope, receive, send)
    return list(json.loads(b"".join(said))["result"]["tools"])


def test_a_refusal_that_can_not_be_logged_is_a_refusal_all_the_same() -> None:
    def refused(code: str, deed: str) -> None:
        raise Unreachable(f"{code} of {deed} can not be written")

    async def refuse() -> None:
        caller = Caller(cast("Any", None), "one", refused)
        async with refusing(caller, "tools/call create_run"):
            raise RoleNeeded("making runs needs the role operator or higher")

    with pytest.raises(MCPError) as told:
        anyio.run(refuse)
    assert told.value.error.code == -32003
    assert told.value.error.data["code"] == "role_needed"
