"""People with the real client on a relay in this process; their machine's clock can be moved."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from client.client import Client
from client.message import Message
from client.system import System, this_machine
from tests.few_prekeys import few_prekeys
from tests.running_relay import World, open_world


@dataclass
class People:
    """Homes by name, and the clients that are open."""

    world: World
    folder: Path
    stack: AsyncExitStack
    machines: dict[str, System] = field(default_factory=dict)

    def home(self, name: str) -> Path:
        return self.folder / name

    async def register(self, name: str, *, machine: System | None = None, **options) -> None:
        """An account with this handle."""
        if machine is not None:
            self.machines[name] = machine
        link = await self.world.relay.invite()
        await Client.register(self.home(name), link, handle=name, system=self.machines.get(name), **options)

    def client(self, name: str) -> Client:
        """Not entered yet."""
        return Client.open(self.home(name), system=self.machines.get(name))

    async def enter(self, name: str) -> Client:
        """Open until the test ends."""
        return await self.stack.enter_async_context(self.client(name))


@asynccontextmanager
async def open_people(
    folder: Path, *names: str, has_full_stock: bool = False, **options
) -> AsyncIterator[People]:
    """A relay of `relay.testing` with these options, and accounts with these handles, of few one-time keys."""
    async with open_world(**options) as world, AsyncExitStack() as stack:
        if not has_full_stock:
            stack.enter_context(few_prekeys())
        people = People(world, folder, stack)
        for name in names:
            await people.register(name)
        yield people


def machine_that_is_late(milliseconds: int) -> System:
    """A machine whose clock is behind by so much (ahead, if negative)."""
    real = this_machine()
    return replace(real, now_ms=lambda: real.now_ms() - milliseconds)


async def waiting(client: Client) -> list[Message]:
    """What waits for this client, until it is caught up."""
    return [message async for message in client.messages(until_caught_up=True, patience_seconds=20)]


async def texts(client: Client) -> list[str | None]:
    """The texts of what waits."""
    return [message.text for message in await waiting(client)]


def random_file(folder: Path, name: str, size: int) -> Path:
    """A file that does not compress."""
    path = folder / name
    path.write_bytes(os.urandom(size))
    return path
