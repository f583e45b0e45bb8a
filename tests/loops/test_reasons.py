"""Every word that is said of a loop has a sentence."""

from __future__ import annotations

import re
from pathlib import Path

import interlock.loops
from interlock.loops import confirmation, drift, reasons
from interlock.loops.models import STATES
from interlock.loops.reasons import DRIFT, FLAGS, OUTCOMES, REASONS, VIOLATIONS, said

ROOM = Path(interlock.loops.__file__).parent


def words_of(module: str, pattern: str) -> set[str]:
    return set(re.findall(pattern, (ROOM / f"{module}.py").read_text(encoding="utf-8")))


def test_every_reason_for_which_a_loop_is_not_healthy_is_explained() -> None:
    found = words_of("health", r'": "([a-z]+_[a-z_]+)"') | words_of("health", r'(?:Finding|_late)\(\s*"([a-z_]+)"')
    found |= words_of("reconcile", r'Finding\("([a-z_]+)"') | words_of("local", r'Finding\("([a-z_]+)"')
    found |= words_of("models", r'Finding\("([a-z_]+)"') | {drift.DETECTED}
    assert {"divergence_detected", "runtime_process_dead", "events_invalid", "ingest_stale"} <= found
    assert found <= set(REASONS)
    assert all(each.title and each.means and each.do for each in REASONS.values())


def test_every_other_word_is_explained() -> None:
    assert set(reasons.STATES) == STATES
    assert words_of("sequence", r'"([a-z]+_sequence_[a-z_]+)"') == set(VIOLATIONS)
    assert words_of("divergence", r'"([a-z]+[A-Z][A-Za-z]+)"') - {"eventLineOffset"} == set(FLAGS)
    assert {"confirmed", "executed_unconfirmed", "ambiguous", "failed_command", "acknowledged"} <= set(OUTCOMES)
    assert {"no_recommendation", "aligned", "insufficient_confidence", "drift_active", "mismatch_pending"} == set(DRIFT)
    assert confirmation.INTENTS == ("cancel", "approve", "reject")


def test_a_word_that_nobody_knows_is_said_to_be_that() -> None:
    assert said(REASONS, "of_tomorrow").title == "of tomorrow"
    assert "nothing more is known" in said(REASONS, "of_tomorrow").means
