"""What contacts hold as somebody's device list, against the chain known here: split views, and what is to be shown of them.

Functions of a Transaction. Only accepted contacts are heard: a stranger could claim anything. docs/protocol.md, "Transparency".
"""

from collections.abc import Iterable

from client.account import Account, load_account
from client.store.database import Transaction
from client.store.gossip_rows import Claim, Wanted, add_claim, remove_claim, want
from client.store.log_rows import was_made_here
from client.store.peers import find_peer, mark_stale
from crypto.errors import ManifestGap, ManifestRefused
from crypto.manifest_chain import VerifiedManifest
from crypto.transparency import check_gossiped_manifest
from relay.wire.links import encode_id

from .known_log import alarm


def hear_claim(tx: Transaction, account: Account, chain: VerifiedManifest, claim: Claim, now_ms: int) -> bool:
    """Compare what a contact says that it holds; True if a newer list has to be fetched first."""
    try:
        check_gossiped_manifest(chain, claim.version, claim.hash)
    except ManifestGap:
        add_claim(tx, claim)
        mark_stale(tx, claim.about)
        return True
    except ManifestRefused:
        tell_split_view(tx, account, chain, claim, now_ms)
    return False


def settle_claims(
    tx: Transaction,
    account: Account,
    chain: VerifiedManifest,
    claims: Iterable[Claim],
    now_ms: int,
    *,
    is_newest: bool,
) -> None:
    """Compare what was claimed of a newer list with the chain as it is now.

    `is_newest`: the relay was asked for the newest list after these were claimed, so it should have what they name.
    """
    for claim in claims:
        try:
            check_gossiped_manifest(chain, claim.version, claim.hash)
        except ManifestGap:
            if not is_newest:
                continue
            tell_split_view(tx, account, chain, claim, now_ms)
        except ManifestRefused:
            tell_split_view(tx, account, chain, claim, now_ms)
        remove_claim(tx, claim)


def claim_bytes(claim: Claim) -> bytes:
    """How a claim is kept as evidence: source 32 ‖ account it is about 32 ‖ version u64 ‖ hash 32."""
    return claim.source + claim.about + claim.version.to_bytes(8, "big") + claim.hash


def tell_split_view(
    tx: Transaction, account: Account, chain: VerifiedManifest, claim: Claim, now_ms: int
) -> None:
    """The alarm, and the wish to see the signed object that the contact holds."""
    peer = find_peer(tx, claim.source)
    name = encode_id(claim.source) if peer is None else peer.name
    if claim.about == account.account_id:
        detail = f"{name} was shown a device list of yours (version {claim.version}) that you never made"
    else:
        detail = f"{name} has another device list (version {claim.version}) than the relay shows here"
    known = chain.signed(claim.version) or chain.newest
    alarm(
        tx,
        "split_view",
        f"{detail}: somebody shows two views of it",
        claim.source,
        known.encode(),
        claim_bytes(claim),
        now_ms,
    )
    if peer is not None and peer.accepted:
        want(tx, Wanted(claim.source, claim.about, claim.version, claim.hash))


def tell_unknown_own(tx: Transaction, account: Account, chain: VerifiedManifest, now_ms: int) -> None:
    """An own manifest that this device has signed, and that this store has never seen: somebody else has its key."""
    known = load_account(tx).own
    for signed in chain.chain:
        is_new = signed.manifest.version > known.version
        if is_new and signed.signer == account.device_id and not was_made_here(tx, signed.hash):
            detail = (
                f"version {signed.manifest.version} of your device list is signed by this device, which did not make"
                " it: somebody has a copy of its keys; remove this device from another one"
            )
            alarm(
                tx,
                "own_manifest_unknown",
                detail,
                account.account_id,
                known.newest.encode(),
                signed.encode(),
                now_ms,
            )
