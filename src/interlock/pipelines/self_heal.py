"""Self-heal: look over a workspace, say what is wrong, plan what can be repaired, and on request repair it.

It works on files alone, so that it also runs where a pipeline's job runs. The report keeps the keys of seed 3
(`status`, `results`, `telemetry`) and adds what was looked at, when, and what was or would be done. Its floats are
latencies and seconds in a file; no event carries one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from interlock.evidence import publish
from interlock.kernel.clock import to_text
from interlock.kernel.errors import InterlockError
from interlock.kernel.events import Event
from interlock.kernel.ids import UlidSource
from interlock.pipelines import gateway, gateway_probes, repairs
from interlock.pipelines.checks import CHECKS, Place, Seen, find_stale_locks, look
from interlock.pipelines.healing_errors import OutputForbidden, ReportMalformed
from interlock.pipelines.healing_events import AutoFixPlanned, AutoFixUndone, SelfHealReported
from interlock.pipelines.repairs import Action, Tell

DEFAULT_OUTPUT: Final = "build_output/gateway-self-heal.json"
METRICS: Final = "telemetry/self-heal-metrics.json"
_MOST_WORD: Final = 200
FIXER: Final = "self_heal"
_PRIVATE: Final = frozenset({".git", ".interlock"})

Plan = Callable[[Place], tuple[list[Action], Mapping[str, str]]]


def _plan_folders(place: Place) -> tuple[list[Action], Mapping[str, str]]:
    return repairs.missing_folders(place.root, place.folders), {}


def _plan_locks(place: Place) -> tuple[list[Action], Mapping[str, str]]:
    if place.inside_run:
        return [], {}
    return repairs.stale_locks(place.root, [path for path, _ in find_stale_locks(place)])


REPAIRS: Final[Mapping[str, Plan]] = {"artefact_folders": _plan_folders, "stale_locks": _plan_locks}
"""What can be repaired, by the name of the check that finds it. Logs are not: what renders them completes them."""


@dataclass(frozen=True, slots=True)
class Healed:
    """What came of a look."""

    run_id: str
    report: bytes
    """The report's exact bytes, as they were written."""
    status: str
    """`ok` or `attention`."""
    untold: str | None
    """Why the log could not be told, where that only concerns a look."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What a report is made of."""

    run_id: str
    started: int
    before: Mapping[str, Seen]
    after: Mapping[str, Seen]
    actions: Sequence[Mapping[str, object]]
    left: Mapping[str, str]


def output_path(root: Path, given: str) -> Path:
    """Return where a report goes: relative paths lie in the workspace. Raises `OutputForbidden`."""
    path = (root / given).absolute()
    if not given or path.suffix == ".md" or path.resolve().is_dir():
        raise OutputForbidden(f"{given!a} is no name for a report: a Markdown copy is written beside it")
    for each in (path, path.parent / METRICS):
        _check_output(root, each)
    return path


def _check_output(root: Path, path: Path) -> None:
    """Refuse what only Interlock writes, and a link by which a path in the workspace leads out of it."""
    real, real_root = path.resolve(), root.resolve()
    inside = real.relative_to(real_root).parts if real.is_relative_to(real_root) else ()
    if _PRIVATE.intersection(inside) or inside[:2] == ("storage", "db"):
        raise OutputForbidden(f"no report is written to {path}")
    if not inside and Path(os.path.normpath(path)).is_relative_to(os.path.normpath(root.absolute())):
        raise OutputForbidden(f"{path} leads out of the workspace by a link")


def heal(
    place: Place,
    *,
    output: Path,
    apply: bool = False,
    tell: Tell | None = None,
    new_ulid: Callable[[], str] | None = None,
) -> Healed:
    """Look, plan, with `apply` repair, and write report, Markdown and metrics.

    Raises OSError where a report can not be written, `CapabilitySecretWeak`, and with `apply` what `tell` raises or a
    repair that did not work.
    """
    run_id = f"h_{(new_ulid or UlidSource(place.clock))()}"
    started = place.clock()
    before = {name: look(name, place) for name in CHECKS}
    planned, left = _plan(place)
    untold = None
    if not apply:
        untold = _tell_plan(run_id, planned, tell)
    elif planned:
        repairs.carry_out(place.root, run_id, planned, clock=place.clock, tell=tell, fixer=FIXER)
    mended = {action.name for action in planned} if apply else set[str]()
    after = {name: look(name, place) if name in mended else seen for name, seen in before.items()}
    found = _Found(run_id, started, before, after, [_action(each, run_id, apply=apply) for each in planned], left)
    document, report = _reported(place, output, found)
    event = _event(document, hashlib.sha256(report).hexdigest(), repairs.as_text(place.shown(output)))
    return Healed(run_id, report, document["status"], _told(tell, event) or untold)


def _reported(place: Place, output: Path, found: _Found) -> tuple[Mapping[str, Any], bytes]:
    """Write metrics, Markdown and report, and return the last; the report names the metrics' digest."""
    results, metrics = _ask_services(place)
    telemetry, measured = output.parent / METRICS, _json(metrics, sort=True)
    document: dict[str, Any] = {
        "schema_version": 1,
        "run_id": found.run_id,
        "status": "attention" if any(seen.findings for seen in found.after.values()) else "ok",
        "started_at": to_text(found.started),
        "finished_at": to_text(place.clock()),
        "results": results,
        "telemetry": repairs.as_text(place.shown(telemetry)),
        "telemetry_sha256": hashlib.sha256(measured).hexdigest(),
        "checks": [_check(name, found.before[name], found.after[name]) for name in CHECKS],
        "actions": found.actions,
        "left_alone": [{"path": repairs.as_text(path), "reason": reason} for path, reason in found.left.items()],
    }
    report = _json(document)
    telemetry.parent.mkdir(parents=True, exist_ok=True)
    publish.replace(telemetry, [measured])
    publish.replace(output.with_suffix(".md"), [_markdown(document).encode()])
    publish.replace(output, [report])
    return document, report


def undo(place: Place, run_id: str, *, tell: Tell | None = None) -> repairs.Undone:
    """Take repairs back, and tell of it."""
    done = repairs.undo(place.root, run_id)
    if tell is not None:
        tell(AutoFixUndone(subject=run_id, restored=len(done.restored)))
    return done


def _plan(place: Place) -> tuple[list[Action], dict[str, str]]:
    planned: list[Action] = []
    left: dict[str, str] = {}
    for plan in REPAIRS.values():
        actions, not_these = plan(place)
        planned += actions
        left.update(not_these)
    return planned, left


def _ask_services(place: Place) -> tuple[list[dict[str, object]], dict[str, object]]:
    """Return what each service answered, and the metrics. A table that can not be read is a check's finding."""
    try:
        policy = gateway.read_policy(place.policy)
    except (InterlockError, OSError):
        reason = f"{place.shown(place.policy)} can not be used"
        return [{"service": "gateway", "status": "skipped", "reason": reason}], gateway_probes.nothing().metrics()
    probed = gateway_probes.ask_each(policy, clock=place.clock, secret=gateway.secret_of(place.environment))
    return probed.results, probed.metrics()


# --- telling ----------------------------------------------------------------------------------------------------------


def _tell_plan(run_id: str, planned: Sequence[Action], tell: Tell | None) -> str | None:
    events = (AutoFixPlanned(**repairs.told(action, run_id, FIXER, dry_run=True)) for action in planned)
    return next((untold for event in events if (untold := _told(tell, event))), None)


def _told(tell: Tell | None, event: Event) -> str | None:
    """Tell of something that was only looked at; returns why that was not possible."""
    if tell is not None:
        try:
            tell(event)
        except InterlockError as error:
            return str(error)
    return None


def reported(document: Mapping[str, Any], sha256: str, path: str) -> SelfHealReported:
    """Return the event of a report that somebody else wrote; raises `ReportMalformed` where it is none of ours."""
    try:
        event = _event(document, sha256, path)
        words = cast("tuple[object, ...]", (event.subject, event.telemetry_sha256, *event.attention))
        known = event.status in {"ok", "attention"} and repairs.SESSION.fullmatch(event.subject)
        if not known or not all(isinstance(word, str) and len(word) < _MOST_WORD for word in words):
            raise ReportMalformed(f"{path} is no report of self-heal")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ReportMalformed(f"{path} is no report of self-heal") from None
    return event


def _event(document: Mapping[str, Any], sha256: str, path: str) -> SelfHealReported:
    checks: list[dict[str, Any]] = document["checks"]
    return SelfHealReported(
        subject=document["run_id"],
        key=f"self_heal/{document['run_id']}",
        status=document["status"],
        attention=tuple(each["name"] for each in checks if each["severity"] == "attention"),
        report=path,
        report_sha256=f"sha256:{sha256}",
        telemetry_sha256=f"sha256:{document['telemetry_sha256']}",
    )


# --- writing ----------------------------------------------------------------------------------------------------------


def _check(name: str, before: Seen, after: Seen) -> dict[str, object]:
    found: dict[str, object] = {
        "name": name,
        "severity": after.severity,
        "before": [repairs.as_text(text) for text in before.findings],
        "after": [repairs.as_text(text) for text in after.findings],
    }
    if after.notices:
        found["notices"] = [repairs.as_text(text) for text in after.notices]
    if after.skipped is not None:
        found["reason"] = repairs.as_text(after.skipped)
    return found


def _action(action: Action, run_id: str, *, apply: bool) -> dict[str, object]:
    return {
        "name": action.name,
        "mode": "apply" if apply else "plan",
        "target": repairs.as_text(action.target),
        "description": repairs.as_text(action.description),
        "commands": [repairs.as_text(command) for command in action.commands(run_id)],
        "changed_paths": [repairs.as_text(path) for path in action.changed_paths],
        "undo": f"services/gateway/self_heal.py --undo {run_id}" if apply else None,
    }


def _json(document: Mapping[str, Any], *, sort: bool = False) -> bytes:
    return json.dumps(document, indent=2, sort_keys=sort, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _markdown(document: Mapping[str, Any]) -> str:
    lines = [
        f"# Self-heal {document['run_id']}: {document['status']}",
        "",
        f"From {document['started_at']} to {document['finished_at']}; telemetry in `{document['telemetry']}`.",
        "",
        *_table(
            ("Service", "Status", "Message"),
            [
                (each["service"], each["status"], each.get("message", each.get("reason")))
                for each in document["results"]
            ],
        ),
        *_table(
            ("Check", "Severity", "Found"),
            [
                (
                    each["name"],
                    each["severity"],
                    "; ".join(each["after"] or each.get("notices", [])) or each.get("reason"),
                )
                for each in document["checks"]
            ],
        ),
    ]
    if document["actions"]:
        rows = [(each["name"], each["mode"], each["description"], each["undo"]) for each in document["actions"]]
        lines += _table(("Repair", "Mode", "What", "Undo"), rows)
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    return [_row(head), _row(["---"] * len(head)), *(_row(row) for row in rows), ""]


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(cell(each) for each in cells) + " |"


def cell(value: object) -> str:
    """Return what stands in a cell of a table: one line, nothing that ends the cell or becomes a tag or a link."""
    text = " ".join(str("" if value is None else value).split())
    return "".join(f"\\{each}" if each in "\\`*_[]<>|" else each for each in text)
