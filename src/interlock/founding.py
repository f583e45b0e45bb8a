"""A workspace is made, or completed: files, keys, database and the first events of its log."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from interlock.access.models import Actor, PrincipalKind, require_human
from interlock.app import Interlock, open_database
from interlock.approval.plan import EMPTY_PLAN
from interlock.evidence import publish
from interlock.evidence.directory import folded
from interlock.evidence.joining import asked
from interlock.evidence.keys import create_key, load_signer, load_verifiers
from interlock.fleet.identity import node_id
from interlock.fleet.models import KeyAsked
from interlock.kernel.errors import Invalid
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
            house.admit_keys()
            if actor.principal.kind is PrincipalKind.HUMAN:
                house.delivery.accept_shipped(actor)
    with closing(house.database):
        for sentence in house.catch_up(actor):
            warn(sentence)
    return made


def join_workspace(
    root: Path, actor: Actor, *, database_url: str, replace: bool, warn: Callable[[str], None] = lambda _: None
) -> list[Made]:
    """Make this machine's part of a workspace whose database is there: no key is copied.

    It gets a key of its own, for which the caller, a human, asks the log; whoever holds the log's key adds it. What it
    trusts as the log's public key is what the database says: compare it with the first machine's.
    """
    require_human(actor.principal, "let a machine join")
    settings = for_init(root, database_url, replacing=replace)
    if not settings.database.url:
        raise Invalid("--join is for a database that machines share", hint="name it: --database postgresql://…")
    layout = Layout(root, settings.windows.ops_folder)
    made = list(make_folders(layout))
    with only_writer(layout):
        with closing(open_database(layout, settings)) as database:
            roots = _roots(layout, database)
        if replace:
            made += backed_up(layout, str(UlidSource()()))
        made += make_files(layout, database_url or load(root, {}).database.url)
        made += [make_entry_point(layout), make_queue(layout), *make_server_entry(layout)]
        made += make_loop_scripts(layout, replace=replace)
        made += make_devops_scripts(layout, replace=replace)
        made += make_skeleton(layout)
        made += [_trusted(layout, roots)]
        house = Interlock.at(root)
        with closing(house.database):
            made += [_own_key(house, actor)]
    with closing(house.database):
        for sentence in house.catch_up(actor):
            warn(sentence)
    return made


def _roots(layout: Layout, database: Database) -> list[str]:
    """Return the log's public keys as its directory tells them; raises `WorkspaceInvalid` where there is no log."""
    if layout.log_key.exists():
        raise WorkspaceInvalid(f"{layout.log_key} is there: this is the first machine, which need not join")
    try:
        log = StoredLog(database)
        roots = [key.verifier.vkey() for key in folded(log.key_events()).log_keys() if key.revoked_from is None]
    except DatabaseMissing:
        roots = []
    if not roots:
        raise WorkspaceInvalid(
            "the database has no workspace that could be joined", hint="make the first one: leave --join out"
        )
    return roots


def _trusted(layout: Layout, roots: list[str]) -> Made:
    """Write the log's public keys; those that are there already have to be among them."""
    path = layout.evidence / "log.vkey"
    if path.exists():
        if not {each.vkey() for each in load_verifiers(path)} <= set(roots):
            raise WorkspaceInvalid(f"{path} is of another log than the database's")
        return Made(path, "kept")
    publish.replace(path, [f"{each}\n".encode() for each in roots])
    return Made(path, "created")


def _own_key(house: Interlock, actor: Actor) -> Made:
    """Make this node's key, and ask for it; done again, it asks for the same."""
    node = node_id(house.layout.state, house.new_ulid)
    name = f"service-{node}"
    path = house.layout.keys / f"{name}.key"
    there = path.exists()
    signer = load_signer(path, f"interlock/{name}") if there else create_key(path, f"interlock/{name}")
    vkey, reason = signer.verifier().vkey(), f"joined; asked for by {actor.principal}"
    wish = KeyAsked(
        name=name, vkey=vkey, reason=reason, envelope=asked(signer, name, reason), asked_by=str(actor.principal)
    )
    house.fleet.ask_key(actor, node, wish)
    return Made(path, "kept" if there else "created")


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
    key = layout.log_key
    if any(each.exists() for each in (key, key.with_suffix(".vkey"), layout.evidence / "log.vkey")):
        return
    with suppress(DatabaseMissing, NotADatabase):  # which is for `create` to judge
        if StoredLog(database).size() > 0:
            raise WorkspaceInvalid(
                "the database has the log of another workspace",
                hint="name another one; for one workspace on two machines: `interlock init DIR --database URL --join`",
            )
