"""The file of sinks: what is right and what is not, in the resolver and in its schema; and where escalations go."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

import interlock
from interlock.alerts import config
from interlock.alerts.errors import SecretsMissing, SinkConfigInvalid, SinkConfigMissing
from interlock.alerts.routing import resolution, resolve

SHIPPED = Path(interlock.__file__).parent / "workspace" / "shipped"
CATALOG = SHIPPED / "config" / "ops-manager-alert-sinks.v1.json"
SCHEMA = json.loads((SHIPPED / "schema" / "ops-manager.alert-sinks.schema.json").read_text())
GOOD: dict[str, Any] = {
    "schemaVersion": "v1",
    "defaultMinSeverity": "warning",
    "sinks": {
        "hook": {"enabled": True, "type": "webhook", "urlEnv": "URL", "authTokenEnv": "TOKEN", "headers": {"X-A": "b"}},
        "off": {"enabled": False, "type": "webhook", "urlEnv": "OFF_URL"},
        "slack": {"enabled": True, "type": "slack", "webhookUrlEnv": "SLACK", "timeoutSeconds": 120, "channel": "#x"},
        "pager": {"enabled": True, "type": "pagerduty_events", "routingKeyEnv": "KEY", "group": "g"},
        "mail": {"enabled": True, "type": "apprise", "urlEnv": "MAIL"},
    },
    "routing": {
        "defaultSinks": ["hook"],
        "categorySeverity": {"a": "critical"},
        "routes": [
            {"category": "a", "sinks": ["slack", "off", "slack"], "minSeverity": "critical"},
            {"category": "b", "enabled": False, "sinks": ["slack"]},
            {"category": "c", "minSeverity": "info"},
        ],
    },
}


def written(tmp_path: Path, document: Any) -> str:  # noqa: ANN401 - JSON of any shape
    path = tmp_path / "sinks.json"
    path.write_text(json.dumps(document))
    return str(path)


def changed(*path: Any, value: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON of any shape
    document = copy.deepcopy(GOOD)
    place = document
    for key in path[:-1]:
        place = place[key]
    if value is KeyError:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return document


def test_the_shipped_catalog_is_right_and_sends_nothing() -> None:
    found = config.load(str(CATALOG))
    jsonschema_rs.validator_for(SCHEMA).validate(json.loads(CATALOG.read_text()))
    assert list(found.sinks) == ["webhook-default", "slack-default", "pagerduty-default"]
    assert not any(each["enabled"] for each in found.sinks.values())
    found.check_secrets({})
    shown = resolve(found, "health_critical", None).shown
    assert (shown["eventSeverity"], shown["minSeverity"], shown["shouldDispatch"]) == ("critical", "critical", True)
    assert [each["id"] for each in shown["selectedSinks"]] == ["pagerduty-default", "slack-default"]
    assert shown["dispatchableSinks"] == []
    drift = resolve(found, "ordering_drift_detected", None)
    assert (drift.severity, [each["id"] for each in drift.shown["selectedSinks"]]) == ("warning", ["webhook-default"])


def test_what_is_right_is_right_by_the_schema_too(tmp_path: Path) -> None:
    jsonschema_rs.validator_for(SCHEMA).validate(GOOD)
    config.load(written(tmp_path, GOOD))


@pytest.mark.parametrize(
    ("document", "about"),
    [
        (changed("schemaVersion", value="v2"), "schemaVersion"),
        (changed("defaultMinSeverity", value="loud"), "defaultMinSeverity"),
        (changed("defaultMinSeverity", value=KeyError), "defaultMinSeverity"),
        (changed("sinks", value=[]), "sinks must be"),
        (changed("routing", value=None), "routing must be"),
        (changed("sinks", "hook", value=7), "invalid sink definitions"),
        (changed("sinks", "hook", "enabled", value="yes"), "enabled must be"),
        (changed("sinks", "hook", "type", value="telepathy"), "type must be one of"),
        (changed("sinks", "hook", "type", value=7), "type must be one of"),
        (changed("sinks", "hook", "urlEnv", value="https://x"), "urlEnv must name a variable"),
        (changed("sinks", "hook", "urlEnv", value=KeyError), "urlEnv must name a variable"),
        (changed("sinks", "hook", "authTokenEnv", value="lower"), "authTokenEnv must name a variable"),
        (changed("sinks", "slack", "timeoutSeconds", value=0), "timeoutSeconds"),
        (changed("sinks", "slack", "timeoutSeconds", value=121), "timeoutSeconds"),
        (changed("sinks", "slack", "timeoutSeconds", value=True), "timeoutSeconds"),
        (changed("sinks", "slack", "timeoutSeconds", value=1.5), "timeoutSeconds"),
        (changed("sinks", "slack", "channel", value=7), "channel must be a text"),
        (changed("sinks", "hook", "headers", value={"X": 7}), "headers"),
        (changed("routing", "defaultSinks", value=["nobody"]), "'nobody', which is no sink"),
        (changed("routing", "defaultSinks", value="hook"), "defaultSinks must be a list"),
        (changed("routing", "categorySeverity", value={"a": "loud"}), "categorySeverity"),
        (changed("routing", "categorySeverity", value={"": "info"}), "categorySeverity"),
        (changed("routing", "routes", value={}), "routes must be a list"),
        (changed("routing", "routes", value=[7]), "route 0 is no object"),
        (changed("routing", "routes", 0, "category", value=""), "category must be"),
        (changed("routing", "routes", 0, "sinks", value=["nobody"]), "which is no sink"),
        (changed("routing", "routes", 0, "minSeverity", value="loud"), "minSeverity"),
        (changed("routing", "routes", 0, "enabled", value="no"), "enabled must be"),
    ],
)
def test_what_is_wrong_is_told_by_the_loader_and_mostly_by_the_schema(
    tmp_path: Path, document: dict[str, Any], about: str
) -> None:
    with pytest.raises(SinkConfigInvalid) as caught:
        config.load(written(tmp_path, document))
    assert about in caught.value.message
    if "which is no sink" not in about:  # what names what, a schema can not say
        assert not jsonschema_rs.validator_for(SCHEMA).is_valid(document)


@pytest.mark.parametrize("name", ["Authorization", "Content-Length", "Host", "X Y", "X:Y", ""])
def test_some_headers_are_none_of_the_configuration_s(tmp_path: Path, name: str) -> None:
    for headers in ({name: "v"}, {"X-A": "v\r\nX-B: w"}):
        with pytest.raises(SinkConfigInvalid):
            config.load(written(tmp_path, changed("sinks", "hook", "headers", value=headers)))


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "\ud83d", "[" * 100_000, '{"schemaVersion":"v1"'])
def test_what_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "sinks.json"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(SinkConfigInvalid):
        config.load(str(path))


def test_a_file_that_is_not_there_or_is_a_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(SinkConfigMissing):
        config.load(str(tmp_path / "nothing"))
    with pytest.raises(SinkConfigInvalid):
        config.load(str(tmp_path))


def test_an_enabled_sink_s_secrets_have_to_be_set_and_are_named(tmp_path: Path) -> None:
    found = config.load(written(tmp_path, GOOD))
    with pytest.raises(SecretsMissing) as caught:
        found.check_secrets({"URL": "x", "KEY": "", "MAIL": "x"})
    assert caught.value.message == "enabled sink secret env var(s) are unset: KEY SLACK TOKEN"
    found.check_secrets(dict.fromkeys(("URL", "TOKEN", "SLACK", "KEY", "MAIL"), "x"))


def test_the_catalog_is_shown_as_the_seed_has_it(tmp_path: Path) -> None:
    found = config.load(written(tmp_path, GOOD))
    shown = found.catalog({"URL": "x"}, env_check=False)
    assert list(shown) == [
        "schemaVersion",
        "sourceFile",
        "defaultMinSeverity",
        "sinks",
        "enabledSinkCount",
        "routing",
        "envStatus",
        "validation",
    ]
    assert shown["sinks"][0] == {
        "id": "hook",
        "enabled": True,
        "type": "webhook",
        "timeoutSeconds": 5,
        "secretRefs": {"urlEnv": "URL", "authTokenEnv": "TOKEN"},
    }
    assert shown["sinks"][1]["secretRefs"] == {"urlEnv": "OFF_URL", "authTokenEnv": None}
    assert [each["secretRefs"] for each in shown["sinks"][2:]] == [
        {"webhookUrlEnv": "SLACK"},
        {"routingKeyEnv": "KEY"},
        {"urlEnv": "MAIL"},
    ]
    assert shown["enabledSinkCount"] == 4
    assert list(shown["envStatus"].items()) == [
        (name, {"present": name == "URL"}) for name in ("KEY", "MAIL", "OFF_URL", "SLACK", "TOKEN", "URL")
    ]


def test_a_resolution_is_shown_as_the_seed_has_it(tmp_path: Path) -> None:
    found = config.load(written(tmp_path, GOOD))
    shown = resolution(found, "a", None, {}, env_check=False)
    assert list(shown) == [
        "schemaVersion",
        "sourceFile",
        "category",
        "eventSeverity",
        "categoryMappedSeverity",
        "minSeverity",
        "shouldDispatch",
        "route",
        "selectedSinks",
        "dispatchableSinks",
        "envStatus",
        "validation",
    ]
    assert [each["id"] for each in shown["selectedSinks"]] == ["slack", "off"]
    assert shown["dispatchableSinks"] == [
        {
            "id": "slack",
            "type": "slack",
            "enabled": True,
            "timeoutSeconds": 120,
            "secretRefs": {"webhookUrlEnv": "SLACK"},
            "config": {"channel": "#x", "username": None, "iconEmoji": None},
        }
    ]
    bare = resolution(found, "nothing", None, {}, env_check=True)
    assert "route" not in bare
    assert "categoryMappedSeverity" not in bare


@pytest.mark.parametrize(
    ("category", "severity", "event", "sends", "sinks"),
    [
        ("a", None, "critical", True, ["slack"]),
        ("a", "warning", "warning", False, []),
        ("b", None, "warning", True, ["hook"]),
        ("c", None, "info", True, ["hook"]),
        ("z", None, "warning", True, ["hook"]),
        ("z", "info", "info", False, []),
        ("z", "critical", "critical", True, ["hook"]),
    ],
)
def test_severity_route_and_sinks_follow_from_the_category(
    tmp_path: Path, category: str, severity: str | None, event: str, *, sends: bool, sinks: list[str]
) -> None:
    found = resolve(config.load(written(tmp_path, GOOD)), category, severity)
    assert (found.severity, found.notifies, [each["id"] for each in found.sinks]) == (event, sends, sinks)
