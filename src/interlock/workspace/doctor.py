"""Doctor: a dict of probes. Each looks at one thing that everything else stands on, and says what to do about it.

A probe reads, and creates nothing. What one of them meets stops no other: its error is what it found, and so is that it
gave no answer in time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from interlock.kernel.errors import InterlockError

MOST_SECONDS = 10.0
"""How long one probe may take."""


class Health(Enum):
    """How a thing is."""

    OK = "ok"
    WARNING = "warning"
    """Work goes on, and something is less than it could be."""
    FAILED = "failed"
    """Something will not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a probe found."""

    health: Health
    sentence: str
    todo: str = ""
    """What to do, a command where there is one; empty where nothing is to be done."""


Probe = Callable[[], Finding]


class NotLooked(Exception):
    """A probe needs what another one has found to be broken; says which."""


def ok(sentence: str) -> Finding:
    """Say that all is well."""
    return Finding(Health.OK, sentence)


def warning(sentence: str, todo: str) -> Finding:
    """Say that something is less than it could be."""
    return Finding(Health.WARNING, sentence, todo)


def failed(sentence: str, todo: str) -> Finding:
    """Say that something will not work."""
    return Finding(Health.FAILED, sentence, todo)


def examine(probes: Mapping[str, Probe], *, most_seconds: float = MOST_SECONDS) -> Iterator[tuple[str, Finding]]:
    """Let each probe look in turn, and yield what it found under its name."""
    for name, probe in probes.items():
        yield name, _bounded(name, probe, most_seconds)


def worst(findings: Mapping[str, Finding]) -> Health:
    """Say how the whole is: as its worst part."""
    found = {finding.health for finding in findings.values()}
    return next((each for each in (Health.FAILED, Health.WARNING) if each in found), Health.OK)


def _bounded(name: str, probe: Probe, most_seconds: float) -> Finding:
    """Let a probe look in a thread that is left behind where it hangs: a file server that is gone answers never."""
    found: list[Finding] = []
    looking = threading.Thread(target=lambda: found.append(_caught(probe)), name=f"doctor {name}", daemon=True)
    looking.start()
    looking.join(most_seconds)
    if found:
        return found[0]
    return warning(
        f"gave no answer in {most_seconds:g} s", "look whether disk, database or network hangs, and call this again"
    )


def _caught(probe: Probe) -> Finding:
    try:
        return probe()
    except NotLooked as why:
        return warning(f"was not looked at: {why}", "mend that first, and call this again")
    except InterlockError as error:
        return failed(error.message, error.hint or "mend that, and call this again")
    except ImportError as error:
        return failed(f"the package {error.name} can not be imported", "pip install --force-reinstall interlock")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return failed(f"{where}{error.strerror or type(error).__name__}", "see that whoever calls this may read it")
    except Exception as error:  # noqa: BLE001 - whatever is broken, the other probes are to say what they see
        return failed(f"the probe met what nobody foresaw ({type(error).__name__})", "tell Interlock's authors")
