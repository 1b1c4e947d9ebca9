"""Which device lists this client believes, in the client's own errors; what a new one means for what is kept.

A rollback is ignored; a fork stops sending and is kept with both objects; an unknown device is refused. The rules of
the chain are those of `crypto.manifest_chain`; docs/protocol.md, "Identity and manifests".
"""

from collections.abc import Sequence

from crypto.errors import CryptoError, ManifestFork, ManifestRollback
from crypto.manifest import SignedManifest
from crypto.manifest_chain import VerifiedManifest, verify_chain
from crypto.transparency import verify_manifest_logged
from relay.wire.limits import MAX_MANIFESTS_PER_ANSWER
from relay.wire.links import encode_id
from relay.wire.resources import Inclusion, ManifestsAnswer

from .account import Account, load_account
from .devices.device_news import tell_news
from .errors import DevicesForked, DevicesRefused, RelayMisbehaved
from .message import Warned
from .store import facts, notices
from .store.database import Database, Transaction
from .store.gossip_rows import claims_about
from .store.log_rows import keep_own_proof
from .store.peers import find_peer, keep_fork, save_chain
from .store.session_rows import save_sessions, sessions_of
from .transparency.claims import settle_claims, tell_unknown_own
from .transparency.log_check import LogCheck
from .transport import Transport


def believe(
    account_id: bytes, known: VerifiedManifest | None, chain: Sequence[SignedManifest]
) -> VerifiedManifest:
    """What is known after `chain` was seen; `known` itself after a rollback.

    Raises DevicesForked (its cause has both manifests) or DevicesRefused: then nothing changes.
    """
    try:
        return verify_chain(account_id, known, chain)
    except ManifestRollback:
        if known is None:
            raise DevicesRefused("a device list that goes back in time") from None
        return known
    except ManifestFork as error:
        raise DevicesForked(
            f"two device lists of {encode_id(account_id)} in one version: somebody shows two views of it;"
            " nothing is sent until you have talked to its owner"
        ) from error
    except CryptoError as error:
        raise DevicesRefused(f"a device list of {encode_id(account_id)} is refused: {error}") from error


async def fetch_chain(
    transport: Transport, account_id: bytes, token: bytes | None, known: VerifiedManifest | None
) -> VerifiedManifest:
    """The account's chain from the relay, anonymously with a delivery token (signed, without one, for the own account).

    It asks for the known version again, so that a fork shows. Whether the log has it is not looked at. Raises what
    `believe` and `Transport.ask` raise.
    """
    newest, _ = await _ask_chain(transport, account_id, token, known)
    return newest


async def _ask_chain(
    transport: Transport, account_id: bytes, token: bytes | None, known: VerifiedManifest | None
) -> tuple[VerifiedManifest, Inclusion | None]:
    """The chain, and the relay's proof that its newest manifest is logged; None if the relay's newest is an older one."""
    newest = known
    version = 1 if known is None else known.version
    while True:
        answered = await transport.ask(
            "GET",
            f"/v1/accounts/{encode_id(account_id)}/manifests?from={version}",
            token=token,
            signed=token is None,
        )
        answer = answered.read(ManifestsAnswer)
        chain = [
            SignedManifest(one.body, one.signer, one.signature)
            for one in answer.manifests[:MAX_MANIFESTS_PER_ANSWER]
        ]
        if not chain:
            if newest is None:
                raise RelayMisbehaved("the relay knows the account, and no device list of it")
            return newest, _proof_of(answer, newest, known)
        newest = believe(account_id, newest, chain)
        last = chain[-1].manifest.version
        if last >= answer.latest or last < version:
            return newest, _proof_of(answer, newest, known)
        version = last + 1


def _proof_of(
    answer: ManifestsAnswer, newest: VerifiedManifest, known: VerifiedManifest | None
) -> Inclusion | None:
    if answer.latest == newest.version:
        return answer.inclusion
    if known is None or newest.version > known.version:
        raise RelayMisbehaved("the relay does not prove the newest device list that it gives")
    return None


def adopt(tx: Transaction, account: Account, chain: VerifiedManifest, now_ms: int) -> None:
    """Keep a verified chain of another account or the own one; what a removed device had opens nothing any more."""
    own = account.account_id, account.device_id
    if chain.account_id == account.account_id:
        tell_news(tx, account, load_account(tx).own, chain)
    save_chain(tx, chain)
    settle_claims(tx, account, chain, claims_about(tx, chain.account_id), now_ms, is_newest=False)
    listed = {entry.device_id for entry in chain.manifest.devices}
    removed = {
        key: sessions.without_sessions()
        for key, sessions in sessions_of(tx, own, chain.account_id).items()
        if key[1] not in listed and sessions.sessions()
    }
    if removed:
        save_sessions(tx, own, removed, now_ms)


def keep_evidence(tx: Transaction, account_id: bytes, error: DevicesForked) -> None:
    """Both manifests of a fork, and a word to the user."""
    fork = error.__cause__
    peer = find_peer(tx, account_id)
    if isinstance(fork, ManifestFork) and peer is not None and not peer.forked:
        keep_fork(tx, account_id, fork.known, fork.other)
        notices.tell(tx, Warned("devices_forked", str(error), encode_id(account_id)))


async def refresh(
    transport: Transport, database: Database, account: Account, account_id: bytes, now_ms: int
) -> VerifiedManifest:
    """Fetch and keep the newest chain of an account, the own one by a signed request, once the log is proved to have it.

    Raises DevicesForked (kept), DevicesRefused, LogRefused (told), Refused.
    """
    peer = await database.read(lambda tx: find_peer(tx, account_id))
    is_own = account_id == account.account_id
    if peer is None or (peer.token is None and not is_own):
        raise DevicesRefused(f"nothing here reaches {encode_id(account_id)}: ask for a contact link")
    check = LogCheck(transport, database, account)
    before = await check.before()
    claims = await database.read(lambda tx: claims_about(tx, account_id))
    try:
        chain, proof = await _ask_chain(transport, account_id, None if is_own else peer.token, peer.chain)
    except DevicesForked as error:
        forked = error
        await database.run(lambda tx: keep_evidence(tx, account_id, forked))
        raise
    logged = None
    if proof is not None:
        logged = await check.require_logged(
            proof,
            lambda inclusion: verify_manifest_logged(inclusion, chain.newest),
            before=before,
            account_id=account_id,
            shown=chain.newest.encode(),
        )

    def keep(tx: Transaction) -> None:
        if is_own:
            tell_unknown_own(tx, account, chain, now_ms)
        adopt(tx, account, chain, now_ms)
        # What was claimed before the relay was asked, it must have had.
        settle_claims(tx, account, chain, claims, now_ms, is_newest=True)
        if is_own and logged is not None:
            keep_own_proof(tx, chain.hash, logged.encode())
            facts.set_number(tx, facts.OWN_LOG_CHECKED_AT_MS, now_ms)

    await database.run(keep)
    return chain
