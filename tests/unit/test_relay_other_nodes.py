"""What a node does after it may have missed announcements of others."""

from typing import cast

from relay.adapters.memory_bus import open_memory_bus
from relay.adapters.memory_clock import ManualClock
from relay.ports.bus import Announcement, AnnouncementsLost, MailboxesHeld
from relay.ports.mailboxes import MailboxStore
from relay.services.connections import Connections
from relay.services.other_nodes import JUDGE_SECONDS, TELL_SECONDS, OtherNodes
from relay.services.wakeup import HELD_A_PIECE, Wakeup
from tests.unit.test_relay_wakeup import Mailbox, handed_out


class Holder(Mailbox):
    def look_past(self, sequence: int) -> None:
        self.told.append(sequence)


class Store:
    async def newest(self, device_ids: tuple[bytes, ...]) -> dict[bytes, int]:
        return dict.fromkeys(device_ids, 0)


class Judge:
    judged = 0

    async def judge_again(self) -> None:
        self.judged += 1


async def test_f17_after_a_loss_others_are_told_who_has_which_mailbox_and_not_too_often() -> None:
    clock, judge = ManualClock(), Judge()
    async with open_memory_bus() as bus:
        wakeup = Wakeup(bus, clock)
        heard: list[Announcement] = []
        bus.subscribe(MailboxesHeld, heard.append)
        nodes = OtherNodes(
            cast(MailboxStore, Store()), wakeup, cast(Connections, judge), bus=bus, clock=clock
        )
        devices = [number.to_bytes(16, "big") for number in range(HELD_A_PIECE + 1)]
        holders = [Holder() for _ in devices]
        for device_id, holder in zip(devices, holders, strict=True):
            wakeup.take(device_id, device_id, holder)
        await nodes.look()
        assert (heard, judge.judged) == ([], 0)
        for seconds, judged, told in ((0, 1, 2), (JUDGE_SECONDS, 2, 2), (TELL_SECONDS, 3, 4)):
            await clock.advance(seconds=seconds)
            bus.publish(AnnouncementsLost())
            await handed_out()
            await nodes.look()
            await handed_out()
            assert (judge.judged, len(heard)) == (judged, told)
        named = [one[0] for piece in heard[:2] if isinstance(piece, MailboxesHeld) for one in piece.held]
        assert named == devices
        assert not any("replaced" in holder.told for holder in holders)
