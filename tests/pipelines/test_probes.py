"""Looks at health: over a real server, with real files and commands."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from interlock.kernel.clock import system_clock
from interlock.pipelines.errors import DefinitionMissing
from interlock.pipelines.models import Health, Line
from interlock.pipelines.probes import Finding, Probe, Prober, Threshold, checked_url, health_of


class Server(ThreadingHTTPServer):
    """Remembers which paths were asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Site)
        self.seen: list[str] = []


class Site(BaseHTTPRequestHandler):
    """Answers by the path that is asked for."""

    server: Server  # pyright: ignore[reportIncompatibleVariableOverride] - it is never another

    def do_GET(self) -> None:
        self.server.seen.append(self.path)
        status = {"/broken": 500, "/moved": 302}.get(self.path, 200)
        if self.path == "/second-try" and self.server.seen.count(self.path) < 2:
            status = 503
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/well")
        self.end_headers()
        if self.path == "/drip":
            for _ in range(100):
                self.wfile.write(b".")
                self.wfile.flush()
                time.sleep(0.05)
        elif self.path == "/huge":
            self.wfile.write(b"x" * (1 << 20) + b"x")
        else:
            self.wfile.write(json.dumps({"version": "2.0", "load": {"cpu": [12.5, 97]}}).encode())

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        pass


@pytest.fixture
def site() -> Iterator[tuple[str, list[str]]]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", server.seen
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def sealed_site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The same over TLS, with a certificate that only its own file vouches for."""
    certificate, key = made_certificate(tmp_path)
    server = Server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"https://localhost:{server.server_address[1]}", certificate
    server.shutdown()
    thread.join()
    server.server_close()


def made_certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.fromtimestamp(system_clock() / 1000, UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "site.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "site.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "site.pem", folder / "site.key"


def look(probe: Probe, root: Path = Path("/"), pauses: list[float] | None = None, **variables: str) -> Finding:
    def run(line: Line, given: Mapping[str, str], seconds: int) -> tuple[int | None, str]:
        assert (given, seconds) == (variables, probe.timeout_seconds)
        return (0, "") if line.argv == ("true", "2.0") else (3, "it said no")

    waited = pauses if pauses is not None else []
    return Prober(root=root, run=run, now=system_clock, pause=waited.append).look(probe, variables)


def http(url: str, **more: object) -> Probe:
    return replace(Probe(name="answers", kind="http", url=url), **more)  # type: ignore[arg-type] - a case's own value


def metric(root: Path, content: str, value: str = "rate", **more: object) -> Finding:
    (root / "m.json").write_text(content)
    probe = Probe(name="m", kind="metric", file="m.json", value=value, threshold=Threshold("<", Decimal(5)))
    return look(replace(probe, **more), root)  # type: ignore[arg-type] - a case's own value


def test_an_answer_with_the_expected_status_and_text_passes(site: tuple[str, list[str]]) -> None:
    found = look(http(site[0] + "/${WHERE}?v=1", contains="${VERSION}"), WHERE="well", VERSION="2.0")
    assert found.passed, found
    assert site[1] == ["/well?v=1"]
    assert found.measured.startswith("200 in ")


def test_another_status_does_not_pass_and_is_named(site: tuple[str, list[str]]) -> None:
    found = look(http(site[0] + "/broken"))
    assert (found.passed, found.message) == (False, "it answered 500, not 200")
    assert look(http(site[0] + "/broken", expect=(200, 500))).passed


def test_a_missing_text_does_not_pass(site: tuple[str, list[str]]) -> None:
    found = look(http(site[0] + "/well", contains="3.0"))
    assert (found.passed, found.message) == (False, "the answer does not hold '3.0'")


def test_a_redirect_is_an_answer_and_is_not_followed(site: tuple[str, list[str]]) -> None:
    assert look(http(site[0] + "/moved")).message == "it answered 302, not 200"
    assert site[1] == ["/moved"]


def test_a_look_is_repeated_until_it_passes_and_no_oftener(site: tuple[str, list[str]]) -> None:
    pauses: list[float] = []
    assert look(http(site[0] + "/second-try", retries=5, interval_seconds=7), pauses=pauses).passed
    assert (pauses, len(site[1])) == ([7], 2)
    pauses.clear()
    assert not look(http(site[0] + "/broken", retries=2), pauses=pauses).passed
    assert (pauses, len(site[1])) == ([1, 1], 5)


def test_an_answer_that_drips_is_cut_off_when_the_time_is_up(site: tuple[str, list[str]]) -> None:
    began = time.monotonic()
    found = look(http(site[0] + "/drip", timeout_seconds=1))
    assert (found.passed, found.message) == (False, "no answer within 1 s")
    assert time.monotonic() - began < 3


def test_a_server_that_never_answers_is_given_up() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        found = look(http(f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout_seconds=1))
    assert (found.passed, found.message) == (False, "no answer within 1 s")


def test_a_name_that_nobody_resolves_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def waits(*_: object, **__: object) -> list[tuple[object, ...]]:
        answered.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", waits)
    began = time.monotonic()
    found = look(http("http://slow.example/", timeout_seconds=1))
    answered.set()
    assert (found.passed, found.message) == (False, "no answer within 1 s")
    assert time.monotonic() - began < 10


def test_an_answer_of_more_than_a_mebibyte_does_not_pass(site: tuple[str, list[str]]) -> None:
    assert look(http(site[0] + "/huge")).message == "the answer is larger than 1048576 bytes"


def test_nobody_there_is_a_finding_and_no_error() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    found = look(http(f"http://127.0.0.1:{port}/"))
    assert (found.passed, found.message) == (False, "no answer: Connection refused")


def test_proxies_of_the_environment_are_not_asked(site: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert look(http(site[0] + "/well")).passed


def test_the_time_of_an_answer_is_held_against_its_baseline(site: tuple[str, list[str]]) -> None:
    quick = look(http(site[0] + "/well", measures="response_time_ms", baseline_ms=10_000))
    assert quick.passed
    slow = look(http(site[0] + "/well", measures="response_time_ms", threshold=Threshold("<", Decimal(0))))
    assert not slow.passed
    assert slow.message.endswith(" ms is not < 0")


def test_a_site_over_tls_passes_only_with_a_certificate_that_is_vouched_for(
    sealed_site: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, certificate = sealed_site
    found = look(http(url + "/well"))
    assert not found.passed
    assert "certificate verify failed" in found.message
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert look(http(url + "/well")).passed
    assert "certificate verify failed" in look(http(url.replace("localhost", "127.0.0.1") + "/well")).message


def test_an_answer_that_drips_over_tls_is_cut_off_too(
    sealed_site: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(sealed_site[1]))
    began = time.monotonic()
    found = look(http(sealed_site[0] + "/drip", timeout_seconds=1))
    assert (found.passed, found.message) == (False, "no answer within 1 s")
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "url",
    ["ftp://a/", "http://", "http://u:p@a/", "http://a:0/", "http://a:99999/", "http://a/ b", "file:///etc/passwd"],
)
def test_only_plain_addresses_of_the_web_are_asked(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        checked_url(url)
    assert not look(http(url)).passed


def test_a_command_passes_with_exit_code_0() -> None:
    probe = Probe(name="c", kind="command", line=Line(argv=("true", "${VERSION}")))
    assert look(probe, VERSION="2.0").passed
    failed = look(probe, VERSION="1.0")
    assert (failed.passed, failed.measured, failed.message) == (False, "exit 3", "it said no")


def test_a_command_that_can_not_be_run_does_not_pass() -> None:
    def refused(*_: object) -> tuple[int | None, str]:
        raise DefinitionMissing("there is no such command")

    probe = Probe(name="c", kind="command", line=Line(argv=("true",)))
    found = Prober(root=Path("/"), run=refused, now=system_clock).look(probe, {})
    assert (found.passed, found.message) == (False, "there is no such command")


def test_a_number_in_a_file_is_held_against_its_threshold(tmp_path: Path) -> None:
    assert metric(tmp_path, '{"rate": 4.999}').passed
    failed = metric(tmp_path, '{"rate": 5.0}')
    assert (failed.passed, failed.measured, failed.message) == (False, "5.0", "5.0 is not < 5")
    assert metric(tmp_path, '{"a": [{"b": 1}]}', "a.0.b").passed


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{}", "it has no rate"),
        ('{"rate": "low"}', "rate is no number"),
        ('{"rate": true}', "rate is no number"),
        ('{"rate": null}', "rate is no number"),
        ('{"rate": NaN}', "it is no JSON: ValueError: NaN is no number of JSON"),
        ("rate 5", "it is no JSON"),
        ("[" * 100_000, "it is no JSON"),
        ('{"rate": ' + "9" * 5000 + "}", "it is no JSON"),
    ],
)
def test_what_is_no_number_does_not_pass(tmp_path: Path, content: str, said: str) -> None:
    found = metric(tmp_path, content)
    assert not found.passed
    assert said in found.message


def test_an_old_file_does_not_count(tmp_path: Path) -> None:
    assert metric(tmp_path, '{"rate": 1}', max_age_seconds=60).passed
    long_ago = time.time_ns() // 10**9 - 100
    os.utime(tmp_path / "m.json", (long_ago, long_ago))
    probe = Probe(name="m", kind="metric", file="m.json", value="rate", max_age_seconds=60)
    assert look(probe, tmp_path).message.startswith("m.json was written 10")


def test_a_file_outside_of_the_workspace_is_not_read(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.json").write_text('{"rate": 1}')
    (root / "link.json").symlink_to(tmp_path / "secret.json")
    for name in ("link.json", "../secret.json"):
        found = look(Probe(name="m", kind="metric", file=name, value="rate"), root)
        assert (found.passed, found.message) == (False, f"{name} leads out of the workspace")


def test_a_pipe_in_the_place_of_a_file_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.json")
    assert not look(Probe(name="m", kind="metric", file="m.json", value="rate"), tmp_path).passed


def test_a_number_can_be_asked_for_over_http(site: tuple[str, list[str]]) -> None:
    probe = Probe(name="cpu", kind="metric", url=site[0] + "/load", value="load.cpu.0", measures="cpu_usage")
    assert look(probe).passed
    busy = look(replace(probe, value="load.cpu.1"))
    assert (busy.passed, busy.message) == (False, "97 is not < 90")
    assert look(replace(probe, url=site[0] + "/broken")).message == "it answered 500"


def test_health_is_the_worst_of_what_was_measured() -> None:
    def found(measures: str, value: str) -> Finding:
        measured = Finding(name="x", kind="metric", passed=True, measured=value, message="", value=Decimal(value))
        return replace(measured, measures=measures)  # type: ignore[arg-type] - a case's own value

    health = health_of([found("error_rate", "1.25"), found("error_rate", "4.5"), found("response_time_ms", "80.9")])
    assert health == Health(error_rate_milli=4500, response_time_ms=80)
    assert health_of([found("cpu_usage", "1e999"), found("memory_usage", "-3")]).memory_usage_milli == 0


def test_thresholds_are_read_strictly() -> None:
    assert Threshold.parse(" >= 99.5").holds(Decimal("99.5"))
    assert not Threshold.parse("!=1").holds(Decimal(1))
    for text in ("5", "< five", "=< 5", "< 5 %", "< 1e9"):
        with pytest.raises(ValueError, match="a threshold is like"):
            Threshold.parse(text)
