"""A hundred thousand items and a million lines of a log: the page draws what is seen, and finds what is not."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2
import pytest
from benchmarks.filling import fill_sqlite
from playwright.sync_api import expect

from tests.console.conftest import Sit
from tests.console.furnished import wait
from tests.http.processes import Process, run

pytestmark = pytest.mark.timeout(300)
_MOST_ROWS = 300


@pytest.mark.proves("console-long")
def test_a_million_lines_of_a_log_are_walked_searched_and_followed(server: Process, repository: Path, sit: Sit) -> None:
    with server.client() as client:
        run_id = run(client, "seq 1000000; echo the last word", repository)
        wait(client, f"/ops/runs/{run_id}", "done")
    alice = sit(path=f"/runs/{run_id}")
    lines = alice.page.get_by_role("list", name="Log lines")
    expect(lines.get_by_text("the last word")).to_be_visible()
    assert lines.get_by_role("listitem").count() < _MOST_ROWS
    alice.page.get_by_label("Go to line").fill("500002")
    alice.page.keyboard.press("Enter")
    expect(lines.get_by_text("500000", exact=True)).to_be_visible()
    alice.page.get_by_label("Search the log").fill("777777")
    alice.page.keyboard.press("Enter")
    expect(lines.locator("mark", has_text="777777")).to_be_visible(timeout=20_000)
    assert lines.get_by_role("listitem").count() < _MOST_ROWS


@pytest.mark.proves("console-long")
def test_a_hundred_thousand_items_are_filtered_and_moved_together(server: Process, workspace: Path, sit: Sit) -> None:
    fill_sqlite(workspace, 100_000)  # and a tenth more that is done
    alice = sit(path="/queue")
    expect(alice.page.get_by_text("110,000 items")).to_be_visible(timeout=20_000)
    assert alice.page.get_by_role("row").count() < _MOST_ROWS
    alice.page.get_by_role("link", name="DONE").click()
    expect(alice.page.get_by_text("10,000 items")).to_be_visible()
    alice.page.get_by_role("link", name="PENDING").click()
    alice.page.get_by_label("Text").fill("ORCH-1099")
    alice.page.keyboard.press("Enter")
    alice.page.get_by_role("button", name=re.compile("Pick all .* that match")).click()
    alice.page.get_by_role("button", name="cancel", exact=True).click()
    alice.page.get_by_role("form", name="cancel many").get_by_label("Reason").fill("swept already")
    alice.page.get_by_role("button", name="Preview").click()
    go = alice.page.get_by_role("button", name=re.compile("cancel [0-9]+ items"))
    picked = int(str(go.text_content()).split()[1])
    with server.client() as client:
        assert _cancelled(client) == 0
        go.click()
        expect(alice.page.get_by_role("region", name="cancel many, done")).to_be_visible(timeout=30_000)
        assert _cancelled(client) == picked > 100


def _cancelled(client: httpx2.Client) -> int:
    """Count what was cancelled, which is BLOCKED now; nothing else is here."""
    found = client.get("/ops/queue/count", params={"status": "BLOCKED"})
    assert found.status_code == 200, found.text
    return int(found.json()["items"])
