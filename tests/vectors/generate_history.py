"""Writes history.json.

python -m tests.vectors.generate_history

Sealing draws randomness of its own: what is sealed is kept from the file as long as it opens to the same.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from crypto.errors import CryptoError
from crypto.history_archive import (
    Giving,
    HistoryKey,
    open_entry,
    open_given_keys,
    open_history_keys,
    seal_entry,
    seal_given_keys,
    seal_history_keys,
)
from crypto.local_prekeys import LocalPrekey, LocalPrekeys
from crypto.padding import pad, padded_blob_length
from crypto.prekeys import KeyClass, KeyKind, SignedKey
from crypto.primitives import HpkePrivateKey, aes256gcm_seal, hpke_open, hpke_seal
from crypto.recovery import RecoveryKey
from tests.crypto_people import NOW_MS, SeededRandom
from tests.oracle import history as oracle

FILE = Path(__file__).parent / "history.json"
LENGTHS = (0, 1, 252, 253, 2_000)


def _entries(key: HistoryKey, account: bytes) -> list[dict[str, Any]]:
    made = []
    for index, length in enumerate(LENGTHS):
        random = SeededRandom(f"entry {index}")
        content = SeededRandom(f"content {index}")(length)
        entry = seal_entry(content, key, account, index, random)
        made.append(
            {
                "index": index,
                "salt": entry[9:41].hex(),
                "commitment": entry[41:73].hex(),
                "content": content.hex(),
                "entry": entry.hex(),
            }
        )
    return made


def _sealed_otherwise(key: HistoryKey, account: bytes, size: int, commitment: bytes = b"") -> str:
    """An entry of index 1 that is padded to this size, and sealed under this commitment; else as it must be."""
    salt = SeededRandom(f"padded to {size}")(32)
    aes_key, nonce, committed = oracle.derive(key.key, salt, account, 1)
    head = b"\x01" + key.id_for(account) + salt + (commitment or committed)
    return (head + aes256gcm_seal(aes_key, nonce, pad(b"x", size), head)).hex()


def _failures(entry: bytes, key: HistoryKey, account: bytes) -> list[dict[str, Any]]:
    """Changes to the entry of index 1."""
    other = SeededRandom("other")
    cases: list[dict[str, Any]] = [
        {"name": "changed suite", "at": 0},
        {"name": "changed key id", "at": 1},
        {"name": "changed salt", "at": 9},
        {"name": "changed commitment", "at": 41},
        {"name": "changed ciphertext", "at": 73},
        {"name": "changed tag", "at": len(entry) - 1},
        {"name": "truncated", "keep": len(entry) - 1},
        {"name": "head alone", "keep": 73},
        {"name": "another key", "key": other(32).hex()},
        {"name": "another account", "account": other(32).hex()},
        {"name": "another place", "index": 2},
        {"name": "padded to the next size", "entry": _sealed_otherwise(key, account, 512)},
        {"name": "not padded", "entry": _sealed_otherwise(key, account, 5)},
        {"name": "sealed under another commitment", "entry": _sealed_otherwise(key, account, 256, bytes(32))},
    ]
    for case in cases:
        changed = bytearray(bytes.fromhex(case.get("entry", entry.hex())))[: case.get("keep")]
        if "at" in case:
            changed[case["at"]] ^= 1
        opener = HistoryKey(bytes.fromhex(case.get("key", key.key.hex())), 0)
        of = bytes.fromhex(case.get("account", account.hex()))
        try:
            open_entry(bytes(changed), [opener], of, case.get("index", 1))
        except CryptoError as error:
            case["error"] = type(error).__name__
        else:
            raise RuntimeError(f"{case['name']} opens")
    return cases


def _odd_keys(key: bytes) -> Iterator[tuple[str, bytes]]:
    """What may not be sealed as keys: (name, plaintext)."""
    one = key + NOW_MS.to_bytes(8, "big")
    yield "padded to the next size", pad(one, 512)
    yield "not padded", pad(one, 44)
    yield "padded with ones", pad(one, 256)[:-1] + b"\x01"
    yield "39 bytes", pad(one[1:], 256)
    yield "time above 2^53", pad(key + (2**53 + 1).to_bytes(8, "big"), 256)
    yield "time of 64 bits", pad(key + b"\xff" * 8, 256)
    yield "65 keys", pad(one * 65, padded_blob_length(4 + 65 * 40))


def _gift_failures(
    giving: Giving, secret: HpkePrivateKey, key_id: int, sealed: bytes, before: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Gifts that this receiver, whose key of every id is the same, has to refuse."""
    kept = {case["name"]: bytes.fromhex(case.get("sealed", "")) for case in before}
    other, info = SeededRandom("other"), giving.info(key_id)
    changed = sealed[:-1] + bytes((sealed[-1] ^ 1,))
    cases: list[dict[str, Any]] = [
        {"name": "another account", "account": other(32).hex()},
        {"name": "another giver", "giver": giving.receiver.hex()},
        {"name": "another receiver", "receiver": giving.giver.hex()},
        {"name": "another sealing key id", "sealing_key_id": key_id + 1},
        {"name": "changed tag", "sealed": changed.hex()},
        {"name": "truncated", "sealed": sealed[:-1].hex()},
    ]
    for name, plain in _odd_keys(other(32)):
        odd = kept.get(name, b"")
        try:
            odd = (
                odd
                if hpke_open(secret, info, odd) == plain
                else hpke_seal(secret.public_bytes(), info, plain)
            )
        except CryptoError:
            odd = hpke_seal(secret.public_bytes(), info, plain)
        cases.append({"name": name, "sealed": odd.hex()})
    for case in cases:
        tried = case.get("sealing_key_id", key_id)
        place = KeyKind.SEALING, KeyClass.ROTATING, tried, NOW_MS
        between = replace(
            giving,
            **{name: bytes.fromhex(case[name]) for name in ("account", "giver", "receiver") if name in case},
        )
        told = bytes.fromhex(case.get("sealed", sealed.hex()))
        try:
            open_given_keys(told, tried, LocalPrekeys((LocalPrekey(*place, secret),)), between)
        except CryptoError as error:
            case["error"] = type(error).__name__
        else:
            raise RuntimeError(f"{case['name']} opens")
    return cases


def _gift(keys: tuple[HistoryKey, ...], account: bytes, before: dict[str, Any]) -> dict[str, Any]:
    """The keys as one own device gives them to another one."""
    random, key_id = SeededRandom("history gift"), 7
    giving, secret = Giving(account, random(16), random(16)), HpkePrivateKey(random(32))
    place = KeyKind.SEALING, KeyClass.ROTATING, key_id, NOW_MS
    sealed = seal_given_keys(keys, SignedKey(*place, bytes(64), secret.public_bytes()), giving)
    kept, prekeys = bytes.fromhex(before.get("sealed", "")), LocalPrekeys((LocalPrekey(*place, secret),))
    try:
        sealed = kept if open_given_keys(kept, key_id, prekeys, giving) == keys else sealed
    except CryptoError:
        kept = b""
    return {
        "giver": giving.giver.hex(),
        "receiver": giving.receiver.hex(),
        "sealing_seed": secret.seed.hex(),
        "sealing_key_id": key_id,
        "info": giving.info(key_id).hex(),
        "sealed": sealed.hex(),
        "must_fail": _gift_failures(giving, secret, key_id, sealed, before.get("must_fail", [])),
    }


def history() -> dict[str, Any]:
    """Entries under one key, and keys for the recovery words and for another device."""
    before = json.loads(FILE.read_text()) if FILE.exists() else {}
    random = SeededRandom("history vectors")
    account = random(32)
    key, older = HistoryKey.generate(random, NOW_MS), HistoryKey.generate(random, NOW_MS - 1)
    sealing = RecoveryKey(bytes(range(32))).sealing()
    sealed = seal_history_keys([key, older], sealing.public_bytes(), account)
    kept = bytes.fromhex(before.get("sealed_keys", ""))
    try:
        sealed = kept if open_history_keys(kept, sealing, account) == (key, older) else sealed
    except CryptoError:
        kept = b""
    entries = _entries(key, account)
    return {
        "about": "docs/protocol.md, chapter History archive; bytes in hexadecimal; made by tests/vectors/generate_history.py",
        "account": account.hex(),
        "key": key.key.hex(),
        "key_id": key.id_for(account).hex(),
        "entries": entries,
        "must_fail": _failures(bytes.fromhex(entries[1]["entry"]), key, account),
        "sealing_seed": sealing.seed.hex(),
        "keys": [{"key": one.key.hex(), "made_at_ms": one.made_at_ms} for one in (key, older)],
        "sealed_keys": sealed.hex(),
        "gift": _gift((key, older), account, before.get("gift", {})),
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(history(), indent=1) + "\n")
