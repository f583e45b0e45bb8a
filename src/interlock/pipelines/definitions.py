"""Pipeline definitions: both documented forms of `cicd/pipelines/<name>.yaml`, read strictly into `models.Definition`.

The stage form has stages with tasks of role agents, the job form has named jobs with scripts. Both end as jobs in an
order in which each stands after what it needs, with the checkpoints that it signs and those that it waits for.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final, TypeVar

from interlock.kernel.canonical import Json
from interlock.kernel.words import MalformedCommand, split_command
from interlock.pipelines.errors import ActionUnknown, AgentUnknown, RoleUnknown
from interlock.pipelines.models import (
    Budget,
    CheckpointRule,
    Definition,
    Dialect,
    Job,
    Limits,
    Line,
    Requirement,
    Role,
    Stage,
    StageType,
)
from interlock.pipelines.roles import ACTIONS, ROLE_FILE, RoleDirectory
from interlock.pipelines.yaml_source import Node, is_text, parse

FOLDER: Final = "cicd/pipelines"
NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}", re.ASCII)
MOST_JOBS: Final = 200
MOST_STAGES: Final = 50
MOST_CHECKPOINTS: Final = 50
_MOST_LINES: Final = 50
_MOST_PATH: Final = 500
_MOST_TOKENS: Final = 10**9
_DAY: Final = 86_400

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
_OURS: Final = frozenset({"PATH", "HOME", "NOA_WORKFLOW_ROOT"})
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/@{}^~+-]{0,199}", re.ASCII)
_SHELL_WORDS: Final = frozenset({"&&", "||", "|", ";", "&", ">", ">>", "<", "2>", "2>&1", "&>"})
_STAGE_TYPES: Final[Mapping[str, StageType]] = {
    "crc": "CRC",
    "build": "Build",
    "test": "Test",
    "acceptance": "SingleHostAcceptance",
    "single-host-acceptance": "SingleHostAcceptance",
    "deploy": "Deploy",
    "release": "Deploy",
    "verify": "Verify",
    "audit": "Verify",
    "promote": "Promote",
    "docs": "DocsRefresh",
    "docs-refresh": "DocsRefresh",
    "documentation": "DocsRefresh",
}
"""A definition's own word for a stage, as the seed's readers know it; all others are `Validate`."""

_TOP = {"name", "version", "description", "on", "variables", "agent_roles", "agent_checkpoints", "stages", "artifacts"}
_WORK = {
    "agent_role",
    "agent",
    "action",
    "parameters",
    "script",
    "artifacts",
    "checkpoints",
    "repository",
    "ref",
    "network",
    "environment",
    "limits",
    "estimated_tokens",
    "estimated_latency_ms",
    "budget_sensitive",
}
_PARAMETER_PATHS: Final = ("telemetry", "review")

Found = TypeVar("Found")
_Edges = Mapping[str, Sequence[str]]
_NO_FIELDS: Final[Mapping[str, Node]] = {}


def parse_definition(data: bytes, path: str, *, directory: RoleDirectory, environment: Mapping[str, str]) -> Definition:
    """Read the bytes of a definition; `path` is what complaints call it.

    A variable of the definition takes the value that `environment` has for it, if that is not blank. Raises
    `DefinitionInvalid`, `RoleUnknown`, `AgentUnknown` or `ActionUnknown`, naming file and line.
    """
    top = parse(data, path)
    dialect: Dialect = "jobs" if "jobs" in top.mapping() else "stages"
    fields = top.fields(_TOP | {"jobs"} if dialect == "jobs" else _TOP, ("agent_roles", "stages"))
    variables = _variables(fields.get("variables"), environment)
    return _Reading(top, fields, _Words(variables, directory)).definition(dialect)


def checked_path(node: Node, path: str) -> str:
    """Return a path below the workspace; complains about any other."""
    parts = path.split("/")
    if len(path) > _MOST_PATH or not path.isprintable() or any(part in {"", ".", ".."} for part in parts):
        node.fail(f"must be a path below the workspace, without `.` and `..`, not {path[:80]!a}")
    if parts[0] in {".interlock", ".git"}:
        node.fail(f"must not lead into {parts[0]}")
    return path


def put_in(node: Node, text: str, variables: Mapping[str, str]) -> str:
    """Put declared variables in the place of `${NAME}`; complains about any other name."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in variables:
            node.fail(f"names ${{{match[1][:80]}}}, which is no variable of this definition")
        return variables[match[1]]

    return _VARIABLE.sub(value, text)


def command_of(node: Node, text: str, variables: Mapping[str, str]) -> tuple[str, ...]:
    """Split a command line without a shell, and put variables into its words: a word stays one word."""
    line = text.strip()
    if "\n" in line:
        node.fail("must be one line; write each command for itself")
    try:
        words = split_command(line, "it")
    except MalformedCommand as error:
        raise node.complaint(f"is no command: {error.message}") from None
    for word in _unquoted(line):
        if word in _SHELL_WORDS:
            node.fail(f"has {word} in it, which no shell reads; write sh -c '…' if one is meant")
    return tuple(put_in(node, word, variables) for word in words)


def _check_variable(node: Node, name: str) -> None:
    if not _VARIABLE_NAME.fullmatch(name):
        node.fail("is no name for a variable; it is 1 to 64 letters, digits and _")
    if name in _OURS or name.startswith("INTERLOCK_"):
        node.fail("can not be set: Interlock sets it for every job")


def _unquoted(line: str) -> Iterator[str]:
    """Return the words of a line with their quotes, as far as they can be told."""
    words = shlex.shlex(line, posix=False)
    words.whitespace_split, words.commenters = True, ""
    with suppress(ValueError):
        yield from words


def in_order(edges: _Edges) -> list[str]:
    """Order names so that each stands after those it needs, else as they come; a cycle is a ValueError that names it.

    `edges` has every name with what it needs, all of which it has, too.
    """
    placed: dict[str, None] = {}
    while len(placed) < len(edges):
        for name, needs in edges.items():
            if name not in placed and all(each in placed for each in needs):
                placed[name] = None
                break
        else:
            raise ValueError(" → ".join(_cycle({name: edges[name] for name in edges if name not in placed})))
    return list(placed)


def _cycle(edges: _Edges) -> list[str]:
    """Find a cycle among names each of which needs another of them."""
    walked: list[str] = []
    name = next(iter(edges))
    while name not in walked:
        walked.append(name)
        name = next(each for each in edges[name] if each in edges)
    return [*walked[walked.index(name) :], name]


def _variables(node: Node | None, environment: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, each in (node.mapping() if node else _NO_FIELDS).items():
        _check_variable(each, name)
        declared = each.text(loose=True)
        if "${" in declared:
            each.fail("must not name another variable")
        given = environment.get(name, "")
        if not is_text(given):
            each.fail("is no text in the environment")
        found[name] = given if given.strip() else declared
    return found


@dataclass(frozen=True, slots=True)
class _Words:
    """Reads what has variables and roles in it."""

    variables: Mapping[str, str]
    directory: RoleDirectory

    def text(self, node: Node) -> str:
        found = put_in(node, node.text(), self.variables)
        if not found.strip():
            node.fail("is blank")
        return found

    def path(self, node: Node) -> str:
        return checked_path(node, self.text(node))

    def paths(self, node: Node) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.path(each) for each in node.items("paths")))

    def name(self, node: Node) -> str:
        return _named(node, self.text(node))

    def role(self, node: Node) -> Role:
        """Return the role that a text names, with or without `role::`."""
        return self._resolved(node, lambda text: self.directory.role(text.removeprefix("role::")))

    def worker(self, fields: Mapping[str, Node]) -> Role | None:
        """Return whose work something is by its `agent_role`, else by its `agent`."""
        role, agent = fields.get("agent_role"), fields.get("agent")
        named = self.role(role) if role else None
        meant = self._resolved(agent, lambda text: self.directory.resolve(None, text)) if agent else None
        if agent and named and meant and meant != named:
            agent.fail(f"is {meant.name}, and agent_role is {named.name}")
        return named or meant

    def _resolved(self, node: Node, find: Callable[[str], Found]) -> Found:
        text = self.text(node)
        try:
            return find(text)
        except (RoleUnknown, AgentUnknown) as error:
            raise type(error)(str(node.complaint(f"is unknown: {error.message}"))) from None

    def json(self, node: Node) -> Json:
        """Return a value with variables put into its texts."""
        return self._filled(node, node.json())

    def _filled(self, node: Node, value: Json) -> Json:
        if isinstance(value, str):
            return put_in(node, value, self.variables)
        if isinstance(value, Mapping):
            return {key: self._filled(node, each) for key, each in value.items()}
        return [self._filled(node, each) for each in value] if isinstance(value, Sequence) else value


@dataclass(slots=True, kw_only=True)
class _Work:
    """A job while the definition is being read."""

    node: Node
    id: str
    stage: str
    needs: tuple[str, ...]
    role: Role | None
    lines: tuple[Line, ...]
    action: str | None
    parameters: Mapping[str, Json]
    artefacts: tuple[str, ...]
    asked: list[tuple[Node, CheckpointRule, str]]
    """The checkpoints that it names itself, with what the definition says of each."""
    signs: list[str] = field(default_factory=list[str])


class _Reading:
    """One definition being read."""

    def __init__(self, top: Node, fields: Mapping[str, Node], words: _Words) -> None:
        self._top = top
        self._fields = fields
        self._words = words
        self._roles: dict[str, str] = {}
        self._rules: dict[str, CheckpointRule] = {}
        self._rule_nodes: dict[str, Node] = {}
        self._stages: dict[str, Stage] = {}

    def definition(self, dialect: Dialect) -> Definition:
        stem = PurePosixPath(self._top.source).name.removesuffix(".yaml")
        name = self._fields.get("name")
        if name is not None and self._words.name(name) != stem:
            name.fail(f"must be {stem}, as the file is called")
        self._check_trigger()
        self._read_roles()
        self._read_rules()
        works = self._ordered(list(self._tasks() if dialect == "stages" else self._jobs()))
        self._sign(works)
        jobs = self._jobs_of(works)
        version, description = self._fields.get("version"), self._fields.get("description")
        return Definition(
            name=_named(self._top, stem),
            version=version.text(loose=True, most=100) if version else "1",
            description=description.text() if description else "",
            dialect=dialect,
            path=self._top.source,
            roles=self._roles,
            variables=self._words.variables,
            checkpoints=tuple(self._rules.values()),
            stages=tuple(self._stages.values()),
            jobs=jobs,
            artefacts=self._artefacts(jobs),
        )

    def _check_trigger(self) -> None:
        """Look through `on`, which says for people and other tools what asks for a run; here a person does."""
        if "on" in self._fields:
            merge = self._fields["on"].fields({"merge"}).get("merge")
            for node in (merge.fields({"branches", "paths"}) if merge else _NO_FIELDS).values():
                node.texts("texts")

    def _read_roles(self) -> None:
        for key, node in self._fields["agent_roles"].mapping().items():
            found = self._words.directory.roles.get(key.lower())
            if found is None:
                raise RoleUnknown(str(node.complaint(f"is unknown: role::{key} is not in {ROLE_FILE}")))
            if self._words.text(node) != found.agent_id:
                node.fail(f"must be {found.agent_id}, as in {ROLE_FILE}")
            if found.name in self._roles:
                node.fail("stands twice, in another case")
            self._roles[found.name] = found.agent_id

    def _use(self, role: Role | None) -> Role | None:
        if role is not None:
            self._roles.setdefault(role.name, role.agent_id)
        return role

    # --- checkpoints --------------------------------------------------------------------------------------------------

    def _read_rules(self) -> None:
        listed = self._fields.get("agent_checkpoints")
        for node in listed.items("checkpoints", most=MOST_CHECKPOINTS) if listed else ():
            fields = node.fields({"name", "role", "verifies", "artifact", "description", "summary"}, ("name", "role"))
            name, role = self._words.name(fields["name"]), self._words.role(fields["role"])
            self._use(role)
            path = self._words.path(_one_of(node, fields, "verifies", "artifact"))
            said = fields.get("description") or fields.get("summary")
            rule = CheckpointRule(
                name=name, role=role.name, artefact=path, description=self._words.text(said) if said else ""
            )
            if name in self._rules:
                fields["name"].fail(f"stands twice, first in line {self._rule_nodes[name].line}")
            if any((each.role, each.artefact) == (rule.role, path) for each in self._rules.values()):
                node.fail(f"is about the same role and artefact as another checkpoint ({role.name}, {path})")
            self._rules[name], self._rule_nodes[name] = rule, node

    def _asked(self, node: Node) -> Iterator[tuple[Node, CheckpointRule, str]]:
        for each in node.items("checkpoints", most=MOST_CHECKPOINTS):
            fields = each.fields({"role", "artifact", "verifies", "summary", "description"}, ("role",))
            role = self._words.role(fields["role"])
            path = self._words.path(_one_of(each, fields, "artifact", "verifies"))
            rule = next(
                (rule for rule in self._rules.values() if (rule.role, rule.artefact) == (role.name, path)), None
            )
            if rule is None:
                each.fail(f"matches none of agent_checkpoints: no checkpoint of {role.name} over {path}")
            said = fields.get("summary") or fields.get("description")
            yield each, rule, self._words.text(said) if said else rule.description

    def _signed(self, node: Node) -> Iterator[str]:
        for each in node.items("checkpoints", most=MOST_CHECKPOINTS):
            name = self._words.name(each)
            if name not in self._rules:
                each.fail(f"names {name}, which is none of agent_checkpoints")
            yield name

    # --- stages, tasks, jobs ------------------------------------------------------------------------------------------

    def _stage(self, node: Node, name: str, fields: Mapping[str, Node]) -> Stage:
        if name in self._stages:
            node.fail(f"is a second stage called {name}")
        word = self._words.text(fields["stage"]) if "stage" in fields else name
        parallel = fields["parallel"].flag() if "parallel" in fields else False
        type_: StageType = _STAGE_TYPES.get(word.lower().replace("_", "-"), "Validate")
        found = Stage(name=name, type=type_, parallel=parallel, budget=_budget(fields.get("budget")))
        self._stages[name] = found
        return found

    def _tasks(self) -> Iterator[_Work]:
        known = {"name", "stage", "depends_on", "tasks", "parallel", "budget"}
        listed = self._fields["stages"].items("stages", most=MOST_STAGES)
        read = [(node, node.fields(known, ("name", "tasks"))) for node in listed]
        after = self._depends([(fields["name"], fields.get("depends_on")) for _, fields in read])
        last: dict[str, tuple[str, ...]] = {}
        tasks: dict[str, list[_Work]] = {}
        for node, fields in read:
            stage = self._stage(node, self._words.name(fields["name"]), fields)
            nodes = _some(fields["tasks"], "tasks")
            tasks[stage.name] = [self._task(each, stage, number) for number, each in enumerate(nodes, 1)]
            ids = [each.id for each in tasks[stage.name]]
            last[stage.name] = tuple(ids) if stage.parallel else (ids[-1],)
        for stage, works in tasks.items():
            first = tuple(each for other in after[stage] for each in last[other])
            for number, work in enumerate(works):
                one_after_another = number and not self._stages[stage].parallel
                work.needs = (works[number - 1].id,) if one_after_another else first
                yield work

    def _depends(self, read: Sequence[tuple[Node, Node | None]]) -> dict[str, tuple[str, ...]]:
        """Return the stages that each stage comes after: those it names, else all before it."""
        names = [self._words.name(node) for node, _ in read]
        after: dict[str, tuple[str, ...]] = {}
        for place, (name, (_, depends_on)) in enumerate(zip(names, read, strict=True)):
            after[name] = self._named_of(depends_on, names, "stage") if depends_on else tuple(names[:place])
        try:
            in_order(after)
        except ValueError as error:
            self._fields["stages"].fail(f"go in a circle: {error}")
        return after

    def _named_of(self, node: Node, known: Sequence[str], what: str) -> tuple[str, ...]:
        found: list[str] = []
        for each in node.items(f"{what}s"):
            name = self._words.name(each)
            if name not in known:
                each.fail(f"names {name}, and there is no such {what}")
            found.append(name)
        return tuple(dict.fromkeys(found))

    def _task(self, node: Node, stage: Stage, number: int) -> _Work:
        work = self._work(node, node.fields(_WORK), stage.name)
        work.id = f"{stage.name}/{number}-{work.action or 'script'}"
        return work

    def _jobs(self) -> Iterator[_Work]:
        for node in _some(self._fields["stages"], "stages", most=MOST_STAGES):
            fields = (
                node.fields({"name", "stage", "budget"}, ("name",)) if isinstance(node.value, Mapping) else _NO_FIELDS
            )
            self._stage(node, self._words.name(fields.get("name", node)), fields)
        jobs = self._fields["jobs"].mapping()
        if not 0 < len(jobs) <= MOST_JOBS:
            self._fields["jobs"].fail(f"must hold 1 to {MOST_JOBS} jobs")
        stage_of: dict[str, str] = {}
        for name, node in jobs.items():
            stage = node.fields(_WORK | {"stage", "needs"}, ("stage",))["stage"]
            stage_of[_named(node, name)] = self._words.name(stage)
            if stage_of[name] not in self._stages:
                stage.fail(f"names {stage_of[name]}, and there is no such stage")
        for name in self._stages:
            if name not in stage_of.values():
                self._fields["stages"].fail(f"have {name}, in which there is no job")
        for name, node in jobs.items():
            work = self._work(node, node.mapping(), stage_of[name])
            work.id, work.needs = name, self._needs(node.mapping().get("needs"), name, stage_of)
            yield work

    def _needs(self, node: Node | None, name: str, stage_of: Mapping[str, str]) -> tuple[str, ...]:
        """Return what a job needs: what it says, else every job of every earlier stage."""
        order = list(self._stages)
        own = order.index(stage_of[name])
        if node is None:
            return tuple(each for each in stage_of if order.index(stage_of[each]) < own)
        found = self._named_of(node, list(stage_of), "job")
        for each in found:
            if order.index(stage_of[each]) > own:
                node.fail(f"names {each}, which is in the later stage {stage_of[each]}")
        return found

    # --- one piece of work --------------------------------------------------------------------------------------------

    def _work(self, node: Node, fields: Mapping[str, Node], stage: str) -> _Work:
        role = self._use(self._words.worker(fields))
        action = self._action(fields.get("action"), role)
        parameters = self._parameters(fields.get("parameters"))
        lines = tuple(self._lines(fields["script"])) if "script" in fields else ()
        if action is None and not lines:
            node.fail("must have a script or an action")
        if action == "audit_deployment" and "telemetry" not in parameters:
            node.fail("must name the telemetry that is audited: parameters.telemetry")
        made = [*self._list_of_paths(fields.get("artifacts")), *_texts_of(parameters.get("artefacts"))]
        work = _Work(
            node=node,
            id="",
            stage=stage,
            needs=(),
            role=role,
            lines=lines,
            action=action,
            parameters=parameters,
            artefacts=tuple(dict.fromkeys(made)),
            asked=[],
        )
        checkpoints = fields["checkpoints"].fields({"required", "signs"}) if "checkpoints" in fields else _NO_FIELDS
        work.asked += self._asked(checkpoints["required"]) if "required" in checkpoints else ()
        work.signs += self._signed(checkpoints["signs"]) if "signs" in checkpoints else ()
        return work

    def _action(self, node: Node | None, role: Role | None) -> str | None:
        if node is None:
            return None
        name = self._words.text(node)
        if role is None:
            node.fail("needs an agent_role, whose agent carries it out")
        known = ACTIONS.get(role.name, frozenset())
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            sentence = (
                f"is unknown: {role.agent_id} (role::{role.name}) knows no action {name[:80]!a}; it knows {listed}"
            )
            raise ActionUnknown(str(node.complaint(sentence)))
        return name

    def _parameters(self, node: Node | None) -> Mapping[str, Json]:
        if node is None:
            return {}
        fields = node.mapping()
        found = {name: self._words.json(each) for name, each in fields.items()}
        if not all(name.isascii() for name in found):
            node.fail("have a name that is not ASCII text")
        for name in _PARAMETER_PATHS:
            if name in fields:
                self._words.path(fields[name])
        if "artefacts" in fields:
            self._words.paths(fields["artefacts"])
        return found

    def _lines(self, node: Node) -> Iterator[Line]:
        for each in node.items("commands", most=_MOST_LINES):
            if isinstance(each.value, Mapping):
                fields = each.fields({"run", "if_exists"}, ("run",))
                there = self._words.path(fields["if_exists"]) if "if_exists" in fields else None
                yield Line(argv=self._argv(fields["run"]), if_exists=there)
            else:
                yield Line(argv=self._argv(each))

    def _argv(self, node: Node) -> tuple[str, ...]:
        found = command_of(node, node.text(), self._words.variables)
        if not found[0]:
            node.fail("names no program")
        return found

    def _list_of_paths(self, node: Node | None) -> tuple[str, ...]:
        if node is None:
            return ()
        listed = node.fields({"paths"}, ("paths",))["paths"] if isinstance(node.value, Mapping) else node
        return self._words.paths(listed)

    # --- putting it together ------------------------------------------------------------------------------------------

    def _ordered(self, works: Sequence[_Work]) -> list[_Work]:
        if len(works) > MOST_JOBS:
            self._top.fail(f"has {len(works)} jobs; at most {MOST_JOBS} are possible")
        found = {work.id: work for work in works}
        try:
            return [found[each] for each in in_order({work.id: work.needs for work in works})]
        except ValueError as error:
            self._fields["jobs"].fail(f"go in a circle: {error}")

    def _sign(self, works: Sequence[_Work]) -> None:
        """Say who signs each checkpoint: who is named, else who makes the artefact, else the last job of the role."""
        named: dict[str, _Work] = {}
        for work in works:
            for name in work.signs:
                if name in named:
                    work.node.fail(f"signs {name}, and so does {named[name].id}")
                self._give_role(work, self._rules[name])
                named[name] = work
        for rule in self._rules.values():
            if rule.name not in named:
                signer = self._signer(rule, works)
                self._give_role(signer, rule)
                signer.signs.append(rule.name)

    def _give_role(self, work: _Work, rule: CheckpointRule) -> None:
        if work.role is None:
            work.role = self._words.directory.role(rule.role)
        elif work.role.name != rule.role:
            work.node.fail(f"signs {rule.name}, which is the {rule.role}'s; this job is the {work.role.name}'s")

    def _signer(self, rule: CheckpointRule, works: Sequence[_Work]) -> _Work:
        for work in works:
            if rule.artefact in work.artefacts and (work.role is None or work.role.name == rule.role):
                return work
        for work in reversed(works):
            if work.role is not None and work.role.name == rule.role:
                return work
        return self._rule_nodes[rule.name].fail(f"is signed by no job: none has the role {rule.role}")

    def _jobs_of(self, works: Sequence[_Work]) -> tuple[Job, ...]:
        before: dict[str, dict[str, None]] = {}
        signs = {work.id: work.signs for work in works}
        for work in works:
            near = dict.fromkeys(work.needs)
            before[work.id] = {far: None for each in near for far in before[each]} | near
        return tuple(self._job(work, self._requires(work, before[work.id], signs)) for work in works)

    def _requires(
        self, work: _Work, before: Mapping[str, None], signs: Mapping[str, Sequence[str]]
    ) -> tuple[Requirement, ...]:
        """Return what holds a job back: the checkpoints that it names, and those of every job that it needs."""
        signer = {name: job for job, names in signs.items() for name in names}
        found: dict[str, str] = {}
        for node, rule, summary in work.asked:
            if signer[rule.name] == work.id:
                continue  # passed at its end: it holds back what follows
            if signer[rule.name] not in before:
                node.fail(f"asks for {rule.name}, which {signer[rule.name]} signs, and this job does not need that one")
            found[rule.name] = summary
        for each in before:
            for name in signs[each]:
                found.setdefault(name, self._rules[name].description)
        return tuple(Requirement(checkpoint=name, summary=summary) for name, summary in found.items())

    def _job(self, work: _Work, requires: tuple[Requirement, ...]) -> Job:
        fields = work.node.mapping()
        repository, ref = fields.get("repository"), fields.get("ref")
        tokens, latency = _stated(fields, "estimated_tokens"), _stated(fields, "estimated_latency_ms")
        sensitive = _stated(fields, "budget_sensitive")
        return Job(
            id=work.id,
            stage=work.stage,
            needs=work.needs,
            lines=work.lines,
            role=work.role.name if work.role else None,
            action=work.action,
            parameters=work.parameters,
            artefacts=work.artefacts,
            requires=requires,
            signs=tuple(work.signs),
            repository=self._repository(repository) if repository else None,
            ref=self._ref(ref, repository) if ref else "HEAD",
            network=fields["network"].flag() if "network" in fields else False,
            environment=self._environment(fields.get("environment")),
            limits=_limits(fields.get("limits")),
            estimated_tokens=tokens.number(0, _MOST_TOKENS) if tokens else 0,
            estimated_latency_ms=latency.number(0, _DAY * 1000) if latency else 0,
            budget_sensitive=sensitive.flag() if sensitive else False,
        )

    def _repository(self, node: Node) -> str:
        text = self._words.text(node)
        if not text.startswith("/"):
            return checked_path(node, text)
        checked_path(node, text[1:])
        return text

    def _ref(self, node: Node, repository: Node | None) -> str:
        text = self._words.text(node)
        if repository is None:
            node.fail("says nothing without a repository")
        if not _REF.fullmatch(text) or ".." in text:
            node.fail(f"{text[:80]!a} names no commit, branch or tag")
        return text

    def _environment(self, node: Node | None) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, each in (node.mapping() if node else _NO_FIELDS).items():
            _check_variable(each, name)
            found[name] = put_in(each, each.text(loose=True), self._words.variables)
        return found

    def _artefacts(self, jobs: Sequence[Job]) -> tuple[str, ...]:
        top = self._list_of_paths(self._fields.get("artifacts"))
        return tuple(dict.fromkeys((*top, *(path for job in jobs for path in job.artefacts))))


def _named(node: Node, text: str) -> str:
    if not NAME.fullmatch(text):
        node.fail(f"is called {text[:80]!a}; a name is 1 to 64 of a-z 0-9 -, and begins with no -")
    return text


def _one_of(node: Node, fields: Mapping[str, Node], *names: str) -> Node:
    found = [fields[name] for name in names if name in fields]
    if len(found) != 1:
        node.fail(f"must have {' or '.join(names)}, one of them")
    return found[0]


def _some(node: Node, what: str, *, most: int = MOST_JOBS) -> Sequence[Node]:
    found = node.items(what, most=most)
    if not found:
        node.fail(f"must hold {what}")
    return found


def _texts_of(value: Json) -> tuple[str, ...]:
    return tuple(str(each) for each in value) if isinstance(value, Sequence) and not isinstance(value, str) else ()


def _budget(node: Node | None) -> Budget:
    fields = node.fields({"tokens", "latency_ms"}) if node else _NO_FIELDS
    tokens, latency = fields.get("tokens"), fields.get("latency_ms")
    return Budget(
        tokens=tokens.number(0, _MOST_TOKENS) if tokens else None,
        latency_ms=latency.number(0, _DAY * 1000) if latency else None,
    )


def _limits(node: Node | None) -> Limits:
    fields = node.fields({"seconds", "output_bytes", "file_bytes"}) if node else _NO_FIELDS
    usual = Limits()
    return Limits(
        seconds=fields["seconds"].number(1, _DAY) if "seconds" in fields else usual.seconds,
        output_bytes=fields["output_bytes"].number(1, 2**30) if "output_bytes" in fields else usual.output_bytes,
        file_bytes=fields["file_bytes"].number(1, 2**40) if "file_bytes" in fields else usual.file_bytes,
    )


def _stated(fields: Mapping[str, Node], name: str) -> Node | None:
    """Return what a job says of itself under a name, which may stand in its parameters."""
    parameters = fields.get("parameters")
    return fields.get(name) or (parameters.mapping().get(name) if parameters else None)
