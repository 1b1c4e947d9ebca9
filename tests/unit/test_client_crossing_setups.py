"""Set-ups that cross, are renewed, lost, reordered and doubled, through two clients' stores: one session in the end (B12)."""

import random
from collections import Counter

import pytest

from client.message import Unopened
from client.store.session_rows import all_sessions
from tests.client_pair import DAY_MS, Person, bodies, open_pair


async def restart(person: Person) -> None:
    """What is not in the store's rows is gone."""
    await person.database.run(lambda tx: tx.cache.clear())


async def active_session(person: Person, peer: Person) -> bytes:
    own = person.account.account_id, person.account.device_id
    rows = await person.database.read(lambda tx: all_sessions(tx, own))
    active = rows[peer.account.account_id, peer.account.device_id].active
    assert active is not None
    return active.facts.session_id


@pytest.mark.parametrize("seed", range(8))
async def test_b12_any_interleaving_ends_in_one_session_and_shows_each_message_once(tmp_path, seed):
    chance = random.Random(seed)  # which interleaving, not a key
    async with open_pair(tmp_path) as (alice, bob):
        await bob.knows(alice)
        other = {alice.name: bob, bob.name: alice}
        flying: list[tuple[Person, str, bytes]] = []
        expected: dict[str, Counter[bytes]] = {alice.name: Counter(), bob.name: Counter()}
        said = 0
        for _ in range(40):
            person = chance.choice((alice, bob))
            match chance.choice(("say", "say", "arrive", "arrive", "lose", "double", "restart", "time")):
                case "say":
                    said += 1
                    text = f"{person.name} {said}"
                    (ciphertext,) = await person.say(other[person.name], text)
                    flying.append((other[person.name], text, ciphertext))
                case "arrive" if flying:
                    to, text, ciphertext = flying.pop(chance.randrange(len(flying)))
                    await to.receive([ciphertext])
                    expected[to.name][bodies(text)[0]] = 1
                case "double" if flying:
                    to, text, ciphertext = chance.choice(flying)
                    await to.receive([ciphertext])
                    expected[to.name][bodies(text)[0]] = 1
                case "lose" if flying:
                    flying.pop(chance.randrange(len(flying)))
                case "restart":
                    await restart(person)
                case "time":
                    alice.clock.ms += 2 * DAY_MS
                    for one in (alice, bob):
                        await one.refresh_prekeys()
        for to, text, ciphertext in chance.sample(flying, len(flying)):
            await to.receive([ciphertext])
            expected[to.name][bodies(text)[0]] = 1
        for turn, person in enumerate((alice, bob, alice, bob)):
            text = f"turn {turn}"
            await restart(person)
            await other[person.name].receive(await person.say(other[person.name], text))
            expected[other[person.name].name][bodies(text)[0]] = 1
        assert await active_session(alice, bob) == await active_session(bob, alice)
        for person in (alice, bob):
            assert Counter(await person.texts(other[person.name])) == expected[person.name]
            assert not any(isinstance(one, Unopened) for one in await person.told())
