"""A wall of TLS before a server that speaks none: it asks for a client's certificate, and keeps what clients say."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from interlock.kernel.clock import system_clock

_FIVE_BITS = "012aceiost"
"""What HPACK (RFC 7541, appendix B) writes with five bits, in the order of its codes."""


def as_hpack(text: str) -> bytes:
    """Return how a text of such letters, eight or a multiple of it, stands in a header behind `Bearer `."""
    bits = "".join(f"{_FIVE_BITS.index(letter):05b}" for letter in text)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


@dataclass(frozen=True)
class Papers:
    """Who vouches, who the server is, and who its client is: files, each a PEM."""

    ca: Path
    server: Path
    client: Path
    client_key: Path


def make_papers(folder: Path) -> Papers:
    """Make an authority of our own, and what it vouches for."""
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _certificate("an authority", ca_key, "an authority", ca_key, authority=True)
    made = Papers(folder / "ca.pem", folder / "server.pem", folder / "client.pem", folder / "client.key")
    made.ca.write_bytes(ca)
    server_key, client_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    made.server.write_bytes(_pem(server_key) + _certificate("a server", server_key, "an authority", ca_key))
    made.client.write_bytes(_certificate("a client", client_key, "an authority", ca_key))
    made.client_key.write_bytes(_pem(client_key))
    return made


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    authority: bool = False,
) -> bytes:
    now = dt.datetime.fromtimestamp(system_clock() / 1000, dt.UTC)
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(here, critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@dataclass
class TlsWire:
    """Passes on to a port of this machine."""

    port: int
    context: ssl.SSLContext | None
    """None for a wire without TLS."""
    address: str = ""
    _heard: list[bytes] = field(default_factory=list[bytes])

    def heard(self) -> bytes:
        """Return what clients have said, as it came out of TLS."""
        return b"".join(self._heard)

    def serve(self, caller: socket.socket) -> None:
        with suppress(OSError):
            inside = self.context.wrap_socket(caller, server_side=True) if self.context else caller
            with inside, socket.create_connection(("127.0.0.1", self.port)) as server:
                threading.Thread(target=_forward, args=(server, inside, None), daemon=True).start()
                _forward(inside, server, self._heard)


def _forward(source: socket.socket, target: socket.socket, kept: list[bytes] | None) -> None:
    with suppress(OSError):
        while part := source.recv(65_536):
            if kept is not None:
                kept.append(part)
            target.sendall(part)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@contextmanager
def tls_wire(port: int, papers: Papers | None) -> Generator[TlsWire]:
    """Give a wire to a port; without papers it is a plain one."""
    context = None
    if papers is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(papers.server)
        context.load_verify_locations(papers.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        context.set_alpn_protocols(["h2"])
    with socket.create_server(("127.0.0.1", 0)) as door:
        made = TlsWire(port, context, f"127.0.0.1:{door.getsockname()[1]}")

        def work() -> None:
            with suppress(OSError):
                while True:
                    caller, _ = door.accept()
                    threading.Thread(target=made.serve, args=(caller,), daemon=True).start()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield made
        finally:
            door.shutdown(socket.SHUT_RDWR)  # closing it alone leaves the thread waiting, and the port open
            thread.join()
