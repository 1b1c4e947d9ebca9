"""The promises of listing accounts, and of changing role and suspension, on every adapter."""

import asyncio
from dataclasses import replace

import pytest

from relay.ports.accounts import Account
from relay.ports.blobs import Blob
from relay.ports.directory import ListedAccount, Wanted
from relay.ports.mailboxes import Submission
from relay.ports.store import Store
from relay.wire.errors import LastOwner, NotFound
from tests.contract.people import NOW_MS, bytes_of, registration

ALL = Wanted()


async def make(store: Store, name: str, role: str = "member", **rest: object) -> Account:
    wish = replace(registration(name, **rest), role=role)
    return await store.accounts.register(wish, now_ms=NOW_MS)


async def listed(store: Store, wanted: Wanted = ALL) -> list[ListedAccount]:
    return list(await store.directory.page(wanted, after=b"", limit=100))


async def test_an_account_is_listed_with_what_is_kept_for_it(store: Store) -> None:
    devices = [bytes_of("phone"), bytes_of("laptop")]
    anna = await make(store, "anna", devices=devices, handle="anna")
    sizes = (100, 250)
    await store.mailboxes.append(
        [
            Submission(bytes_of(("envelope", device)), 60, (bytes(size),), ((device, 0),))
            for device, size in zip(devices, sizes, strict=True)
        ],
        now_ms=NOW_MS,
    )
    await store.accounts.mark_seen(devices[1], day=20_000)
    blob = Blob(bytes_of("blob", 32), anna.account_id, 4_000, bytes(32), 0, False, NOW_MS, NOW_MS + 1)
    await store.blobs.create(blob, quota_bytes=10_000)
    assert await listed(store) == [
        ListedAccount(anna.account_id, "member", False, "anna", NOW_MS, 2, 20_000, 2, 350, 4_000)
    ]


async def test_pages_follow_each_other_in_the_order_of_ids(store: Store) -> None:
    ids = sorted([(await make(store, f"person {number}")).account_id for number in range(7)])
    found: list[bytes] = []
    while page := await store.directory.page(ALL, after=found[-1] if found else b"", limit=3):
        assert len(page) <= 3
        found += [one.account_id for one in page]
    assert found == ids


async def test_lists_have_only_what_is_wanted(store: Store) -> None:
    for name, role in (("anna", "owner"), ("anton", "member"), ("bert", "member"), ("berta", "owner")):
        await make(store, name, role, handle=name)
    bert = await store.accounts.find_handle("bert")
    assert bert is not None
    await store.accounts.set_suspended(bert.account_id, True, owner="owner")

    async def names(wanted: Wanted) -> set[str | None]:
        return {one.handle for one in await listed(store, wanted)}

    assert await names(Wanted(role="owner")) == {"anna", "berta"}
    assert await names(Wanted(suspended=True)) == {"bert"}
    assert await names(Wanted(suspended=False)) == {"anna", "anton", "berta"}
    assert await names(Wanted(handle_begins="an")) == {"anna", "anton"}
    assert await names(Wanted(handle_begins="bert")) == {"bert", "berta"}
    assert await names(Wanted("owner", False, "bert")) == {"berta"}
    assert await names(Wanted(handle_begins="%")) == set()


async def test_roles_in_use_are_counted(store: Store) -> None:
    assert await store.directory.roles_in_use() == {}
    for name, role in (("anna", "owner"), ("anton", "helpdesk"), ("bert", "helpdesk")):
        await make(store, name, role)
    assert await store.directory.roles_in_use() == {"owner": 1, "helpdesk": 2}


async def test_ids_are_found_by_their_bounds(store: Store) -> None:
    ids = sorted([(await make(store, f"person {number}")).account_id for number in range(5)])
    assert await store.directory.ids_between(bytes(32), b"\xff" * 32, limit=3) == tuple(ids[:3])
    assert await store.directory.ids_between(ids[1], ids[3], limit=10) == tuple(ids[1:4])
    assert await store.directory.ids_between(ids[2], ids[2], limit=10) == (ids[2],)


async def test_a_role_is_given_and_told(store: Store) -> None:
    await make(store, "anna", "owner")
    bert = await make(store, "bert")
    changed = await store.accounts.set_role(bert.account_id, "auditor", owner="owner")
    assert changed == replace(bert, role="auditor") == await store.accounts.account(bert.account_id)
    with pytest.raises(NotFound):
        await store.accounts.set_role(bytes(32), "auditor", owner="owner")


async def test_e3_the_last_owner_stays_an_owner_and_is_not_suspended(store: Store) -> None:
    anna = await make(store, "anna", "owner")
    bert = await make(store, "bert", "owner")
    await store.accounts.set_suspended(bert.account_id, True, owner="owner")
    with pytest.raises(LastOwner):
        await store.accounts.set_suspended(anna.account_id, True, owner="owner")
    with pytest.raises(LastOwner):
        await store.accounts.set_role(anna.account_id, "admin", owner="owner")
    assert await store.accounts.account(anna.account_id) == anna
    # What changes nothing is no harm, and a suspended owner is none that could help.
    assert await store.accounts.set_role(anna.account_id, "owner", owner="owner") == anna
    await store.accounts.set_role(bert.account_id, "member", owner="owner")
    await store.accounts.set_suspended(bert.account_id, False, owner="owner")
    with pytest.raises(LastOwner):
        await store.accounts.set_role(anna.account_id, "member", owner="owner")


async def test_e3_of_two_owners_that_go_at_once_one_stays(store: Store) -> None:
    owners = [await make(store, name, "owner") for name in ("anna", "bert")]
    answers = await asyncio.gather(
        store.accounts.set_role(owners[0].account_id, "member", owner="owner"),
        store.accounts.set_suspended(owners[1].account_id, True, owner="owner"),
        return_exceptions=True,
    )
    assert [type(one) for one in answers].count(LastOwner) == 1
    assert len(await listed(store, Wanted("owner", False))) == 1
