"""What operators do with accounts: find and list them, suspend and resume, give roles. Each change is recorded in its commit.

Nobody changes an account that may do more than itself.
"""

import base64
from dataclasses import dataclass
from typing import Final

from relay.ports.accounts import Account, AccountStore
from relay.ports.bus import AccountChanged, Bus
from relay.ports.directory import AccountDirectory, ListedAccount, Wanted
from relay.services.audit import Act
from relay.services.deletion import Deletion
from relay.services.identity import is_handle
from relay.services.roles import ON_A_SOCKET, Operation, Role, Roles
from relay.wire import limits
from relay.wire.audit_rows import Party
from relay.wire.errors import Conflict, MalformedRequest, NotFound

SHORTEST_BEGINNING: Final = 8
_ID_CHARACTERS: Final = 52
_ID_BITS: Final = limits.ACCOUNT_ID_BYTES * 8


def ids_that_begin(text: str) -> tuple[bytes, bytes] | None:
    """The lowest and the highest 32 B id whose text form begins so; None if no id does."""
    if not SHORTEST_BEGINNING <= len(text) <= _ID_CHARACTERS or text != text.lower():
        return None
    try:
        decoded = base64.b32decode(text.upper() + "A" * (-len(text) % 8))
    except ValueError:
        return None
    bits = min(len(text) * 5, _ID_BITS)
    above = int.from_bytes(decoded, "big") >> (len(decoded) * 8 - bits)
    open_bits = _ID_BITS - bits
    low = above << open_bits
    return tuple((low | rest).to_bytes(limits.ACCOUNT_ID_BYTES, "big") for rest in (0, (1 << open_bits) - 1))  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class RoleInUse:
    """A role, what it may, how many accounts have it; `defined` is False for one that is in no table any more."""

    name: str
    defined: bool
    permissions: frozenset[Operation]
    accounts: int


class Administration:
    """The accounts of a relay, for who runs it."""

    def __init__(
        self,
        accounts: AccountStore,
        directory: AccountDirectory,
        deletion: Deletion,
        roles: Roles,
        *,
        bus: Bus,
    ) -> None:
        self._accounts = accounts
        self._directory = directory
        self._deletion = deletion
        self._roles = roles
        self._bus = bus

    async def find(self, named: str) -> bytes:
        """The account with this handle or id, or the only one whose id begins so. Raises NotFound, MalformedRequest."""
        if is_handle(named) and (binding := await self._accounts.find_handle(named)) is not None:
            return binding.account_id
        bounds = ids_that_begin(named)
        found = () if bounds is None else await self._directory.ids_between(*bounds, limit=2)
        if not found:
            short = bounds is None and 0 < len(named) < SHORTEST_BEGINNING
            least = f" (the beginning of an id has {SHORTEST_BEGINNING} characters or more)" if short else ""
            raise NotFound(f"there is no such account{least}: `tokenim-relay account list` shows them")
        if len(found) > 1:
            raise MalformedRequest("several accounts begin like this: give more of the id")
        return found[0]

    async def device_ids(self, account_id: bytes) -> tuple[bytes, ...]:
        """Of the account's devices."""
        return tuple(one.device_id for one in await self._accounts.seen_devices(account_id))

    async def page(self, wanted: Wanted, *, after: bytes, limit: int) -> tuple[ListedAccount, ...]:
        """As of the port. Raises MalformedRequest for a role that there is not, and that no account has."""
        known = not wanted.role or wanted.role in self._roles.names
        if not known and wanted.role not in await self._directory.roles_in_use():
            self._roles.check_known(wanted.role)
        return await self._directory.page(wanted, after=after, limit=limit)

    async def roles(self) -> tuple[RoleInUse, ...]:
        """Every role there is, and after them those that an account still has though they are defined no more."""
        counted = await self._directory.roles_in_use()
        gone = sorted(role for role in counted if role not in self._roles.names)
        return tuple(
            RoleInUse(name, name not in gone, self._roles.permissions_of(name), counted.get(name, 0))
            for name in (*self._roles.names, *gone)
        )

    async def suspend(self, named: str, *, act: Act) -> Account:
        """It gets nothing any more, and its connections end; what it has waits.

        Raises what `find` raises, NotAllowed, LastOwner.
        """
        return await self._set_suspended(named, True, act)

    async def resume(self, named: str, *, act: Act) -> Account:
        """As before; Conflict for one that is deleted and kept by a hold alone."""
        if await self._deletion.is_waiting(await self.find(named)):
            raise Conflict("this account is deleted, and goes when the hold on it ends")
        return await self._set_suspended(named, False, act)

    async def delete(self, named: str, *, act: Act) -> Account:
        """It is gone for ever, and all that was its own; the account as it was.

        Raises what `find` raises, NotAllowed, LastOwner.
        """
        account_id = await self.meant(named, act)
        return await self._deletion.delete(account_id, audited=act.done())

    async def held_until_ms(self, account_id: bytes) -> int | None:
        """When the hold ends that keeps a deleted account; None: there is none."""
        return await self._deletion.held_until_ms(account_id)

    async def _set_suspended(self, named: str, suspended: bool, act: Act) -> Account:
        account_id = await self.meant(named, act)
        account = await self._accounts.set_suspended(
            account_id, suspended, owner=Role.OWNER, audited=act.done()
        )
        return self._changed(account)

    async def grant(self, named: str, role: str, *, act: Act) -> Account:
        """It has this role from now on.

        Raises what `find` raises, NotAllowed, MalformedRequest for a role that there is not, LastOwner.
        """
        self._roles.check_known(role)
        account_id = await self.meant(named, act, detail=role)
        self._roles.require_all_of(role, by=act.by)
        return self._changed(
            await self._accounts.set_role(account_id, role, owner=Role.OWNER, audited=act.done())
        )

    async def meant(self, named: str, act: Act, *, detail: str = "") -> bytes:
        """The account, if who asks may do all that it may: a moderator shuts no admin out. Raises NotAllowed."""
        account_id = await self.find(named)
        act.about(Party.account(account_id), detail=detail)
        account = await self._accounts.account(account_id)
        if account is None:
            raise NotFound("there is no such account")
        self._roles.require_all_of(account.role, by=act.by)
        return account_id

    def _changed(self, account: Account) -> Account:
        """What is remembered of it is stale; one that is suspended, or whose role is for no connection, is cut off."""
        shut_out = account.suspended or not self._roles.permissions_of(account.role) >= ON_A_SOCKET
        self._bus.publish(AccountChanged(account.account_id, suspended=shut_out))
        return account
