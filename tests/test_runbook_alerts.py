"""What the page on alerts tells to type works as it stands there, with a sink that is down and comes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from interlock.kernel.clock import system_clock
from tests.alerts.receiver import Receiver, Say, receiving
from tests.cli.door import call
from tests.docs.page import Said, Terminal, sections
from tests.loops.loop import Loop

PAGE = "docs/runbooks/alerts.md"


@pytest.mark.proves("alert-page")
@pytest.mark.timeout(180)
def test_every_command_of_the_alerts_page_works(tmp_path: Path) -> None:
    with receiving() as hook:
        _works(tmp_path, hook)


def _works(tmp_path: Path, hook: Receiver) -> None:
    root = tmp_path / "workspace"
    assert call("init", str(root), at=tmp_path).code == 0
    loop = Loop(tmp_path / "repo", now=system_clock() // 1000).running().beat()
    catalog = root / "config" / "ops-manager-alert-sinks.v1.json"
    config: dict[str, Any] = json.loads(catalog.read_text())
    config["sinks"]["webhook-default"]["enabled"] = True
    config["routing"]["routes"] = []
    catalog.write_text(json.dumps(config))
    environment = {
        "REPO": str(loop.repo),
        "LOOP": "docs",
        "OPS_MANAGER_ALERT_WEBHOOK_URL": hook.url,
        "OPS_MANAGER_ALERT_WEBHOOK_TOKEN": "planted-secret-of-the-page",
    }
    with Terminal(tmp_path / "terminal", root, environment) as terminal:
        for heading, commands in sections(PAGE).items():
            if heading == "When nothing arrives":
                hook.says(Say(503))
                loop.reconcile(clock=system_clock)
                loop.log.rename(loop.log.with_suffix(".away"))
            if heading == "When a sink is down":
                loop.log.with_suffix(".away").rename(loop.log)
            for command in commands:
                if "alert-dispatch" in command:
                    hook.says(Say())
                ill = heading == "When nothing arrives" and "reconcile" in command
                done = terminal.types(command, int(ill))
                assert "planted-secret" not in done.stdout + done.stderr
        _said_and_heard(terminal.said, hook)


def _said_and_heard(said: list[Said], hook: Receiver) -> None:
    dispatched = [json.loads(done.stdout)["status"] for done in said if "alert-dispatch.sh" in done.command]
    assert dispatched[0] == "success"
    categories = [each["event"]["category"] for each in hook.bodies if each["event"]["action"] == "resolve"]
    assert "health_degraded" in categories
