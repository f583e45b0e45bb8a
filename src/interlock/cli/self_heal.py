"""`services/gateway/self_heal.py`: look over the workspace in which it lies, from any folder.

Standard output is the report's exact bytes. Exit codes: 0 ok, 1 something is left that needs attention, 2 it could not
run. Outside of runs the log is told; inside one it works with files alone, and repairs nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from interlock.cli import streams
from interlock.kernel.clock import system_clock
from interlock.kernel.errors import InterlockError, Invalid
from interlock.kernel.ids import has_prefix
from interlock.pipelines import self_heal
from interlock.pipelines.checks import Place
from interlock.pipelines.healing_errors import RepairInsideRun, RepairUnrecorded
from interlock.pipelines.healing_events import SelfHealReported
from interlock.runs.containment.processes import inside_run

if TYPE_CHECKING:
    from interlock.app import Interlock
    from interlock.kernel.events import Event
    from interlock.pipelines.repairs import Tell

OK, ATTENTION, FAILED = 0, 1, 2
INTERRUPTED = 130


class HealUsage(Invalid):
    """The command line is not right."""

    code = "self_heal_usage"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise HealUsage(message)


def main(argv: Sequence[str] | None = None) -> int:
    """Answer one call; the first argument is the workspace, the rest is what was written behind the entry point."""
    return guarded(_answer, list(sys.argv[1:] if argv is None else argv), failed=FAILED)


def guarded(answer: Callable[[list[str]], int], words: list[str], *, failed: int) -> int:
    """Answer, and say in one line what keeps it from that."""
    try:
        streams.prepare()
        code = answer(words)
        streams.flush()
    except InterlockError as error:
        streams.complain(streams.refusal(error))
        own: int | None = getattr(error, "exit_code", None)
        return failed if own is None else own
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        streams.fall_silent()  # whoever read us has gone; nothing is wrong
        return OK
    except OSError as error:
        streams.complain(streams.refusal(InterlockError(f"it did not work: {error}")))
        return failed
    except Exception as error:
        if os.environ.get("INTERLOCK_TRACEBACK"):
            raise
        streams.complain(streams.refusal(streams.accident(error)))
        return failed
    return code


def _answer(words: list[str]) -> int:
    if not words:
        raise HealUsage("this is called by a workspace's services/gateway/self_heal.py")
    root = root_of(words[0])
    asked = _parser().parse_args(words[1:])
    output = self_heal.output_path(root, asked.output)
    with house_of(root) as house:
        if asked.undo or asked.apply:
            refuse_repairs(house)
        place = place_of(root, house)
        tell = teller(house)
        if asked.undo:
            done = self_heal.undo(place, asked.undo, tell=tell)
            answer = {"run_id": asked.undo, "status": "undone", "restored": done.restored, "removed": done.removed}
            sys.stdout.write(json.dumps(answer) + "\n")
            catch_up(house)
            return OK
        healed = self_heal.heal(place, output=output, apply=asked.apply, tell=tell)
        sys.stdout.buffer.write(healed.report)
        warn(healed.untold)
        catch_up(house)
    return OK if healed.status == "ok" else ATTENTION


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="self_heal.py", description="Look over the workspace.", allow_abbrev=False)
    parser.add_argument(
        "--output",
        default=self_heal.DEFAULT_OUTPUT,
        metavar="PATH",
        help="the report; a relative path lies in the workspace (%(default)s)",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--apply", action="store_true", help="carry repairs out; without it they are only planned")
    what.add_argument("--undo", default="", metavar="RUN_ID", help="take the repairs of an earlier call back")
    return parser


# --- the workspace ----------------------------------------------------------------------------------------------------


def root_of(given: str) -> Path:
    """Return the workspace above an entry point, as it was written; where that is none, as the links lead."""
    root = Path(given).absolute()
    normal = Path(os.path.normpath(root))
    return normal if (normal / ".interlock").is_dir() else Path(given).resolve()


@contextmanager
def house_of(root: Path) -> Generator[Interlock | None]:
    """Yield the workspace's rooms; None inside a run, and where the database can not be reached."""
    house = None if inside_run() else _reached(root)
    try:
        yield house
    finally:
        if house is not None:
            house.close()


def _reached(root: Path) -> Interlock | None:
    """Open the workspace's database; None, and a warning, where that can not be."""
    from interlock.app import Interlock

    if not _is_folder(root / ".interlock" / "keys"):
        return None
    try:
        house = Interlock.at(root)
        house.runs.list(limit=1)
    except (InterlockError, OSError) as error:
        warn(f"the log is not told of this: {error}")
        return None
    return house


def place_of(root: Path, house: Interlock | None) -> Place:
    """Return the workspace as checks see it; what belongs to Interlock alone only where it may be looked at."""
    from dataclasses import replace

    from interlock.workspace.layout import Layout

    place = Place.at(root, clock=system_clock, environment=os.environ)
    run, layout = inside_run(), Layout(root)
    if run or not _is_folder(layout.keys):
        hidden = "the state folder is hidden from runs" if run else "the state folder is not to be seen from here"
        return replace(place, inside_run=run, hidden=hidden)
    alive = None if house is None else _alive(house)
    return replace(place, state=layout.state, keys=layout.keys, worktrees=layout.worktrees, alive=alive, hidden="")


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _alive(house: Interlock) -> Callable[[str], bool | None]:
    from interlock.pipelines import deployments
    from interlock.pipelines.models import Status
    from interlock.pipelines.service import PREFIX
    from interlock.runs.models import ENDED

    def alive(run_id: str) -> bool | None:
        try:
            if has_prefix(run_id, PREFIX):
                return house.pipelines.get(run_id).status in {Status.PENDING, Status.RUNNING}
            if has_prefix(run_id, deployments.PREFIX):
                return house.deployments.at_work(run_id)
            return house.runs.get(run_id).status not in ENDED
        except InterlockError:
            return None

    return alive


# --- the log ----------------------------------------------------------------------------------------------------------


def refuse_repairs(house: Interlock | None) -> None:
    """Raise where repairs may not be made: inside a run, during panic, and where they can not be recorded first."""
    if inside_run():
        raise RepairInsideRun
    if house is None:
        raise RepairUnrecorded(
            "the workspace's database can not be reached", hint="`interlock windows verify` says more"
        )
    house.loops.thawed()


def teller(house: Interlock | None) -> Tell | None:
    """Return what tells the log, as the person at this terminal."""
    if house is None:
        return None
    from interlock.access.local import local_principal
    from interlock.access.models import Actor, checked_correlation_id

    given = os.environ.get("INTERLOCK_CORRELATION_ID")
    actor = Actor(
        principal=local_principal(inside_run, None), correlation_id=checked_correlation_id(given) if given else None
    )

    def tell(event: Event) -> None:
        if isinstance(event, SelfHealReported):
            house.delivery.tell_heal(actor, event)
        else:
            house.tell(actor, event)

    return tell


def catch_up(house: Interlock | None) -> None:
    """Bring the files that follow the log up to date; that this fails is said, and no failure."""
    if house is None:
        return
    from interlock.access.local import local_principal
    from interlock.access.models import Actor

    try:
        for sentence in house.catch_up(Actor(principal=local_principal(inside_run, None))):
            warn(sentence)
    except (InterlockError, OSError) as error:
        warn(str(error))


def warn(sentence: str | None) -> None:
    """Say something that is no failure."""
    if sentence:
        streams.complain(f"warning: {streams.one_line(sentence)}\n")


if __name__ == "__main__":
    sys.exit(main())
