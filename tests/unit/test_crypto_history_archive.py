"""Entries of the history archive open under one key, for one account, at one place; the vectors say so byte by byte."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crypto import errors, labels, limits
from crypto.history_archive import (
    Giving,
    HistoryKey,
    entry_key_id,
    open_entry,
    open_given_keys,
    open_history_keys,
    seal_entry,
    seal_given_keys,
    seal_history_keys,
)
from crypto.local_prekeys import LocalPrekey, LocalPrekeys
from crypto.padding import pad
from crypto.prekeys import KeyClass, KeyKind, SignedKey
from crypto.primitives import HpkePrivateKey, hpke_seal
from crypto.recovery import RecoveryKey
from crypto.transcript import transcript
from tests.crypto_people import NOW_MS, SeededRandom

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "history.json").read_text())
ACCOUNT = bytes.fromhex(VECTORS["account"])
KEY = HistoryKey(bytes.fromhex(VECTORS["key"]), 0)
SMALL = bytes.fromhex(VECTORS["entries"][1]["entry"])


@pytest.mark.parametrize("part", VECTORS["entries"], ids=lambda part: str(len(part["content"]) // 2))
def test_history_vectors(part: dict[str, Any]) -> None:
    content, salt = bytes.fromhex(part["content"]), bytes.fromhex(part["salt"])
    entry = seal_entry(content, KEY, ACCOUNT, part["index"], lambda _: salt)
    assert entry.hex() == part["entry"]
    assert entry_key_id(entry).hex() == VECTORS["key_id"]
    assert open_entry(entry, [KEY], ACCOUNT, part["index"]) == content


@pytest.mark.proves("M-HIST-01", "M-HIST-02")
@pytest.mark.parametrize("case", VECTORS["must_fail"], ids=lambda case: case["name"])
def test_history_entries_that_must_fail(case: dict[str, Any]) -> None:
    changed = bytearray(bytes.fromhex(case["entry"]) if "entry" in case else SMALL)[: case.get("keep")]
    if "at" in case:
        changed[case["at"]] ^= 1
    key = HistoryKey(bytes.fromhex(case.get("key", VECTORS["key"])), 0)
    account = bytes.fromhex(case.get("account", VECTORS["account"]))
    with pytest.raises(errors.CryptoError) as caught:
        open_entry(bytes(changed), [key], account, case.get("index", 1))
    assert type(caught.value).__name__ == case["error"]


def test_an_entry_of_an_older_key_opens_while_that_is_here() -> None:
    newer = HistoryKey.generate(SeededRandom("newer"), NOW_MS)
    assert open_entry(SMALL, [newer, KEY], ACCOUNT, 1) == bytes.fromhex(VECTORS["entries"][1]["content"])
    with pytest.raises(errors.Undecryptable, match="not here"):
        open_entry(SMALL, [newer], ACCOUNT, 1)


@pytest.mark.proves("M-HIST-02")
def test_keys_for_the_words_have_the_size_that_they_need() -> None:
    sealing, info = RecoveryKey(bytes(32)).sealing(), transcript(labels.HISTORY_KEYS, ACCOUNT)
    content = KEY.key + (7).to_bytes(8, "big")
    for size in (len(content) + 4, 512):
        sealed = hpke_seal(sealing.public_bytes(), info, pad(content, size))
        with pytest.raises(errors.InvalidEncoding, match="padded"):
            open_history_keys(sealed, sealing, ACCOUNT)
    fitting = hpke_seal(sealing.public_bytes(), info, pad(content, 256))
    (opened,) = open_history_keys(fitting, sealing, ACCOUNT)
    assert (opened.key, opened.made_at_ms) == (KEY.key, 7)


def test_the_largest_entry_fits_the_log_and_sizes_come_in_steps() -> None:
    random = SeededRandom("sizes")
    largest = seal_entry(bytes(limits.MAX_HISTORY_CONTENT_BYTES), KEY, ACCOUNT, 0, random)
    assert len(largest) <= 262_144
    with pytest.raises(errors.TooLarge):
        seal_entry(bytes(limits.MAX_HISTORY_CONTENT_BYTES + 1), KEY, ACCOUNT, 0, random)
    assert len({len(seal_entry(bytes(size), KEY, ACCOUNT, 0, random)) for size in range(253)}) == 1


def test_keys_open_by_the_recovery_words_of_their_account_alone() -> None:
    recovery, other = RecoveryKey(bytes(range(32))), RecoveryKey(bytes(32))
    keys = (HistoryKey.generate(SeededRandom("one"), NOW_MS), KEY)
    sealed = seal_history_keys(keys, recovery.sealing().public_bytes(), ACCOUNT)
    assert open_history_keys(sealed, recovery.sealing(), ACCOUNT) == keys
    kept = bytes.fromhex(VECTORS["sealed_keys"])
    assert [one.key.hex() for one in open_history_keys(kept, recovery.sealing(), ACCOUNT)] == [
        one["key"] for one in VECTORS["keys"]
    ]
    for sealing, account in ((other.sealing(), ACCOUNT), (recovery.sealing(), bytes(32))):
        with pytest.raises(errors.Undecryptable):
            open_history_keys(sealed, sealing, account)
    assert "key=" not in repr(KEY)


GIFT: dict[str, Any] = VECTORS["gift"]
GIVING = Giving(ACCOUNT, bytes.fromhex(GIFT["giver"]), bytes.fromhex(GIFT["receiver"]))


def receiving(seed: str = GIFT["sealing_seed"], key_id: int = GIFT["sealing_key_id"]) -> LocalPrekeys:
    """The receiver's own keys: this sealing key alone."""
    secret = HpkePrivateKey(bytes.fromhex(seed))
    return LocalPrekeys((LocalPrekey(KeyKind.SEALING, KeyClass.ROTATING, key_id, NOW_MS, secret),))


def sealing_key(seed: str = GIFT["sealing_seed"], key_id: int = GIFT["sealing_key_id"]) -> SignedKey:
    public = HpkePrivateKey(bytes.fromhex(seed)).public_bytes()
    return SignedKey(KeyKind.SEALING, KeyClass.ROTATING, key_id, NOW_MS, bytes(64), public)


def test_given_keys_open_on_the_device_that_they_are_for_and_on_no_other() -> None:
    keys = tuple(HistoryKey(bytes.fromhex(one["key"]), one["made_at_ms"]) for one in VECTORS["keys"])
    for sealed in (bytes.fromhex(GIFT["sealed"]), seal_given_keys(keys, sealing_key(), GIVING)):
        assert open_given_keys(sealed, GIFT["sealing_key_id"], receiving(), GIVING) == keys
        others = (
            (receiving("00" * 32), GIVING),  # of an own device that was not chosen
            (receiving(), replace(GIVING, giver=bytes(16))),
            (receiving(), replace(GIVING, receiver=bytes(16))),
            (receiving(), replace(GIVING, account=bytes(32))),
        )
        for prekeys, giving in others:
            with pytest.raises(errors.Undecryptable):
                open_given_keys(sealed, GIFT["sealing_key_id"], prekeys, giving)
        with pytest.raises(errors.Undecryptable, match="no private key"):
            open_given_keys(sealed, 8, receiving(), GIVING)
        with pytest.raises(errors.Undecryptable):
            open_given_keys(sealed, 8, receiving(key_id=8), GIVING)


@pytest.mark.proves("M-HIST-02", "M-HIST-04")
@pytest.mark.parametrize("case", GIFT["must_fail"], ids=lambda case: case["name"])
def test_gifts_that_must_fail(case: dict[str, Any]) -> None:
    names = [name for name in ("account", "giver", "receiver") if name in case]
    giving = replace(GIVING, **{name: bytes.fromhex(case[name]) for name in names})
    key_id = case.get("sealing_key_id", GIFT["sealing_key_id"])
    with pytest.raises(errors.CryptoError) as caught:
        open_given_keys(
            bytes.fromhex(case.get("sealed", GIFT["sealed"])), key_id, receiving(key_id=key_id), giving
        )
    assert type(caught.value).__name__ == case["error"]


@pytest.mark.proves("M-HIST-04")
@pytest.mark.parametrize("made_at_ms", [2**53, 2**53 + 1, 2**63, 2**64 - 1])
def test_keys_for_the_words_have_times_that_a_store_holds(made_at_ms: int) -> None:
    sealing = RecoveryKey(bytes(32)).sealing()
    key = HistoryKey(KEY.key, made_at_ms)
    sealed = seal_history_keys([key], sealing.public_bytes(), ACCOUNT)
    if made_at_ms <= 2**53:
        assert open_history_keys(sealed, sealing, ACCOUNT) == (key,)
        return
    with pytest.raises(errors.InvalidEncoding, match="time"):
        open_history_keys(sealed, sealing, ACCOUNT)


@pytest.mark.proves("M-HIST-02")
def test_given_keys_have_the_size_that_they_need() -> None:
    public, info = sealing_key().key, GIVING.info(GIFT["sealing_key_id"])
    for padded in (pad(KEY.key + bytes(8), 44), pad(KEY.key + bytes(8), 512), pad(bytes(39), 256)):
        with pytest.raises(errors.InvalidEncoding):
            open_given_keys(hpke_seal(public, info, padded), GIFT["sealing_key_id"], receiving(), GIVING)
    (opened,) = open_given_keys(
        hpke_seal(public, info, pad(KEY.key + bytes(8), 256)), GIFT["sealing_key_id"], receiving(), GIVING
    )
    assert opened == KEY
