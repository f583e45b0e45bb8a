"""Logs as JSON lines on stderr, each with the correlation id of the request that it belongs to, without secrets."""

from __future__ import annotations

import json
import logging
import queue
import sys
from collections.abc import Generator
from contextlib import contextmanager
from logging.handlers import QueueHandler, QueueListener
from typing import Any

from interlock.access.redaction import redact
from interlock.kernel.clock import to_text


class JsonLines(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        said: dict[str, Any] = {
            "ts": to_text(round(record.created * 1000)),
            "level": record.levelname,
            "logger": record.name,
            "msg": redact(record.getMessage()),
        }
        for name in ("code", "correlation_id", "principal", "status", "duration_ms"):
            if (value := getattr(record, name, None)) is not None:
                said[name] = value
        if record.exc_info:
            said["traceback"] = redact(self.formatException(record.exc_info))
        return json.dumps(said)


class _AsItIs(QueueHandler):
    """Hands a record over without formatting it: that is the writer's part."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record


@contextmanager
def to_stderr() -> Generator[None]:
    """Send every log line to stderr while the block lasts, from a thread of its own: looking for secrets takes time."""
    waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    writer = logging.StreamHandler(sys.stderr)
    writer.setFormatter(JsonLines())
    listener = QueueListener(waiting, writer)
    logging.basicConfig(level=logging.INFO, handlers=[_AsItIs(waiting)], force=True)
    listener.start()
    try:
        yield
    finally:
        logging.getLogger().handlers.clear()
        listener.stop()
