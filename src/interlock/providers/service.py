"""The verbs of providers: show, set, generate a draft, check."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from interlock.access.models import Actor
from interlock.access.redaction import remember
from interlock.approval.errors import PromptInvalid
from interlock.approval.models import Draft
from interlock.approval.service import Approval, Generated
from interlock.kernel.canonical import Json, JsonObject
from interlock.kernel.errors import InterlockError
from interlock.providers.calling import Call, carried_out, never
from interlock.providers.configuration import Configuration, extra_missing
from interlock.providers.errors import ProviderError, ProviderFailed, ProvidersBusy
from interlock.providers.models import (
    Answer,
    Condition,
    Health,
    ProviderEntry,
    ProviderType,
    Question,
    Stored,
    Target,
)
from interlock.providers.options import ProviderOptions
from interlock.providers.ports import Adapter
from interlock.providers.secrets import is_key, is_secret, without, without_whole

HEALTH_SECONDS = 5
_SLOW_MS = 2_000
_HEALTH_HOLDS_SECONDS = 1.0
_RETRY_SECONDS = 5.0
_ASKING = 8
"""How many may wait for the providers' health at the same time."""
_DEGRADED = {"rate_limited", "malformed", "too_large"}


@dataclass(kw_only=True)
class Providers:
    """The models that write the content of drafts."""

    configuration: Configuration
    approval: Approval
    adapters: Mapping[ProviderType, Callable[[], Adapter]]
    options: ProviderOptions
    environment: Mapping[str, str] = field(repr=False)
    """Where keys are looked up, when a call is made."""
    _places: threading.Semaphore = field(init=False, repr=False)
    _checking: threading.Lock = field(init=False, repr=False, default_factory=threading.Lock)
    _asking: threading.Semaphore = field(init=False, repr=False, default_factory=lambda: threading.Semaphore(_ASKING))
    _checked: tuple[float, list[Health]] | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        self._places = threading.Semaphore(self.options.concurrency)

    def show(self) -> Stored:
        """Return the configuration."""
        return self.configuration.read()

    def set(self, actor: Actor, body: Mapping[str, Any], *, seen_version: str | None = None) -> Stored:
        """Change the configuration: what `body` leaves out stays. Only a human may."""
        return self.configuration.change(actor, body, seen_version=seen_version)

    # --- generating ---------------------------------------------------------------------------------------------------

    def generate(
        self, actor: Actor, prompt: str, *, context: JsonObject | None = None, called_off: Callable[[], bool] = never
    ) -> Draft:
        """Let the active provider write a draft's content: a transaction, the call, a transaction.

        Raises a `ProviderError` that names the draft in error, which keeps the prompt and is never approved as it is.
        `called_off` is asked all the time whether anybody still waits for the answer.
        """
        stored = self.configuration.read()
        name, entry = stored.config.active, stored.config.providers[stored.config.active]
        if not self.configuration.installed(entry.type):
            raise extra_missing(name, entry.type)
        adapter = self.adapters[entry.type]()  # its import takes a second or two, which is no time of the provider's
        if not self._places.acquire(blocking=False):
            raise ProvidersBusy(
                f"{self.options.concurrency} drafts are being generated already",
                reason="busy",
                hint="try again in a few seconds",
                retry_after_seconds=_RETRY_SECONDS,
            )
        try:
            waiting = self.approval.await_content(
                actor,
                prompt,
                context=context,
                provider=name,
                error=f"{name} has not answered yet; after {self.options.timeout_seconds} s it never will",
            )
            return self._fill(actor, waiting, _Asked(name, entry, stored.version, adapter), called_off)
        finally:
            self._places.release()

    def _fill(self, actor: Actor, waiting: Draft, asked: _Asked, called_off: Callable[[], bool]) -> Draft:
        call = self._call(self.options.timeout_seconds)
        question = _question(waiting, self.options.max_output_tokens)
        try:
            target = self._target(asked.name, asked.entry)
            answer = carried_out(call, lambda call: asked.adapter.generate(target, question, call), called_off)
            return self._written(actor, waiting, asked, call, _cleaned(answer, target))
        except ProviderError as error:
            with suppress(InterlockError):  # then the draft goes on saying that there was no answer
                self._missed(actor, waiting, asked, call, error)
            raise error.about(waiting.id) from None
        except InterlockError:
            raise
        except BaseException as error:
            stopped = ProviderFailed(f"the call of {asked.name} was broken off here", reason=type(error).__name__)
            with suppress(InterlockError):
                self._missed(actor, waiting, asked, call, stopped)
            raise

    def _written(self, actor: Actor, waiting: Draft, asked: _Asked, call: Call, answer: Answer) -> Draft:
        try:
            return self.approval.write_content(actor, waiting, answer.content, _generated(asked, call, answer))
        except PromptInvalid as error:
            raise ProviderFailed(f"{asked.name} answered no usable text: {error.message}", reason="malformed") from None

    def _missed(self, actor: Actor, waiting: Draft, asked: _Asked, call: Call, error: ProviderError) -> None:
        generated = _generated(asked, call, None)
        facts = {**generated.facts, "failure": error.code, "failure_reason": error.reason}
        self.approval.miss_content(actor, waiting, error.message, replace(generated, facts=facts))

    def _call(self, seconds: float) -> Call:
        return Call(seconds=seconds, max_response_bytes=self.options.max_response_bytes)

    def _target(self, name: str, entry: ProviderEntry) -> Target:
        key = entry.api_key
        if entry.reference is not None:
            key = self.environment.get(entry.reference, "").strip()
            if not key:
                raise ProviderFailed(
                    f"the key of {name} is to be in {entry.reference}, which is not set where this runs",
                    reason="key_missing",
                    hint=f"set {entry.reference} and start Interlock again",
                )
            if not is_key(key):
                raise ProviderFailed(f"what {entry.reference} holds is no key", reason="key_malformed")
        if is_secret(key):
            remember(key, "provider-key")
        return Target(name=name, type=entry.type, model=entry.model, address=entry.address, key=key)

    # --- health -------------------------------------------------------------------------------------------------------

    def health(self) -> list[Health]:
        """Ask every provider at once how it is. Who asks in the same moment gets the same answer.

        Only a few may wait for it: each of them holds a thread of the server.
        """
        if not self._asking.acquire(blocking=False):
            raise ProvidersBusy(
                "others are waiting for the same answer already",
                reason="busy",
                hint="try again in a few seconds",
                retry_after_seconds=_RETRY_SECONDS,
            )
        try:
            with self._checking:
                if self._checked is None or time.monotonic() - self._checked[0] > _HEALTH_HOLDS_SECONDS:
                    found = self._all_checked()
                    self._checked = (time.monotonic(), found)
                return self._checked[1]
        finally:
            self._asking.release()

    def _all_checked(self) -> list[Health]:
        config = self.configuration.read().config

        def check(name: str) -> Health:
            return self._check(name, config.providers[name], active=name == config.active)

        with ThreadPoolExecutor(len(config.providers), thread_name_prefix="provider-health") as pool:
            return list(pool.map(check, config.providers))

    def _check(self, name: str, entry: ProviderEntry, *, active: bool) -> Health:
        status, reason, detail, latency = Condition.OK, "ok", "answers, and knows the model", None
        try:
            if not self.configuration.installed(entry.type):
                raise extra_missing(name, entry.type)
            target, adapter = self._target(name, entry), self.adapters[entry.type]()
            call = self._call(HEALTH_SECONDS)
            known = carried_out(call, lambda call: adapter.check(target, call))
            latency = round((time.monotonic() - call.started) * 1000)
            if not known:
                status, reason, detail = Condition.DEGRADED, "model_unknown", f"answers, and has no model {entry.model}"
            elif latency > _SLOW_MS:
                status, reason, detail = Condition.DEGRADED, "slow", f"answers after {latency} ms"
        except InterlockError as error:
            reason, detail = getattr(error, "reason", error.code), error.message
            status = Condition.DEGRADED if reason in _DEGRADED else Condition.DOWN
        return Health(name=name, status=status, reason=reason, detail=detail, latency_ms=latency, active=active)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Who is asked, under which configuration."""

    name: str
    entry: ProviderEntry
    version: str
    adapter: Adapter


def _question(draft: Draft, max_output_tokens: int) -> Question:
    """Make of prompt and context what a model is asked: `system` is the system's message, all else goes along."""
    context: dict[str, Any] = json.loads(draft.context.body or "{}")
    said = context.get("system")
    system = said if isinstance(said, str) and said.strip() else None
    if system is not None:
        del context["system"]
    prompt = draft.prompt.body or ""
    if context:
        prompt += f"\n\nContext (JSON):\n{json.dumps(context, ensure_ascii=False, indent=2)}"
    return Question(system=system, prompt=prompt, max_output_tokens=max_output_tokens)


def _cleaned(answer: Answer, target: Target) -> Answer:
    """Take the key out of an answer that repeats it: it would lie in the draft, for all to read."""
    return replace(
        answer,
        content=without_whole(answer.content, target.key),
        model=None if answer.model is None else without(answer.model, target.key),
        finish=None if answer.finish is None else without(answer.finish, target.key),
    )


def _generated(asked: _Asked, call: Call, answer: Answer | None) -> Generated:
    facts: dict[str, Json] = {
        "provider": asked.name,
        "type": asked.entry.type.value,
        "model": asked.entry.model,
        "configuration": asked.version,
        "duration_ms": round((time.monotonic() - call.started) * 1000),
    }
    if answer is not None:
        facts |= {
            "answered_by": answer.model,
            "finish": answer.finish,
            "input_tokens": answer.input_tokens,
            "output_tokens": answer.output_tokens,
            "cost_microdollars": answer.cost_microdollars,
        }
    return Generated(request=call.sent, facts=facts)
