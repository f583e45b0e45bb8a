"""Move commits between git folders as packs: from the user's repository to the mirror, and results back.

`pack-objects` feeding `index-pack`, instead of `git fetch`: a fetch runs upload-pack inside the other repository with
that one's configuration, and a configuration can turn any address into a program (`url.ext::….insteadOf`).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from interlock.runs.repositories.errors import GitFailed, ObjectsMissing, OutputTooLarge
from interlock.runs.repositories.git import Git, Place

_FEW = 100
_INCOMPLETE = ("missing", "unable to read", "ould not read", "bad object", "bad tree object", "unable to find")


def send(
    git: Git, source: Place, target: Place, *, wants: Iterable[str], haves: Iterable[str], timeout_s: float
) -> None:
    """Copy what is reachable from `wants` and not from `haves` (commits or trees; `haves` are whole in both places).

    A kill may leave part of it in the target; so only what a ref leads to may be taken as whole, and the ref is set
    after this returns. Raises `ObjectsMissing` when the source is incomplete.
    """
    known = [f"^{one}" for one in haves]
    thin = ["--thin"] if known else []
    asked = "".join(f"{one}\n" for one in (*wants, *known)).encode()
    unpacked = known and _few(git, source, asked, timeout_s)
    try:
        git.pipe(
            (source, ["pack-objects", "--revs", "--stdout", "--delta-base-offset", "-q", *thin]),
            (target, ["unpack-objects", "-q"] if unpacked else ["index-pack", "--stdin", "--fix-thin"]),
            stdin=asked,
            timeout_s=timeout_s,
        )
    except GitFailed as error:
        if any(words in error.message for words in _INCOMPLETE):
            raise ObjectsMissing(f"the repository lacks objects of the commit: {error.message}") from error
        raise


def _few(git: Git, source: Place, asked: bytes, timeout_s: float) -> bool:
    """Say whether it is too little for a pack: git searches every pack, but finds a loose object by its name."""
    listing = ("rev-list", "--objects", "--no-object-names", "--stdin")
    try:
        listed = git.run(source, *listing, stdin=asked, codes=range(256), limit=_FEW * 65, timeout_s=timeout_s)
    except OutputTooLarge:
        return False
    return listed.code == 0 and listed.out.count(b"\n") <= _FEW


def existing(git: Git, place: Place, commits: Iterable[str]) -> set[str]:
    """Return those of the full commit ids that are there, as commits."""
    asked = "".join(f"{one}\n" for one in commits).encode()
    if not asked:
        return set()
    answers = git.run(place, "cat-file", "--batch-check", stdin=asked).line.splitlines()
    return {words[0] for words in map(str.split, answers) if words[1] == "commit"}


def boundary(folder: Path) -> set[str]:
    """Return the commits at which a shallow git folder ends (empty for a whole one)."""
    try:
        return set((folder / "shallow").read_text(encoding="ascii").split())
    except FileNotFoundError:
        return set()
