"""A process beside which no other does the work of its relay."""

import asyncio

from relay.ports.leadership import Work


class Alone:
    """Leadership of a relay of one process."""

    async def until_leading(self, work: Work) -> None:
        """At once."""

    async def until_lost(self, work: Work) -> None:
        """Never."""
        await asyncio.Event().wait()
