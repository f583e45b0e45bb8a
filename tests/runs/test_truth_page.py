"""docs/truth.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from interlock.runs.options import TruthOptions
from interlock.runs.truth import MAY, RULES, SECOND_LINE_SECONDS, wanted
from interlock.settings import Settings

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "truth.md").read_text(encoding="utf-8")


def test_the_page_has_every_rule_in_its_order_with_its_default_and_what_it_may_be() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| ([^|]+) \| (\w+) \| ([^|]+) \|$", PAGE, re.MULTILINE)
    assert rows == [
        (
            rule.verdict.value,
            rule.reason,
            rule.says,
            wanted(rule.verdict, TruthOptions()).value,
            ", ".join(sorted(MAY[rule.verdict])),
        )
        for rule in RULES
    ]


def test_the_times_on_the_page_are_the_defaults() -> None:
    settings = Settings()
    assert f"`queue.lease_seconds`, {settings.queue.lease_seconds} s" in PAGE
    assert f"`stall_seconds`, {settings.truth.stall_seconds} s" in PAGE
    assert f"`report_seconds`, {settings.truth.report_seconds} s" in PAGE
    assert f"waits {SECOND_LINE_SECONDS:.0f} seconds" in " ".join(PAGE.split())
