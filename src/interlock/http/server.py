"""`interlock serve`: API, worker, rescuer and sequencer in one process, or the API alone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import uvicorn
from fastapi import FastAPI

from interlock.http.follower import Follower

_LOG = logging.getLogger("interlock.http")
_GRACE_SECONDS = 10


class Worker(Protocol):
    """What carries runs out."""

    def work(self) -> int:
        """Work until told to stop."""
        ...

    def stop(self) -> None:
        """Stop soon: what is under way is given back."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Where and how the server listens."""

    host: str
    port: int
    """0 takes any port that is free."""
    ready: Callable[[str], None]
    """Called with the address once requests are answered."""


def serve(app: FastAPI, worker: Worker | None, follower: Follower, serving: Serving) -> None:
    """Serve until SIGTERM or Ctrl-C: requests are finished, leases given back, windows brought up to date."""
    config = uvicorn.Config(
        app,
        host=serving.host,
        port=serving.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        timeout_keep_alive=20,
        h11_max_incomplete_event_size=64 * 1024,
    )
    server = _Server(config, serving.ready)
    thread = None if worker is None else threading.Thread(target=_carefully, args=(worker, server), name="worker")
    if thread is not None:
        thread.start()
    try:
        with suppress(KeyboardInterrupt):  # uvicorn raises it again after it has stopped in good order
            server.run()
    finally:
        if worker is not None and thread is not None:
            worker.stop()
            thread.join()
        follower.end()


def _carefully(worker: Worker, server: uvicorn.Server) -> None:
    """Work; a worker that can not go on takes the server down with it, so that somebody sees it."""
    try:
        worker.work()
    except Exception:
        _LOG.exception("the worker failed; the server stops")
        server.should_exit = True
        raise


class _Server(uvicorn.Server):
    """A server that says where it is once it is."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[str], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: Any = None) -> None:  # noqa: ANN401 - uvicorn's own
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._ready(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
