"""Deployment definitions: what they may say, and how a mistake is told."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from interlock.pipelines.deployment_definitions import (
    DeploymentDefinition,
    deployment_names,
    parse_deployment,
    read_deployment_definition,
)
from interlock.pipelines.errors import DefinitionInvalid, DefinitionMissing
from interlock.pipelines.models import Line

PATH = "cicd/deployments/site.yaml"
GOOD = """\
name: site
description: The web site.
strategy: recreate
variables: {PORT: "8000", KEEP: 3}
environments:
  staging:
  production:
    variables: {PORT: "80"}
hooks:
  stop: site-control stop "${VERSION}"
  start: [site-control, start, "${VERSION}", --port, "${PORT}"]
probes:
  - name: answers
    http: {url: "http://127.0.0.1:${PORT}/health", contains: "${VERSION}"}
    retries: 3
  - name: errors
    metric: {file: build_output/metrics.json, value: errors.rate, max_age_seconds: 60}
    as: error_rate
  - name: whole
    command: {run: "site-control check"}
    at: [start]
"""


def parsed(text: str) -> DeploymentDefinition:
    return parse_deployment(text.encode(), PATH, "site")


def refused(old: str, new: str, text: str = GOOD) -> str:
    assert old in text
    with pytest.raises(DefinitionInvalid) as error:
        parsed(text.replace(old, new, 1))
    return error.value.message


def test_a_definition_says_what_is_run_where_and_how_health_is_seen() -> None:
    found = parsed(GOOD)
    assert found.recipe.strategy == "Recreate"
    assert found.environments == {
        "Staging": {"PORT": "8000", "KEEP": "3"},
        "Production": {"PORT": "80", "KEEP": "3"},
    }
    assert found.recipe.hooks["stop"] == Line(argv=("site-control", "stop", "${VERSION}"))
    answers, errors, whole = found.probes
    assert (answers.kind, answers.expect, answers.retries) == ("http", (200,), 3)
    assert errors.limit is not None
    assert (errors.measures, str(errors.limit), errors.max_age_seconds) == ("error_rate", "< 5", 60)
    assert whole.at == {"start"}
    assert found.accepted_as == "deployment/site"


def test_the_commands_to_be_accepted_are_those_of_every_environment() -> None:
    lines = {line.argv for line in parsed(GOOD).lines()}
    assert lines == {
        ("site-control", "stop", "${VERSION}"),
        ("site-control", "start", "${VERSION}", "--port", "8000"),
        ("site-control", "start", "${VERSION}", "--port", "80"),
        ("site-control", "check"),
    }
    text = GOOD.replace("probes:", 'artefacts: ["out/${PORT}/current"]\nprobes:')
    assert parsed(text).made() == {"build_output/metrics.json", "out/80/current", "out/8000/current"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("hooks:", "hocks:", f"{PATH}:9: hocks is not known; did you mean hooks?"),
        ("name: site\n", "name: sight\n", f"{PATH}:1: name must be site, as its file is called"),
        ("recreate", "recreated", f"{PATH}:3: strategy must be one of recreate, blue-green, canary, rolling"),
        ("  staging:\n", "  stagging:\n", f"{PATH}:6: environments.stagging is not known; did you mean staging?"),
        ("  stop: site-control stop", "  halt: site-control stop", f"{PATH}:10: hooks.halt is not known"),
        ("[site-control, start,", "[site-control, 7,", f"{PATH}:11: hooks.start[1] must be text"),
        ("--port, ", "--port, '${PROT}', ", f"{PATH}:11: hooks.start[4] names ${{PROT}}, which staging does not"),
        ('stop "${VERSION}"', 'stop "${VERSION}', f"{PATH}:10: hooks.stop: No closing quotation"),
        ("http: {url", "https: {url", f"{PATH}:14: probes[0].https is not known; did you mean http?"),
        ("http://127", "ftp://127", f"{PATH}:14: probes[0].http.url is no address to ask: an address begins with"),
        ("http://127", "http://me:secret@127", f"{PATH}:14: probes[0].http.url is no address to ask: an address holds"),
        ("retries: 3", "retries: 1000", f"{PATH}:15: probes[0].retries must be a whole number from 0 to 100"),
        ("as: error_rate", "as: luck", f"{PATH}:18: probes[1].as must be one of error_rate"),
        ("    as: error_rate\n", "", f"{PATH}:16: probes[1] must have a threshold such as '< 5'"),
        ("as: error_rate", "threshold: below 5", f"{PATH}:18: probes[1].threshold can't be read: a threshold is like"),
        ("at: [start]", "at: [stop]", f"{PATH}:21: probes[2].at names stop, after which nothing is looked at"),
        ("at: [start]", "as: cpu", f"{PATH}:21: probes[2].as has no meaning for a command"),
        ("name: whole", "name: errors", f"{PATH}:12: probes names errors twice"),
        ("build_output/metrics", "../metrics", f"{PATH}:17: probes[1].metric.file must be a file below the workspace"),
        ("build_output/metrics", ".interlock/x", f"{PATH}:17: probes[1].metric.file must be a file below"),
        ("stop: site-control", "stop: bin/${VERSION}/control", "must begin with a program that is the same"),
        ('PORT: "80"}', 'PATH: "/bin"}', f"{PATH}:8: environments.production.variables.PATH is not for definitions"),
        ('PORT: "80"}', 'VERSION: "1"}', f"{PATH}:8: environments.production.variables.VERSION is not for definitions"),
        ("hooks:", "weights: [5, 100]\nhooks:", f"{PATH}:9: weights has a meaning only where the strategy is canary"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_place(old: str, new: str, said: str) -> None:
    assert said in refused(old, new)


def test_a_variable_has_to_be_there_in_every_environment() -> None:
    text = GOOD.replace('{PORT: "8000", KEEP: 3}', "{KEEP: 3}")
    with pytest.raises(DefinitionInvalid, match=r"names \$\{PORT\}, which staging does not declare"):
        parsed(text)


def test_without_a_probe_there_is_no_definition() -> None:
    text = GOOD[: GOOD.index("probes:")] + "probes: []\n"
    with pytest.raises(DefinitionInvalid, match="probes must name at least one"):
        parsed(text)


def test_each_strategy_needs_its_commands() -> None:
    assert "hooks must have switch" in refused("strategy: recreate", "strategy: blue-green")
    assert "hooks must have weight" in refused("strategy: recreate", "strategy: canary")
    assert "instances is missing" in refused("strategy: recreate", "strategy: rolling")


def test_instances_and_colours_have_variables_of_their_own() -> None:
    text = GOOD.replace("strategy: recreate", "strategy: rolling\ninstances:\n  a: {HOST: one}\n  b: {HOST: two}\n")
    found = parsed(text.replace("site-control check", "site-control check ${HOST} ${INSTANCE}"))
    assert ("site-control", "check", "one", "${INSTANCE}") in {line.argv for line in found.lines()}
    with pytest.raises(DefinitionInvalid, match=r"instances.b must have the same variables as the others"):
        parsed(text.replace("b: {HOST: two}", "b: {}"))


def test_weights_have_to_rise_to_the_whole() -> None:
    text = GOOD.replace("strategy: recreate", "strategy: canary\nweights: [20, 100]").replace(
        "hooks:\n", "hooks:\n  weight: site-control weight ${WEIGHT}\n"
    )
    assert parsed(text).recipe.weights == (20, 100)
    assert "weights must rise to 100" in refused("[20, 100]", "[20, 10]", text)


def test_declared_steps_stand_instead_of_a_strategy() -> None:
    start, end = GOOD.index("hooks:"), GOOD.index("probes:")
    steps = """\
steps:
  - {name: copy, run: "cp -r new ${VERSION}", undo: "rm -r ${VERSION}"}
  - {name: start, run: "site-control start", probe: true}
  - {name: tidy, run: "rm -r ${PREVIOUS_VERSION}", promote: true}
"""
    text = GOOD[:start].replace("strategy: recreate\n", "") + steps + GOOD[end:]
    found = parsed(text)
    assert [step.name for step in found.recipe.steps] == ["copy", "start", "tidy"]
    assert ("rm", "-r", "${VERSION}") in {line.argv for line in found.lines()}
    assert "steps must have those of the promotion at its end" in refused(
        "probe: true}", "promote: true}\n  - {name: late, run: late}", text
    )
    assert "steps[1] must have run, a command, or probe: true" in refused(
        'run: "site-control start", probe: true', "probe: false", text
    )
    assert "hooks has no meaning beside steps" in refused("steps:", "hooks: {}\nsteps:", text)


def test_names_are_found_and_strange_ones_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "cicd" / "deployments"
    folder.mkdir(parents=True)
    for name in ("site.yaml", "other.yml", "Big.yaml", "b.yaml"):
        (folder / name).write_text(GOOD)
    assert deployment_names(tmp_path) == ("b", "site")
    assert read_deployment_definition(tmp_path, "site").name == "site"
    for name in ("nobody", "../site", "Big"):
        with pytest.raises(DefinitionMissing):
            read_deployment_definition(tmp_path, name)


def test_an_answer_in_time_is_one_in_less_than_twice_the_baseline() -> None:
    text = GOOD.replace("retries: 3", "baseline_ms: 150")
    limit = parsed(text).probes[0].limit
    assert limit is not None
    assert (limit.holds(Decimal(299)), limit.holds(Decimal(300))) == (True, False)
