"""What an account says of itself, sealed for those whom it gave the key: opaque bytes, of which the newest version is kept."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Profile:
    """One version, 1 or above, and its bytes."""

    version: int
    sealed: bytes = field(repr=False)


class ProfileStore(Protocol):
    """Every change is durable when the method returns."""

    async def put(self, account_id: bytes, profile: Profile) -> None:
        """In the place of an older version; the same again changes nothing.

        Raises Conflict unless its version is above the one that is kept, NotFound for an account that there is not.
        """

    async def get(self, account_id: bytes) -> Profile | None:
        """The newest, or None if the account has given none."""
