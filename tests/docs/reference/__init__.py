"""Pages of docs/ that are made from the code. `.venv/bin/python -m tests.docs.reference` writes them anew.

One module a subject; each has `pages()`, which returns texts by their places under docs/. What the code does not say in
words stands in `words.py`, and a test holds it against the code in both directions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).resolve().parents[3] / "docs"


def subjects() -> Mapping[str, Callable[[], Mapping[str, str]]]:
    """Return what makes the pages of each subject."""
    from tests.docs.reference import (  # noqa: PLC0415 - they load the whole product
        cli,
        decisions,
        entry_points,
        errors,
        events,
        exit_codes,
        house,
        http,
        metrics,
        reasons,
        schemas,
    )

    every = (http, cli, entry_points, events, reasons, errors, exit_codes, metrics, schemas, house, decisions)
    return {subject.__name__.rpartition(".")[2]: subject.pages for subject in every}
