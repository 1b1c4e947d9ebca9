"""A message that was delivered five times, to a client that died of it or lost its connection, is shown all the same."""

import pytest

from client.system import this_machine
from client.transport import Transport
from relay.wire.limits import MAX_DELIVERY_ATTEMPTS
from tests.chatting import People, open_people, texts
from tests.own_devices import account_of

QUARANTINE = "/v1/mailbox/quarantine"


async def read_and_forget(people: People, name: str, times: int) -> list[str]:
    """The mailbox, by the device of this account, but nothing is kept or acknowledged; what is in quarantine then."""
    account = await account_of(people, name)
    async with Transport(account.origin, this_machine(), account) as transport:
        for _ in range(times):
            await transport.ask("GET", "/v1/mailbox?after=0", signed=True)
        return (await transport.ask("GET", QUARANTINE, signed=True)).body.decode()


@pytest.mark.parametrize("others", [[], ["second"]], ids=["alone", "with another behind it"])
async def test_what_was_delivered_too_often_is_fetched_shown_once_and_acknowledged(tmp_path, others):
    async with open_people(tmp_path, "alice", "bob") as people:
        alice = await people.enter("alice")
        for text in ["first", *others]:
            await alice.send("bob", text)
        assert '"sequence":1,' in await read_and_forget(people, "bob", MAX_DELIVERY_ATTEMPTS + 1)
        async with people.client("bob") as bob:
            assert sorted(await texts(bob)) == ["first", *others]
            assert [one.text for one in await bob.history("alice")] == ["first", *others]
        assert await read_and_forget(people, "bob", 0) == '{"envelopes":[]}'
        async with people.client("bob") as bob:
            assert await texts(bob) == []
