"""What operators name accounts by, and what a change means for who is connected."""

import json

import pytest

from relay.commands.operators import Commands
from relay.composition import commands_of
from relay.services.administration import ids_that_begin
from relay.services.roles import Authority
from relay.wire.errors import LastOwner, MalformedRequest, NotFound
from relay.wire.links import encode_id
from tests.contract.people import bytes_of
from tests.running_relay import World, open_world


@pytest.mark.parametrize("length", [8, 9, 13, 26, 51, 52])
def test_the_beginning_of_an_id_bounds_those_that_begin_so(length: int) -> None:
    account_id = bytes_of("anna", 32)
    bounds = ids_that_begin(encode_id(account_id)[:length])
    assert bounds is not None
    low, high = bounds
    assert low <= account_id <= high
    assert {encode_id(one)[:length] for one in bounds} == {encode_id(account_id)[:length]}
    assert (low == high) == (length == 52)


@pytest.mark.parametrize("text", ["", "abcdefg", "ABCDEFGH", "abcdefg1", "abcdefg!", "a" * 53, "äbcdefgh"])
def test_what_begins_no_id_has_no_bounds(text: str) -> None:
    assert ids_that_begin(text) is None


async def ask(world: World, command: str, **arguments: object) -> dict:
    commands: Commands = commands_of(world.relay.services)
    return await commands.run(command, arguments, by=Authority.of_machine(0))


async def test_an_account_is_named_by_handle_id_or_the_beginning_of_it() -> None:
    async with open_world() as world:
        anna = await world.member(handle="anna")
        whole = encode_id(anna.account_id)
        for named in ("anna", whole, whole[:8]):
            assert (await ask(world, "account.resume", account=named))["account"] == whole
        for named in ("bert", whole[:7], whole[:7] + "1", "A" * 8):
            with pytest.raises(NotFound):
                await ask(world, "account.resume", account=named)


async def test_the_beginning_of_two_ids_names_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_world() as world:
        await world.member()
        await world.member()
        monkeypatch.setattr(
            "relay.services.administration.ids_that_begin", lambda _: (bytes(32), b"\xff" * 32)
        )
        with pytest.raises(MalformedRequest, match="several accounts"):
            await ask(world, "account.suspend", account="anything")


async def test_who_has_a_role_that_there_is_not_is_no_empty_list() -> None:
    async with open_world(roles={"helper": ["submit"]}) as world:
        helper = await world.member(role="helper")
        world.relay.services.roles.change(None)
        (listed,) = (await ask(world, "account.list", role="helper"))["accounts"]
        assert listed["account"] == helper.account  # defined no more, and found all the same
        with pytest.raises(MalformedRequest, match="did you mean `moderator`"):
            await ask(world, "account.list", role="moderatr")


async def test_an_owner_cannot_shut_the_relay_s_last_owner_out() -> None:
    async with open_world() as world:
        await world.member(role="owner", handle="anna")
        with pytest.raises(LastOwner):
            await ask(world, "account.suspend", account="anna")
        with pytest.raises(LastOwner):
            await ask(world, "role.revoke", account="anna")
        await world.member(handle="bert")
        assert (await ask(world, "role.grant", account="bert", role="owner"))["role"] == "owner"
        assert (await ask(world, "role.revoke", account="anna"))["role"] == "member"


async def test_a_role_that_there_is_not_is_refused() -> None:
    async with open_world() as world:
        await world.member(handle="anna")
        with pytest.raises(MalformedRequest, match="owner, admin"):
            await ask(world, "role.grant", account="anna", role="king")


async def test_a_new_role_counts_from_the_next_request_on() -> None:
    async with open_world() as world:
        anna = await world.member(handle="anna")
        other = json.dumps({"handle": "anna2"}).encode()
        await ask(world, "role.grant", account="anna", role="guest")
        refused = await anna.call("PUT", "/v1/handle", body=other)
        assert (refused.status, refused.code) == (403, "not_allowed")
        await ask(world, "role.revoke", account="anna")
        assert (await anna.call("PUT", "/v1/handle", body=other)).status == 204
