"""Pages that are made from the code: made anew in a copy of the tree, and held against what is committed."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gates.verdict import GateFailed, Look, Tree, Verdict, found


@dataclass(frozen=True, slots=True)
class Made:
    """A module that writes pages anew, and one of them."""

    module: str
    page: str


OPENAPI = (Made("tests.http.document", "docs/openapi.json"),)
PAGES = (
    Made("tests.http.rights", "docs/SECURITY.md"),
    Made("tests.test_requirements", "docs/requirements.md"),
    Made("tests.test_seed_map", "docs/seed-map.md"),
    Made("tests.docs.reference", "docs/reference/cli.md"),
    Made("benchmarks.last", "benchmarks/README.md"),
)
"""Every module that writes pages which are committed has its row here."""


def in_step(made: Sequence[Made]) -> Look:
    """Return a gate that passes if these modules, run on the code as it is, would change nothing."""

    def look(tree: Tree) -> Verdict:
        with tempfile.TemporaryDirectory(prefix="interlock-gates-") as folder:
            copy = Tree(Path(folder))
            for name in tree.files():
                (copy.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(tree.root / name, copy.root / name)
            differing = list(_differing(copy, made))
        return found(differing, of=f"as {', '.join(each.module for each in made)} make them")

    return look


def _differing(copy: Tree, made: Sequence[Made]) -> Iterator[str]:
    before = _digests(copy.root)
    for each in made:
        done = copy.run(sys.executable, "-m", each.module)
        if done.code:
            raise GateFailed(f"python -m {each.module} failed\n{done.said}")
        after = _digests(copy.root)
        for path in sorted(before.keys() | after.keys()):
            if before.get(path) != after.get(path):
                yield f"{path} is not what the code makes of it: python -m {each.module}"
        before = after


def _digests(root: Path) -> Mapping[Path, bytes]:
    return {
        path.relative_to(root): hashlib.sha256(path.read_bytes()).digest() for path in root.rglob("*") if path.is_file()
    }
