"""docs/reference/reasons.md: every code that says why, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from interlock.evidence.browsing import Standing
from interlock.inbox.models import RANKS
from interlock.loops.reasons import DRIFT, FLAGS, OUTCOMES, REASONS, STATES, VIOLATIONS, Said
from interlock.pipelines.checks import CHECKS
from interlock.runs.options import TruthOptions
from interlock.runs.shown import _REASONS as OF_RUNS  # pyright: ignore[reportPrivateUsage]  # the table itself
from interlock.runs.truth import HEALTHY, RULES, Verdict
from tests.docs.reference.markdown import code, page, sentence, table
from tests.docs.reference.words import SUBJECTS

_INTRODUCTION: Final = """\
A verdict without a reason helps nobody: what Interlock says of a run, an item, a loop, an alert or a delivery carries a
code that scripts can rely on, and every door shows it in words. Codes of errors stand on [their own page](errors.md).
"""
_LOOPS: Final[Mapping[str, tuple[str, Mapping[str, Said]]]] = {
    "Loops: why a loop is not healthy": ("`reasonCodes` of a loop's health.", REASONS),
    "Loops: what broke the order of events": ("`violations` of a loop's sequence.", VIOLATIONS),
    "Loops: what its records contradict": ("`flags` of a loop's divergence.", FLAGS),
    "Loops: what state it is in": ("`status` of a loop's projected state.", STATES),
    "Loops: what became of an intent": ("`status` of an intent of control.", OUTCOMES),
    "Loops: which threshold profile suits it": ("`status` of a loop's profile drift.", DRIFT),
}
_SIGNATURES: Final[Mapping[Standing, str]] = {
    "counts": "Its key covers the entry.",
    "not_yet": "Its key began to count only after the entry.",
    "retired": "Its key was retired before the entry.",
    "revoked": "Its key was revoked from an entry on that comes before.",
    "unknown": "The log never told of its key.",
    "unsigned": "There is no signature.",
    "missing": "The statement is not there.",
    "malformed": "The statement can not be read.",
}


def pages() -> Mapping[str, str]:
    """Return the page."""
    parts = [_INTRODUCTION, "## Runs: why a run is where it is", "`reason` of a run; `why` says it in words."]
    parts.append(table(["code", "what it means", "what to do"], [(code(n), *said) for n, said in OF_RUNS.items()]))
    parts += [
        "## Runs: what is really true",
        "`interlock run truth`; the first that holds. [More](../truth.md).",
        _truth(),
    ]
    for subject in SUBJECTS:
        rows = [(code(word), means) for word, means in subject.words.items()]
        parts += [f"## {subject.title}", subject.about, table(["code", "what it means"], rows)]
    for title, (about, words) in _LOOPS.items():
        rows = [(code(word), said.title, said.means, said.do) for word, said in words.items()]
        parts += [f"## {title}", about, table(["code", "in short", "what it means", "what to do"], rows)]
    parts += ["## What waits for a person", "`kind` of the inbox, the dearest wait first.", _inbox()]
    parts += ["## Evidence: whether a signature counts", "`standing` of a statement.", _signatures()]
    parts += ["## Self-heal: what is looked at", "`check` of a self-heal report.", _checks()]
    return {"reference/reasons.md": page("Reasons", *parts)}


def _truth() -> str:
    options = TruthOptions()
    rows = [
        (
            code(rule.verdict.value),
            code(rule.reason),
            rule.says,
            "" if rule.verdict in HEALTHY else code(_done_about(options, rule.verdict)),
        )
        for rule in RULES
    ]
    return table(["verdict", "reason", "what it means", "what is done, unless set otherwise"], rows)


def _done_about(options: TruthOptions, verdict: Verdict) -> str:
    return str(getattr(options, verdict.value, "wait"))


def _inbox() -> str:
    return table(
        ["kind", "what waits", "what it costs while it waits"],
        [(code(about.kind.value), about.title, f"{about.why} {about.cost}") for about in RANKS],
    )


def _signatures() -> str:
    return table(["standing", "what it means"], [(code(name), means) for name, means in _SIGNATURES.items()])


def _checks() -> str:
    return table(["check", "what it looks at"], [(code(name), sentence(each.__doc__)) for name, each in CHECKS.items()])
