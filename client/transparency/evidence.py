"""Contacts show each other the signed manifests behind what they gossip: content type 32, asked for and given.

Only of the two accounts that talk: whoever asks learns nothing of others. docs/protocol.md, "Transparency".
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from client.account import Account
from client.contents import ContentType
from client.incoming import Incoming
from client.signals import draft_signal
from client.store import gossip_rows
from client.store.database import Transaction
from client.store.gossip_rows import Wanted
from client.store.peers import Peer, find_peer, keep_fork
from client.system import System
from crypto.errors import CryptoError, InvalidEncoding, ManifestFork, ManifestGap
from crypto.manifest import SignedManifest
from crypto.manifest_chain import VerifiedManifest, verify_chain
from crypto.transparency import check_gossiped_manifest
from relay.wire import limits

from .known_log import alarm


class ManifestEvidence(msgspec.Struct, frozen=True, array_like=True):
    """A manifest of one of the two accounts: asked for, if `manifest` is empty; shown, if it is there."""

    account_id: Annotated[bytes, Meta(min_length=limits.ACCOUNT_ID_BYTES, max_length=limits.ACCOUNT_ID_BYTES)]
    version: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    hash: Annotated[bytes, Meta(min_length=limits.HASH_BYTES, max_length=limits.HASH_BYTES)]
    manifest: Annotated[bytes, Meta(max_length=limits.MAX_MANIFEST_BYTES + 81)]
    """As in a set-up envelope: `u8 0 ‖ signature ‖ body`, or `u8 1 ‖ device id ‖ signature ‖ body`."""


_decoder = msgspec.msgpack.Decoder(ManifestEvidence)


def ask_for_evidence(tx: Transaction, account: Account, system: System) -> bool:
    """Put the questions that are due on their way; whether there are any."""
    wanted = gossip_rows.take_unasked(tx)
    for one in wanted:
        question = ManifestEvidence(one.about, one.version, one.hash, b"")
        _draft(tx, account, one.source, question, system)
    return bool(wanted)


def _draft(
    tx: Transaction, account: Account, account_id: bytes, body: ManifestEvidence, system: System
) -> None:
    encoded = msgspec.msgpack.encode(body)
    draft_signal(tx, account, [account_id], ContentType.MANIFEST_EVIDENCE, encoded, system)


def hear_evidence(incoming: Incoming) -> None:
    """Give what is asked for, look at what is shown. Raises InvalidEncoding."""
    try:
        said = _decoder.decode(incoming.body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidEncoding("not the body of a manifest's evidence") from error
    peer = find_peer(incoming.tx, incoming.account_id)
    if incoming.is_own or peer is None or not peer.accepted or peer.chain is None:
        return
    own = incoming.account.own
    chain = {own.account_id: own, peer.account_id: peer.chain}.get(said.account_id)
    if chain is None:
        return
    if said.manifest:
        _look(incoming, peer, chain, said)
    else:
        _give(incoming, chain, said)


def _give(incoming: Incoming, chain: VerifiedManifest, said: ManifestEvidence) -> None:
    """Show what is held here of this version, once."""
    signed = chain.signed(said.version)
    if signed is None or signed.hash != said.hash:
        return
    if gossip_rows.note_shown(incoming.tx, incoming.account_id, said.account_id, said.version):
        shown = ManifestEvidence(said.account_id, said.version, signed.hash, signed.encode())
        _draft(incoming.tx, incoming.account, incoming.account_id, shown, incoming.batch.system)
        incoming.batch.drafted = True


def _look(incoming: Incoming, peer: Peer, chain: VerifiedManifest, said: ManifestEvidence) -> None:
    """What was asked for: validly signed, it is the proof of two views."""
    tx, wanted = incoming.tx, Wanted(peer.account_id, said.account_id, said.version, said.hash)
    if not gossip_rows.find_wanted(tx, wanted):
        return
    gossip_rows.remove_wanted(tx, wanted)
    shown = SignedManifest.parse(said.manifest)
    if (shown.manifest.account_id, shown.manifest.version, shown.hash) != (
        said.account_id,
        said.version,
        said.hash,
    ):
        raise InvalidEncoding("the manifest that is shown is another one than was asked for")
    is_own = said.account_id == incoming.account.account_id
    whose = "your device list" if is_own else "their device list"
    known = chain.signed(said.version) or chain.newest
    kind = "split_view"
    try:
        check_gossiped_manifest(chain, said.version, said.hash, shown)
        return  # it became known meanwhile
    except ManifestFork as error:
        if not is_own:
            kind = "devices_forked"
            keep_fork(tx, peer.account_id, error.known, error.other)
        found = f"{peer.name} shows version {said.version} of {whose}, validly signed, and another one is known here"
    except ManifestGap:
        found = f"{peer.name} shows version {said.version} of {whose}, which the relay keeps back here"
        if not _follows(chain, shown):
            found += "; whether its signature is good cannot be said"
    except CryptoError:
        found = f"{peer.name} shows version {said.version} of {whose}, and it is not validly signed"
    alarm(
        tx,
        kind,
        f"{found}; both are kept",
        peer.account_id,
        known.encode(),
        shown.encode(),
        incoming.batch.now_ms,
    )


def _follows(chain: VerifiedManifest, shown: SignedManifest) -> bool:
    try:
        verify_chain(chain.account_id, chain, [shown])
    except CryptoError:
        return False
    return True
