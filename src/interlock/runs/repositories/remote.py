"""A repository that is named by a URL: https, ssh, or `user@host:path`.

Git's transports are used as they are, without credential helpers, ssh configuration or prompts: what they need is in
the URL or in the ssh key of the user that runs Interlock. The URL travels in a private file, never on a command line,
where every user of the machine could read a password in it.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import unquote

from interlock.runs.repositories.errors import GitFailed, MalformedSource, RefNotFound, RemoteUnreachable
from interlock.runs.repositories.git import Git, Place, redacted
from interlock.runs.repositories.standin import Storage, private_folder, stand_in

_URL = re.compile(r"(?:https|ssh)://[^\s/-][^\s]*")
_SCP = re.compile(r"[A-Za-z0-9_][\w.-]*@[A-Za-z0-9][\w.-]*:[^\s-]\S*")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:(?://|:)")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_NOT_OFFERED = ("not our ref", "unadvertised object", "does not allow request")


def is_url(source: str) -> bool:
    """Say whether a source is a URL (else it is a path); raises `MalformedSource` for a URL that is not taken."""
    if _URL.fullmatch(source) or _SCP.fullmatch(source):
        return True
    if _SCHEME.match(source) and not source.startswith("file://"):
        raise MalformedSource(f"{redacted(source)!a} is a kind of URL that Interlock does not fetch from")
    return False


def as_path(source: str) -> str:
    """Return the path that a `file://` URL means; any other text as it is."""
    return unquote(source.removeprefix("file://")) if source.startswith("file://") else source


def resolve_url(git: Git, url: str, ref: str, *, timeout_s: float = 60.0) -> tuple[str, str]:
    """Return the commit that a branch or tag of a remote means, and its object format.

    A full commit id is returned as it is; whether the remote has it shows when it is fetched.
    """
    commit = ref if _COMMIT.fullmatch(ref) else _listed(git, url, ref, timeout_s)
    return commit, "sha256" if len(commit) == len("0" * 64) else "sha1"


def fetch_url(
    git: Git, storage: Storage, *, url: str, commit: str, keep_open: tuple[int, ...], timeout_s: float
) -> None:
    """Bring a commit and its history into `storage`; raises `RemoteUnreachable`. The caller looks if it came."""
    options = ["--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--no-recurse-submodules"]
    with _configured(git, storage, url) as place:
        here = replace(place, keep_open=keep_open)
        try:
            git.run(here, "fetch", *options, "source", commit, timeout_s=timeout_s)
        except GitFailed as error:
            if not any(words in error.message for words in _NOT_OFFERED):
                raise _unreachable(url, error) from error
            # An old or strict server gives no commit by its id: take its branches and tags, where it may be.
            specs = [f"+refs/{kind}/*:refs/interlock/remote/{kind}/*" for kind in ("heads", "tags")]
            git.run(here, "fetch", *options, "source", *specs, timeout_s=timeout_s)


def _listed(git: Git, url: str, ref: str, timeout_s: float) -> str:
    if not ref or not ref.isprintable() or " " in ref:
        raise RefNotFound(f"{ref!a} can not be a branch, tag or commit")
    with private_folder(git.scratch) as empty:
        for name in ("objects", "refs"):
            (empty / name).mkdir()
        with _configured(git, Storage(folder=empty), url) as place:
            try:
                told = git.run(place, "ls-remote", "--quiet", "source", timeout_s=timeout_s).line
            except GitFailed as error:
                raise _unreachable(url, error) from error
    found = {name: commit for commit, _, name in (line.partition("\t") for line in told.splitlines())}
    # An annotated tag is listed twice; `^{}` is the commit that it means.
    for name in (ref, f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}", f"refs/heads/{ref}"):
        if name in found:
            return found[f"{name}^{{}}"] if f"{name}^{{}}" in found else found[name]
    raise RefNotFound(f"{redacted(url)} has no branch or tag {ref!a}")


@contextmanager
def _configured(git: Git, storage: Storage, url: str) -> Generator[Place]:
    escaped = url.replace("\\", "\\\\").replace('"', '\\"')
    settings = {**storage.settings, 'remote "source".url': f'"{escaped}"'}
    with stand_in(git, replace(storage, settings=settings)) as place:
        yield place


def _unreachable(url: str, error: GitFailed) -> RemoteUnreachable:
    return RemoteUnreachable(f"{redacted(url)}: {error.message}")
