"""What is told when the workspace is looked after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from interlock.kernel.canonical import Json, JsonObject
from interlock.kernel.events import Event


@dataclass(frozen=True, kw_only=True)
class SelfHealReported(Event):
    """The workspace was looked over; the subject is the id of this look, `h_<ulid>`."""

    kind = "self_heal.reported"
    calming = True
    status: str
    """`ok` or `attention`."""
    attention: tuple[str, ...]
    """Names of the checks that found something which is still there."""
    report: str
    """Path of the report, relative to the workspace where it lies in it."""
    report_sha256: str
    """`sha256:<hex>` of the report's bytes."""
    telemetry_sha256: str
    attestation: JsonObject | None = None
    """Who signed for it, and where that statement lies."""


@dataclass(frozen=True, kw_only=True)
class AutoFix(Event):
    """A repair; the subject is the id under which it can be undone."""

    fixer: str
    target: str
    plan: Mapping[str, Json]
    """`description`, `commands` (list of text), `dry_run`."""
    policy: Mapping[str, Json]
    """`decision` (`review`: only planned; `allow`: to be carried out), `reason`, `signals`, `metadata`."""


@dataclass(frozen=True, kw_only=True)
class AutoFixPlanned(AutoFix):
    """A repair is found to be possible, and where its plan is no dry run it is carried out next."""

    kind = "auto_fix.planned"


@dataclass(frozen=True, kw_only=True)
class AutoFixApplied(AutoFix):
    """A repair was carried out."""

    kind = "auto_fix.applied"
    calming = True


@dataclass(frozen=True, kw_only=True)
class FileRelocated(Event):
    """A repair moved something into quarantine; the subject is the id under which that can be undone."""

    kind = "file.relocated"
    calming = True
    source: str
    target: str


@dataclass(frozen=True, kw_only=True)
class AutoFixUndone(Event):
    """What repairs had moved was moved back."""

    kind = "auto_fix.undone"
    calming = True
    restored: int
