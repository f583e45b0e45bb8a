"""Evidence from afar: the log as it is told, its heads and proofs. What is verified is verified from files, here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from interlock.evidence.models import SignedHead
from interlock.kernel.canonical import JsonObject, canonical
from interlock.kernel.clock import from_text
from interlock.remote.connection import LONG_SECONDS, Connection, understood

_PAGE = 1000


def read_head(data: Mapping[str, Any]) -> SignedHead:
    """Read what `evidence/api.py` shows of a signed head."""
    return SignedHead(
        size=data["size"], root=bytes.fromhex(data["root"]), at=from_text(data["time"]), note=data["note"]
    )


def read_leaf_of(data: Mapping[str, Any]) -> bytes:
    """Return the bytes of the leaf that an entry of `/ops/audit` shows."""
    return canonical(cast("JsonObject", {name: value for name, value in data.items() if name != "index"}))


class RemoteLog:
    """What the doors ask of `evidence.ports.LogReader`."""

    def __init__(self, server: Connection) -> None:
        self._server = server

    def size(self) -> int:
        """Return how many leaves are sealed."""
        found = self._server.get("/ops/audit", limit=1).json
        return understood(lambda told: int(told[0]["index"]) + 1 if told else 0, found)

    def leaves(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the leaf bytes of `start <= index < end` in order."""
        for first in range(start, end, _PAGE):
            last = min(first + _PAGE, end)
            found = self._server.get("/ops/audit", before=last, limit=last - first).json
            yield from understood(lambda told: [read_leaf_of(each) for each in reversed(told)], found)


class RemoteEvidence:
    """Answers as `evidence.service.Evidence` does."""

    def __init__(self, server: Connection) -> None:
        self._server = server
        self.log = RemoteLog(server)

    def head(self) -> SignedHead:
        """Return a signed head of the present log."""
        return understood(read_head, self._server.send("POST", "/ops/evidence/head", seconds=LONG_SECONDS).json)

    def prove(self, index: int) -> str:
        """Return the offline proof that an entry is covered by the last signed head."""
        found = self._server.get(f"/ops/evidence/entries/{index}/proof").json
        return understood(lambda told: str(told["proof"]), found)
