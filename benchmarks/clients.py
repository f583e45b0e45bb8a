"""Clients that work at the same time, each a process of its own, on a given word."""

from __future__ import annotations

import multiprocessing as mp
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from multiprocessing.connection import Connection

Work = Callable[[int], None]
"""Does a piece of work so many times."""
Road = Callable[[str, str], Work]
"""Connects, given address and the client's name; a function that a fresh process finds by its name."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a client works."""

    road: Road
    address: str
    """A folder, or a PostgreSQL address."""


@dataclass(frozen=True, slots=True)
class Round:
    """What a round came to."""

    per_second: float
    """Pieces of work done by all clients together."""
    cpu_us: float
    """Processor time of the clients, for one piece, in microseconds: what other processes do hardly changes it."""


class Clients:
    """Some clients of one kind, started and connected, waiting for the word."""

    def __init__(self, pipes: list[Connection]) -> None:
        self._pipes = pipes

    def round(self, times: int, *, beside: Callable[[], AbstractContextManager[None]] = nullcontext) -> Round:
        """Let every client do its share at the same time, with something at work beside them."""
        share = times // len(self._pipes)
        with beside():
            began = time.perf_counter()
            for pipe in self._pipes:
                pipe.send(share)
            cpu_seconds = sum(pipe.recv() for pipe in self._pipes)
            seconds = time.perf_counter() - began
        done = share * len(self._pipes)
        return Round(per_second=done / seconds, cpu_us=cpu_seconds / done * 1e6)


@contextmanager
def clients(seat: Seat, count: int = 1) -> Generator[Clients]:
    """Start clients, and end them afterwards."""
    context = mp.get_context("spawn")
    with ExitStack() as stack:
        pipes: list[Connection] = []
        for number in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, seat, f"client-{number}"), daemon=True)
            process.start()
            theirs.close()
            stack.callback(process.join)
            stack.callback(ours.close)
            pipes.append(ours)
        for pipe in pipes:
            pipe.recv()
        yield Clients(pipes)


def _serve(pipe: Connection, seat: Seat, name: str) -> None:
    work = seat.road(seat.address, name)
    pipe.send("ready")
    while True:
        try:
            times: int = pipe.recv()
        except EOFError:
            return
        began = time.process_time()
        work(times)
        pipe.send(time.process_time() - began)
