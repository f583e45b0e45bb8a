"""What a strategy does, as steps: each a command that a definition declares, or a look at health. Pure.

`VERSION` is the version that a command is *about*: of `start` the one to start, of `stop` the one to stop, so one
declared command serves on the way there and on the way back. `PREVIOUS_VERSION` is always what was there before.
A step's undo is what takes it back. Commands may be repeated: what was cut off is carried out again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from interlock.pipelines.models import Line, Strategy

STRATEGIES: Final[Mapping[str, Strategy]] = {
    "recreate": "Recreate",
    "blue-green": "BlueGreen",
    "canary": "Canary",
    "rolling": "RollingUpdate",
}
"""How a definition spells them."""
HOOKS: Final[Mapping[Strategy, tuple[frozenset[str], frozenset[str]]]] = {
    "Recreate": (frozenset({"start", "stop"}), frozenset()),
    "BlueGreen": (frozenset({"start", "stop", "switch"}), frozenset()),
    "Canary": (frozenset({"start", "stop", "weight"}), frozenset()),
    "RollingUpdate": (frozenset({"start", "stop"}), frozenset({"drain", "attach"})),
}
"""Which commands each needs, and which it can use besides."""
VARIABLES: Final = ("VERSION", "PREVIOUS_VERSION", "ENVIRONMENT", "COLOUR", "COLOR", "INSTANCE", "WEIGHT")
"""What every command is given, empty where it has no meaning; beside what the definition declares."""

_VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredStep:
    """A step that a definition spells out itself."""

    name: str
    run: Line | None = None
    undo: Line | None = None
    probe: bool = False
    """Look at health after it."""
    promote: bool = False
    """It belongs to the promotion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a definition declares of its way there and back."""

    strategy: Strategy
    hooks: Mapping[str, Line] = field(default_factory=dict[str, Line])
    rollback: Mapping[str, Line] = field(default_factory=dict[str, Line])
    """Commands to be used in the place of `hooks` on the way back."""
    colours: Mapping[str, Mapping[str, str]] = field(
        default_factory=lambda: {"blue": dict[str, str](), "green": dict[str, str]()}
    )
    """Two, with variables of their own; the first promoted version is in the first."""
    instances: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    """What a rolling update goes through, in this order, with variables of their own."""
    weights: tuple[int, ...] = (10, 50, 100)
    """Percent of the traffic that a canary gets, rising."""
    steps: tuple[DeclaredStep, ...] = ()
    """Instead of the strategy's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One version on its way into one environment."""

    environment: str
    version: str
    previous: str | None
    """None: nothing was there."""
    promoted: int = 0
    """How many versions before it were promoted and not rolled back: every one of them changed the colour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A declared command with its variables put in."""

    line: Line
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step; it is recorded when it has ended."""

    name: str
    run: Command | None
    """None: look at health."""
    undo: Command | None = None
    view: Mapping[str, str] = field(default_factory=dict[str, str])
    """Variables of a look at health."""
    after: frozenset[str] = frozenset()
    """Of a look at health: the words by which a probe says that it belongs here."""
    begins: bool = False
    """Neither of both: it is only recorded, so that a way back knows that the promotion had begun."""


def deploying(recipe: Recipe, change: Change) -> tuple[Step, ...]:
    """Return the steps that bring a version up to where it can be promoted."""
    kit = _Kit(recipe, change)
    if recipe.steps:
        steps = tuple(step for each in recipe.steps if not each.promote for step in kit.declared(each))
        # A version is never called up without a last look at it.
        return steps if steps[-1].run is None else (*steps, kit.look("probe"))
    match recipe.strategy:
        case "Recreate":
            return kit.recreate()
        case "BlueGreen":
            return kit.blue_green()
        case "Canary":
            return kit.canary()
        case "RollingUpdate":
            return kit.rolling()


def promoting(recipe: Recipe, change: Change) -> tuple[Step, ...]:
    """Return the steps after which only the new version is left, behind one that says that they begin."""
    steps = _promoting(_Kit(recipe, change))
    return (Step(name="promotion", run=None, begins=True), *steps) if steps else ()


def _promoting(kit: _Kit) -> tuple[Step, ...]:
    if kit.recipe.steps:
        return tuple(step for each in kit.recipe.steps if each.promote for step in kit.declared(each))
    if kit.change.previous is None:
        return ()
    match kit.recipe.strategy:
        case "BlueGreen":
            return (kit.old("stop", "start", f"stop-{kit.colour(live=True)}", COLOUR=kit.colour(live=True)),)
        case "Canary":
            return (kit.old("stop", "start", "stop-previous"),)
        case _:
            return ()


def undoing(steps: Sequence[Step], done: int) -> tuple[Command, ...]:
    """Return what takes back the steps that were done and the one after them, which may have been begun."""
    commands: list[Command] = []
    for step in reversed(steps[: done + 1]):
        if step.undo is not None and step.undo not in commands[-1:]:
            commands.append(step.undo)
    return tuple(commands)


def views(recipe: Recipe, change: Change, *, previous: bool = False) -> tuple[Mapping[str, str], ...]:
    """Return the variables under which the whole is looked at: of the new version, or of the one before."""
    kit = _Kit(recipe, change)
    version = change.previous or "" if previous else change.version
    if recipe.strategy == "BlueGreen":
        return (kit.variables(VERSION=version, COLOUR=kit.colour(live=previous)),)
    if recipe.strategy == "RollingUpdate" and recipe.instances:
        return tuple(kit.variables(VERSION=version, INSTANCE=each) for each in recipe.instances)
    if recipe.strategy == "Canary" and not previous:
        return (kit.variables(VERSION=version, WEIGHT=str(recipe.weights[-1])),)
    return (kit.variables(VERSION=version),)


def names_in(text: str) -> tuple[str, ...]:
    """Return the variables that a text names, also ones that are none."""
    return tuple(match[1] for match in _VARIABLE.finditer(text))


def filled(text: str, variables: Mapping[str, str]) -> str:
    """Put variables into a text, once: what they hold is not looked at again. Raises KeyError for an unknown one."""
    return _VARIABLE.sub(lambda match: variables[match[1]], text)


def filled_line(line: Line, variables: Mapping[str, str]) -> Line:
    """Put variables into each word of a command; a word stays one word. Raises KeyError for an unknown one."""
    return replace(line, argv=tuple(filled(word, variables) for word in line.argv))


@dataclass(frozen=True, slots=True)
class _Kit:
    """Makes the steps of one change."""

    recipe: Recipe
    change: Change

    def recreate(self) -> tuple[Step, ...]:
        stop = (self.old("stop", "start", "stop"),) if self.change.previous is not None else ()
        return (*stop, self.new("start", "stop", "start"), self.look("probe", "start"))

    def blue_green(self) -> tuple[Step, ...]:
        idle, live = self.colour(live=False), self.colour(live=True)
        back = self.command("switch", {"VERSION": self.change.previous or "", "COLOUR": live}, back=True)
        return (
            self.new("start", "stop", f"start-{idle}", COLOUR=idle),
            self.look(f"probe-{idle}", "start", COLOUR=idle),
            Step(
                name=f"switch-{idle}",
                run=self.command("switch", {"COLOUR": idle}),
                undo=back if self.change.previous is not None else None,
            ),
            self.look("probe-switch", "switch", COLOUR=idle),
        )

    def canary(self) -> tuple[Step, ...]:
        steps = [self.new("start", "stop", "start"), self.look("probe-start", "start")]
        for weight in self.recipe.weights:
            name = f"weight-{weight}"
            # Straight back to nothing: a version that failed gets no share of the traffic on its way out.
            none = self.command("weight", {"WEIGHT": "0"}, back=True)
            steps += [
                Step(name=name, run=self.command("weight", {"WEIGHT": str(weight)}), undo=none),
                self.look(f"probe-{weight}", "weight", name, WEIGHT=str(weight)),
            ]
        return tuple(steps)

    def rolling(self) -> tuple[Step, ...]:
        return tuple(step for name in self.recipe.instances for step in self._instance(name))

    def _instance(self, name: str) -> tuple[Step, ...]:
        before: tuple[Step, ...] = ()
        if self.change.previous is not None:
            drain = (self.old("drain", "attach", f"drain-{name}", INSTANCE=name),) if self._has("drain") else ()
            before = (*drain, self.old("stop", "start", f"stop-{name}", INSTANCE=name))
        attach = (self.new("attach", "drain", f"attach-{name}", INSTANCE=name),) if self._has("attach") else ()
        return (
            *before,
            self.new("start", "stop", f"start-{name}", INSTANCE=name),
            self.look(f"probe-{name}", "start", INSTANCE=name),
            *attach,
        )

    def declared(self, step: DeclaredStep) -> tuple[Step, ...]:
        """Make a step that is spelt out, and the look after it; all commands are about the new version."""
        known = self.variables(COLOUR=self.colour(live=False) if self.recipe.strategy == "BlueGreen" else "")
        run = Command(line=step.run, variables=known) if step.run else None
        undo = Command(line=step.undo, variables=known) if step.undo else None
        done = (Step(name=step.name, run=run, undo=undo),) if run else ()
        name = f"probe-{step.name}" if run else step.name
        looked = Step(name=name, run=None, view=known, after=frozenset({step.name}))
        return (*done, looked) if step.probe else done

    def new(self, hook: str, undo: str, name: str, **own: str) -> Step:
        """Make a step about the new version, and its undo."""
        back = self.command(undo, own, back=True) if self._has(undo) else None
        return Step(name=name, run=self.command(hook, own), undo=back)

    def old(self, hook: str, undo: str, name: str, **own: str) -> Step:
        """Make a step about the version that was there, and its undo."""
        own = {**own, "VERSION": self.change.previous or ""}
        back = self.command(undo, own, back=True) if self._has(undo) else None
        return Step(name=name, run=self.command(hook, own), undo=back)

    def look(self, name: str, *after: str, **own: str) -> Step:
        """Make a look at health."""
        return Step(name=name, run=None, view=self.variables(**own), after=frozenset(after))

    def command(self, hook: str, own: Mapping[str, str], *, back: bool = False) -> Command:
        """Return a declared command with its variables; on the way `back`, the one that is declared for that."""
        line = self.recipe.rollback.get(hook) if back else None
        return Command(line=line or self.recipe.hooks[hook], variables=self.variables(**own))

    def variables(self, **own: str) -> dict[str, str]:
        """Return all that a command is given, but for what the definition declares for its environment."""
        known = dict.fromkeys(VARIABLES, "")
        known |= {
            "VERSION": self.change.version,
            "PREVIOUS_VERSION": self.change.previous or "",
            "ENVIRONMENT": self.change.environment.lower(),
        }
        known |= own
        known["COLOR"] = known["COLOUR"]
        return {
            **known,
            **self.recipe.colours.get(known["COLOUR"], {}),
            **self.recipe.instances.get(known["INSTANCE"], {}),
        }

    def colour(self, *, live: bool) -> str:
        """Return the colour that the new version gets, or the one that is live before it."""
        return tuple(self.recipe.colours)[(self.change.promoted + live) % 2]

    def _has(self, hook: str) -> bool:
        return hook in self.recipe.hooks
