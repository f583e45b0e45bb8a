"""The OpenAPI document: committed, served, and true."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import FlakyStrategyDefinition
from hypothesis.stateful import run_state_machine_as_test
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.specs.openapi import checks as openapi_checks

from interlock.http.document import NAMES
from tests.http.document import COMMITTED
from tests.http.served import ROLES, Served, told

DOCUMENT: dict[str, Any] = json.loads(COMMITTED.read_text(encoding="utf-8"))
SCHEMA: Any = schemathesis.openapi.from_dict(DOCUMENT)
NOT_ASKED = {
    ("GET", "/ops/events"),  # never ends
    ("PUT", "/ops/panic"),  # nothing else could be asked after it
    ("DELETE", "/ops/session"),
}
ROUNDS = 8
SLOW_IS_WELL: Any = list(HealthCheck)
ENDS_THE_TRY = r"/(ops/events|ops/panic.*|ops/session|ops/tokens/.*|ops/runs/.*/stream)$"
"""What never ends, freezes everything, or takes our own token away."""
OPERATIONS: list[Any] = [
    each.ok() for each in SCHEMA.get_all_operations() if (each.ok().method.upper(), each.ok().path) not in NOT_ASKED
]
RULES: Any = openapi_checks
CHECKS: list[Any] = [
    RULES.content_type_conformance,
    RULES.response_schema_conformance,
    RULES.status_code_conformance,
]


@pytest.mark.proves("ops-openapi")
def test_the_document_that_is_committed_is_the_one_that_is_served(shared: Served) -> None:
    for name in NAMES:
        answer = shared.client("actions", "service").get(name)
        assert answer.text == COMMITTED.read_text(encoding="utf-8"), "write it anew: python -m tests.http.document"
        assert answer.headers["content-type"] == f"application/{name.rpartition('.')[2]}"
        told(shared.anybody().get(name), 401)


def test_it_is_openapi_3_1_to_the_letter() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_every_operation_says_who_may_call_it_what_it_answers_and_how_it_fails() -> None:
    names: set[str] = set()
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            assert operation["description"], where
            assert operation["operationId"] not in names, where
            names.add(operation["operationId"])
            if path in {"/", "/health"}:
                continue
            assert operation["x-required-role"] in ROLES, where
            assert {"401", "403", "429", "500"} <= set(operation["responses"]), where
            for status, answer in operation["responses"].items():
                assert ("$ref" in answer) == (status >= "4"), (where, status)
    for answer in DOCUMENT["components"]["responses"].values():
        assert list(answer["content"]) == ["application/problem+json"]
        assert "X-Correlation-ID" in answer["headers"]


@pytest.mark.proves("ops-openapi")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("role", ROLES)
def test_whatever_is_asked_the_answer_is_documented_and_no_accident(shared: Served, role: str) -> None:
    headers = {"Authorization": f"Bearer {shared.tokens[role, 'human']}"}

    @settings(
        max_examples=300 if role == "admin" else 100,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    @given(data=st.data())
    def ask(data: st.DataObject) -> None:
        operation = data.draw(st.sampled_from(OPERATIONS))
        case: Any = data.draw(operation.as_strategy())
        answer = case.call_and_validate(base_url=shared.address, headers=headers, checks=CHECKS)
        assert answer.status_code != 500

    ask()


@pytest.mark.proves("ops-openapi")
@pytest.mark.timeout(180)
def test_whatever_is_asked_with_what_was_answered_is_documented_and_no_accident(served: Served) -> None:
    headers = {"Authorization": f"Bearer {served.tokens['admin', 'human']}"}
    asked: Counter[tuple[str, int]] = Counter()
    accidents: list[str] = []  # said even where the library can not repeat them
    chained: Any = SCHEMA.exclude(path_regex=ENDS_THE_TRY).as_state_machine()

    class Asking(chained):  # which answers lead where, it reads out of the document
        """Asks for things, and for what can be done with them."""

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:  # noqa: ANN401 - the library's own
            del case
            return {"base_url": served.address, "headers": headers}

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:  # noqa: ANN401 - the same
            asked[case.operation.label, response.status_code] += 1
            try:
                case.validate_response(response, checks=CHECKS, headers=headers)
                assert response.status_code != 500
            except Exception as found:
                accidents.append(f"{case.operation.label}: {found!r}")
                raise

    for number in range(ROUNDS):
        with suppress(FlakyStrategyDefinition):  # what can be asked depends on what there is by now
            run_state_machine_as_test(
                seed(number)(Asking),
                settings=settings(
                    max_examples=4,
                    stateful_step_count=40,
                    deadline=None,
                    database=None,
                    phases=[Phase.generate],
                    suppress_health_check=SLOW_IS_WELL,
                ),
            )
    assert accidents == []
    led_on = {operation for (operation, status), _ in asked.items() if status < 300 and "_id}" in operation}
    assert len(led_on) >= 8, asked
    assert any(not each.startswith("GET") for each in led_on), asked
