"""People in a group for tests of crypto: a log that takes entries in order, and devices that do what clients do.

Secrets and chains go from hand to hand as they would inside sessions; all randomness is seeded.
"""

from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, field

from crypto import group_log, sender_keys
from crypto.errors import ChainMissing
from crypto.group_changes import Change
from crypto.group_epoch import EpochHandOut
from crypto.group_log import Followed, GroupView, Welcome, join
from crypto.group_proposals import Proposal, add, begin_group, first_view, hand_outs, propose, welcome
from crypto.group_rights import Right, Role
from crypto.group_snapshots import (
    decode_sender,
    decode_sending,
    decode_view,
    encode_sender,
    encode_sending,
    encode_view,
)
from crypto.group_state import Setting, audience
from crypto.held_messages import HeldMessages
from crypto.keys import LocalDevice
from crypto.manifest import build_manifest, device_entry, sign_manifest
from crypto.manifest_chain import VerifiedManifest, verify_chain
from crypto.sender_chains import (
    ChainHandOut,
    SenderChains,
    SendingChain,
    accept_hand_out,
    begin_chain,
    hand_out,
)
from tests.crypto_people import NOW_MS, Person, SeededRandom


@dataclass
class Log:
    """What the relay keeps of a group: entries in order, appended at an expected index only."""

    entries: list[bytes] = field(default_factory=list)

    def append(self, index: int, entry: bytes) -> bool:
        if index != len(self.entries):
            return False
        self.entries.append(entry)
        return True


@dataclass(frozen=True)
class Snapshot:
    """A device's group as it is stored."""

    view: bytes | None
    chain: bytes | None
    senders: dict[bytes, bytes]
    shown: tuple[bytes, ...]


class Town:
    """The manifests that everybody knows."""

    def __init__(self) -> None:
        self.manifests: dict[bytes, VerifiedManifest] = {}


class GroupMember:
    """One device of one account in one group."""

    def __init__(self, name: str, town: Town, person: Person | None = None) -> None:
        self.person = person or Person(name, stock=0)
        self.name, self.town = name, town
        self.account, self.device = self.person.account, self.person.device
        self.random = self.person.random
        town.manifests[self.account] = self.person.manifest
        self.view: GroupView | None = None
        self.chain: SendingChain | None = None
        self.senders: dict[bytes, SenderChains] = {}
        self.held = HeldMessages()
        self.shown: list[bytes] = []
        self.now_ms = NOW_MS

    def sibling(self) -> "GroupMember":
        """Another device of the same account; manifest 1 lists both. Before any group is begun."""
        other = copy(self)
        other.name, other.random = f"{self.name} too", SeededRandom(f"{self.name} too")
        other.device = LocalDevice.generate(self.account, other.random)
        other.senders, other.held, other.shown = {}, HeldMessages(), []
        self.publish([self.device, other.device])
        return other

    def publish(self, devices: Iterable[LocalDevice]) -> None:
        """The account's manifest lists these: the first one, or the next if there was one with other devices."""
        person, before = self.person, self.person.manifest
        if len(before.manifest.devices) == 1:
            listed = [device_entry(device, added_at_ms=NOW_MS, manager=True) for device in devices]
            body = build_manifest(person.root.public, 1, None, listed)
            chain = verify_chain(self.account, None, [sign_manifest(body, person.root)])
        else:
            chain = verify_chain(self.account, before, [person.next_manifest(list(devices))])
        person.manifest = self.town.manifests[self.account] = chain

    def snapshot(self) -> Snapshot:
        """What is on this device's disk."""
        return Snapshot(
            None if self.view is None else encode_view(self.view),
            None if self.chain is None else encode_sending(self.chain),
            {device: encode_sender(sender) for device, sender in self.senders.items()},
            tuple(self.shown),
        )

    def load(self, disk: Snapshot) -> None:
        """As after a crash, or when an old copy was put back."""
        self.view = None if disk.view is None else decode_view(disk.view)
        self.chain = None if disk.chain is None else decode_sending(disk.chain)
        self.senders = {device: decode_sender(sender) for device, sender in disk.senders.items()}
        self.shown = list(disk.shown)

    @property
    def known(self) -> GroupView:
        assert self.view is not None
        return self.view

    @property
    def known_chain(self) -> SendingChain:
        assert self.chain is not None
        return self.chain

    def begin(
        self, log: Log, others: "Iterable[tuple[GroupMember, Role]]", settings: Iterable[Setting] = ()
    ) -> Proposal:
        """Create the group with these members, and welcome them."""
        added = [add(other.account, 1, role) for other, role in others]
        own = self.person.manifest
        made = begin_group(self.device, own, added, settings, self.random, self.now_ms, self.town.manifests)
        assert log.append(0, group_log.seal_entry(made.keys, 0, made.signed, self.random))
        self.view = first_view(made)
        return made

    def invite(self, other: "GroupMember") -> None:
        """Tell a member, new or yet without a view, where the group stands."""
        given = Welcome.parse(welcome(self.known, other.account).encode())
        other.view = join(given, other.account)

    def prepare(self, changes: Iterable[Change], *, cut: bool = False) -> Proposal:
        return propose(
            self.known, self.device, changes, self.random, self.now_ms, self.town.manifests, cut=cut
        )

    def append(self, log: Log, proposal: Proposal) -> bool:
        """Try; True if the entry stands."""
        index = self.known.next_entry
        return log.append(index, group_log.seal_entry(self.known.keys, index, proposal.signed, self.random))

    def commit(self, log: Log, changes: Iterable[Change], *, cut: bool = False) -> Proposal:
        """Propose, append, follow; with the secret learnt, but handed to nobody yet."""
        self.catch_up(log)
        proposal = self.prepare(changes, cut=cut)
        if proposal.hand_out is not None:
            self.learn(proposal.hand_out)
        assert self.append(log, proposal)
        self.catch_up(log)
        return proposal

    def catch_up(self, log: Log) -> list[Followed]:
        """Read all entries that are there; stops where a secret is missing."""
        followed = []
        while self.known.next_entry < len(log.entries):
            index = self.known.next_entry
            try:
                result = group_log.follow(self.known, index, log.entries[index], self.town.manifests)
            except ChainMissing:
                break
            self.view = result.view
            followed.append(result)
        return followed

    def learn(self, given: EpochHandOut) -> None:
        self.view = group_log.learn_secret(self.known, EpochHandOut.parse(given.encode()))

    def spread(self, others: "Iterable[GroupMember]", *, entitled: bool | None = None) -> None:
        """Hand the present secrets to the members among these, as after a cut."""
        for other in others:
            member = self.known.state.by_account.get(other.account)
            if member is None or other is self or other.view is None or not member.rights & Right.HEAR:
                continue
            if entitled is None or member.may_commit == entitled:
                for given in hand_outs(self.known, other.account, since_epoch=member.since):
                    other.learn(given)

    def fresh_chain(self) -> SendingChain:
        """A chain of the present epoch, begun anew if need be."""
        state = self.known.state
        chain = self.chain
        if chain is None or (chain.opening.epoch, chain.opening.cut_hash) != (state.epoch, state.cut_hash):
            chain = None
        if chain is None or chain.is_used_up(self.now_ms):
            chain = begin_chain(
                self.known.keys, self.account, self.device.device_id, self.random, self.now_ms
            )
        self.chain = chain
        return chain

    def hand_to(self, others: "Iterable[GroupMember]") -> None:
        """The own chain to the devices of the audience among these, and to nobody else (B6)."""
        given = hand_out(self.fresh_chain()).encode()
        listed = audience(self.known.state, self.town.manifests)
        for other in others:
            if other is not self and (other.account, other.device.device_id) in listed:
                other.accept(self, given)

    def accept(self, sender: "GroupMember", given: bytes) -> None:
        device = sender.device.device_id
        known = self.senders.get(device) or SenderChains(sender.account, device)
        self.senders[device] = accept_hand_out(known, ChainHandOut.parse(given))

    def send(self, text: bytes) -> bytes:
        chain = self.fresh_chain()
        self.chain, envelope = sender_keys.encrypt(
            chain, self.known.keys, self.known.state, text, self.random, self.now_ms
        )
        return envelope

    def say(self, others: "Iterable[GroupMember]", text: bytes) -> bytes:
        """Hand out the chain where it is new, then send."""
        before = self.chain
        if self.fresh_chain() is not before:
            self.hand_to(others)
        return self.send(text)

    def open(self, envelope: bytes) -> bytes:
        """The plaintext, with the sender's next chains kept; on an error nothing changes."""
        opened = sender_keys.find_header(self.known.epochs, envelope)
        if opened is None:
            raise ChainMissing("no epoch key opens the header")
        sender = self.senders.get(opened.header.device)
        if sender is None:
            raise ChainMissing("nothing of this sender has come yet")
        manifest = self.town.manifests[sender.account]
        self.senders[sender.device], text = sender_keys.decrypt(
            sender, opened, envelope, self.known.state, manifest, self.now_ms
        )
        self.shown.append(text)
        return text


def group_of(
    *names: str, roles: dict[str, Role] | None = None, settings: Iterable[Setting] = ()
) -> tuple[Log, list[GroupMember]]:
    """(The log, its members): the first is the owner, the others members or what `roles` says; all have joined."""
    log, town = Log(), Town()
    members = [GroupMember(name, town) for name in names]
    owner, *others = members
    owner.begin(log, [(other, (roles or {}).get(other.name, Role.MEMBER)) for other in others], settings)
    for other in others:
        owner.invite(other)
    return log, members
