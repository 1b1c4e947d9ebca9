"""What is on its way out: messages not encrypted yet (drafts), files going up, and finished envelopes."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from client.errors import StoreDamaged
from relay.wire.limits import ACCOUNT_ID_BYTES, DEVICE_ID_BYTES
from relay.wire.links import encode_id

from .database import Transaction


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that waits to be encrypted. `content`: it was before, and goes out again so, not to `except_devices`."""

    n: int
    message_n: int
    recipient: str
    account_id: bytes | None
    content: bytes | None = field(default=None, repr=False)
    except_devices: tuple[bytes, ...] = ()
    only_devices: tuple[bytes, ...] | None = None
    """No others of the account; None: all."""
    is_group: bool = False
    """For the group whose id is `account_id`."""

    def is_for(self, device_id: bytes) -> bool:
        """Whether this device of the account gets it."""
        wanted = self.only_devices is None or device_id in self.only_devices
        return wanted and device_id not in self.except_devices


@dataclass(frozen=True, slots=True)
class Upload:
    """An encrypted copy of a file: where it lies, its length and SHA-256, and its place at the relay once it has one."""

    message_n: int
    spool: str
    length: int
    sha256: bytes
    location: str | None


class Envelope(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The finished bytes for one device."""

    device_id: Annotated[bytes, Meta(min_length=DEVICE_ID_BYTES, max_length=DEVICE_ID_BYTES)]
    ciphertext: bytes


class Addressed(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Devices of one account that get the group's envelope; none: the account is not reached yet."""

    account_id: Annotated[bytes, Meta(min_length=ACCOUNT_ID_BYTES, max_length=ACCOUNT_ID_BYTES)]
    devices: tuple[bytes, ...]


class GroupEnvelope(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The finished bytes for all, and who gets them."""

    ciphertext: bytes
    targets: tuple[Addressed, ...]

    def __repr__(self) -> str:
        return f"GroupEnvelope({len(self.targets)} accounts)"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Finished envelopes of one message, under one id; `except_devices` were given it before.

    Those of a group are one, for many accounts: then `account_id` is the group's id.
    """

    n: int
    envelope_id: bytes
    message_n: int
    account_id: bytes
    content: bytes = field(repr=False)
    envelopes: tuple[Envelope, ...] = field(repr=False)
    made_at_ms: int
    except_devices: tuple[bytes, ...] = ()
    only_devices: tuple[bytes, ...] | None = None
    group: GroupEnvelope | None = field(default=None, repr=False)

    @property
    def place(self) -> bytes:
        """What a full mailbox holds back: all for its account; of a group, this envelope alone."""
        return self.account_id if self.group is None else self.envelope_id


_envelopes: Final = msgspec.msgpack.Decoder(tuple[Envelope, ...])
_group: Final = msgspec.msgpack.Decoder(GroupEnvelope)


def add_draft(
    tx: Transaction,
    message_n: int,
    recipient: str,
    account_id: bytes | None,
    *,
    content: bytes | None = None,
    except_devices: Iterable[bytes] = (),
    only_devices: Iterable[bytes] | None = None,
    is_group: bool = False,
) -> None:
    """Put a message at the end of what waits to be encrypted."""
    tx.run(
        "INSERT INTO drafts (message_n, recipient, account_id, content, except_devices, only_devices, is_group)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        message_n,
        recipient,
        account_id,
        content,
        b"".join(except_devices),
        _joined(only_devices),
        is_group,
    )


def next_drafts(tx: Transaction, limit: int, without: Collection[str] = ()) -> list[Draft]:
    """The drafts of the oldest messages, in order, for other recipients than those in `without`.

    By message, not by draft: what is encrypted anew goes before what was written later.
    """
    return [
        Draft(n, message_n, recipient, account_id, content, _split(devices), _only(only), bool(group))
        for n, message_n, recipient, account_id, content, devices, only, group in tx.all(
            "SELECT n, message_n, recipient, account_id, content, except_devices, only_devices, is_group FROM drafts"
            " WHERE recipient NOT IN (SELECT value FROM json_each(?)) ORDER BY message_n, n LIMIT ?",
            msgspec.json.encode(list(without)).decode(),
            limit,
        )
    ]


def _split(devices: bytes) -> tuple[bytes, ...]:
    return tuple(devices[at : at + DEVICE_ID_BYTES] for at in range(0, len(devices), DEVICE_ID_BYTES))


def _only(devices: bytes | None) -> tuple[bytes, ...] | None:
    return None if devices is None else _split(devices)


def _joined(devices: Iterable[bytes] | None) -> bytes | None:
    return None if devices is None else b"".join(devices)


def draft_is_there(tx: Transaction, n: int) -> bool:
    """Whether it still waits (another process may have encrypted it meanwhile)."""
    return tx.one("SELECT 1 FROM drafts WHERE n = ?", n) is not None


def name_recipient(tx: Transaction, recipient: str, account_id: bytes, conversation_id: bytes) -> None:
    """This name leads to this account: for all that waits for it."""
    tx.run(
        "UPDATE messages SET conversation_id = ? WHERE conversation_id IS NULL AND n IN"
        " (SELECT message_n FROM drafts WHERE recipient = ?)",
        conversation_id,
        recipient,
    )
    tx.run(
        "UPDATE drafts SET account_id = ?, recipient = ? WHERE recipient = ?",
        account_id,
        encode_id(account_id),
        recipient,
    )


def note_stuck(tx: Transaction, numbers: Iterable[int]) -> None:
    """These drafts were tried, and wait for something: what only waits for others goes on without them."""
    tx.many("UPDATE drafts SET is_stuck = 1 WHERE n = ?", [(n,) for n in numbers])


def remove_drafts(tx: Transaction, numbers: Iterable[int]) -> None:
    """They are encrypted, or will never be."""
    tx.many("DELETE FROM drafts WHERE n = ?", [(n,) for n in numbers])


def remove_message(tx: Transaction, message_n: int) -> None:
    """It does not go out: nothing of it waits any more. What is with the relay already stays there."""
    for table in ("drafts", "outbox", "uploads"):
        tx.run(f"DELETE FROM {table} WHERE message_n = ?", message_n)  # noqa: S608  # names of this line


def add_upload(tx: Transaction, upload: Upload) -> None:
    """A file that has to be at the relay before its message goes out."""
    tx.run(
        "INSERT INTO uploads (message_n, spool, length, sha256) VALUES (?, ?, ?, ?)",
        upload.message_n,
        upload.spool,
        upload.length,
        upload.sha256,
    )


def find_upload(tx: Transaction, message_n: int) -> Upload | None:
    """The upload that this message waits for."""
    row = tx.one(
        "SELECT message_n, spool, length, sha256, location FROM uploads WHERE message_n = ?", message_n
    )
    return None if row is None else Upload(*row)


def place_upload(tx: Transaction, message_n: int, location: str | None) -> None:
    """The relay takes it there; None: begin anew."""
    tx.run("UPDATE uploads SET location = ? WHERE message_n = ?", location, message_n)


def remove_upload(tx: Transaction, message_n: int) -> None:
    """The relay has it."""
    tx.run("DELETE FROM uploads WHERE message_n = ?", message_n)


def spools(tx: Transaction) -> set[str]:
    """The encrypted copies that are still needed."""
    return {row[0] for row in tx.all("SELECT spool FROM uploads")}


def add_outgoing(
    tx: Transaction,
    *,
    envelope_id: bytes,
    message_n: int,
    account_id: bytes,
    content: bytes,
    envelopes: tuple[Envelope, ...],
    now_ms: int,
    except_devices: Iterable[bytes] = (),
    only_devices: Iterable[bytes] | None = None,
) -> int:
    """Finished envelopes; its row number, which is the order in which they go out."""
    return tx.insert(
        "INSERT INTO outbox (envelope_id, message_n, account_id, content, targets, made_at_ms, except_devices,"
        " only_devices) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        envelope_id,
        message_n,
        account_id,
        content,
        msgspec.msgpack.encode(envelopes),
        now_ms,
        b"".join(except_devices),
        _joined(only_devices),
    )


def add_group_outgoing(
    tx: Transaction,
    *,
    envelope_id: bytes,
    message_n: int,
    group_id: bytes,
    content: bytes,
    envelope: GroupEnvelope,
    now_ms: int,
    is_stuck: bool,
) -> None:
    """A finished envelope for members of a group. `is_stuck`: they are not reached yet, and nobody waits for that."""
    tx.run(
        "INSERT INTO outbox (envelope_id, message_n, account_id, content, targets, made_at_ms, except_devices,"
        " is_group, is_stuck) VALUES (?, ?, ?, ?, ?, ?, x'', 1, ?)",
        envelope_id,
        message_n,
        group_id,
        content,
        msgspec.msgpack.encode(envelope),
        now_ms,
        is_stuck,
    )


def keep_stuck(tx: Transaction, n: int, envelope: GroupEnvelope | None = None) -> None:
    """Finished, but it waits for a mailbox with room: nobody waits for it. `envelope`: of a group, who still lacks it."""
    if envelope is None:
        tx.run("UPDATE outbox SET is_stuck = 1 WHERE n = ?", n)
    else:
        tx.run("UPDATE outbox SET is_stuck = 1, targets = ? WHERE n = ?", msgspec.msgpack.encode(envelope), n)


_OUTGOING: Final = (
    "SELECT n, envelope_id, message_n, account_id, content, targets, made_at_ms, except_devices, only_devices,"
    " is_group FROM outbox"
)


def outgoing_after(tx: Transaction, after: int, limit: int) -> list[Outgoing]:
    """Finished envelopes above a row number, in order. Raises StoreDamaged."""
    return _outgoing(tx.all(f"{_OUTGOING} WHERE n > ? ORDER BY n LIMIT ?", after, limit))


def outgoing_from(tx: Transaction, account_id: bytes, first: int) -> list[Outgoing]:
    """Finished envelopes for one account, from a row number on, in order. Raises StoreDamaged."""
    return _outgoing(tx.all(f"{_OUTGOING} WHERE account_id = ? AND n >= ? ORDER BY n", account_id, first))


def _outgoing(rows: Iterable[Sequence[Any]]) -> list[Outgoing]:
    try:
        return [
            Outgoing(
                n,
                envelope_id,
                message_n,
                account_id,
                content,
                () if is_group else _envelopes.decode(targets),
                at_ms,
                _split(devices),
                _only(only),
                _group.decode(targets) if is_group else None,
            )
            for n, envelope_id, message_n, account_id, content, targets, at_ms, devices, only, is_group in rows
        ]
    except msgspec.DecodeError as error:
        raise StoreDamaged("an envelope in the outbox is damaged") from error


def remove_outgoing(tx: Transaction, numbers: Iterable[int]) -> None:
    """The relay has answered for them."""
    tx.many("DELETE FROM outbox WHERE n = ?", [(n,) for n in numbers])


def withdraw(tx: Transaction, account_id: bytes) -> list[int]:
    """Take out the shown messages that wait for this account; their numbers."""
    shown = "account_id = ? AND message_n IN (SELECT n FROM messages WHERE hidden = 0)"
    rows = tx.all(f"SELECT message_n FROM drafts WHERE {shown}", account_id)  # noqa: S608
    rows += tx.all(f"SELECT message_n FROM outbox WHERE {shown}", account_id)  # noqa: S608
    for table in ("drafts", "outbox"):
        tx.run(f"DELETE FROM {table} WHERE {shown}", account_id)  # noqa: S608
    for (number,) in rows:
        remove_upload(tx, number)
    return sorted({number for (number,) in rows})


_WAITING: Final = (
    "SELECT message_n FROM drafts UNION SELECT message_n FROM outbox WHERE NOT (is_group AND is_stuck)"
)
"""A message to a group counts as sent without those members whose mailbox is full or who are not reached yet."""


def waiting_numbers(tx: Transaction) -> list[int]:
    """The messages that wait for the relay, encrypted or not."""
    return [row[0] for row in tx.all(_WAITING)]


def waiting_for(tx: Transaction, account_id: bytes) -> list[int]:
    """The messages that wait for the relay on their way to this account."""
    rows = tx.all(
        "SELECT message_n FROM drafts WHERE account_id = ?1 UNION SELECT message_n FROM outbox WHERE account_id = ?1",
        account_id,
    )
    return [row[0] for row in rows]


def waiting(tx: Transaction) -> int:
    """How many messages wait for the relay, encrypted or not."""
    return int(tx.one(f"SELECT count(*) FROM ({_WAITING})")[0])  # noqa: S608


def is_waiting(tx: Transaction, message_n: int) -> bool:
    """Whether a part of this message waits for the relay."""
    row = tx.one(
        "SELECT 1 FROM drafts WHERE message_n = ? UNION ALL"
        " SELECT 1 FROM outbox WHERE message_n = ? AND NOT (is_group AND is_stuck)",
        message_n,
        message_n,
    )
    return row is not None


def is_on_its_way(tx: Transaction, message_n: int) -> bool:
    """As `is_waiting`, without what was tried and waits for a recipient: a full mailbox, keys that are no good."""
    row = tx.one(
        "SELECT 1 FROM drafts WHERE message_n = ? AND is_stuck = 0 UNION ALL"
        " SELECT 1 FROM outbox WHERE message_n = ? AND is_stuck = 0",
        message_n,
        message_n,
    )
    return row is not None


def draft_waits(tx: Transaction, message_n: int, account_id: bytes) -> bool:
    """Whether this message is not encrypted yet for this account."""
    row = tx.one("SELECT 1 FROM drafts WHERE message_n = ? AND account_id = ?", message_n, account_id)
    return row is not None
