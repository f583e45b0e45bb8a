# ruff: noqa: INP001 - a script, no part of a package
"""The replay procedure of the DevOps runbook, against a copy of a workspace.

    NOA_WORKFLOW_ROOT=/path/to/snapshot python examples/crc_cicd_demo.py [PIPELINE_ID]

Needs the snapshot and the `interlock` package: no database, no network, and it writes nothing. It ends with 0 if
everything fits together, and else with the exit code of `interlock evidence replay` for what does not.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interlock.kernel.errors import InterlockError
from interlock.workspace.cicd import CICDSystem
from interlock.workspace.replay import replay, verify_report

STATES = ("pipeline.state.", "deployment.state.")


def main(arguments: Sequence[str]) -> int:
    """Follow the four steps; returns the exit code."""
    named = os.environ.get("NOA_WORKFLOW_ROOT")
    if not named:
        return complain("1. NOA_WORKFLOW_ROOT has to name a workspace, or a copy of one", 2)
    try:
        follow(Path(named), arguments[0] if arguments else None)
    except (InterlockError, MismatchError) as error:
        return complain(f"mismatch: {error}", getattr(error, "exit_code", 1))
    return 0


class MismatchError(Exception):
    """A log can not be read, or an entry of it is not in the ledger as the log tells it."""

    exit_code = 30


def follow(root: Path, subject: str | None) -> None:
    """Follow the runbook's steps."""
    say(f"1. the snapshot is {root}")
    system = CICDSystem()
    system.configure_workspace_root(root)
    system.load_state_from_disk()
    say(f"2. state.json holds {len(system.pipelines)} pipelines and {len(system.deployments)} deployments")
    for pipeline in system.pipelines.values():
        say(f"   {pipeline.id}  {pipeline.name}: {pipeline.status.value}, {len(pipeline.checkpoints)} checkpoints")
    for deployment in system.deployments.values():
        say(f"   {deployment.id}  {deployment.name} {deployment.version}: {deployment.status.value}")
    say(f"3. {cross_reference(root)} state changes of pipeline_events.log are in the ledger, with the same signature")
    replayed = replay(root)
    say(f"   {replayed.entries} entries of the ledger give the same files; a signed head covers {replayed.covered}")
    for subject_id in [subject] if subject else [*system.pipelines, *system.deployments]:
        tell_history(system, subject_id)
    say(f"4. the report has {verify_report(root)} rows, each as the ledger tells it")


def cross_reference(root: Path) -> int:
    """Find each state change of the log in the ledger; returns how many there are, raises `MismatchError`."""
    ledger = {row["index"]: row for row in lines(root / "storage" / "db" / "evidence" / "ledger.jsonl")}
    found = 0
    for entry in lines(root / "storage" / "db" / "pipeline_events.log"):
        if not entry["event"]["event_type"].startswith(STATES):
            continue
        row = ledger.get(int(entry["policy"]["record"]["operation_id"].removeprefix("op-")), {})
        same = (row.get("kind"), row.get("reference"), row.get("payload"))
        if same != ("PipelineEvent", entry["policy"]["signature"], entry["event"]["metadata"]):
            raise MismatchError(f"{entry['policy']['record']['operation_id']} is not in the ledger as the log tells it")
        found += 1
    return found


def tell_history(system: CICDSystem, subject: str) -> None:
    """Print what happened to a pipeline or deployment, each signature checked."""
    moments = system.history(subject)
    if not moments:
        raise MismatchError(f"the ledger tells of no {subject}")
    say(f"   {subject}:")
    for moment in moments:
        signed = f", signed ({moment.signed_by})" if moment.signed_by else ""
        say(f"   {moment.index:>6}  {moment.time}  {moment.kind}{signed}{'' if moment.covered else ', not covered'}")


def lines(path: Path) -> list[dict[str, Any]]:
    """Read a file of JSON lines; raises `MismatchError` where it is none."""
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise MismatchError(f"{path} is torn, or can not be read: {error}") from None


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")


def complain(text: str, code: int) -> int:
    """Print what is wrong; returns the exit code."""
    sys.stderr.write(f"{text}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
