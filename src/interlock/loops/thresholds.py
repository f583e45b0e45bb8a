"""Threshold profiles: how late is late. A catalog names them; a profile gives what no flag says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast

from interlock.kernel.errors import Invalid, NotFound
from interlock.loops import files
from interlock.loops.files import Document
from interlock.loops.health import Thresholds

CATALOG: Final = os.path.join("config", "ops-manager-threshold-profiles.v1.json")
VARIABLE: Final = "OPS_MANAGER_THRESHOLD_PROFILES_FILE"
_PAIRS: Final = (
    ("degradedIngestLagSeconds", "criticalIngestLagSeconds"),
    ("degradedTransportFailureStreak", "criticalTransportFailureStreak"),
)
_LONG_NAME: Final = 64
_MOST_NAMED: Final = 20


class CatalogMissing(NotFound):
    """There is no such catalog of threshold profiles."""

    code = "threshold_catalog_missing"
    default_hint = "`interlock init` makes the shipped one"


class CatalogInvalid(Invalid):
    """The catalog of threshold profiles is not right."""

    code = "threshold_catalog_invalid"


class ProfileUnknown(NotFound):
    """The catalog has no such profile."""

    code = "threshold_profile_unknown"


class Profile(NamedTuple):
    """One profile of a catalog."""

    name: str
    degraded_ingest_lag_seconds: int
    critical_ingest_lag_seconds: int
    degraded_transport_failure_streak: int
    critical_transport_failure_streak: int
    description: str | None
    source: str
    """The catalog's path, as it was given."""

    def document(self) -> Document:
        """Return what the entry point prints."""
        shown: Document = {
            "schemaVersion": "v1",
            "sourceFile": self.source,
            "profile": self.name,
            "values": {
                "degradedIngestLagSeconds": self.degraded_ingest_lag_seconds,
                "criticalIngestLagSeconds": self.critical_ingest_lag_seconds,
                "degradedTransportFailureStreak": self.degraded_transport_failure_streak,
                "criticalTransportFailureStreak": self.critical_transport_failure_streak,
            },
        }
        return shown if self.description is None else {**shown, "description": self.description}


def catalog_path(given: str | None, root: str, environment: Mapping[str, str]) -> str:
    """Say which catalog is meant: a flag's, the environment's, or that of the root."""
    return given or environment.get(VARIABLE) or os.path.join(root, CATALOG)


def load(path: str) -> Document:
    """Read a catalog; raises `CatalogMissing`, `CatalogInvalid`, `files.FileUnreadable`."""
    try:
        catalog = files.read_json(path)
    except files.FileCorrupt as error:
        raise CatalogInvalid(f"thresholds file holds no JSON object: {error.message}") from None
    if catalog is None:
        raise CatalogMissing(f"thresholds file not found: {path}")
    profiles = catalog.get("profiles")
    if catalog.get("schemaVersion") != "v1" or not isinstance(profiles, dict) or not profiles:
        raise CatalogInvalid(f"thresholds file is invalid: {path}: schemaVersion v1 and profiles are needed")
    return catalog


def names(catalog: Document) -> list[str]:
    """List a catalog's profiles, sorted."""
    return sorted(cast("Document", catalog["profiles"]))


def resolve(catalog: Document, name: str | None, source: str) -> Profile:
    """Return the profile that is meant, by default the catalog's own; raises `ProfileUnknown`, `CatalogInvalid`."""
    wanted = name or catalog.get("defaultProfile")
    if not isinstance(wanted, str) or not wanted:
        raise CatalogInvalid(f"no threshold profile is named, and {source} has no defaultProfile")
    found = cast("Document", catalog["profiles"]).get(wanted)
    if found is None:
        known = ", ".join(map(_shown, names(catalog)[:_MOST_NAMED]))
        raise ProfileUnknown(f"unknown threshold profile: {_shown(wanted)}", hint=f"{source} has {known}")
    values = cast("Document", found) if isinstance(found, dict) else {}
    (degraded_lag, critical_lag), (degraded_streak, critical_streak) = (
        _pair(values, pair, wanted, source) for pair in _PAIRS
    )
    about = values.get("description")
    return Profile(
        name=wanted,
        degraded_ingest_lag_seconds=degraded_lag,
        critical_ingest_lag_seconds=critical_lag,
        degraded_transport_failure_streak=degraded_streak,
        critical_transport_failure_streak=critical_streak,
        description=about if isinstance(about, str) else None,
        source=source,
    )


def applied(profile: Profile, said: Mapping[str, int]) -> Thresholds:
    """Return the thresholds that hold: each as it was said, else as the profile says; raises `ThresholdsInvalid`.

    The heartbeat's are never a profile's. The profile's name is kept, also where nothing of it holds.
    """
    of_profile = {
        "degraded_ingest": profile.degraded_ingest_lag_seconds,
        "critical_ingest": profile.critical_ingest_lag_seconds,
        "degraded_streak": profile.degraded_transport_failure_streak,
        "critical_streak": profile.critical_transport_failure_streak,
    }
    return Thresholds(profile.name, **{**of_profile, **said}).checked()


def _pair(values: Document, pair: tuple[str, str], name: str, source: str) -> tuple[int, int]:
    degraded, critical = (_whole(values.get(key)) for key in pair)
    if degraded is None or critical is None or critical < degraded:
        raise CatalogInvalid(
            f"threshold profile {_shown(name)} of {source} is invalid: {pair[0]} and {pair[1]} are whole numbers, "
            "the second not below the first"
        )
    return degraded, critical


def _shown(name: str) -> str:
    return name if name.isprintable() and len(name) <= _LONG_NAME else ascii(name[:_LONG_NAME]) + "…"


def _whole(value: Any) -> int | None:  # noqa: ANN401 - JSON of any shape
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0 or value != value // 1:
        return None
    return int(value)
