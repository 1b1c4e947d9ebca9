"""A backup as entries of the account log `backup`: cut into parts, and put together again. Opens nothing.

An entry = u8 1 ‖ SHA-256 of the backup 32 ‖ part u16 ‖ parts u16 ‖ bytes. docs/protocol.md, "Backups".
"""

import hashlib
from collections.abc import Iterable
from struct import Struct
from typing import Final

from crypto.errors import InvalidEncoding
from crypto.recovery import SignedBackup

LOG_NAME: Final = "backup"
PART_BYTES: Final = 245_760  # 240 KiB: with its head it fits an entry of 256 KiB
_HEAD: Final = Struct(">B32sHH")
_VERSION: Final = 1
_MAX_PARTS: Final = 1_024


def parts_of(backup: bytes) -> list[bytes]:
    """The entries of an encoded backup, in order."""
    digest = hashlib.sha256(backup).digest()
    cut = [backup[at : at + PART_BYTES] for at in range(0, len(backup), PART_BYTES)]
    return [_HEAD.pack(_VERSION, digest, number, len(cut)) + part for number, part in enumerate(cut)]


def whole_backups(entries: Iterable[bytes]) -> list[SignedBackup]:
    """The backups whose parts are all there, in the order of their last parts. What is no part of one is left out."""
    found: list[SignedBackup] = []
    begun: dict[bytes, dict[int, bytes]] = {}
    for entry in entries:
        if len(entry) <= _HEAD.size:
            continue
        version, digest, number, count = _HEAD.unpack_from(entry)
        if version != _VERSION or not number < count <= _MAX_PARTS:
            continue
        parts = begun.setdefault(digest, {})
        parts[number] = entry[_HEAD.size :]
        if len(parts) < count:
            continue
        whole = b"".join(parts[at] for at in sorted(parts))
        del begun[digest]
        if hashlib.sha256(whole).digest() == digest:
            found += _parsed(whole)
    return found


def _parsed(whole: bytes) -> list[SignedBackup]:
    try:
        return [SignedBackup.parse(whole)]
    except InvalidEncoding:
        return []
