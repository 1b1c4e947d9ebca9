"""The mailbox of the scripted relay over HTTP: to submit, to take it by a long poll, to acknowledge (HTTP)."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from client.conformance.wire import DELIVER, from_base64, to_base64

from .account_doors import known
from .house import Account, House, Mailbox, Submit, acknowledge, take_mailbox
from .submits import behind, take

_MOST: Final = 256


@dataclass(frozen=True)
class MailboxDoors:
    """Of one relay; `replace` ends the connection that has the mailbox of an account."""

    house: House
    replace: Callable[[Account], Coroutine[Any, Any, None]]

    def submit(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """The frame `submit`, as JSON."""
        read = json.loads(body)
        grants = [
            [from_base64(one["account_id"]), from_base64(one["token"]), one["manifest_version"]]
            for one in read["grants"]
        ]
        targets = [
            [from_base64(one["device_id"]), one["ciphertext"], one["grant"]] for one in read["targets"]
        ]
        sent = Submit(
            [
                0,
                from_base64(read["envelope_id"]),
                read["envelope_class"],
                read.get("urgent", False),
                read["ttl_seconds"],
                [from_base64(one) for one in read["ciphertexts"]],
                targets,
                grants,
                [from_base64(one) for one in read.get("work", [])],
            ],
            None if asker is None else asker.manifest.account_id,
        )
        outcomes = take(self.house, sent)
        found = [
            {"account_id": to_base64(one), "version": version} for one, version in behind(self.house, sent)
        ]
        return self.house.json({"outcomes": outcomes, "manifest_behind": found})

    async def poll(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """What waits above `after`, as soon as there is something."""
        account, after = known(asker), int(request.query.get("after", "0"))
        await self.replace(account)
        take_mailbox(self.house, account, after)
        box = account.mailbox
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(int(request.query.get("wait_seconds", "0"))):
                while not box.waiting:
                    box.came.clear()
                    await box.came.wait()
        frames = [box.waiting[one] for one in sorted(box.waiting)]
        for frame in frames[:_MOST]:
            box.delivered = max(box.delivered, frame[1])
        return self.house.json(_told(frames, box))

    def ack(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """As the frame."""
        read = json.loads(body)
        acknowledge(self.house, known(asker), [read["up_to"], read.get("also", [])])
        return web.Response(status=204)

    def quarantine(self, request: web.Request, body: bytes, asker: Account | None) -> web.Response:
        """This relay skips no envelope."""
        return self.house.json({"envelopes": []})


def _told(frames: list[list[Any]], box: Mailbox) -> dict[str, Any]:
    envelopes, missed = [], []
    for frame in frames[:_MOST]:
        if frame[0] == DELIVER:
            names = ("sequence", "envelope_id", "received_at_ms", "envelope_class", "ciphertext")
            shown = (to_base64(one) if isinstance(one, bytes) else one for one in frame[1:])
            envelopes.append(dict(zip(names, shown, strict=True)))
        else:
            missed.append(dict(zip(("from_sequence", "to_sequence", "reason"), frame[1:], strict=True)))
    more = len(frames) > _MOST
    return {"envelopes": envelopes, "missed": missed, "next_sequence": box.last + 1, "more": more}
