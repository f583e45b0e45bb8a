"""The run log `orch_runs.jsonl`: which work ended and how long it took, in the shape that seed-1 tools share.

Our lines are a projection of the event log, appended by whoever brings the windows up to date, one at a time; other
tools append lines of their own. Each of ours names its event's place (`leaf`), so a projection that was killed finds
in the log itself where it stopped. A full log is put aside under a rising number and kept.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

from interlock.evidence.tree import leaf_hash
from interlock.kernel.canonical import MAX_INTEGER, canonical
from interlock.kernel.clock import from_text
from interlock.queue.errors import RunLogUnreadable, RunLogUnwritten

ROTATE_BYTES = 16 * 1024 * 1024

_KST = timezone(timedelta(hours=9))
_BLOCK = 64 * 1024
_MOST_LINE = 1024 * 1024
_COMMANDS = {"item.completed": "done", "item.failed": "fail"}
_VERBS = {"complete": "done", "fail": "fail"}


def lines_of(event: Mapping[str, Any], leaf_index: int) -> list[bytes]:
    """Return the lines of an event, as it stands in its leaf: two for work that ended, none for anything else."""
    command = _command(event)
    if command is None:
        return []
    ended, duration = from_text(event["time"]), _whole(event["payload"].get("duration_ms"))
    trace = event["correlation_id"] or f"trace-{leaf_hash(canonical(event)).hex()[:12]}"
    common = {"command": command, "leaf": leaf_index, "trace_id": trace}
    begin = {**common, "event": "run_start", **_at(ended - (duration or 0))}
    result = {"exit_code": 0, "status": "ok", "item_id": event["subject"], "duration_ms": duration}
    return [_line(begin), _line({**common, "event": "run_end", **_at(ended), **result})]


def resume(path: Path, *, before: int = MAX_INTEGER) -> int:
    """Return the place of the first event that the log does not know, by the last of our lines.

    A line that names an event from `before` on is none of ours: there is no such event.
    """
    for file in (path, *reversed(_rotated(path))):
        places = (_leaf(line) for line in _backwards(file))
        last = next((leaf for leaf in places if leaf is not None and leaf < before), None)
        if last is not None:
            return last + 1
    return 0


def append(path: Path, lines: Sequence[bytes], *, rotate_bytes: int = ROTATE_BYTES) -> None:
    """Write lines at the log's end; only who holds the workspace's files alone may call this."""
    if not lines:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _opened(path) as descriptor:
            _mend(descriptor)
            full = 0 < os.fstat(descriptor).st_size > rotate_bytes - sum(map(len, lines))
        if full:
            _put_aside(path)
        with _opened(path) as descriptor:
            _write(descriptor, b"".join(_unwritten(descriptor, lines)))
        _sync(path.parent)
    except OSError as error:
        raise RunLogUnwritten(f"{path} can not be written: {error.strerror}") from None


def read(path: Path) -> Iterator[bytes]:
    """Yield every line, the oldest first, through the files that were put aside. A log that is not there has none."""
    rotated, current = _snapshot(path)
    with current or nullcontext():
        for file in rotated:
            with _open(file) or nullcontext() as older:
                if older is not None:
                    yield from iter(partial(older.readline, _MOST_LINE), b"")
        if current is not None:
            yield from iter(partial(current.readline, _MOST_LINE), b"")


# --- lines ------------------------------------------------------------------------------------------------------------


def _command(event: Mapping[str, Any]) -> str | None:
    if event["kind"] == "markdown.changed":
        return _VERBS.get(event["payload"]["verb"])
    return _COMMANDS.get(event["kind"])


def _at(ms: int) -> dict[str, Any]:
    moment = datetime.fromtimestamp(ms // 1000, _KST)
    return {"ts_epoch_ms": ms, "ts_kst": moment.isoformat(timespec="seconds")}


def _line(record: Mapping[str, Any]) -> bytes:
    return canonical(record) + b"\n"


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _leaf(line: bytes) -> int | None:
    """Return which event a line of ours ends, if it is one and whole."""
    if b'"leaf"' not in line:
        return None
    with suppress(ValueError, RecursionError):
        record = json.loads(line)
        if isinstance(record, dict) and cast("dict[str, object]", record).get("event") == "run_end":
            return _whole(cast("dict[str, object]", record).get("leaf"))
    return None


# --- files ------------------------------------------------------------------------------------------------------------


def _rotated(path: Path) -> list[Path]:
    """List what was put aside, the oldest first."""
    name = re.compile(re.escape(path.name) + r"\.(\d{6,18})", re.ASCII)
    try:
        found = sorted((int(match[1]), each) for each in path.parent.iterdir() if (match := name.fullmatch(each.name)))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunLogUnreadable(f"{path.parent} can not be read: {error.strerror}") from None
    return [each for _, each in found]


def _put_aside(path: Path) -> None:
    rotated = _rotated(path)
    last = int(rotated[-1].name.rpartition(".")[2]) if rotated else 0
    path.rename(path.with_name(f"{path.name}.{last + 1:06d}"))


def _snapshot(path: Path) -> tuple[list[Path], BinaryIO | None]:
    """Return what was put aside, and the file that follows it, open: it may be put aside in its turn meanwhile."""
    while True:
        rotated = _rotated(path)
        current = _open(path)
        if _rotated(path) == rotated:
            return rotated, current
        if current is not None:
            current.close()


def _open(path: Path) -> BinaryIO | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunLogUnreadable(f"{path} can not be read: {error.strerror}") from None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):  # what is open, since the name may be moved meanwhile
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise RunLogUnreadable(f"{path} is no file, and so no run log")


def _backwards(path: Path) -> Iterator[bytes]:
    """Yield a file's lines, the last first."""
    file = _open(path)
    if file is None:
        return
    with file:
        place, rest = file.seek(0, os.SEEK_END), b""
        while place:
            size = min(_BLOCK, place)
            place = file.seek(place - size)
            rest, *lines = (file.read(size) + rest).split(b"\n")
            yield from reversed(lines)
        yield rest


@contextmanager
def _opened(path: Path) -> Generator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _sync(folder: Path) -> None:
    """Make a file's new name last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _mend(descriptor: int) -> None:
    """End a torn last line: what follows it must not be lost with it."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        _write(descriptor, b"\n")


def _unwritten(descriptor: int, lines: Sequence[bytes]) -> Sequence[bytes]:
    """Return the lines without the first, where that one came to disk when the rest of its write did not."""
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, _BLOCK, max(0, size - _BLOCK))
    return lines[1:] if b'"leaf"' in lines[0] and b"\n" + lines[0] in b"\n" + tail else lines


def _write(descriptor: int, data: bytes) -> None:
    written = os.write(descriptor, data)
    os.fsync(descriptor)
    if written < len(data):
        raise OSError(0, f"only {written} of {len(data)} bytes were taken")
