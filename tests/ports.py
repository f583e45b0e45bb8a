"""A port on which nobody listens."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Return a port of the loopback that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        return int(door.getsockname()[1])
