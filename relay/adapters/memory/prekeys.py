"""Prekeys in memory."""

from collections.abc import Sequence
from hashlib import sha256

from relay.ports.prekeys import Claim, ClaimedPrekeys, PrekeyStock
from relay.wire import limits
from relay.wire.errors import NotFound, PrekeyConflict, QuotaExceeded
from relay.wire.prekeys import PrekeyClass, PrekeyKind, SignedPrekey

from .image import Gate, Image, Shelf

_ONE_TIME_KINDS = (PrekeyKind.ONE_TIME, PrekeyKind.KEM)


def _place(key: SignedPrekey) -> tuple[int, int, int]:
    return (key.kind, key.key_class, key.key_id)


def _stock(shelf: Shelf) -> PrekeyStock:
    encoded = b"".join(key.encoded for key in sorted(shelf.keys, key=_place))
    return PrekeyStock(_left(shelf), dict(shelf.highest), sha256(encoded).digest())


def _left(shelf: Shelf) -> dict[PrekeyKind, int]:
    return {
        kind: sum(key.kind is kind and key.key_class is PrekeyClass.ONE_TIME for key in shelf.keys)
        for kind in _ONE_TIME_KINDS
    }


def _claim(shelf: Shelf, claim: Claim) -> ClaimedPrekeys | None:
    standing = {
        (key.kind, key.key_class): key for key in shelf.keys if key.key_class is not PrekeyClass.ONE_TIME
    }
    signed = standing.get((PrekeyKind.SIGNED, PrekeyClass.ROTATING))
    sealing = standing.get((PrekeyKind.SEALING, PrekeyClass.ROTATING))
    kem = standing.get((PrekeyKind.KEM, PrekeyClass.LAST_RESORT))
    if signed is None or sealing is None or kem is None:
        return None
    taken: dict[PrekeyKind, SignedPrekey] = {}
    if claim.one_time:
        for key in sorted(shelf.keys, key=_place):
            if key.key_class is PrekeyClass.ONE_TIME:
                taken.setdefault(key.kind, key)
        shelf.keys = [key for key in shelf.keys if key not in taken.values()]
    kem = taken.get(PrekeyKind.KEM, kem)
    one_time = taken.get(PrekeyKind.ONE_TIME)
    return ClaimedPrekeys(
        device_id=claim.device_id,
        signed=signed.encoded,
        sealing=sealing.encoded,
        kem=kem.encoded,
        kem_class=kem.key_class,
        one_time=one_time.encoded if one_time else None,
        left=_left(shelf),
    )


def drop_one_time_keys(image: Image) -> int:
    """Forget every unused one-time key; how many it were."""
    count = 0
    for shelf in image.shelves.values():
        kept = [key for key in shelf.keys if key.key_class is not PrekeyClass.ONE_TIME]
        count += len(shelf.keys) - len(kept)
        shelf.keys = kept
    return count


class MemoryPrekeys:
    """PrekeyStore in memory."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._image = gate.image

    def _shelf(self, device_id: bytes) -> Shelf:
        if device_id not in self._image.devices:
            raise NotFound("there is no such device")
        return self._image.shelves.setdefault(device_id, Shelf())

    async def append(self, device_id: bytes, keys: Sequence[SignedPrekey]) -> PrekeyStock:
        """Take all keys or none."""

        def change() -> PrekeyStock:
            shelf = self._shelf(device_id)
            highest, one_time = dict(shelf.highest), _left(shelf)
            kept = list(shelf.keys)
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
                else:
                    kept = [each for each in kept if (each.kind, each.key_class) != (key.kind, key.key_class)]
                kept.append(key)
            shelf.keys, shelf.highest = kept, highest
            return _stock(shelf)

        return await self._gate.commit(change)

    async def stock(self, device_id: bytes) -> PrekeyStock:
        """What is held."""
        self._gate.check()
        return _stock(self._shelf(device_id))

    async def claim(self, claims: Sequence[Claim]) -> tuple[ClaimedPrekeys | None, ...]:
        """Keys for each wish, at one moment."""

        def change() -> tuple[ClaimedPrekeys | None, ...]:
            return tuple(
                _claim(self._image.shelves.get(claim.device_id) or Shelf(), claim) for claim in claims
            )

        return await self._gate.commit(change)

    async def count_one_time(self) -> int:
        """Of all devices."""
        self._gate.check()
        return sum(sum(_left(shelf).values()) for shelf in self._image.shelves.values())

    async def drop_one_time(self) -> int:
        """Forget every unused one-time key."""
        return await self._gate.commit(lambda: drop_one_time_keys(self._image))
