"""A served workspace with a worker and a real repository, and the ways in which a client reaches it."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

from mcp import Client, MCPError, StdioServerParameters
from tests.cli.door import PROGRAM, environment
from tests.conftest import until
from tests.http.processes import Process, process

Answer = TypeVar("Answer")
MODERN, LEGACY = "2026-07-28", "2025-11-25"
WAYS = ("stdio-2026", "stdio-2025", "http-2026", "http-2025", "afar-2026")
NAME = "ops.example.org"
"""Under which the server is called besides this machine's own names."""
SECRET = "draft-text-that-nobody-may-see"  # noqa: S105 - stands in every draft that is not approved


@dataclass
class World:
    """What the tests of one process share."""

    root: Path
    repository: Path
    server: Process
    folder: Path
    tokens: dict[str, str] = field(default_factory=dict[str, str])

    @cached_property
    def human(self) -> httpx2.Client:
        return self.server.client()

    def token(self, name: str, role: str = "operator", kind: str = "agent") -> str:
        """Make a token; returns it."""
        made = self.human.post("/ops/tokens", json={"name": name, "role": role, "kind": kind, "principal": name})
        assert made.status_code == 201, made.text
        self.tokens[name] = made.json()["id"]
        return str(made.json()["token"])

    def draft(self, command: str = "true", prompt: str = SECRET) -> str:
        work = {"command": ["sh", "-c", command], "repository": str(self.repository)}
        made = self.human.post("/ops/drafts", json={"prompt": prompt, "work": work})
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    def approved(self, command: str = "true", prompt: str = "sweep the floor", **decision: int) -> str:
        done = self.human.post(f"/ops/drafts/{self.draft(command, prompt)}/approve", json=decision)
        assert done.status_code == 200, done.text
        return str(done.json()["approved"]["id"])

    def runs(self) -> list[dict[str, Any]]:
        return list(self.human.get("/ops/runs", params={"limit": 1000}).json())

    @property
    def url(self) -> str:
        return f"{self.server.address}/mcp"


@contextmanager
def world_of(workspace: Path, folder: Path) -> Generator[World]:
    repository = folder / "repository"
    repository.mkdir()
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        (repository / "README.md").write_text("hello\n")
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=repository, check=True)
    with process(workspace) as server:
        yield World(workspace, repository, server, folder)


# --- clients ----------------------------------------------------------------------------------------------------------


def stdio(world: World, *words: str, **more: str) -> StdioServerParameters:
    """Return how `interlock mcp` is begun in the workspace."""
    given = environment(**more)
    return StdioServerParameters(command=str(PROGRAM), args=["--workspace", str(world.root), "mcp", *words], env=given)


def afar(world: World, token: str) -> StdioServerParameters:
    """Return how `interlock mcp` is begun against the server."""
    given = environment(INTERLOCK_TOKEN=token)
    return StdioServerParameters(command=str(PROGRAM), args=["--server", world.server.address, "mcp"], env=given)


@asynccontextmanager
async def http(url: str, token: str) -> AsyncGenerator[Any]:
    """Connect over HTTP with a token."""
    shown = {"Authorization": f"Bearer {token}"}
    async with (
        create_mcp_http_client(headers=shown) as client,
        streamable_http_client(url, http_client=client) as streams,
    ):
        yield streams


def target(world: World, way: str, token: str) -> Any:  # noqa: ANN401 - what the SDK's client connects to
    kind = way.partition("-")[0]
    if kind == "http":
        return http(world.url, token)
    return stdio(world) if kind == "stdio" else afar(world, token)


def era(way: str) -> Any:  # noqa: ANN401 - the SDK's own words for it
    return "legacy" if way.endswith("2025") else MODERN


class Peer:
    """The official client, connected for as long as the tests want it, in an event loop of its own."""

    def __init__(self, way: str, connected: Callable[[Any], Client]) -> None:
        self.way = way
        self.heard: list[Any] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._ended: asyncio.Event | None = None
        ready = self._loop.create_future()
        self._task = asyncio.run_coroutine_threadsafe(self._stay(connected, ready), self._loop)
        self.client: Client = asyncio.run_coroutine_threadsafe(_result(ready), self._loop).result(40)

    async def _stay(self, connected: Callable[[Any], Client], ready: asyncio.Future[Client]) -> None:
        async def hear(message: Any) -> None:  # noqa: ANN401 - the same
            self.heard.append(message)

        self._ended = asyncio.Event()
        try:
            async with connected(hear) as client:
                ready.set_result(client)
                await self._ended.wait()
        except BaseException as error:
            if not ready.done():
                ready.set_exception(error)
            raise

    def ask(self, deed: Callable[[Client], Coroutine[Any, Any, Answer]], seconds: float = 40) -> Answer:
        """Do something with the client; returns what it answered."""
        return asyncio.run_coroutine_threadsafe(deed(self.client), self._loop).result(seconds)

    def begin(self, deed: Callable[[Client], Coroutine[Any, Any, Answer]]) -> Any:  # noqa: ANN401 - a future
        """Begin something; returns what its answer will be in."""
        return asyncio.run_coroutine_threadsafe(deed(self.client), self._loop)

    def close(self) -> None:
        assert self._ended is not None
        self._loop.call_soon_threadsafe(self._ended.set)
        try:
            self._task.result(20)
        finally:
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0.05), self._loop).result(10)  # sockets close a moment later
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()

    # --- what is asked most -------------------------------------------------------------------------------------------

    def tool(self, name: str, **arguments: object) -> Mapping[str, Any]:
        """Call a tool; returns its structured answer."""
        found = self.ask(lambda client: client.call_tool(name, dict(arguments)))
        assert not found.is_error, found
        return dict(found.structured_content)  # pyright: ignore[reportAny] - JSON of any shape

    def prompt(self, name: str, **arguments: str) -> str:
        found = self.ask(lambda client: client.get_prompt(name, arguments))
        (message,) = found.messages
        assert message.content.type == "text"
        return message.content.text

    def resource(self, uri: str) -> str:
        found = self.ask(lambda client: client.read_resource(uri))
        content: Any = found.contents[0]
        return str(content.text)

    def refusal(self, deed: Callable[[Client], Coroutine[Any, Any, object]]) -> MCPError:
        """Do something that has to be refused; returns the error of the protocol."""
        try:
            answered = self.ask(deed)
        except MCPError as error:
            return error
        raise AssertionError(f"it was not refused: {answered}")

    def done(self, run_id: str) -> Mapping[str, Any]:
        """Follow a run to its end, as a client does."""
        run: Mapping[str, Any] = {}
        for _ in range(20):
            run = self.tool("get_run_status", run_id=run_id, wait_seconds=10)
            if run["ended"]:
                return run
        raise AssertionError(run)


async def _result(future: asyncio.Future[Answer]) -> Answer:
    return await future


def peer(world: World, way: str, token: str) -> Peer:
    def connected(hear: Any) -> Client:  # noqa: ANN401 - the SDK's own word for it is not exported
        return Client(target(world, way, token), mode=era(way), message_handler=hear, cache=None)

    return Peer(way, connected)


def heard(one: Peer, method: str, uri: str | None = None) -> bool:
    """Say whether a client of 2025 has been told of a change."""
    told = [each for each in one.heard if getattr(each, "method", None) == method]
    return any(uri is None or str(each.params.uri) == uri for each in told)


def soon(condition: Callable[[], object], seconds: float = 20) -> None:
    until(condition, seconds)
