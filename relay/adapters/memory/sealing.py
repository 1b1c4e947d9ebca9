"""A store in memory keeps nothing that a thief of a file could read: it seals nothing, and has no keys."""

from relay.ports.sealing import KeyUse


class MemorySealing:
    """Sealing of nothing."""

    async def keys(self) -> tuple[KeyUse, ...]:
        """None."""
        return ()

    async def reload(self) -> None:
        """There is no file."""

    async def begin(self) -> bool:
        """Nothing is to be done."""
        return True

    async def reseal(self, *, limit: int) -> int:
        """Nothing is sealed."""
        return 0

    async def finish(self) -> tuple[int, ...]:
        """There is no key to forget."""
        return ()
