"""The command-line door of providers: `interlock provider`. A key never stands on the command line."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Protocol, cast

import typer

from interlock.doors.cli import answer, call, house, note, table
from interlock.kernel.errors import Invalid
from interlock.providers.errors import ConfigurationInvalid, ProviderUnreachable
from interlock.providers.merging import MAX_BYTES, decoded
from interlock.providers.models import Condition, ProviderType, Stored
from interlock.providers.service import Providers

door = typer.Typer(
    help="Providers: the models that write drafts, and their keys.", no_args_is_help=True, add_completion=False
)

_SAID_BY_SHOW = ("id", "status", "version", "warnings")


class _House(Protocol):
    @property
    def providers(self) -> Providers: ...


def _providers() -> Providers:
    return house(_House).providers


@door.command("show")
def show() -> None:
    """Show the providers; of a key, only where it comes from."""
    _show(_providers().show())


@door.command("set")
def set_(
    file: Annotated[
        str | None, typer.Option("--file", help="A JSON file of what is to change; - reads standard input.")
    ] = None,
    active: Annotated[str | None, typer.Option("--active", help="The provider that is asked.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="The provider to add or change.")] = None,
    kind: Annotated[ProviderType | None, typer.Option("--type", help="Its protocol.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Its model.")] = None,
    base_url: Annotated[
        str | None, typer.Option("--base-url", help="Its address; empty for the protocol's own home.")
    ] = None,
    api_key_env: Annotated[
        str | None, typer.Option("--api-key-env", help="Name of the environment variable that holds its key.")
    ] = None,
    no_api_key: Annotated[bool, typer.Option("--no-api-key", help="It needs no key.")] = False,
    remove: Annotated[str | None, typer.Option("--remove", help="The provider to take away.")] = None,
    version: Annotated[
        str | None, typer.Option("--version", help="The version you looked at; another is refused.")
    ] = None,
) -> None:
    """Change the providers; what is not named stays. Only a human may."""
    entry = _entry(kind, model, base_url, api_key_env, no_api_key=no_api_key)
    if file is not None and (active, name, remove) != (None, None, None):
        raise Invalid("--file says everything; it excludes --active, --name and --remove")
    if bool(entry) != (name is not None):
        raise Invalid("--name goes with what is to be said of that provider: --type, --model, --base-url, a key")
    if file is not None:
        body = _read(file)
    else:
        seen = _providers().show()
        version = version or seen.version  # what is not named is to stay as it is now
        body = _body(seen, active, name, entry, remove)
    stored = _providers().set(call().actor(), body, seen_version=version)
    call().wrote()
    _show(stored)


@door.command("check")
def check() -> None:
    """Ask every provider how it is; exit 5 if the active one is down."""
    found = _providers().health()
    table([each.shown() for each in found], ("id", "status", "latency_ms", "reason", "detail"), empty="no providers")
    for each in found:
        if each.active and each.status is Condition.DOWN:
            raise ProviderUnreachable(each.detail, reason=each.reason)


def _entry(
    kind: ProviderType | None, model: str | None, base_url: str | None, api_key_env: str | None, *, no_api_key: bool
) -> dict[str, Any]:
    if api_key_env is not None and no_api_key:
        raise Invalid("--api-key-env and --no-api-key exclude each other")
    entry: dict[str, Any] = {}
    if kind is not None:
        entry["type"] = kind.value
    if model is not None:
        entry["model"] = model
    if base_url is not None:
        entry["base_url"] = base_url or None
    if api_key_env is not None:
        if not api_key_env.isidentifier():
            raise Invalid("--api-key-env takes the name of a variable, not a key", hint="export NAME=… and give NAME")
        entry["api_key"] = f"${{{api_key_env}}}"
    if no_api_key:
        entry["api_key"] = None
    return entry


def _body(
    seen: Stored, active: str | None, name: str | None, entry: Mapping[str, Any], remove: str | None
) -> dict[str, Any]:
    if (active, name, remove) == (None, None, None):
        raise Invalid("nothing is to be changed", hint="give --active, --name, --remove or --file")
    providers = cast("dict[str, dict[str, Any]]", dict(cast("Mapping[str, Any]", seen.config.shown()["providers"])))
    if remove is not None and providers.pop(remove, None) is None:
        raise Invalid(f"there is no provider {remove[:64]!a} to take away")
    if name is not None:
        providers[name] = dict(entry)
    body: dict[str, Any] = {"providers": providers}
    return body if active is None else {**body, "active": active}


def _read(file: str) -> dict[str, Any]:
    try:
        if file == "-":
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(file).open("rb") as opened:
                data = opened.read(MAX_BYTES + 1)
        found = decoded(data)
    except OSError as error:
        raise Invalid(f"{file} can not be read: {error.strerror}") from None
    except ConfigurationInvalid as error:
        raise ConfigurationInvalid(f"{file}: {error.message}") from None
    if not isinstance(found, dict):
        raise ConfigurationInvalid(f"{file} should hold a JSON object")
    body = cast("dict[str, Any]", found)
    return {key: value for key, value in body.items() if key not in _SAID_BY_SHOW}


def _show(stored: Stored) -> None:
    for warning in stored.warnings:
        note(f"warning: {warning}")
    shown = stored.config.shown()
    data = {"id": "provider", "status": "ok", "version": stored.version, **shown, "warnings": list(stored.warnings)}
    lines = [f"version {stored.version}"]
    for name, entry in stored.config.providers.items():
        lines += [
            f"{'*' if name == stored.config.active else ' '} {name}",
            f"    type      {entry.type.value}",
            f"    model     {entry.model}",
            f"    address   {entry.address}",
            f"    key       {entry.shown()['api_key'] or 'none'}",
        ]
    answer(data, lines)
