"""Where a provider may be asked, in every spelling."""

from __future__ import annotations

import ipaddress

import pytest

from interlock.providers.addresses import as_number, checked_base_url, forbidden, is_metadata_name
from interlock.providers.errors import ConfigurationInvalid


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:11434/v1",
        "http://127.0.0.1:1234/v1",
        "http://[::1]:8000/v1",
        "https://api.openai.com/v1",
        "https://models.internal.example.org:8443/",
        "http://10.1.2.3:8000",
        "http://192.168.1.20/v1/",
        "http://[fd12:3456::1]:8000/v1",
        "http://vllm_0.models.svc.cluster.local./v1",
        "https://[64:ff9b::8.8.8.8]/",
    ],
)
def test_models_on_this_machine_in_this_network_and_out_there_may_be_asked(url: str) -> None:
    assert checked_base_url(url, "base_url") == url


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.0.1",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "169.16689662",
        "[fe80::1]",
        "[fe80::1%25eth0]",
        "[febf::1]",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[::a9fe:a9fe]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::1]",
        "[fd00:ec2::254]",
        "[fd20:ce::254]",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "0.0.0.0",  # noqa: S104 - refused, not bound
        "0",
        "[::]",
        "255.255.255.255",
        "224.0.0.1",
        "[ff02::1]",
        "metadata.google.internal",
        "METADATA.google.Internal.",
        "metadata",
        "instance-data.ec2.internal",
    ],
)
@pytest.mark.parametrize("form", ["http://{}/latest/meta-data", "https://{}:8443"])
def test_metadata_services_and_link_local_addresses_are_refused(form: str, host: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="base_url"):
        checked_base_url(form.format(host), "base_url")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:11434",
        "ftp://localhost/",
        "file:///etc/passwd",
        "gopher://localhost/",
        "unix:///run/model.sock",
        "http://",
        "http:///v1",
        "http://:80/",
        "http://host:0/",
        "http://host:65536/",
        "http://host:port/",
        "http://host name/",
        "http://host\n/",
        "http://host/\tx",
        "http://host\\@169.254.169.254/",
        "http://höst/",
        "http://ho%73t/",
        "http://[::1/",
        "http://[v1.fe80::a]/",
        "http://host/?key=sk-1234567890",
        "http://host/?",
        "http://host/#here",
        "http://host/#",
        "http://" + "a" * 2048,
        "http://-host/",
    ],
)
def test_what_is_no_plain_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="base_url"):
        checked_base_url(url, "base_url")


@pytest.mark.parametrize("url", ["http://ada:sk-verysecret@host/v1", "https://sk-verysecret@host/", "http://@host/"])
def test_credentials_in_an_address_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="credentials") as refused:
        checked_base_url(url, "base_url")
    assert "verysecret" not in refused.value.message + refused.value.hint


def test_numbers_are_read_as_the_system_reads_them() -> None:
    assert str(as_number("2130706433")) == "127.0.0.1"
    assert str(as_number("127.1")) == "127.0.0.1"
    assert as_number("example.org") is None
    assert not is_metadata_name("metadata.example.org")


@pytest.mark.parametrize("text", ["127.0.0.1", "::1", "10.0.0.1", "8.8.8.8", "2606:4700::1111", "fd00::1", "::7f00:1"])
def test_ordinary_addresses_are_not_forbidden(text: str) -> None:
    assert forbidden(ipaddress.ip_address(text)) is None
