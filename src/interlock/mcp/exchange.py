"""One plain request of a protocol before 2026, answered with one JSON body: by the SDK's kernel, without its streams.

Where nothing is kept, the SDK makes a transport, two tasks and four streams anew for each request of these protocols,
which costs more than the answer. A plain request needs none of them. Whatever is not one is left to the SDK, so that
its refusals are the protocol's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
from mcp.server.connection import Connection
from mcp.server.lowlevel import Server
from mcp.server.runner import modern_error_data, serve_one
from mcp.server.streamable_http import check_accept_headers
from mcp.shared.dispatcher import CallOptions
from mcp.shared.exceptions import NoBackChannelError
from mcp.shared.message import ServerMessageMetadata
from mcp.shared.transport_context import TransportContext
from mcp_types import DEFAULT_NEGOTIATED_VERSION, JSONRPCRequest, jsonrpc_message_adapter
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_JSON = "application/json"
_VERSION = "mcp-protocol-version"
_ONE_WAY = TransportContext(kind="streamable-http", can_send_request=False)


@dataclass
class _Asked:
    """A request that is answered, and about which nothing else is said: one body has no room for it."""

    request_id: str | int
    message_metadata: ServerMessageMetadata
    transport: TransportContext = _ONE_WAY
    can_send_request: bool = field(default=False, init=False)
    cancel_requested: anyio.Event = field(default_factory=anyio.Event)

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> dict[str, Any]:
        del params, opts
        raise NoBackChannelError(method)

    async def notify(self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None) -> None:
        del method, params, opts

    async def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        del progress, total, message


@dataclass(frozen=True, slots=True)
class Exchange:
    """Answers plain requests."""

    server: Server[Any]
    state: object
    """What the server's lifespan gave."""

    async def answered(self, body: bytes, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answer a plain request; returns False where it is none, and nothing has been sent."""
        request = Request(scope, receive)
        version = request.headers.get(_VERSION, DEFAULT_NEGOTIATED_VERSION)
        asked = _plain(request, version, body)
        if asked is None:
            return False
        told = {"jsonrpc": "2.0", "id": asked.id, **await self._told(request, version, asked)}
        await Response(json.dumps(told, separators=(",", ":")), media_type=_JSON)(scope, receive, send)
        return True

    async def _told(self, request: Request, version: str, asked: JSONRPCRequest) -> dict[str, Any]:
        metadata = ServerMessageMetadata(request_context=request, can_send_request=False)
        connection = Connection.from_envelope(version, None, None)
        try:
            return {
                "result": await serve_one(
                    self.server,
                    _Asked(asked.id, metadata),
                    asked.method,
                    asked.params,
                    connection=connection,
                    lifespan_state=self.state,
                )
            }
        except Exception as error:  # noqa: BLE001 - the SDK's own words for it, and none of the error's
            return {"error": modern_error_data(error).model_dump(mode="json", by_alias=True, exclude_none=True)}


def _plain(request: Request, version: str, body: bytes) -> JSONRPCRequest | None:
    """Read a request; None for a notification, a handshake, and everything that the SDK may have to refuse."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if version not in HANDSHAKE_PROTOCOL_VERSIONS or kind != _JSON or not check_accept_headers(request)[0]:
        return None
    try:
        read = jsonrpc_message_adapter.validate_json(body, by_name=False)
    except ValueError:
        return None
    return read if isinstance(read, JSONRPCRequest) and read.method != "initialize" else None
