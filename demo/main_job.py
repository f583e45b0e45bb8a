"""The main job, on this very repository: a real tool changes real code, approved, contained, proven.

Every step is a command that an operator would type; the story stops, with exit code 1, at the first that did not do
what it says.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
PLACE = ROOT / ".demo"
WORKSPACE, CLONE, BUNDLE = PLACE / "workspace", PLACE / "clone", PLACE / "bundle"
RUFF = BIN / "ruff"
PART = "src/interlock/kernel"


def main() -> int:
    """Tell the story; returns the exit code."""
    began = time.monotonic()
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir()

    say("1. A workspace, and a repository to work on: a clone of this one.")
    interlock("init", str(WORKSPACE), workspace=False, quiet=True)
    with (WORKSPACE / "interlock.toml").open("a", encoding="utf-8") as file:
        # An agent has a /tmp of its own; should this checkout lie there, its tools are to be seen all the same.
        file.write(f"\n[worker]\nvisible = [{json.dumps(str(ROOT / '.venv'))}]\n")
    git("clone", "--quiet", "--no-hardlinks", str(ROOT), str(CLONE))
    before = git("-C", str(CLONE), "rev-parse", "HEAD")

    say("2. Somebody proposes a change. The agent is a real tool: ruff, re-wrapping the kernel at 88 columns.")
    draft = interlock(
        *("draft", "create", "--prompt", "Wrap the kernel at 88 columns, change nothing else."),
        *("--repo", str(CLONE)),
        *("--command", f"{RUFF} format --line-length 88 {PART}"),
        *("--check", f"{RUFF} format --check --line-length 88 {PART}"),
        *("--check", f"{sys.executable} -m compileall -q {PART}"),
        "--no-network",
    )
    must(draft["status"] == "draft", "the draft was made")
    print(text("draft", "show", draft["id"]))

    say("3. A draft can not be run, whoever asks.")
    refused(4, "run", "create", draft["id"])

    say("4. A human approves exactly what was shown: the digest says so. Approving starts nothing.")
    approved = interlock("draft", "approve", draft["id"], "--digest", draft["digest"])
    must(approved["digest"] == draft["digest"], "what was approved is what was shown")
    must(interlock("run", "list") == [], "nothing has started")

    say("5. A run is made from the approved record, and a worker carries it out, contained, in a worktree of its own.")
    run = interlock("run", "create", approved["id"])
    interlock("worker", "--once")
    done = interlock("run", "show", run["id"])
    print(text("run", "show", run["id"]))
    must(done["status"] == "done", "the run is done")
    files = [file["path"] for file in done["result"]["files"]]
    must(bool(files) and all(path.startswith(PART) for path in files), f"{len(files)} files of the kernel changed")
    must(all(check["passed"] for check in done["result"]["checks"]), "both checks passed in a clean checkout")

    say("6. Its log, and the beginning of its diff.")
    print(text("run", "log", run["id"]))
    patch = text("run", "diff", run["id"])
    print("\n".join(patch.splitlines()[:24]))
    must(patch.startswith("diff --git"), "there is a patch")

    say("7. The result comes home as a branch; the clone's own work is untouched.")
    applied = interlock("run", "apply", run["id"])
    changed = git("-C", str(CLONE), "diff", "--stat", before, applied["branch"])
    print(changed)
    must(git("-C", str(CLONE), "rev-parse", "HEAD") == before, "HEAD did not move")
    must(git("-C", str(CLONE), "status", "--porcelain") == "", "the working tree is clean")

    say("8. The evidence: exported, and verified from the exported files and the public key alone.")
    exported = interlock("evidence", "export", str(BUNDLE))
    verified = interlock("evidence", "verify", "--dir", str(BUNDLE), "--key", str(BUNDLE / "log.vkey"), workspace=False)
    must(verified["entries"] == exported["entries"], f"all {verified['entries']} entries verify")
    interlock("evidence", "verify")
    interlock("windows", "verify")

    say("9. Somebody alters one byte of a copy: who approved.")
    forged = PLACE / "forged"
    shutil.copytree(BUNDLE, forged)
    ledger = (forged / "ledger.jsonl").read_bytes()
    entry = next(n for n, line in enumerate(ledger.splitlines()) if b'"kind":"draft.approved"' in line)
    place = ledger.index(b'"principal":"human:', ledger.index(b'"kind":"draft.approved"')) + len(b'"principal":"human:')
    other = b"x" if ledger[place : place + 1] != b"x" else b"y"
    (forged / "ledger.jsonl").write_bytes(ledger[:place] + other + ledger[place + 1 :])
    said = refused(13, "evidence", "verify", "--dir", str(forged), "--key", str(BUNDLE / "log.vkey"))
    must(f"entry {entry}" in said, f"the verification names entry {entry}")

    print(f"\nThat was the main job, in {time.monotonic() - began:.0f} s. Look around: cd {WORKSPACE}")
    return 0


def say(sentence: str) -> None:
    """Begin a chapter."""
    print(f"\n\033[1m{sentence}\033[0m" if sys.stdout.isatty() else f"\n{sentence}", flush=True)


def must(true: bool, what: str) -> None:  # noqa: FBT001 - reads as the sentence that it checks
    """Say what has happened; end the story if it has not."""
    print(f"   {'✓' if true else '✗'} {what}", flush=True)
    if not true:
        fail(f"this did not happen: {what}")


def interlock(*words: str, workspace: bool = True, quiet: bool = False) -> Any:  # noqa: ANN401 - JSON
    """Type a command and return its JSON answer."""
    if not quiet:
        print(f"   $ interlock {shlex.join(words)}", flush=True)
    done = _run(*words, "--json", workspace=workspace)
    if done.returncode:
        fail(f"interlock {words[0]} ended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def text(*words: str) -> str:
    """Type a command and return what a person sees."""
    done = _run(*words, workspace=True)
    if done.returncode:
        fail(f"interlock {words[0]} ended with {done.returncode}: {done.stderr}")
    return "\n".join("   " + line if words[1] != "diff" else line for line in done.stdout.splitlines())


def refused(code: int, *words: str) -> str:
    """Type a command that must be refused with this exit code; returns what it said."""
    print(f"   $ interlock {shlex.join(words)}", flush=True)
    done = _run(*words, workspace=True)
    print(f"   {done.stderr.strip()}", flush=True)
    must(done.returncode == code, f"refused, exit code {code}")
    return done.stderr


def git(*words: str) -> str:
    """Run git and return what it says."""
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        fail(f"git {shlex.join(words)}: {done.stderr}")
    return done.stdout.strip()


def fail(sentence: str) -> NoReturn:
    """End the story badly."""
    sys.stderr.write(f"\nThe demo stopped: {sentence}\n")
    sys.exit(1)


def _run(*words: str, workspace: bool) -> subprocess.CompletedProcess[str]:
    where = ("--workspace", str(WORKSPACE)) if workspace else ()
    return subprocess.run([str(BIN / "interlock"), *words, *where], capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
