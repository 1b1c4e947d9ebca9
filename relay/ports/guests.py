"""Guests: accounts that came by a link to somebody, write to nobody else, and go after a while."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Guest:
    """Until when a guest is here (ms), and the 32 B ids of the accounts that it may write to."""

    expires_at_ms: int
    hosts: frozenset[bytes]


class GuestStore(Protocol):
    """A guest is made by `AccountStore.register`, in its transaction, and goes with its account."""

    async def find(self, account_id: bytes) -> Guest | None:
        """What this account is as a guest; None for one that came by no link of a host."""

    async def lapsed(self, role: str, *, now_ms: int, limit: int) -> tuple[bytes, ...]:
        """At most `limit` accounts of this role whose time is over, and whose deletion was not begun."""
