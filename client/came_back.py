"""The relay came back from a backup: it gets again, from what this device knows, what it has lost since that was made.

Noted in the transaction that takes the gap (`mailbox_round`), done while the client listens, and repeated until all of it
went through. What is given twice is harmless. docs/protocol.md, "A relay that came back".
"""

import hashlib
from collections.abc import Callable
from typing import Final

from relay.wire.links import encode_id
from relay.wire.resources import (
    AccountAnswer,
    DeliveryTokenRequest,
    DeliveryTokensAnswer,
    HandleRequest,
    TokenClass,
)

from .account import Account, load_account
from .devices.lost_list import give_back_list
from .errors import Refused
from .message import Warned
from .recovery.backing_up import back_up_if_lost
from .store import facts, notices
from .store.database import Database, Transaction
from .store.group_tokens import own_tokens_unregistered
from .store.groups import all_due
from .store.peers import PUBLIC
from .system import System
from .transport import Transport

_TOLD: Final[tuple[TokenClass, ...]] = ("contact", "link")


class CameBack:
    """What is to be done after a restore of the relay."""

    def __init__(
        self,
        transport: Transport,
        database: Database,
        account: Account,
        system: System,
        *,
        on_given: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._database = database
        self._account = account
        self._system = system
        self._on_given = on_given

    async def give_back(self) -> bool:
        """Do it if the relay came back; whether it did. Raises RelayUnreachable, Refused, RelayMisbehaved."""
        if not await self._database.read(lambda tx: facts.number(tx, facts.RELAY_CAME_BACK)):
            return False
        await give_back_list(self._transport, self._database, self._account)
        await self._give_back_tokens()
        await self._give_back_handle()
        await back_up_if_lost(self._transport, self._database, self._system)

        def done(tx: Transaction) -> None:
            own_tokens_unregistered(tx)
            all_due(tx)
            facts.set_number(tx, facts.RELAY_CAME_BACK, 0)

        await self._database.run(done)
        self._on_given()
        return True

    async def is_known_again(self) -> bool:
        """The relay does not know this device: whether that was because it had lost the list, which it has again."""
        return await give_back_list(self._transport, self._database, self._account)

    async def _give_back_tokens(self) -> None:
        """The own tokens that the relay has no more. One that was changed since the backup, and is good again, stays:
        what comes by it from who is blocked is not shown.
        """
        listed = (await self._transport.ask("GET", "/v1/delivery-tokens", signed=True)).read(
            DeliveryTokensAnswer
        )
        there = {one.token_hash for one in listed.tokens if one.expires_at_ms is None}
        for token_class in _TOLD:
            token = await self._database.read(lambda tx: facts.known_token(tx, token_class))  # noqa: B023
            if token is None or hashlib.sha256(token).digest() in there:
                continue
            request = DeliveryTokenRequest(token_hash=hashlib.sha256(token).digest(), token_class=token_class)
            await self._transport.ask("POST", "/v1/delivery-tokens", body=request, signed=True)

    async def _give_back_handle(self) -> None:
        answered = (await self._transport.ask("GET", "/v1/accounts/self", signed=True)).read(AccountAnswer)
        account = await self._database.read(load_account)
        if account.handle is None or answered.handle == account.handle:
            return
        token = await self._database.read(lambda tx: facts.known_token(tx, PUBLIC))
        try:
            body = HandleRequest(handle=account.handle, public_token=token)
            await self._transport.ask("PUT", "/v1/handle", body=body, signed=True)
        except Refused as refused:
            if refused.reason != "handle_taken":
                raise
            detail = f"the relay came back from a backup, and {account.handle} is somebody else's there now"
            account_id = encode_id(account.account_id)
            await self._database.run(lambda tx: notices.tell(tx, Warned("handle_lost", detail, account_id)))
