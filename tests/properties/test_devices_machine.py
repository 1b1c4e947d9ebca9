"""Two accounts with two devices each: every text is shown once on each device that it was said to, and on no other.

Devices come and go, begin anew, both begin at once, crash before they commit, and are rolled back to an old copy; the
wire drops, repeats and reorders; removed devices go on listening and talking. Ids: A4, A8, A13, B2, B12, B13.
"""

import random as stdlib_random
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from crypto import limits
from crypto.errors import CryptoError
from tests.device_people import DeviceClient, Disk, Household, Key

MAX_BEGUN = 4  # set-ups of a pair of devices, by either: more than are archived would rightly lose the oldest
MAX_DEVICES = 4  # that an account ever had


@dataclass
class Letter:
    """One envelope on its way to one device."""

    text: bytes
    envelope: bytes
    sender: Key
    chains_before: int
    """How many chains of the sender the recipient had opened."""
    excused: bool = False
    """Either end was rolled back since: it need not open."""


class DevicesMachine(RuleBasedStateMachine):
    """Both households, the wire, and what each device has to have shown."""

    picks = st.integers(min_value=0, max_value=2**16)

    @initialize()
    def move_in(self) -> None:
        self.houses = [Household("ann"), Household("bob")]
        self.fetch = {house.account: house for house in self.houses}
        self.mail: dict[Key, list[Letter]] = {}
        self.copies: dict[Key, list[Disk]] = {}
        self.begun: dict[frozenset[Key], int] = {}
        self.disturbed: set[frozenset[Key]] = set()
        self.said_to: dict[bytes, set[Key]] = {}
        self.shown_ever: dict[Key, set[bytes]] = {}
        self.counter = 0
        for house in self.houses:
            self.add(house)
            self.add(house)
        for device in self.present():
            for house in self.houses:
                device.learn(house)
            device.save()

    def add(self, house: Household) -> DeviceClient:
        device = house.add()
        self.mail[device.key], self.copies[device.key] = [], []
        self.shown_ever[device.key] = set()
        return device

    def present(self) -> list[DeviceClient]:
        return [device for house in self.houses for device in house.devices]

    def gone(self) -> list[DeviceClient]:
        return [device for house in self.houses for device in house.gone]

    def of(self, pick: int) -> DeviceClient:
        return self.present()[pick % len(self.present())]

    # What devices do

    def targets(self, device: DeviceClient) -> list[DeviceClient]:
        """Whom it writes to: all devices that it knows of, of both accounts."""
        everybody = [each for house in self.houses for each in (*house.devices, *house.gone)]
        return [each for each in everybody if each is not device and device.trusts(each.key)]

    def write(self, device: DeviceClient, to: DeviceClient, text: bytes) -> Letter:
        active = device.peers[to.key].active if to.key in device.peers else None
        if active is None:
            self.count_begin(device, to)
        envelope = device.seal(to, text)
        excused = frozenset((device.key, to.key)) in self.disturbed
        return Letter(text, envelope, device.key, to.chains.get(device.key, 0), excused)

    def count_begin(self, device: DeviceClient, to: DeviceClient) -> int:
        pair = frozenset((device.key, to.key))
        self.begun[pair] = self.begun.get(pair, 0) + 1
        return self.begun[pair]

    def say(self, device: DeviceClient) -> bytes:
        """To all, each its own envelope; committed before any leaves. Whoever it is not for cannot open one."""
        self.counter += 1
        text = b"%d" % self.counter
        letters = [(to, self.write(device, to, text)) for to in self.targets(device)]
        self.said_to[text] = {to.key for to, _ in letters}
        device.save()
        for to, letter in letters:
            self.mail[to.key].append(letter)
            for other in (*self.present(), *self.gone()):
                if other is not to:
                    self.cannot_open(other, letter.envelope)
        return text

    def cannot_open(self, device: DeviceClient, envelope: bytes) -> None:
        before = dict(device.peers), device.prekeys
        try:
            device.open(envelope, {})
        except CryptoError:
            assert (dict(device.peers), device.prekeys) == before
            return
        raise AssertionError("a device opened what was sealed for another")

    @rule(pick=picks)
    def somebody_speaks(self, pick: int) -> None:
        self.say(self.of(pick))

    @rule(pick=picks)
    def a_removed_device_speaks(self, pick: int) -> None:
        if self.gone():
            self.say(self.gone()[pick % len(self.gone())])

    @rule(pick=picks)
    def crash_before_committing_what_was_said(self, pick: int) -> None:
        device = self.of(pick)
        targets = self.targets(device)
        for to in targets:
            if to.key in device.peers and device.peers[to.key].active:
                device.seal(to, b"never left this device")
        device.load(device.disk)

    @rule(pick=picks)
    def begin_anew(self, pick: int) -> None:
        """A reset by hand, or one of two that begin at once."""
        device = self.of(pick)
        for to in self.targets(device):
            if self.begun.get(frozenset((device.key, to.key)), 0) < MAX_BEGUN:
                self.count_begin(device, to)
                device.begin(to, one_time=pick % 2 == 0)
        device.save()

    @rule(pick=picks)
    def fetch_manifests(self, pick: int) -> None:
        device = self.of(pick)
        for house in self.houses:
            device.learn(house)
        device.save()

    @rule(which=st.integers(0, 1))
    def a_device_is_added(self, which: int) -> None:
        house = self.houses[which]
        if len(house.devices) + len(house.gone) < MAX_DEVICES and len(house.devices) < 3:
            device = self.add(house)
            device.learn(self.houses[1 - which])
            device.save()

    @rule(which=st.integers(0, 1), pick=picks)
    def a_device_is_removed(self, which: int, pick: int) -> None:
        house = self.houses[which]
        if len(house.devices) > 1:
            house.remove(house.devices[pick % len(house.devices)])

    def active_id(self, device: DeviceClient, peer: DeviceClient) -> bytes:
        active = device.peers[peer.key].active
        assert active is not None
        return active.facts.session_id

    # Copies of a disk

    @rule(pick=picks)
    def copy_the_disk(self, pick: int) -> None:
        device = self.of(pick)
        self.copies[device.key].append(device.disk)

    @rule(pick=picks, which=picks)
    def put_an_old_copy_back(self, pick: int, which: int) -> None:
        """What is under way to and from the device may be lost by it, but is not shown twice in one history."""
        device = self.of(pick)
        copies = self.copies[device.key]
        if not copies or sum(key in pair for pair in self.disturbed for key in (device.key,)) > 0:
            return
        device.load(copies[which % len(copies)])
        for other in (*self.present(), *self.gone()):
            if other is not device:
                self.disturbed.add(frozenset((device.key, other.key)))
        for owner, letters in self.mail.items():
            for letter in letters:
                letter.excused |= device.key in (owner, letter.sender)

    @rule(pick=picks, other=picks)
    def heal(self, pick: int, other: int) -> None:
        device, peer = self.of(pick), self.of(other)
        if device is not peer and frozenset((device.key, peer.key)) in self.disturbed:
            self.make_up(device, peer)

    def make_up(self, device: DeviceClient, peer: DeviceClient) -> None:
        """A device that was rolled back begins anew until its set-up outranks what the peer remembers; then both talk."""
        for each in (device, peer):
            for house in self.houses:
                each.learn(house)
        for _ in range(2 * MAX_BEGUN + 2):
            device.begin(peer)
            first = b"anew %d" % self.counter
            self.counter += 1
            assert peer.open(device.seal(peer, first), self.fetch)[1] == first
            try:
                device.open(peer.seal(device, b"answer"), self.fetch)
            except CryptoError:
                continue
            break
        else:
            raise AssertionError("they never came together again")
        pair = frozenset((device.key, peer.key))
        self.disturbed.discard(pair)
        self.begun[pair] = MAX_BEGUN
        for each in (device, peer):
            each.save()
            for letter in self.mail[each.key]:
                letter.excused |= letter.sender in pair

    # What the wire does

    def deliver(self, device: DeviceClient, letter: Letter, *, commit: bool = True) -> None:
        before = dict(device.peers), device.prekeys
        old = device.chains.get(letter.sender, 0) - letter.chains_before >= limits.MAX_RECEIVING_CHAINS
        again = letter.text in device.shown
        try:
            sender, text = device.open(letter.envelope, self.fetch)
        except CryptoError:
            # Opening may have fetched manifests first, after which a device that left has no sessions.
            refused = again or old or letter.excused or not device.trusts(letter.sender)
            assert refused, f"{letter.text!r} should have opened"
            if device.trusts(letter.sender):
                assert (dict(device.peers), device.prekeys) == before or letter.envelope[0] == 1
            return
        assert (sender, text) == (letter.sender, letter.text)
        assert not again, "shown twice"
        assert device.trusts(sender), "shown although its device left"
        assert device.key in self.said_to[text], "shown to somebody it was not said to"
        device.shown.append(text)
        if commit:
            device.save()
            self.shown_ever[device.key].add(text)

    @rule(pick=picks, at=picks, repeat=st.booleans())
    def one_arrives(self, pick: int, at: int, repeat: bool) -> None:
        device = self.of(pick)
        letters = self.mail[device.key]
        if letters:
            at %= len(letters)
            self.deliver(device, letters[at] if repeat else letters.pop(at))

    @rule(pick=picks)
    def all_arrive(self, pick: int) -> None:
        device = self.of(pick)
        letters = self.mail[device.key]
        while letters:
            self.deliver(device, letters.pop(0))

    @rule(pick=picks, at=picks)
    def crash_before_committing_what_came(self, pick: int, at: int) -> None:
        device = self.of(pick)
        letters = self.mail[device.key]
        if letters:
            self.deliver(device, letters[at % len(letters)], commit=False)
            device.load(device.disk)

    @rule(pick=picks, at=picks)
    def one_is_dropped(self, pick: int, at: int) -> None:
        letters = self.mail[self.of(pick).key]
        if letters:
            del letters[at % len(letters)]

    @rule(pick=picks, seed=picks)
    def reorder(self, pick: int, seed: int) -> None:
        stdlib_random.Random(seed).shuffle(self.mail[self.of(pick).key])

    # What must hold

    @invariant()
    def nothing_is_shown_twice_in_one_history(self) -> None:
        for device in self.present() if hasattr(self, "houses") else ():
            assert len(device.shown) == len(set(device.shown))
            assert all(device.key in self.said_to[text] for text in device.shown)

    def teardown(self) -> None:
        """Convergence: once all know who is there, what anybody says is shown on every device that is, and on no other."""
        if not hasattr(self, "houses"):
            return
        for device in self.present():
            for house in self.houses:
                device.learn(house)
            letters = self.mail[device.key]
            while letters:
                self.deliver(device, letters.pop(0))
        for device in self.present():
            for peer in self.present():
                if device is not peer and frozenset((device.key, peer.key)) in self.disturbed:
                    self.make_up(device, peer)
        self.everybody_hears_everybody()
        for device in self.present():
            for peer in self.present():
                if device is not peer:
                    assert self.active_id(device, peer) == self.active_id(peer, device), "B12"

    def everybody_hears_everybody(self) -> None:
        for device in self.present():
            text = self.say(device)
            assert self.said_to[text] == {each.key for each in self.present() if each is not device}
            for each in self.present():
                letters = self.mail[each.key]
                while letters:
                    self.deliver(each, letters.pop(0))
                assert (text in each.shown) == (each is not device)


# No shrinking: ML-KEM draws its own randomness, so the ids that break ties differ from run to run.
TestA4A13B12DevicesComeAndGo = DevicesMachine.TestCase
TestA4A13B12DevicesComeAndGo.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
)
