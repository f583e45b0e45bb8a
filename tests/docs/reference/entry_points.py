"""docs/reference/entry-points.md: what `interlock init` puts into a workspace at the seeds' paths, with every flag."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from interlock.cli import ops, self_heal, workspace_optimization
from interlock.cli.ops_manager import COMMANDS, Flag
from interlock.workspace.loop_scripts import ENTRY_POINTS, file_of
from tests.docs.reference.markdown import code, codes, page, sentence, table

_INTRODUCTION: Final = """\
Scripts, dashboards and timers call these by their paths in a workspace, from any folder and with any `python3`.
`interlock init` makes them, a few lines each that hand over to the installed package; what somebody else has at such a
place is kept. Their exit codes are their own: [exit codes](exit-codes.md). In a workspace
`python -m tools.repo_orchestrator.main` is `interlock serve`.
"""
_PARSERS: Final = {
    "automation/orchestrator/ops.py": ops,
    "services/gateway/self_heal.py": self_heal,
    "tools/maintenance/workspace_optimization.sh": workspace_optimization,
}


def pages() -> Mapping[str, str]:
    """Return the page."""
    parts = [_INTRODUCTION]
    for place, module in _PARSERS.items():
        parts += [f"## `{place}`", sentence(module.__doc__).partition(": ")[2].capitalize()]
        parts += _parser(module._parser())  # pyright: ignore[reportPrivateUsage]  # what it takes is nowhere else
    for name in ENTRY_POINTS:
        command = COMMANDS[name]
        parts += [f"## `scripts/{file_of(name)}`", command.about]
        parts.append(table(["flag", "takes", "default", "variable", "about"], map(_flag, command.flags)))
    return {"reference/entry-points.md": page("The seeds' entry points", *parts)}


def every_flag() -> Iterator[tuple[str, set[str]]]:
    """List the entry points with all that each takes."""
    for place, module in _PARSERS.items():
        flags: set[str] = set()
        for name, each in parsers(module._parser()):  # pyright: ignore[reportPrivateUsage]  # the same
            flags |= {name, *(flag for option in options(each) for flag in option.option_strings)} - {""}
        yield place, flags
    for name in ENTRY_POINTS:
        yield f"scripts/{file_of(name)}", {f"--{flag.name}" for flag in COMMANDS[name].flags}


def parsers(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """List a parser's commands; its own options under an empty name."""
    yield "", parser
    for action in parser._actions:  # the library has no other way to ask
        if isinstance(action, argparse._SubParsersAction):  # pyright: ignore[reportPrivateUsage]  # the same
            found = cast("dict[str, argparse.ArgumentParser]", action.choices)  # pyright: ignore[reportUnknownMemberType]  # the library leaves it open
            yield from found.items()


def options(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """List what a parser takes beside help and commands."""
    for action in parser._actions:  # the library has no other way to ask
        if not isinstance(action, argparse._HelpAction | argparse._SubParsersAction):  # pyright: ignore[reportPrivateUsage]  # as above
            yield action


def _parser(parser: argparse.ArgumentParser) -> Iterator[str]:
    for name, each in parsers(parser):
        if name:
            yield f"### `{name}`"
            yield each.description or ""
        yield table(["option", "takes", "default", "about"], map(_option, options(each)))


def _option(action: argparse.Action) -> tuple[str, str, str, str]:
    choices = list(map(str, action.choices or ()))
    takes = codes(choices, " or ") if choices else code(action.metavar) if action.metavar else "text"
    default = action.default if action.default not in (None, argparse.SUPPRESS, False, "") else ""
    about = (action.help or "").replace(" (%(default)s)", "").replace("%%", "%")
    about = about.removesuffix(f" ({default})")
    return (
        codes(action.option_strings),
        "nothing" if action.nargs == 0 else takes,
        "required" if action.required else code(default) if default else "",
        about,
    )


def _flag(flag: Flag) -> tuple[str, ...]:
    default: Any = flag.default
    shown = "" if default in (None, False) else code(default)
    variable = code(flag.environment) if flag.environment else ""
    return code(f"--{flag.name}"), "nothing" if flag.read is None else "a value", shown, variable, flag.about
