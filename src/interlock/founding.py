"""A workspace is made, or completed: files, keys, database and the first events of its log."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from interlock.access.models import Actor, PrincipalKind
from interlock.app import LOG_KEY, Interlock, open_database
from interlock.approval.plan import EMPTY_PLAN
from interlock.kernel.ids import UlidSource
from interlock.settings import Settings, for_init, load
from interlock.storage.database import Database
from interlock.storage.errors import DatabaseMissing, NotADatabase
from interlock.storage.evidence import StoredLog
from interlock.storage.sqlite.database import SqliteDatabase
from interlock.workspace.devops_scripts import make_devops_scripts
from interlock.workspace.errors import WorkspaceInvalid
from interlock.workspace.events import WorkspaceCreated
from interlock.workspace.layout import Layout
from interlock.workspace.loop_scripts import make_loop_scripts
from interlock.workspace.orchestrator import link_database, make_entry_point, make_queue, take_over_database
from interlock.workspace.preflight import make_server_entry
from interlock.workspace.service import Made, backed_up, make_files, make_folders, make_keys
from interlock.workspace.skeleton import make_skeleton
from interlock.workspace.windows import only_writer


def create_workspace(
    root: Path, actor: Actor, *, database_url: str, replace: bool, warn: Callable[[str], None] = lambda _: None
) -> list[Made]:
    """Make a workspace, or complete one; everything that is there is kept and reported.

    The database comes before the settings that name it, so that a mistyped address can be put right.
    """
    settings = for_init(root, database_url, replacing=replace)
    layout = Layout(root, settings.windows.ops_folder)
    made = list(make_folders(layout))
    with only_writer(layout):
        taken = [] if settings.database.url else list(take_over_database(layout, _adopt))
        database = _make_database(layout, settings)
        made += taken or database
        named = database_url or load(root, {}).database.url
        if replace:
            made += backed_up(layout, str(UlidSource()()))
        made += make_files(layout, named)
        made += [make_entry_point(layout), make_queue(layout), *make_server_entry(layout)]
        made += make_loop_scripts(layout, replace=replace)
        made += make_devops_scripts(layout, replace=replace)
        made += make_skeleton(layout)
        if not settings.database.url:
            made += link_database(layout)
        house = Interlock.at(root)
        with closing(house.database):
            log = StoredLog(house.database)
            made += make_keys(layout, log.origin(), _person(actor))
            if log.size() == 0:
                house.tell(actor, WorkspaceCreated(subject="workspace", origin=log.origin()))
            if house.approval.plan().version == 0:
                house.approval.set_plan(actor, EMPTY_PLAN)
            house.keyring.complete(actor)
            if actor.principal.kind is PrincipalKind.HUMAN:
                house.delivery.accept_shipped(actor)
    with closing(house.database):
        for sentence in house.catch_up(actor):
            warn(sentence)
    return made


def _person(actor: Actor) -> str | None:
    return actor.principal.name if actor.principal.kind is PrincipalKind.HUMAN else None


def _adopt(path: Path) -> None:
    with closing(SqliteDatabase(path)) as database:
        database.create(f"interlock.local/{UlidSource()().lower()}")


def _make_database(layout: Layout, settings: Settings) -> list[Made]:
    """Make the database, or upgrade it; but no empty one beside the ledger of a log that is lost."""
    ledger = layout.evidence / "ledger.jsonl"
    with closing(open_database(layout, settings)) as database:
        try:
            begun = not ledger.exists() or not ledger.stat().st_size or StoredLog(database).size() > 0
        except DatabaseMissing:
            begun = False
        if not begun:
            raise WorkspaceInvalid(
                f"{ledger} is of a log whose database is gone",
                hint="restore the database from a backup, or move the ledger's folder away to begin a new log",
            )
        _check_own_log(layout, database)
        fresh = database.create(f"interlock.local/{UlidSource()().lower()}")
    return [] if settings.database.url else [Made(layout.database, "created" if fresh else "kept")]


def _check_own_log(layout: Layout, database: Database) -> None:
    """Refuse the database of another workspace: a key of our own would stand in a log that does not know it."""
    key = layout.keys / LOG_KEY
    if any(each.exists() for each in (key, key.with_suffix(".vkey"), layout.evidence / "log.vkey")):
        return
    with suppress(DatabaseMissing, NotADatabase):  # which is for `create` to judge
        if StoredLog(database).size() > 0:
            raise WorkspaceInvalid(
                "the database has the log of another workspace",
                hint="name another one; for one workspace on two machines copy the settings and keys of the first",
            )
