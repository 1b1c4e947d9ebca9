"""What each command does with the library. Prints through `Output`; lets every ClientError pass."""

import asyncio
import io
import os
import platform
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO

from client.client import Client
from client.errors import UsageError
from client.kill_steps import machine
from client.message import (
    CaughtUp,
    Event,
    Gap,
    Gone,
    HistoryRestored,
    Message,
    Missed,
    State,
    Unopened,
    Warned,
)
from client.message_acts import Acted, ActKind
from client.message_groups import GroupChanged, GroupInvited, JoinAsked
from client.passing_events import Presence, Typing
from client.system import System
from client.times import iso_time
from relay.wire.links import encode_bytes

from .output import Output, one_line, printable, progress_bar
from .place import Place
from .qr import qr

_COMPARE = "Compare the digits, or scan the code, with the other person: the same on both sides is safe."
MAX_LINE_BYTES = 262_144  # more than an envelope holds


def this_system() -> System:
    """The machine of this call, with the kill steps of the environment."""
    return machine(os.environ)


def this_device() -> str:
    """What a device is called if nobody says it."""
    return platform.node() or "device"


def open_client(place: Place) -> Client:
    """The account of this call; its kill steps are those of the environment."""
    return Client.open(place.home, passphrase=place.passphrase, system=this_system())


async def register(place: Place, out: Output, link: str, handle: str | None) -> None:
    """Make the account and tell who it is."""
    identity = await Client.register(
        place.home, link, handle=handle, passphrase=place.passphrase, device_name=this_device()
    )
    name = f"handle {identity.handle}, " if identity.handle else ""
    out.shown(
        identity, f"registered at {identity.relay}: {name}account {identity.account}, role {identity.role}"
    )


async def whoami(place: Place, out: Output, *, with_link: bool) -> None:
    """Tell who the folder is; the contact link only if asked for, since it lets others in."""
    async with open_client(place) as client:
        identity = client.whoami()
        shown = identity.as_json()
        lines = [f"{key:8}{value}" for key, value in shown.items() if key != "type" and value is not None]
        if with_link:
            shown["link"] = await client.contact_link()
            lines.append(f"{'link':8}{shown['link']}")
        out.result("\n".join(lines), shown)


async def send_text(place: Place, out: Output, to: str, text: str, patience_seconds: float) -> None:
    """Send one text."""
    async with open_client(place) as client:
        message = await client.send(to, text, patience_seconds=patience_seconds)
        out.shown(message, f"{message.state.value} {message.id}")


async def send_file(place: Place, out: Output, to: str, path: Path, patience_seconds: float) -> None:
    """Send one file, with a bar while it goes up."""
    async with open_client(place) as client:
        with progress_bar(path.name, of_bytes=True) as bar:
            message = await client.send(to, file=path, progress=bar.at, patience_seconds=patience_seconds)
        out.shown(message, f"{message.state.value} {message.id}")


async def send_lines(place: Place, out: Output, to: str, patience_seconds: float) -> None:
    """Send each line of standard input."""
    lines = _Lines(sys.stdin.buffer)
    async with open_client(place) as client:
        with progress_bar("lines", of_bytes=False) as bar:
            report = await client.send_lines(
                to,
                aiter(lines) if lines.can_wait else iter(lines),
                on_accepted=lambda count: bar.at(count, lines.taken),
                patience_seconds=patience_seconds,
            )
    out.result(
        f"{report.accepted} accepted, {report.refused} refused, {lines.empty} empty lines left out",
        {
            "type": "sent",
            "accepted": report.accepted,
            "refused": report.refused,
            "empty": lines.empty,
            "first_id": report.first_id,
            "last_id": report.last_id,
        },
    )
    if report.refused:
        out.fail("not_sent", f"{report.refused} of {lines.taken} messages were refused: see `history`", 1)


class _Lines:
    """The lines of standard input as texts, without empty ones; a pipe is waited for without stopping the program."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.taken = 0
        self.empty = 0
        self._number = 0
        try:
            mode = os.fstat(stream.fileno()).st_mode
        except (io.UnsupportedOperation, AttributeError):  # a stream in memory
            mode = stat.S_IFREG
        self.can_wait = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stream.isatty()

    def _text(self, line: bytes) -> str | None:
        self._number += 1
        try:
            text = line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise UsageError(f"line {self._number} of standard input is not UTF-8") from error
        if not text.strip():
            self.empty += 1
            return None
        self.taken += 1
        return text

    def __iter__(self) -> Iterator[str]:
        for line in self._stream:
            if (text := self._text(line)) is not None:
                yield text

    async def __aiter__(self) -> AsyncIterator[str]:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), self._stream
        )
        try:
            while True:
                try:
                    line = await reader.readline()
                except ValueError as error:
                    raise UsageError(
                        f"line {self._number + 1} of standard input is longer than {MAX_LINE_BYTES} bytes"
                    ) from error
                if not line:
                    return
                if (text := self._text(line)) is not None:
                    yield text
        finally:
            transport.close()


def plain_event(event: Event) -> str | None:
    """The event as people read it."""
    match event:
        case Message():
            return plain_message(event)
        case Acted():
            return plain_act(event)
        case CaughtUp() | Typing() | Presence():
            return None
        case GroupInvited() | JoinAsked() | GroupChanged():
            return plain_group_event(event)
        case Missed():
            return plain_missed(event)
        case Gap(name=name, count=count):
            return f"! {count} messages of {one_line(name)} are not here (yet)"
        case Gone(name=name, count=count):
            return f"! {count} messages of {one_line(name)} are gone for good"
        case Unopened(reason=reason):
            return f"! a message could not be opened: {one_line(reason)}"
        case Warned(kind=kind, detail=detail):
            return f"! {kind}: {one_line(detail)}"
        case HistoryRestored(count=count, newest_at_ms=newest_at_ms):
            return f"* history restored: {count} messages, the newest of {iso_time(newest_at_ms)}"


def plain_group_event(event: GroupInvited | JoinAsked | GroupChanged) -> str:
    """What happened to a group, as people read it."""
    match event:
        case GroupInvited(group=group, name=name, inviter_name=inviter, joining=joining):
            answer = "joining" if joining else f"`tokenim group join {group}` says yes"
            return f"* {one_line(inviter)} invites you into the group {one_line(name) or group}: {answer}"
        case JoinAsked(group=group, name=name, account=account):
            return f"* {one_line(name)} asks to be let in: `tokenim group add {group} {account}` says yes"
        case GroupChanged():
            return plain_change(event)


def plain_missed(event: Missed) -> str:
    """What will not come, and why."""
    if event.reason == "restored":
        return "! the relay came back from a backup: messages that it took since then may be missing"
    return f"! {event.count} envelopes will not come: {event.reason}"


def plain_change(event: GroupChanged) -> str:
    """What was changed in a group, by whom."""
    changes = [
        " ".join(part for part in (one.kind, one_line(one.name), one_line(one.detail)) if part)
        for one in event.changes
    ]
    return f"* group:{event.group} {one_line(event.name)}: {'; '.join(changes)}"


def plain_act(act: Acted) -> str | None:
    """What somebody did to a message, as people read it; receipts are for scripts."""
    who = one_line(act.name)
    match act.kind:
        case ActKind.REACTION:
            return f"* {who} reacts to {act.message.id}: {one_line(act.text or '') or 'nothing any more'}"
        case ActKind.EDIT:
            return f"* {who} edits {act.message.id}: {printable(act.text or '')}"
        case ActKind.DELETE:
            return f"* {who} deletes {act.message.id}"
        case ActKind.EXPIRED:
            return f"* {act.message.id} of {who} has disappeared"
        case ActKind.DELIVERED | ActKind.READ:
            return None


def plain_message(message: Message) -> str:
    """One message as people read it: time, author, and what it holds."""
    if message.deleted:
        body = "(deleted)"
    elif message.file is not None:
        place = message.file.path or "not fetched"
        body = f"file {one_line(message.file.name)} ({message.file.size_bytes} bytes): {place}"
    elif message.text is not None:
        body = printable(message.text).replace("\n", "\n    ")
    else:
        body = "(made by a newer version: update to read it)"
    state = f" [{message.state.value}]" if message.outgoing and message.state is not State.ACCEPTED else ""
    author = "me" if message.outgoing else one_line(message.name)
    if message.edited:
        body += " (edited)"
    if message.reactions:
        body += f" [{' '.join(one_line(one.emoji) for one in message.reactions)}]"
    request = " [contact request]" if message.contact_request else ""
    return f"{iso_time(message.sent_at_ms)} {author}:{state}{request} {body}"


async def history(place: Place, out: Output, with_: str, limit: int | None) -> None:
    """Print a conversation."""
    async with open_client(place) as client:
        for message in await client.history(with_, limit=limit):
            out.shown(message, plain_message(message))


async def react(place: Place, out: Output, message: str, emoji: str) -> None:
    """Put an emoji on a message."""
    async with open_client(place) as client:
        shown = await client.react(message, emoji)
    out.shown(shown, plain_message(shown))


async def edit(place: Place, out: Output, message: str, text: str) -> None:
    """Change an own text."""
    async with open_client(place) as client:
        shown = await client.edit(message, text)
    out.shown(shown, plain_message(shown))


async def delete(place: Place, out: Output, message: str) -> None:
    """Delete an own message for everybody."""
    async with open_client(place) as client:
        shown = await client.delete(message)
    out.shown(shown, plain_message(shown))


async def verify(place: Place, out: Output, with_: str) -> None:
    """Print the safety number as rows of four groups, and as QR code."""
    async with open_client(place) as client:
        number = await client.safety_number(with_)
    groups = [number.digits[start : start + 5] for start in range(0, len(number.digits), 5)]
    shown = {
        "type": "safety_number",
        "account": number.account,
        "name": number.name,
        "digits": number.digits,
        "qr": encode_bytes(number.qr_payload),
    }
    if out.as_json:
        out.result(None, shown)
        return
    rows = ["  ".join(groups[start : start + 4]) for start in range(0, len(groups), 4)]
    lines = [f"Safety number with {one_line(number.name)}:", "", *(f"    {row}" for row in rows), ""]
    out.result("\n".join(lines) + "\n" + qr(number.qr_payload) + _COMPARE, shown)
