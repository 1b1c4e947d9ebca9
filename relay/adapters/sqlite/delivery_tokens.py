"""Delivery tokens in SQLite."""

from relay.ports.delivery_tokens import DeliveryToken, TokenClass
from relay.wire import limits
from relay.wire.errors import NotFound, QuotaExceeded

from .reader import Reader
from .writer import Transaction, Writer


class SqliteDeliveryTokens:
    """DeliveryTokenStore on one file."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    async def add(self, account_id: bytes, token: DeliveryToken, *, now_ms: int) -> None:
        """Keep it."""

        async def operation(transaction: Transaction) -> None:
            await add_token(transaction, account_id, token, now_ms)

        await self._writer.run(operation, single=True)

    async def remove(self, account_id: bytes, token_hash: bytes) -> None:
        """It opens nothing from now on."""

        async def operation(transaction: Transaction) -> None:
            await transaction.rows(
                "DELETE FROM delivery_tokens WHERE account_id = ? AND token_hash = ?",
                (account_id, token_hash),
            )

        await self._writer.run(operation, frees=True, single=True)

    async def list(self, account_id: bytes) -> tuple[DeliveryToken, ...]:
        """All of the account."""
        rows = await self._reader.rows(
            """SELECT token_hash, token_class, expires_at_ms FROM delivery_tokens
               WHERE account_id = ? ORDER BY token_hash""",
            (account_id,),
        )
        return tuple(
            DeliveryToken(token_hash, TokenClass(kind), expires) for token_hash, kind, expires in rows
        )

    async def resolve(self, account_id: bytes, token_hash: bytes, *, now_ms: int) -> DeliveryToken | None:
        """The token if it is good; one look-up by the whole key, whether the account is there or not."""
        found = await self._reader.one(
            """SELECT token_class, expires_at_ms FROM delivery_tokens
               WHERE account_id = ? AND token_hash = ? AND (expires_at_ms IS NULL OR expires_at_ms > ?)""",
            (account_id, token_hash, now_ms),
        )
        return None if found is None else DeliveryToken(token_hash, TokenClass(found[0]), found[1])

    async def remove_expired(self, *, now_ms: int, limit: int) -> int:
        """Forget expired ones."""

        async def operation(transaction: Transaction) -> int:
            gone = await transaction.rows(
                """DELETE FROM delivery_tokens WHERE (account_id, token_hash) IN (
                       SELECT account_id, token_hash FROM delivery_tokens WHERE expires_at_ms <= ? LIMIT ?) RETURNING 1""",
                (now_ms, limit),
            )
            return len(gone)

        return await self._writer.run(operation, frees=True, single=True)


async def add_token(transaction: Transaction, account_id: bytes, token: DeliveryToken, now_ms: int) -> None:
    """Keep the token, in a transaction of the caller's; raises NotFound, QuotaExceeded before it writes."""
    ((known, others),) = await transaction.rows(
        """SELECT EXISTS (SELECT 1 FROM accounts WHERE account_id = ?1),
                  (SELECT count(*) FROM delivery_tokens WHERE account_id = ?1 AND token_hash != ?2
                   AND (expires_at_ms IS NULL OR expires_at_ms > ?3))""",
        (account_id, token.token_hash, now_ms),
    )
    if not known:
        raise NotFound("there is no such account")
    if others >= limits.MAX_DELIVERY_TOKENS:
        raise QuotaExceeded(f"an account has at most {limits.MAX_DELIVERY_TOKENS} delivery tokens")
    await transaction.rows(
        "INSERT OR REPLACE INTO delivery_tokens VALUES (?, ?, ?, ?)",
        (account_id, token.token_hash, int(token.token_class), token.expires_at_ms),
    )
