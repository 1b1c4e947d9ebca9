"""What members do not get: a cut that the relay keeps back is told, and who came in by a device that had left hears nothing."""

from dataclasses import replace

import pytest

from client.contents import ContentType
from client.groups.bodies import AskBody, Lacks, encode
from client.groups.following import learn
from client.logs import LogPage
from client.signals import draft_signal
from client.store.group_doors import Join, JoinState, keep_join
from client.store.groups import Status
from client.store.peers import save_chain
from crypto.group_changes import Remove
from crypto.group_proposals import add, hand_outs
from crypto.group_rights import Role
from tests.client_pair import bodies
from tests.group_town import Citizen, open_town
from tests.unit.test_client_group_upkeep import without_device


class Backward:
    """The relay's logs for one member: nothing that came since it was made, or something that nobody sealed in its place."""

    def __init__(self, logs, length: int, *, garbled: bool) -> None:
        self._logs = logs
        self._length = length
        self._garbled = garbled

    async def read(self, log_id: bytes, read_token: bytes, from_index: int) -> LogPage:
        newest = self._logs.keys[log_id][-1].read_token
        page = await self._logs.read(log_id, newest, from_index)
        if self._garbled:
            return replace(
                page, entries=tuple(replace(one, entry=b"\x01" + bytes(511)) for one in page.entries)
            )
        return LogPage((), 0, max(self._length, from_index))


@pytest.mark.proves("M-GROUP-04")
@pytest.mark.parametrize("garbled", [False, True], ids=["kept back", "replaced"])
async def test_b5_a_member_without_the_cut_of_a_secret_that_it_has_tells_its_user_after_a_minute(
    tmp_path, garbled
):
    async with open_town(tmp_path, "alice", "bob", "carol", "dave") as (town, (alice, bob, carol, dave)):
        group = await town.group_of(alice, bob, carol, dave, roles={carol.id: Role.ADMIN})
        for one in (bob, carol):
            one.care._reader._logs = Backward(town.logs, len(town.logs.logs[group]), garbled=garbled)
        await alice.want(group, Remove(dave.id))
        await town.settle()
        for one in (bob, carol):
            row = await one.row(group)
            assert dave.id in row.view.state.by_account, "it does not see the cut"
            assert max(given.epoch for given in row.view.waiting) == row.view.state.epoch + 1
        town.clock.ms += 59_999
        await bob.look(group)
        assert "commit_withheld" not in await bob.person.warned()
        town.clock.ms += 1
        for _ in range(2):
            await bob.look(group)
            await carol.look(group)
        assert (await bob.person.warned()).count("commit_withheld") == 1
        assert "commit_withheld" not in await carol.person.warned(), (
            "who may commit has secrets before their cut"
        )
        # It is told of each such cut, not of the group once and for all.
        await alice.want_cut(group)
        await town.settle()
        town.clock.ms += 60_000
        await bob.look(group)
        assert (await bob.person.warned()).count("commit_withheld") == 2


async def ask(citizen: Citizen, of: Citizen, group: bytes, lacks: Lacks) -> None:
    """The member asks another for what it lacks."""
    body, person = encode(AskBody(group, lacks)), citizen.person
    await citizen.do(
        lambda tx: draft_signal(tx, person.account, [of.id], ContentType.GROUP_ASK, body, person.system)
    )


@pytest.mark.proves("M-GROUP-03")
async def test_b6_who_was_added_by_a_device_that_has_left_gets_no_chain_until_a_device_that_is_in_has_cut(
    tmp_path,
):
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        laptop = await town.second_device(alice, "laptop")
        await town.introduce(alice, bob, carol, laptop)
        group = await town.group_of(alice, bob)
        await town.settle()
        assert (await laptop.row(group)).status is Status.MEMBER
        # Alice takes her laptop out: bob knows of it. Whoever has the laptop commits before her phone does.
        without_device(alice, laptop)
        own = alice.person.account.own
        for one in (alice, bob):
            await one.do(lambda tx: save_chain(tx, own))
        town.offline = {"alice"}
        join = Join(group, alice.id, bytes(16), "a group", JoinState.ASKED)
        await carol.do(lambda tx: keep_join(tx, join))
        await laptop.want(group, add(carol.id, carol.person.account.own.version, Role.MEMBER))
        await town.settle()
        await bob.look(group)  # what the laptop tells him he does not open
        for one in (bob, carol):
            assert carol.id in (await one.row(group)).view.state.by_account
        await bob.say(group, "not to carol")
        await ask(carol, bob, group, Lacks.CHAIN)
        await town.settle()

        async def carol_has_nothing() -> bool:
            given = await bob.do(lambda tx: tx.all("SELECT account_id FROM group_given"))
            return (carol.id,) not in given and await carol.texts(group) == []

        assert await carol_has_nothing()
        epoch = (await bob.row(group)).view.state.epoch
        await laptop.want_cut(group)
        await town.settle()
        # Its secret comes to bob all the same, by somebody who does not know yet that the laptop has left.
        secrets = hand_outs((await laptop.row(group)).view, bob.id, since_epoch=epoch + 1)
        await bob.do(lambda tx: learn(tx, group, secrets, town.clock.ms))
        await bob.look(group)
        assert (await bob.row(group)).view.state.epoch == epoch + 1
        await bob.say(group, "nor after a cut by the same device")
        await town.settle()
        assert await carol_has_nothing()
        town.offline.clear()
        await alice.want_cut(group)
        await town.settle()
        assert (await bob.row(group)).view.state.epoch > epoch + 1
        await bob.say(group, "to all")
        await town.settle()
        assert await carol.texts(group) == bodies("to all")
