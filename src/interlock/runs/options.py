"""How runs are carried out; section `[worker]` of interlock.toml."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Namespaces = Literal["auto", "never", "require"]


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
