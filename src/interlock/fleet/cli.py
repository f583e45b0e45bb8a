"""The command-line doors of the fleet: `interlock node`, `interlock config`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol, cast

import typer

from interlock.access.models import Actor
from interlock.doors.cli import answer, call, house, table
from interlock.fleet.models import Leader, Node, Published
from interlock.fleet.shown import difference, show_node, show_published
from interlock.kernel.errors import Invalid

node_door = typer.Typer(
    help="Nodes: the machines that share this database's work.", no_args_is_help=True, add_completion=False
)
config_door = typer.Typer(
    help="The configuration that all nodes follow, version by version.", no_args_is_help=True, add_completion=False
)

_COLUMNS = ("id", "status", "name", "host", "held", "labels", "config_version", "heartbeat_at", "notice")

Named = Annotated[str, typer.Argument(metavar="ID", help="The node's id or its name.")]
Why = Annotated[str, typer.Option("--reason", help="Why; whoever wonders reads it.")]


class _Fleet(Protocol):
    def list(self) -> Sequence[Node]: ...

    def find(self, named: str) -> Node: ...

    def leaders(self) -> Sequence[Leader]: ...

    def newest_version(self) -> int: ...

    def drain(self, actor: Actor, node_id: str, *, reason: str) -> Node: ...

    def quarantine(self, actor: Actor, node_id: str, *, reason: str) -> Node: ...

    def resume(self, actor: Actor, node_id: str, *, reason: str = "") -> Node: ...

    def forget(self, actor: Actor, node_id: str, *, reason: str = "") -> Node: ...


class _House(Protocol):
    @property
    def fleet(self) -> _Fleet: ...


def _fleet() -> _Fleet:
    return house(_House).fleet


def _row(node: Node) -> dict[str, Any]:
    return show_node(node, _fleet().newest_version())


@node_door.command("list")
def list_nodes() -> None:
    """List nodes: how each is, what it holds, and which configuration it follows."""
    newest = _fleet().newest_version()
    table([show_node(each, newest) for each in _fleet().list()], _COLUMNS, empty="no node has joined yet")


@node_door.command("show")
def show(named: Named) -> None:
    """Show a node, what it can do, and what it leads."""
    node = _fleet().find(named)
    leading = [each.role for each in _fleet().leaders() if _is_on(each, node)]
    data = {**_row(node), "host_leads": leading}
    lines = [f"{data['id']}: {data['status']}"]
    lines += [f"  {name}: {_words(value)}" for name, value in data.items() if name not in {"id", "status"} and value]
    answer(data, lines)


def _words(value: Any) -> str:  # noqa: ANN401 - a part of an answer
    return ", ".join(map(str, cast("list[Any]", value))) if isinstance(value, list) else str(value)


def _is_on(leader: Leader, node: Node) -> bool:
    return (leader.process.host, leader.process.boot_id) == (node.facts.host, node.facts.boot_id)


@node_door.command("drain")
def drain(named: Named, reason: Why) -> None:
    """Let a node take nothing new, and finish what it has."""
    node = _fleet().drain(call().actor(), _fleet().find(named).id, reason=reason)
    _answer(node, "takes nothing new")


@node_door.command("quarantine")
def quarantine(named: Named, reason: Why) -> None:
    """Trust a node no more: it takes nothing, and gives back what it has."""
    node = _fleet().quarantine(call().actor(), _fleet().find(named).id, reason=reason)
    _answer(node, "is in quarantine")


@node_door.command("resume")
def resume(named: Named, reason: Annotated[str, typer.Option("--reason", help="Why it may go on.")] = "") -> None:
    """Let a node take work again."""
    node = _fleet().resume(call().actor(), _fleet().find(named).id, reason=reason)
    _answer(node, "takes work again")


@node_door.command("forget")
def forget(named: Named, reason: Annotated[str, typer.Option("--reason", help="Why.")] = "") -> None:
    """List a node no more that is gone; if it comes back, it joins anew."""
    node = _fleet().forget(call().actor(), _fleet().find(named).id, reason=reason)
    call().wrote()
    answer({**_row(node), "status": "forgotten"}, [f"{node.id} is forgotten"])


def _answer(node: Node, said: str) -> None:
    call().wrote()
    answer(_row(node), [f"{node.id} {said}"])


# --- the configuration of all ----------------------------------------------------------------------------------------

Version = Annotated[int, typer.Argument(metavar="VERSION", min=1)]


class _Configs(Protocol):
    def publish(self, actor: Actor, body: str, *, reason: str = "") -> Published: ...

    def newest(self) -> Published | None: ...

    def config(self, version: int) -> Published: ...

    def configs(self, *, limit: int = 100) -> Sequence[Published]: ...


class _ConfigHouse(Protocol):
    @property
    def fleet(self) -> _Configs: ...

    def settings_shown(self) -> list[dict[str, Any]]: ...


@config_door.command("publish")
def publish(
    file: Annotated[str, typer.Argument(metavar="FILE", help="TOML as in interlock.toml; `-` for standard input.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; whoever wonders reads it.")] = "",
) -> None:
    """Let all nodes follow a configuration from their next heartbeat on; only a human may."""
    actor = call().actor()
    published = house(_ConfigHouse).fleet.publish(actor, _text(file), reason=reason)
    call().wrote()
    answer(show_published(published, body=False), [f"version {published.version} is published: {published.digest}"])


def _text(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise Invalid(f"{file} is no UTF-8 text") from None
    except OSError as error:
        raise Invalid(f"{file} can not be read: {error.strerror}") from None


@config_door.command("show")
def show_config(
    origin: Annotated[bool, typer.Option("--origin", help="Show every setting here, and where it comes from.")] = False,
) -> None:
    """Show what is published; or what holds on this machine, and why."""
    if origin:
        items = house(_ConfigHouse).settings_shown()
        lines = [f"{each['section']}.{each['key']} = {each['value']}  # {each['origin']}" for each in items]
        answer({"id": "config", "status": "shown", "items": items}, lines)
        return
    newest = house(_ConfigHouse).fleet.newest()
    if newest is None:
        answer({"id": "config", "status": "none", "version": 0}, ["nothing is published: each node follows its own"])
        return
    answer(show_published(newest, body=True), [f"# version {newest.version}, by {newest.published_by}", newest.body])


@config_door.command("history")
def history(
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")] = 100,
) -> None:
    """List the versions, the newest first."""
    rows = [show_published(each, body=False) for each in house(_ConfigHouse).fleet.configs(limit=limit)]
    table(rows, ("version", "at", "by", "digest", "reason"), empty="nothing is published")


@config_door.command("diff")
def diff(before: Version, after: Version) -> None:
    """Show how two versions differ."""
    fleet = house(_ConfigHouse).fleet
    lines = difference(fleet.config(before), fleet.config(after))
    answer(
        {"id": f"{before}..{after}", "status": "different" if lines else "same", "lines": lines},
        lines or ["no difference"],
    )
