"""A real HTTP server that answers like a provider, or as no provider should."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from interlock.providers.models import ProviderType
from interlock.workspace.layout import Layout

Behaviour = Callable[["Asking"], None]

WRITTEN = "1. Sweep.\n2. Mop.\n   「床」"
MODEL = "tidy-7b"
PATHS = {
    ProviderType.OPENAI_COMPAT: "/v1/chat/completions",
    ProviderType.ANTHROPIC: "/v1/messages",
    ProviderType.GEMINI: f"/v1beta/models/{MODEL}:generateContent",
}
BASES = {ProviderType.OPENAI_COMPAT: "/v1", ProviderType.ANTHROPIC: "", ProviderType.GEMINI: ""}
KEY_HEADERS = {
    ProviderType.OPENAI_COMPAT: ("authorization", "Bearer {}"),
    ProviderType.ANTHROPIC: ("x-api-key", "{}"),
    ProviderType.GEMINI: ("x-goog-api-key", "{}"),
}


@dataclass(frozen=True)
class Asked:
    """One request, as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON of any shape
        return json.loads(self.body)


@dataclass
class Asking:
    """A request that is to be answered."""

    asked: Asked
    handler: BaseHTTPRequestHandler
    over: threading.Event
    """Set when the server ends, so that nobody hangs for ever."""

    def answer(self, data: object, status: int = 200, **headers: str) -> None:
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.handler.send_response(status)
        self.handler.send_header("Content-Type", "application/json")
        self.handler.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.handler.send_header(name.replace("_", "-"), value)
        self.handler.end_headers()
        self.handler.wfile.write(body)

    def raw(self, data: bytes) -> None:
        self.handler.wfile.write(data)
        self.handler.wfile.flush()


@dataclass
class ModelServer:
    """A server whose behaviour the test sets."""

    origin: str
    asked: list[Asked] = field(default_factory=list[Asked])
    behaviour: Behaviour = lambda asking: well(asking)  # noqa: PLW0108 - it is defined below

    def base_url(self, kind: ProviderType) -> str:
        return self.origin + BASES[kind]

    def entry(self, kind: ProviderType, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON of any shape
        return {"type": kind.value, "model": MODEL, "base_url": self.base_url(kind), "api_key": None, **more}


@contextmanager
def model_server(tls: Callable[[ThreadingHTTPServer], None] = lambda _: None) -> Generator[ModelServer]:
    """Give a running server that answers well until it is told otherwise."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, self.path, headers, body)
            server.asked.append(asked)
            with suppress(OSError):
                server.behaviour(Asking(asked, self, over))
            self.close_connection = True

        do_GET = do_POST = answer  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: object, client_address: object) -> None:
            pass

    listening = Server(("127.0.0.1", 0), Handler)
    tls(listening)
    server = ModelServer(f"http://127.0.0.1:{listening.server_port}")
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        over.set()
        listening.shutdown()
        thread.join()
        listening.server_close()


def write(layout: Layout, data: object, mode: int = 0o600) -> Path:
    """Write provider.json by hand."""
    path = layout.ops / "provider.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    path.chmod(mode)
    return path


# --- behaviours -------------------------------------------------------------------------------------------------------


def kind_of(asked: Asked) -> ProviderType:
    """Say which protocol a request speaks."""
    if asked.path.startswith("/v1beta"):
        return ProviderType.GEMINI
    if asked.path.startswith("/v1/messages") or "anthropic-version" in asked.headers:
        return ProviderType.ANTHROPIC
    return ProviderType.OPENAI_COMPAT


def written(kind: ProviderType, text: str = WRITTEN, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON of any shape
    """Return a good answer in a protocol's shape."""
    if kind is ProviderType.OPENAI_COMPAT:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 46}
        return {"id": "c-1", "object": "chat.completion", "model": MODEL, "choices": [choice], "usage": usage, **more}
    if kind is ProviderType.ANTHROPIC:
        return {
            "id": "m-1",
            "type": "message",
            "role": "assistant",
            "model": MODEL,
            "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 12, "output_tokens": 34},
            **more,
        }
    return {
        "candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 12, "candidatesTokenCount": 34},
        "modelVersion": MODEL,
        **more,
    }


def models(kind: ProviderType, name: str = MODEL) -> dict[str, Any]:
    """Return what a provider says about its models."""
    if kind is ProviderType.OPENAI_COMPAT:
        return {"object": "list", "data": [{"id": "other", "object": "model"}, {"id": name, "object": "model"}]}
    if kind is ProviderType.ANTHROPIC:
        return {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"}
    return {"name": f"models/{name}", "displayName": name}


def well(asking: Asking) -> None:
    """Answer as a provider does."""
    kind = kind_of(asking.asked)
    asking.answer(written(kind) if asking.asked.method == "POST" else models(kind))


def saying(data: object, status: int = 200, **headers: str) -> Behaviour:
    """Answer exactly this."""
    return lambda asking: asking.answer(data, status, **headers)


def writing(text: str, **more: Any) -> Behaviour:  # noqa: ANN401 - JSON of any shape
    """Write this text."""
    return lambda asking: asking.answer(written(kind_of(asking.asked), text, **more))


def hang(asking: Asking) -> None:
    """Say nothing at all."""
    asking.over.wait(30)


def drip(asking: Asking) -> None:
    """Answer so slowly that no single wait is ever long."""
    body = json.dumps(written(kind_of(asking.asked))).encode()
    asking.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
    for byte in body:
        if asking.over.wait(0.05):
            return
        asking.raw(bytes([byte]))


def drip_headers(asking: Asking) -> None:
    """The same, before the answer has begun."""
    asking.raw(b"HTTP/1.1 200 OK\r\n")
    while not asking.over.wait(0.05):
        asking.raw(b"X-More: again\r\n")


def garbage(asking: Asking) -> None:
    """Speak no HTTP."""
    asking.raw(b"\x00\xff\xfenot http at all\r\n\r\n" * 20)


def hang_up(asking: Asking) -> None:
    """Close the connection in the middle."""
    asking.raw(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"choices": [')


def close(asking: Asking) -> None:
    """Close the connection without a word."""
    del asking


def three_megabytes(asking: Asking) -> None:
    """Write too much."""
    asking.answer(written(kind_of(asking.asked), "x" * 3 * 1024 * 1024))


def endless(asking: Asking) -> None:
    """Never stop writing."""
    asking.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not asking.over.is_set():
        asking.raw(b"10000\r\n" + b"x" * 65536 + b"\r\n")
