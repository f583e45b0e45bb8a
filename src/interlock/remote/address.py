"""Where a server is. A token travels only where nobody can read it on the way."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from interlock.remote.errors import AddressRefused

_LOOPBACK = re.compile(r"localhost|::1|127(\.\d{1,3}){3}", re.ASCII)
_HOST = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?|[0-9a-f:.]*:[0-9a-f:.]*", re.ASCII)
_PREFIX = re.compile(r"[A-Za-z0-9/._~-]*", re.ASCII)
_PORTS = {"http": 80, "https": 443}


class Address(NamedTuple):
    """Where a server is."""

    secure: bool
    host: str
    port: int
    prefix: str
    """What a proxy puts before every path; without a slash at its end."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}{self.prefix}"


def read_address(text: str) -> Address:
    """Read the address of a server; raises `AddressRefused`, which shows no password."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise AddressRefused("this is no address of a server") from None
    if "@" in text:
        raise AddressRefused("the address holds a name or password; the token says who you are")
    named = f"{text[:80]!a}"
    if parts.scheme not in _PORTS or not _HOST.fullmatch(host) or port == 0:
        raise AddressRefused(f"{named} is no address of a server")
    if parts.query or parts.fragment or "?" in text or "#" in text or not _PREFIX.fullmatch(parts.path):
        raise AddressRefused(f"{named} names more than a server")
    if parts.scheme == "http" and not _LOOPBACK.fullmatch(host):
        raise AddressRefused(f"http to {host} would let everybody on the way read the token; it takes https")
    return Address(parts.scheme == "https", host, port or _PORTS[parts.scheme], parts.path.rstrip("/"))
