"""Repositories: the git side of a run, from the commit that was approved to the result in the user's repository.

    inspect, resolve    what the operator's repository is, which commit a ref means     source.py, local.py, remote.py
    Mirrors, Mirror     our bare copy, in which commits and results are pinned    mirror.py, bare_folder.py, transfer.py
    Worktrees           the folders that agents and checks work in                                        worktrees.py
    collect             files as the agent left them → commit, patch, changed files              collect.py, changes.py
    apply_result        result → branch or working tree of the user's repository              apply.py, working_tree.py

It knows git and folders: no run, no queue, no database. Every call is synchronous and safe to repeat after a crash.

Always true here:
- Only `git.py` starts git. Nothing that a repository or an agent can write makes it run a program (see there).
- The user's repository is never written, except by `apply_result`: objects, and one new branch, or the files and index
  of a clean working tree. Its configuration and hooks are never run or changed.
- The files of a worktree and the blobs of its commit are the same bytes: no filter, no line ending is converted.
- No link is followed out of a worktree.
"""

from interlock.runs.repositories.apply import Applied, apply_result
from interlock.runs.repositories.changes import ChangedFile, shown
from interlock.runs.repositories.collect import Collected, LeftOut, collect
from interlock.runs.repositories.foreign_files import remove_tree, tree_bytes
from interlock.runs.repositories.git import Git
from interlock.runs.repositories.mirror import Mirror, Mirrors
from interlock.runs.repositories.source import RepositoryFacts, inspect, resolve
from interlock.runs.repositories.worktrees import Pruned, Worktree, Worktrees

__all__ = [
    "Applied",
    "ChangedFile",
    "Collected",
    "Git",
    "LeftOut",
    "Mirror",
    "Mirrors",
    "Pruned",
    "RepositoryFacts",
    "Worktree",
    "Worktrees",
    "apply_result",
    "collect",
    "inspect",
    "remove_tree",
    "resolve",
    "shown",
    "tree_bytes",
]
