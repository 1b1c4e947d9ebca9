"""Handles bound, released and kept back for a while, inside a transaction that has locked the account's row."""

from hashlib import sha256

from relay.ports.delivery_tokens import DeliveryToken, TokenClass
from relay.wire.errors import HandleTaken

from .database import Transaction
from .delivery_tokens import add_token, remove_token
from .reserved_handles import check_reserved
from .sealing import PUBLIC_TOKEN, seal
from .transparency import append_handle, subject_of


async def bind_handle(
    transaction: Transaction,
    account_id: bytes,
    handle: str,
    public_token: bytes | None,
    now_ms: int,
    kept_until_ms: int = 0,
) -> None:
    """The account has this handle, and the one it had before no more. Raises HandleTaken, QuotaExceeded."""
    owner = await transaction.one("SELECT account_id FROM handles WHERE handle = $1", handle)
    if owner is not None and owner[0] != account_id:
        raise HandleTaken
    if owner is None:
        await check_reserved(transaction, handle, account_id)
    await _take_back(transaction, handle, account_id, now_ms)
    released = await unbind_handle(transaction, account_id)
    sealed = None if public_token is None else await seal(transaction, PUBLIC_TOKEN, account_id, public_token)
    if not await transaction.rows(
        "INSERT INTO handles VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING 1",
        handle,
        account_id,
        sealed,
    ):
        raise HandleTaken  # by another node, a moment ago
    await transaction.execute("UPDATE accounts SET handle = $1 WHERE account_id = $2", handle, account_id)
    if public_token is not None:
        token = DeliveryToken(sha256(public_token).digest(), TokenClass.PUBLIC)
        await add_token(transaction, account_id, token, now_ms)
    if released != handle:
        if released is not None:
            await append_handle(transaction, released, None)
            await keep_handle(transaction, released, account_id, kept_until_ms)
        await append_handle(transaction, handle, account_id)


async def unbind_handle(transaction: Transaction, account_id: bytes) -> str | None:
    """The account has no handle and no public token; the handle it had."""
    had = await transaction.one("SELECT handle FROM accounts WHERE account_id = $1", account_id)
    if had is None or had[0] is None:
        return None
    handle = str(had[0])
    await transaction.execute("UPDATE accounts SET handle = NULL WHERE account_id = $1", account_id)
    released = await transaction.one("DELETE FROM handles WHERE handle = $1 RETURNING public_token", handle)
    if released is not None and released[0] is not None:
        public_token = transaction.keys.open(PUBLIC_TOKEN, account_id, released[0])
        await remove_token(transaction, account_id, sha256(public_token).digest())
    return handle


async def keep_handle(transaction: Transaction, handle: str, owner_id: bytes | None, until_ms: int) -> None:
    """Nobody but the owner gets the handle until then."""
    if until_ms:
        await transaction.execute(
            """INSERT INTO kept_handles VALUES ($1, $2, $3) ON CONFLICT (subject)
               DO UPDATE SET owner_id = excluded.owner_id, until_ms = excluded.until_ms""",
            await subject_of(transaction, handle),
            owner_id,
            until_ms,
        )


async def _take_back(transaction: Transaction, handle: str, account_id: bytes, now_ms: int) -> None:
    """The handle is kept for nobody any more; raises HandleTaken if it is kept from this account."""
    subject = await subject_of(transaction, handle)
    kept = await transaction.one(
        "SELECT owner_id, until_ms FROM kept_handles WHERE subject = $1 FOR UPDATE", subject
    )
    if kept is None:
        return
    if kept["owner_id"] != account_id and kept["until_ms"] > now_ms:
        raise HandleTaken
    await transaction.execute("DELETE FROM kept_handles WHERE subject = $1", subject)
