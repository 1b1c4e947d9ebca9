"""What the codec takes is exactly the protocol; everything else is MalformedFrame or TooLarge, at bounded cost."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.wire import codec, limits
from relay.wire.errors import MalformedFrame, TooLarge
from relay.wire.frames import (
    CLIENT_FRAMES,
    RELAY_FRAMES,
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
    ManifestVersion,
    Missed,
    MissedReason,
    Notice,
    NoticeKind,
    Outcome,
    Ready,
    Refused,
    Resume,
    Submit,
    Target,
)

SUBMIT = Submit(
    request_id=7,
    envelope_id=b"e" * 16,
    envelope_class=EnvelopeClass.DURABLE,
    urgent=False,
    ttl_seconds=limits.MAX_TTL_SECONDS,
    ciphertexts=(b"c" * 256,),
    targets=(Target(device_id=b"d" * 16, ciphertext=0, grant=0),),
    grants=(Grant(account_id=b"a" * 32, token=b"t" * 16, manifest_version=1),),
)
FROM_CLIENT: tuple[Frame, ...] = (
    SUBMIT,
    Ack(up_to=5, also=(7, 9)),
    Resume(after=0),
    Authenticate(device_id=b"d" * 16, signature=b"s" * 64),
    Anonymous(),
)
FROM_RELAY: tuple[Frame, ...] = (
    Accepted(
        request_id=7,
        outcomes=(Outcome.STORED, Outcome.CONFLICT),
        manifest_behind=(ManifestVersion(b"a" * 32, 2),),
    ),
    Deliver(3, b"e" * 16, 1_700_000_000_000, EnvelopeClass.DURABLE, b"c" * 256),
    CaughtUp(3),
    Missed(1, 2, MissedReason.EXPIRED),
    Refused(0, "malformed_frame", 0),
    Notice(NoticeKind.PREKEYS_LOW, (2, 25)),
    Challenge(b"c" * 32, 1_700_000_000_000),
    Ready(b"l" * 32, 4),
)


def test_every_frame_has_an_example_here() -> None:
    assert tuple(type(frame) for frame in FROM_CLIENT) == CLIENT_FRAMES
    assert tuple(type(frame) for frame in FROM_RELAY) == RELAY_FRAMES


@pytest.mark.parametrize("frame", FROM_CLIENT, ids=lambda frame: type(frame).__name__)
def test_a_client_frame_reads_back_and_encodes_identically(frame: Frame) -> None:
    message = codec.encode_message([frame])
    assert codec.decode_from_client(message) == (frame,)
    assert codec.encode_message(codec.decode_from_client(message)) == message


@pytest.mark.parametrize("frame", FROM_RELAY, ids=lambda frame: type(frame).__name__)
def test_a_relay_frame_reads_back_and_encodes_identically(frame: Frame) -> None:
    message = codec.encode_message([frame])
    assert codec.decode_from_relay(message) == (frame,)
    assert codec.encode_message(codec.decode_from_relay(message)) == message


@pytest.mark.proves("M-VERS-01")
def test_a_notice_of_a_kind_that_is_not_known_is_one_to_ignore() -> None:
    message = msgspec.msgpack.encode([[Notice.__struct_config__.tag, 250, [b"of a later version"]]])
    assert codec.decode_from_relay(message) == (Notice(NoticeKind.UNKNOWN, (b"of a later version",)),)


@pytest.mark.parametrize("frame", FROM_RELAY, ids=lambda frame: type(frame).__name__)
def test_what_only_the_relay_may_send_is_refused_from_a_client(frame: Frame) -> None:
    with pytest.raises(MalformedFrame):
        codec.decode_from_client(codec.encode_message([frame]))


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x90",  # no frame
        b"\x91\x90",  # a frame without a type
        b"\x91\xa3ack",  # not an array
        b"\xc1",  # never used by MessagePack
        msgspec.msgpack.encode([[99]]),  # unknown type
        msgspec.msgpack.encode([[2, 1, [], 0]]),  # a field too many
        msgspec.msgpack.encode([[2]]),  # a field too few
        msgspec.msgpack.encode([[2, -1]]),
        msgspec.msgpack.encode([[2, 2**63]]),
        msgspec.msgpack.encode([[2, "1"]]),
        msgspec.msgpack.encode([[2, 1.0]]),
        msgspec.msgpack.encode([[4, b"d" * 15, b"s" * 64]]),
        msgspec.msgpack.encode([[4, "d" * 16, b"s" * 64]]),  # text for bytes
        msgspec.msgpack.encode([[2, 1, [1] * (limits.MAX_ACK_ALSO + 1)]]),
        msgspec.msgpack.encode([{"type": 2, "up_to": 1}]),
        codec.encode_message([Resume(1)]) + b"\x00",  # trailing byte
        codec.encode_message([SUBMIT])[:-1],  # cut
        msgspec.msgpack.encode([[3, 1]] * (limits.MAX_FRAMES_PER_MESSAGE + 1)),
        b"\x91" * 100_000,  # deep nesting
        b"\xdd\xff\xff\xff\xff",  # an array that claims 2**32 - 1 frames
        b"\x91\x93\x02\x01\xdd\xff\xff\xff\xff",
        b"\x91\xc6\xff\xff\xff\xff",  # bytes that claim 4 GiB
    ],
)
def test_f14_e1_what_is_not_of_the_protocol_is_malformed(message: bytes) -> None:
    with pytest.raises(MalformedFrame):
        codec.decode_from_client(message)


def test_f14_a_giant_message_is_too_large() -> None:
    with pytest.raises(TooLarge):
        codec.decode_from_client(bytes(limits.MAX_MESSAGE_BYTES + 1))


def test_an_error_never_quotes_the_input() -> None:
    secret = "correct horse battery staple"
    with pytest.raises(MalformedFrame) as caught:
        codec.decode_from_client(msgspec.msgpack.encode([[2, secret]]))
    assert secret not in str(caught.value)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=600))
def test_e1_random_bytes_are_refused_or_are_frames(message: bytes) -> None:
    try:
        frames = codec.decode_from_client(message)
    except MalformedFrame:
        return
    assert 1 <= len(frames) <= limits.MAX_FRAMES_PER_MESSAGE


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_e1_a_flipped_byte_is_refused_or_gives_a_frame_within_limits(data: st.DataObject) -> None:
    message = bytearray(codec.encode_message([SUBMIT, Ack(3), Resume(1)]))
    at = data.draw(st.integers(0, len(message) - 1))
    message[at] ^= data.draw(st.integers(1, 255))
    try:
        frames = codec.decode_from_client(bytes(message))
    except MalformedFrame:
        return
    for frame in frames:
        if isinstance(frame, Submit):
            assert all(len(target.device_id) == 16 for target in frame.targets)
            assert all(1 <= len(ciphertext) <= limits.MAX_ENVELOPE_BYTES for ciphertext in frame.ciphertexts)


def test_batches_keep_order_and_stay_within_a_message() -> None:
    encoded = [
        codec.encode_frame(Deliver(n, b"e" * 16, 0, EnvelopeClass.DURABLE, b"c" * 60_000)) for n in range(150)
    ]
    messages = codec.batches(encoded)
    assert all(len(message) <= limits.MAX_MESSAGE_BYTES for message in messages)
    sequences = [
        frame.sequence
        for message in messages
        for frame in codec.decode_from_relay(message)
        if isinstance(frame, Deliver)
    ]
    assert sequences == list(range(150))


def test_batches_of_small_frames_hold_64_each() -> None:
    encoded = [codec.encode_frame(CaughtUp(n)) for n in range(130)]
    assert [len(codec.decode_from_relay(message)) for message in codec.batches(encoded)] == [64, 64, 2]
    assert codec.batches([]) == []


def test_join_frames_refuses_none_and_too_many() -> None:
    frame = codec.encode_frame(CaughtUp(1))
    for count in (0, limits.MAX_FRAMES_PER_MESSAGE + 1):
        with pytest.raises(ValueError, match="1 to 64"):
            codec.join_frames([frame] * count)
