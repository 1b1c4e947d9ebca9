"""Entries of the history archive open under one key, for one account, at one place; the vectors say so byte by byte."""

import json
from pathlib import Path
from typing import Any

import pytest

from crypto import errors, labels, limits
from crypto.history_archive import (
    HistoryKey,
    entry_key_id,
    open_entry,
    open_history_keys,
    seal_entry,
    seal_history_keys,
)
from crypto.padding import pad
from crypto.primitives import hpke_seal
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
