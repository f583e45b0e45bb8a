"""Writes docs/openapi.json anew: `.venv/bin/python -m tests.http.document`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from interlock.http.application import Parts, create_application
from interlock.http.document import openapi

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"


def document() -> dict[str, Any]:
    """Return the document of the code as it is."""
    nothing: Any = None
    return openapi(
        create_application(Parts(house=nothing, access=nothing, throttle=nothing, log=nothing, wrote=lambda: None))
    )


if __name__ == "__main__":
    COMMITTED.write_text(json.dumps(document(), indent=2, sort_keys=True) + "\n", encoding="utf-8")
