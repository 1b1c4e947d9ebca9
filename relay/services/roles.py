"""Who may do what: one table of roles and operations, the only place that says yes or no to somebody who is known.

Reach (delivery tokens) says who may write to whom; this says what an account may do on this relay at all, and who may run it.
The table itself, with the roles that settings define, is in `relay.config.permissions`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from relay.config.permissions import EVERYTHING, PERMISSIONS, SUSPENDED, Operation, Role, nearest
from relay.services.devices import KnownDevice
from relay.wire.audit_rows import RELAY, Party
from relay.wire.errors import MalformedRequest, NotAllowed

__all__ = [
    "EVERYTHING",
    "PERMISSIONS",
    "SUSPENDED",
    "THE_RELAY",
    "Authority",
    "KnownDevice",
    "Operation",
    "Role",
    "Roles",
]

ON_A_SOCKET: Final = frozenset({Operation.READ_MAILBOX, Operation.SUBMIT})
"""What an authenticated WebSocket is for: one whose role lost any of it is closed."""


@dataclass(frozen=True, slots=True)
class Authority:
    """Somebody who asks for a command: `party` as the audit log names it, and what it may do."""

    party: Party
    permissions: frozenset[Operation]

    @classmethod
    def of_machine(cls, uid: int) -> "Authority":
        """Whoever can open the data folder, as this user of the machine: there is no other check."""
        return cls(Party.operator(uid), EVERYTHING)

    def require(self, operation: Operation) -> None:
        """Raise NotAllowed unless it may do this."""
        if operation not in self.permissions:
            raise NotAllowed("this takes a right that you do not have")


THE_RELAY: Final = Authority(RELAY, EVERYTHING)
"""The relay, of its own accord."""


class Roles:
    """The roles of one relay: those of the table, and those that its settings define. One that is in neither may do nothing."""

    def __init__(self, defined: Mapping[str, tuple[Operation, ...]] | None = None) -> None:
        self._permissions: dict[str, frozenset[Operation]] = {}
        self.change(defined)

    def change(self, defined: Mapping[str, tuple[Operation, ...]] | None) -> None:
        """Other roles are defined from now on: what an account may counts from its next request on."""
        built_in = {role.value: permissions for role, permissions in PERMISSIONS.items()}
        own = {name: frozenset(operations) for name, operations in (defined or {}).items()}
        self._permissions = {**own, **built_in}

    @property
    def names(self) -> tuple[str, ...]:
        """Every role there is: those of the table, then those that settings define."""
        return (*Role, *(name for name in self._permissions if name not in [*Role]))

    def permissions_of(self, role: str) -> frozenset[Operation]:
        """What this role may; nothing for one that there is not."""
        return self._permissions.get(role, frozenset())

    def check_known(self, role: str) -> None:
        """Raise MalformedRequest for a role that there is not."""
        if role not in self._permissions:
            told = nearest(role, self.names) or f": there are {', '.join(self.names)}"
            raise MalformedRequest(f"there is no role `{role}`{told}")

    def allows(self, device: KnownDevice, operation: Operation) -> bool:
        """Whether the device's account may do this."""
        if device.suspended and operation not in SUSPENDED:
            return False
        return operation in self.permissions_of(device.role)

    def require(self, device: KnownDevice, operation: Operation) -> None:
        """Raise NotAllowed unless the device's account may do this."""
        if not self.allows(device, operation):
            raise NotAllowed

    def authority(self, account_id: bytes, role: str, *, suspended: bool) -> Authority:
        """An account (32 B id) with what its role may now; a suspended one runs nothing."""
        return Authority(Party.account(account_id), frozenset() if suspended else self.permissions_of(role))

    def require_all_of(self, role: str, *, by: Authority) -> None:
        """Raise NotAllowed unless `by` may do all that this role may: so nobody gives, or takes away, more than it has.

        What a role could do that is defined no more is not known: that takes all that an owner may.
        """
        needed = self._permissions.get(role, PERMISSIONS[Role.OWNER])
        if not needed <= by.permissions:
            raise NotAllowed("this takes every right of the role that it is about")
