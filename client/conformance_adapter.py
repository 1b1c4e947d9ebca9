"""The reference client behind the adapter of `tokenim-conformance client`: commands and answers, JSON a line (docs/clients.md).

Usage: tokenim-conformance client -- python -m client.conformance_adapter
The folder of the account is the last argument. It shares nothing with the kit but the form of the lines.
"""

import asyncio
import json
import shutil
import sys
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any

from relay.wire.links import decode_bytes, encode_bytes

from .client import Client
from .errors import ClientError, Refused, RelayUnreachable
from .message import Message
from .system import this_machine
from .wakeups import WebhookCheck

_PATIENCE_SECONDS = 2.0
_JOIN_SECONDS = 60.0
_NO_KEYS = ("no_prekeys", "bad_prekeys", "dormant_device")


def _say(told: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def _shown(number: int, one: Message) -> dict[str, Any]:
    file = None if one.file is None else {"name": one.file.name, "size": one.file.size_bytes}
    return {"number": number, "from": one.account, "text": one.text, "file": file, "is_own": one.outgoing}


class Adapter:
    """One account, open while it is started."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._client: Client | None = None
        self._listening: asyncio.Task[None] | None = None
        self._caught_up = asyncio.Event()
        self._wakeup: WebhookCheck | None = None

    async def register(self, link: str, handle: str | None = None) -> dict[str, str]:
        """A new account; again with the same keys after it was cut off."""
        identity = await Client.register(self._home, link, handle=handle)
        return {"account": identity.account, "device": identity.device}

    async def start(self) -> None:
        """Connected, and everything that waited is read."""
        if self._client is not None:
            return
        self._client = await Client.open(self._home).__aenter__()
        self._caught_up.clear()
        self._listening = asyncio.create_task(self._listen(self._client))
        caught_up = asyncio.create_task(self._caught_up.wait())
        await asyncio.wait({caught_up, self._listening}, return_when=asyncio.FIRST_COMPLETED)
        caught_up.cancel()
        if self._listening.done():
            self._listening.result()

    async def stop(self) -> None:
        """No connection any more."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        if self._client is not None:
            await self._client.__aexit__(None, None, None)
        self._client = self._listening = None

    async def send(self, to: str, text: str | None = None, file: str | None = None) -> None:
        """The message is kept, and goes out as soon as it can."""
        # What these two tell stays in the outbox and is tried again; that keys are no good is told all the same.
        with suppress(RelayUnreachable):
            try:
                await self._open().send(to, text, file=file, patience_seconds=_PATIENCE_SECONDS)
            except Refused as refused:
                if refused.reason in _NO_KEYS:
                    raise

    async def messages(self, after: int = 0) -> list[dict[str, Any]]:
        """All that is kept of all conversations, oldest first in each."""
        shown = [_shown(number, one) for number, one in enumerate(await self._kept(), 1)]
        return shown[after:]

    async def link(self) -> str:
        """By which anybody who has it can write to this account."""
        return await self._open().contact_link()

    async def safety_number(self, **fields: str) -> str:
        """The digits to compare with the account of this handle."""
        return (await self._open().safety_number(fields["with"])).digits

    async def create_group(self, name: str) -> str:
        """A new group of this account alone; its id."""
        return (await self._open().create_group(name)).id

    async def add(self, group: str, who: str) -> None:
        """Invite the account of this handle."""
        await self._open().membership.add(group, who)

    async def accept(self, group: str) -> None:
        """Into a group that this account was invited to; done once it is in."""
        if await self._open().membership.join(group, wait_seconds=_JOIN_SECONDS) is None:
            raise RuntimeError("nobody let it in")

    async def remove(self, group: str, who: str) -> None:
        """Take the account of this handle out; done once that stands."""
        await self._open().membership.remove(group, who)

    async def fetch(self, number: int, path: str) -> None:
        """The file of this message, put at a path where nothing is."""
        fetched = await (await self._kept())[number - 1].fetch()
        if fetched.file is None or fetched.file.path is None:
            raise KeyError(f"message {number} has no file")
        await asyncio.to_thread(shutil.copyfile, fetched.file.path, path)

    async def archive(self) -> str:
        """Switch the history archive on if it is off, read what came, write what is here; the key that seals, base64url."""
        archive = self._open().history_archive
        if (await archive.status()).is_on:
            await archive.save()
        else:
            await archive.turn_on()
        return encode_bytes(await archive.newest_key())

    async def wake(self, target: str) -> None:
        """Be woken by this webhook from now on."""
        wakeups = self._open().wakeups
        self._wakeup = wakeups.webhook(target, await wakeups.register("webhook", target))

    async def woken(self, body: str, time: int, signature: str) -> None:
        """The webhook was asked so: if that was the relay, be connected, and done once everything that waited is read."""
        came = decode_bytes(body), time, decode_bytes(signature)
        if self._wakeup is None or not self._wakeup.is_wakeup(*came, now_ms=this_machine().now_ms()):
            raise RuntimeError("no wakeup of the own relay, for the last registration")
        await self.start()

    async def _kept(self) -> list[Message]:
        client = self._open()
        found: list[Message] = []
        for contact in await client.contacts():
            found += await client.history(contact.account)
        for group in await client.groups(with_left=True):
            found += await client.history(f"group:{group.id}")
        return found

    async def _listen(self, client: Client) -> None:
        try:
            await self._hear(client)
        except Exception as error:
            _say({"event": "ended", "why": f"{type(error).__name__}: {error}"})
            raise

    async def _hear(self, client: Client) -> None:
        async with aclosing(client.events()) as events:
            async for event in events:
                told = event.as_json()
                if told["type"] == "caught_up":
                    self._caught_up.set()
                _say({"event": told["type"], **told})

    def _open(self) -> Client:
        if self._client is None:
            raise RuntimeError("start it first")
        return self._client


async def serve(home: str) -> None:
    """Until the input ends; each command is done after the one before."""
    adapter = Adapter(home)
    commands: dict[str, Callable[..., Awaitable[Any]]] = {
        "register": adapter.register,
        "start": adapter.start,
        "stop": adapter.stop,
        "send": adapter.send,
        "messages": adapter.messages,
        "fetch": adapter.fetch,
        "create_group": adapter.create_group,
        "add": adapter.add,
        "accept": adapter.accept,
        "remove": adapter.remove,
        "link": adapter.link,
        "safety_number": adapter.safety_number,
        "archive": adapter.archive,
        "wake": adapter.wake,
        "woken": adapter.woken,
    }
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        number, name = asked.pop("id"), asked.pop("do")
        try:
            _say({"id": number, "ok": await commands[name](**asked)})
        except (ClientError, KeyError, RuntimeError) as error:
            _say({"id": number, "error": getattr(error, "code", type(error).__name__), "why": str(error)})
    await adapter.stop()


def main() -> None:
    """The entry point; its one argument is the folder of the account."""
    asyncio.run(serve(sys.argv[1]))


if __name__ == "__main__":
    main()
