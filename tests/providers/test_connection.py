"""The wire: whatever libraries and names would do, a request goes where it may, with what it should carry."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from interlock.providers.adapters.connection import connected
from interlock.providers.calling import Call
from interlock.providers.errors import ProviderError, ProviderFailed, ProviderUnreachable
from interlock.providers.models import ProviderType, Target
from tests.conftest import ALICE
from tests.providers.conftest import OTHERS_KEYS, Configured
from tests.providers.model_server import KEY_HEADERS, MODEL, PATHS, ModelServer, model_server, saying, well

AMBIENT = {
    **{name: f"AMBIENT-{name}" for name in OTHERS_KEYS},
    "OPENAI_CUSTOM_HEADERS": "X-Ambient: AMBIENT\nAuthorization: Bearer AMBIENT",
    "ANTHROPIC_CUSTOM_HEADERS": "X-Ambient: AMBIENT\nX-Api-Key: AMBIENT",
    "OPENAI_BASE_URL": "http://127.0.0.1:9/AMBIENT",
    "ANTHROPIC_BASE_URL": "http://127.0.0.1:9/AMBIENT",
    "GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:9/AMBIENT",
    "GOOGLE_GENAI_USE_VERTEXAI": "true",
    "GOOGLE_GENAI_USE_ENTERPRISE": "true",
    "GOOGLE_CLOUD_PROJECT": "AMBIENT",
    "GOOGLE_CLOUD_LOCATION": "AMBIENT",
    "GOOGLE_GENAI_API_VERSION": "AMBIENT",
    "GOOGLE_GENAI_CLIENT_MODE": "replay",
    "GOOGLE_GENAI_REPLAYS_DIRECTORY": "/nonexistent/AMBIENT",
    "ANTHROPIC_PROFILE": "AMBIENT",
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"), "http://127.0.0.1:9"),
}
HEADERS = {
    "host",
    "accept",
    "accept-encoding",
    "connection",
    "content-type",
    "content-length",
    "user-agent",
    "anthropic-version",
}


@pytest.mark.parametrize("key", [None, "sk-our-own-key-0123456789"])
def test_nothing_of_the_environment_goes_along(
    configured: Configured,
    server: ModelServer,
    kind: ProviderType,
    monkeypatch: pytest.MonkeyPatch,
    key: str | None,
) -> None:
    for name, value in AMBIENT.items():
        monkeypatch.setenv(name, value)
    rooms = configured(here=server.entry(kind, api_key=key))
    rooms.providers.generate(ALICE, "sweep")
    assert rooms.providers.health()[0].reason == "ok"
    name, form = KEY_HEADERS[kind]
    for asked in server.asked:
        assert set(asked.headers) - {name} <= HEADERS
        assert asked.headers.get(name) == (form.format(key) if key else None)
        assert (asked.headers["user-agent"], asked.headers["accept-encoding"]) == ("interlock", "identity")
        assert "AMBIENT" not in str(asked)
    assert len(server.asked) == 2
    assert server.asked[0].path == PATHS[kind]


# --- names ------------------------------------------------------------------------------------------------------------


def meaning(*addresses: str) -> Callable[..., Any]:
    """Return a look-up in which each asking gets the next address, and the last one from then on."""
    left = list(addresses)

    def look_up(_host: object, port: int, *_args: object, **_more: object) -> Any:  # noqa: ANN401 - the library's own
        address = left.pop(0) if len(left) > 1 else left[0]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        place = (address, port, 0, 0) if ":" in address else (address, port)
        return [(family, socket.SOCK_STREAM, 6, "", place)]

    return look_up


def both(one: str, other: str) -> Callable[..., Any]:
    """Return a look-up in which a name has two addresses."""

    def look_up(*args: object, **more: object) -> Any:  # noqa: ANN401 - the library's own
        return [*meaning(one)(*args, **more), *meaning(other)(*args, **more)]

    return look_up


def entry_at(name: str, server: ModelServer, kind: ProviderType) -> dict[str, Any]:
    port = server.origin.rpartition(":")[2]
    return server.entry(kind) | {"base_url": server.base_url(kind).replace(f"127.0.0.1:{port}", f"{name}:{port}")}


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "fd00:ec2::254", "100.100.100.200", "224.0.0.1"],
)
def test_a_name_that_means_a_metadata_service_is_not_asked(
    configured: Configured, server: ModelServer, kind: ProviderType, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    rooms = configured(here=entry_at("models.example.org", server, kind))
    monkeypatch.setattr(socket, "getaddrinfo", meaning(address))
    connected_to: list[object] = []

    def connect(_connection: object, place: object) -> None:
        connected_to.append(place)

    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(ProviderFailed, match=r"models\.example\.org is at") as failed:
        rooms.providers.generate(ALICE, "sweep")
    assert (failed.value.reason, connected_to) == ("address_forbidden", [])
    assert rooms.providers.health()[0].reason == "address_forbidden"


def test_a_name_of_which_only_one_meaning_is_forbidden_is_not_asked_either(
    configured: Configured, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = configured(here=entry_at("models.example.org", server, ProviderType.OPENAI_COMPAT))
    monkeypatch.setattr(socket, "getaddrinfo", both("127.0.0.1", "169.254.169.254"))
    with pytest.raises(ProviderFailed, match=r"is at 169\.254\.169\.254"):
        rooms.providers.generate(ALICE, "sweep")
    assert server.asked == []


def test_a_name_is_looked_up_once_a_call_so_that_it_can_not_change_between_check_and_connection(
    configured: Configured, server: ModelServer, kind: ProviderType, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = configured(here=entry_at("models.example.org", server, kind))
    monkeypatch.setattr(socket, "getaddrinfo", meaning("127.0.0.1", "169.254.169.254"))
    assert rooms.providers.generate(ALICE, "sweep").provider == "here"
    assert server.asked[0].headers["host"].startswith("models.example.org:")
    with pytest.raises(ProviderFailed, match=r"is at 169\.254\.169\.254"):
        rooms.providers.generate(ALICE, "sweep")


def test_of_several_addresses_the_next_is_tried(
    configured: Configured, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = configured(here=entry_at("models.example.org", server, ProviderType.OPENAI_COMPAT))
    monkeypatch.setattr(socket, "getaddrinfo", both("127.0.0.77", "127.0.0.1"))
    assert rooms.providers.generate(ALICE, "sweep").provider == "here"


def test_the_name_of_a_metadata_service_is_not_even_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", meaning("127.0.0.1"))
    with pytest.raises(ProviderFailed, match="metadata service"):
        exchange("http://metadata.google.internal/x", "http://metadata.google.internal/x")


# --- addresses --------------------------------------------------------------------------------------------------------


def exchange(address: str, url: str, key: str | None = None) -> httpx2.Response:
    """Send one request over the wire of a provider at `address`, as a library would."""
    kind = ProviderType.OPENAI_COMPAT
    target = Target(name="here", type=kind, model=MODEL, address=address, key=key)
    call = Call(seconds=2, max_response_bytes=1000)
    with connected(target, call, lambda key: ("authorization", key)) as client:
        return client.get(url)


def test_a_library_that_would_ask_elsewhere_can_not(server: ModelServer) -> None:
    port = server.origin.rpartition(":")[2]
    server.behaviour = saying({"ok": True})
    assert exchange(server.origin, f"{server.origin}/x").json() == {"ok": True}
    for url in (f"http://localhost:{port}/x", f"http://127.0.0.1:{int(port) + 1}/x", f"https://127.0.0.1:{port}/x"):
        with pytest.raises(ProviderFailed, match="its own address"):
            exchange(server.origin, url, key="sk-secret")
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(
    configured: Configured, server: ModelServer, kind: ProviderType, status: int
) -> None:
    with model_server() as other:
        server.behaviour = saying({}, status, Location=f"{other.origin}/latest/meta-data")
        with pytest.raises(ProviderFailed, match="not followed"):
            configured(here=server.entry(kind, api_key="sk-0123456789")).providers.generate(ALICE, "sweep")
        assert other.asked == []


def test_what_is_read_ends_at_the_bound(server: ModelServer) -> None:
    for size, fits in ((1000, True), (1001, False)):
        body = b'{"a": "' + b"x" * (size - 9) + b'"}'
        assert len(body) == size
        server.behaviour = saying(body)
        if fits:
            assert exchange(server.origin, server.origin).status_code == 200
        else:
            with pytest.raises(ProviderFailed, match="more than 1000 bytes"):
                exchange(server.origin, server.origin)


def test_what_a_provider_says_is_told_on_one_line_of_bounded_length(server: ModelServer) -> None:
    server.behaviour = saying({"error": {"message": "a\x1b[31m\r\nb\u202e" + "x" * 800}}, 500)
    with pytest.raises(ProviderError) as failed:
        exchange(server.origin, server.origin)
    assert failed.value.message.startswith("here answered 500: a?[31m b?xxx")
    assert failed.value.message.isprintable()
    assert len(failed.value.message) < 340


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of its own making for 127.0.0.1, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "here")])
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


def test_a_certificate_that_nobody_trusts_is_refused_and_one_that_the_environment_trusts_is_taken(
    configured: Configured, certificate: Path, kind: ProviderType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tls(listening: ThreadingHTTPServer) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        listening.socket = context.wrap_socket(listening.socket, server_side=True)

    with model_server(tls) as server:
        server.origin = server.origin.replace("http:", "https:")
        server.behaviour = well
        rooms = configured(here=server.entry(kind, api_key="sk-0123456789"))
        with pytest.raises(ProviderUnreachable, match="certificate is not trusted"):
            rooms.providers.generate(ALICE, "sweep")
        assert server.asked == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert rooms.providers.generate(ALICE, "sweep").provider == "here"
        name, form = KEY_HEADERS[kind]
        assert server.asked[0].headers[name] == form.format("sk-0123456789")
        monkeypatch.setattr(socket, "getaddrinfo", meaning("127.0.0.1"))
        rooms = configured(here=entry_at("other.example.org", server, kind))
        with pytest.raises(ProviderUnreachable, match="certificate is not trusted"):
            rooms.providers.generate(ALICE, "sweep")


def test_a_server_that_speaks_no_tls_is_unreachable_and_gets_no_key(
    configured: Configured, server: ModelServer, kind: ProviderType
) -> None:
    server.origin = server.origin.replace("http:", "https:")
    rooms = configured(here=server.entry(kind, api_key="sk-0123456789"))
    with pytest.raises(ProviderUnreachable):
        rooms.providers.generate(ALICE, "sweep")
    assert all("sk-0123456789" not in str(asked) for asked in server.asked)
