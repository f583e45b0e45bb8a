"""docs/reference/schemas.md: the JSON Schemas that outsiders verify with, and those in a workspace."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.docs.reference import DOCS
from tests.docs.reference.markdown import code, page, table
from tests.docs.reference.words import SOURCE

_INTRODUCTION: Final = """\
Shapes that others rely on, as JSON Schemas. A statement's schema describes the `predicate` of an in-toto statement; how
it is signed and looked up says [the evidence log](../evidence.md).
"""
_SHIPPED: Final = SOURCE / "workspace" / "shipped"
_PLACES: Final = {_SHIPPED / "schema": "schema", _SHIPPED / "skeleton" / "storage/db/schemas": "storage/db/schemas"}


def pages() -> Mapping[str, str]:
    """Return the page."""
    signed = [
        (f"[{path.name}](../schemas/{path.name})", _about(path)) for path in sorted((DOCS / "schemas").glob("*.json"))
    ]
    parts = [_INTRODUCTION, "## Signed statements", table(["schema", "what it describes"], signed)]
    for folder, place in _PLACES.items():
        rows = [(code(path.name), _about(path)) for path in sorted(folder.glob("*.json"))]
        parts += [f"## In a workspace, under `{place}/`", table(["schema", "what it describes"], rows)]
    return {"reference/schemas.md": page("JSON Schemas", *parts)}


def _about(path: Path) -> str:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return str(found.get("description") or found.get("title") or "")
