"""Fetches every file that waits, prints where it lies, and stops.

Usage: python docs/examples/keep_files.py HOME        say, once an hour from a timer
"""

import asyncio
import sys

from client import Client


async def main(home: str) -> None:
    """A message counts as handled when the next one is asked for, so a file is not skipped when this is cut short."""
    async with Client.open(home) as keeper:
        async for message in keeper.messages(until_caught_up=True):
            if message.file is not None:
                fetched = await message.fetch()
                sys.stdout.write(f"{message.name}: {fetched.file.path}\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
