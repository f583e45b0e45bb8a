"""Typed settings: flag over `INTERLOCK_<SECTION>_<KEY>` over `interlock.toml` over default. An unknown key is an error.

Secrets never stand in the file: `${NAME}` in the database's address is taken from the environment when it is used.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_type_hints
from urllib.parse import urlsplit

from interlock.access.options import AccessOptions
from interlock.alerts.options import AlertOptions
from interlock.approval.models import Limits, Work
from interlock.approval.options import ApprovalOptions
from interlock.kernel.errors import Invalid
from interlock.kernel.words import split_command
from interlock.pipelines.options import PipelineOptions
from interlock.providers.options import ProviderOptions
from interlock.queue.options import QueueOptions
from interlock.runs.options import Namespaces

FILE_NAME = "interlock.toml"
_REFERENCE = re.compile(r"\$\{([A-Z_][A-Z0-9_]*)\}")
_PASSWORD = re.compile(r"//[^:@/]*:([^@/]*)@|[?&](?:ssl)?password=([^&]*)")
"""Where PostgreSQL's library finds passwords in an address; `?` and `#` may be part of one."""
_SEED_VARIABLES = {
    "INTERLOCK_RUNS_ARCHIVE_AFTER_SECONDS": ("OPS_RUN_TTL", "ORCH_OPS_RUN_TTL"),
    "INTERLOCK_SERVER_PORT": ("ORCH_PORT",),
    "INTERLOCK_WINDOWS_OPS_FOLDER": ("OPS_DATA_DIR", "ORCH_OPS_DATA_DIR"),
}
"""Other names of ours that seed 4 gives; ours wins."""
_MAY_BE_ZERO = {
    "approval_seconds",
    "archive_after_seconds",
    "backoff_seconds",
    "expires_after_seconds",
    "grace_seconds",
    "heartbeat_minutes",
    "run_seconds",
}
_LAST_PORT = 65_535
_MOST = 2**53 - 1
_MOST_SECONDS = 366 * 24 * 3600
Section = TypeVar("Section")


class SettingsInvalid(Invalid):
    """The settings are not right."""

    code = "settings_invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """Section `[database]`."""

    url: str = ""
    """`postgresql://…`; empty for the SQLite file in the workspace's state folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalSettings:
    """Section `[approval]`."""

    expires_after_seconds: int = 7 * 24 * 3600
    """How long runs may start from an approved record; 0 for ever."""
    max_text_bytes: int = 2 * 1024 * 1024
    """The largest prompt, content or context."""
    four_eyes: bool = False
    """Whether who wrote a draft, or a part of it, may not approve it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """Section `[agent]`: what a draft without a command of its own gets, frozen in when it is approved."""

    command: str = ""
    """Split like a shell would, run without one."""
    repository: str = ""
    base: str = ""
    checks: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """Section `[worker]`."""

    concurrency: int = 2
    """How many runs one worker carries out at the same time."""
    namespaces: Namespaces = "auto"
    """`auto` contains agents as well as the machine can, `require` refuses where it can not; `never` is for tests."""
    visible: tuple[str, ...] = ()
    """Absolute paths that agents see, read-only, although they lie in `/tmp` or another folder that is a run's own."""
    grace_seconds: int = 10
    """How long an agent has between the request to stop and the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """Section `[runs]`."""

    archive_after_seconds: int = 7 * 24 * 3600
    """When log and steps of a run that has ended go into the archive; 0 for never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """Section `[loops]`."""

    interval_seconds: int = 30
    """How soon at the earliest the supervisor looks again at a loop whose files do not change."""
    most_seconds: int = 30
    """How long a reconcile may take before other loops stop waiting for it."""
    at_once: int = 2
    """How many loops are reconciled at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Section `[server]`."""

    host: str = "127.0.0.1"
    port: int = 9325
    names: tuple[str, ...] = ()
    """Under which names clients reach MCP, besides this machine's own."""
    ops: bool = True
    """Whether `/ops/*` answers; else it is switched off (501) and everything else goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowSettings:
    """Section `[windows]`."""

    ops_folder: str = ".orch_data/ops"
    """Where plan, drafts, approved records and runs are shown as files; below the workspace, or an absolute path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set."""

    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    approval: ApprovalSettings = field(default_factory=ApprovalSettings)
    queue: QueueOptions = field(default_factory=QueueOptions)
    agent: AgentSettings = field(default_factory=AgentSettings)
    limits: Limits = field(default_factory=Limits)
    access: AccessOptions = field(default_factory=AccessOptions)
    runs: RunSettings = field(default_factory=RunSettings)
    loops: LoopSettings = field(default_factory=LoopSettings)
    alerts: AlertOptions = field(default_factory=AlertOptions)
    server: ServerSettings = field(default_factory=ServerSettings)
    windows: WindowSettings = field(default_factory=WindowSettings)
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    providers: ProviderOptions = field(default_factory=ProviderOptions)
    pipelines: PipelineOptions = field(default_factory=PipelineOptions)

    def approval_options(self) -> ApprovalOptions:
        """Return what the approval room wants to know."""
        command = split_command(self.agent.command, "agent.command") if self.agent.command else None
        return ApprovalOptions(
            expires_after_seconds=self.approval.expires_after_seconds or None,
            max_text_bytes=self.approval.max_text_bytes,
            four_eyes=self.approval.four_eyes,
            defaults=Work(
                command=command,
                repository=self.agent.repository or None,
                base_ref=self.agent.base or None,
                checks=tuple(split_command(check, "agent.checks") for check in self.agent.checks),
                environment=self.agent.environment,
                limits=self.limits,
            ),
        )

    def database_url(self) -> str:
        """Return the database's address with its references resolved; empty for SQLite."""
        return _REFERENCE.sub(_from_environment, self.database.url)


def checked_address(url: str, where: str) -> None:
    """Refuse a database address that is none, or that holds a password: settings are readable by others."""
    _check_scheme(url, where)
    for password in (part for found in _PASSWORD.findall(url) for part in found if part):
        if not _REFERENCE.fullmatch(password):
            raise SettingsInvalid(
                f"{where} holds a password, which others could read in {FILE_NAME}",
                hint="write ${NAME} in its place and set NAME, or use PostgreSQL's password file (~/.pgpass)",
            )


def resolved_address(url: str, where: str) -> str:
    """Return a database address with its `${NAME}` references resolved; raises `SettingsInvalid`."""
    checked_address(url, where)
    return _REFERENCE.sub(_from_environment, url)


def load(folder: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read a workspace's settings; raises `SettingsInvalid`, naming file and key."""
    path = folder / FILE_NAME
    data: dict[str, Any] = {}
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        pass
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsInvalid(
            f"{path}: {error}", hint="mend the line, or move the file away for the defaults"
        ) from None
    except OSError as error:
        raise SettingsInvalid(f"{path} can not be read: {error.strerror}") from None
    settings = Settings()
    known = {each.name for each in fields(Settings)}
    for name, values in data.items():
        if name not in known or not isinstance(values, dict):
            raise SettingsInvalid(f"{path}: there is no section [{name}]; there are {', '.join(sorted(known))}")
    for name in sorted(known):
        values = cast("dict[str, Any]", data.get(name, {}))
        found = _section(
            getattr(settings, name), name, values, os.environ if environment is None else environment, path
        )
        settings = replace(settings, **{name: found})
    return settings


def for_init(folder: Path, database_url: str, *, replacing: bool) -> Settings:
    """Read what is there, for `interlock init --database`; raises `SettingsInvalid` if another database is named."""
    settings, path = load(folder), folder / FILE_NAME
    if not database_url:
        return settings
    checked_address(database_url, "--database")
    if settings.database.url == database_url:
        return settings
    if settings.database.url or (path.exists() and not replacing):
        raise SettingsInvalid(
            f"{path} (or INTERLOCK_DATABASE_URL) names another database than --database",
            hint="write the one you mean as [database] url in that file, and leave --database out",
        )
    return replace(settings, database=DatabaseSettings(url=database_url))


def _section(
    default: Section, name: str, values: dict[str, Any], environment: Mapping[str, str], path: Path
) -> Section:
    hints = get_type_hints(type(default))
    unknown = sorted(values.keys() - hints.keys())
    if unknown:
        raise SettingsInvalid(f"{path}: [{name}] has no {unknown[0]}; it has {', '.join(sorted(hints))}")
    changes: dict[str, Any] = {}
    for key, hint in hints.items():
        ours = f"INTERLOCK_{name}_{key}".upper()
        variable = next((each for each in (ours, *_SEED_VARIABLES.get(ours, ())) if each in environment), None)
        if variable is not None:
            changes[key] = _from_text(environment[variable], hint, variable)
            _check(key, changes[key], variable)
        elif key in values:
            where = f"{path}: [{name}] {key}"
            changes[key] = _checked(values[key], hint, where)
            _check(key, changes[key], where)
            if key == "url" and values[key]:
                checked_address(values[key], where)
    return replace(cast("Any", default), **changes)


def _check(key: str, value: Any, where: str) -> None:  # noqa: ANN401 - a setting of any type
    """Refuse a value that has the right type and can not be used."""
    least, most = int(key not in _MAY_BE_ZERO), _most(key)
    items = cast("tuple[Any, ...]", value) if isinstance(value, tuple) else (value,)
    for item in items:
        if isinstance(item, int) and not least <= item <= most:
            raise SettingsInvalid(f"{where} should be from {least} to {most}, not {item}")
        if key == "checks" or (key == "command" and item):
            split_command(cast("str", item), where)
        if key == "visible" and not str(item).startswith("/"):
            raise SettingsInvalid(f"{where} takes absolute paths, not {item!r}")
    if key in {"ops_folder", "host"} and items == ("",):
        raise SettingsInvalid(f"{where} should not be empty")
    if key == "url" and value:
        _check_scheme(cast("str", value), where)
    if key == "environment":
        try:
            Work(environment=items)
        except Invalid as error:
            raise SettingsInvalid(f"{where}: {error.message}") from None


def _most(key: str) -> int:
    if key.endswith("_seconds"):
        return _MOST_SECONDS
    return _LAST_PORT if key == "port" else _MOST


def _check_scheme(url: str, where: str) -> None:
    try:
        urlsplit(url)
    except ValueError:
        url = ""
    if not url.startswith(("postgresql://", "postgres://")):
        raise SettingsInvalid(f"{where} should be a postgresql://… address")


def _checked(value: Any, hint: Any, where: str) -> Any:  # noqa: ANN401 - TOML holds anything
    if (hint in (int, str, bool) and type(value) is hint) or value in get_args(hint):
        return value
    items = cast("list[Any]", value) if isinstance(value, list) else None
    if hint == tuple[str, ...] and items is not None and all(isinstance(item, str) for item in items):
        return tuple(items)
    if hint == tuple[int, ...] and items and all(type(item) is int for item in items):
        return tuple(items)
    raise SettingsInvalid(f"{where} should be {_name(hint)}, not {value!r}")


def _from_text(text: str, hint: Any, where: str) -> Any:  # noqa: ANN401 - one reader for every type of setting
    try:
        if hint is int:
            return int(text)
        if hint is bool:
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        if hint == tuple[int, ...]:
            return tuple(int(part) for part in text.split(","))
    except (ValueError, KeyError):
        raise SettingsInvalid(f"{where} should be {_name(hint)}, not {text!r}") from None
    return tuple(part for part in text.split(",") if part) if hint == tuple[str, ...] else _checked(text, hint, where)


def _name(hint: Any) -> str:  # noqa: ANN401 - a type
    names = {
        int: "a whole number",
        str: "a text",
        bool: "true or false",
        tuple[str, ...]: "a list of texts",
        tuple[int, ...]: "a list of whole numbers",
        Namespaces: f"one of {', '.join(get_args(Namespaces))}",
    }
    return names[hint]


def _from_environment(match: re.Match[str]) -> str:
    value = os.environ.get(match[1])
    if value is None:
        raise SettingsInvalid(f"[database] url refers to ${{{match[1]}}}, which is not set")
    return value
