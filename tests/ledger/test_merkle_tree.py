"""The incremental tree against RFC 6962's recursive definition and its published roots."""

import hashlib

import pytest

from quorate.ledger.merkle import (
    MerkleTree,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_by_proof,
)

# Leaves and roots of the reference tests of Certificate Transparency.
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657",
          "606162636465666768696a6b6c6d6e6f"]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def mth(leaves):
    """MTH of RFC 6962, section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def test_every_size_to_130_as_defined():
    tree = MerkleTree()
    leaves = []
    for size in range(131):
        assert (tree.size, tree.root()) == (size, mth(leaves))
        leaves.append(bytes([size]) * (size % 40))
        tree.append(leaf_hash(leaves[-1]))


@pytest.mark.parametrize("size", range(len(ROOTS)))
def test_the_published_roots(size):
    tree = MerkleTree()
    for leaf in LEAVES[:size]:
        tree.append(leaf_hash(bytes.fromhex(leaf)))
    assert tree.root().hex() == ROOTS[size]


def test_leaves_and_nodes_are_kept_apart():
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != node_hash(left, right)


def test_asking_for_the_root_changes_nothing():
    tree = MerkleTree()
    for leaf in (b"a", b"b", b"c"):
        tree.append(leaf_hash(leaf))
        assert tree.root() == tree.root()
    assert tree.root() == mth([b"a", b"b", b"c"])


def path(m, leaves):
    """PATH of RFC 6962, section 2.1.1, word for word."""
    if len(leaves) == 1:
        return []
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def test_every_proof_to_size_40_as_defined_and_it_leads_to_the_root():
    for size in range(1, 41):
        leaves = [bytes([number]) for number in range(size)]
        hashes = [leaf_hash(leaf) for leaf in leaves]
        for index in range(size):
            proof = inclusion_proof(hashes, index)
            assert proof == path(index, leaves)
            assert root_by_proof(hashes[index], index, size, proof) == mth(leaves)


def test_no_proof_serves_for_another_place_or_size():
    """A path is good for its index; a leaf elsewhere would need a collision of SHA-256."""
    for size in range(1, 18):
        hashes = [leaf_hash(bytes([number])) for number in range(size)]
        root = mth([bytes([number]) for number in range(size)])
        for index in range(size):
            proof = inclusion_proof(hashes, index)
            for other in range(-1, size + 2):
                for leaf in range(size):
                    if (leaf, other) != (index, index):
                        assert root_by_proof(hashes[leaf], other, size, proof) != root
            for wrong in (proof[:-1], [*proof, hashes[0]]):
                if wrong != proof:
                    assert root_by_proof(hashes[index], index, size, wrong) != root
