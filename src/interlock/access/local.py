"""Who is calling on this machine: the operating system's user, unless the call comes from inside a run."""

from __future__ import annotations

import getpass
import re
from collections.abc import Callable

from interlock.access.errors import LoweringOnly
from interlock.access.models import Principal, PrincipalKind, Role


def local_principal(inside_run: Callable[[], str | None], wanted: str | None) -> Principal:
    """Prove the caller. `wanted` may lower a human to an agent or a service, never raise anybody.

    Raises `LoweringOnly`.
    """
    run = inside_run()
    if run is not None:
        proven = Principal(PrincipalKind.AGENT, re.sub(r"[^A-Za-z0-9._@:+-]", "_", run)[:128] or "unknown")
    else:
        name = re.sub(r"[^A-Za-z0-9._@:+-]", "_", getpass.getuser())[:128]
        proven = Principal(PrincipalKind.HUMAN, name)
    if wanted is None:
        return proven
    asked = Principal.parse(wanted)
    if asked == proven or (asked.kind is not PrincipalKind.HUMAN and proven.kind is PrincipalKind.HUMAN):
        return asked
    raise LoweringOnly(f"you are {proven}; --as can make that less, not {asked}")


def local_role(principal: Principal) -> Role:
    """Return what a caller on this machine may do: its human is its admin, everything less only reads."""
    return Role.ADMIN if principal.kind is PrincipalKind.HUMAN else Role.ACTIONS
