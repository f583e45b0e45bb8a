"""Which witnesses must have cosigned a head: a policy file as C2SP specifies it (c2sp.org/tlog-policy).

log <vkey> [<url>]
witness <name> <vkey> [<url>]
group <name> <k>|any|all <member>…
quorum <name>|none

Names are opaque; a group or the quorum names only what stands above it, and each name is a member once at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from interlock.evidence.cosignature import WitnessKey
from interlock.evidence.errors import HeadSignatureInvalid, KeyMalformed, NoteRejected, PolicyMalformed
from interlock.evidence.head import open_own_head
from interlock.evidence.note import Verifier

NONE: Final = "none"
_MAX_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Group:
    """So many of these are enough."""

    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy file, read."""

    logs: tuple[Verifier, ...]
    witnesses: Mapping[str, WitnessKey]
    """By the policy's own names."""
    groups: Mapping[str, Group]
    """In the file's order: members stand before their groups."""
    quorum: str

    def check_log(self, note: str) -> None:
        """Raise `HeadSignatureInvalid` if the policy lists keys of logs, and none of them signed this head."""
        if not self.logs:
            return
        try:
            open_own_head(note, self.logs)
        except NoteRejected as error:
            raise HeadSignatureInvalid(f"no key that the policy lists signed the last head: {error.message}") from None

    def cosigned(self, body: str, lines: Iterable[str]) -> frozenset[str]:
        """Return the names of the witnesses of which one of these signature lines fits the head's text."""
        told = tuple(lines)
        return frozenset(
            name
            for name, witness in self.witnesses.items()
            if any(witness.cosigned(body, line) is not None for line in told)
        )

    def met_by(self, cosigned: Iterable[str]) -> bool:
        """Say whether these witnesses are enough."""
        if self.quorum == NONE:
            return True
        found = set(cosigned)
        for name, group in self.groups.items():
            if len(found.intersection(group.members)) >= group.threshold:
                found.add(name)
        return self.quorum in found


def read_policy(path: Path) -> Policy:
    """Read a policy file; raises `PolicyMalformed`, naming the line."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise PolicyMalformed(f"the policy {path} can not be read: {error.strerror}") from None
    if len(data) > _MAX_BYTES:
        raise PolicyMalformed(f"{path} is too long for a policy")
    return parse_policy(data, str(path))


def parse_policy(data: bytes, where: str = "the policy") -> Policy:
    """Read a policy's bytes; raises `PolicyMalformed`."""
    text = data.decode("utf-8", "surrogateescape")  # names are opaque bytes
    if any(character < " " and character not in "\t\n" for character in text) or "\x7f" in text:
        raise PolicyMalformed(f"{where} holds a control character")
    if text and not text.endswith("\n"):
        raise PolicyMalformed(f"{where} ends in the middle of a line")
    reading = _Reading()
    for number, line in enumerate(text.split("\n"), 1):
        words = [word for part in line.split("\t") for word in part.split(" ") if word]
        if not words or words[0].startswith("#"):
            continue
        try:
            reading.take(words)
        except (PolicyMalformed, KeyMalformed) as error:
            raise PolicyMalformed(f"{where}, line {number}: {error.message}") from None
    if reading.quorum is None:
        raise PolicyMalformed(f"{where} has no quorum line")
    return Policy(logs=tuple(reading.logs), witnesses=reading.witnesses, groups=reading.groups, quorum=reading.quorum)


@dataclass(slots=True)
class _Reading:
    logs: list[Verifier] = field(default_factory=list[Verifier])
    witnesses: dict[str, WitnessKey] = field(default_factory=dict[str, WitnessKey])
    groups: dict[str, Group] = field(default_factory=dict[str, Group])
    quorum: str | None = None
    _members: set[str] = field(default_factory=set[str])

    def take(self, words: list[str]) -> None:
        match words:
            case ["log", vkey] | ["log", vkey, _]:
                self._log(Verifier.parse(vkey))
            case ["witness", name, vkey] | ["witness", name, vkey, _]:
                self._witness(name, WitnessKey.parse(vkey))
            case ["group", name, threshold, *members]:
                self._group(name, threshold, members)
            case ["quorum", name]:
                self._quorum(name)
            case _:
                raise PolicyMalformed("a line is log, witness, group or quorum with its words")

    def _log(self, log: Verifier) -> None:
        if any(log.public == known.public for known in self.logs):
            raise PolicyMalformed("this log's key stands there twice")
        self.logs.append(log)

    def _witness(self, name: str, witness: WitnessKey) -> None:
        self._fresh(name)
        if any(witness.public == known.public for known in self.witnesses.values()):
            raise PolicyMalformed("this witness's key stands there twice")
        self.witnesses[name] = witness

    def _group(self, name: str, threshold: str, members: list[str]) -> None:
        self._fresh(name)
        for member in members:
            self._known(member)
            if member in self._members:
                raise PolicyMalformed(f"{member!a} is a member twice")
            self._members.add(member)
        counts = {"any": "1", "all": str(len(members))}
        told = counts.get(threshold, threshold)
        if not (told.isascii() and told.isdigit() and len(told) < 6 and 1 <= int(told) <= len(members)):
            raise PolicyMalformed(f"{threshold[:20]!a} of {len(members)} members is no threshold")
        self.groups[name] = Group(int(told), tuple(members))

    def _quorum(self, name: str) -> None:
        if self.quorum is not None:
            raise PolicyMalformed("there is one quorum line")
        if name != NONE:
            self._known(name)
        self.quorum = name

    def _fresh(self, name: str) -> None:
        if name == NONE or name in self.witnesses or name in self.groups:
            raise PolicyMalformed(f"the name {name!a} is taken")

    def _known(self, name: str) -> None:
        if name not in self.witnesses and name not in self.groups:
            raise PolicyMalformed(f"{name!a} is not defined above")
