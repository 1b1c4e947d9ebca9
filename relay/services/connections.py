"""Every open WebSocket of this node: how it is opened, proved, given its mailbox and closed; docs/protocol.md, "Delivery".

Knows no bytes on the wire and no submit: those go through the flow.
"""

from typing import Final

from relay.observe.figures import Figures
from relay.ports.clock import Clock, Randomness
from relay.ports.mailboxes import MailboxStore
from relay.services.connection_caps import ConnectionCaps
from relay.services.delivery import Delivery
from relay.services.devices import Devices
from relay.services.roles import ON_A_SOCKET, Operation, Roles
from relay.services.running import Running
from relay.services.wakeup import Wakeup
from relay.session.machine import State
from relay.session.session import Line, Meter, Session
from relay.wire import limits
from relay.wire.codec import encode_frame
from relay.wire.errors import NotAllowed, RateLimited, ShuttingDown, Unauthenticated
from relay.wire.frames import Authenticate, Challenge, Notice, NoticeKind, Ready, Resume

FINISH_WITHIN_SECONDS: Final = 5
"""So long are submits and acknowledgements under way waited for at a shutdown."""


class Connections:
    """Opens and closes sessions; `stopping` is set when the relay takes no more work."""

    def __init__(
        self,
        *,
        devices: Devices,
        roles: Roles,
        store: MailboxStore,
        wakeup: Wakeup,
        running: Running,
        clock: Clock,
        randomness: Randomness,
        figures: Figures,
        limits_digest: bytes,
        caps: ConnectionCaps,
    ) -> None:
        self._devices = devices
        self._roles = roles
        self._store = store
        self._wakeup = wakeup
        self._running = running
        self._clock = clock
        self._randomness = randomness
        self._figures = figures
        self._limits_digest = limits_digest
        self.caps: Final = caps
        self._sessions: set[Session] = set()
        self.stopping = False

    def sessions(self) -> tuple[Session, ...]:
        """Everyone who is connected to this node."""
        return tuple(self._sessions)

    def open(self, line: Line, meter: Meter) -> Session:
        """A connection came: the relay speaks first."""
        challenge = self._randomness(limits.CHALLENGE_BYTES)
        session = Session(line, connection_id=self._randomness(16), challenge=challenge, meter=meter)
        self._sessions.add(session)
        session.send(Challenge(challenge, self._clock.now_ms()))
        if self.stopping:
            session.end(ShuttingDown.code)
        return session

    def close(self, session: Session) -> None:
        """The connection is gone. Submits under way are finished; nobody hears of it."""
        session.close("gone")
        self._sessions.discard(session)
        if session.signer is not None:
            self._wakeup.leave(session)
            self.caps.leave(session)
        if session.delivery is not None:
            session.delivery.stop()
            self._wakeup.release(session.device_id, session.delivery)

    def expire(self, session: Session) -> None:
        """The time to answer the challenge is over."""
        if session.state is State.CHALLENGED:
            session.end(Unauthenticated.code)

    def admit_anonymous(self, session: Session) -> None:
        """Nobody in particular: may submit with delivery tokens."""
        session.send(Ready(self._limits_digest, 0))

    async def authenticate(self, session: Session, frame: Authenticate) -> None:
        """A device, if it signed this connection's challenge; raises Unauthenticated, NotAllowed."""
        device = await self._devices.prove_socket(
            frame.device_id, challenge=session.challenge, signature=frame.signature
        )
        self._roles.require(device, Operation.READ_MAILBOX)
        mailbox = await self._store.state(device.device_id)
        if session.state is not State.CLOSED:
            session.signer = device
            self._wakeup.enter(session)
            if (oldest := self.caps.join(session)) is not None:
                self._figures.add("refused_total", label=RateLimited.code)
                oldest.end(RateLimited.code)
            session.send(Ready(self._limits_digest, mailbox.next_sequence))

    def tell_limits(self, digest: bytes) -> None:
        """The relay document has other limits from now on: everybody hears of it, if they are others."""
        if digest != self._limits_digest:
            self._limits_digest = digest
            notice = encode_frame(Notice(NoticeKind.LIMITS_CHANGED, (digest,)))
            for session in self.sessions():
                session.notify(notice)

    def end_without_rights(self) -> None:
        """Roles have changed: who is connected and may no longer be has to come anew, and is judged then."""
        for session in self.sessions():
            if session.signer is not None and not all(
                self._roles.allows(session.signer, operation) for operation in ON_A_SOCKET
            ):
                session.end(NotAllowed.code)

    async def judge_again(self) -> None:
        """Whether those who are connected still may be, as the store has it: another node may have shut somebody out."""
        for session in self.sessions():
            if session.signer is None:
                continue
            device = await self._devices.find(session.signer.device_id)
            if device is None:
                session.end("device_revoked")
            elif device.suspended:
                session.end(NotAllowed.code)

    async def note_present(self) -> None:
        """Whoever is connected is here today too, if the connection is older than the day."""
        for session in self.sessions():
            if session.signer is not None:
                await self._devices.note_seen(session.signer.device_id)

    async def resume(self, session: Session, frame: Resume) -> None:
        """Give the connection its mailbox, away from an older one; raises SequenceAhead."""
        delivery = Delivery(
            session.device_id,
            session,
            self._store,
            self._clock,
            self._running.begin,
            lambda count: self._figures.add("acknowledged_total", count),
        )
        session.delivery = delivery
        self._wakeup.take(session.device_id, session.connection_id, delivery)
        await delivery.begin(frame.after)

    async def stop(self) -> None:
        """Take no more submits, finish those under way, tell everybody and close."""
        self.stopping = True
        notice = encode_frame(Notice(NoticeKind.SHUTTING_DOWN))
        for session in self.sessions():
            session.notify(notice)
        try:
            async with self._clock.timeout(FINISH_WITHIN_SECONDS):
                await self._running.drain()
        except TimeoutError:
            await self._running.cancel()
        for session in self.sessions():
            session.close(ShuttingDown.code)
