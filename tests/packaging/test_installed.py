"""The wheel in clean hands: installed by three tools, and from `init` to the first approved run in under a minute."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from interlock import __version__
from tests.cli.door import make_repository
from tests.conftest import until
from tests.packaging.conftest import UV, Installed, Release, downloading

pytestmark = pytest.mark.timeout(300)
MINUTE = 60.0


def clean(home: Path) -> dict[str, str]:
    """Return the environment of somebody who has just logged in."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8", "TMPDIR": str(home)}


def ask(program: Path, *words: str, at: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *words], cwd=at, env=clean(at), capture_output=True, text=True, check=False, timeout=60
    )


def first_run(installed: Installed, at: Path) -> float:
    """Go from `init` to a run that is done, as somebody does who has just installed it; returns the seconds."""

    def answer(*words: str) -> Any:  # noqa: ANN401 - JSON of any shape
        done = ask(installed.program, *words, "--json", "--workspace", "work", at=at)
        assert done.returncode == 0, (words, done.stderr)
        return json.loads(done.stdout)

    repository = make_repository(at / "repository")
    began = time.monotonic()
    assert ask(installed.program, "init", "work", at=at).returncode == 0
    command = ("--command", "sh -c 'echo more >> README.md'", "--check", "grep more README.md")
    draft = answer("draft", "create", "--prompt", "say more", "--repo", str(repository), *command)
    approved = answer("draft", "approve", draft["id"], "--digest", draft["digest"])
    run = answer("run", "create", approved["id"])
    answer("worker", "--once")
    shown = answer("run", "show", run["id"])
    seconds = time.monotonic() - began
    assert shown["status"] == "done", shown
    assert [file["path"] for file in shown["result"]["files"]] == ["README.md"]
    assert answer("evidence", "verify")["entries"] > 10
    assert answer("run", "apply", run["id"])["branch"]
    return seconds


@pytest.mark.proves("install-minute")
def test_from_init_to_the_first_approved_run_is_under_a_minute(
    installed: Installed, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    seconds = MINUTE
    for folder in (tmp_path / "first", tmp_path / "again"):  # the better of two: this machine may have other work
        folder.mkdir()
        seconds = min(seconds, first_run(installed, folder))
        if seconds < MINUTE:
            break
    record_property("init_to_first_run_seconds", round(seconds, 1))
    sys.stdout.write(f"\nfrom init to the first approved run: {seconds:.1f} s\n")
    assert seconds < MINUTE


@contextmanager
def served(installed: Installed, at: Path) -> Generator[str]:
    log = at / "serve.log"
    with log.open("wb") as said:
        words = [installed.program, "serve", "--port", "0", "--workspace", "work"]
        process = subprocess.Popen(words, cwd=at, env=clean(at), stderr=said)
    try:
        until(lambda: " on http://" in log.read_text() or process.poll() is not None, 30)
        address = re.search(r" on (http://\S+)\n", log.read_text())
        assert address, log.read_text()
        yield address[1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def got(address: str, path: str) -> tuple[int, str]:
    """Ask like a browser does."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
    connection.request("GET", path, headers={"Accept": "text/html,*/*;q=0.8"})
    answer = connection.getresponse()
    status, body = answer.status, answer.read().decode()
    connection.close()
    return status, body


def test_the_installed_server_shows_the_console_and_takes_a_token(installed: Installed, tmp_path: Path) -> None:
    assert ask(installed.program, "init", "work", at=tmp_path).returncode == 0
    words = ("token", "create", "--name", "ada", "--kind", "human", "--role", "admin", "--json", "--workspace", "work")
    token = json.loads(ask(installed.program, *words, at=tmp_path).stdout)["token"]
    with served(installed, tmp_path) as address:
        status, page = got(address, "/")
        script = re.search(r'src="(/[^"]+\.js)"', page)
        assert (status, script is not None) == (200, True), page
        assert script is not None
        assert got(address, script[1])[0] == 200
        file = tmp_path / "token"
        file.touch(0o600)
        file.write_text(token)
        afar = ask(
            installed.program,
            *("--server", address, "--token-file", str(file), "--json", "draft", "create", "--prompt", "over there"),
            at=tmp_path,
        )
        assert afar.returncode == 0, afar.stderr


def test_the_environment_holds_what_runs_and_nothing_for_developing(installed: Installed) -> None:
    told = downloading([UV, "pip", "list", "--quiet", "--format", "json", "--python", installed.python])
    names = {each["name"] for each in json.loads(told)}
    assert "interlock" in names
    assert not names & {"pytest", "ruff", "pyright", "hatchling", "openai", "anthropic", "temporalio", "apprise"}
    origin = subprocess.run(
        [installed.python, "-c", "import interlock; print(interlock.__file__)"],
        env=clean(installed.folder),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert origin.stdout.startswith(str(installed.folder))


def test_pip_installs_the_wheel_and_the_program_answers(release: Release, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True, timeout=60)
    pip = [venv / "bin" / "pip", "install", "--quiet", "--no-index", "--no-deps", release.wheel]
    subprocess.run(pip, env={**clean(tmp_path), "PIP_CONFIG_FILE": os.devnull}, check=True, timeout=60)
    done = ask(venv / "bin" / "interlock", "--version", at=tmp_path)  # which needs nothing but Python
    assert (done.returncode, done.stdout) == (0, f"interlock {__version__}\n"), done.stderr


def test_uv_installs_it_as_a_tool(release: Release, tmp_path: Path) -> None:
    places = {"UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
    words = ["--quiet", "--python", sys.executable, "--constraints", release.requirements, release.wheel]
    downloading([UV, "tool", "install", *words], places)
    done = ask(tmp_path / "bin" / "interlock", "--version", at=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"interlock {__version__}\n"), done.stderr
    assert ask(tmp_path / "bin" / "interlock", "init", "work", at=tmp_path).returncode == 0
