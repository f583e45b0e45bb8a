"""The Merkle tree of RFC 6962 section 2.1 (SHA-256; unchanged in RFC 9162), its frontier, paths and their checks.

A leaf is hashed with a 0x00 before it, an inner node with 0x01 before its two children, and n leaves are split at the
largest power of two below n. Seen from below: each level joins its nodes in pairs and carries a last odd node up.
A path lists sibling hashes from the leaves towards the root. All hashes are 32 bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

from interlock.evidence.errors import FrontierMalformed, ProofRejected

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """Hash a leaf's bytes."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash an inner node from its children's hashes."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """All that is needed of a tree to append to it and to tell its root: the roots of its full subtrees."""

    size: int = 0
    peaks: tuple[bytes, ...] = ()
    """One root for each set bit of `size`, the largest subtree first."""

    def append(self, leaf: bytes) -> Frontier:
        """Return the frontier with one more leaf hash; on average one node hash, for it runs in every transaction."""
        bits, keep = self.size, len(self.peaks)
        while bits & 1:
            keep -= 1
            leaf = sha256(b"\x01" + self.peaks[keep] + leaf).digest()
            bits >>= 1
        return Frontier(self.size + 1, (*self.peaks[:keep], leaf))

    def extend(self, leaves: Iterable[bytes]) -> Frontier:
        """Return the frontier with these leaf hashes appended in order."""
        size, peaks = self.size, list(self.peaks)
        take, put = peaks.pop, peaks.append
        for leaf in leaves:
            node, bits = leaf, size
            while bits & 1:
                node = sha256(b"\x01" + take() + node).digest()
                bits >>= 1
            put(node)
            size += 1
        return Frontier(size, tuple(peaks))

    def root(self) -> bytes:
        """Return the root hash of the whole tree."""
        if not self.peaks:
            return EMPTY_ROOT
        *left, root = self.peaks
        for peak in reversed(left):
            root = node_hash(peak, root)
        return root

    def encode(self) -> bytes:
        """Return the stored form: the size in 8 bytes, big-endian, then the peaks."""
        return self.size.to_bytes(8, "big") + b"".join(self.peaks)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read what `encode` wrote; raises `FrontierMalformed` for anything else."""
        size, rest = int.from_bytes(data[:8], "big"), data[8:]
        if len(data) < 8 or len(rest) != HASH_BYTES * size.bit_count():
            raise FrontierMalformed(f"{len(data)} bytes can not be the frontier of {size} leaves")
        return cls(size, tuple(rest[at : at + HASH_BYTES] for at in range(0, len(rest), HASH_BYTES)))


def root_of(leaf_hashes: Sequence[bytes]) -> bytes:
    """Return the root over these leaf hashes."""
    if not leaf_hashes:
        return EMPTY_ROOT
    level = leaf_hashes
    while len(level) > 1:
        level = _level_above(level)
    return level[0]


def inclusion_path(leaf_hashes: Sequence[bytes], index: int, size: int) -> tuple[bytes, ...]:
    """Return the path from leaf `index` to the root of the first `size` leaves; ValueError if it is not in there."""
    return inclusion_paths(leaf_hashes, [index], size)[0]


def inclusion_paths(leaf_hashes: Sequence[bytes], indexes: Sequence[int], size: int) -> list[tuple[bytes, ...]]:
    """Return the path of each of these leaves, as `inclusion_path` does; the tree is hashed once for all of them."""
    for index in indexes:
        if not 0 <= index < size <= len(leaf_hashes):
            raise ValueError(f"no leaf {index} in a tree of {size} out of {len(leaf_hashes)} leaves")
    paths: list[list[bytes]] = [[] for _ in indexes]
    level, height = leaf_hashes[:size], 0
    while len(level) > 1:
        for index, path in zip(indexes, paths, strict=True):
            if (sibling := (index >> height) ^ 1) < len(level):
                path.append(level[sibling])
        level, height = _level_above(level), height + 1
    return [tuple(path) for path in paths]


def consistency_path(leaf_hashes: Sequence[bytes], old: int, new: int) -> tuple[bytes, ...]:
    """Return the path that shows the tree of `old` leaves to begin that of `new`; ValueError for bad sizes."""
    if not 0 <= old <= new <= len(leaf_hashes):
        raise ValueError(f"no trees of {old} and {new} in {len(leaf_hashes)} leaves")
    if old in (0, new):
        return ()
    path: list[bytes] = []
    level, place = leaf_hashes[:new], old - 1
    while place & 1:
        level, place = _level_above(level), place >> 1
    if place:  # else the old root is itself a node of the new tree, and the checker has it
        path.append(level[place])
    while len(level) > 1:
        if place ^ 1 < len(level):
            path.append(level[place ^ 1])
        level, place = _level_above(level), place >> 1
    return tuple(path)


def check_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> None:
    """Raise `ProofRejected` unless the path leads from leaf hash `leaf` at `index` to the root of `size` leaves.

    The steps are RFC 9162 section 2.1.3.2.
    """
    _check_hashes(leaf, root, *path)
    if not 0 <= index < size:
        raise ProofRejected(f"a tree of {size} leaves has no leaf {index}")
    place, last, node = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise ProofRejected("the inclusion path is too long")
        if place & 1 or place == last:
            node = node_hash(sibling, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise ProofRejected("the inclusion path is too short")
    if node != root:
        raise ProofRejected(f"leaf {index} is not in the tree of {size} leaves with root {root.hex()}")


def check_consistency(old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> None:
    """Raise `ProofRejected` unless the tree of `old` leaves is a beginning of the tree of `new` leaves.

    The steps are RFC 9162 section 2.1.4.2.
    """
    _check_hashes(old_root, new_root, *path)
    if not 0 <= old <= new:
        raise ProofRejected(f"a tree of {new} leaves has no beginning of {old}")
    if old in (0, new):
        if path or old_root != (new_root if old else EMPTY_ROOT):
            raise ProofRejected(f"the trees of {old} and {new} leaves are not one log")
        return
    proof = [old_root, *path] if old.bit_count() == 1 else list(path)
    if not proof:
        raise ProofRejected("the consistency path is too short")
    _fold_consistency(old, new, proof, (old_root, new_root))


def _fold_consistency(old: int, new: int, proof: list[bytes], roots: tuple[bytes, bytes]) -> None:
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    was = now = proof[0]
    for sibling in proof[1:]:
        if last == 0:
            raise ProofRejected("the consistency path is too long")
        if place & 1 or place == last:
            was, now = node_hash(sibling, was), node_hash(sibling, now)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            now = node_hash(now, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise ProofRejected("the consistency path is too short")
    if (was, now) != roots:
        raise ProofRejected(f"the tree of {old} leaves is not a beginning of the tree of {new} leaves")


def _level_above(level: Sequence[bytes]) -> list[bytes]:
    nodes = iter(level)
    above = [sha256(b"\x01" + left + right).digest() for left, right in zip(nodes, nodes, strict=False)]
    if len(level) & 1:
        above.append(level[-1])
    return above


def _check_hashes(*hashes: bytes) -> None:
    if any(len(digest) != HASH_BYTES for digest in hashes):
        raise ProofRejected("a proof is made of hashes of 32 bytes")
