"""The longest way of a first message, through the real client and relay: no key goes too early, none comes back (A12)."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from client.account import load_account
from client.client import Client
from client.connection import open_connection
from client.errors import RelayUnreachable
from client.message import Event, Message, Missed, Unopened
from client.prekey_care import tend_prekeys
from client.relay_terms import find_terms
from client.store import queue
from client.store.database import Database
from client.store.key_file import load_key
from client.store.peers import PUBLIC, find_by_handle
from client.store.prekey_rows import load_prekeys
from client.store.session_rows import all_sessions
from client.system import this_machine
from client.transport import Transport
from client.work import Piece, find_work
from crypto.prekeys import KeyKind
from relay.composition import Machine
from relay.testing import open_test_relay
from relay.wire.frames import Accepted, EnvelopeClass, Grant, Outcome, Submit, Target
from relay.wire.limits import ENVELOPE_ID_BYTES, MAX_TTL_SECONDS
from tests.running_relay import ShiftedClock

DAY_SECONDS = 86_400


class World:
    """A relay that can be away, and homes; one clock for all, in days since the beginning."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ShiftedClock()
        self.system = replace(this_machine(), now_ms=self.clock.now_ms)
        self.listen = "127.0.0.1:0"
        self._day = 0.0

    def on_day(self, day: float) -> None:
        self.clock.let_pass(seconds=(day - self._day) * DAY_SECONDS)
        self._day = day

    @asynccontextmanager
    async def relay(self):
        machine = Machine(clock=self.clock)
        async with open_test_relay(
            folder=self.folder / "relay", store="sqlite", machine=machine, listen=self.listen
        ) as relay:
            self.listen = relay.url.removeprefix("http://")
            yield relay

    def client(self, name: str) -> Client:
        return Client.open(self.folder / name, system=self.system)

    @asynccontextmanager
    async def store(self, name: str) -> AsyncIterator[Database]:
        home = self.folder / name
        async with Database(home, load_key(home, None)) as database:
            yield database

    async def rotate(self, name: str) -> None:
        """Prekeys are tended; the mailbox is not read."""
        async with self.store(name) as database:
            account = await database.read(load_account)
            async with Transport(account.origin, self.system, account) as transport:
                await tend_prekeys(transport, database, account, self.system)

    async def listen_once(self, name: str) -> list[Event]:
        async with self.client(name) as client:
            return [one async for one in client.events(until_caught_up=True, patience_seconds=20)]

    async def submit(self, by: str, to: str, envelope: queue.Envelope) -> None:
        """The bytes of an envelope once more, under another id: what a relay, or whoever has them, can do."""
        async with self.store(by) as database:
            account = await database.read(load_account)
            peer = await database.read(lambda tx: find_by_handle(tx, to))
            terms = await database.read(find_terms)
        assert peer is not None
        assert peer.token is not None
        envelope_id = os.urandom(ENVELOPE_ID_BYTES)
        piece = Piece(envelope_id, peer.account_id, peer.token, terms.public_work_bits)
        is_public = peer.token_class == PUBLIC
        work = find_work(piece, given_up=lambda: False) if is_public else b""
        assert work is not None
        frame = Submit(
            request_id=1,
            envelope_id=envelope_id,
            envelope_class=EnvelopeClass.DURABLE,
            urgent=False,
            ttl_seconds=MAX_TTL_SECONDS,
            ciphertexts=(envelope.ciphertext,),
            targets=(Target(envelope.device_id, 0, 0),),
            grants=(Grant(peer.account_id, peer.token, 1),),
            work=(work,),
        )
        async with (
            Transport(account.origin, self.system) as transport,
            open_connection(transport, None) as connection,
        ):
            await connection.send([frame])
            (answer,) = await connection.receive()
        assert isinstance(answer, Accepted)
        assert answer.outcomes == (Outcome.STORED,)


def texts(events: list[Event]) -> list[str | None]:
    return [one.text for one in events if isinstance(one, Message)]


async def test_a12_fetched_on_day_0_encrypted_on_7_submitted_on_14_read_on_44_opens_and_never_again(tmp_path):
    world = World(tmp_path)
    async with world.relay() as relay:
        await Client.register(tmp_path / "alice", relay.owner_invite, handle="alice", system=world.system)
        await Client.register(tmp_path / "bob", await relay.invite(), handle="bob", system=world.system)
        async with world.client("alice") as alice:
            await alice.send("bob", "fetched on day 0")
    world.on_day(7 - 0.001)
    async with world.client("alice") as alice:
        with pytest.raises(RelayUnreachable):
            await alice.send("bob", "encrypted on day 7", patience_seconds=0.1)
    async with world.store("alice") as store:
        (row,) = await store.read(lambda tx: queue.outgoing_after(tx, 0, 10))
    async with world.relay():
        await world.rotate("bob")
        world.on_day(14 - 0.002)
        await world.rotate("bob")
        async with world.client("alice") as alice:
            assert await alice.flush() == 1
        for day in (21, 28, 35, 42):
            world.on_day(day)
            await world.rotate("bob")
        world.on_day(44 - 0.003)
        events = await world.listen_once("bob")
        assert texts(events) == ["encrypted on day 7"]
        assert [one for one in events if isinstance(one, Missed)] == [Missed(1, "expired")]
        assert not any(isinstance(one, Unopened) for one in events)

        # The bytes come again while the keys are there, and when they are gone.
        (envelope,) = row.envelopes
        await world.submit("alice", "bob", envelope)
        world.on_day(45)
        events = await world.listen_once("bob")
        assert (texts(events), [one for one in events if isinstance(one, Unopened)]) == ([], [])
        for day in range(52, 105, 7):
            world.on_day(day)
            await world.listen_once("bob")
            await world.rotate("bob")
        async with world.store("bob") as store:
            keys = (await store.read(load_prekeys)).keys
            own = await store.read(load_account)
            (kept,) = (
                await store.read(lambda tx: all_sessions(tx, (own.account_id, own.device_id)))
            ).values()
        assert kept.replays == ()  # its signed prekey is gone: nothing to remember
        assert min(key.key_id for key in keys if key.kind is KeyKind.SIGNED) > 1
        await world.submit("alice", "bob", envelope)
        events = await world.listen_once("bob")
        assert (texts(events), [one for one in events if isinstance(one, Unopened)]) == (
            [],
            [Unopened("undecryptable")],
        )
        async with world.client("bob") as bob:
            assert [message.text for message in await bob.history("alice")] == ["encrypted on day 7"]


async def test_what_waits_for_more_than_7_days_is_encrypted_anew_and_comes_once(tmp_path):
    world = World(tmp_path)
    async with world.relay() as relay:
        await Client.register(tmp_path / "alice", relay.owner_invite, handle="alice", system=world.system)
        await Client.register(tmp_path / "bob", await relay.invite(), handle="bob", system=world.system)
        async with world.client("alice") as alice:
            await alice.send("bob", "zero")
    async with world.client("alice") as alice:
        for text in ("one", "two", "three"):
            with pytest.raises(RelayUnreachable):
                await alice.send("bob", text, patience_seconds=0.1)
    async with world.store("alice") as store:
        before = await store.read(lambda tx: queue.outgoing_after(tx, 0, 10))
    assert len(before) == 3
    world.on_day(3)
    async with world.client("alice") as alice:
        with pytest.raises(RelayUnreachable):
            await alice.send("bob", "on day 3", patience_seconds=0.1)
    async with world.relay():
        # One of them was taken, and its answer lost.
        await world.submit("alice", "bob", before[1].envelopes[0])
        world.on_day(7.01)
        async with world.client("alice") as alice:
            assert await alice.flush() == 4
        events = await world.listen_once("bob")
        assert texts(events) == ["zero", "two", "one", "three", "on day 3"]
        assert not any(isinstance(one, Unopened) for one in events)
