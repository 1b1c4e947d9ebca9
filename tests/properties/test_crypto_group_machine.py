"""A group on a hostile wire: members agree, each message is shown once to those entitled, who is out reads nothing.

Two of five have two devices. The machine commits (also two at once, and killed between append and secrets), adds,
removes members and devices, sends, loses, reorders and repeats; devices crash before they commit to disk, and are rolled
back to old copies. Secrets and chains travel as messages do, and come late or in another order. Ids: B5, B6, B8, B15.
"""

import random as stdlib_random
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from crypto.errors import ChainMissing, CommitRefused, CryptoError, NotEntitled, Replayed
from crypto.group_changes import Change, ChangeSetting, Give, NewManifest, Remove
from crypto.group_needed import still_needed
from crypto.group_proposals import Proposal, add, hand_outs
from crypto.group_rights import COMMITTING, Right, Role
from crypto.group_state import GroupState, Setting, audience
from crypto.sender_chains import hand_out
from tests.group_people import GroupMember, Log, Snapshot, Town

NAMES = ("ann", "bob", "cem", "dee", "eve")


@dataclass
class Member:
    """A device, what is on its way to it, and what the model knows of it."""

    device: GroupMember
    mail: list[Callable[[], None]] = field(default_factory=list)
    envelopes: list[tuple[bytes, bytes]] = field(default_factory=list)
    may_read: set[bytes] = field(default_factory=set)
    handed: set[bytes] = field(default_factory=set)  # chain ids that were sent to this device
    copies: list[Snapshot] = field(default_factory=list)
    spoke: Snapshot | None = None  # its disk when it spoke last
    rolled_back: bool = False
    gone: bool = False  # its account's manifest does not list it any more


class GroupMachine(RuleBasedStateMachine):
    """Five people, a log, and a wire."""

    people = st.integers(min_value=0, max_value=len(NAMES) + 1)
    picks = st.integers(min_value=0, max_value=2**16)

    @initialize(broadcast=st.booleans())
    def start(self, broadcast: bool) -> None:
        self.log, town = Log(), Town()
        self.members = [Member(GroupMember(name, town)) for name in NAMES]
        first, second, third, *_ = (member.device for member in self.members)
        self.members += [Member(first.sibling()), Member(third.sibling())]
        chosen = [Setting("broadcast", b"\x01")] if broadcast else []
        first.begin(self.log, [(second, Role.OWNER), (third, Role.MEMBER)], chosen)
        for member in self.members[1:3] + self.members[5:]:
            first.invite(member.device)
        self.counter = 0
        self.audience_of: dict[bytes, set[str]] = {}

    # What people do

    def in_group(self, member: Member) -> bool:
        view = member.device.view
        return view is not None and not member.gone and member.device.account in self.truth().by_account

    def truth(self) -> GroupState:
        """The state of whoever has read the most of the log."""
        views = [member.device.view for member in self.members if member.device.view is not None]
        return max(views, key=lambda view: view.state.index).state

    def current(self, member: Member) -> bool:
        """Whether it is in the group, has read all, and has the secret."""
        if not self.in_group(member):
            return False
        device = member.device
        device.catch_up(self.log)
        try:
            _ = device.known.keys
        except ChainMissing:
            return False
        return device.known.next_entry == len(self.log.entries) and (
            device.account in device.known.state.by_account
        )

    def wanted(self, actor: Member, target: Member, what: int) -> list[Change]:
        self.counter += 1
        account, members = target.device.account, actor.device.known.state.by_account
        if what == 0:
            return [Remove(account)] if account in members else [add(account, 1)]
        if what == 1 and account in members:
            return [Give(account, int(Right.HEAR))]
        return [ChangeSetting(Setting("name", b"%d" % self.counter))]

    def mail_secrets(self, actor: Member, *, entitled: bool | None) -> None:
        view = actor.device.known
        for member in self.members:
            listed = view.state.by_account.get(member.device.account)
            if member is actor or member.gone or listed is None or member.device.view is None:
                continue
            if entitled is None or listed.may_commit == entitled:
                for given in hand_outs(view, listed.account, since_epoch=listed.since):
                    member.mail.append(lambda to=member.device, given=given: to.learn(given))

    def tell_committers(self, actor: Member, proposal: Proposal) -> None:
        """Before the append: those who may commit have the secret for certain."""
        if proposal.hand_out is None:
            return
        for member in self.members:
            listed = proposal.state.by_account.get(member.device.account)
            if listed and listed.may_commit and member.device.view is not None and not member.gone:
                member.device.learn(proposal.hand_out)

    def finish(self, actor: Member, before: set[bytes]) -> None:
        """After the append: read it, welcome who is new."""
        actor.device.catch_up(self.log)
        for member in self.members:
            account = member.device.account
            if account in actor.device.known.state.by_account and account not in before and not member.gone:
                member.device.view, member.device.chain = None, None
                actor.device.invite(member.device)
                member.mail.clear()

    def propose(self, actor: Member, changes: list[Change]) -> Proposal | None:
        try:
            return actor.device.prepare(changes)
        except (CommitRefused, NotEntitled):
            return None

    @rule(who=people, whom=people, what=st.integers(min_value=0, max_value=2), killed=st.booleans())
    def commit(self, who: int, whom: int, what: int, killed: bool) -> None:
        actor = self.members[who]
        if not self.current(actor):
            return
        proposal = self.propose(actor, self.wanted(actor, self.members[whom], what))
        if proposal is None:
            return
        before = set(actor.device.known.state.by_account)
        self.tell_committers(actor, proposal)
        assert actor.device.append(self.log, proposal)
        if not killed:
            self.finish(actor, before)
            self.mail_secrets(actor, entitled=False)
            return
        # Killed here: another that may commit finds the entry, cuts anew, and tells all that the others may lack.
        for other in self.members[:2]:
            if other is not actor and self.current(other) and self.may(other, COMMITTING):
                self.finish(other, before)
                cut = other.device.prepare([], cut=True)
                self.tell_committers(other, cut)
                assert other.device.append(self.log, cut)
                self.finish(other, before | set(other.device.known.state.by_account))
                self.mail_secrets(other, entitled=None)
                return
        self.finish(actor, before)
        self.mail_secrets(actor, entitled=False)

    @rule(whom=people, what=st.integers(min_value=0, max_value=2), other=people)
    def two_commits_at_once(self, whom: int, what: int, other: int) -> None:
        first, second = self.members[:2]
        if not (self.current(first) and self.current(second)):
            return
        wishes = self.wanted(second, self.members[other], 0)
        of_first = self.propose(first, self.wanted(first, self.members[whom], what))
        of_second = self.propose(second, wishes)
        if of_first is None or of_second is None:
            return
        before = set(first.device.known.state.by_account)
        self.tell_committers(first, of_first)
        self.tell_committers(second, of_second)
        assert first.device.append(self.log, of_first)
        assert not second.device.append(self.log, of_second)
        self.finish(first, before)
        self.mail_secrets(first, entitled=False)
        if self.current(second) and self.may(second, COMMITTING):
            before = set(second.device.known.state.by_account)
            left = still_needed(second.device.known.state, wishes)
            again = self.propose(second, list(left))
            if again is not None and left:
                self.tell_committers(second, again)
                assert second.device.append(self.log, again)
                self.finish(second, before)
                self.mail_secrets(second, entitled=False)

    @rule(who=people, count=st.integers(min_value=1, max_value=3))
    def send(self, who: int, count: int) -> None:
        actor = self.members[who]
        if not self.current(actor):
            return
        device = actor.device
        try:
            chain = device.fresh_chain()
            device.known.state.require_right(device.account, Right.SEND)
        except (ChainMissing, NotEntitled):
            return
        listed = audience(device.known.state, device.town.manifests)
        given = hand_out(chain).encode()
        readers = []
        for member in self.members:
            to = member.device
            if member is actor or (to.account, to.device.device_id) not in listed or to.view is None:
                continue
            readers.append(member)
            if chain.opening.chain_id not in member.handed:
                member.handed.add(chain.opening.chain_id)
                member.mail.append(lambda to=to, given=given: to.accept(device, given))
        for _ in range(count):
            self.counter += 1
            text = b"%d from %d" % (self.counter, who)
            envelope = device.send(text)
            for member in self.members:
                if member is not actor:
                    member.envelopes.append((text, envelope))
            for member in readers:
                member.may_read.add(text)
        actor.spoke = device.snapshot()

    # What happens to devices

    @rule(who=people, text=st.sampled_from((b"unsaved", b"")))
    def crash_before_saving(self, who: int, text: bytes) -> None:
        """What was sealed, opened or proposed never left the device, and is forgotten."""
        member = self.members[who]
        is_current, disk = self.current(member), member.device.snapshot()
        if is_current:
            with suppress(ChainMissing, NotEntitled):
                member.device.fresh_chain()
                member.device.send(text)
            self.propose(member, [ChangeSetting(Setting("name", b"unsaved"))])
            for _, envelope in member.envelopes[:3]:
                with suppress(CryptoError):
                    member.device.open(envelope)
        member.device.load(disk)

    @rule(who=people)
    def copy_the_disk(self, who: int) -> None:
        self.members[who].copies.append(self.members[who].device.snapshot())

    @rule(who=people, pick=picks)
    def put_an_old_copy_back(self, who: int, pick: int) -> None:
        """The others tell it again what it forgot; what it says under an iteration that was used is shown to nobody."""
        member = self.members[who]
        helpers = [each for each in self.members if each is not member and self.current(each)]
        fresh = [each for each in self.members if not each.rolled_back]
        if not member.copies or member.gone or not helpers or len(fresh) < len(NAMES):
            return
        member.device.load(member.copies[pick % len(member.copies)])
        member.rolled_back = True
        member.handed.clear()
        listed = self.truth().by_account.get(member.device.account)
        if member.device.view is not None and listed is not None:
            member.device.view = member.device.chain = None
            if listed.rights & Right.HEAR:
                helpers[0].device.invite(member.device)

    @rule(which=st.sampled_from((0, 2)), by=people)
    def a_device_leaves(self, which: int, by: int) -> None:
        """The second device of an account goes, and somebody else's commit says so: a cut."""
        owner, second, actor = self.members[which], self.members[5 if which == 0 else 6], self.members[by]
        if second.gone or actor is second or owner.device.account not in self.truth().by_account:
            return
        if not self.current(actor) or not self.may(actor, COMMITTING):
            return
        second.gone = True
        owner.device.publish([owner.device.device])
        version = owner.device.person.manifest.version
        proposal = actor.device.prepare([NewManifest(owner.device.account, version, device_left=True)])
        assert proposal.state.epoch == actor.device.known.state.epoch + 1
        before = set(actor.device.known.state.by_account)
        self.tell_committers(actor, proposal)
        assert actor.device.append(self.log, proposal)
        self.finish(actor, before)
        self.mail_secrets(actor, entitled=False)

    def whoever_is_out_is_not_heard(self) -> None:
        """Devices that left, and members that are out or muted, talk on as if they had read no further: not shown."""
        state = self.truth()
        for member in self.members:
            listed = state.by_account.get(member.device.account)
            is_out = member.gone or listed is None or not listed.rights & Right.SEND
            if not is_out or member.spoke is None:
                continue
            ghost = copy(member.device)
            ghost.load(member.spoke)
            given, envelope = hand_out(ghost.known_chain).encode(), ghost.send(b"from outside")
            for other in filter(self.in_group, self.members):
                other.device.accept(ghost, given)
                with pytest.raises(CryptoError):
                    other.device.open(envelope)

    # What the wire does

    @rule(who=people, seed=picks)
    def mail_comes(self, who: int, seed: int) -> None:
        """Secrets and chains arrive, in another order."""
        member = self.members[who]
        stdlib_random.Random(seed).shuffle(member.mail)
        if member.device.view is not None:
            while member.mail:
                member.mail.pop()()
            member.device.catch_up(self.log)

    def try_open(self, member: Member, text: bytes, envelope: bytes) -> None:
        device = member.device
        if device.view is None:
            return
        before = dict(device.senders)
        try:
            assert device.open(envelope) == text
        except CryptoError as error:
            assert device.senders == before
            if isinstance(error, Replayed):
                assert text in device.shown or text not in member.may_read
            return
        assert text in member.may_read, "somebody who was not entitled has read it"

    @rule(who=people, pick=picks, repeat=st.booleans())
    def an_envelope_comes(self, who: int, pick: int, repeat: bool) -> None:
        envelopes = self.members[who].envelopes
        if envelopes:
            at = pick % len(envelopes)
            self.try_open(self.members[who], *(envelopes[at] if repeat else envelopes.pop(at)))

    @rule(who=people)
    def all_envelopes_come(self, who: int) -> None:
        for text, envelope in self.members[who].envelopes:
            self.try_open(self.members[who], text, envelope)

    @rule(who=people, seed=picks)
    def reorder(self, who: int, seed: int) -> None:
        stdlib_random.Random(seed).shuffle(self.members[who].envelopes)

    @rule(junk=st.binary(max_size=300))
    def the_relay_adds_an_entry(self, junk: bytes) -> None:
        """Junk in the log, so each who is current skips it."""
        self.log.append(len(self.log.entries), junk)

    # What must hold

    @invariant()
    def nothing_is_shown_twice(self) -> None:
        for member in getattr(self, "members", ()):
            assert len(member.device.shown) == len(set(member.device.shown))

    @invariant()
    def states_of_one_index_are_one_state(self) -> None:
        seen: dict[tuple[int, int], bytes] = {}
        for member in getattr(self, "members", ()):
            view = member.device.view
            if view is not None:
                key = view.state.index, view.next_entry
                assert seen.setdefault(key, view.state.hash) == view.state.hash

    def teardown(self) -> None:
        """Convergence: once all mail has come, all members agree, and the next message reaches every one of them."""
        if not hasattr(self, "members"):
            return
        for who, which in (
            (5, 0),
            (6, 2),
        ):  # the second devices leave, if they are still there, having spoken
            self.send(who, 1)
            for by in range(len(NAMES)):
                self.a_device_leaves(which, by)
        for who in range(len(self.members)):
            self.mail_comes(who, 0)
        self.whoever_is_out_is_not_heard()
        inside = [member for member in self.members if self.in_group(member)]
        assert all(self.current(member) for member in inside)
        assert len({member.device.known.state.hash for member in inside}) == 1
        assert len({member.device.known.keys.secret for member in inside}) == 1
        speaker = next(
            who
            for who, member in enumerate(self.members)
            if member in inside and self.may(member, Right.SEND) and not member.rolled_back
        )
        self.send(speaker, 1)
        text = b"%d from %d" % (self.counter, speaker)
        for who, member in enumerate(self.members):
            self.mail_comes(who, 0)
            self.all_envelopes_come(who)
            entitled = member in inside and self.may(member, Right.HEAR) and who != speaker
            assert (text in member.device.shown) == entitled

    def may(self, member: Member, right: Right) -> bool:
        return bool(member.device.known.state.member(member.device.account).rights & right)


TestGroupMachine = GroupMachine.TestCase
TestGroupMachine.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
