"""All that is kept about one account, from PostgreSQL. Each page reads as many rows as it has, by an index."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from relay.ports.exports import Cursor, Row, Section
from relay.wire.log_leaves import LeafKind, handle_salt, handle_subject

from .database import Database
from .sealing import HANDLE_KEY, ONLY_ROW

_NO_SUBJECT: Final = b""


@dataclass(frozen=True, slots=True)
class _Query:
    """`columns` as `select` has them; the first `first` of them are what pages are ordered by, from above these values.

    Parameters: $1 account id, $2 limit, from $3 on where the page begins, then the handle's subject in the transparency log.
    """

    columns: tuple[str, ...]
    select: str
    first: Cursor = ()


_OF_DEVICES: Final = "device_id IN (SELECT device_id FROM devices WHERE account_id = $1)"
_QUERIES: Final[Mapping[Section, _Query]] = MappingProxyType(
    {
        Section.ACCOUNT: _Query(
            (
                *("account_id", "role", "suspended", "being_deleted", "created_at_ms", "manifest_version"),
                *("manifest_hash", "envelopes", "envelope_bytes", "blobs", "blob_bytes", "log_bytes"),
            ),
            f"""SELECT account_id, role, suspended,
                  EXISTS (SELECT 1 FROM account_deletions AS g WHERE g.account_id = $1),
                  created_at_ms, manifest_version, manifest_hash,
                  (SELECT count(*) FROM envelopes WHERE {_OF_DEVICES}),
                  (SELECT coalesce(sum(bytes), 0) FROM envelopes WHERE {_OF_DEVICES}),
                  (SELECT count(*) FROM blobs WHERE owner_id = $1),
                  (SELECT coalesce(sum(length), 0) FROM blobs WHERE owner_id = $1),
                  (SELECT coalesce(sum(bytes), 0) FROM account_logs AS l WHERE l.account_id = $1)
                FROM accounts WHERE account_id = $1 LIMIT $2""",  # noqa: S608
        ),
        Section.HANDLES: _Query(
            ("handle", "findable"),
            "SELECT handle, public_token IS NOT NULL FROM handles WHERE account_id = $1 LIMIT $2",
        ),
        Section.KEPT_HANDLES: _Query(
            ("subject", "until_ms"),
            """SELECT subject, until_ms FROM kept_handles WHERE owner_id = $1 AND (subject) > ($3)
               ORDER BY subject LIMIT $2""",
            (b"",),
        ),
        Section.DEVICES: _Query(
            ("device_id", "signing_key", "identity_key", "flags", "added_at_ms", "seen_day", "nonces"),
            """SELECT device_id, signing_key, identity_key, flags, added_at_ms, o.seen_day,
                  (SELECT count(*) FROM nonces AS n WHERE n.device_id = d.device_id)
               FROM devices AS d JOIN device_owners AS o USING (device_id)
               WHERE d.account_id = $1 AND device_id > $3 ORDER BY device_id LIMIT $2""",
            (b"",),
        ),
        Section.MANIFESTS: _Query(
            ("version", "body", "signer", "signature"),
            """SELECT version, body, signer, signature FROM manifests WHERE account_id = $1 AND version > $3
               ORDER BY version LIMIT $2""",
            (0,),
        ),
        Section.DELIVERY_TOKENS: _Query(
            ("token_hash", "token_class", "expires_at_ms"),
            """SELECT token_hash, token_class, expires_at_ms FROM delivery_tokens
               WHERE account_id = $1 AND token_hash > $3 ORDER BY token_hash LIMIT $2""",
            (b"",),
        ),
        Section.PREKEYS: _Query(
            ("device_id", "kind", "key_class", "keys", "highest_id"),
            """SELECT device_id, p.kind, key_class, count(*), max(h.highest) FROM devices AS d
               JOIN prekeys AS p USING (device_id) LEFT JOIN prekey_heights AS h USING (device_id, kind)
               WHERE account_id = $1 AND (device_id, p.kind, key_class) > ($3, $4, $5)
               GROUP BY device_id, p.kind, key_class ORDER BY device_id, p.kind, key_class LIMIT $2""",
            (b"", 0, 0),
        ),
        Section.MAILBOXES: _Query(
            (
                *("device_id", "given_up_to", "envelopes", "envelope_bytes", "quarantined"),
                *("oldest_received_at_ms", "missed_ranges"),
            ),
            """SELECT device_id, m.given_up_to, m.envelopes, m.bytes,
                  (SELECT count(*) FROM envelopes AS e WHERE e.device_id = d.device_id AND e.quarantined),
                  (SELECT min(e.received_at_ms) FROM envelopes AS e WHERE e.device_id = d.device_id),
                  (SELECT count(*) FROM missed AS s WHERE s.device_id = d.device_id)
               FROM devices AS d JOIN mailboxes AS m USING (device_id)
               WHERE account_id = $1 AND device_id > $3 ORDER BY device_id LIMIT $2""",
            (b"",),
        ),
        Section.RESERVED_HANDLES: _Query(
            ("handle",),
            """SELECT handle FROM reserved_handles WHERE account_id = $1 AND handle > $3
               ORDER BY handle LIMIT $2""",
            ("",),
        ),
        Section.INVITES: _Query(
            ("created_at_ms", "row", "role", "uses_left", "expires_at_ms", "stay_seconds", "hosts"),
            """SELECT created_at_ms, sha256(secret_hash), role, uses_left, expires_at_ms, stay_seconds,
                  (SELECT count(*) FROM invite_hosts AS h WHERE h.secret_hash = i.secret_hash)
               FROM invites AS i WHERE made_by = $1 AND (created_at_ms, sha256(secret_hash)) > ($3, $4)
               ORDER BY created_at_ms, sha256(secret_hash) LIMIT $2""",
            (-1, b""),
        ),
        Section.GUESTS: _Query(
            ("guest_until_ms", "hosts", "guests"),
            """SELECT (SELECT expires_at_ms FROM guests AS g WHERE g.account_id = a.account_id),
                  (SELECT count(*) FROM guest_hosts AS h WHERE h.account_id = a.account_id),
                  (SELECT count(*) FROM guest_hosts AS h WHERE h.host_id = a.account_id)
               FROM accounts AS a WHERE account_id = $1 LIMIT $2""",
        ),
        Section.PROFILES: _Query(
            ("version", "bytes"),
            "SELECT version, length(sealed) FROM profiles WHERE account_id = $1 LIMIT $2",
        ),
        Section.PUSHES: _Query(
            ("device_id", "kind", "wakeup_begun_at_ms", "wakeup_attempts", "wakeup_sent_at_ms"),
            """SELECT device_id, kind, begun_at_ms, attempts, sent_at_ms
               FROM devices AS d JOIN push_registrations USING (device_id) LEFT JOIN push_wakeups USING (device_id)
               WHERE account_id = $1 AND device_id > $3 ORDER BY device_id LIMIT $2""",
            (b"",),
        ),
        Section.BLOBS: _Query(
            ("length", "row", "sha256", "received", "complete", "created_at_ms", "expires_at_ms"),
            """SELECT length, sha256(blob_id), sha256, durable, complete, created_at_ms, expires_at_ms FROM blobs
               WHERE owner_id = $1 AND (length, sha256(blob_id)) > ($3, $4)
               ORDER BY length, sha256(blob_id) LIMIT $2""",
            (-1, b""),
        ),
        Section.LOGS: _Query(
            ("name", "first_index", "next_index", "bytes"),
            """SELECT name, first_index, next_index, bytes FROM account_logs WHERE account_id = $1 AND name > $3
               ORDER BY name LIMIT $2""",
            ("",),
        ),
        Section.LOG_ENTRIES: _Query(
            ("name", "index", "at_ms", "bytes"),
            """SELECT name, entry_index, at_ms, length(entry) FROM account_log_entries
               WHERE account_id = $1 AND (name, entry_index) > ($3, $4) ORDER BY name, entry_index LIMIT $2""",
            ("", -1),
        ),
        Section.TRANSPARENCY_LEAVES: _Query(
            ("kind", "version", "leaf_index", "value_hash"),
            f"""SELECT kind, version, leaf_index, value_hash FROM transparency_leaves
               WHERE ((kind = {LeafKind.MANIFEST} AND subject = $1) OR (kind = {LeafKind.HANDLE} AND subject = $5))
                 AND (kind, version) > ($3, $4) ORDER BY kind, version LIMIT $2""",  # noqa: S608
            (0, 0),
        ),
        Section.HOLDS: _Query(
            ("reason", "made_at_ms", "until_ms", "envelopes", "envelope_bytes"),
            """SELECT reason, made_at_ms, until_ms,
                  (SELECT count(*) FROM held_envelopes AS e WHERE e.account_id = $1),
                  (SELECT coalesce(sum(bytes), 0) FROM held_envelopes AS e WHERE e.account_id = $1)
               FROM holds WHERE account_id = $1 LIMIT $2""",
        ),
        Section.AUDIT_ROWS: _Query(
            ("row", "at_ms", "action", "as", "outcome", "detail"),
            """SELECT row_index, at_ms, action, CASE WHEN actor_id = $1 THEN 'actor' ELSE 'subject' END, outcome, detail
               FROM audit_rows WHERE (actor_id = $1 OR subject_id = $1) AND row_index > $3
               ORDER BY row_index LIMIT $2""",
            (-1,),
        ),
    }
)

TABLES: Final[Mapping[str, Section]] = MappingProxyType(
    {
        "accounts": Section.ACCOUNT,
        "account_deletions": Section.ACCOUNT,
        "handles": Section.HANDLES,
        "kept_handles": Section.KEPT_HANDLES,
        "reserved_handles": Section.RESERVED_HANDLES,
        "invites": Section.INVITES,
        "invite_hosts": Section.INVITES,
        "guests": Section.GUESTS,
        "guest_hosts": Section.GUESTS,
        "devices": Section.DEVICES,
        "device_owners": Section.DEVICES,
        "device_keys": Section.DEVICES,
        "nonces": Section.DEVICES,
        "manifests": Section.MANIFESTS,
        "delivery_tokens": Section.DELIVERY_TOKENS,
        "prekeys": Section.PREKEYS,
        "prekey_heights": Section.PREKEYS,
        "mailboxes": Section.MAILBOXES,
        "envelopes": Section.MAILBOXES,
        "missed": Section.MAILBOXES,
        "profiles": Section.PROFILES,
        "push_registrations": Section.PUSHES,
        "push_wakeups": Section.PUSHES,
        "blobs": Section.BLOBS,
        "account_logs": Section.LOGS,
        "account_log_entries": Section.LOG_ENTRIES,
        "transparency_leaves": Section.TRANSPARENCY_LEAVES,
        "holds": Section.HOLDS,
        "held_envelopes": Section.HOLDS,
        "audit_rows": Section.AUDIT_ROWS,
    }
)
"""Which section tells of each table that has something about an account."""
NOT_OF_ACCOUNTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "shared_ciphertexts": "the ciphertexts of envelopes, which mailboxes counts",
        "shared_waiting": "how many envelopes wait for each of those",
        "records": "by which an envelope that is sent twice is stored once; kept for days",
        "settled_marks": "until when those are needed",
        "group_logs": "of groups: the relay does not know whose they are",
        "group_log_entries": "likewise",
        "transparency_log": "of the log as a whole",
        "transparency_nodes": "hashes of the tree over all leaves",
        "audit_log": "of the log as a whole",
        "usage": "numbers by day, of everybody together",
        "column_keys": "ids of the keys of sealed columns",
        "schema_version": "of the database",
    }
)
"""Why a table has no section."""


_WITH_ROW_KEYS: Final = (Section.BLOBS, Section.INVITES)
"""Pages of these go on by a hash that says nothing to anybody."""


class PostgresExports:
    """ExportStore on one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, section: Section, account_id: bytes, *, after: Cursor | None, limit: int
    ) -> tuple[tuple[Row, ...], Cursor | None]:
        """One page."""
        query = _QUERIES[section]
        begins = query.first if after is None else after
        subject = () if section is not Section.TRANSPARENCY_LEAVES else (await self._subject(account_id),)
        found = await self._database.rows(query.select, account_id, limit, *begins, *subject)
        rows = tuple(
            {
                name: int(value) if isinstance(value, Decimal) else value
                for name, value in zip(query.columns, row, strict=True)
                if not (section in _WITH_ROW_KEYS and name == "row")
            }
            for row in found
        )
        keys = len(query.first)
        return rows, tuple(found[-1])[:keys] if keys and len(found) == limit else None

    async def _subject(self, account_id: bytes) -> bytes:
        row = await self._database.one(
            "SELECT handle, handle_key FROM accounts, transparency_log WHERE account_id = $1", account_id
        )
        if row is None or row[0] is None:
            return _NO_SUBJECT
        key = self._database.keys.open(HANDLE_KEY, ONLY_ROW, row[1])
        return handle_subject(handle_salt(key, row[0]), row[0])
