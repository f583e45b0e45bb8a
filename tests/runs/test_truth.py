"""The judge: one verdict for whatever is seen, the one that was meant, and no harm to a run in good order."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.kernel.errors import Invalid
from interlock.runs.models import StepName
from interlock.runs.options import TruthOptions
from interlock.runs.truth import (
    ACTS,
    HEALTHY,
    MAY,
    RULES,
    Action,
    Facts,
    Judged,
    Process,
    Truth,
    Verdict,
    carried,
    check_options,
    judge,
    says,
    settled,
    wanted,
)

OPTIONS = TruthOptions(stall_seconds=600, report_seconds=120, most_takeovers=3)
AGENT = StepName.AGENT
AT_WORK = Facts(step=AGENT, agent=Process.ALIVE)
QUIET = replace(AT_WORK, quiet_seconds=600.0)

CASES: list[tuple[str, Facts, Verdict, str, Action]] = [
    ("it prints", AT_WORK, Verdict.PROGRESSING, "at_work", Action.WAIT),
    ("it was taken up", Facts(), Verdict.STARTING, "not_begun_yet", Action.WAIT),
    ("its worktree is made", Facts(step=StepName.PREPARE), Verdict.STARTING, "not_begun_yet", Action.WAIT),
    ("its checks go on", Facts(step=StepName.VERIFY, agent=Process.DEAD), Verdict.PROGRESSING, "at_work", Action.WAIT),
    ("a moment short of the limit", replace(AT_WORK, quiet_seconds=599.9), Verdict.PROGRESSING, "at_work", Action.WAIT),
    ("it prints nothing", QUIET, Verdict.SILENT, "no_output", Action.ASK),
    ("it never begins", Facts(quiet_seconds=600), Verdict.SILENT, "not_begun", Action.ASK),
    (
        "a check that prints nothing",
        Facts(step=StepName.VERIFY, quiet_seconds=600),
        Verdict.SILENT,
        "no_output",
        Action.ASK,
    ),
    (
        "its worker died and its tree lives",
        replace(AT_WORK, holder=Process.DEAD),
        Verdict.ORPHANED,
        "worker_dead",
        Action.TAKE_OVER,
    ),
    (
        "its worker died and so did its tree",
        replace(AT_WORK, holder=Process.DEAD, agent=Process.DEAD),
        Verdict.LOST_WORKER,
        "worker_dead",
        Action.TAKE_OVER,
    ),
    (
        "its worker stands still",
        replace(AT_WORK, lease_over=True),
        Verdict.LOST_WORKER,
        "lease_expired",
        Action.TAKE_OVER,
    ),
    (
        "its machine is gone",
        Facts(here=False, holder=Process.UNSEEN, lease_over=True, node_lost=True),
        Verdict.LOST_NODE,
        "lease_expired",
        Action.TAKE_OVER,
    ),
    (
        "an external session is gone",
        Facts(external=True, here=False, holder=Process.UNSEEN, lease_over=True, node_lost=True),
        Verdict.LOST_WORKER,
        "lease_expired",
        Action.TAKE_OVER,
    ),
    (
        "an external session is quiet",
        Facts(external=True, quiet_seconds=9e9),
        Verdict.WAITING_EXTERNAL,
        "held_outside",
        Action.WAIT,
    ),
    (
        "another machine holds it",
        replace(AT_WORK, here=False, agent=Process.UNSEEN),
        Verdict.UNKNOWN,
        "seen_from_elsewhere",
        Action.WAIT,
    ),
    (
        "another machine holds it and it prints nothing",
        replace(QUIET, here=False, agent=Process.UNSEEN),
        Verdict.SILENT,
        "no_output",
        Action.ASK,
    ),
    (
        "what an earlier claim left still has time",
        replace(AT_WORK, leftovers=1),
        Verdict.STALE_FENCE,
        "processes_ending",
        Action.WAIT,
    ),
    (
        "what an earlier claim left does not end",
        replace(AT_WORK, leftovers=1, leftovers_due=True),
        Verdict.ZOMBIE,
        "processes_left",
        Action.KILL,
    ),
    (
        "a run that ended left something",
        Facts(held=False, leftovers=2, leftovers_due=True),
        Verdict.ZOMBIE,
        "processes_left",
        Action.KILL,
    ),
    (
        "its agent ended just now",
        replace(AT_WORK, agent=Process.DEAD),
        Verdict.PROGRESSING,
        "being_reported",
        Action.WAIT,
    ),
    (
        "its agent ended and nobody says so",
        replace(AT_WORK, agent=Process.DEAD, reported_seconds=120),
        Verdict.FINISHED_UNREPORTED,
        "process_ended",
        Action.FINALISE,
    ),
    (
        "its agent said its last word and stays",
        replace(AT_WORK, terminal=True, reported_seconds=120),
        Verdict.FINISHED_UNREPORTED,
        "terminal_seen",
        Action.FINALISE,
    ),
    (
        "its result is in git and nobody says so",
        Facts(step=StepName.COLLECT, agent=Process.DEAD, result_written=True, reported_seconds=120),
        Verdict.FINISHED_UNREPORTED,
        "result_unreported",
        Action.FINALISE,
    ),
    ("its worktree is gone", replace(AT_WORK, place_there=False), Verdict.MISPLACED, "worktree_gone", Action.ASK),
    (
        "over its tokens, its worker ends it",
        replace(AT_WORK, over="limit_tokens"),
        Verdict.OVER_BUDGET,
        "limit_tokens",
        Action.WAIT,
    ),
    (
        "over its tokens, and goes on",
        replace(AT_WORK, over="limit_tokens", over_seconds=15),
        Verdict.OVER_BUDGET,
        "limit_tokens",
        Action.KILL,
    ),
    (
        "over its cost, and goes on",
        replace(AT_WORK, over="limit_cost", over_seconds=15),
        Verdict.OVER_BUDGET,
        "limit_cost",
        Action.KILL,
    ),
]

SECONDS = st.sampled_from([0.0, 14.9, 15.0, 119.0, 120.0, 599.0, 600.0, 1e6])
FACTS = st.builds(
    Facts,
    held=st.booleans(),
    external=st.booleans(),
    here=st.booleans(),
    holder=st.sampled_from(Process),
    lease_over=st.booleans(),
    node_lost=st.booleans(),
    step=st.sampled_from([None, *StepName]),
    agent=st.sampled_from(Process),
    leftovers=st.integers(0, 3),
    leftovers_due=st.booleans(),
    terminal=st.booleans(),
    reported_seconds=SECONDS,
    result_written=st.booleans(),
    place_there=st.booleans(),
    over=st.sampled_from([None, "limit_tokens", "limit_cost"]),
    over_seconds=SECONDS,
    quiet_seconds=SECONDS,
    watched_seconds=SECONDS,
    takeovers=st.dictionaries(st.sampled_from(["worker_dead", "lease_expired", "no_output"]), st.integers(0, 9)),
)
POLICIES = st.fixed_dictionaries(
    {
        verdict.value: st.sampled_from(sorted(action.value for action in MAY[verdict]))
        for verdict in Verdict
        if hasattr(TruthOptions(), verdict.value)
    }
).map(lambda chosen: TruthOptions(**chosen))  # type: ignore[arg-type] - a case's own value


def truth(verdict: Verdict, action: Action, *, reason: str = "no_output", fence: int = 1, sign: str = "s") -> Truth:
    return Truth(
        run_id="r_1",
        fence=fence,
        verdict=verdict,
        reason=reason,
        action=action,
        details={},
        sign=sign,
        host="here",
        since_ms=1,
        seen_ms=1,
    )


@pytest.mark.parametrize(
    ("facts", "verdict", "reason", "action"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
@pytest.mark.proves("truth-verdict")
def test_what_is_seen_gets_the_verdict_that_was_meant(
    facts: Facts, verdict: Verdict, reason: str, action: Action
) -> None:
    assert judge(facts, OPTIONS)[:3] == (verdict, reason, action)


def test_every_row_of_the_table_is_reached_by_a_case() -> None:
    assert {(case[2], case[3]) for case in CASES} == {(rule.verdict, rule.reason) for rule in RULES}


@given(facts=FACTS, options=POLICIES)
@pytest.mark.proves("truth-verdict")
def test_whatever_is_seen_gets_one_verdict_and_an_action_that_is_allowed(facts: Facts, options: TruthOptions) -> None:
    found = judge(facts, options)
    assert found == judge(facts, options)
    assert found.action in MAY[found.verdict]
    assert (found.verdict, found.reason) in {(rule.verdict, rule.reason) for rule in RULES}


@given(facts=FACTS, options=POLICIES)
def test_a_run_in_good_order_is_left_alone_under_every_policy(facts: Facts, options: TruthOptions) -> None:
    well = replace(
        facts,
        held=True,
        holder=Process.ALIVE,
        lease_over=False,
        leftovers=0,
        agent=Process.ALIVE,
        terminal=False,
        result_written=False,
        place_there=True,
        over=None,
        reported_seconds=0.0,
        quiet_seconds=min(facts.quiet_seconds, options.stall_seconds - 1.0),
    )
    found = judge(well, options)
    if well.here or well.external:
        assert found.verdict in HEALTHY
    assert found.action is Action.WAIT or found.verdict is Verdict.UNKNOWN
    assert found.action not in ACTS


@given(facts=FACTS, options=POLICIES)
def test_nobody_is_given_up_who_holds_a_lease_and_lives(facts: Facts, options: TruthOptions) -> None:
    found = judge(replace(facts, holder=Process.UNSEEN, lease_over=False), options)
    assert found.verdict not in {Verdict.ORPHANED, Verdict.LOST_NODE, Verdict.LOST_WORKER}


@pytest.mark.parametrize("policy", ["kill", "take_over", "finalise"])
def test_a_silent_run_is_only_ended_by_who_watched_the_silence(policy: str) -> None:
    """A clock that jumped an hour ahead makes every run look silent; it may make people look, and nothing else."""
    options = replace(OPTIONS, silent=policy)  # type: ignore[arg-type] - a case's own value
    jumped = replace(AT_WORK, quiet_seconds=3600.0, watched_seconds=2.0)
    assert judge(jumped, options) == Judged(Verdict.SILENT, "no_output", Action.ASK, "not_watched_for_long")
    assert judge(replace(jumped, watched_seconds=600.0), options).action == Action(policy)


@pytest.mark.parametrize(("times", "action"), [(2, Action.TAKE_OVER), (3, Action.ASK), (30, Action.ASK)])
def test_what_was_taken_over_too_often_for_one_reason_asks_a_person(times: int, action: Action) -> None:
    facts = Facts(holder=Process.DEAD, takeovers={"worker_dead": times, "lease_expired": 9})
    assert judge(facts, OPTIONS).action is action


def test_take_overs_are_counted_over_claims_and_by_reason() -> None:
    first = truth(Verdict.LOST_WORKER, Action.TAKE_OVER, reason="worker_dead", fence=1)
    assert carried(None, 1) == {}
    assert carried(first, 1) == {}, "this very claim is not counted before it was taken over"
    assert carried(first, 3) == {"worker_dead": 1}
    second = replace(first, fence=3, details={"takeovers": {"worker_dead": 1}})
    assert carried(second, 5) == {"worker_dead": 2}
    assert carried(replace(second, verdict=Verdict.SILENT, action=Action.ASK), 5) == {"worker_dead": 1}


@pytest.mark.parametrize("verdict", list(Verdict))
def test_the_policy_as_it_comes_is_one_that_makes_sense(verdict: Verdict) -> None:
    check_options(TruthOptions())
    assert wanted(verdict, TruthOptions()) in MAY[verdict]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (verdict.value, action.value)
        for verdict, action in itertools.product(Verdict, Action)
        if hasattr(TruthOptions(), verdict.value) and action not in MAY[verdict]
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(key: str, value: str) -> None:
    with pytest.raises(Invalid, match=f"{key} can not be {value}"):
        check_options(replace(TruthOptions(), **{key: value}))  # type: ignore[arg-type] - a case's own value


def test_who_watched_for_less_time_takes_nothing_back() -> None:
    well = Judged(Verdict.PROGRESSING, "at_work", Action.WAIT)
    before = truth(Verdict.SILENT, Action.KILL)
    assert settled(well, "s", 1, before)[:3] == (Verdict.SILENT, "no_output", Action.KILL)
    assert settled(well, "another", 1, before) is well, "it has shown something since"
    assert settled(well, "s", 2, before) is well, "another claim"
    weaker = Judged(Verdict.SILENT, "no_output", Action.ASK)
    assert settled(weaker, "s", 1, before).action is Action.KILL
    ended = Judged(Verdict.FINISHED_UNREPORTED, "process_ended", Action.FINALISE)
    assert settled(ended, "s", 1, before) is ended, "what stands above it wins"
    assert settled(weaker, "s", 1, truth(Verdict.FINISHED_UNREPORTED, Action.FINALISE)).verdict is ended.verdict
    lost = Judged(Verdict.LOST_WORKER, "worker_dead", Action.TAKE_OVER)
    assert settled(lost, "s", 1, before) is lost


def test_every_verdict_has_a_sentence() -> None:
    for rule in RULES:
        assert says(truth(rule.verdict, Action.WAIT, reason=rule.reason)) == rule.says
        assert rule.says.endswith(".")
