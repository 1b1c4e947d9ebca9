"""A peer, or a relay, that sends a client anything at all: nothing raises, nothing is lost, nothing false is shown."""

import random

import msgspec
import pytest

from client.account import load_account
from client.contents import Introduction, Text, decode_content, encode_body, encode_content
from client.envelopes import Encrypted
from client.message import Unopened
from client.shown_message import Showing
from client.store import history
from client.store.session_rows import all_sessions, save_sessions
from crypto.padding import BUCKETS
from crypto.sessions import encrypt
from relay.wire.links import encode_id
from tests.client_pair import Person, bodies, open_pair


async def sealed(alice: Person, bob: Person, inner: bytes) -> bytes:
    """A ciphertext of Alice's session with any bytes inside."""

    def seal(tx):
        own = alice.account.account_id, alice.account.device_id
        key = bob.account.account_id, bob.account.device_id
        sessions, ciphertext = encrypt(
            all_sessions(tx, own)[key],
            inner,
            alice.account.own,
            now_ms=alice.clock.now(),
            random=alice.system.random,
        )
        save_sessions(tx, own, {key: sessions}, alice.clock.now())
        return ciphertext

    return await alice.database.run(seal)


def mutations(good: bytes, chance: random.Random, count: int) -> list[bytes]:
    """Changed, cut and lengthened copies, and noise of every size that an envelope can have."""
    changed = []
    for _ in range(count):
        bad = bytearray(good)
        for _ in range(chance.choice((1, 1, 1, 8))):
            bad[chance.randrange(len(bad))] = chance.randrange(256)
        if chance.random() < 0.2:
            bad = bad[: chance.randrange(1, len(bad))]
        if chance.random() < 0.1:
            bad += chance.randbytes(chance.choice((1, 256)))
        if bytes(bad) != good:
            changed.append(bytes(bad))
    return changed + [
        bytes((kind,)) + chance.randbytes(size - 1) for size in BUCKETS[:12] for kind in range(4)
    ]


@pytest.mark.parametrize("phase", ["set-up", "session"])
async def test_e1_mutated_envelopes_are_counted_and_the_good_one_opens_after_them(tmp_path, phase):
    chance = random.Random(phase)
    async with open_pair(tmp_path) as (alice, bob):
        if phase == "session":
            await bob.receive(await alice.say(bob, "hello"))
            await alice.receive(await bob.say(alice, "hello to you"))
        (good,) = await alice.say(bob, "good")
        bad = mutations(good, chance, 250)
        taken = await bob.receive(bad)
        assert (taken.messages, taken.gap_of) == (0, None)
        assert len([one for one in await bob.told() if isinstance(one, Unopened)]) == len(bad)
        await bob.receive([good])
        assert (await bob.texts(alice))[-1:] == bodies("good")


async def test_e1_anything_inside_a_good_envelope_is_a_message_or_counted_and_can_be_shown(tmp_path):
    chance = random.Random(7)
    async with open_pair(tmp_path) as (alice, bob):
        await bob.receive(await alice.say(bob, "hello"))
        await alice.receive(await bob.say(alice, "hello to you"))
        await alice.draft(bob, "a template")
        assert isinstance(await alice.encrypt(bob), Encrypted)
        (row,) = await alice.outgoing()
        template = decode_content(row.content)
        inner = [chance.randbytes(chance.randrange(1, 200)) for _ in range(50)]
        inner += [
            b"\x91" * 5_000,
            b"\xc1",
            b"",
            msgspec.msgpack.encode(None),
            msgspec.msgpack.encode([]),
            b"\x99" + b"\xc0" * 9,
        ]
        inner += mutations(row.content, chance, 150)[:150]
        for number, fields in enumerate(
            (
                {"sent_at_ms": 2**53},
                {"counter": 2**53, "previous_hash": bytes(32)},
                {"counter": 2**52, "previous_hash": bytes(32)},
                {"type": 65_535, "body": msgspec.Raw(b"\x91" * 900 + b"\xc0")},
                {"type": 1, "body": msgspec.Raw(b"\xc0")},
                {"type": 1, "body": msgspec.Raw(encode_body(Text("\x00\x1b[2J\u202e")))},
                {"type": 2, "body": msgspec.Raw(encode_body(Text("not a file")))},
                {"introduction": Introduction(bytes(16), "\x1b[2J")},
                {"introduction": Introduction(bytes(16), "bob")},
                {"expires_after_seconds": 2**32},
            )
        ):
            changed = msgspec.structs.replace(template, message_id=bytes((number,)) * 16, **fields)
            inner.append(encode_content(changed))
        before = bob.sequence
        for one in inner:
            await bob.receive([await sealed(alice, bob, one)])
        assert bob.sequence - before == len(inner)

        async def never(*arguments: object) -> None:
            raise AssertionError

        def show(tx):
            showing = Showing(load_account(tx), never, never)  # type: ignore[arg-type]
            return [showing.message(tx, row).as_json() for row in history.not_given(tx, 0, 10_000)]

        shown = await bob.database.read(show)
        assert len(shown) >= 10
        assert {one["type"] for one in shown} <= {"text", "file", "unknown"}
        assert {one["from"] for one in shown} == {encode_id(alice.id)}  # since she claimed to be Bob
        assert any(one["sent_at"].startswith("9999-12-31") for one in shown)
        counted = await bob.database.read(lambda tx: tx.one("SELECT count(*) FROM absent")[0])
        assert counted <= history.MAX_ABSENT_NOTED
        await bob.receive(await alice.say(bob, "as if nothing had been"))
        # Its number was jumped over, so in the history it stands before what claimed to come after it.
        assert (await bob.texts(alice)).count(bodies("as if nothing had been")[0]) == 1
        rows = await bob.database.read(lambda tx: history.not_given(tx, 0, 10_000))
        assert rows[-1].body == bodies("as if nothing had been")[0]
