"""`interlock`: the entry point. Imports only the door that is asked for, because start-up is felt in every command."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from interlock import __version__
from interlock.cli import streams
from interlock.kernel.errors import Conflict, InterlockError, Invalid, NotFound, Refused, Unreachable

if TYPE_CHECKING:
    from interlock.access.models import Actor


class Door(NamedTuple):
    """Where a word of the command line leads."""

    module: str
    name: str
    about: str


DOORS = {
    "init": Door("interlock.cli.init", "door", "make a workspace in a folder"),
    "inbox": Door("interlock.inbox.cli", "door", "what waits for a person, the dearest wait first"),
    "plan": Door("interlock.approval.cli", "plan_door", "show or write the plan"),
    "draft": Door("interlock.approval.cli", "draft_door", "propose work, review it, approve or reject it"),
    "approved": Door("interlock.approval.cli", "approved_door", "what may run, byte for byte; revoke it"),
    "provider": Door("interlock.providers.cli", "door", "the models that write drafts: show, set, check"),
    "run": Door("interlock.runs.cli", "door", "carry out what was approved; log, diff, apply, cancel, retry"),
    "queue": Door("interlock.queue.cli", "door", "what waits, who works on what; cancel, replan, retry"),
    "worker": Door("interlock.cli.worker", "door", "carry out runs until told to stop"),
    "migrate": Door("interlock.cli.migrate", "door", "move the workspace's database to PostgreSQL"),
    "scheduler": Door("interlock.cli.scheduler", "door", "keep queue and log in order, beside workers elsewhere"),
    "pipeline": Door(
        "interlock.pipelines.cli", "door", "role agents' delivery, behind signed checkpoints; approve, run"
    ),
    "deployment": Door("interlock.pipelines.deployment_cli", "door", "versions and environments; promote, roll back"),
    "loop": Door("interlock.loops.cli", "door", "what is really true of agent loops; reconcile and steer them"),
    "alert": Door("interlock.alerts.cli", "door", "what people should hear of, and whether they have; silence, test"),
    "node": Door("interlock.fleet.cli", "node_door", "the machines that share the work; drain, quarantine, resume"),
    "config": Door("interlock.fleet.cli", "config_door", "what all nodes follow; where a setting comes from"),
    "token": Door("interlock.access.cli", "token_door", "who may call over the network, as whom, and for how long"),
    "panic": Door("interlock.access.cli", "panic_door", "freeze everything that begins something, or let it go on"),
    "serve": Door("interlock.cli.serve", "door", "answer over HTTP, with a worker beside it"),
    "mcp": Door("interlock.mcp.cli", "door", "let agents and editors read and run what was approved; never drafts"),
    "evidence": Door("interlock.workspace.cli", "evidence_door", "verify, sign, prove and export what happened"),
    "windows": Door("interlock.workspace.cli", "door", "hold the files against the database, or write them anew"),
    "doctor": Door("interlock.cli.doctor", "door", "look at machine, settings, keys and database, and say what to do"),
    "completion": Door("interlock.cli.completion", "door", "print what lets bash, zsh or fish complete all this"),
}

_MANUAL = """\
Usage: interlock COMMAND [ARGS]…

Interlock holds every run of a coding agent behind a human approval of exactly what will run, carries it out in a
git worktree of its own, and keeps signed evidence that an outsider can verify.

The main road:
  interlock init DIR                               make a workspace
  interlock draft create --prompt P --repo R --command C --check T
  interlock draft show d_…                         exactly what an approval would freeze, with its digest
  interlock draft approve d_… --digest sha256:…    agree to that and nothing else; only a human may
  interlock run create a_…                         queue it; a draft can not be run
  interlock worker                                 carry out what is queued
  interlock run log|show|diff|apply r_…            see what came of it, bring it home
  interlock evidence verify                        prove what happened

Commands:
{commands}

Everywhere:
  --json               answer with one JSON document on stdout
  --workspace DIR      the workspace; else $INTERLOCK_WORKSPACE, else this folder or one above it
  --as KIND:NAME       act as less than you are (agent:… or service:…)
  --server URL         ask a server instead of a workspace here; else $INTERLOCK_SERVER (https, or http to this machine)
  --token-file F       the server's token, in a file that only you read; else $INTERLOCK_TOKEN_FILE, $INTERLOCK_TOKEN
  --correlation-id ID  bind what this call does together in the log; else $INTERLOCK_CORRELATION_ID
  --help, --version

Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 conflict or refused, 5 unreachable;
            evidence verify: 10 and up, one for each kind of failure.
Errors are one line on stderr that says what to do.
"""

_EXIT_CODES: Sequence[tuple[type[InterlockError], int]] = (
    (Invalid, 2),
    (NotFound, 3),
    (Conflict, 4),
    (Refused, 4),
    (Unreachable, 5),
)
_FLAGS = {
    "--json",
    "--follow",
    "--silences",
    "--origin",
    "--join",
    "--delivered",
    "--from-start",
    "--no-confirm",
    "--into-tree",
    "--stop-runs",
    "--once",
    "--api-only",
    "--no-ops",
    "--network",
    "--http",
    "--no-network",
    "--replace-entry-points",
    "--yes",
    "--keep",
    "--replace",
    "--own",
    "--disown",
    "--drop-missing",
    "--verify",
    "--dry-run",
    "--no-api-key",
    "--fail-on-alert",
    "--help",
    "--version",
}
"""Options that take no value; a test holds this against the doors."""
WITH_VALUE = ("--workspace", "--as", "--correlation-id", "--server", "--token-file")


def main(argv: Sequence[str] | None = None) -> int:
    """Answer one call; returns the exit code."""
    try:
        streams.prepare()
        code = _answer(list(sys.argv[1:] if argv is None else argv))
        streams.flush()
    except InterlockError as error:
        return _fail(error)
    return code


def _answer(words: list[str]) -> int:
    """Answer, or say what stands against it."""
    try:
        return _serve(words)
    except InterlockError as error:
        return _fail(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        streams.fall_silent()
        return 1
    except Exception as error:
        if os.environ.get("INTERLOCK_TRACEBACK"):
            raise
        return _fail(streams.accident(error))


def _serve(words: list[str]) -> int:
    common, words = _common(_checked(words))
    if words in (["--version"], ["-V"]):
        sys.stdout.write(f"interlock {__version__}\n")
        return 0
    if not words or words[0] in {"--help", "-h", "help"}:
        width = max(map(len, DOORS))
        sys.stdout.write(_MANUAL.format(commands="\n".join(f"  {n:{width}}  {d.about}" for n, d in DOORS.items())))
        return 0 if words else 2
    if words[0] not in DOORS:
        raise Invalid(f"there is no command {words[0]!r}", hint="`interlock --help` lists them")
    return _open(DOORS[words[0]], words, common)


def _checked(words: list[str]) -> list[str]:
    for word in words:
        try:
            word.encode("utf-8")
        except UnicodeEncodeError:
            raise Invalid(f"an argument is not UTF-8 text: {word[:80]!a}") from None
    return words


def _common(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Take out what every command understands, wherever it stands before `--`."""
    end = words.index("--") if "--" in words else len(words)
    common: dict[str, str] = {}
    rest: list[str] = []
    place = 0
    while place < end:
        word = words[place]
        name, equals, value = word.partition("=")
        if _is_value(words, place):
            rest.append(word)
        elif word == "--json":
            common["--json"] = "yes"
        elif name in WITH_VALUE:
            if not equals:
                place += 1
                if place >= end:
                    raise Invalid(f"{name} needs a value")
                value = words[place]
            common[name] = value
        else:
            rest.append(word)
        place += 1
    return common, rest + words[end:]


def _is_value(words: list[str], place: int) -> bool:
    """Say whether a word is what the option before it takes, whatever it looks like."""
    before = words[place - 1] if place else ""
    return before.startswith("--") and "=" not in before and before not in _FLAGS


def _open(door: Door, words: list[str], common: dict[str, str]) -> int:
    from interlock.doors import cli as doors

    call, close = _call(common)
    if "--server" in common or "--token-file" in common or os.environ.get("INTERLOCK_SERVER"):
        from interlock.cli.afar import call_from_afar

        call, close = call_from_afar(words, common, _correlation) or (call, close)
    if "--as" in common or "--correlation-id" in common:
        call.actor()  # what would be refused when something is written is refused at once
    doors.open_door(call)
    try:
        return _run(door, words)
    finally:
        close()


def _run(door: Door, words: list[str]) -> int:
    import typer
    from typer.main import get_command

    command: Any = get_command(getattr(importlib.import_module(door.module), door.name))
    try:
        result = command.main(args=words[1:], prog_name=f"interlock {words[0]}", standalone_mode=False)
    except typer.Exit as leaving:
        return leaving.exit_code
    except typer.Abort:
        return 130
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        return _usage(error)
    return result if isinstance(result, int) else 0


def _usage(error: Any) -> int:  # noqa: ANN401 - the command line library's own error, which it does not export
    context = getattr(error, "ctx", None)
    where = f" (see `{context.command_path} --help`)" if context is not None else ""
    message = error.format_message()
    if not message:  # a group without a subcommand has shown its help already
        return 2
    streams.complain(f"error: {streams.one_line(message)}{where}\n")
    return 2


def _call(common: dict[str, str]) -> tuple[Any, Callable[[], None]]:
    """Return the call (a doors.cli.Call, imported late), and what closes it."""
    from interlock.doors.cli import Call

    plugged: list[Any] = []

    def app(database_url: str = "") -> Any:  # noqa: ANN401 - the rooms, as whichever protocol a door asks for
        if not plugged:
            from interlock.app import Interlock

            plugged.append(Interlock.at(root(), database_url=database_url))
        return plugged[0]

    def root() -> Path:
        return _root(common.get("--workspace"))

    def close() -> None:
        for each in plugged:
            each.close()

    call = Call(
        as_json="--json" in common,
        actor=_actor(common),
        root=root,
        app=app,
        catch_up=lambda: app().catch_up(_actor(common)()),
    )
    return call, close


def _actor(common: dict[str, str]) -> Callable[[], Actor]:
    def prove() -> Actor:
        from interlock.access.local import local_principal
        from interlock.access.models import Actor
        from interlock.runs.containment.processes import inside_run

        return Actor(
            principal=local_principal(inside_run, common.get("--as")),
            correlation_id=_correlation(common),
        )

    return prove


def _correlation(common: Mapping[str, str]) -> str | None:
    from interlock.access.models import checked_correlation_id

    given = common.get("--correlation-id") or os.environ.get("INTERLOCK_CORRELATION_ID")
    return checked_correlation_id(given) if given else None


def _root(named: str | None) -> Path:
    from interlock.runs.containment.processes import inside_run
    from interlock.workspace.errors import NotAWorkspace, WorkspaceMissing
    from interlock.workspace.layout import STATE_FOLDER
    from interlock.workspace.service import find_root

    named = named if named is not None else os.environ.get("INTERLOCK_WORKSPACE")
    if named is None:
        try:
            return find_root(Path.cwd(), inside_run=inside_run() is not None)
        except FileNotFoundError:
            raise WorkspaceMissing("the folder in which this was called is gone") from None
    if not named:
        raise Invalid("--workspace and INTERLOCK_WORKSPACE name a folder; an empty name is none")
    root = Path(named).absolute()
    if not os.path.isdir(root / STATE_FOLDER):  # noqa: PTH112 - False, not an error, where we may not look
        raise NotAWorkspace(f"{root} is not a workspace")
    return root


def _fail(error: InterlockError) -> int:
    streams.complain(streams.refusal(error))
    own: int | None = getattr(error, "exit_code", None)
    if own is not None:
        return own
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), 1)


if __name__ == "__main__":
    sys.exit(main())
