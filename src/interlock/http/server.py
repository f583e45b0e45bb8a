"""`interlock serve`: API, worker, rescuer and sequencer in one process, or the API alone."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import uvicorn
from fastapi import FastAPI

from interlock.http.follower import Follower
from interlock.http.protocol import Protocol as Connection
from interlock.kernel.errors import Failed, Unreachable

_LOG = logging.getLogger("interlock.http")
_GRACE_SECONDS = 10
_BACKLOG = 2048


class Worker(Protocol):
    """What works beside the server: carries runs out, supervises loops."""

    def work(self) -> int:
        """Work until told to stop."""
        ...

    def stop(self) -> None:
        """Stop soon: what is under way is given back."""
        ...


class AddressTaken(Unreachable):
    """Nobody can listen there."""

    code = "address_taken"


class WorkerFailed(Failed):
    """The worker failed, and the server with it; the log tells why."""

    code = "worker_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Where and how the server listens."""

    host: str
    port: int
    """0 takes any port that is free."""
    ready: Callable[[str], None]
    """Called with the address once requests are answered."""


class Server(uvicorn.Server):
    """A server that says where it is once it is, and ends those who follow events when it ends."""

    def __init__(self, app: FastAPI, serving: Serving) -> None:
        """Take the application and where it is served; `AddressTaken` says why not there."""
        # Whose address a request names itself is nobody's: uvicorn would believe it of every process on this machine.
        config = uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            timeout_keep_alive=20,
            h11_max_incomplete_event_size=64 * 1024,
        )
        super().__init__(config)
        self._app, self._serving = app, serving
        self._listening = listening(serving.host, serving.port)
        self.failed = False

    def stands_beside(self, threads: Sequence[threading.Thread]) -> None:
        """Let the application say what works beside it."""
        self._app.state.beside = tuple(threads)

    def serve_until_stopped(self) -> None:
        """Serve."""
        self.run(sockets=[self._listening])

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Stop in good order when told to. uvicorn would then end the process by the signal, before its worker."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {each: signal.signal(each, self.handle_exit) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    async def startup(self, sockets: Any = None) -> None:  # noqa: ANN401 - uvicorn's own
        """Begin, and say so."""
        await super().startup(sockets)
        if self.started:
            host, port = self._listening.getsockname()[:2]
            self._serving.ready(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")

    async def shutdown(self, sockets: Any = None) -> None:  # noqa: ANN401 - uvicorn's own
        """Stop: who follows events is let go at once, every other request is finished."""
        self._app.state.tail.end()
        self._app.state.watched.end()
        self._app.state.mcp.end()
        await super().shutdown(sockets)


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens; raises `AddressTaken`."""
    try:
        found: Sequence[Any] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        made = socket.socket(*found[0][:3])  # with its protocol: without, asyncio leaves Nagle's algorithm on
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(found[0][4])
            made.listen(_BACKLOG)
        except OSError:
            made.close()
            raise
    except OSError as error:
        raise AddressTaken(
            f"nobody can listen on {host} port {port}: {error.strerror}",
            hint="end what listens there, or name another place with --host and --port",
        ) from None
    return made


def serve(server: Server, workers: Sequence[Worker], follower: Follower) -> None:
    """Serve until SIGTERM or Ctrl-C: requests are finished, leases given back, windows brought up to date."""
    threads = [
        threading.Thread(
            target=_carefully, args=(worker, server), name=getattr(worker, "name", type(worker).__name__.lower())
        )
        for worker in workers
    ]
    server.stands_beside(threads)
    for thread in threads:
        thread.start()
    try:
        server.serve_until_stopped()
    finally:
        for worker in workers:
            worker.stop()
        for thread in threads:
            thread.join()
        follower.end()
    if server.failed:
        raise WorkerFailed


def _carefully(worker: Worker, server: Server) -> None:
    """Work; a worker that can not go on takes the server down with it, so that somebody sees it."""
    try:
        worker.work()
    except Exception:  # noqa: BLE001 - a thread's last resort; the server says it when it has stopped
        _LOG.exception("the worker failed; the server stops")
        server.failed = True
        server.should_exit = True
