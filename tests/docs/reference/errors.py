"""docs/reference/errors.md: every error's code, with its status over HTTP, its exit code, and what to do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from interlock.cli.main import _EXIT_CODES  # pyright: ignore[reportPrivateUsage]  # the table itself
from interlock.http.problems import status_of
from interlock.kernel.errors import InterlockError
from tests.docs.reference.markdown import code, page, sentence, table
from tests.docs.reference.words import HTTP, SERVICE
from tests.test_docs import below, every_module

_INTRODUCTION: Final = """\
An error is a sentence with a code. The command line prints both in one line on stderr and ends with the exit code;
HTTP answers a problem with the same `code` and `detail`, and a `hint` where there is one. The sentence here is the one
that is said when there is nothing more exact to say.

Six families: malformed (exit 2, HTTP 422), not found (3, 404), the state does not allow it (4, 409), the caller may not
(4, 403), something outside does not answer (5, 503), tried and failed (1, 500). Some errors have a status or an exit
code of their own. Scripts of the seeds have [their own exit codes](exit-codes.md).
"""


def errors() -> list[type[InterlockError]]:
    """List every error that has a code of its own, by its code."""
    every_module()
    found = {
        each
        for each in (InterlockError, *below(InterlockError))
        if "code" in vars(each) and each.__module__.startswith("interlock.")
    }
    return sorted(found, key=lambda each: (each.code, each.__qualname__))


def exit_code_of(error: type[InterlockError]) -> int:
    """Return how a command ends that meets it."""
    own: int | None = getattr(error, "exit_code", None)
    return own if own is not None else next((code for kind, code in _EXIT_CODES if issubclass(error, kind)), 1)


def pages() -> Mapping[str, str]:
    """Return the page."""
    by_room: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for each in errors():
        status = str(status_of(each.__new__(each)))
        words = sentence(each.__doc__)
        row = (code(each.code), status, str(exit_code_of(each)), words, each.default_hint)
        by_room[each.__module__.split(".")[1]].append(row)
    head = ["code", "HTTP", "exit", "what it says", "what to do"]
    own = ("code", "what it says")
    of_http = table(own, [(code(name), about) for name, about in HTTP.items()])
    of_service = table(own, [(code(name), about) for name, about in SERVICE.items()])
    parts = [part for room in sorted(by_room) for part in (f"## {room}", table(head, by_room[room]))]
    parts += ["## What the server says by itself", of_http]
    parts += ["## What the loop service says by itself", "In the shape of seed 2: `error` with `code`.", of_service]
    return {"reference/errors.md": page("Errors", _INTRODUCTION, *parts)}
