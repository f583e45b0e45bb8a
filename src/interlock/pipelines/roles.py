"""The role directory: which agent fills which role, read strictly from `agents/data/agent_roles.json`."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, cast

from interlock.access.errors import MalformedPrincipal
from interlock.access.models import checked_name
from interlock.kernel.errors import InterlockError
from interlock.pipelines.errors import AgentUnknown, RoleFileInvalid, RoleUnknown
from interlock.pipelines.models import Role
from interlock.pipelines.yaml_source import regular_bytes

ROLE_FILE: Final = "agents/data/agent_roles.json"
ACTIONS: Final[Mapping[str, frozenset[str]]] = {
    "planner": frozenset({"gather_context", "run_self_heal"}),
    "operator": frozenset({"deploy_updates"}),
    "verifier": frozenset({"audit_deployment"}),
}
"""What the built-in agents of the roles know."""

_MOST_BYTES: Final = 256 * 1024
_MOST_ROLES: Final = 100
_MOST_DESCRIPTION: Final = 2000
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)
_KEYS: Final = frozenset({"agent_id", "description", "keyids"})
_KEYID = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')
_PREFIXES: Final = ("role::", "role:")

_Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RoleDirectory:
    """The roles, by their lower-case names."""

    roles: Mapping[str, Role]
    digest: str
    """Of the role file's bytes: `sha256:<hex>`."""

    def role(self, name: str) -> Role:
        """Return a role by its name, in whatever case; raises `RoleUnknown`."""
        found = self.roles.get(name.strip().lower())
        if found is None:
            known = ", ".join(sorted(self.roles)) or "none"
            raise RoleUnknown(f"role::{name.strip()} is not in {ROLE_FILE} (known: {known})")
        return found

    def agent(self, agent_id: str) -> Role:
        """Return the role that an agent fills: by its id, then by its id in another case; raises `AgentUnknown`."""
        wanted = agent_id.strip()
        for same in (str, str.lower):
            for role in self.roles.values():
                if same(role.agent_id) == same(wanted):
                    return role
        raise AgentUnknown(f"no role of {ROLE_FILE} is filled by the agent {wanted}")

    def resolve(self, agent_role: str | None, agent: str | None) -> Role | None:
        """Return who a task is for: its `agent_role`, else the role or agent that `agent` names; None for nobody.

        Raises `RoleUnknown` or `AgentUnknown`.
        """
        if agent_role is not None and agent_role.strip():
            return self.role(agent_role)
        if agent is None or not agent.strip():
            return None
        named = agent.strip()
        for prefix in _PREFIXES:
            if named.startswith(prefix):
                return self.role(named.removeprefix(prefix))
        return self.agent(named)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleChange:
    """One role that is not as the log last said."""

    role: str
    agent_id: str | None
    """None: there is no such role any more."""
    previous_agent_id: str | None
    """None: it is new."""
    description: str


def read_roles(root: Path) -> RoleDirectory:
    """Read the role file of a workspace; raises `RoleFileInvalid`, naming file and line."""
    return parse_roles(role_file_bytes(root))


def role_file_bytes(root: Path) -> bytes:
    """Return the role file's bytes; raises `RoleFileInvalid`."""
    try:
        return regular_bytes(root / ROLE_FILE, _MOST_BYTES)
    except FileNotFoundError:
        raise RoleFileInvalid(f"{ROLE_FILE} is not there") from None
    except (OSError, ValueError) as error:
        raise RoleFileInvalid(f"{ROLE_FILE} can not be read: {error}") from None


def parse_roles(data: bytes) -> RoleDirectory:
    """Read the bytes of a role file; raises `RoleFileInvalid`, naming the line."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        _refuse(data.count(b"\n", 0, error.start) + 1, "this is not UTF-8")
    try:
        found: object = json.loads(text)
    except json.JSONDecodeError as error:
        _refuse(error.lineno, f"{error.msg} (column {error.colno})")
    except (RecursionError, ValueError):
        _refuse(1, "this is not JSON that can be read")
    lines = _lines(text)
    if not isinstance(found, dict):
        _refuse(1, "must be one object of roles")
    roles: dict[str, Role] = {}
    for name, entry in cast("dict[str, Any]", found).items():
        role = _role(name, entry, lines)
        if role.name in roles:
            _refuse(lines[name,], f"the role {role.name} stands twice, in another case")
        roles[role.name] = role
    if not 0 < len(roles) <= _MOST_ROLES:
        _refuse(1, f"must hold 1 to {_MOST_ROLES} roles")
    return RoleDirectory(roles, "sha256:" + hashlib.sha256(data).hexdigest())


def role_changes(before: Mapping[str, tuple[str, str]], directory: RoleDirectory) -> Sequence[RoleChange]:
    """Compare what the log last said of each role (agent id and description) with the directory, sorted by role."""
    now = {role.name: (role.agent_id, role.description) for role in directory.roles.values()}
    return [
        RoleChange(
            role=name,
            agent_id=now[name][0] if name in now else None,
            previous_agent_id=before[name][0] if name in before else None,
            description=now[name][1] if name in now else "",
        )
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]


def uncommitted(root: Path) -> str | None:
    """Say in a sentence that the role file is not as the workspace's repository has it at HEAD.

    None if it is, or where there is no repository.
    """
    # Git and processes come late: reading roles needs neither.
    from tempfile import TemporaryDirectory  # noqa: PLC0415 - see above

    from interlock.runs.repositories.git import Git  # noqa: PLC0415 - see above
    from interlock.runs.repositories.local import locate, opened, top_level  # noqa: PLC0415 - see above

    try:
        with TemporaryDirectory() as scratch:
            git = Git(Path(scratch))
            repository = locate(git, root)
            path = (root.resolve() / ROLE_FILE).relative_to(top_level(git, repository)).as_posix()
            if repository.head is None:
                return f"{ROLE_FILE} was never committed"
            with opened(git, repository) as place:
                listed = git.run(place, "ls-tree", "-z", repository.head, "--", f":(top,literal){path}").out
        data = regular_bytes(root / ROLE_FILE, _MOST_BYTES)
    except (InterlockError, OSError, ValueError):
        return None
    kept = listed.split(b"\t")[0].split(b" ")[-1].decode("ascii")
    if not kept:
        return f"{ROLE_FILE} was never committed"
    # The blob's name is computed here: `git hash-object` and `git status` would obey filters of the repository.
    named_by = hashlib.sha256 if len(kept) == 64 else hashlib.sha1
    same = named_by(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() == kept
    return None if same else f"{ROLE_FILE} has changes that are not committed"


def _role(name: str, entry: object, lines: Mapping[_Path, int]) -> Role:
    line = lines[name,]
    if not _NAME.fullmatch(name.lower()) or not name.isascii():
        _refuse(line, f"{name[:80]!a} is no name for a role; it is 1 to 64 of a-z 0-9 - _")
    if not isinstance(entry, dict):
        _refuse(line, f"{name} must be an object with an agent_id")
    found = cast("dict[str, Any]", entry)
    for key in found:
        if key not in _KEYS:
            _refuse(lines[name, key], f"{name}.{key[:80]!s} is not known; a role has agent_id and description")
    if "agent_id" not in found:
        _refuse(line, f"{name} must have an agent_id")
    agent_id = found["agent_id"]
    try:
        checked_name(agent_id)
    except (MalformedPrincipal, TypeError):
        _refuse(lines[name, "agent_id"], f"{name}.agent_id {str(agent_id)[:80]!a} is no name for an agent")
    description = found.get("description", "")
    if not isinstance(description, str) or len(description) > _MOST_DESCRIPTION or not description.isprintable():
        _refuse(lines[name, "description"], f"{name}.description must be one line of text")
    if "keyids" in found:
        _check_keyids(found["keyids"], name, lines[name, "keyids"])
    return Role(name.lower(), agent_id, description)


def _check_keyids(found: object, name: str, line: int) -> None:
    listed = cast("list[object]", found) if isinstance(found, list) else [None]
    if not all(isinstance(each, str) and _KEYID.fullmatch(each) for each in listed):
        _refuse(line, f"{name}.keyids must be a list of key ids, none of them blank")


def _lines(text: str) -> dict[_Path, int]:
    """Find the line of every key of objects in a text that is JSON; refuses a key that stands twice."""
    found: dict[_Path, int] = {}
    for path, line in _keys(text):
        if path in found:
            _refuse(line, f"{'.'.join(path)} stands twice, first in line {found[path]}")
        found[path] = line
    return found


def _keys(text: str) -> Iterator[tuple[_Path, int]]:
    # The key under way of each open object; None is an array.
    open_: list[str | None] = []
    line, end, expects_key = 1, 0, False
    for token in _TOKEN.finditer(text):
        line += text.count("\n", end, token.start())
        end = token.start()
        word = token[0]
        if word in "{[":
            open_.append("" if word == "{" else None)
        elif word in "}]":
            open_.pop()
        elif expects_key and open_ and open_[-1] is not None and word != ",":
            open_[-1] = json.loads(word)
            yield tuple("[]" if each is None else each for each in open_), line
        expects_key = word in "{,"


def _refuse(line: int, sentence: str) -> NoReturn:
    raise RoleFileInvalid(f"{ROLE_FILE}:{line}: {sentence}")
