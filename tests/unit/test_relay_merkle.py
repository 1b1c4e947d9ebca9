"""Numbers of nodes, paths of proofs and what a leaf completes, against the definitions of RFC 6962."""

import pytest

from relay.wire.merkle import (
    EMPTY_ROOT,
    Subtree,
    completed_by,
    consistency_path,
    fold,
    inclusion_path,
    leaf_hash,
    left_of,
    node_numbers,
    nodes_before,
)
from tests.merkle_log import consistency, inclusion, root_of

LEAVES = [b"leaf %d" % number for number in range(70)]


def grown(leaves: list[bytes]) -> dict[int, bytes]:
    """Every node, as appending makes them one after another."""
    nodes: dict[int, bytes] = {}
    for index, leaf in enumerate(leaves):
        made = completed_by(leaf_hash(leaf), [nodes[number] for number in left_of(index)])
        for number, hashed in enumerate(made, nodes_before(index)):
            assert number not in nodes
            nodes[number] = hashed
    return nodes


NODES = grown(LEAVES)


def test_nodes_are_numbered_without_a_gap() -> None:
    assert sorted(NODES) == list(range(nodes_before(len(LEAVES))))


@pytest.mark.parametrize("size", range(len(LEAVES) + 1))
def test_root_and_proofs_of_every_size_are_those_of_the_definitions(size: int) -> None:
    leaves = LEAVES[:size]
    assert fold(Subtree(0, size), NODES) == root_of(leaves)
    for index in range(size):
        assert [fold(each, NODES) for each in inclusion_path(index, size)] == inclusion(leaves, index)
    for old in range(size + 1):
        assert [fold(each, NODES) for each in consistency_path(old, size)] == consistency(leaves, old)


def test_an_empty_log_has_the_hash_of_nothing() -> None:
    assert fold(Subtree(0, 0), {}) == EMPTY_ROOT == root_of([])


@pytest.mark.parametrize("size", [1_000_000, 2**20, 2**20 - 1, 2**40 + 12_345])
def test_a_large_log_asks_for_few_nodes(size: int) -> None:
    bits = size.bit_length()
    for index in (0, 1, size // 3, size - 2, size - 1):
        path = inclusion_path(index, size)
        assert len(path) <= bits
        assert sum(len(node_numbers(each)) for each in path) <= 2 * bits
    for old in (1, size // 3, size // 2, size - 1):
        path = consistency_path(old, size)
        assert len(path) <= bits + 1
        assert sum(len(node_numbers(each)) for each in path) <= 2 * bits + 1
    assert len(left_of(size)) <= bits
