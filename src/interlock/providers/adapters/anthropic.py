"""Anthropic's protocol, on the official `anthropic` client."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from anthropic import Anthropic, omit

from interlock.providers.adapters.connection import NOT_THERE, PLACEHOLDER, at, connected, count_at, text_at, word_at
from interlock.providers.calling import Call
from interlock.providers.errors import ProviderFailed
from interlock.providers.models import Answer, Question, Target

_INPUT = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


class AnthropicMessages:
    """Asks a server that speaks Anthropic's protocol; implements `ports.Adapter`."""

    def generate(self, target: Target, question: Question, call: Call) -> Answer:
        """Ask for a message."""
        with _client(target, call) as client:
            client.messages.with_raw_response.create(
                model=target.model,
                max_tokens=question.max_output_tokens,
                messages=[{"role": "user", "content": question.prompt}],
                system=question.system if question.system is not None else omit,
            )
            return _answer(call.answer, target.name)

    def check(self, target: Target, call: Call) -> bool:
        """Look the model up."""
        try:
            with _client(target, call) as client:
                client.models.with_raw_response.retrieve(target.model)
        except ProviderFailed as error:
            if error.reason == NOT_THERE:
                return False
            raise
        return True


@contextmanager
def _client(target: Target, call: Call) -> Generator[Anthropic]:
    with connected(target, call, lambda key: ("x-api-key", key)) as wire:
        yield Anthropic(
            api_key=PLACEHOLDER, base_url=target.address, http_client=wire, max_retries=0, open_telemetry=False
        )


def _answer(found: Any, name: str) -> Answer:  # noqa: ANN401 - JSON of any shape
    finish, parts = word_at(found, "stop_reason"), at(found, "content")
    if finish == "refusal":
        raise ProviderFailed(f"the model of {name} refused to answer", reason="refused")
    if not isinstance(parts, list):
        raise ProviderFailed(f"there is no text in what {name} answered", reason="malformed")
    texts = [text_at(found, "content", place, "text") for place in range(len(parts))]  # pyright: ignore[reportUnknownArgumentType] - a list of anything
    read = [count_at(found, "usage", each) for each in _INPUT]
    return Answer(
        content="".join(text for text in texts if text is not None),
        model=word_at(found, "model"),
        finish=finish,
        input_tokens=sum(count or 0 for count in read) if read[0] is not None else None,
        output_tokens=count_at(found, "usage", "output_tokens"),
    )
