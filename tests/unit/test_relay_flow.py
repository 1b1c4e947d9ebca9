"""The corridor: in which order what a connection submits is stored, told and answered."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from relay.config import RateSettings
from relay.flow import Flow
from relay.observe.figures import Figures
from relay.ports.mailboxes import Appended, Submission
from relay.services.mailbox import Permitted
from relay.services.rate_limit import Rates
from relay.services.running import Running
from relay.session.machine import State
from relay.session.session import Session
from relay.wire.codec import decode_from_relay, encode_message
from relay.wire.frames import Accepted, EnvelopeClass, Grant, Outcome, Submit, Target
from tests.unit.test_relay_session import ListLine

DEVICES = [bytes([number]) * 16 for number in range(2)]


class Mailboxes:
    """That of the first device is held for a while."""

    def __init__(self) -> None:
        self.free = asyncio.Event()

    async def authorise(self, submits: Sequence[Submit], *_how: object) -> list[Permitted]:
        return [
            Permitted(
                one.request_id,
                Submission(
                    one.envelope_id, one.ttl_seconds, one.ciphertexts, ((one.targets[0].device_id, 0),)
                ),
                is_durable=True,
            )
            for one in submits
        ]

    async def store(self, permitted: Sequence[Permitted]) -> None:
        for one in permitted:
            if one.submission.targets[0][0] == DEVICES[0]:
                await self.free.wait()
            one.appended = Appended((Outcome.STORED,), (1,), 0)


class Announced:
    """To whom something was announced."""

    def __init__(self) -> None:
        self.devices: list[bytes] = []
        self.first = asyncio.Event()

    async def announce(self, committed: Sequence[tuple[Submission, Appended]]) -> None:
        self.devices += [submission.targets[0][0] for submission, _ in committed]
        self.first.set()


def submit(number: int) -> bytes:
    return encode_message(
        [
            Submit(
                request_id=number + 1,
                envelope_id=bytes(16),
                envelope_class=EnvelopeClass.DURABLE,
                urgent=False,
                ttl_seconds=60,
                ciphertexts=(bytes(512),),
                targets=(Target(DEVICES[number], 0, 0),),
                grants=(Grant(bytes(32), bytes(16), 1),),
            )
        ]
    )


async def test_what_is_durable_is_announced_before_earlier_submits_are_and_answered_after_them() -> None:
    mailboxes, announced = Mailboxes(), Announced()
    failures: list[BaseException] = []
    running = Running(failures.append)
    parts = cast(
        dict[str, Any],
        {"connections": SimpleNamespace(stopping=False), "mailboxes": mailboxes, "wakeup": announced},
    )
    flow = Flow(**parts, running=running, clock=cast(Any, None), figures=Figures())
    meter = Rates(RateSettings(), monotonic_ms=lambda: 0, key=bytes(32)).submit_meter(None)
    session = Session(ListLine(), connection_id=bytes(16), challenge=bytes(32), meter=meter)
    session.state = State.ANONYMOUS
    for number in range(2):
        await flow.receive(submit(number), session)
    async with asyncio.timeout(10):
        await announced.first.wait()
        assert announced.devices == [DEVICES[1]]
        assert session.outbox.take() == []
        mailboxes.free.set()
        await running.drain()
    assert failures == []
    assert announced.devices == [DEVICES[1], DEVICES[0]]
    told = [frame for parts, _ in session.outbox.take() for frame in decode_from_relay(b"".join(parts))]
    assert told == [Accepted(number, (Outcome.STORED,)) for number in (1, 2)]
