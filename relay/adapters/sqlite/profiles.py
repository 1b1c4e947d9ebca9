"""Profiles in SQLite."""

from relay.ports.profiles import Profile
from relay.wire.errors import Conflict, NotFound

from .reader import Reader
from .writer import Transaction, Writer


class SqliteProfiles:
    """ProfileStore on one file."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    async def put(self, account_id: bytes, profile: Profile) -> None:
        """Keep the newest."""

        async def operation(transaction: Transaction) -> None:
            known = await transaction.rows(
                """SELECT p.version, p.sealed FROM accounts AS a LEFT JOIN profiles AS p USING (account_id)
                   WHERE account_id = ?""",
                (account_id,),
            )
            if not known:
                raise NotFound("there is no such account")
            ((version, sealed),) = known
            if (version, sealed) == (profile.version, profile.sealed):
                return
            if version is not None and profile.version <= version:
                raise Conflict(f"the profile has version {version} already: fetch it, and put a higher one")
            await transaction.rows(
                "INSERT OR REPLACE INTO profiles VALUES (?, ?, ?)",
                (account_id, profile.version, profile.sealed),
            )

        await self._writer.run(operation)

    async def get(self, account_id: bytes) -> Profile | None:
        """The newest."""
        row = await self._reader.one(
            "SELECT version, sealed FROM profiles WHERE account_id = ?", (account_id,)
        )
        return None if row is None else Profile(*row)
