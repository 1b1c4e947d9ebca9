"""The corridor: what happens to a message that came in by a WebSocket, steps 2 to 6 of seven, in the order they happen.

1 frame in (web/websocket.py) · 2 parse · 3 take its turn · 4 authorise · 5 store · 6 wake · 7 deliver (services/delivery.py)
"""

import asyncio
from collections.abc import Sequence

from relay.observe.figures import Figures
from relay.ports.clock import Clock
from relay.services.connections import Connections
from relay.services.devices import KnownDevice
from relay.services.mailbox import Mailboxes, Permitted
from relay.services.running import Running
from relay.services.wakeup import Wakeup
from relay.session.machine import State, advance
from relay.session.session import Session
from relay.wire.codec import decode_from_client, encode_frame
from relay.wire.errors import RelayError, ShuttingDown
from relay.wire.frames import Accepted, Ack, Anonymous, Authenticate, Refused, Resume, Submit


class Flow:
    """The way of each message of this node."""

    def __init__(
        self,
        *,
        connections: Connections,
        mailboxes: Mailboxes,
        wakeup: Wakeup,
        running: Running,
        clock: Clock,
        figures: Figures,
    ) -> None:
        self._connections = connections
        self._mailboxes = mailboxes
        self._wakeup = wakeup
        self._running = running
        self._clock = clock
        self._figures = figures

    async def receive(self, message: bytes, session: Session) -> None:
        """Take one message; returns when the relay may read the next, which can be before the answers are out."""
        submits: list[Submit] = []
        if session.state is State.CLOSED:
            return  # the close frame is on its way; what crossed it is dropped
        try:
            for frame in decode_from_client(message):  # 2 parse
                session.state = advance(session.state, frame)  # 3 take its turn
                match frame:
                    case Submit():
                        submits.append(frame)
                    case Ack():
                        if session.delivery is not None:  # it is, in the state RESUMED
                            session.delivery.ack(frame.up_to, frame.also)
                    case Authenticate():
                        await self._connections.authenticate(session, frame)
                    case Anonymous():
                        self._connections.admit_anonymous(session)
                    case Resume():
                        await self._connections.resume(session, frame)
            if submits:
                await self._submit(session, submits, len(message))
        except RelayError as error:
            self._figures.add("refused_total", label=error.code)
            session.end(error.code, error.retry_after_ms)
        await session.relief()

    async def _submit(self, session: Session, submits: Sequence[Submit], size: int) -> None:
        if self._connections.stopping:
            for submit in submits:
                session.send(Refused(submit.request_id, ShuttingDown.code, 0))
            return
        judged = await self._mailboxes.authorise(submits, session.signer, session.meter)  # 4 authorise
        for one in judged:
            if isinstance(one, Permitted) and not one.is_durable:
                self._wakeup.relay(one.submission, self._clock.now_ms())
        session.in_flight_frames += len(judged)
        session.in_flight_bytes += size
        session.last_answer = self._running.begin(self._answer(session, judged, size, session.last_answer))

    async def _answer(
        self,
        session: Session,
        judged: Sequence[Permitted | Refused],
        size: int,
        before: asyncio.Task[None] | None,
    ) -> None:
        permitted = [one for one in judged if isinstance(one, Permitted)]
        refusal: RelayError | None = None
        answers: list[Accepted | Refused]
        try:
            await self._mailboxes.store(permitted)  # 5 store: durable when this returns
        except RelayError as error:
            refusal = error
        committed = [(one.submission, one.appended) for one in permitted if one.appended is not None]
        if before is not None and not before.done():
            await self._wakeup.announce(committed)  # its recipients need not wait for what goes to others
            committed = []
            await asyncio.wait((before,))  # the earlier answers go first
        if refusal is not None:
            answers = [one.refused(refusal) if isinstance(one, Permitted) else one for one in judged]
        else:
            answers = [one.accepted() if isinstance(one, Permitted) else one for one in judged]
        if refusal is not None or len(permitted) < len(judged):
            for answer in answers:
                if isinstance(answer, Refused):
                    self._figures.add("refused_total", label=answer.code)
        session.put_all([encode_frame(answer) for answer in answers])
        await self._wakeup.announce(committed)
        session.in_flight_frames -= len(judged)
        session.in_flight_bytes -= size
        session.relieve()

    async def submit(self, submit: Submit, signer: KnownDevice | None) -> Accepted:
        """Steps 4 to 6 for one submit that came by HTTP; raises what refuses it as a whole."""
        if self._connections.stopping:
            raise ShuttingDown
        permitted = await self._mailboxes.judge(submit, signer)
        if not permitted.is_durable:
            self._wakeup.relay(permitted.submission, self._clock.now_ms())
        await self._mailboxes.store((permitted,))
        if permitted.appended is not None:
            await self._wakeup.announce([(permitted.submission, permitted.appended)])
        return permitted.accepted()
