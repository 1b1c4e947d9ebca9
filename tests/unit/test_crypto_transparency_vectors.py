"""transparency.json, as the client's code judges it: what holds, and of what must fail the kind of failure."""

import json
from pathlib import Path
from typing import Any

import pytest

from crypto import errors
from crypto.merkle import verify_inclusion
from crypto.transparency import Gossip, Inclusion, LeafType, SignedHead, advance, leaf

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "transparency.json").read_text(encoding="utf-8")
)
RELAY = bytes.fromhex(VECTORS["relay_public"])
LEAVES = [bytes.fromhex(each["leaf"]) for each in VECTORS["leaves"]]


def head(encoded: str) -> SignedHead:
    return advance(None, SignedHead.parse(bytes.fromhex(encoded)), [], RELAY)


def data(hashes: list[str]) -> list[bytes]:
    return [bytes.fromhex(each) for each in hashes]


HEADS = {each["size"]: head(each["head"]) for each in VECTORS["heads"]}


def test_each_leaf_and_head_encodes_identically() -> None:
    for one in VECTORS["leaves"]:
        subject, value = data([one["subject"], one["value_hash"]])
        assert leaf(LeafType(one["type"]), subject, one["version"], value).hex() == one["leaf"]
    for one in VECTORS["heads"]:
        found = HEADS[one["size"]]
        assert (found.root.hex(), found.time_ms, found.encode().hex()) == (
            one["root"],
            one["time_ms"],
            one["head"],
        )
    encoded = bytes.fromhex(VECTORS["inclusion_encoded"])
    assert Inclusion.parse(encoded).encode() == encoded


def test_each_proof_holds() -> None:
    for one in VECTORS["inclusion"]:
        verify_inclusion(
            LEAVES[one["index"]], one["index"], one["size"], data(one["proof"]), HEADS[one["size"]].root
        )
    for one in VECTORS["consistency"]:
        newer = HEADS[one["to"]]
        assert advance(HEADS[one["from"]], newer, data(one["proof"]), RELAY) == newer


@pytest.mark.parametrize("case", VECTORS["must_fail"]["inclusion"], ids=lambda case: case["name"])
def test_a_leaf_that_the_proof_does_not_show(case: dict[str, Any]) -> None:
    found = head(case["head"])
    with pytest.raises(errors.CryptoError) as caught:
        verify_inclusion(
            bytes.fromhex(case["leaf"]), case["index"], found.size, data(case["proof"]), found.root
        )
    assert type(caught.value).__name__ == case["error"]


@pytest.mark.parametrize("case", VECTORS["must_fail"]["heads"], ids=lambda case: case["name"])
def test_a_head_that_must_not_follow(case: dict[str, Any]) -> None:
    known = None if case["known"] is None else head(case["known"])
    with pytest.raises(errors.CryptoError) as caught:
        advance(known, SignedHead.parse(bytes.fromhex(case["head"])), data(case["proof"]), RELAY)
    assert type(caught.value).__name__ == case["error"]


@pytest.mark.parametrize("case", VECTORS["must_fail"]["inclusions_encoded"], ids=lambda case: case["name"])
def test_bytes_that_are_no_proof(case: dict[str, Any]) -> None:
    with pytest.raises(errors.CryptoError) as caught:
        Inclusion.parse(bytes.fromhex(case["encoded"]))
    assert type(caught.value).__name__ == case["error"]


@pytest.mark.parametrize("case", VECTORS["must_fail"]["gossip"], ids=lambda case: case["name"])
def test_bytes_that_are_no_gossip(case: dict[str, Any]) -> None:
    with pytest.raises(errors.CryptoError) as caught:
        Gossip.parse(bytes.fromhex(case["encoded"]))
    assert type(caught.value).__name__ == case["error"]
