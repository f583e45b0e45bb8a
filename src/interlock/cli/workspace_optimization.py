"""`tools/maintenance/workspace_optimization.sh`: what could leave the workspace; on request it goes into quarantine.

Standard output is the plan's exact bytes. Exit codes: 0 ok, 2 it could not run, 64 usage.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn, cast

from interlock.cli.self_heal import OK, catch_up, guarded, house_of, refuse_repairs, root_of, teller, warn
from interlock.kernel.clock import system_clock
from interlock.kernel.errors import Invalid
from interlock.pipelines.checks import FOLDERS
from interlock.pipelines.optimization import MODES, Mode, optimize

FAILED = 2


class OptimizationUsage(Invalid):
    """The command line is not right."""

    code = "optimization_usage"
    exit_code = 64


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise OptimizationUsage(message)


def main(argv: Sequence[str] | None = None) -> int:
    """Answer one call; the first argument is the workspace, the rest is what was written behind the entry point."""
    return guarded(_answer, list(sys.argv[1:] if argv is None else argv), failed=FAILED)


def _answer(words: list[str]) -> int:
    if not words:
        raise OptimizationUsage("this is called by a workspace's tools/maintenance/workspace_optimization.sh")
    asked = _parser().parse_args(words[1:])
    mode = cast("Mode", asked.mode)
    root = root_of(words[0])
    with house_of(root) as house:
        if mode == "apply":
            refuse_repairs(house)
        done = optimize(root, mode=mode, folders=FOLDERS, clock=system_clock, tell=teller(house))
        sys.stdout.buffer.write(done.plan)
        warn(done.untold)
        catch_up(house)
    return OK


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="workspace_optimization.sh",
        description="Plan what could leave the workspace; nothing is ever deleted.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--mode", choices=MODES, default="agent", help="agent: only plan (%(default)s); apply: move into quarantine"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
