from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.evidence.errors import FrontierMalformed, ProofRejected
from interlock.evidence.tree import (
    EMPTY_ROOT,
    Frontier,
    check_consistency,
    check_inclusion,
    consistency_path,
    inclusion_path,
    inclusion_paths,
    leaf_hash,
    node_hash,
    root_of,
)

# The eight leaves of RFC 6962's reference implementation, and the roots of their trees of 0 to 8 leaves.
LEAVES = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
LEAVES.append(bytes(range(0x60, 0x70)))
ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}
MANY = [leaf_hash(b"%d" % number) for number in range(70)]


def defined_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word by word."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256(b"").digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01" + defined_root(leaves[:split]) + defined_root(leaves[split:])).digest()


def defined_path(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962 section 2.1.1, word by word."""
    if len(leaves) == 1:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    left, right = leaves[:split], leaves[split:]
    if index < split:
        return [*defined_path(index, left), defined_root(right)]
    return [*defined_path(index - split, right), defined_root(left)]


def defined_proof(old: int, leaves: list[bytes], *, whole: bool = True) -> list[bytes]:
    """RFC 6962 section 2.1.2, word by word."""
    if old == len(leaves):
        return [] if whole else [defined_root(leaves)]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    left, right = leaves[:split], leaves[split:]
    if old <= split:
        return [*defined_proof(old, left, whole=whole), defined_root(right)]
    return [*defined_proof(old - split, right, whole=False), defined_root(left)]


@pytest.mark.parametrize(("size", "root"), ROOTS.items())
def test_the_published_trees_have_the_published_roots(size: int, root: str) -> None:
    leaves = [leaf_hash(data) for data in LEAVES[:size]]
    assert root_of(leaves).hex() == root
    assert Frontier().extend(leaves).root().hex() == root


def test_a_leaf_and_a_node_of_the_same_bytes_have_different_hashes() -> None:
    left, right = MANY[:2]
    assert leaf_hash(left + right) != node_hash(left, right)


@pytest.mark.parametrize("size", range(70))
def test_every_road_to_a_root_gives_the_defined_root(size: int) -> None:
    leaves = MANY[:size]
    appended = Frontier()
    for leaf in leaves:
        appended = appended.append(leaf)
    assert appended == Frontier().extend(leaves)
    assert appended.root() == root_of(leaves) == defined_root(leaves)


@given(st.integers(0, 300), st.integers(0, 300))
def test_extending_in_two_steps_is_extending_in_one(first: int, second: int) -> None:
    leaves = [leaf_hash(b"%d" % number) for number in range(first + second)]
    assert Frontier().extend(leaves[:first]).extend(leaves[first:]) == Frontier().extend(leaves)


@pytest.mark.parametrize("size", range(1, 70))
def test_every_inclusion_path_is_the_defined_one_and_proves_only_its_leaf_and_place(size: int) -> None:
    root = root_of(MANY[:size])
    for index in range(size):
        path = inclusion_path(MANY, index, size)
        assert list(path) == defined_path(index, MANY[:size])
        check_inclusion(index, size, MANY[index], path, root)
        for wrong in ((index + 1, size), (index - 1, size), (index, size + 64)):
            with pytest.raises(ProofRejected):
                check_inclusion(*wrong, MANY[index], path, root)
        with pytest.raises(ProofRejected):
            check_inclusion(index, size, leaf_hash(b"another"), path, root)
        with pytest.raises(ProofRejected):
            check_inclusion(index, size, MANY[index], (*path, EMPTY_ROOT), root)


@pytest.mark.parametrize("size", [0, 1, 2, 5, 64, 69])
def test_the_paths_of_many_leaves_are_those_of_each(size: int) -> None:
    indexes = [*range(size), *range(0, size, 3)]
    assert inclusion_paths(MANY, indexes, size) == [inclusion_path(MANY, index, size) for index in indexes]


@pytest.mark.parametrize("size", range(2, 70))
def test_an_inclusion_path_cut_or_flipped_anywhere_proves_nothing(size: int) -> None:
    root, index = root_of(MANY[:size]), size // 3
    path = inclusion_path(MANY, index, size)
    for place, digest in enumerate(path):
        flipped = bytes([digest[0] ^ 1]) + digest[1:]
        for wrong in (path[:place] + path[place + 1 :], (*path[:place], flipped, *path[place + 1 :])):
            with pytest.raises(ProofRejected):
                check_inclusion(index, size, MANY[index], wrong, root)


@pytest.mark.parametrize("new", range(70))
def test_every_consistency_path_is_the_defined_one_and_proves_only_its_two_trees(new: int) -> None:
    new_root = root_of(MANY[:new])
    for old in range(new + 1):
        old_root, path = root_of(MANY[:old]), consistency_path(MANY, old, new)
        assert list(path) == (defined_proof(old, MANY[:new]) if old else [])
        check_consistency(old, new, old_root, new_root, path)
        strange = leaf_hash(b"another")
        for roots in ((strange, new_root), (old_root, strange)) if old else ((strange, new_root),):
            with pytest.raises(ProofRejected):
                check_consistency(old, new, *roots, path)
        with pytest.raises(ProofRejected):
            check_consistency(old, new, old_root, new_root, (*path, strange))
        if old:
            with pytest.raises(ProofRejected):
                check_consistency(old, new + 64, old_root, new_root, path)


@given(st.integers(1, 69), st.integers(1, 69), st.data())
def test_a_consistency_path_cut_or_flipped_anywhere_proves_nothing(one: int, other: int, data: st.DataObject) -> None:
    old, new = sorted((one, other))
    path = consistency_path(MANY, old, new)
    if not path:
        return
    place = data.draw(st.integers(0, len(path) - 1))
    flipped = bytes(byte ^ 0x80 for byte in path[place])
    for wrong in (path[:place] + path[place + 1 :], (*path[:place], flipped, *path[place + 1 :])):
        with pytest.raises(ProofRejected):
            check_consistency(old, new, root_of(MANY[:old]), root_of(MANY[:new]), wrong)


@pytest.mark.parametrize(("old", "new"), [(3, 5), (4, 8), (6, 7)])
def test_two_forked_logs_have_no_consistency(old: int, new: int) -> None:
    forked = [leaf_hash(b"fork"), *MANY[1:]]
    with pytest.raises(ProofRejected):
        check_consistency(old, new, root_of(MANY[:old]), root_of(forked[:new]), consistency_path(forked, old, new))


def test_two_hashes_cut_at_another_place_prove_nothing() -> None:
    """Their concatenation, and so the root, would be the same."""
    both, root = MANY[0] + MANY[1], root_of(MANY[:2])
    with pytest.raises(ProofRejected, match="32 bytes"):
        check_inclusion(0, 2, both[:31], [both[31:]], root)
    with pytest.raises(ProofRejected, match="32 bytes"):
        check_consistency(1, 2, both[:33], root, [both[33:]])


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0), (0, 71)])
def test_a_path_to_a_leaf_that_is_not_there_is_refused(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        inclusion_path(MANY, index, size)


def test_a_shrinking_log_has_no_consistency() -> None:
    with pytest.raises(ValueError, match="no trees"):
        consistency_path(MANY, 5, 4)
    with pytest.raises(ProofRejected, match="no beginning of 5"):
        check_consistency(5, 4, MANY[0], MANY[0], ())


@given(st.integers(0, 1000))
def test_a_frontier_is_read_back_as_it_was_stored(size: int) -> None:
    frontier = Frontier().extend(leaf_hash(b"%d" % number) for number in range(size))
    assert Frontier.decode(frontier.encode()) == frontier


@pytest.mark.parametrize("data", [b"", b"\0" * 7, b"\0" * 9, b"\0" * 7 + b"\3" + b"x" * 32, b"\0" * 7 + b"\1"])
def test_bytes_that_are_no_frontier_are_refused(data: bytes) -> None:
    with pytest.raises(FrontierMalformed):
        Frontier.decode(data)
