"""What can be wrong with a database."""

from __future__ import annotations

from interlock.kernel.errors import Conflict, Failed, Invalid, NotFound, Unreachable


class DatabaseMissing(NotFound):
    """There is no database here."""

    code = "database_missing"
    default_hint = "make the workspace with `interlock init DIR`"


class NotADatabase(Invalid):
    """This file is not a database of Interlock's."""

    code = "not_a_database"
    default_hint = "nothing was changed; restore the file from a backup, or move it away and run `interlock init`"


class NewerSchema(Conflict):
    """The database was made by a newer Interlock."""

    code = "newer_schema"


class DatabaseReadOnly(Conflict):
    """The database can not be written."""

    code = "database_read_only"
    default_hint = "check the permissions and the mount of the file and its folder"


class DatabaseBusy(Unreachable):
    """Another process held the database's write lock for too long."""

    code = "database_busy"
    default_hint = "nothing was changed; try again, and see what holds it (a bulk job, a stopped process)"


class StorageFull(Failed):
    """The disk is full."""

    code = "storage_full"
    default_hint = "nothing was changed; free some space and try again"


class DatabaseUnreachable(Unreachable):
    """The database server does not answer."""

    code = "database_unreachable"


class DatabaseDamaged(Failed):
    """The database reports damage."""

    code = "database_damaged"
    default_hint = (
        "stop all writers, copy the files away, and restore a backup; `interlock evidence verify` tells what is whole"
    )


class DatabaseFailed(Failed):
    """The database refused a statement."""

    code = "database_failed"
