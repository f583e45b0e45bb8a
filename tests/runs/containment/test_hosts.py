"""Hosts that give less than one would wish: the run goes on with what there is, and says so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from interlock.runs.containment import processes
from tests.runs.containment.trees import PATH, marker

PROGRAM = """
import dataclasses, json, pathlib, sys
sys.path.insert(0, sys.argv[1])
from interlock.kernel.errors import InterlockError
from interlock.runs.containment.launch import launch
from interlock.runs.containment.spec import Spec
script, mode, marker = sys.argv[2:5]
wanted = Spec(argv=("sh", "-c", script), env={"PATH": "/usr/bin:/bin"}, cwd=pathlib.Path("/"), run_marker=marker,
              namespaces=mode)
try:
    with launch(wanted) as run:
        started = dataclasses.asdict(run.wait_started(5))
        printed = b"".join(data for _, data in run.output()).decode()
        print(json.dumps({**started, "printed": printed, "exit_code": run.wait(5).exit_code}))
except InterlockError as error:
    print(json.dumps({"refused": error.code, "message": error.message}))
"""
SOURCE = str(Path(processes.__file__).parents[3])


def on_a_host(preparation: str, script: str, mode: str = "auto") -> dict[str, Any]:
    """Run an agent on a host made like this, in namespaces of the test's own; returns what the worker learned."""
    host = ("unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc")
    worker = (sys.executable, "-c", PROGRAM, SOURCE, script, mode, marker())
    seen = subprocess.run(
        [*host, "sh", "-c", f'{preparation} && echo made && exec "$@"', "sh", *worker],
        capture_output=True,
        text=True,
        env={"PATH": PATH},
        timeout=20,
        check=False,
    )
    made, _, told = seen.stdout.partition("\n")
    if not made:
        pytest.skip(f"such a host can't be made here: {seen.stderr.strip()}")
    return json.loads(told)


NO_USER_NAMESPACES = "echo 0 > /proc/sys/user/max_user_namespaces"
MASKED_PROC = "mount -t tmpfs none /proc/acpi && mount --bind -o ro /proc/bus /proc/bus"


def test_where_user_namespaces_are_forbidden_the_run_goes_on_with_best_effort() -> None:
    seen = on_a_host(NO_USER_NAMESPACES, "echo fine; exit 3")

    assert (seen["containment"], seen["printed"], seen["exit_code"]) == ("best_effort", "fine\n", 3)
    assert seen["notes"][0].startswith("namespaces_unavailable: ")


def test_where_user_namespaces_are_forbidden_a_run_that_requires_them_is_refused() -> None:
    seen = on_a_host(NO_USER_NAMESPACES, "echo not fine", mode="require")

    assert seen["refused"] == "namespaces_unavailable"


def test_inside_a_container_with_a_masked_proc_the_namespaces_hold_and_the_start_says_what_does_not() -> None:
    seen = on_a_host(MASKED_PROC, "touch /etc/new || echo fine; kill -9 1; exit 3")

    assert (seen["containment"], seen["printed"].splitlines()[-1], seen["exit_code"]) == ("namespaces", "fine", 3)
    assert seen["notes"][0].startswith("proc_not_private: ")


def test_a_worker_inside_a_container_of_its_own_gets_namespaces_inside_it() -> None:
    seen = on_a_host("true", "ls -d /proc/[0-9]* | wc -l")

    assert (seen["containment"], seen["notes"]) == ("namespaces", [])
    assert int(seen["printed"]) <= 4


def test_nothing_that_is_mounted_on_the_host_later_appears_in_the_agents_view() -> None:
    seen = on_a_host("mount --make-rshared /", "grep -cE 'shared:|master:' /proc/self/mountinfo")

    assert (seen["containment"], seen["printed"]) == ("namespaces", "0\n")
