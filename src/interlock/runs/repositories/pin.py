"""Which commit a piece of work means: looked up once, before anybody is asked to approve it."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from interlock.approval.errors import InvalidWork, RepositoryDirty
from interlock.approval.models import Work
from interlock.runs.repositories.git import Git
from interlock.runs.repositories.remote import as_path, is_url
from interlock.runs.repositories.source import inspect, resolve


def pinned(work: Work) -> Work:
    """Return the work with its repository's one name and the full commit id; raises what is wrong with either.

    Without a base that its author named, the repository must be clean: what is not committed would not be run.
    """
    if work.base_ref is not None and (work.repository is None or not work.base_ref.strip()):
        raise InvalidWork("--base names a commit, branch or tag of the repository that --repo names")
    if work.repository is None or work.base_commit is not None:
        return work
    work = replace(work, repository=as_path(work.repository))
    with tempfile.TemporaryDirectory(prefix="interlock-git-") as scratch:
        git = Git(scratch=Path(scratch))
        source = str(work.repository)
        if is_url(source):
            parts = urlsplit(source)
            if parts.password is not None or (parts.username is not None and parts.scheme.startswith("http")):
                raise InvalidWork(
                    "the repository's address holds a name or password, which would be shown to everybody for ever",
                    hint="use an ssh address",
                )
        else:
            facts = inspect(git, source)
            source = facts.source
            if facts.dirty and work.base_ref is None:
                raise RepositoryDirty(f"{facts.path} has changes that are not committed")
        commit, _ = resolve(git, source if is_url(source) else str(work.repository), work.base_ref or "HEAD")
    return replace(work, repository=source, base_commit=commit)
