"""What is really true of a run: one verdict with a reason, from what is seen of it, and what is done about it.

Nothing here looks, waits or writes: `Facts` in, `Judged` out. The first rule that holds is the verdict; the last one
always holds. What a verdict leads to is the operator's policy (`[truth]` of interlock.toml), within what makes sense
for it; docs/truth.md is the same table for people.

Whether time has passed is never told by one clock alone: what is given up, ended or killed was seen unchanged for that
long on the looker's own monotonic clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

from interlock.kernel.errors import Invalid
from interlock.queue.models import Held
from interlock.runs.models import StepName
from interlock.runs.options import Policy, TruthOptions

SECOND_LINE_SECONDS: Final = 15.0
"""How long a worker that lives has to end an agent that is over its budget, before somebody else does."""


class Verdict(StrEnum):
    """What is true of a run."""

    STARTING = "starting"
    PROGRESSING = "progressing"
    WAITING_EXTERNAL = "waiting_external"
    UNKNOWN = "unknown"
    STALE_FENCE = "stale_fence"
    SILENT = "silent"
    MISPLACED = "misplaced"
    FINISHED_UNREPORTED = "finished_unreported"
    OVER_BUDGET = "over_budget"
    ZOMBIE = "zombie"
    LOST_NODE = "lost_node"
    LOST_WORKER = "lost_worker"
    ORPHANED = "orphaned"


class Action(StrEnum):
    """What is done about it."""

    WAIT = "wait"
    ASK = "ask"
    TAKE_OVER = "take_over"
    FINALISE = "finalise"
    KILL = "kill"


HEALTHY: Final = frozenset({Verdict.STARTING, Verdict.PROGRESSING, Verdict.WAITING_EXTERNAL})
LOST: Final = frozenset({Verdict.LOST_NODE, Verdict.LOST_WORKER, Verdict.ORPHANED})
ACTS: Final = frozenset({Action.TAKE_OVER, Action.FINALISE, Action.KILL})
_STRENGTH: Final = {Action.WAIT: 0, Action.ASK: 1, Action.TAKE_OVER: 2, Action.FINALISE: 2, Action.KILL: 2}
_STEADY: Final = frozenset({Verdict.SILENT, Verdict.FINISHED_UNREPORTED, Verdict.OVER_BUDGET})
"""What needs time to be found: who has not watched for so long does not take it back."""


class Process(StrEnum):
    """What a look at a process showed."""

    NONE = "none"
    """None was noted."""
    ALIVE = "alive"
    DEAD = "dead"
    UNSEEN = "unseen"
    """It is on another machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """A verdict as it is kept."""

    run_id: str
    fence: int
    verdict: Verdict
    reason: str
    action: Action
    details: Mapping[str, Any]
    sign: str
    """What the run had shown of itself by then: another sign of it, and the verdict is open again."""
    host: str
    """Whose look it was."""
    since_ms: int
    seen_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A held item with all that the database knows of the run that it belongs to."""

    held: Held
    approved_id: str | None = None
    step: StepName | None = None
    """The step that is under way under the item's own fence."""
    step_ms: int | None = None
    pulse_fence: int | None = None
    agent_host: str | None = None
    agent_pid: int | None = None
    agent_start_time: int | None = None
    agent_boot_id: str | None = None
    node_lost: bool = False
    """Whether the node that holds it was given up."""
    heard_ms: int | None = None
    """When the run last printed something, by the database's clock."""
    output_bytes: int = 0
    tokens: int = 0
    cost_microusd: int | None = None
    terminal: str | None = None
    truth: Truth | None = None

    @property
    def is_seen(self) -> bool:
        """Whether the pulse is of the claim that holds the run."""
        return self.pulse_fence == self.held.item.fence

    @property
    def sign(self) -> str:
        """What the run shows of itself; a run of which it changes is not standing still."""
        step = self.step.value if self.step else "-"
        return f"{self.held.item.fence}/{step}/{self.output_bytes if self.is_seen else 0}/{self.terminal or '-'}"

    def quiet_ms(self, now_ms: int) -> int:
        """Say how long it has shown nothing, by the database's clock; what lies ahead of that counts as now."""
        signs = [self.held.item.started_ms, self.step_ms, self.heard_ms if self.is_seen else None]
        return max(0, now_ms - max((each for each in signs if each is not None), default=now_ms))


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is known of one run at one instant; seconds are of the looker's monotonic clock unless it is said."""

    held: bool = True
    """Whether it is under way; else only what is left of it is looked at."""
    external: bool = False
    """An external session holds it."""
    here: bool = True
    """It is held on this machine."""
    holder: Process = Process.ALIVE
    lease_over: bool = False
    """Its holder gave no sign of life for one whole lease."""
    node_lost: bool = False
    """It was held on another machine, which gives no sign of life either."""
    step: StepName | None = None
    agent: Process = Process.NONE
    leftovers: int = 0
    """Processes of earlier claims on this machine."""
    leftovers_due: bool = False
    """They have had their time to end."""
    terminal: bool = False
    """The agent has said its last word."""
    reported_seconds: float = 0.0
    """How long its agent has been seen ended, or its result written, while no step says so."""
    result_written: bool = False
    place_there: bool = True
    over: str | None = None
    """The limit that it is over, by what it says of itself."""
    over_seconds: float = 0.0
    quiet_seconds: float = 0.0
    """How long it has shown nothing, by the database's clock or by ours: the longer of the two."""
    watched_seconds: float = 0.0
    """How long it was seen to show nothing."""
    takeovers: Mapping[str, int] = field(default_factory=dict[str, int])
    """How often it was taken over, by reason."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table."""

    verdict: Verdict
    reason: str
    says: str
    """What it means, in a sentence."""
    holds: Callable[[Facts, TruthOptions], bool]


def _ended(facts: Facts) -> bool:
    return facts.step is StepName.AGENT and (facts.agent is Process.DEAD or facts.terminal)


def _quiet(facts: Facts, options: TruthOptions) -> bool:
    return facts.quiet_seconds >= options.stall_seconds


def _begins(facts: Facts) -> bool:
    return facts.step in {None, StepName.PREPARE} or (facts.step is StepName.AGENT and facts.agent is Process.NONE)


def _unreported(facts: Facts, options: TruthOptions) -> bool:
    return facts.reported_seconds >= options.report_seconds


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        Verdict.ORPHANED,
        "worker_dead",
        "Its worker has died and its processes live on.",
        lambda f, _: f.held and f.holder is Process.DEAD and f.agent is Process.ALIVE,
    ),
    Rule(
        Verdict.LOST_WORKER,
        "worker_dead",
        "Its worker has died.",
        lambda f, _: f.held and f.holder is Process.DEAD,
    ),
    Rule(
        Verdict.LOST_NODE,
        "lease_expired",
        "The machine that holds it gave no sign of life for a whole lease.",
        lambda f, _: f.held and f.lease_over and f.node_lost and not f.external,
    ),
    Rule(
        Verdict.LOST_WORKER,
        "lease_expired",
        "Who holds it gave no sign of life for a whole lease.",
        lambda f, _: f.held and f.lease_over,
    ),
    Rule(
        Verdict.ZOMBIE,
        "processes_left",
        "It has ended or was taken over, and processes of an earlier claim live on.",
        lambda f, _: f.leftovers > 0 and f.leftovers_due,
    ),
    Rule(
        Verdict.STALE_FENCE,
        "processes_ending",
        "It has ended or was taken over, and processes of an earlier claim still have their time to end.",
        lambda f, _: f.leftovers > 0,
    ),
    Rule(
        Verdict.WAITING_EXTERNAL,
        "held_outside",
        "An external session holds it under a lease.",
        lambda f, _: f.external,
    ),
    Rule(
        Verdict.OVER_BUDGET,
        "limit_tokens",
        "The agent has used more tokens than were approved.",
        lambda f, _: f.over == "limit_tokens",
    ),
    Rule(
        Verdict.OVER_BUDGET,
        "limit_cost",
        "The agent has cost more than was approved.",
        lambda f, _: f.over == "limit_cost",
    ),
    Rule(
        Verdict.FINISHED_UNREPORTED,
        "process_ended",
        "The agent's process has ended, and its worker does not say so.",
        lambda f, o: f.step is StepName.AGENT and f.agent is Process.DEAD and _unreported(f, o),
    ),
    Rule(
        Verdict.FINISHED_UNREPORTED,
        "terminal_seen",
        "The agent has said its last word, and nothing ends.",
        lambda f, o: f.step is StepName.AGENT and f.terminal and _unreported(f, o),
    ),
    Rule(
        Verdict.FINISHED_UNREPORTED,
        "result_unreported",
        "Its result is written in git, and its worker does not say so.",
        lambda f, o: f.step is StepName.COLLECT and f.result_written and _unreported(f, o),
    ),
    Rule(
        Verdict.MISPLACED,
        "worktree_gone",
        "The worktree that the agent works in is not where it was made.",
        lambda f, _: f.here and f.step is StepName.AGENT and f.agent is Process.ALIVE and not f.place_there,
    ),
    Rule(
        Verdict.SILENT,
        "not_begun",
        "It was taken up, and the agent has not started for longer than a run may stand still.",
        lambda f, o: _begins(f) and _quiet(f, o),
    ),
    Rule(
        Verdict.SILENT,
        "no_output",
        "Its process lives and has printed nothing for longer than a run may stand still.",
        _quiet,
    ),
    Rule(
        Verdict.UNKNOWN,
        "seen_from_elsewhere",
        "Another machine holds it and has not judged it; its processes can not be seen from here.",
        lambda f, _: not f.here,
    ),
    Rule(
        Verdict.STARTING,
        "not_begun_yet",
        "It was taken up, and the agent is about to start.",
        lambda f, _: _begins(f),
    ),
    Rule(
        Verdict.PROGRESSING,
        "being_reported",
        "The agent has ended, and its worker is about to say so.",
        lambda f, _: _ended(f),
    ),
    Rule(
        Verdict.PROGRESSING,
        "at_work",
        "It goes on.",
        lambda _f, _o: True,
    ),
)
"""The first that holds is the verdict."""

MAY: Final[Mapping[Verdict, frozenset[Action]]] = {
    **dict.fromkeys(HEALTHY, frozenset({Action.WAIT})),
    Verdict.STALE_FENCE: frozenset({Action.WAIT}),
    Verdict.UNKNOWN: frozenset({Action.WAIT, Action.ASK}),
    Verdict.SILENT: frozenset(Action),
    Verdict.MISPLACED: frozenset(Action),
    Verdict.FINISHED_UNREPORTED: frozenset(Action),
    Verdict.OVER_BUDGET: frozenset({Action.WAIT, Action.ASK, Action.KILL}),
    Verdict.ZOMBIE: frozenset({Action.WAIT, Action.ASK, Action.KILL}),
    **dict.fromkeys(LOST, frozenset({Action.ASK, Action.TAKE_OVER})),
}
"""What may be done about each."""


class Judged(NamedTuple):
    """What is true, and what is to be done about it now."""

    verdict: Verdict
    reason: str
    action: Action
    note: str = ""
    """Why the policy's own action is not taken, where it is not."""


def judge(facts: Facts, options: TruthOptions) -> Judged:
    """Return the one verdict and the one action."""
    rule = next(each for each in RULES if each.holds(facts, options))
    return _acted(Judged(rule.verdict, rule.reason, wanted(rule.verdict, options)), facts, options)


def _acted(found: Judged, facts: Facts, options: TruthOptions) -> Judged:
    """Hold back what the policy wants where it is too early for it, or was done too often."""
    verdict, action = found.verdict, found.action
    if action is Action.TAKE_OVER and facts.takeovers.get(found.reason, 0) >= options.most_takeovers:
        return found._replace(action=Action.ASK, note="taken_over_too_often")
    if verdict is Verdict.SILENT and action in ACTS and facts.watched_seconds < options.stall_seconds:
        return found._replace(action=Action.ASK, note="not_watched_for_long")
    if verdict is Verdict.OVER_BUDGET and action in ACTS and facts.over_seconds < SECOND_LINE_SECONDS:
        return found._replace(action=Action.WAIT, note="its_worker_ends_it")
    return found


def wanted(verdict: Verdict, options: TruthOptions) -> Action:
    """Return what the policy says is done about a verdict."""
    policy: Policy = getattr(options, verdict.value, "wait")
    return Action(policy)


def check_options(options: TruthOptions) -> None:
    """Refuse a policy that makes no sense for its verdict; raises `Invalid`."""
    for verdict in Verdict:
        action = wanted(verdict, options)
        if action not in MAY[verdict]:
            allowed = ", ".join(sorted(MAY[verdict]))
            raise Invalid(f"[truth] {verdict} can not be {action}; it is one of {allowed}")


def settled(found: Judged, sign: str, fence: int, before: Truth | None) -> Judged:
    """Return what is kept where another looker has said something of the very same state.

    Who has watched for a shorter time takes nothing back: only a sign of the run itself does.
    """
    if before is None or before.fence != fence or before.sign != sign or before.verdict not in _STEADY:
        return found
    if found.verdict in HEALTHY or (found.verdict in _STEADY and _rank(found.verdict) > _rank(before.verdict)):
        return Judged(before.verdict, before.reason, before.action, before.details.get("note", ""))
    if found.verdict is before.verdict and _STRENGTH[found.action] < _STRENGTH[before.action]:
        return found._replace(action=before.action, note=before.details.get("note", ""))
    return found


def _rank(verdict: Verdict) -> int:
    return next(place for place, rule in enumerate(RULES) if rule.verdict is verdict)


def carried(before: Truth | None, fence: int) -> Mapping[str, int]:
    """Return how often a run was taken over before this claim of it, by reason."""
    if before is None:
        return {}
    counted: dict[str, int] = dict(before.details.get("takeovers", {}))
    if before.fence < fence and before.action is Action.TAKE_OVER:
        counted[before.reason] = counted.get(before.reason, 0) + 1
    return counted


def says(truth: Truth) -> str:
    """Return a verdict as a sentence."""
    return sentence(truth.verdict, truth.reason)


def sentence(verdict: str, reason: str) -> str:
    """Return a verdict and its reason as a sentence."""
    found = (rule.says for rule in RULES if (rule.verdict, rule.reason) == (verdict, reason))
    return next(found, f"{verdict} ({reason})")


def from_the_database(watched: Watched, now_ms: int, options: TruthOptions, over: str | None) -> Judged:
    """Judge by what the database knows, where nobody has written a verdict: nothing is seen of any process."""
    item = watched.held.item
    late = (item.lease_until_ms or now_ms) + item.lease_ms <= now_ms
    facts = Facts(
        external=item.executor.value == "external",
        holder=Process.UNSEEN,
        lease_over=late,
        step=watched.step,
        agent=Process.UNSEEN if watched.is_seen and watched.agent_pid is not None else Process.NONE,
        terminal=watched.is_seen and watched.terminal is not None,
        over=over,
        quiet_seconds=watched.quiet_ms(now_ms) / 1000,
    )
    return judge(facts, options)
