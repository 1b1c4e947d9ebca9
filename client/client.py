"""The friendly object: one account on one relay, opened from its folder.

    async with Client.open("~/.tokenim/alice") as alice:
        await alice.send("bob", "hello")
        async for message in alice.messages():
            await message.reply(f"you said {message.text}")

What is sent is first kept, then encrypted and kept finished, and only then handed to the relay; what arrives is
acknowledged only after it is kept. Several processes may open one folder; the newest that listens has the mailbox.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from os import PathLike
from types import TracebackType
from typing import Self

from .message import Event, Identity, Message, SafetyNumber, SendReport
from .system import System, this_machine

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all while a file goes up or comes down."""


class Client:
    """One account, as an async context manager. Make it with `Client.open`; register first with `Client.register`."""

    def __init__(self, home: str | PathLike[str], *, passphrase: str | None, system: System) -> None:
        self._home = home
        self._passphrase = passphrase
        self._system = system

    @classmethod
    def open(
        cls, home: str | PathLike[str], *, passphrase: str | None = None, system: System | None = None
    ) -> "Client":
        """The account in the folder `home`; entering opens its store and does not need the relay.

        Entering raises NoAccount, LoosePermissions, WrongPassphrase, StoreDamaged or StoreTooNew.
        """
        return cls(home, passphrase=passphrase, system=system or this_machine())

    @classmethod
    async def register(
        cls,
        home: str | PathLike[str],
        invite_link: str,
        *,
        handle: str | None = None,
        passphrase: str | None = None,
        system: System | None = None,
    ) -> Identity:
        """Make an account from an invite in the empty or missing folder `home`, publish its keys, and close it again.

        With a handle others find it by that name. Safe to call again after it was cut off: the same keys go up.
        A passphrase wraps the store's key. Raises UsageError (not an invite), AccountExists, RelayUnreachable,
        RelayKeyChanged, Refused (`invite_invalid`, `handle_taken`, `handle_invalid`).
        """
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        raise NotImplementedError

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        raise NotImplementedError

    def whoami(self) -> Identity:
        """Who this folder is; needs no relay."""
        raise NotImplementedError

    async def contact_link(self) -> str:
        """A link by which anybody who has it can write to this account; the same one each time."""
        raise NotImplementedError

    async def send(
        self,
        to: str,
        text: str | None = None,
        *,
        file: str | PathLike[str] | None = None,
        progress: Progress | None = None,
        patience_seconds: float = 5.0,
    ) -> Message:
        """Send a text or a file to a handle, a contact link, or the account id of a known contact.

        Returns when the relay has it durably for every device of the recipient. Raises RelayUnreachable if the relay
        is not reached (again) within `patience_seconds`: the message then stays in the outbox and goes out with the
        next call that reaches it. Raises UsageError, UnknownRecipient, NotSent, DevicesForked.
        """
        raise NotImplementedError

    async def send_lines(
        self,
        to: str,
        lines: Iterable[str] | AsyncIterable[str],
        *,
        on_accepted: Callable[[int], None] | None = None,
        patience_seconds: float = 5.0,
    ) -> SendReport:
        """Send many texts, each its own envelope, in order and pipelined; `on_accepted` gets the running count.

        Raises what `send` raises; lines taken before stay in the outbox, the iterable is not read further.
        """
        raise NotImplementedError

    async def flush(self, *, patience_seconds: float = 5.0) -> int:
        """Send what waits in the outbox; returns how many messages the relay accepted. Raises RelayUnreachable."""
        raise NotImplementedError

    def outbox_size(self) -> int:
        """How many messages wait to be accepted by the relay."""
        raise NotImplementedError

    def messages(
        self, *, until_caught_up: bool = False, patience_seconds: float | None = None
    ) -> AsyncIterator[Message]:
        """Messages of others that were not given out before, as they come; see `events`."""
        raise NotImplementedError

    def events(
        self, *, until_caught_up: bool = False, patience_seconds: float | None = None
    ) -> AsyncIterator[Event]:
        """Take the mailbox and give what comes: messages, gaps, warnings, each once; reconnects by itself.

        A message counts as given out when the next one is asked for (or the iteration ends normally), so one may
        come again, under the same id, after the process was killed while it handled it. Stops after `CaughtUp` with
        `until_caught_up`. Raises Replaced when another process takes the mailbox, and RelayUnreachable after
        `patience_seconds` without a connection (None: never).
        """
        raise NotImplementedError

    async def history(self, with_: str, *, limit: int | None = None) -> list[Message]:
        """The conversation with a handle, contact link or account id, oldest first; needs no relay for a known contact.

        `limit` keeps the newest ones only. Raises UnknownRecipient.
        """
        raise NotImplementedError

    async def safety_number(self, with_: str) -> SafetyNumber:
        """The number to compare with this contact. Raises UnknownRecipient."""
        raise NotImplementedError
