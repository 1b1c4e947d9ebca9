"""What is left to somebody who has nothing but the account's root key: its chain of manifests. Knows no device of theirs.

An unknown account and a wrong signature are one answer by the same steps. docs/protocol.md, "Recovery requests".
"""

from relay.ports.accounts import AccountStore
from relay.ports.clock import Clock
from relay.services.devices import nonce_end_ms
from relay.services.identity import Chain, Identity
from relay.session.proof import check_time, verify_as
from relay.wire import limits
from relay.wire.manifests import root_key_in
from relay.wire.resources import RecoveryRequest
from relay.wire.transcripts import recovery_request_transcript


class Recovery:
    """Answers root keys."""

    def __init__(self, accounts: AccountStore, identity: Identity, *, clock: Clock, origin: str) -> None:
        self._accounts = accounts
        self._identity = identity
        self._clock = clock
        self._origin = origin

    async def chain(self, asked: RecoveryRequest, from_version: int | None) -> Chain:
        """The manifests from this version on, None: from the last one that the root key signed. Raises Unauthenticated.

        The request is good once, like a device's.
        """
        account_id = asked.account_id
        check_time(asked.time_ms, self._clock.now_ms())
        first = await self._accounts.manifests(account_id, from_version=1, limit=1)
        signed = recovery_request_transcript(
            origin=self._origin, account_id=account_id, time_ms=asked.time_ms, nonce=asked.nonce
        )
        verify_as(root_key_in(first[0].body) if first else None, signed, asked.signature)
        await self._accounts.spend_nonce(
            account_id, asked.nonce, expires_at_ms=nonce_end_ms(self._clock.now_ms())
        )
        if from_version is not None:
            return await self._identity.chain(account_id, from_version)
        manifests = await self._accounts.recovery_chain(account_id, limit=limits.MAX_MANIFESTS_PER_ANSWER)
        return Chain(manifests, (await self._identity.account(account_id)).manifest_version)
