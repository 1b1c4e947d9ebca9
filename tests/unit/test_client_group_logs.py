"""What names a group's log at the relay names nobody: whoever makes it, the same random bytes give the same."""

from dataclasses import replace

import pytest

from client.groups.committing import begin_creation
from client.store.database import Transaction
from client.store.group_wants import find_pending
from client.store.groups import find_group
from crypto.group_rights import Role
from tests.crypto_people import SeededRandom
from tests.group_people import group_of
from tests.group_town import Citizen, open_town


async def made_by(citizen: Citizen, name: str) -> tuple[bytes, bytes, bytes, bytes]:
    """A new group's id, and the write seed, secret and read token of its log, if these are the random bytes."""
    system = replace(citizen.person.system, random=SeededRandom(name))

    def make(tx: Transaction) -> tuple[bytes, bytes, bytes, bytes]:
        group = begin_creation(tx, (), system)
        pending, row = find_pending(tx, group), find_group(tx, group)
        assert pending is not None
        assert pending.hand_out is not None
        assert row is not None
        return group, pending.hand_out.write_seed, pending.hand_out.secret, row.read_token

    return await citizen.do(make)


@pytest.mark.proves("M-LOG-07")
async def test_c8_id_and_write_key_of_a_log_are_made_of_random_bytes_alone(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (_, (alice, bob)):
        by_alice, by_bob = await made_by(alice, "one"), await made_by(bob, "one")
        again = await made_by(alice, "two")
    assert by_alice[:3] == by_bob[:3]
    # Nothing stays the same for one person: not the token either, which hangs on the random secret.
    assert not set(by_alice) & set(again)
    assert len({len(one) for one in by_alice}) == len({32})


@pytest.mark.proves("M-LOG-07")
def test_c8_so_are_those_after_a_cut():
    log, (alice, bob) = group_of("alice", "bob", roles={"bob": Role.ADMIN})
    bob.catch_up(log)
    cuts = []
    for member, name in ((alice, "one"), (bob, "one"), (alice, "two")):
        member.random = SeededRandom(name)
        made = member.prepare((), cut=True)
        assert made.hand_out is not None
        cuts.append((made.hand_out.write_seed, made.hand_out.secret, made.keys.read_token))
    assert cuts[0][:2] == cuts[1][:2]
    assert not set(cuts[0]) & set(cuts[2])
