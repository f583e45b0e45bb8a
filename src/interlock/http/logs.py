"""Logs as JSON lines on stderr, each with the correlation id of the request that it belongs to, without secrets."""

from __future__ import annotations

import json
import logging
import sys
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
        for name in ("code", "correlation_id"):
            if (value := getattr(record, name, None)) is not None:
                said[name] = value
        if record.exc_info:
            said["traceback"] = redact(self.formatException(record.exc_info))
        return json.dumps(said, ensure_ascii=False)


def to_stderr() -> None:
    """Send every log line to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
