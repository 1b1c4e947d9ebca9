"""Delivery tokens in PostgreSQL."""

from typing import Final

from relay.ports.delivery_tokens import DeliveryToken, TokenClass
from relay.wire import limits
from relay.wire.errors import NotFound, QuotaExceeded

from .database import Database, Transaction, hot

_RESOLVE: Final = hot(
    "account_id",
    """SELECT token_class, expires_at_ms FROM delivery_tokens
       WHERE account_id = $1 AND token_hash = $2 AND (expires_at_ms IS NULL OR expires_at_ms > $3)""",
)


class PostgresDeliveryTokens:
    """DeliveryTokenStore on one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, account_id: bytes, token: DeliveryToken, *, now_ms: int) -> None:
        """Keep it."""
        await self._database.run(lambda transaction: add_token(transaction, account_id, token, now_ms))

    async def remove(self, account_id: bytes, token_hash: bytes) -> None:
        """It opens nothing from now on."""

        async def operation(transaction: Transaction) -> None:
            await remove_token(transaction, account_id, token_hash)

        await self._database.run(operation)

    async def list(self, account_id: bytes) -> tuple[DeliveryToken, ...]:
        """All of the account."""
        rows = await self._database.rows(
            """SELECT token_hash, token_class, expires_at_ms FROM delivery_tokens
               WHERE account_id = $1 ORDER BY token_hash""",
            account_id,
        )
        return tuple(
            DeliveryToken(token_hash, TokenClass(kind), expires) for token_hash, kind, expires in rows
        )

    async def resolve(self, account_id: bytes, token_hash: bytes, *, now_ms: int) -> DeliveryToken | None:
        """The token if it is good; one look-up by the whole key, whether the account is there or not."""
        found = await self._database.one(_RESOLVE, account_id, token_hash, now_ms)
        return None if found is None else DeliveryToken(token_hash, TokenClass(found[0]), found[1])

    async def remove_expired(self, *, now_ms: int, limit: int) -> int:
        """Forget expired ones."""

        async def operation(transaction: Transaction) -> int:
            gone = await transaction.rows(
                """DELETE FROM delivery_tokens WHERE (account_id, token_hash) IN (
                       SELECT account_id, token_hash FROM delivery_tokens WHERE expires_at_ms <= $1 LIMIT $2) RETURNING 1""",
                now_ms,
                limit,
            )
            return len(gone)

        return await self._database.run(operation)


async def add_token(transaction: Transaction, account_id: bytes, token: DeliveryToken, now_ms: int) -> None:
    """Keep the token, in a transaction of the caller's; raises NotFound, QuotaExceeded before it writes."""
    if not await transaction.rows("SELECT 1 FROM accounts WHERE account_id = $1 FOR UPDATE", account_id):
        raise NotFound("there is no such account")
    ((others,),) = await transaction.rows(
        """SELECT count(*) FROM delivery_tokens WHERE account_id = $1 AND token_hash <> $2
               AND (expires_at_ms IS NULL OR expires_at_ms > $3)""",
        account_id,
        token.token_hash,
        now_ms,
    )
    if others >= limits.MAX_DELIVERY_TOKENS:
        raise QuotaExceeded(f"an account has at most {limits.MAX_DELIVERY_TOKENS} delivery tokens")
    await transaction.execute(
        """INSERT INTO delivery_tokens VALUES ($1, $2, $3, $4) ON CONFLICT (account_id, token_hash)
           DO UPDATE SET token_class = excluded.token_class, expires_at_ms = excluded.expires_at_ms""",
        account_id,
        token.token_hash,
        int(token.token_class),
        token.expires_at_ms,
    )


async def remove_token(transaction: Transaction, account_id: bytes, token_hash: bytes) -> None:
    """It opens nothing any more, once the caller's transaction is committed."""
    await transaction.execute(
        "DELETE FROM delivery_tokens WHERE account_id = $1 AND token_hash = $2", account_id, token_hash
    )
