"""A short storm over a real fleet: what fails is mended by itself, and nothing is lost, doubled or left behind.

A longer one is `make chaos`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from chaos.__main__ import storm
from chaos.faults import FAULTS, plan

SEED = 20_261_122


@pytest.mark.proves("fleet-storm")
@pytest.mark.timeout(300)
def test_after_a_short_storm_everything_is_as_if_there_had_been_none(tmp_path: Path) -> None:
    said: list[str] = []
    outcome = storm(tmp_path / "fleet", seed=SEED, seconds=12, runs=25, say=said.append)
    assert outcome.problems == [], "\n".join(said)
    assert len(said) > 5, "it did storm"
    assert outcome.claims >= outcome.runs


def test_the_same_seed_means_the_same_faults_and_every_kind_comes_up() -> None:
    assert plan(1, 600) == plan(1, 600)
    assert plan(1, 600) != plan(2, 600)
    assert {each.kind for each in plan(1, 600)} == set(FAULTS)
