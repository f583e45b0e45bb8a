"""What a workspace declares to run, and whether that is what a human accepted.

Every look reads each file once: what is parsed is what is hashed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from interlock.pipelines.definitions import FOLDER, NAME, parse_definition
from interlock.pipelines.errors import DefinitionMissing
from interlock.pipelines.materials import Finder, as_read, definition_digest, find_materials, search_path
from interlock.pipelines.models import Acceptance, Definition, Material, Standing
from interlock.pipelines.roles import ROLE_FILE, RoleDirectory, parse_roles, role_file_bytes
from interlock.pipelines.yaml_source import file_bytes, regular_bytes

_SUFFIX: Final = ".yaml"
_MOST_ASSET_BYTES: Final = 4 << 20
_NEVER: Final = "no human has accepted it yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A definition of any kind, with all that it names: what an acceptance is about."""

    name: str
    """Under which it is accepted, e.g. `doc-refresh` or `deployment/site`."""
    path: str
    """Of its file, below the workspace."""
    data: bytes
    """Of its file, as they were parsed."""
    commands: Sequence[Sequence[str]] = ()
    """Argument lists, variables put in."""
    files: Sequence[str] = ()
    """More files below the workspace whose bytes count."""
    made: Collection[str] = ()
    """Files below the workspace that its commands make, and that therefore do not count."""
    variables: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Looked:
    """One look at a definition."""

    definition: Definition
    standing: Standing
    proposed: Acceptance
    """What accepting it now would keep, still without who and when."""


@dataclass(frozen=True, slots=True)
class Declared:
    """The definitions of one workspace."""

    root: Path
    environment: Mapping[str, str]
    """Whose PATH an acceptance freezes, and whose variables win over a definition's."""
    program: str = sys.executable
    """An interpreter whose folder is searched after PATH."""

    def names(self) -> tuple[str, ...]:
        """Return the names of every pipeline's definition, sorted; whether it can be read is not looked at."""
        stems = (entry.name.removesuffix(_SUFFIX) for entry in (self.root / FOLDER).glob(f"*{_SUFFIX}"))
        return tuple(sorted(stem for stem in stems if NAME.fullmatch(stem)))

    def roles(self) -> RoleDirectory:
        """Return the role directory; raises `RoleFileInvalid`."""
        return parse_roles(role_file_bytes(self.root))

    def load(self, name: str) -> Definition:
        """Return a pipeline's definition.

        Raises `DefinitionMissing`, `DefinitionInvalid`, `RoleFileInvalid`, `RoleUnknown`, `AgentUnknown` or
        `ActionUnknown`, naming file and line.
        """
        return self._parsed(name)[0]

    def look(self, name: str, accepted: Acceptance | None) -> Looked:
        """Read a pipeline's definition once, and hold it against what was accepted; raises as `load`."""
        definition, data, roles = self._parsed(name)
        own = (as_read(definition.path, self.root, data), as_read(ROLE_FILE, self.root, roles))

        def find(path: str) -> tuple[Material, ...]:
            return (*own, *find_materials(definition, self.root, path))

        standing, proposed = self._held(name, definition.path, find, definition.variables, accepted)
        return Looked(definition, standing, proposed)

    def standing(self, name: str, accepted: Acceptance | None) -> Standing:
        """Hold a pipeline's definition, and all that it names, against what was accepted; raises as `load`."""
        return self.look(name, accepted).standing

    def standing_of(self, named: Named, accepted: Acceptance | None) -> tuple[Standing, Acceptance]:
        """Hold any definition against what was accepted; returns also what accepting it now would keep."""

        def find(path: str) -> tuple[Material, ...]:
            finder = Finder(self.root, path, made={*named.made, named.path})
            for argv in named.commands:
                finder.command(argv)
            for each in named.files:
                finder.word(each)
            return (as_read(named.path, self.root, named.data), *finder.materials())

        return self._held(named.name, named.path, find, named.variables, accepted)

    def assets_missing(self) -> tuple[str, ...]:
        """Return what the instrumentation checklist asks for and is not there, empty, or no JSON where it has to be."""
        # The list is one with what self-heal looks for, whose probes are only loaded where a pipeline starts.
        from interlock.pipelines.checks import READMES, SCHEMAS  # noqa: PLC0415 - see above

        return tuple(each for each in (*READMES, *SCHEMAS) if not self._is_whole(each))

    def _is_whole(self, path: str) -> bool:
        try:
            data = regular_bytes(self.root / path, _MOST_ASSET_BYTES)
            if path.endswith(".json"):
                json.loads(data)
        except (OSError, ValueError, RecursionError):
            return False
        return bool(data.strip())

    def _parsed(self, name: str) -> tuple[Definition, bytes, bytes]:
        """Return a definition with the bytes of its file and of the role file, from which it was read."""
        if not NAME.fullmatch(name):
            raise DefinitionMissing(f"there is no pipeline {name[:80]!a}")
        path = f"{FOLDER}/{name}{_SUFFIX}"
        data, roles = file_bytes(self.root, path), role_file_bytes(self.root)
        directory = parse_roles(roles)
        return parse_definition(data, path, directory=directory, environment=self.environment), data, roles

    def _held(
        self,
        name: str,
        path: str,
        find: Callable[[str], tuple[Material, ...]],
        variables: Mapping[str, str],
        accepted: Acceptance | None,
    ) -> tuple[Standing, Acceptance]:
        def proposed(places: str) -> Acceptance:
            found = find(places)
            return Acceptance(
                name=name,
                digest=definition_digest(name, found, variables, places, self.root),
                search_path=places,
                materials=found,
                variables=dict(variables),
                accepted_by="",
                accepted_ms=0,
                envelope="",
            )

        changes = (_NEVER,)
        if accepted is not None:
            same = proposed(accepted.search_path)
            if same.digest == accepted.digest:
                return Standing(name=name, digest=same.digest, accepted=accepted), same
            changes = tuple(_changes(accepted, same, path)) or ("it is not what was accepted",)
        fresh = proposed(search_path(self.environment, self.program))
        return Standing(name=name, digest=fresh.digest, accepted=accepted, changes=changes), fresh


def _changes(accepted: Acceptance, now: Acceptance, path: str) -> Iterator[str]:
    """Tell in sentences what is not as it was accepted, under the same search path."""
    before = {(each.kind, each.name): each for each in accepted.materials}
    after = {(each.kind, each.name): each for each in now.materials}
    own = ("file", path)
    if _change(before.pop(own, None), after.pop(own, None)) is not None:
        yield "the definition's text was changed"
    for name in sorted({*accepted.variables, *now.variables}):
        value = now.variables.get(name)
        if value != accepted.variables.get(name):
            yield f"{name} is no variable any more" if value is None else f"{name} is now {value}"
    for key in sorted({*before, *after}):
        told = _change(before.get(key), after.get(key))
        if told is not None:
            yield f"{key[1]} {told}"


def _change(before: Material | None, after: Material | None) -> str | None:
    if before is None or after is None:
        return "is named now" if before is None else "is not named any more, or is not there"
    if not after.path and before.path:
        return "is not there any more"
    if after.sha256 != before.sha256:
        return "was changed" if before.path else "is there now (what a job makes has to be among its artefacts)"
    if after.path != before.path:
        return f"is found at another place ({after.path}, not {before.path or 'nowhere'})"
    return None
