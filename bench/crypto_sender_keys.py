"""How fast a group talks: group messages encrypted and decrypted a second, and commits in large groups, on one core.

    python -m bench.crypto_sender_keys

One ciphertext goes to all members, so encryption costs the same for 10 and for 1,000. No disk, no relay, no sessions.
"""

import os

from bench.crypto_ratchet import CONTENT, Figure, rate
from crypto import group_log, sender_keys
from crypto.group_changes import Remove
from crypto.group_proposals import add
from crypto.group_rules import apply_commit
from crypto.manifest_chain import VerifiedManifest
from crypto.primitives import require_supported_build
from crypto.sender_chains import begin_chain, hand_out
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


def group_encryptions() -> Figure:
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


def group_pairs() -> Figure:
    """One sender, one of its 999 receivers."""
    _, owner, member = large_group(MEMBERS)
    owner.random = os.urandom  # type: ignore[assignment]

    def pair() -> None:
        before = owner.chain
        if owner.fresh_chain() is not before:
            member.accept(owner, hand_out(owner.fresh_chain()).encode())
        member.open(owner.send(CONTENT))
        member.shown.clear()

    return rate("groups: encrypt + decrypt of 1 KiB, 1,000 members", pair)


def commits() -> Figure:
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


MEASURES = (group_encryptions, group_pairs, commits)


def main() -> None:
    """Print every figure."""
    require_supported_build()
    for measure in MEASURES:
        figure = measure()
        spread = f"{figure.lowest:,.0f} to {figure.highest:,.0f}"
        print(f"{figure.name:<52} {figure.value:>9,.0f} {figure.unit}  ({spread})")


if __name__ == "__main__":
    main()
