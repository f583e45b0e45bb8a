"""OpenAI's protocol, which LM Studio, Ollama, vLLM and many others speak as well; on the official `openai` client."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from openai import OpenAI

from interlock.providers.adapters.connection import PLACEHOLDER, at, connected, count_at, text_at, word_at
from interlock.providers.calling import Call
from interlock.providers.errors import ProviderFailed
from interlock.providers.models import Answer, Question, Target

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam

_MOST_COST = 1_000_000


class OpenAiCompatible:
    """Asks a server that speaks OpenAI's protocol; implements `ports.Adapter`."""

    def generate(self, target: Target, question: Question, call: Call) -> Answer:
        """Ask for a chat completion."""
        messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": question.prompt}]
        if question.system is not None:
            messages.insert(0, {"role": "system", "content": question.system})
        with _client(target, call) as client:
            client.chat.completions.with_raw_response.create(model=target.model, messages=messages)
            return _answer(call.answer, target.name)

    def check(self, target: Target, call: Call) -> bool:
        """Look for the model in the list of models."""
        with _client(target, call) as client:
            client.models.with_raw_response.list()
            models = at(call.answer, "data")
            if not isinstance(models, list):
                raise ProviderFailed(f"{target.name} has no list of models", reason="malformed")
            known = {text_at(call.answer, "data", place, "id") for place in range(len(models))}  # pyright: ignore[reportUnknownArgumentType] - a list of anything
            return bool(known & {target.model, f"{target.model}:latest"})


@contextmanager
def _client(target: Target, call: Call) -> Generator[OpenAI]:
    with connected(target, call, lambda key: ("authorization", f"Bearer {key}")) as wire:
        yield OpenAI(api_key=PLACEHOLDER, base_url=target.address, http_client=wire, max_retries=0)


def _answer(found: Any, name: str) -> Answer:  # noqa: ANN401 - JSON of any shape
    content, finish = text_at(found, "choices", 0, "message", "content"), word_at(found, "choices", 0, "finish_reason")
    if text_at(found, "choices", 0, "message", "refusal") or finish == "content_filter":
        raise ProviderFailed(f"the model of {name} refused to answer", reason="refused")
    if content is None:
        raise ProviderFailed(f"there is no text in what {name} answered", reason="malformed")
    return Answer(
        content=content,
        model=word_at(found, "model"),
        finish=finish,
        input_tokens=count_at(found, "usage", "prompt_tokens"),
        output_tokens=count_at(found, "usage", "completion_tokens"),
        cost_microdollars=_cost(at(found, "usage", "cost")),
    )


def _cost(dollars: Any) -> int | None:  # noqa: ANN401 - JSON of any shape
    if isinstance(dollars, bool) or not isinstance(dollars, int | float) or not math.isfinite(dollars):
        return None
    return round(dollars * 1_000_000) if 0 <= dollars < _MOST_COST else None
