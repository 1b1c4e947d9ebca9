"""The relay came back from a backup: it gets again, from what this device knows, what it has lost since that was made.

Noted in the transaction that takes the gap (`mailbox_round`), done while the client listens, and repeated until all of it
went through. What is given twice is harmless. docs/protocol.md, "A relay that came back".
"""

from collections.abc import Callable
from typing import Final

from crypto.limits import DAY_MS
from relay.wire.links import encode_id
from relay.wire.resources import (
    AccountAnswer,
    DeliveryTokensAnswer,
    HandleRequest,
    TokenClass,
)

from .account import Account, load_account
from .devices.lost_list import give_back_list
from .errors import Refused
from .groups.relay_logs import give_back_logs
from .message import Warned
from .own_tokens import hash_of, put_token
from .recovery.backing_up import back_up_if_lost
from .store import facts, notices
from .store.database import Database, Transaction
from .store.group_tokens import own_tokens_unregistered
from .store.groups import all_due
from .store.peers import PUBLIC
from .system import System
from .transport import Transport

LOGS_OWED_MS: Final = 7 * DAY_MS
"""So long entries of group logs are given back that need what another device has, which may be away."""
_LOOK_MS: Final = 600_000
"""So long after it came back groups look often for what others give back; afterwards this is the time between two tries."""
_PAUSES_SECONDS: Final = (0.0, 1.0, 2.0, 4.0)
"""Between the first tries: the others come back at the same time, and one waits for another."""
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
        self._logs_are_whole, self._logs_tried_at_ms = False, 0

    async def give_back(self) -> bool:
        """Do what is left of it; whether there was something. Raises RelayUnreachable, Refused, RelayMisbehaved."""
        if await self._database.read(lambda tx: facts.number(tx, facts.RELAY_CAME_BACK)):
            await self._give_back_account()
        return await self._give_back_logs()

    async def _give_back_account(self) -> None:
        await give_back_list(self._transport, self._database, self._account)
        await self._give_back_tokens()
        await self._give_back_handle()
        await back_up_if_lost(self._transport, self._database, self._system)

        def done(tx: Transaction) -> None:
            own_tokens_unregistered(tx)
            facts.set_number(tx, facts.RELAY_CAME_BACK, 0)
            facts.set_number(tx, facts.LOGS_OWED_UNTIL_MS, self._system.now_ms() + LOGS_OWED_MS)

        await self._database.run(done)
        self._logs_are_whole, self._logs_tried_at_ms = False, 0

    async def _give_back_logs(self) -> bool:
        """What this device put into logs of groups, until the relay has it, and groups look again at what others gave back.

        Whether there was something to do. Raises RelayUnreachable, Refused.
        """
        until_ms = await self._database.read(lambda tx: facts.number(tx, facts.LOGS_OWED_UNTIL_MS))
        now_ms = self._system.now_ms()
        all_come_back = now_ms < until_ms - LOGS_OWED_MS + _LOOK_MS
        if now_ms >= until_ms or not (all_come_back or now_ms >= self._logs_tried_at_ms + _LOOK_MS):
            return False
        for pause_seconds in (0.0,) if self._logs_tried_at_ms else _PAUSES_SECONDS:
            await self._system.sleep(pause_seconds)
            if not self._logs_are_whole:
                self._logs_are_whole = await give_back_logs(self._transport, self._database)
            await self._database.run(all_due)
            self._on_given()
        self._logs_tried_at_ms = now_ms
        if self._logs_are_whole and not all_come_back:
            await self._database.run(lambda tx: facts.set_number(tx, facts.LOGS_OWED_UNTIL_MS, 0))
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
            if token is not None and hash_of(token) not in there:
                await put_token(self._transport, hash_of(token), token_class)

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
