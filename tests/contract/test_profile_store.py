"""The promises of profiles, on every adapter."""

import asyncio

import pytest

from relay.ports.profiles import Profile
from relay.ports.store import Store
from relay.wire.errors import Conflict, NotFound
from tests.contract.conftest import Reopen
from tests.contract.people import new_account


async def test_the_newest_version_is_kept(store: Store, reopen: Reopen) -> None:
    anna, bert = [(await new_account(store, name)).account_id for name in ("anna", "bert")]
    assert await store.profiles.get(anna) is None
    await store.profiles.put(anna, Profile(1, b"first"))
    await store.profiles.put(anna, Profile(7, b"seventh"))
    await store.profiles.put(anna, Profile(7, b"seventh"))  # its answer was lost
    store = await reopen()
    assert await store.profiles.get(anna) == Profile(7, b"seventh")
    assert await store.profiles.get(bert) is None
    for older in (Profile(7, b"another"), Profile(6, b"seventh")):
        with pytest.raises(Conflict):
            await store.profiles.put(anna, older)
    with pytest.raises(NotFound):
        await store.profiles.put(bytes(32), Profile(1, b"first"))
    assert await store.profiles.get(anna) == Profile(7, b"seventh")


async def test_of_two_devices_at_once_one_is_told_to_look_again(store: Store) -> None:
    anna = (await new_account(store, "anna")).account_id
    answers = await asyncio.gather(
        *(store.profiles.put(anna, Profile(1, name)) for name in (b"phone", b"laptop")),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in answers) == ["Conflict", "NoneType"]


async def test_it_goes_with_its_account(store: Store) -> None:
    anna = (await new_account(store, "anna")).account_id
    await store.profiles.put(anna, Profile(1, b"first"))
    await store.deletions.begin(anna, owner="owner")
    await store.deletions.finish(anna)
    assert await store.profiles.get(anna) is None
