"""Shows a token for clients that can show none: takes connections, and adds the header to each request's head.

The conformance suite calls servers without any authorization. Everything else goes through byte for byte.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import NamedTuple


class _Way(NamedTuple):
    port: int
    line: bytes


@contextmanager
def doorkeeper(port: int, token: str) -> Generator[int]:
    """Stand before a server as long as the block lasts; yields the port to call instead of its own."""
    loop = asyncio.new_event_loop()
    way = _Way(port, f"authorization: Bearer {token}\r\n".encode())
    server = loop.run_until_complete(
        asyncio.start_server(lambda reader, writer: _serve(reader, writer, way), "127.0.0.1", 0)
    )
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _end(server: asyncio.Server) -> None:
    server.close()
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0.05)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: _Way) -> None:
    """Hand one request over and its answer back; the connection ends with it, so that each begins with a head."""
    there, to_there = await asyncio.open_connection("127.0.0.1", way.port)
    try:
        with suppress(OSError, asyncio.IncompleteReadError):
            first, _, rest = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
            kept = [line for line in rest.split(b"\r\n") if line and not line.lower().startswith(b"connection:")]
            head = b"\r\n".join([first, *kept, b"connection: close"]) + b"\r\n" + way.line + b"\r\n"
            to_there.write(head)
            await asyncio.wait(
                [asyncio.ensure_future(_pipe(reader, to_there)), asyncio.ensure_future(_pipe(there, writer))],
                return_when=asyncio.FIRST_COMPLETED,
            )
            await _pipe(there, writer)
    finally:
        for each in (writer, to_there):
            each.close()


async def _pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError, RuntimeError):
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
