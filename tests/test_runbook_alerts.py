"""What the page on alerts tells to type works as it stands there, with a sink that is down and comes back."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from interlock.kernel.clock import system_clock
from tests.alerts.receiver import Receiver, Say, receiving
from tests.cli.door import call
from tests.loops.loop import Loop

PAGE = Path(__file__).resolve().parent.parent / "docs" / "runbooks" / "alerts.md"


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
        **{name: value for name, value in os.environ.items() if not name.startswith(("INTERLOCK_", "OPS_MANAGER_"))},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "REPO": str(loop.repo),
        "LOOP": "docs",
        "OPS_MANAGER_ALERT_WEBHOOK_URL": hook.url,
        "OPS_MANAGER_ALERT_WEBHOOK_TOKEN": "planted-secret-of-the-page",
    }
    said: list[tuple[str, subprocess.CompletedProcess[str]]] = []
    for section in re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        if heading == "When nothing arrives":
            hook.says(Say(503))
            loop.reconcile(clock=system_clock)
            loop.log.rename(loop.log.with_suffix(".away"))
        if heading == "When a sink is down":
            loop.log.with_suffix(".away").rename(loop.log)
        for command in re.findall(r"^    (\S.*)$", body, re.MULTILINE):
            if "alert-dispatch" in command:
                hook.says(Say())
            done = subprocess.run(
                ["sh", "-c", command],
                cwd=root,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            ill = heading == "When nothing arrives" and "reconcile" in command
            assert done.returncode == int(ill), (command, done)
            assert "planted-secret" not in done.stdout + done.stderr
            said.append((command, done))
    dispatched = [json.loads(done.stdout)["status"] for command, done in said if "alert-dispatch.sh" in command]
    assert dispatched[0] == "success"
    categories = [each["event"]["category"] for each in hook.bodies if each["event"]["action"] == "resolve"]
    assert "health_degraded" in categories
    assert len(said) == len(re.findall(r"^    \S", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
