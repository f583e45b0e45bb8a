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


class DatabaseInUse(Conflict):
    """Something works on the database that is to be moved."""

    code = "database_in_use"
    default_hint = "nothing was changed; stop its workers and servers (`interlock worker`, `serve`, …) and try again"


class DatabaseMoving(Conflict):
    """The database is just being moved to a server."""

    code = "database_moving"
    default_hint = "wait until `interlock migrate` has ended, then do this again"


class DatabaseMoved(Conflict):
    """The database was moved to a server; what is left here takes nothing more."""

    code = "database_moved"
    default_hint = (
        "start this again, for the settings name the new database;"
        " if they do not, `interlock migrate --to` with the same address ends what was begun"
    )


class TargetNotEmpty(Conflict):
    """The database that something is to be moved to holds something already."""

    code = "target_not_empty"
    default_hint = "nothing was changed; name an empty database (`createdb NAME` makes one)"


class TargetUnfit(Invalid):
    """The server can not take a workspace."""

    code = "target_unfit"


class MoveFailed(Failed):
    """What arrived is not what left, or something could not be moved at all."""

    code = "move_failed"
    default_hint = "nothing was changed: the workspace works on its SQLite file as before"


class StorageFull(Unreachable):
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
