"""Everything that `interlock doctor` looks at, plugged together: the machine, and a workspace where there is one."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from interlock.kernel.clock import system_clock, to_text
from interlock.kernel.errors import InterlockError, Unreachable
from interlock.workspace import machine, premises
from interlock.workspace.doctor import Finding, NotLooked, Probe, failed, ok, warning
from interlock.workspace.errors import WorkspaceMissing
from interlock.workspace.layout import Layout

if TYPE_CHECKING:
    from interlock.app import Interlock
    from interlock.settings import ServerSettings, Settings
    from interlock.storage.condition import Condition

Made = TypeVar("Made")
_CLOSE_MS, _FAR_MS = 2_000, 30_000
_ASKED_SECONDS = 2
_STARTED_SECONDS = 8
_PAGE = 50_000


@contextmanager
def probes(find: Callable[[], Path]) -> Generator[dict[str, Probe]]:
    """Give every probe by its name, in the order in which an operator mends things; `find` finds the workspace."""
    try:
        root, missing = find(), None
    except InterlockError as error:
        root, missing = None, error
    found = {**machine.probes(root, system_clock), "containment": lambda: _containment(root)}
    if root is None:
        yield {**found, "workspace": lambda: _nowhere(missing)}
        return
    here = Premises(root)
    try:
        yield {**found, **here.probes()}
    finally:
        here.close()


def _nowhere(missing: InterlockError | None) -> Finding:
    if missing is None or type(missing) is WorkspaceMissing:
        return warning("there is none here: only the machine was looked at", "interlock init DIR, or name it")
    return failed(missing.message, missing.hint)


def _containment(root: Path | None) -> Finding:
    """Start the smallest agent that there is, and see how it is held."""
    from interlock.runs.containment.launch import launch
    from interlock.runs.containment.spec import Spec

    program = shutil.which("true") or "/bin/true"
    spec = Spec(argv=(program,), env={}, cwd=Path("/"), run_marker=f"doctor-{os.getpid()}")
    with launch(spec) as contained:
        started = contained.wait_started(_STARTED_SECONDS)
        contained.wait(_STARTED_SECONDS)
    if started.containment == "namespaces":
        return ok("agents are held in namespaces of their own")
    why = next((note for note in started.notes if note.startswith("namespaces_unavailable")), "this is not Linux")
    todo = "sysctl user.max_user_namespaces=10000 kernel.apparmor_restrict_unprivileged_userns=0; see docs/SECURITY.md"
    if root is not None and _requires_namespaces(root):
        return failed(f"[worker] namespaces demands them, and there are none ({why})", todo)
    return warning(f"agents are held as well as it goes without namespaces, and see the whole disk ({why})", todo)


def _requires_namespaces(root: Path) -> bool:
    from interlock.settings import load

    try:
        return load(root).worker.namespaces == "require"
    except InterlockError:
        return False  # which the probe of the settings says


@dataclass(frozen=True)
class Premises:
    """One workspace, as far as it can be looked at."""

    root: Path

    def probes(self) -> dict[str, Probe]:
        """Return its probes by name."""
        on_file = not (isinstance(self._settings, InterlockError) or self._settings.database.url)
        return {
            **premises.probes(self._layout, on_file=on_file),
            "settings": self._check_settings,
            "keys": self._keys,
            "database": self._check_database,
            "database clock": self._database_clock,
            "panic": self._panic,
            "log": self._log,
            "windows": self._windows,
            "alert sinks": self._sinks,
            "providers": self._providers,
            "agent": self._agent,
            "node": self._node,
            "port": self._port,
        }

    def close(self) -> None:
        """Close what was opened."""
        if "_house" in self.__dict__:
            self._house.close()

    # --- what several of them stand on --------------------------------------------------------------------------------

    @cached_property
    def _settings(self) -> Settings | InterlockError:
        from interlock.settings import load

        return _tried(lambda: load(self.root))

    @property
    def _layout(self) -> Layout:
        if isinstance(self._settings, InterlockError):
            return Layout(self.root)
        return Layout(self.root, self._settings.windows.ops_folder)

    @cached_property
    def _condition(self) -> Condition | InterlockError:
        settings = self._usable_settings()
        return _tried(lambda: _looked(self._layout.database, settings.database_url()))

    @cached_property
    def _house(self) -> Interlock:
        """The rooms over a database of this very schema: another one is not touched."""
        condition = self._condition
        if isinstance(condition, InterlockError):
            raise NotLooked("the database can not be read")
        if condition.schema != condition.latest:
            raise NotLooked(f"the database has schema {condition.schema}, not {condition.latest}")
        from interlock.app import Interlock

        return Interlock.at(self.root)

    def _usable_settings(self) -> Settings:
        if isinstance(self._settings, InterlockError):
            raise NotLooked("the settings are not right")
        return self._settings

    def _init(self) -> str:
        return f"interlock init {shlex.quote(str(self.root))}"

    # --- settings, keys, database -------------------------------------------------------------------------------------

    def _check_settings(self) -> Finding:
        from interlock.settings import FILE_NAME, load_followed

        if isinstance(self._settings, InterlockError):
            raise self._settings
        self._settings.approval_options()
        version = load_followed(self.root).version
        return ok(f"{FILE_NAME} is right" + (f"; published configuration {version} lies below it" if version else ""))

    def _keys(self) -> Finding:
        from interlock.evidence.keys import load_signer, load_verifiers

        key, log = self._layout.service_key, self._layout.log_key
        load_signer(key, f"interlock/{key.stem}")
        trusted = load_verifiers(self._layout.evidence / "log.vkey")
        if not log.exists():
            return ok("the service's key is there; the log's is kept elsewhere")
        if not any(load_signer(log, each.name).verifier().vkey() == each.vkey() for each in trusted):
            return failed(f"{log} is not a key of {self._layout.evidence / 'log.vkey'}", "restore both from one backup")
        return ok("the keys of log and service are there, and only their owner can read them")

    def _check_database(self) -> Finding:
        condition = self._known_condition()
        told = f"{condition.engine}, schema {condition.schema}"
        if condition.schema == 0:
            return failed("the database is there and not Interlock's", self._init())
        if condition.schema > condition.latest:
            return failed(
                f"{told}; this Interlock knows schemas up to {condition.latest}",
                "install the newer Interlock that upgraded it, or restore the backup beside the database",
            )
        for trouble in sorted(condition.troubles, key=lambda each: not each.grave):
            return (failed if trouble.grave else warning)(f"{told}: {trouble.sentence}", trouble.todo)
        if condition.schema < condition.latest:
            return warning(
                f"{told}; the first command that writes brings it to {condition.latest}",
                "back up the database, stop every older Interlock that works on it, then: " + self._init(),
            )
        return ok(told)

    def _known_condition(self) -> Condition:
        condition = self._condition
        if isinstance(condition, Unreachable) and not condition.hint:
            condition.hint = "start the server, or mend [database] url; `pg_isready` tells whether it answers"
        if isinstance(condition, InterlockError):
            raise condition
        return condition

    def _database_clock(self) -> Finding:
        """Hold this machine's clock against the database's, or against what was told last."""
        if isinstance(self._condition, InterlockError):
            raise NotLooked("the database can not be read")
        now, todo = system_clock(), "turn time synchronisation on on both machines: timedatectl set-ntp true"
        condition = self._known_condition()
        if condition.now_ms is not None:
            before = system_clock()
            asked = _looked(self._layout.database, self._usable_settings().database_url())
            now = (before + system_clock()) // 2
            apart = abs((asked.now_ms or now) - now)
            told = f"this machine and the database are {apart / 1000:.1f} s apart"
            if apart > _CLOSE_MS:
                return (failed if apart > _FAR_MS else warning)(f"{told}; its clock is what counts", todo)
            return ok(told)
        if condition.told_ms is not None and condition.told_ms > now + _CLOSE_MS:
            return failed(f"the newest event is of {to_text(condition.told_ms)}, which has not come yet", todo)
        return ok("nothing was told later than now")

    # --- what the database says ---------------------------------------------------------------------------------------

    def _panic(self) -> Finding:
        panic = self._house.access.panic()
        if panic is None:
            return ok("panic is off")
        return warning(
            f"everything is frozen since {to_text(panic.since_ms)}, by {panic.by}: {panic.reason}",
            "once that is over: interlock panic release --reason REASON",
        )

    def _log(self) -> Finding:
        """Hash the log anew, and hold it against its last signed head."""
        from interlock.evidence.head import open_own_head
        from interlock.evidence.tree import Frontier

        log, verifiers = self._house.event_log, self._house.evidence.verifiers
        head, size = log.last_head(), log.size()
        if head is None:
            return warning(f"{size} entries, and no head is signed yet", "interlock evidence head")
        signed = open_own_head(head.note, verifiers)
        tree = Frontier()
        for start in range(0, min(signed.size, size), _PAGE):
            tree = tree.extend(log.leaf_hashes(min(start + _PAGE, signed.size), start))
        if (tree.size, tree.root(), log.origin()) != (signed.size, signed.root, signed.origin):
            return failed(
                f"the log's first {signed.size} entries are not those of its last signed head",
                "stop writing, keep a copy of the whole workspace, then: interlock evidence verify",
            )
        return ok(f"{size} entries; the last head covers {signed.size} and verifies")

    def _windows(self) -> Finding:
        house = self._house
        if not (house.layout.state / "windows.lock").exists():
            return warning("they were never written", self._init())
        found = [*house.windows.differences(), *house.delivery.windows.differences()]
        if found:
            first = f"{found[0].path} ({found[0].problem})"
            return warning(
                f"{len(found)} files are not what the database says, first {first}",
                "interlock windows verify, then interlock windows rebuild",
            )
        return ok("every window says what the database says")

    def _node(self) -> Finding:
        from interlock.fleet.identity import FILE_NAME, read_id

        named = read_id(self._layout.state)
        if named is None:
            return ok("no worker or server has worked here yet")
        try:
            node = self._house.fleet.get(named)
        except InterlockError as error:
            return warning(f"{FILE_NAME} names {named}: {error.message}", "interlock worker --once joins it again")
        standing = node.standing(self._house.fleet.newest_version())
        told = f"{node.facts.name} ({named}) is {standing}"
        if standing in {"active", "stopped"}:
            return ok(told)
        return warning(f"{told}{': ' if node.reason else ''}{node.reason}", f"interlock node resume {named}")

    # --- what it is told to use ---------------------------------------------------------------------------------------

    def _sinks(self) -> Finding:
        from interlock.alerts.config import config_path, load
        from interlock.alerts.errors import SecretsMissing

        path = config_path(None, str(self.root), os.environ)
        try:
            found = load(path)
        except InterlockError as error:
            return failed(error.message, error.hint or "mend it; `interlock alert list` shows what waits meanwhile")
        enabled = [each for each in found.sinks.values() if each["enabled"]]
        if not enabled:
            return warning(f"no sink is enabled in {path}: alerts reach nobody", f"enable one in {path}")
        try:
            found.check_secrets(os.environ)
        except SecretsMissing as error:
            return warning(error.message, "set them where `interlock serve` is started")
        if any(each["type"] == "apprise" for each in enabled) and machine.version("apprise") is None:
            return failed("a sink is of type apprise, which is not installed", "pip install 'interlock[sinks]'")
        return ok(f"{len(enabled)} of {len(found.sinks)} are enabled")

    def _providers(self) -> Finding:
        from interlock.providers.configuration import is_installed
        from interlock.providers.models import EXTRA

        self._usable_settings()
        stored = self._house.providers.show()
        active = stored.config.providers[stored.config.active]
        if not is_installed(active.type):
            return warning(
                f"drafts can not be generated: the client library of {stored.config.active} is not installed",
                f"pip install 'interlock[{EXTRA[active.type][1]}]'",
            )
        if active.reference is not None and not os.environ.get(active.reference):
            return warning(
                f"the key of {stored.config.active} is to be in {active.reference}, which is not set here",
                f"set {active.reference} where drafts are generated",
            )
        for sentence in stored.warnings:
            return warning(sentence, "interlock provider show")
        return ok(f"{stored.config.active} is active; `interlock provider check` asks whether it answers")

    def _agent(self) -> Finding:
        settings = self._usable_settings()
        command = settings.approval_options().defaults.command
        if command and shutil.which(command[0]) is None:
            return warning(
                f"[agent] command starts {command[0]}, which is not on PATH here", "install it, or mend that"
            )
        repository = settings.agent.repository
        if repository and not os.path.isabs(repository) and ":" not in repository:
            repository = str(self.root / repository)
        if repository and os.path.isabs(repository) and not os.path.isdir(repository):
            return warning(f"[agent] repository is {repository}, which is not there", "mend that in interlock.toml")
        if settings.worker.engine == "temporal" and machine.version("temporalio") is None:
            return failed("the engine is `temporal`, which is not installed", "pip install 'interlock[temporal]'")
        return ok(f"drafts without a command get {shlex.join(command)}" if command else "each draft names its command")

    def _port(self) -> Finding:
        server = self._usable_settings().server
        where = f"{server.host}:{server.port}"
        try:
            family, kind, _, _, address = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind) as tried:
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tried.bind(address)
        except OSError as error:
            answered = _answers(server)
            if answered:
                return ok(f"Interlock {answered} answers at {where}")
            return failed(f"{where} can not be had: {error.strerror}", "set [server] port, or interlock serve --port N")
        return ok(f"{where} is free")


def _tried(make: Callable[[], Made]) -> Made | InterlockError:
    try:
        return make()
    except InterlockError as error:
        return error


def _looked(path: Path, url: str) -> Condition:
    if url:
        from interlock.storage.postgres.condition import look_at as look_at_server

        return look_at_server(url)
    from interlock.storage.sqlite.condition import look_at

    return look_at(path)


def _answers(server: ServerSettings) -> str:
    """Return the version of the Interlock that answers there; empty where something else does."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)  # noqa: S104 - not listened on
    connection = HTTPConnection(host, server.port, timeout=_ASKED_SECONDS)
    try:
        connection.request("GET", "/", headers={"Accept": "application/json"})
        told: object = json.loads(connection.getresponse().read(4096))
    except (OSError, HTTPException, ValueError):
        return ""
    finally:
        connection.close()
    if isinstance(told, Mapping) and told.get("name") == "interlock":  # pyright: ignore[reportUnknownMemberType] - JSON
        return str(told.get("version", ""))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] - same
    return ""
