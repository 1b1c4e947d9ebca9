"""What the user should be told besides messages, kept until an application took it; and envelopes that did not open."""

from collections.abc import Iterable
from typing import Final

import msgspec

from client.errors import StoreDamaged
from client.message import Gap, Gone, HistoryRestored, Missed, Unopened, Warned
from client.message_acts import Acted
from client.message_groups import GroupChanged, GroupInvited, JoinAsked

from .database import Transaction

MAX_UNOPENED: Final = 1_000  # kept with their bytes; the oldest go first

Notice = (
    Acted
    | Missed
    | Gap
    | Gone
    | Unopened
    | Warned
    | HistoryRestored
    | GroupChanged
    | GroupInvited
    | JoinAsked
)
_KINDS: Final[dict[str, type[Notice]]] = {
    "acted": Acted,
    "missed": Missed,
    "gap": Gap,
    "gone": Gone,
    "unopened": Unopened,
    "warned": Warned,
    "history_restored": HistoryRestored,
    "group_changed": GroupChanged,
    "group_invited": GroupInvited,
    "group_join_asked": JoinAsked,
}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}


def tell(tx: Transaction, notice: Notice) -> None:
    """Keep it for the user."""
    tx.run(
        "INSERT INTO notices (kind, body) VALUES (?, ?)",
        _NAMES[type(notice)],
        msgspec.msgpack.encode(notice),
    )


def tell_once(tx: Transaction, notice: Notice) -> None:
    """Keep it, unless the very same waits to be told already: others can cause it as often as they like."""
    kind, body = _NAMES[type(notice)], msgspec.msgpack.encode(notice)
    if tx.one("SELECT 1 FROM notices WHERE kind = ? AND body = ?", kind, body) is None:
        tell(tx, notice)


def untold(tx: Transaction, after: int, limit: int) -> list[tuple[int, Notice]]:
    """What no application took yet, oldest first. Raises StoreDamaged."""
    try:
        return [
            (n, msgspec.msgpack.decode(body, type=_KINDS[kind]))
            for n, kind, body in tx.all(
                "SELECT n, kind, body FROM notices WHERE n > ? ORDER BY n LIMIT ?", after, limit
            )
        ]
    except (msgspec.DecodeError, KeyError) as error:
        raise StoreDamaged("a notice in the store is damaged") from error


def mark_told(tx: Transaction, numbers: Iterable[int]) -> None:
    """An application took these."""
    tx.many("DELETE FROM notices WHERE n = ?", [(n,) for n in numbers])


def keep_unopened(tx: Transaction, *, envelope_id: bytes, envelope: bytes, reason: str, now_ms: int) -> None:
    """An envelope that no key opened: kept, and told."""
    tx.run(
        "INSERT INTO unopened (envelope_id, received_at_ms, reason, envelope) VALUES (?, ?, ?, ?)",
        envelope_id,
        now_ms,
        reason,
        envelope,
    )
    tx.run("DELETE FROM unopened WHERE n <= (SELECT max(n) FROM unopened) - ?", MAX_UNOPENED)
    tell(tx, Unopened(reason))


def unopened_count(tx: Transaction) -> int:
    """How many are kept."""
    return int(tx.one("SELECT count(*) FROM unopened")[0])


def unopened_by_reason(tx: Transaction) -> dict[str, int]:
    """How many are kept, by the word for what was wrong."""
    return dict(tx.all("SELECT reason, count(*) FROM unopened GROUP BY reason ORDER BY reason"))
