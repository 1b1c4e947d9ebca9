"""A relay's database from before the transparency log, with accounts, manifests and handles in it."""

import sqlite3
from contextlib import closing
from pathlib import Path

from relay.adapters.sqlite.migrate import shipped_migrations
from relay.wire.manifests import Manifest
from tests.contract.people import NOW_MS, bytes_of, device_field, make_manifest

COUNT = 37
LOG = next(step for step in shipped_migrations() if step.name.endswith("_transparency.sql"))
OLD = shipped_migrations()[: LOG.number - 1]


def make_old(path: Path) -> list[Manifest]:
    """Accounts as the first version kept them, the second manifests of some between; every manifest in order."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "CREATE TABLE schema_version (version INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT"
        )
        for step in OLD:
            database.executescript(step.sql)
            database.execute("INSERT INTO schema_version VALUES (?, ?)", (step.number, step.name))
        made: list[Manifest] = []
        for number in range(COUNT):
            device = device_field(bytes_of(("device", number)))
            first, _ = make_manifest(number, [device])
            chain = [first]
            made.append(first)
            if number % 3 == 0:
                second, _ = make_manifest(number, [device], version=2, previous=first.hash)
                chain.append(second)
                made.append(second)
            database.execute(
                """INSERT INTO accounts (account_id, role, created_at_ms, manifest_version, manifest_hash)
                   VALUES (?, 'member', ?, ?, ?)""",
                (first.account_id, NOW_MS - number, len(chain), chain[-1].hash),  # a clock that went back
            )
            (listed,) = first.devices
            database.execute(
                """INSERT INTO devices (device_id, account_id, signing_key, identity_key, flags, added_at_ms)
                   VALUES (?, ?, ?, ?, ?, ?)""",
                (listed.device_id, first.account_id, listed.signing_key, listed.identity_key, 1, NOW_MS),
            )
            for manifest in chain:
                previous = manifest.previous_hash
                _, signed = make_manifest(number, [device], version=manifest.version, previous=previous)
                database.execute(
                    "INSERT INTO manifests (account_id, version, body, signer, signature) VALUES (?, ?, ?, ?, ?)",
                    (first.account_id, manifest.version, signed.body, signed.signer, signed.signature),
                )
            if number % 5 == 0:
                database.execute(
                    "INSERT INTO handles (handle, account_id) VALUES (?, ?)",
                    (f"handle{number}", first.account_id),
                )
    return made
