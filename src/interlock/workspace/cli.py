"""The command-line doors of the workspace's files: `interlock windows`, and two commands of `interlock evidence`.

`evidence replay` and `evidence report` stand here because they hold the workspace's files against the ledger, of which
the room of evidence knows nothing. Like the rest of its door they need only exported files.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from interlock.access.models import Actor
from interlock.doors.cli import answer, call, house, note
from interlock.evidence.cli import KeyFile
from interlock.evidence.cli import door as evidence_door
from interlock.kernel.errors import InterlockError
from interlock.kernel.ids import UlidSource
from interlock.workspace.errors import WindowsDiffer

if TYPE_CHECKING:
    from interlock.workspace.replay import Moment, Replayed
    from interlock.workspace.windows import Difference

__all__ = ["door", "evidence_door"]

door = typer.Typer(
    help="Windows: the files that show what the database says.", no_args_is_help=True, add_completion=False
)

Root = Annotated[
    Path | None,
    typer.Option("--root", help="A workspace or a copy of one; default: $NOA_WORKFLOW_ROOT, else this workspace."),
]


class _Windows(Protocol):
    def differences(self) -> list[Difference]: ...

    def rebuild(self, actor: Actor, keep_as: str) -> list[Difference]: ...


class _Delivery(Protocol):
    @property
    def windows(self) -> _Windows: ...


class _House(Protocol):
    @property
    def windows(self) -> _Windows: ...

    @property
    def delivery(self) -> _Delivery: ...


def _all_windows() -> tuple[_Windows, ...]:
    rooms = house(_House)
    return rooms.windows, rooms.delivery.windows


@door.command("verify")
def verify() -> None:
    """Hold every window against the database; exit 1 if one differs. Repairs nothing."""
    found = [difference for windows in _all_windows() for difference in windows.differences()]
    if found:
        answer({"id": "windows", "status": "differ", "items": _shown(found)}, _lines(found))
        raise WindowsDiffer(f"{len(found)} window files are not what the database says")
    answer({"id": "windows", "status": "ok", "items": []}, ["every window says what the database says"])


@door.command("rebuild")
def rebuild() -> None:
    """Write anew what differs; each old file is kept under .interlock/kept."""
    keep_as = UlidSource()()
    replaced = [each for windows in _all_windows() for each in windows.rebuild(call().actor(), keep_as)]
    if replaced:
        call().wrote()  # that they were rebuilt is an entry of the ledger, too
    answer(
        {"id": "windows", "status": "rebuilt", "items": _shown(replaced)},
        [*_lines(replaced), f"{len(replaced)} windows written anew"],
    )


def _shown(found: list[Difference]) -> list[dict[str, Any]]:
    return [{"path": str(each.path), "problem": each.problem} for each in found]


def _lines(found: list[Difference]) -> list[str]:
    return [f"{each.problem:11}{each.path}" for each in found]


@evidence_door.command("replay")
def replay(
    root: Root = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="INDEX|TIME", help="As of an entry, or of an instant; holds no files.")
    ] = None,
    pipeline: Annotated[
        str | None, typer.Option("--pipeline", metavar="ID", help="Show what happened to it, each signature checked.")
    ] = None,
    key: KeyFile = None,
) -> None:
    """Rebuild pipelines and deployments from the ledger alone, and hold every file that follows it against it.

    Exit 0, or what is wrong: 10 to 27 the ledger itself, 30 a log or a snapshot, 31 the report, 32 state.json.
    """
    from interlock.workspace.replay import replay, settled, show_replayed

    place = _root(root)
    replayed = settled(place, lambda: replay(place, at, subject=pipeline, key=key))
    if pipeline is not None and not replayed.history:
        from interlock.pipelines.errors import PipelineMissing

        raise PipelineMissing(f"the ledger tells of no {pipeline[:100]!a}")
    answer(
        {"id": replayed.root or "", "status": "replayed", "compared": at is None, **show_replayed(replayed)},
        _replayed_lines(replayed, compared=at is None),
    )
    if key is None and replayed.covered and place != _own_root() and not call().as_json:
        note("note: trusted the key that lies beside the ledger; compare it, or name your own with --key")


@evidence_door.command("report")
def report(
    verify: Annotated[
        bool, typer.Option("--verify", help="Hold the file against the ledger; exit 31 for less.")
    ] = False,
    root: Root = None,
) -> None:
    """Print the report of deployment outcomes as the ledger tells it, or hold the file against that."""
    from interlock.pipelines.report import REPORT_PATH
    from interlock.workspace.replay import render_report, settled, verify_report

    place = _root(root)
    if verify:
        rows = settled(place, lambda: verify_report(place))
        answer({"id": REPORT_PATH, "status": "verified", "rows": rows}, [f"{rows} rows, each as the ledger tells it"])
        return
    text = render_report(place).decode()
    if call().as_json:
        answer({"id": REPORT_PATH, "status": "rendered", "report": text})
    else:
        sys.stdout.write(text)


def _root(named: Path | None) -> Path:
    if named is not None:
        return named
    found = os.environ.get("NOA_WORKFLOW_ROOT")
    return Path(found) if found else call().root()


def _own_root() -> Path | None:
    try:
        return call().root()
    except InterlockError:
        return None


def _replayed_lines(replayed: Replayed, *, compared: bool) -> Iterator[str]:
    pipelines, deployments = replayed.fleet.in_order()
    yield f"replayed {replayed.entries} entries; a signed head covers {replayed.covered}"
    changed = "nothing yet" if replayed.last_index is None else f"last changed by entry {replayed.last_index}"
    yield f"{len(pipelines)} pipelines, {len(deployments)} deployments, {changed}"
    yield from (f"{each.id}  {each.status.value:10}  {each.name}" for each in pipelines)
    yield from (f"{each.id}  {each.status.value:10}  {each.name} {each.version}" for each in deployments)
    yield from (_moment_line(each) for each in replayed.history)
    yield from (f"note: {caveat}" for caveat in replayed.caveats)
    if compared:
        yield "every file that follows the log says what it says"


def _moment_line(moment: Moment) -> str:
    signed = f", signed ({moment.signed_by})" if moment.signed_by else ""
    covered = "" if moment.covered else ", not covered by a head"
    return f"{moment.index:>6}  {moment.time}  {moment.kind}  {moment.principal}{signed}{covered}"
