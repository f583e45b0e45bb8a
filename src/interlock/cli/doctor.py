"""`interlock doctor`: look at everything that Interlock stands on, and say what to do."""

from __future__ import annotations

import typer

from interlock.doors.cli import answer, call
from interlock.workspace.doctor import Finding, Health, examine, worst
from interlock.workspace.errors import DoctorAlarmed

door = typer.Typer(add_completion=False)
_MARKS = {Health.OK: "ok", Health.WARNING: "warning", Health.FAILED: "FAILED"}


@door.command()
def doctor() -> None:
    """Look at machine, settings, keys, database, clock and port, and say what to do; changes nothing.

    Exit 0 where everything works, warnings or not; 1 where something will not.
    """
    from interlock.examining import probes

    with probes(call().root) as every:
        found = dict(examine(every))
    whole = worst(found)
    items = [
        {"name": name, "status": each.health.value, "message": each.sentence, "todo": each.todo or None}
        for name, each in found.items()
    ]
    answer({"id": "doctor", "status": whole.value, "items": items}, [*_lines(found), _summary(found)])
    if whole is Health.FAILED:
        failed = [name for name, each in found.items() if each.health is Health.FAILED]
        raise DoctorAlarmed(f"{len(failed)} of {len(found)} probes failed: {', '.join(failed)}")


def _lines(found: dict[str, Finding]) -> list[str]:
    width = max(map(len, found))
    lines: list[str] = []
    for name, each in found.items():
        lines.append(f"{_MARKS[each.health]:8} {name:{width}}  {each.sentence}")
        if each.todo:
            lines.append(f"{'':8} {'':{width}}  → {each.todo}")
    return lines


def _summary(found: dict[str, Finding]) -> str:
    counts = {health: sum(each.health is health for each in found.values()) for health in Health}
    return ", ".join(f"{many} {health.value}" for health, many in counts.items() if many)
