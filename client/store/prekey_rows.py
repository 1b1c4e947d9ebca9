"""The own prekeys as rows: their private halves by seed, and the next id of each kind."""

from dataclasses import replace
from typing import Final

from crypto.local_prekeys import LocalPrekey, LocalPrekeys
from crypto.prekeys import KeyClass, KeyKind

from .database import Transaction

_ALL: Final = "prekeys"


def _fact(kind: KeyKind) -> str:
    return f"next_prekey_id_{kind}"


def load_prekeys(tx: Transaction) -> LocalPrekeys:
    """All own prekeys."""
    cached = tx.cache.get(_ALL)
    if isinstance(cached, LocalPrekeys):
        return cached
    keys = [
        replace(
            LocalPrekey.load(KeyKind(kind), KeyClass(key_class), key_id, made_at_ms, seed),
            uploaded=bool(uploaded),
            retired_at_ms=retired_at_ms,
        )
        for kind, key_class, key_id, made_at_ms, seed, uploaded, retired_at_ms in tx.all(
            "SELECT kind, class, id, made_at_ms, seed, uploaded, retired_at_ms FROM prekeys"
            " ORDER BY made_at_ms, kind, id"
        )
    ]
    facts = dict(tx.all("SELECT name, value FROM facts WHERE name LIKE 'next_prekey_id_%'"))
    one, two, three, four = (int.from_bytes(facts.get(_fact(kind), b"\x01"), "big") for kind in KeyKind)
    prekeys = LocalPrekeys(tuple(keys), (one, two, three, four))
    tx.cache[_ALL] = prekeys
    return prekeys


def save_prekeys(tx: Transaction, before: LocalPrekeys, after: LocalPrekeys) -> None:
    """Write what changed from `before`, which `load_prekeys` gave in this transaction."""
    old = {(key.kind, key.key_id): key for key in before.keys}
    new = {(key.kind, key.key_id): key for key in after.keys}
    tx.many("DELETE FROM prekeys WHERE kind = ? AND id = ?", [name for name in old if name not in new])
    tx.many(
        "INSERT INTO prekeys (kind, id, class, made_at_ms, seed, uploaded, retired_at_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET"
        " uploaded = excluded.uploaded, retired_at_ms = excluded.retired_at_ms",
        [
            (
                key.kind,
                key.key_id,
                key.key_class,
                key.made_at_ms,
                key.secret.seed,
                key.uploaded,
                key.retired_at_ms,
            )
            for name, key in new.items()
            if old.get(name) is not key
        ],
    )
    if after.next_ids != before.next_ids:
        tx.many(
            "INSERT INTO facts (name, value) VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            [
                (_fact(kind), next_id.to_bytes(8, "big"))
                for kind, next_id in zip(KeyKind, after.next_ids, strict=True)
            ],
        )
    tx.cache[_ALL] = after
