"""The application over one workspace's rooms."""

from __future__ import annotations

import logging
import os
import socket
from typing import Any

from fastapi import FastAPI

from interlock.access.models import Actor, Principal, PrincipalKind
from interlock.access.throttle import Throttle
from interlock.http import tracing
from interlock.http.application import Parts, create_application
from interlock.http.follower import Follower

_LOG = logging.getLogger("interlock.windows")


def plugged(house: Any, *, ops: bool = True) -> tuple[FastAPI, Follower]:  # noqa: ANN401 - app.Interlock, which stands beside us
    """Return the application, and what keeps the windows up to date while it runs."""
    actor = Actor(principal=Principal(PrincipalKind.SERVICE, f"api@{socket.gethostname()}"[:128]))

    def catch_up() -> None:
        for sentence in house.catch_up(actor):
            _LOG.warning("%s", sentence)

    def last() -> None:
        house.bulks.close()  # before its database is closed
        house.access.settle()

    house.access.environment()  # a token that can be guessed is refused before anything listens
    follower = Follower(catch_up, last=last)
    parts = Parts(
        house=house,
        access=house.access,
        throttle=Throttle(house.settings.access),
        log=house.event_log,
        wrote=follower.follow,
        names=house.settings.server.names,
        ops=ops,
    )
    app = create_application(parts)
    tracing.install(app, os.environ)
    return app, follower
