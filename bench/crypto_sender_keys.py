"""How fast a group talks: group messages encrypted and decrypted a second, and commits in large groups, on one core.

    python -m bench.crypto_sender_keys

One ciphertext goes to all members, so encryption costs the same for 10 and for 1,000. No disk, no relay, no sessions.
"""

import os

from bench.crypto_ratchet import CONTENT, rate
from bench.results import Result, table
from crypto import group_log, sender_keys
from crypto.group_changes import Remove
from crypto.group_proposals import add
from crypto.group_rules import apply_commit
from crypto.manifest_chain import VerifiedManifest
from crypto.primitives import ed25519_keypair, ed25519_sign, ed25519_verify, require_supported_build
from crypto.sender_chains import SenderChains, accept_hand_out, begin_chain, hand_out
from tests.group_people import GroupMember, Log, Town

MEMBERS = 1_000
CHAIN_MESSAGES = 500


def large_group(count: int) -> tuple[Log, GroupMember, GroupMember]:
    """(Log, owner, one member) of a group of `count` accounts, of which all but two are names alone."""
    log, town = Log(), Town()
    owner, member = GroupMember("owner", town), GroupMember("member", town)
    owner.begin(log, [])
    changes = [add(member.account, 1)]
    changes += [add(os.urandom(32), 1) for _ in range(count - 2)]
    owner.commit(log, changes)
    owner.invite(member)
    return log, owner, member


def group_encryptions() -> Result:
    """One message of 1 KiB for 1,000 members, a new chain each 500."""
    _, owner, _ = large_group(MEMBERS)
    state, keys = owner.known.state, owner.known.keys
    chain = owner.fresh_chain()

    def encrypt() -> None:
        nonlocal chain
        if chain.iteration == CHAIN_MESSAGES:
            chain = begin_chain(keys, owner.account, owner.device.device_id, os.urandom, owner.now_ms)
        chain, _ = sender_keys.encrypt(chain, keys, state, CONTENT, os.urandom, owner.now_ms)

    return rate("groups: encrypt of 1 KiB for 1,000 members", encrypt)


def group_pairs() -> Result:
    """One sender, one of its 999 receivers."""
    _, owner, member = large_group(MEMBERS)
    state, keys, manifest = member.known.state, owner.known.keys, owner.person.manifest
    epochs, device, now_ms = member.known.epochs, owner.device.device_id, owner.now_ms
    chain, sender = (
        begin_chain(keys, owner.account, device, os.urandom, now_ms),
        SenderChains(owner.account, device),
    )
    sender = accept_hand_out(sender, hand_out(chain))

    def pair() -> None:
        nonlocal chain, sender
        if chain.iteration == CHAIN_MESSAGES:
            chain = begin_chain(keys, owner.account, device, os.urandom, now_ms)
            sender = accept_hand_out(sender, hand_out(chain))
        chain, envelope = sender_keys.encrypt(chain, keys, state, CONTENT, os.urandom, now_ms)
        opened = sender_keys.find_header(epochs, envelope)
        assert opened is not None
        sender, text = sender_keys.decrypt(sender, opened, envelope, state, manifest, now_ms)
        assert text == CONTENT

    return rate("groups: encrypt + decrypt of 1 KiB, 1,000 members", pair)


def signatures() -> Result:
    """What no group message can be quicker than: one Ed25519 signature made and checked."""
    private, public = ed25519_keypair(os.urandom(32))
    message = os.urandom(200)

    def pair() -> None:
        ed25519_verify(public, message, ed25519_sign(private, message))

    return rate("groups: a signature made and checked, alone", pair)


def commits() -> Result:
    """A cut that removes one of 1,000 members: proposed, sealed as an entry, opened and applied by another."""
    log, owner, member = large_group(MEMBERS)
    manifests: dict[bytes, VerifiedManifest] = owner.town.manifests
    target = next(m.account for m in owner.known.state.members if m.account not in manifests)

    def commit() -> None:
        proposal = owner.prepare([Remove(target)])
        entry = group_log.seal_entry(owner.known.keys, len(log.entries), proposal.signed, os.urandom)
        signed = group_log.open_entry(member.known.keys, len(log.entries), entry)
        assert apply_commit(member.known.state, signed, manifests).hash == proposal.state.hash

    return rate("groups: commits that remove one of 1,000, both sides", commit)


MEASURES = (signatures, group_encryptions, group_pairs, commits)


def run() -> list[Result]:
    """Every figure."""
    require_supported_build()
    return [measure() for measure in MEASURES]


if __name__ == "__main__":
    print(table(run()))
