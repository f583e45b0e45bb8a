"""Threshold profiles: what a catalog may say, and which profile is meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from interlock.kernel.errors import InterlockError
from interlock.loops import thresholds
from interlock.loops.thresholds import CatalogInvalid, CatalogMissing, ProfileUnknown

SHIPPED = Path(thresholds.__file__).parents[1] / "workspace" / "shipped" / "config" / Path(thresholds.CATALOG).name
OWN = {
    "degradedIngestLagSeconds": 10,
    "criticalIngestLagSeconds": 20,
    "degradedTransportFailureStreak": 1,
    "criticalTransportFailureStreak": 1,
}


def catalog(**profiles: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON of any shape
    return {"schemaVersion": "v1", "profiles": profiles}


@pytest.mark.proves("loop-thresholds")
@pytest.mark.parametrize(
    ("name", "numbers"),
    [("strict", (120, 300, 1, 2)), ("balanced", (300, 900, 2, 4)), ("relaxed", (600, 1800, 3, 6))],
)
def test_the_shipped_profiles_are_those_of_the_seed(name: str, numbers: tuple[int, ...]) -> None:
    assert thresholds.resolve(thresholds.load(str(SHIPPED)), name, "x")[1:5] == numbers


def test_without_a_name_the_catalog_s_default_is_meant() -> None:
    found = thresholds.resolve(thresholds.load(str(SHIPPED)), None, str(SHIPPED))
    assert found.name == "balanced"
    assert list(found.document()) == ["schemaVersion", "sourceFile", "profile", "values", "description"]


def test_a_profile_without_a_description_says_none() -> None:
    assert "description" not in thresholds.resolve(catalog(own=OWN), "own", "x").document()


def test_an_unknown_profile_is_named_and_the_known_ones_too() -> None:
    with pytest.raises(ProfileUnknown, match="unknown threshold profile: turbo") as caught:
        thresholds.resolve(catalog(own=OWN), "turbo", "file.json")
    assert "file.json has own" in caught.value.hint


def test_a_catalog_without_a_default_needs_a_name() -> None:
    with pytest.raises(CatalogInvalid, match="no threshold profile is named"):
        thresholds.resolve(catalog(own=OWN), None, "x")


@pytest.mark.parametrize(
    "wrong",
    [
        {**OWN, "criticalIngestLagSeconds": 9},
        {**OWN, "criticalTransportFailureStreak": 0},
        {**OWN, "degradedIngestLagSeconds": "10"},
        {**OWN, "degradedIngestLagSeconds": True},
        {**OWN, "degradedIngestLagSeconds": -1},
        {**OWN, "degradedIngestLagSeconds": 0.5},
        {**OWN, "degradedIngestLagSeconds": float("nan")},
        {**OWN, "criticalIngestLagSeconds": float("inf")},
        {key: value for key, value in OWN.items() if key != "criticalIngestLagSeconds"},
        {},
        [],
        "own",
        7,
    ],
    ids=str,
)
def test_a_profile_has_four_whole_numbers_in_order(wrong: Any) -> None:  # noqa: ANN401 - JSON of any shape
    with pytest.raises(CatalogInvalid, match="threshold profile own of there is invalid"):
        thresholds.resolve(catalog(own=wrong), "own", "there")


def test_a_whole_number_may_be_written_with_a_point() -> None:
    found = thresholds.resolve(catalog(own={**OWN, "criticalIngestLagSeconds": 20.0}), "own", "x")
    assert json.dumps(found.document()["values"]["criticalIngestLagSeconds"]) == "20"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (None, CatalogMissing),
        ("", CatalogInvalid),
        ("{", CatalogInvalid),
        ("[]", CatalogInvalid),
        ("{}", CatalogInvalid),
        (json.dumps({"schemaVersion": "v2", "profiles": {"own": OWN}}), CatalogInvalid),
        (json.dumps({"schemaVersion": "v1", "profiles": {}}), CatalogInvalid),
        (json.dumps({"schemaVersion": "v1", "profiles": [OWN]}), CatalogInvalid),
    ],
)
def test_a_file_that_is_no_catalog_is_refused(tmp_path: Path, text: str | None, kind: type[InterlockError]) -> None:
    file = tmp_path / "profiles.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(kind, match="thresholds file") as caught:
        thresholds.load(str(file))
    assert str(file) in caught.value.message


@pytest.mark.proves("loop-thresholds")
def test_a_flag_beats_the_environment_and_that_the_root_s_own_file() -> None:
    said = {thresholds.VARIABLE: "/env.json"}
    assert thresholds.catalog_path("/flag.json", "/root", said) == "/flag.json"
    assert thresholds.catalog_path(None, "/root", said) == "/env.json"
    assert thresholds.catalog_path(None, "/root", {}) == "/root/config/ops-manager-threshold-profiles.v1.json"
