"""The command line from afar, and what two answers have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from tests.cli.door import Said, said
from tests.http.served import Served


@dataclass(frozen=True)
class Far:
    """The command line of a server's workspace, called in this process."""

    served: Served
    folder: Path
    capture: pytest.CaptureFixture[str]
    token_file: Path
    address: str

    @classmethod
    def of(cls, served: Served, folder: Path, capture: pytest.CaptureFixture[str]) -> Far:
        return cls(served, folder, capture, token_in(folder, served.tokens["admin", "human"]), served.address)

    def __call__(self, *words: str) -> Said:
        return said(self.capture, "--server", self.address, "--token-file", str(self.token_file), *words)

    def json(self, *words: str) -> Any:  # noqa: ANN401 - JSON of any shape
        return self("--json", *words).json

    def as_(self, role: str, kind: str) -> Far:
        """The same, with another token."""
        return replace(self, token_file=token_in(self.folder, self.served.tokens[role, kind], f"{role}-{kind}"))

    def at(self, address: str) -> Far:
        """The same, at another address."""
        return replace(self, address=address)

    def draft(self, *words: str, prompt: str = "sweep the floor") -> str:
        return str(self.json("draft", "create", "--prompt", prompt, *words)["id"])

    def approved(self, *words: str) -> str:
        return str(self.json("draft", "approve", self.draft(*words))["id"])


def token_in(folder: Path, text: str, name: str = "admin-human", mode: int = 0o600) -> Path:
    """Write a token into a file of its own."""
    file = folder / f"{name}.token"
    file.touch(mode)
    file.chmod(mode)
    file.write_text(f"{text}\n")
    return file


_ALIKE = (
    (re.compile(r"\b([adrts])_[0-7][0-9A-HJKMNP-TV-Z]{25}\b"), r"\1_ID"),
    (re.compile(r"\bilk_\w[\w-]+"), "TOKEN"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"), "TIME"),
    (re.compile(r"\b(human|service|agent):[\w.@:+-]+"), r"\1:SOMEBODY"),
    (re.compile(r"(salted-)?sha256:[0-9a-f]{64}"), "DIGEST"),
    (re.compile(r"retry_not_before=\d+"), "retry_not_before=SECONDS"),
    (re.compile(r"(?<=\u2014 )\S+ [A-Za-z0-9+/=]{80,}"), "SIGNATURE"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "HASH"),
    (re.compile(r"[A-Za-z0-9+/]{43}="), "HASH"),
    (re.compile(r"(?<=\tok\t)\d+(?=\tok\t)"), "MS"),
    (re.compile(r"/(here|there)/"), "/ROOT/"),
)
_OWN = {"correlation_id", "last_used_at", "attestation", "latency_ms", "lasted_ms", "duration_ms", "expires_ms"}
"""What each call has of its own; that it is there is compared, and not what it is."""


def alike(text: str) -> str:
    """Take ids, times and names out of a text."""
    for pattern, word in _ALIKE:
        text = pattern.sub(word, text)
    return text


def alike_json(value: Any) -> Any:  # noqa: ANN401 - JSON of any shape
    """Take out of a document what two calls never share."""
    if isinstance(value, str):
        return alike(value)
    if isinstance(value, list):
        return [alike_json(each) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        fields = cast("Mapping[str, Any]", value)
        return {name: "OWN" if name in _OWN else alike_json(each) for name, each in fields.items()}
    return value
