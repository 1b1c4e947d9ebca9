"""The prekey port's promises, on every adapter: a one-time key at most once (A2), ids that only grow."""

import asyncio
from collections.abc import Awaitable, Callable
from hashlib import sha256

import pytest

from relay.ports.prekeys import Claim
from relay.ports.store import Store
from relay.wire import limits
from relay.wire.errors import NotFound, PrekeyConflict, QuotaExceeded
from relay.wire.prekeys import PrekeyClass, PrekeyKind, SignedPrekey
from tests.contract.people import bytes_of, new_device, one_time_prekeys, prekey, standing_prekeys


async def stocked(store: Store, name: object, count: int) -> bytes:
    """A device with its standing keys and `count` one-time keys of each kind, ids from 2 on."""
    device = await new_device(store, name)
    keys = [
        *standing_prekeys(),
        *one_time_prekeys(PrekeyKind.KEM, 2, count),
        *one_time_prekeys(PrekeyKind.ONE_TIME, 2, count),
    ]
    await store.prekeys.append(device, keys)
    return device


def ids(keys: list[bytes]) -> list[int]:
    return [int.from_bytes(key[2:6], "big") for key in keys]


async def test_claims_give_the_oldest_first_and_then_the_last_resort(store: Store) -> None:
    device = await stocked(store, "anna", 2)
    answers = [(await store.prekeys.claim([Claim(device, one_time=True)]))[0] for _ in range(3)]
    assert all(answer is not None for answer in answers)
    found = [answer for answer in answers if answer is not None]
    assert [answer.kem_class for answer in found] == [
        PrekeyClass.ONE_TIME,
        PrekeyClass.ONE_TIME,
        PrekeyClass.LAST_RESORT,
    ]
    assert ids([answer.kem for answer in found]) == [2, 3, 1]
    assert ids([answer.one_time for answer in found if answer.one_time is not None]) == [2, 3]
    assert found[2].one_time is None
    assert [dict(answer.left) for answer in found] == [
        {PrekeyKind.ONE_TIME: left, PrekeyKind.KEM: left} for left in (1, 0, 0)
    ]
    assert {answer.signed for answer in found} == {standing_prekeys()[0].encoded}
    assert {answer.sealing for answer in found} == {standing_prekeys()[1].encoded}


async def test_a_claim_over_budget_takes_no_one_time_key(store: Store) -> None:
    device = await stocked(store, "anna", 2)
    (answer,) = await store.prekeys.claim([Claim(device, one_time=False)])
    assert answer is not None
    assert (answer.kem_class, answer.one_time) == (PrekeyClass.LAST_RESORT, None)
    assert (await store.prekeys.stock(device)).one_time == {PrekeyKind.ONE_TIME: 2, PrekeyKind.KEM: 2}


async def test_a2_sixty_four_askers_at_once_get_sixty_four_different_keys(store: Store) -> None:
    device = await stocked(store, "anna", 50)
    answers = await asyncio.gather(*(store.prekeys.claim([Claim(device, one_time=True)]) for _ in range(64)))
    found = [answer for (answer,) in answers if answer is not None]
    kem = [answer.kem for answer in found if answer.kem_class is PrekeyClass.ONE_TIME]
    one_time = [answer.one_time for answer in found if answer.one_time is not None]
    assert (len(found), len(kem), len(set(kem)), len(one_time), len(set(one_time))) == (64, 50, 50, 50, 50)


async def test_a2_a_key_that_was_given_is_gone_after_a_restart(
    store: Store, reopen: Callable[[], Awaitable[Store]]
) -> None:
    device = await stocked(store, "anna", 3)
    (before,) = await store.prekeys.claim([Claim(device, one_time=True)])
    store = await reopen()
    (after,) = await store.prekeys.claim([Claim(device, one_time=True)])
    assert before is not None
    assert after is not None
    assert (before.kem, before.one_time) != (after.kem, after.one_time)
    assert ids([after.kem]) == [3]


async def test_a2_after_a_restore_no_unused_one_time_key_is_left_and_old_ids_stay_refused(
    store: Store,
) -> None:
    device = await stocked(store, "anna", 3)
    await store.mark_restored()
    (answer,) = await store.prekeys.claim([Claim(device, one_time=True)])
    assert answer is not None
    assert (answer.kem_class, answer.one_time) == (PrekeyClass.LAST_RESORT, None)
    with pytest.raises(PrekeyConflict):
        await store.prekeys.append(device, one_time_prekeys(PrekeyKind.KEM, 4, 1))
    assert await store.prekeys.drop_one_time() == 0


async def test_several_devices_are_claimed_in_order_and_unready_ones_are_none(store: Store) -> None:
    ready, bare = await stocked(store, "anna", 1), await new_device(store, "bert")
    await store.prekeys.append(bare, standing_prekeys()[:2])
    answers = await store.prekeys.claim(
        [Claim(bare, one_time=True), Claim(ready, one_time=True), Claim(bytes(16), one_time=True)]
    )
    assert [None if answer is None else answer.device_id for answer in answers] == [None, ready, None]


@pytest.mark.parametrize(
    "keys",
    [
        one_time_prekeys(PrekeyKind.KEM, 3, 1),
        one_time_prekeys(PrekeyKind.ONE_TIME, 3, 1),
        one_time_prekeys(PrekeyKind.ONE_TIME, 4, 1) * 2,
        [*one_time_prekeys(PrekeyKind.ONE_TIME, 5, 1), *one_time_prekeys(PrekeyKind.ONE_TIME, 4, 1)],
        [prekey(PrekeyKind.KEM, PrekeyClass.LAST_RESORT, 3)],
        [prekey(PrekeyKind.SIGNED, PrekeyClass.ROTATING, 1)],
        [*one_time_prekeys(PrekeyKind.KEM, 9, 1), prekey(PrekeyKind.SEALING, PrekeyClass.ROTATING, 1)],
    ],
)
async def test_an_id_that_is_not_above_the_highest_of_its_kind_refuses_all(
    store: Store, keys: list[SignedPrekey]
) -> None:
    device = await stocked(store, "anna", 2)
    before = await store.prekeys.stock(device)
    with pytest.raises(PrekeyConflict):
        await store.prekeys.append(device, keys)
    assert await store.prekeys.stock(device) == before


async def test_heights_stand_when_the_keys_are_gone(store: Store) -> None:
    device = await stocked(store, "anna", 1)
    await store.prekeys.claim([Claim(device, one_time=True)])
    with pytest.raises(PrekeyConflict):
        await store.prekeys.append(device, one_time_prekeys(PrekeyKind.ONE_TIME, 2, 1))
    stock = await store.prekeys.append(device, one_time_prekeys(PrekeyKind.ONE_TIME, 7, 1))
    assert stock.highest == {
        PrekeyKind.SIGNED: 1,
        PrekeyKind.KEM: 2,
        PrekeyKind.ONE_TIME: 7,
        PrekeyKind.SEALING: 1,
    }


async def test_the_newest_rotating_and_last_resort_key_replaces_the_one_before(store: Store) -> None:
    device = await stocked(store, "anna", 0)
    await store.prekeys.append(device, standing_prekeys(5))
    (answer,) = await store.prekeys.claim([Claim(device, one_time=True)])
    assert answer is not None
    assert ids([answer.signed, answer.sealing, answer.kem]) == [5, 5, 5]


async def test_the_stocks_digest_is_of_the_keys_held_in_their_order(store: Store) -> None:
    device = await stocked(store, "anna", 2)
    stock = await store.prekeys.stock(device)
    held = [
        standing_prekeys()[0],
        *one_time_prekeys(PrekeyKind.KEM, 2, 2),
        standing_prekeys()[2],
        *one_time_prekeys(PrekeyKind.ONE_TIME, 2, 2),
        standing_prekeys()[1],
    ]
    assert stock.digest == sha256(b"".join(key.encoded for key in held)).digest()


async def test_a_device_has_so_many_unused_keys_of_a_kind(store: Store) -> None:
    device = await stocked(store, "anna", limits.ONE_TIME_PREKEYS)
    next_id = limits.ONE_TIME_PREKEYS + 2
    with pytest.raises(QuotaExceeded):
        await store.prekeys.append(device, one_time_prekeys(PrekeyKind.KEM, next_id, 1))
    await store.prekeys.claim([Claim(device, one_time=True)])
    stock = await store.prekeys.append(device, one_time_prekeys(PrekeyKind.KEM, next_id, 1))
    assert stock.one_time[PrekeyKind.KEM] == limits.ONE_TIME_PREKEYS


async def test_prekeys_of_nobody_are_not_found(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.prekeys.append(bytes_of("nobody"), standing_prekeys())
    with pytest.raises(NotFound):
        await store.prekeys.stock(bytes_of("nobody"))


async def test_the_unused_one_time_keys_of_all_devices_are_counted(store: Store) -> None:
    assert await store.prekeys.count_one_time() == 0
    anna = await stocked(store, "anna", 3)
    for number in range(300):  # more than are counted at once
        await new_device(store, number)
    await stocked(store, "bert", 2)
    assert await store.prekeys.count_one_time() == 10
    await store.prekeys.claim([Claim(anna, one_time=True)])
    assert await store.prekeys.count_one_time() == 8
