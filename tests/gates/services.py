"""What services that know of weaknesses answer, over real HTTP: OSV for Python, the npm registry for the console."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Services:
    """Both, at one address."""

    address: str
    weak: dict[str, str] = field(default_factory=dict[str, str])
    """Packages with a weakness, and its id."""
    broken: bool = False
    """Whether each question is answered by 500."""
    asked: list[str] = field(default_factory=list[str])
    """What was asked about."""

    def osv(self, query: dict[str, Any]) -> dict[str, Any]:
        """Answer `POST /v1/query`."""
        name: str = query["package"]["name"]
        self.asked.append(name)
        if name not in self.weak:
            return {}
        told = {"id": self.weak[name], "summary": "It is weak.", "published": "2026-01-02T03:04:05Z"}
        package = {"name": name, "ecosystem": "PyPI"}
        ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "999.0"}]}]
        return {"vulns": [{**told, "affected": [{"package": package, "ranges": ranges}]}]}

    def registry(self) -> dict[str, Any]:
        """Answer the bulk question of `npm audit`."""
        self.asked.append("npm")
        told = {"url": "http://127.0.0.1/", "title": "It is weak.", "severity": "high", "vulnerable_versions": "<999"}
        return {name: [{"id": 1, "name": name, **told, "cwe": []}] for name in self.weak}


@contextmanager
def services() -> Generator[Services]:
    """Serve both on the loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if served.broken:
                self._answer(500, {})
            elif self.path == "/v1/query":
                self._answer(200, served.osv(json.loads(body)))
            else:
                self._answer(200, served.registry())

        def do_GET(self) -> None:
            self._answer(404, {})

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            del format, args

        def _answer(self, status: int, told: dict[str, Any]) -> None:
            body = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Services(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
