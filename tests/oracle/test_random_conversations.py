"""The product and the oracle talk, at random: sessions that either begins, over a bad wire, with post-quantum steps;
then a group in which both commit, add, remove and speak. What both say must be what both understand.

TOKENIM_CONVERSATIONS says how many (100 unless set), TOKENIM_CONVERSATIONS_FROM the first seed. One that fails prints its
seed and how to run it alone. The script, all keys and all nonces follow from the seed; only what the product's library
draws inside ML-KEM and HPKE does not.
"""

import os
import random as stdlib_random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from crypto.group_changes import Ban, Change, ChangeSetting, Give, Remove, SetRole, Unban
from crypto.group_proposals import add
from crypto.group_rights import Right, Role
from crypto.group_state import Setting
from tests.crypto_people import NOW_MS
from tests.group_people import Log
from tests.oracle import group_state
from tests.two_makes import AnyDevice, ProductDevice, ReferenceDevice

COUNT = int(os.environ.get("TOKENIM_CONVERSATIONS", "100"))
FIRST = int(os.environ.get("TOKENIM_CONVERSATIONS_FROM", "0"))
BATCHES = 10  # so that several processes share the work
WINDOW = 4  # envelopes that may overtake each other: far below what either side keeps
HOUR_MS = 3_600_000


@dataclass
class Pair:
    """Two devices, one of each make, and the wire between them."""

    ends: tuple[AnyDevice, AnyDevice]
    dice: stdlib_random.Random
    seen: Counter[str]
    now_ms: int = NOW_MS
    wires: tuple[list[tuple[bytes, bytes]], list[tuple[bytes, bytes]]] = field(
        default_factory=lambda: ([], [])
    )
    done: tuple[list[bytes], list[bytes]] = field(default_factory=lambda: ([], []))
    sent: int = 0

    def begin(self, side: int) -> None:
        me, peer = self.ends[side], self.ends[1 - side]
        me.begin(peer.me, peer.bundle(self.dice.random() < 0.6), self.now_ms)
        self.seen[f"set-ups by {type(me).__name__}"] += 1

    def send(self, side: int, content: bytes | None = None, *, ephemeral: bool = False) -> bool:
        me, peer = self.ends[side], self.ends[1 - side]
        self.sent += 1
        content = content or self.dice.randbytes(self.dice.choice((0, 1, 9, 200, 3_000))) + b"%d" % self.sent
        envelope = me.seal(peer.me, content, self.now_ms, ephemeral=ephemeral)
        if envelope is not None:
            self.wires[1 - side].append((content, envelope))
            if isinstance(me, ReferenceDevice) and (active := me.end.peers[peer.me].active):
                self.seen["messages with a KEM block"] += bool(active.ratchet.trace["kem_block"])
        return envelope is not None

    def deliver(self, side: int, at: int) -> bytes:
        content, envelope = self.wires[side].pop(at)
        if self.dice.random() < 0.15:
            damaged = bytearray(envelope)
            damaged[self.dice.randrange(len(damaged))] ^= 1 << self.dice.randrange(8)
            assert self.ends[side].open(bytes(damaged), self.now_ms) is None
        assert self.ends[side].open(envelope, self.now_ms) == content
        self.done[side].append(envelope)
        self.seen["messages"] += 1
        return content

    def exchange(self) -> None:
        """All that is under way arrives, then each says something: whoever can begin does."""
        for _ in range(2):
            for side in (0, 1):
                self.send(side)
                while self.wires[side]:
                    self.deliver(side, 0)
            for side in (1, 0):
                while self.wires[side]:
                    self.deliver(side, 0)

    def step(self, starts_left: int) -> int:
        """One thing that happens; how many set-ups may still be begun."""
        dice, side = self.dice, self.dice.randrange(2)
        what = dice.random()
        if what < 0.06 and starts_left:
            self.begin(side)
            return starts_left - 1
        if what < 0.45:
            self.send(side)
        elif what < 0.52 and self.wires[side]:
            del self.wires[side][dice.randrange(len(self.wires[side]))]
        elif what < 0.58 and self.done[side]:
            assert self.ends[side].open(dice.choice(self.done[side]), self.now_ms) is None, "shown twice"
        elif what < 0.62:
            self.now_ms += dice.choice((1, HOUR_MS, 5 * HOUR_MS))
        elif self.wires[side]:
            self.deliver(side, dice.randrange(min(WINDOW, len(self.wires[side]))))
        return starts_left


class Group:
    """Three or four devices of both makes in one group, with a log that both write."""

    def __init__(self, devices: list[AnyDevice], dice: stdlib_random.Random, seen: Counter[str]) -> None:
        self.devices, self.dice, self.seen, self.log = devices, dice, seen, Log()
        self.sent = 0
        broadcast = [Setting("broadcast", b"\x01")] if dice.random() < 0.3 else []
        founder, second, *others = devices
        listed = [(second.me[0], dice.choice((Role.OWNER, Role.ADMIN)))]
        listed += [(other.me[0], dice.choice((Role.MEMBER, Role.MODERATOR))) for other in others[:1]]
        founder.create(self.log, listed, broadcast)
        self.joined: list[AnyDevice] = [founder]
        self.settle(founder)

    def settle(self, committer: AnyDevice) -> None:
        """Everybody reads the log and is told what the committer may tell; all agree."""
        committer.follow(self.log)
        state = group_state.parse_state(committer.state)
        for device in self.devices:
            if device.me[0] not in state["members"]:
                if device in self.joined:
                    device.follow(self.log)
                    self.joined.remove(device)
                continue
            if device not in self.joined:
                told = committer.welcome(device.me[0])
                if told is not None:
                    device.join(told)
                    self.joined.append(device)
                continue
            told = committer.secret_for(device.me[0])
            if device is not committer and told is not None:
                device.learn(told)
            device.follow(self.log)
            welcome = committer.welcome(device.me[0])
            if (
                device.state != committer.state and welcome is not None
            ):  # it was outside the audience for a while
                device.join(welcome)
        inside = [device for device in self.joined if device.epoch_secret is not None]
        assert len({device.state for device in inside}) == 1
        assert len({device.epoch_secret for device in inside}) == 1

    def change(self) -> Change:
        dice, account = self.dice, self.dice.choice(self.devices[1:]).me[0]
        role = dice.choice(list(Role))
        return dice.choice(
            [
                *[add(account, 1, dice.choice((Role.LISTENER, Role.MEMBER, Role.ADMIN)))] * 4,
                Remove(account),
                SetRole(account, role),
                Give(account, dice.choice((0, 1, 3, 319, 511))),
                Ban(account),
                Unban(account),
                ChangeSetting(
                    Setting(dice.choice(("name", "about", "x")), dice.randbytes(dice.randrange(3)))
                ),
            ]
        )

    def commit(self) -> None:
        committer = self.dice.choice(self.joined)
        if committer.epoch_secret is None:
            return
        changes = [self.change() for _ in range(self.dice.choice((0, 1, 1, 2)))]
        told = committer.commit(self.log, changes, cut=not changes or self.dice.random() < 0.1)
        if told is None:
            self.seen["commits refused"] += 1
            return
        self.seen[f"commits by {type(committer).__name__}"] += 1
        self.seen["cuts"] += told != b""
        if told:
            committer.learn(told)
        self.settle(committer)

    def speak(self) -> None:
        """One message: whoever is in the audience reads it once, nobody else does, the speaker's own rights count."""
        speaker = self.dice.choice(self.joined)
        if speaker.epoch_secret is None:
            return
        self.sent += 1
        text = self.dice.randbytes(self.dice.choice((0, 5, 900))) + b"%d" % self.sent
        chain = speaker.chain()  # as it stands before the message
        envelope = speaker.say(text)
        members = group_state.parse_state(speaker.state)["members"]
        may = {account for account, member in members.items() if group_state.rights(member) & Right.SEND}
        assert (envelope is not None) == (speaker.me[0] in may)
        if envelope is None:
            return
        for device in self.devices:
            hears = device.me[0] in members and group_state.rights(members[device.me[0]]) & Right.HEAR
            entitled = hears and device in self.joined and device.epoch_secret is not None
            if device is speaker:
                continue
            if entitled:
                device.accept(speaker.me, chain)
                at = self.dice.randrange(len(envelope))
                damaged = envelope[:at] + bytes([envelope[at] ^ 1]) + envelope[at + 1 :]
                assert device.hear(damaged) is None
            assert device.hear(envelope) == (text if entitled else None)
            assert device.hear(envelope) is None, "shown twice"
            self.seen["group messages"] += bool(entitled)

    def junk(self) -> None:
        self.log.append(len(self.log.entries), self.dice.randbytes(self.dice.choice((0, 200, 256))))
        for device in self.joined:
            device.follow(self.log)


def converse(seed: int, seen: Counter[str]) -> None:
    """One conversation: a pair, then a group of the pair and two more."""
    dice = stdlib_random.Random(seed)
    makes = [ProductDevice, ReferenceDevice]
    dice.shuffle(makes)
    steps = dice.choice((0, 1, 2, 3, 20))
    first, second = (make(f"{seed} {place}", steps) for place, make in enumerate(makes))
    others = [dice.choice(makes)(f"{seed} {place}", 20) for place in (2, 3)]
    devices: list[AnyDevice] = [first, second, *others]
    for device in devices:
        for other in devices:
            if other is not device:
                device.meet(other.me, other.manifest)
    pair = Pair((first, second), dice, seen)
    pair.begin(0)
    starts_left = 3
    for _ in range(24):
        starts_left = pair.step(starts_left)
    pair.exchange()
    group = Group(devices, dice, seen)
    for _ in range(10):
        dice.choice((group.commit, group.commit, group.speak, group.speak, group.junk))()
    group.speak()


@contextmanager
def named(seed: int) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(
            f"conversation of seed {seed}: TOKENIM_CONVERSATIONS=1 TOKENIM_CONVERSATIONS_FROM={seed}"
        )
        raise


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("batch", range(BATCHES))
def test_b11_b15_product_and_oracle_understand_each_other(batch: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(FIRST + batch, FIRST + COUNT, BATCHES):
        with named(seed):
            converse(seed, seen)
    if COUNT >= 10 * BATCHES:  # by the seeds that `make test` runs; nothing of it may become empty unnoticed
        wanted = ("set-ups by", "commits by")
        wanted = [f"{what} {make.__name__}" for what in wanted for make in (ProductDevice, ReferenceDevice)]
        wanted += ["messages", "messages with a KEM block", "group messages", "cuts", "commits refused"]
        assert [what for what in wanted if not seen[what]] == []
