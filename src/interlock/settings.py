"""Typed settings: flag over `INTERLOCK_<SECTION>_<KEY>` over `interlock.toml` over default. An unknown key is an error.

Secrets never stand in the file: `${NAME}` in the database's address is taken from the environment when it is used.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args, get_type_hints
from urllib.parse import urlsplit

from interlock.access.options import AccessOptions
from interlock.alerts.options import AlertOptions
from interlock.approval.models import Limits, Rung, Work
from interlock.approval.options import ApprovalOptions
from interlock.fleet.models import checked_labels, node_name
from interlock.fleet.options import FleetOptions, NodeOptions
from interlock.kernel.errors import Invalid
from interlock.kernel.words import MalformedCommand, split_command
from interlock.pipelines.options import PipelineOptions
from interlock.providers.options import ProviderOptions
from interlock.queue.options import QueueOptions
from interlock.runs.options import Namespaces, Policy, TruthOptions

FILE_NAME = "interlock.toml"
PUBLISHED_NAME = "published.toml"
"""In the state folder: the configuration of all nodes, as this one has taken it over."""
LOCAL_SECTIONS = frozenset({"database", "node", "windows"})
LOCAL_KEYS = frozenset({("server", "host"), ("server", "port")})
"""What each node says for itself, and can not be published for all."""
_FOLLOWED = re.compile(r"# interlock configuration ([1-9][0-9]{0,15}) sha256:([0-9a-f]{64})")
_REFERENCE = re.compile(r"\$\{([A-Z_][A-Z0-9_]*)\}")
_DATABASE = re.compile(r"\s*\[\s*database\s*\]\s*(?:#.*)?$")
_URL = re.compile(r"\s*url\s*=")
_PASSWORD = re.compile(r"//[^:@/]*:([^@/]*)@|[?&](?:ssl)?password=([^&]*)")
"""Where PostgreSQL's library finds passwords in an address; `?` and `#` may be part of one."""
_SEED_VARIABLES = {
    "INTERLOCK_RUNS_ARCHIVE_AFTER_SECONDS": ("OPS_RUN_TTL", "ORCH_OPS_RUN_TTL"),
    "INTERLOCK_SERVER_PORT": ("ORCH_PORT",),
    "INTERLOCK_WINDOWS_OPS_FOLDER": ("OPS_DATA_DIR", "ORCH_OPS_DATA_DIR"),
}
"""Other names of ours that seed 4 gives; ours wins."""
_MAY_BE_ZERO = {
    "ageing_seconds",
    "approval_seconds",
    "archive_after_seconds",
    "backoff_seconds",
    "cost_microusd",
    "evidence_seconds",
    "expires_after_seconds",
    "grace_seconds",
    "heartbeat_minutes",
    "run_seconds",
    "tokens",
}
_LAST_PORT = 65_535
_MOST = 2**53 - 1
_MOST_SECONDS = 366 * 24 * 3600
_MOST_TOLD = 80
Section = TypeVar("Section")
Engine = Literal["local", "temporal"]
RungName = Literal["self_reported", "exit_code", "checked", "ci"]


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
    adapter: str = "command"
    """Whose output the command prints; without a command, the agent for which one is written (`runs/agents/`)."""
    model: str = ""
    """The model that such an agent is told to use; empty for its own default."""
    tools: tuple[str, ...] = ()
    """What such an agent may use without asking, in its own words; empty for what its adapter allows as a rule."""
    needs: tuple[str, ...] = ()
    """Labels and capabilities that a node must have to take the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """Section `[worker]`."""

    concurrency: int = 2
    """How many runs one worker carries out at the same time."""
    engine: Engine = "local"
    """What makes runs go in a worker's process; workers of both kinds may share one queue."""
    namespaces: Namespaces = "auto"
    """`auto` contains agents as well as the machine can, `require` refuses where it can not; `never` is for tests."""
    visible: tuple[str, ...] = ()
    """Absolute paths that agents see, read-only, although they lie in `/tmp` or another folder that is a run's own."""
    grace_seconds: int = 10
    """How long an agent has between the request to stop and the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemporalSettings:
    """Section `[temporal]`: where the engine `temporal` finds its server. Secrets lie in files of their own."""

    address: str = "127.0.0.1:7233"
    namespace: str = "default"
    task_queue: str = ""
    """Shared by all workers over one database and by nobody else; empty for one that is named after its log."""
    tls: bool = False
    tls_ca_file: str = ""
    tls_certificate_file: str = ""
    tls_key_file: str = ""
    api_key_file: str = ""
    lease_seconds: int = 600
    """How long a run stays claimed while no step of it is at work: so long Temporal may be away."""
    heartbeat_seconds: int = 10
    """After how long without a sign of life Temporal takes a step's process to be gone."""
    take_up_seconds: int = 10
    """After how long a step that nobody takes up is given to others."""
    sweep_seconds: int = 5
    """How often claims and workflows are held against each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """Section `[runs]`."""

    archive_after_seconds: int = 7 * 24 * 3600
    """When log and steps of a run that has ended go into the archive; 0 for never."""
    rung: RungName = "exit_code"
    """The least evidence of being done that is accepted; work may ask for more."""


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
    truth: TruthOptions = field(default_factory=TruthOptions)
    loops: LoopSettings = field(default_factory=LoopSettings)
    alerts: AlertOptions = field(default_factory=AlertOptions)
    server: ServerSettings = field(default_factory=ServerSettings)
    windows: WindowSettings = field(default_factory=WindowSettings)
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    temporal: TemporalSettings = field(default_factory=TemporalSettings)
    providers: ProviderOptions = field(default_factory=ProviderOptions)
    pipelines: PipelineOptions = field(default_factory=PipelineOptions)
    node: NodeOptions = field(default_factory=NodeOptions)
    fleet: FleetOptions = field(default_factory=FleetOptions)

    def approval_options(self) -> ApprovalOptions:
        """Return what the approval room wants to know."""
        command = split_command(self.agent.command, "agent.command") if self.agent.command else None
        return ApprovalOptions(
            expires_after_seconds=self.approval.expires_after_seconds or None,
            max_text_bytes=self.approval.max_text_bytes,
            four_eyes=self.approval.four_eyes,
            rung=Rung(self.runs.rung),
            defaults=Work(
                command=command,
                repository=self.agent.repository or None,
                base_ref=self.agent.base or None,
                checks=tuple(split_command(check, "agent.checks") for check in self.agent.checks),
                environment=self.agent.environment,
                limits=self.limits,
                agent=self.agent.adapter,
                needs=self.agent.needs,
                model=self.agent.model or None,
                tools=self.agent.tools,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """The published configuration that this node follows."""

    version: int = 0
    """0 for none."""
    digest: str = ""
    body: str = ""


def load(folder: Path, environment: Mapping[str, str] | None = None, *, followed: Followed | None = None) -> Settings:
    """Read a workspace's settings; raises `SettingsInvalid`, naming file and key.

    Below its own file stands what was published for all nodes: as this one has taken it over, or as `followed` says.
    """
    followed = load_followed(folder) if followed is None else followed
    settings = _laid(Settings(), parsed(followed.body, _published(folder)), {}, _published(folder))
    return _laid(settings, _own(folder), os.environ if environment is None else environment, folder / FILE_NAME)


def _own(folder: Path) -> dict[str, Any]:
    path = folder / FILE_NAME
    try:
        return parsed(path.read_text(encoding="utf-8"), path)
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise SettingsInvalid(
            f"{path}: {error}", hint="mend the line, or move the file away for the defaults"
        ) from None
    except OSError as error:
        raise SettingsInvalid(f"{path} can not be read: {error.strerror}") from None


def parsed(text: str, path: Path) -> dict[str, Any]:
    """Read settings as TOML, known sections only; raises `SettingsInvalid`."""
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        told = (
            str(error)
            if isinstance(error, tomllib.TOMLDecodeError)
            else "a number is too long, or it is nested too deeply"
        )
        raise SettingsInvalid(f"{path}: {told}", hint="mend the line, or move the file away for the defaults") from None
    known = {each.name for each in fields(Settings)}
    for name, values in data.items():
        if name not in known or not isinstance(values, dict):
            raise SettingsInvalid(f"{path}: there is no section [{_short(name)}]; there are {', '.join(sorted(known))}")
    return data


def _laid(settings: Settings, data: Mapping[str, Any], environment: Mapping[str, str], path: Path) -> Settings:
    """Lay what a file and an environment say over settings."""
    for name in sorted(each.name for each in fields(Settings)):
        values = cast("dict[str, Any]", data.get(name, {}))
        found = _section(getattr(settings, name), name, values, environment, path)
        settings = replace(settings, **{name: found})
    return settings


def _published(folder: Path) -> Path:
    return folder / ".interlock" / PUBLISHED_NAME


def load_followed(folder: Path) -> Followed:
    """Read which published configuration a workspace follows; raises `SettingsInvalid` for a file that was changed."""
    path = _published(folder)
    try:
        head, _, body = path.read_bytes().decode("utf-8").partition("\n")
    except FileNotFoundError:
        return Followed()
    except UnicodeDecodeError:
        head, body = "", ""
    except OSError as error:
        raise SettingsInvalid(f"{path} can not be read: {error.strerror}") from None
    match = _FOLLOWED.fullmatch(head)
    if match is None or match[2] != sha256(body.encode()).hexdigest():
        raise SettingsInvalid(
            f"{path} was changed by hand", hint="delete it: this node then takes over anew what is published"
        )
    return Followed(version=int(match[1]), digest=f"sha256:{match[2]}", body=body)


def followed_file(followed: Followed) -> tuple[str, bytes]:
    """Return the name in the state folder, and the bytes, of what `load_followed` reads."""
    head = f"# interlock configuration {followed.version} {followed.digest}\n"
    return PUBLISHED_NAME, (head + followed.body).encode()


def published(text: str) -> Settings:
    """Return what holds where nothing but this is said; raises `SettingsInvalid` for what can not be published."""
    path = Path("the configuration")
    data = parsed(text, path)
    for name, values in data.items():
        own = [key for key in values if name in LOCAL_SECTIONS or (name, key) in LOCAL_KEYS]
        if name in LOCAL_SECTIONS or own:
            told = f"[{name}] {own[0]}" if own else f"[{name}]"
            raise SettingsInvalid(
                f"{told} is each node's own, and not published for all", hint=f"write it in each {FILE_NAME}"
            )
    return _laid(Settings(), data, {}, path)


def origins(folder: Path, environment: Mapping[str, str]) -> list[tuple[str, str, Any, str]]:
    """List every setting: section, key, value, and where that comes from."""
    followed = load_followed(folder)
    common, own = parsed(followed.body, _published(folder)), _own(folder)
    settings = load(folder, environment, followed=followed)
    found: list[tuple[str, str, Any, str]] = []
    for section in (each.name for each in fields(Settings)):
        values: Any = getattr(settings, section)
        for key in get_type_hints(cast("type[object]", type(values))):
            ours = f"INTERLOCK_{section}_{key}".upper()
            variable = next((each for each in (ours, *_SEED_VARIABLES.get(ours, ())) if each in environment), None)
            where = "default"
            if key in common.get(section, {}):
                where = f"published {followed.version}"
            if key in own.get(section, {}):
                where = FILE_NAME
            found.append((section, key, getattr(values, key), variable or where))
    return found


def with_database(text: str, url: str) -> str:
    """Return the text of a settings file with this `[database] url`; everything else, comments too, stays as it is."""
    before = tomllib.loads(text)
    wanted = {**before, "database": {**before.get("database", {}), "url": url}}
    line, lines = f"url = {json.dumps(url, ensure_ascii=False)}\n", text.splitlines(keepends=True)
    place = next((at for at, each in enumerate(lines) if _DATABASE.match(each)), None)
    if place is None:
        after = text + ("" if not text or text.endswith("\n") else "\n") + f"\n[database]\n{line}"
    else:
        section = next((at for at in range(place + 1, len(lines)) if lines[at].lstrip().startswith("[")), len(lines))
        old = next((at for at in range(place + 1, section) if _URL.match(lines[at])), None)
        lines[place] = lines[place].rstrip("\n") + "\n"
        after = "".join([*lines[: old or place + 1], line, *lines[old + 1 if old else place + 1 :]])
    try:
        if tomllib.loads(after) == wanted:
            return after
    except tomllib.TOMLDecodeError:
        pass
    raise SettingsInvalid(
        f"{FILE_NAME} is written in a way in which [database] url can not be put",
        hint='write the section [database] with a line `url = "…"` of its own, or leave it out',
    )


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
        raise SettingsInvalid(f"{path}: [{name}] has no {_short(unknown[0])}; it has {', '.join(sorted(hints))}")
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
        if type(item) is int and not least <= item <= most:
            raise SettingsInvalid(f"{where} should be from {least} to {most}, not {_told(item)}")
        if key == "checks" or (key == "command" and item):
            _check_command(cast("str", item), where)
        if key == "visible" and not str(item).startswith("/"):
            raise SettingsInvalid(f"{where} takes absolute paths, not {_told(item)}")
    if key in {"adapter", "ops_folder", "host"} and items == ("",):
        raise SettingsInvalid(f"{where} should not be empty")
    if key == "url" and value:
        _check_scheme(cast("str", value), where)
    try:
        _check_words(key, value)
    except Invalid as error:
        told = "this can not be an address" if "://" in repr(cast("object", value)) else error.message
        raise SettingsInvalid(f"{where}: {told}") from None


def _check_command(text: str, where: str) -> None:
    try:
        split_command(text, where)
    except MalformedCommand as error:
        # nothing of an address, because a password may be in it
        told = f"{where}: this can not be split into words" if "://" in repr(text) else error.message
        raise SettingsInvalid(told) from None


def _check_words(key: str, value: Any) -> None:  # noqa: ANN401 - a setting of any type
    """Hold a setting against the grammar of the room that uses it; raises `Invalid`."""
    if key in {"adapter", "environment", "needs", "tools"} or (key == "model" and value):
        cast("Any", Work)(**{"agent" if key == "adapter" else key: value})
    if key == "labels":
        checked_labels(cast("tuple[str, ...]", value))
    if key == "name":
        node_name(cast("str", value), "")


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
    raise SettingsInvalid(f"{where} should be {_name(hint)}, not {_told(value)}")


def _from_text(text: str, hint: Any, where: str) -> Any:  # noqa: ANN401 - one reader for every type of setting
    try:
        if hint is int:
            return int(text)
        if hint is bool:
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        if hint == tuple[int, ...]:
            return tuple(int(part) for part in text.split(","))
    except (ValueError, KeyError):
        raise SettingsInvalid(f"{where} should be {_name(hint)}, not {_told(text)}") from None
    return tuple(part for part in text.split(",") if part) if hint == tuple[str, ...] else _checked(text, hint, where)


def _told(value: Any) -> str:  # noqa: ANN401 - a setting of any type
    return _short(repr(value))


def _short(shown: str) -> str:
    """Return the beginning of what is wrong; nothing of an address, because a password may be in it."""
    if "://" in shown:
        return "an address"
    return shown if len(shown) <= _MOST_TOLD else f"{shown[:_MOST_TOLD]}…"


def _name(hint: Any) -> str:  # noqa: ANN401 - a type
    names = {
        int: "a whole number",
        str: "a text",
        bool: "true or false",
        tuple[str, ...]: "a list of texts",
        tuple[int, ...]: "a list of whole numbers",
        Namespaces: f"one of {', '.join(get_args(Namespaces))}",
        Policy: f"one of {', '.join(get_args(Policy))}",
        Engine: f"one of {', '.join(get_args(Engine))}",
        RungName: f"one of {', '.join(get_args(RungName))}",
    }
    return names[hint]


def _from_environment(match: re.Match[str]) -> str:
    value = os.environ.get(match[1])
    if value is None:
        raise SettingsInvalid(f"[database] url refers to ${{{match[1]}}}, which is not set")
    return value
