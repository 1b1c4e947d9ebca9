"""items.json, as the client reads it: each value encodes identically, or fails as named."""

import json
from typing import Any

import msgspec
import pytest

from client.archive.choice import ArchiveSetting
from client.archive.keys import SealedKeys
from client.archive.records import decode_archive, encode_record
from client.devices.device_names import DeviceName
from client.devices.shared_kinds import Handle, SharedContact, TokenBytes
from client.groups.shared_group import SharedGroup
from client.profiles import ProfileContent
from client.recovery.backup_content import decode_backup, digest_of, encode_backup
from client.store.shared import Item
from crypto.errors import CryptoError
from crypto.manifest import SignedManifest
from tests.vectors.generate_items import FILE

VECTORS = json.loads(FILE.read_text(encoding="utf-8"))
VALUES: dict[str, Any] = {
    "contact": SharedContact,
    "token": TokenBytes,
    "device": DeviceName,
    "own": Handle | None,
    "pinned": bytes,
    "group": SharedGroup,
    "chain": list[bytes],
    "setting/device_silence_days": int,
    "setting/history_archive": ArchiveSetting,
    "history": SealedKeys,
}
ITEMS = [
    Item(told["key"], bytes.fromhex(told["value"]), told["changed_at_ms"], bytes.fromhex(told["device_id"]))
    for told in VECTORS["items"]
]
READERS = {"backups": decode_backup, "archives": decode_archive}
BAD = [(name, case) for name, cases in VECTORS["must_fail"].items() for case in cases]


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.key[:20])
def test_each_value_encodes_identically(item: Item) -> None:
    kind = VALUES[item.key] if item.key in VALUES else VALUES[item.key.split("/")[0]]
    value = msgspec.msgpack.decode(item.value, type=kind)
    assert msgspec.msgpack.encode(value) == item.value
    if item.key.startswith("chain/"):
        assert [SignedManifest.parse(one).encode() for one in value] == value


def test_the_backup_holds_the_items_and_encodes_identically() -> None:
    encoded = bytes.fromhex(VECTORS["backup"]["encoded"])
    assert decode_backup(encoded) == ITEMS
    assert encode_backup(ITEMS) == encoded
    assert digest_of(ITEMS).hex() == VECTORS["backup"]["digest"]


def test_each_archived_content_encodes_identically() -> None:
    for told in VECTORS["archive"]:
        encoded = bytes.fromhex(told["encoded"])
        content, known = decode_archive(encoded)
        assert msgspec.msgpack.encode(content) == encoded
        assert [encode_record(record) for record in known] == [bytes(one) for one in content.records][:5]


def test_the_profile_encodes_identically() -> None:
    encoded = bytes.fromhex(VECTORS["profile"]["encoded"])
    profile = msgspec.msgpack.decode(encoded, type=ProfileContent)
    assert (profile.name, profile.about) == (VECTORS["profile"]["called"], VECTORS["profile"]["says"])
    assert msgspec.msgpack.encode(profile) == encoded


@pytest.mark.parametrize(("name", "case"), BAD, ids=[f"{name}: {case['name']}" for name, case in BAD])
def test_what_is_shaped_otherwise_is_refused(name: str, case: dict[str, Any]) -> None:
    with pytest.raises(CryptoError) as caught:
        READERS[name](bytes.fromhex(case["encoded"]))
    assert type(caught.value).__name__ == case["error"]
