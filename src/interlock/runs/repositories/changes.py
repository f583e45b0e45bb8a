"""What a run changed, file by file, as the raw and numeric output of `git diff-tree -z` tells it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedFile:
    """One file that differs between the base commit and the result."""

    path: bytes
    """Relative to the top folder, as the file system has it: any bytes but NUL."""
    status: str
    """`A` added, `M` content or mode, `D` deleted, `T` another type (a file became a link)."""
    old_mode: str
    """Octal, as git writes it (`100644 100755 120000 160000`); `000000` for an added file."""
    new_mode: str
    """The same for the result; `000000` for a deleted file."""
    added: int
    """Lines added; 0 for a binary file."""
    deleted: int
    binary: bool

    @property
    def name(self) -> str:
        """The path as text that fits in JSON and on one line; see `shown`."""
        return shown(self.path)


_ESCAPES = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}


def shown(path: bytes) -> str:
    """Return a path as text: itself if it is plain, else in quotes with escapes as git prints it.

    Two paths never look the same: what starts with a quote is always quoted.
    """
    try:
        text = path.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if text.isprintable() and text and not any(sign in text for sign in '"\\'):
        return text
    return '"' + "".join(_ESCAPES.get(byte) or _plain(byte) for byte in path) + '"'


def _plain(byte: int) -> str:
    return chr(byte) if ord(" ") <= byte <= ord("~") else f"\\{byte:03o}"


def parse(listed: bytes) -> tuple[ChangedFile, ...]:
    """Read the output of `diff-tree -r -z --raw --numstat --no-renames`, in git's order (by path bytes)."""
    raw: dict[bytes, list[str]] = {}
    counts: dict[bytes, tuple[bytes, bytes]] = {}
    parts: Iterator[bytes] = iter(listed.split(b"\0"))
    for part in parts:
        if part.startswith(b":"):
            raw[next(parts)] = part[1:].decode("ascii").split()
        elif part:
            added, deleted, path = part.split(b"\t", 2)
            counts[path] = added, deleted
    return tuple(_file(path, words, *counts.get(path, (b"0", b"0"))) for path, words in raw.items())


def _file(path: bytes, words: list[str], added: bytes, deleted: bytes) -> ChangedFile:
    old_mode, new_mode, _old, _new, status = words
    binary = added == b"-"
    return ChangedFile(
        path=path,
        status=status,
        old_mode=old_mode,
        new_mode=new_mode,
        added=0 if binary else int(added),
        deleted=0 if binary else int(deleted),
        binary=binary,
    )


def parents(path: bytes) -> Iterator[bytes]:
    """Yield the folders above a path, the nearest first."""
    while path := path.rpartition(b"/")[0]:
        yield path
