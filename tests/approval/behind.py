"""What nobody is meant to do: changes behind the rooms' back, and a look at what is stored and logged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from interlock.app import Interlock
from interlock.approval.models import Draft, DraftStatus
from interlock.storage.approval import StoredDrafts
from interlock.storage.database import Row
from interlock.storage.evidence import StoredLog
from tests.conftest import ALICE, WORKER


def behind_the_back(house: Interlock, statement: str) -> list[Row]:
    """Run a statement that no room knows."""
    with house.database.write(WORKER) as transaction:
        return transaction._execute(statement, {})[0]  # pyright: ignore[reportPrivateUsage] - behind the back


def erase(house: Interlock, ref: str) -> None:
    """Erase a body with its salt."""
    behind_the_back(house, f"UPDATE content SET salt = NULL, body = NULL, erased_ms = 1 WHERE ref = '{ref}'")  # noqa: S608 - a digest


def counts(house: Interlock) -> dict[str, int]:
    """Count what there is of everything."""
    tables = ("draft", "approved", "run", "queue_items", "content")
    found = {table: behind_the_back(house, f"SELECT COUNT(*) AS n FROM {table}")[0]["n"] for table in tables}  # noqa: S608 - our own names
    return {**found, "events": StoredLog(house.database).size()}


def events(house: Interlock) -> list[Mapping[str, Any]]:
    """Return the whole log."""
    return [event for _, event in StoredLog(house.database).events(0, 1000)]


def in_error(house: Interlock, prompt: str = "sweep") -> Draft:
    """Make a draft that its provider failed to write."""
    draft = house.approval.create(ALICE, prompt)
    failed = replace(draft, status=DraftStatus.ERROR, error="the provider said no", version=draft.version + 1)
    with house.database.write(ALICE) as transaction:
        assert StoredDrafts(transaction).replace(failed, seen_version=draft.version)
    return failed
