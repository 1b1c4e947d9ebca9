"""Who is connected to this node, who has which mailbox, and who must look because something came. Announces no content.

docs/protocol.md, "Delivery", 9 and 10. The bus carries hints between nodes; the store alone is the truth.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from relay.ports.bus import (
    AccountChanged,
    Announcement,
    Bus,
    DeviceRevoked,
    LogAdvanced,
    MailboxesHeld,
    MailboxFilling,
    MailboxLeft,
    MailboxTaken,
    ManifestChanged,
    NewMail,
    PrekeysLow,
)
from relay.ports.clock import Clock
from relay.ports.mailboxes import Appended, Submission
from relay.services.delivery import Fresh
from relay.wire.codec import deliver_tail, encode_frame
from relay.wire.frames import EnvelopeClass, Notice, NoticeKind

OFFERS_A_TURN: Final = 250
"""Each is a message to be written to a socket when this turn of the event loop is over."""
HELD_A_PIECE: Final = 2_000
"""Of MailboxesHeld: some 40 B each."""
_NOBODY: Final[tuple["Present", ...]] = ()


class Present(Protocol):
    """A connection of a known device; it gets notices whether or not it has the mailbox."""

    @property
    def device_id(self) -> bytes:
        """16 B."""

    @property
    def account_id(self) -> bytes:
        """32 B."""

    def notify(self, frame: bytes) -> None:
        """Queue an encoded notice, or drop it if the peer does not read."""

    def end(self, code: str) -> None:
        """Refuse and close."""


class Holder(Protocol):
    """Whoever has a mailbox: a delivery to a socket, or a long poll."""

    def offer(self, envelopes: Sequence[Fresh]) -> None:
        """These were committed, in this order."""

    def offer_ephemeral(self, tail: bytes) -> None:
        """An ephemeral envelope came."""

    def look(self) -> None:
        """Something was committed elsewhere."""

    def look_past(self, sequence: int) -> None:
        """The mailbox has given sequences up to this one: look, if some of them are news."""

    def replaced(self) -> None:
        """A newer one has the mailbox."""


def _is_urgent(committed: Sequence[tuple[Submission, Appended]], device_id: bytes) -> bool:
    """Whether something urgent came for this device."""
    return any(
        submission.urgent and any(target == device_id for target, _ in submission.targets)
        for submission, _ in committed
    )


class Wakeup:
    """One for each node."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._by_device: dict[bytes, tuple[Present, ...]] = {}
        self._by_account: dict[bytes, tuple[Present, ...]] = {}
        self._holders: dict[bytes, tuple[int, bytes, Holder]] = {}  # device id → order, connection id, holder
        self._order = 0  # the highest that this node gave or heard of
        for kind in (
            AccountChanged,
            NewMail,
            MailboxTaken,
            MailboxesHeld,
            DeviceRevoked,
            ManifestChanged,
            MailboxFilling,
            PrekeysLow,
            LogAdvanced,
        ):
            bus.subscribe(kind, self._hear)

    # Who is here

    def enter(self, connection: Present) -> None:
        """A connection proved its device."""
        for index, key in (
            (self._by_device, connection.device_id),
            (self._by_account, connection.account_id),
        ):
            index[key] = (*index.get(key, _NOBODY), connection)

    def leave(self, connection: Present) -> None:
        """It is gone; without effect if it never entered."""
        for index, key in (
            (self._by_device, connection.device_id),
            (self._by_account, connection.account_id),
        ):
            rest = tuple(one for one in index.get(key, _NOBODY) if one is not connection)
            if rest:
                index[key] = rest
            else:
                index.pop(key, None)

    def take(self, device_id: bytes, connection_id: bytes, holder: Holder) -> None:
        """The mailbox goes to `holder`; an older one, here or on another node, is replaced."""
        before = self._holders.get(device_id)
        # Above all that this node knows of. By the clock it is above most of what it was not told, too.
        self._order = max(self._order + 1, self._clock.now_ms())
        self._holders[device_id] = (self._order, connection_id, holder)
        if before is not None:
            before[-1].replaced()
        self._bus.publish(MailboxTaken(device_id, connection_id, self._order))

    def release(self, device_id: bytes, holder: object) -> None:
        """`holder` is gone; without effect if a newer one has the mailbox."""
        held = self._holders.get(device_id)
        if held is not None and held[-1] is holder:
            del self._holders[device_id]
            self._bus.publish(MailboxLeft(device_id))

    def is_here(self, device_id: bytes) -> bool:
        """Whether the device has a connection to this node, or a poll that waits."""
        return device_id in self._holders or device_id in self._by_device

    # What came

    async def announce(self, committed: Sequence[tuple[Submission, Appended]]) -> None:
        """Hand what was committed to those connected here, OFFERS_A_TURN at a time; tell the other nodes of the rest.

        While others have their turn, later envelopes may overtake: whoever has the mailbox goes by their sequences.
        """
        holders = self._holders
        fresh: dict[bytes, list[Fresh]] = {}
        absent: dict[bytes, bool] = {}  # whether something urgent came
        for submission, appended in committed:
            tails: dict[int, bytes] = {}
            for (device_id, index), sequence in zip(submission.targets, appended.sequences, strict=True):
                if not sequence:
                    continue
                if device_id not in holders:
                    absent[device_id] = submission.urgent or absent.get(device_id, False)
                    continue
                if (tail := tails.get(index)) is None:
                    tail = tails[index] = deliver_tail(
                        submission.envelope_id,
                        appended.received_at_ms,
                        EnvelopeClass.DURABLE,
                        submission.ciphertexts[index],
                    )
                if (came := fresh.get(device_id)) is None:
                    fresh[device_id] = [(sequence, tail)]
                else:
                    came.append((sequence, tail))
        for number, (device_id, envelopes) in enumerate(fresh.items(), 1):
            if (held := holders.get(device_id)) is not None:
                held[-1].offer(envelopes)
            else:  # gone while others had their turn
                absent[device_id] = _is_urgent(committed, device_id)
            if number % OFFERS_A_TURN == 0:
                await self._clock.sleep(0)
        if absent:
            self._bus.publish(NewMail(tuple(absent), tuple(one for one, urgent in absent.items() if urgent)))

    def relay(self, submission: Submission, received_at_ms: int) -> None:
        """Hand an ephemeral envelope to those of its targets that are connected."""
        tails = [
            deliver_tail(submission.envelope_id, received_at_ms, EnvelopeClass.EPHEMERAL, ciphertext)
            for ciphertext in submission.ciphertexts
        ]
        for device_id, index in submission.targets:
            held = self._holders.get(device_id)
            if held is not None:
                held[-1].offer_ephemeral(tails[index])

    # What was not heard

    def held(self) -> tuple[bytes, ...]:
        """The devices whose mailbox somebody has here."""
        return tuple(self._holders)

    def catch_up(self, asked: Iterable[bytes], newest: Mapping[bytes, int]) -> None:
        """What the store said of these devices, which were held when it was asked: others are no more."""
        for device_id in asked:
            held = self._holders.get(device_id)
            if device_id not in newest:
                self._revoke(device_id)
            elif held is not None:
                held[-1].look_past(newest[device_id])

    async def tell_held(self) -> None:
        """Announcements were lost: which mailboxes somebody has here, and since when. Who has a newer one elsewhere answers."""
        held = [
            (device_id, connection_id, order)
            for device_id, (order, connection_id, _) in self._holders.items()
        ]
        for first in range(0, len(held), HELD_A_PIECE):
            self._bus.publish(MailboxesHeld(tuple(held[first : first + HELD_A_PIECE])))
            await self._clock.sleep(0)

    def _hear(self, announcement: Announcement) -> None:
        match announcement:
            case NewMail(device_ids=device_ids):
                self._look(device_ids)
            case MailboxTaken(device_id, connection_id, order):
                self._yield_to(device_id, connection_id, order)
            case MailboxesHeld(held):
                self._hear_held(held)
            case DeviceRevoked(device_id):
                self._revoke(device_id)
            case AccountChanged(account_id, suspended):
                for connection in self._by_account.get(account_id, _NOBODY) if suspended else _NOBODY:
                    connection.end("not_allowed")
            case ManifestChanged(account_id, version):
                self._notify(self._by_account.get(account_id, _NOBODY), NoticeKind.MANIFEST_CHANGED, version)
            case MailboxFilling(device_id, envelopes, size, full):
                kind = NoticeKind.MAILBOX_FULL if full else NoticeKind.MAILBOX_NEARLY_FULL
                self._notify(self._by_device.get(device_id, _NOBODY), kind, envelopes, size)
            case PrekeysLow(device_id, kind, left):
                self._notify(self._by_device.get(device_id, _NOBODY), NoticeKind.PREKEYS_LOW, kind, left)
            case LogAdvanced(account_id, name, next_index, by_device):
                others = (
                    one for one in self._by_account.get(account_id, _NOBODY) if one.device_id != by_device
                )
                self._notify(others, NoticeKind.LOG_ADVANCED, name.encode(), next_index)
            case _:
                raise TypeError(f"not subscribed to {type(announcement).__name__}")

    def _look(self, device_ids: Iterable[bytes]) -> None:
        for device_id in device_ids:
            held = self._holders.get(device_id)
            if held is not None:
                held[-1].look()

    def _yield_to(self, device_id: bytes, connection_id: bytes, order: int) -> bool:
        """Whoever is older than this one is replaced; whether somebody newer has the mailbox here.

        All nodes judge alike, in whatever order they hear, and however often: the highest stays.
        """
        self._order = max(self._order, order)
        held = self._holders.get(device_id)
        if held is None or held[1] == connection_id:
            return False
        if order and held[:2] > (order, connection_id):
            return True
        del self._holders[device_id]
        held[-1].replaced()
        return False

    def _hear_held(self, told: Iterable[tuple[bytes, bytes, int]]) -> None:
        newer = [
            (device_id, self._holders[device_id][1], self._holders[device_id][0])
            for device_id, connection_id, order in told
            if self._yield_to(device_id, connection_id, order)
        ]
        if newer:
            self._bus.publish(MailboxesHeld(tuple(newer)))

    def _revoke(self, device_id: bytes) -> None:
        notice = encode_frame(Notice(NoticeKind.DEVICE_REVOKED, (device_id,)))
        for connection in self._by_device.get(device_id, _NOBODY):
            connection.notify(notice)
            connection.end("device_revoked")
        held = self._holders.pop(device_id, None)
        if held is not None:
            held[-1].replaced()

    @staticmethod
    def _notify(connections: Iterable[Present], kind: NoticeKind, *data: int | bytes) -> None:
        frame = encode_frame(Notice(kind, data))
        for connection in connections:
            connection.notify(frame)
