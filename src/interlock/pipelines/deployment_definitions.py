"""Deployment definitions: `cicd/deployments/<name>.yaml`, read strictly.

What stands in one is accepted by a human together with every command, script, probe and address in it. Variables are
the file's own: those of the whole file, then those of the environment, then of the colour or instance. Nothing of the
caller's process gets in, so that a digest says what will be run.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Final

from interlock.kernel.errors import Invalid
from interlock.kernel.words import split_command
from interlock.pipelines.errors import DefinitionInvalid, DefinitionMissing
from interlock.pipelines.models import Environment, Limits, Line
from interlock.pipelines.probes import Measure, Probe, Threshold, checked_url
from interlock.pipelines.strategies import (
    HOOKS,
    STRATEGIES,
    VARIABLES,
    DeclaredStep,
    Recipe,
    filled,
    names_in,
)
from interlock.pipelines.yaml_source import Node, Scalar, file_bytes, parse

FOLDER: Final = "cicd/deployments"
ACCEPTED_AS: Final = "deployment/"
"""An acceptance of a deployment definition stands under this and its name."""
ENVIRONMENTS: Final[Mapping[str, Environment]] = {
    "development": "Development",
    "staging": "Staging",
    "production": "Production",
}

_KEYS: Final = (
    "name",
    "description",
    "strategy",
    "environments",
    "variables",
    "hooks",
    "rollback",
    "colours",
    "instances",
    "weights",
    "steps",
    "probes",
    "artefacts",
    "limits",
    "network",
)
_PROBE_KEYS: Final = (
    "name",
    "http",
    "command",
    "metric",
    "at",
    "as",
    "threshold",
    "baseline_ms",
    "timeout_seconds",
    "retries",
    "interval_seconds",
)
_MEASURES: Final[Mapping[str, Measure]] = {
    "error_rate": "error_rate",
    "response_time_ms": "response_time_ms",
    "cpu": "cpu_usage",
    "cpu_usage": "cpu_usage",
    "memory": "memory_usage",
    "memory_usage": "memory_usage",
    "active_connections": "active_connections",
}
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_VARIABLE: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_OURS: Final = frozenset({*VARIABLES, "PATH", "HOME", "TMPDIR", "NOA_WORKFLOW_ROOT"})
_MOST_NAMED: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentDefinition:
    """A deployment as its file declares it."""

    name: str
    description: str
    path: str
    """Below the workspace."""
    text: bytes
    """The file as it was read."""
    environments: Mapping[Environment, Mapping[str, str]]
    """With all variables that hold there, but for those of colours and instances."""
    recipe: Recipe
    probes: tuple[Probe, ...]
    artefacts: tuple[str, ...] = ()
    """Files below the workspace that commands name and that change by themselves: their bytes are not accepted."""
    limits: Limits = field(default_factory=Limits)
    """Of one command."""
    network: bool = False
    """Whether its commands have any; probes are ours, and ask what they name."""

    @property
    def accepted_as(self) -> str:
        """Return the name under which a human accepts it."""
        return f"{ACCEPTED_AS}{self.name}"

    def lines(self) -> tuple[Line, ...]:
        """Return every command in it, as far as the file alone says what it is."""
        recipe = self.recipe
        declared = [line for step in recipe.steps for line in (step.run, step.undo) if line is not None]
        probed = [probe.line for probe in self.probes if probe.line is not None]
        lines = [*recipe.hooks.values(), *recipe.rollback.values(), *declared, *probed]
        return tuple(dict.fromkeys(_known(line, variables) for line in lines for variables in self.variables()))

    def made(self) -> frozenset[str]:
        """Return the files below the workspace whose bytes are nothing that a human accepts."""
        named = (*self.artefacts, *(probe.file for probe in self.probes if probe.file is not None))
        later = {name: f"${{{name}}}" for name in VARIABLES}
        return frozenset(filled(path, {**later, **known}) for path in named for known in self.variables())

    def variables(self) -> Iterator[Mapping[str, str]]:
        """Yield what its commands can be given, once for each environment, colour and instance."""
        for general in self.environments.values():
            for colour in self.recipe.colours.values():
                for instance in self.recipe.instances.values() or [dict[str, str]()]:
                    yield {**general, **colour, **instance}


def deployment_names(root: Path) -> tuple[str, ...]:
    """Return the names of every deployment definition of a workspace, also of those that can't be read."""
    found = (path.stem for path in (root / FOLDER).glob("*.yaml") if path.is_file())
    return tuple(sorted(name for name in found if _NAME.fullmatch(name)))


def read_deployment_definition(root: Path, name: str) -> DeploymentDefinition:
    """Read one; raises `DefinitionMissing`, or `DefinitionInvalid` naming file, line and place."""
    hint = "`interlock deployment definitions` names them"
    if not _NAME.fullmatch(name):
        raise DefinitionMissing(f"a deployment definition is named like web-site, not {name[:64]!a}", hint=hint)
    path = f"{FOLDER}/{name}.yaml"
    try:
        text = file_bytes(root, path)
    except DefinitionMissing as error:
        raise DefinitionMissing(error.message, hint=hint) from None
    return parse_deployment(text, path, name)


def parse_deployment(text: bytes, path: str, name: str) -> DeploymentDefinition:
    """Read a text; raises `DefinitionInvalid`."""
    return _Reader(path, name).definition(text)


@dataclass(frozen=True, slots=True)
class _Reader:
    path: str
    name: str

    def definition(self, text: bytes) -> DeploymentDefinition:
        source = parse(text, self.path)
        keys = source.fields(_KEYS, ("name", "environments", "probes"))
        if keys["name"].text() != self.name:
            keys["name"].fail(f"must be {self.name}, as its file is called")
        recipe = _recipe(source, keys)
        environments = _environments(keys)
        probes = tuple(_probe(each) for each in keys["probes"].items("probes", most=_MOST_NAMED))
        if not probes:
            keys["probes"].fail("must name at least one: without a look there is no health")
        found = DeploymentDefinition(
            name=self.name,
            description=keys["description"].text() if "description" in keys else "",
            path=self.path,
            text=text,
            environments=environments,
            recipe=recipe,
            probes=probes,
            artefacts=tuple(
                _below_root(each, filled_in=True) for each in keys["artefacts"].items("paths", most=_MOST_NAMED)
            )
            if "artefacts" in keys
            else (),
            limits=_limits(keys["limits"]) if "limits" in keys else Limits(seconds=300),
            network=keys["network"].flag() if "network" in keys else False,
        )
        _check_probes(keys["probes"], found)
        _check_variables(source, keys, found)
        return found


# --- the way there and back -------------------------------------------------------------------------------------------


def _recipe(source: Node, keys: Mapping[str, Node]) -> Recipe:
    if "steps" in keys:
        for name in ("hooks", "rollback", "colours", "instances", "weights"):
            if name in keys:
                keys[name].fail("has no meaning beside steps, which say all that is done")
        return Recipe(
            strategy=STRATEGIES[_strategy(keys["strategy"])] if "strategy" in keys else "Recreate",
            steps=_steps(keys["steps"]),
        )
    if "strategy" not in keys:
        source.fail("strategy is missing")
    word = _strategy(keys["strategy"])
    for name, owner in (("colours", "blue-green"), ("instances", "rolling"), ("weights", "canary")):
        if name in keys and word != owner:
            keys[name].fail(f"has a meaning only where the strategy is {owner}")
    made = Recipe(strategy=STRATEGIES[word], hooks=_hooks(source, keys, word), rollback=_rollback(keys, word))
    return _with_lists(source, keys, word, made)


def _with_lists(source: Node, keys: Mapping[str, Node], word: str, made: Recipe) -> Recipe:
    if word == "rolling" and "instances" not in keys:
        source.fail("instances is missing: a rolling update goes from one to the next")
    return Recipe(
        strategy=made.strategy,
        hooks=made.hooks,
        rollback=made.rollback,
        colours=_colours(keys["colours"]) if "colours" in keys else made.colours,
        instances=_instances(keys["instances"]) if "instances" in keys else {},
        weights=_weights(keys["weights"]) if "weights" in keys else made.weights,
    )


def _strategy(node: Node) -> str:
    word = node.text()
    if word not in STRATEGIES:
        node.fail(f"must be one of {', '.join(STRATEGIES)}")
    return word


def _hooks(source: Node, keys: Mapping[str, Node], word: str) -> dict[str, Line]:
    needed, besides = HOOKS[STRATEGIES[word]]
    if "hooks" not in keys:
        source.fail(f"hooks is missing: {word} needs {', '.join(sorted(needed))}")
    found = keys["hooks"].fields(sorted(needed | besides), sorted(needed))
    return {name: _line(node) for name, node in found.items()}


def _rollback(keys: Mapping[str, Node], word: str) -> dict[str, Line]:
    if "rollback" not in keys:
        return {}
    needed, besides = HOOKS[STRATEGIES[word]]
    return {name: _line(node) for name, node in keys["rollback"].fields(sorted(needed | besides)).items()}


def _steps(node: Node) -> tuple[DeclaredStep, ...]:
    steps = tuple(_step(each) for each in node.items("steps", most=_MOST_NAMED))
    if not any(step.run and not step.promote for step in steps):
        node.fail("must hold a step that does something before the promotion")
    _check_unique(node, [step.name for step in steps])
    if any(before.promote and not after.promote for before, after in pairwise(steps)):
        node.fail("must have those of the promotion at its end")
    return steps


def _step(node: Node) -> DeclaredStep:
    keys = node.fields(("name", "run", "undo", "probe", "promote"), ("name",))
    step = DeclaredStep(
        name=_name(keys["name"]),
        run=_line(keys["run"]) if "run" in keys else None,
        undo=_line(keys["undo"]) if "undo" in keys else None,
        probe=keys["probe"].flag() if "probe" in keys else False,
        promote=keys["promote"].flag() if "promote" in keys else False,
    )
    if step.run is None and not step.probe:
        node.fail("must have run, a command, or probe: true")
    if step.undo is not None and step.run is None:
        keys["undo"].fail("takes nothing back: this step has no run")
    return step


def _line(node: Node) -> Line:
    if isinstance(node.value, Mapping):
        keys = node.fields(("run", "if_exists"), ("run",))
        return Line(argv=_argv(keys["run"]), if_exists=_below_root(keys["if_exists"]) if "if_exists" in keys else None)
    return Line(argv=_argv(node))


def _argv(node: Node) -> tuple[str, ...]:
    words = _words(node)
    if any(name in VARIABLES for name in names_in(words[0])):
        node.fail("must begin with a program that is the same for every version; only then it can be accepted")
    return words


def _words(node: Node) -> tuple[str, ...]:
    if isinstance(node.value, Scalar):
        try:
            return split_command(node.text(), node.path)
        except Invalid as error:
            raise DefinitionInvalid(f"{node.source}:{node.line}: {error.message}") from None
    words = node.texts("words", most=1000)
    if not words:
        node.fail("must hold a command")
    return words


def _below_root(node: Node, *, filled_in: bool = False) -> str:
    text = node.text(most=1000)
    named = names_in(text) and not filled_in
    if text.startswith("/") or ".." in text.split("/") or named or not text.isprintable():
        node.fail("must be a path below the workspace")
    return text


def _colours(node: Node) -> dict[str, Mapping[str, str]]:
    found = _named_variables(node)
    if len(found) != 2:
        node.fail("must name two colours")
    return found


def _instances(node: Node) -> dict[str, Mapping[str, str]]:
    found = _named_variables(node)
    if not found:
        node.fail("must name at least one")
    return found


def _named_variables(node: Node) -> dict[str, Mapping[str, str]]:
    """Read a list of names, or names with variables of their own, of which each has the same."""
    if not isinstance(node.value, Mapping):
        names = [_name(each) for each in node.items("names", most=_MOST_NAMED)]
        _check_unique(node, names)
        return {name: {} for name in names}
    found = {name: _variables(each) for name, each in node.value.items()}
    for name, each in node.value.items():
        if not _NAME.fullmatch(name):
            each.fail("must be a name like web-1")
        if found[name].keys() != next(iter(found.values())).keys():
            each.fail("must have the same variables as the others")
    if len(found) > _MOST_NAMED:
        node.fail(f"has {len(found)} names; at most {_MOST_NAMED} are possible")
    return dict(found)


def _weights(node: Node) -> tuple[int, ...]:
    found = tuple(each.number(1, 100) for each in node.items("percents", most=20))
    if not found or found[-1] != 100 or list(found) != sorted(set(found)):
        node.fail("must rise to 100")
    return found


def _environments(keys: Mapping[str, Node]) -> dict[Environment, Mapping[str, str]]:
    general = _variables(keys["variables"]) if "variables" in keys else {}
    found: dict[Environment, Mapping[str, str]] = {}
    for word, node in keys["environments"].fields(tuple(ENVIRONMENTS)).items():
        inner = dict[str, Node]() if _is_empty(node) else node.fields(("variables",))
        found[ENVIRONMENTS[word]] = {**general, **(_variables(inner["variables"]) if "variables" in inner else {})}
    if not found:
        keys["environments"].fail(f"must name at least one of {', '.join(ENVIRONMENTS)}")
    return found


def _variables(node: Node) -> dict[str, str]:
    if _is_empty(node):
        return {}
    for name, each in node.mapping().items():
        if not _VARIABLE.fullmatch(name):
            each.fail("must be called by capital letters, digits and _")
        if name in _OURS or name.startswith(("INTERLOCK_", "LD_", "DYLD_")):
            each.fail("is not for definitions to set")
        if not each.text(loose=True).isprintable():
            each.fail("must be one line of text")
    return {name: each.text(loose=True) for name, each in node.mapping().items()}


def _is_empty(node: Node) -> bool:
    return isinstance(node.value, Scalar) and node.value.plain and node.value.text in {"", "~", "null"}


def _limits(node: Node) -> Limits:
    keys = node.fields(("seconds", "output_bytes", "file_bytes"))
    usual = Limits(seconds=300)
    return Limits(
        seconds=keys["seconds"].number(1, 86_400) if "seconds" in keys else usual.seconds,
        output_bytes=keys["output_bytes"].number(1, 2**30) if "output_bytes" in keys else usual.output_bytes,
        file_bytes=keys["file_bytes"].number(1, 2**40) if "file_bytes" in keys else usual.file_bytes,
    )


# --- probes -----------------------------------------------------------------------------------------------------------


def _probe(node: Node) -> Probe:
    keys = node.fields(_PROBE_KEYS, ("name",))
    kinds = [kind for kind in ("http", "command", "metric") if kind in keys]
    if len(kinds) != 1:
        node.fail("must have exactly one of http, command, metric")
    general = Probe(
        name=_name(keys["name"]),
        kind="command",
        at=frozenset(keys["at"].texts("steps")) if "at" in keys else frozenset(),
        threshold=_threshold(keys["threshold"]) if "threshold" in keys else None,
        measures=_measure(keys["as"]) if "as" in keys else None,
        baseline_ms=keys["baseline_ms"].number(1, 3_600_000) if "baseline_ms" in keys else None,
        timeout_seconds=keys["timeout_seconds"].number(1, 60) if "timeout_seconds" in keys else 5,
        retries=keys["retries"].number(0, 100) if "retries" in keys else 0,
        interval_seconds=keys["interval_seconds"].number(1, 60) if "interval_seconds" in keys else 1,
    )
    found = {"http": _http, "command": _command, "metric": _metric}[kinds[0]](keys[kinds[0]], general)
    return _sensible(node, keys, found)


def _sensible(node: Node, keys: Mapping[str, Node], found: Probe) -> Probe:
    """Refuse what would look like a condition and be none."""
    if found.kind == "command":
        for name in ("as", "threshold", "baseline_ms"):
            if name in keys:
                keys[name].fail("has no meaning for a command: it passes with exit code 0")
    if found.kind == "http" and found.measures != "response_time_ms":
        keys["as"].fail("can only be response_time_ms: nothing else of an answer is measured")
    if found.baseline_ms is not None and found.measures != "response_time_ms":
        keys["baseline_ms"].fail("has a meaning only where the time of an answer is measured")
    if found.kind == "metric" and found.limit is None and found.measures is None:
        node.fail("must have a threshold such as '< 5', or say with as what its number is")
    return found


def _http(node: Node, general: Probe) -> Probe:
    keys = node.fields(("url", "expect", "contains"), ("url",))
    return replace(
        general,
        kind="http",
        measures=general.measures or "response_time_ms",
        url=keys["url"].text(most=2000),
        expect=_expect(keys["expect"]) if "expect" in keys else (200,),
        contains=keys["contains"].text(most=1000, loose=True) if "contains" in keys else None,
    )


def _command(node: Node, general: Probe) -> Probe:
    line = _line(node)
    if line.if_exists is not None:
        node.fail("must be a command that is always run")
    return replace(general, kind="command", line=line)


def _metric(node: Node, general: Probe) -> Probe:
    keys = node.fields(("file", "url", "value", "max_age_seconds"), ("value",))
    if ("file" in keys) == ("url" in keys):
        node.fail("must have one of file and url")
    if "max_age_seconds" in keys and "file" not in keys:
        keys["max_age_seconds"].fail("has a meaning only for a file")
    return replace(
        general,
        kind="metric",
        file=_metric_file(keys["file"]) if "file" in keys else None,
        url=keys["url"].text(most=2000) if "url" in keys else None,
        value=keys["value"].text(most=200, loose=True),
        max_age_seconds=keys["max_age_seconds"].number(1, 10_000_000) if "max_age_seconds" in keys else None,
    )


def _metric_file(node: Node) -> str:
    text = node.text(most=1000)
    if text.startswith("/") or ".." in text.split("/") or text.split("/")[0] in {".interlock", ".git"}:
        node.fail("must be a file below the workspace")
    return text


def _expect(node: Node) -> tuple[int, ...]:
    if isinstance(node.value, Scalar):
        return (node.number(100, 599),)
    found = tuple(each.number(100, 599) for each in node.items("statuses", most=20))
    if not found:
        node.fail("must name at least one status")
    return found


def _threshold(node: Node) -> Threshold:
    try:
        return Threshold.parse(node.text(most=100))
    except ValueError as error:
        node.fail(f"can't be read: {error}")


def _measure(node: Node) -> Measure:
    word = node.text()
    if word not in _MEASURES:
        node.fail("must be one of error_rate, response_time_ms, cpu, memory, active_connections")
    return _MEASURES[word]


# --- what holds between the parts -------------------------------------------------------------------------------------


def _name(node: Node) -> str:
    text = node.text(loose=True)
    if not _NAME.fullmatch(text):
        node.fail("must be a name of small letters, digits and -")
    return text


def _check_unique(node: Node, names: Collection[str]) -> None:
    listed = list(names)
    for name in listed:
        if listed.count(name) > 1:
            node.fail(f"names {name} twice")


def _check_probes(node: Node, found: DeploymentDefinition) -> None:
    _check_unique(node, [probe.name for probe in found.probes])
    places = _probe_places(found.recipe)
    for each, probe in zip(node.items("probes"), found.probes, strict=True):
        for place in sorted(probe.at - places):
            each.mapping()["at"].fail(f"names {place}, after which nothing is looked at; {_choice(places)}")


def _probe_places(recipe: Recipe) -> frozenset[str]:
    if recipe.steps:
        return frozenset(step.name for step in recipe.steps if step.probe)
    match recipe.strategy:
        case "BlueGreen":
            return frozenset({"start", "switch"})
        case "Canary":
            return frozenset({"start", "weight", *(f"weight-{each}" for each in recipe.weights)})
        case _:
            return frozenset({"start"})


def _choice(places: Collection[str]) -> str:
    return f"there is {', '.join(sorted(places))}" if places else "no step has `probe: true`"


def _check_variables(source: Node, keys: Mapping[str, Node], found: DeploymentDefinition) -> None:
    """Refuse a text that names a variable which not every environment has."""
    inner = [*found.recipe.colours.values(), *found.recipe.instances.values()]
    common = {*VARIABLES, *(name for each in inner for name in each)}
    for place, node in _texts(source):
        if place not in {"hooks", "rollback", "steps", "probes", "artefacts"}:
            continue
        for name in names_in(node.text(loose=True)) if isinstance(node.value, Scalar) else ():
            for environment, variables in found.environments.items():
                if name not in common and name not in variables:
                    node.fail(f"names ${{{name[:64]}}}, which {environment.lower()} does not declare")
    _check_addresses(keys["probes"], found)


def _texts(node: Node, place: str = "") -> Iterator[tuple[str, Node]]:
    """Yield every scalar with the top-level key under which it stands."""
    if isinstance(node.value, Scalar):
        if node.value.text.strip():
            yield place, node
    elif isinstance(node.value, Mapping):
        for key, each in node.value.items():
            yield from _texts(each, place or key)
    else:
        for each in node.value:
            yield from _texts(each, place)


def _check_addresses(node: Node, found: DeploymentDefinition) -> None:
    known = dict.fromkeys(VARIABLES, "1")
    for each, probe in zip(node.items("probes"), found.probes, strict=True):
        for variables in found.variables() if probe.url is not None else ():
            try:
                checked_url(filled(probe.url or "", {**known, **variables}))
            except ValueError as error:
                each.mapping()[probe.kind].mapping()["url"].fail(f"is no address to ask: {error}")


def _known(line: Line, variables: Mapping[str, str]) -> Line:
    """Put in what the file alone says; what is only known when it is carried out stays as it is written."""
    later = {name: f"${{{name}}}" for name in VARIABLES}
    return Line(argv=tuple(filled(word, {**later, **variables}) for word in line.argv), if_exists=line.if_exists)
