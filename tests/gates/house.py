"""A small house that every gate passes: the project's own configuration over very little code of each kind."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_CONTRACTS = re.compile(
    r"^\[\[tool\.importlinter\.contracts\]\]\n.*?(?=^\[(?!\[?tool\.importlinter))", re.DOTALL | re.MULTILINE
)
_CONTRACT = """\
[[tool.importlinter.contracts]]
name = "The small house: every arrow points down"
type = "layers"
containers = ["interlock"]
layers = ["door", "words"]

"""
_NAVIGATION = re.compile(r"^nav = \[.*?^\]\n", re.DOTALL | re.MULTILINE)
_AS_THEY_ARE = (
    "uv.lock",
    "tests/docs/site.py",
    "ui/biome.jsonc",
    "ui/package-lock.json",
    "ui/tsconfig.json",
    "docs/assets/interlock.css",
)
_MODULE = '''\
"""Writes a page anew."""

from pathlib import Path

TEXT = """\\
{text}"""

if __name__ == "__main__":
    Path("{page}").write_text(TEXT, encoding="utf-8")
'''
_OPENAPI = {"openapi": "3.1.0", "info": {"title": "Small", "version": "1"}, "paths": {}}
GENERATED = {
    "docs/openapi.json": json.dumps(_OPENAPI, indent=2) + "\n",
    "docs/SECURITY.md": "# Security\n",
    "docs/requirements.md": "# Requirements\n",
    "docs/seed-map.md": "# Seeds\n",
    "docs/reference/cli.md": "# Commands\n",
    "benchmarks/README.md": "# Benchmarks\n",
}
"""What the modules of the small house write, by page."""
_MODULES = {
    "docs/openapi.json": "tests/http/document.py",
    "docs/SECURITY.md": "tests/http/rights.py",
    "docs/requirements.md": "tests/test_requirements.py",
    "docs/seed-map.md": "tests/test_seed_map.py",
    "docs/reference/cli.md": "tests/docs/reference/__main__.py",
    "benchmarks/README.md": "benchmarks/last.py",
}
_FILES = {
    "src/interlock/__init__.py": '"""A small house."""\n',
    "src/interlock/words.py": '"""Words."""\n\nGREETING = "hello"\n',
    "src/interlock/door.py": (
        '"""The door."""\n\nimport sys\n\nfrom interlock.words import GREETING\n\nsys.stdout.write(GREETING)\n'
    ),
    "tests/test_one.py": '"""One test."""\n\n\ndef test_one() -> None:\n    assert sum((1, 1)) == 2\n',
    "docs/index.md": "# Home\n\nSee [security](SECURITY.md).\n",
    "ui/src/one.ts": "export const one: number = 1;\n",
    "ui/src/one.test.mjs": 'import { test } from "node:test";\n\ntest("one", () => {});\n',
    "ui/src/api/.keep": "",
    "ui/vite.config.ts": "export default {};\n",
    "ui/.gitignore": "node_modules\nsrc/api/schema.gen.ts\n",
    ".gitignore": "/build/\n__pycache__/\n.*_cache/\n",
    "scripts/gates/excused.toml": "",
}


def small_house(root: Path) -> Path:
    """Make it in an empty folder."""
    for name in _AS_THEY_ARE:
        _write(root / name, (ROOT / name).read_text(encoding="utf-8"))
    for name, text in {**_FILES, **GENERATED}.items():
        _write(root / name, text)
    for page, module in _MODULES.items():
        _write(root / module, _MODULE.format(page=page, text=GENERATED[page]))
        (root / module).with_name("__init__.py").write_text('"""Makes pages."""\n', encoding="utf-8")
    _write(root / "tests" / "__init__.py", '"""Tests."""\n')
    _write(root / "tests" / "docs" / "__init__.py", '"""Tests of docs."""\n')
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    _write(root / "pyproject.toml", _CONTRACTS.sub(lambda _: _CONTRACT, project, count=1))
    pages = [name.removeprefix("docs/") for name in GENERATED if name.endswith(".md") and name.startswith("docs/")]
    navigation = f"nav = {json.dumps(['index.md', *pages])}\n"
    _write(root / "zensical.toml", _NAVIGATION.sub(navigation, (ROOT / "zensical.toml").read_text(encoding="utf-8")))
    _console(root / "ui")
    for words in (("init", "--quiet"), ("add", "--all")):
        subprocess.run(["git", "-C", str(root), *words], check=True)
    return root


def _console(folder: Path) -> None:
    package = json.loads((ROOT / "ui" / "package.json").read_text(encoding="utf-8"))
    package["scripts"]["test:coverage"] = "node --test src/one.test.mjs"
    _write(folder / "package.json", json.dumps(package, indent=2) + "\n")
    (folder / "node_modules").symlink_to(ROOT / "ui" / "node_modules")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
