"""Single values, and the own delivery tokens."""

from crypto.primitives import RandomBytes
from relay.wire.limits import DELIVERY_TOKEN_BYTES

from .database import Transaction

COMMITTED_SEQUENCE = "committed_sequence"
CAUGHT_UP_AT_MS = "caught_up_at_ms"
STOCK_DAY_BEGAN_AT_MS = "stock_day_began_at_ms"
STOCK_MADE = "stock_made"  # one-time prekeys since then
LAST_RESORT_TOLD_AT_MS = "last_resort_told_at_ms"
OWN_LIST_IS_STALE = "own_list_is_stale"  # 1: the relay named a newer own manifest than is known
OWN_LOG_CHECKED_AT_MS = "own_log_checked_at_ms"  # when the log was last proved to have the own manifest
SIGNED_SUBMIT = "signed_submit"  # 1: the relay takes no anonymous submits
PUBLIC_WORK_BITS = "public_work_bits"
DEVICES_LOOKED_AT_MS = "devices_looked_at_ms"  # when the silent ones were last looked for
HANDED_OVER = "handed_over"  # 1: another own device has told this one all that it knows
REVOKED = "revoked"  # 1: this device is in the own list no more
DEVICE_LISTS_SEEN = "device_lists_seen"  # how often a newer list of any account was kept
REPEATS = "repeats"  # envelopes that came again after they were opened
FILES_ARE_LEFT = "files_are_left"  # 1: of a message whose content is gone, a fetched file lies here still
RELAY_CAME_BACK = "relay_came_back"  # 1: from a backup, and was not given yet what it has lost
LOGS_OWED_UNTIL_MS = (
    "logs_owed_until_ms"  # so long are logs of groups given back to a relay that lost entries
)
REFUSED_ACTS = "refused_acts"  # acts on messages by the wrong hand, or on something else than they said
OWN_TOKENS_DUE = "own_tokens_due"  # 1: this device took another one out, which knows the own tokens still
HISTORY_GIFTS_DUE_MS = (
    "history_gifts_due_ms"  # then keys are given again, for a device got none; 0: all got them
)
HISTORY_KEY_AWAITED = "history_key_awaited"  # the id of a key that others have, as a number; 0: none
HISTORY_REWRITE_DUE = "history_rewrite_due"  # 1: a device that had the history's key is out


def number(tx: Transaction, name: str) -> int:
    """A number; 0 if it was never set."""
    row = tx.one("SELECT value FROM facts WHERE name = ?", name)
    return 0 if row is None else int.from_bytes(row[0], "big")


def set_number(tx: Transaction, name: str, value: int) -> None:
    """Keep a number."""
    tx.run(
        "INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        name,
        value.to_bytes(8, "big"),
    )


def add_one(tx: Transaction, name: str) -> None:
    """Count."""
    set_number(tx, name, number(tx, name) + 1)


def own_token(tx: Transaction, token_class: str, random: RandomBytes) -> tuple[bytes, bool]:
    """(The own 16 B delivery token of a class, made now if need be; whether the relay has it)."""
    row = tx.one("SELECT token, registered FROM tokens WHERE class = ?", token_class)
    if row is not None:
        return row[0], bool(row[1])
    token = random(DELIVERY_TOKEN_BYTES)
    tx.run("INSERT INTO tokens (class, token, registered) VALUES (?, ?, 0)", token_class, token)
    return token, False


def known_token(tx: Transaction, token_class: str) -> bytes | None:
    """The own 16 B delivery token of a class, if there is one."""
    row = tx.one("SELECT token FROM tokens WHERE class = ?", token_class)
    return None if row is None else row[0]


def token_registered(tx: Transaction, token_class: str) -> None:
    """The relay has it."""
    tx.run("UPDATE tokens SET registered = 1 WHERE class = ?", token_class)


def token_row(tx: Transaction, token_class: str) -> tuple[bytes, bool]:
    """(The own token of a class, whether the relay has it); (b"", False) if there is none."""
    row = tx.one("SELECT token, registered FROM tokens WHERE class = ?", token_class)
    return (b"", False) if row is None else (row[0], bool(row[1]))


def put_token(tx: Transaction, token_class: str, token: bytes) -> None:
    """The own token of a class, which another own device made and the relay has."""
    tx.run(
        "INSERT INTO tokens (class, token, registered) VALUES (?, ?, 1) ON CONFLICT (class) DO UPDATE SET"
        " token = excluded.token, registered = 1",
        token_class,
        token,
    )
