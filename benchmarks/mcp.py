"""MCP: how soon a stdio server answers, beside a bare one; a tool's call over HTTP, beside the plain route.

Both stdio servers answer the handshake of 2025-11-25. `get_run_status` and `GET /ops/runs/{id}` tell of the same run,
on the same server, to callers that each keep a connection open. A third server answers the same with the SDK and
nothing else, so that it can be said what is ours: the gate, the database, the thread in which it is asked.
"""

from __future__ import annotations

import http.client
import json
import re
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.grounds import ALICE, Grounds, approved, compiled, workspace
from benchmarks.measuring import in_turns, percentile, ratio
from benchmarks.serving import ours_served
from benchmarks.table import Aim, Peer, Row
from interlock.approval.models import Work

_CALLERS = 4
_SECONDS = 1.5
_ROUNDS, _ROUNDS_QUICK = 12, 4
_TWICE = Aim(of="ratio", bound=2.0, at_most=True)
_RATE = Aim(of="ratio", bound=1 / 1.5)
_LATE = Aim(of="ratio", bound=1.5, at_most=True)
_MODERN = "2026-07-28"
_BARE = "from mcp.server import MCPServer\nMCPServer('bare').run('stdio')"
_BARE_HTTP = """\
import json, socket, sys, uvicorn
import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.transport_security import TransportSecuritySettings
told = json.loads(sys.argv[1])
tool = types.Tool(name="get_run_status", input_schema={"type": "object"}, output_schema={"type": "object"})
async def list_tools(context, params):
    return types.ListToolsResult(tools=[tool])
async def call_tool(context, params):
    return types.CallToolResult(content=[types.TextContent(text=json.dumps(told))], structured_content=told)
server = Server("bare", on_list_tools=list_tools, on_call_tool=call_tool, get_tool_input_schema=lambda name: None)
open_to_all = TransportSecuritySettings(enable_dns_rebinding_protection=False)
app = server.streamable_http_app(json_response=True, stateless_http=True, transport_security=open_to_all)
listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
listening.bind(("127.0.0.1", 0))
listening.listen()
print(listening.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, http="h11")).run(sockets=[listening])
"""
_HELLO: Mapping[str, Any] = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "b", "version": "1"}},
}


def measure(grounds: Grounds) -> Iterator[Row]:
    """Measure the start over stdio, and calls over HTTP."""
    root = grounds.new_folder("mcp")
    with closing(workspace(root)) as house:
        run = house.runs.create(ALICE, approved(house, Work(command=("true",))).id).id
    yield _started(grounds, root)
    yield from _called(grounds, root, run)


def _called(grounds: Grounds, root: Path, run: str) -> Iterator[Row]:
    token = secrets.token_urlsafe(24)
    with ours_served(root, token) as port, _bare_served(grounds, port, token, run) as bare:
        plain = _Load(port, _request(token, "GET", f"/ops/runs/{run}", {}, None))
        for era, headers, message in _calls(run):
            asked = _request(token, "POST", "/mcp", headers, message)
            loads = {"tool": _Load(port, asked), "plain": plain, "bare": _Load(bare, asked)}
            for each in loads.values():
                each.once()
            contenders = {name: each.round for name, each in loads.items()}
            found = in_turns(contenders, rounds=3 if grounds.quick else 9, seconds=45)
            name = f"get_run_status over HTTP ({era}), {_CALLERS} callers"
            yield from _rows(name, found["tool"], found["plain"], "GET /ops/runs/{id}", (_RATE, _LATE))
            yield from _rows(f"{name}, beside the SDK alone", found["tool"], found["bare"], "a bare SDK server")


def _calls(run: str) -> Iterator[tuple[str, Mapping[str, str], Mapping[str, Any]]]:
    accept = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    call: Mapping[str, Any] = {"name": "get_run_status", "arguments": {"run_id": run}}
    meta: Mapping[str, Any] = {
        "io.modelcontextprotocol/protocolVersion": _MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    modern = {"MCP-Protocol-Version": _MODERN, "Mcp-Method": "tools/call", "Mcp-Name": "get_run_status"}
    yield _MODERN, accept | modern, _message({**call, "_meta": meta})
    yield "2025-11-25", accept | {"MCP-Protocol-Version": "2025-11-25"}, _message(call)


def _message(params: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


def _rows(
    name: str,
    tool: Sequence[_Round],
    other: Sequence[_Round],
    peer: str,
    aims: tuple[Aim | None, Aim | None] = (None, None),
) -> Iterator[Row]:
    rates = [each.per_second for each in tool], [each.per_second for each in other]
    yield Row(
        name=name,
        value=median(rates[0]),
        unit="calls/s",
        peer=Peer(name=peer, value=median(rates[1])),
        ratio=ratio(*rates),
        aim=aims[0],
    )
    late = [percentile(each.ms, 0.95) for each in tool], [percentile(each.ms, 0.95) for each in other]
    yield Row(
        name=f"{name}: p95",
        value=median(late[0]),
        unit="ms",
        peer=Peer(name=peer, value=median(late[1])),
        ratio=ratio(*late),
        aim=aims[1],
    )


@contextmanager
def _bare_served(grounds: Grounds, ours: int, token: str, run: str) -> Generator[int]:
    """Serve the same answer with the SDK and nothing else: no gate, no token, no database; gives the port."""
    _, headers, message = next(_calls(run))
    with closing(http.client.HTTPConnection("127.0.0.1", ours, timeout=30)) as asked:
        asked.request("POST", "/mcp", json.dumps(message), {**headers, "Authorization": f"Bearer {token}"})
        told = json.loads(asked.getresponse().read())["result"]["structuredContent"]
    words = [sys.executable, "-c", _BARE_HTTP, json.dumps(told)]
    with subprocess.Popen(words, env=dict(compiled(grounds)), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


# --- load -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Round:
    per_second: float
    ms: list[float]


@dataclass(frozen=True, slots=True)
class _Load:
    """Callers that ask for the same again and again, each on a connection of its own."""

    port: int
    request: bytes

    def round(self) -> _Round:
        """Ask for a while."""
        times: list[float] = []
        began = time.perf_counter()
        callers = [threading.Thread(target=self._ask, args=(times, began + _SECONDS)) for _ in range(_CALLERS)]
        for each in callers:
            each.start()
        for each in callers:
            each.join()
        return _Round(len(times) / (time.perf_counter() - began), times)

    def once(self) -> None:
        """Ask once: what the first call loads is no part of the second."""
        self._ask([], time.perf_counter() + 0.001)

    def _ask(self, times: list[float], end: float) -> None:
        with closing(socket.create_connection(("127.0.0.1", self.port), timeout=30)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (began := time.perf_counter()) < end:
                connection.sendall(self.request)
                _take(connection)
                times.append((time.perf_counter() - began) * 1000)


def _request(
    token: str, method: str, path: str, headers: Mapping[str, str], message: Mapping[str, Any] | None
) -> bytes:
    body = b"" if message is None else json.dumps(message).encode()
    shown = {"Host": "127.0.0.1", "Authorization": f"Bearer {token}", "Content-Length": str(len(body)), **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in shown.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def _take(connection: socket.socket) -> None:
    data = connection.recv(65_536)
    head, _, rest = data.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    if not head.startswith(b"HTTP/1.1 200") or length is None:
        raise RuntimeError(data[:300].decode())
    while len(rest) < int(length[1]):
        rest += connection.recv(65_536)
    assert b'"pending' in rest.replace(b"\\", b""), rest


# --- the start --------------------------------------------------------------------------------------------------------


def _started(grounds: Grounds, root: Path) -> Row:
    program, environment = str(Path(sys.executable).parent / "interlock"), compiled(grounds)
    started: dict[str, Callable[[], float]] = {
        "ours": partial(_answered, root, environment, (program, "mcp")),
        "bare": partial(_answered, root, environment, (sys.executable, "-c", _BARE)),
    }
    for warm_up in started.values():
        warm_up()
    found = in_turns(started, rounds=_ROUNDS_QUICK if grounds.quick else _ROUNDS, seconds=40)
    return Row(
        name="interlock mcp, from its start to its first answer",
        value=median(found["ours"]),
        unit="ms",
        peer=Peer(name="a bare SDK server", value=median(found["bare"])),
        ratio=ratio(found["ours"], found["bare"]),
        aim=_TWICE,
    )


def _answered(root: Path, environment: Mapping[str, str], command: Sequence[str]) -> float:
    """Return how many milliseconds pass until the handshake is answered."""
    began = time.perf_counter()
    with subprocess.Popen(
        command, cwd=root, env=dict(environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(_HELLO).encode() + b"\n")
        process.stdin.flush()
        said = process.stdout.readline()
        took = (time.perf_counter() - began) * 1000
        process.stdin.close()
        process.wait(20)
    assert b'"serverInfo"' in said, said
    return took
