"""What of the store is sealed under keys of a file of its own, and how these are changed while it is used."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class KeyUse:
    """A key of the key file: its id, whether it seals what is written now, how many values it has sealed.

    One that is newer than that is not used yet.
    """

    key_id: int
    current: bool
    values: int


class Sealing(Protocol):
    """Each change is durable when the method returns. After a kill at any step `begin` goes on where it was."""

    async def keys(self) -> tuple[KeyUse, ...]:
        """All of the key file, oldest first. A store that seals nothing has none."""

    async def reload(self) -> None:
        """Read the key file again, which somebody else may have changed where nodes share a store. Raises Conflict."""

    async def begin(self) -> bool:
        """What is written from now on is sealed by a new key; False if older keys are there still: that is finished first."""

    async def reseal(self, *, limit: int) -> int:
        """At most `limit` values that an older key sealed are sealed by the newest; how many it were."""

    async def finish(self) -> tuple[int, ...]:
        """Forget keys that seal nothing any more, for ever; their ids. The newest stays."""
