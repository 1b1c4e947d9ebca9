"""Writes items.json: shared items, and what is in a backup, an entry of the history archive and a profile once it is open.

python -m tests.vectors.generate_items
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from client.archive.choice import ArchiveSetting
from client.archive.keys import SealedKeys
from client.archive.records import (
    DeletionRecord,
    EditRecord,
    MessageRecord,
    ReactionRecord,
    decode_archive,
    encode_archive,
    encode_record,
)
from client.devices.device_names import DeviceName
from client.devices.shared_kinds import SharedContact
from client.groups.shared_group import Committer, SharedGroup
from client.profiles import ProfileContent
from client.recovery.backup_content import decode_backup, digest_of, encode_backup
from client.store.shared import Item
from crypto.errors import CryptoError
from tests.crypto_people import NOW_MS, Person, SeededRandom

FILE = Path(__file__).with_name("items.json")
pack = msgspec.msgpack.encode


def items() -> list[Item]:
    """One of each kind, ordered by key; two of contacts and groups, of which much or little is known."""
    random, friend = SeededRandom("item vectors"), Person("item vectors", stock=0)
    account, device, group, token = random(32), random(16), random(32), random(16)
    known = SharedContact("anna", None, token, "contact", accepted=True)
    unknown = SharedContact(None, "bo", None, None, accepted=False, blocked=True)
    values: dict[str, Any] = {
        f"contact/{friend.account.hex()}": known,
        f"contact/{account.hex()}": unknown,
        "token/contact": random(16),
        "token/link": random(16),
        f"device/{device.hex()}": DeviceName("laptop"),
        "own/handle": "alice",
        "pinned/relay": random(32),
        f"group/{group.hex()}": SharedGroup(2, False, "Climbers", token, (Committer(account, None),)),
        f"group/{random(32).hex()}": SharedGroup(5, True),
        f"chain/{friend.account.hex()}": [friend.manifest.newest.encode()],
        "setting/device_silence_days": 45,
        "setting/history_archive": ArchiveSetting(True, [device]),
        "history/keys": SealedKeys([random(8)], random(64)),
    }
    return [Item(key, pack(values[key]), NOW_MS + place, device) for place, key in enumerate(sorted(values))]


def archive() -> list[dict[str, str]]:
    """The content of an entry with a record of each kind, and of one that begins the log anew."""
    random = SeededRandom("archive vectors")
    account, other, conversation, device = random(32), random(32), random(32), random(16)
    message = MessageRecord(
        *(account, random(16), conversation, other, device, random(32)),
        *(1, pack(["hello"]), NOW_MS, NOW_MS + 1, NOW_MS + 1),
    )
    in_group = MessageRecord(
        account, random(16), conversation, None, None, None, 1, b"", NOW_MS, None, NOW_MS
    )
    records = [
        encode_record(message),
        encode_record(EditRecord(account, message.message_id, random(16), NOW_MS + 2, "hello, all")),
        encode_record(ReactionRecord(account, message.message_id, other, random(16), NOW_MS + 3, "👍")),
        encode_record(in_group),
        encode_record(DeletionRecord(account, in_group.message_id, account, NOW_MS + 4)),
        pack([99, "of a later version"]),
    ]
    first = encode_archive(records, previous_hash=b"", begins_at=0, device=device, now_ms=NOW_MS)
    anew = encode_archive([], previous_hash=random(32), begins_at=7, device=device, now_ms=NOW_MS)
    return [
        {"name": "a record of each kind, and one that is not known", "encoded": first.hex()},
        {"name": "the log was written anew", "encoded": anew.hex()},
    ]


def must_fail(good: list[Item]) -> dict[str, list[dict[str, str]]]:
    """What opened and is shaped otherwise."""
    item = msgspec.to_builtins(good[0], builtin_types=(bytes,))
    entry = [1, b"", 0, bytes(16), NOW_MS, []]
    backups = {
        "no array": pack("items"),
        "version 0": pack([0, []]),
        "no items": pack([1]),
        "an item without a key": pack([1, [["", *item[1:]]]]),
        "a key of 129 characters": pack([1, [["x" * 129, *item[1:]]]]),
        "a value that is text": pack([1, [[item[0], "value", *item[2:]]]]),
        "a negative time": pack([1, [[*item[:2], -1, item[3]]]]),
        "a device id of 15 bytes": pack([1, [[*item[:3], bytes(15)]]]),
        "cut short": encode_backup(good)[:-1],
        "a byte behind the end": encode_backup(good) + b"\0",
    }
    archives = {
        "no array": pack("records"),
        "version 0": pack([0, *entry[1:]]),
        "a previous hash of 33 bytes": pack([1, bytes(33), *entry[2:]]),
        "a negative beginning": pack([*entry[:2], -1, *entry[3:]]),
        "a device id of 15 bytes": pack([*entry[:3], bytes(15), *entry[4:]]),
        "a time that is text": pack([*entry[:4], "now", []]),
        "records that are none": pack([*entry[:5], 1]),
        "a field too few": pack(entry[:4]),
    }
    return {
        "backups": [_case(name, encoded, decode_backup) for name, encoded in backups.items()],
        "archives": [_case(name, encoded, decode_archive) for name, encoded in archives.items()],
    }


def _case(name: str, encoded: bytes, decode: Callable[[bytes], object]) -> dict[str, str]:
    try:
        decode(encoded)
    except CryptoError as error:
        return {"name": name, "encoded": encoded.hex(), "error": type(error).__name__}
    raise AssertionError(f"{name}: it was taken")


def document() -> dict[str, Any]:
    """The whole file."""
    made, profile = items(), ProfileContent("Anna", "climbs, on rocks")
    return {
        "about": "docs/protocol.md, Own devices to Profiles; bytes in hexadecimal; made by tests/vectors/generate_items.py",
        "items": [
            {
                "key": item.key,
                "value": item.value.hex(),
                "changed_at_ms": item.changed_at_ms,
                "device_id": item.device_id.hex(),
            }
            for item in made
        ],
        "backup": {"encoded": encode_backup(made).hex(), "digest": digest_of(made).hex()},
        "archive": archive(),
        "profile": {"called": profile.name, "says": profile.about, "encoded": pack(profile).hex()},
        "must_fail": must_fail(made),
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(document(), indent=1) + "\n", encoding="utf-8")
