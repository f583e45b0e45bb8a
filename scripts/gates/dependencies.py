"""What others know of what we build on: weaknesses that were found in it, and the licences it comes under."""

from __future__ import annotations

import importlib.metadata
import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gates.verdict import GateFailed, Result, Tree, Verdict, found, npm

_PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)(?P<marker> ;[^\\\n]*)?", re.MULTILINE)
_LICENCES: Mapping[str, str] = {
    **dict.fromkeys(
        ("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "PSF-2.0", "Unlicense"),
        "permissive",
    ),
    "MPL-2.0": "of files that we use unchanged",
    "LGPL-3.0-only": "a library beside ours, which anybody may replace",
}
"""Licences that what stands under Apache-2.0 may be built on, and why."""
_OLD_NAMES: Mapping[str, str] = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""What packages without a licence expression call them."""


# --- weaknesses -------------------------------------------------------------------------------------------------------


def audit(tree: Tree) -> Verdict:
    """Pass if every locked package that a user installs, extras too, was looked up and no weakness of it is known."""
    with tempfile.TemporaryDirectory(prefix="interlock-gates-") as folder:
        locked, text = Path(folder) / "requirements.txt", _locked(tree)
        # Without what says on which platform: a user's may be another.
        locked.write_text(_PINNED.sub(r"\g<name>==\g<version> ", text), encoding="utf-8")
        instead = ("--osv-url", tree.advisories) if tree.advisories else ()
        plain = ("--format", "json", "--progress-spinner", "off", "--cache-dir", folder)
        # The lock says all there is to say, so nothing is resolved.
        exactly = ("--requirement", locked, "--require-hashes", "--disable-pip")
        done = tree.run("pip-audit", "--vulnerability-service", "osv", *instead, *plain, *exactly, seconds=300)
    try:
        told: Sequence[Mapping[str, Any]] = json.loads(done.out)["dependencies"]
    except ValueError:
        return Verdict(Result.UNREACHABLE, f"no answer: {_error(done.error)}")
    weak = [
        f"{each['name']} {each['version']}: {known['id']}, mended in {', '.join(known['fix_versions']) or 'none yet'}"
        for each in told
        for known in each.get("vulns", ())
    ]
    if weak:
        return found(weak, of="")
    looked_up = {f"{each['name']}=={each['version']}" for each in told if "skip_reason" not in each}
    pinned = {f"{each['name']}=={each['version']}" for each in _PINNED.finditer(text)}
    if missing := sorted(pinned - looked_up):
        return Verdict(Result.UNREACHABLE, f"{len(missing)} packages were not looked up", "\n".join(missing))
    return Verdict(Result.PASSED, f"{len(pinned)} packages")


def console_audit(tree: Tree) -> Verdict:
    """Pass if the registry knows of no weakness in what the console is built from and carries with it."""
    done = tree.run(*npm("audit", "--omit=dev", "--json"), folder="ui", seconds=300)
    try:
        told: Mapping[str, Any] = json.loads(done.out)
    except ValueError:
        told = {}
    if "vulnerabilities" not in told:
        return Verdict(Result.UNREACHABLE, f"no answer: {told.get('message') or _error(done.error)}")
    looked_at = told["metadata"]["dependencies"]["prod"]
    weak = [f"{name}: {each['severity']} ({each['range']})" for name, each in told["vulnerabilities"].items()]
    return found(weak, of=f"{looked_at} packages")


def _locked(tree: Tree) -> str:
    quiet = ("--quiet", "--no-header", "--no-annotate")
    users = ("--no-default-groups", "--all-extras", "--no-emit-project")
    done = tree.run("uv", "export", "--frozen", *quiet, *users)
    if done.code:
        raise GateFailed(f"uv can not read the lock: {_error(done.error)}")
    if not _PINNED.search(done.out):
        raise GateFailed("the lock holds nothing that a user installs")
    return done.out


def _error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "nothing was said"


# --- licences ---------------------------------------------------------------------------------------------------------


def licences(tree: Tree) -> Verdict:
    """Pass if each package that a user installs, or that the console carries, may be used under our licence."""
    lines: list[str] = []
    pinned = list(_PINNED.finditer(_locked(tree)))
    for each in pinned:
        try:
            told = _licence(importlib.metadata.metadata(each["name"]))
        except importlib.metadata.PackageNotFoundError:
            if not each["marker"]:  # else it is for another platform
                lines.append(f"{each['name']}: not installed here, so its licence is not known")
            continue
        if not _may_be_used(told):
            lines.append(f"{each['name']}: {told or 'no licence'}")
    console = _carried(tree)
    lines += [f"{name} (console): {told or 'no licence'}" for name, told in console.items() if not _may_be_used(told)]
    return found(lines, of=f"{len(pinned)} packages, {len(console)} in the console")


def _carried(tree: Tree) -> Mapping[str, str]:
    lock = json.loads((tree.root / "ui" / "package-lock.json").read_text(encoding="utf-8"))
    return {
        name.removeprefix("node_modules/"): each.get("license", "")
        for name, each in lock["packages"].items()
        if name and not each.get("dev")
    }


def _licence(metadata: importlib.metadata.PackageMetadata) -> str:
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    said = [each.rpartition(" :: ")[2] for each in metadata.get_all("Classifier", []) if each.startswith("License ::")]
    said = [each for each in said if each != "OSI Approved"] or metadata.get_all("License", [""])[0].splitlines()[:1]
    return " OR ".join(_OLD_NAMES.get(each, each) for each in said)


def _may_be_used(expression: str) -> bool:
    choices = expression.strip("()").split(" OR ")
    return any(all(part.strip("() ") in _LICENCES for part in choice.split(" AND ")) for choice in choices)
