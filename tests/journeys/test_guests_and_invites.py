"""Who lets whom in: members by links of their own, guests who write to the accounts of their link alone, reserved handles."""

import json
from pathlib import Path

import pytest

from client.client import Client
from client.errors import Refused, UnknownRecipient
from relay.config import Settings
from relay.wire.errors import MalformedRequest
from relay.wire.links import decode_id, encode_bytes
from tests import command
from tests.chatting import open_people, texts
from tests.raw_device import RawDevice
from tests.relay_process import run, serving
from tests.running_relay import ShiftedClock, open_world

DAY_MS = 86_400_000
TOKEN = bytes(range(16))


async def test_a_member_lets_members_in_as_far_as_the_relay_allows(tmp_path: Path):
    async with (
        open_people(tmp_path, "alice", limits={"invites_of_account": 2}) as people,
        people.client("alice") as alice,
    ):
        made = [await alice.invites.create() for _ in range(2)]
        with pytest.raises(Refused) as refused:
            await alice.invites.create()
        assert refused.value.reason == "quota_exceeded"
        assert [one.name for one in await alice.invites.list()] == [one.name for one in made]
        await alice.invites.revoke(made[0].name)
        bob = await Client.register(tmp_path / "bob", str(made[1].link), handle="bob")
        assert bob.role == "member"
        assert await alice.invites.list() == []
        for link in (made[0].link, made[1].link):  # revoked; used up
            with pytest.raises(Refused) as refused:
                await Client.register(tmp_path / "carol", str(link))
            assert refused.value.reason == "invite_invalid"


@pytest.mark.parametrize("policy", ["admin", "closed"])
async def test_where_operators_alone_invite_members_do_not(tmp_path: Path, policy: str):
    async with open_world() as world:
        device = await world.member()
        world.relay.services.current.settings = world.relay.services.settings.model_copy(
            update={"registration": policy}
        )
        answered = await device.call("POST", "/v1/invites", {})
        assert (answered.status, answered.code) == (403, "not_allowed")


@pytest.mark.parametrize(
    "change",
    [{"registration": "admin"}, {"limits": {"invites_of_account": 0}}],
    ids=["admin", "no invites"],
)
async def test_once_operators_alone_invite_links_of_members_are_good_for_nothing(change: dict):
    async with open_world() as world:
        made = (await (await world.member()).call("POST", "/v1/invites", {"uses": 3})).json["link"]
        by_operator = await world.relay.invite()
        first, second = world.device(), world.device()
        assert (await first.register(made)).status == 201
        before = world.relay.services.settings
        world.relay.services.identity.change(Settings.model_validate({"data": before.data, **change}))
        refused = await second.register(made)
        assert (refused.status, refused.code) == (403, "invite_invalid")
        assert (await first.register(made)).status == 201  # the answer was lost
        assert (await world.device().register(by_operator)).status == 201
        world.relay.services.identity.change(before)
        assert (await second.register(made)).status == 201


async def test_a_link_of_somebody_who_may_invite_no_more_is_good_for_nothing():
    async with open_world() as world:
        maker = await world.member()
        made = (await maker.call("POST", "/v1/invites", {})).json["link"]
        accounts, account_id = world.relay.services.store.accounts, decode_id(maker.account, 32)
        await accounts.set_role(account_id, "bot", owner="owner")
        refused = await world.device().register(made)
        assert (refused.status, refused.code) == (403, "invite_invalid")
        await accounts.set_role(account_id, "member", owner="owner")
        assert (await world.device().register(made)).status == 201


async def test_a_link_for_a_role_that_is_defined_no_more_makes_no_account():
    async with open_world(roles={"helper": ["submit", "read_mailbox"]}) as world:
        made = await world.relay.invite(role="helper")
        with_handle = await world.device().register(made, handle="helper")
        assert (with_handle.status, with_handle.code) == (403, "not_allowed")
        world.relay.services.roles.change(None)
        refused = await world.device().register(made)
        assert (refused.status, refused.code) == (403, "invite_invalid")


async def test_a_guest_gets_no_handle_by_registering_either():
    async with open_world() as world:
        made = await (await world.member()).call("POST", "/v1/invites", {"role": "guest"})
        guest = world.device()
        refused = await guest.register(made.json["link"], handle="visitor")
        assert (refused.status, refused.code) == (403, "not_allowed")
        assert (await guest.register(made.json["link"])).status == 201  # the link was not used up
        assert (await guest.call("GET", "/v1/accounts/self")).json["handle"] is None


async def test_a_guest_writes_to_the_account_of_its_link_and_to_nobody_else(tmp_path: Path):
    async with (
        open_people(tmp_path, "alice", "bob") as people,
        people.client("alice") as alice,
        people.client("bob") as bob,
    ):
        link = await alice.invites.create(guests=True, stay_days=1)
        guest = await Client.register(tmp_path / "guest", str(link.link))
        assert guest.role == "guest"
        async with Client.open(tmp_path / "guest") as visitor:
            await visitor.send("alice", "I have a question")
            assert await texts(alice) == ["I have a question"]
            await alice.send(guest.account, "ask it")
            assert await texts(visitor) == ["ask it"]
            # Bob is in the directory, and for a guest he is not.
            with pytest.raises(UnknownRecipient):
                await visitor.send("bob", "hello")
            with pytest.raises(Refused):
                await visitor.invites.create()
            # With a link to him it knows a way to his mailbox, and gets no keys to write into it.
            with pytest.raises(Refused) as refused:
                await visitor.send(str(await bob.contact_link()), "hello")
            assert refused.value.reason == "not_allowed"
            assert await texts(bob) == []


async def test_a_guest_goes_when_its_time_is_over(tmp_path: Path):
    clock = ShiftedClock()
    async with open_world(clock=clock) as world:
        host = await world.member()
        made = await host.call("POST", "/v1/invites", {"role": "guest", "uses": 2, "stay_seconds": 60})
        assert made.status == 201, made.body
        guest, member = world.device(), world.device()
        for device in (guest, member):
            assert (await device.register(made.json["link"])).status == 201
        told = (await guest.call("GET", "/v1/accounts/self")).json
        assert told["role"] == "guest"
        assert len(told["guest"]["hosts"]) == 1
        services = world.relay.services
        await services.store.accounts.set_role(decode_id(member.account, 32), "member", owner="owner")
        assert await services.deletion.end_guests(now_ms=clock.now_ms() + 59_000) == 0
        assert await services.deletion.end_guests(now_ms=clock.now_ms() + 61_000) == 1
        assert (await guest.call("GET", "/v1/accounts/self")).status == 401
        assert (await member.call("GET", "/v1/accounts/self")).status == 200


async def test_a_guest_on_a_relay_of_signed_submits_reaches_its_host_alone(tmp_path: Path):
    async with (
        open_people(tmp_path, "alice", "bob", anonymous_submit=False) as people,
        people.client("alice") as alice,
    ):
        link = await alice.invites.create(guests=True)
        await Client.register(tmp_path / "guest", str(link.link))
        async with Client.open(tmp_path / "guest") as visitor:
            await visitor.send("alice", "hello")
            assert await texts(alice) == ["hello"]


async def test_a_guest_who_signs_its_submits_is_refused_elsewhere_whatever_token_it_shows():
    async with open_world(anonymous_submit=False) as world:
        host, other = await world.member(), await world.member()
        made = await host.call("POST", "/v1/invites", {"role": "guest"})
        guest = world.device()
        assert (await guest.register(made.json["link"])).status == 201
        for device in (host, other):
            assert (await device.add_token(TOKEN)).status == 204

        def body(device: RawDevice) -> dict:
            account_id, token = encode_bytes(device.account_id), encode_bytes(TOKEN)
            return {
                "envelope_id": encode_bytes(bytes(16)),
                "envelope_class": 1,
                "ttl_seconds": 60,
                "ciphertexts": [encode_bytes(b"sealed")],
                "targets": [{"device_id": encode_bytes(device.device_id), "ciphertext": 0, "grant": 0}],
                "grants": [{"account_id": account_id, "token": token, "manifest_version": 1}],
            }

        assert (await guest.call("POST", "/v1/envelopes", body(host))).json["outcomes"] == [1]
        refused = await guest.call("POST", "/v1/envelopes", body(other))
        assert (refused.status, refused.code) == (403, "not_allowed")
        assert (await host.call("POST", "/v1/envelopes", body(other))).json["outcomes"] == [1]


async def test_an_account_makes_no_invite_for_a_role_above_it():
    async with open_world() as world:
        device = await world.member()
        maker = await world.relay.services.devices.find(device.device_id)
        assert maker is not None
        for role in ("moderator", "owner", "bot"):
            with pytest.raises(MalformedRequest):
                await world.relay.services.invites.create_own(
                    maker, role=role, uses=1, ttl_seconds=60, stay_seconds=None
                )


async def test_a_closed_relay_takes_its_owner_and_nobody_after(tmp_path: Path):
    async with open_world(registration="closed") as world:
        first = world.device()
        assert world.relay.owner_invite is not None
        assert (await first.register(world.relay.owner_invite)).status == 201
        assert (await first.register(world.relay.owner_invite)).status == 201  # the answer was lost
        later = await world.device().register(await world.relay.invite())
        assert (later.status, later.code) == (403, "not_allowed")


async def test_operators_invite_guests_and_keep_handles_back_by_commands(tmp_path: Path):
    data = tmp_path / "data"
    with serving(data) as served:
        alice, guest = tmp_path / "alice", tmp_path / "guest"
        await command.done(alice, "register", served.invite, "--handle", "alice")

        def operator(*arguments: str) -> list[dict]:
            done = run(*arguments, "--data", str(data), "--json")
            assert done.returncode == 0, done.stderr
            return [json.loads(line) for line in done.stdout.splitlines()]

        refused = run("invite", "create", "--role", "guest", "--data", str(data))
        assert (refused.returncode, "names 1 to 8 accounts" in refused.stderr) == (1, True)
        (made,) = operator("invite", "create", "--role", "guest", "--host", "alice", "--stay-days", "3")
        (listed,) = operator("invite", "list")
        assert (len(listed["hosts"]), listed["stay_seconds"]) == (1, 3 * 86_400)
        await command.done(guest, "register", made["link"])
        await command.done(guest, "send", "alice", "may I come in?")
        heard = await command.done(alice, "listen", "--until-caught-up")
        assert [one["text"] for one in heard if one["type"] == "text"] == ["may I come in?"]

        (own,) = await command.done(alice, "invite", "create", "--uses", "2")
        assert own["link"].startswith("http")
        assert [one["uses_left"] for one in await command.done(alice, "invite", "list")] == [2]
        await command.done(alice, "invite", "revoke", own["name"])
        assert await command.done(alice, "invite", "list") == []

        operator("handle", "reserve", "admin")
        operator("handle", "reserve", "help", "--for", "alice")
        assert [one["handle"] for one in operator("handle", "list")] == ["admin", "help"]
        (link,) = operator("invite", "create")
        status, _, told = await command.call(tmp_path / "bob", "register", link["link"], "--handle", "admin")
        assert (status, "handle_taken" in told) == (command.REFUSED, True)
        operator("handle", "release", "admin")
        await command.done(tmp_path / "bob", "register", link["link"], "--handle", "admin")
        taken = run("handle", "reserve", "admin", "--data", str(data))
        assert (taken.returncode, "somebody has this handle" in taken.stderr) == (1, True)
        rows = {row["action"] for row in operator("audit", "show")}
        assert {"handle.reserve", "handle.release", "invite.create", "invite.revoke"} <= rows
        assert served.stop()[0] == 0
