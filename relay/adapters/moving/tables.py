"""What is moved: each table as PostgreSQL has it, how the same rows are read from SQLite, and how they are written there.

A row is the values of `columns`, in this order, whichever side it comes from; both sides give rows in the order of `key`.
Numbers that SQLite has in place of ids are its own: they do not travel.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

_PAGE: Final = 2_000
_HEAVY_PAGE: Final = 200
"""Rows of which one may have a quarter of a MiB."""
_BOOLEANS: Final = frozenset(("suspended", "urgent", "has_missed", "quarantined", "complete"))
_TEXTS: Final = frozenset(("name", "handle", "counted"))


@dataclass(frozen=True, slots=True)
class Table:
    """One table of PostgreSQL. `values`: where SQLite's expression for a column is not its name.

    `write`: statements that put a row into SQLite, in turn; `copy_key`: the order in which SQLite wants them, if another.
    `constants`: columns of PostgreSQL that SQLite does not have, and nothing reads.
    """

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    source: str
    write: tuple[str, ...]
    values: Mapping[str, str] = field(default_factory=dict)
    order: str = ""
    """In SQLite, where it has a shorter way to that order."""
    copy_key: tuple[str, ...] = ()
    constants: Mapping[str, object] = field(default_factory=dict)
    page: int = _PAGE

    def from_sqlite(self, after: bool) -> str:
        """Statement for the rows in the order of the key; `after`: above the values ?1, ?2 ... of the key."""
        told = ", ".join(self._value(column) for column in self.columns)
        keys = [self._value(column) for column in self.key]
        condition = ""
        if after:
            marks = ", ".join(f"?{number}" for number in range(1, len(keys) + 1))
            # The first part alone lets SQLite begin there: it finds no place by a key of two joined tables.
            condition = f" WHERE {keys[0]} >= ?1 AND ({', '.join(keys)}) > ({marks})"
        return f"SELECT {told} FROM {self.source}{condition} ORDER BY {self.order or ', '.join(keys)}"  # noqa: S608  (names of this file)

    def from_postgres(self, key: tuple[str, ...], after: bool) -> str:
        """The same of PostgreSQL, by this key."""
        keys = ", ".join(f'{column} COLLATE "C"' if column in _TEXTS else column for column in key)
        condition = ""
        if after:
            marks = ", ".join(f"${number}" for number in range(1, len(key) + 1))
            condition = f" WHERE ({keys}) > ({marks})"
        return f"SELECT {', '.join(self.columns)} FROM {self.name}{condition} ORDER BY {keys}"  # noqa: S608  (names of this file)

    def plain(self, row: tuple[object, ...]) -> tuple[object, ...]:
        """A row of SQLite with truth values where PostgreSQL has them."""
        if _BOOLEANS.isdisjoint(self.columns):
            return row
        return tuple(
            bool(value) if column in _BOOLEANS else value
            for column, value in zip(self.columns, row, strict=True)
        )

    def key_of(self, row: tuple[object, ...], key: tuple[str, ...] = ()) -> tuple[object, ...]:
        """Its values of the key."""
        return tuple(row[self.columns.index(column)] for column in key or self.key)

    def _value(self, column: str) -> str:
        return self.values.get(column, column)


def _insert(table: str, columns: tuple[str, ...]) -> str:
    marks = ", ".join(f":{column}" for column in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608  (names of this file)


def _alike(
    name: str, columns: str, key: str, *, left_out: str = "", page: int = _PAGE, **values: str
) -> Table:
    """A table that SQLite has too. `left_out`: columns that it does not, read by the expression in `values`."""
    every = tuple(columns.split())
    kept = tuple(column for column in every if column not in left_out.split())
    return Table(name, every, tuple(key.split()), name, (_insert(name, kept),), values, page=page)


def _of_device(
    name: str, columns: str, key: str, *, left_out: str = "", page: int = _PAGE, **values: str
) -> Table:
    """A table that is kept by the device's number in SQLite. `columns` without the device's id."""
    every = tuple(columns.split())
    kept = [column for column in every if column not in left_out.split()]
    write = (
        f"INSERT INTO {name} (device_number, {', '.join(kept)}) "  # noqa: S608  (names of this file)
        f"SELECT device_number, {', '.join(f':{column}' for column in kept)} FROM devices WHERE device_id = :device_id"
    )
    read = {"device_id": "d.device_id"} | {column: f"t.{column}" for column in every} | values
    return Table(
        name,
        ("device_id", *every),
        ("device_id", *key.split()),
        f"devices AS d CROSS JOIN {name} AS t ON t.device_number = d.device_number",
        (write,),
        read,
        page=page,
    )


def _entries(name: str, logs: str, log: str, columns: str) -> Table:
    """The entries of logs, kept by the log's number in SQLite. `log`: the columns that are a log's key."""
    keys, every = tuple(log.split()), tuple(columns.split())
    write = (
        f"INSERT INTO {name} (log_number, {', '.join(every)}) SELECT log_number, "  # noqa: S608  (names of this file)
        f"{', '.join(f':{column}' for column in every)} FROM {logs} "
        f"WHERE {' AND '.join(f'{column} = :{column}' for column in keys)}"
    )
    read = {column: f"l.{column}" for column in keys} | {column: f"t.{column}" for column in every}
    source = f"{logs} AS l CROSS JOIN {name} AS t ON t.log_number = l.log_number"
    return Table(name, (*keys, *every), (*keys, "entry_index"), source, (write,), read, page=_HEAVY_PAGE)


def _shared_id(table: str) -> str:
    return f"(SELECT shared_id FROM moving_shared AS s WHERE s.shared_number = {table}.shared_number)"  # noqa: S608  (names of this file)


_GIVEN: Final = """max(t.given_up_to,
    coalesce((SELECT max(sequence) FROM envelopes WHERE device_number = t.device_number), 0),
    coalesce((SELECT max(to_sequence) FROM missed WHERE device_number = t.device_number), 0))"""
"""SQLite writes it only where the rows do not show it; as sqlite/mailbox_counters.py reads it."""
_MAILBOXES: Final = _of_device(
    "mailboxes",
    "given_up_to envelopes bytes has_missed attempt_sequence attempts",
    "",
    left_out="envelopes bytes has_missed",
    given_up_to=_GIVEN,
    envelopes="(SELECT count(*) FROM envelopes WHERE device_number = t.device_number)",
    bytes="(SELECT coalesce(sum(bytes), 0) FROM envelopes WHERE device_number = t.device_number)",
    has_missed="EXISTS (SELECT 1 FROM missed WHERE device_number = t.device_number)",
)
_ENVELOPE: Final = "sequence expires_at_ms received_at_ms bytes quarantined envelope_id digest"
_ENVELOPES: Final = Table(
    "envelopes",
    ("device_id", *_ENVELOPE.split(), "shared_id", "ciphertext"),
    ("device_id", "sequence"),
    "devices AS d CROSS JOIN envelopes AS t ON t.device_number = d.device_number",
    (
        f"""INSERT INTO envelopes (device_number, {", ".join(_ENVELOPE.split())}, shared_number, ciphertext)
        SELECT device_number, {", ".join(f":{column}" for column in _ENVELOPE.split())},
               (SELECT shared_number FROM moving_shared WHERE shared_id = :shared_id), :ciphertext
        FROM devices WHERE device_id = :device_id""",  # noqa: S608  (names of this file)
    ),
    {"device_id": "d.device_id", "shared_id": _shared_id("t"), "ciphertext": "t.ciphertext"}
    | {column: f"t.{column}" for column in _ENVELOPE.split()},
    copy_key=(
        "received_at_ms",
        "device_id",
        "sequence",
    ),  # SQLite numbers them in the order in which they came
    page=_HEAVY_PAGE,
)
_SHARED: Final = Table(
    "shared_ciphertexts",
    ("shared_id", "ciphertext"),
    ("shared_id",),
    "shared_ciphertexts",
    (
        "INSERT INTO moving_shared (shared_id) VALUES (:shared_id)",
        """INSERT INTO shared_ciphertexts (shared_number, ciphertext)
           SELECT shared_number, :ciphertext FROM moving_shared WHERE shared_id = :shared_id""",
    ),
    {"shared_id": _shared_id("shared_ciphertexts")},
    order="shared_number",  # ids are in the order of numbers
    page=_HEAVY_PAGE,
)
_WAITING: Final = Table(
    "shared_waiting",
    ("shared_id", "waiting"),
    ("shared_id",),
    "shared_waiting",
    (
        """INSERT INTO shared_waiting (shared_number, waiting)
           SELECT shared_number, :waiting FROM moving_shared WHERE shared_id = :shared_id""",
    ),
    {"shared_id": _shared_id("shared_waiting")},
    order="shared_number",
)
_HELD: Final = "account_id held_number device_id received_at_ms expired_at_ms bytes ciphertext"

TABLES: Final = (
    _alike(
        "accounts",
        "account_id role suspended created_at_ms manifest_version manifest_hash handle",
        "account_id",
        left_out="handle",
        handle="(SELECT handle FROM handles WHERE account_id = accounts.account_id)",
    ),
    _alike("manifests", "account_id version body signer signature", "account_id version", page=_HEAVY_PAGE),
    _alike(
        "devices",
        "account_id device_id signing_key identity_key flags added_at_ms",
        "account_id device_id",
    ),
    _alike("delivery_tokens", "account_id token_hash token_class expires_at_ms", "account_id token_hash"),
    _alike("account_deletions", "account_id", "account_id"),
    _alike("holds", "account_id reason made_at_ms until_ms", "account_id"),
    Table(
        "held_envelopes",
        tuple(_HELD.split()),
        ("account_id", "held_number"),
        "held_envelopes",
        (_insert("held_envelopes", tuple(_HELD.split())),),
        constants={"sequence": 0},  # of the mailbox that it was in: told to nobody
        page=_HEAVY_PAGE,
    ),
    _alike("profiles", "account_id version sealed", "account_id", page=_HEAVY_PAGE),
    _alike("guests", "account_id expires_at_ms", "account_id"),
    _alike("guest_hosts", "account_id host_id", "account_id host_id"),
    _alike("account_logs", "account_id name first_index next_index bytes", "account_id name"),
    _entries("account_log_entries", "account_logs", "account_id name", "entry_index at_ms entry"),
    Table(
        "device_owners",
        ("device_id", "account_id", "seen_day"),
        ("device_id",),
        "devices",
        ("UPDATE devices SET seen_day = :seen_day WHERE device_id = :device_id",),
    ),
    Table(
        "device_keys",
        ("device_key", "device_id"),
        ("device_key",),
        """(SELECT CAST(x'73' || signing_key AS BLOB) AS device_key, device_id FROM devices
            UNION ALL SELECT CAST(x'69' || identity_key AS BLOB), device_id FROM devices)""",
        (),  # they stand in devices
    ),
    _alike("nonces", "device_id nonce expires_at_ms", "device_id nonce"),
    _of_device("prekeys", "kind key_class key_id encoded", "kind key_class key_id"),
    _of_device("prekey_heights", "kind highest", "kind"),
    _alike("push_registrations", "device_id registration_id kind sealed", "device_id"),
    _alike("push_wakeups", "device_id begun_at_ms due_at_ms attempts urgent sent_at_ms", "device_id"),
    _SHARED,
    _WAITING,
    _ENVELOPES,
    _of_device("missed", "from_sequence to_sequence reason", "from_sequence"),
    _MAILBOXES,
    _of_device("records", "envelope_id digest sequence", "envelope_id"),
    _of_device("settled_marks", "day settled_up_to", "day"),
    _alike("handles", "handle account_id public_token", "handle"),
    _alike("kept_handles", "subject owner_id until_ms", "subject"),
    _alike("reserved_handles", "handle account_id", "handle"),
    _alike(
        "invites",
        "secret_hash role uses_left expires_at_ms created_at_ms made_by stay_seconds",
        "secret_hash",
    ),
    _alike("invite_hosts", "secret_hash host_id", "secret_hash host_id"),
    Table(
        "blobs",
        ("blob_id", "owner_id", "length", "sha256", "durable", "complete", "created_at_ms", "expires_at_ms"),
        ("blob_id",),
        "blobs",
        (
            """INSERT INTO blobs (blob_id, owner_id, length, sha256, offset, complete, created_at_ms, expires_at_ms)
               VALUES (:blob_id, :owner_id, :length, :sha256, :durable, :complete, :created_at_ms, :expires_at_ms)""",
        ),
        {"durable": "blobs.offset"},
    ),
    _alike(
        "group_logs",
        "log_id write_key read_token_hash first_index next_index bytes used_day",
        "log_id",
    ),
    _entries("group_log_entries", "group_logs", "log_id", "entry_index at_ms signed_by digest entry"),
    _alike(
        "transparency_log",
        "only_row log_id handle_key size head_time_ms",
        "only_row",
        left_out="size",
        size="(SELECT count(*) FROM transparency_leaves)",
    ),
    _alike("transparency_leaves", "leaf_index kind subject version value_hash", "leaf_index"),
    _alike("transparency_nodes", "node_number hash", "node_number"),
    _alike("audit_log", "only_row size peaks signature kept_from", "only_row"),
    _alike(
        "audit_rows",
        "row_index at_ms action actor_kind actor_id actor_salt actor_hash "
        "subject_kind subject_id subject_salt subject_hash outcome detail leaf_hash signature",
        "row_index",
    ),
    _alike("column_keys", "key_id proof", "key_id"),
    _alike("usage", "day counted count", "day counted"),
)
"""In an order in which what is pointed at comes first."""

NOT_OF_POSTGRES: Final[Mapping[str, str]] = {"schema_version": "each side has its own schema"}
"""Tables that do not travel, and why."""
NOT_OF_SQLITE: Final[Mapping[str, str]] = {
    "schema_version": "each side has its own schema",
    "recent_records": "merged into records before",
    "deletion_traces": "of the pages of that file",
    "envelopes.envelope_number": "a number of SQLite's own, given anew",
}
"""Likewise tables and columns."""
