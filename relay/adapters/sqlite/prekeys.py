"""Prekeys in SQLite: a claim deletes the one-time keys in the transaction that gives them."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final

from relay.ports.prekeys import Claim, ClaimedPrekeys, PrekeyStock
from relay.wire import limits
from relay.wire.errors import NotFound, PrekeyConflict, QuotaExceeded
from relay.wire.prekeys import PrekeyClass, PrekeyKind, SignedPrekey

from .reader import Reader
from .writer import Row, Transaction, Writer

_ONE_TIME_KINDS = (PrekeyKind.ONE_TIME, PrekeyKind.KEM)
_HELD = """SELECT p.kind, p.key_class, p.encoded FROM prekeys AS p
           WHERE p.device_number = ? ORDER BY p.kind, p.key_class, p.key_id"""
_HEIGHTS = "SELECT kind, highest FROM prekey_heights WHERE device_number = ?"
_NUMBER = "SELECT device_number FROM devices WHERE device_id = ?"


def _stock(held: Sequence[Row], heights: Sequence[Row]) -> PrekeyStock:
    one_time = dict.fromkeys(_ONE_TIME_KINDS, 0)
    digest = sha256()
    for kind, key_class, encoded in held:
        digest.update(encoded)
        if key_class == PrekeyClass.ONE_TIME:
            one_time[PrekeyKind(kind)] += 1
    highest = dict.fromkeys(PrekeyKind, 0) | {PrekeyKind(kind): height for kind, height in heights}
    return PrekeyStock(one_time, highest, digest.digest())


_DEVICES_AT_ONCE: Final = 256  # 51,200 keys at most: 2 ms


class SqlitePrekeys:
    """PrekeyStore on one file."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    async def append(self, device_id: bytes, keys: Sequence[SignedPrekey]) -> PrekeyStock:
        """Take all keys or none."""

        async def operation(transaction: Transaction) -> PrekeyStock:
            number = await _number(transaction, device_id)
            before = _stock(
                await transaction.rows(_HELD, (number,)), await transaction.rows(_HEIGHTS, (number,))
            )
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
            for key in keys:
                if key.key_class is not PrekeyClass.ONE_TIME:
                    await transaction.rows(
                        "DELETE FROM prekeys WHERE device_number = ? AND kind = ? AND key_class = ?",
                        (number, int(key.kind), int(key.key_class)),
                    )
                await transaction.rows(
                    "INSERT INTO prekeys VALUES (?, ?, ?, ?, ?)",
                    (number, int(key.kind), int(key.key_class), key.key_id, key.encoded),
                )
            for kind in {key.kind for key in keys}:
                await transaction.rows(
                    "INSERT OR REPLACE INTO prekey_heights VALUES (?, ?, ?)",
                    (number, int(kind), highest[kind]),
                )
            return _stock(
                await transaction.rows(_HELD, (number,)), await transaction.rows(_HEIGHTS, (number,))
            )

        return await self._writer.run(operation)

    async def stock(self, device_id: bytes) -> PrekeyStock:
        """What is held."""
        found = await self._reader.one(_NUMBER, (device_id,))
        if found is None:
            raise NotFound("there is no such device")
        return _stock(await self._reader.rows(_HELD, found), await self._reader.rows(_HEIGHTS, found))

    async def claim(self, claims: Sequence[Claim]) -> tuple[ClaimedPrekeys | None, ...]:
        """Keys for each wish, in one transaction."""

        async def operation(transaction: Transaction) -> tuple[ClaimedPrekeys | None, ...]:
            return tuple([await _claim(transaction, claim) for claim in claims])

        return await self._writer.run(operation)

    async def count_one_time(self) -> int:
        """A few devices at a time: others read in between."""
        ((devices,),) = await self._reader.rows("SELECT coalesce(max(device_number), 0) FROM devices")
        total = 0
        for first in range(0, devices + 1, _DEVICES_AT_ONCE):
            ((count,),) = await self._reader.rows(
                "SELECT count(*) FROM prekeys WHERE device_number BETWEEN ? AND ? AND key_class = ?",
                (first, first + _DEVICES_AT_ONCE - 1, int(PrekeyClass.ONE_TIME)),
            )
            total += count
        return total

    async def drop_one_time(self) -> int:
        """Forget every unused one-time key."""
        return await self._writer.run(drop_one_time_keys, frees=True)


async def drop_one_time_keys(transaction: Transaction) -> int:
    """The same inside a transaction of the caller's."""
    gone = await transaction.rows(
        "DELETE FROM prekeys WHERE key_class = ? RETURNING 1", (int(PrekeyClass.ONE_TIME),)
    )
    return len(gone)


async def _number(transaction: Transaction, device_id: bytes) -> int:
    found = await transaction.rows(_NUMBER, (device_id,))
    if not found:
        raise NotFound("there is no such device")
    return int(found[0][0])


async def _claim(transaction: Transaction, claim: Claim) -> ClaimedPrekeys | None:
    standing: Mapping[tuple[int, int], bytes] = {
        (kind, key_class): encoded
        for kind, key_class, encoded in await transaction.rows(
            """SELECT p.kind, p.key_class, p.encoded FROM prekeys AS p JOIN devices AS d USING (device_number)
               WHERE d.device_id = ? AND p.key_class != ?""",
            (claim.device_id, int(PrekeyClass.ONE_TIME)),
        )
    }
    signed = standing.get((PrekeyKind.SIGNED, PrekeyClass.ROTATING))
    sealing = standing.get((PrekeyKind.SEALING, PrekeyClass.ROTATING))
    last_resort = standing.get((PrekeyKind.KEM, PrekeyClass.LAST_RESORT))
    if signed is None or sealing is None or last_resort is None:
        return None
    number = await _number(transaction, claim.device_id)
    taken: dict[int, bytes] = {}
    if claim.one_time:
        for kind in _ONE_TIME_KINDS:
            for (encoded,) in await transaction.rows(
                """DELETE FROM prekeys WHERE (device_number, kind, key_class, key_id) = (
                       SELECT device_number, kind, key_class, key_id FROM prekeys
                       WHERE device_number = ? AND kind = ? AND key_class = ? ORDER BY key_id LIMIT 1)
                   RETURNING encoded""",
                (number, int(kind), int(PrekeyClass.ONE_TIME)),
            ):
                taken[kind] = encoded
    left = dict.fromkeys(_ONE_TIME_KINDS, 0)
    for kind, count in await transaction.rows(
        "SELECT kind, count(*) FROM prekeys WHERE device_number = ? AND key_class = ? GROUP BY kind",
        (number, int(PrekeyClass.ONE_TIME)),
    ):
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
