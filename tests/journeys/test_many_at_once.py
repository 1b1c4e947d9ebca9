"""Members who never talked before all write at once, with fewer one-time keys in stock than there are others; and nobody is
locked out of new conversations by an attacker who takes keys on purpose. `make many` plays the first with 120.
"""

import asyncio
from pathlib import Path

import pytest

from bench.many import Counted, run
from client import prekey_care
from crypto import limits
from relay.wire.limits import PREKEY_BUDGET_BURST, PREKEY_TARGET_BURST
from relay.wire.links import ContactLink, decode_bytes, encode_bytes, encode_id, parse_contact
from relay.wire.prekeys import PrekeyClass, parse_prekey
from tests.chatting import People, open_people, texts

MEMBERS = 8
STOCK = 3


@pytest.fixture
def few_keys(monkeypatch):
    """Devices with STOCK one-time keys of each kind, who make no more of them today."""
    monkeypatch.setattr(limits, "ONE_TIME_STOCK", STOCK)
    monkeypatch.setattr(prekey_care, "ONE_TIME_STOCK", STOCK)
    monkeypatch.setattr(prekey_care, "MAX_MADE_A_DAY", STOCK)


async def play(folder: Path) -> Counted:
    names = [f"member-{number}" for number in range(MEMBERS)]
    async with open_people(folder, *names, store="sqlite") as people:
        return await run([people.home(name) for name in names], patience_seconds=50)


async def test_a1_all_write_at_once_and_last_resort_keys_step_in(tmp_path, few_keys):
    counted = await play(tmp_path)
    others = MEMBERS - 1
    assert (counted.sent, counted.arrived) == (MEMBERS, MEMBERS * others)
    assert (counted.twice, counted.missing, counted.unopened) == (0, 0, {})
    assert counted.sessions == MEMBERS * others
    # Each pair began at least one session. All others asked the owner for keys; nobody's stock gave more than it had.
    assert counted.one_time + counted.last_resort >= MEMBERS * others // 2
    assert STOCK < counted.one_time <= MEMBERS * STOCK
    assert counted.last_resort >= others - STOCK


async def take_keys(people: People, link: ContactLink, count: int) -> list[bool]:
    """What strangers get who take so many sets of keys, each as often as it may: which of them had one-time keys."""
    got: list[bool] = []
    while len(got) < count:
        stranger = await people.world.member()
        for _ in range(min(PREKEY_BUDGET_BURST, count - len(got))):
            answered = await stranger.call(
                "POST",
                f"/v1/accounts/{encode_id(link.account_id)}/bundles",
                {"token": encode_bytes(link.token)},
            )
            (bundle,) = answered.json["bundles"]
            key = parse_prekey(decode_bytes(bundle["kem_prekey"]))
            got.append(key.key_class is PrekeyClass.ONE_TIME)
    return got


async def is_reached(people: People, link: ContactLink) -> None:
    """Somebody who never wrote to alice does, by her link, and gets her answer."""
    await people.register("bob")
    bob, alice = await people.enter("bob"), await people.enter("alice")
    await bob.send(str(link), "do you hear me?")
    async with asyncio.timeout(20):
        async for message in alice.messages():
            assert message.text == "do you hear me?"
            await message.reply("I do")
            break
    assert await texts(bob) == ["I do"]


async def test_a1_who_empties_a_device_s_stock_locks_nobody_out(tmp_path, few_keys):
    async with open_people(tmp_path, "alice") as people:
        async with people.client("alice") as alice:
            link = parse_contact(await alice.contact_link())
        got = await take_keys(people, link, 4 * STOCK)
        assert got == [True] * STOCK + [False] * 3 * STOCK
        await is_reached(people, link)


async def test_a1_who_empties_a_device_s_budget_locks_nobody_out(tmp_path):
    async with open_people(tmp_path, "alice", has_full_stock=True) as people:
        async with people.client("alice") as alice:
            link = parse_contact(await alice.contact_link())
        got = await take_keys(people, link, PREKEY_TARGET_BURST + 2)
        assert got == [True] * PREKEY_TARGET_BURST + [False] * 2
        await is_reached(people, link)
