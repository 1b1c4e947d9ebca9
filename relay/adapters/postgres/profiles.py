"""Profiles in PostgreSQL."""

from relay.ports.profiles import Profile
from relay.wire.errors import Conflict, NotFound

from .database import Database, Transaction


class PostgresProfiles:
    """ProfileStore on one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, account_id: bytes, profile: Profile) -> None:
        """Keep the newest."""

        async def operation(transaction: Transaction) -> None:
            if not await transaction.rows(
                "SELECT 1 FROM accounts WHERE account_id = $1 FOR UPDATE", account_id
            ):
                raise NotFound("there is no such account")
            known = await transaction.one(
                "SELECT version, sealed FROM profiles WHERE account_id = $1", account_id
            )
            if known is not None:
                version, sealed = known
                if (version, sealed) == (profile.version, profile.sealed):
                    return
                if profile.version <= version:
                    raise Conflict(
                        f"the profile has version {version} already: fetch it, and put a higher one"
                    )
            await transaction.execute(
                """INSERT INTO profiles VALUES ($1, $2, $3) ON CONFLICT (account_id)
                   DO UPDATE SET version = excluded.version, sealed = excluded.sealed""",
                account_id,
                profile.version,
                profile.sealed,
            )

        await self._database.run(operation)

    async def get(self, account_id: bytes) -> Profile | None:
        """The newest."""
        row = await self._database.one(
            "SELECT version, sealed FROM profiles WHERE account_id = $1", account_id
        )
        return None if row is None else Profile(*row)
