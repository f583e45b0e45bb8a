"""`interlock completion SHELL`: print what lets a shell complete commands, options and their values.

Everything that can be said is in the script: pressing the tab key starts no Python, and looks at no workspace.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Annotated, Any

import typer
import typer.main

from interlock.cli.main import DOORS, WITH_VALUE
from interlock.cli.shells import bash, fish, zsh
from interlock.cli.tables import Common, Line, Room, Tables
from interlock.doors.cli import answer

door = typer.Typer(add_completion=False)


class Shell(Enum):
    """What a script can be printed for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


_RENDER = {Shell.BASH: bash, Shell.ZSH: zsh, Shell.FISH: fish}


@door.command()
def completion(
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    r"""Print a script for a shell to complete what is typed.

    \b
    bash: interlock completion bash > ~/.local/share/bash-completion/completions/interlock
    zsh:  interlock completion zsh > a folder of $fpath/_interlock
    fish: interlock completion fish > ~/.config/fish/completions/interlock.fish

    Do it again after an upgrade.
    """
    script = _RENDER[shell](tables())
    answer({"id": shell.value, "status": "ok", "script": script}, script.splitlines())


def tables() -> Tables:
    """Read every door; takes as long as importing all of them."""
    common = Common(flags=("--json", "--help", "--version"), valued=WITH_VALUE)
    return Tables(common=common, rooms=[_room(name) for name in DOORS])


def _room(name: str) -> Room:
    command: Any = typer.main.get_command(getattr(importlib.import_module(DOORS[name].module), DOORS[name].name))
    verbs: dict[str, Any] = getattr(command, "commands", {})
    own = _line("", DOORS[name].about, command)
    return Room(name=name, about=DOORS[name].about, own=own, verbs=[_line(*each) for each in _listed(verbs)])


def _listed(verbs: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for verb, command in verbs.items():
        if not command.hidden:
            yield verb, _first_sentence(command.help or ""), command


def _line(name: str, about: str, command: Any) -> Line:  # noqa: ANN401 - the command line library's own, untyped
    flags, valued, choices = ["--help"], dict[str, Sequence[str]](), list[str]()
    for each in command.params:
        values = tuple(getattr(choice, "value", choice) for choice in getattr(each.type, "choices", ()))
        if each.param_type_name == "argument":
            choices += values
        elif not each.hidden and each.is_flag:
            flags += [opt for opt in (*each.opts, *each.secondary_opts) if opt.startswith("--")]
        elif not each.hidden:
            valued.update({opt: values for opt in each.opts if opt.startswith("--")})
    return Line(name=name, about=about, flags=tuple(dict.fromkeys(flags)), valued=valued, choices=tuple(choices))


def _first_sentence(text: str) -> str:
    first = " ".join(text.split("\n\n", maxsplit=1)[0].split())
    return first.split(". ", maxsplit=1)[0].rstrip(".")
