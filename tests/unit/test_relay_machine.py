"""What may come when on a connection, and how frames are gathered into messages."""

import itertools

import pytest

from relay.session.machine import NEXT, State, advance
from relay.session.outbox import Outbox
from relay.wire import limits
from relay.wire.codec import decode_from_relay, deliver_head, deliver_tail, encode_frame
from relay.wire.errors import OutOfTurn
from relay.wire.frames import (
    CLIENT_FRAMES,
    Ack,
    Anonymous,
    Authenticate,
    CaughtUp,
    Deliver,
    EnvelopeClass,
    Grant,
    Resume,
    Submit,
    Target,
)

FRAMES = (
    Submit(
        1,
        bytes(16),
        EnvelopeClass.DURABLE,
        False,
        60,
        (b"c",),
        (Target(bytes(16), 0, 0),),
        (Grant(bytes(32), b"", 0),),
    ),
    Ack(1),
    Resume(0),
    Authenticate(bytes(16), bytes(64)),
    Anonymous(),
)


def test_every_frame_in_every_state_is_in_the_table_or_out_of_turn():
    assert {type(frame) for frame in FRAMES} == set(CLIENT_FRAMES)
    taken = 0
    for state, frame in itertools.product(State, FRAMES):
        if (state, type(frame)) in NEXT:
            assert advance(state, frame) is NEXT[(state, type(frame))]
            taken += 1
        else:
            with pytest.raises(OutOfTurn):
                advance(state, frame)
    assert taken == len(NEXT) == 7


def test_nothing_leads_out_of_closed_and_only_a_resumed_connection_acknowledges():
    assert not [state for state, _ in NEXT if state is State.CLOSED]
    assert [state for state, frame in NEXT if frame is Ack] == [State.RESUMED]
    assert [state for state, frame in NEXT if frame is Authenticate] == [State.CHALLENGED]


def joined(outbox: Outbox) -> list[bytes]:
    messages = [(b"".join(parts), size) for parts, size in outbox.take()]
    assert all(len(message) == size for message, size in messages)
    return [message for message, _ in messages]


def test_an_outbox_tells_once_and_gives_everything_as_few_messages():
    told: list[int] = []
    outbox = Outbox(lambda: told.append(1))
    for sequence in range(130):
        outbox.put(encode_frame(CaughtUp(sequence)))
    assert told == [1]
    messages = joined(outbox)
    frames = [decode_from_relay(message) for message in messages]
    assert [len(one) for one in frames] == [64, 64, 2]
    assert list(itertools.chain(*frames)) == [CaughtUp(sequence) for sequence in range(130)]
    assert outbox.take() == []
    assert outbox.waiting_bytes == 0
    outbox.put(encode_frame(CaughtUp(0)))
    assert told == [1, 1]


def test_no_message_of_an_outbox_is_larger_than_a_message_may_be():
    outbox = Outbox(lambda: None)
    tail = deliver_tail(bytes(16), 1, EnvelopeClass.DURABLE, bytes(limits.MAX_ENVELOPE_BYTES))
    outbox.put_all([deliver_head(sequence) + tail for sequence in range(9)])
    messages = joined(outbox)
    assert [len(decode_from_relay(message)) for message in messages] == [3, 3, 3]
    assert max(map(len, messages)) <= limits.MAX_MESSAGE_BYTES


@pytest.mark.parametrize("sequence", [0, 1, 127, 128, 2**16, 2**32, limits.MAX_SEQUENCE])
def test_a_deliver_frame_in_halves_is_the_frame(sequence: int):
    whole = Deliver(sequence, b"e" * 16, 1_800_000_000_000, EnvelopeClass.DURABLE, b"body")
    halves = deliver_head(sequence) + deliver_tail(
        whole.envelope_id, whole.received_at_ms, whole.envelope_class, whole.ciphertext
    )
    assert halves == encode_frame(whole)
