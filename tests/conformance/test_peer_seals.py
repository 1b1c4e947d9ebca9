"""What the kit's own peer seals and opens of files and of the archive, beside our own code; and the levels that nobody claims."""

import os

import pytest

from client.conformance.client_suite.cases import CLIENT_SUITE
from client.conformance.client_suite.peer_archive import open_entry, seal_entry
from client.conformance.client_suite.peer_blobs import open_blob, padded_size, seal_blob
from client.conformance.report import Failed
from crypto.errors import CryptoError
from crypto.history_archive import HistoryKey
from crypto.history_archive import open_entry as open_ours
from crypto.padding import padded_blob_length

KEY, ACCOUNT = bytes(range(32)), b"\x07" * 32
MESSAGE = {
    "account": ACCOUNT,
    "message_id": bytes(16),
    "conversation_id": bytes(32),
    "partner": bytes(32),
    "device": bytes(16),
    "content_hash": bytes(32),
    "content_type": 1,
    "body": b"\x91\xa1x",
    "sent_at_ms": 1,
    "received_at_ms": None,
    "order_ms": 1,
}


@pytest.mark.parametrize("size", [0, 1, 256, 257, 65_536, 65_537, 200_000])
def test_the_peer_opens_what_it_sealed_of_a_file_and_nothing_odd(size):
    data = os.urandom(size)
    assert padded_size(size) == padded_blob_length(size)
    blob = seal_blob(data, KEY)
    assert open_blob(blob, KEY, size) == data
    odd = [
        (blob, bytes(32), "commitment"),
        (seal_blob(data, KEY, commitment=bytes(32)), KEY, "commitment"),
        (seal_blob(data, KEY, more=65_536), KEY, "this one"),
        (blob[:-1] + bytes([blob[-1] ^ 1]), KEY, "does not open"),
        (b"\x02" + blob[1:], KEY, "suite"),
    ]
    if padded_size(size) > size:
        odd.append((seal_blob(data, KEY, filler=b"\x01"), KEY, "something else than zeros"))
    for one, key, why in odd:
        with pytest.raises(Failed, match=why):
            open_blob(one, key, size)


def test_the_peer_opens_an_entry_for_its_key_account_and_place_alone():
    entry = seal_entry([MESSAGE], KEY, ACCOUNT, 3, device=bytes(16))
    assert open_entry(entry, KEY, ACCOUNT, 3).messages == [MESSAGE]
    assert open_ours(entry, [HistoryKey(KEY, 0)], ACCOUNT, 3)
    for odd, key, index in (
        (entry, bytes(32), 3),
        (entry, KEY, 4),
        (entry[:-1] + bytes([entry[-1] ^ 1]), KEY, 3),
        (seal_entry([MESSAGE], KEY, ACCOUNT, 3, device=bytes(16), commitment=bytes(32)), KEY, 3),
    ):
        with pytest.raises(Failed):
            open_entry(odd, key, ACCOUNT, index)
        with pytest.raises(CryptoError):
            open_ours(odd, [HistoryKey(key, 0)], ACCOUNT, index)


def test_a_client_may_claim_history_and_push():
    levels = {case.level for case in CLIENT_SUITE.cases.values()}
    assert levels == {"core", "groups", "media", "push", "history"}
