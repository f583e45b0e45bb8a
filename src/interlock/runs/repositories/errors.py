"""What can go wrong between Interlock and git: each error says it in a sentence and what to do about it."""

from __future__ import annotations

from interlock.kernel.errors import Conflict, Failed, Invalid, NotFound, Refused, Unreachable

# --- git itself ---


class GitMissing(Unreachable):
    """The program git was not found."""

    code = "git_missing"
    default_hint = "install git 2.38 or later and see that its folder is on PATH as an absolute path"


class GitTooOld(Failed):
    """This git is too old for what was asked."""

    code = "git_too_old"
    default_hint = "install git 2.38 or later, or apply as a branch"


class GitFailed(Failed):
    """A git command failed."""

    code = "git_failed"


class GitTimedOut(Failed):
    """A git command took too long and was stopped."""

    code = "git_timed_out"
    default_hint = "look for a very large or blocking file (a named pipe, a dead network mount), then try again"


class OutputTooLarge(Failed):
    """A git command printed more than was allowed."""

    code = "git_output_too_large"


# --- the source: a repository that an operator named ---


class MalformedSource(Invalid):
    """This names no repository."""

    code = "malformed_source"
    default_hint = "give a folder, an https:// or ssh:// URL, or user@host:path"


class RepositoryMissing(NotFound):
    """The repository's folder does not exist."""

    code = "repository_missing"
    default_hint = "check the path; it is read on the machine where Interlock runs"


class RepositoryNotAFolder(Invalid):
    """The repository's path is a file, not a folder."""

    code = "repository_not_a_folder"
    default_hint = "give the folder that holds .git"


class RepositoryUnreadable(Refused):
    """Interlock may not read the repository's folder."""

    code = "repository_unreadable"
    default_hint = "give the user that runs Interlock read access to the folder and to its .git"


class NotARepository(Invalid):
    """The folder is no git repository, nor inside one."""

    code = "not_a_repository"
    default_hint = "give the folder that holds .git, or run `git init` there and commit once"


class RepositoryEmpty(Conflict):
    """The repository has no commit yet."""

    code = "repository_empty"
    default_hint = "commit once; a run starts from a commit"


class RepositoryUnsupported(Invalid):
    """The repository uses a format that the installed git, or Interlock, does not know."""

    code = "repository_unsupported"
    default_hint = "install a newer git, or clone the repository in the ordinary format"


class DubiousOwnership(Refused):
    """The repository belongs to another user of this machine."""

    code = "repository_dubious_ownership"


class WorkTreeElsewhere(Refused):
    """The repository's working tree is not around the folder that was named."""

    code = "work_tree_elsewhere"
    default_hint = "give the top folder of the working tree; look at core.worktree in the repository's configuration"


class RefNotFound(NotFound):
    """The repository has no such branch, tag or commit."""

    code = "ref_not_found"
    default_hint = "list what there is with `git branch -a` and `git tag`; in a shallow clone fetch the commit first"


class ObjectsMissing(Conflict):
    """The repository lacks objects of this commit: it is a partial clone, or damaged."""

    code = "objects_missing"
    default_hint = "run `git fsck`; for a partial clone, `git fetch --refetch` without a filter brings everything"


class RemoteUnreachable(Unreachable):
    """The remote repository does not answer, or does not let Interlock in."""

    code = "remote_unreachable"
    default_hint = "clone it by hand and name the clone: Interlock uses no credential helper and no ssh configuration"


class BaseCommitGone(Conflict):
    """The approved commit is no longer in the repository, and was never pinned."""

    code = "base_commit_gone"
    default_hint = "the history was rewritten or collected: make a new draft at a commit that exists"


# --- the mirror and its worktrees ---


class MalformedName(Invalid):
    """This can not name a worktree or a ref."""

    code = "malformed_name"


class MirrorBusy(Unreachable):
    """Another process works in the mirror of this repository and did not finish in time."""

    code = "mirror_busy"
    default_hint = "try again; if it stays, look at the process named above"


class MirrorDamaged(Failed):
    """The mirror of this repository is not as Interlock left it."""

    code = "mirror_damaged"
    default_hint = "stop the runs of this repository and delete the mirror's folder: the next run brings it again"


class CommitNotInMirror(NotFound):
    """The mirror does not hold this commit."""

    code = "commit_not_in_mirror"
    default_hint = "fetch and pin the commit first"


class WorktreeExists(Conflict):
    """There already is a worktree, or something else, at this place."""

    code = "worktree_exists"
    default_hint = "remove that worktree first; every run and fence has its own"


class WorktreeMissing(NotFound):
    """The worktree's folder is gone, or something else stands in its place."""

    code = "worktree_missing"
    default_hint = "run again from the base commit; nothing can be collected"


class WorktreeNotRemoved(Failed):
    """Some files of a worktree could not be removed."""

    code = "worktree_not_removed"
    default_hint = "look at them with `lsattr` and `mount` (immutable? a mount point? another owner?), then prune again"


class PatchTooLarge(Failed):
    """The run changed more than a patch may hold."""

    code = "patch_too_large"
    default_hint = "have the agent ignore what it builds (.gitignore), or raise the limit in the draft"


# --- bringing a result to the user's repository ---


class MalformedBranch(Invalid):
    """This is no name for a branch."""

    code = "malformed_branch"
    default_hint = "see `git check-ref-format`; by default the branch is interlock/<run id>"


class BranchExists(Conflict):
    """The repository already has this branch, or one that is in its way."""

    code = "branch_exists"
    default_hint = "give another branch name, or delete that branch with `git branch -D`"


class NoWorkingTree(Conflict):
    """The repository is bare: it has no working tree."""

    code = "no_working_tree"
    default_hint = "apply as a branch"


class WorkingTreeDirty(Conflict):
    """The working tree has uncommitted changes, or a merge or rebase that is not finished."""

    code = "working_tree_dirty"
    default_hint = "commit or stash them first, or apply as a branch"


class ApplyConflict(Conflict):
    """The result does not fit the repository's present state; nothing was changed."""

    code = "apply_conflict"
    default_hint = "apply as a branch and merge it yourself"


class FilteredPaths(Conflict):
    """Files of the result pass through a git filter (such as LFS), and Interlock runs no filter."""

    code = "filtered_paths"
    default_hint = "apply as a branch and check it out with your own git"


class ApplyFailed(Failed):
    """The working tree could not be written; it was put back as it was."""

    code = "apply_failed"
    default_hint = "look at permissions and free space, or apply as a branch"
