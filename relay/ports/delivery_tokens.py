"""Delivery tokens: who may reach an account. Only SHA-256 of a token is kept, and nobody's name beside it."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol


class TokenClass(IntEnum):
    """What a token is for, and so which budget its use counts on."""

    CONTACT = 1  # goes with the profile key to each contact
    LINK = 2  # in a link or QR code
    PUBLIC = 3  # given by the handle directory
    GROUP = 4  # one a group, told to its members


@dataclass(frozen=True, slots=True)
class DeliveryToken:
    """32 B SHA-256 of a 16 B token, its class, until when it is good (None: until removed)."""

    token_hash: bytes
    token_class: TokenClass
    expires_at_ms: int | None = None


class DeliveryTokenStore(Protocol):
    """Every change is durable when the method returns."""

    async def add(self, account_id: bytes, token: DeliveryToken, *, now_ms: int) -> None:
        """Keep it; the same hash again sets class and expiry anew.

        Raises QuotaExceeded above MAX_DELIVERY_TOKENS that have not expired, NotFound for an unknown account.
        """

    async def remove(self, account_id: bytes, token_hash: bytes) -> None:
        """It opens nothing from now on; without effect if it is not there."""

    async def list(self, account_id: bytes) -> tuple[DeliveryToken, ...]:
        """All of the account, in ascending order of their hashes, expired ones too as long as they are kept."""

    async def resolve(self, account_id: bytes, token_hash: bytes, *, now_ms: int) -> DeliveryToken | None:
        """The token if it is this account's and has not expired; None for everything else, with the same work done."""

    async def remove_expired(self, *, now_ms: int, limit: int) -> int:
        """Forget at most `limit` expired ones; how many it were."""
