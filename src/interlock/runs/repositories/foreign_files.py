"""Remove, measure and read what a stranger wrote: never through a link, however deep or read-only it is."""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK = 512


def remove_tree(path: Path) -> list[str]:
    """Remove a folder, file or link and return one line for each thing that would not go (empty: all is gone).

    Folders are moved up below `path` before they are emptied. So the tree is never more than two levels deep for us:
    no path gets too long, no recursion too deep, and two descriptors are enough.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return []
    try:
        if not stat.S_ISDIR(mode):
            path.unlink()
            return []
        with _opened(str(path), None) as root:
            left = _Emptying(root, path).all()
        if not left:
            path.rmdir()
    except OSError as error:
        return [f"{path}: {error.strerror}"]
    return left


@dataclass(slots=True)
class _Emptying:
    root: int
    path: Path
    left: list[str] = field(default_factory=list[str])
    _names: dict[str, str] = field(default_factory=dict[str, str])
    """Where a folder that was moved up stood before, for the report."""
    _todo: deque[str] = field(default_factory=deque[str])
    _moved: int = 0

    def all(self) -> list[str]:
        self._empty(self.root, "")
        while self._todo:
            name = self._todo.popleft()
            place = self._names.pop(name)
            try:
                with _opened(name, self.root) as folder:
                    self._empty(folder, f"{place}/")
                os.rmdir(name, dir_fd=self.root)
            except OSError as error:
                self._note(place, error)
        return self.left

    def _empty(self, folder: int, prefix: str) -> None:
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for name, is_folder in found:
            try:
                if is_folder:
                    self._raise_up(folder, name, prefix + name)
                else:
                    os.unlink(name, dir_fd=folder)
            except OSError as error:
                self._note(prefix + name, error)

    def _raise_up(self, folder: int, name: str, place: str) -> None:
        with _opened(name, folder):  # makes it writable: a folder that is not may not get a new parent
            pass
        self._moved += 1
        new = f".interlock-removed-{self._moved}-{os.urandom(4).hex()}"
        os.rename(name, new, src_dir_fd=folder, dst_dir_fd=self.root)
        self._names[new] = place
        self._todo.append(new)

    def _note(self, place: str, error: OSError) -> None:
        if error.errno == errno.ENOTEMPTY:
            return  # what would not go out of it is noted already
        self.left.append(f"{self.path}/{place}: {error.strerror}")


@contextmanager
def _opened(name: str, parent: int | None) -> Generator[int]:
    """Open a folder, after giving its owner all rights on it; never through a link."""
    _own(name, parent)
    descriptor = os.open(name, _FOLDER, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _own(name: str, parent: int | None) -> None:
    mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    if not stat.S_ISDIR(mode) or mode & stat.S_IRWXU == stat.S_IRWXU:
        return
    if hasattr(os, "O_PATH"):  # Linux has no chmod that stops at a link, but a descriptor that needs no rights
        descriptor = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            Path(f"/proc/self/fd/{descriptor}").chmod(0o700)
        finally:
            os.close(descriptor)
    else:
        os.chmod(name, 0o700, dir_fd=parent, follow_symlinks=False)


def tree_bytes(path: Path, limit: int) -> int:
    """Return the bytes that a tree takes on disk, or some number above `limit` as soon as it is passed.

    Counts blocks, not lengths: a sparse file takes what it takes. Follows no link, skips what it may not read, counts a
    file with several names once. 0 if there is nothing.
    """
    total = 0
    seen: set[tuple[int, int]] = set()
    todo = [os.fspath(path)]
    while todo and total <= limit:
        folder = todo.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue
        for entry in entries:
            try:
                known = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if known.st_nlink > 1 and not stat.S_ISDIR(known.st_mode):
                if (known.st_dev, known.st_ino) in seen:
                    continue
                seen.add((known.st_dev, known.st_ino))
            total += known.st_blocks * _BLOCK
            if stat.S_ISDIR(known.st_mode):
                todo.append(entry.path)
            if total > limit:
                break
    return total


def plain_content(path: str | bytes | Path, limit: int = 1 << 16) -> bytes | None:
    """Return the first `limit` bytes of a regular file; None for anything else, such as a link, a pipe or nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.pread(descriptor, limit, 0) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    finally:
        os.close(descriptor)
