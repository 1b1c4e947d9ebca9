"""Accounts as their operator sees them: listed page by page, found by what is written of them. Changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ListedAccount:
    """One account, in figures: 32 B id, days since 1970 when one of its devices was last here (0: never), what is kept for it."""

    account_id: bytes
    role: str
    suspended: bool
    handle: str | None
    created_at_ms: int
    devices: int
    seen_day: int
    envelopes: int
    """That wait in its mailboxes."""
    envelope_bytes: int
    blob_bytes: int
    """Of its blobs, unfinished ones at their full length."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which accounts are listed; an empty word, and None, is all of them."""

    role: str = ""
    suspended: bool | None = None
    handle_begins: str = ""


class AccountDirectory(Protocol):
    """A page is a snapshot; accounts come in ascending order of their ids."""

    async def page(self, wanted: Wanted, *, after: bytes, limit: int) -> tuple[ListedAccount, ...]:
        """At most `limit` accounts with ids above `after` (empty: from the first)."""

    async def roles_in_use(self) -> Mapping[str, int]:
        """How many accounts have each role that at least one has."""

    async def ids_between(self, low: bytes, high: bytes, *, limit: int) -> tuple[bytes, ...]:
        """At most `limit` ids of accounts from `low` to `high` (32 B each), both included, ascending."""
