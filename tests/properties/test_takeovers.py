"""A device comes to several nodes: whatever is lost, doubled or crosses between them, its newest connection has the mailbox."""

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.adapters.memory_clock import ManualClock
from relay.ports.bus import Announcement, Handler, MailboxesHeld, MailboxTaken
from relay.services.delivery import Fresh
from relay.services.wakeup import Wakeup

DEVICE = b"d" * 16


class Clock(ManualClock):
    """Of a node."""

    async def sleep(self, seconds: float) -> None:
        """Nobody else has to have a turn here."""


class Link:
    """What a node publishes: it hears that itself at once, the others when the network likes."""

    is_connected = True

    def __init__(self, send: Callable[[Announcement], None]) -> None:
        self._send = send
        self._handlers: dict[type[Announcement], Handler] = {}

    def publish(self, announcement: Announcement) -> None:
        self.hear(announcement)
        self._send(announcement)

    def doubt(self) -> None:
        raise NotImplementedError

    def subscribe(self, kind: type[Announcement], handler: Handler) -> "Link":
        self._handlers[kind] = handler
        return self

    def cancel(self) -> None:
        raise NotImplementedError

    def hear(self, announcement: Announcement) -> None:
        if type(announcement) in self._handlers:
            self._handlers[type(announcement)](announcement)


class Connection:
    """A holder; `number`: it was so many-th to take the mailbox."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.lives = True

    def replaced(self) -> None:
        self.lives = False

    def offer(self, envelopes: Sequence[Fresh]) -> None:
        raise NotImplementedError

    def offer_ephemeral(self, tail: bytes) -> None:
        raise NotImplementedError

    def look(self) -> None:
        raise NotImplementedError

    def look_past(self, sequence: int) -> None:
        raise NotImplementedError


class Relay:
    """Nodes, what is under way between them, and who took the mailbox."""

    def __init__(self, nodes: int, *, old: int | None = None) -> None:
        """`old`: a node of a version that knows neither orders nor what is said again."""
        self.links = [Link(lambda told, node=node: self._send(node, told)) for node in range(nodes)]
        self.clocks = [Clock() for _ in range(nodes)]
        self.nodes = [Wakeup(link, clock) for link, clock in zip(self.links, self.clocks, strict=True)]
        self.under_way: list[tuple[int, Announcement]] = []
        self.taken: list[Connection] = []
        self.knew: list[set[int]] = []
        """Of each connection: those that its node had heard of when it came."""
        self._heard: list[set[int]] = [set() for _ in range(nodes)]
        self._old = old

    def _send(self, node: int, told: Announcement) -> None:
        if node == self._old and isinstance(told, MailboxTaken):
            told = MailboxTaken(told.device_id, told.connection_id)
        self.under_way += [(other, told) for other in range(len(self.nodes)) if other != node]

    def take(self, node: int, *, ms_later: int = 1) -> None:
        """One more connection comes to the node."""
        for clock in self.clocks:
            clock._now_ms += ms_later
        number = len(self.taken)
        connection = Connection(number)
        self.taken.append(connection)
        self.knew.append(set(self._heard[node]))
        self._heard[node].add(number)
        # Ids in an order that is not that of the connections.
        self.nodes[node].take(DEVICE, bytes([number * 5 % 7]) * 16, connection)

    def deliver(self, place: int, *, keep: bool = False) -> None:
        """One that is under way arrives; `keep`: it will once more."""
        node, told = self.under_way[place] if keep else self.under_way.pop(place)
        if node == self._old and isinstance(told, MailboxesHeld):
            return
        if isinstance(told, MailboxTaken):
            self._heard[node].add(
                next(n for n in range(len(self.taken)) if bytes([n * 5 % 7]) * 16 == told.connection_id)
            )
        self.links[node].hear(told)

    def settle(self) -> None:
        """All that is under way arrives."""
        while self.under_way:
            self.deliver(0)

    def doubt(self, node: int) -> None:
        """The node was told that announcements were lost."""
        telling = self.nodes[node].tell_held()
        with pytest.raises(StopIteration):
            telling.send(None)

    def living(self) -> list[int]:
        return [connection.number for connection in self.taken if connection.lives]


def schedules(nodes: int, takers: Sequence[int], *, doubled: bool) -> Iterator[list[int]]:
    """Every order of these takeovers and of the arrivals of what they say, as places: -1 is the next takeover."""
    copies = (nodes - 1) * (2 if doubled else 1)

    def continue_from(begun: list[int], left: int, under_way: int) -> Iterator[list[int]]:
        if not left and not under_way:
            yield begun
        if left:
            yield from continue_from([*begun, -1], left - 1, under_way + copies)
        for place in range(under_way):
            yield from continue_from([*begun, place], left, under_way - 1)

    return continue_from([], len(takers), 0)


def played(nodes: int, takers: Sequence[int], schedule: Sequence[int], *, doubled: bool, ms: int) -> Relay:
    relay = Relay(nodes)
    coming = iter(takers)
    for step in schedule:
        if step < 0:
            before = len(relay.under_way)
            relay.take(next(coming), ms_later=ms)
            if doubled:
                relay.under_way += relay.under_way[before:]
        else:
            relay.deliver(step)
    return relay


CASES = [
    *((2, (0, *takers), True) for takers in product(range(2), repeat=2)),
    (3, (0, 1, 2), False),
    (3, (0, 1, 0), False),
    (3, (0, 1, 1), False),
]


@pytest.mark.proves("M-DELIV-16")
@pytest.mark.parametrize("ms", [1, 0, -1])
def test_in_every_order_of_what_crosses_or_comes_twice_one_lives_and_none_that_knew_of_a_newer(
    ms: int,
) -> None:
    """`ms`: so much later each comes. Where the time stands or goes back, nobody knows which of two that cross is newer."""
    count = 0
    for nodes, takers, doubled in CASES:
        for schedule in schedules(nodes, takers, doubled=doubled):
            relay = played(nodes, takers, schedule, doubled=doubled, ms=ms)
            (lives,) = relay.living()
            assert ms < 1 or lives == len(takers) - 1, (takers, schedule)
            assert not any(lives in knew for knew in relay.knew), (takers, schedule)
            count += 1
    assert count > 5_000


@given(st.data())
def test_what_was_lost_is_made_good_by_each_node_that_doubts(data: st.DataObject) -> None:
    nodes = data.draw(st.integers(2, 3))
    relay = Relay(nodes)
    doubtful: set[int] = set()
    for _ in range(data.draw(st.integers(1, 5))):
        relay.take(data.draw(st.integers(0, nodes - 1)))
        for _ in range(data.draw(st.integers(0, 4))):
            if relay.under_way:
                place = data.draw(st.integers(0, len(relay.under_way) - 1))
                match data.draw(st.sampled_from(["arrives", "twice", "lost"])):
                    case "arrives":
                        relay.deliver(place)
                    case "twice":
                        relay.deliver(place, keep=True)
                    case _:
                        doubtful.add(relay.under_way.pop(place)[0])
    relay.settle()
    newest = len(relay.taken) - 1
    assert newest in relay.living()  # what is lost ends nobody who should live
    for node in doubtful:
        relay.doubt(node)
        for place in range(len(relay.under_way) - 1, -1, -1):
            if data.draw(st.booleans()):
                relay.deliver(place, keep=True)
    relay.settle()
    assert relay.living() == [newest]


@pytest.mark.parametrize("old", [0, 1])
def test_f21_beside_a_node_of_an_earlier_version_a_later_connection_replaces_an_earlier_one(old: int) -> None:
    for takers in product(range(2), repeat=3):
        relay = Relay(2, old=old)
        for node in takers:
            relay.take(node)
            relay.settle()
        assert relay.living() == [2]
        relay.doubt(0)
        relay.doubt(1)
        relay.settle()
        assert relay.living() == [2]


def test_who_says_again_what_is_no_more_ends_nobody() -> None:
    relay = Relay(2)
    relay.take(0)
    relay.settle()
    relay.take(1)
    relay.under_way.clear()
    assert relay.living() == [0, 1]
    relay.doubt(0)  # the older one speaks: the newer one stays, and answers
    assert [type(told) for _, told in relay.under_way] == [MailboxesHeld]
    relay.settle()
    assert relay.living() == [1]
