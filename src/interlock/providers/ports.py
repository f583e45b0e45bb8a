"""What providers need from outside their room."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from interlock.access.models import Actor
from interlock.kernel.events import Emit
from interlock.providers.calling import Call
from interlock.providers.models import Answer, Question, Target

OpenLog = Callable[[Actor], AbstractContextManager[Emit]]
"""Opens the transaction in which the file is changed and its event told; refused while changes are frozen."""


class Adapter(Protocol):
    """Speaks the protocol of one type of provider. Never called inside a transaction."""

    def generate(self, target: Target, question: Question, call: Call) -> Answer:
        """Ask; raises a `ProviderError`."""
        ...

    def check(self, target: Target, call: Call) -> bool:
        """Say whether the model is one that the provider knows; raises a `ProviderError`."""
        ...
