"""Every route of the application, with ids in its path that lead nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from interlock.doors.api import GuardedRoute, Level, for_humans, needed
from interlock.http.application import DOORS

NOBODY = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
_IDS = {
    "draft_id": f"d_{NOBODY}",
    "approved_id": f"a_{NOBODY}",
    "run_id": f"r_{NOBODY}",
    "token_id": f"t_{NOBODY}",
    "item_id": f"q_{NOBODY}",
    "bulk_id": f"qb_{NOBODY}",
    "loop_id": "nobody",
    "alert_id": f"al_{NOBODY}",
    "silence_id": f"si_{NOBODY}",
    "sink_id": "nobody",
    "node_id": f"n_{NOBODY}",
    "version": "999999",
    "watch_id": f"w_{NOBODY}",
    "pipeline_id": f"pipeline_{NOBODY}",
    "deployment_id": f"deploy_{NOBODY}",
    "name": "nobody",
    "index": "999999",
}


class Way(NamedTuple):
    """One method of one route."""

    method: str
    template: str
    level: Level
    takes_body: bool
    for_humans: bool
    about: str

    @property
    def path(self) -> str:
        return re.sub(r"\{(\w+)\}", lambda match: _IDS[match[1]], self.template)


def ways() -> Iterator[Way]:
    """List what the application answers to, but for what is open to all and the document of its interface."""
    for door in DOORS:
        for route in door.routes:
            assert isinstance(route, GuardedRoute)
            for method in sorted(route.methods or ()):
                yield Way(
                    method,
                    route.path,
                    needed(route.endpoint),
                    route.body_field is not None,
                    for_humans(route.endpoint),
                    (route.endpoint.__doc__ or "").split(".")[0],
                )
