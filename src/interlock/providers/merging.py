"""What stands in `provider.json`, and what a change makes of it. Pure; no sentence of it shows a key."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, cast
from urllib.parse import urlsplit

from interlock.providers.addresses import checked_base_url
from interlock.providers.errors import ConfigurationInvalid
from interlock.providers.models import HIDDEN, REFERENCE, ProviderConfig, ProviderEntry, ProviderType
from interlock.providers.secrets import is_key

MAX_BYTES = 64 * 1024
MOST_PROVIDERS = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MODEL = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}")
_OURS = ("ORCH_", "INTERLOCK_")
_ENTRY_KEYS = ("type", "model", "base_url", "api_key")
_NONE: Mapping[str, ProviderEntry] = {}


def parsed(data: bytes) -> ProviderConfig:
    """Read a configuration; raises `ConfigurationInvalid`, which names the place and shows no key."""
    return merged(None, decoded(data))


def decoded(data: bytes) -> Any:  # noqa: ANN401 - JSON of any shape
    """Decode JSON in which no key stands twice; raises `ConfigurationInvalid`."""
    if len(data) > MAX_BYTES:
        raise ConfigurationInvalid(f"it is larger than {MAX_BYTES} bytes")
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise ConfigurationInvalid(f"not JSON: {error}") from None
    except (ValueError, RecursionError) as error:
        told = str(error) if isinstance(error, _Twice) else "not UTF-8 text, or nested too deeply"
        raise ConfigurationInvalid(told) from None


def merged(before: ProviderConfig | None, body: Any) -> ProviderConfig:  # noqa: ANN401 - JSON of any shape
    """Return the configuration that `body` makes of what was there.

    What it leaves out stays; `providers`, where it is given, names all of them. Of a provider that was there, a key
    that is left out or hidden stays too; null takes it away.
    """
    given = _mapping(body, "the configuration", ("active", "providers"))
    old = before.providers if before else _NONE
    providers = dict(old)
    if "providers" in given or before is None:
        entries = _mapping(given.get("providers"), "providers", None)
        if not 0 < len(entries) <= MOST_PROVIDERS:
            raise ConfigurationInvalid(f"providers should name 1 to {MOST_PROVIDERS} providers")
        providers = {_name(name): _entry(name, entry, old.get(name)) for name, entry in entries.items()}
    active = given.get("active", before.active if before else None)
    if not isinstance(active, str) or active not in providers:
        shown = ascii(active)[:80] if isinstance(active, str) else "nothing"
        raise ConfigurationInvalid(f"active names {shown}; there are {', '.join(sorted(providers))}")
    return ProviderConfig(active=active, providers=providers)


def _entry(name: str, given: Any, old: ProviderEntry | None) -> ProviderEntry:  # noqa: ANN401 - JSON of any shape
    where = f"providers.{name}"
    entry = _mapping(given, where, _ENTRY_KEYS)
    kind = _type(entry["type"], where) if "type" in entry else old.type if old else None
    model = entry.get("model", old.model if old else None)
    if kind is None:
        raise ConfigurationInvalid(
            f"{where} has no type; it is one of {', '.join(each.value for each in ProviderType)}"
        )
    if not isinstance(model, str) or not _MODEL.fullmatch(model):
        raise ConfigurationInvalid(f"{where}.model should be the name of a model")
    same_kind = old is not None and old.type is kind
    base_url = entry.get("base_url", old.base_url if old and same_kind else None)
    if base_url is not None:
        if not isinstance(base_url, str):
            raise ConfigurationInvalid(f"{where}.base_url should be a text or null")
        checked_base_url(base_url, f"{where}.base_url")
    after = ProviderEntry(type=kind, model=model, base_url=base_url)
    return ProviderEntry(type=kind, model=model, base_url=base_url, api_key=_api_key(entry, where, old, after))


def _api_key(entry: Mapping[str, Any], where: str, old: ProviderEntry | None, after: ProviderEntry) -> str | None:
    key = entry.get("api_key", HIDDEN if old and old.api_key is not None else None)
    if key is None:
        return None
    if not isinstance(key, str):
        raise ConfigurationInvalid(f"{where}.api_key should be a text or null")
    if key == HIDDEN:
        return _kept_key(where, old, after)
    reference = REFERENCE.fullmatch(key)
    if reference is not None and reference[1].startswith(_OURS):
        raise ConfigurationInvalid(f"{where}.api_key refers to {reference[1]}, which is Interlock's own")
    if reference is None and (key.startswith("$") or not is_key(key)):
        raise ConfigurationInvalid(
            f"{where}.api_key is neither ${{NAME}} (A-Z, 0-9 and _) nor a key of plain characters without spaces"
        )
    return key


def _kept_key(where: str, old: ProviderEntry | None, after: ProviderEntry) -> str:
    if old is None or old.api_key is None:
        raise ConfigurationInvalid(
            f"{where}.api_key is {HIDDEN}, which stands for the key that is there, and none is",
            hint="give the key as ${NAME}, or null",
        )
    if _origin(old.address) != _origin(after.address):
        # Whoever may set an address, and not see a key, could else have the key sent to an address of theirs.
        raise ConfigurationInvalid(
            f"{where} would be at another address, and its key is not sent there unasked",
            hint="give api_key anew, as ${NAME}, or null",
        )
    return old.api_key


def _type(text: Any, where: str) -> ProviderType:  # noqa: ANN401 - JSON of any shape
    try:
        return ProviderType(text)
    except ValueError:
        known = ", ".join(each.value for each in ProviderType)
        raise ConfigurationInvalid(f"{where}.type is {ascii(text)[:40]}; it is one of {known}") from None


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ConfigurationInvalid(f"{name[:64]!a} is no name for a provider: 1 to 64 letters, digits and . _ - inside")
    return name


def _mapping(found: Any, where: str, known: tuple[str, ...] | None) -> Mapping[str, Any]:  # noqa: ANN401 - JSON of any shape
    if not isinstance(found, dict):
        raise ConfigurationInvalid(f"{where} should be a JSON object")
    entries = cast("dict[str, Any]", found)
    unknown = sorted(set(entries) - set(known)) if known is not None else []
    if known is not None and unknown:
        shown = ", ".join(ascii(each[:40]) for each in unknown[:5])
        raise ConfigurationInvalid(f"{where} has the unknown {shown}; it has {', '.join(known)}")
    return entries


class _Twice(ValueError):
    """A key stands twice in one object."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Twice("a key stands twice in one object")
    return found


def _origin(address: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(address)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}[parts.scheme]


def as_file(config: ProviderConfig) -> bytes:
    """Return the file, keys included."""
    whole = {
        "active": config.active,
        "providers": {name: {**entry.shown(), "api_key": entry.api_key} for name, entry in config.providers.items()},
    }
    return (json.dumps(whole, indent=2) + "\n").encode()


def changes(before: ProviderConfig | None, after: ProviderConfig) -> list[str]:
    """Name what is another; a key that stands in the file is compared, and never told."""
    old = before.providers if before else _NONE
    found = [] if before and before.active == after.active else ["active"]
    for name in sorted({*old, *after.providers}):
        was, now = old.get(name), after.providers.get(name)
        if was is None or now is None:
            found.append(f"providers.{name}")
        else:
            found += [f"providers.{name}.{key}" for key in _ENTRY_KEYS if getattr(was, key) != getattr(now, key)]
    return found


def literal(config: ProviderConfig) -> list[str]:
    """List the providers whose key stands in the file."""
    return [name for name, entry in config.providers.items() if entry.api_key is not None and entry.reference is None]


def warnings(config: ProviderConfig) -> tuple[str, ...]:
    """Return what the configuration's owner should hear of, as sentences."""
    told = [
        f"the key of {name} stands in the file, where every process of this user can read it; write ${{NAME}} instead"
        for name in literal(config)
    ]
    told += [
        f"{name} sends its key unencrypted to {urlsplit(entry.address).hostname}"
        for name, entry in config.providers.items()
        if entry.api_key is not None and entry.address.startswith("http:") and not _is_here(entry.address)
    ]
    return tuple(told)


def _is_here(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
