"""Gemini's protocol, on the official `google-genai` client."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from google.genai import Client
from google.genai.client import DebugConfig
from google.genai.types import AutomaticFunctionCallingConfig, GenerateContentConfig, HttpOptions

from interlock.providers.adapters.connection import NOT_THERE, PLACEHOLDER, at, connected, count_at, text_at, word_at
from interlock.providers.calling import Call
from interlock.providers.errors import ProviderFailed
from interlock.providers.models import Answer, Question, Target

_VERSION = "v1beta"
_REFUSALS = {"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE"}


class Gemini:
    """Asks a server that speaks Gemini's protocol; implements `ports.Adapter`."""

    def generate(self, target: Target, question: Question, call: Call) -> Answer:
        """Ask for content."""
        config = GenerateContentConfig(
            system_instruction=question.system,
            automatic_function_calling=AutomaticFunctionCallingConfig(disable=True),
        )
        with _client(target, call) as client:
            client.models.generate_content(  # pyright: ignore[reportUnknownMemberType] - pictures come from an untyped library
                model=target.model, contents=question.prompt, config=config
            )
            return _answer(call.answer, target.name)

    def check(self, target: Target, call: Call) -> bool:
        """Look the model up."""
        try:
            with _client(target, call) as client:
                client.models.get(model=target.model)
        except ProviderFailed as error:
            if error.reason == NOT_THERE:
                return False
            raise
        return True


@contextmanager
def _client(target: Target, call: Call) -> Generator[Client]:
    with connected(target, call, lambda key: ("x-goog-api-key", key)) as wire:
        yield Client(
            api_key=PLACEHOLDER,
            vertexai=False,
            http_options=HttpOptions(base_url=target.address, api_version=_VERSION, httpx_client=wire),
            debug_config=DebugConfig(client_mode=None, replays_directory=None, replay_id=None),
        )


def _answer(found: Any, name: str) -> Answer:  # noqa: ANN401 - JSON of any shape
    finish, parts = word_at(found, "candidates", 0, "finishReason"), at(found, "candidates", 0, "content", "parts")
    if word_at(found, "promptFeedback", "blockReason") or finish in _REFUSALS:
        raise ProviderFailed(f"the model of {name} refused to answer", reason="refused")
    if not isinstance(parts, list):
        raise ProviderFailed(f"there is no text in what {name} answered", reason="malformed")
    places = [("candidates", 0, "content", "parts", place) for place in range(len(parts))]  # pyright: ignore[reportUnknownArgumentType] - a list of anything
    texts = [text_at(found, *place, "text") for place in places if at(found, *place, "thought") is not True]
    written = [count_at(found, "usageMetadata", each) for each in ("candidatesTokenCount", "thoughtsTokenCount")]
    return Answer(
        content="".join(text for text in texts if text is not None),
        model=word_at(found, "modelVersion"),
        finish=finish,
        input_tokens=count_at(found, "usageMetadata", "promptTokenCount"),
        output_tokens=sum(count or 0 for count in written) if written[0] is not None else None,
    )
