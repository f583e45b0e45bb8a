"""docs/reference/exit-codes.md: how every command ends, for scripts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from interlock.cli import ops, self_heal, workspace_optimization
from interlock.cli.main import _EXIT_CODES  # pyright: ignore[reportPrivateUsage]  # the table itself
from interlock.cli.workspace_optimization import OptimizationUsage
from interlock.evidence.errors import EvidenceError
from interlock.kernel.errors import InterlockError
from interlock.queue.cli import looking
from tests.docs.reference.markdown import code, page, sentence, table
from tests.test_docs import below, every_module

Rows = Mapping[int, str]
OF_INTERLOCK: Final[Rows] = {
    0: "It did what was asked.",
    1: "It was tried and did not work; `run wait`: the run ended otherwise than done.",
    130: "Ctrl-C.",
}
_FAMILIES: Final = {
    "Invalid": "What was asked is malformed.",
    "NotFound": "There is no such thing.",
    "Conflict": "The state does not allow it",
    "Refused": "the caller may not.",
    "Unreachable": "Something that is needed does not answer, or has no room left.",
}
OF_HEALTH: Final[Rows] = {
    0: "`HEALTH_OK`",
    looking._DRIFT: "`HEALTH_FAIL`: Markdown and database differ (`queue consistency-check` ends so, too)",  # pyright: ignore[reportPrivateUsage]  # stated there alone
    looking._ALERT: "`HEALTH_WARN`: a figure is over its limit (`queue kpi --fail-on-alert` ends so, too)",  # pyright: ignore[reportPrivateUsage]  # stated there alone
    looking._HEALTH_ERROR: "`HEALTH_ERROR`: it could not be checked",  # pyright: ignore[reportPrivateUsage]  # stated there alone
}
OF_OPS: Final[Rows] = {
    ops.OK: "ok",
    ops.FAILED: "a failure",
    ops.ALERT: "only for `kpi --fail-on-alert`: a figure is over its limit",
    ops.DRIFT: "`consistency-check`: Markdown and database differ",
    ops.USAGE: "the command line is not right",
}
OF_SCRIPTS: Final[Rows] = {
    0: "ok",
    1: "a failure; one line on stderr says which",
    2: "`ops-manager-control.sh`: the intent was carried out, and nobody knows whether it took effect",
    130: "Ctrl-C; 128 and the signal's number for another one",
}
OF_HEALING: Final[Rows] = {
    self_heal.OK: "ok",
    self_heal.ATTENTION: "something is left that needs attention",
    self_heal.FAILED: "it could not run",
    self_heal.INTERRUPTED: "Ctrl-C",
}
OF_OPTIMIZATION: Final[Rows] = {
    0: "ok",
    workspace_optimization.FAILED: "it could not run",
    OptimizationUsage.exit_code: "the command line is not right",
}


def families() -> Rows:
    """Return the codes of the families of errors."""
    told: dict[int, str] = {}
    for kind, number in _EXIT_CODES:
        told[number] = f"{told[number]}, or {_FAMILIES[kind.__name__]}" if number in told else _FAMILIES[kind.__name__]
    return told


def of_verification() -> Mapping[int, list[type[InterlockError]]]:
    """Return the failures of verification by their codes."""
    every_module()
    found: dict[int, list[type[InterlockError]]] = {}
    for each in sorted(below(EvidenceError), key=lambda each: (each.exit_code, each.code)):
        if each.exit_code >= 10:
            found.setdefault(each.exit_code, []).append(each)
    return found


def pages() -> Mapping[str, str]:
    """Return the page."""
    proof = [
        (str(number), code(each.code), sentence(each.__doc__))
        for number, kinds in of_verification().items()
        for each in kinds
    ]
    parts = [
        "Exit codes are stable. Errors are one line on stderr that says what to do; their codes: [errors](errors.md).",
        "## `interlock`",
        _rows(dict(sorted({**OF_INTERLOCK, **families()}.items()))),
        "## `interlock evidence verify`, and every check of a proof",
        "One for each kind of failure. What each means, and where to look: [the evidence log](../evidence.md).",
        table(["exit", "code", "what it says"], proof),
        "## `interlock queue health`, for cron",
        _rows(OF_HEALTH),
        "## `automation/orchestrator/ops.py`",
        _rows(OF_OPS),
        "## `scripts/ops-manager-*.sh`",
        _rows(OF_SCRIPTS),
        "## `services/gateway/self_heal.py`",
        _rows(OF_HEALING),
        "## `tools/maintenance/workspace_optimization.sh`",
        _rows(OF_OPTIMIZATION),
    ]
    return {"reference/exit-codes.md": page("Exit codes", *parts)}


def _rows(codes: Rows) -> str:
    return table(["exit", "meaning"], [(str(number), about) for number, about in codes.items()])
