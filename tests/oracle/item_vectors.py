"""Shared items, and what backups, the archive and profiles hold, compared with the document's tables and the oracle."""

import re
from typing import Any

from tests.oracle import message_pack
from tests.oracle.document_tables import TABLES, check_fields, check_value, generated
from tests.oracle.refusals import failure_of, require
from tests.oracle.transcripts import sha256
from tests.oracle.vector_files import Part


def _bounded(text: str) -> str:
    """Of a table, with what has no upper bound as something that has one."""
    return re.sub(r"(bin|str) ≥ 0", r"\1 0–2⁵³", text.replace("array of ≥ 0 × ", "array of "))


VALUES = dict(
    re.findall(r"^\| `([a-z_/]+)`.*? \| (.*) \|$", _bounded(generated("shared_items")), re.MULTILINE)
)
"""Types of values by the beginning of their keys."""
RECORDS = {
    int(kind): shape
    for kind, shape in re.findall(r"^\| (\d) \| \w+_record \| (.*) \|$", generated("archive"), re.MULTILINE)
}
ARCHIVE = [
    (name, _bounded(kind), False)
    for name, kind in re.findall(r"^\| \d \| `(\w+)` \| (.*) \|$", generated("archive"), re.MULTILINE)
]
MANIFESTS = "array of signed manifests"


def check_item(item: Part) -> list[Any]:
    key, value = item["key"], item.data("value")
    (kind,) = [
        VALUES[start] for start in VALUES if key == start or (start[-1] == "/" and key.startswith(start))
    ]
    plain = message_pack.decode(value)
    assert message_pack.encode(plain) == value
    if not kind.startswith(MANIFESTS):
        check_value(plain, kind)
    return [key, value, item["changed_at_ms"], item.data("device_id")]


def read_backup(encoded: bytes) -> list[Any]:
    """The items."""
    fields = message_pack.decode(encoded)
    require(isinstance(fields, list) and len(fields) >= 2 and type(fields[0]) is int, "fields")
    require(fields[0] >= 1 and isinstance(fields[1], list), "version, items")
    for item in fields[1]:
        check_fields(item, TABLES["item"])
    return list(fields[1])


def read_archive(encoded: bytes) -> list[Any]:
    """The records of a known kind."""
    fields = message_pack.decode(encoded)
    check_fields(fields, ARCHIVE)
    known = [record for record in fields[5] if record and record[0] in RECORDS]
    for kind, *values in known:
        check_value(values, _bounded(RECORDS[kind]))
    return known


def check_items(file: Part) -> None:
    items = [check_item(item) for item in file["items"]]
    assert [item[0] for item in items] == sorted(item[0] for item in items)
    assert {*VALUES} == {start for start in VALUES for item in items if item[0].startswith(start)}
    encoded, digest = file["backup"].data("encoded", "digest")
    assert message_pack.encode([1, items]) == encoded
    assert read_backup(encoded) == items
    shared = [item for item in items if not item[0].startswith("chain/")]
    assert sha256(message_pack.encode(shared)) == digest
    first, anew = (part.data("encoded") for part in file["archive"])
    assert {record[0] for record in read_archive(first)} == {*RECORDS}
    assert read_archive(anew) == []
    for encoded in first, anew:
        assert message_pack.encode(message_pack.decode(encoded)) == encoded
    part = file["profile"]
    assert message_pack.encode([part["called"], part["says"]]) == part.data("encoded")
    for name, reader in ("backups", read_backup), ("archives", read_archive):
        for part in file["must_fail"][name]:
            assert failure_of(reader, part.data("encoded")) == part["error"], (name, part["name"])


CHECKS = {"items.json": check_items}
