"""Prekeys in PostgreSQL: a claim deletes the one-time keys in the transaction that gives them, on whichever node (A2)."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from relay.ports.prekeys import Claim, ClaimedPrekeys, PrekeyStock
from relay.wire import limits
from relay.wire.errors import NotFound, PrekeyConflict, QuotaExceeded
from relay.wire.prekeys import PrekeyClass, PrekeyKind, SignedPrekey

from .database import Database, Row, Transaction, hot

_ONE_TIME_KINDS: Final = (PrekeyKind.ONE_TIME, PrekeyKind.KEM)
_HELD: Final = """SELECT kind, key_class, encoded FROM prekeys
    WHERE device_id = $1 ORDER BY kind, key_class, key_id"""
_HEIGHTS: Final = "SELECT kind, highest FROM prekey_heights WHERE device_id = $1"
_STANDING: Final = hot(
    "device_id",
    """SELECT device_id, kind, key_class, encoded FROM prekeys
       WHERE device_id = ANY($1::bytea[]) AND key_class <> $2""",
)
# Who comes second passes by the keys that the first one takes, and waits for nobody. MATERIALIZED: it is looked for once; a join
# with a subquery may look again for each row, finds the next one each time, and deletes them all.
_TAKE: Final = hot(
    "device_id",
    """WITH taken AS MATERIALIZED (
           SELECT kind, key_class, key_id FROM prekeys
           WHERE device_id = $1 AND kind = $2 AND key_class = $3 ORDER BY key_id LIMIT 1 FOR UPDATE SKIP LOCKED)
       DELETE FROM prekeys AS p USING taken
       WHERE p.device_id = $1 AND p.kind = taken.kind AND p.key_class = taken.key_class AND p.key_id = taken.key_id
       RETURNING p.encoded""",
)
_LEFT: Final = hot(
    "device_id",
    "SELECT kind, count(*) FROM prekeys WHERE device_id = $1 AND key_class = $2 GROUP BY kind",
)


def _stock(held: Sequence[Row], heights: Sequence[Row]) -> PrekeyStock:
    one_time = dict.fromkeys(_ONE_TIME_KINDS, 0)
    digest = sha256()
    for kind, key_class, encoded in held:
        digest.update(encoded)
        if key_class == PrekeyClass.ONE_TIME:
            one_time[PrekeyKind(kind)] += 1
    highest = dict.fromkeys(PrekeyKind, 0) | {PrekeyKind(kind): height for kind, height in heights}
    return PrekeyStock(one_time, highest, digest.digest())


class PostgresPrekeys:
    """PrekeyStore on one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, device_id: bytes, keys: Sequence[SignedPrekey]) -> PrekeyStock:
        """Take all keys or none."""

        async def operation(transaction: Transaction) -> PrekeyStock:
            if not await transaction.rows(
                "SELECT 1 FROM device_owners WHERE device_id = $1 FOR UPDATE", device_id
            ):
                raise NotFound("there is no such device")
            before = await _read_stock(transaction, device_id)
            highest, one_time = dict(before.highest), dict(before.one_time)
            for key in keys:
                if key.key_id <= highest[key.kind]:
                    raise PrekeyConflict
                highest[key.kind] = key.key_id
                if key.key_class is PrekeyClass.ONE_TIME:
                    one_time[key.kind] += 1
                    if one_time[key.kind] > limits.ONE_TIME_PREKEYS:
                        raise QuotaExceeded(
                            f"a device has at most {limits.ONE_TIME_PREKEYS} one-time keys of a kind"
                        )
            kept = {
                (key.kind, key.key_class): key for key in keys if key.key_class is not PrekeyClass.ONE_TIME
            }
            for kind, key_class in kept:
                await transaction.execute(
                    "DELETE FROM prekeys WHERE device_id = $1 AND kind = $2 AND key_class = $3",
                    device_id,
                    int(kind),
                    int(key_class),
                )
            new = [key for key in keys if key.key_class is PrekeyClass.ONE_TIME] + list(kept.values())
            await transaction.execute(
                """INSERT INTO prekeys SELECT $1, * FROM unnest($2::smallint[], $3::smallint[], $4::bigint[], $5::bytea[])""",
                device_id,
                [int(key.kind) for key in new],
                [int(key.key_class) for key in new],
                [key.key_id for key in new],
                [key.encoded for key in new],
            )
            kinds = sorted({key.kind for key in keys})
            await transaction.execute(
                """INSERT INTO prekey_heights SELECT $1, * FROM unnest($2::smallint[], $3::bigint[])
                   ON CONFLICT (device_id, kind) DO UPDATE SET highest = excluded.highest""",
                device_id,
                [int(kind) for kind in kinds],
                [highest[kind] for kind in kinds],
            )
            return await _read_stock(transaction, device_id)

        return await self._database.run(operation)

    async def stock(self, device_id: bytes) -> PrekeyStock:
        """What is held."""
        async with self._database.snapshot() as snapshot:
            if not await snapshot.rows("SELECT 1 FROM device_owners WHERE device_id = $1", device_id):
                raise NotFound("there is no such device")
            return await _read_stock(snapshot, device_id)

    async def claim(self, claims: Sequence[Claim]) -> tuple[ClaimedPrekeys | None, ...]:
        """Keys for each wish, in one transaction."""

        async def operation(transaction: Transaction) -> tuple[ClaimedPrekeys | None, ...]:
            standing: dict[bytes, dict[tuple[int, int], bytes]] = {}
            for device_id, kind, key_class, encoded in await transaction.rows(
                _STANDING, sorted({claim.device_id for claim in claims}), int(PrekeyClass.ONE_TIME)
            ):
                standing.setdefault(device_id, {})[kind, key_class] = encoded
            return tuple(
                [await _claim(transaction, claim, standing.get(claim.device_id, {})) for claim in claims]
            )

        return await self._database.run(operation)

    async def count_one_time(self) -> int:
        """All of them, counted by the server beside its other work."""
        ((count,),) = await self._database.rows(
            "SELECT count(*) FROM prekeys WHERE key_class = $1", int(PrekeyClass.ONE_TIME)
        )
        return int(count)

    async def drop_one_time(self) -> int:
        """Forget every unused one-time key."""
        return await self._database.run(drop_one_time_keys)


async def drop_one_time_keys(transaction: Transaction) -> int:
    """The same inside a transaction of the caller's."""
    done = await transaction.execute("DELETE FROM prekeys WHERE key_class = $1", int(PrekeyClass.ONE_TIME))
    return int(done.rpartition(" ")[2])


async def _read_stock(transaction: Transaction, device_id: bytes) -> PrekeyStock:
    return _stock(await transaction.rows(_HELD, device_id), await transaction.rows(_HEIGHTS, device_id))


async def _claim(
    transaction: Transaction, claim: Claim, standing: dict[tuple[int, int], bytes]
) -> ClaimedPrekeys | None:
    signed = standing.get((PrekeyKind.SIGNED, PrekeyClass.ROTATING))
    sealing = standing.get((PrekeyKind.SEALING, PrekeyClass.ROTATING))
    last_resort = standing.get((PrekeyKind.KEM, PrekeyClass.LAST_RESORT))
    if signed is None or sealing is None or last_resort is None:
        return None
    taken: dict[int, bytes] = {}
    if claim.one_time:
        for kind in _ONE_TIME_KINDS:
            row = await transaction.one(_TAKE, claim.device_id, int(kind), int(PrekeyClass.ONE_TIME))
            if row is not None:
                taken[kind] = row[0]
    left = dict.fromkeys(_ONE_TIME_KINDS, 0)
    for kind, count in await transaction.rows(_LEFT, claim.device_id, int(PrekeyClass.ONE_TIME)):
        left[PrekeyKind(kind)] = count
    kem = taken.get(PrekeyKind.KEM)
    return ClaimedPrekeys(
        device_id=claim.device_id,
        signed=signed,
        sealing=sealing,
        kem=last_resort if kem is None else kem,
        kem_class=PrekeyClass.LAST_RESORT if kem is None else PrekeyClass.ONE_TIME,
        one_time=taken.get(PrekeyKind.ONE_TIME),
        left=left,
    )
