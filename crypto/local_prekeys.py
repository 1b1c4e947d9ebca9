"""This device's own prekeys: what to make, to upload, to rotate, and when a private key may be deleted.

A value; every function of time is pure. The lifetimes let a first message open that was encrypted on the last
allowed day and read on its last day (A12). docs/protocol.md, "Prekeys".
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from . import limits
from .errors import InvalidEncoding, Undecryptable
from .keys import LocalDevice, X25519PrekeyPair
from .prekeys import KeyClass, KeyKind, SignedKey, prekey_transcript
from .primitives import HpkePrivateKey, KemPrivateKey, RandomBytes

__all__ = ["LocalPrekey", "LocalPrekeys", "PrekeySecret"]

PrekeySecret = X25519PrekeyPair | KemPrivateKey | HpkePrivateKey

_LOADERS: Final[dict[KeyKind, Callable[[bytes], PrekeySecret]]] = {
    KeyKind.SIGNED: X25519PrekeyPair.from_seed,
    KeyKind.KEM: KemPrivateKey,
    KeyKind.ONE_TIME: X25519PrekeyPair.from_seed,
    KeyKind.SEALING: HpkePrivateKey,
}
SEED_BYTES: Final[dict[KeyKind, int]] = {
    KeyKind.SIGNED: limits.X25519_KEY_BYTES,
    KeyKind.KEM: limits.KEM_SEED_BYTES,
    KeyKind.ONE_TIME: limits.X25519_KEY_BYTES,
    KeyKind.SEALING: limits.SEALING_SEED_BYTES,
}
_ROTATING: Final = (
    (KeyKind.SIGNED, KeyClass.ROTATING),
    (KeyKind.KEM, KeyClass.LAST_RESORT),
    (KeyKind.SEALING, KeyClass.ROTATING),
)
_STOCKED: Final = (KeyKind.KEM, KeyKind.ONE_TIME)


@dataclass(frozen=True, slots=True, eq=False)
class LocalPrekey:
    """One own prekey with its private half.

    `uploaded` once the relay has it. `retired_at_ms`: when the relay took its successor, or, of a one-time key,
    when it had left the relay's stock; from then on it lives 45 days.
    """

    kind: KeyKind
    key_class: KeyClass
    key_id: int
    made_at_ms: int
    secret: PrekeySecret = field(repr=False)
    uploaded: bool = False
    retired_at_ms: int | None = None

    @classmethod
    def load(
        cls,
        kind: KeyKind,
        key_class: KeyClass,
        key_id: int,
        made_at_ms: int,
        seed: bytes,
        *,
        uploaded: bool = False,
        retired_at_ms: int | None = None,
    ) -> "LocalPrekey":
        """From the seed of its private half: 32 B, of an ML-KEM key 64 B."""
        secret = _LOADERS[kind](seed)
        return cls(kind, key_class, key_id, made_at_ms, secret, uploaded, retired_at_ms)

    def signed(self, device: LocalDevice) -> SignedKey:
        """The public half under the device's signature: the same bytes each time."""
        public = self.secret.public_bytes()
        fields = self.kind, self.key_class, self.key_id, self.made_at_ms
        signature = device.signing.sign(
            prekey_transcript(device.account_id, device.device_id, *fields, public)
        )
        return SignedKey(*fields, signature, public)


@dataclass(frozen=True, slots=True, eq=False)
class LocalPrekeys:
    """All own prekeys, in the order they were made, and the next id of each kind (ids only grow)."""

    keys: tuple[LocalPrekey, ...] = ()
    next_ids: tuple[int, int, int, int] = (1, 1, 1, 1)  # by kind 1 to 4

    def find(self, kind: KeyKind, key_id: int) -> LocalPrekey:
        """The key of this id, or Undecryptable: it is used up, deleted, or was never made."""
        for key in self.keys:
            if key.key_id == key_id and key.kind is kind:
                return key
        raise Undecryptable(f"no private key of kind {kind.name} and this id")

    def refresh(
        self, *, one_time_at_relay: int, kem_at_relay: int, now_ms: int, random: RandomBytes
    ) -> "LocalPrekeys":
        """Rotate what is due and fill both stocks up to 100, counting what waits for upload.

        Store the result, then upload `to_upload`; a try that failed is repeated with the same bytes.
        """
        result = self
        for kind, key_class in _ROTATING:
            newest = _newest(self, kind, key_class)
            if newest is None or now_ms - newest.made_at_ms >= limits.PREKEY_ROTATION_MS:
                result = _with_new(result, kind, key_class, 1, now_ms, random)
        for kind, at_relay in ((KeyKind.KEM, kem_at_relay), (KeyKind.ONE_TIME, one_time_at_relay)):
            waiting = sum(not key.uploaded for key in self.keys if _is_stock(key, kind))
            lacking = limits.ONE_TIME_STOCK - at_relay - waiting
            result = _with_new(result, kind, KeyClass.ONE_TIME, max(0, lacking), now_ms, random)
        return result

    def to_upload(self, device: LocalDevice) -> tuple[SignedKey, ...]:
        """What the relay has not got yet, in ascending order of ids for each kind."""
        return tuple(key.signed(device) for key in self.keys if not key.uploaded)

    def uploaded(self, keys: Iterable[SignedKey], *, now_ms: int) -> "LocalPrekeys":
        """The relay has taken these: their predecessors retire now, not when the successor was made."""
        taken = {(key.kind, key.key_id) for key in keys}
        successors: dict[tuple[KeyKind, KeyClass], int] = {}
        for key in self.keys:
            if (key.kind, key.key_id) in taken and key.key_class is not KeyClass.ONE_TIME:
                successors[key.kind, key.key_class] = key.key_id
        return replace(self, keys=tuple(_after_upload(key, taken, successors, now_ms) for key in self.keys))

    def stock_seen(self, kind: KeyKind, at_relay: Collection[int], *, now_ms: int) -> "LocalPrekeys":
        """The relay's stock of one-time keys of a kind holds these ids: uploaded ones that left it retire."""
        if kind not in _STOCKED:
            raise InvalidEncoding(f"there is no stock of kind {kind.name}")
        keys = tuple(
            replace(key, retired_at_ms=now_ms)
            if _is_stock(key, kind)
            and key.uploaded
            and key.retired_at_ms is None
            and key.key_id not in at_relay
            else key
            for key in self.keys
        )
        return replace(self, keys=keys)

    def lacking(self, highest: Mapping[KeyKind, int]) -> "LocalPrekeys":
        """The relay came back from a backup: these highest ids that it ever took are below what it had.

        The newest standing keys go up once more. One-time keys never do: who got them is not known any more (A2).
        """
        lost = {
            (kind, newest.key_id)
            for kind, key_class in _ROTATING
            if (newest := _newest(self, kind, key_class)) is not None and newest.key_id > highest[kind]
        }
        keys = tuple(
            replace(key, uploaded=False)
            if key.key_class is not KeyClass.ONE_TIME and (key.kind, key.key_id) in lost
            else key
            for key in self.keys
        )
        return replace(self, keys=keys)

    def without(self, one_time: Iterable[tuple[KeyKind, int]]) -> "LocalPrekeys":
        """One-time keys that a session used go in the same transaction as the session comes."""
        used = set(one_time)
        keys = (
            key
            for key in self.keys
            if key.key_class is not KeyClass.ONE_TIME or (key.kind, key.key_id) not in used
        )
        return replace(self, keys=tuple(keys))

    def forget_expired(self, *, caught_up_at_ms: int) -> "LocalPrekeys":
        """Delete what retired 45 days before the last `caught_up`.

        Not before now: a device that was away for months reads its mailbox first.
        """
        before = caught_up_at_ms - limits.RETIRED_KEY_LIFETIME_MS
        keys = (key for key in self.keys if key.retired_at_ms is None or key.retired_at_ms > before)
        return replace(self, keys=tuple(keys))


def _newest(prekeys: LocalPrekeys, kind: KeyKind, key_class: KeyClass) -> LocalPrekey | None:
    of_kind = [key for key in prekeys.keys if key.kind is kind and key.key_class is key_class]
    return max(of_kind, key=lambda key: key.key_id, default=None)


def _with_new(
    prekeys: LocalPrekeys, kind: KeyKind, key_class: KeyClass, count: int, now_ms: int, random: RandomBytes
) -> LocalPrekeys:
    newest = _newest(prekeys, kind, key_class)
    made_at_ms = now_ms
    # Peers refuse a key older than one seen: a clock set back a little must not make one.
    if newest is not None and now_ms < newest.made_at_ms <= now_ms + limits.MAX_CLOCK_SKEW_MS:
        made_at_ms = newest.made_at_ms
    first = prekeys.next_ids[kind - 1]
    keys = [
        LocalPrekey.load(kind, key_class, key_id, made_at_ms, random(SEED_BYTES[kind]))
        for key_id in range(first, first + count)
    ]
    one, two, three, four = (
        next_id + (count if index == kind else 0) for index, next_id in enumerate(prekeys.next_ids, start=1)
    )
    return replace(prekeys, keys=(*prekeys.keys, *keys), next_ids=(one, two, three, four))


def _is_stock(key: LocalPrekey, kind: KeyKind) -> bool:
    return key.kind is kind and key.key_class is KeyClass.ONE_TIME


def _after_upload(
    key: LocalPrekey,
    taken: Collection[tuple[KeyKind, int]],
    successors: dict[tuple[KeyKind, KeyClass], int],
    now_ms: int,
) -> LocalPrekey:
    if (key.kind, key.key_id) in taken:
        key = replace(key, uploaded=True)
    successor = successors.get((key.kind, key.key_class), 0)
    if key.key_id < successor and key.retired_at_ms is None:
        key = replace(key, retired_at_ms=now_ms)
    return key
