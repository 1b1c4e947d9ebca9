"""Sends a file and shows how far it is. The relay gets it encrypted; only the recipient's devices get the key.

Usage: python docs/examples/send_file.py HOME TO FILE        TO is a handle, a contact link or an account id
"""

import asyncio
import sys

from client import Client


def show(done: int, total: int) -> None:
    """One line that is written over."""
    sys.stderr.write(f"\r{done:,} of {total:,} bytes")


async def main(home: str, to: str, file: str) -> None:
    """Return once the relay has the message durably; then this machine may be switched off."""
    async with Client.open(home) as sender:
        message = await sender.send(to, file=file, progress=show)
        sys.stdout.write(f"{message.state.value} {message.id}\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
