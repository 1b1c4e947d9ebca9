"""People with the real client in groups of a real relay: who is in, and what everybody has heard."""

import asyncio
from collections.abc import Awaitable, Callable

from client.client import Client
from client.message import Message
from client.message_groups import GroupInfo
from client.store.group_doors import Join, JoinState, keep_join
from crypto.group_proposals import add
from crypto.group_rights import Role
from relay.wire.links import decode_id
from tests.chatting import People, texts

PATIENCE_SECONDS = 40


async def acquaint(people: People, *names: str) -> dict[str, Client]:
    """Clients that listen, each of which has a token of class contact of every other."""
    clients = {name: await people.enter(name) for name in names}
    for one in names:
        for other in names:
            if one != other:
                await clients[one].send(other, "hello")
    for client in clients.values():
        await texts(client)
    return clients


def account_of(client: Client) -> bytes:
    return decode_id(client.whoami().account, 32)


async def say_yes(client: Client, group: str, inviter: Client) -> None:
    """The user of this client wants to be in the group."""
    join = Join(decode_id(group, 32), account_of(inviter), bytes(16), "a group", JoinState.ASKED)
    await client._account._database.run(lambda tx: keep_join(tx, join))


async def group_of(
    clients: dict[str, Client], owner: str, *others: str, admins: tuple[str, ...] = ()
) -> GroupInfo:
    """A group in which all have arrived."""
    group = await clients[owner].create_group("a group")
    for name in others:
        await say_yes(clients[name], group.id, clients[owner])
    changes = [
        add(account_of(clients[name]), 1, Role.ADMIN if name in admins else Role.MEMBER) for name in others
    ]
    await clients[owner].commit_changes(group.id, changes, patience_seconds=PATIENCE_SECONDS)
    for name in others:
        await until(clients[name], lambda client: is_in(client, group.id))
    return await clients[owner].group(group.id)


async def is_in(client: Client, group: str) -> bool:
    return any(one.id == group and one.status == "member" for one in await client.groups())


async def until(
    client: Client, holds: Callable[[Client], Awaitable[bool]], *, also: Client | None = None
) -> None:
    """Listen (`also`: this one too) until something holds. Fails with what the client then knows of its groups."""
    listening = asyncio.create_task(_listen(client))
    besides = [asyncio.create_task(_listen(also))] if also is not None else []
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await holds(client):
                await asyncio.wait({listening}, timeout=0.2)
                if listening.done():
                    listening.result()
    except TimeoutError as error:
        seen = [
            (one.status, one.epoch, one.commits, one.is_ready) for one in await client.groups(with_left=True)
        ]
        care = client._account.groups.care.last_error
        raise AssertionError(f"it does not come to that: {client.whoami().handle} {seen} {care}") from error
    finally:
        for task in (listening, *besides):
            task.cancel()
        await asyncio.gather(listening, *besides, return_exceptions=True)


async def _listen(client: Client) -> None:
    async for _ in client.events():
        pass


async def hear(client: Client, group: str, *expected: str) -> list[Message]:
    """Listen until these texts of the group are here, in any order between their senders."""

    async def has_all(client: Client) -> bool:
        have = [one.text for one in await client.history(f"group:{group}")]
        return all(have.count(text) >= expected.count(text) for text in expected)

    await until(client, has_all)
    return await client.history(f"group:{group}")
