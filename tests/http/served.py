"""A workspace that is served over HTTP: the real application, the real server, real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2

from interlock.access.models import NewToken, Principal, PrincipalKind, Role
from interlock.access.options import AccessOptions
from interlock.app import Interlock
from interlock.http.follower import Follower
from interlock.http.server import Server, Serving, serve
from interlock.http.wiring import plugged
from tests.conftest import ALICE

ROLES = ("actions", "operator", "admin")
KINDS = ("human", "agent", "service")
PATIENT = AccessOptions(requests_per_minute=10**6, burst=10**6, bad_tokens_per_minute=10**6)


@dataclass(frozen=True)
class Served:
    """A running server, and a token of every sort."""

    house: Interlock
    server: Server
    address: str
    tokens: Mapping[tuple[str, str], str]
    follower: Follower
    clients: dict[tuple[str, str], httpx2.Client] = field(default_factory=dict[tuple[str, str], httpx2.Client])

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def client(self, role: str = "admin", kind: str = "human") -> httpx2.Client:
        """Return the client that shows a token of this sort; closed with the server."""
        if (role, kind) not in self.clients:
            self.clients[role, kind] = self.anybody(Authorization=f"Bearer {self.tokens[role, kind]}")
        return self.clients[role, kind]

    def anybody(self, **headers: str) -> httpx2.Client:
        """Return a new client that shows only these headers."""
        made = httpx2.Client(base_url=self.address, timeout=30, verify=False, headers=headers)
        self.clients["anybody", str(len(self.clients))] = made
        return made

    def raw(self, data: bytes, *, seconds: float = 10) -> bytes:
        """Send bytes on a connection of their own; returns everything that is answered until it is closed."""
        with closing(self.connect(seconds)) as connection:
            connection.sendall(data)
            return everything(connection)

    def peers(self) -> list[Any]:
        """List who is connected."""
        connections: set[Any] = self.server.server_state.connections  # type: ignore[assignment] - uvicorn says protocols of any kind
        return [each.client for each in connections]

    def connect(self, seconds: float = 10) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=seconds)

    def bearer(self, role: str = "admin", kind: str = "human") -> bytes:
        return f"Authorization: Bearer {self.tokens[role, kind]}\r\n".encode()

    def draft(self, prompt: str = "sweep the floor") -> str:
        made = self.client().post("/ops/drafts", json={"prompt": prompt})
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    def approved(self) -> str:
        done = self.client().post(f"/ops/drafts/{self.draft()}/approve")
        assert done.status_code == 200, done.text
        return str(done.json()["approved"]["id"])

    def run(self) -> str:
        made = self.client().post("/ops/runs", json={"approved_id": self.approved()})
        assert made.status_code == 201, made.text
        return str(made.json()["id"])


def everything(connection: socket.socket) -> bytes:
    """Read until the other side closes, or takes too long."""
    parts: list[bytes] = []
    while True:
        try:
            part = connection.recv(65_536)
        except (TimeoutError, ConnectionResetError):
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts)


@contextmanager
def serving(house: Interlock, *, ops: bool = True, access: AccessOptions = PATIENT) -> Generator[Served]:
    """Serve a workspace as long as the block lasts."""
    house = replace(house, settings=replace(house.settings, access=access))
    app, follower = plugged(house, ops=ops)
    ready = threading.Event()
    told: list[str] = []

    def say(address: str) -> None:
        told.append(address)
        ready.set()

    server = Server(app, Serving(host="127.0.0.1", port=0, ready=say))
    thread = threading.Thread(target=serve, args=(server, [], follower))
    thread.start()
    served = None
    try:
        assert ready.wait(10)
        served = Served(house, server, told[0], dict(tokens_of(house)), follower)
        yield served
    finally:
        for client in list(served.clients.values()) if served else ():
            client.close()
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def tokens_of(house: Interlock) -> Iterator[tuple[tuple[str, str], str]]:
    for role in ROLES:
        for kind in KINDS:
            holder = Principal(PrincipalKind(kind), f"{kind}-{role}")
            new = NewToken(name=f"{kind}-{role}", principal=holder, role=Role(role))
            yield (role, kind), house.access.create(ALICE, new, role=Role.ADMIN).text


def told(answer: httpx2.Response, status: int, code: str | None = None) -> Mapping[str, Any]:
    """Assert the shape of a failure; returns it."""
    assert answer.status_code == status, (answer.status_code, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["correlation_id"] == answer.headers["x-correlation-id"]
    assert isinstance(problem["detail"], str)
    assert problem["detail"]
    assert problem["type"] == f"urn:interlock:error:{problem['code']}"
    if code is not None:
        assert problem["code"] == code, problem
    return problem
