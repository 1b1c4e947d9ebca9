"""The bus between nodes on NATS core: announcements only, never the truth. What is lost costs a look at the store (F17).

What this node publishes reaches its own subscribers as on the bus of one process, whether NATS is there or not. For other
nodes the announcements of a turn of the loop travel together, as one message on one subject: each node hears all, and looks
up in memory which concern it. A message names devices and accounts to whom something happens, and nobody who did it (D9).
While NATS is away nothing is kept for later: nodes look into the store instead. A node that could not say something says
that much as soon as it can, and so does one that starts: who heard nothing then doubts what it remembers.

A message is MessagePack: [version, 8 B random id of the node's start, [kind, field, field …], …]. Kinds that a node does not
know are passed over, so nodes of two versions run side by side.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, fields
from itertools import chain, groupby
from pathlib import Path
from typing import Any, Final

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from relay.observe.figures import Figures
from relay.ports import bus as announcements
from relay.ports.bus import Announcement, AnnouncementsLost, Handler, MailboxesHeld, NewMail
from relay.ports.clock import Clock, Randomness

from .memory_bus import MemoryBus, MemorySubscription, open_memory_bus

_log = logging.getLogger(__name__)

VERSION: Final = 1
NODE_ID_BYTES: Final = 8
MAX_MESSAGE_BYTES: Final = 524_288
"""Of what comes; NATS itself takes 1 MiB."""
DEVICES_A_MESSAGE: Final = 8_192
"""Of NewMail: 16 B each, and as much again for those that are urgent."""
MOST_WAITING: Final = 10_000
"""Announcements that wait to be sent; more are dropped."""
LOST_AGAIN_SECONDS: Final = 1.0
PING_SECONDS: Final = 1
"""A server that answers two of these in a row with nothing hangs: it is left, as one that is gone (F17)."""
CONNECT_SECONDS: Final = 2
CONNECT_AGAIN_SECONDS: Final = 0.5
CLOSE_SECONDS: Final = 2

KINDS: Final[dict[int, type[Announcement]]] = {
    1: announcements.NewMail,
    2: announcements.MailboxTaken,
    3: announcements.MailboxLeft,
    4: announcements.DeviceRevoked,
    5: announcements.ManifestChanged,
    6: announcements.AccountChanged,
    7: announcements.MailboxFilling,
    8: announcements.PrekeysLow,
    9: announcements.LimitsSpent,
    10: announcements.LogAdvanced,
    11: announcements.LimitsChanged,
    12: announcements.PushChanged,
    13: AnnouncementsLost,
    14: announcements.MailboxesHeld,
}
"""What travels, by numbers that are never given to another kind."""
_NUMBERS: Final = {kind: number for number, kind in KINDS.items()}
_FIELDS: Final = {kind: tuple(each.name for each in fields(kind)) for kind in _NUMBERS}


@dataclass(frozen=True, slots=True)
class NatsOptions:
    """Where NATS is and who this node is there. `servers`: nats:// or tls:// URLs without a password."""

    servers: tuple[str, ...]
    subject: str = "tokenim"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    credentials: Path | None = None
    """A .creds file, with a JWT and the seed of an NKey."""
    tls: ssl.SSLContext | None = None


def encode(node_id: bytes, told: list[Announcement]) -> bytes:
    """One message."""
    parts = [[_NUMBERS[type(one)], *(getattr(one, name) for name in _FIELDS[type(one)])] for one in told]
    return msgspec.msgpack.encode([VERSION, node_id, *parts])


def decode(message: bytes) -> tuple[bytes, list[Announcement]]:
    """(Node id, what it tells), without the kinds that are not known here. Raises ValueError."""
    if len(message) > MAX_MESSAGE_BYTES:
        raise ValueError("too large")
    try:
        version, node_id, *parts = msgspec.msgpack.decode(message, type=list[Any])
        if version != VERSION or not isinstance(node_id, bytes) or len(node_id) != NODE_ID_BYTES:
            raise ValueError("not a message of this version")
        return node_id, [one for part in parts if (one := _announcement(part)) is not None]
    except (msgspec.DecodeError, msgspec.ValidationError, TypeError) as error:
        raise ValueError(str(error)) from error


def _announcement(part: list[Any]) -> Announcement | None:
    kind = KINDS.get(part[0]) if part and isinstance(part[0], int) else None
    if kind is None:
        return None
    given = dict(zip(_FIELDS[kind], part[1:], strict=False))  # a later version may have more fields
    made: Announcement = msgspec.convert(given, type=kind, builtin_types=(bytes,))
    return made


class NatsBus:
    """Bus of one node. Open it by `open_nats_bus`."""

    def __init__(
        self, local: MemoryBus, options: NatsOptions, clock: Clock, node_id: bytes, figures: Figures
    ) -> None:
        self._local = local
        self._figures = figures
        self._options = options
        self._clock = clock
        self._node_id = node_id
        self._client = Client()
        self._waiting: list[Announcement] = []
        self._news = asyncio.Event()
        self._told_away = False
        self._owes = True  # who ran before this node may have ended with something unsaid
        self._ending = False

    @property
    def is_connected(self) -> bool:
        """Whether other nodes are heard."""
        return self._client.is_connected

    def publish(self, announcement: Announcement) -> None:
        """To the own subscribers in the next turn of the loop, to other nodes as soon as can be."""
        self._local.publish(announcement)
        if type(announcement) not in _NUMBERS:
            return
        if len(self._waiting) >= MOST_WAITING or not self._client.is_connected:
            self._count("dropped")
            self._owes = True
            return
        self._waiting.append(announcement)
        self._news.set()

    def doubt(self) -> None:
        """Tell the own subscribers that something may have been missed."""
        self._local.doubt()

    def subscribe(self, kind: type[Announcement], handler: Handler) -> MemorySubscription:
        """Call `handler` with each announcement of exactly this type, of whichever node."""
        return self._local.subscribe(kind, handler)

    async def send(self) -> None:
        """What waits, as it comes, until `finish`."""
        while not self._ending:
            await self._news.wait()
            self._news.clear()
            told, self._waiting = self._waiting, []
            if self._owes and self._client.is_connected:
                self._owes = False
                told.append(AnnouncementsLost())
            for message in _messages(self._node_id, told):
                try:
                    await self._client.publish(self._options.subject, message)
                    self._count("sent")
                except (NatsError, OSError):
                    self._count("dropped")
                    self._owes = True

    async def stay_connected(self) -> None:
        """Connect, and again after each loss, until `finish`.

        Always a new client: one that tries by itself does not tell apart an attempt and a connection, and may go on after
        its end was asked for.
        """
        while not self._ending:
            if not self._client.is_connected:
                await self.connect()
            await self._clock.sleep(CONNECT_AGAIN_SECONDS)

    async def doubt_while_away(self) -> None:
        """As long as nothing is heard, this node is told so each second, until `finish`."""
        while not self._ending:
            self._figures.set("bus_connected", self._client.is_connected)
            if not self._client.is_connected:
                if not self._told_away:
                    self._told_away = True
                    _log.warning("bus_away")
                self.doubt()
            await self._clock.sleep(LOST_AGAIN_SECONDS)

    def _count(self, what: str) -> None:
        """One more message: sent, heard, malformed; or an announcement that was dropped, as NATS was away or too slow."""
        self._figures.add("bus_messages_total", label=what)

    async def connect(self) -> None:
        """Try once."""
        await self.leave()
        self._client = Client()
        options = self._options
        given: dict[str, Any] = {
            name: value
            for name, value in (
                ("user", options.user),
                ("password", options.password),
                ("token", options.token),
                ("user_credentials", options.credentials and str(options.credentials)),
                ("tls", options.tls),
            )
            if value is not None
        }
        try:
            async with self._clock.timeout(
                CONNECT_SECONDS
            ):  # the client itself would try for ever, and say nothing
                await self._client.connect(
                    servers=list(options.servers),
                    name="tokenim-relay",
                    connect_timeout=CONNECT_SECONDS,
                    allow_reconnect=False,
                    no_echo=True,
                    ping_interval=PING_SECONDS,
                    disconnected_cb=self._on_lost,
                    error_cb=self._on_error,
                    pending_size=4 * MAX_MESSAGE_BYTES,
                    **given,
                )
                await self._client.subscribe(self._options.subject, cb=self._on_message)
        except (NatsError, OSError, TimeoutError):
            await self.leave()
            return
        self._on_back()

    async def _on_message(self, message: Msg) -> None:
        try:
            node_id, told = decode(message.data)
        except ValueError:
            self._count("malformed")
            return
        if node_id == self._node_id:
            return  # what this node said itself
        self._count("heard")
        for announcement in told:
            self._local.publish(announcement)

    async def _on_lost(self) -> None:
        self.doubt()

    def _on_back(self) -> None:
        if self._told_away:
            self._told_away = False
            _log.info("bus_back")
        self.doubt()  # what was said meanwhile was not heard here
        self._news.set()  # to say what is owed

    async def _on_error(self, error: Exception) -> None:
        """A server that drops messages for a slow node says so here, and a wrong password."""
        if isinstance(error, NatsError):
            _log.warning("bus_error", extra={"reason": type(error).__name__})
        self.doubt()

    async def leave(self) -> None:
        """End the connection, in CLOSE_SECONDS whatever the server does.

        The client itself would wait until all that it sent is read, which a server that hangs never does. It ends in a task
        of its own, as it takes being cancelled for being told to go on.
        """
        client = self._client
        if client._transport is None:  # noqa: SLF001  (never connected, which it does not tell otherwise)
            return
        closing = asyncio.create_task(client.close(), name="bus-leave")
        try:
            async with self._clock.timeout(CLOSE_SECONDS):
                await asyncio.wait([closing])
        except TimeoutError:
            _log.warning("bus_cut")
        finally:
            _abort(client)
            closing.cancel()
            closing.add_done_callback(_nothing_more)

    async def finish(self) -> None:
        """What waits goes out, if that is possible soon; nothing is sent any more, and `send` and the others end."""
        self._ending = True
        self._news.set()
        if self._client.is_connected:
            told, self._waiting = self._waiting, []
            with suppress(NatsError, OSError, TimeoutError):
                async with self._clock.timeout(CLOSE_SECONDS):
                    for message in _messages(self._node_id, told):
                        await self._client.publish(self._options.subject, message)
                    await self._client.flush(timeout=CLOSE_SECONDS)


def _abort(client: Client) -> None:
    """Free the socket, with all that was not sent; who waits in the client for its end goes on."""
    writer = getattr(client._transport, "_io_writer", None)  # noqa: SLF001  (its own close waits for the server)
    if isinstance(writer, asyncio.StreamWriter):
        writer.transport.abort()


def _nothing_more(closing: asyncio.Task[None]) -> None:
    """How a client ended that is not needed any more concerns nobody."""
    if not closing.cancelled():
        closing.exception()


def _messages(node_id: bytes, told: list[Announcement]) -> list[bytes]:
    """As few as can be; a long NewMail is split, and no message has more than DEVICES_A_MESSAGE announcements or devices."""
    messages: list[bytes] = []
    batch: list[Announcement] = []
    room = DEVICES_A_MESSAGE
    for one in _pieces(_joined(told)):
        size = _size(one)
        if batch and size > room:
            messages.append(encode(node_id, batch))
            batch, room = [], DEVICES_A_MESSAGE
        batch.append(one)
        room -= size
    if batch:
        messages.append(encode(node_id, batch))
    return messages


def _size(one: Announcement) -> int:
    """In devices of a NewMail, 32 B at most; of MailboxesHeld each is less than two."""
    if isinstance(one, NewMail):
        return len(one.device_ids)
    return 2 * len(one.held) if isinstance(one, MailboxesHeld) else 8


def _joined(told: list[Announcement]) -> list[Announcement]:
    """NewMail that nothing else stands between as one, in which each device is named once."""
    joined: list[Announcement] = []
    for are_mail, run in groupby(told, lambda one: isinstance(one, NewMail)):
        several = list(run)
        if are_mail and len(several) > 1:
            mail = [one for one in several if isinstance(one, NewMail)]
            device_ids = dict.fromkeys(chain.from_iterable(one.device_ids for one in mail))
            urgent = dict.fromkeys(chain.from_iterable(one.urgent for one in mail))
            joined.append(NewMail(tuple(device_ids), tuple(urgent)))
        else:
            joined += several
    return joined


def _pieces(told: list[Announcement]) -> list[Announcement]:
    pieces: list[Announcement] = []
    for one in told:
        if not isinstance(one, NewMail) or len(one.device_ids) <= DEVICES_A_MESSAGE:
            pieces.append(one)
            continue
        urgent = frozenset(one.urgent)
        for first in range(0, len(one.device_ids), DEVICES_A_MESSAGE):
            part = one.device_ids[first : first + DEVICES_A_MESSAGE]
            pieces.append(NewMail(part, tuple(each for each in part if each in urgent)))
    return pieces


@asynccontextmanager
async def open_nats_bus(
    options: NatsOptions, clock: Clock, randomness: Randomness, figures: Figures
) -> AsyncIterator[NatsBus]:
    """The bus of this node, at work whether NATS is there or not."""
    async with open_memory_bus() as local:
        bus = NatsBus(local, options, clock, randomness(NODE_ID_BYTES), figures)
        await bus.connect()
        tasks = [
            asyncio.create_task(bus.send(), name="bus-send"),
            asyncio.create_task(bus.stay_connected(), name="bus-connect"),
            asyncio.create_task(bus.doubt_while_away(), name="bus-doubt"),
        ]
        try:
            yield bus
        finally:
            await bus.finish()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await bus.leave()
