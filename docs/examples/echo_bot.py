"""Answers whoever writes, until somebody writes `bye`.

Usage: python docs/examples/echo_bot.py HOME        HOME is the folder of a registered account
"""

import asyncio
import sys

from client import Client


async def main(home: str) -> None:
    """Answer in order; a message that comes while the bot is off waits at the relay."""
    async with Client.open(home) as bot:
        async for message in bot.messages():
            if message.text is None:
                await message.reply(f"I only read text, not {message.type}")
                continue
            await message.reply(f"you said {message.text}")
            if message.text == "bye":
                return


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
