"""A release of the sources as they are, made once, and installed as somebody who has nothing of ours would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UV = Path(sys.executable).with_name("uv")
CONSOLE = ROOT / "src" / "interlock" / "web" / "assets" / "index.html"
MOMENT = "1790000000"
"""The time that these releases bear, so that no commit is needed to make one."""


@dataclass(frozen=True)
class Release:
    """What `make dist` makes."""

    folder: Path

    def one(self, pattern: str) -> Path:
        (found,) = self.folder.glob(pattern)
        return found

    @property
    def wheel(self) -> Path:
        return self.one("*.whl")

    @property
    def sdist(self) -> Path:
        return self.one("*.tar.gz")

    @property
    def requirements(self) -> Path:
        return self.one("*.requirements.txt")

    def inside(self) -> dict[str, bytes]:
        """Return what is in the wheel, by its path."""
        with zipfile.ZipFile(self.wheel) as wheel:
            return {name: wheel.read(name) for name in wheel.namelist()}

    def part(self, name: str) -> str:
        """Return a file of the wheel's own description."""
        (found,) = (data for path, data in self.inside().items() if path.endswith(f".dist-info/{name}"))
        return found.decode()


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel in it, and nothing of this checkout."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def program(self) -> Path:
        return self.folder / "bin" / "interlock"


def downloading(words: Sequence[str | Path], environment: dict[str, str] | None = None) -> str:
    """Run what may fetch packages: from what lies here, and over the network only where that is not enough."""
    plain = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    said = ""
    for away in ({"UV_OFFLINE": "1"}, {}):
        done = subprocess.run(
            words,
            env={**plain, "UV_LINK_MODE": "hardlink", "UV_NO_PROGRESS": "1", **away, **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if done.returncode == 0:
            return done.stdout
        said = done.stderr
    pytest.fail(f"{words}: {said}")


def released(root: Path, out: Path) -> Release:
    """Make a release of the sources in a folder."""
    if not CONSOLE.is_file():
        pytest.fail("there is no console to put into a wheel: run `make ui`")
    downloading([sys.executable, root / "deploy" / "dist.py", out], {"SOURCE_DATE_EPOCH": MOMENT})
    return Release(out)


@pytest.fixture(scope="session")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources of this checkout in a folder where they stay as they are."""
    return sources(ROOT, tmp_path_factory.mktemp("copied") / "interlock")


@pytest.fixture(scope="session")
def release(copied: Path, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """A release of them."""
    return released(copied, tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="session")
def installed(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """That release in an environment of its own, with the versions that it names."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=30)
    made = Installed(folder)
    locked = ["--constraints", release.requirements]
    downloading([UV, "pip", "install", "--quiet", "--python", made.python, *locked, release.wheel])
    return made


def sources(root: Path, target: Path) -> Path:
    """Copy what a release is made of into another folder."""
    target.mkdir(parents=True)
    left = shutil.ignore_patterns("__pycache__", "node_modules", "coverage")
    for name in ("src", "ui", "docs", "tests", "deploy", "demo", "chaos", "benchmarks", "examples", "scripts"):
        if (root / name).is_dir():
            shutil.copytree(root / name, target / name, ignore=left, symlinks=True)
    for path in root.iterdir():
        if path.is_file():
            shutil.copy(path, target)
    return target
