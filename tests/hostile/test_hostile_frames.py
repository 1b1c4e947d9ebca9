"""What a hostile client can send on a WebSocket: each gets its documented code, changes nothing, costs bounded memory."""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from relay.wire import limits
from relay.wire.codec import SUBPROTOCOL, encode_message
from relay.wire.errors import CLOSE_CODES
from relay.wire.frames import (
    Accepted,
    Ack,
    Anonymous,
    Authenticate,
    CaughtUp,
    Challenge,
    Deliver,
    EnvelopeClass,
    Frame,
    Grant,
    Outcome,
    Ready,
    Refused,
    Resume,
    Submit,
    Target,
)
from tests.raw_device import RawDevice
from tests.raw_socket import (
    RawSocket,
    anonymous,
    authenticated,
    open_socket,
    resumed,
    stored,
    submit_to,
)
from tests.running_relay import World, open_world

TOKEN = bytes(range(16))
MIB = 1_048_576


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with open_world() as opened:
        yield opened


@pytest.fixture
async def reader(world: World) -> RawDevice:
    device = await world.member()
    assert (await device.add_token(TOKEN)).status == 204
    return device


def resident_bytes() -> int:
    """Of this process, in which the relay runs; proc(5), statm."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def untouched(world: World, device: RawDevice) -> bool:
    """Whether nothing came into the mailbox."""
    return (await world.relay.services.store.mailboxes.state(device.device_id)).next_sequence == 1


def raw(*frames: object) -> bytes:
    return msgspec.msgpack.encode(frames)


MALFORMED = {
    "empty": b"",
    "no array": b"\x01",
    "no frames": raw(),
    "too many frames": raw(*[[5]] * 65),
    "no type": raw([]),
    "unknown type": raw([99]),
    "a relay's frame": raw([12, 1]),
    "a field missing": raw([2]),
    "a field too many": raw([5, 1]),
    "a wrong kind": raw([3, "0"]),
    "a float": raw([3, 0.0]),
    "a negative number": raw([3, -1]),
    "above the highest sequence": raw([3, 2**63]),
    "text for bytes": raw([4, "x" * 16, bytes(64)]),
    "short id": raw([4, bytes(15), bytes(64)]),
    "long signature": raw([4, bytes(16), bytes(65)]),
    "trailing bytes": raw([5]) + b"\x00",
    "cut off": raw([5])[:-1],
    "nested deeply": b"\x91" * 100_000,
    "an array that lies about its length": b"\xdd\xff\xff\xff\xff",
    "bytes that lie about their length": b"\x91\x93\x04\xc6\xff\xff\xff\xff",
    "a map": b"\x81\x01\x02",
    "an extension": b"\x91\xd4\x01\x01",
    "invalid utf-8": b"\x91\x92\x03\xa1\xff",
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_what_is_not_understood_is_refused_and_ends_the_connection(reader: RawDevice, name: str):
    async with anonymous(reader) as socket:
        await socket.send_raw(MALFORMED[name])
        assert await socket.refused() == ("malformed_frame", 4000)


async def test_a_text_message_is_malformed(reader: RawDevice):
    async with anonymous(reader) as socket:
        await socket.socket.send_str("hello")
        assert await socket.refused() == ("malformed_frame", 4000)


SUBMIT = Submit(
    1,
    bytes(16),
    EnvelopeClass.DURABLE,
    False,
    60,
    (b"c",),
    (Target(bytes(16), 0, 0),),
    (Grant(bytes(32), TOKEN, 1),),
)


@pytest.mark.parametrize("frame", [SUBMIT, Ack(0), Resume(0)], ids=lambda frame: type(frame).__name__.lower())
async def test_nothing_goes_before_the_challenge_is_answered(reader: RawDevice, frame: Frame):
    async with open_socket(reader.session, reader.origin) as socket:
        await socket.expect(Challenge)
        await socket.send(frame)
        assert await socket.refused() == ("out_of_turn", 4003)


@pytest.mark.parametrize(
    "frame",
    [Ack(0), Resume(0), Anonymous(), Authenticate(bytes(16), bytes(64))],
    ids=lambda frame: type(frame).__name__.lower(),
)
async def test_an_anonymous_connection_submits_and_does_nothing_else(reader: RawDevice, frame: Frame):
    async with anonymous(reader) as socket:
        await socket.send(frame)
        assert await socket.refused() == ("out_of_turn", 4003)


async def test_only_a_connection_with_the_mailbox_acknowledges(reader: RawDevice):
    async with anonymous(reader) as sender:
        await stored(sender, submit_to(reader, TOKEN))
    async with authenticated(reader) as socket:
        await socket.send(Ack(1))
        assert await socket.refused() == ("out_of_turn", 4003)
    async with resumed(reader) as socket:
        await socket.expect(Deliver)
        await socket.send(Resume(0))
        assert await socket.refused() == ("out_of_turn", 4003)


async def test_a_sequence_that_was_never_given_is_refused(reader: RawDevice):
    async with resumed(reader, 1) as socket:
        assert await socket.refused() == ("sequence_ahead", 4007)
    for frame in (Ack(1), Ack(0, (1,)), Ack(limits.MAX_SEQUENCE)):
        async with resumed(reader) as socket:
            await socket.expect(CaughtUp)
            await socket.send(frame)
            assert await socket.refused() == ("sequence_ahead", 4007)


async def test_a_submit_that_makes_no_sense_is_refused_and_the_connection_stays(
    world: World, reader: RawDevice
):
    good = submit_to(reader, TOKEN, request_id=1)
    target, grant = good.targets[0], good.grants[0]
    change = msgspec.structs.replace
    senseless = [
        change(good, targets=(Target(target.device_id, 1, 0),)),
        change(good, targets=(Target(target.device_id, 0, 1),)),
        change(good, targets=(target, target)),
        change(good, ciphertexts=(b"a", b"b")),
        change(good, grants=(grant, grant)),
        change(good, targets=(target, Target(bytes(16), 5, 0))),
        change(good, ttl_seconds=0),
        change(good, envelope_class=EnvelopeClass.EPHEMERAL),
    ]
    async with anonymous(reader) as socket:
        for number, submit in enumerate(senseless, 2):
            await socket.send(change(submit, request_id=number))
            assert await socket.expect(Refused) == Refused(number, "malformed_request", 0)
        assert await untouched(world, reader)
        await stored(socket, good)


async def test_answers_come_in_the_order_of_the_submits(reader: RawDevice):
    good = submit_to(reader, TOKEN, request_id=1)
    async with anonymous(reader) as socket:
        await socket.send(good)
        await socket.send(submit_to(reader, TOKEN, request_id=2, ttl_seconds=0))
        await socket.send(submit_to(reader, TOKEN, request_id=3, envelope_class=EnvelopeClass.EPHEMERAL))
        kinds = [(type(frame), frame.request_id) for frame in [await socket.next() for _ in range(3)]]  # type: ignore[attr-defined]
        assert kinds == [(Accepted, 1), (Refused, 2), (Accepted, 3)]


async def test_d7_a_socket_signature_fits_its_own_challenge_alone(world: World, reader: RawDevice):
    other = await world.member()
    async with (
        open_socket(reader.session, reader.origin) as first,
        open_socket(reader.session, reader.origin) as second,
    ):
        signature = reader.socket_signature((await first.expect(Challenge)).challenge)
        await second.expect(Challenge)
        await second.send(Authenticate(reader.device_id, signature))
        assert await second.refused() == ("unauthenticated", 4002)
        await first.send(Authenticate(other.device_id, signature))
        assert await first.refused() == ("unauthenticated", 4002)
    async with open_socket(reader.session, reader.origin) as third:
        challenge = (await third.expect(Challenge)).challenge
        elsewhere = RawDevice("https://other.example", reader.session, key=reader.key)
        elsewhere.device_id = reader.device_id
        await third.send(Authenticate(reader.device_id, elsewhere.socket_signature(challenge)))
        assert await third.refused() == ("unauthenticated", 4002)


async def test_c5_an_unknown_device_and_a_bad_signature_are_one_answer(world: World, reader: RawDevice):
    stranger = world.device()
    answers = set()
    for device, signature in ((stranger, None), (reader, bytes(64))):
        async with open_socket(reader.session, reader.origin) as socket:
            challenge = (await socket.expect(Challenge)).challenge
            await socket.send(Authenticate(device.device_id, signature or device.socket_signature(challenge)))
            answers.add(await socket.refused())
    assert answers == {("unauthenticated", 4002)}


async def test_c5_an_unknown_account_and_a_wrong_token_take_the_same_steps(
    world: World, reader: RawDevice, monkeypatch: pytest.MonkeyPatch
):
    store = world.relay.services.store
    steps: list[str] = []

    def counted(of: object, name: str) -> None:
        original = getattr(of, name)

        async def call(*arguments: object, **options: object) -> object:
            steps.append(name)
            return await original(*arguments, **options)

        monkeypatch.setattr(of, name, call)

    for of, name in (
        (store.accounts, "account"),
        (store.accounts, "device"),
        (store.delivery_tokens, "resolve"),
        (store.mailboxes, "append"),
    ):
        counted(of, name)
    async with anonymous(reader) as socket:
        await stored(socket, submit_to(reader, TOKEN))  # the account is in the relay's memory from here on
        taken = []
        for device, token in ((reader, bytes(16)), (world.device(), bytes(16)), (world.device(), TOKEN)):
            steps.clear()
            await socket.send(submit_to(device, token))
            assert (await socket.expect(Accepted)).outcomes == (Outcome.NOT_ALLOWED,)
            taken.append(tuple(steps))
    assert taken == [("resolve",)] * 3


async def test_the_subprotocol_is_asked_for(reader: RawDevice):
    for protocols in ((), ("mqtt",), (SUBPROTOCOL + "0",)):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await reader.session.ws_connect(f"{reader.origin}/v1/connect", protocols=protocols)
        assert refused.value.status == 400


async def test_f15_compression_is_not_negotiated(reader: RawDevice):
    async with open_socket(reader.session, reader.origin, compress=15) as socket:
        assert socket.socket.compress == 0
        await socket.expect(Challenge)
    async with open_socket(reader.session, reader.origin) as socket:
        await socket.expect(Challenge)
        await socket.socket.send_bytes(encode_message([Anonymous()]), compress=15)
        assert await socket.closed() in (1002, 1006)


async def test_f14_a_message_over_the_limit_ends_the_connection(world: World, reader: RawDevice):
    async with anonymous(reader) as socket:
        await socket.send_raw(encode_message([submit_to(reader, TOKEN)]) + bytes(limits.MAX_MESSAGE_BYTES))
        # 1006 if the reset overtakes the close frame: the relay does not wait for the rest of the message.
        assert await socket.closed() in (CLOSE_CODES["too_large"], 1006)
    assert await untouched(world, reader)


async def test_a_message_of_exactly_the_limit_is_taken(reader: RawDevice):
    def frames(sizes: list[int]) -> list[Submit]:
        return [submit_to(reader, TOKEN, bytes(size), request_id=7) for size in sizes]

    size = limits.MAX_ENVELOPE_BYTES - 200
    room = limits.MAX_MESSAGE_BYTES - len(encode_message(frames([size] * 4)))
    full = frames([size + room // 4 + (number < room % 4) for number in range(4)])
    assert len(encode_message(full)) == limits.MAX_MESSAGE_BYTES
    async with anonymous(reader) as socket:
        await stored(socket, *full)


async def _fuzz(device: RawDevice, generator: random.Random) -> None:
    """One connection with one altered message of a real client."""
    message = bytearray(
        encode_message([submit_to(device, TOKEN, generator.randbytes(2_000)), Ack(3, (5, 6)), Resume(4)])
    )
    for _ in range(generator.randrange(1, 8)):
        where = generator.randrange(min(len(message), 200))
        match generator.randrange(4):
            case 0:
                message[where] = generator.randrange(256)
            case 1:
                del message[where:]
                break
            case 2:
                message[where:where] = generator.randbytes(generator.randrange(1, 9))
            case _:
                message[where] ^= 1 << generator.randrange(8)
    async with anonymous(device) as socket:
        await socket.send_raw(bytes(message))
        code = await socket.closed()
        assert code in (4000, 4003), code


async def test_e1_f14_altered_and_giant_messages_cost_bounded_memory(world: World, reader: RawDevice):
    generator = random.Random(14)

    async def round_of(count: int) -> None:
        for _ in range(count):
            await _fuzz(reader, generator)
        for message in (b"\x91" * MIB, b"\xdd\x00\x0f\xff\xff" + bytes(MIB - 5), raw(["x" * (MIB - 100)])):
            async with anonymous(reader) as socket:
                await socket.send_raw(message)
                assert await socket.closed() == 4000

    await round_of(40)
    before = resident_bytes()
    await round_of(300)
    assert resident_bytes() - before < 8 * MIB


async def test_f13_who_does_not_answer_the_challenge_is_cut(world: World, reader: RawDevice):
    connections = world.relay.services.connections
    async with open_socket(reader.session, reader.origin) as socket, anonymous(reader) as other:
        await socket.expect(Challenge)
        for session in connections.sessions():
            connections.expire(session)  # what the timer of AUTHENTICATE_WITHIN_SECONDS calls
        assert await socket.refused() == ("unauthenticated", 4002)
        await stored(other, submit_to(reader, TOKEN))


async def test_the_log_names_nobody_and_nothing_of_what_was_sent(world: World, reader: RawDevice):
    async with anonymous(reader) as socket:
        await stored(socket, submit_to(reader, TOKEN, b"CANARY-BODY"))
        await socket.send_raw(b"CANARY-FRAME")
        await socket.refused()
    log = world.relay.log.getvalue()
    for canary in ("CANARY", TOKEN.hex(), reader.device_id.hex(), reader.account, "127.0.0.1:"):
        assert canary not in log.replace(world.relay.url, "")


async def _in_time(socket: RawSocket) -> Frame:
    async with asyncio.timeout(10):
        return await socket.next()


async def test_f8_a_connection_that_does_not_read_holds_less_than_a_mib(world: World, reader: RawDevice):
    other = await world.member()
    assert (await other.add_token(TOKEN)).status == 204
    body = os.urandom(200_000)
    async with anonymous(reader) as sender, resumed(reader) as lazy, resumed(other) as quick:
        await lazy.expect(CaughtUp)
        await quick.expect(CaughtUp)
        lazy.socket._conn.protocol.pause_reading()  # type: ignore[union-attr]  # the peer's kernel buffers fill up
        for number in range(60):  # 12 MB
            await stored(sender, submit_to(reader, TOKEN, body, request_id=number))
            held = max(session.unread_bytes() for session in world.relay.services.connections.sessions())
            assert held <= limits.MAX_UNREAD_BYTES
        await stored(sender, submit_to(other, TOKEN, b"quick"))
        assert isinstance(delivered := await _in_time(quick), Deliver)
        assert delivered.ciphertext == b"quick"
        lazy.socket._conn.protocol.resume_reading()  # type: ignore[union-attr]
        for sequence in range(1, 61):
            assert isinstance(delivered := await _in_time(lazy), Deliver)
            assert (delivered.sequence, len(delivered.ciphertext)) == (sequence, len(body))
            await lazy.send(Ack(sequence))


async def test_ready_tells_the_limits_and_the_next_sequence(world: World, reader: RawDevice):
    async with anonymous(reader) as sender:
        await stored(sender, submit_to(reader, TOKEN), submit_to(reader, TOKEN))
    async with open_socket(reader.session, reader.origin) as socket:
        challenge = (await socket.expect(Challenge)).challenge
        await socket.send(Authenticate(reader.device_id, reader.socket_signature(challenge)))
        advertised = world.relay.services.settings.limits.advertised()
        assert await socket.expect(Ready) == Ready(limits.limits_digest(advertised), 3)
