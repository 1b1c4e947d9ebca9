"""What the log's vectors hold that a client must refuse: proofs and heads, each with one thing wrong.

`generate_accounts.py` writes them into transparency.json.
"""

from typing import Any

from crypto import labels
from crypto.keys import SigningKeyPair
from crypto.transcript import transcript, u64
from crypto.transparency import Inclusion, SignedHead, head_body
from tests.crypto_people import NOW_MS, SeededRandom
from tests.merkle_log import consistency, inclusion, root_of


def must_fail(leaves: list[bytes], log_id: bytes, relay: SigningKeyPair) -> dict[str, Any]:
    """The cases of both lists."""

    def head(size: int, of: list[bytes] = leaves, later_ms: int = 0) -> bytes:
        body = head_body(log_id, size, root_of(of[:size]), NOW_MS + size + later_ms)
        return relay.sign(body) + body

    proof = Inclusion(SignedHead.parse(head(11)), 7, tuple(inclusion(leaves, 7))).encode()
    return {
        "inclusion": _inclusion(leaves, head),
        "heads": _heads(leaves, log_id, relay, head),
        "inclusions_encoded": _cut(proof, 9 + 32 * proof[8]),
        "gossip": _gossip(head(11)),
    }


def _cut(proof: bytes, head_at: int) -> list[dict[str, str]]:
    """What is no proof: index, number of hashes, hashes, head."""
    hashes, head = proof[9:head_at], proof[head_at:]
    cases = {
        "nothing": b"",
        "an index alone": proof[:8],
        "more hashes than there are": proof[:8] + bytes((proof[8] + 1,)) + proof[9:],
        "fewer hashes than there are": proof[:8] + bytes((proof[8] - 1,)) + proof[9:],
        "54 hashes": proof[:8] + bytes((54,)) + hashes[:32] * 54 + head,
        "no head": proof[:head_at],
        "a head that is cut short": proof[:-1],
        "a byte behind the head": proof + b"\0",
        "a head with another label": proof.replace(labels.LOG_HEAD, labels.LOG_LEAF),
    }
    return _encoded(cases)


def _gossip(head: bytes) -> list[dict[str, str]]:
    """What is not two versions with their hashes, and a head or none."""
    fixed = u64(3) + bytes(32) + u64(1) + bytes(32)
    cases = {
        "nothing but a version": fixed[:8],
        "a byte too few": fixed[:-1],
        "a byte too many": fixed + b"\0",
        "a head that is cut short": fixed + head[:-1],
        "two heads": fixed + head + head,
    }
    return _encoded(cases)


def _encoded(cases: dict[str, bytes]) -> list[dict[str, str]]:
    return [
        {"name": name, "encoded": encoded.hex(), "error": "InvalidEncoding"}
        for name, encoded in cases.items()
    ]


def _inclusion(leaves: list[bytes], head: Any) -> list[dict[str, Any]]:
    size = len(leaves)
    newest, good = head(size), inclusion(leaves, 7)
    cases: list[tuple[str, bytes, int, bytes, list[bytes]]] = [
        ("another leaf", leaves[3], 7, newest, good),
        ("another place", leaves[7], 6, newest, good),
        ("a place behind the end", leaves[7], size, newest, good),
        ("a changed hash", leaves[7], 7, newest, [_flipped(good[0]), *good[1:]]),
        ("a hash too few", leaves[7], 7, newest, good[:-1]),
        ("a hash too many", leaves[7], 7, newest, [*good, good[-1]]),
        ("no hash at all", leaves[7], 7, newest, []),
        ("two hashes that changed places", leaves[7], 7, newest, [good[1], good[0], *good[2:]]),
        ("the head of a smaller log", leaves[3], 3, head(7), inclusion(leaves, 3)),
    ]
    return [
        {
            "name": name,
            "leaf": entry.hex(),
            "index": index,
            "head": signed.hex(),
            "proof": [each.hex() for each in proof],
            "error": "LogRefused",
        }
        for name, entry, index, signed, proof in cases
    ]


def _heads(leaves: list[bytes], log_id: bytes, relay: SigningKeyPair, head: Any) -> list[dict[str, Any]]:
    newest, known, proof = head(11), head(4), consistency(leaves, 4)
    uneven, forked = consistency(leaves, 7), [*leaves[:2], leaves[0], *leaves[3:]]
    body = newest[64:]
    stranger = SigningKeyPair.generate(SeededRandom("another relay"))
    fields = log_id, u64(11), root_of(leaves), u64(NOW_MS)
    longer = transcript(labels.LOG_HEAD, *fields, b"")
    cases: list[tuple[str, bytes | None, bytes, list[bytes], str]] = [
        ("a changed signature", None, _flipped(newest[:64]) + body, [], "InvalidSignature"),
        ("the signature of another key", None, stranger.sign(body) + body, [], "InvalidSignature"),
        ("the signature of another head", known, known[:64] + body, proof, "InvalidSignature"),
        ("a field too many", None, relay.sign(longer) + longer, [], "InvalidEncoding"),
        ("rolled back", head(7), head(4, later_ms=60_000), consistency(leaves[:7], 4), "LogSplit"),
        ("two roots of one size", head(7), head(7, forked), [], "LogSplit"),
        ("grown from another past", known, head(11, forked), consistency(forked, 4), "LogSplit"),
        ("another past, with the true log's proof", known, head(11, forked), proof, "LogSplit"),
        ("a changed hash", known, newest, [*proof[:-1], _flipped(proof[-1])], "LogSplit"),
        ("a changed first hash", head(7), newest, [_flipped(uneven[0]), *uneven[1:]], "LogSplit"),
        ("a hash too few", head(7), newest, uneven[:-1], "LogSplit"),
        ("a hash too many", known, newest, [*proof, proof[-1]], "LogSplit"),
        ("no hash at all", known, newest, [], "LogSplit"),
    ]
    return [
        {
            "name": name,
            "known": None if before is None else before.hex(),
            "head": signed.hex(),
            "proof": [each.hex() for each in hashes],
            "error": kind,
        }
        for name, before, signed, hashes, kind in cases
    ]


def _flipped(data: bytes) -> bytes:
    return bytes((data[0] ^ 1,)) + data[1:]
