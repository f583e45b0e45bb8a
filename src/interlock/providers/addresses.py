"""Where a provider may be: http or https, no secret in the address, and never where a machine's metadata service is.

Local and private addresses are allowed, because models are often served there. Names are looked up when a call is made,
and what they mean then is checked once more.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from urllib.parse import urlsplit

from interlock.providers.errors import ConfigurationInvalid

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_MOST = 2048
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?\.?")
_METADATA_NAMES = {
    "metadata",
    "metadata.goog",
    "metadata.google.internal",
    "instance-data",
    "instance-data.ec2.internal",
}
_METADATA = {
    ipaddress.ip_address(text)
    for text in (
        "100.100.100.200",  # Alibaba Cloud
        "168.63.129.16",  # Azure's wire server
        "192.0.0.192",  # Oracle Cloud, the older
        "fd00:ec2::254",  # AWS
        "fd20:ce::254",  # Google Cloud
        "fd00:c1::a9fe:a9fe",  # Oracle Cloud
    )
}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def checked_base_url(text: str, where: str) -> str:
    """Return an address that may be asked; raises `ConfigurationInvalid`, which shows no secret in it."""
    if len(text) > _MOST or not text.isascii() or not text.isprintable() or re.search(r"[\s\\]", text):
        raise ConfigurationInvalid(f"{where} is not an address: it has at most {_MOST} characters of plain ASCII")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ConfigurationInvalid(f"{where} is not an address") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise ConfigurationInvalid(f"{where} should begin with http:// or https:// and name a host")
    if "@" in parts.netloc:
        raise ConfigurationInvalid(f"{where} holds credentials", hint="give the key as api_key instead")
    if "?" in text or "#" in text:
        raise ConfigurationInvalid(f"{where} has a query or a fragment; it is only scheme, host, port and path")
    _check_host(parts.hostname, where)
    return text


def _check_host(host: str, where: str) -> None:
    number = as_number(host)
    if number is not None:
        why = forbidden(number)
        if why:
            raise ConfigurationInvalid(f"{where}: {why}")
    elif not _HOST.fullmatch(host):
        raise ConfigurationInvalid(f"{where} names no host")
    elif is_metadata_name(host):
        raise ConfigurationInvalid(f"{where}: {host} is a metadata service")


def is_metadata_name(host: str) -> bool:
    """Say whether a name is known to be that of a metadata service."""
    return host.lower().rstrip(".") in _METADATA_NAMES


def as_number(host: str) -> Address | None:
    """Return the address that a host's text is, in any way in which the system reads numbers as one."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.ip_address(socket.inet_aton(host))  # also 2852039166, 0xa9fea9fe and 169.254.43518
    except (OSError, UnicodeError):
        return None


def forbidden(address: Address) -> str | None:
    """Say why nothing may be asked at an address, or None."""
    for each in _meant(address):
        if each in _METADATA:
            return f"{address} is a metadata service"
        if each.is_link_local:
            return f"{address} is link-local, where metadata services are"
        if each.is_unspecified or each.is_multicast or (isinstance(each, ipaddress.IPv4Address) and each.is_reserved):
            return f"{address} is no address of one machine"
    return None


def _meant(address: Address) -> list[Address]:
    """Return an address with those that it carries inside."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    inside = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        inside.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if 1 < int(address) < 2**32:
        inside.append(ipaddress.IPv4Address(int(address)))  # the older form of a carried IPv4 address
    plain = ipaddress.IPv6Address(int(address))  # without the name of an interface
    return [plain, *(each for each in inside if each is not None)]
