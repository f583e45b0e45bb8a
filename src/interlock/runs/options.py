"""How runs are carried out; section `[worker]` of interlock.toml."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from interlock.approval.models import Rung

Namespaces = Literal["auto", "never", "require"]
Policy = Literal["wait", "ask", "take_over", "finalise", "kill"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a worker carries out a run."""

    namespaces: Namespaces = "auto"
    """`auto` contains agents as well as the machine can, `require` refuses where it can not; `never` is for tests."""
    grace_seconds: float = 10.0
    """How long an agent has between the request to stop and the end."""
    visible: tuple[Path, ...] = ()
    """What agents see, read-only, although a private or hidden folder lies over it."""
    private_tmp_bytes: int = 512 * 1024 * 1024
    """The size of a run's own /tmp; it is memory."""
    rung: Rung = Rung.EXIT_CODE
    """The least evidence of being done that the workspace accepts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthOptions:
    """When a run is not what it should be, and what is then done; section `[truth]`."""

    stall_seconds: int = 600
    """How long a run may print nothing, or take to begin, before it is `silent`."""
    report_seconds: int = 120
    """How long a worker may take to report an agent that has ended."""
    scan_seconds: int = 5
    """How often a machine looks through its processes for what earlier claims left."""
    most_takeovers: int = 5
    """How often a run is taken over for one and the same reason before a person is asked instead."""
    silent: Policy = "ask"
    orphaned: Policy = "take_over"
    lost_worker: Policy = "take_over"
    lost_node: Policy = "take_over"
    finished_unreported: Policy = "finalise"
    over_budget: Policy = "kill"
    misplaced: Policy = "ask"
    zombie: Policy = "kill"
    unknown: Policy = "wait"
