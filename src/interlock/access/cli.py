"""The command-line doors of access: `interlock token`, `interlock panic`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Protocol

import typer

from interlock.access.local import local_role
from interlock.access.models import Actor, NewToken, Panic, Principal, PrincipalKind, Role, Token
from interlock.access.service import Access, Issued
from interlock.doors.cli import answer, call, house, note, table
from interlock.kernel.clock import to_text
from interlock.kernel.errors import Invalid

token_door = typer.Typer(
    help="Tokens: who may call over the network, and as whom.", no_args_is_help=True, add_completion=False
)
panic_door = typer.Typer(help="Panic mode: nothing new begins, on no door.", no_args_is_help=True, add_completion=False)

_SPAN = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class _House(Protocol):
    @property
    def access(self) -> Access: ...

    def stop_runs(self, actor: Actor, *, reason: str) -> list[str]: ...

    def now(self) -> int: ...


TokenId = Annotated[str, typer.Argument(metavar="ID")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept with the event.")]


def _access() -> Access:
    return house(_House).access


def _caller() -> tuple[Actor, Role]:
    actor: Actor = call().actor()
    return actor, local_role(actor.principal)


# --- tokens -----------------------------------------------------------------------------------------------------------


@token_door.command("create")
def token_create(
    name: Annotated[str, typer.Option("--name", help="What it is called, for whoever looks at the list.")],
    role: Annotated[Role, typer.Option("--role", help="actions reads, operator runs and cancels, admin does all.")],
    kind: Annotated[
        PrincipalKind, typer.Option("--kind", help="Whom it proves; only a human can approve.")
    ] = PrincipalKind.SERVICE,
    principal: Annotated[
        str | None, typer.Option("--principal", metavar="NAME", help="The principal's name; default: the token's.")
    ] = None,
    expires_in: Annotated[
        str | None, typer.Option("--expires-in", metavar="SPAN", help="12h, 30d; default: never.")
    ] = None,
) -> None:
    """Make a token. Its text is printed once, on standard output, and is never shown again."""
    actor, mine = _caller()
    new = NewToken(
        name=name,
        principal=Principal.parse(f"{kind.value}:{principal if principal is not None else name}"),
        role=role,
        expires_in_ms=None if expires_in is None else _span_ms(expires_in, "--expires-in"),
    )
    _show_issued(_access().create(actor, new, role=mine))


@token_door.command("list")
def token_list() -> None:
    """List tokens, newest first, also those that have ended."""
    now = house(_House).now()
    rows = [_row(token, now) for token in _access().list()]
    columns = ("id", "status", "name", "principal", "role", "created_at", "expires_at", "last_used_at")
    table(rows, columns, empty="no tokens")


@token_door.command("rotate")
def token_rotate(
    token_id: TokenId,
    grace: Annotated[
        str | None, typer.Option("--grace", metavar="SPAN", help="How long the old one still counts; default: not.")
    ] = None,
) -> None:
    """Give a token another secret, printed once. Its sessions end."""
    actor, mine = _caller()
    grace_ms = 0 if grace is None else _span_ms(grace, "--grace")
    _show_issued(_access().rotate(actor, token_id, role=mine, grace_ms=grace_ms))


@token_door.command("revoke")
def token_revoke(token_id: TokenId, reason: Reason = "") -> None:
    """Take a token back, for good, with every session that it opened."""
    actor, mine = _caller()
    token = _access().revoke(actor, token_id, role=mine, reason=reason)
    call().wrote()
    answer(_row(token, house(_House).now()), [f"{token.id} revoked"])


def _show_issued(issued: Issued) -> None:
    # Shown before the windows follow: should that fail, the text would be lost.
    token = issued.token
    answer({**_row(token, token.created_ms), "token": issued.text}, [issued.text])
    if not call().as_json:
        note(f"{token.id}: {token.principal}, role {token.role.value}; the text above is not shown again")
    call().wrote()


def _row(token: Token, now_ms: int) -> dict[str, Any]:
    return {
        "id": token.id,
        "status": token.standing(now_ms),
        "name": token.name,
        "principal": str(token.principal),
        "role": token.role.value,
        "created_at": to_text(token.created_ms),
        "created_by": token.created_by,
        "expires_at": _time(token.expires_ms),
        "rotated_at": _time(token.rotated_ms),
        "revoked_at": _time(token.revoked_ms),
        "revoked_by": token.revoked_by,
        "last_used_at": _time(token.last_used_ms),
    }


# --- panic ------------------------------------------------------------------------------------------------------------


@panic_door.command("on")
def panic_on(
    reason: Annotated[str, typer.Option("--reason", help="Why; shown to everybody who is refused.")],
    stop_runs: Annotated[bool, typer.Option("--stop-runs", help="Cancel what runs, too.")] = False,
) -> None:
    """Freeze every verb that begins something, in every room, on every door, on all nodes."""
    actor, mine = _caller()
    panic = _access().raise_panic(actor, role=mine, reason=reason)
    stopped = house(_House).stop_runs(actor, reason=f"panic: {reason}") if stop_runs else []
    call().wrote()
    lines = [_sentence(panic), *(f"{run_id} cancelled" for run_id in stopped)]
    answer({**_shown(panic), "stopped": stopped}, lines)


@panic_door.command("release")
def panic_release(
    reason: Annotated[str, typer.Option("--reason", help="Why things may go on.")],
) -> None:
    """Let everything go on; only a human may."""
    actor, mine = _caller()
    _access().release_panic(actor, role=mine, reason=reason)
    call().wrote()
    answer(_shown(None), ["panic mode is off"])


@panic_door.command("show")
def panic_show() -> None:
    """Say whether panic mode is on, since when, by whom and why."""
    panic = _access().panic()
    answer(_shown(panic), [_sentence(panic) if panic else "panic mode is off"])


def _shown(panic: Panic | None) -> dict[str, Any]:
    return {
        "id": "panic",
        "status": "on" if panic else "off",
        "by": panic.by if panic else None,
        "reason": panic.reason if panic else None,
        "since": to_text(panic.since_ms) if panic else None,
    }


def _sentence(panic: Panic) -> str:
    return f"panic mode is on since {to_text(panic.since_ms)}, raised by {panic.by}: {panic.reason}"


# --- words in and out -------------------------------------------------------------------------------------------------


def _span_ms(text: str, what: str) -> int:
    match = _SPAN.fullmatch(text)
    if match is None:
        raise Invalid(f"{what} is a span such as 90s, 15m, 12h or 30d, not {text[:40]!a}")
    return int(match[1]) * _MS[match[2]]


def _time(ms: int | None) -> str | None:
    return None if ms is None else to_text(ms)
