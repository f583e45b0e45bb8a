"""Idempotency keys of a loop service: one key stands for one command, which runs once, whoever asks how often at once.

Before a command runs, its key is stored with what will be true if nobody ever says how it ended: it is ambiguous. So a
service that is killed on the way leaves the right answer behind. Whoever runs it holds the key's lock meanwhile.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple

from interlock.kernel.clock import Clock, system_clock
from interlock.kernel.errors import Conflict, Failed, Invalid, Unreachable
from interlock.loops import files
from interlock.loops.files import Document
from interlock.loops.models import at, inner, seconds_of, stamp, text, whole
from interlock.loops.places import LoopPlaces

NAME: Final = "service-idempotency.json"
MOST_KEYS: Final = 1000
DAYS: Final = 7
MOST_KEY: Final = 256
_LOCKS, _LOCK = ".service-keys", ".service-idempotency.lock"
_OURS: Final = "stored"
_BETWEEN_SECONDS = 0.02


class IdempotencyConflict(Conflict):
    """The key stands for something else."""

    code = "idempotency_conflict"
    default_hint = "take a new key for a new intent"


class IdempotencyKeyInvalid(Invalid):
    """A key is a text of 1 to 256 characters."""

    code = "idempotency_key_invalid"


class IdempotencyUnreadable(Failed):
    """Which keys are taken can not be told."""

    code = "idempotency_unreadable"
    default_hint = "look at the loop, then move service-idempotency.json away; local transport works meanwhile"


class ServiceStopping(Unreachable):
    """The service is just stopping."""

    code = "stopping"


class Bound(NamedTuple):
    """What a key stands for."""

    loop: str
    intent: str
    digest: str

    @classmethod
    def of(cls, loop: str, intent: str, body: Document) -> Bound:
        """Bind a key to what is asked for."""
        return cls(loop, intent, hashlib.sha256(files.bytes_of(dict(sorted(body.items())))).hexdigest())


class Response(NamedTuple):
    """What is answered: a status of HTTP, and the body."""

    status: int
    document: Document


def checked(key: object) -> str:
    """Return a key; raises `IdempotencyKeyInvalid`."""
    if not isinstance(key, str) or not 0 < len(key) <= MOST_KEY:
        raise IdempotencyKeyInvalid
    return key


def once(
    places: LoopPlaces,
    key: str,
    bound: Bound,
    run: Callable[[Callable[[], None]], Response],
    if_lost: Response,
    *,
    again: bool = False,
    stopping: Callable[[], bool] = lambda: False,
    clock: Clock = system_clock,
) -> Response:
    """Run something unless that was done under this key; then answer what came of it.

    `run` calls what it is given before anything has an effect. `if_lost` is what is true if nobody learns how it ended.
    `again`: whoever asks has asked before. Otherwise a command that failed is run again: that was its answer.
    Raises `IdempotencyConflict`, `IdempotencyUnreadable`, `ServiceStopping`, `files.FileUnwritten`, and what it does.
    """
    with _alone(places, key, stopping) as waited:
        entry = inner(_read(places), key)
        if entry is not None:
            _check(entry, bound)
            if waited or again or at(entry, "result", "status") != "failed_command":
                return Response(_status(entry), {**_shown(entry), "replayed": True})
        begun = False

        def begin() -> None:
            nonlocal begun
            _store(places, key, bound, if_lost, clock)
            begun = True

        response = run(begin)
        if begun:
            with suppress(files.FileUnwritten):  # then the key says that nobody knows, which nobody will
                _store(places, key, bound, response, clock)
        return response


# --- inside -----------------------------------------------------------------------------------------------------------


def _check(entry: Document, bound: Bound) -> None:
    ours = inner(entry, _OURS)
    known = (text(ours, "loopId"), text(ours, "intent"), text(ours, "digest"))
    if ours is None:  # another service has stored it
        known = (text(entry, "result", "loopId"), text(entry, "result", "intent"), None)
    if known[:2] != bound[:2] or known[2] not in {None, bound.digest}:
        raise IdempotencyConflict(f"this key stands for another {known[1] or 'request'}")


def _status(entry: Document) -> int:
    code = whole(entry, "exitCode")
    if code is None:
        return 200 if entry.get("ok") is True else 500
    return {0: 200, 2: 409}.get(code, 500)


def _shown(entry: Document) -> Document:
    return {name: value for name, value in entry.items() if name != _OURS}


def _read(places: LoopPlaces) -> Document:
    try:
        return files.read_json(places.of_manager(NAME)) or {}
    except (files.FileCorrupt, files.FileUnreadable) as error:
        raise IdempotencyUnreadable(error.message) from None


def _store(places: LoopPlaces, key: str, bound: Bound, response: Response, clock: Clock) -> None:
    now = clock() // 1000
    about = {"at": stamp(now), "loopId": bound.loop, "intent": bound.intent, "digest": bound.digest}
    with files.held(places.of_manager(_LOCK), wait=True):
        kept = _read(places)
        kept.pop(key, None)  # the newest stands last
        kept[key] = {**response.document, _OURS: about}
        files.replace(places.of_manager(NAME), files.bytes_of(_bounded(kept, now)))


def _bounded(kept: Document, now: int) -> Document:
    """Forget what is older than a week, then the oldest."""
    oldest = now - DAYS * 86_400
    young = {key: entry for key, entry in kept.items() if _stored_at(entry, now) >= oldest}
    return dict(list(young.items())[-MOST_KEYS:])


def _stored_at(entry: object, now: int) -> int:
    document = inner({"entry": entry}, "entry")
    when = seconds_of(at(document, _OURS, "at") or at(document, "result", "timestamp"))
    return now if when is None else when


@contextmanager
def _alone(places: LoopPlaces, key: str, stopping: Callable[[], bool]) -> Generator[bool]:
    """Hold the key's lock, which is gone afterwards; give whether somebody else had it."""
    name = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:40]
    path = os.path.join(places.of_manager(_LOCKS), f"{name}.lock")
    descriptor, waited = _locked(path), False
    while descriptor is None:
        if stopping():
            raise ServiceStopping
        waited = True
        time.sleep(_BETWEEN_SECONDS)
        descriptor = _locked(path)
    try:
        yield waited
    finally:
        with suppress(OSError):
            os.unlink(path)
        os.close(descriptor)


def _locked(path: str) -> int | None:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise files.FileUnwritten(f"{path} can not be written: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), os.stat(path)):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass  # it is held, or was removed by who held it
    os.close(descriptor)
    return None
