"""What a relay that came back from a backup has lost, each client gives it again: tokens, handle, prekeys."""

import asyncio
import copy
from pathlib import Path

import pytest

from client.client import Client
from client.message import Missed, Warned
from client.store import facts
from crypto.group_changes import ChangeSetting, Remove
from crypto.group_state import NAME, Setting
from relay.ports.delivery_tokens import TokenClass
from relay.wire.prekeys import PrekeyKind
from tests.chatting import People, open_people
from tests.group_people_online import account_of as id_of
from tests.group_people_online import acquaint, group_of, until
from tests.own_devices import account_of


@pytest.fixture
async def people(tmp_path: Path):
    async with open_people(tmp_path, "alice", "bob", has_full_stock=True) as opened:
        yield opened


async def lose(people: People, name: str) -> bytes:
    """As if its handle and its contact token had come after the backup; the account's id."""
    services = people.world.relay.services
    account_id = (await account_of(people, name)).account_id
    await services.store.accounts.release_handle(account_id)
    for token in await services.store.delivery_tokens.list(account_id):
        if token.token_class is TokenClass.CONTACT:
            await services.store.delivery_tokens.remove(account_id, token.token_hash)
    await services.store.mark_restored()
    services.reach.forget(account_id)
    return account_id


async def come_back(people: People, name: str) -> list[object]:
    """What the client tells until it has given back what it can."""
    async with people.client(name) as client:
        events = [event async for event in client.events(until_caught_up=True, patience_seconds=20)]
        listening = asyncio.create_task(listen(client, events))
        async with asyncio.timeout(20):
            database = client._account._database
            while await database.read(lambda tx: facts.number(tx, facts.RELAY_CAME_BACK)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        listening.cancel()
    return events


async def listen(client, events: list[object]) -> None:
    async for event in client.events():
        events.append(event)  # noqa: PERF401  # what came before it is cancelled counts


async def test_tokens_handle_and_prekeys_are_given_again(people: People):
    store = people.world.relay.services.store
    device_id = (await account_of(people, "alice")).device_id
    account_id = (await account_of(people, "alice")).account_id
    before = set(await store.delivery_tokens.list(account_id))
    await lose(people, "alice")
    assert Missed(0, "restored") in await come_back(people, "alice")
    found = await store.accounts.find_handle("alice")
    assert found is not None
    assert (found.account_id, found.public_token is not None) == (account_id, True)
    assert set(await store.delivery_tokens.list(account_id)) == before
    stock = await store.prekeys.stock(device_id)
    assert set(stock.one_time.values()) == {100}
    assert stock.highest[PrekeyKind.ONE_TIME] == 200, "no one-time key went up twice"
    async with people.client("bob") as bob, people.client("alice") as alice:
        await bob.send("alice", "here again")
        assert [one.text async for one in alice.messages(until_caught_up=True)] == ["here again"]


async def test_a_handle_that_somebody_else_has_now_is_told(people: People):
    store = people.world.relay.services.store
    await lose(people, "alice")
    bob = (await account_of(people, "bob")).account_id
    await store.accounts.release_handle(bob)
    await store.accounts.set_handle(bob, "alice", None, now_ms=1)
    told = await come_back(people, "alice")
    async with people.client("alice") as alice:
        told += [event async for event in alice.events(until_caught_up=True, patience_seconds=20)]
    assert "handle_lost" in {event.kind for event in told if isinstance(event, Warned)}


async def has_members(client: Client, group: str, count: int) -> bool:
    return len((await client.group(group)).members) == count


async def is_called(client: Client, group: str, name: str) -> bool:
    return (await client.group(group)).name == name


async def test_the_log_of_a_group_is_given_again_by_those_who_wrote_it(tmp_path: Path):
    names = "alice", "bob", "carol"
    async with open_people(tmp_path, *names) as people:
        clients = await acquaint(people, *names)
        alice, bob = clients["alice"], clients["bob"]
        group = await group_of(clients, *names, admins=("bob",))
        store = people.world.relay.services.store
        before = copy.deepcopy(store.group_logs._logs)
        # Each writes on top of what the other wrote, one of them a cut: the log gets other keys.
        await alice.commit_changes(group.id, [Remove(id_of(clients["carol"]))], patience_seconds=40)
        await until(bob, lambda client: has_members(client, group.id, 2))
        await bob.commit_changes(
            group.id, [ChangeSetting(Setting(NAME, b"after the backup"))], patience_seconds=40
        )
        await until(alice, lambda client: is_called(client, group.id, "after the backup"))

        store.group_logs._logs.clear()
        store.group_logs._logs.update(before)
        await store.mark_restored()
        for session in people.world.relay.services.connections.sessions():
            session.close("gone")
        changed = await alice.commit_changes(
            group.id, [ChangeSetting(Setting(NAME, b"and on"))], patience_seconds=60
        )
        assert (changed.name, len(changed.members)) == ("and on", 2)
        await until(bob, lambda client: is_called(client, group.id, "and on"))
