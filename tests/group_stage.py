"""The conversation of a group as steps, played by `crypto`: what a step is given comes in, what it makes goes out.

Secrets, welcomes and chains go from hand to hand as plain bytes: in life they travel inside sessions.
"""

from collections.abc import Callable
from typing import Any

from crypto import group_log
from crypto.errors import CryptoError
from crypto.group_changes import Add, ChangeSetting, encode_change, parse_change
from crypto.group_epoch import EpochHandOut
from crypto.group_log import Welcome, join
from crypto.group_proposals import add, begin_group, first_view, hand_outs, welcome
from crypto.group_rights import Role
from crypto.sender_chains import ChainHandOut, SenderChains, accept_hand_out, chain_step, hand_out
from tests.crypto_people import Person
from tests.group_people import GroupMember, Log, Town
from tests.named_randomness import Draws
from tests.pair_stage import Step, changed


class Source:
    """The randomness of whatever step is played."""

    def __init__(self) -> None:
        self.draws = Draws("follow")

    def __call__(self, length: int) -> bytes:
        return self.draws(length)


class GroupStage:
    """Members by name, the log of their group, and the device lists that everybody knows."""

    def __init__(self) -> None:
        self.members: dict[str, GroupMember] = {}
        self.log, self.town, self.random = Log(), Town(), Source()
        self.envelopes: dict[int, bytes] = {}
        self.count = 0

    def play(self, step: Step, draws: Draws) -> Step:
        """What the step gives, or the kind of its failure, which leaves everything as it was."""
        act: Callable[[GroupMember | None, Step], Step] = getattr(self, f"do_{step['action']}")
        number, self.count = self.count, self.count + 1
        self.random.draws = draws
        member = self.members.get(step["by"])
        if member is not None:
            member.now_ms = step["now_ms"]
        try:
            result = act(member, step)
        except CryptoError as error:
            return {"error": type(error).__name__}
        if "envelope" in result:
            self.envelopes[number] = bytes.fromhex(result["envelope"])
        return result

    def do_account(self, _: None, step: Step) -> Step:
        person = Person(step["by"], step["now_ms"], stock=None, random=self.random)
        self.members[step["by"]] = GroupMember(step["by"], self.town, person)
        return {
            "account": person.account.hex(),
            "signing_public": person.device.signing.public.hex(),
            "identity_public": person.device.identity.public.hex(),
            "manifest": person.manifest.newest.encode().hex(),
        }

    # The log

    def do_create(self, member: GroupMember, step: Step) -> Step:
        creator, *others = (parse_change(bytes.fromhex(each)) for each in step["changes"])
        assert creator == add(member.account, 1, Role.OWNER)
        made = begin_group(
            member.device,
            member.person.manifest,
            [each for each in others if isinstance(each, Add)],
            [each.setting for each in others if isinstance(each, ChangeSetting)],
            self.random,
            member.now_ms,
            self.town.manifests,
        )
        entry = group_log.seal_entry(made.keys, 0, made.signed, self.random)
        assert self.log.append(0, entry)
        member.view = first_view(made)
        assert made.hand_out is not None
        return {
            "group_id": made.state.group_id.hex(),
            "body": made.signed.body.hex(),
            "signature": made.signed.signature.hex(),
            "entry": entry.hex(),
            "hand_out": made.hand_out.encode().hex(),
            **self._standing(member),
        }

    def do_commit(self, member: GroupMember, step: Step) -> Step:
        changes = [parse_change(bytes.fromhex(each)) for each in step["changes"]]
        assert [encode_change(each).hex() for each in changes] == step["changes"]
        made = member.prepare(changes, cut=step["cut"])
        if made.hand_out is not None:
            member.learn(made.hand_out)
        assert member.append(self.log, made)
        return {
            "index": len(self.log.entries) - 1,
            "kind": int(made.signed.commit.kind),
            "body": made.signed.body.hex(),
            "signature": made.signed.signature.hex(),
            "entry": self.log.entries[-1].hex(),
            "hand_out": made.hand_out.encode().hex() if made.hand_out else "",
        }

    def do_follow(self, member: GroupMember, step: Step) -> Step:
        """The next entry, or `junk` in its place, which everybody then finds in the log."""
        index = member.known.next_entry
        if "junk" in step and index == len(self.log.entries):
            self.log.append(index, bytes.fromhex(step["junk"]))
        followed = group_log.follow(member.known, index, self.log.entries[index], self.town.manifests)
        member.view = followed.view
        return {"index": index, "stands": followed.commit is not None, **self._standing(member)}

    def _standing(self, member: GroupMember) -> Step:
        state = member.known.state
        where = state.epoch, state.step, state.cut_hash
        mine = [keys for keys in member.known.epochs if (keys.epoch, keys.step, keys.cut_hash) == where]
        return {
            "epoch": state.epoch,
            "step": state.step,
            "state": state.encode().hex(),
            "state_hash": state.hash.hex(),
            "secret": mine[0].secret.hex() if mine else "",
        }

    # What travels in sessions

    def do_tell_secret(self, member: GroupMember, step: Step) -> Step:
        other = self.members[step["to"]]
        told = hand_outs(member.known, other.account, since_epoch=member.known.state.epoch)
        other.learn(EpochHandOut.parse(told[-1].encode()))
        return {"hand_out": told[-1].encode().hex(), **self._standing(other)}

    def do_tell_welcome(self, member: GroupMember, step: Step) -> Step:
        other = self.members[step["to"]]
        told = welcome(member.known, other.account).encode()
        other.view, other.chain = join(Welcome.parse(told), other.account), None
        return {"welcome": told.hex(), **self._standing(other)}

    def do_tell_chain(self, member: GroupMember, step: Step) -> Step:
        given = hand_out(member.fresh_chain()).encode()
        device = member.device.device_id
        for name in step["to"]:
            senders = self.members[name].senders
            known = senders.get(device) or SenderChains(member.account, device)
            senders[device] = accept_hand_out(known, ChainHandOut.parse(given))
        return {"hand_out": given.hex()}

    # Messages

    def do_say(self, member: GroupMember, step: Step) -> Step:
        chain = member.known_chain
        message_key = chain_step(chain.chain_key)[0]
        envelope = member.send(bytes.fromhex(step["plaintext"]))
        return {
            "iteration": chain.iteration,
            "message_key": message_key.hex(),
            "next_chain_key": member.known_chain.chain_key.hex(),
            "envelope": envelope.hex(),
        }

    def do_hear(self, member: GroupMember, step: Step) -> Step:
        envelope = changed(self.envelopes[step["envelope_of"]], step)
        return {"plaintext": member.open(envelope).hex()}


def changes_of(*changes: Any) -> list[str]:
    """As steps name them."""
    return [encode_change(change).hex() for change in changes]
