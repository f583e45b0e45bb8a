"""Find the parts of a repository on this machine, and open a stand-in of it.

Only here does git read the configuration of the user's repository, for a few questions that start nothing (git.py).
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from interlock.runs.repositories.errors import (
    DubiousOwnership,
    GitFailed,
    MalformedSource,
    NotARepository,
    RepositoryMissing,
    RepositoryNotAFolder,
    RepositoryUnreadable,
    RepositoryUnsupported,
    WorkTreeElsewhere,
)
from interlock.runs.repositories.git import Git, Place
from interlock.runs.repositories.standin import Storage, stand_in

# How data lies on the disk, and nothing that names a program, a path or a connection.
_HARMLESS = {
    "core.autocrlf",
    "core.checkstat",
    "core.eol",
    "core.filemode",
    "core.ignorecase",
    "core.precomposeunicode",
    "core.safecrlf",
    "core.sharedrepository",
    "core.sparsecheckout",
    "core.sparsecheckoutcone",
    "core.trustctime",
}
_FORMATS = {"extensions.refstorage"}
_PLAIN = re.compile(r"[A-Za-z0-9]{1,32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRepository:
    """Where the parts of a repository on this machine are; found by `locate`."""

    folder: Path
    """The folder that was named, absolute."""
    git_dir: Path
    """The git folder of this working tree: holds HEAD and the index."""
    storage: Storage
    bare: bool
    inside_work_tree: bool
    head: str | None
    """The commit that HEAD names; None in a repository without commits."""
    branch: str | None

    @property
    def source(self) -> str:
        """The one name of this repository, the same from each of its working trees: what a mirror is made for."""
        common = self.storage.folder
        return str(common.parent if common.name == ".git" else common)


@contextmanager
def opened(git: Git, found: LocalRepository, *, logs: bool = False) -> Generator[Place]:
    """Yield a stand-in of the repository: its objects, refs, index and ignore rules, without its configuration.

    Attributes stay the repository's own, since its working tree was written by them; the filters that they may name
    are not configured in the stand-in. `logs` lets the reflogs through, for who updates refs.
    """
    common, own = found.storage.folder, found.git_dir
    wanted = {
        "info/exclude": common / "info/exclude",
        "info/attributes": common / "info/attributes",
        "info/sparse-checkout": own / "info/sparse-checkout",
        **{shared.name: shared for shared in own.glob("sharedindex.*")},
    }
    if logs:
        wanted["logs"] = common / "logs"
    links = {name: target for name, target in wanted.items() if target.exists()}
    with stand_in(git, replace(found.storage, links=links, attributes=None)) as place:
        yield replace(place, index=own / "index")


def locate(git: Git, path: str | Path) -> LocalRepository:
    """Find the repository that a path is in."""
    folder = _folder(path)
    shape = _asked(
        git,
        folder,
        "--is-bare-repository",
        "--is-inside-work-tree",
        "--show-object-format",
        "--path-format=absolute",
        "--git-common-dir",
    )  # fmt: skip - the answers come in this order; the path is last because it may hold a newline
    bare, inside, object_format, common = shape.split("\n", 3)
    git_dir = _asked(git, folder, "--absolute-git-dir")
    here = Place(cwd=folder)
    branch = git.run(here, "symbolic-ref", "-q", "HEAD", codes=(0, 1)).line or None
    head = git.run(here, "rev-parse", "--verify", "-q", "HEAD", codes=(0, 1, 128)).line or None
    storage = Storage(
        folder=Path(common).resolve(),
        object_format=object_format,
        head=f"ref: {branch}" if branch else head or "ref: refs/heads/interlock-none",
        settings=_settings(git, Path(common), Path(git_dir)),
    )
    return LocalRepository(
        folder=folder,
        git_dir=Path(git_dir).resolve(),
        storage=storage,
        bare=bare == "true",
        inside_work_tree=inside == "true",
        head=head,
        branch=branch.removeprefix("refs/heads/") if branch else None,
    )


def top_level(git: Git, found: LocalRepository) -> Path:
    """Return the top folder of the working tree (the git folder of a bare repository), links resolved.

    Raises `WorkTreeElsewhere` unless that folder itself leads back to this repository: `core.worktree` may point
    anywhere, and what it points at is compared with, and written to, by `apply`.
    """
    if found.bare:
        return found.git_dir
    if not found.inside_work_tree:
        raise WorkTreeElsewhere(f"{found.folder} is not inside the working tree of its repository {found.git_dir}")
    top = Path(_asked(git, found.folder, "--show-toplevel")).resolve()
    try:
        back = Path(_asked(git, top, "--absolute-git-dir")).resolve()
    except NotARepository:
        back = None
    if back != found.git_dir:
        raise WorkTreeElsewhere(f"{found.git_dir} says that its working tree is {top}, which does not lead back to it")
    return top


def _folder(path: str | Path) -> Path:
    text = os.fspath(path)
    if not text or "\0" in text:
        raise MalformedSource(f"{text!a} is no path")
    # Absolute, so that a leading dash is never an option; unresolved, so that messages show what was asked for.
    folder = Path(os.path.abspath(text))  # noqa: PTH100 - Path.absolute keeps `..`, Path.resolve follows links
    try:
        is_folder = folder.stat() and folder.is_dir()
    except (FileNotFoundError, NotADirectoryError):
        raise RepositoryMissing(f"{folder} does not exist") from None
    except OSError as error:
        raise RepositoryUnreadable(f"{folder} can not be read: {error.strerror}") from error
    if not is_folder:
        raise RepositoryNotAFolder(f"{folder} is a file, not a folder")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise RepositoryUnreadable(f"{folder} may not be read by this user")
    return folder


_COMPLAINTS = (
    ("unknown repository extension", RepositoryUnsupported),
    ("Expected git repo version", RepositoryUnsupported),
    ("bad config", RepositoryUnsupported),
    ("ermission denied", RepositoryUnreadable),
    ("not a git repository", NotARepository),
)


def _asked(git: Git, folder: Path, *questions: str) -> str:
    """Ask rev-parse where things are; the one command that reads the repository's own configuration."""
    answer = git.run(Place(cwd=folder), "rev-parse", *questions, codes=(0, 128))
    if answer.code == 0:
        return answer.line
    if "dubious ownership" in answer.told:
        raise _dubious(folder)
    for closed in (parent / ".git" for parent in (folder, *folder.parents)):
        if os.path.lexists(closed) and not os.access(closed, os.R_OK):
            raise RepositoryUnreadable(f"{closed} may not be read by this user")
    lines = answer.told.strip().splitlines() or ["git gave no reason"]
    for words, kind in _COMPLAINTS:
        if words in answer.told:
            # At a file system's boundary git says more behind it; of an unknown extension the name comes last.
            told = lines[0] if kind is NotARepository else lines[-1]
            raise kind(f"{folder}: {told.removeprefix('fatal: ')}")
    raise GitFailed(f"git rev-parse in {folder}: {lines[-1]}")


def _dubious(folder: Path) -> DubiousOwnership:
    return DubiousOwnership(
        f"{folder} belongs to user {folder.stat().st_uid}, and Interlock runs as user {os.getuid()}",
        hint="run Interlock as the owner, change the owner with chown, or list the repository's top folder as trusted "
        "in Interlock's settings (git's own safe.directory is not read)",
    )


def _settings(git: Git, common: Path, own: Path) -> dict[str, str]:
    """Read the harmless part of the repository's configuration: as a file, following no include."""
    found: dict[str, str] = {}
    for file in (common / "config", own / "config.worktree"):
        if not file.is_file():
            continue
        listed = git.run(Place(), "config", "--file", str(file), "--no-includes", "--null", "--list")
        for line in listed.out.split(b"\0"):
            key, _, value = line.decode("utf-8", "replace").partition("\n")
            if key in _HARMLESS | _FORMATS and _PLAIN.fullmatch(value or "true"):
                found[key] = value or "true"
    return found
