"""`provider.json`: the owner of the providers' configuration. Read strictly, written whole, each change told once.

The file is written first and its event follows, in one transaction that is open around both: while changes are frozen
nothing is written. An intent lies in the state folder from before the one until after the other; a process that dies
between the two leaves it, and the next call completes it. The event's key keeps single what is told twice.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shlex
import stat
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from interlock.access.models import Actor, require_human
from interlock.evidence import publish
from interlock.kernel.errors import InterlockError
from interlock.kernel.ids import UlidSource
from interlock.providers.errors import (
    ConfigurationBusy,
    ConfigurationChanged,
    ConfigurationInvalid,
    ConfigurationMissing,
    ConfigurationUnsafe,
    ConfigurationUnwritten,
    ProviderExtraMissing,
)
from interlock.providers.events import ProviderSet
from interlock.providers.merging import MAX_BYTES, as_file, changes, literal, merged, parsed, warnings
from interlock.providers.models import EXTRA, ProviderConfig, ProviderEntry, ProviderType, Stored
from interlock.providers.ports import OpenLog

_OTHERS = 0o077
_PATIENCE_SECONDS = 10.0
_ADVICE = "mend the file, or write it anew with `interlock provider set --file FILE`"


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The file, and how its changes are told."""

    path: Path
    folder: Path
    """Where the intent and the lock are, in the workspace's state folder."""
    log: OpenLog
    new_ulid: UlidSource
    installed: Callable[[ProviderType], bool]
    """Says whether the client library of a type is there."""
    probe: Callable[[str], None] = lambda _: None

    def read(self) -> Stored:
        """Return the configuration as the file says it."""
        data, open_to_others = self._data()
        if data is None:
            raise ConfigurationMissing(f"there is no {self.path}")
        config = self._parsed(data)
        if open_to_others and literal(config):
            raise ConfigurationUnsafe(
                f"{self.path} holds a key and is open to others than its owner",
                hint=f"chmod 600 {shlex.quote(str(self.path))}, and replace the key where it was made",
            )
        return Stored(config=config, version=config.version(), warnings=warnings(config))

    def change(self, actor: Actor, body: Mapping[str, Any], *, seen_version: str | None = None) -> Stored:
        """Set what `body` names; what it leaves out stays. Only a human may.

        Raises `ConfigurationChanged` if another version than `seen_version` is there.
        """
        require_human(actor.principal, "change the providers")
        with self._locked():
            self._complete(actor)
            before = self._before(body)
            if seen_version is not None and (before is None or before.version() != seen_version):
                raise ConfigurationChanged
            after = merged(before, body)
            for name, entry in after.providers.items():
                self._check_installed(name, entry, before)
            if after == before:
                return self.read()
            told = self._write(actor, before, after)
        found = self.read()
        return Stored(config=found.config, version=found.version, warnings=(*found.warnings, *told))

    def complete(self, actor: Actor) -> tuple[str, ...]:
        """Complete what a call that died has left undone; returns what could not be, as sentences."""
        if not self._intent.exists():
            return ()
        try:
            with self._locked(patience_seconds=0):
                self._complete(actor)
        except ConfigurationBusy:
            return ()
        except InterlockError as error:
            return (f"a change of {self.path} still waits to be logged: {error.message}",)
        return ()

    # --- writing ------------------------------------------------------------------------------------------------------

    def _write(self, actor: Actor, before: ProviderConfig | None, after: ProviderConfig) -> tuple[str, ...]:
        data = as_file(after)
        event = ProviderSet(
            subject="provider",
            key=f"provider:{self.new_ulid()}",
            before_digest=before.version() if before else None,
            digest=after.version(),
            active=after.active,
            changed=changes(before, after),
            told_for=None,
        )
        written = False
        try:
            with self.log(actor) as emit:
                self._begin(actor, data, event)
                self.probe("intended")
                self._replace(data)
                written = True
                self.probe("written")
                emit(event)
        except InterlockError as error:
            if not written:
                self._forget()
                raise
            return (f"{self.path} was changed, and that is not yet logged: {error.message}",)
        self.probe("told")
        self._forget()
        return ()

    def _begin(self, actor: Actor, data: bytes, event: ProviderSet) -> None:
        intent = {
            "after": _fingerprint(data),
            "by": str(actor.principal),
            "key": event.key,
            "payload": event.payload(),
        }
        try:
            publish.replace(self._intent, [json.dumps(intent).encode()], mode=0o600)
        except OSError as error:
            raise ConfigurationUnwritten(f"{self._intent} can not be written: {error.strerror}") from None

    def _replace(self, data: bytes) -> None:
        try:
            publish.replace(self.path, [data], mode=0o600)
        except OSError as error:
            raise ConfigurationUnwritten(f"{self.path} can not be written: {error.strerror}") from None

    def _complete(self, actor: Actor) -> None:
        """Tell what was done and not told; the lock is held."""
        self._sweep()
        intent = self._intended()
        if intent is None:
            return
        # Where the file was edited since, nobody can know; the digests in the next event show that something happened.
        if self._fingerprint() == intent["after"]:
            by = intent["by"] if intent["by"] != str(actor.principal) else None
            payload: dict[str, Any] = {**intent["payload"], "told_for": by}
            with self.log(actor) as emit:
                emit(ProviderSet(subject="provider", key=intent["key"], **payload))
        self._forget()

    def _intended(self) -> dict[str, Any] | None:
        try:
            intent = json.loads(self._intent.read_bytes())
            ProviderSet(subject="provider", key=intent["key"], **intent["payload"])
            _ = intent["after"], intent["by"]
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigurationUnwritten(f"{self._intent} can not be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, RecursionError):  # not ours: every write of it is whole
            self._intent.rename(self._intent.with_suffix(".unreadable"))
            return None
        return intent

    def _sweep(self) -> None:
        """Take away what a call that was killed left half written: it may hold a key."""
        for left in publish.left_over(self.path.parent, self.path.name):
            left.unlink(missing_ok=True)

    def _forget(self) -> None:
        with suppress(OSError):  # then it is told again, under the same key
            self._intent.unlink(missing_ok=True)

    @property
    def _intent(self) -> Path:
        return self.folder / "intent.json"

    @contextmanager
    def _locked(self, *, patience_seconds: float = _PATIENCE_SECONDS) -> Generator[None]:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise ConfigurationUnwritten(f"{self.folder} can not be written: {error.strerror}") from None
        deadline = time.monotonic() + patience_seconds
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise ConfigurationBusy from None
                    time.sleep(0.005)
            yield
        finally:
            os.close(descriptor)

    # --- reading ------------------------------------------------------------------------------------------------------

    def _data(self) -> tuple[bytes | None, bool]:
        """Return what the file holds, and whether others than its owner may read or write it."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None, False
        except OSError as error:
            link = self.path.is_symlink()
            raise ConfigurationUnsafe(
                f"{self.path} is a symbolic link" if link else f"{self.path} can not be read: {error.strerror}"
            ) from None
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            raise ConfigurationUnsafe(f"{self.path} is not a file")
        with os.fdopen(descriptor, "rb") as file:
            return file.read(MAX_BYTES + 1), bool(found.st_mode & _OTHERS)

    def _parsed(self, data: bytes) -> ProviderConfig:
        try:
            return parsed(data)
        except ConfigurationInvalid as error:
            raise ConfigurationInvalid(f"{self.path}: {error.message}", hint=error.hint or _ADVICE) from None

    def _before(self, body: Mapping[str, Any]) -> ProviderConfig | None:
        """Return what a change starts from; one that names everything mends a file that can not be read."""
        data, _ = self._data()
        try:
            return None if data is None else self._parsed(data)
        except ConfigurationInvalid:
            if {"active", "providers"} <= set(body):
                return None
            raise

    def _fingerprint(self) -> str | None:
        data, _ = self._data()
        return None if data is None else _fingerprint(data)

    def _check_installed(self, name: str, entry: ProviderEntry, before: ProviderConfig | None) -> None:
        """Refuse a type that could not be asked, unless it stood there before."""
        same = before is not None and name in before.providers and before.providers[name].type is entry.type
        if not same and not self.installed(entry.type):
            raise extra_missing(name, entry.type)


def is_installed(kind: ProviderType) -> bool:
    """Say whether the client library of a type is there, without the second or two that importing it takes."""
    try:
        return find_spec(EXTRA[kind][0]) is not None
    except ModuleNotFoundError:
        return False


def extra_missing(name: str, kind: ProviderType) -> ProviderExtraMissing:
    """Return the error that says what to install."""
    extra = EXTRA[kind][1]
    return ProviderExtraMissing(
        f"{name} is of type {kind.value}, whose client library is not installed",
        hint=f"pip install 'interlock[{extra}]'",
    )


def _fingerprint(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
