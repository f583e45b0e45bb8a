"""OpenTelemetry: a span for every request, where the environment names a collector (`OTEL_EXPORTER_OTLP_ENDPOINT`).

Everything else is set as OpenTelemetry's own documentation says; a caller's trace is taken up by its `traceparent`.
The correlation id stands in every span, because it stands in every answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from interlock import __version__
from interlock.kernel.errors import Invalid

if TYPE_CHECKING:
    from fastapi import FastAPI

_WANTED_BY = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class TracingMissing(Invalid):
    """Traces are wanted, and what sends them is not installed."""

    code = "tracing_missing"
    default_hint = "pip install 'interlock[otel]'"


def install(app: FastAPI, environment: Mapping[str, str]) -> None:
    """Trace requests if a collector is named; raises `TracingMissing`. What is not sent yet is sent at exit."""
    if not any(environment.get(name) for name in _WANTED_BY):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - an extra
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware  # noqa: PLC0415 - the same
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - the same
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - the same
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - the same
    except ImportError:
        raise TracingMissing from None
    named = {"service.name": environment.get("OTEL_SERVICE_NAME", "interlock"), "service.version": __version__}
    provider = TracerProvider(resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    app.add_middleware(
        OpenTelemetryMiddleware,
        tracer_provider=provider,
        excluded_urls="health",
        exclude_spans=["receive", "send"],  # one span for a request, not one for each of its parts
        http_capture_headers_server_response=["X-Correlation-ID"],
    )
