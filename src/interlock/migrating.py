"""A workspace moves from its SQLite file to PostgreSQL: ids, events, tree and proofs stay what they were.

In this order: nobody works on it, its evidence verifies, everything is copied in one transaction of the server's and
held against the source there, the old file is sealed, the settings name the new database, the old file is put away.
Until the old file is sealed the workspace is what it was. From then on nothing can be lost: the old file takes nothing
more, the new database is complete, and the next `interlock migrate` ends what was begun.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from interlock.access.models import Actor, require_human
from interlock.app import Interlock
from interlock.evidence import publish
from interlock.evidence.errors import LedgerUnsigned
from interlock.evidence.verify import verify_export
from interlock.kernel.errors import Conflict
from interlock.kernel.events import to_leaf
from interlock.settings import FILE_NAME, SettingsInvalid, load, resolved_address, with_database
from interlock.storage.errors import DatabaseMissing, MoveFailed
from interlock.storage.moving import MOVED, Moving, Progress, Standing
from interlock.storage.postgres.arriving import Arriving, arriving
from interlock.storage.sqlite.leaving import Left, check_unused, leaving, put_away
from interlock.workspace.events import WorkspaceMigrated
from interlock.workspace.layout import Layout
from interlock.workspace.orchestrator import unlink_database

ROWS_PER_SECOND = 15_000
"""How many rows are moved and compared in a second, roughly; `make bench` measures it (topic `migrating`)."""
_MODE = 0o644


class AlreadyMoved(Conflict):
    """The workspace's database is on a server already."""

    code = "already_moved"
    default_hint = (
        "there is nothing left to move; `interlock windows verify` and `interlock evidence verify` look at it"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was done, or would be."""

    status: str
    """`moved`; `finished` where an earlier move was ended; `would_move` for a dry run."""
    size: int
    """How many entries the log had before the event of its move."""
    root: str
    tables: Mapping[str, int] = field(default_factory=dict[str, int])
    left_behind: Mapping[str, int] = field(default_factory=dict[str, int])
    held: int = 0
    kept: Path | None = None
    """Where the old file lies now."""
    warnings: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows there are in all."""
        return sum(self.tables.values())

    @property
    def about_seconds(self) -> int:
        """How long it takes, roughly."""
        return max(1, self.rows // ROWS_PER_SECOND)


@dataclass(frozen=True, kw_only=True)
class Migration:
    """One workspace and the address to which it moves."""

    house: Interlock
    address: str
    """As the settings will name it: `${NAME}` stands for what is secret in it."""
    progress: Progress = lambda _table, _done, _total: None
    probe: Callable[[str], None] = lambda _: None
    """Is told of every step, so that a test can stop there."""

    @property
    def _layout(self) -> Layout:
        return self.house.layout

    def look(self) -> Outcome:
        """Say what would be moved; raises what would stand against it, and changes nothing."""
        url = self._checked()
        if self.house.settings.database.url:
            raise AlreadyMoved(f"the workspace's database is {self.house.settings.database.url}")
        self._settings_text()
        with leaving(self._layout.database) as source:
            moving = Moving(source)
            if source.left() is None:
                with arriving(url) as target:
                    moving.check_target(target)
            return _outcome("would_move", moving.standing)

    def carry_out(self, actor: Actor) -> Outcome:
        """Move it, or end an earlier move that was killed; nobody but a human may.

        Raises `DatabaseInUse`, `TargetNotEmpty`, `EvidenceError`, `MoveFailed`: then the workspace is what it was.
        """
        require_human(actor.principal, "move a workspace's database")
        url = self._checked()
        if self.house.settings.database.url:
            return self._end(actor, self._left_behind(), "finished")
        settings = self._settings_text()
        moved = self._move(actor, url, settings)
        return self._end(actor, moved, moved.status)

    # --- what stands against it ---------------------------------------------------------------------------------------

    def _checked(self) -> str:
        """Return the address with its references resolved; raises where the workspace's database is another one."""
        url = resolved_address(self.address, "--to")
        named, found = load(self._layout.root, {}).database.url, self.house.settings.database.url
        if found != named:
            raise SettingsInvalid(
                "INTERLOCK_DATABASE_URL names another database", hint="unset it to move the workspace's"
            )
        if found:
            if self.house.settings.database_url() != url:
                raise AlreadyMoved(f"the workspace's database is {found}")
        elif not self._layout.database.exists():
            raise DatabaseMissing(f"there is no database at {self._layout.database}")
        return url

    def _settings_text(self) -> str:
        path = self._layout.root / FILE_NAME
        return with_database(path.read_text(encoding="utf-8") if path.exists() else "", self.address)

    # --- the steps ----------------------------------------------------------------------------------------------------

    def _move(self, actor: Actor, url: str, settings: str) -> Outcome:
        path = self._layout.database
        check_unused(path)
        with leaving(path) as source:
            left = source.left()
        if left is None:
            self.house.catch_up(actor)  # which also brings the tables to the newest schema
            self.house.close()
        with leaving(path) as source:
            moving = Moving(source)
            self.probe("held")
            if left is None:
                self._copy(actor, moving, url)
            else:
                _check_arrived(url, left, moving)
            outcome = _outcome("moved" if left is None else "finished", moving.standing)
            self._point(settings)
            self.probe("pointed")
            self.house.close()
        return outcome

    def _copy(self, actor: Actor, moving: Moving, url: str) -> None:
        standing = moving.standing
        self._verify(lambda entries: self.house.event_log.leaves(0, entries))
        self.probe("verified")
        with arriving(url) as target:
            moving.carry(target, self._told)
            self.probe("copied")
            self._verify(lambda entries: moving.leaves(target, entries))
            moved = WorkspaceMigrated(subject="workspace", moved_from="sqlite", size=standing.size, root=standing.root)
            who, what = str(actor.principal), actor.correlation_id
            moving.tell(target, to_leaf(moved, principal=who, correlation_id=what, time_ms=target.now()))
            self.probe("told")
        self.probe("committed")
        moving.source.seal(standing.size, standing.root)
        self.probe("sealed")

    def _told(self, table: str, done: int, total: int) -> None:
        self.progress(table, done, total)
        self.probe(f"copying {table}")

    def _verify(self, leaves: Callable[[int], Iterable[bytes]]) -> None:
        """Hold the exported log, its heads and its attestations against the database's log; raises `EvidenceError`."""
        evidence, folder = self.house.evidence, self._layout.evidence
        with self.house.windows.held_still() as entries:
            try:
                verify_export(
                    folder / "ledger.jsonl",
                    folder / "heads.jsonl",
                    evidence.verifiers,
                    origin=evidence.origin,
                    reference=leaves(entries),
                )
            except LedgerUnsigned:
                return

    def _point(self, settings: str) -> None:
        """Let the settings name the new database, from one instant to the next."""
        path = (self._layout.root / FILE_NAME).resolve()
        mode = path.stat().st_mode & 0o777 if path.exists() else _MODE
        publish.replace(path, [settings.encode("utf-8")], mode=mode)
        path.chmod(mode)

    def _left_behind(self) -> Outcome:
        """Say what an earlier move has left to be done; raises `AlreadyMoved` where that is nothing."""
        path = self._layout.database
        if path.exists():
            with leaving(path) as source:
                left = source.left()
            if left is not None:
                return Outcome(status="finished", size=left.size, root=left.root)
        away = sorted(path.parent.glob(f"{path.name}.migrated-*"))
        if away and _is_link(self._layout):
            with leaving(away[-1]) as source:
                left = source.left()
            if left is not None:
                return Outcome(status="finished", size=left.size, root=left.root)
        raise AlreadyMoved(f"the workspace's database is {self.house.settings.database.url}")

    def _end(self, actor: Actor, outcome: Outcome, status: str) -> Outcome:
        """Put the old file away, and bring up to date what follows the log."""
        path = self._layout.database
        warnings: list[str] = []
        away: Path | None = path.with_name(f"{path.name}.migrated-{outcome.size}")
        if path.exists():
            away = put_away(path, f"{path.name}.migrated-{outcome.size}")
        if away is None:
            warnings.append(f"{path} stays where it is, for somebody reads it; it takes nothing more")
        self.probe("put away")
        unlink_database(self._layout)
        self.probe("unlinked")
        with closing(Interlock.at(self._layout.root)) as house:
            house.database.seal()
            warnings += house.catch_up(actor)
        return Outcome(
            status=status,
            size=outcome.size,
            root=outcome.root,
            tables=outcome.tables,
            left_behind=outcome.left_behind,
            held=outcome.held,
            kept=away or path,
            warnings=tuple(warnings),
        )


def _outcome(status: str, standing: Standing) -> Outcome:
    return Outcome(
        status=status,
        size=standing.size,
        root=standing.root,
        tables=standing.tables,
        left_behind=standing.left_behind,
        held=standing.held,
    )


def _check_arrived(url: str, left: Left, moving: Moving) -> None:
    """Raise `MoveFailed` unless a sealed file's workspace is at this address."""
    with arriving(url) as target:
        if not _holds(target, left, moving):
            raise MoveFailed(
                f"the workspace was moved elsewhere, with {left.size} entries; it is not at this address",
                hint="name the address to which it was moved first",
            )


def _holds(target: Arriving, left: Left, moving: Moving) -> bool:
    log = target.copied()
    if log is None or log.origin != moving.standing.origin or log.size <= left.size:
        return False
    moved = f'"kind":"{MOVED}"'.encode()
    return moved in list(moving.leaves(target, left.size + 1))[-1]


def _is_link(layout: Layout) -> bool:
    return os.path.islink(layout.database_link)  # noqa: PTH114 - also one that leads nowhere
