"""A session: what it holds for its peer, when the relay reads no further from it, and its end."""

import asyncio

import pytest

from relay.config import RateSettings
from relay.services.rate_limit import Rates
from relay.session.machine import State
from relay.session.session import MAX_IN_FLIGHT_BYTES, MAX_IN_FLIGHT_FRAMES, Session
from relay.wire import limits
from relay.wire.codec import decode_from_relay, encode_frame
from relay.wire.frames import CaughtUp, Frame, Notice, NoticeKind, Refused


class ListLine:
    """A line whose peer reads when the test says so."""

    def __init__(self) -> None:
        self.unsent = 0
        self.told = 0
        self.ended: list[str] = []

    def ready(self) -> None:
        self.told += 1

    def unsent_bytes(self) -> int:
        return self.unsent

    def end(self, code: str) -> None:
        self.ended.append(code)


def frames_of(session: Session) -> list[Frame]:
    return [frame for parts, _ in session.outbox.take() for frame in decode_from_relay(b"".join(parts))]


@pytest.fixture
def line() -> ListLine:
    return ListLine()


@pytest.fixture
def session(line: ListLine) -> Session:
    meter = Rates(RateSettings(), monotonic_ms=lambda: 0, key=bytes(32)).submit_meter(None)
    return Session(line, connection_id=bytes(16), challenge=bytes(32), meter=meter)


def test_an_end_is_told_once_and_nothing_comes_after_it(line: ListLine, session: Session):
    session.end("rate_limited", 500)
    session.end("internal")
    session.send(CaughtUp(1))
    assert session.state is State.CLOSED
    assert frames_of(session) == [Refused(0, "rate_limited", 500)]
    assert line.ended == ["rate_limited"]


@pytest.mark.parametrize("full", ["frames", "bytes", "unread"])
async def test_a_congested_session_is_not_read_until_it_is_relieved(
    line: ListLine, session: Session, full: str
):
    assert not session.is_congested()
    match full:
        case "frames":
            session.in_flight_frames = MAX_IN_FLIGHT_FRAMES
        case "bytes":
            session.in_flight_bytes = MAX_IN_FLIGHT_BYTES
        case _:
            line.unsent = limits.MAX_UNREAD_BYTES
    waiting = asyncio.ensure_future(session.relief())
    await asyncio.sleep(0)
    session.relieve()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    session.in_flight_frames = session.in_flight_bytes = line.unsent = 0
    session.has_read()
    await waiting


async def test_a_closed_session_keeps_nobody_waiting(line: ListLine, session: Session):
    line.unsent = limits.MAX_UNREAD_BYTES
    waiting = asyncio.ensure_future(session.relief())
    await asyncio.sleep(0)
    session.end("not_reading")
    await waiting


def test_notices_are_dropped_for_a_peer_that_does_not_read(line: ListLine, session: Session):
    notice = encode_frame(Notice(NoticeKind.MAILBOX_FULL, (1, 1)))
    session.notify(notice)
    line.unsent = limits.MAX_UNREAD_BYTES
    session.notify(notice)
    assert len(frames_of(session)) == 1
