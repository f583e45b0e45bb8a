"""What can be wrong with a workspace."""

from __future__ import annotations

from interlock.kernel.errors import Conflict, Failed, Invalid, NotFound


class WorkspaceMissing(NotFound):
    """There is no workspace here."""

    code = "workspace_missing"
    default_hint = "make one with `interlock init DIR`, or name it with --workspace"


class NotAWorkspace(WorkspaceMissing):
    """The folder that was named is not a workspace."""


class DoctorAlarmed(Failed):
    """Something that Interlock stands on is broken."""

    code = "doctor_alarmed"
    default_hint = "do what stands beside each of them; `interlock doctor` changes nothing"


class WorkspaceInvalid(Invalid):
    """A workspace can not be made here."""

    code = "workspace_invalid"


class WorkspaceIncomplete(Failed):
    """A workspace was not made completely."""

    code = "workspace_incomplete"
    default_hint = "mend that and run `interlock init` again: it completes what is there"


class WindowsBusy(Conflict):
    """Another process is writing the window files."""

    code = "windows_busy"
    default_hint = "they are caught up by the next command"


class WindowsUnreadable(Failed):
    """A file about the windows can not be read."""

    code = "windows_unreadable"
    default_hint = "move it away; it is made anew"


class WindowsDiffer(Failed):
    """Window files differ from the database."""

    code = "windows_differ"
    default_hint = "look at them; `interlock windows rebuild` keeps a copy and writes them anew"
