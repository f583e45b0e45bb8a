"""docs/reference/metrics.md: what `/metrics` tells Prometheus, from where the code declares each figure."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from tests.docs.reference.markdown import code, codes, page, table
from tests.docs.reference.words import SOURCE, parsed

_INTRODUCTION: Final = """\
`GET /metrics` answers in Prometheus's text format to every role; a scraper sends `Authorization: Bearer …`. Figures
over time and by the hour, as people read them, come from `GET /ops/queue/history` and `interlock queue kpi`.
"""
_KINDS: Final = {"Counter", "Enum", "Gauge", "Histogram", "Info", "Summary"}


class Figure(NamedTuple):
    """One figure as it is declared."""

    name: str
    kind: str
    labels: list[str]
    about: str


def pages() -> Mapping[str, str]:
    """Return the page."""
    rows = [(code(each.name), each.kind, codes(each.labels), each.about) for each in figures()]
    return {"reference/metrics.md": page("Metrics", _INTRODUCTION, table(["metric", "type", "labels", "what"], rows))}


def figures() -> list[Figure]:
    """Return every figure that is declared, by its name."""
    return sorted(each for path in SOURCE.rglob("*.py") for each in _declared(path))


def _declared(path: Path) -> Iterator[Figure]:
    if "prometheus_client" not in path.read_text(encoding="utf-8"):
        return
    tree = parsed(path)
    imports = [
        each for each in ast.walk(tree) if isinstance(each, ast.ImportFrom) and each.module == "prometheus_client"
    ]
    kinds = _KINDS & {name.name for each in imports for name in each.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in kinds:
            name, about, *labels = (ast.literal_eval(each) for each in node.args)
            yield Figure(name, node.func.id.lower(), list(labels[0]) if labels else [], about)
