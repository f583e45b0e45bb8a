"""Key figures of the queue: success rate, latency, retries, stale work. Pure, and exact at the limits.

Formulas are those of the tool whose logs are read together with ours: only successful `done` and `fail` commands count
towards the success rate; latency is every `run_end`'s own duration; the percentile takes no mean between two values.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any, cast

from interlock.kernel.canonical import MAX_INTEGER
from interlock.kernel.errors import Invalid

_KST = timezone(timedelta(hours=9))


@dataclass(slots=True)
class RunLog:
    """What the lines of `orch_runs.jsonl` say, added up line by line."""

    done: int = 0
    failed: int = 0
    malformed: int = 0
    """Lines that are not a JSON object; they are counted and reported, never fatal."""
    durations_ms: list[int] = field(default_factory=list[int])

    def add(self, lines: Iterable[bytes]) -> None:
        """Take lines of one log file."""
        for line in lines:
            if line.strip():
                record = _record(line)
                if record is None:
                    self.malformed += 1
                else:
                    self._take(record)

    def _take(self, record: Mapping[str, Any]) -> None:
        if record.get("event") != "run_end":
            return
        duration = record.get("duration_ms")
        if isinstance(duration, int) and not isinstance(duration, bool) and abs(duration) <= MAX_INTEGER:
            self.durations_ms.append(duration)
        if record.get("exit_code") == 0 and not isinstance(record.get("exit_code"), bool):
            self.done += record.get("command") == "done"
            self.failed += record.get("command") == "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Above which a figure is an alert."""

    max_failure_rate: Decimal = Decimal("0.2")
    max_latency_p95_ms: int = 2000
    max_stale_in_progress: int = 0

    def __post_init__(self) -> None:
        """Refuse what nothing can be held against."""
        if not self.max_failure_rate.is_finite():
            raise Invalid(f"the failure rate's limit is a number like 0.2, not {self.max_failure_rate}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kpi:
    """The figures; None where there is nothing to judge by."""

    done: int
    failed: int
    latency_p95_ms: int | None
    latency_avg_ms: Fraction | None
    retry_count: int | None
    stale_in_progress: int

    @property
    def failure_rate(self) -> Fraction | None:
        """Failures among everything that ended, exactly."""
        ended = self.done + self.failed
        return Fraction(self.failed, ended) if ended else None

    def line(self) -> str:
        """Return the result line."""
        return (
            f"kpi success_rate={self._success()} latency_p95_ms={self.latency_p95_ms}"
            f" latency_avg_ms={_rounded(self.latency_avg_ms)} retry_count={self.retry_count}"
            f" stale_in_progress={self.stale_in_progress}"
        )

    def alerts(self, limits: Limits) -> list[str]:
        """Return an alert for each figure strictly above its limit."""
        found: list[str] = []
        rate = self.failure_rate
        if rate is not None and rate > Fraction(limits.max_failure_rate):
            found.append(f"alert failure_rate={float(rate):.4f} exceeds {limits.max_failure_rate:.4f}")
        if self.latency_p95_ms is not None and self.latency_p95_ms > limits.max_latency_p95_ms:
            found.append(f"alert latency_p95_ms={self.latency_p95_ms} exceeds {limits.max_latency_p95_ms}")
        if self.stale_in_progress > limits.max_stale_in_progress:
            found.append(f"alert stale_in_progress={self.stale_in_progress} exceeds {limits.max_stale_in_progress}")
        return found

    def _success(self) -> str:
        rate = self.failure_rate
        return "-" if rate is None else f"{round(float(1 - rate), 4) * 100:.2f}%"


def stale(active: Iterable[Mapping[str, str]], *, now_ms: int, minutes: int) -> int:
    """Count what has been IN_PROGRESS for so long; a start that can not be read is never old."""
    starts = (_instant(row["started_at_kst"]) for row in active)
    return sum(start is not None and start <= now_ms - minutes * 60_000 for start in starts)


def figures(log: RunLog, *, retry_count: int | None, stale_in_progress: int) -> Kpi:
    """Work the figures out."""
    durations = sorted(log.durations_ms)
    return Kpi(
        done=log.done,
        failed=log.failed,
        latency_p95_ms=durations[(len(durations) - 1) * 95 // 100] if durations else None,
        latency_avg_ms=Fraction(sum(durations), len(durations)) if durations else None,
        retry_count=retry_count,
        stale_in_progress=stale_in_progress,
    )


def _instant(text: str) -> int | None:
    """Read `2026-11-21 17:00`, UTC+9, in milliseconds since the epoch."""
    try:
        moment = datetime.strptime(text.strip(), "%Y-%m-%d %H:%M").replace(tzinfo=_KST)
    except ValueError:
        return None
    return round(moment.timestamp()) * 1000


def _rounded(value: Fraction | None) -> str:
    if value is None:
        return "None"
    shown = round(float(value), 2)
    return str(int(shown)) if shown.is_integer() else str(shown)


def _record(line: bytes) -> Mapping[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else None
