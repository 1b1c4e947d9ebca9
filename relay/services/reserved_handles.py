"""Handles that operators keep back: for nobody, like `admin`, or for one account."""

from relay.ports.accounts import AccountStore
from relay.ports.reserved_handles import ReservedHandle, ReservedHandleStore
from relay.services.audit import Act
from relay.services.identity import check_handle
from relay.wire.audit_rows import NOBODY, Party
from relay.wire.errors import MalformedRequest


class ReservedHandles:
    """Of one relay."""

    def __init__(self, store: ReservedHandleStore, accounts: AccountStore) -> None:
        self._store = store
        self._accounts = accounts

    async def reserve(self, handle: str, account_id: bytes | None, *, act: Act) -> ReservedHandle:
        """Nobody gets the handle, or this account (32 B id) alone. Raises HandleInvalid, MalformedRequest if another has it."""
        check_handle(handle)
        binding = await self._accounts.find_handle(handle)
        if binding is not None and binding.account_id != account_id:
            raise MalformedRequest("somebody has this handle: what is reserved is kept from those who come")
        act.about(NOBODY if account_id is None else Party.account(account_id))
        reserved = ReservedHandle(handle, account_id)
        await self._store.reserve(reserved, audited=act.done())
        return reserved

    async def release(self, handle: str, *, act: Act) -> None:
        """It is like every other again. Raises NotFound."""
        await self._store.release(handle, audited=act.done())

    async def list(self, *, after: str, limit: int) -> tuple[ReservedHandle, ...]:
        """A page of them."""
        return await self._store.list(after=after, limit=limit)
