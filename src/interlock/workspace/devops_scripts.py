"""The entry points of seed 3 in a workspace: self-heal and workspace optimisation, as the runbook calls them."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from interlock.evidence import publish
from interlock.kernel.ids import UlidSource
from interlock.workspace.layout import Layout
from interlock.workspace.service import Made

_SELF_HEAL: Final = '''\
#!/usr/bin/env python3
"""Looks over the workspace; hands over to Interlock. Made by `interlock init`, which also brings it up to date."""
import os
import sys

PYTHON = {python}
HERE = os.path.abspath(__file__)
while os.path.islink(HERE):
    HERE = os.path.join(os.path.dirname(HERE), os.readlink(HERE))
ROOT = os.path.join(os.path.dirname(HERE), "..", "..")
try:
    os.execv(PYTHON, [PYTHON, "-I", "-m", "interlock.cli.self_heal", ROOT] + sys.argv[1:])
except OSError:
    sys.stderr.write("error: Interlock is not at %s any more; run `interlock init` in this workspace\\n" % PYTHON)
    sys.exit(2)
'''
_OPTIMIZATION: Final = r"""#!/bin/sh
# Plans what could leave the workspace; hands over to Interlock. Made by `interlock init`, which brings it up to date.
PYTHON={python}
case $0 in */*) self=$0 ;; *) self=./$0 ;; esac
while [ -L "$self" ]; do
    link=$(readlink "$self")
    case $link in /*) self=$link ;; *) self=${{self%/*}}/$link ;; esac
done
if [ ! -x "$PYTHON" ]; then
    echo "error: Interlock is not at $PYTHON any more; run \`interlock init\` in this workspace" >&2
    exit 2
fi
exec "$PYTHON" -I -m interlock.cli.workspace_optimization "${{self%/*}}/../.." "$@"
"""


@dataclass(frozen=True, slots=True)
class _Script:
    template: str
    python: str
    """The interpreter, spelt as the script's language wants it."""

    @property
    def text(self) -> str:
        return self.template.format(python=self.python)

    def is_ours(self, text: str) -> bool:
        """Say whether a text is this script, for whatever interpreter."""
        return re.fullmatch(re.escape(self.template.format(python="@")).replace("@", "[^\n]*", 1), text) is not None


def make_devops_scripts(layout: Layout, *, replace: bool) -> Iterator[Made]:
    """Write the entry points; what somebody else has there is kept, or with `replace` moved aside. Raises OSError."""
    stamp = UlidSource()() if replace else None
    for name, script in scripts().items():
        path = layout.root / name
        found = path.read_text(encoding="utf-8", errors="replace") if path.exists() else None
        ours = found is not None and script.is_ours(found)
        if found is not None and not ours and stamp is not None:
            aside = path.with_name(f"{path.name}.{stamp}.backup")
            path.rename(aside)
            yield Made(aside, "backed up")
            found = None
        if found is not None and (found == script.text or not ours):
            yield Made(path, "kept")
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        publish.replace(path, [script.text.encode()], mode=0o755)
        path.chmod(0o755)
        yield Made(path, "created" if found is None else "updated")


def scripts() -> dict[str, _Script]:
    """Return the entry points by their places in a workspace."""
    return {
        "services/gateway/self_heal.py": _Script(_SELF_HEAL, repr(sys.executable)),
        "tools/maintenance/workspace_optimization.sh": _Script(_OPTIMIZATION, shlex.quote(sys.executable)),
    }
