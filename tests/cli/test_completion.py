"""What the tab key offers, asked of the shells themselves; it starts no Python."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from interlock.cli.completion import tables
from interlock.cli.main import DOORS, WITH_VALUE
from interlock.cli.shells import bash, fish, zsh
from tests.cli.door import call, commands, said

TABLES = tables()
_DRIVE = """
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_interlock
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script for bash, as it is printed."""
    path = tmp_path_factory.mktemp("completion") / "interlock"
    path.write_text(bash(TABLES))
    return path


def offered(script: Path, *words: str) -> list[str]:
    """Press the tab key behind the last word."""
    line = ["bash", "--norc", "--noprofile", "-c", _DRIVE, "bash", str(script), "interlock", *words]
    done = subprocess.run(line, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True, timeout=20)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["dra"], ["draft"]),
        (["draft", "app"], ["approve"]),
        (["draft", "list", "--sta"], ["--status"]),
        (["draft", "list", "--status", "a"], ["approved"]),
        (["draft", "list", "--status", "=", "a"], ["approved"]),
        (["--workspace", "w", "dra"], ["draft"]),
        (["--workspace", "=", "w", "dra"], ["draft"]),
        (["--workspace=w", "dra"], ["draft"]),
        (["--json", "run", "tru"], ["truth"]),
        (["draft", "--json", "sho"], ["show"]),
        (["draft", "create", "--prompt", "draft", "--repo"], ["--repo"]),
        (["draft", "create", "--serv"], ["--server"]),
        (["completion", "f"], ["fish"]),
        (["init", "--jo"], ["--join"]),
        (["draft", "show", "d_"], []),
        (["draft", "create", "--prompt", "l"], []),
        (["nonsense", "x"], []),
        (["draft", "show", "--", "--js"], []),
    ],
    ids=" ".join,
)
def test_bash_offers_what_may_stand_there(script: Path, words: list[str], expected: list[str]) -> None:
    assert offered(script, *words) == expected


def test_bash_offers_every_command_and_every_verb(script: Path) -> None:
    assert offered(script, "") == list(DOORS)
    for room in TABLES.rooms:
        if room.verbs:
            verbs = {words[1] for words in commands() if words[0] == room.name and len(words) == 2}
            assert set(offered(script, room.name, "")) == verbs


def test_every_option_of_every_command_is_known() -> None:
    lines = dict(TABLES.lines())
    for words, command in commands().items():
        line = lines[" ".join(words)]
        told = {opt for each in command.params for opt in each.opts if opt.startswith("--")}
        assert told <= {*line.flags, *line.valued}, words


def test_the_tab_key_starts_no_python(script: Path) -> None:
    assert "python" not in script.read_text()
    assert not re.search(r"(\$\(|`)\s*interlock ", script.read_text())
    began = time.monotonic()
    for _ in range(5):
        offered(script, "draft", "list", "--status", "a")
    assert (time.monotonic() - began) / 5 < 1, "with the start of a shell each time"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_program_prints_the_script_without_a_workspace(shell: str, tmp_path: Path) -> None:
    done = call("completion", shell, at=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert done.out == {"bash": bash, "zsh": zsh, "fish": fish}[shell](TABLES)
    for word in DOORS:
        assert word in done.out


def test_another_shell_is_refused_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "completion", "tcsh").refuses(2, "bash", "zsh", "fish")


def test_a_server_prints_none(capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "--server", "http://127.0.0.1:9", "completion", "bash").refuses(2, "this machine")


def test_what_stands_in_a_sentence_is_no_command_of_the_shell() -> None:
    """Sentences of ours have apostrophes; one that is not closed would swallow the script."""
    for line in fish(TABLES).splitlines():
        plain = line.replace("\\\\", "").replace("\\'", "")
        assert plain.count("'") % 2 == 0, line
    for option in WITH_VALUE:
        assert f"-l {option[2:]} -r" in fish(TABLES)


_ZSH = """
autoload -U compinit; compinit -D -u
source "$1"
compadd() { shift; print -l -- ${(M)@:#$PREFIX*} }
_files() { }
shift
words=(interlock "$@"); CURRENT=$#words; PREFIX="${words[-1]}"
_interlock
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["dra"], ["draft"]),
        (["--workspace", "w", "draft", "app"], ["approve"]),
        (["draft", "list", "--status", "a"], ["approved"]),
    ],
    ids=" ".join,
)
def test_zsh_and_fish_offer_the_same_where_they_are_installed(
    tmp_path: Path, words: list[str], expected: list[str]
) -> None:
    """Neither is needed to develop; the scripts were tried on zsh 5.9 and fish 3.6."""
    for shell, text in (("zsh", zsh(TABLES)), ("fish", fish(TABLES))):
        program = shutil.which(shell)
        if program is None:
            continue
        path = tmp_path / f"interlock.{shell}"
        path.write_text(text)
        line = {
            "zsh": [program, "-f", "-c", _ZSH, "zsh", str(path), *words],
            "fish": [program, "-N", "-c", f"source {path}; complete -C 'interlock {' '.join(words)}'"],
        }[shell]
        done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=20, cwd=tmp_path)
        assert [each.split("\t")[0] for each in done.stdout.splitlines()] == expected, (shell, done)
