"""Where an attack is played: accounts with real clients on a real relay process, reached through a middleman.

Handles are new each time, so that many attacks can share one relay; in what is captured, people have their plain names.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from socket import create_server, socket
from typing import Any

from client import Client, ClientError
from client.cli.output import code_of
from client.cli.work import plain_event
from client.message import CaughtUp, Event, Identity, Message, Warned
from client.store.database import Database
from client.store.key_file import load_key
from client.system import System, this_machine
from crypto.keys import SigningKeyPair
from relay.wire.limits import ACCOUNT_ID_BYTES, DEVICE_ID_BYTES
from relay.wire.links import decode_bytes, decode_id, encode_bytes, encode_id
from relay.wire.transcripts import relay_document_transcript
from tests.few_prekeys import few_prekeys
from tests.hostile.attacks import Attack, Unseen
from tests.hostile.middleman import Exchange, Line, Middleman, open_middleman
from tests.relay_process import run, serving

WITHIN_SECONDS = 30
_HURRIED_SECONDS = 0.2
_INVITED = 10_000
_handles = itertools.count(1)


@dataclass(eq=False, repr=False)
class Person:
    """One account with one device. Each call opens the client anew, unless the person is `online`."""

    stage: "Stage"
    name: str
    handle: str
    home: Path
    system: System
    account_id: bytes = b""
    device_id: bytes = b""
    heard: list[Event] = field(default_factory=list)
    """Everything that the client gave out, in order."""

    def client(self) -> Client:
        return Client.open(self.home, system=self.system)

    async def register(self) -> None:
        identity = await Client.register(self.home, self.stage.invite, handle=self.handle, system=self.system)
        self.is_(identity)

    def is_(self, identity: Identity) -> None:
        """The account and device that it has from now on."""
        self.account_id = decode_id(identity.account, ACCOUNT_ID_BYTES)
        self.device_id = decode_id(identity.device, DEVICE_ID_BYTES)

    async def says(self, to: "Person | str", text: str, *, patience_seconds: float = 5.0) -> Message:
        """Send a text; raises what `Client.send` raises."""
        async with asyncio.timeout(WITHIN_SECONDS), self.client() as client:
            recipient = to if isinstance(to, str) else to.handle
            return await client.send(recipient, text, patience_seconds=patience_seconds)

    async def says_all(self, to: "Person", *texts: str) -> None:
        """Several texts, over one connection."""
        async with asyncio.timeout(WITHIN_SECONDS), self.client() as client:
            await client.send_lines(to.handle, texts)

    async def flushes(self) -> None:
        """What waits in the outbox goes out."""
        async with asyncio.timeout(WITHIN_SECONDS), self.client() as client:
            await client.flush()

    async def listens(self, *, patience_seconds: float = 5.0) -> list[Event]:
        """Take what waits until caught up; what was told this time."""
        async with asyncio.timeout(WITHIN_SECONDS), self.client() as client:
            events = [
                event
                async for event in client.events(until_caught_up=True, patience_seconds=patience_seconds)
            ]
        self.heard += events
        return events

    @asynccontextmanager
    async def online(self) -> AsyncIterator["Live"]:
        """The client is open and listens meanwhile."""
        async with self.client() as client:
            live = Live(self, client)
            listening = asyncio.create_task(live.listen())
            try:
                yield live
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)

    async def history(self, with_: "Person | str") -> list[str | None]:
        """What others wrote, as the conversation shows it."""
        async with self.client() as client:
            shown = await client.history(with_ if isinstance(with_, str) else with_.handle)
        return [message.text for message in shown if not message.outgoing]

    def texts(self) -> list[str | None]:
        """The texts that were given out, in order."""
        return [event.text for event in self.heard if isinstance(event, Message)]

    def told(self) -> list[tuple[str, str]]:
        """(Kind, the very words) of what was told besides messages."""
        return [
            (kind_of(event), self.stage.plain(plain_event(event) or ""))
            for event in self.heard
            if not isinstance(event, Message | CaughtUp)
        ]

    @asynccontextmanager
    async def store(self) -> AsyncIterator[Database]:
        """The closed client's store, for what only its owner could make."""
        async with Database(self.home, load_key(self.home, None)) as database:
            yield database


RECEIPTS = ("delivered", "read")


@dataclass(eq=False)
class Live:
    """A client that listens."""

    person: Person
    client: Client
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def listen(self) -> None:
        async for event in self.client.events():
            async with self.news:
                self.person.heard.append(event)
                self.news.notify_all()

    async def hears(self, text: str) -> None:
        """Until this text is shown."""
        await self._until(lambda: text in self.person.texts())

    async def is_told(self, kind: str, *, within_seconds: float = WITHIN_SECONDS) -> None:
        """Until this is told; raises Unseen if it never is."""
        try:
            await self._until(lambda: kind in dict(self.person.told()), within_seconds)
        except TimeoutError:
            raise Unseen(f"{self.person.name} is not told of {kind}") from None

    async def _until(self, holds: Any, within_seconds: float = WITHIN_SECONDS) -> None:
        async with asyncio.timeout(within_seconds), self.news:
            await self.news.wait_for(holds)


def hurried_machine() -> System:
    """A machine on which every wait is short."""
    return replace(this_machine(), sleep=lambda seconds: asyncio.sleep(min(seconds, _HURRIED_SECONDS)))


def kind_of(event: Event) -> str:
    """The kind of a warning, else the type of the event."""
    return event.kind if isinstance(event, Warned) else str(event.as_json()["type"])


@dataclass(eq=False, repr=False)
class Stage:
    """What a scenario works with. `saw` collects what users see of the attack, word for word."""

    relay: Middleman
    invite: str
    folder: Path
    relay_key: SigningKeyPair
    """With which the relay signs what it likes."""
    data: Path
    """The relay's folder."""
    cast: list[Person] = field(default_factory=list)
    saw: list[str] = field(default_factory=list)
    harmless: bool = True

    async def people(self, *names: str, system: System | None = None) -> list[Person]:
        """Accounts with these names; the relay is whatever it is at this moment."""
        made = [self.stranger(name, system=system) for name in names]
        for person in made:
            await person.register()
        return made

    def stranger(self, name: str, *, system: System | None = None) -> Person:
        """Somebody who has not registered yet."""
        handle = f"{name}-{next(_handles)}"
        person = Person(self, name, handle, self.folder / handle, system or this_machine())
        self.cast.append(person)
        return person

    def plain(self, words: str) -> str:
        """With names in the place of handles and ids."""
        for person in sorted(self.cast, key=lambda one: -len(one.handle)):
            words = words.replace(person.handle, person.name)
            if person.account_id:
                words = words.replace(encode_id(person.account_id), person.name)
        return words

    def signs_its_document(self, key: SigningKeyPair, **changes: Any) -> None:
        """From now on the relay's document says something else, under a signature by this key."""

        def change(exchange: Exchange) -> None:
            exchange.json = {**exchange.json, "signing_key": encode_bytes(key.public), **changes}
            signature = key.sign(relay_document_transcript(exchange.body))
            exchange.headers["TokenIM-Signature"] = encode_bytes(signature)

        self.relay.changes_answers("GET", "/.well-known/tokenim", change)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Look until it holds."""
        async with asyncio.timeout(WITHIN_SECONDS):
            while not holds():  # noqa: ASYNC110  # what passes the middleman tells nobody
                await asyncio.sleep(0.01)

    async def line_of(self, person: Person) -> Line:
        """The WebSocket by which an online person has the mailbox, once there is one."""
        await self.until(lambda: self.relay.line_of(person.device_id) is not None)
        line = self.relay.line_of(person.device_id)
        assert line is not None
        return line

    async def refuses(
        self, who: Person, doing: Awaitable[object], code: str, *, within_seconds: float = WITHIN_SECONDS
    ) -> None:
        """It fails for this person with this code; raises Unseen otherwise."""
        name = who.name
        try:
            async with asyncio.timeout(within_seconds):
                await doing
        except TimeoutError:
            raise Unseen(f"{name} waits in vain") from None
        except ClientError as error:
            words = self.plain(str(error))
            if code_of(error) != code:
                raise Unseen(f"{name} gets {code_of(error)}, not {code}: {words}") from error
            self._seen(f"{name}: {code}: {words.removesuffix(f' ({code})')}")
        else:
            raise Unseen(f"{name} is not refused with {code}")

    async def succeeds(
        self, who: Person, doing: Awaitable[object], *, within_seconds: float = WITHIN_SECONDS
    ) -> None:
        """It is done in time; raises Unseen otherwise."""
        try:
            async with asyncio.timeout(within_seconds):
                await doing
        except TimeoutError:
            raise Unseen(f"{who.name} waits in vain") from None

    def tells(self, who: Person, kind: str) -> None:
        """This was told; raises Unseen otherwise."""
        words = [words for told, words in who.told() if told == kind]
        if not words:
            raise Unseen(f"{who.name} is not told of {kind}, but {who.told()}, and reads {who.texts()}")
        for line in dict.fromkeys(words):
            self._seen(f"{who.name}: {line}")

    def shows(self, words: str) -> None:
        """The user sees this, which gives the attack away."""
        self._seen(words)

    async def reads(self, who: Person, of: Person | str, *texts: str, after: tuple[str, ...] = ()) -> None:
        """Exactly these texts were shown, each once, in this order; the history has them too. Raises Unseen.

        `after`: what was shown before, and is in the history alone.
        """
        shown, kept = who.texts(), await who.history(of)
        if shown != list(texts) or kept != [*after, *texts]:
            raise Unseen(f"{who.name} reads {shown}, and {kept} in the history")
        if self.harmless:
            self.saw.append(f"{who.name} reads {', '.join(map(repr, texts)) or 'nothing'}")

    def nothing_told(self, *who: Person) -> None:
        """No alarm, no gap, nothing that does not open; receipts come when they come. Raises Unseen."""
        for person in who:
            if told := [one for one in person.told() if one[0] not in RECEIPTS]:
                raise Unseen(f"{person.name} is told {told}")

    def holds(self, truth: bool, words: str) -> None:
        """What the user sees is right because of this; raises Unseen otherwise."""
        if not truth:
            raise Unseen(f"not so: {words}")
        if self.harmless:
            self.saw.append(words)

    def _seen(self, words: str) -> None:
        if self.harmless:
            self.harmless = False
            self.saw.clear()
        self.saw.append(words)


@dataclass(frozen=True)
class Played:
    """What became of one attack: the words that users saw; `harmless` if those were no alarm but what is right."""

    attack: Attack
    saw: tuple[str, ...]
    harmless: bool


@dataclass(frozen=True)
class Theatre:
    """A relay process and the address of the middleman in front of it, which stays the same."""

    upstream: str
    listening: socket
    invite: str
    relay_key: SigningKeyPair
    data: Path

    async def play(self, attack: Attack, folder: Path) -> Played:
        """Play it once; raises Unseen."""
        async with open_middleman(self.upstream, self.listening) as relay:
            stage = Stage(relay, self.invite, folder, self.relay_key, self.data)
            with few_prekeys():
                await attack.scenario(stage)
        for failure in relay.failures:
            raise RuntimeError(f"a rule of {attack.name} failed") from failure
        if not stage.saw or not (relay.changes or attack.guards):
            raise RuntimeError(f"{attack.name} changed nothing, or has nothing to show")
        return Played(attack, tuple(stage.saw), stage.harmless)


@contextmanager
def open_theatre(data: Path) -> Iterator[Theatre]:
    """A relay process whose public origin is the address where its middlemen listen."""
    with create_server(("127.0.0.1", 0)) as listening:
        host, port = listening.getsockname()
        settings = {
            "TOKENIM_RELAY_ORIGIN": f"http://{host}:{port}",
            "TOKENIM_RELAY_LOG_LEVEL": "error",  # nobody reads what it logs: a full pipe would stop it
            "TOKENIM_RELAY_LIMITS__PUBLIC_WORK_BITS": "8",
        }
        with serving(data, **settings) as relay:
            made = run("invite", "create", "--data", str(data), "--uses", str(_INVITED))
            assert made.returncode == 0, made.stderr
            seed = decode_bytes((data / "relay.key").read_text("utf-8").split()[-1])
            key = SigningKeyPair.from_seed(seed)
            yield Theatre(relay.url, listening, made.stdout.split()[-1], key, data)
