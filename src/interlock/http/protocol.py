"""HTTP/1.1 on one connection, with an end to patience: whoever sends or takes nothing is dropped.

uvicorn waits as long as a peer likes for the rest of a request, and for what it has sent to be taken.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from interlock.kernel.ids import UlidSource

HEAD_SECONDS = 10.0
"""How long the head of a request may take."""
BODY_SECONDS = 60.0
"""How long the rest of it may take."""
STALL_SECONDS = 30.0
"""How long a peer may take nothing of what is sent."""

_new_ulid = UlidSource()


class Protocol(H11Protocol):
    """One connection."""

    def __init__(self, *given: Any, **named: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*given, **named)
        self._waiting: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._waits_for: object = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - uvicorn's own
        """Begin; the first request has to come."""
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        super().connection_lost(exc)
        for timer in (self._waiting, self._stalled):
            if timer is not None:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Go on to the next request; the idle time between two is uvicorn's."""
        super().on_response_complete()
        if self.timeout_keep_alive_task is None:
            self._watch()
        else:
            self._stop_waiting()

    def pause_writing(self) -> None:
        """Begin to wait for the peer."""
        super().pause_writing()
        self._stalled = self._stalled or self.loop.call_later(STALL_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def shutdown(self) -> None:
        """End in good order; half a request is not waited for."""
        super().shutdown()
        cycle = self._cycle()
        if cycle is not None and cycle.more_body and not cycle.response_complete:
            self.transport.abort()
        elif self.transport.is_closing():
            self.loop.call_later(1.0, self.transport.abort)

    def timeout_keep_alive_handler(self) -> None:
        """Close; who has not taken the last answer by then does not get the rest."""
        super().timeout_keep_alive_handler()
        self.loop.call_later(STALL_SECONDS, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        correlation_id = f"req-{_new_ulid()}"
        body = json.dumps(
            {
                "type": "urn:interlock:error:bad_request",
                "title": "Not HTTP",
                "status": 400,
                "detail": msg,
                "code": "bad_request",
                "correlation_id": correlation_id,
            }
        ).encode()
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", str(len(body)).encode()),
            (b"x-correlation-id", correlation_id.encode()),
            (b"connection", b"close"),
        ]
        try:
            for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:  # an answer is under way: there is no way to say it any more
            self.transport.abort()
            return
        self.transport.close()

    def _cycle(self) -> RequestResponseCycle | None:
        return self.cycle

    def _watch(self) -> None:
        """Wait for what has not come yet: the same thing once, so that drops of it are no progress."""
        cycle = self._cycle()
        begun = cycle is not None and not cycle.response_complete
        if cycle is not None and begun and not cycle.more_body:
            self._stop_waiting()
            return
        waits_for = cycle if begun else ("head", id(cycle))
        if self._waiting is None or self._waits_for != waits_for:
            self._stop_waiting()
            self._waits_for = waits_for
            self._waiting = self.loop.call_later(BODY_SECONDS if begun else HEAD_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
