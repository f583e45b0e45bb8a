"""`automation/orchestrator/ops.py`: the queue's commands as operators' scripts call them, from any folder.

`status` and `workers` run every two seconds on somebody's screen; so what they do not use is imported later.
Exit codes: 0 ok, 1 failure, 2 only for a KPI alert, 3 drift, 64 usage.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from interlock.cli import streams
from interlock.kernel.errors import InterlockError, Invalid
from interlock.queue import markdown, reports
from interlock.queue.numbers import rate, whole, whole_in

if TYPE_CHECKING:
    from interlock.access.models import Actor
    from interlock.queue.kpi import RunLog
    from interlock.queue.markdown import Fields, Table
    from interlock.reading import Reading

OK, FAILED, ALERT, DRIFT, USAGE = 0, 1, 2, 3, 64
_HOME = os.path.join("automation", "orchestrator")
_TAKES_VALUE = {
    "--queue",
    "--db",
    "--queue-path",
    "--db-path",
    "--log-path",
    "--max-failure-rate",
    "--max-latency-p95-ms",
    "--max-stale-in-progress",
    "--stale-minutes",
    "--id",
    "--notes",
}
_TOP = 5


class UsageWrong(Invalid):
    """The command line is not right."""

    code = "usage"


class Asked(NamedTuple):
    """One call: the workspace in which the entry point lies, and what was asked."""

    root: str
    options: argparse.Namespace

    @property
    def database(self) -> str:
        """The database that `--db` names; empty for Markdown."""
        given: str | None = self.options.db
        return given or ""

    def queue(self, given: str | None = None) -> str:
        """Return the Markdown queue that is meant: `given`, `--queue`, $ORCH_QUEUE_MD, or the workspace's."""
        for name, path in (("--queue-path", given), ("--queue", self.options.queue)):
            if path is not None:
                if not path:
                    raise UsageWrong(f"{name} names a file; an empty name is none")
                return path
        return os.environ.get("ORCH_QUEUE_MD") or os.path.join(self.root, _HOME, "QUEUE.md")

    def is_default(self) -> bool:
        """Say whether the workspace's own queue is meant."""
        return not self.database and self.options.queue is None and not os.environ.get("ORCH_QUEUE_MD")

    def reading(self, given: str | None = None) -> Reading:
        """Look at the database that is meant: `given`, `--db`, $ORCH_DB_PATH, $ORCH_BASE_DIR, or the workspace's."""
        from interlock.reading import reading, workspace_reading

        target = given or self.database or os.environ.get("ORCH_DB_PATH")
        base = os.environ.get("ORCH_BASE_DIR")
        if not target and base:
            target = os.path.join(base, "db", "queue.db")
        return reading(target) if target else workspace_reading(self.root)

    def log(self) -> str:
        """Return the run log that is meant."""
        given: str | None = self.options.log_path or os.environ.get("ORCH_LOG_PATH")
        base = os.environ.get("ORCH_BASE_DIR") or os.path.join(self.root, _HOME)
        return given or os.path.join(base, "logs", "orch_runs.jsonl")


def main(argv: Sequence[str] | None = None) -> int:
    """Answer one call; the first argument is the workspace, the rest is what the operator wrote."""
    try:
        streams.prepare()
        code = _answer(list(sys.argv[1:] if argv is None else argv))
        streams.flush()
    except InterlockError as error:
        return _fail(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        streams.fall_silent()  # whoever read us has gone; nothing is wrong
        return OK
    except OSError as error:
        return _fail(InterlockError(f"it did not work: {error}"))
    except Exception as error:
        if os.environ.get("INTERLOCK_TRACEBACK"):
            raise
        return _fail(streams.accident(error))
    return code


def _answer(words: list[str]) -> int:
    if not words:
        raise UsageWrong("this is called by a workspace's automation/orchestrator/ops.py")
    try:
        options = _parser().parse_args(_joined(words[1:]))
    except Invalid as error:
        raise UsageWrong(error.message, hint=error.hint) from None
    except SystemExit:
        return OK  # help was given
    code: int = options.answer(Asked(words[0], options))
    return code


# --- looking ----------------------------------------------------------------------------------------------------------


def _status(asked: Asked) -> int:
    try:
        top = whole_in("ORCH_TOP_IN_PROGRESS", _TOP)
    except Invalid as error:
        raise UsageWrong(error.message) from None
    table = _table(asked)
    # One is asked for even where none is shown, to know whether there is one.
    counts, active = reports.standing(_cells(table)) if table else asked.reading().standing(max(top, 1))
    return _say(reports.status_lines(counts, active, top))


def _workers(asked: Asked) -> int:
    table = _table(asked)
    return _say(reports.workers_lines(reports.standing(_cells(table))[1] if table else asked.reading().active()))


def _table(asked: Asked) -> Table | None:
    """Read the Markdown queue that is meant; None where the database answers, also in a window's place."""
    if asked.database:
        return None
    path = asked.queue()
    return None if asked.is_default() and markdown.begins_as_window(path) else markdown.read(path)


def _cells(table: Table) -> Iterator[Fields]:
    return (row.cells for row in table.rows)


def _consistency_check(asked: Asked) -> int:
    options = asked.options
    table = markdown.read(asked.queue(options.queue_path))
    ours = {row.id: row.cells for row in table.rows}
    found = reports.compare(ours, {item["id"]: item for item in asked.reading(options.db_path).items()})
    _say(found.lines())
    return OK if found.ok else DRIFT


def _kpi(asked: Asked) -> int:
    from interlock.queue import kpi

    options = asked.options
    limits = kpi.Limits(
        max_failure_rate=options.max_failure_rate,
        max_latency_p95_ms=options.max_latency_p95_ms,
        max_stale_in_progress=options.max_stale_in_progress,
    )
    log = _read_log(asked.log())
    looked = asked.reading(options.db_path)
    found = kpi.figures(
        log,
        retry_count=looked.retries(),
        stale_in_progress=kpi.stale(looked.active(), now_ms=_now(), minutes=options.stale_minutes),
    )
    alerts = found.alerts(limits)
    _say([found.line(), *alerts])
    return ALERT if alerts and options.fail_on_alert else OK


def _read_log(path: str) -> RunLog:
    from pathlib import Path

    from interlock.queue import run_log
    from interlock.queue.kpi import RunLog

    log = RunLog()
    log.add(run_log.read(Path(path)))
    if log.malformed:
        _note(f"{path}: {log.malformed} lines are no run records and were left out")
    return log


# --- changing ---------------------------------------------------------------------------------------------------------


def _cancel(asked: Asked) -> int:
    return _change(asked, lambda queue: queue.cancel(asked.options.id))


def _replan(asked: Asked) -> int:
    notes: str = asked.options.notes
    if not notes.strip():
        raise UsageWrong("--notes is blank; say what has to be planned anew")
    return _change(asked, lambda queue: queue.replan(asked.options.id, notes))


def _retry(asked: Asked) -> int:
    return _change(asked, lambda queue: queue.retry(asked.options.id))


def _change(asked: Asked, verb: Callable[[Any], Any]) -> int:
    """Carry out a verb, which is called the same on a Markdown queue and on one in a database."""
    from interlock.app import Interlock
    from interlock.doors.cli import follow

    by, table = _actor(), _table(asked)
    plugged = Interlock.at(_path(asked.root))
    try:
        house = plugged.beside(asked.database) if asked.database else plugged
        if table is None:
            with house.queue(by) as queue:
                status = verb(queue).status.value
        else:
            file = house.markdown(table.path, by)
            status = verb(file).cells["status"]
            for sentence in file.warnings:
                _note(f"warning: {sentence}")
        _say([f"{asked.options.id} -> {status}"])
        follow(lambda: house.catch_up(by))
    finally:
        plugged.close()
    return OK


# --- the command line -------------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and exits as a usage error does everywhere."""

    def error(self, message: str) -> NoReturn:
        raise UsageWrong(f"{self.prog}: {message}", hint=f"`{self.prog} --help` shows what there is")


def _parser() -> argparse.ArgumentParser:
    # Asked for its width, or to name itself, the library would import half of the standard one.
    shape = partial(argparse.HelpFormatter, width=100)
    parser = _Parser(prog="ops.py", description="See and steer the queue.", allow_abbrev=False, formatter_class=shape)
    _stores(parser, None)
    commands = parser.add_subparsers(prog="ops.py", dest="command", metavar="COMMAND", required=True)

    def command(name: str, answer: Callable[[Asked], int], about: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=about, description=about, allow_abbrev=False, formatter_class=shape)
        made.set_defaults(answer=answer)
        _stores(made, argparse.SUPPRESS)
        return made

    command("status", _status, "Count items by status; show the first that are under way.")
    command("workers", _workers, "Show who works on what.")
    check = command("consistency-check", _consistency_check, "Hold the Markdown queue against the database.")
    check.add_argument("--queue-path", metavar="PATH", help="the Markdown queue; else --queue, else the workspace's")
    check.add_argument("--db-path", metavar="PATH|URL", help="the database; else --db, else the workspace's")
    _kpi_options(command("kpi", _kpi, "Show success, latency, retries and stale work; alert above limits."))
    for name, answer, about in (
        ("cancel", _cancel, "Stop an item: it becomes BLOCKED."),
        ("replan", _replan, "Send an item back to planning."),
        ("retry", _retry, "Give an item another attempt."),
    ):
        command(name, answer, about).add_argument("--id", required=True, metavar="ORCH-xxx")
    commands.choices["replan"].add_argument(
        "--notes", required=True, metavar="TEXT", help="what has to be planned anew"
    )
    return parser


def _stores(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Take the global options, before the command as ever, and behind it as people write them."""
    parser.add_argument("--queue", metavar="PATH", default=default, help="a Markdown queue")
    parser.add_argument("--db", metavar="PATH|URL", default=default, help="a SQLite file or postgresql://…")


def _kpi_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--log-path", metavar="PATH", help="the run log; else the workspace's")
    parser.add_argument("--db-path", metavar="PATH|URL", help="the database; else --db, else the workspace's")
    for name, metavar, read, default, about in (
        ("--max-failure-rate", "RATE", rate, "0.2", "alert above this share of failures"),
        ("--max-latency-p95-ms", "MS", whole, "2000", "alert above this 95th percentile"),
        ("--max-stale-in-progress", "N", whole, "0", "alert above so many stale items"),
        ("--stale-minutes", "MIN", whole, "60", "after which an item is stale"),
    ):
        parser.add_argument(
            name, metavar=metavar, type=partial(read, what=name), default=default, help=f"{about} ({default})"
        )
    parser.add_argument("--fail-on-alert", action="store_true", help="exit with 2 for an alert")


def _joined(words: Sequence[str]) -> list[str]:
    """Bind each value to its option, so that notes and ids may begin with a dash."""
    joined: list[str] = []
    place = 0
    while place < len(words):
        word = words[place]
        following = words[place + 1] if place + 1 < len(words) else None
        if word in _TAKES_VALUE and following is not None and following.partition("=")[0] not in _TAKES_VALUE:
            word = f"{word}={following}"
            place += 1
        name, _, value = word.partition("=")
        if name in _TAKES_VALUE and value == "--":
            raise UsageWrong(f"{name} takes a value, and -- is none")  # the library would make it an empty list
        joined.append(word)
        place += 1
    return joined


# --- the caller -------------------------------------------------------------------------------------------------------


def _actor() -> Actor:
    from interlock.access.local import local_principal
    from interlock.access.models import Actor, checked_correlation_id
    from interlock.runs.containment.processes import inside_run

    given = os.environ.get("INTERLOCK_CORRELATION_ID")
    return Actor(
        principal=local_principal(inside_run, None), correlation_id=checked_correlation_id(given) if given else None
    )


def _path(root: str) -> Any:  # noqa: ANN401 - a pathlib.Path, whose import `status` does without
    from pathlib import Path

    return Path(root)


def _now() -> int:
    from interlock.kernel.clock import system_clock

    return system_clock()


def _say(lines: Sequence[str]) -> int:
    sys.stdout.write("".join(f"{_shown(line)}\n" for line in lines))
    return OK


def _note(text: str) -> None:
    sys.stderr.write(_shown(text) + "\n")


def _shown(text: str) -> str:
    """Make a text safe for a terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _fail(error: InterlockError) -> int:
    streams.complain(streams.refusal(error))
    return USAGE if isinstance(error, UsageWrong) else FAILED


if __name__ == "__main__":
    sys.exit(main())
