"""The gateway's policy: the table of the spec, one fixed order of decisions, tokens that only their key can make."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.pipelines import gateway_probes
from interlock.pipelines.gateway import (
    Claims,
    Decision,
    Gateway,
    Policy,
    Request,
    Rule,
    issue,
    open_token,
    read_policy,
    secret_of,
)
from interlock.pipelines.healing_errors import CapabilitySecretWeak, GatewayPolicyInvalid
from interlock.workspace import skeleton

SHIPPED = Path(skeleton.__file__).with_name("shipped") / "skeleton" / "services" / "gateway" / "policy.json"
SECRET = b"k" * 32
NOW = 1_790_000_000_000
RULE = Rule(
    methods=("POST", "GET"),
    path_prefixes=("/v1/jobs", "/v1/status"),
    requests_per_minute=3,
    fs_scope="fs.jobs",
    network_scope="net.jobs",
)


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


def gateway(policy: Policy | None = None, clock: Callable[[], int] | None = None) -> Gateway:
    known: Policy = {
        "jobs": RULE,
        "parked": None,
        "open": replace(RULE, auth_required=False, fs_scope=None, network_scope=None),
    }
    return Gateway(policy or known, clock or Hands(), SECRET)


def token_of(door: Gateway, client: str = "alice", rate: int = 3) -> str:
    return door.issue(client, fs_scopes=["fs.jobs"], network_scopes=["net.jobs"], rate_limit_per_minute=rate)


def ask(door: Gateway, **changes: str | None) -> Decision:
    asked = {"service": "jobs", "method": "POST", "path": "/v1/jobs", "client_id": "alice", "token": token_of(door)}
    return door.decide(Request(**{**asked, **changes}))  # type: ignore[arg-type] - a case's own value


def test_the_shipped_table_is_the_documented_one() -> None:
    def row(methods: str, paths: str, rate: int, fs: str | None, network: str | None, *, auth: bool = True) -> Rule:
        return Rule(
            methods=tuple(methods.split()),
            path_prefixes=tuple(paths.split()),
            requests_per_minute=rate,
            fs_scope=fs,
            network_scope=network,
            auth_required=auth,
        )

    assert read_policy(SHIPPED) == {
        "gateway": row("GET POST", "/v1/policy /v1/metrics", 120, "fs.policy.read", "net.gateway"),
        "runtime-manager": row("POST", "/v1/schedule", 60, "fs.runtime.control", "net.runtime"),
        "openai": row("POST GET", "/v1/chat/completions /v1/models", 90, None, None),
        "anthropic": row("POST GET", "/v1/messages /v1/models", 90, None, None),
        "llama.cpp": row("POST GET", "/completion /health", 120, None, None, auth=False),
        "notebook-sync": row(
            "POST", "/v1/notebooks/sync /v1/notebooks/metadata", 60, "fs.notebooks.sync", "net.notebooks.loopback"
        ),
    }


# --- tokens -----------------------------------------------------------------------------------------------------------


def test_a_token_is_sorted_claims_in_base64url_and_their_hmac_in_hex() -> None:
    token = token_of(gateway())
    text, _, signature = token.partition(".")
    assert "=" not in text
    assert signature == hmac.new(SECRET, text.encode(), hashlib.sha256).hexdigest()
    body = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    assert body == json.dumps(json.loads(body), sort_keys=True, separators=(",", ":")).encode()
    assert json.loads(body) == {
        "client_id": "alice",
        "expires_at": NOW // 1000 + 60,
        "fs_scopes": ["fs.jobs"],
        "issued_at": NOW // 1000,
        "network_scopes": ["net.jobs"],
        "rate_limit_per_minute": 3,
    }


@given(place=st.integers(0, 10_000), character=st.characters(codec="ascii"))
def test_a_token_with_one_other_character_says_nothing(place: int, character: str) -> None:
    token = token_of(gateway())
    place %= len(token)
    changed = token[:place] + character + token[place + 1 :]
    assert (open_token(changed, SECRET) is None) == (changed != token)


@given(st.text(max_size=80))
def test_no_text_passes_for_a_token(text: str) -> None:
    assert open_token(text, SECRET) is None


@pytest.mark.parametrize("claims", [b"{}", b"[]", b"null", b'{"client_id":1}', b"\xff", b"[" * 2000])
def test_signed_claims_of_another_shape_say_nothing(claims: bytes) -> None:
    from base64 import urlsafe_b64encode  # noqa: PLC0415 - one test's

    text = urlsafe_b64encode(claims).rstrip(b"=")
    token = f"{text.decode()}.{hmac.new(SECRET, text, hashlib.sha256).hexdigest()}"
    assert open_token(token, SECRET) is None


def test_another_key_s_token_says_nothing() -> None:
    claims = open_token(token_of(gateway()), SECRET)
    assert isinstance(claims, Claims)
    assert open_token(issue(claims, b"x" * 32), SECRET) is None


def test_there_is_no_default_secret() -> None:
    assert len(secret_of({})) == 32
    assert secret_of({}) != secret_of({})


def test_a_configured_secret_is_used_and_a_short_one_refused() -> None:
    assert secret_of({"NOA_CAPABILITY_TOKEN_SECRET": "s" * 32}) == b"s" * 32
    for short in ("", "s" * 31):
        with pytest.raises(CapabilitySecretWeak):
            secret_of({"NOA_CAPABILITY_TOKEN_SECRET": short})


def test_a_gateway_does_not_show_its_secret() -> None:
    assert repr(SECRET) not in repr(gateway())


# --- decisions --------------------------------------------------------------------------------------------------------

FAULTS: dict[str, tuple[int, str]] = {
    "unknown": (404, "service unknown"),
    "no_rule": (403, "no rule for this service"),
    "no_token": (401, "token missing"),
    "bad_token": (401, "token invalid"),
    "expired": (401, "token expired"),
    "client": (403, "client does not match the token"),
    "fs": (403, "file system scope not granted"),
    "network": (403, "network scope not granted"),
    "rate_scope": (403, "rate scope beyond the service's"),
    "path": (403, "method or path not allowed"),
    "window": (429, "rate limit exceeded"),
}
"""Everything that can be wrong with a request, in the order in which it is looked at."""


def faulty(door: Gateway, clock: Hands, faults: set[str]) -> Request:
    """Return a request that has all of these faults."""
    rate = 4 if "rate_scope" in faults else 3
    token: str | None = door.issue(
        "bob" if "client" in faults else "alice",
        fs_scopes=[] if "fs" in faults else ["fs.jobs"],
        network_scopes=[] if "network" in faults else ["net.jobs"],
        rate_limit_per_minute=rate,
    )
    if "window" in faults:
        for _ in range(3):
            assert ask(door).status == 200
    if "expired" in faults:
        clock.now += 60_000
        if "window" in faults:
            for _ in range(3):
                assert ask(door).status == 200
    if "bad_token" in faults:
        token = f"{token}0"
    return Request(
        service="nobody" if "unknown" in faults else "parked" if "no_rule" in faults else "jobs",
        method="POST",
        path="/v2" if "path" in faults else "/v1/jobs",
        client_id="alice",
        token=None if "no_token" in faults else token,
    )


@given(st.sets(st.sampled_from(sorted(FAULTS))))
def test_the_first_fault_in_the_order_speaks(faults: set[str]) -> None:
    clock = Hands()
    door = gateway(clock=clock)
    decision = door.decide(faulty(door, clock, faults))
    first = next((answer for name, answer in FAULTS.items() if name in faults), (200, "forwarded"))
    assert (decision.status, decision.message) == first


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs/7", "/v1/jobs?all=1", "/v1/status/a-b"])
def test_a_path_at_or_below_a_prefix_is_granted(path: str) -> None:
    assert ask(gateway(), path=path).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/jobsx",
        "/v1",
        "v1/jobs",
        "",
        "/v1/jobs/../admin",
        "/v1/jobs/./x",
        "/v1/jobs/%2e%2e/x",
        "/v1/jobs//x",
        "/v1/jobs\n",
    ],
)
def test_a_path_beside_a_prefix_or_with_a_trick_is_refused(path: str) -> None:
    assert ask(gateway(), path=path).status == 403


def test_a_method_in_another_case_is_refused() -> None:
    assert ask(gateway(), method="post").status == 403


def test_a_window_slides_over_sixty_seconds() -> None:
    clock = Hands()
    door = gateway(clock=clock)
    for second in (0, 20_000, 40_000):
        clock.now = NOW + second
        assert ask(door).status == 200
    clock.now = NOW + 59_999
    assert ask(door).status == 429
    clock.now = NOW + 60_000
    assert ask(door).status == 200
    assert ask(door).status == 429
    clock.now = NOW + 80_000
    assert ask(door).status == 200


def test_a_token_s_own_rate_counts_where_it_is_lower() -> None:
    door = gateway()
    assert [ask(door, token=token_of(door, rate=1)).status for _ in range(2)] == [200, 429]


def test_clients_and_services_have_windows_of_their_own() -> None:
    door = gateway()
    assert [ask(door).status for _ in range(4)] == [200, 200, 200, 429]
    assert ask(door, client_id="bob", token=token_of(door, "bob")).status == 200
    assert ask(door, service="open", token=None).status == 200


def test_a_service_without_tokens_asks_for_none_and_still_counts() -> None:
    door = gateway()
    assert [ask(door, service="open", token=None).status for _ in range(4)] == [200, 200, 200, 429]


def test_a_token_of_the_future_is_none_yet() -> None:
    clock = Hands()
    door = gateway(clock=clock)
    token = token_of(door)
    clock.now -= 1000
    assert ask(door, token=token).message == "token expired"


# --- probes -----------------------------------------------------------------------------------------------------------


def test_every_service_of_the_shipped_table_answers_as_it_must() -> None:
    policy = read_policy(SHIPPED)
    probed = gateway_probes.ask_each(policy, clock=Hands(), secret=SECRET)
    assert [each["status"] for each in probed.results] == [200] * 6
    assert probed.refused == []
    assert gateway_probes.wrongly_answered(policy, clock=Hands(), secret=SECRET) == []
    metrics = probed.metrics()
    assert (metrics["requests_total"], metrics["rejected_auth"]) == (6, 0)


def test_a_service_without_a_rule_is_skipped_with_the_reason() -> None:
    probed = gateway_probes.ask_each({"parked": None}, clock=Hands(), secret=SECRET)
    assert probed.results == [{"service": "parked", "status": "skipped", "reason": "it has no rule to ask by"}]
    assert probed.refused == []
    assert gateway_probes.wrongly_answered({"parked": None}, clock=Hands(), secret=SECRET) == []


def test_latency_is_told_at_the_95th_of_a_hundred() -> None:
    probed = gateway_probes.nothing()
    assert probed.metrics()["p95_latency_ms"] == 0.0
    probed.latencies_ms.extend(float(number) for number in range(100, 0, -1))
    assert probed.metrics()["p95_latency_ms"] == 96.0


# --- the file ---------------------------------------------------------------------------------------------------------


def rule(**changes: object) -> dict[str, object]:
    found: dict[str, object] = {
        "methods": ["GET"],
        "path_prefixes": ["/v1"],
        "requests_per_minute": 5,
        "fs_scope": None,
        "network_scope": None,
        "auth_required": True,
    }
    return {**found, **changes}


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ('{\n "schema_version": 1,\n oops', "line 3"),
        ("[]", "the document is not an object"),
        ("[" * 100_000, "policy.json"),
        ('{"schema_version": 1, "schema_version": 1, "services": {}}', "'schema_version' stands twice"),
        (json.dumps({"schema_version": 2, "services": {"a": None}}), "schema_version is not 1"),
        (json.dumps({"schema_version": True, "services": {"a": None}}), "schema_version is not 1"),
        (json.dumps({"schema_version": 1}), "lacks services"),
        (json.dumps({"schema_version": 1, "services": {}}), "services names no service"),
        (json.dumps({"schema_version": 1, "services": {"../x": None}}), "services has a name that is none"),
        (json.dumps({"schema_version": 1, "services": {"a": {}}}), "services.a lacks auth_required"),
        (json.dumps({"schema_version": 1, "services": {"a": rule(extra=1)}}), "services.a has a key that is unknown"),
        (json.dumps({"schema_version": 1, "services": {"a": rule(methods=["GET", "get"])}}), "services.a.methods[1]"),
        (json.dumps({"schema_version": 1, "services": {"a": rule(methods=[])}}), "services.a.methods"),
        (
            json.dumps({"schema_version": 1, "services": {"a": rule(path_prefixes=["v1"])}}),
            "services.a.path_prefixes[0]",
        ),
        (
            json.dumps({"schema_version": 1, "services": {"a": rule(path_prefixes=["/a/../b"])}}),
            "services.a.path_prefixes[0]",
        ),
        (
            json.dumps({"schema_version": 1, "services": {"a": rule(requests_per_minute=0)}}),
            "services.a.requests_per_minute",
        ),
        (json.dumps({"schema_version": 1, "services": {"a": rule(requests_per_minute=1.5)}}), "requests_per_minute"),
        (json.dumps({"schema_version": 1, "services": {"a": rule(auth_required="no")}}), "services.a.auth_required"),
        (json.dumps({"schema_version": 1, "services": {"a": rule(fs_scope="FS")}}), "services.a.fs_scope"),
        (
            json.dumps({"schema_version": 1, "services": {"a": rule(auth_required=False, network_scope="net.a")}}),
            "services.a.network_scope needs a token",
        ),
    ],
)
def test_a_malformed_table_is_refused_with_its_file_and_place(document: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(document)
    with pytest.raises(GatewayPolicyInvalid, match=re.escape(told)) as caught:
        read_policy(path)
    assert str(path) in str(caught.value)


def test_a_table_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_bytes(b"\xff\xfe")
    with pytest.raises(GatewayPolicyInvalid):
        read_policy(tmp_path / "policy.json")
