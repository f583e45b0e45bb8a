"""The figures behind `kpi`, held against the spec's formulas once more."""

from __future__ import annotations

import json
import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.kernel.errors import Invalid
from interlock.queue.kpi import Limits, RunLog, figures


def ended(command: str, duration: object = 10) -> bytes:
    return json.dumps({"event": "run_end", "command": command, "exit_code": 0, "duration_ms": duration}).encode()


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=300))
def test_latency_is_what_the_other_tools_reckon(durations: list[int]) -> None:
    log = RunLog()
    log.add(ended("list", duration) for duration in durations)
    kpi = figures(log, retry_count=0, stale_in_progress=0)
    assert kpi.latency_p95_ms == sorted(durations)[math.floor((len(durations) - 1) * 0.95)]
    shown = kpi.line().split("latency_avg_ms=")[1].split()[0]
    assert float(shown) == round(sum(durations) / len(durations), 2)
    assert not shown.endswith((".0", "0.00"))


@given(st.integers(0, 500), st.integers(0, 500))
def test_a_rate_is_shown_as_the_other_tools_show_it_and_judged_exactly(done: int, failed: int) -> None:
    log = RunLog(done=done, failed=failed)
    kpi = figures(log, retry_count=0, stale_in_progress=0)
    if not done + failed:
        assert "success_rate=- " in kpi.line()
        return
    assert f"success_rate={round(done / (done + failed), 4) * 100:.2f}% " in kpi.line()
    for limit in ("0", "0.1", "0.2", "0.3", "0.15", "1"):
        found = kpi.alerts(Limits(max_failure_rate=Decimal(limit)))
        exact = failed * 10_000 > int(Decimal(limit) * 10_000) * (done + failed)
        assert bool(found) == exact


@pytest.mark.parametrize("limit", ["NaN", "Infinity", "-Infinity"])
def test_a_limit_that_is_no_number_is_refused(limit: str) -> None:
    with pytest.raises(Invalid, match="is a number like"):
        Limits(max_failure_rate=Decimal(limit))


def test_a_number_beyond_every_measure_spoils_no_figure() -> None:
    log = RunLog()
    log.add(
        [ended("done", 10**400), ended("done", -(10**400)), b'{"event":"run_end","duration_ms":' + b"9" * 5000 + b"}"]
    )
    kpi = figures(log, retry_count=0, stale_in_progress=0)
    assert (log.done, log.malformed, kpi.latency_avg_ms) == (2, 1, None)
    assert "latency_avg_ms=None" in kpi.line()
