"""What this machine can do, found by looking. Nothing is started for it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

AGENTS: Final[Mapping[str, str]] = {
    "claude_code": "claude",
    "codex": "codex",
    "gemini_cli": "gemini",
    "opencode": "opencode",
}
"""The executable of each adapter."""


def capabilities(path: str | None, *, namespaces: bool) -> tuple[str, ...]:
    """Return what can be done here, sorted; `path` is that of the environment, where programs are looked for."""
    found = {"agent=command", "namespaces" if namespaces else "best_effort"}
    found |= {f"agent={name}" for name, program in AGENTS.items() if shutil.which(program, path=path)}
    if shutil.which("git", path=path):
        found.add("git")
    found |= {f"os={sys.platform}", f"arch={platform.machine() or 'unknown'}"}
    return tuple(sorted(found))


def has_namespaces(*, wanted: bool) -> bool:
    """Say whether agents can be held in namespaces here, as the kernel's settings tell; each run's evidence knows."""
    if not wanted or not sys.platform.startswith("linux"):
        return False
    if os.geteuid() == 0:
        return True
    return (
        _sysctl("user/max_user_namespaces", 1) > 0
        and _sysctl("kernel/unprivileged_userns_clone", 1) > 0
        and _sysctl("kernel/apparmor_restrict_unprivileged_userns", 0) == 0
    )


def _sysctl(name: str, default: int) -> int:
    try:
        return int(Path("/proc/sys", name).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return default
