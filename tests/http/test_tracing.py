"""Traces: where a collector is named, every request is a span there; elsewhere nothing is even imported."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.cli.door import call
from tests.conftest import until
from tests.http.processes import process

TRACE = "0af7651916cd43dd8448eb211c80319c"


@contextmanager
def collector() -> Generator[tuple[str, list[tuple[Resource, Span]]]]:
    """Take OTLP over HTTP; yields the address and the spans that came."""
    spans: list[tuple[Resource, Span]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = ExportTraceServiceRequest()
            asked.ParseFromString(self.rfile.read(int(self.headers["content-length"])))
            for resource in asked.resource_spans:
                for scope in resource.scope_spans:
                    spans.extend((resource.resource, span) for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", spans
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def attributes(of: Resource | Span) -> dict[str, Any]:
    return {each.key: each.value.string_value or each.value.int_value for each in of.attributes}


def test_a_request_is_a_span_of_the_callers_trace_with_its_correlation_id(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collector() as (address, spans):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        with process(workspace, "--api-only") as server, server.client() as client:
            traced = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "X-Correlation-ID": "c-7"}
            assert client.get("/status", headers=traced).status_code == 200
            assert client.get("/health").status_code == 200
            assert server.end() == 0
        until(lambda: len(spans) > 0)
    ((resource, span),) = spans
    assert attributes(resource)["service.name"] == "interlock"
    assert span.trace_id.hex() == TRACE
    told = {key: value for key, value in attributes(span).items() if key.startswith("http")}
    assert told["http.target"] == "/status"
    assert "c-7" in str(span.attributes)


def test_without_a_collector_nothing_of_it_is_imported(workspace: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from interlock.app import Interlock; "
        "from interlock.http.wiring import plugged; "
        f"plugged(Interlock.at(Path({str(workspace)!r}))); "
        "sys.exit(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_collector_that_is_away_holds_nobody_up(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with process(workspace, "--api-only") as server, server.client() as client:
        assert client.get("/status").status_code == 200
        assert server.end() == 0
    assert call("panic", "on", "--reason", "r", at=workspace).code == 0
