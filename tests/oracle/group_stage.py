"""The conversation of a group, step by step, played by the oracle; tests/vectors/README.md, "conversation_group.json"."""

from collections.abc import Callable
from typing import Any

from tests.oracle import ed25519, group_messages, group_state, linking, manifests, x25519
from tests.oracle.group_member import OracleMember
from tests.oracle.group_state import HEAR
from tests.oracle.manifests import MANAGER
from tests.oracle.named_draws import NamedDraws
from tests.oracle.pair_stage import Step, changed
from tests.oracle.refusals import Refused, Waiting, require
from tests.oracle.transcripts import fields_of


class OracleGroupStage:
    """Members by name, and the log of their group."""

    def __init__(self) -> None:
        self.members: dict[str, OracleMember] = {}
        self.chains: dict[bytes, list[manifests.Manifest]] = {}
        self.log: list[bytes] = []
        self.envelopes: dict[int, bytes] = {}
        self.count = 0

    def play(self, step: Step) -> Step:
        """What the step gives, or the kind of its refusal."""
        act: Callable[[Any, Step, NamedDraws], Step] = getattr(self, f"do_{step['action']}")
        number, self.count = self.count, self.count + 1
        draws = NamedDraws(step["action"], step["random"])
        member = self.members.get(step["by"])
        if member is not None:
            member.draw = draws
        try:
            result = act(member, step, draws)
        except (Refused, Waiting) as refused:
            return {"error": refused.kind}
        assert not draws.left, "more than is drawn"
        if "envelope" in result:
            self.envelopes[number] = bytes.fromhex(result["envelope"])
        return result

    def do_account(self, _: None, step: Step, draws: NamedDraws) -> Step:
        root_seed, device, signing_seed, identity = draws(32), draws(16), draws(32), draws(32)
        root, signing = ed25519.public_of(root_seed), ed25519.public_of(signing_seed)
        account, public = manifests.account_id(root), x25519.public_of(identity)
        signed = linking.confirmation(account, device, signing_seed, public)
        entry = manifests.Device(device, signing, public, MANAGER, step["now_ms"], signed)
        made = manifests.make(root, 1, b"", [entry], root_seed)
        self.chains[account] = manifests.verify_chain(account, [], [manifests.parse(made)])
        self.members[step["by"]] = OracleMember(account, device, signing_seed, draws, self.chains)
        return {
            "account": account.hex(),
            "signing_public": signing.hex(),
            "identity_public": public.hex(),
            "manifest": made.hex(),
        }

    # The log

    def do_create(self, member: OracleMember, step: Step, draws: NamedDraws) -> Step:
        entry = member.create([bytes.fromhex(each) for each in step["changes"]], step["now_ms"])
        self.log.append(entry)
        signature, body = group_messages.open_entry(member.keys, 0, entry)
        return {
            "group_id": member.known["group_id"].hex(),
            "body": body.hex(),
            "signature": signature.hex(),
            "entry": entry.hex(),
            "hand_out": group_messages.epoch_hand_out(member.keys, member.write_seed).hex(),
            **self.standing(member),
        }

    def do_commit(self, member: OracleMember, step: Step, draws: NamedDraws) -> Step:
        changes = [bytes.fromhex(each) for each in step["changes"]]
        entry, told = member.commit(changes, step["now_ms"], cut=step["cut"])
        signature, body = group_messages.open_entry(member.keys, member.next_entry, entry)
        if told:
            member.learn(told)
        require(member.next_entry == len(self.log), "another was faster", "CommitOutdated")
        self.log.append(entry)
        return {
            "index": len(self.log) - 1,
            "kind": fields_of(b"tokenim/v1 group commit\0", body)[0][1],
            "body": body.hex(),
            "signature": signature.hex(),
            "entry": entry.hex(),
            "hand_out": told.hex(),
        }

    def do_follow(self, member: OracleMember, step: Step, draws: NamedDraws) -> Step:
        index = member.next_entry
        if "junk" in step and index == len(self.log):
            self.log.append(bytes.fromhex(step["junk"]))
        stands = member.follow(self.log[index])
        return {"index": index, "stands": stands, **self.standing(member)}

    @staticmethod
    def standing(member: OracleMember) -> Step:
        state = member.known
        try:
            secret = member.keys["secret"]
        except Waiting:
            secret = b""
        return {
            "epoch": state["epoch"],
            "step": state["step"],
            "state": group_state.encode_state(state).hex(),
            "state_hash": group_state.state_hash(state).hex(),
            "secret": secret.hex(),
        }

    # What travels in sessions

    def do_tell_secret(self, member: OracleMember, step: Step, draws: NamedDraws) -> Step:
        other = self.members[step["to"]]
        require(other.account in member.known["members"], "not a member", "NotEntitled")
        told = member.hand_out(other.account)
        other.learn(told)
        return {"hand_out": told.hex(), **self.standing(other)}

    def do_tell_welcome(self, member: OracleMember, step: Step, draws: NamedDraws) -> Step:
        other = self.members[step["to"]]
        listed = member.known["members"]
        require(
            other.account in listed and group_state.rights(listed[other.account]) & HEAR,
            "may not hear",
            "NotEntitled",
        )
        told = member.welcome(other.account)
        other.join(told)
        return {"welcome": told.hex(), **self.standing(other)}

    def do_tell_chain(self, member: OracleMember, step: Step, draws: NamedDraws) -> Step:
        given = member.chain_hand_out()
        for name in step["to"]:
            self.members[name].accept(member.account, member.device, given)
        return {"hand_out": given.hex()}

    # Messages

    def do_say(self, member: OracleMember, step: Step, draws: NamedDraws) -> Step:
        require(member.keys, "whoever has no secret begins no chain either")
        where, chain_key = member.own["iteration"], member.own["chain_key"]
        envelope = member.send(bytes.fromhex(step["plaintext"]))
        return {
            "iteration": where,
            "message_key": group_messages.chain_step(chain_key)[0].hex(),
            "next_chain_key": member.own["chain_key"].hex(),
            "envelope": envelope.hex(),
        }

    def do_hear(self, member: OracleMember, step: Step, draws: NamedDraws) -> Step:
        envelope = changed(self.envelopes[step["envelope_of"]], step)
        require(member.state, "in no group")
        return {"plaintext": member.open(envelope).hex()}
