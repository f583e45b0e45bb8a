"""`make dist`: everything that a release is made of, the same bytes wherever and whenever it is built.

    interlock-V.tar.gz             the sources, with the console built, so that nobody needs Node to install from them
    interlock-V-py3-none-any.whl   built from exactly these sources
    interlock-V.requirements.txt   the locked versions that it was tested with, each by its digest
    interlock-V.cdx.json           what is in it and what needs what: a CycloneDX document of the same versions
    SHA256SUMS                     the digests of these four

What would differ from build to build is taken from the sources instead: times from the last commit (or
`SOURCE_DATE_EPOCH`), the document's serial number from its content, the build tools from `build-requirements.txt`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

ROOT = Path(__file__).resolve().parents[1]
UV = Path(sys.executable).with_name("uv")
_LOCKED = ("--locked", "--no-default-groups", "--no-header", "--no-annotate", "--quiet")


def make(root: Path, out: Path) -> list[Path]:
    """Make a release of the sources in `root`; returns its files. Raises `CalledProcessError`, having said why."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name, moment = f"interlock-{project['version']}", _moment(root)
    out.mkdir(parents=True, exist_ok=True)
    sdist, wheel = out / f"{name}.tar.gz", out / f"{name}-py3-none-any.whl"
    constraints = root / "deploy" / "build-requirements.txt"
    with_tools = ("--build-constraints", str(constraints), "--require-hashes")
    _uv(moment, "build", "--quiet", "--no-create-gitignore", "--out-dir", str(out), *with_tools, str(root))
    requirements, bill = out / f"{name}.requirements.txt", out / f"{name}.cdx.json"
    project_of = ("--project", str(root))
    requirements.write_text(_uv(moment, "export", *project_of, *_LOCKED, "--no-emit-project"), encoding="utf-8")
    told = _uv(moment, "export", *project_of, *_LOCKED, "--format", "cyclonedx1.5", "--preview")
    bill.write_text(_settled(json.loads(told), moment, project), encoding="utf-8")
    made = [sdist, wheel, requirements, bill]
    sums = out / "SHA256SUMS"
    sums.write_text("".join(f"{sha256(each.read_bytes()).hexdigest()}  {each.name}\n" for each in made))
    return [*made, sums]


def _moment(root: Path) -> int:
    """Return the time that everything bears: of the last commit, in seconds; refuses where there is none."""
    named = os.environ.get("SOURCE_DATE_EPOCH")
    if named:
        return int(named)
    asked = ("git", "-C", str(root), "log", "-1", "--format=%ct")
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit("these sources are no git repository: set SOURCE_DATE_EPOCH to the time that the release is to bear")
    return int(done.stdout)


def _uv(moment: int, *words: str) -> str:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(moment)}
    done = subprocess.run([str(UV), *words], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def _settled(bill: dict[str, Any], moment: int, project: dict[str, Any]) -> str:
    """Write the document with nothing in it that another build would say otherwise."""
    told = bill["metadata"]
    told["timestamp"] = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    told["component"] |= {
        "type": "application",
        "description": project["description"],
        "licenses": [{"license": {"id": project["license"]}}],
        "purl": f"pkg:pypi/{project['name']}@{project['version']}",
    }
    bill.pop("serialNumber", None)
    bill["serialNumber"] = f"urn:uuid:{uuid5(NAMESPACE_URL, json.dumps(bill, sort_keys=True))}"
    return json.dumps(bill, indent=2) + "\n"


if __name__ == "__main__":
    for path in make(ROOT, Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist"):
        print(f"{path.stat().st_size:>9}  {path}")
