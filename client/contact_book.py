"""The contacts of an open account: what the user decides about somebody, kept here and told to those whom it concerns."""

from typing import Final

from crypto.safety_number import safety_number
from relay.wire.links import encode_id

from .account import Account
from .contacts import Contact, accept, block, list_contacts, unblock
from .errors import UnknownRecipient
from .message import SafetyNumber
from .outbox import Outbox
from .own_invites import OwnInvites
from .profiles import Profiles, ShownProfile, tell_contacts
from .recipients import look_up, parse_recipient, remembered
from .store.database import Database, Transaction
from .store.peers import Peer
from .system import Step, System
from .token_care import TokenCare
from .transport import Transport
from .wakeups import Wakeups


class ContactBook:
    """Its methods are those of `Client`."""

    def __init__(
        self, account: Account, transport: Transport, database: Database, system: System, outbox: Outbox
    ) -> None:
        self._account = account
        self._transport = transport
        self._database = database
        self._system = system
        self._outbox = outbox
        self.invites: Final = OwnInvites(transport)
        self.wakeups: Final = Wakeups(transport, account)
        self.profiles: Final = Profiles(account, transport, database, system, outbox)
        self.token_care: Final = TokenCare(transport, database, account, system, on_drafted=outbox.wake)

    async def safety_number(self, with_: str) -> SafetyNumber:
        """See `Client.safety_number`."""
        peer = await self.find(with_)
        digits = safety_number(self._account.account_id, peer.account_id)
        return SafetyNumber(encode_id(peer.account_id), peer.name, digits, digits.encode())

    async def profile(self, who: str | None) -> ShownProfile | None:
        """See `Client.profile`."""
        return await (self.profiles.own() if who is None else self.profiles.show(await self.find(who)))

    async def everybody(self) -> list[Contact]:
        """See `Client.contacts`."""
        return await self._database.read(lambda tx: list_contacts(tx, self._account))

    async def accept(self, who: str, patience_seconds: float) -> Contact:
        """See `Client.accept`."""
        account_id = (await self.find(who)).account_id

        def accept_and_tell(tx: Transaction) -> Contact:
            accepted = accept(tx, self._account, account_id, self._system)
            tell_contacts(tx, self._system)
            return accepted

        accepted = await self._database.run(accept_and_tell)
        await self._tell_others(patience_seconds)
        return accepted

    async def block(self, who: str, *, new_links: bool, patience_seconds: float) -> Contact:
        """See `Client.block`."""
        account_id = (await self.find(who)).account_id
        blocked = await self._database.run(
            lambda tx: block(tx, account_id, self._system, new_links=new_links)
        )
        self._system.reached(Step.REACH_BEGUN)
        try:
            await self.token_care.settle(patience_seconds)
            await self._tell_others(patience_seconds)
            await self.token_care.settle(patience_seconds)
        finally:
            self.token_care.due()
        return blocked

    async def unblock(self, who: str) -> Contact:
        """See `Client.unblock`."""
        account_id = (await self.find(who)).account_id
        return await self._database.run(lambda tx: unblock(tx, account_id))

    async def find(self, who: str) -> Peer:
        """Whom the user means: somebody who is known here, or whom the directory names.

        Raises UsageError, UnknownRecipient, RelayUnreachable.
        """
        parsed = parse_recipient(who)
        try:
            return await self._database.run(lambda tx: remembered(tx, parsed, self._account.origin))
        except UnknownRecipient:
            if not isinstance(parsed, str):
                raise
            return await look_up(self._transport, self._database, parsed)

    async def _tell_others(self, patience_seconds: float) -> None:
        """Wait until what is to be told is with the relay. Raises RelayUnreachable."""
        sending = await self._outbox.everything()
        try:
            await sending.until(0, patience_seconds)
        finally:
            sending.close()
