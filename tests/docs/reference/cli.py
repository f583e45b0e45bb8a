"""docs/reference/cli.md: every command of `interlock`, with its arguments, options, defaults and help."""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from pathlib import PurePath
from typing import Any, Final

from typer.main import get_command

from interlock.cli.main import DOORS, main
from tests.docs.reference.markdown import anchor, body, code, codes, page, sentence, table

_INTRODUCTION: Final = """\
What every command understands, before or behind its own words, and what `interlock --help` says of the main road:
"""
_NOT_OURS: Final = {"--install-completion", "--show-completion"}
"""The command line library puts them on every group."""


def pages() -> Mapping[str, str]:
    """Return the page."""
    manual = _manual()
    listed = table(["command", "what it is for"], [(f"[`{n}`](#{anchor(n)})", d.about) for n, d in DOORS.items()])
    parts = [_INTRODUCTION, f"```text\n{manual}```", "## Commands", listed]
    for name, door in DOORS.items():
        parts += _command(("interlock", name), get_command(getattr(importlib.import_module(door.module), door.name)))
    parts.append("How each ends: [exit codes](exit-codes.md). What each refuses: [errors](errors.md).")
    return {"reference/cli.md": page("The command line", *parts)}


def _manual() -> str:
    """Return what `interlock --help` prints, without the list of commands, which follows with links."""
    out = io.StringIO()
    with redirect_stdout(out):
        main(["--help"])
    before, _, rest = out.getvalue().partition("Commands:\n")
    return before + rest.partition("\n\n")[2]


def commands(words: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:  # noqa: ANN401 - typer has no public type for these
    """List a command and all below it."""
    yield words, command
    for name, inner in getattr(command, "commands", {}).items():
        if not inner.hidden:
            yield from commands((*words, name), inner)


def every_command() -> Iterator[tuple[tuple[str, ...], Any]]:
    """List every command of every door."""
    for name, door in DOORS.items():
        yield from commands(("interlock", name), get_command(getattr(importlib.import_module(door.module), door.name)))


def _command(words: tuple[str, ...], command: Any) -> list[str]:  # noqa: ANN401 - see `commands`
    parts: list[str] = []
    for path, each in commands(words, command):
        name = " ".join(path)
        parts.append(f"{'#' * len(path)} " + (f"`{name}`" if len(path) > 2 else name.removeprefix("interlock ")))
        inner = {f"{name} {word}": below for word, below in getattr(each, "commands", {}).items() if not below.hidden}
        if not inner:
            parts.append(f"```text\n{usage(path, each)}\n```")
        parts += [body(each.help), _parameters(each)]
        rows = [(f"[`{below}`](#{anchor(below)})", sentence(told.help)) for below, told in inner.items()]
        parts.append(table(["command", "what it does"], rows))
    return parts


def usage(path: tuple[str, ...], command: Any) -> str:  # noqa: ANN401 - see `commands`
    """Return the line that `--help` begins with."""
    words = [*path]
    if shown(command, "option"):
        words.append("[OPTIONS]")
    for each in shown(command, "argument"):
        name = str(each.human_readable_name).upper().strip("[]").removesuffix("...")
        name += "…" if each.nargs == -1 else ""
        words.append(name if each.required else f"[{name}]")
    return " ".join(words)


def shown(command: Any, kind: str) -> list[Any]:  # noqa: ANN401 - see `commands`
    """List the arguments or the options of a command that are ours and not hidden."""
    return [
        each
        for each in command.params
        if each.param_type_name == kind and not getattr(each, "hidden", False) and not _NOT_OURS & set(each.opts)
    ]


def _parameters(command: Any) -> str:  # noqa: ANN401 - see `commands`
    rows: list[tuple[str, ...]] = []
    for each in shown(command, "argument"):
        name = str(each.human_readable_name).upper().strip("[]").removesuffix("...")
        rows.append((code(name), takes(each), _default(each), each.help or ""))
    for each in shown(command, "option"):
        names = codes([*each.opts, *each.secondary_opts])
        more = " Can be given again." if getattr(each, "multiple", False) else ""
        rows.append((names, takes(each), _default(each), (each.help or "") + more))
    return table(["argument or option", "takes", "default", "about"], rows)


def takes(parameter: Any) -> str:  # noqa: ANN401 - see `commands`
    """Return in words what an argument or an option takes."""
    if getattr(parameter, "is_flag", False):
        return "nothing"
    kind = parameter.type
    if choices := getattr(kind, "choices", None):
        return codes(choices, " or ")
    least, most = getattr(kind, "min", None), getattr(kind, "max", None)
    words = {"int": "whole number", "float": "number", "path": "path", "file": "file"}
    name = words.get(str(getattr(kind, "name", "")).removesuffix(" range"), "text")
    bounds = [
        f"{word} {_number(bound)}" for word, bound in (("at least", least), ("at most", most)) if bound is not None
    ]
    return f"{name}, {' and '.join(bounds)}" if bounds else name


def _default(parameter: Any) -> str:  # noqa: ANN401 - see `commands`
    if parameter.required:
        return "required"
    default = parameter.default
    if callable(default) or default in (None, "", (), []) or getattr(parameter, "is_flag", False):
        return ""
    return code(default.as_posix() if isinstance(default, PurePath) else getattr(default, "value", default))


def _number(bound: float) -> str:
    return str(int(bound)) if bound == int(bound) else str(bound)
